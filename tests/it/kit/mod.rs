//! What scenarios are made of: the gateway under test, origins, clients, certificates.
//!
//! Owns no expectation about the product beyond "it starts". Everything listens on 127.0.0.1, port
//! chosen by the kernel, and is gone when dropped. Waiting is polling with a deadline.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[path = "../../../src/http/tests/cases.rs"]
pub mod cases;
pub mod client;
pub mod dns;
pub mod gateway;
pub mod h2client;
pub mod h2origin;
pub mod h2raw;
pub mod hpack;
pub mod message;
pub mod metrics;
pub mod mock;
pub mod origin;
pub mod scripts;
pub mod system;
pub mod tls;
pub mod ws;

pub use client::{Client, End};
pub use gateway::Gateway;
pub use h2client::H2Client;
pub use h2origin::H2Origin;
pub use message::Request;
pub use metrics::Scrape;
pub use mock::Mock;
pub use origin::{Conn, Origin};

/// How long anything that should happen may take. Above what a busy machine may stall for, and
/// below the gateway's own bounds where a scenario sets none (the usual one is 30 s), so that what
/// ends in time was not ended by one of those.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Milliseconds.
pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Asks until the answer is yes; false if it never is.
pub fn eventually(within: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + within;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(ms(5));
    }
}

/// Bytes as a failure message shows them.
pub fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 600;
    let cut = if bytes.len() > SHOWN { " ..." } else { "" };
    format!("\"{}\"{cut} ({} bytes)", bytes[..bytes.len().min(SHOWN)].escape_ascii(), bytes.len())
}

/// Bytes that differ at every place, so that a lost or doubled piece shows.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

/// A port that was free a moment ago, and that nobody is given unasked: it is below those the
/// kernel chooses from, and each is handed out once.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id().wrapping_mul(37);
    let port = || FIRST + own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
    std::iter::repeat_with(|| u16::try_from(port()).expect("a port"))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("there is one")
}
