//! Request and response heads with their bodies: no panic, the same outcome at every split, and
//! what is accepted means the same after it was written and read again.
//!
//! The first byte chooses: its lowest bits the side and the request's method, the others where to
//! cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

use ringway::http::{
    Limits, Method, Parsed, RequestHead, ResponseHead, Scan, parse_request, parse_response,
};

/// The unit tests' files name the room as `crate::http`.
mod http {
    pub use ringway::http::*;
}
#[path = "../../src/http/tests/drive.rs"]
#[expect(dead_code, reason = "the chunked target uses the rest")]
mod drive;
#[path = "../../src/http/tests/rewrite.rs"]
mod rewrite;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let stride = usize::from(choice >> 2) + 1;
    let cuts: Vec<usize> = (0..bytes.len()).step_by(stride).collect();
    match choice & 3 {
        0 => request(bytes, &cuts),
        1 => response(bytes, &cuts, Method::Get),
        2 => response(bytes, &cuts, Method::Head),
        _ => response(bytes, &cuts, Method::Connect),
    }
});

fn request(bytes: &[u8], cuts: &[usize]) {
    let limits = Limits::default();
    assert_eq!(drive::request(bytes, cuts, &limits), drive::request(bytes, &[], &limits));
    let mut head = RequestHead::default();
    let parsed = parse_request(&mut head, &mut Scan::default(), bytes, &limits);
    if parsed == Ok(Parsed::Complete) {
        rewrite::assert_request_survives(&head, bytes);
    }
}

fn response(bytes: &[u8], cuts: &[usize], method: Method) {
    let limits = Limits::default();
    let whole = drive::response(bytes, &[], &limits, method);
    assert_eq!(drive::response(bytes, cuts, &limits, method), whole);
    let mut head = ResponseHead::default();
    let parsed = parse_response(&mut head, &mut Scan::default(), bytes, &limits, method);
    if parsed == Ok(Parsed::Complete) {
        rewrite::assert_response_survives(&head, bytes, method);
    }
}
