//! (being built)

pub mod proxy_protocol;
pub mod tls;
