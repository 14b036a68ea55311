//! An idle reader rests until it is told.
//!
//! Must stay true: a reader that waits is woken by an append to its topic and by nothing else; polling would show as wakes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loa_ports::log::Position;

use super::{LogUnderTest, SHORT, WIDE, append, reader, record};
use crate::eventually;

/// Appends to another topic while the reader rests.
const OTHERS: u32 = 100;
/// How long the reader must rest at least; longer than any polling worth the name.
const REST: Duration = Duration::from_millis(600);
/// How long without a wake until a reader that has just begun counts as resting.
const SETTLE: Duration = Duration::from_millis(30);

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) async fn a_reader_is_woken_and_does_not_poll(under_test: LogUnderTest) {
    let log = under_test.log.as_ref();
    let mut idle = reader(log, SHORT, vec![Position { partition: 0, offset: 0 }]).await;
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    let woken = || wakes.0.load(Ordering::SeqCst);

    let mut read = pin!(idle.next(10));
    // Beginning to read may take some wakes; at rest is who was polled and then not woken.
    eventually("an idle reader rests", async || {
        let before = woken();
        assert!(read.as_mut().poll(&mut context).is_pending(), "an empty topic has a record");
        tokio::time::sleep(SETTLE).await;
        woken() == before
    })
    .await;
    let at_rest = woken();
    for n in 0..OTHERS {
        append(log, vec![record(WIDE, n % 64, "for somebody else")]).await;
    }
    tokio::time::sleep(REST).await;
    assert_eq!(woken(), at_rest, "an idle reader was woken though nothing came");

    append(log, vec![record(SHORT, 0, "for you")]).await;
    eventually("the append wakes the reader", async || woken() > at_rest).await;
    let mut records = None;
    eventually("the woken reader returns the record", async || match read.as_mut().poll(&mut context) {
        Poll::Ready(read) => {
            records = Some(read.expect("a read succeeds"));
            true
        }
        Poll::Pending => false,
    })
    .await;
    assert_eq!(records.map(|records| records.len()), Some(1));
}
