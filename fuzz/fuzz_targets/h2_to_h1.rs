//! HTTP/2 messages as HTTP/1.1 text: no panic, and what is not refused is one message with the same
//! fields, whose way back leads to the same HTTP/2 message.
//!
//! The first byte chooses: its lowest bit whether END_STREAM stood on HEADERS, the next two the
//! side and the request's method. The rest are lines: see `survives`.
#![no_main]

use libfuzzer_sys::fuzz_target;

use ringway::http::Method;

/// The unit tests' files name the room as `crate::http`.
mod http {
    pub use ringway::http::*;
}
#[path = "../../src/http/h2/translate/tests/survives.rs"]
mod survives;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, lines)) = input.split_first() else { return };
    let ends = choice & 1 != 0;
    let method = match choice >> 1 & 3 {
        0 | 1 => {
            if let Some(parts) = survives::request_parts(lines) {
                survives::assert_request(&parts, ends);
            }
            return;
        }
        2 => Method::Get,
        _ => Method::Head,
    };
    if let Some(parts) = survives::response_parts(lines) {
        survives::assert_response(&parts, method, ends);
    }
});
