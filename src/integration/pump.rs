//! A request's body on its way to the endpoint, while the answer may already be coming back.

use std::cell::Cell;

use crate::failure::Failure;
use crate::http::write;
use crate::message::{Body, Failed, HeadOut};
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};
use crate::net::stream::Stream;

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
}

// === impl Pump ===

impl Pump<'_> {
    /// Sends what comes. `Ok(true)`: the whole body has been sent; `Ok(false)`: the endpoint takes
    /// no more, its answer decides.
    pub async fn run(
        &self,
        mut first: Option<Buf>,
        body: &mut Body<'_>,
        to: &Stream,
    ) -> Result<bool, Failure> {
        loop {
            let next = match first.take() {
                Some(data) => Some(data),
                None => body.next(&self.from).await.map_err(|failed| request_failure(&failed))?,
            };
            if self.abandoned.get() {
                return Ok(false);
            }
            if self.bytes_max.is_some_and(|max| body.received() > max) {
                return Err(Failure::BodyTooLarge);
            }
            let Some(data) = next else { break };
            if !self.write(to, self.framed(data)).await? {
                return Ok(false);
            }
        }
        if !self.chunked {
            return Ok(true);
        }
        let mut tail = HeadOut::new();
        write::last_chunk_with(&mut tail, body.trailers());
        let tail = tail.into_buf().ok_or(Failure::HeadTooLarge)?;
        self.write(to, tail).await
    }

    fn framed(&self, mut data: Buf) -> Buf {
        if self.chunked {
            data.frame_chunk(false);
        }
        data
    }

    async fn write(&self, to: &Stream, buf: Buf) -> Result<bool, Failure> {
        match self.to.write(to, buf).await {
            Ok(()) => Ok(true),
            // It may have answered without reading on (413, 401): the answer tells.
            Err(Ended::Io(_)) => Ok(false),
            Err(Ended::ClientGone) => Err(Failure::ClientGone),
            Err(Ended::Deadline) if self.abandoned.get() => Ok(false),
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
