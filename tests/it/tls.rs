//! TLS towards clients and upstreams: versions, SNI, client certificates, whom an upstream must be.

use std::sync::Arc;

use rustls::ProtocolVersion;

use crate::kit::gateway::{ADMIN, complete, run};
use crate::kit::origin::ok;
use crate::kit::tls::{Authority, connect};
use crate::kit::{Conn, End, Gateway, Origin, PATIENCE, Scrape, eventually, ms, pattern};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// A gateway with a TLS listener; the directory already holds the files.
fn secure(dir: tempfile::TempDir, tls: &str, origin: &Origin) -> Gateway {
    secure_within("10m", dir, tls, origin)
}

/// One that gives a handshake so long.
fn secure_within(time: &str, dir: tempfile::TempDir, tls: &str, origin: &Origin) -> Gateway {
    let addr = origin.addr;
    Gateway::start_in(
        dir,
        &format!(
            r#"
[listeners.web]
address = "127.0.0.1:0"
timeouts = {{ tls_handshake = "{time}" }}
[listeners.web.tls]
{tls}
[upstreams.app]
endpoints = ["{addr}"]
[apis.app.routes."$default"]
upstream = "app"
response_headers = {{ set = {{ x-scheme = "{{scheme}}" }} }}
"#
        ),
    )
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
pub fn https_is_served_with_tls_1_3_and_1_2() {
    let authority = Authority::new("ours");
    let dir = directory();
    authority.issue(&["a.test"]).write(dir.path(), "a");
    let origin = Origin::named("secret");
    let certificates = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    let gateway = secure(dir, certificates, &origin);
    for (version, spoken) in [
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
    ] {
        let config = authority.client_speaking(&[version]);
        let mut shaken = connect(gateway.addr(), config, "a.test").expect("a handshake");
        assert_eq!(shaken.version, spoken);
        for _ in 0..3 {
            let response = shaken.client.send(GET).response();
            assert_eq!(response.text(), "secret");
            assert_eq!(response.field("x-scheme"), Some("https"));
        }
        assert_eq!(origin.last().field("x-forwarded-proto"), Some("https"));
    }
    // Two workers write: the lines' order is not the requests'.
    let lines = gateway.access_log(6);
    for version in ["TLSv1.3", "TLSv1.2"] {
        let of = lines.iter().filter(|line| line["tls_version"] == version);
        assert_eq!(of.filter(|line| line["sni"] == "a.test").count(), 3, "{version}: {lines:#?}");
    }
}

#[test]
fn the_oldest_version_can_be_1_3() {
    let authority = Authority::new("ours");
    let dir = directory();
    authority.issue(&["a.test"]).write(dir.path(), "a");
    let origin = Origin::named("ok");
    let tls = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\nmin_version = \"1.3\"";
    let gateway = secure(dir, tls, &origin);
    let old = authority.client_speaking(&[&rustls::version::TLS12]);
    assert!(connect(gateway.addr(), old, "a.test").is_err());
    assert!(connect(gateway.addr(), authority.client(), "a.test").is_ok());
}

#[test]
fn the_name_a_client_asks_for_chooses_the_certificate() {
    let authority = Authority::new("ours");
    let dir = directory();
    let (a, b) = (authority.issue(&["a.test"]), authority.issue(&["b.test", "*.b.test"]));
    a.write(dir.path(), "a");
    b.write(dir.path(), "b");
    let origin = Origin::named("ok");
    let both = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }, \
                { cert = \"b.pem\", key = \"b.key\" }]";
    let gateway = secure(dir, both, &origin);
    for (name, own) in [("a.test", &a), ("b.test", &b), ("x.b.test", &b)] {
        let shaken = connect(gateway.addr(), authority.client(), name).expect("a handshake");
        assert_eq!(&shaken.shown, own.der(), "{name}");
    }
    // The default certificate is for another name: the client is the one to say no.
    assert!(connect(gateway.addr(), authority.client(), "c.test").is_err());
}

#[test]
fn an_unknown_name_can_be_refused() {
    let authority = Authority::new("ours");
    let dir = directory();
    authority.issue(&["a.test"]).write(dir.path(), "a");
    let origin = Origin::named("ok");
    let tls = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\nunknown_sni = \"reject\"";
    let gateway = secure(dir, tls, &origin);
    let refused = connect(gateway.addr(), authority.client(), "c.test").err().expect("an alert");
    assert!(refused.to_string().contains("alert"), "{refused}");
    // The one the documentation names.
    assert!(refused.to_string().contains("AccessDenied"), "{refused}");
    assert!(connect(gateway.addr(), authority.client(), "a.test").is_ok());
}

#[test]
fn a_required_client_certificate_must_be_there_and_of_the_right_authority() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let dir = directory();
    authority.issue(&["a.test"]).write(dir.path(), "a");
    authority.write(dir.path(), "clients.pem");
    let origin = Origin::named("ok");
    let tls = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n\
               client_ca = \"clients.pem\"\nclient_auth = \"require\"";
    let gateway = secure(dir, tls, &origin);
    let answer = |config| {
        let mut shaken = connect(gateway.addr(), config, "a.test").ok()?;
        // In TLS 1.3 a client learns of the refusal only when it reads.
        shaken.client.try_send(GET).ok()?;
        shaken.client.try_response("GET").ok().map(|response| response.status)
    };
    assert_eq!(answer(authority.client()), None, "without a certificate");
    assert_eq!(answer(authority.client_with(&other.issue(&["me"]))), None, "of another authority");
    assert_eq!(answer(authority.client_with(&authority.issue(&["me"]))), Some(200));
    assert_eq!(origin.count(), 1);
}

#[test]
fn plain_http_on_a_tls_port_and_silence_end_without_an_answer() {
    let authority = Authority::new("ours");
    let dir = directory();
    authority.issue(&["a.test"]).write(dir.path(), "a");
    let origin = Origin::named("never");
    let tls = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    let gateway = secure_within("1s", dir, tls, &origin);
    let (bytes, end) = gateway.client().send(GET).read_to_end();
    assert!(end != End::Open && !bytes.starts_with(b"HTTP"), "{bytes:?}");
    // The handshake has its time, then the connection goes.
    assert_ne!(gateway.client().end_within(PATIENCE), End::Open);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_large_body_passes_through_tls_both_ways() {
    let authority = Authority::new("ours");
    let dir = directory();
    authority.issue(&["a.test"]).write(dir.path(), "a");
    let body = pattern(3_000_001);
    let sent = body.clone();
    let origin = Origin::answering(move |request| {
        assert!(request.body == sent, "the upload is not what was sent");
        [
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len()).into_bytes(),
            sent.clone(),
        ]
        .concat()
    });
    let tls = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    let gateway = secure(dir, tls, &origin);
    let shaken = connect(gateway.addr(), authority.client(), "a.test");
    let mut client = shaken.expect("a handshake").client;
    let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head).send(&body);
    assert!(client.response().body == body, "the download is not what was sent");
}

#[test]
fn a_body_cut_short_ends_tls_without_close_notify() {
    let authority = Authority::new("ours");
    let dir = directory();
    authority.issue(&["a.test"]).write(dir.path(), "a");
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        std::thread::sleep(ms(50));
    });
    let tls = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    let gateway = secure(dir, tls, &origin);
    let shaken = connect(gateway.addr(), authority.client(), "a.test");
    let mut client = shaken.expect("a handshake").client;
    let (bytes, end) = client.send("GET / HTTP/1.0\r\n\r\n").read_to_end();
    assert!(bytes.ends_with(b"hello"), "{bytes:?}");
    assert_eq!(end, End::Reset, "close_notify would be the end of a close-delimited body");
}

#[test]
fn bad_certificate_files_refuse_to_start_and_say_which() {
    let authority = Authority::new("ours");
    let (good, other) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let tls = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    let mtls = "certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\nclient_ca = \"ca.pem\"";
    for (what, keys, file, text) in [
        ("a missing certificate", tls, "a.pem", None),
        ("an empty certificate", tls, "a.pem", Some(String::new())),
        ("a corrupt certificate", tls, "a.pem", Some(good.pem.replace("MII", "QQQ"))),
        ("a missing key", tls, "a.key", None),
        ("an empty key", tls, "a.key", Some(String::new())),
        ("another certificate's key", tls, "a.key", Some(other.key_pem.clone())),
        ("a missing client authority", mtls, "ca.pem", None),
        ("an empty client authority", mtls, "ca.pem", Some(String::new())),
        (
            "a corrupt client authority",
            mtls,
            "ca.pem",
            Some("-----BEGIN CERTIFICATE-----\n!!\n".into()),
        ),
    ] {
        let dir = directory();
        good.write(dir.path(), "a");
        authority.write(dir.path(), "ca.pem");
        match text {
            None => std::fs::remove_file(dir.path().join(file)).expect("it was there"),
            Some(text) => std::fs::write(dir.path().join(file), text).expect("a file"),
        }
        let config = format!(
            "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n[listeners.web.tls]\n{keys}\n\
             [apis.a.routes.\"$default\"]\nrespond = {{}}\n"
        );
        std::fs::write(dir.path().join("c.toml"), complete(&config)).expect("a file");
        // What a fail-open gateway would do is serve on; `serve` itself is asked, not only `check`.
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_ringway"))
            .args(["serve", "--config", "c.toml"])
            .current_dir(dir.path())
            .stderr(std::process::Stdio::piped())
            .spawn();
        let mut child = child.expect("the binary runs");
        let ended = eventually(PATIENCE, || child.try_wait().is_ok_and(|end| end.is_some()));
        let _ = child.kill();
        let output = child.wait_with_output().expect("an end");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(ended, "it serves with {what}");
        assert_eq!(output.status.code(), Some(3), "{what}: {said}");
        assert!(said.contains(file), "{what} is not named: {said}");
        assert_ne!(run(dir.path(), &["check", "c.toml"]).code, Some(0), "check with {what}");
    }
}

/// A gateway in front of an upstream that speaks TLS.
fn towards(dir: tempfile::TempDir, tls: &str, origin: &Origin) -> Gateway {
    Gateway::start_in(
        dir,
        &format!(
            r#"
[listeners.web]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["{}"]
ejection = {{ failures = 0 }}
[upstreams.app.tls]
{tls}
[apis.app.routes."$default"]
upstream = "app"
"#,
            origin.addr
        ),
    )
}

fn serving(conn: &mut Conn) {
    conn.serve(&|_| ok("from tls"));
}

#[test]
fn an_upstream_is_believed_with_its_own_authority_and_its_right_name_only() {
    let (authority, other) = (Authority::new("ours"), Authority::new("other"));
    let server = authority.server(&authority.issue(&["up.test"]), false);
    let origin = Origin::tls(server, serving);
    for (what, keys, status) in [
        ("right", "ca = \"ca.pem\"\nserver_name = \"up.test\"", 200),
        ("wrong authority", "ca = \"other.pem\"\nserver_name = \"up.test\"", 502),
        ("wrong name", "ca = \"ca.pem\"\nserver_name = \"down.test\"", 502),
        ("no name: an address", "ca = \"ca.pem\"", 502),
        ("anybody", "insecure_skip_verify = true", 200),
    ] {
        let dir = directory();
        authority.write(dir.path(), "ca.pem");
        other.write(dir.path(), "other.pem");
        let before = origin.count();
        let gateway = towards(dir, keys, &origin);
        let response = gateway.get("/");
        assert_eq!(response.status, status, "{what}: {response:?}");
        if status == 502 {
            assert_eq!(response.code(), "UPSTREAM_010", "{what}");
            assert_eq!(origin.count(), before, "{what}: it saw the request");
        } else {
            assert_eq!(response.text(), "from tls");
        }
    }
}

#[test]
fn an_upstream_that_speaks_no_tls_is_a_502() {
    let plain = Origin::scripted(|conn| {
        let _ = conn.more();
        conn.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let keys = "insecure_skip_verify = true\nserver_name = \"a.test\"";
    let response = towards(directory(), keys, &plain).get("/");
    assert_eq!((response.status, response.code()), (502, "UPSTREAM_010".to_owned()));
    // One that says nothing at all has the connect timeout.
    let silent = Origin::scripted(|conn| {
        conn.until_left();
    });
    let keys = format!("{keys}\n[upstreams.app.timeouts]\nconnect = \"300ms\"");
    let response = towards(directory(), &keys, &silent).get("/");
    assert!(matches!(response.status, 502 | 504), "{response:?}");
}

#[test]
fn a_tls_connection_to_an_upstream_is_pooled_and_shows_our_certificate() {
    let authority = Authority::new("ours");
    let origin = Origin::tls(authority.server(&authority.issue(&["up.test"]), true), serving);
    let dir = directory();
    authority.write(dir.path(), "ca.pem");
    authority.issue(&["gateway"]).write(dir.path(), "gw");
    let keys = "ca = \"ca.pem\"\nserver_name = \"up.test\"\ncert = \"gw.pem\"\nkey = \"gw.key\"";
    let gateway = towards(dir, keys, &origin);
    let mut client = gateway.client();
    for _ in 0..5 {
        assert_eq!(client.send(GET).response().text(), "from tls");
    }
    assert_eq!(origin.connections(), 1);
    // Without one, the upstream says no.
    let dir = directory();
    authority.write(dir.path(), "ca.pem");
    let gateway = towards(dir, "ca = \"ca.pem\"\nserver_name = \"up.test\"", &origin);
    assert_eq!(gateway.get("/").status, 502);
}

#[test]
fn an_upstream_that_cuts_tls_without_close_notify_has_not_ended_its_body() {
    let authority = Authority::new("ours");
    let server = authority.server(&authority.issue(&["up.test"]), false);
    let origin = Origin::tls(Arc::clone(&server), |conn| {
        conn.request();
        // Close-delimited, and the close is a bare FIN: anybody on the path could have sent it.
        conn.send("HTTP/1.1 200 OK\r\n\r\nhello");
    });
    let dir = directory();
    authority.write(dir.path(), "ca.pem");
    let gateway = towards(dir, "ca = \"ca.pem\"\nserver_name = \"up.test\"", &origin);
    let got = gateway.client().send(GET).try_response("GET");
    assert!(got.is_err(), "a truncation attack looks whole: {got:?}");
}

#[test]
fn beyond_its_connections_a_tls_listener_closes_without_a_handshake_and_counts_it() {
    let authority = Authority::new("ours");
    let dir = directory();
    authority.issue(&["a.test"]).write(dir.path(), "a");
    let origin = Origin::named("secret");
    let addr = origin.addr;
    let gateway = Gateway::start_in(
        dir,
        &format!(
            r#"
{ADMIN}
[listeners.web]
address = "127.0.0.1:0"
connections_max = 1
[listeners.web.tls]
certificates = [{{ cert = "a.pem", key = "a.key" }}]
[upstreams.app]
endpoints = ["{addr}"]
[apis.app.routes."$default"]
upstream = "app"
"#
        ),
    );
    let mut inside = connect(gateway.addr(), authority.client(), "a.test").expect("a handshake");
    assert_eq!(inside.client.send(GET).response().text(), "secret");
    let mut over = gateway.client();
    let (bytes, end) = over.read_to_end();
    assert!(bytes.is_empty() && end != End::Open, "{bytes:?}, {end:?}");
    assert!(connect(gateway.addr(), authority.client(), "a.test").is_err());
    let counts = Scrape::of(&gateway);
    assert_eq!(counts.sum("ringway_connections_refused_total", &[("reason", "limit")]), 2);
    assert_eq!(counts.sum("ringway_tls_handshakes_total", &[]), 1, "none was begun with them");
    assert_eq!(
        inside.client.send(GET).response().text(),
        "secret",
        "who is inside does not notice"
    );
    drop(inside);
    let again = || connect(gateway.addr(), authority.client(), "a.test").is_ok();
    assert!(eventually(PATIENCE, again), "a place is free again");
}
