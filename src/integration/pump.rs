//! A request's body on its way to the endpoint, while the answer may already be coming back.

use std::cell::Cell;

use crate::clock;
use crate::failure::Failure;
use crate::message::{Body, Failed};
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};
use crate::snapshot::is_claimed;
use crate::upstream::Lease;

/// How a pump works.
pub struct Pump<'a> {
    /// Waiting for the client.
    pub from: Patience<'a>,
    /// Waiting for the endpoint.
    pub to: Patience<'a>,
    /// The body goes out chunked; else it is counted.
    pub chunked: bool,
    pub bytes_max: Option<u64>,
    /// The answer is complete: nobody needs the rest.
    pub abandoned: &'a Cell<bool>,
    /// A client that says nothing is not late: both sides talk as they like.
    pub may_rest: &'a Cell<bool>,
    /// Fields that only an authorizer may put on a request: some servers take trailers for fields.
    pub claimed: &'a [Box<str>],
}

// === impl Pump ===

impl Pump<'_> {
    /// Sends what comes. `Ok(true)`: the whole body has been sent; `Ok(false)`: the endpoint takes
    /// no more, its answer decides.
    pub async fn run(
        &self,
        mut first: Option<Buf>,
        body: &mut Body<'_>,
        to: &Lease,
    ) -> Result<bool, Failure> {
        loop {
            let next = match first.take() {
                Some(data) => Some(data),
                None => self.next(body).await?,
            };
            if self.abandoned.get() {
                return Ok(false);
            }
            if self.bytes_max.is_some_and(|max| body.received() > max) {
                return Err(Failure::BodyTooLarge);
            }
            let Some(data) = next else { break };
            let last = body.is_over();
            if !self.went(to.data(&self.to, data, self.chunked, last).await)? {
                return Ok(false);
            }
            if last && !self.chunked {
                return Ok(true);
            }
        }
        let trailers = body.trailers().filter(|(name, _)| !is_claimed(self.claimed, name));
        self.went(to.end(&self.to, self.chunked, trailers).await)
    }

    async fn next(&self, body: &mut Body<'_>) -> Result<Option<Buf>, Failure> {
        loop {
            match body.next(&self.from).await {
                // On a stream of HTTP/2 the end of a wait ends nothing else.
                Err(Failed::Ended(Ended::Deadline))
                    if self.may_rest.get()
                        && matches!(body, Body::H2(_))
                        && clock::now() < self.from.until => {}
                next => return next.map_err(|failed| self.not_read(&failed)),
            }
        }
    }

    fn not_read(&self, failed: &Failed) -> Failure {
        match failed {
            // The client did nothing wrong: the whole exchange has had its time.
            Failed::Ended(Ended::Deadline) if clock::now() >= self.from.until => {
                Failure::UpstreamTotalTimeout
            }
            failed => request_failure(failed),
        }
    }

    fn went(&self, written: Result<(), Ended>) -> Result<bool, Failure> {
        match written {
            Ok(()) => Ok(true),
            // It may have answered without reading on (413, 401): the answer tells.
            Err(Ended::Io(_)) => Ok(false),
            Err(Ended::ClientGone) => Err(Failure::ClientGone),
            Err(Ended::Deadline) if self.abandoned.get() => Ok(false),
            Err(Ended::Deadline) if clock::now() >= self.to.until => {
                Err(Failure::UpstreamTotalTimeout)
            }
            Err(Ended::Deadline) => Err(Failure::UpstreamIdleTimeout),
        }
    }
}

/// What a request body that cannot be read to its end means.
#[must_use]
pub fn request_failure(failed: &Failed) -> Failure {
    match failed {
        Failed::Cut | Failed::Ended(Ended::Io(_) | Ended::ClientGone) => Failure::ClientGone,
        Failed::Malformed(reject) => reject.failure(),
        Failed::Ended(Ended::Deadline) => Failure::ClientStalled,
    }
}
