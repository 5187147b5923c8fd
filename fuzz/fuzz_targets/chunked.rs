//! Chunked bodies: no panic, the same outcome at every split, and the outcome is the reference's.
//!
//! The first byte says where to cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

use ringway::http::Framing;

/// The unit tests' files name the room as `crate::http`.
mod http {
    pub use ringway::http::*;
}
#[path = "../../src/http/tests/drive.rs"]
#[expect(dead_code, reason = "the head target uses the rest")]
mod drive;
#[path = "../../src/http/tests/reference.rs"]
mod reference;

fuzz_target!(|input: &[u8]| {
    let Some((&stride, bytes)) = input.split_first() else { return };
    let cuts: Vec<usize> = (0..bytes.len()).step_by(usize::from(stride) + 1).collect();
    let whole = drive::body(bytes, &[], Framing::Chunked);
    assert_eq!(drive::body(bytes, &cuts, Framing::Chunked), whole);
    let found = match whole.end {
        drive::End::Complete(used) => Some((whole.body, used)),
        drive::End::Cut | drive::End::Refused(_) => None,
    };
    assert_eq!(found, reference::decode(bytes));
});
