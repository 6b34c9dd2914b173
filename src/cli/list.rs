//! `list`: what is stored, without secrets.

use serde::Serialize;

use super::output::{self, Outcome};
use super::session::SessionArgs;
use super::{Context, Form};
use crate::broker::Entry;
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

pub(super) fn run(args: &SessionArgs, context: &Context) -> Outcome {
    let entries = match args.start(context)? {
        Some(session) => session.client.list()?,
        None => context.store.open()?.credentials.iter().map(Entry::from).collect(),
    };
    match context.form {
        Form::Json => output::print_json(&entries.iter().map(Listed::from).collect::<Vec<_>>())?,
        Form::Text => output::print(&table(&entries))?,
    }
    Ok(Code::Done)
}

fn table(entries: &[Entry]) -> String {
    let heading = ["SCOPE", "USERNAME", "ISSUER", "EXPIRES", "UPDATED", "ORIGIN"].map(str::to_owned);
    let row = |entry: &Entry| {
        let listed = Listed::from(entry);
        [
            listed.scope.to_owned(),
            text::sanitize(listed.username, 60),
            text::sanitize(listed.issuer, 30),
            listed.expires_at.unwrap_or_else(|| "never".to_owned()),
            listed.updated_at,
            text::sanitize(listed.origin, 200),
        ]
    };
    output::columns(&std::iter::once(heading).chain(entries.iter().map(row)).collect::<Vec<_>>())
}

impl<'a> From<&'a Entry> for Listed<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            scope: &entry.scope,
            username: &entry.username,
            issuer: &entry.issuer,
            expires_at: entry.expires_at.map(output::timestamp),
            updated_at: output::timestamp(entry.updated_at),
            origin: &entry.origin,
        }
    }
}
