//! `logout`: removes a credential.

use super::Context;
use super::output::{self, Failure, Outcome};
use super::session::SessionArgs;
use crate::exit::Code;
use crate::scope::{Scope, ScopeError};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Registry, or registry and path, of the credential: as `list` shows it
    scope: String,
    #[command(flatten)]
    session: SessionArgs,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let scope: Scope = args.scope.parse().map_err(|error: ScopeError| Failure::new(Code::Usage, error))?;
    match args.session.start(context)? {
        Some(session) => session.client.delete(&scope)?,
        None => remove(&scope, context)?,
    }
    let object = serde_json::json!({ "scope": scope.as_str() });
    output::report(context.form, &object, &format!("removed the credential for `{scope}`"))?;
    Ok(Code::Done)
}

fn remove(scope: &Scope, context: &Context) -> Result<(), Failure> {
    let mut writer = context.store.write()?;
    if !writer.remove(scope) {
        return Err(Failure::new(Code::NothingStored, anyhow::anyhow!("nothing is stored for `{scope}`"))
            .with_remedy("`keyring-credential-provider list` shows what is"));
    }
    writer.commit()?;
    // Nothing asks for these any more; but a credential that was removed should leave nothing behind.
    if let Err(error) = context.store.open()?.tokens.forget(scope) {
        output::say(&format!(
            "warning: tokens that were issued for `{scope}` stay in the store until they end: {error}"
        ));
    }
    Ok(())
}
