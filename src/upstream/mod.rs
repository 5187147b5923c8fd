//! (being built)

pub mod dns;
pub mod resolve;
