use super::super::request::Rendered;
use super::*;
use crate::h2::hpack;

const BEFORE: Nanos = 1000;
const AFTER: Nanos = 5000;

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::head(&mut out, payload.len(), kind, flags, id);
    out.extend_from_slice(payload);
    out
}

fn headers(end: bool, id: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        hpack::encode(&mut block, name, value.as_bytes());
    }
    frame(frame::HEADERS, frame::END_HEADERS | u8::from(end), id, &block)
}

fn data(end: bool, id: u32, bytes: &[u8]) -> Vec<u8> {
    frame(frame::DATA, u8::from(end), id, bytes)
}

/// A session with so many requests under way, on a connection whose SETTINGS have come.
fn begun(requests: usize, grpc: bool, is_head: bool) -> Session {
    let mut session = Session::new(false, grpc);
    let settings = frame(frame::SETTINGS, 0, 0, &[]);
    assert_eq!(session.receive(&settings, 0), Ok(settings.len()));
    for _ in 0..requests {
        assert!(session.has_room(requests));
        let message = Message { block: Rendered::Fixed(&[0x82]), body: None };
        let (deadline, abort_at) = (BEFORE + 10_000, Nanos::MAX);
        let begin = Begin { message, is_head, due: 500, starved: false, deadline, abort_at };
        session.begin(begin, BEFORE);
    }
    session.link.outbox.bytes.clear();
    session
}

fn outcomes(session: &mut Session) -> Vec<Result<(u16, u64), String>> {
    let outcome = |ended: Ended| match ended.outcome {
        Outcome::Answered(answer) => Ok((answer.status, answer.body_bytes)),
        Outcome::Failed(problem) => Err(problem.name()),
        Outcome::Aborted => Err("aborted".into()),
    };
    session.ended.drain(..).map(outcome).collect()
}

/// What one stream is told, and what comes of its request.
fn told(grpc: bool, is_head: bool, frames: &[Vec<u8>]) -> Result<(u16, u64), String> {
    let mut session = begun(1, grpc, is_head);
    if let Err(problem) = session.receive(&frames.concat(), AFTER) {
        session.fail_all(problem, AFTER);
    }
    let mut outcomes = outcomes(&mut session);
    assert_eq!(outcomes.len(), 1, "one request, one end");
    assert_eq!(session.in_flight(), 0);
    outcomes.remove(0)
}

const OK: (&str, &str) = (":status", "200");

#[test]
fn streams_end_in_any_order_and_any_pieces() {
    let mut session = begun(3, false, false);
    let bytes = [
        headers(false, 5, &[OK, ("content-length", "3")]),
        headers(false, 1, &[OK]),
        data(true, 5, b"abc"),
        headers(true, 3, &[(":status", "503")]),
        data(false, 1, b"0123456789"),
        data(true, 1, b""),
    ]
    .concat();
    // Byte by byte, as a driver would: what is not a whole frame is fed again.
    let mut buffered = Vec::new();
    for byte in bytes {
        buffered.push(byte);
        let used = session.receive(&buffered, AFTER).unwrap();
        buffered.drain(..used);
    }
    let times = session.ended[0].times;
    assert_eq!((times.due, times.sent, times.first_byte, times.ended), (500, BEFORE, AFTER, AFTER));
    assert_eq!(outcomes(&mut session), [Ok((200, 3)), Ok((503, 0)), Ok((200, 10))]);
}

#[test]
fn an_answer_is_as_long_as_it_says() {
    let sized = |fields: &[(&str, &str)], body: &[u8]| {
        told(false, false, &[headers(false, 1, fields), data(true, 1, body)])
    };
    assert_eq!(sized(&[OK, ("content-length", "4")], b"abcd"), Ok((200, 4)));
    assert_eq!(sized(&[OK, ("content-length", "5")], b"abcd"), Err("truncated".into()));
    assert_eq!(sized(&[OK, ("content-length", "3")], b"abcd"), Err("excess_bytes".into()));
    let length = [OK, ("content-length", "42")];
    assert_eq!(told(false, true, &[headers(true, 1, &length)]), Ok((200, 0)), "HEAD");
    assert_eq!(told(false, false, &[headers(true, 1, &length)]), Err("truncated".into()));
}

#[test]
fn interim_answers_and_trailers_are_read() {
    let early = headers(false, 1, &[(":status", "103"), ("link", "</a>")]);
    let trailers = headers(true, 1, &[("x-checksum", "0")]);
    let answer = [early.clone(), headers(false, 1, &[OK]), data(false, 1, b"abc"), trailers];
    assert_eq!(told(false, false, &answer), Ok((200, 3)));
    let ended = told(false, false, &[headers(true, 1, &[(":status", "103")])]);
    assert_eq!(ended, Err("malformed: :status".into()));
    let twice = [headers(false, 1, &[OK]), headers(false, 1, &[OK])];
    assert_eq!(told(false, false, &twice), Err("malformed: a second header block".into()));
}

#[test]
fn grpc_goes_by_its_trailers() {
    let answered = |fields: &[(&str, &str)]| {
        let head = headers(false, 1, &[OK]);
        told(true, false, &[head, data(false, 1, b"\0\0\0\0\0"), headers(true, 1, fields)])
    };
    assert_eq!(answered(&[("grpc-status", "0")]), Ok((200, 5)));
    assert_eq!(answered(&[("grpc-status", "14")]), Err("grpc_status_14".into()));
    assert_eq!(answered(&[("x", "y")]), Err("malformed: no grpc-status".into()));
    let only = headers(true, 1, &[OK, ("grpc-status", "0")]);
    assert_eq!(told(true, false, &[only]), Ok((200, 0)), "trailers only");
    let cut = [headers(false, 1, &[OK]), data(true, 1, b"\0\0\0\0\0")];
    assert_eq!(told(true, false, &cut), Err("malformed: no grpc-status".into()));
}

#[test]
fn what_a_strict_client_refuses_is_an_error() {
    for fields in [
        &[("x", "y")][..],
        &[OK, OK],
        &[("x", "y"), OK],
        &[(":path", "/"), OK],
        &[(":status", "099")],
        &[(":status", "20")],
        &[OK, ("X-Upper", "y")],
        &[OK, ("connection", "close")],
        &[OK, ("transfer-encoding", "chunked")],
        &[OK, ("content-length", "+1")],
        &[OK, ("content-length", "1"), ("content-length", "1")],
        &[OK, ("x", "a\r\nb")],
    ] {
        let verdict = told(false, false, &[headers(true, 1, fields)]);
        assert!(verdict.as_ref().is_err_and(|e| e.starts_with("malformed")), "{fields:?}");
    }
    assert!(told(false, false, &[data(true, 1, b"x")]).is_err(), "DATA before HEADERS");
    assert!(told(false, false, &[data(true, 3, b"x")]).is_err(), "an idle stream");
}

#[test]
fn a_reset_ends_one_stream_and_late_frames_none() {
    let mut session = begun(2, false, false);
    let reset = frame(frame::RST_STREAM, 0, 1, &[0, 0, 0, 7]);
    let bytes = [reset, headers(true, 1, &[OK]), headers(true, 3, &[OK])].concat();
    assert_eq!(session.receive(&bytes, AFTER), Ok(bytes.len()));
    let expected = [Err("rst_stream: refused_stream".into()), Ok((200, 0))];
    assert_eq!(outcomes(&mut session), expected);
}

#[test]
fn a_goaway_spares_what_the_peer_took() {
    let mut session = begun(3, false, false);
    session.receive(&frame(frame::GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]), AFTER).unwrap();
    assert_eq!(outcomes(&mut session), [Err("goaway: no_error".into())]);
    assert!(!session.has_room(9) && !session.is_over());
    let rest = [headers(true, 1, &[OK]), headers(true, 3, &[OK])].concat();
    session.receive(&rest, AFTER).unwrap();
    assert_eq!(outcomes(&mut session), [Ok((200, 0)), Ok((200, 0))]);
    assert!(session.is_over());
}

#[test]
fn what_is_overdue_is_reset_alone() {
    let mut session = begun(2, false, false);
    session.streams[1].abort_at = AFTER;
    assert_eq!(session.deadline(), AFTER);
    session.cut_overdue(AFTER - 1);
    assert_eq!(session.in_flight(), 2);
    session.cut_overdue(AFTER);
    assert_eq!(outcomes(&mut session), [Err("aborted".into())]);
    assert_eq!(session.link.outbox.bytes, frame(frame::RST_STREAM, 0, 3, &[0, 0, 0, 8]));
    session.cut_overdue(Nanos::MAX - 1);
    assert_eq!(outcomes(&mut session), [Err("timeout".into())]);
}

#[test]
fn the_peers_bound_on_streams_is_kept() {
    let mut session = begun(1, false, false);
    session.receive(&frame(frame::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]), 0).unwrap();
    assert!(!session.has_room(16));
    session.receive(&headers(true, 1, &[OK]), AFTER).unwrap();
    assert!(session.has_room(16));
}
