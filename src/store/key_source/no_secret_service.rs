//! Secret Service, in a build without it.

use super::super::Error;
use super::super::key::DataKey;
use super::super::v1::Header;
use super::Wrapped;

pub(super) fn wrap(_store_id: &[u8], _data_key: &DataKey) -> Result<Wrapped, Error> {
    Err(unsupported())
}

pub(super) fn unwrap(_header: &Header) -> Result<DataKey, Error> {
    Err(unsupported())
}

pub(super) fn remove(_header: &Header) -> Result<(), Error> {
    Err(unsupported())
}

fn unsupported() -> Error {
    Error::Unsupported {
        what: "key source `secret-service`".to_owned(),
        reason: "this program was built without the cargo feature `secret-service`".to_owned(),
    }
}
