//! `list`: what is stored, without secrets.

use serde::Serialize;

use super::output::{self, Outcome};
use super::{Context, Form};
use crate::credential::Credential;
use crate::exit::Code;
use crate::text;

/// One entry of `list --output json`, part of the command line's contract.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    scope: &'a str,
    username: &'a str,
    issuer: &'a str,
    expires_at: Option<String>,
    updated_at: String,
    origin: &'a str,
}

pub(super) fn run(context: &Context) -> Outcome {
    let opened = context.store.open()?;
    match context.form {
        Form::Json => output::print_json(&opened.credentials.iter().map(Listed::from).collect::<Vec<_>>())?,
        Form::Text => output::print(&table(&opened.credentials))?,
    }
    Ok(Code::Done)
}

fn table(credentials: &[Credential]) -> String {
    let heading = ["SCOPE", "USERNAME", "ISSUER", "EXPIRES", "UPDATED", "ORIGIN"].map(str::to_owned);
    let row = |credential: &Credential| {
        let listed = Listed::from(credential);
        [
            listed.scope.to_owned(),
            text::sanitize(listed.username, 60),
            text::sanitize(listed.issuer, 30),
            listed.expires_at.unwrap_or_else(|| "never".to_owned()),
            listed.updated_at,
            text::sanitize(listed.origin, 200),
        ]
    };
    output::columns(&std::iter::once(heading).chain(credentials.iter().map(row)).collect::<Vec<_>>())
}

impl<'a> From<&'a Credential> for Listed<'a> {
    fn from(credential: &'a Credential) -> Self {
        Self {
            scope: credential.scope.as_str(),
            username: &credential.username,
            issuer: &credential.issuer,
            expires_at: credential.expires_at.map(output::timestamp),
            updated_at: output::timestamp(credential.updated_at),
            origin: &credential.origin,
        }
    }
}
