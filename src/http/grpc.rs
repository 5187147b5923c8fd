//! What gRPC puts into HTTP fields: status, message, timeout, content type.
//!
//! Owns the texts of gRPC's HTTP/2 protocol ("PROTOCOL-HTTP2") and which status stands for which of
//! our failures or an upstream's HTTP status. Knows no messages: those pass as bytes. [`web`] has
//! what gRPC-Web adds for browsers. The invariant: what is written here reads back as the same, and
//! whatever a peer wrote is read without failing where the protocol says so (grpc-message).

pub mod web;

use std::time::Duration;

use crate::failure::Failure;

use super::write::{self, Out};

macro_rules! statuses {
    ($($variant:ident $code:literal $name:literal;)*) => {
        /// How a call ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Status { $(#[doc = $name] $variant = $code,)* }

        impl Status {
            /// Every status; a status's place is its code.
            pub const ALL: &[Status] = &[$(Status::$variant),*];

            /// The name the protocol gives it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Status::$variant => $name,)* }
            }
        }
    };
}

statuses! {
    Ok 0 "OK";
    Cancelled 1 "CANCELLED";
    Unknown 2 "UNKNOWN";
    InvalidArgument 3 "INVALID_ARGUMENT";
    DeadlineExceeded 4 "DEADLINE_EXCEEDED";
    NotFound 5 "NOT_FOUND";
    AlreadyExists 6 "ALREADY_EXISTS";
    PermissionDenied 7 "PERMISSION_DENIED";
    ResourceExhausted 8 "RESOURCE_EXHAUSTED";
    FailedPrecondition 9 "FAILED_PRECONDITION";
    Aborted 10 "ABORTED";
    OutOfRange 11 "OUT_OF_RANGE";
    Unimplemented 12 "UNIMPLEMENTED";
    Internal 13 "INTERNAL";
    Unavailable 14 "UNAVAILABLE";
    DataLoss 15 "DATA_LOSS";
    Unauthenticated 16 "UNAUTHENTICATED";
}

/// Which of the protocols a content type names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `application/grpc`
    Grpc,
    /// `application/grpc-web`: trailers come in the body.
    Web,
    /// `application/grpc-web-text`: and the body is in base64.
    WebText,
}

/// A gRPC content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentType<'a> {
    pub kind: Kind,
    /// What the messages are in: `+proto`, `+json`; empty if not said.
    pub suffix: &'a [u8],
}

// === impl Status ===

impl Status {
    /// What `grpc-status` says. A status that the protocol does not know is UNKNOWN.
    #[must_use]
    pub fn parse(value: &[u8]) -> Status {
        let code = super::grammar::decimal(value).and_then(|code| usize::try_from(code).ok());
        code.and_then(|code| Status::ALL.get(code)).copied().unwrap_or(Status::Unknown)
    }

    /// The number `grpc-status` carries.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What a client is told of a failure of ours. gRPC's clients retry on UNAVAILABLE, so that is
    /// for calls that may be sent again.
    #[must_use]
    pub fn of_failure(failure: Failure) -> Status {
        match failure {
            Failure::BadRequest
            | Failure::TargetTooLong
            | Failure::ExpectationFailed
            | Failure::ParameterMissing
            | Failure::MediaTypeUnsupported
            | Failure::ModelRequest
            | Failure::LimitKeyMissing => Status::InvalidArgument,
            Failure::ProviderModel => Status::NotFound,
            Failure::ProviderKey => Status::Unauthenticated,
            Failure::BillingBalance => Status::FailedPrecondition,
            // A method that no route leads to is one nobody has implemented.
            Failure::NotFound
            | Failure::MethodNotImplemented
            | Failure::VersionNotSupported
            | Failure::VersionNotFound
            | Failure::VersionSunset => Status::Unimplemented,
            Failure::MissingToken => Status::PermissionDenied,
            // As gRPC's own libraries say of metadata and messages above their limits.
            Failure::HeadTooLarge
            | Failure::BodyTooLarge
            | Failure::TokenLimit
            | Failure::ProviderRateLimit
            | Failure::ProviderQuota
            | Failure::RateLimited
            | Failure::ConcurrencyLimited
            | Failure::QuotaExceeded => Status::ResourceExhausted,
            Failure::KeyMissing
            | Failure::KeyInvalid
            | Failure::TokenInvalid
            | Failure::CredentialsMissing => Status::Unauthenticated,
            Failure::KeyNotAllowed
            | Failure::Forbidden
            | Failure::MfaRequired
            | Failure::AddressForbidden => Status::PermissionDenied,
            Failure::ClientGone => Status::Cancelled,
            Failure::RequestTimeout
            | Failure::ClientStalled
            | Failure::UpstreamFirstByteTimeout
            | Failure::UpstreamIdleTimeout
            | Failure::UpstreamTotalTimeout
            | Failure::RouterTimeout => Status::DeadlineExceeded,
            Failure::Internal
            | Failure::BillingCharge
            | Failure::BillingRefund
            | Failure::BillingDiscrepancy
            | Failure::LoopDetected
            | Failure::UpstreamInvalid
            | Failure::UpstreamHeadTooLarge => Status::Internal,
            Failure::Unavailable
            | Failure::LimitsFull
            | Failure::VersionBrownout
            | Failure::AuthorizerUnavailable
            | Failure::Misdirected
            | Failure::ConnectionLimit
            | Failure::UpstreamConnect
            | Failure::UpstreamConnectTimeout
            | Failure::UpstreamNone
            | Failure::UpstreamQueueFull
            | Failure::UpstreamQueueTimeout
            | Failure::UpstreamReset
            | Failure::UpstreamTls
            | Failure::UpstreamCut
            | Failure::RouterNone
            | Failure::RouterAllFailed
            | Failure::ProviderError => Status::Unavailable,
        }
    }

    /// What a client is told where an upstream answered without a `grpc-status`: the protocol's
    /// table "HTTP to gRPC status code mapping". An upstream's 200 without one is UNKNOWN too.
    #[must_use]
    pub fn of_http(status: u16) -> Status {
        match status {
            400 => Status::Internal,
            401 => Status::Unauthenticated,
            403 => Status::PermissionDenied,
            404 => Status::Unimplemented,
            429 | 502 | 503 | 504 => Status::Unavailable,
            _ => Status::Unknown,
        }
    }
}

// === impl ContentType ===

impl<'a> ContentType<'a> {
    /// Reads a Content-Type's value; `None` if it is not gRPC's. Parameters are ignored.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<ContentType<'a>> {
        if !value.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc")) {
            return None;
        }
        let media = value.split(|&b| b == b';').next().map(super::grammar::trim)?;
        let (name, suffix) = match memchr::memchr(b'+', media) {
            Some(plus) => media.split_at(plus),
            None => (media, &[][..]),
        };
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        let kind = if is(b"application/grpc") {
            Kind::Grpc
        } else if is(b"application/grpc-web") {
            Kind::Web
        } else if is(b"application/grpc-web-text") {
            Kind::WebText
        } else {
            return None;
        };
        // A `+` without a name behind it names nothing.
        (suffix.len() != 1).then_some(ContentType { kind, suffix })
    }

    /// Writes the value that says the same for another protocol.
    pub fn put_as(&self, kind: Kind, out: &mut impl Out) {
        out.put(match kind {
            Kind::Grpc => b"application/grpc",
            Kind::Web => b"application/grpc-web",
            Kind::WebText => b"application/grpc-web-text",
        });
        out.put(self.suffix);
    }
}

// === grpc-timeout ===

/// The most digits a timeout has.
const TIMEOUT_DIGITS: usize = 8;
/// Units and their nanoseconds, the finest first.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// Reads `grpc-timeout`: one to eight digits and a unit. `None` if it is not that.
#[must_use]
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (&unit, digits) = value.split_last()?;
    if digits.len() > TIMEOUT_DIGITS {
        return None;
    }
    let count = super::grammar::decimal(digits)?;
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
    // 99,999,999 hours are 3.6e20 ns, more than a u64: count in what a Duration is made of.
    if *nanos < 1_000_000_000 {
        return Some(Duration::from_nanos(count * nanos));
    }
    Some(Duration::from_secs(count * (nanos / 1_000_000_000)))
}

/// Writes a `grpc-timeout`'s value in the finest unit that holds it; cut, never longer than asked.
pub fn put_timeout(timeout: Duration, out: &mut impl Out) {
    let nanos = timeout.as_nanos();
    let fit = |(unit, size): &(u8, u64)| {
        let count = u64::try_from(nanos / u128::from(*size)).ok()?;
        (count < 100_000_000).then_some((count, *unit))
    };
    let (count, unit) = UNITS.iter().find_map(fit).unwrap_or((99_999_999, b'H'));
    write::decimal(out, count);
    out.put(&[unit]);
}

// === grpc-message ===

/// Writes a message as a field's value: all but visible ASCII and the space is percent-encoded, and
/// `%` itself.
pub fn put_message(message: &str, out: &mut impl Out) {
    let mut rest = message.as_bytes();
    while let Some(at) = rest.iter().position(|&b| !(b' '..=b'~').contains(&b) || b == b'%') {
        let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
        out.put(&rest[..at]);
        out.put(&[b'%', digit(rest[at] >> 4), digit(rest[at] & 15)]);
        rest = &rest[at + 1..];
    }
    out.put(rest);
}

/// Reads a message. The protocol forbids to fail: an escape that is none stays as it is, and bytes
/// that are no UTF-8 become U+FFFD.
#[must_use]
pub fn parse_message(value: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, after @ ..] = rest {
        let hex = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, after) {
            (b'%', [high, low, behind @ ..])
                if let (Some(high), Some(low)) = (hex(*high), hex(*low)) =>
            {
                bytes.push(high << 4 | low);
                rest = behind;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

#[cfg(test)]
mod tests;
