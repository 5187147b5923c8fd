use proptest::prelude::*;

use super::*;
use crate::failure;

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn a_status_stands_at_its_code() {
    for (code, status) in Status::ALL.iter().enumerate() {
        assert_eq!(usize::from(status.code()), code);
        assert_eq!(Status::parse(code.to_string().as_bytes()), *status);
    }
    for unknown in ["17", "-1", "", "OK", "99999999999999999999"] {
        assert_eq!(Status::parse(unknown.as_bytes()), Status::Unknown, "{unknown}");
    }
    assert_eq!(Status::Unauthenticated.code(), 16);
}

/// What gRPC's clients retry is what may be sent again, and the client's own faults never are.
#[test]
fn a_failure_has_the_status_that_its_row_asks_for() {
    for row in failure::TABLE {
        let status = Status::of_failure(row.failure);
        assert!(status != Status::Ok && status != Status::Unknown, "{}", row.name);
        if status == Status::Unavailable {
            assert!(row.retryable, "{}: UNAVAILABLE says: send it again", row.name);
        }
        if status == Status::InvalidArgument || status == Status::Unimplemented {
            assert!(!row.retryable && row.blame == failure::Blame::Client, "{}", row.name);
        }
    }
    assert_eq!(Status::of_failure(Failure::UpstreamTotalTimeout), Status::DeadlineExceeded);
    assert_eq!(Status::of_failure(Failure::NotFound), Status::Unimplemented);
}

#[test]
fn an_http_status_is_mapped_as_the_protocol_says() {
    for (status, expected) in [
        (400, "INTERNAL"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "UNIMPLEMENTED"),
        (429, "UNAVAILABLE"),
        (502, "UNAVAILABLE"),
        (503, "UNAVAILABLE"),
        (504, "UNAVAILABLE"),
        (200, "UNKNOWN"),
        (408, "UNKNOWN"),
        (500, "UNKNOWN"),
    ] {
        assert_eq!(Status::of_http(status).name(), expected, "{status}");
    }
}

#[test]
fn content_types_are_recognised_and_turned_into_one_another() {
    for (value, kind, suffix) in [
        ("application/grpc", Kind::Grpc, ""),
        ("Application/gRPC+proto", Kind::Grpc, "+proto"),
        ("application/grpc;charset=x", Kind::Grpc, ""),
        ("application/grpc-web ; a=b", Kind::Web, ""),
        ("application/grpc-web+json", Kind::Web, "+json"),
        ("application/grpc-web-text", Kind::WebText, ""),
        ("application/grpc-web-text+proto", Kind::WebText, "+proto"),
    ] {
        let suffix = suffix.as_bytes();
        let parsed = ContentType::parse(value.as_bytes());
        assert_eq!(parsed, Some(ContentType { kind, suffix }), "{value}");
        let again = text(|out| parsed.expect("checked").put_as(kind, out));
        let again = ContentType::parse(again.as_bytes());
        assert_eq!(again, Some(ContentType { kind, suffix }));
    }
    for other in [
        "application/grpcx",
        "application/grpc+",
        "application/json",
        "",
        "grpc",
        "application/grpc-web-texts",
    ] {
        assert_eq!(ContentType::parse(other.as_bytes()), None, "{other}");
    }
    let web = ContentType::parse(b"application/grpc-web-text+proto").expect("well formed");
    assert_eq!(text(|out| web.put_as(Kind::Grpc, out)), "application/grpc+proto");
}

#[test]
fn a_timeout_is_digits_and_a_unit() {
    for (value, nanos) in [
        ("1n", 1),
        ("100u", 100_000),
        ("82m", 82_000_000),
        ("2S", 2_000_000_000),
        ("00000003M", 180_000_000_000),
        ("1H", 3_600_000_000_000),
        ("0m", 0),
    ] {
        assert_eq!(parse_timeout(value.as_bytes()), Some(Duration::from_nanos(nanos)), "{value}");
    }
    assert_eq!(parse_timeout(b"99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
    for bad in ["", "1", "S", "1s", "1h", "123456789n", "-1S", "+1S", "1 S", "1.5S", "1SS"] {
        assert_eq!(parse_timeout(bad.as_bytes()), None, "{bad}");
    }
    for (duration, value) in [
        (Duration::ZERO, "0n"),
        (Duration::from_millis(50), "50000000n"),
        (Duration::from_millis(100), "100000u"),
        (Duration::from_secs(100), "100000m"),
        (Duration::from_secs(200_000), "200000S"),
        (Duration::MAX, "99999999H"),
    ] {
        assert_eq!(text(|out| put_timeout(duration, out)), value);
    }
}

#[test]
fn a_message_is_percent_encoded_and_read_without_failing() {
    for (message, value) in [
        ("ok, fine", "ok, fine"),
        ("100%", "100%25"),
        ("a\r\nb", "a%0D%0Ab"),
        ("\u{fc}", "%C3%BC"),
        ("~\u{7f}", "~%7F"),
        ("", ""),
    ] {
        assert_eq!(text(|out| put_message(message, out)), value);
        assert_eq!(parse_message(value.as_bytes()), message);
    }
    for (value, message) in [
        ("%", "%"),
        ("%4", "%4"),
        ("%zz", "%zz"),
        ("%%41", "%A"),
        ("%c3%bc", "\u{fc}"),
        ("%FF", "\u{fffd}"),
    ] {
        assert_eq!(parse_message(value.as_bytes()), message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_survives(message in any::<String>()) {
        let value = text(|out| put_message(&message, out));
        prop_assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)));
        prop_assert_eq!(parse_message(value.as_bytes()), message);
    }

    #[test]
    fn reading_a_message_never_fails(value in proptest::collection::vec(any::<u8>(), 0..50)) {
        let plain = !value.contains(&b'%') && value.is_ascii();
        prop_assert!(!plain || parse_message(&value).as_bytes() == value);
        prop_assert_eq!(parse_message(&value).is_empty(), value.is_empty());
    }

    #[test]
    fn a_timeout_loses_at_most_a_part_in_a_hundred_thousand(
        nanos in any::<u64>(),
        shift in 0u32..64,
    ) {
        let timeout = Duration::from_nanos(nanos >> shift);
        let value = text(|out| put_timeout(timeout, out));
        prop_assert!(value.len() <= 9);
        let read = parse_timeout(value.as_bytes()).expect("we wrote it");
        prop_assert!(read <= timeout);
        // The coarsest steps are those by a thousand, of numbers above 100,000.
        prop_assert!(timeout - read <= timeout / 100_000, "{timeout:?} became {read:?}");
    }
}
