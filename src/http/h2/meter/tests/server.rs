//! The meter in front of the real `h2` server, in memory: what that answers to each attack is what
//! the meter counts, and one of the two ends every attack within 200 steps.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use ::h2::server::{self, Connection, SendResponse};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// Both directions of a connection, metered as an adapter would.
#[derive(Clone)]
struct Pipe(Arc<Mutex<Ends>>);

struct Ends {
    to_server: Vec<u8>,
    from_server: Vec<u8>,
    meter: Meter,
    abuse: Option<AbuseKind>,
}

/// A served connection and what the gateway would hold of it.
struct Served {
    pipe: Pipe,
    connection: Connection<Pipe, Bytes>,
    /// Requests that wait for an upstream.
    held: Vec<SendResponse<Bytes>>,
    answers: bool,
    over: bool,
}

/// What ended an attack.
#[derive(Debug, PartialEq, Eq)]
enum Ender {
    Meter(AbuseKind),
    /// A GOAWAY of the `h2` crate's.
    Crate(u32),
}

// === impl Pipe ===

impl Pipe {
    fn ends(&self) -> std::sync::MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ends = self.ends();
        if ends.to_server.is_empty() {
            return Poll::Pending;
        }
        let count = buf.remaining().min(ends.to_server.len());
        let bytes: Vec<u8> = ends.to_server.drain(..count).collect();
        if let Err(kind) = ends.meter.received(&bytes, START) {
            ends.abuse.get_or_insert(kind);
        }
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut ends = self.ends();
        if let Err(kind) = ends.meter.sent(bytes) {
            ends.abuse.get_or_insert(kind);
        }
        ends.from_server.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// === impl Served ===

impl Served {
    /// `answers`: each request is answered at once, or waits for ever.
    fn new(answers: bool) -> Served {
        let ends = Ends {
            to_server: [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat(),
            from_server: Vec::new(),
            meter: Meter::new(START),
            abuse: None,
        };
        let pipe = Pipe(Arc::new(Mutex::new(ends)));
        let mut handshake = std::pin::pin!(
            server::Builder::new()
                .max_concurrent_streams(100)
                .max_header_list_size(32 * 1024)
                .handshake::<_, Bytes>(pipe.clone())
        );
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(connection)) = handshake.as_mut().poll(&mut cx) else {
            panic!("the preface is there");
        };
        let mut served = Served { pipe, connection, held: Vec::new(), answers, over: false };
        served.feed(&frame(SETTINGS, ACK, 0, &[]));
        served
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.pipe.ends().to_server.extend_from_slice(bytes);
        let mut cx = Context::from_waker(Waker::noop());
        while !self.over {
            match self.connection.poll_accept(&mut cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok((_, mut respond)))) if self.answers => {
                    let sent = respond.send_response(::http::Response::new(()), false);
                    if let Ok(mut body) = sent {
                        let _ = body.send_data(Bytes::from_static(&[b'x'; 2000]), true);
                    }
                }
                Poll::Ready(Some(Ok((_, respond)))) => self.held.push(respond),
                Poll::Ready(Some(Err(_)) | None) => self.over = true,
            }
        }
    }

    fn ender(&self) -> Option<Ender> {
        let ends = self.pipe.ends();
        let (mut walk, mut bytes) = (Walk::after(0), &ends.from_server[..]);
        let mut code = None;
        while let Some(found) = walk.next(&mut bytes) {
            let head = ends.from_server.len() - bytes.len();
            if found.kind == 7 {
                // The code stands behind the last stream's number.
                code = ends.from_server.get(head..head + 4);
            }
        }
        // The meter sees bytes first.
        if let Some(kind) = ends.abuse {
            return Some(Ender::Meter(kind));
        }
        code.map(|code| Ender::Crate(u32::from_be_bytes(code.try_into().expect("four bytes"))))
    }
}

/// Runs an attack; what ended it, after how many steps.
fn run(answers: bool, step: impl Fn(usize) -> Vec<u8>) -> (Ender, usize) {
    let mut served = Served::new(answers);
    for n in 0..200 {
        served.feed(&step(n));
        if let Some(ender) = served.ender() {
            return (ender, n + 1);
        }
    }
    panic!("it goes on after 200 steps");
}

fn text(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for part in [name, value] {
            out.push(u8::try_from(part.len()).expect("short"));
            out.extend_from_slice(part.as_bytes());
        }
    }
    out
}

fn request(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    text(&[&pseudo, more].concat())
}

fn get(n: usize) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, opens(n), &request("GET", &[]))
}

fn post(n: usize) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, opens(n), &request("POST", &[]))
}

#[test]
fn streams_that_come_and_go_are_ended() {
    for answers in [false, true] {
        let (ender, steps) =
            run(answers, |n| [get(n), frame(RST_STREAM, 0, opens(n), &[0, 0, 0, 8])].concat());
        assert!(matches!(ender, Ender::Meter(AbuseKind::RapidReset)), "{ender:?} {steps}");
    }
    let (ender, steps) = run(false, post);
    assert_eq!(ender, Ender::Meter(AbuseKind::HalfOpen), "{steps}");
}

/// The ways of MadeYouReset.
#[test]
fn resets_the_crate_is_made_to_send_are_counted() {
    let self_dependent = |n: usize| {
        let on = opens(n).to_be_bytes();
        frame(PRIORITY, 0, opens(n), &[on[0], on[1], on[2], on[3], 16])
    };
    let overflow = |n| frame(WINDOW_UPDATE, 0, opens(n), &[0x7f, 0xff, 0xff, 0xff]);
    type Step<'a> = Box<dyn Fn(usize) -> Vec<u8> + 'a>;
    let by_meter: Vec<(&str, Step<'_>)> = vec![
        ("overflow", Box::new(|n| [post(n), overflow(n)].concat())),
        ("PRIORITY on itself", Box::new(|n| [post(n), self_dependent(n)].concat())),
        (
            "content-length without DATA",
            Box::new(|n| {
                let block = request("POST", &[("content-length", "5")]);
                frame(HEADERS, END_HEADERS | END_STREAM, opens(n), &block)
            }),
        ),
        (
            "content-length and other DATA",
            Box::new(|n| {
                let block = request("POST", &[("content-length", "5")]);
                let head = frame(HEADERS, END_HEADERS, opens(n), &block);
                [head, frame(DATA, END_STREAM, opens(n), b"x")].concat()
            }),
        ),
        (
            "a field of a connection",
            Box::new(|n| {
                let block = request("GET", &[("connection", "close")]);
                frame(HEADERS, END_HEADERS | END_STREAM, opens(n), &block)
            }),
        ),
    ];
    for (name, step) in by_meter {
        let (ender, steps) = run(false, step);
        assert_eq!((ender, steps), (Ender::Meter(AbuseKind::MadeReset), 65), "{name}");
    }
    let zero = |n| [post(n), frame(WINDOW_UPDATE, 0, opens(n), &[0; 4])].concat();
    // The crate ends the connection itself here, with PROTOCOL_ERROR at once.
    assert_eq!(run(false, zero), (Ender::Crate(1), 1));
    assert_eq!(run(false, |n| [get(n), get(n)].concat()), (Ender::Crate(1), 1));
    let late = |n| [get(n), frame(DATA, 0, opens(n), b"x")].concat();
    assert_eq!(run(false, late), (Ender::Crate(1), 1));
}

#[test]
fn what_the_crate_answers_or_ignores_for_ever_is_ended() {
    let after_post = |n, next: Vec<u8>| if n == 0 { post(0) } else { next };
    type Step<'a> = Box<dyn Fn(usize) -> Vec<u8> + 'a>;
    let floods: Vec<(AbuseKind, Step<'_>)> = vec![
        (AbuseKind::Ping, Box::new(|_| frame(PING, 0, 0, &[0; 8]))),
        (AbuseKind::Settings, Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
        (AbuseKind::Priority, Box::new(|n| frame(PRIORITY, 0, opens(n), &[0; 5]))),
        (AbuseKind::Unknown, Box::new(|_| frame(0x42, 0, 0, &[0; 8]))),
        (AbuseKind::WindowUpdate, Box::new(|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        (AbuseKind::EmptyData, Box::new(move |n| after_post(n, frame(DATA, 0, 1, &[])))),
    ];
    for (kind, step) in floods {
        let (ender, steps) = run(false, step);
        assert_eq!(ender, Ender::Meter(kind), "{steps}");
    }
    // Here the crate's own limit is the lower one: 5 frames.
    let (ender, steps) = run(false, |n| match n {
        0 => frame(HEADERS, END_STREAM, 1, &request("GET", &[])),
        _ => frame(CONTINUATION, 0, 1, &text(&[("x", "y")])),
    });
    assert!(ender == Ender::Crate(11) && steps <= 8, "{ender:?} {steps}");
}

#[test]
fn thousands_of_plain_requests_are_served() {
    let mut served = Served::new(true);
    for n in 0..3000 {
        served.feed(&get(n));
        let window = |stream: u32| frame(WINDOW_UPDATE, 0, stream, &2000u32.to_be_bytes());
        served.feed(&[window(0), window(opens(n))].concat());
        served.pipe.ends().from_server.clear();
        assert!(!served.over && served.pipe.ends().abuse.is_none(), "request {n}");
    }
}
