//! A request's whole body in memory: a request to a model may have to be sent to another provider,
//! and what it costs is known only when all of it is here.
//!
//! Invariants: a body is no longer than its route allows, and all bodies of a worker together no
//! longer than `LLM_BODIES_BYTES_MAX`; what is held is counted until it is dropped.

use std::cell::Cell;

use crate::bounds::{LLM_BODIES_BYTES_MAX, LLM_BODY_BYTES_MAX};
use crate::failure::Failure;
use crate::integration::pump::request_failure;
use crate::message::Body;
use crate::net::patience::Patience;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// A body that is all here.
#[derive(Debug, Default)]
pub struct Whole {
    bytes: Vec<u8>,
    /// Of [`HELD`].
    counted: usize,
}

/// Reads all of a body.
///
/// # Errors
/// When it is longer than allowed, malformed, late, or the client leaves.
pub async fn read(
    body: &mut Body<'_>,
    max: Option<u64>,
    declared: Option<u64>,
    patience: &Patience<'_>,
) -> Result<Whole, Failure> {
    let max = max.map_or(LLM_BODY_BYTES_MAX, |max| {
        usize::try_from(max).unwrap_or(usize::MAX).min(LLM_BODY_BYTES_MAX)
    });
    let declared = usize::try_from(declared.unwrap_or(0)).unwrap_or(usize::MAX);
    if declared > max {
        return Err(Failure::BodyTooLarge);
    }
    let mut whole = Whole::default();
    // What a client only says it will send is no reason to set much aside.
    whole.bytes.reserve_exact(declared.min(ROOM_AHEAD));
    let mut next = body.ready().map_err(|failed| request_failure(&failed))?;
    loop {
        if let Some(data) = next {
            if whole.bytes.len() + data.len() > max {
                return Err(Failure::BodyTooLarge);
            }
            whole.bytes.extend_from_slice(data.filled());
            whole.count()?;
        }
        if body.is_done() {
            return Ok(whole);
        }
        next = body.next(patience).await.map_err(|failed| request_failure(&failed))?;
    }
}

/// Set aside at once for a body of known length.
const ROOM_AHEAD: usize = 1 << 20;

// === impl Whole ===

impl Whole {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn count(&mut self) -> Result<(), Failure> {
        let held = self.bytes.capacity();
        let all = HELD.get() + held - self.counted;
        if all > LLM_BODIES_BYTES_MAX {
            return Err(Failure::Unavailable);
        }
        HELD.set(all);
        self.counted = held;
        Ok(())
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        HELD.set(HELD.get() - self.counted);
    }
}
