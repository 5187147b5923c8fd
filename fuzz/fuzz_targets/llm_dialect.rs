//! Translation between the dialects of language models: no bytes make it panic, what it writes is
//! whole JSON in whole events, and a stream looks complete only if it is.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The unit tests' file names the room as `crate::llm`.
mod llm {
    pub use ringway::llm::*;
}
#[path = "../../src/llm/dialect/tests/survives.rs"]
mod survives;

fuzz_target!(|input: &[u8]| {
    survives::as_bodies(input);
    survives::as_streams(input);
});
