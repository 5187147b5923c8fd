//! What gRPC-Web makes of an answer: the same frames, perhaps in base64, and the trailers as one
//! more, for a browser shows no trailers to its scripts.

use std::io;

use super::To;
use crate::http::grpc::web::{Encoder, put_trailers};
use crate::http::write::Out;
use crate::message::out::HeadOut;
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};

/// Of so many bytes the base64 fits the largest buffer.
const PART_BYTES_MAX: usize = 128 * 1024;

/// An answer in gRPC-Web.
pub struct Web {
    /// In base64.
    encoder: Option<Encoder>,
    messages: Messages,
    /// Nothing may follow.
    ended: bool,
}

/// Where in a message the body is: inside one, a frame of trailers would pass for its bytes.
#[derive(Default)]
struct Messages {
    /// A frame's flag and length, as far as they have come.
    head: [u8; 5],
    have: usize,
    /// Bytes of the message to come.
    left: usize,
}

// === impl Web ===

impl Web {
    pub(super) fn new(in_text: bool) -> Web {
        let encoder = in_text.then(Encoder::default);
        Web { encoder, messages: Messages::default(), ended: false }
    }

    /// Whether a frame of trailers can follow.
    pub(super) fn takes_trailers(&self) -> bool {
        !self.ended && self.messages.is_between()
    }

    /// Sends the head, and data behind it.
    pub(super) async fn send_head(
        &mut self,
        to: &mut To<'_>,
        patience: &Patience<'_>,
        first: Option<Buf>,
        last: bool,
    ) -> Result<(), Ended> {
        // An answer without a body has its status in the head, where it stays.
        let is_bare = last && first.is_none();
        self.ended |= is_bare;
        to.send_head(patience, None, is_bare).await?;
        match first {
            Some(first) => self.send(to, patience, first, last).await,
            None => Ok(()),
        }
    }

    /// Sends data.
    pub(super) async fn send(
        &mut self,
        to: &mut To<'_>,
        patience: &Patience<'_>,
        mut data: Buf,
        last: bool,
    ) -> Result<(), Ended> {
        // What follows the data is for `end` to say.
        while !data.is_empty() {
            let part = self.take(&mut data)?;
            to.data(patience, part, false).await?;
        }
        if last { self.end(to, patience, std::iter::empty()).await } else { Ok(()) }
    }

    /// Ends the body with its trailers.
    pub(super) async fn end<'f>(
        &mut self,
        to: &mut To<'_>,
        patience: &Patience<'_>,
        trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), Ended> {
        let frame = self.trailers(trailers)?;
        to.data(patience, frame, false).await?;
        to.end(patience, std::iter::empty()).await
    }

    /// The front of `data` as it goes out: all of it, or as much as fits a buffer in base64.
    fn take(&mut self, data: &mut Buf) -> Result<Buf, Ended> {
        let Some(encoder) = &mut self.encoder else {
            self.messages.pass(data.filled());
            return Ok(std::mem::replace(data, Buf::none()));
        };
        let part = data.len().min(PART_BYTES_MAX);
        self.messages.pass(&data.filled()[..part]);
        let text = in_base64(encoder, &data.filled()[..part])?;
        data.consume(part);
        Ok(text)
    }

    /// The frame that stands for the trailers.
    fn trailers<'f>(
        &mut self,
        trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<Buf, Ended> {
        self.ended = true;
        let trailers: Vec<_> = trailers.collect();
        let mut frame = Vec::with_capacity(128);
        put_trailers(trailers.into_iter(), &mut frame);
        match &mut self.encoder {
            Some(encoder) => in_base64(encoder, &frame),
            None => {
                let mut out = HeadOut::new();
                out.put(&frame);
                fits(out)
            }
        }
    }
}

// === impl Messages ===

impl Messages {
    fn pass(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.head[self.have] = *first;
            self.have += 1;
            bytes = rest;
            if let (5, [_, len @ ..]) = (self.have, self.head) {
                self.have = 0;
                self.left = u32::from_be_bytes(len) as usize;
            }
        }
    }

    fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

fn in_base64(encoder: &mut Encoder, bytes: &[u8]) -> Result<Buf, Ended> {
    let mut text = HeadOut::new();
    encoder.put(bytes, &mut text);
    // Padded: the client can read each part as soon as it is there.
    encoder.flush(&mut text);
    fits(text)
}

fn fits(out: HeadOut) -> Result<Buf, Ended> {
    out.into_buf().ok_or_else(|| Ended::Io(io::ErrorKind::OutOfMemory.into()))
}
