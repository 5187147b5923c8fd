//! Listeners of the verbs that serve: one set of sockets and one ring for each thread, the chosen
//! ports said on stdout. Owns threads and accept loops; what is done with a connection is the
//! caller's.
//!
//! Invariant: every address is announced once, in the order given, before a connection is taken.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use monoio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use crate::cli::ListenArgs;
use crate::{ring, sys, tls};

/// Connections may come in bursts of thousands; the kernel caps this at its somaxconn.
const BACKLOG: i32 = 4096;

/// What the flags say about TLS.
pub type Tls = Option<Arc<rustls::ServerConfig>>;

/// Runs `serve` on every thread with that thread's listeners, until one of them ends.
pub fn run<S, F>(args: &ListenArgs, serve: S) -> Result<ExitCode, String>
where
    S: Fn(Vec<TcpListener>, Tls) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>>,
{
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
            let (tls, serve, io) = (tls.clone(), serve.clone(), args.io);
            let cpu = (!args.pin.is_empty()).then(|| args.pin[index % args.pin.len()]);
            std::thread::spawn(move || -> io::Result<()> {
                sys::pin(cpu.as_slice())?;
                ring::block_on(io, serve(listeners, tls))?
            })
        })
        .collect();
    for thread in threads {
        match thread.join() {
            Ok(result) => result.map_err(|e| e.to_string())?,
            Err(_) => return Err("a serving thread panicked".into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Accepts on all of a thread's listeners for ever; each connection is a task of its own.
pub async fn accept<C, F>(listeners: Vec<TcpListener>, each: C) -> io::Result<()>
where
    C: Fn(TcpStream, SocketAddr) -> F + Clone + 'static,
    F: Future<Output = ()> + 'static,
{
    let mut loops = Vec::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = monoio::net::TcpListener::from_std(listener)?;
        loops.push(monoio::spawn(accept_from(listener, each.clone())));
    }
    for accepting in loops {
        accepting.await;
    }
    Ok(())
}

/// Accepted descriptors lack CLOEXEC under io_uring; nothing is ever executed from here.
async fn accept_from<C, F>(listener: monoio::net::TcpListener, each: C)
where
    C: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                monoio::spawn(each(stream, peer));
            }
            Err(e) => {
                // Out of descriptors, most likely: wait for some to close.
                eprintln!("ringway-load: accept: {e}");
                monoio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
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
