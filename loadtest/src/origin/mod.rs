//! `ringway-load origin`: a fast origin whose answers, delays and faults are chosen by
//! the request's query. Owns listeners and threads; what to answer is decided in `recipe`, how a
//! connection runs in `conn`.
//!
//! Invariant: the default answer costs one receive and one send.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::cli::OriginArgs;
use crate::{ring, sys, tls};

mod conn;
mod counters;
mod echo;
mod recipe;
mod reply;
mod request;
mod streams;

#[cfg(test)]
pub use recipe::BAD_KINDS;

/// Connections may come in bursts of thousands; the kernel caps this at its somaxconn.
const BACKLOG: i32 = 4096;

pub fn main(args: OriginArgs) -> Result<ExitCode, String> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(tls::server(cert, key)?),
        _ => None,
    };
    let mut sockets: Vec<Vec<TcpListener>> = (0..args.threads).map(|_| Vec::new()).collect();
    for &address in &args.listen {
        let first = bind(address).map_err(|e| format!("cannot listen on {address}: {e}"))?;
        let chosen = first.local_addr().map_err(|e| e.to_string())?;
        announce(chosen);
        for of_thread in &mut sockets[1..] {
            let next = bind(chosen).map_err(|e| format!("cannot listen on {chosen}: {e}"))?;
            of_thread.push(next);
        }
        sockets[0].push(first);
    }
    let threads: Vec<_> = sockets
        .into_iter()
        .enumerate()
        .map(|(index, listeners)| {
            let tls = tls.clone();
            let cpu = (!args.pin.is_empty()).then(|| args.pin[index % args.pin.len()]);
            let io = args.io;
            std::thread::spawn(move || -> io::Result<()> {
                sys::pin(cpu.as_slice())?;
                ring::block_on(io, serve(listeners, tls))?
            })
        })
        .collect();
    for thread in threads {
        match thread.join() {
            Ok(result) => result.map_err(|e| e.to_string())?,
            Err(_) => return Err("an origin thread panicked".into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The contract with scripts: the first lines on stdout say where we listen.
#[expect(clippy::print_stdout, reason = "scripts read the chosen port from stdout")]
fn announce(address: SocketAddr) {
    println!("listening on {address}");
}

/// One listener per thread on the same port; the kernel spreads connections over them.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Runs one thread's listeners for ever.
async fn serve(
    listeners: Vec<TcpListener>,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> io::Result<()> {
    let shared = Rc::new(conn::Shared::new(tls));
    let mut loops = Vec::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = monoio::net::TcpListener::from_std(listener)?;
        loops.push(monoio::spawn(accept(listener, Rc::clone(&shared))));
    }
    for accepting in loops {
        accepting.await;
    }
    Ok(())
}

/// Accepted descriptors lack CLOEXEC under io_uring; nothing is ever executed from here.
async fn accept(listener: monoio::net::TcpListener, shared: Rc<conn::Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                monoio::spawn(conn::run(stream, peer, Rc::clone(&shared)));
            }
            Err(e) => {
                // Out of descriptors, most likely: wait for some to close.
                eprintln!("ringway-load origin: accept: {e}");
                monoio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
