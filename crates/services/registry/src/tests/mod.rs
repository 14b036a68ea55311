//! The registry on its SQLite store and the embedded log, in a storm where it matters.

mod audience;
mod background;
mod campaigns;
mod contract;
mod life;
mod notices;
mod storm;
mod templates;
mod units;
mod world;
