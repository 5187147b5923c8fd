//! A response on its way to the client: a status, fields, then data in buffers, back-pressured.
//!
//! The caller says how long the body is; how that is framed is the client's protocol's business
//! ([`h1`], [`h2`]). Invariant: a body that its source did not complete is never terminated, so the
//! client cannot take it for complete.

mod h1;
mod h2;
mod web;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use smallvec::SmallVec;

use self::h1::H1;
use self::h2::H2;
use self::web::Web;
use crate::clock;
use crate::http::date::DateCache;
use crate::http::write::Out;
use crate::http::{Field, Method, Version};
use crate::net::buffer::{Buf, Class};
use crate::net::h2::Outgoing;
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

/// A response on its way.
pub struct Reply<'c> {
    to: To<'c>,
    /// The client reads gRPC-Web.
    web: Option<Box<Web>>,
}

/// Where a response goes.
enum To<'c> {
    /// To an HTTP/1 client.
    H1(H1<'c>),
    /// To an HTTP/2 client.
    H2(H2),
}

/// Stops reading what the client still sends of its request.
#[derive(Clone)]
pub enum Stop {
    H1(Switch),
    H2(Rc<Outgoing>),
}

// === impl Reply ===

impl<'c> Reply<'c> {
    /// To an HTTP/1 client.
    #[must_use]
    pub fn h1(stream: &'c Stream, version: Version, keep_alive: bool) -> Reply<'c> {
        Reply { to: To::H1(H1::new(stream, version, keep_alive)), web: None }
    }

    /// To an HTTP/2 client.
    #[must_use]
    pub fn h2(outgoing: Rc<Outgoing>) -> Reply<'c> {
        Reply { to: To::H2(H2::new(outgoing)), web: None }
    }

    /// The connection ends with this response if `leaving` is true by the time its head goes out.
    pub fn closes_if(&mut self, leaving: &'c Cell<bool>) {
        if let To::H1(h1) = &mut self.to {
            h1.leaving = Some(leaving);
        }
    }

    /// The client reads gRPC-Web: trailers become the body's last frame; `in_text`: all of it is
    /// base64.
    pub fn speak_web(&mut self, in_text: bool) {
        self.web = Some(Box::new(Web::new(in_text)));
    }

    /// What follows is not gRPC's: it passes as it is.
    pub fn speak_plain(&mut self) {
        self.web = None;
    }

    /// Whether a gRPC client can still be told how its call ended.
    #[must_use]
    pub fn takes_status(&self) -> bool {
        match (&self.to, &self.web) {
            (To::H1(H1 { started: false, .. }) | To::H2(H2 { started: false, .. }), _) => true,
            (To::H1(_), None) => false,
            (To::H2(h2), None) => !h2.ended,
            (_, Some(web)) => web.takes_trailers(),
        }
    }

    /// Begins the head: status line and framing fields.
    pub fn start(&mut self, status: u16, reason: Option<&[u8]>, size: BodySize) {
        let size = match size {
            BodySize::Length(length) if length > 0 && self.web.is_some() => BodySize::Unknown,
            size => size,
        };
        match &mut self.to {
            To::H1(h1) => h1.start(status, reason, size),
            To::H2(h2) => h2.start(status, size),
        }
    }

    /// Adds a field to the head.
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        match &mut self.to {
            To::H1(h1) => h1.field(name, value),
            To::H2(h2) => h2.field(name, value),
        }
    }

    /// Adds a field whose value is written piece by piece.
    pub fn field_of(&mut self, name: &[u8], value: impl Fn(&mut dyn Out)) {
        match &mut self.to {
            To::H1(h1) => h1.field_of(name, value),
            To::H2(h2) => {
                let mut text: SmallVec<[u8; 256]> = SmallVec::new();
                value(&mut text);
                h2.field(name, &text);
            }
        }
    }

    /// The head is a 101's: the connection leaves HTTP for `protocol` (RFC 9110 section 7.8).
    pub fn switches_to(&mut self, protocol: &[u8]) {
        match &mut self.to {
            To::H1(h1) => h1.switches_to(protocol),
            To::H2(h2) => h2.switches(),
        }
    }

    /// Adds the Date of now.
    pub fn date(&mut self) {
        DATES.with(|dates| self.field(b"date", dates.borrow_mut().at(clock::wall_coarse())));
    }

    /// Adds fields of the head that is passed on, each as it was parsed from `block`.
    pub fn fields<'f>(&mut self, fields: impl Iterator<Item = &'f Field>, block: &[u8]) {
        match &mut self.to {
            To::H1(h1) => h1.fields(fields, block),
            To::H2(h2) => fields.for_each(|f| h2.forward(f.name.of(block), f.value.of(block))),
        }
    }

    /// The connection will not carry another response: say so in the head, if it has not gone yet.
    /// Of an HTTP/2 connection other streams have a say in that too.
    pub fn close(&mut self) {
        if let To::H1(h1) = &mut self.to {
            h1.keep_alive = false;
        }
    }

    /// The response will never be complete: the client must be able to tell.
    pub fn cut(&mut self) {
        match &mut self.to {
            To::H1(h1) => h1.cut(),
            To::H2(h2) => h2.cut(),
        }
    }

    /// Whether what was sent would pass for complete if the connection now ended in order: a FIN
    /// (or close_notify) is the end of a body that ends with the connection.
    #[must_use]
    pub fn must_reset(&self) -> bool {
        matches!(&self.to, To::H1(h1) if h1.must_reset())
    }

    /// What ends reading the rest of the request.
    #[must_use]
    pub fn stop(&self) -> Stop {
        match &self.to {
            To::H1(h1) => Stop::H1(h1.switch()),
            To::H2(h2) => Stop::H2(h2.outgoing()),
        }
    }

    /// Whether the connection can carry another exchange after this response.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        match &self.to {
            To::H1(h1) => h1.keep_alive,
            To::H2(_) => true,
        }
    }

    /// Whether the head has been handed over: an error can no longer be told with a status.
    #[must_use]
    pub fn has_started(&self) -> bool {
        match &self.to {
            To::H1(h1) => h1.started,
            To::H2(h2) => h2.started,
        }
    }

    /// Bytes handed over so far, heads included (HTTP/2's before their compression).
    #[must_use]
    pub fn sent(&self) -> u64 {
        match &self.to {
            To::H1(h1) => h1.sent,
            To::H2(h2) => h2.sent,
        }
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
        match &mut self.to {
            To::H1(h1) => h1.interim(patience, status, fields).await,
            To::H2(h2) => h2.interim(status, fields),
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
        match &mut self.web {
            None => self.to.send_head(patience, first, last).await,
            Some(web) => Box::pin(web.send_head(&mut self.to, patience, first, last)).await,
        }
    }

    /// The largest buffer worth filling for this client.
    #[must_use]
    pub fn buffer_max(&self) -> Class {
        match &self.to {
            To::H1(_) => Class::Large,
            To::H2(h2) => h2.outgoing().buffer_max(),
        }
    }

    /// Waits until the client takes data: what it does not take is better left with its source.
    ///
    /// # Errors
    /// How the wait ended.
    pub async fn room(&self, patience: &Patience<'_>) -> Result<(), Ended> {
        match &self.to {
            // The socket's own buffer says so when it is written to.
            To::H1(_) => Ok(()),
            To::H2(h2) => h2.room(patience).await,
        }
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
        match &mut self.web {
            None => self.to.data(patience, data, last).await,
            // Boxed: a stream, which may last for minutes, does not hold what only gRPC-Web needs.
            Some(web) => Box::pin(web.send(&mut self.to, patience, data, last)).await,
        }
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
        match &mut self.web {
            None => self.to.end(patience, trailers).await,
            Some(web) => Box::pin(web.end(&mut self.to, patience, trailers)).await,
        }
    }
}

// === impl To ===

impl To<'_> {
    async fn send_head(
        &mut self,
        patience: &Patience<'_>,
        first: Option<Buf>,
        last: bool,
    ) -> Result<(), Ended> {
        match self {
            To::H1(h1) => h1.send_head(patience, first, last).await,
            To::H2(h2) => h2.send_head(patience, first, last).await,
        }
    }

    async fn data(&mut self, patience: &Patience<'_>, data: Buf, last: bool) -> Result<(), Ended> {
        match self {
            To::H1(h1) => h1.data(patience, data, last).await,
            To::H2(h2) => h2.data(patience, data, last).await,
        }
    }

    async fn end<'f>(
        &mut self,
        patience: &Patience<'_>,
        trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), Ended> {
        match self {
            To::H1(h1) => h1.end(patience, trailers).await,
            To::H2(h2) => h2.end(trailers),
        }
    }
}

// === impl Stop ===

impl Stop {
    /// Whoever waits for more of the request's body is told that there is none.
    pub fn stop_reading(&self) {
        match self {
            Stop::H1(switch) => switch.stop_reading(),
            Stop::H2(outgoing) => outgoing.stop_reading(),
        }
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
