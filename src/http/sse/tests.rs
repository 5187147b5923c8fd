mod reference;

use proptest::prelude::*;

use super::*;

/// Name and data of each event.
type Told = Vec<(Vec<u8>, Vec<u8>)>;

/// What the splitter says, its bytes in order, and what is left of an event.
fn split(chunks: &[&[u8]]) -> (Told, Vec<u8>, Vec<u8>) {
    let (mut told, mut bytes, mut events) = (Vec::new(), Vec::new(), Events::default());
    for chunk in chunks {
        let mut at = 0;
        while let Some(event) = events.next(chunk, &mut at).expect("is short") {
            if let Place::Chunk(range) = &event.place {
                assert_eq!(&chunk[range.clone()], event.bytes);
            }
            bytes.extend_from_slice(event.bytes);
            let fields = event.fields();
            if let Some(data) = fields.data {
                told.push((fields.name.to_vec(), data.into_owned()));
            }
        }
        assert_eq!(at, chunk.len());
    }
    (told, bytes, events.held().to_vec())
}

fn told(stream: &str) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("is text");
    let (told, ..) = split(&[stream.as_bytes()]);
    told.into_iter().map(|(name, data)| (text(name), text(data))).collect()
}

#[test]
fn any_line_ending_ends_a_line() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = ["event: a", "data: 1", "data:2", "", ": ping", "", "data", "", "id: 7", ""];
        let stream = stream.map(|line| format!("{line}{end}")).concat();
        assert_eq!(told(&stream), [("a".into(), "1\n2".into()), (String::new(), String::new())]);
    }
    let mixed = "data: a\r\ndata: b\rdata: c\n\r\ndata:  d\r\r";
    assert_eq!(told(mixed), [("".into(), "a\nb\nc".into()), ("".into(), " d".into())]);
    let names = "datax: 1\nevent:\ndata : 2\nDATA: 3\ndata: 4\n\n";
    assert_eq!(told(names), [("".into(), "4".into())]);
}

#[test]
fn a_byte_order_mark_is_skipped_once() {
    let stream = "\u{feff}data: a\n\n\u{feff}data: b\n\ndata: c\n\n";
    assert_eq!(told(stream), [("".into(), "a".into()), ("".into(), "c".into())]);
}

#[test]
fn an_event_that_came_whole_is_not_copied() {
    let mut events = Events::default();
    let chunk = b"data: 1\n\ndata: 2\r\n\r\ndata: 3\n";
    let mut at = 0;
    let mut places = Vec::new();
    while let Some(event) = events.next(chunk, &mut at).expect("is short") {
        places.push(event.place);
    }
    assert_eq!(places, [Place::Chunk(0..9), Place::Chunk(9..20)]);
    assert_eq!(events.held(), b"data: 3\n");
    let last = events.cut().expect("something is held").fields();
    assert_eq!(last.data.as_deref(), Some(&b"3"[..]));
    // The rest of the event, then one that is whole again.
    let chunk = b"\ndata: 4\n\n";
    let mut at = 0;
    let event = events.next(chunk, &mut at).expect("is short").expect("has ended");
    assert_eq!((event.bytes, event.place, at), (&b"data: 3\n\n"[..], Place::Held, 1));
    let event = events.next(chunk, &mut at).expect("is short").expect("has ended");
    assert_eq!(event.place, Place::Chunk(1..10));
    assert!(events.held().is_empty() && events.cut().is_none());
}

#[test]
fn a_carriage_return_ends_an_event_at_once() {
    let mut events = Events::default();
    let mut at = 0;
    let event = events.next(b"data: 1\r\r", &mut at).expect("is short").expect("has ended");
    assert_eq!(event.fields().data.as_deref(), Some(&b"1"[..]));
    // Its LF is the next event's, and none of its own.
    at = 0;
    assert!(events.next(b"\n", &mut at).expect("is short").is_none());
    assert!(events.held().is_empty());
    at = 0;
    let event = events.next(b"data: 2\n\n", &mut at).expect("is short").expect("has ended");
    assert_eq!(event.bytes, b"\ndata: 2\n\n");
}

#[test]
fn a_comment_between_two_events_does_not_wait() {
    let mut events = Events::default();
    let mut at = 0;
    let event = events.next(b": keep-alive\n", &mut at).expect("is short").expect("is whole");
    assert_eq!(event.fields(), Fields { name: b"", data: None });
    at = 0;
    assert!(events.next(b"data: 1\n: not here\n", &mut at).expect("is short").is_none());
}

#[test]
fn an_event_has_an_end() {
    let line = [&b"data: "[..], &vec![b'x'; 1 << 20], b"\n"].concat();
    let mut events = Events::default();
    let fits = bounds::SSE_EVENT_BYTES_MAX / line.len();
    for _ in 0..fits {
        assert!(events.next(&line, &mut 0).expect("is not too long yet").is_none());
    }
    assert_eq!(events.next(&line, &mut 0).err(), Some(TooLong));
    let whole = [line.repeat(fits + 1), b"\n".to_vec()].concat();
    assert_eq!(Events::default().next(&whole, &mut 0).err(), Some(TooLong));
}

#[test]
fn a_large_buffer_is_given_back() {
    let mut events = Events::default();
    let large = [&b"data: "[..], &[b'x'; 100_000]].concat();
    assert!(events.next(&large, &mut 0).expect("is short").is_none());
    let mut at = 0;
    assert!(events.next(b"\n\n", &mut at).expect("is short").is_some());
    assert!(events.next(b"", &mut 0).expect("is short").is_none());
    assert!(events.held.capacity() <= HELD_BYTES_KEPT);
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("data: x"),
        Just("data:y"),
        Just("data"),
        Just("event: n"),
        Just(": c"),
        Just(":"),
        Just(" "),
        Just("id: 1"),
        Just("\u{feff}"),
        Just("é"),
        Just("\n\n"),
        Just("data: {\"a\":1}\n\n"),
    ];
    proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_chunking_gives_the_standards_events(
        stream in streams(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        let (told, bytes, held) = split(&chunks);
        prop_assert_eq!(&told, &reference::events(&stream));
        // Nothing is lost and nothing made up. A last LF may belong to an event that was told.
        let all = [&bytes[..], &held].concat();
        prop_assert!(all == stream || [&all[..], b"\n"].concat() == stream
            || [&bytes[..], b"\n", &held].concat() == stream);
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(split(&single).0, told);
    }
}
