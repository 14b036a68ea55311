//! Runs the 64 buckets on a few threads.
//!
//! Must stay true: results come in order of the buckets, whoever was first; the first fault stops the rest.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use loa_ports::audience::DatasetError;

use crate::spill::BUCKETS;

/// Calls `work` for every bucket, each once; on `threads` threads.
pub(crate) fn each_bucket<T: Send>(
    threads: usize,
    work: impl Fn(usize) -> Result<T, DatasetError> + Sync,
) -> Result<Vec<T>, DatasetError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<T, DatasetError>)>> = Mutex::new(Vec::with_capacity(BUCKETS));
    let one_thread = || loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= BUCKETS {
            return;
        }
        let result = work(number);
        if result.is_err() {
            next.store(BUCKETS, Ordering::Relaxed);
        }
        done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(one_thread);
        }
        one_thread();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_order_and_a_fault_stops() {
        let all = each_bucket(3, Ok).unwrap();
        assert_eq!(all, (0..BUCKETS).collect::<Vec<_>>());
        let failed = each_bucket(2, |number| if number == 5 { Err(DatasetError::Stopped) } else { Ok(number) });
        assert!(matches!(failed, Err(DatasetError::Stopped)));
    }
}
