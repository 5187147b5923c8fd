//! Clients of HTTP/2 that others wrote, where they are installed: curl, nghttp, h2load, httpx.
//! `.ci/run` installs them; a scenario whose client is missing says so.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::kit::gateway::with;
use crate::kit::origin::ok;
use crate::kit::tls::Authority;
use crate::kit::{Gateway, Origin, pattern};

/// Whether `program` answers to that; if not, says that the scenario is skipped.
fn has(program: &str, args: &[&str]) -> bool {
    let answer = Command::new(program).args(args).stdin(Stdio::null()).output();
    let has = answer.is_ok_and(|output| output.status.success());
    if !has {
        eprintln!("skipped: no `{program} {}`", args.join(" "));
    }
    has
}

/// What a client printed; it must have ended well.
fn said(dir: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let (out, err) = (&output.stdout, &output.stderr);
    let text = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{program} {args:?}: {text}");
    text
}

/// Gives a body back as it came; `/trailers` with its length as a trailer.
fn echo() -> Origin {
    Origin::answering(|request| {
        let target = request.target();
        if target == "/trailers" {
            assert_eq!(request.trailers, [("x-check".to_owned(), "1".to_owned())]);
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
                     4\r\nbody\r\n0\r\nX-Sum: 4\r\n\r\n"
                .to_vec();
        }
        let (status, body) = match target {
            "/missing" => ("404 Not Found", &b"no"[..]),
            _ => ("200 OK", request.body.as_slice()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        let body = if request.method() == "HEAD" { &[] } else { body };
        [head.as_bytes(), body].concat()
    })
}

/// A listener in clear and one with TLS, for `localhost`; the authority's certificate is `ca.pem`.
fn both(origin: &Origin) -> Gateway {
    let authority = Authority::new("ours");
    let dir = tempfile::tempdir().expect("a directory");
    authority.write(dir.path(), "ca.pem");
    authority.issue(&["localhost"]).write(dir.path(), "a");
    let secure = "[listeners.secure]\naddress = \"127.0.0.1:0\"\n[listeners.secure.tls]\n\
                  certificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n";
    Gateway::start_in(dir, &format!("{}{secure}", with("", CAPPED, origin.addr)))
}

/// Fewer connections at once than an origin's queue of new ones takes.
const CAPPED: &str =
    "concurrency = { requests_max = 100, queue_timeout = \"1m\", queue_max = 2000 }";

#[test]
fn curl_speaks_it_by_prior_knowledge_and_by_alpn() {
    if !has("curl", &["--http2", "--version"]) {
        return;
    }
    let origin = echo();
    let gateway = both(&origin);
    let dir = gateway.dir.path();
    let body = pattern(10_000_000);
    std::fs::write(dir.join("body"), &body).expect("a file");
    let clear = format!("http://{}", gateway.addr());
    let secure = format!("https://localhost:{}", gateway.addr_of("secure").port());
    const WROTE: &str = "%{http_version} %{http_code} %{size_download} %{num_connects}\n";
    for (how, base, version) in [
        (&["--http2-prior-knowledge"][..], &clear, "2"),
        (&["--http2"], &secure, "2"),
        (&["--http1.1"], &secure, "1.1"),
        // RFC 9113 section 3.1: the Upgrade of old is no longer there, and is not taken up.
        (&["--http2"], &clear, "1.1"),
    ] {
        let curl = |more: &[&str]| {
            let fixed =
                ["-sS", "--max-time", "120", "--cacert", "ca.pem", "-w", WROTE, "-o", "got"];
            said(dir, "curl", &[&fixed, how, more].concat())
        };
        let url = format!("{base}/echo");
        assert_eq!(curl(&[&url]), format!("{version} 200 0 1\n"));
        assert_eq!(curl(&["-I", &url]), format!("{version} 200 0 1\n"));
        assert_eq!(curl(&[&format!("{base}/missing")]), format!("{version} 404 2 1\n"));
        for upload in [["--data-binary", "@body"], ["-T", "body"]] {
            let wrote = curl(&[&upload[..], &["-H", "Content-Type: x", &url]].concat());
            assert_eq!(wrote, format!("{version} 200 10000000 1\n"), "{upload:?}");
            assert!(std::fs::read(dir.join("got")).expect("a file") == body, "{how:?} {upload:?}");
        }
        // Of unknown length: chunked, or DATA until END_STREAM.
        let stream = format!(
            "curl -sS --max-time 120 --cacert ca.pem {} -T - -w '{WROTE}' -o got {url} < body",
            how[0]
        );
        let wrote = said(dir, "sh", &["-c", &stream]);
        assert_eq!(wrote.trim_end(), format!("{version} 200 10000000 1"));
        assert!(std::fs::read(dir.join("got")).expect("a file") == body, "{how:?} from a pipe");
    }
}

#[test]
fn curl_runs_many_transfers_on_one_connection() {
    if !has("curl", &["--http2", "--parallel", "--version"]) {
        return;
    }
    let origin = echo();
    let gateway = both(&origin);
    let port = gateway.addr_of("secure").port();
    let url = format!("https://localhost:{port}/[1-60]");
    let wrote = said(
        gateway.dir.path(),
        "curl",
        &[
            "-sS",
            "--http2",
            "--cacert",
            "ca.pem",
            "--parallel",
            "--parallel-max",
            "50",
            "--max-time",
            "120",
            "-w",
            "%{http_version} %{http_code}\n",
            "-o",
            "/dev/null",
            &url,
        ],
    );
    assert_eq!(wrote.matches("2 200\n").count(), 60, "{wrote}");
}

#[test]
fn nghttp_is_served() {
    if !has("nghttp", &["--version"]) {
        return;
    }
    let origin = echo();
    let gateway = both(&origin);
    let dir = gateway.dir.path();
    std::fs::write(dir.join("body"), pattern(300_000)).expect("a file");
    let url = format!("http://{}/echo", gateway.addr());
    let wrote = said(dir, "nghttp", &["-nv", "-m", "20", "-d", "body", &url]);
    assert_eq!(wrote.matches(":status: 200").count(), 20, "{wrote}");
    assert!(!wrote.contains("RST_STREAM") && !wrote.contains("recv GOAWAY"), "{wrote}");
    // With trailers, expecting 100, and a window that is opened a little at a time.
    let url = format!("http://{}/trailers", gateway.addr());
    let wrote = said(
        dir,
        "nghttp",
        &[
            "-nv",
            "-w",
            "10",
            "-W",
            "10",
            "-d",
            "body",
            "--no-content-length",
            "--trailer",
            "x-check: 1",
            "--expect-continue",
            &url,
        ],
    );
    assert!(wrote.contains(":status: 100") && wrote.contains("x-sum: 4"), "{wrote}");
    let secure = format!("https://localhost:{}/echo", gateway.addr_of("secure").port());
    let wrote = said(dir, "nghttp", &["-nv", "-d", "body", &secure]);
    assert!(wrote.contains("negotiated protocol: h2") && wrote.contains(":status: 200"), "{wrote}");
}

/// `h2load` says of its requests that all succeeded.
fn assert_all(gateway: &Gateway, wrote: &str, count: usize) {
    let all = format!(
        "requests: {count} total, {count} started, {count} done, {count} succeeded, \
         0 failed, 0 errored, 0 timeout"
    );
    let failed = |lines: Vec<serde_json::Value>| {
        lines.into_iter().filter(|line| line.get("failure").is_some()).take(5).collect::<Vec<_>>()
    };
    assert!(wrote.contains(&all), "{wrote}{:#?}", failed(gateway.access_log(0)));
}

#[test]
fn h2load_sees_no_failure_on_100_streams_of_10_connections() {
    if !has("h2load", &["--version"]) {
        return;
    }
    let origin = Origin::answering(|_| ok("hello"));
    let gateway = both(&origin);
    let dir = gateway.dir.path();
    let clear = format!("http://{}/", gateway.addr());
    let secure = format!("https://localhost:{}/", gateway.addr_of("secure").port());
    std::fs::write(dir.join("body"), pattern(3000)).expect("a file");
    for url in [&clear, &secure] {
        let wrote = said(dir, "h2load", &["-n", "5000", "-c", "10", "-m", "100", url]);
        assert_all(&gateway, &wrote, 5000);
        let upload = ["-n", "2000", "-c", "10", "-m", "100", "-d", "body", url];
        assert_all(&gateway, &said(dir, "h2load", &upload), 2000);
        // Windows of 1 KiB: many WINDOW_UPDATE frames, each with its reason.
        let small = ["-n", "1000", "-c", "10", "-m", "10", "-w", "10", "-W", "10", url];
        assert_all(&gateway, &said(dir, "h2load", &small), 1000);
    }
}

#[test]
fn h2load_does_not_notice_reloads() {
    if !has("h2load", &["--version"]) {
        return;
    }
    const COUNT: usize = 20_000;
    let (one, other) = (Origin::named("one"), Origin::named("other"));
    let mut gateway = Gateway::start(&with("", CAPPED, one.addr));
    let count = COUNT.to_string();
    let url = format!("http://{}/", gateway.addr());
    let mut load = Command::new("h2load")
        .args(["-n", &count, "-c", "10", "-m", "100", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("h2load runs");
    let mut reloads = 0;
    while load.try_wait().expect("ours").is_none() {
        reloads += 1;
        let to = if reloads % 2 == 0 { &one } else { &other };
        gateway.reload(&with("", CAPPED, to.addr));
    }
    let output = load.wait_with_output().expect("its output");
    assert_all(&gateway, &String::from_utf8_lossy(&output.stdout), COUNT);
    eprintln!("{reloads} reloads");
    assert!(other.count() > 0 && one.count() + other.count() == COUNT);
}

#[test]
fn httpx_and_the_h2_library_are_served() {
    let root = env!("CARGO_MANIFEST_DIR");
    let Some(python) = crate::kit::system::python_with("httpx, h2") else { return };
    let origin = echo();
    let gateway = both(&origin);
    let port = |addr: std::net::SocketAddr| addr.port().to_string();
    let (clear, secure) = (port(gateway.addr()), port(gateway.addr_of("secure")));
    let script = format!("{root}/tests/it/python/h2_clients.py");
    said(gateway.dir.path(), python, &[&script, &clear, &secure, "ca.pem"]);
}
