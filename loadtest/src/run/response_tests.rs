use proptest::prelude::*;

use super::*;

/// Feeds `wire` cut at `cuts`, then ends the stream. Returns what a caller would know.
fn read(wire: &[u8], cuts: &[usize]) -> (Result<Head, Fault>, Vec<u8>, usize) {
    let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (wire.len() + 1)).collect();
    cuts.push(wire.len());
    cuts.sort_unstable();
    let mut reader = Reader::new();
    let mut body = Vec::new();
    let mut from = 0;
    for to in cuts {
        match reader.feed(&wire[from..to], |piece| body.extend_from_slice(piece)) {
            Ok(Progress::More) => from = to,
            Ok(Progress::Done(used)) => return (Ok(reader.head()), body, from + used),
            Err(fault) => return (Err(fault), body, 0),
        }
    }
    (reader.end_of_stream().map(|()| reader.head()), body, from)
}

fn whole(wire: &str) -> (Result<Head, Fault>, Vec<u8>, usize) {
    read(wire.as_bytes(), &[])
}

const OK: Head = Head { status: 200, keep_alive: true };

#[test]
fn fixed_body_and_excess() {
    let wire = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloEXCESS";
    let (head, body, used) = whole(wire);
    assert_eq!(head, Ok(OK));
    assert_eq!(body, b"hello");
    assert_eq!(used, wire.len() - "EXCESS".len());
}

#[test]
fn interim_responses_are_passed_over() {
    let (head, body, _) = whole(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 204 No Content\r\n\r\n",
    );
    assert_eq!(head, Ok(Head { status: 204, keep_alive: true }));
    assert!(body.is_empty());
}

#[test]
fn chunks_extensions_and_trailers() {
    let (head, body, _) = whole(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=1\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
    );
    assert_eq!(head, Ok(OK));
    assert_eq!(body, b"hello world");
}

#[test]
fn close_delimited_body_ends_with_the_stream() {
    let (head, body, _) = whole("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    assert_eq!(head, Ok(Head { status: 200, keep_alive: false }));
    assert_eq!(body, b"until the end");
}

#[test]
fn head_answers_have_no_body() {
    let mut reader = Reader::new();
    reader.begin(true);
    let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(reader.feed(wire, |_| ()), Ok(Progress::Done(wire.len())));
}

#[test]
fn ends_that_come_too_early() {
    assert_eq!(whole("").0, Err(Fault::Empty));
    assert_eq!(whole("HTTP/1.1 200").0, Err(Fault::Truncated));
    assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell").0, Err(Fault::Truncated));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    assert_eq!(whole(chunked).0, Err(Fault::Truncated));
}

#[test]
fn refuses_what_a_strict_client_refuses() {
    for wire in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "not http at all\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert!(matches!(whole(wire).0, Err(Fault::Malformed(_))), "{wire:?}");
    }
}

/// A well-formed response with its body, as bytes on the wire.
fn response() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6);
    (pieces, any::<bool>(), any::<bool>()).prop_map(|(pieces, chunked, interim)| {
        let body: Vec<u8> = pieces.concat();
        let mut wire = Vec::new();
        if interim {
            wire.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        wire.extend_from_slice(b"HTTP/1.1 200 OK\r\nServer: x\r\n");
        if chunked {
            wire.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in &pieces {
                wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nX-Trailer: t\r\n\r\n");
        } else {
            wire.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            wire.extend_from_slice(&body);
        }
        (wire, body)
    })
}

proptest! {
    #[test]
    fn any_split_reads_the_same(
        (wire, body) in response(),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let (head, got, used) = read(&wire, &cuts);
        prop_assert_eq!(head, Ok(OK));
        prop_assert_eq!(got, body);
        prop_assert_eq!(used, wire.len());
    }

    #[test]
    fn any_split_of_anything_gives_the_same_verdict(
        wire in "(HTTP/1\\.1 200 OK\r\n)?(Content-Length: [0-9]{1,2}\r\n)?\
                 (Transfer-Encoding: chunked\r\n)?\r?\n[0-9a-f\r\n;x]{0,30}",
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let (one, one_body, _) = read(wire.as_bytes(), &[]);
        let (many, many_body, _) = read(wire.as_bytes(), &cuts);
        prop_assert_eq!(one.is_ok(), many.is_ok());
        if one.is_ok() {
            prop_assert_eq!(one, many);
            prop_assert_eq!(one_body, many_body);
        }
    }
}
