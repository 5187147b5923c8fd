//! What stays on this hop: the Connection field's options, and which fields are not forwarded.
//!
//! Owns the hop-by-hop set and the rule for nominated names. Knows nothing of what a relay adds
//! (Via, X-Forwarded-*): it writes those after this filter, so no client can nominate them away.
//!
//! A request may nominate its own unknown fields and the hop-by-hop ones. One that nominates a
//! field with end-to-end meaning (Host, Authorization, Cookie, X-Forwarded-For ...) asks us to
//! strip what the next server decides by: it is refused, since obeying is an attack and ignoring
//! breaks a MUST (RFC 9110 7.6.1). A response may nominate what it likes: its own fields are its
//! own business.

use smallvec::SmallVec;

use crate::bounds;

use super::field::{Field, Name, NameSet};
use super::grammar;
use super::reject::Reject;
use super::span::Span;

/// RFC 9110 7.6.1 and 11.7, with HTTP2-Settings (RFC 7540 3.2.1): a client must not reach an
/// upstream's h2c upgrade through us. Trailer is end-to-end: the relay forwards trailers.
pub const HOP_BY_HOP: NameSet = NameSet::of(&[
    Name::Connection,
    Name::KeepAlive,
    Name::ProxyConnection,
    Name::ProxyAuthenticate,
    Name::ProxyAuthorization,
    Name::ProxyAuthenticationInfo,
    Name::Te,
    Name::TransferEncoding,
    Name::Upgrade,
    Name::Http2Settings,
]);

/// Written anew from what was parsed, never echoed: Host from `authority`, Content-Length from
/// `framing`; and aliases of known names, which pass for the real ones behind us.
const REMADE: NameSet = NameSet::of(&[Name::Host, Name::ContentLength, Name::Alias]);

/// What never goes on as it came.
const STAYS: NameSet = HOP_BY_HOP.or(REMADE);

/// What the Connection fields of one head said.
#[derive(Debug, Default)]
pub struct Connection {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    named: NameSet,
    /// Nominated names that are not in the table.
    others: SmallVec<[Span; 4]>,
    options: usize,
}

/// Whose head it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

// === impl Connection ===

impl Connection {
    /// As new, but the allocation stays.
    pub fn clear(&mut self) {
        let mut others = std::mem::take(&mut self.others);
        others.clear();
        *self = Connection { others, ..Connection::default() };
    }

    /// Takes in one Connection field's value.
    pub(super) fn add(&mut self, value: &[u8], buf: &[u8], side: Side) -> Result<(), Reject> {
        for option in grammar::list(value) {
            self.options += 1;
            if self.options > bounds::CONNECTION_OPTIONS_MAX || !grammar::is_token(option) {
                return Err(Reject::ConnectionOption);
            }
            match Name::of(option) {
                Name::KeepAlive => self.keep_alive = true,
                Name::Upgrade => self.upgrade = true,
                Name::Other if option.eq_ignore_ascii_case(b"close") => self.close = true,
                Name::Other => self.others.push(Span::within(buf, option)),
                id if HOP_BY_HOP.has(id) || id == Name::Alias => {}
                _ if side == Side::Request => return Err(Reject::ConnectionProtected),
                id => self.named.add(id),
            }
        }
        Ok(())
    }

    /// Whether a field goes on to the next hop as it came. Host and Content-Length do not: whoever
    /// writes the head makes them anew. `buf` is the buffer the head was parsed from.
    #[must_use]
    #[inline]
    pub fn forwards(&self, field: &Field, buf: &[u8]) -> bool {
        if STAYS.has(field.id) || self.named.has(field.id) {
            return false;
        }
        field.id != Name::Other
            || self.others.is_empty()
            || !self.nominates(field.name.of(buf), buf)
    }

    /// Whether a name that is not in the table was nominated. A trailer of that name does not go on
    /// either (RFC 9110 7.6.1); trailers of known names never do.
    #[must_use]
    #[inline]
    pub fn nominates(&self, name: &[u8], buf: &[u8]) -> bool {
        self.others.iter().any(|other| other.of(buf).eq_ignore_ascii_case(name))
    }
}
