//! The tables of `tests/data`, held against the codec; the wire-level tests read the same ones.

use super::cases::{Case, cases, unescape};
use super::drive::{End, Outcome, request, response};
use crate::http::*;

const MALFORMED_REQUESTS: &str = include_str!("../../../tests/data/malformed-requests.txt");
const MALFORMED_RESPONSES: &str = include_str!("../../../tests/data/malformed-responses.txt");
const WELLFORMED_REQUESTS: &str = include_str!("../../../tests/data/wellformed-requests.txt");

/// In one piece, and byte by byte (the long ones in pieces of 97 bytes): both must tell the same.
fn both_ways(case: &Case, read: impl Fn(&[usize]) -> Outcome) -> Outcome {
    let whole = read(&[]);
    let step = if case.bytes.len() > 2000 { 97 } else { 1 };
    let cuts: Vec<usize> = (0..case.bytes.len()).step_by(step).collect();
    assert_eq!(read(&cuts), whole, "{}: the split changes the outcome", case.name);
    whole
}

fn token(end: &End) -> String {
    match end {
        End::Complete(used) => format!("complete after {used}"),
        End::Cut => "cut".to_owned(),
        End::Refused(reject) => reject.token().to_owned(),
    }
}

#[test]
fn every_malformed_request_is_refused_for_its_reason() {
    let cases = cases(MALFORMED_REQUESTS);
    assert!(cases.len() >= 150);
    let mut wrong = Vec::new();
    for case in &cases {
        let outcome = both_ways(case, |cuts| request(&case.bytes, cuts, &Limits::default()));
        let status = match outcome.end {
            End::Refused(reject) => reject.failure().row().status,
            _ => 0,
        };
        let found = [status.to_string(), token(&outcome.end)];
        if found != case.columns[0][..] {
            wrong.push(format!("{}: {:?}, not {found:?}", case.name, case.columns[0]));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_malformed_response_is_refused_for_its_reason() {
    let cases = cases(MALFORMED_RESPONSES);
    assert!(cases.len() >= 60);
    let mut wrong = Vec::new();
    for case in &cases {
        let [method, expected] = case.columns[0][..] else { panic!("{}: two words", case.name) };
        let method = Method::known(method.as_bytes()).expect("a known method");
        let read = |cuts: &[usize]| response(&case.bytes, cuts, &Limits::default(), method);
        let outcome = both_ways(case, read);
        if token(&outcome.end) != expected {
            wrong.push(format!("{}: {expected}, not {}", case.name, token(&outcome.end)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_wellformed_request_is_read_as_told() {
    let cases = cases(WELLFORMED_REQUESTS);
    assert!(cases.len() >= 40);
    for case in &cases {
        let outcome = both_ways(case, |cuts| request(&case.bytes, cuts, &Limits::default()));
        let mut head = RequestHead::default();
        let parsed =
            parse_request(&mut head, &mut Scan::default(), &case.bytes, &Limits::default());
        assert_eq!(parsed, Ok(Parsed::Complete), "{}", case.name);
        let framing = match head.framing {
            Framing::None => "none".to_owned(),
            Framing::Length(length) => format!("length:{length}"),
            Framing::Chunked => "chunked".to_owned(),
            Framing::UntilClose => panic!("{}: a request does not end with the stream", case.name),
        };
        let keep = if head.keep_alive { "keep" } else { "close" };
        let expected: Vec<Vec<u8>> = case.columns[0].iter().map(|word| some(word)).collect();
        let buf = &case.bytes;
        let found = [
            head.method.token(buf),
            head.path(buf),
            head.host.of(buf),
            framing.as_bytes(),
            keep.as_bytes(),
        ];
        assert_eq!(found, expected[..], "{}", case.name);
        assert_eq!(outcome.body, some(&case.columns[1].join(" ")), "{}", case.name);
        let cut = head.framing == Framing::Length(i64::MAX.unsigned_abs());
        let end = if cut { End::Cut } else { End::Complete(buf.len()) };
        assert_eq!(outcome.end, end, "{}", case.name);
    }
}

fn some(word: &str) -> Vec<u8> {
    if word == "-" { vec![] } else { unescape(word) }
}

#[test]
fn no_name_stands_twice_in_a_table() {
    for table in [MALFORMED_REQUESTS, MALFORMED_RESPONSES, WELLFORMED_REQUESTS] {
        let mut names: Vec<_> = cases(table).iter().map(|case| case.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

#[test]
fn every_reason_to_refuse_has_a_case() {
    let mut tokens: Vec<&str> =
        cases(MALFORMED_REQUESTS).iter().map(|case| case.columns[0][1]).collect();
    tokens.extend(cases(MALFORMED_RESPONSES).iter().map(|case| case.columns[0][1]));
    // Their cases are in h2/translate/tests.rs, and in tests/it/grpc.rs for the last.
    let elsewhere = [
        Reject::Pseudo,
        Reject::HostDiffers,
        Reject::HopField,
        Reject::ValueBlank,
        Reject::Connect,
        Reject::Base64,
    ];
    for reject in Reject::ALL.iter().filter(|reject| !elsewhere.contains(reject)) {
        assert!(tokens.contains(&reject.token()), "{reject} has no case");
    }
}
