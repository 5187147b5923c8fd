//! Field names this gateway gives meaning to, and a head's fields as spans.
//!
//! Owns the table of known names and how a name is found: one hash of length and four bytes into a
//! table proved free of collisions when compiled, then one compare. Knows nothing of values. The
//! invariant: a name found is equal, case aside, to the name in the table; all else is `Other`, but
//! for a known name spelt with `_` for `-`, which is `Alias`.

use super::lanes::{self, word};
use super::span::Span;

macro_rules! names {
    ($($variant:ident $text:literal;)*) => {
        /// A known field name, [`Name::Alias`] or [`Name::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $($variant,)*
            /// A known name spelt with `_` for `-`. CGI, WSGI and their kin turn both into the same
            /// variable, so such a field would pass for the real one behind us. Never forwarded.
            Alias,
            /// Any other name.
            Other,
        }

        const TEXTS: &[&str] = &[$($text),*];
        const VARIANTS: &[Name] = &[$(Name::$variant),*];
    };
}

// The first seven are those a parser acts on (`Name::is_special`).
names! {
    Host "Host";
    ContentLength "Content-Length";
    TransferEncoding "Transfer-Encoding";
    Connection "Connection";
    Expect "Expect";
    Upgrade "Upgrade";
    Te "TE";
    KeepAlive "Keep-Alive";
    ProxyConnection "Proxy-Connection";
    ProxyAuthenticate "Proxy-Authenticate";
    ProxyAuthorization "Proxy-Authorization";
    ProxyAuthenticationInfo "Proxy-Authentication-Info";
    Http2Settings "HTTP2-Settings";
    Trailer "Trailer";
    Via "Via";
    MaxForwards "Max-Forwards";
    Forwarded "Forwarded";
    XForwardedFor "X-Forwarded-For";
    XForwardedProto "X-Forwarded-Proto";
    XForwardedHost "X-Forwarded-Host";
    XForwardedPort "X-Forwarded-Port";
    XForwardedPrefix "X-Forwarded-Prefix";
    XForwardedServer "X-Forwarded-Server";
    XRealIp "X-Real-IP";
    XRequestId "X-Request-Id";
    XCorrelationId "X-Correlation-Id";
    Traceparent "traceparent";
    Tracestate "tracestate";
    Baggage "baggage";
    XApiKey "X-API-Key";
    XApiVersion "X-API-Version";
    ApiKey "Api-Key";
    Authorization "Authorization";
    WwwAuthenticate "WWW-Authenticate";
    AuthenticationInfo "Authentication-Info";
    Cookie "Cookie";
    SetCookie "Set-Cookie";
    Origin "Origin";
    Referer "Referer";
    UserAgent "User-Agent";
    Accept "Accept";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    AcceptRanges "Accept-Ranges";
    ContentType "Content-Type";
    ContentEncoding "Content-Encoding";
    ContentLanguage "Content-Language";
    ContentLocation "Content-Location";
    ContentRange "Content-Range";
    ContentDisposition "Content-Disposition";
    CacheControl "Cache-Control";
    Pragma "Pragma";
    Age "Age";
    Expires "Expires";
    Vary "Vary";
    Warning "Warning";
    Date "Date";
    LastModified "Last-Modified";
    IfMatch "If-Match";
    IfNoneMatch "If-None-Match";
    IfModifiedSince "If-Modified-Since";
    IfUnmodifiedSince "If-Unmodified-Since";
    IfRange "If-Range";
    Range "Range";
    Location "Location";
    RetryAfter "Retry-After";
    Server "Server";
    Allow "Allow";
    Link "Link";
    Deprecation "Deprecation";
    Sunset "Sunset";
    AltSvc "Alt-Svc";
    StrictTransportSecurity "Strict-Transport-Security";
    AccessControlRequestMethod "Access-Control-Request-Method";
    AccessControlRequestHeaders "Access-Control-Request-Headers";
    AccessControlAllowOrigin "Access-Control-Allow-Origin";
    AccessControlAllowMethods "Access-Control-Allow-Methods";
    AccessControlAllowHeaders "Access-Control-Allow-Headers";
    AccessControlAllowCredentials "Access-Control-Allow-Credentials";
    AccessControlExposeHeaders "Access-Control-Expose-Headers";
    AccessControlMaxAge "Access-Control-Max-Age";
    SecWebsocketKey "Sec-WebSocket-Key";
    SecWebsocketAccept "Sec-WebSocket-Accept";
    SecWebsocketProtocol "Sec-WebSocket-Protocol";
    SecWebsocketExtensions "Sec-WebSocket-Extensions";
    SecWebsocketVersion "Sec-WebSocket-Version";
    IdempotencyKey "Idempotency-Key";
    RateLimit "RateLimit";
    RateLimitPolicy "RateLimit-Policy";
}

/// One field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub id: Name,
    pub name: Span,
    /// Without the blanks around it.
    pub value: Span,
}

/// A set of known names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameSet([u64; 2]);

// === impl Name ===

const SLOTS: usize = 512;
/// Found by trying random odd numbers until no two names met; the const assert below holds it.
const MIX: u32 = 0xf5bb_9189;
const NONE: u8 = u8::MAX;
static SLOT: [u8; SLOTS] = slots();
const LONGEST: usize = longest();

impl Name {
    /// Which name these bytes are, letter case aside.
    #[must_use]
    #[inline]
    pub fn of(name: &[u8]) -> Name {
        match Name::known(name) {
            Some(known) => known,
            None if lanes::find(name, b'_').is_some() => alias(name),
            None => Name::Other,
        }
    }

    /// Which name of the table these bytes are; `None`: it is `Other` or `Alias`.
    #[inline]
    pub(super) fn known(name: &[u8]) -> Option<Name> {
        if name.is_empty() || name.len() > LONGEST {
            return None;
        }
        let index = SLOT[slot(name)];
        let is_it = index != NONE && is_same(name, TEXTS[index as usize].as_bytes());
        is_it.then(|| VARIANTS[index as usize])
    }

    /// The name as the RFCs spell it; empty for `Other` and `Alias`.
    #[must_use]
    pub fn text(self) -> &'static str {
        TEXTS.get(self as usize).copied().unwrap_or("")
    }

    /// Whether a parser must look at the value.
    #[inline]
    pub(super) fn is_special(self) -> bool {
        (self as u8) <= (Name::Te as u8)
    }
}

/// Whether two names are equal, letter case aside: eight bytes at a time, the last ones
/// overlapping. `eq_ignore_ascii_case` took three times as long on the names of a browser's head.
#[inline]
fn is_same(name: &[u8], text: &[u8]) -> bool {
    let len = name.len();
    if len != text.len() {
        return false;
    }
    match len {
        0..4 => name.eq_ignore_ascii_case(text),
        4..8 => is_same_word(two_halves(name), two_halves(text)),
        _ => {
            let last = len - 8;
            let mut at = 0;
            while at < last {
                if !is_same_word(word(name, at), word(text, at)) {
                    return false;
                }
                at += 8;
            }
            is_same_word(word(name, last), word(text, last))
        }
    }
}

#[inline]
fn two_halves(bytes: &[u8]) -> u64 {
    let first = u32::from_le_bytes(*bytes.first_chunk().expect("at least four bytes"));
    let last = u32::from_le_bytes(*bytes.last_chunk().expect("at least four bytes"));
    u64::from(first) << 32 | u64::from(last)
}

#[inline]
fn is_same_word(name: u64, text: u64) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    // Setting bit 5 folds letters, which have bit 6; it also moves control bytes, which have
    // neither, up to `-` and the digits. A text has no control bytes.
    let controls = ((!name & CASE) << 1) & !name;
    name | CASE == text | CASE && controls == 0
}

#[cold]
fn alias(name: &[u8]) -> Name {
    let mut dashed = [0; LONGEST];
    let Some(dashed) = dashed.get_mut(..name.len()) else { return Name::Other };
    for (to, &from) in dashed.iter_mut().zip(name) {
        *to = if from == b'_' { b'-' } else { from };
    }
    if Name::known(dashed).is_some() { Name::Alias } else { Name::Other }
}

/// `name` is not empty. Setting bit 5 folds letter case; what else it folds the compare tells
/// apart.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "`of` has refused lengths above LONGEST")]
const fn slot(name: &[u8]) -> usize {
    let len = name.len();
    let fourth_last = len.saturating_sub(4);
    let key = u32::from_le_bytes([
        name[0] | 0x20,
        name[len / 2] | 0x20,
        name[len - 1] | 0x20,
        (len as u8).wrapping_mul(7).wrapping_add(name[fourth_last] | 0x20),
    ]);
    (key.wrapping_mul(MIX) >> (u32::BITS - SLOTS.trailing_zeros())) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "there are less than 128 names")]
const fn slots() -> [u8; SLOTS] {
    assert!(TEXTS.len() < 128, "a NameSet has 128 bits");
    let mut table = [NONE; SLOTS];
    let mut i = 0;
    while i < TEXTS.len() {
        let at = slot(TEXTS[i].as_bytes());
        assert!(table[at] == NONE, "two names share a slot: choose another MIX");
        table[at] = i as u8;
        i += 1;
    }
    table
}

const fn longest() -> usize {
    let (mut i, mut max) = (0, 0);
    while i < TEXTS.len() {
        if TEXTS[i].len() > max {
            max = TEXTS[i].len();
        }
        i += 1;
    }
    max
}

// === impl NameSet ===

impl NameSet {
    /// The set of these names.
    #[must_use]
    pub const fn of(names: &[Name]) -> NameSet {
        let (mut set, mut i) = (NameSet([0; 2]), 0);
        while i < names.len() {
            set.add(names[i]);
            i += 1;
        }
        set
    }

    /// Whether the name is in the set.
    #[must_use]
    #[inline]
    pub const fn has(self, name: Name) -> bool {
        self.0[name as usize / 64 % 2] >> (name as u8 % 64) & 1 != 0
    }

    /// Puts the name into the set.
    #[inline]
    pub const fn add(&mut self, name: Name) {
        self.0[name as usize / 64 % 2] |= 1 << (name as u8 % 64);
    }

    /// Both sets' names.
    #[must_use]
    pub const fn or(self, other: NameSet) -> NameSet {
        NameSet([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }
}

const _: () = assert!((Name::Other as u8) < 128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_near_it() {
        for (&text, &name) in TEXTS.iter().zip(VARIANTS) {
            assert_eq!(Name::of(text.as_bytes()), name);
            assert_eq!(Name::of(text.to_ascii_uppercase().as_bytes()), name);
            assert_eq!(Name::of(text.to_ascii_lowercase().as_bytes()), name);
            assert_eq!(name.text(), text);
            assert_eq!(Name::of(format!("{text}x").as_bytes()), Name::Other);
            assert_eq!(Name::of(format!("x{text}").as_bytes()), Name::Other);
            // Bit 5 folds more than letters: `\r` looks like `-` to the hash, never to the compare.
            assert_eq!(Name::of(text.replace('-', "\r").as_bytes()) == name, !text.contains('-'));
        }
    }

    #[test]
    fn an_underscore_spelling_of_a_known_name_is_an_alias() {
        assert_eq!(Name::of(b"X_Forwarded_For"), Name::Alias);
        assert_eq!(Name::of(b"x-forwarded_for"), Name::Alias);
        assert_eq!(Name::of(b"content_length"), Name::Alias);
        assert_eq!(Name::of(b"my_field"), Name::Other);
        assert_eq!(Name::of(&[b'_'; 200]), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        const SET: NameSet = NameSet::of(&[Name::Host, Name::Te, Name::Other]);
        let mut set = SET;
        assert!(set.has(Name::Host) && set.has(Name::Te) && set.has(Name::Other));
        assert!(!set.has(Name::Via));
        set.add(Name::Via);
        assert!(set.has(Name::Via));
    }
}
