//! `store`: makes, describes, re-keys and locks the sealed store.

use std::time::Duration;

use anyhow::anyhow;

use super::output::{self, Failure, Outcome};
use super::{Context, Form, session};
use crate::exit::Code;
use crate::grpc::Endpoint;
use crate::kms;
use crate::store::{self, InitOptions, KeySource, RekeyOptions, SourceOptions, SystemdKey};
use crate::{text, time};

/// A KMS plugin may name its key in 1 KiB.
const MAX_SHOWN_KEY_ID: usize = 200;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make a new, empty store
    Init {
        /// Where the key is kept; default: `keyring` on Windows, else `systemd-creds` where it works, else `host-key`
        #[arg(long, value_name = "SOURCE")]
        key_source: Option<KeySource>,
        /// What `systemd-creds` seals the key to: `auto`, `host`, `tpm2` or `host+tpm2`
        #[arg(long, value_name = "KEY", default_value = "auto")]
        systemd_key: SystemdKey,
        /// Where the plugin of `kms` listens: `unix:///run/kms/plugin.sock`
        #[arg(long, value_name = "ENDPOINT", value_parser = kms::endpoint, required_if_eq("key_source", "kms"))]
        kms_endpoint: Option<Endpoint>,
        /// How long a data key that is slow to unseal stays in root's kernel keyring; `0` for not at all
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
        data_key_cache: Duration,
        /// Leave a store that is there as it is, and call it done
        #[arg(long)]
        if_missing: bool,
        /// Windows: make it as LocalSystem, in a service that is there for this command only, with the key in that account's
        /// Credential Manager
        #[arg(long, conflicts_with_all = ["key_source", "systemd_key", "kms_endpoint", "data_key_cache"])]
        as_service: bool,
    },
    /// Describe the store, and say whether it opens
    Status,
    /// Seal everything anew under a new key
    Rekey {
        /// Moves the key to another source
        #[arg(long, value_name = "SOURCE")]
        key_source: Option<KeySource>,
        /// What `systemd-creds` seals the key to: `auto`, `host`, `tpm2` or `host+tpm2`
        #[arg(long, value_name = "KEY", default_value = "auto")]
        systemd_key: SystemdKey,
        /// Where the plugin of `kms` listens: `unix:///run/kms/plugin.sock`
        #[arg(long, value_name = "ENDPOINT", value_parser = kms::endpoint)]
        kms_endpoint: Option<Endpoint>,
        /// Take a store that is older than the last one seen, such as one from a backup
        #[arg(long)]
        accept_rollback: bool,
        /// Take a store that was sealed when this machine had another identity
        #[arg(long)]
        accept_node: bool,
    },
    /// Forget a data key that is cached in the kernel keyring
    Lock,
}

pub(super) fn run(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Init { if_missing, as_service: true, .. } => init_as_service(if_missing, context),
        Command::Init { key_source, systemd_key, kms_endpoint, data_key_cache, if_missing, as_service: false } => {
            let source_options = source_options(key_source, systemd_key, kms_endpoint)?;
            init(&InitOptions { key_source, source_options, data_key_cache }, if_missing, context)
        }
        Command::Status => status(context),
        Command::Rekey { key_source, systemd_key, kms_endpoint, accept_rollback, accept_node } => {
            let current = || context.store.status().map(|status| status.key_source);
            let source_options = source_options(key_source.map_or_else(current, Ok).ok(), systemd_key, kms_endpoint)?;
            rekey(&RekeyOptions { key_source, source_options, accept_rollback, accept_node }, context)
        }
        Command::Lock => lock(context),
    }
}

/// An endpoint that nothing would use is a mistake about where the key goes.
fn source_options(
    key_source: Option<KeySource>,
    systemd_key: SystemdKey,
    kms_endpoint: Option<Endpoint>,
) -> Result<SourceOptions, Failure> {
    if kms_endpoint.is_some() && key_source != Some(KeySource::Kms) {
        return Err(Failure::new(Code::Usage, anyhow!("`--kms-endpoint` goes with `--key-source kms` only")));
    }
    Ok(SourceOptions { systemd_key, kms_endpoint })
}

fn init(options: &InitOptions, if_missing: bool, context: &Context) -> Outcome {
    match context.store.init(options) {
        Err(store::Error::Exists { .. }) if if_missing => tell_kept(context),
        source => tell_made(source?.name(), context),
    }
}

/// Looks first: what goes wrong in the service is told in its log only.
fn init_as_service(if_missing: bool, context: &Context) -> Outcome {
    match context.store.status() {
        Err(store::Error::NotFound { .. }) => {}
        Ok(_) if if_missing => return tell_kept(context),
        Ok(_) => return Err(store::Error::Exists { dir: context.store.dir().to_owned() }.into()),
        Err(error) => return Err(error.into()),
    }
    let session = session::as_service(context.store.dir(), &["--init"])?;
    // Whoever asks here lets that account open it.
    tell_made(&session.client.status()?.key_source, context)
}

fn tell_made(source: &str, context: &Context) -> Outcome {
    let dir = context.store.dir().display();
    let object = serde_json::json!({ "directory": dir.to_string(), "keySource": source });
    output::report(context.form, &object, &format!("made a store at `{dir}`, its key in `{source}`"))?;
    Ok(Code::Done)
}

fn tell_kept(context: &Context) -> Outcome {
    // Not opened: whether it can be is the business of `store status`.
    let dir = context.store.dir().display();
    let object = serde_json::json!({ "directory": dir.to_string(), "keySource": null });
    output::report(context.form, &object, &format!("the store at `{dir}` stays as it is"))?;
    Ok(Code::Done)
}

fn rekey(options: &RekeyOptions, context: &Context) -> Outcome {
    let source = context.store.rekey(options)?;
    let object = serde_json::json!({ "keySource": source.name() });
    output::report(context.form, &object, &format!("sealed everything anew; the key is in `{source}`"))?;
    Ok(Code::Done)
}

fn lock(context: &Context) -> Outcome {
    let was_cached = context.store.lock()?;
    let sentence = if was_cached { "forgot the cached data key" } else { "no data key was cached" };
    output::report(context.form, &serde_json::json!({ "wasCached": was_cached }), sentence)?;
    Ok(Code::Done)
}

/// Describes what the header tells, then opens the store for good: a status that says `ok` has been tried.
fn status(context: &Context) -> Outcome {
    let status = context.store.status()?;
    let cached = context.store.has_cached_data_key()?;
    let opened = context.store.open();
    let (credentials, state) = match &opened {
        Ok(opened) => (Some(opened.credentials.len()), "ok".to_owned()),
        Err(error) => (None, error.to_string()),
    };
    let directory = context.store.dir().display().to_string();
    match context.form {
        Form::Json => {
            let mut object = serde_json::json!({
            "directory": directory,
            "state": state,
            "credentials": credentials,
            "generation": status.generation,
            "storeId": status.store_id,
            "keySource": status.key_source.name(),
            "keyId": status.key_id,
            "dataKeyCacheSeconds": status.data_key_cache.as_secs(),
            "dataKeyCached": cached,
            "boundToNode": status.bound_to_node,
            "createdAt": output::timestamp(status.created_at),
            });
            if let Some(kms) = &status.kms {
                object["kms"] = serde_json::json!({ "endpoint": kms.endpoint, "keyId": kms.key_id });
            }
            output::print_json(&object)?;
        }
        Form::Text => {
            let mut rows = vec![
                ("directory", directory),
                ("state", state),
                ("credentials", credentials.map_or_else(|| "unknown".to_owned(), |count| count.to_string())),
                ("generation", status.generation.to_string()),
                ("store id", status.store_id),
                ("key source", status.key_source.to_string()),
                ("key id", status.key_id),
                ("data key cached", if cached { "yes" } else { "no" }.to_owned()),
                ("bound to node", if status.bound_to_node { "yes" } else { "no" }.to_owned()),
                ("created", output::timestamp(status.created_at)),
            ];
            if let Some(kms) = status.kms {
                rows.push(("kms endpoint", kms.endpoint));
                rows.push(("kms key id", text::sanitize(&kms.key_id, MAX_SHOWN_KEY_ID)));
            }
            let rows: Vec<_> = rows.into_iter().map(|(name, value)| [name.to_owned(), value]).collect();
            output::print(&output::columns(&rows))?;
        }
    }
    opened.map(|_| Code::Done).map_err(Failure::from)
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    time::parse_duration(text).ok_or("a duration is written as `300s`, `15m` or `24h`")
}
