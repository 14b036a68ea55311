//! One page a file: what it asks of the other roles, and the values its template shows.
//!
//! Must stay true: a page whose role is away says so and shows the rest.

pub(crate) mod campaign;
pub(crate) mod campaigns;
pub(crate) mod carriers;
pub(crate) mod inbox;
pub(crate) mod problem;
