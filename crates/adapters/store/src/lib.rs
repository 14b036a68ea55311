//! The stores of every role on SQL.
//!
//! One SQLite file or one PostgreSQL database per role; statements and migrations are written in the subset that both take.
//! What all roles need stands in the modules below: the store itself ([`Db`]), statements ([`sql`]), leases, the fence,
//! offsets, the outbox. A role's own tables are a module and a directory of `migrations/` each; nobody reads another role's
//! tables.
//!
//! Must stay true: a call that changes something is one transaction, begun as a writer, fenced first where it is done in
//! the name of a lease; a COMMIT that fails is [`StoreError::Uncertain`](loa_ports::store::StoreError::Uncertain), whatever
//! fails before it changed nothing.

mod audience;
mod backup;
mod claims;
mod clock;
mod db;
mod dispatch;
mod error;
mod faults;
mod fence;
mod lease;
mod migrations;
mod offsets;
mod outbox;
mod postgres;
mod query;
mod registry;
mod report;
mod sqlite;

pub use audience::SqlAudience;
pub use backup::{Still, all_offsets, forget_offsets, is_empty, skip_positions, unsettled_releases};
pub use claims::SqlClaims;
pub use db::{Db, Session, Snapshot, Tx};
pub use dispatch::SqlDispatch;
pub use error::{damaged, store_error};
pub use faults::Faults;
pub use fence::check_fence;
pub use lease::SqlLeases;
pub use offsets::{offsets, put_offsets};
pub use outbox::{SqlOutbox, put_outbox};
pub use query::{Columns, On, Query, Row, Value, sql};
pub use registry::SqlRegistry;
pub use report::SqlReport;
