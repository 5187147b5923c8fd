use super::*;

fn decode(input: &[u8]) -> Result<(Vec<u8>, usize), Reject> {
    let mut decoder = Decoder::default();
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        match decoder.step(&input[at..])? {
            Step::Data { skip, len } => {
                data.extend_from_slice(&input[at + skip..at + skip + len]);
                at += skip + len;
            }
            Step::Done { used } => return Ok((data, at + used)),
            Step::More => panic!("the test's body ends"),
        }
    }
}

#[test]
fn framing_is_skipped_and_what_follows_is_left() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.step(b""), Ok(Step::More));
    assert_eq!(decoder.step(b"5\r\nhe"), Ok(Step::Data { skip: 3, len: 2 }));
    assert_eq!(decoder.step(b"llo\r\n1;a=b\r\n"), Ok(Step::Data { skip: 0, len: 3 }));
    assert_eq!(decoder.step(b"\r\n1;a=b\r\n"), Ok(Step::More));
    assert_eq!(decoder.step(b"x\r\n0\r\n\r\nGET /"), Ok(Step::Data { skip: 0, len: 1 }));
    assert_eq!(decoder.step(b"\r\n0\r\n\r\nGET /"), Ok(Step::Done { used: 7 }));
    assert_eq!(decoder.step(b"GET /"), Ok(Step::Done { used: 0 }));
}

#[test]
fn trailers_are_kept_but_for_names_that_mean_something_here() {
    let body = b"0\r\nGrpc-Status: 0\r\nContent-Length: 5\r\nX-Sum:  a b \r\nAuthorization: x\r\n\
        X_Forwarded_For: y\r\nSet-Cookie: z\r\n\r\nrest";
    let mut decoder = Decoder::default();
    assert_eq!(decoder.step(body), Ok(Step::Done { used: body.len() - 4 }));
    let trailers: Vec<_> = decoder.trailers().collect();
    assert_eq!(trailers, [(&b"Grpc-Status"[..], &b"0"[..]), (b"X-Sum", b"a b")]);
}

#[test]
fn a_body_without_trailers_allocates_nothing() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.step(b"0\r\n\r\n"), Ok(Step::Done { used: 5 }));
    assert_eq!(decoder.trailers.capacity(), 0);
}

#[test]
fn the_largest_chunk_is_below_two_to_the_63() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.step(b"7fffffffffffffff\r\nab"), Ok(Step::Data { skip: 18, len: 2 }));
    assert_eq!(decoder.left, bounds::BODY_BYTES_MAX - 2);
    assert_eq!(decode(b"8000000000000000\r\n"), Err(Reject::ChunkTooLarge));
}

#[test]
fn extensions_are_bounded_per_chunk_and_per_body() {
    let line = |extension: usize| format!("1;{}\r\nx\r\n", "a".repeat(extension - 1));
    let last = "0\r\n\r\n";
    let max = bounds::CHUNK_EXTENSION_BYTES_MAX;
    assert_eq!(decode((line(max) + last).as_bytes()).map(|(data, _)| data), Ok(b"x".to_vec()));
    assert_eq!(decode((line(max + 1) + last).as_bytes()), Err(Reject::ChunkExtensionTooLong));
    let fit = bounds::CHUNK_EXTENSION_BYTES_TOTAL_MAX / max;
    assert!(decode((line(max).repeat(fit) + last).as_bytes()).is_ok());
    let over = line(max).repeat(fit) + &line(2) + last;
    assert_eq!(decode(over.as_bytes()), Err(Reject::ChunkExtensionTooLong));
}

#[test]
fn the_trailer_section_is_bounded_at_its_byte() {
    let fixed = "A: \r\n\r\n".len();
    let of = |len: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(len - fixed));
    assert!(decode(of(bounds::TRAILER_BYTES_MAX).as_bytes()).is_ok());
    assert_eq!(decode(of(bounds::TRAILER_BYTES_MAX + 1).as_bytes()), Err(Reject::TrailersTooLarge));
}
