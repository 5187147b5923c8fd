//! `ringway-load origin`: a fast origin whose answers, delays and faults are chosen by
//! the request's query. What to answer is decided in `recipe`, how a connection runs in `conn`.
//!
//! Invariant: the default answer costs one receive and one send.

use std::process::ExitCode;
use std::rc::Rc;

use crate::cli::OriginArgs;
use crate::listen;

mod conn;
mod counters;
mod echo;
mod recipe;
mod reply;
pub mod request;
mod streams;

#[cfg(test)]
pub use recipe::BAD_KINDS;

pub fn main(args: &OriginArgs) -> Result<ExitCode, String> {
    listen::run(&args.listen, |listeners, tls| async move {
        let shared = Rc::new(conn::Shared::new(tls));
        let each = move |stream, peer| conn::run(stream, peer, Rc::clone(&shared));
        listen::accept(listeners, each).await
    })
}
