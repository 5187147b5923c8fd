//! What a route may end in, request in, response out: an upstream ([`http`]), a redirect or a fixed
//! answer ([`fixed`]).
//!
//! Owns [`Exchange`], one request on its way: what the request path has found out about it so far,
//! which templates, forwarded fields and the access log are made from. Knows nothing of
//! connections' lives.

mod duplex;
pub mod exchange;
pub mod fixed;
pub mod forward;
pub mod grpc;
pub mod http;
pub mod lifecycle;
pub mod llm;
pub mod metered;
pub mod own;
mod pump;
pub mod template;
pub mod tunnel;

pub use exchange::{Exchange, Ids, Party};
pub use tunnel::Opened;
