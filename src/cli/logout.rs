//! `logout`: removes a credential.

use super::output::{self, Failure, Outcome};
use super::{Context, Form};
use crate::exit::Code;
use crate::scope::Scope;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Registry, or registry and path, of the credential: as `list` shows it
    scope: String,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let scope: Scope = args.scope.parse().map_err(|error| Failure::new(Code::Usage, anyhow::Error::new::<crate::scope::ScopeError>(error)))?;
    let mut writer = context.store.write()?;
    if !writer.remove(&scope) {
        return Err(Failure::new(Code::NothingStored, anyhow::anyhow!("nothing is stored for `{scope}`"))
            .with_remedy("`keyring-credential-provider list` shows what is"));
    }
    writer.commit()?;
    match context.form {
        Form::Json => output::print_json(&serde_json::json!({ "scope": scope.as_str() }))?,
        Form::Text => output::say(&format!("removed the credential for `{scope}`")),
    }
    Ok(Code::Done)
}
