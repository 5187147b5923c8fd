//! Properties over generated messages, broken ones too: the verdict does not depend on the split,
//! what is accepted survives being written and read again, and two readings of one grammar agree.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::http::*;

use super::drive::{self, End};
use super::{reference, rewrite};

/// Parts that requests are made of, valid and not, so that most generated ones are nearly right.
fn request_bytes() -> impl Strategy<Value = Vec<u8>> {
    let method = select(&["GET", "POST", "OPTIONS", "CONNECT", "TRACE", "X-Y", "G(T"][..]);
    let target = select(
        &["/", "/a?b", "*", "http://h:1/p", "HTTPS://h?q", "h:80", "/a#b", "", "ftp://h/", "//%2f"]
            [..],
    );
    let version = select(
        &["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1", "HTTP/1.1 "][..],
    );
    let field = select(
        &[
            "Host: a",
            "Host: a:80",
            "host:",
            "Host: u@a",
            "Content-Length: 5",
            "Content-Length: 05",
            "Content-Length: x",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Connection: close, X-Own",
            "Connection: Host",
            "X-Own: 1",
            "x-own:\t2 ",
            "A_B: c",
            "TE: trailers",
            "Upgrade: x",
            "Expect: 100-continue",
            "Expect: y",
            " folded",
            "no colon",
            ": empty",
            "sp : ace",
            "V: \u{e9}",
            "Cookie: a=b; c=\"d\"",
            "Via:",
            "content_length: 9",
        ][..],
    );
    let body = select(
        &[
            "",
            "hello",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=\"b\"\r\nhello\r\n0\r\nA: b\r\n\r\n",
            "5;\r\nhello",
            "\r\n",
        ][..],
    );
    let fields = proptest::collection::vec(field, 0..6);
    let host = select(&["Host: a", "Host: a", "Host: a", "X: y"][..]);
    (method, target, version, host, fields, body).prop_map(
        |(method, target, version, host, fields, body)| {
            let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            format!("{method} {target} {version}\r\n{host}\r\n{lines}\r\n{body}").into_bytes()
        },
    )
}

fn response_bytes() -> impl Strategy<Value = Vec<u8>> {
    let line = select(
        &[
            "HTTP/1.1 200 OK",
            "HTTP/1.1 204 ",
            "HTTP/1.0 200",
            "HTTP/1.1 101 x",
            "HTTP/1.1 100 c",
            "HTTP/2 200",
        ][..],
    );
    let field = select(
        &[
            "Content-Length: 5",
            "Content-Length: 5, 5",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "Connection: X-Own, Server",
            "X-Own: 1",
            "Server: s",
            "Set-Cookie: a",
            "Set-Cookie: b",
            " fold",
            "V: \u{e9}",
        ][..],
    );
    let body = select(&["", "hello", "5\r\nhello\r\n0\r\n\r\n", "a"][..]);
    (line, proptest::collection::vec(field, 0..4), body).prop_map(|(line, fields, body)| {
        let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("{line}\r\n{lines}\r\n{body}").into_bytes()
    })
}

/// A coded body, mostly well formed.
fn chunked_bytes() -> impl Strategy<Value = Vec<u8>> {
    let extension = select(
        &[
            "",
            "",
            "",
            ";a",
            ";a=b",
            " ; a = \"b\\\"c\"",
            ";a=\"\u{e9}\t\";b",
            ";",
            " ",
            ";a=",
            ";a b",
            ";a=\"b",
        ][..],
    );
    let chunk = (proptest::collection::vec(any::<u8>(), 1..20), extension);
    let trailer = select(
        &["", "", "X: y\r\n", "X: y\r\nHost: b\r\n", "X\r\n", " f: g\r\n", "\u{e9}: h\r\n"][..],
    );
    (proptest::collection::vec(chunk, 0..5), trailer).prop_map(|(chunks, trailer)| {
        let mut out = Vec::new();
        for (data, extension) in chunks {
            out.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
            out.extend_from_slice(&data);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("0\r\n{trailer}\r\nGET /").as_bytes());
        out
    })
}

/// Single bytes replaced, removed or put in.
fn broken(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let byte = select(&b"\r\n\t\0 :;=,\"\\0aAG\x7f\x80\xff"[..]);
    let change = (any::<Index>(), 0..3u8, byte);
    (bytes, proptest::collection::vec(change, 0..3)).prop_map(|(mut bytes, changes)| {
        for (at, kind, byte) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    proptest::collection::vec(any::<Index>(), 0..12)
}

fn places(cuts: &[Index], len: usize) -> Vec<usize> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    places.sort_unstable();
    places
}

/// Small enough that generated messages reach them.
const TIGHT: Limits = Limits { head_bytes_max: 120, target_bytes_max: 8, fields_max: 4 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_request_is_read_the_same_at_every_split(
        bytes in broken(request_bytes()),
        cuts in cuts(),
    ) {
        let places = places(&cuts, bytes.len());
        for limits in [Limits::default(), TIGHT] {
            let whole = drive::request(&bytes, &[], &limits);
            prop_assert_eq!(&drive::request(&bytes, &places, &limits), &whole);
            let each: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(&drive::request(&bytes, &each, &limits), &whole);
        }
    }

    #[test]
    fn a_response_is_read_the_same_at_every_split(
        bytes in broken(response_bytes()),
        cuts in cuts(),
    ) {
        let places = places(&cuts, bytes.len());
        for method in [Method::Get, Method::Head, Method::Connect] {
            let whole = drive::response(&bytes, &[], &Limits::default(), method);
            prop_assert_eq!(drive::response(&bytes, &places, &Limits::default(), method), whole);
        }
    }

    #[test]
    fn an_accepted_request_survives_being_written(bytes in broken(request_bytes())) {
        let mut head = RequestHead::default();
        let parsed = parse_request(&mut head, &mut Scan::default(), &bytes, &Limits::default());
        if parsed == Ok(Parsed::Complete) {
            rewrite::assert_request_survives(&head, &bytes);
        }
    }

    #[test]
    fn an_accepted_response_survives_being_written(bytes in broken(response_bytes())) {
        for method in [Method::Get, Method::Head, Method::Connect] {
            let (mut head, mut scan) = (ResponseHead::default(), Scan::default());
            let parsed = parse_response(&mut head, &mut scan, &bytes, &Limits::default(), method);
            if parsed == Ok(Parsed::Complete) {
                rewrite::assert_response_survives(&head, &bytes, method);
            }
        }
    }

    /// The fast parser and the one that names faults accept the same heads.
    #[test]
    fn a_fault_is_found_exactly_where_the_parser_refuses(bytes in broken(request_bytes())) {
        let mut scan = Scan::default();
        let Ok(Some(_)) = scan.request_start(&bytes) else { return Ok(()) };
        let Ok(Some(found)) = scan.request(&bytes, &Limits::default()) else { return Ok(()) };
        let line = diagnose::request_line(&bytes[found.start..found.fields - 2], 32);
        let fault = line.or_else(|| diagnose::fields(&bytes[found.fields..found.end], 100));
        let mut table = [httparse::EMPTY_HEADER; 100];
        let fast = httparse::Request::new(&mut table).parse(&bytes[found.start..found.end]);
        let mut head = RequestHead::default();
        let parsed = parse_request(&mut head, &mut Scan::default(), &bytes, &Limits::default());
        if fast.is_err() {
            prop_assert!(fault.is_some(), "{:?} has no name", fast);
        }
        if let Some(fault) = fault {
            prop_assert!(parsed.is_err(), "{fault} was accepted");
        }
    }

    #[test]
    fn a_coded_body_is_read_the_same_at_every_split(
        bytes in broken(chunked_bytes()),
        cuts in cuts(),
    ) {
        let places = places(&cuts, bytes.len());
        let whole = drive::body(&bytes, &[], Framing::Chunked);
        prop_assert_eq!(&drive::body(&bytes, &places, Framing::Chunked), &whole);
        let each: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(&drive::body(&bytes, &each, Framing::Chunked), &whole);
    }

    #[test]
    fn a_coded_body_is_read_as_the_reference_reads_it(bytes in broken(chunked_bytes())) {
        let outcome = drive::body(&bytes, &[], Framing::Chunked);
        let found = match outcome.end {
            End::Complete(used) => Some((outcome.body, used)),
            End::Cut | End::Refused(_) => None,
        };
        prop_assert_eq!(found, reference::decode(&bytes));
    }

    #[test]
    fn what_the_writer_codes_the_decoder_takes_off(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..6),
        cuts in cuts(),
    ) {
        let mut out = Vec::new();
        for chunk in &chunks {
            write::chunk_prefix(&mut out, chunk.len());
            write::Out::put(&mut out, chunk);
            write::chunk_end(&mut out);
        }
        write::last_chunk_with(&mut out, [(&b"X-Sum"[..], &b"1"[..])]);
        let outcome = drive::body(&out, &places(&cuts, out.len()), Framing::Chunked);
        prop_assert_eq!(outcome.end, End::Complete(out.len()));
        prop_assert_eq!(outcome.body, chunks.concat());
        prop_assert_eq!(outcome.trailers, vec![(b"X-Sum".to_vec(), b"1".to_vec())]);
    }
}
