//! `ringway` alone: the main job with nothing else on the machine.
//!
//! A gateway with the configuration of config/demo.toml, before an origin in the same process.

mod model;
mod origin;

use std::net::SocketAddr;

use crate::config;
use crate::control::signal::Orders;
use crate::control::{Gateway, StartError};
use crate::snapshot::Sockets;
use origin::Origin;

/// Where the demo listens.
#[derive(clap::Args)]
pub struct Args {
    /// Where to listen for requests.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where to listen for the admin pages.
    #[arg(long, default_value = "127.0.0.1:9901", value_name = "ADDRESS")]
    admin: SocketAddr,
}

// === impl Args ===

impl Default for Args {
    fn default() -> Self {
        Args {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 9901)),
        }
    }
}

/// Runs the demo; the exit code.
pub fn run(args: &Args) -> u8 {
    super::start_log(config::Level::Info);
    let (orders, origin) = match Orders::listen().and_then(|orders| Ok((orders, Origin::start()?)))
    {
        Ok(both) => both,
        Err(error) => {
            eprintln!("ringway: {error}");
            return super::FAILED;
        }
    };
    let mut config = config::demo(origin.address);
    config.admin.address = args.admin;
    for listener in config.listeners.values_mut() {
        listener.addresses.iter_mut().for_each(|listen| listen.address = args.listen);
    }
    match Gateway::start(config, None, Sockets::default()) {
        Ok(gateway) => {
            greet(&gateway);
            super::serve::obey(gateway, &orders)
        }
        Err(error) => {
            let code = super::serve::start_failed(&error);
            if matches!(error, StartError::Bind(..)) {
                eprintln!("{}", other_addresses(args));
            }
            code
        }
    }
}

/// How to listen elsewhere.
fn other_addresses(args: &Args) -> String {
    let next = |address: SocketAddr| {
        SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(1024))
    };
    let arguments = format!("--listen {} --admin {}", next(args.listen), next(args.admin));
    format!(
        "To choose other addresses: ringway demo {arguments}\n\
         (or: cargo run --release -- demo {arguments})"
    )
}

#[expect(clippy::print_stdout, reason = "what somebody who tries it sees first")]
fn greet(gateway: &Gateway) {
    let snapshot = gateway.snapshot();
    let bound = snapshot.listeners.iter().flat_map(|listener| &listener.bound);
    let Some(gateway_at) = bound.map(|bound| bound.address).next() else { return };
    println!(
        "\nRingway {} serves a demo: a gateway before an origin inside this process.\n\n  \
         gateway  http://{gateway_at}",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(admin_at) = gateway.admin() {
        println!("  admin    http://{admin_at}   (metrics, routes, upstreams, config)");
    }
    println!(
        "\nTry:\n  \
         curl -i http://{gateway_at}/hello\n  \
         curl -i http://{gateway_at}/pets/7\n  \
         curl -N http://{gateway_at}/stream\n  \
         curl -i --http2-prior-knowledge http://{gateway_at}/pets/7\n  \
         curl -N http://{gateway_at}/v1/chat/completions -d \
         '{{\"model\":\"demo\",\"stream\":true,\
         \"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n\n\
         Each request appears below as a line of the access log. Ctrl-C ends it.\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proposed_is_what_was_asked_for_one_port_on() {
        let args =
            Args { listen: ([127, 0, 0, 1], 80).into(), admin: ([127, 0, 0, 1], 65535).into() };
        let text = other_addresses(&args);
        assert!(
            text.contains("ringway demo --listen 127.0.0.1:81 --admin 127.0.0.1:1024\n"),
            "{text}"
        );
    }
}
