//! What the limits have said of a request, and the fields that tell it to the client.

use smallvec::SmallVec;

use crate::http::write::{self, Out};
use crate::limit::{Holds, Level, Standing};
use crate::message::Reply;
use crate::snapshot::Limit;

/// What has come of a request's limits; empty if it has none.
#[derive(Default)]
pub struct Metered<'c> {
    /// `RateLimit-Policy` of each list that applied.
    pub policies: SmallVec<[&'c [u8]; 2]>,
    /// The limits that tell how they stand.
    pub told: SmallVec<[Told<'c>; 2]>,
    /// The name of the limit that refused; empty if none did.
    pub refused_by: &'c str,
    /// Seconds, with a refusal.
    pub retry_after: Option<u64>,
    /// Held while the request lasts, or the tunnel it opens.
    pub holds: Holds,
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
        if !self.told.is_empty() {
            let mut text: SmallVec<[u8; 256]> = SmallVec::new();
            for told in &self.told {
                told.put(&mut text);
            }
            if !text.is_empty() {
                reply.field(b"ratelimit", &text);
            }
        }
        if let Some(seconds) = self.retry_after {
            let mut text: SmallVec<[u8; 20]> = SmallVec::new();
            write::decimal(&mut text, seconds);
            reply.field(b"retry-after", &text);
        }
    }
}

// === impl Told ===

impl Told<'_> {
    fn put(&self, out: &mut SmallVec<[u8; 256]>) {
        let name = &self.limit.told[..self.limit.told.len() - 1];
        let ends =
            [(&b"\""[..], self.standing.bucket), (self.limit.told_quota(), self.standing.quota)];
        for (end, level) in ends {
            let Some(Level { left, full_in }) = level else { continue };
            if !out.is_empty() {
                out.put(b", ");
            }
            out.put(name);
            out.put(end);
            out.put(b";r=");
            write::decimal(out, left);
            out.put(b";t=");
            write::decimal(out, full_in);
        }
    }
}
