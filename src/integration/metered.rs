//! What the limits have said of a request, and the fields that tell it to the client.

mod words;

use smallvec::SmallVec;

use crate::clock::Moment;
use crate::http::write::{self, DIGITS_MAX, Out};
use crate::limit::{Debits, Holds, Standing, Taken};
use crate::llm::Dialect;
use crate::message::Reply;
use crate::snapshot::{LIST_COMMA, Limit};

/// What has come of a request's limits; empty if it has none.
#[derive(Default)]
pub struct Metered<'c> {
    /// `RateLimit-Policy` of each list that applied.
    pub policies: SmallVec<[&'c [u8]; 2]>,
    /// The limits that tell how they stand.
    pub told: SmallVec<[Told<'c>; 4]>,
    /// The name of the limit that refused; empty if none did.
    pub refused_by: &'c str,
    /// With a refusal that passes.
    pub retry_after_ms: Option<u64>,
    /// With a refusal: whether it passes while a client waits.
    pub should_retry: Option<bool>,
    /// Held while the request lasts, or the tunnel it opens.
    pub holds: Holds,
    /// To be settled when the request has ended.
    pub debits: Debits<'c>,
    /// What the limits of its provider have given.
    pub more: Taken<'c>,
    /// Limits that wait for a provider.
    pub later: Vec<&'c Limit>,
    /// In whose words the limits are told too.
    pub dialect: Option<Dialect>,
    /// When the limits were asked.
    pub at: Moment,
}

/// How a limit stands after the request.
pub struct Told<'c> {
    pub limit: &'c Limit,
    pub standing: Standing,
}

// === impl Metered ===

impl Metered<'_> {
    /// Puts `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10) and
    /// `Retry-After` (RFC 9110 section 10.2.3).
    pub fn fields(&self, reply: &mut Reply<'_>) {
        for policy in &self.policies {
            reply.field(b"ratelimit-policy", policy);
        }
        if self.told.iter().any(Told::says) {
            reply.field_of(b"ratelimit", |out| {
                let mut is_first = true;
                self.told.iter().for_each(|told| told.put(out, &mut is_first));
            });
        }
        if let Some(ms) = self.retry_after_ms {
            reply.field(b"retry-after", write::digits(ms.div_ceil(1000), &mut [0; DIGITS_MAX]));
        }
        if let Some(dialect) = self.dialect {
            self.fields_of(dialect, reply);
        }
    }

    /// What clients of language models look for besides.
    fn fields_of(&self, dialect: Dialect, reply: &mut Reply<'_>) {
        words::put(&self.told, dialect, self.at.wall, &mut |name, value| {
            reply.field(name.as_bytes(), value);
        });
        if let Some(ms) = self.retry_after_ms {
            reply.field(b"retry-after-ms", write::digits(ms, &mut [0; DIGITS_MAX]));
        }
        if let Some(should) = self.should_retry {
            reply.field(b"x-should-retry", if should { b"true" } else { b"false" });
        }
    }

    /// Whether a field of a provider's answer would contradict what is told of our own limits.
    #[must_use]
    pub fn replaces(&self, name: &[u8]) -> bool {
        self.dialect.is_some() && !self.told.is_empty() && words::is_of_limits(name)
    }

    /// Forgets that a limit refused.
    pub fn forget_refusal(&mut self) {
        (self.refused_by, self.retry_after_ms, self.should_retry) = ("", None, None);
    }
}

// === impl Told ===

impl Told<'_> {
    fn says(&self) -> bool {
        self.standing.bucket.is_some() || self.standing.quota.is_some()
    }

    fn put(&self, out: &mut dyn Out, is_first: &mut bool) {
        let levels = [self.standing.bucket, self.standing.quota];
        for (name, level) in self.limit.told.iter().zip(levels) {
            let Some(level) = level else { continue };
            out.put(if std::mem::take(is_first) { &name[LIST_COMMA.len()..] } else { name });
            write::decimal(out, self.limit.told_amount(level.left));
            out.put(b";t=");
            write::decimal(out, level.full_in());
        }
    }
}
