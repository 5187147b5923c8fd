//! What the gateway tells about itself: numbers for Prometheus, one log line a request.
//!
//! A worker writes its own cells and its own ring; the control side reads them at its leisure. The
//! path of a request takes no lock here, allocates nothing, formats with integers and copies only,
//! and reads no clock: durations and the time of day are arguments. Which numbers exist is one
//! table (`metrics`), which log fields exist is another (`access_log::field`); the pages in docs/
//! are generated from them.

pub mod access_log;
pub mod callers;
pub mod cells;
pub mod count;
pub mod docs;
pub mod exposition;
pub mod gen_ai;
pub mod histogram;
pub mod metrics;
pub mod proofs;
pub mod registry;
pub mod ring;
mod status;
pub mod verdicts;
