//! Freezes, one after the other, oldest first.
//!
//! Must stay true: the inputs are stored under a new id before anything is read, the manifest is stored last; a freeze that
//! was interrupted is thrown away with its id.

use std::sync::Arc;

use loa_contract::convert;
use loa_contract::pb::audience::v1::{FreezeRequest, Manifest};
use loa_domain::hash::AddressHash;
use loa_domain::ids::{FreezeId, Shard};
use loa_domain::policy::Scope;
use loa_ports::audience::{DatasetError, Datasets, Fault, FreezeInputs, Suppressions, Watch};
use loa_ports::lease::{Fence, Held};
use loa_ports::store::StoreError;
use loa_ports::store::audience::{AudienceStore, FreezeBegun, FreezeEnd, FreezeKey, FreezeRow};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{FREEZE, Work, job, look};
use crate::core::rule;
use crate::error::mishap;

/// Tries at reading the suppressed of one shard.
const READ_TRIES: u32 = 5;

pub(super) async fn run(work: &Work) {
    let mut bell = work.core.bell();
    while look(work, &mut bell).await {
        let Some(held) = work.held(FREEZE) else { continue };
        match waiting(work, &held).await {
            Ok(()) => {}
            Err(StoreError::Fenced { .. }) => work.lost(&held),
            Err(error) => tracing::warn!(%error, "could not look for freezes"),
        }
    }
}

/// Does every freeze that waits.
async fn waiting(work: &Work, held: &Held) -> Result<(), StoreError> {
    while work.holds(held) {
        let Some(row) = work.core.store.next_freeze().await? else { break };
        if !freeze(work, held, row).await? {
            break;
        }
    }
    Ok(())
}

/// Whether the freeze has ended.
async fn freeze(work: &Work, held: &Held, row: FreezeRow) -> Result<bool, StoreError> {
    let (store, fence) = (&work.core.store, Fence::of(held.clone()));
    let (key, id) = (row.key, FreezeId(Uuid::now_v7()));
    let end = match store.begin_freeze(&fence, key, id, &work.core.router.describe()).await? {
        None => failed(&[Fault::new("dataset", "it does not exist; import it and submit again")]),
        Some(begun) => {
            throw_away(work, begun.thrown_away).await;
            match inputs(work, key, &row.request, &begun) {
                Err(fault) => failed(&[fault]),
                Ok(inputs) => match cut(work, held, key, inputs).await {
                    Ok(manifest) => frozen(manifest),
                    Err(DatasetError::Stopped) => return Ok(false),
                    Err(DatasetError::Refused { faults }) => failed(&faults),
                    Err(error) => failed(&[mishap(&error)]),
                },
            }
        }
    };
    count(work, &end);
    Ok(job::end(work, held, &job::End::Freeze(key, end)).await)
}

async fn cut(work: &Work, held: &Held, key: FreezeKey, inputs: FreezeInputs) -> Result<Manifest, DatasetError> {
    let core = &work.core;
    let suppressions = StoredSuppressions {
        store: Arc::clone(&core.store),
        scopes: Scope::covering(core.hash_key(), &inputs.unit_code, inputs.class, &inputs.topic),
        position: inputs.suppression_position,
        runtime: Handle::current(),
    };
    let freeze = move |datasets: &dyn Datasets, watch: &dyn Watch| datasets.freeze(&inputs, &suppressions, watch);
    job::run(work, held, job::Row::Freeze(key), freeze).await
}

async fn throw_away(work: &Work, interrupted: Option<FreezeId>) {
    let Some(freeze) = interrupted else { return };
    tracing::info!(%freeze, "a freeze was interrupted; it is thrown away and begun again");
    if let Err(error) = work.core.heavy(move |datasets| datasets.discard_freeze(freeze)).await {
        tracing::warn!(%error, "could not remove what an interrupted freeze left; it is swept later");
    }
}

/// The request was checked when it was stored; what it cannot be read as is told all the same.
fn inputs(work: &Work, key: FreezeKey, request: &FreezeRequest, begun: &FreezeBegun) -> Result<FreezeInputs, Fault> {
    let rule = rule(&request.segment).map_err(|error| Fault::new("segment", error.to_string()))?;
    let class = convert::class(request.class).map_err(|error| Fault::new("class", error.to_string()))?;
    Ok(FreezeInputs {
        freeze: begun.freeze,
        campaign: key.campaign,
        campaign_version: key.campaign_version,
        dataset: begun.version.dataset.clone(),
        dataset_version: begun.version.version,
        import_id: begun.version.import_id,
        rule,
        class,
        unit_code: request.unit_code.clone(),
        topic: request.topic.clone(),
        variants: request.variants.clone(),
        suppression_position: begun.suppression_position,
        router: work.core.router.clone(),
        respect_dnc_for_public: work.core.respect_dnc_for_public,
    })
}

fn frozen(manifest: Manifest) -> FreezeEnd {
    let frozen: Vec<u64> = manifest.variants.iter().map(|variant| variant.frozen).collect();
    tracing::info!(campaign = manifest.campaign_id, selected = manifest.selected, ?frozen, "frozen");
    FreezeEnd::Done { manifest }
}

fn failed(faults: &[Fault]) -> FreezeEnd {
    let words: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.problem)).collect();
    FreezeEnd::Failed { error: words.join("; ") }
}

fn count(work: &Work, end: &FreezeEnd) {
    let name = match end {
        FreezeEnd::Done { .. } => "done",
        FreezeEnd::Failed { .. } => "failed",
    };
    let metrics = work.ctx.metrics();
    metrics.counter_vec("loa_freezes_total", "freezes by how they ended", &["end"]).with_label_values(&[name]).inc();
}

/// The entries of the store as the engine's threads ask for them, shard by shard.
struct StoredSuppressions {
    store: Arc<dyn AudienceStore>,
    scopes: Vec<Scope>,
    position: u64,
    runtime: Handle,
}

impl Suppressions for StoredSuppressions {
    fn of_shard(&self, shard: Shard) -> Result<Vec<AddressHash>, StoreError> {
        let mut tries = 1;
        loop {
            match self.runtime.block_on(self.store.suppressed(shard, &self.scopes, self.position)) {
                Err(error) if error.is_away() && tries < READ_TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }
}
