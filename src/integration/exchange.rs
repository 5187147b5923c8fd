//! One request on its way through the gateway.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use smallvec::SmallVec;

use super::grpc::Call;
use super::llm::Chat;
use super::metered::Metered;
use super::tunnel::Opened;
use crate::auth::{Challenge, Identity};
use crate::balance::Random;
use crate::clock::Tick;
use crate::failure::{Details, ErrorFormat, Failure};
use crate::http::{Name, Upgrade};
use crate::llm::{Dialect, Endpoint};
use crate::message::Request;
use crate::route::Params;
use crate::snapshot::{Action, Api, Authorizer, Cors, Judged, Listener, Mount, Route};
use crate::upstream::Timings;

/// The two ends of the client's connection, and who the client is.
#[derive(Clone, Copy, Debug)]
pub struct Party<'c> {
    /// Whom the connection comes from (after the PROXY protocol).
    pub peer: SocketAddr,
    /// Its address as forwarding fields write it.
    pub peer_text: &'c [u8],
    /// The address it was made to.
    pub local: SocketAddr,
    /// The client: the peer, or whom a trusted proxy names.
    pub client: IpAddr,
    /// The peer's forwarding fields are believed.
    pub trusted: bool,
    /// The connection is TLS.
    pub secure: bool,
}

/// What ties this request to log lines and traces elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    pub request: SmallVec<[u8; 40]>,
    pub traceparent: SmallVec<[u8; 56]>,
}

/// A request, and what is known of it.
pub struct Exchange<'c> {
    pub request: Request<'c>,
    pub party: Party<'c>,
    pub listener: &'c Arc<Listener>,
    pub ids: Ids,
    pub started: Tick,
    /// The path in the form that is routed and forwarded.
    pub path: &'c [u8],
    pub params: Params,
    pub route: Option<&'c Arc<Route>>,
    /// The base path it is below, where it met no route, or one of a version.
    pub mount: Option<&'c Mount>,
    /// The version it asked for, and where that stands.
    pub judged: Option<Judged<'c>>,
    /// Who makes it, as far as has been proven.
    pub identity: Identity,
    /// The query without the API key that stood in it; `None`: it is as received.
    pub query: Option<Box<[u8]>>,
    /// The API key came as the bearer's credentials.
    pub bearer_is_key: bool,
    /// Whose words the client speaks, if it asks a language model.
    pub dialect: Option<Dialect>,
    /// The model it asks, by the name limits count it by.
    pub model: Option<Arc<str>>,
    /// The provider that is to serve it.
    pub provider: Option<&'c str>,
    /// What its limits have said.
    pub metered: Metered<'c>,
    /// Which authorizer has proven it.
    pub authorizer: Option<&'c Arc<Authorizer>>,
    /// What a refusal asks for.
    pub challenges: Vec<Challenge>,
    /// Name of the chosen upstream; empty if none was.
    pub upstream: &'c str,
    pub timings: Timings,
    /// Spent waiting on the upstream.
    pub upstream_ns: Option<u64>,
    /// What the upstream is asked to upgrade to.
    pub upgrade: Option<Upgrade<'c>>,
    /// The tunnel it has agreed to, once the client has been told.
    pub opened: Option<Box<Opened>>,
    /// The gRPC call it makes, if it is one.
    pub grpc: Option<Box<Call>>,
    pub status: u16,
    pub failure: Option<Failure>,
    /// What exactly failed, in a word of our own.
    pub detail: &'static str,
    /// What more the client is told of its failure.
    pub told: Option<Box<Details>>,
    /// Whose policy answered it, if it was a preflight.
    pub preflight: Option<&'c Cors>,
    /// What it asks of a language model, if it does.
    pub chat: Option<Box<Chat<'c>>>,
}

// === impl Exchange ===

impl<'c> Exchange<'c> {
    /// A request of which nothing more is known yet.
    #[must_use]
    pub fn new(
        request: Request<'c>,
        party: Party<'c>,
        listener: &'c Arc<Listener>,
        ids: Ids,
        started: Tick,
    ) -> Exchange<'c> {
        Exchange {
            grpc: Call::of(&request),
            request,
            party,
            listener,
            ids,
            started,
            path: b"",
            params: Params::new(),
            route: None,
            mount: None,
            judged: None,
            identity: Identity::default(),
            query: None,
            bearer_is_key: false,
            dialect: None,
            model: None,
            provider: None,
            metered: Metered::default(),
            authorizer: None,
            challenges: Vec::new(),
            upstream: "",
            timings: Timings::default(),
            upstream_ns: None,
            upgrade: None,
            opened: None,
            status: 0,
            failure: None,
            detail: "",
            told: None,
            preflight: None,
            chat: None,
        }
    }

    /// The scheme as the client sees it: a trusted proxy in front may have terminated TLS.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        let claimed = self.request.value(Name::XForwardedProto).filter(|_| self.party.trusted);
        match claimed {
            Some(proto) if proto.eq_ignore_ascii_case(b"https") => "https",
            Some(proto) if proto.eq_ignore_ascii_case(b"http") => "http",
            _ if self.party.secure => "https",
            _ => "http",
        }
    }

    /// The API it came to: that of its route, or the one that owns the path.
    #[must_use]
    pub fn api(&self) -> Option<&'c Api> {
        let of_mount = || self.mount.map(|mount| &*mount.api);
        self.route.map(|route| &*route.deployment.api).or_else(of_mount)
    }

    /// How errors are written to this client: at a model's endpoint in the dialect spoken there.
    #[must_use]
    pub fn error_format(&self) -> ErrorFormat {
        let is_llm = self.route.is_some_and(|route| matches!(route.action, Action::Llm(_)));
        if is_llm && Endpoint::of(self.path).is_some_and(|e| e.dialect() == Dialect::Anthropic) {
            return ErrorFormat::Anthropic;
        }
        self.api().map_or(ErrorFormat::default(), |api| api.errors)
    }

    /// Which pages of other origins may read the answer; `None`: CORS is the upstream's business.
    #[must_use]
    pub fn cors(&self) -> Option<&'c Cors> {
        self.api()?.cors.as_deref()
    }

    /// The query, without an API key; `None` if there is none.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        let received = || self.request.head.query.map(|query| query.of(self.request.block));
        match &self.query {
            Some(cut) => Some(&**cut).filter(|query| !query.is_empty()),
            None => received(),
        }
    }

    /// A path parameter of the route, still encoded; empty if the route has none of that name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &'c [u8] {
        let span = self.listener.table.param(&self.params, name);
        span.map_or(&[], |span| span.of(self.path))
    }
}

// === impl Ids ===

const REQUEST_ID_BYTES_MAX: usize = 128;
const TRACEPARENT_BYTES: usize = 55;

impl Ids {
    /// The client's own, where it brings valid ones; new ones otherwise.
    #[must_use]
    pub fn of(request: &Request<'_>, random: &mut Random) -> Ids {
        let mut ids = Ids::default();
        match request.value(Name::XRequestId).filter(|id| is_request_id(id)) {
            Some(id) => ids.request.extend_from_slice(id),
            None => {
                let mut id = [0; 40];
                put_hex(&mut id, 0, random.bits());
                put_hex(&mut id, 16, random.bits());
                ids.request = SmallVec::from_buf_and_len(id, 32);
            }
        }
        match request.value(Name::Traceparent).filter(|text| is_traceparent(text)) {
            Some(text) => ids.traceparent.extend_from_slice(text),
            None => {
                let mut text = *b"00-................................-................-01 ";
                // W3C Trace Context section 3.2.2: all-zero ids are invalid.
                put_hex(&mut text, 3, random.bits() | 1);
                put_hex(&mut text, 19, random.bits());
                put_hex(&mut text, 36, random.bits() | 1);
                ids.traceparent = SmallVec::from_buf_and_len(text, TRACEPARENT_BYTES);
            }
        }
        ids
    }
}

fn is_request_id(id: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(b);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(allowed)
}

/// W3C Trace Context section 3.2: version 00, lower-case hex, ids not all zero.
fn is_traceparent(text: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| part.iter().any(|b| *b != b'0');
    text.len() == TRACEPARENT_BYTES
        && text.starts_with(b"00-")
        && text[35] == b'-'
        && text[52] == b'-'
        && hex(&text[3..35])
        && some(&text[3..35])
        && hex(&text[36..52])
        && some(&text[36..52])
        && hex(&text[53..])
}

fn put_hex(text: &mut [u8], at: usize, word: u64) {
    text[at..at + 16].copy_from_slice(&hex_digits(word));
}

/// Sixteen lower-case digits, all at once: a nibble a byte, then the digit's distance from it.
fn hex_digits(word: u64) -> [u8; 16] {
    let spread = |half: u32| {
        let x = u64::from(half);
        let x = (x | (x << 16)) & 0x0000_ffff_0000_ffff;
        let x = (x | (x << 8)) & 0x00ff_00ff_00ff_00ff;
        let x = (x | (x << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
        // 1 in each byte whose nibble is above nine.
        let letters = ((x + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
        (x + 0x3030_3030_3030_3030 + letters * 0x27).to_be_bytes()
    };
    let mut digits = [0; 16];
    let (high, low) = (word >> 32, word & 0xffff_ffff);
    digits[..8].copy_from_slice(&spread(u32::try_from(high).expect("32 bits")));
    digits[8..].copy_from_slice(&spread(u32::try_from(low).expect("32 bits")));
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestHead;

    #[test]
    fn a_traceparent_is_the_w3c_form_or_replaced() {
        let good = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        let mut zero = *good;
        zero[3..35].fill(b'0');
        assert!(!is_traceparent(&zero));
        assert!(!is_traceparent(&good.to_ascii_uppercase()));
        assert!(!is_traceparent(&good[..54]));
        assert!(!is_traceparent(b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    }

    #[test]
    fn ids_of_our_own_are_valid_ones() {
        let head = RequestHead::default();
        let ids = Ids::of(&Request { head: &head, block: b"" }, &mut Random::new(7));
        assert!(is_request_id(&ids.request) && ids.request.len() == 32);
        assert!(is_traceparent(&ids.traceparent));
        for word in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210] {
            assert_eq!(hex_digits(word), *format!("{word:016x}").as_bytes());
        }
        assert!(is_request_id(b"a1-b.c_d:e") && !is_request_id(b"") && !is_request_id(b"a b"));
        assert!(!is_request_id(&[b'a'; REQUEST_ID_BYTES_MAX + 1]));
    }
}
