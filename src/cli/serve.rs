//! `ringway serve --config FILE`.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::config;
use crate::control::signal::{Order, Orders};
use crate::control::{Gateway, StartError, notify};
use crate::snapshot::Sockets;

/// Serves until told to end; the exit code.
pub fn run(file: &Path) -> u8 {
    let loaded = match config::load(file) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return super::complain(&diagnostics),
    };
    super::start_log(loaded.config.log.level);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let orders = match Orders::listen() {
        Ok(orders) => orders,
        Err(error) => return failed(&error),
    };
    let sockets = match inherited() {
        Ok(sockets) => sockets,
        Err(error) => return failed(&error),
    };
    match Gateway::start(loaded.config, Some(file.to_owned()), sockets) {
        Ok(gateway) => {
            say_what_serves(&gateway);
            obey(gateway, &orders)
        }
        Err(error) => start_failed(&error),
    }
}

/// Serves, reloads and ends as the signals say.
pub fn obey(mut gateway: Gateway, orders: &Orders) -> u8 {
    notify::ready();
    loop {
        match orders.next_or(gateway.asks()) {
            Ok(Order::Reload) => {
                notify::reloading();
                gateway.reload();
                notify::ready();
            }
            Ok(Order::ReopenLogs) => gateway.reopen_logs(),
            Ok(Order::Drain | Order::Interrupt) => break,
            Err(ask) => gateway.answer(ask),
        }
    }
    notify::stopping();
    gateway.drain(|time| orders.interrupted_within(time));
    super::DONE
}

/// Says why the gateway did not start.
pub fn start_failed(error: &StartError) -> u8 {
    eprintln!("ringway: {error}");
    match error {
        StartError::Config(_) => super::WRONG_CONFIG,
        _ => super::FAILED,
    }
}

fn failed(error: &std::io::Error) -> u8 {
    eprintln!("ringway: {error}");
    super::FAILED
}

/// Sockets that systemd bound for us (LISTEN_FDS).
fn inherited() -> std::io::Result<Sockets> {
    let mut fds = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..fds.len() {
        let passed = fds.take_tcp_listener(at).map_err(|error| {
            let text = format!("socket {at} of those passed in LISTEN_FDS: {error}");
            std::io::Error::new(error.kind(), text)
        });
        if let Some(listener) = passed? {
            listener.set_nonblocking(true)?;
            sockets.push(OwnedFd::from(listener));
        }
    }
    Sockets::inherited(sockets)
}

fn say_what_serves(gateway: &Gateway) {
    let snapshot = gateway.snapshot();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        workers = gateway.workers(),
        io = %gateway.driver,
        "ringway serves"
    );
    for listener in &snapshot.listeners {
        for bound in &listener.bound {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            tracing::info!(listener = &*listener.name, "{scheme}://{}", bound.address);
        }
    }
    if let Some(address) = gateway.admin() {
        tracing::info!("admin http://{address}");
    }
}
