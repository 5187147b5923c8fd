//! A response on its way to the client: a status, fields, then data in buffers, back-pressured.
//!
//! The caller says how long the body is; how that is framed is decided here (RFC 9112 section 6).
//! The head leaves together with the first data in one send. Invariant: a body that its source did
//! not complete is never terminated, so the client cannot take it for complete.

use std::cell::{Cell, RefCell};

use super::out::HeadOut;
use crate::clock;
use crate::http::date::DateCache;
use crate::http::write::{self, Out};
use crate::http::{Field, Method, Version};
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};
use crate::net::stream::{Stream, Switch};

/// How much body follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodySize {
    /// None is allowed (1xx, 204, 304, HEAD); a length may be declared all the same.
    None(Option<u64>),
    /// Exactly so many bytes.
    Length(u64),
    /// Nobody knows yet.
    Unknown,
}

thread_local! {
    static DATES: RefCell<DateCache> = RefCell::default();
}

/// Where a response goes.
pub enum Reply<'c> {
    /// To an HTTP/1 client.
    H1(H1<'c>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Bare,
    Counted,
    Chunked,
    /// HTTP/1.0 client, length unknown: the close is the end.
    UntilClose,
}

/// A response to an HTTP/1 client.
pub struct H1<'c> {
    stream: &'c Stream,
    version: Version,
    /// Whether the connection goes on after this response.
    keep_alive: bool,
    /// Becomes true when connections are to end with the answer they are at.
    leaving: Option<&'c Cell<bool>>,
    head: HeadOut,
    framing: Framing,
    started: bool,
    /// The response will never be complete.
    cut: bool,
    /// What follows the head is not HTTP.
    switches: bool,
    sent: u64,
}

// === impl Reply ===

impl<'c> Reply<'c> {
    /// To an HTTP/1 client.
    #[must_use]
    pub fn h1(stream: &'c Stream, version: Version, keep_alive: bool) -> Reply<'c> {
        Reply::H1(H1 {
            stream,
            version,
            keep_alive,
            leaving: None,
            head: HeadOut::new(),
            framing: Framing::Bare,
            started: false,
            cut: false,
            switches: false,
            sent: 0,
        })
    }

    /// The connection ends with this response if `leaving` is true by the time its head goes out.
    pub fn closes_if(&mut self, leaving: &'c Cell<bool>) {
        let Reply::H1(h1) = self;
        h1.leaving = Some(leaving);
    }

    /// Begins the head: status line and framing fields.
    pub fn start(&mut self, status: u16, reason: Option<&[u8]>, size: BodySize) {
        let Reply::H1(h1) = self;
        h1.start(status, reason, size);
    }

    /// Adds a field to the head.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        let Reply::H1(h1) = self;
        write::field(&mut h1.head, name, value);
    }

    /// The head is a 101's: the connection leaves HTTP for `protocol` (RFC 9110 section 7.8).
    pub fn switches_to(&mut self, protocol: &[u8]) {
        let Reply::H1(h1) = self;
        h1.switches = true;
        write::field(&mut h1.head, b"connection", b"upgrade");
        write::field(&mut h1.head, b"upgrade", protocol);
    }

    /// Adds the Date of now.
    pub fn date(&mut self) {
        DATES.with(|dates| self.field(b"date", dates.borrow_mut().at(clock::wall())));
    }

    /// Adds fields of the head that is passed on, each as it was parsed from `block`.
    pub fn fields<'f>(&mut self, fields: impl Iterator<Item = &'f Field>, block: &[u8]) {
        let Reply::H1(h1) = self;
        let mut lines = write::Lines::default();
        fields.for_each(|field| lines.add(&mut h1.head, field, block));
        lines.flush(&mut h1.head, block);
    }

    /// The connection will not carry another response: say so in the head, if it has not gone yet.
    pub fn close(&mut self) {
        let Reply::H1(h1) = self;
        h1.keep_alive = false;
    }

    /// The response will never be complete: the client must be able to tell.
    pub fn cut(&mut self) {
        let Reply::H1(h1) = self;
        h1.keep_alive = false;
        h1.cut = true;
        if self.must_reset() {
            self.stream().reset_on_close();
        }
    }

    /// Whether what was sent would pass for complete if the connection now ended in order: a FIN
    /// (or close_notify) is the end of a body that ends with the connection.
    #[must_use]
    pub fn must_reset(&self) -> bool {
        let Reply::H1(h1) = self;
        h1.cut && h1.started && h1.framing == Framing::UntilClose
    }

    fn stream(&self) -> &Stream {
        let Reply::H1(h1) = self;
        h1.stream
    }

    /// What ends the client's pending operations.
    #[must_use]
    pub fn switch(&self) -> Switch {
        self.stream().switch()
    }

    /// Whether the connection can carry another exchange after this response.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        let Reply::H1(h1) = self;
        h1.keep_alive
    }

    /// Whether the head has been handed to the socket: an error can no longer be told with a
    /// status.
    #[must_use]
    pub fn has_started(&self) -> bool {
        let Reply::H1(h1) = self;
        h1.started
    }

    /// Bytes handed to the socket so far, heads included.
    #[must_use]
    pub fn sent(&self) -> u64 {
        let Reply::H1(h1) = self;
        h1.sent
    }

    /// Sends an interim response (1xx) as a whole; nothing to clients of HTTP/1.0.
    ///
    /// # Errors
    /// How the write ended.
    pub async fn interim<'f>(
        &mut self,
        patience: &Patience<'_>,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), Ended> {
        let Reply::H1(h1) = self;
        if h1.version == Version::Http10 {
            return Ok(());
        }
        let mut head = HeadOut::new();
        write::status_line(&mut head, status);
        for (name, value) in fields {
            write::field(&mut head, name, value);
        }
        head.put(b"\r\n");
        match head.into_buf() {
            Some(buf) => h1.write(patience, buf).await,
            None => Ok(()),
        }
    }

    /// Ends the head and sends it, with `first` data in the same send. `last`: the body is
    /// complete.
    ///
    /// # Errors
    /// How the write ended.
    pub async fn send_head(
        &mut self,
        patience: &Patience<'_>,
        first: Option<Buf>,
        last: bool,
    ) -> Result<(), Ended> {
        let Reply::H1(h1) = self;
        h1.send_head(patience, first, last).await
    }

    /// Sends data.
    ///
    /// # Errors
    /// How the write ended.
    pub async fn data(
        &mut self,
        patience: &Patience<'_>,
        data: Buf,
        last: bool,
    ) -> Result<(), Ended> {
        let Reply::H1(h1) = self;
        let framed = h1.framed(data, last);
        h1.write(patience, framed).await
    }

    /// Ends a body whose length nobody knew, with its trailers.
    ///
    /// # Errors
    /// How the write ended.
    pub async fn end<'f>(
        &mut self,
        patience: &Patience<'_>,
        trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), Ended> {
        let Reply::H1(h1) = self;
        if h1.framing != Framing::Chunked {
            return Ok(());
        }
        let mut tail = HeadOut::new();
        write::last_chunk_with(&mut tail, trailers);
        match tail.into_buf() {
            Some(buf) => h1.write(patience, buf).await,
            None => Ok(()),
        }
    }
}

// === impl H1 ===

impl H1<'_> {
    fn start(&mut self, status: u16, reason: Option<&[u8]>, size: BodySize) {
        self.head = HeadOut::new();
        match reason {
            Some(reason) => write::status_line_with(&mut self.head, status, reason),
            None => write::status_line(&mut self.head, status),
        }
        self.framing = match size {
            BodySize::None(declared) => {
                if let Some(length) = declared {
                    write::field_decimal(&mut self.head, b"content-length", length);
                }
                Framing::Bare
            }
            BodySize::Length(length) => {
                write::field_decimal(&mut self.head, b"content-length", length);
                Framing::Counted
            }
            BodySize::Unknown if self.version == Version::Http11 => {
                write::field(&mut self.head, b"transfer-encoding", b"chunked");
                Framing::Chunked
            }
            BodySize::Unknown => {
                self.keep_alive = false;
                Framing::UntilClose
            }
        };
    }

    async fn send_head(
        &mut self,
        patience: &Patience<'_>,
        first: Option<Buf>,
        last: bool,
    ) -> Result<(), Ended> {
        self.keep_alive &= !self.leaving.is_some_and(Cell::get);
        // RFC 9112 section 9.6: say that the connection closes.
        if !self.keep_alive && !self.switches {
            write::field(&mut self.head, b"connection", b"close");
        }
        self.head.put(b"\r\n");
        let head = std::mem::take(&mut self.head);
        let Some(mut head) = head.into_buf() else {
            let error = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
            return Err(Ended::Io(error));
        };
        self.started = true;
        let Some(data) = first else {
            if last && self.framing == Framing::Chunked {
                head.append_tail(b"0\r\n\r\n");
            }
            return self.write(patience, head).await;
        };
        let mut data = self.framed(data, last);
        // One copy is cheaper than a second send: the shorter of the two moves to the other.
        if data.len() <= head.len() && data.len() <= head.room() {
            head.put_some(data.filled());
            return self.write(patience, head).await;
        }
        if head.len() <= data.headroom() {
            data.prepend(head.filled());
            drop(head);
            return self.write(patience, data).await;
        }
        let copied = head.put_some(data.filled());
        data.consume(copied);
        self.write(patience, head).await?;
        if data.is_empty() { Ok(()) } else { self.write(patience, data).await }
    }

    /// Puts a chunk's framing around data, in place.
    fn framed(&self, mut data: Buf, last: bool) -> Buf {
        if self.framing == Framing::Chunked {
            data.frame_chunk(last);
        }
        data
    }

    async fn write(&mut self, patience: &Patience<'_>, buf: Buf) -> Result<(), Ended> {
        self.sent += buf.len() as u64;
        patience.write(self.stream, buf).await
    }
}

/// What a status and a method allow as a body, given what the source declared.
#[must_use]
pub fn size_for(method: Method, status: u16, declared: BodySize) -> BodySize {
    let none = method == Method::Head || status == 204 || status == 304 || status < 200;
    match declared {
        BodySize::Length(length) | BodySize::None(Some(length)) if none => {
            // RFC 9110 section 8.6: never with a 1xx or 204.
            BodySize::None((status >= 200 && status != 204).then_some(length))
        }
        _ if none => BodySize::None(None),
        size => size,
    }
}
