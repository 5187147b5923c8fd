//! HTTP/2 over this worker's streams: the only place that names the `h2` crate.
//!
//! [`Wire`] gives the crate a stream to read and write; [`Server`] accepts requests from it, each
//! an [`Incoming`] body and an [`Outgoing`] answer; [`Client`] carries requests to an endpoint,
//! each an [`Outgoing`] body and an [`Incoming`] answer. Above this room a body is buffers and an
//! answer is a head, data and trailers, as with HTTP/1. Knows nothing of routes. Invariants: data
//! are acknowledged to the peer only when they have been taken, so a slow upstream slows its
//! client; data are handed to the crate only within the peer's window, so a slow client slows its
//! upstream.

mod client;
mod incoming;
mod outgoing;
mod pings;
mod server;
mod tunnel;
mod wire;

pub use client::{Answered, Asked, Client, Heard, Lost, Requests};
pub use incoming::{Cut, Incoming};
pub use outgoing::Outgoing;
pub use pings::Pings;
pub use server::{Accepted, Server};
pub use tunnel::StreamSide;
pub use wire::{Guard, Wire};
