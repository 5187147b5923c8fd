//! Ringway: an edge gateway for Linux hosts, thread-per-core on io_uring.
//!
//! The modules stand in layer order; an arrow points down only (`tests/it/tidy.rs` reads the
//! imports and enforces it). Pure rooms (`http` to `observe`) take bytes and a [`clock::Tick`] and
//! give a verdict: no socket, no clock, no runtime. `net` is the only room that names the runtime
//! and the TLS library. A request's way through is one screen: [`proxy::serve`].

pub mod allocator;
pub mod bounds;
pub mod clock;
pub mod failure;

pub mod auth;
pub mod balance;
pub mod http;
pub mod limit;
pub mod llm;
pub mod observe;
pub mod route;

pub mod net;

pub mod message;

pub mod config;
pub mod snapshot;

pub mod upstream;

pub mod integration;

pub mod proxy;

pub mod worker;

pub mod control;

pub mod cli;
