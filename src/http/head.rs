//! What a parsed head is: spans into the read buffer and the facts derived from them.
//!
//! Owns the two head types and how fields are looked up. Knows nothing of how they are parsed. The
//! invariant: every span belongs to the buffer given to the parser and is valid for as long as
//! those bytes have not moved; `clear` keeps the allocations, so a head used again allocates
//! nothing.

use crate::bounds;

use super::field::{Field, Name, NameSet};
use super::framing::Framing;
use super::hop::Connection;
use super::method::Method;
use super::span::Span;
use super::target::TargetForm;

/// The protocol version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    /// Set by who translated the head: in HTTP/2 itself no version is written.
    Http2,
}

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub head_bytes_max: usize,
    pub target_bytes_max: usize,
    pub fields_max: usize,
}

/// Whether the head's last byte has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    Complete,
    Partial,
}

/// A request's head.
#[derive(Debug, Default)]
pub struct RequestHead {
    pub method: Method,
    pub version: Version,
    pub form: TargetForm,
    /// The whole request target as it came.
    pub target: Span,
    /// The path; empty where the target has none (`http://a`, CONNECT): see [`RequestHead::path`].
    pub path: Span,
    /// What follows the first `?`, without it.
    pub query: Option<Span>,
    /// Host and port the request is for: from an absolute or authority target, else from Host.
    /// Empty if the client sent an empty Host, or none in HTTP/1.0.
    pub authority: Span,
    /// `authority` without the port; an IPv6 address keeps its brackets.
    pub host: Span,
    pub port: Option<u16>,
    pub fields: Vec<Field>,
    /// The names its fields have.
    pub(super) names: NameSet,
    pub framing: Framing,
    /// Whether the connection may carry another request. Never after HTTP/1.0.
    pub keep_alive: bool,
    /// The client waits for `100 Continue`, and there is a body to wait for.
    pub expect_continue: bool,
    /// `Connection: upgrade` and an Upgrade field, in HTTP/1.1.
    pub upgrade: bool,
    /// The client takes trailers (`TE: trailers`).
    pub te_trailers: bool,
    /// What Connection said; asks which fields go on.
    pub connection: Connection,
    /// Bytes of the whole head, skipped empty lines before it and the empty line after it included.
    pub len: usize,
}

/// A response's head.
#[derive(Debug, Default)]
pub struct ResponseHead {
    pub version: Version,
    /// 100 to 999; those from 600 are not valid but pass unchanged (RFC 9110 section 15).
    pub status: u16,
    pub reason: Span,
    pub fields: Vec<Field>,
    /// The names its fields have.
    pub(super) names: NameSet,
    pub framing: Framing,
    /// What Content-Length said, also where no body follows (HEAD, 304).
    pub content_length: Option<u64>,
    /// Whether the connection may carry another exchange once the body is read.
    pub keep_alive: bool,
    /// What follows is not HTTP: 101, or 2xx to CONNECT.
    pub tunnel: bool,
    /// What Connection said; asks which fields go on.
    pub connection: Connection,
    /// Bytes of the whole head.
    pub len: usize,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes_max: bounds::HEAD_BYTES_MAX,
            target_bytes_max: bounds::TARGET_BYTES_MAX,
            fields_max: bounds::FIELDS_MAX,
        }
    }
}

impl Limits {
    /// The longest request line: method, target, version, two spaces, CRLF.
    pub(super) fn request_line_bytes_max(&self) -> usize {
        bounds::METHOD_BYTES_MAX + self.target_bytes_max + "  HTTP/1.1\r\n".len()
    }

    pub(super) fn head_bytes(&self) -> usize {
        self.head_bytes_max.min(bounds::HEAD_BYTES_CEILING)
    }

    pub(super) fn fields(&self) -> usize {
        self.fields_max.min(bounds::FIELDS_CEILING)
    }
}

// === impl RequestHead ===

impl RequestHead {
    /// As new, but the allocations stay.
    pub fn clear(&mut self) {
        if self.len == 0 && self.fields.is_empty() {
            return; // nothing has been read into it
        }
        let mut fields = std::mem::take(&mut self.fields);
        let mut connection = std::mem::take(&mut self.connection);
        fields.clear();
        connection.clear();
        *self = RequestHead { fields, connection, ..RequestHead::default() };
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn value<'a>(&self, id: Name, buf: &'a [u8]) -> Option<&'a [u8]> {
        if self.names.has(id) { value(&self.fields, id, buf) } else { None }
    }

    /// The values of all fields of that name, in order.
    pub fn values<'a>(&'a self, id: Name, buf: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        values(if self.names.has(id) { &self.fields } else { &[] }, id, buf)
    }

    /// All values of a name that may not be in the table: letter case aside.
    pub fn values_named<'a>(
        &'a self,
        name: &'a [u8],
        buf: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> {
        values_named(&self.fields, name, buf)
    }

    /// The fields that go on to the next hop: see [`Connection::forwards`].
    pub fn forwarded<'a>(&'a self, buf: &'a [u8]) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(|field| self.connection.forwards(field, buf))
    }

    /// The path to route and to send. An absolute target without one means `/`, or `*` when it asks
    /// for OPTIONS (RFC 9112 3.2.4); CONNECT has none.
    #[must_use]
    pub fn path<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        match self.form {
            TargetForm::Absolute(_) if self.path.is_empty() => {
                if self.method == Method::Options && self.query.is_none() { b"*" } else { b"/" }
            }
            _ => self.path.of(buf),
        }
    }
}

// === impl ResponseHead ===

impl ResponseHead {
    /// As new, but the allocations stay.
    pub fn clear(&mut self) {
        if self.len == 0 && self.fields.is_empty() {
            return; // nothing has been read into it
        }
        let mut fields = std::mem::take(&mut self.fields);
        let mut connection = std::mem::take(&mut self.connection);
        fields.clear();
        connection.clear();
        *self = ResponseHead { fields, connection, ..ResponseHead::default() };
    }

    /// Whether this is 1xx but 101: another head follows for the same request.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn value<'a>(&self, id: Name, buf: &'a [u8]) -> Option<&'a [u8]> {
        if self.names.has(id) { value(&self.fields, id, buf) } else { None }
    }

    /// The values of all fields of that name, in order.
    pub fn values<'a>(&'a self, id: Name, buf: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        values(if self.names.has(id) { &self.fields } else { &[] }, id, buf)
    }

    /// All values of a name that may not be in the table: letter case aside.
    pub fn values_named<'a>(
        &'a self,
        name: &'a [u8],
        buf: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> {
        values_named(&self.fields, name, buf)
    }

    /// The fields that go on to the client: see [`Connection::forwards`].
    pub fn forwarded<'a>(&'a self, buf: &'a [u8]) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(|field| self.connection.forwards(field, buf))
    }
}

fn value<'a>(fields: &[Field], id: Name, buf: &'a [u8]) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.id == id).map(|field| field.value.of(buf))
}

fn values<'a>(fields: &'a [Field], id: Name, buf: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.id == id).map(|field| field.value.of(buf))
}

fn values_named<'a>(
    fields: &'a [Field],
    name: &'a [u8],
    buf: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.of(buf).eq_ignore_ascii_case(name))
        .map(|field| field.value.of(buf))
}
