//! Where dataset versions and freezes are kept: in a folder that nodes share, or in an object store.

use std::path::PathBuf;
use std::sync::Arc;

use loa_objects::{Bucket, ObjectShelf};
use loa_ports::audience::Shelf;
use loa_runtime::config::Config;
use tokio::runtime::Handle;

use crate::exit::Failure;

/// Below the data folder, where no other folder is named.
pub const SNAPSHOTS: &str = "snapshots";

/// The folder: of all nodes, or, beside an object store, of this one.
pub fn folder(config: &Config) -> PathBuf {
    config.audience.snapshots.clone().unwrap_or_else(|| config.node.data.join(SNAPSHOTS))
}

/// The artefacts of all nodes, if they stand in an object store.
pub fn shelf(config: &Config) -> Result<Option<Arc<dyn Shelf>>, Failure> {
    let Some(objects) = &config.objects else { return Ok(None) };
    let bucket = Bucket::new(objects).map_err(|error| Failure::of(&error))?;
    Ok(Some(Arc::new(ObjectShelf::new(&bucket, Handle::current()))))
}

/// Whether the object store answers and lets this user look.
pub(super) async fn reach(config: &Config) -> Option<Result<(), Failure>> {
    let objects = config.objects.as_ref()?;
    Some(match Bucket::new(objects) {
        Ok(bucket) => bucket.reach().await.map_err(|error| Failure::of(&error)),
        Err(error) => Err(Failure::of(&error)),
    })
}
