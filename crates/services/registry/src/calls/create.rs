//! What create-calls have in common: the same call twice makes one object.
//!
//! Must stay true: a key is the caller's own; the same key with the same body gives the same object, with another body
//! ABORTED; after 72 h a key is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use loa_domain::limits::IDEMPOTENCY_HOURS;
use loa_ports::store::StoreError;
use loa_ports::store::registry::{CreateKey, Created};
use loa_runtime::rpc::{Caller, Violations, aborted, idempotency_key, store_status};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::change::TRIES;
use crate::core::Core;
use crate::rules::campaign::Facts;

/// How long a key is remembered, in microseconds.
const REMEMBERED_US: i64 = IDEMPOTENCY_HOURS * 3_600 * 1_000_000;
/// Units and templates looked up for one check; more are faulty anyway.
const LOOKED_UP_MAX: usize = 42;

/// What a create-call made.
pub(super) enum Made {
    /// The object under the id that was drawn; numbers of its outbox records.
    New(Vec<i64>),
    /// The object of an earlier call.
    Before(String),
}

impl Core {
    /// The key of a call with a body; `call` keeps the same key apart in different calls.
    pub(super) fn key(&self, caller: &Caller, key: &str, call: &str, body: &impl Message) -> CreateKey {
        let mut hash = Sha256::new();
        hash.update(call.as_bytes());
        hash.update([0]);
        hash.update(body.encode_to_vec());
        CreateKey {
            caller: caller.user.clone(),
            key: key.to_owned(),
            body_hash: hash.finalize().into(),
            forget_before_us: self.now_us() - REMEMBERED_US,
        }
    }

    /// The id of the object that the same call has made before. Asked before the body is checked: what was right then may
    /// be faulty by now, and is there all the same.
    pub(super) async fn created_before(&self, key: &CreateKey) -> Result<Option<String>, Status> {
        let mut faults = Violations::new();
        idempotency_key(&key.key, &mut faults);
        if !faults.is_empty() {
            return Ok(None); // reported with all other faults
        }
        match self.store.created(key).await.map_err(|error| store_status(&error))? {
            Some(Created::Before(id)) => Ok(Some(id)),
            Some(Created::OtherBody) => Err(other_body()),
            Some(Created::New(_)) | None => Ok(None),
        }
    }

    /// Tries until the store has said what became of it.
    pub(super) async fn create<F>(&self, id: &str, store: impl Fn() -> F) -> Result<Made, Status>
    where
        F: Future<Output = Result<Created, StoreError>>,
    {
        let mut tries = 1;
        loop {
            match store().await {
                Ok(Created::New(numbers)) => return Ok(Made::New(numbers)),
                Ok(Created::Before(before)) if before == id => return Ok(Made::New(Vec::new())),
                Ok(Created::Before(before)) => return Ok(Made::Before(before)),
                Ok(Created::OtherBody) => return Err(other_body()),
                Err(StoreError::Uncertain { .. } | StoreError::Conflict { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(store_status(&error)),
            }
        }
    }

    /// What a check must know of other objects.
    pub(super) async fn facts<'a>(
        &self,
        units: impl Iterator<Item = &'a String>,
        templates: impl Iterator<Item = (&'a String, u32)>,
    ) -> Result<Facts, Status> {
        let now_us = self.now_us();
        let units: BTreeSet<&String> = units.take(LOOKED_UP_MAX).collect();
        let mut facts = Facts { now_us, units: BTreeSet::new(), templates: BTreeMap::new() };
        for code in units {
            if self.store.unit(code, now_us).await.map_err(|error| store_status(&error))?.is_some() {
                facts.units.insert(code.clone());
            }
        }
        for (name, version) in templates.take(LOOKED_UP_MAX) {
            let found = self.store.template(name, version).await.map_err(|error| store_status(&error))?;
            if let Some(template) = found {
                facts.templates.insert((name.clone(), version), template);
            }
        }
        Ok(facts)
    }
}

fn other_body() -> Status {
    aborted("idempotency_key was used for another body; draw a new one for a new object")
}
