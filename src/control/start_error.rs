//! Why the gateway did not start, in words that say what to do.

use std::fmt;

use super::store::StoreError;
use crate::config::Diagnostic;

/// Why the gateway did not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration is wrong; nothing was bound.
    Config(Vec<Diagnostic>),
    /// An address cannot be listened on.
    Bind(std::net::SocketAddr, std::io::Error),
    /// What outlives the process cannot be read or written.
    Store(StoreError),
    /// Threads, rings or files are not to be had.
    System(String),
}

// === impl StartError ===

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(all) => {
                for diagnostic in all {
                    writeln!(f, "{diagnostic}")?;
                }
                write!(f, "{} error(s)", all.len())
            }
            StartError::Bind(address, error) => match error.kind() {
                std::io::ErrorKind::AddrInUse => write!(
                    f,
                    "{address} is in use by another program; choose another address (`ss -ltnp` \
                     shows who listens)"
                ),
                std::io::ErrorKind::PermissionDenied => write!(
                    f,
                    "{address}: permission denied; ports below 1024 need CAP_NET_BIND_SERVICE"
                ),
                _ => write!(f, "cannot listen on {address}: {error}"),
            },
            StartError::Store(error) => error.fmt(f),
            StartError::System(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {}
