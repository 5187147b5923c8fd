//! A connection on which an answer is being made: sends, and waits that end at once when the peer
//! leaves. Knows neither HTTP nor models.
//!
//! Invariant: while it waits, a plain peer's FIN or RST is noticed within a turn of the event loop.
//! A peer that speaks TLS is noticed at the next send only.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use monoio::net::TcpStream;

use crate::clock::{self, Nanos};
use crate::sys;
use crate::transport::Transport;

/// The peer has left, or cannot be reached.
#[derive(Debug)]
pub struct Gone;

pub enum Line<'a> {
    Plain {
        tcp: &'a TcpStream,
        /// One poll for readability for the whole answer: waiting takes nothing from the socket.
        readable: Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>,
        /// Off after bytes of a further request have come: then only a send tells.
        watches: bool,
    },
    Tls(&'a mut Transport),
}

/// The timer's wheel is finite.
const WAIT_MAX: Duration = Duration::from_secs(60);

// === impl Line ===

impl<'a> Line<'a> {
    pub fn new(transport: &'a mut Transport) -> Line<'a> {
        match transport {
            Transport::Plain(tcp) => {
                let tcp: &'a TcpStream = tcp;
                Line::Plain { tcp, readable: Box::pin(tcp.readable(false)), watches: true }
            }
            tls @ Transport::Tls(_) => Line::Tls(tls),
        }
    }

    pub async fn until(&mut self, due: Nanos) -> Result<(), Gone> {
        loop {
            let left = due.saturating_sub(clock::now());
            if left == 0 {
                return Ok(());
            }
            let pause = Duration::from_nanos(left).min(WAIT_MAX);
            let mut sleep = std::pin::pin!(monoio::time::sleep(pause));
            let Line::Plain { tcp, readable, watches: watches @ true } = self else {
                sleep.await;
                continue;
            };
            let is_readable = poll_fn(|cx| {
                if readable.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                sleep.as_mut().poll(cx).map(|()| false)
            });
            if is_readable.await {
                if sys::has_ended(tcp) {
                    return Err(Gone);
                }
                *watches = false;
            }
        }
    }

    /// Until the peer leaves.
    pub async fn for_ever(&mut self) -> Gone {
        self.until(Nanos::MAX).await.err().unwrap_or(Gone)
    }

    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Gone> {
        match self {
            Line::Plain { tcp, .. } => {
                while !bytes.is_empty() {
                    match sys::send_now(tcp, bytes) {
                        Ok(sent) => bytes = &bytes[sent..],
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                            tcp.writable(false).await.map_err(|_| Gone)?;
                        }
                        Err(_) => return Err(Gone),
                    }
                }
                Ok(())
            }
            Line::Tls(transport) => transport.write_all(bytes.to_vec()).await.0.map_err(|_| Gone),
        }
    }
}
