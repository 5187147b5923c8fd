use super::*;

/// The bytes of an answer, and how it ends.
fn played(query: &str) -> (String, Option<Step>) {
    let mut bytes = Vec::new();
    let mut end = None;
    for step in Recipe::parse(query).unwrap().steps(false, true, None) {
        match step {
            Step::Send(more) | Step::Event(more) => bytes.extend(more),
            Step::Pattern { offset, len } => {
                bytes.extend((offset..offset + len).map(|i| PATTERN[i % PATTERN.len()]));
            }
            Step::Wait(_) => {}
            other => end = Some(other),
        }
    }
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

fn waits(query: &str) -> Vec<Duration> {
    let steps = Recipe::parse(query).unwrap().steps(false, true, None);
    let pause = |step| match step {
        Step::Wait(pause) => Some(pause),
        _ => None,
    };
    steps.into_iter().filter_map(pause).collect()
}

#[test]
fn the_default_is_what_an_empty_recipe_renders() {
    assert_eq!(played("").0.as_bytes(), DEFAULT);
    assert!(DEFAULT.ends_with(BODY));
}

#[test]
fn size_status_and_close() {
    let (text, end) = played("size=100&status=503&close=1");
    assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    assert!(text.contains("Content-Length: 100\r\n") && text.contains("Connection: close\r\n"));
    assert_eq!(text.split_once("\r\n\r\n").unwrap().1.len(), 100);
    assert_eq!(end, None);
    assert!(!played("status=204").0.contains("Content-Length"));
}

#[test]
fn chunks_add_up_to_the_size() {
    let (text, _) = played("chunked=1&size=70&chunk=30&trailers=1");
    let body = text.split_once("\r\n\r\n").unwrap().1;
    let mut decoder = crate::chunked::Chunked::default();
    let mut decoded = Vec::new();
    let used = decoder.feed(body.as_bytes(), |piece| decoded.extend_from_slice(piece)).unwrap();
    assert!(decoder.is_done() && used == body.len());
    let expected: Vec<u8> = PATTERN.iter().copied().cycle().take(70).collect();
    assert_eq!(decoded, expected);
    assert!(body.ends_with("0\r\nX-Checksum: 0\r\n\r\n"));
}

#[test]
fn events_and_their_gaps() {
    let (text, end) = played("sse=3&gap=20ms");
    assert_eq!((text.matches("data: {").count(), end), (3, None));
    assert!(text.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"), "{text:?}");
    assert_eq!(waits("sse=3&gap=20ms"), [Duration::from_millis(20); 2]);
    assert_eq!(played("sse=3&truncate=1").1, Some(Step::Close));
}

#[test]
fn faults_end_where_they_should() {
    for (query, sent, end) in [
        ("truncate=5", 5, Step::Close),
        ("truncate=500&size=1000", 500, Step::Close),
        ("reset_after=1000", 1000, Step::Reset),
    ] {
        let (text, ended) = played(query);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let declared = head.split_once("Content-Length: ").unwrap().1.split("\r\n").next();
        let declared: usize = declared.unwrap().parse().unwrap();
        assert!(declared > sent, "{query} declares no more than it sends");
        assert_eq!((body.len(), ended), (sent, Some(end)), "{query}");
    }
    assert_eq!(played("reset=1"), (String::new(), Some(Step::Reset)));
    assert_eq!(played("drop=1"), (String::new(), Some(Step::Silence)));
    let cut = played("chunked=1&size=100&chunk=40&truncate=50");
    assert!(cut.1 == Some(Step::Close) && !cut.0.contains("\r\n0\r\n"));
}

#[test]
fn pauses_lie_where_they_should() {
    assert_eq!(waits("delay=20ms"), [Duration::from_millis(20)]);
    assert_eq!(waits("stall=1s&size=10"), [Duration::from_secs(1)]);
    let whole = played("size=10").0;
    assert_eq!(played("stall=1s&size=10").0, whole);
    assert_eq!(played("slow=1ms&size=10").0, whole);
    assert_eq!(waits("slow=1ms&size=10").len(), whole.len());
}

#[test]
fn every_kind_of_bad_answer_exists_and_no_other() {
    for kind in BAD_KINDS.split(' ') {
        assert_eq!(played(&format!("bad={kind}")).1, Some(Step::Close), "{kind}");
    }
    assert!(Recipe::parse("bad=unheard_of").is_err());
}

#[test]
fn misspelt_parameters_are_refused() {
    assert!(Recipe::parse("sise=10").is_err());
    assert!(Recipe::parse("status=99").is_err());
    assert!(Recipe::parse("chunked=1&size=10GiB").is_err());
}
