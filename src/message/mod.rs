//! What a request and a response are to all rooms above, whichever protocol brought them.
//!
//! A request is its parsed head over one block of bytes ([`Request`]) and a [`Body`] that gives
//! buffers of data as they arrive; a response is written through a [`Reply`]. HTTP/1 costs nothing
//! extra: the block is the read buffer, the spans point into it, and a body is relayed in the
//! buffers it arrived in. HTTP/2 is a second variant of each enum: routing, limits and
//! integrations do not notice.

mod body;
mod out;
mod reply;
mod spare;

pub use body::{Body, Failed, Inbound};
pub use out::HeadOut;
pub use reply::{BodySize, Reply, Stop, size_for};
pub use spare::Spare;

use crate::http::{Name, RequestHead, Span};

/// A request as it was parsed.
#[derive(Clone, Copy)]
pub struct Request<'c> {
    /// The parsed head: spans into `block`.
    pub head: &'c RequestHead,
    /// The bytes the spans point into.
    pub block: &'c [u8],
}

// === impl Request ===

impl<'c> Request<'c> {
    /// The bytes of a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &'c [u8] {
        span.of(self.block)
    }

    /// The path as it came.
    #[must_use]
    pub fn path(&self) -> &'c [u8] {
        self.head.path(self.block)
    }

    /// The query without its question mark; empty if there is none.
    #[must_use]
    pub fn query(&self) -> &'c [u8] {
        self.head.query.map_or(&[], |query| query.of(self.block))
    }

    /// Host and port the request is for.
    #[must_use]
    pub fn authority(&self) -> &'c [u8] {
        self.head.authority.of(self.block)
    }

    /// The host without the port.
    #[must_use]
    pub fn host(&self) -> &'c [u8] {
        self.head.host.of(self.block)
    }

    /// The method's name.
    #[must_use]
    pub fn method(&self) -> &'c [u8] {
        self.head.method.token(self.block)
    }

    /// The value of the first field of a name.
    #[must_use]
    pub fn value(&self, name: Name) -> Option<&'c [u8]> {
        self.head.value(name, self.block)
    }
}
