//! A body as it arrives, from a client or an upstream: buffers of data, framing taken off.
//!
//! Invariants: at most one buffer is held per body, and none while nothing has arrived; data come
//! out in the buffer they were received in; an end that the framing did not announce is never an
//! end.

use super::out::HeadOut;
use crate::http::grpc::web::Decoder;
use crate::http::{BodyReader, Framing, Reject, Step};
use crate::net::buffer::{Buf, Class};
use crate::net::h2::Incoming;
use crate::net::patience::{Ended, Patience};
use crate::net::stream::Stream;

/// A message's body.
pub enum Body<'c> {
    /// There is none.
    Empty,
    /// It comes from an HTTP/1 connection.
    H1(Inbound<'c>),
    /// It comes from a stream of an HTTP/2 connection.
    H2(Box<Incoming>),
    /// It comes in base64 (gRPC-Web's text form).
    Text(Box<Text<'c>>),
}

/// A body in base64.
pub struct Text<'c> {
    body: Body<'c>,
    decoder: Decoder,
}

/// Why a body cannot be read to its end.
#[derive(Debug)]
pub enum Failed {
    /// The sender closed the connection in the middle, or it broke.
    Cut,
    /// The framing is malformed.
    Malformed(Reject),
    /// The wait ended: deadline, or the client it was for has gone.
    Ended(Ended),
}

/// A body on an HTTP/1 connection.
pub struct Inbound<'c> {
    stream: &'c Stream,
    reader: BodyReader,
    /// Received and not yet given out. INVARIANT: not empty, if there.
    ahead: Option<Buf>,
    /// What the next receive asks for: grows while buffers come back full.
    class: Class,
    /// It waits without a buffer: one more operation for each part, and 8 KiB less meanwhile.
    waits_bare: bool,
    /// Bytes of data given out.
    received: u64,
}

// === impl Body ===

impl<'c> Body<'c> {
    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::H1(inbound) => inbound.is_done(),
            Body::H2(incoming) => incoming.is_done(),
            Body::Text(text) => text.is_done(),
        }
    }

    /// Whether nothing is left of it, and no trailers stand behind it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::H1(inbound) => inbound.is_done() && !inbound.reader.has_trailers(),
            Body::H2(incoming) => incoming.is_done() && incoming.trailers().next().is_none(),
            Body::Text(text) => text.is_done(),
        }
    }

    /// The next data; `None` when the body is complete.
    ///
    /// # Errors
    /// When it cannot be read to its end.
    pub async fn next(&mut self, patience: &Patience<'_>) -> Result<Option<Buf>, Failed> {
        match self {
            Body::Empty => Ok(None),
            Body::H1(inbound) => inbound.next(patience).await,
            Body::H2(incoming) => {
                let next = patience.wait(incoming.next()).await;
                next.map_err(Failed::Ended)?.map_err(|_| Failed::Cut)
            }
            Body::Text(text) => Box::pin(text.next(patience)).await,
        }
    }

    /// The same, its bytes in base64.
    #[must_use]
    pub fn in_text(self) -> Body<'c> {
        Body::Text(Box::new(Text { body: self, decoder: Decoder::default() }))
    }

    /// From here on it is received in small buffers, and waited for with none: a stream whose parts
    /// are short and far between, many of which wait at once.
    pub fn expect_small_parts(&mut self) {
        if let Body::H1(inbound) = self {
            inbound.class = Class::Tiny;
            inbound.waits_bare = true;
        }
    }

    /// What was received behind the body's end: the next message's first bytes.
    #[must_use]
    pub fn into_rest(self) -> Option<Buf> {
        match self {
            Body::H1(inbound) => inbound.into_rest(),
            Body::Text(text) => text.body.into_rest(),
            Body::Empty | Body::H2(_) => None,
        }
    }

    /// Data that are here already, if any.
    ///
    /// # Errors
    /// When the framing is malformed.
    pub fn ready(&mut self) -> Result<Option<Buf>, Failed> {
        match self {
            Body::Empty => Ok(None),
            Body::H1(inbound) => inbound.ready(),
            Body::H2(incoming) => incoming.ready().map_err(|_| Failed::Cut),
            Body::Text(text) => text.ready(),
        }
    }

    /// Bytes of data given out so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::H1(inbound) => inbound.received,
            Body::H2(incoming) => incoming.received(),
            Body::Text(text) => text.body.received(),
        }
    }

    /// The trailer fields, once the body is done.
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let h1 = if let Body::H1(inbound) = self { Some(inbound.reader.trailers()) } else { None };
        let h2 = if let Body::H2(incoming) = self { Some(incoming.trailers()) } else { None };
        h1.into_iter().flatten().chain(h2.into_iter().flatten())
    }
}

// === impl Text ===

impl Text<'_> {
    /// Not in the middle of a group: of that, `next` has still to tell.
    fn is_done(&self) -> bool {
        self.body.is_done() && self.decoder.finish().is_ok()
    }

    async fn next(&mut self, patience: &Patience<'_>) -> Result<Option<Buf>, Failed> {
        loop {
            let Some(data) = self.body.next(patience).await? else {
                return self.ended().map(|()| None);
            };
            if let Some(decoded) = self.decoded(&data)? {
                return Ok(Some(decoded));
            }
        }
    }

    fn ready(&mut self) -> Result<Option<Buf>, Failed> {
        match self.body.ready()? {
            Some(data) => self.decoded(&data),
            None => Ok(None),
        }
    }

    /// `None` if the data are less than a group: an empty buffer would pass for the body's end.
    fn decoded(&mut self, data: &Buf) -> Result<Option<Buf>, Failed> {
        // Three bytes for four: never more than there were.
        let mut out = HeadOut::new();
        let decoded = self.decoder.put(data.filled(), &mut out);
        decoded.map_err(|_| Failed::Malformed(Reject::Base64))?;
        if self.body.is_done() {
            self.ended()?;
        }
        let decoded = out.into_buf().ok_or(Failed::Malformed(Reject::Base64))?;
        Ok((!decoded.is_empty()).then_some(decoded))
    }

    fn ended(&self) -> Result<(), Failed> {
        self.decoder.finish().map_err(|_| Failed::Malformed(Reject::Base64))
    }
}

// === impl Inbound ===

impl<'c> Inbound<'c> {
    /// A body that begins with what is in `ahead` and goes on with what `stream` brings.
    #[must_use]
    pub fn new(stream: &'c Stream, framing: Framing, ahead: Option<Buf>) -> Inbound<'c> {
        let class = match framing {
            // A body known to be large gets a large buffer at once.
            Framing::Length(left) => {
                Class::holding(left.saturating_sub(ahead.as_ref().map_or(0, |b| b.len() as u64)))
            }
            _ => Class::Small,
        };
        let ahead = ahead.filter(|buf| !buf.is_empty());
        let reader = BodyReader::new(framing);
        Inbound { stream, reader, ahead, class, waits_bare: false, received: 0 }
    }

    /// Whether the body is complete and nothing of it is left to give out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// What was received behind the body's end: the next message's first bytes.
    #[must_use]
    pub fn into_rest(self) -> Option<Buf> {
        self.ahead
    }

    /// The next data; `None` when the body is complete.
    async fn next(&mut self, patience: &Patience<'_>) -> Result<Option<Buf>, Failed> {
        loop {
            if let Some(data) = self.ready()? {
                return Ok(Some(data));
            }
            if self.reader.is_done() {
                return Ok(None);
            }
            if self.waits_bare {
                patience.readable(self.stream).await.map_err(Failed::Ended)?;
            }
            let buf = Buf::of(self.class);
            let (read, buf) = patience.read(self.stream, buf).await;
            match read {
                Ok(0) => return self.reader.on_eof().map(|()| None).map_err(|_| Failed::Cut),
                Ok(_) if buf.room() == 0 => self.class = self.class.grown(),
                Ok(_) => {}
                Err(Ended::Io(_)) => return Err(Failed::Cut),
                Err(ended) => return Err(Failed::Ended(ended)),
            }
            self.ahead = Some(buf);
        }
    }

    /// Takes the framing off what is here, in place.
    fn ready(&mut self) -> Result<Option<Buf>, Failed> {
        let Some(mut buf) = self.ahead.take() else {
            // A chunked body of length zero may be complete without a byte of data.
            return Ok(None);
        };
        let bytes = buf.filled_mut();
        // Data ranges move down over the framing between them.
        let (mut at, mut kept) = (0, 0);
        loop {
            match self.reader.step(&bytes[at..]).map_err(Failed::Malformed)? {
                Step::Data { skip, len } => {
                    let from = at + skip;
                    if from != kept {
                        bytes.copy_within(from..from + len, kept);
                    }
                    kept += len;
                    at = from + len;
                }
                Step::More => {
                    at = bytes.len();
                    break;
                }
                Step::Done { used } => {
                    at += used;
                    break;
                }
            }
        }
        self.received += kept as u64;
        if at < buf.len() {
            self.ahead = Some(rest_of(&buf, at));
        }
        buf.truncate(kept);
        Ok((kept > 0).then_some(buf))
    }
}

/// A copy of what follows `at`: sent ahead by a pipelining client, so small and rare.
fn rest_of(buf: &Buf, at: usize) -> Buf {
    let rest = &buf.filled()[at..];
    let mut copy = Buf::with_room(rest.len());
    copy.put_some(rest);
    copy
}
