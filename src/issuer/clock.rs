//! Requests that carry the time, which a server refuses when this machine's clock is off.

use super::IssuerError;
use super::http::{Http, Request, Response};
use crate::time;

/// AWS and Google refuse a time that is five minutes off.
const TOLERANCE: i64 = 4 * 60;

/// Sends the request for the time now. If it is refused and this machine's clock is off, it is sent once more for the server's
/// time; if that is refused as well, the error says so.
pub(super) fn send<'a>(
    http: &Http,
    request: &dyn Fn(i64) -> Result<Request<'a>, IssuerError>,
) -> Result<Response, IssuerError> {
    let now = time::now();
    let response = http.send(&request(now)?)?;
    let off = response.date.map_or(0, |date| date - now);
    if response.status < 400 || off.abs() < TOLERANCE {
        return Ok(response);
    }
    let response = http.send(&request(now + off)?)?;
    if response.status < 400 {
        return Ok(response);
    }
    let behind = if off > 0 { "behind" } else { "ahead of" };
    Err(response.refused(&format!("; this machine's clock is {} seconds {behind} the server's", off.abs())))
}
