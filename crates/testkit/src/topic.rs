//! Reading a topic as it stands.

use loa_contract::topics::Topic;
use loa_ports::log::{Log, Position};
use loa_runtime::record::decode;

/// Every record of a partition up to its end now, in order.
pub async fn records<T: Topic>(log: &dyn Log, partition: u32) -> Vec<T::Event> {
    let end = log.end(T::SPEC, partition).await.expect("the end is told");
    let mut reader = log.reader(T::SPEC, vec![Position { partition, offset: 0 }]).await.expect("it can be read");
    let mut found = Vec::new();
    while reader.position(partition).unwrap_or(0) < end {
        let read = reader.next(100).await.expect("it is read");
        found.extend(read.iter().map(|record| decode::<T::Event>(record).expect("a record of its topic")));
    }
    found
}
