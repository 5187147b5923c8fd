use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::*;

fn skipped(text: &[u8]) -> Result<Range<usize>, Malformed> {
    let mut reader = Reader::new(text);
    let span = reader.skip()?;
    reader.end()?;
    Ok(span)
}

fn string(text: &str) -> Option<String> {
    let mut reader = Reader::new(text.as_bytes());
    let text = reader.string().ok()?;
    reader.end().ok()?;
    text.decoded().map(Cow::into_owned)
}

#[test]
fn what_is_no_json_is_refused_where_it_breaks() {
    for (text, reason, at) in [
        ("", "it ends in the middle", 0),
        ("nul", "a value was expected", 0),
        ("[1,]", "a value was expected", 3),
        ("[1 2]", "a comma or the end was expected", 3),
        ("{\"a\":1,}", "a member's name was expected", 7),
        ("{\"a\" 1}", "a colon was expected", 5),
        ("{a:1}", "a member's name was expected", 1),
        ("01", "something follows the end", 1),
        ("-", "a digit was expected", 1),
        ("1.", "a digit was expected", 2),
        ("1e+", "a digit was expected", 3),
        ("+1", "a value was expected", 0),
        ("NaN", "a value was expected", 0),
        ("\"\\x\"", "an escape that is none", 1),
        ("\"\\u12g4\"", "an escape that is none", 1),
        ("\"\\u12", "an escape that is none", 1),
        ("\"a\nb\"", "a control character in a string", 2),
        ("\"abc", "a string without its end", 4),
        ("1 1", "something follows the end", 2),
        ("[[1]", "a comma or the end was expected", 4),
        ("\u{feff}1", "a value was expected", 0),
        ("// 1", "a value was expected", 0),
    ] {
        assert_eq!(skipped(text.as_bytes()), Err(Malformed { reason, at }), "{text}");
    }
}

#[test]
fn what_is_not_utf8_is_refused_wherever_it_stands() {
    let long = "x".repeat(200);
    let bad: [&[u8]; 6] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe4\xb8", b"\x80", b"\xc3"];
    for (bad, before) in bad.into_iter().flat_map(|bad| {
        ["", "x", "12345678", "\u{e9}", "\\n", "\\n\u{e9}\\n", &long].map(|before| (bad, before))
    }) {
        let refused = |front: &str, text: &str, behind: &str| {
            let at = front.len() + text.len();
            let whole = [front.as_bytes(), text.as_bytes(), bad, behind.as_bytes()].concat();
            let reason = "it is not UTF-8";
            assert_eq!(skipped(&whole), Err(Malformed { reason, at }), "{whole:?}");
        };
        for behind in ["", "x", "\\n", &long] {
            refused("\"", before, &format!("{behind}\""));
            refused("[1,{\"a\":\"", before, &format!("{behind}\"}}]"));
            refused("{\"", before, &format!("{behind}\":1}}"));
        }
    }
    // Outside strings nothing but ASCII is JSON.
    for text in [&b"\xc3\xa9"[..], b"[1\xff]", b"{\xc3\xa9:1}", b"1\xff"] {
        assert!(skipped(text).is_err(), "{text:?}");
    }
    assert!(skipped(b"\"a\" \xff").is_err());
}

#[test]
fn it_nests_as_deep_as_is_allowed_and_no_deeper() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(skipped(nested(bounds::JSON_DEPTH_MAX).as_bytes()).is_ok());
    let deeper = nested(bounds::JSON_DEPTH_MAX + 1);
    assert_eq!(skipped(deeper.as_bytes()).expect_err("is too deep").reason, "it nests too deep");
    assert!(skipped("{\"a\":[".repeat(1_000_000).as_bytes()).is_err());
    // What was closed counts no more.
    assert!(skipped(format!("[{}1]", "[[[]]],".repeat(100)).as_bytes()).is_ok());
}

#[test]
fn strings_are_decoded_on_demand() {
    for (text, expected) in [
        (r#""plain""#, Some("plain")),
        (r#""\"\\\/\b\f\n\r\t""#, Some("\"\\/\u{8}\u{c}\n\r\t")),
        (r#""\u0041\u00e9\u4e2d\uD83D\ude00!""#, Some("Aé中😀!")),
        (r#""\\u0041""#, Some("\\u0041")),
        (r#""\ud83d""#, None),
        (r#""\ude00\ud83d""#, None),
        (r#""\ud83dx""#, None),
        (r#""\ud83d\u0041""#, None),
    ] {
        assert_eq!(string(text).as_deref(), expected, "{text}");
        // What is no text may stand where nobody asks for it.
        assert!(skipped(text.as_bytes()).is_ok(), "{text}");
    }
    let mut reader = Reader::new(br#""mod\u0065l""#);
    let text = reader.string().expect("is a string");
    assert!(text.is("model") && !text.is("modem") && text.len() == 5 && text.span() == (0..12));
}

#[test]
fn a_string_ends_wherever_it_ends() {
    // Every length around the widths that are looked at at once, every way to end.
    for len in 0..200 {
        let plain_text = "é~x".repeat(len).chars().take(len).collect::<String>();
        for (end, ok) in [("\"", true), ("\\n\"", true), ("\u{1f}\"", false), ("", false)] {
            let text = format!("\"{plain_text}{end}");
            assert_eq!(skipped(text.as_bytes()).is_ok(), ok, "{len} {end:?}");
        }
    }
}

#[test]
fn whole_numbers_are_whole() {
    for (text, expected) in [
        ("0", Some(0)),
        ("5", Some(5)),
        ("5.0", Some(5)),
        ("5.00", Some(5)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("5.5", None),
        ("-1", None),
        ("-0", None),
        ("1e400", None),
        ("1e2", None),
        ("5.0e1", None),
    ] {
        let mut reader = Reader::new(text.as_bytes());
        assert_eq!(reader.number().expect("is a number").integer(), expected, "{text}");
        assert_eq!(reader.end(), Ok(()));
    }
}

#[test]
fn members_and_elements_are_told_in_order() {
    let text = br#" { "a" : [ 1 , {"x":{}} , [] ] , "b":"c" , "a":null } "#;
    let mut reader = Reader::new(text);
    reader.begin_object().expect("is one");
    let mut told = Vec::new();
    while let Some(name) = reader.next_member().expect("is well formed") {
        let span = reader.skip().expect("is well formed");
        let value = String::from_utf8_lossy(&text[span]).into_owned();
        told.push((name.decoded().expect("is text"), value));
    }
    reader.end().expect("is all");
    assert_eq!(told.len(), 3);
    assert_eq!(told[0], ("a".into(), r#"[ 1 , {"x":{}} , [] ]"#.to_owned()));
    assert_eq!(told[1], ("b".into(), "\"c\"".to_owned()));
}

/// JSON, and what is nearly JSON.
fn texts() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\"a\""),
        Just("\"\\u00e9\\ud83d\\ude00\""),
        Just("-1.5e+3"),
        Just("0"),
        Just("true"),
        Just("null"),
        Just(" "),
        Just("\n"),
        Just("\""),
        Just("\\"),
        Just("é"),
        Just("\u{7f}"),
        Just("\u{1}"),
    ];
    proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_takes_what_serde_json_takes(text in texts()) {
        let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(skipped(text.as_bytes()).is_ok(), theirs);
    }

    #[test]
    fn any_value_is_skipped_whole(value in values(), pretty: bool) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).expect("is a value"),
            false => value.to_string(),
        };
        prop_assert_eq!(skipped(text.as_bytes()), Ok(0..text.len()));
        for cut in 1..text.len() {
            // A number may end anywhere.
            prop_assert!(skipped(&text.as_bytes()[..cut]).is_err() || value.is_number());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let theirs = std::str::from_utf8(&bytes)
            .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        prop_assert_eq!(skipped(&bytes).is_ok(), theirs);
    }

    #[test]
    fn what_is_written_is_read(text: String) {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        let written = String::from_utf8(out).expect("is UTF-8");
        prop_assert_eq!(&serde_json::from_str::<String>(&written).expect("is JSON"), &text);
        prop_assert_eq!(string(&written), Some(text));
    }

    #[test]
    fn strings_are_what_serde_json_says(
        text in r#"(\\["\\/bfnrt]|\\u[0-9a-fD]{4}|[ -~é中]){0,12}"#,
    ) {
        let text = format!("\"{text}\"");
        let theirs = serde_json::from_str::<String>(&text).ok();
        prop_assert_eq!(string(&text), theirs.clone());
        if let Some(theirs) = theirs {
            let mut reader = Reader::new(text.as_bytes());
            prop_assert_eq!(reader.string().expect("is a string").len(), theirs.len());
        }
    }
}
