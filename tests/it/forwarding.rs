//! What is added to, and taken from, a message on its way: hop-by-hop fields, Via, X-Forwarded-*,
//! Forwarded (RFC 7239), request ids, Server.

use crate::kit::gateway::with;
use crate::kit::{Gateway, Origin, Request};

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

fn forwarded(listener: &str, fields: &str) -> Request {
    let origin = Origin::named("ok");
    let gateway = Gateway::start(&with(listener, "", origin.addr));
    let response = gateway.ask(format!("GET /p HTTP/1.1\r\nHost: a.example:80\r\n{fields}\r\n"));
    assert_eq!(response.status, 200, "{response:?}");
    origin.only()
}

#[test]
fn hop_by_hop_fields_of_a_request_stay_behind() {
    let request = forwarded(
        "",
        "Connection: keep-alive, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-End: 2\r\n",
    );
    for gone in [
        "connection",
        "x-own",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
        "transfer-encoding",
        "content-length",
    ] {
        assert_eq!(request.all(gone), Vec::<&str>::new(), "{gone}");
    }
    assert_eq!(request.field("x-end"), Some("2"));
}

#[test]
fn hop_by_hop_fields_of_a_response_stay_behind() {
    let origin = Origin::fixed(
        "HTTP/1.1 200 OK\r\nConnection: X-Own, keep-alive\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n",
    );
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    let response = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
    for gone in ["connection", "x-own", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert_eq!(response.all(gone), Vec::<&str>::new(), "{gone}");
    }
    assert_eq!(response.field("x-end"), Some("2"));
}

#[test]
fn te_trailers_is_asked_for_anew() {
    let request = forwarded("", "TE: trailers, gzip;q=0.5\r\nConnection: TE\r\n");
    assert_eq!(request.field("te"), Some("trailers"));
    assert_eq!(request.field("connection").map(str::to_ascii_lowercase).as_deref(), Some("te"));
}

#[test]
fn unknown_fields_pass_in_their_order_repeated_ones_too() {
    let request =
        forwarded("", "X-A: 1\r\nX-B: \u{e9}\r\nX-A: 2\r\nCookie: c=1\r\nCookie: d=2\r\nX-A:\r\n");
    assert_eq!(request.all("x-a"), ["1", "2", ""]);
    assert_eq!(request.all("cookie"), ["c=1", "d=2"]);
}

#[test]
fn via_names_each_hop_and_the_version_it_received() {
    assert_eq!(forwarded("", "").field("via"), Some("1.1 ringway"));
    let request = forwarded("", "Via: 1.0 fred\r\nVia: 1.1 p.example\r\n");
    assert_eq!(request.all("via").join(", "), "1.0 fred, 1.1 p.example, 1.1 ringway");
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    gateway.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(origin.only().field("via"), Some("1.0 ringway"));
}

#[test]
fn a_gateway_that_forwards_to_itself_is_found_out() {
    let port = crate::kit::free_port();
    let addr: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
    let config = with("", "", addr).replace("127.0.0.1:0", &addr.to_string());
    let response = Gateway::start(&config).get("/");
    assert_eq!(response.status, 508, "{response:?}");
}

#[test]
fn what_an_untrusted_client_claims_about_itself_is_replaced() {
    let request = forwarded(
        "",
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /e\r\nX-Forwarded-Server: e\r\n\
         X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n",
    );
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("a.example:80"));
    assert_eq!(request.field("forwarded"), Some("for=127.0.0.1;proto=http;host=\"a.example:80\""));
    let head = String::from_utf8(request.head).expect("text").to_ascii_lowercase();
    assert!(!head.contains("6.6.6.6") && !head.contains("evil"), "{head}");
    for gone in ["x-forwarded-port", "x-forwarded-prefix", "x-forwarded-server", "x-real-ip"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_added_to() {
    let request = forwarded(
        TRUSTED,
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.1\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 443\r\n\
         Forwarded: for=203.0.113.9;proto=https\r\n",
    );
    let hops = request.all("x-forwarded-for").join(", ");
    assert_eq!(hops, "203.0.113.9, 198.51.100.1, 127.0.0.1");
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-host"), Some("shop.example"));
    assert_eq!(request.field("x-forwarded-port"), Some("443"));
    let forwarded = request.all("forwarded").join(", ");
    assert!(forwarded.starts_with("for=203.0.113.9;proto=https, for=127.0.0.1"), "{forwarded}");
}

#[test]
fn the_client_is_the_last_address_that_no_trusted_proxy_vouches_for() {
    let origin = Origin::named("ok");
    let config = with(TRUSTED, "", origin.addr);
    let gateway = Gateway::start(&format!(
        "{config}request_headers = {{ set = {{ x-c = \"{{client_ip}}\" }} }}"
    ));
    for (hops, client) in [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 127.0.0.2", "203.0.113.9"),
        ("unknown", "127.0.0.1"),
    ] {
        gateway.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {hops}\r\n\r\n"));
        assert_eq!(origin.last().field("x-c"), Some(client), "{hops}");
    }
}

#[test]
fn a_request_id_is_made_kept_if_sane_and_told_to_both_sides() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    let made = gateway.get("/").field("x-request-id").expect("an id").to_owned();
    assert_eq!(origin.last().field("x-request-id"), Some(made.as_str()));
    assert_ne!(gateway.get("/").field("x-request-id"), Some(made.as_str()));
    let theirs = gateway.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc-1\r\n\r\n");
    assert_eq!(theirs.field("x-request-id"), Some("abc-1"));
    let odd = gateway.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\"b c\r\n\r\n");
    assert_ne!(odd.field("x-request-id"), Some("a\"b c"));
    assert!(origin.requests().iter().all(|request| request.field("traceparent").is_some()));
}

#[test]
fn server_passes_is_removed_or_replaced() {
    for (policy, seen) in [("pass", Some("theirs")), ("remove", None), ("edge", Some("edge"))] {
        let origin =
            Origin::fixed("HTTP/1.1 200 OK\r\nServer: theirs\r\nContent-Length: 0\r\n\r\n");
        let config = with("", "", origin.addr);
        let gateway = Gateway::start(&format!(
            "[gateway]\nworkers = 1\nserver_header = \"{policy}\"\n{config}"
        ));
        assert_eq!(gateway.get("/").field("server"), seen, "{policy}");
    }
}

#[test]
fn the_host_an_endpoint_sees_is_as_configured() {
    let origin = Origin::named("ok");
    let endpoint = origin.addr.to_string();
    for (policy, host) in
        [("preserve", "a"), ("endpoint", endpoint.as_str()), ("b.example", "b.example")]
    {
        let upstream = format!("host = \"{policy}\"");
        Gateway::start(&with("", &upstream, origin.addr)).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(origin.last().field("host"), Some(host), "{policy}");
    }
}
