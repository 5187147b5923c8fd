//! Wire-level scenarios: exact bytes and counters through real sockets.
//!
//! Each file is a list of sentences about the gateway, each sentence a test. `kit` starts the real
//! binary, scripted origins and raw clients; it shares no parser with the product, so that a bug of
//! the codec cannot hide itself.
#![allow(clippy::disallowed_methods, reason = "scenarios run against the real clock")]

mod kit;

mod access_log;
mod activation;
mod admin_api;
mod authorizers;
mod aws;
mod browser;
mod budgets;
mod bug_classes;
mod cors;
mod counters;
mod drivers;
mod edge;
mod errors;
mod forwarding;
mod framing;
mod grpc;
mod h2;
mod h2_abuse;
mod h2_clients;
mod h2_malformed;
mod h2_streams;
mod h2_upstream;
mod h2_websocket;
mod keys;
mod ledger;
mod lifecycle;
mod limits;
mod llm;
mod llm_clients;
mod llm_dialect;
mod llm_ends;
mod llm_turns;
mod message;
mod names;
mod orders;
mod overload;
mod probes;
mod proxy_protocol;
mod relay;
mod reload;
mod retry;
mod routing;
mod soak;
mod stages;
mod store;
mod tidy;
mod tls;
mod upstreams;
mod usage;
mod versions;
mod websocket;
