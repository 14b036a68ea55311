//! One behaviour a file; all in one program, so that it is linked once.
//!
//! Must stay true: a behaviour that is promised in every weather is tested on the binary and in a storm.

mod backup;
mod bad_input;
mod call;
mod campaign_runs;
mod cancel;
mod cluster;
mod contract;
mod dashboards;
mod faults;
mod find_export;
mod four_eyes;
mod idle;
mod kill_nine;
mod opt_out;
mod otlp;
mod pause_resume;
mod privacy;
mod quiet_hours;
mod raw;
mod restart_while_paused;
mod single_sends;
mod stopped;
mod storm;
mod tls;
mod tour;
mod witness;
