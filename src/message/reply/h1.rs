//! A response to an HTTP/1 client: framed by RFC 9112 section 6, the head and the first data in one
//! send.

use std::cell::Cell;

use super::BodySize;
use crate::http::write::{self, Out};
use crate::http::{Field, Version};
use crate::message::out::HeadOut;
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};
use crate::net::stream::{Stream, Switch};

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
    pub(super) keep_alive: bool,
    /// Becomes true when connections are to end with the answer they are at.
    pub(super) leaving: Option<&'c Cell<bool>>,
    head: HeadOut,
    framing: Framing,
    pub(super) started: bool,
    /// The response will never be complete.
    cut: bool,
    /// What follows the head is not HTTP.
    switches: bool,
    pub(super) sent: u64,
}

// === impl H1 ===

impl<'c> H1<'c> {
    pub(super) fn new(stream: &'c Stream, version: Version, keep_alive: bool) -> H1<'c> {
        H1 {
            stream,
            version,
            keep_alive,
            leaving: None,
            head: HeadOut::none(),
            framing: Framing::Bare,
            started: false,
            cut: false,
            switches: false,
            sent: 0,
        }
    }

    pub(super) fn switch(&self) -> Switch {
        self.stream.switch()
    }

    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        write::field(&mut self.head, name, value);
    }

    pub(super) fn field_of(&mut self, name: &[u8], value: impl Fn(&mut dyn Out)) {
        self.head.put(name);
        self.head.put(b": ");
        value(&mut self.head);
        self.head.put(b"\r\n");
    }

    pub(super) fn switches_to(&mut self, protocol: &[u8]) {
        self.switches = true;
        self.field(b"connection", b"upgrade");
        self.field(b"upgrade", protocol);
    }

    pub(super) fn fields<'f>(&mut self, fields: impl Iterator<Item = &'f Field>, block: &[u8]) {
        let mut lines = write::Lines::default();
        fields.for_each(|field| lines.add(&mut self.head, field, block));
        lines.flush(&mut self.head, block);
    }

    pub(super) fn cut(&mut self) {
        self.keep_alive = false;
        self.cut = true;
        if self.must_reset() {
            self.stream.reset_on_close();
        }
    }

    pub(super) fn must_reset(&self) -> bool {
        self.cut && self.started && self.framing == Framing::UntilClose
    }

    pub(super) async fn interim<'f>(
        &mut self,
        patience: &Patience<'_>,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), Ended> {
        if self.version == Version::Http10 {
            return Ok(());
        }
        let mut head = HeadOut::new();
        write::status_line(&mut head, status);
        for (name, value) in fields {
            write::field(&mut head, name, value);
        }
        head.put(b"\r\n");
        match head.into_buf() {
            Some(buf) => self.write(patience, buf).await,
            None => Ok(()),
        }
    }

    /// No async fn, nor is `write`: each of those holds another copy of the buffer while it waits.
    pub(super) fn data(
        &mut self,
        patience: &Patience<'_>,
        data: Buf,
        last: bool,
    ) -> impl Future<Output = Result<(), Ended>> {
        let framed = self.framed(data, last);
        self.write(patience, framed)
    }

    pub(super) async fn end<'f>(
        &mut self,
        patience: &Patience<'_>,
        trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), Ended> {
        if self.framing != Framing::Chunked {
            return Ok(());
        }
        let mut tail = HeadOut::new();
        write::last_chunk_with(&mut tail, trailers);
        match tail.into_buf() {
            Some(buf) => self.write(patience, buf).await,
            None => Ok(()),
        }
    }

    pub(super) fn start(&mut self, status: u16, reason: Option<&[u8]>, size: BodySize) {
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
            BodySize::Unknown if self.version != Version::Http10 => {
                write::field(&mut self.head, b"transfer-encoding", b"chunked");
                Framing::Chunked
            }
            BodySize::Unknown => {
                self.keep_alive = false;
                Framing::UntilClose
            }
        };
    }

    pub(super) async fn send_head(
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
        let head = std::mem::replace(&mut self.head, HeadOut::none());
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

    fn write(
        &mut self,
        patience: &Patience<'_>,
        buf: Buf,
    ) -> impl Future<Output = Result<(), Ended>> {
        self.sent += buf.len() as u64;
        patience.write(self.stream, buf)
    }
}
