//! What the origin counted, for `/status`. One set for the process; relaxed atomics, because each
//! number stands alone.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

pub static REQUESTS: AtomicU64 = AtomicU64::new(0);
pub static ACCEPTED: AtomicU64 = AtomicU64::new(0);
pub static OPEN: AtomicI64 = AtomicI64::new(0);
/// Exchanges whose peer went away before it had the whole answer.
pub static ABORTED: AtomicU64 = AtomicU64::new(0);
/// What was not as RFC 9112, 9113 or 6455 wants it.
pub static MALFORMED: AtomicU64 = AtomicU64::new(0);
pub static BODY_BYTES: AtomicU64 = AtomicU64::new(0);
/// SSE events sent.
pub static EVENTS: AtomicU64 = AtomicU64::new(0);
/// WebSocket connections, and messages echoed on them.
pub static WEBSOCKETS: AtomicU64 = AtomicU64::new(0);
pub static MESSAGES: AtomicU64 = AtomicU64::new(0);
pub static HTTP2_CONNECTIONS: AtomicU64 = AtomicU64::new(0);
pub static HANDSHAKES: AtomicU64 = AtomicU64::new(0);
pub static HANDSHAKES_RESUMED: AtomicU64 = AtomicU64::new(0);

pub fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The body of `/status`.
pub fn json() -> String {
    serde_json::json!({
        "requests": REQUESTS.load(Relaxed),
        "connections_accepted": ACCEPTED.load(Relaxed),
        "connections_open": OPEN.load(Relaxed),
        "aborted_by_peer": ABORTED.load(Relaxed),
        "malformed": MALFORMED.load(Relaxed),
        "body_bytes": BODY_BYTES.load(Relaxed),
        "events": EVENTS.load(Relaxed),
        "websockets": WEBSOCKETS.load(Relaxed),
        "messages": MESSAGES.load(Relaxed),
        "http2_connections": HTTP2_CONNECTIONS.load(Relaxed),
        "handshakes": HANDSHAKES.load(Relaxed),
        "handshakes_resumed": HANDSHAKES_RESUMED.load(Relaxed),
    })
    .to_string()
}

/// Counts a connection as open until it is dropped.
pub struct Open;

// === impl Open ===

impl Open {
    pub fn new() -> Open {
        bump(&ACCEPTED);
        OPEN.fetch_add(1, Relaxed);
        Open
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}
