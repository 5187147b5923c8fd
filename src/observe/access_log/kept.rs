//! A record that outlives its request: a tunnel's line is written when the tunnel ends.
//!
//! Owns copies of the texts a [`Record`] borrows, one after the other in one allocation, each cut
//! to little more than a line shows of it: what a client sent does not stay in memory for as long
//! as its tunnel does.

use core::net::{IpAddr, SocketAddr};

use super::{Plain, Record};
use crate::bounds::log_field_bytes_max as max;
use crate::clock::Wall;
use crate::failure::Failure;

const TEXTS: usize = 19;

/// A record with texts of its own.
pub struct Kept {
    time: Wall,
    client: IpAddr,
    client_port: u16,
    version: &'static str,
    status: u16,
    failure: Option<Failure>,
    bytes_in: u64,
    bytes_out: u64,
    endpoint: Option<SocketAddr>,
    attempts: u32,
    upstream_reused: bool,
    total_ns: u64,
    upstream_connect_ns: Option<u64>,
    upstream_first_byte_ns: Option<u64>,
    upstream_ns: Option<u64>,
    connection_requests: u32,
    tls_version: &'static str,
    texts: Box<[u8]>,
    /// Where each text ends.
    ends: [u16; TEXTS],
    has_query: bool,
    canary: bool,
}

// === impl Kept ===

impl Kept {
    /// A copy of `record`.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Kept {
        let sources: [(&[u8], usize); TEXTS] = [
            (record.listener.bytes(), max::NAME),
            (record.api.bytes(), max::NAME),
            (record.route.as_bytes(), max::ROUTE),
            (record.method.bytes(), max::METHOD),
            (record.host.bytes(), max::HOST),
            (record.path, max::PATH),
            (record.query.unwrap_or_default(), max::QUERY),
            (record.request_id.bytes(), max::REQUEST_ID),
            (record.traceparent.bytes(), max::TRACEPARENT),
            (record.upstream.bytes(), max::NAME),
            (record.user_agent, max::USER_AGENT),
            (record.referer, max::REFERER),
            (record.sni, max::HOST),
            (record.key.as_bytes(), max::NAME),
            (record.plan.as_bytes(), max::NAME),
            (record.stage.as_bytes(), max::NAME),
            (record.api_version.as_bytes(), max::TOKEN),
            (record.subject.as_bytes(), max::SUBJECT),
            (record.claims, max::CLAIMS),
        ];
        let mut texts = Vec::with_capacity(sources.iter().map(|(text, _)| text.len()).sum());
        let mut ends = [0; TEXTS];
        for ((text, most), end) in sources.into_iter().zip(&mut ends) {
            // One byte more than is shown: the line can tell that it was cut.
            texts.extend_from_slice(&text[..text.len().min(most + 1)]);
            *end = u16::try_from(texts.len()).expect("the bounds' sum is below 64 KiB");
        }
        Kept {
            time: record.time,
            client: record.client,
            client_port: record.client_port,
            version: record.version,
            status: record.status,
            failure: record.failure,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            endpoint: record.endpoint,
            attempts: record.attempts,
            upstream_reused: record.upstream_reused,
            total_ns: record.total_ns,
            upstream_connect_ns: record.upstream_connect_ns,
            upstream_first_byte_ns: record.upstream_first_byte_ns,
            upstream_ns: record.upstream_ns,
            connection_requests: record.connection_requests,
            tls_version: record.tls_version,
            texts: texts.into(),
            ends,
            has_query: record.query.is_some(),
            canary: record.canary,
        }
    }

    /// The record again.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        Record {
            listener: Plain::of(self.text(0)),
            api: Plain::of(self.text(1)),
            route: self.name(2),
            method: Plain::of(self.text(3)),
            host: Plain::of(self.text(4)),
            path: self.text(5),
            query: self.has_query.then(|| self.text(6)),
            request_id: Plain::of(self.text(7)),
            traceparent: Plain::of(self.text(8)),
            upstream: Plain::of(self.text(9)),
            user_agent: self.text(10),
            referer: self.text(11),
            sni: self.text(12),
            tls_version: self.tls_version,
            version: self.version,
            key: self.name(13),
            plan: self.name(14),
            stage: self.name(15),
            api_version: self.name(16),
            canary: self.canary,
            subject: self.name(17),
            claims: self.text(18),
            detail: "",
            limit: "",
            tunnel_end: "",
            grpc_status: None,
            time: self.time,
            client: self.client,
            client_port: self.client_port,
            status: self.status,
            failure: self.failure,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            endpoint: self.endpoint,
            attempts: self.attempts,
            upstream_reused: self.upstream_reused,
            total_ns: self.total_ns,
            upstream_connect_ns: self.upstream_connect_ns,
            upstream_first_byte_ns: self.upstream_first_byte_ns,
            upstream_ns: self.upstream_ns,
            connection_requests: self.connection_requests,
            // A stream of a model is no tunnel.
            llm: None,
        }
    }

    fn text(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.texts[usize::from(start)..usize::from(self.ends[at])]
    }

    /// Names are text; one cut inside a character (a route key may have any) loses that one.
    fn name(&self, at: usize) -> &str {
        let text = self.text(at);
        std::str::from_utf8(text).unwrap_or_else(|error| {
            std::str::from_utf8(&text[..error.valid_up_to()]).expect("valid up to there")
        })
    }
}
