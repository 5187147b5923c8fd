//! Whole lines: exact bytes for known records, and what holds for any.

use super::super::ring::ring;
use super::*;
use proptest::prelude::*;
use serde_json::Value as Json;

fn record() -> Record<'static> {
    Record {
        time: Wall(1_763_763_120_045_000_000),
        client: "192.0.2.7".parse().unwrap(),
        client_port: 50_123,
        listener: Plain::of("public"),
        api: Plain::of("pets"),
        route: "GET /pets/{id}",
        stage: "prod",
        api_version: "v1",
        canary: true,
        method: Plain::of("GET"),
        host: Plain::of("api.example.com"),
        path: b"/pets/7",
        query: Some(b"full=1&api_key=hunter2"),
        version: "HTTP/1.1",
        status: 200,
        failure: None,
        detail: "",
        key: "",
        plan: "",
        limit: "",
        subject: "",
        claims: b"",
        tunnel_end: "",
        grpc_status: None,
        request_id: Plain::of("0190f3a2"),
        traceparent: Plain::of(""),
        bytes_in: 120,
        bytes_out: 345,
        upstream: Plain::of("pets-v2"),
        endpoint: Some("10.0.0.5:8080".parse().unwrap()),
        attempts: 1,
        upstream_reused: true,
        total_ns: 1_234_567,
        upstream_connect_ns: None,
        upstream_first_byte_ns: Some(900_999),
        upstream_ns: Some(1_200_000),
        user_agent: b"curl/8.5",
        referer: b"https://example.com/?token=t&a=b",
        tls_version: "TLSv1.3",
        sni: b"api.example.com",
        connection_requests: 3,
        llm: None,
    }
}

fn line(format: &Format, record: &Record<'_>) -> String {
    let mut out = LineBuf::new();
    format.write(record, &mut Dates::new(), &mut out);
    String::from_utf8(out.bytes().to_vec()).unwrap()
}

#[test]
fn the_json_line_to_the_byte() {
    assert_eq!(
        line(&Format::json(), &record()),
        concat!(
            r#"{"time":"2025-11-21T22:12:00.045Z","request_id":"0190f3a2","client":"192.0.2.7","#,
            r#""client_port":50123,"listener":"public","api":"pets","route":"GET /pets/{id}","#,
            r#""stage":"prod","api_version":"v1","canary":true,"#,
            r#""method":"GET","host":"api.example.com","path":"/pets/7","#,
            r#""query":"full=1&api_key=***","version":"HTTP/1.1","status":200,"bytes_in":120,"#,
            r#""bytes_out":345,"total_us":1234,"gateway_us":34,"upstream_us":1200,"#,
            r#""upstream_first_byte_us":900,"upstream":"pets-v2","endpoint":"10.0.0.5:8080","#,
            r#""attempts":1,"upstream_reused":true,"connection_requests":3,"#,
            r#""user_agent":"curl/8.5","referer":"https://example.com/?token=***&a=b","#,
            r#""tls_version":"TLSv1.3","sni":"api.example.com"}"#,
            "\n"
        )
    );
}

#[test]
fn a_request_to_a_model_tells_its_tokens_and_its_cost() {
    let llm = LlmRecord {
        model: "gpt-4o\u{7}",
        provider: Plain::of("openai"),
        served_model: "gpt-4o-2024",
        tokens_in: 1200,
        tokens_out: 0,
        tokens_cached: 0,
        cost_pico: 384_000_000,
        ttft_us: Some(210_000),
        estimated: true,
    };
    let record = Record { llm: Some(llm), ..record() };
    let text = line(&Format::json(), &record);
    let end = concat!(
        r#","model":"gpt-4o\u0007","provider":"openai","served_model":"gpt-4o-2024","#,
        r#""tokens_in":1200,"tokens_out":0,"cost_usd":0.000384,"ttft_us":210000,"#,
        r#""usage_estimated":true}"#,
        "\n"
    );
    assert!(text.ends_with(end), "{text}");
    let format = Format::parse_template("{model} {cost_usd} {tokens_cached}").unwrap();
    assert_eq!(line(&format, &record), "gpt-4o\\x07 0.000384 -\n");
    let other = Record { llm: None, ..record };
    assert_eq!(line(&format, &other), "- - -\n");
}

#[test]
fn the_combined_line_to_the_byte() {
    assert_eq!(
        line(&Format::combined(), &record()),
        concat!(
            r#"192.0.2.7 - - [21/Nov/2025:22:12:00 +0000] "#,
            r#""GET /pets/7?full=1&api_key=*** HTTP/1.1" 200 345 "#,
            r#""https://example.com/?token=***&a=b" "curl/8.5""#,
            "\n"
        )
    );
}

#[test]
fn a_template_line_with_absent_fields_and_braces() {
    let format = Format::parse_template("{{{time}}} {client}:{client_port} {request} {detail}é")
        .unwrap()
        .with_query(QueryPolicy::Omit);
    assert_eq!(
        line(&format, &record()),
        "{2025-11-21T22:12:00.045Z} 192.0.2.7:50123 GET /pets/7 HTTP/1.1 -é\n"
    );
}

#[test]
fn a_request_that_was_not_understood_has_a_line_too() {
    let unread = Record {
        method: Plain::of(""),
        host: Plain::of(""),
        path: b"",
        query: None,
        version: "",
        status: 400,
        failure: Some(Failure::BadRequest),
        detail: "bare_lf",
        key: "",
        plan: "",
        subject: "",
        claims: b"",
        tunnel_end: "",
        grpc_status: None,
        endpoint: None,
        attempts: 0,
        upstream: Plain::of(""),
        upstream_ns: None,
        upstream_first_byte_ns: None,
        ..record()
    };
    let json: Json = serde_json::from_str(&line(&Format::json(), &unread)).unwrap();
    assert_eq!(json["failure"], "bad_request");
    assert_eq!(json["detail"], "bare_lf");
    assert_eq!(json["gateway_us"], json["total_us"]);
    for absent in ["method", "host", "path", "query", "version", "upstream_reused", "attempts"] {
        assert!(json.get(absent).is_none(), "{absent}");
    }
    assert!(line(&Format::combined(), &unread).contains("] \"-\" 400 345 "));
}

#[test]
fn a_query_can_be_kept_out_or_kept_whole() {
    let json = |policy| -> Json {
        serde_json::from_str(&line(&Format::json().with_query(policy), &record())).unwrap()
    };
    let omitted = json(QueryPolicy::Omit);
    assert!(omitted.get("query").is_none());
    assert_eq!(omitted["referer"], "https://example.com/");
    assert_eq!(json(QueryPolicy::Keep)["query"], "full=1&api_key=hunter2");
}

#[test]
fn the_longest_record_fits_parses_and_says_that_it_was_cut() {
    let long = vec![0x01; 20_000];
    let name = "n\u{1}".repeat(5_000);
    let plain = "n".repeat(5_000);
    let plain = Plain::of(&plain);
    let worst = Record {
        client: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap(),
        client_port: u16::MAX,
        listener: plain,
        api: plain,
        route: &name,
        method: plain,
        host: plain,
        path: &long,
        query: Some(&long),
        version: "HTTP/1.1",
        failure: Some(Failure::UpstreamFirstByteTimeout),
        detail: "trailing_comma",
        limit: &name,
        request_id: plain,
        traceparent: plain,
        bytes_in: u64::MAX,
        bytes_out: u64::MAX,
        upstream: plain,
        endpoint: Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap()),
        attempts: u32::MAX,
        upstream_reused: false,
        total_ns: u64::MAX,
        llm: Some(LlmRecord {
            model: &name,
            provider: plain,
            served_model: &name,
            tokens_in: u64::MAX,
            tokens_out: u64::MAX,
            tokens_cached: u64::MAX,
            cost_pico: u64::MAX,
            ttft_us: Some(u64::MAX),
            estimated: true,
        }),
        upstream_connect_ns: Some(u64::MAX),
        upstream_first_byte_ns: Some(u64::MAX),
        upstream_ns: Some(1),
        user_agent: &long,
        referer: &long,
        sni: &long,
        connection_requests: u32::MAX,
        ..record()
    };
    let json: Json = serde_json::from_str(&line(&Format::json(), &worst)).unwrap();
    assert_eq!(json["cut"], true);
    assert_eq!(json["path"].as_str().unwrap().len(), 2048 / 6);
    assert!(line(&Format::combined(), &worst).ends_with("\"\n"));
}

#[test]
fn a_worker_counts_lines_and_drops_and_wakes_the_writer_at_half() {
    let (pusher, mut taker) = ring(2048);
    let woken = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let waker = std::sync::Arc::clone(&woken);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let wake = move || {
        waker.fetch_add(1, relaxed);
    };
    let mut log = WorkerLog::new(pusher, Box::new(wake));
    let cells = WorkerCells::default();
    let format = Format::parse_template("{path}").unwrap();
    let path = [b'p'; 400];
    for _ in 0..8 {
        log.log(&format, &Record { path: &path, ..record() }, &cells);
    }
    assert_eq!((cells.log_lines.get(), cells.log_dropped.get()), (4, 4));
    assert_eq!(woken.load(relaxed), 1);
    let mut out = Vec::new();
    assert_eq!(taker.take(&mut out, usize::MAX), 4);
    assert_eq!(out.len(), 4 * 401);
}

proptest! {
    #[test]
    fn whatever_a_client_sends_a_line_is_one_line(
        path in proptest::collection::vec(any::<u8>(), 0..200),
        agent in proptest::collection::vec(any::<u8>(), 0..100),
        query in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100)),
    ) {
        let record =
            Record { path: &path, user_agent: &agent, query: query.as_deref(), ..record() };
        let json_line = line(&Format::json(), &record);
        prop_assert_eq!(json_line.matches('\n').count(), 1);
        let json: Json = serde_json::from_str(&json_line).unwrap();
        let shown = json.get("path").map_or("", |p| p.as_str().unwrap());
        prop_assert_eq!(shown, String::from_utf8_lossy(&path));
        let combined = line(&Format::combined(), &record);
        prop_assert_eq!(combined.matches('\n').count(), 1);
        prop_assert_eq!(combined.matches('"').count(), 6);
    }
}

#[test]
fn a_kept_record_writes_the_same_line_and_keeps_no_more_than_a_line_shows() {
    let format = Format::json();
    let long = vec![b'x'; 30_000];
    for record in [
        record(),
        Record { query: None, user_agent: b"", version: "HTTP/2", ..record() },
        Record { path: &long, user_agent: &long, referer: &long, query: Some(&long), ..record() },
    ] {
        let kept = Kept::of(&record);
        assert_eq!(line(&format, &kept.record()), line(&format, &record));
    }
}

#[test]
fn claims_are_an_object_and_in_a_template_pairs() {
    let claims = b"email\0a\"b@example\0n\x01\x02\0x\0";
    let record = Record { subject: "alice", claims, ..record() };
    let json: serde_json::Value = serde_json::from_str(&line(&Format::json(), &record)).unwrap();
    assert_eq!(json["subject"], "alice");
    assert_eq!(json["claims"], serde_json::json!({ "email": "a\"b@example", "n\u{1}\u{2}": "x" }));
    let template = Format::parse_template("{subject} [{claims}]").unwrap();
    assert_eq!(line(&template, &record), "alice [email=a\\x22b@example n\\x01\\x02=x]\n");
    let nobody = Record { subject: "", claims: b"", ..record };
    assert_eq!(line(&template, &nobody), "- [-]\n");
    let many: Vec<u8> = (0..500).flat_map(|n| format!("c{n}\0\x01value\0").into_bytes()).collect();
    let record = Record { claims: &many, ..record };
    let json: serde_json::Value = serde_json::from_str(&line(&Format::json(), &record)).unwrap();
    assert_eq!(json["cut"], true);
    assert!(json["claims"].as_object().unwrap().len() > 20);
}
