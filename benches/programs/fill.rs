//! Fills a store for the benchmarks in one write: `login`, which syncs every write, would take minutes for thousands.
//!
//! Called as `fill DIR COUNT`. Every scope is on a host below `bench.example`; the first is `registry-0.bench.example/team`.

use std::collections::BTreeMap;
use std::error::Error;

use keyring_credential_provider::credential::Credential;
use keyring_credential_provider::secret::Secret;
use keyring_credential_provider::store::Store;
use zeroize::Zeroizing;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fill DIR COUNT".into());
    };
    let store = Store::at(dir);
    let mut writer = store.write()?;
    for number in 0..count.parse::<u32>()? {
        writer.put(Credential {
            scope: format!("registry-{number}.bench.example/team").parse()?,
            username: format!("robot-{number}"),
            // As long as a personal access token of the large registries.
            secret: Secret::new(Zeroizing::new(format!("token-{number:0>34}").into_bytes())),
            issuer: "static".to_owned(),
            settings: BTreeMap::new(),
            expires_at: None,
            updated_at: 1_800_000_000,
            origin: "benches/programs/fill.rs".to_owned(),
        });
    }
    Ok(writer.commit()?)
}
