//! One JSON line an exchange, with the right fields, however it ended.

use std::time::Instant;

use serde_json::Value;

use crate::kit::gateway::with;
use crate::kit::origin::ok;
use crate::kit::{Gateway, Origin, PATIENCE, eventually, free_port, ms};

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}"))
}

fn number(line: &Value, field: &str) -> u64 {
    line[field].as_u64().unwrap_or_else(|| panic!("no {field} in {line}"))
}

#[test]
fn a_request_that_went_well() {
    let origin = Origin::answering(|_| {
        std::thread::sleep(ms(30));
        ok("hello")
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    let request = "POST /p/a%20b?q=1&token=secret HTTP/1.1\r\nHost: A.example:80\r\n\
                   User-Agent: \"t\\\r\nReferer: http://r/?password=x\r\nX-Request-Id: id-1\r\n\
                   Content-Length: 2\r\n\r\nhi";
    let asked = Instant::now();
    let response = client.send(request).response();
    let took = asked.elapsed().as_micros();
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").response();
    let lines = gateway.access_log(2);
    let line = &lines[0];
    for (field, value) in [
        ("request_id", "id-1"),
        ("client", "127.0.0.1"),
        ("listener", "web"),
        ("api", "app"),
        ("route", "$default"),
        ("method", "POST"),
        ("host", "A.example:80"),
        ("path", "/p/a%20b"),
        ("version", "HTTP/1.1"),
        ("upstream", "app"),
        ("endpoint", origin.addr.to_string().as_str()),
        ("user_agent", "\"t\\"),
    ] {
        assert_eq!(text(line, field), value, "{field}");
    }
    assert_eq!((number(line, "status"), number(line, "attempts")), (200, 1));
    assert_eq!(number(line, "bytes_in"), request.len() as u64);
    let sent = response.head.len() + response.body.len();
    assert_eq!(number(line, "bytes_out"), sent as u64);
    assert!(line.get("failure").is_none(), "{line}");
    let (total, own, upstream) =
        (number(line, "total_us"), number(line, "gateway_us"), number(line, "upstream_us"));
    assert!(total >= 30_000 && u128::from(total) <= took, "{took} us: {line}");
    assert!(upstream >= 29_000 && own + upstream <= total + 1, "{line}");
    let whole = line.to_string();
    assert!(!whole.contains("secret") && !whole.contains("password=x"), "{whole}");
    assert!(text(line, "query").contains("q=1"));
    assert_eq!(
        number(line, "client_port"),
        u64::from(client.tcp.local_addr().expect("ours").port())
    );
    assert_eq!(
        (number(line, "connection_requests"), number(&lines[1], "connection_requests")),
        (1, 2)
    );
    assert_eq!(text(line, "traceparent"), origin.requests()[0].field("traceparent").expect("sent"));
}

#[test]
fn requests_that_were_refused() {
    let origin = Origin::named("never");
    let config = with("", "", origin.addr).replace("$default", "GET /x");
    let gateway = Gateway::start(&config);
    for (nth, (request, status, failure, detail)) in [
        ("GET /no HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not_found", None),
        ("GET / HTTP/1.1\nHost: a\n\n", 400, "bad_request", Some("bare_lf")),
        ("GET /x HTTP/1.1\r\n\r\n", 400, "bad_request", Some("host_missing")),
        ("GET /x/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request", Some("path_bad_percent")),
        ("TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method_not_implemented", None),
        ("GET /x HTTP/3.0\r\nHost: a\r\n\r\n", 505, "version_not_supported", None),
    ]
    .into_iter()
    .enumerate()
    {
        let response = gateway.ask(request);
        assert_eq!(response.status, status);
        let lines = gateway.access_log(nth + 1);
        assert_eq!(lines.len(), nth + 1, "one line a request");
        let line = &lines[nth];
        assert_eq!((number(line, "status"), text(line, "failure")), (u64::from(status), failure));
        if let Some(detail) = detail {
            assert_eq!(text(line, "detail"), detail, "{line}");
        }
        assert_eq!(text(line, "request_id"), response.field("x-request-id").expect("an id"));
        assert!(line.get("upstream").is_none(), "{line}");
    }
    let hasty = Gateway::start(&with("timeouts = { header = \"1s\" }", "", origin.addr));
    let response = hasty.ask("GET /x HTTP/1.1\r\nHost:");
    let line = hasty.access_line();
    assert_eq!((response.status, number(&line, "status")), (408, 408));
    assert_eq!(text(&line, "failure"), "request_timeout");
    assert_eq!(text(&line, "request_id"), response.field("x-request-id").expect("an id"));
}

#[test]
fn upstream_failures() {
    let origin = Origin::scripted(|conn| {
        let Some(request) = conn.request() else { return };
        match request.target() {
            "/reset" => conn.reset(),
            "/junk" => drop(conn.send("junk\r\n\r\n")),
            "/cut" => drop(conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")),
            _ => drop(conn.until_left()),
        }
    });
    let upstream = "retry = { attempts = 1 }\nejection = { failures = 0 }";
    let gateway = Gateway::start(&with("", upstream, origin.addr));
    let hasty = format!("timeouts = {{ first_byte = \"150ms\" }}\n{upstream}");
    let hasty = Gateway::start(&with("", &hasty, origin.addr));
    for (gateway, nth, path, status, failure) in [
        (&gateway, 0, "/reset", 502, "upstream_reset"),
        (&gateway, 1, "/junk", 502, "upstream_invalid"),
        (&gateway, 2, "/cut", 200, "upstream_cut"),
        (&hasty, 0, "/hang", 504, "upstream_first_byte_timeout"),
    ] {
        let mut client = gateway.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let _ = client.try_response("GET");
        let line = gateway.access_log(nth + 1)[nth].clone();
        assert_eq!((number(&line, "status"), text(&line, "failure")), (status, failure), "{line}");
        assert_eq!(text(&line, "endpoint"), origin.addr.to_string());
    }
    let gone = Gateway::start(&with("", "", ([127, 0, 0, 1], free_port()).into()));
    gone.get("/");
    assert_eq!(text(&gone.access_line(), "failure"), "upstream_connect");
}

#[test]
fn a_client_that_left() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.until_left();
    });
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(1);
    std::thread::sleep(ms(30));
    drop(client);
    let line = gateway.access_line();
    assert_eq!((number(&line, "status"), text(&line, "failure")), (499, "client_gone"), "{line}");
    assert_eq!(number(&line, "bytes_out"), 0, "{line}");
}

#[test]
fn what_a_client_writes_cannot_make_a_second_line() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    gateway.ask(
        "GET /%0a{\"a\":1}\"?\"}%0d%0a HTTP/1.1\r\nHost: a\r\nUser-Agent: \u{2028}\"},{\t\r\n\r\n",
    );
    let line = gateway.access_line();
    assert_eq!(text(&line, "path"), "/%0a{\"a\":1}\"");
    assert_eq!(text(&line, "user_agent"), "\u{2028}\"},{");
}

#[test]
fn sigusr1_reopens_the_log_after_it_was_moved_away() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    gateway.get("/before");
    gateway.access_log(1);
    std::fs::rename(gateway.path("access.log"), gateway.path("access.log.1")).expect("moved");
    gateway.signal("USR1");
    assert!(gateway.says("access log reopened"));
    gateway.get("/after");
    assert_eq!(text(&gateway.access_line(), "path"), "/after");
    let moved = std::fs::read_to_string(gateway.path("access.log.1")).expect("the old file");
    assert!(moved.lines().count() == 1 && moved.contains("/before"), "{moved}");
}

#[test]
fn combined_is_the_line_that_others_know() {
    let origin = Origin::named("hello");
    let config = format!(
        "[log.access]\npath = \"access.log\"\nformat = \"combined\"\n{}",
        with("", "", origin.addr)
    );
    let gateway = Gateway::start(&config);
    gateway.ask("GET /p?q=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: a\"b\r\n\r\n");
    let mut line = String::new();
    let read = || std::fs::read_to_string(gateway.path("access.log")).unwrap_or_default();
    assert!(eventually(PATIENCE, || {
        line = read();
        line.ends_with('\n')
    }));
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("] \"GET /p?q=1 HTTP/1.1\" 200 "), "{line}");
    assert_eq!(line.matches("a\"b").count(), 0, "a quote left its field: {line}");
}
