//! The operator's configuration file.

use loa_runtime::config::{Config, DEFAULT, DEV, Layers};

use super::{class, kind, told};

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let small: &[&[u8]] = &[
        b"[node]\nname = \"a\"\n",
        b"[[user]]\nname = \"lan\"\nkey_sha256 = \"00\"\nrights = [\"author\"]\n",
        b"[sms.account.sim-a]\npartitions = [\"0-40\", \"x\"]\nrate = -1\n",
        b"[log]\nkind = \"kafka\"\n[grpc]\nlisten = 7\n",
    ];
    let mut seeds: Vec<_> = small.iter().map(|text| text.to_vec()).collect();
    seeds.extend([DEFAULT, DEV].map(|text| text.as_bytes().to_vec()));
    seeds
}

/// Either a legal configuration or faults that name their key.
pub(crate) fn run(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let mut layers = Layers::default();
    for (name, default) in [("default", DEFAULT), ("dev", DEV)] {
        layers.add_toml(name, default, true).expect("the embedded files are TOML");
    }
    match layers.add_toml("loa.toml", &text, false) {
        Ok(()) => match Config::check(&layers) {
            Ok(config) => told((config.users.len(), config.sms.accounts.len(), class(config.node.name.len()))),
            Err(faults) => {
                assert!(!faults.0.is_empty(), "refused without a fault");
                told(faults.0.iter().map(kind).collect::<Vec<_>>())
            }
        },
        Err(error) => told(kind(&error)),
    }
}
