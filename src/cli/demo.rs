//! `ringway` alone: the main job with nothing else on the machine.

use std::net::SocketAddr;

use crate::config;
use crate::control::Gateway;
use crate::control::signal::Orders;
use crate::snapshot::Sockets;

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
    let origin = SocketAddr::from(([127, 0, 0, 1], 9000));
    let mut config = config::demo(origin);
    config.admin.address = args.admin;
    for listener in config.listeners.values_mut() {
        listener.addresses.iter_mut().for_each(|listen| listen.address = args.listen);
    }
    let Ok(orders) = Orders::listen() else { return super::FAILED };
    match Gateway::start(config, None, Sockets::default()) {
        Ok(gateway) => super::serve::obey(gateway, &orders),
        Err(error) => {
            let code = super::serve::start_failed(&error);
            eprintln!(
                "To choose other addresses: ringway demo --listen 127.0.0.1:8081 --admin 127.0.0.1:9902"
            );
            code
        }
    }
}
