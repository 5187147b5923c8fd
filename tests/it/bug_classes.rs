//! The classes of bugs that other proxies' advisories tell of, each tried here by name.

use crate::kit::gateway::with;
use crate::kit::origin::ok;
use crate::kit::{Gateway, Origin, PATIENCE, eventually, ms};

const SMUGGLED: &str = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";

/// Routes that answer without reading a body, each in its own way, and one that reads it.
fn early() -> (Origin, Gateway) {
    let origin = Origin::answering(|request| ok(request.target()));
    let addr = origin.addr;
    let gateway = Gateway::start(&format!(
        r#"
[listeners.web]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["{addr}"]
[apis.a]
body_max = "1KiB"
[apis.a.routes."ANY /fixed"]
respond = {{ body = "fixed" }}
[apis.a.routes."ANY /moved"]
redirect = {{ to = "/there" }}
[apis.a.routes."ANY /up"]
upstream = "app"
[apis.a.routes."GET /admin"]
respond = {{ body = "ADMIN" }}
[apis.a.routes."GET /after"]
respond = {{ body = "after" }}
"#
    ));
    (origin, gateway)
}

#[test]
fn class_1_a_body_that_an_early_answer_did_not_read_is_never_a_request() {
    let (_origin, gateway) = early();
    let after = "GET /after HTTP/1.1\r\nHost: a\r\n\r\n";
    for path in ["/fixed", "/moved", "/none", "/up", "/up/%zz", "/none/../.."] {
        for (framing, body) in [
            (format!("Content-Length: {}", SMUGGLED.len()), SMUGGLED.to_owned()),
            (
                "Transfer-Encoding: chunked".to_owned(),
                format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
            ),
        ] {
            for expect in ["", "Expect: 100-continue\r\n"] {
                for pause in [0, 20] {
                    let mut client = gateway.client();
                    let head =
                        format!("POST {path} HTTP/1.1\r\nHost: a\r\n{expect}{framing}\r\n\r\n");
                    client.send_split(
                        [head.as_bytes(), body.as_bytes(), after.as_bytes()],
                        ms(pause),
                    );
                    let first = client.response();
                    client.read_timeout(ms(3000));
                    assert_ne!(first.text(), "ADMIN");
                    match client.try_response("GET") {
                        Ok(second) => {
                            assert_eq!(second.text(), "after", "{path} {framing} {expect}")
                        }
                        // It may close rather than read on, but then it answers nothing more.
                        Err(broken) => assert!(broken.rest.is_empty() && broken.head.is_none()),
                    }
                }
            }
        }
    }
}

#[test]
fn class_1_a_body_too_large_to_drop_ends_the_connection() {
    let (_origin, gateway) = early();
    let mut client = gateway.client();
    let filler = "x".repeat(2 << 20);
    let length = filler.len() + SMUGGLED.len();
    client.send(format!("POST /fixed HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    let _ = client.try_send(filler).and_then(|()| client.try_send(SMUGGLED));
    let (bytes, _) = client.read_to_end();
    assert_eq!(String::from_utf8_lossy(&bytes).matches("HTTP/1.1 ").count(), 1);
}

#[test]
fn class_2_an_upgrade_the_upstream_did_not_agree_to_is_no_tunnel() {
    let origin = Origin::answering(|request| ok(request.target()));
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send(format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{SMUGGLED}"
    ));
    assert_eq!(client.response().text(), "/chat");
    assert_eq!(client.response().text(), "/admin", "parsed, routed and forwarded like any other");
    let seen = origin.requests();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].field("via").is_some(), "it did not pass through unseen");
}

#[test]
fn class_3_two_framings_of_one_request_are_refused() {
    let (origin, gateway) = early();
    let body = format!("0\r\n\r\n{SMUGGLED}");
    let length = body.len();
    for head in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding : chunked\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: xchunked\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding:\x0bchunked\r\n"),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        format!("Content-Length: {length}, {length}\r\n"),
        format!("Content-Length: +{length}\r\n"),
        format!("Content-Length: {length} 0\r\n"),
    ] {
        for version in ["1.1", "1.0"] {
            let mut client = gateway.client();
            client.send(format!("POST /up HTTP/{version}\r\nHost: a\r\n{head}\r\n{body}"));
            let response = client.response();
            assert!(matches!(response.status, 400 | 501), "{head:?}: {response:?}");
            client.expect_closed();
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn class_5_chunk_grammar_is_exact() {
    let (origin, gateway) = early();
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
    ] {
        let mut client = gateway.client();
        client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        // The head alone has been forwarded by then.
        std::thread::sleep(ms(20));
        client.send(chunks).send(SMUGGLED);
        let got = client.try_response("GET");
        assert!(got.as_ref().is_ok_and(|r| r.status == 400), "{chunks:?}: {got:?}");
        client.expect_closed();
    }
    assert_eq!(origin.count(), 0, "the upstream took one of them for whole");
    let text = String::from_utf8_lossy(&origin.bytes()).into_owned();
    assert!(!text.contains("/admin"), "{text}");
}

#[test]
fn class_7_no_field_is_dropped_or_cut_for_its_odd_name_or_value() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    for bad in [": empty\r\n", "No-Colon\r\n", "Nul\0: a\r\n", "A: \0\r\n", "A\x7f: b\r\n"] {
        let response = gateway
            .ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Auth: no\r\n{bad}X-Auth2: no\r\n\r\n"));
        assert_eq!(response.status, 400, "{bad:?}");
    }
    assert_eq!(origin.connections(), 0);
    let long = "v".repeat(20_000);
    let fields: String = (0..60).map(|nth| format!("X-{nth}: {nth}\r\n")).collect();
    gateway.ask(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n{fields}X-Last: last\r\n\r\n"
    ));
    let request = origin.only();
    assert_eq!(request.field("x-long"), Some(long.as_str()));
    for nth in 0..60 {
        assert_eq!(request.field(&format!("x-{nth}")), Some(nth.to_string().as_str()));
    }
    assert_eq!(request.field("x-last"), Some("last"));
}

#[test]
fn class_11_connection_cannot_strip_what_the_next_server_decides_by() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    for name in [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Forwarded",
        "Authorization",
        "Cookie",
        "Host",
        "Content-Length",
        "Via",
        "X-Request-Id",
    ] {
        for value in [name.to_owned(), format!("close, {name}"), name.to_ascii_lowercase()] {
            let response = gateway.ask(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nConnection: {value}\r\n\r\n"
            ));
            // Refused, or served with the field in place: never served without it.
            if response.status != 400 {
                let seen = origin.last();
                assert!(!seen.all(name).is_empty(), "{value} took {name} away");
            }
        }
    }
}

#[test]
fn class_11_fields_that_the_gateway_sets_cannot_be_named_away() {
    let origin = Origin::named("ok");
    let config = with("", "", origin.addr);
    let gateway = Gateway::start(&format!(
        "{config}request_headers = {{ set = {{ x-client-id = \"{{client_ip}}\" }} }}"
    ));
    gateway
        .ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Client-Id\r\nX-Client-Id: forged\r\n\r\n");
    assert_eq!(origin.only().field("x-client-id"), Some("127.0.0.1"));
}

#[test]
fn class_12_aliases_of_trusted_names_do_not_reach_the_upstream() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    let response = gateway.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\n\
         x-FORWARDED-for: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nContent_Length: 5\r\n\
         Transfer_Encoding: chunked\r\nX_Real_IP: 6.6.6.6\r\nHOST_: b\r\n\
         Forwarded: for=6.6.6.6\r\n\r\n",
    );
    assert_eq!(response.status, 200);
    let request = origin.only();
    let head = String::from_utf8(request.head.clone()).expect("text").to_ascii_lowercase();
    assert!(!head.contains("6.6.6.6") && !head.contains("transfer_encoding"), "{head}");
    assert!(!head.contains("content_length") && !head.contains("forwarded_"), "{head}");
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn class_13_a_clients_value_does_not_survive_where_the_gateway_has_none_of_its_own() {
    let origin = Origin::named("ok");
    let config = with("", "", origin.addr);
    // The template's source is missing from the request: the value is empty, not the client's.
    let gateway = Gateway::start(&format!(
        "{config}request_headers = {{ set = {{ x-user = \"{{header:x-verified-user}}\" }}, \
         remove = [\"x-role\"] }}"
    ));
    gateway
        .ask("GET / HTTP/1.1\r\nHost: a\r\nX-User: admin\r\nx-USER: root\r\nX-Role: admin\r\n\r\n");
    let request = origin.only();
    assert!(request.all("x-user").iter().all(|value| value.is_empty()), "{request:?}");
    assert_eq!(request.field("x-role"), None);
}

#[test]
fn class_14_the_path_that_is_routed_is_the_path_that_is_forwarded() {
    let origin = Origin::answering(|request| ok(request.target()));
    let addr = origin.addr;
    let gateway = Gateway::start(&format!(
        r#"
[listeners.web]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["{addr}"]
[apis.a.routes."ANY /public/{{proxy+}}"]
upstream = "app"
[apis.a.routes."ANY /strip/{{proxy+}}"]
upstream = "app"
strip_prefix = "/strip"
[apis.a.routes."ANY /admin/{{proxy+}}"]
respond = {{ status = 403, body = "forbidden" }}
"#
    ));
    for path in [
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public/.%2E/admin/x",
        "/public/./../admin/x",
        "//admin/x",
        "/public//../admin/x",
        "/public/..;/admin/x",
        "/public/..%2fadmin/x",
        "/public/..%5cadmin/x",
        "/public/%252e%252e/admin/x",
        "/public\\..\\admin/x",
        "/strip/../admin/x",
        "/strip/%2e%2e/admin/x",
        "/strip//admin/x",
        "/strip/%2e%2e%2fadmin/x",
        "/strip/x/../../admin/x",
        "/%61dmin/x",
        "/public/..",
        "/admin%2fx",
    ] {
        let response = gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        if response.status == 200 {
            let target = response.text();
            let decoded = target.to_ascii_lowercase().replace("%2f", "/").replace("%5c", "/");
            let decoded = decoded.replace("%2e", ".").replace(";", "/");
            assert!(!decoded.split('/').any(|part| part == ".."), "{path} became {target}");
            let stripped = path.starts_with("/strip");
            assert!(stripped || target.starts_with("/public/"), "{path} became {target}");
        } else {
            assert!(matches!(response.status, 400 | 403 | 404), "{path}: {response:?}");
        }
    }
}

#[test]
fn class_16_a_buffer_that_is_used_again_brings_nothing_of_its_last_user() {
    // Exchanges that end in every way, beside ones that check every byte.
    let origin = Origin::scripted(|conn| {
        while let Some(request) = conn.request() {
            match request.target() {
                "/reset" => return conn.reset(),
                "/cut" => {
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\nsecret");
                    return;
                }
                target => {
                    let letter = target.as_bytes()[1];
                    let body = vec![letter; 50_000];
                    conn.send(
                        [b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n".as_slice(), &body]
                            .concat(),
                    );
                }
            }
        }
    });
    let gateway = Gateway::start(&with("", "ejection = { failures = 0 }", origin.addr));
    let threads: Vec<_> = ["a", "b", "c", "d"]
        .map(|letter| {
            let addr = gateway.addr();
            std::thread::spawn(move || {
                for round in 0..40 {
                    let path = match round % 4 {
                        0 => "reset",
                        1 => "cut",
                        _ => letter,
                    };
                    let mut client = crate::kit::Client::connect(addr);
                    client.send(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                    if round % 8 == 7 {
                        continue; // Leaves at once.
                    }
                    if let Ok(response) = client.try_response("GET")
                        && path == letter
                    {
                        assert!(response.body == letter.repeat(50_000).into_bytes());
                    }
                }
            })
        })
        .into();
    threads.into_iter().for_each(|thread| thread.join().expect("every byte was its own"));
    assert!(eventually(PATIENCE, || gateway.get("/z").status == 200));
}
