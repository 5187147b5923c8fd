//! (being built)
pub mod log_sink;
