//! A record that outlives its request: a tunnel's line is written when the tunnel ends.
//!
//! Owns copies of the texts a [`Record`] borrows, one after the other in one allocation, each cut
//! to little more than a line shows of it: what a client sent does not stay in memory for as long
//! as its tunnel does.

use super::Record;
use crate::bounds::log_field_bytes_max as max;

const TEXTS: usize = 14;

/// A record with texts of its own.
pub struct Kept {
    /// Its texts are empty.
    facts: Record<'static>,
    texts: Box<[u8]>,
    /// Where each text ends.
    ends: [u16; TEXTS],
    has_query: bool,
}

// === impl Kept ===

impl Kept {
    /// A copy of `record`.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Kept {
        let sources: [(&[u8], usize); TEXTS] = [
            (record.listener.as_bytes(), max::NAME),
            (record.api.as_bytes(), max::NAME),
            (record.route.as_bytes(), max::ROUTE),
            (record.method, max::METHOD),
            (record.host, max::HOST),
            (record.path, max::PATH),
            (record.query.unwrap_or_default(), max::QUERY),
            (record.request_id, max::REQUEST_ID),
            (record.traceparent, max::TRACEPARENT),
            (record.upstream.as_bytes(), max::NAME),
            (record.user_agent, max::USER_AGENT),
            (record.referer, max::REFERER),
            (record.sni, max::HOST),
            (record.tls_version.as_bytes(), max::TOKEN),
        ];
        let mut texts = Vec::with_capacity(sources.iter().map(|(text, _)| text.len()).sum());
        let mut ends = [0; TEXTS];
        for ((text, most), end) in sources.into_iter().zip(&mut ends) {
            // One byte more than is shown: the line can tell that it was cut.
            texts.extend_from_slice(&text[..text.len().min(most + 1)]);
            *end = u16::try_from(texts.len()).expect("the bounds' sum is below 64 KiB");
        }
        let facts = Record {
            listener: "",
            api: "",
            route: "",
            method: b"",
            host: b"",
            path: b"",
            query: None,
            version: if record.version == "HTTP/1.0" { "HTTP/1.0" } else { "HTTP/1.1" },
            detail: "",
            tunnel_end: "",
            request_id: b"",
            traceparent: b"",
            upstream: "",
            user_agent: b"",
            referer: b"",
            tls_version: "",
            sni: b"",
            ..*record
        };
        Kept { facts, texts: texts.into(), ends, has_query: record.query.is_some() }
    }

    /// The record again.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        Record {
            listener: self.name(0),
            api: self.name(1),
            route: self.name(2),
            method: self.text(3),
            host: self.text(4),
            path: self.text(5),
            query: self.has_query.then(|| self.text(6)),
            request_id: self.text(7),
            traceparent: self.text(8),
            upstream: self.name(9),
            user_agent: self.text(10),
            referer: self.text(11),
            sni: self.text(12),
            tls_version: self.name(13),
            ..self.facts
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
