//! Requests out, responses in: endpoints, the pool of idle connections, the one exchange and its
//! retry rule, name resolution and active health checks.
//!
//! A worker has its own [`Pool`]; what is known of an endpoint's health is shared through the
//! snapshot. Invariants: a request is sent again only where that is provably safe ([`retry`]); a
//! connection goes back to the pool only after a complete exchange with nothing left over; whatever
//! ends a lease early closes its connection, so an upstream stops working for a client that has
//! gone.

mod answer;
mod choose;
pub mod dial;
pub mod dns;
pub mod exchange;
pub mod fetch;
pub mod lease;
mod live;
pub mod pool;
pub mod probe;
pub mod resolve;
pub mod retry;
mod shared;

pub use exchange::{Answer, Call, Timings};
pub use lease::Lease;
pub use pool::{Local, Pool};
