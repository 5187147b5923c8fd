//! The only room that names the runtime (monoio) and the TLS library (rustls): ring set-up,
//! listening, streams, buffers, deadlines. Above it nobody knows whether bytes come through
//! io_uring or epoll, in clear or encrypted.
//!
//! Invariants: a read is never dropped while the kernel may still fill it (a deadline shuts the
//! socket down and then awaits the read); every accepted or dialled descriptor is CLOEXEC; an idle
//! connection holds no buffer; a panic in a task ends that task only.

pub mod buffer;
pub mod deadline;
pub mod dial;
pub mod h2;
pub mod listen;
pub mod patience;
pub mod proxy_protocol;
pub mod ring;
pub mod stream;
pub mod task;
pub mod tls;
pub mod tunnel;
pub mod wake;

pub use buffer::Buf;
pub use deadline::Timer;
pub use stream::Stream;
