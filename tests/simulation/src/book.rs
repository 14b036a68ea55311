//! The carrier's own book: what arrived, what was taken, and what was said of it.
//!
//! It is written when a message arrives and knows nothing of Loa's ledger, so the two can be compared.
//!
//! Must stay true: a message is in the book before its answer is given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loa_domain::state::RecipientState;

/// One hand-over of one part.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// When it was pulled for the socket.
    pub(crate) left: Duration,
    /// When it arrived: the way may have taken more than a second.
    pub(crate) at: Duration,
    pub(crate) part: u8,
    /// It was encoded before its process was frozen and left when that was woken.
    pub(crate) was_frozen: bool,
    /// The carrier keeps it.
    pub(crate) taken: bool,
    /// The process has heard that the carrier did not take it.
    pub(crate) told_not_taken: bool,
    /// The process has heard that it is taken, or refused for good.
    pub(crate) told: bool,
}

/// What the carrier knows of one number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) arrivals: Vec<Arrival>,
    /// What its receipts say, once the first was acknowledged.
    pub(crate) receipt: Option<RecipientState>,
    /// Why a hand-over was wrong, at the moment it arrived.
    pub(crate) wrong: Option<String>,
}

impl Page {
    /// Some part was kept.
    pub(crate) fn is_taken(&self) -> bool {
        self.arrivals.iter().any(|arrival| arrival.taken)
    }
}

/// The book.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book(Arc<Mutex<BTreeMap<u64, Page>>>);

impl Book {
    pub(crate) fn pages(&self) -> MutexGuard<'_, BTreeMap<u64, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part arrives; its place on the page.
    pub(crate) fn arrives(&self, number: u64, arrival: Arrival) -> usize {
        let mut pages = self.pages();
        let page = pages.entry(number).or_default();
        let before = page.arrivals.iter().filter(|before| before.part == arrival.part);
        for before in before {
            if !before.told_not_taken {
                let what = if before.taken { "taken" } else { "not known not to be taken" };
                page.wrong = Some(format!(
                    "part {} was handed over at {:?}, and before that at {:?}, which is {what}",
                    arrival.part, arrival.at, before.at
                ));
            }
        }
        page.arrivals.push(arrival);
        page.arrivals.len() - 1
    }

    /// Changes what is known of an arrival.
    pub(crate) fn change(&self, number: u64, place: usize, change: impl FnOnce(&mut Arrival)) {
        if let Some(arrival) = self.pages().get_mut(&number).and_then(|page| page.arrivals.get_mut(place)) {
            change(arrival);
        }
    }
}
