//! A response to an HTTP/2 client: RFC 9113 section 8.1.

use std::rc::Rc;

use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::BodySize;
use crate::http::Name;
use crate::http::hop::HOP_BY_HOP;
use crate::net::buffer::Buf;
use crate::net::h2::Outgoing;
use crate::net::patience::{Ended, Patience};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A response on a stream.
pub struct H2 {
    outgoing: Rc<Outgoing>,
    head: Response<()>,
    pub(super) started: bool,
    /// The stream's last frame has been handed over.
    pub(super) ended: bool,
    pub(super) sent: u64,
}

// === impl H2 ===

impl H2 {
    pub(super) fn new(outgoing: Rc<Outgoing>) -> H2 {
        H2 { outgoing, head: Response::default(), started: false, ended: false, sent: 0 }
    }

    pub(super) fn outgoing(&self) -> Rc<Outgoing> {
        self.outgoing.clone()
    }

    pub(super) fn start(&mut self, status: u16, size: BodySize) {
        let mut head = Response::new(());
        // Statuses from 600 on pass (RFC 9110 section 15); three digits are all there are.
        *head.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        if let BodySize::Length(length) | BodySize::None(Some(length)) = size {
            head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.head = head;
    }

    /// RFC 9113 section 8.2.2: fields that are for one HTTP/1 connection have no place here.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if !HOP_BY_HOP.has(Name::of(name)) {
            put(self.head.headers_mut(), name, value);
        }
    }

    /// RFC 8441 section 5: to an extended CONNECT, 200 is the answer that opens the tunnel, and no
    /// accept key proves anything.
    pub(super) fn switches(&mut self) {
        *self.head.status_mut() = StatusCode::OK;
        self.head.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
    }

    /// A field that was parsed, and for this hop kept.
    pub(super) fn forward(&mut self, name: &[u8], value: &[u8]) {
        put(self.head.headers_mut(), name, value);
    }

    pub(super) fn interim<'f>(
        &mut self,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), Ended> {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::CONTINUE);
        fields.for_each(|(name, value)| put(head.headers_mut(), name, value));
        self.outgoing.interim(head).map_err(Ended::Io)
    }

    pub(super) async fn send_head(
        &mut self,
        patience: &Patience<'_>,
        first: Option<Buf>,
        last: bool,
    ) -> Result<(), Ended> {
        let first = first.filter(|buf| !buf.is_empty());
        let head = std::mem::take(&mut self.head);
        let fields = head.headers().iter();
        self.sent +=
            fields.map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum::<u64>();
        self.started = true;
        self.ended = last && first.is_none();
        self.outgoing.head(head, self.ended).map_err(Ended::Io)?;
        match first {
            Some(data) => self.data(patience, data, last).await,
            None => Ok(()),
        }
    }

    pub(super) async fn room(&self, patience: &Patience<'_>) -> Result<(), Ended> {
        patience.wait(self.outgoing.room()).await?.map_err(Ended::Io)
    }

    pub(super) async fn data(
        &mut self,
        patience: &Patience<'_>,
        data: Buf,
        last: bool,
    ) -> Result<(), Ended> {
        self.sent += data.len() as u64;
        patience.wait(self.outgoing.data(data, last)).await?.map_err(Ended::Io)?;
        self.ended |= last;
        Ok(())
    }

    pub(super) fn end<'f>(
        &mut self,
        trailers: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<(), Ended> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let mut map = HeaderMap::new();
        trailers.for_each(|(name, value)| put(&mut map, name, value));
        self.outgoing.end((!map.is_empty()).then_some(map)).map_err(Ended::Io)
    }

    /// RFC 9113 section 8.1.1: the client must not take what it got for complete.
    pub(super) fn cut(&mut self) {
        if !self.ended {
            self.outgoing.reset();
        }
    }
}

/// The bytes were parsed by us, strictly, or are our own: what the types refuse, no client sees.
fn put(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    let name = HeaderName::from_bytes(name);
    if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_bytes(value)) {
        // It is never said again: in the compression's table it would only displace others.
        value.set_sensitive(name == X_REQUEST_ID);
        map.append(name, value);
    }
}
