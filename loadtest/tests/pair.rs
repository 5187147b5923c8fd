//! The two verbs against each other, as real processes on free ports: what the origin does must
//! be what the generator reports.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway-load");

/// An origin that dies with the test.
struct Origin {
    child: Child,
    address: String,
    scheme: &'static str,
}

// === impl Origin ===

impl Origin {
    fn start(flags: &[&str]) -> Origin {
        let mut child = Command::new(PROGRAM)
            .args(["origin", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the origin says where it listens");
        let address = line.trim().strip_prefix("listening on ").expect("the documented line");
        let scheme = if flags.contains(&"--tls-cert") { "https" } else { "http" };
        Origin { address: address.to_owned(), child, scheme }
    }

    fn url(&self, target: &str) -> String {
        format!("{}://{}{target}", self.scheme, self.address)
    }

    fn run(&self, target: &str, flags: &[&str]) -> (Option<i32>, Value) {
        let output = self.output(target, &[flags, &["--json"]].concat());
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!("{e}: {}", String::from_utf8_lossy(&output.stderr));
        });
        (output.status.code(), report)
    }

    fn output(&self, target: &str, flags: &[&str]) -> Output {
        let url = self.url(target);
        Command::new(PROGRAM).arg(url).args(flags).output().expect("the program was built")
    }

    /// Sends bytes, reads to the end of the stream.
    fn talk(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("the origin listens");
        stream.write_all(request.as_bytes()).expect("the origin reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer); // a reset is an end, too
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn status(&self) -> Value {
        let answer = self.talk("GET /status HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a head").1).expect("JSON")
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count(report: &Value, path: &str) -> u64 {
    let found = report.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no number at {path} in {report:#}"))
}

#[test]
fn closed_loop_counts_every_request() {
    let origin = Origin::start(&[]);
    let (code, report) = origin.run("/", &["-c", "8", "-n", "1000"]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(count(&report, "/ok"), 1000);
    assert_eq!(count(&report, "/errors_total"), 0);
    assert_eq!(count(&report, "/body_bytes_in"), 42_000);
    assert_eq!(count(&report, "/statuses/200"), 1000);
    let status = origin.status();
    assert_eq!(count(&status, "/requests"), 1001);
    assert_eq!(count(&status, "/connections_accepted"), 9);
}

#[test]
fn epoll_does_the_same() {
    let origin = Origin::start(&["--io", "epoll", "--threads", "2"]);
    let flags = ["-c", "8", "-n", "500", "--threads", "2", "--io", "epoll"];
    let (code, report) = origin.run("/?size=100000", &flags);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(count(&report, "/ok"), 500);
    assert_eq!(count(&report, "/body_bytes_in"), 50_000_000);
}

#[test]
fn open_loop_sends_exactly_what_is_due() {
    let origin = Origin::start(&[]);
    let flags = ["--rate", "500", "--duration", "2s", "--warmup", "0s", "-c", "50"];
    let (_, report) = origin.run("/", &flags);
    // 500 a second for two seconds from t0: neither skipped nor doubled, however slow the host.
    assert_eq!(count(&report, "/ok") + count(&report, "/errors_total"), 1000, "{report:#}");
    assert_eq!(count(&report, "/errors_total"), 0);
    assert_eq!(count(&report, "/latency_us/count"), 1000);
    let seconds = report["intervals"].as_array().expect("intervals").len();
    assert_eq!(seconds, 2);
}

/// One connection and an origin that takes 50 ms: at 100 a second half the load can be served, so
/// the wait grows all the time. It must be seen in the latency, must not be seen in the service
/// time, and the run must not be called valid.
#[test]
fn a_stall_is_not_hidden_and_not_called_valid() {
    let origin = Origin::start(&[]);
    let flags =
        ["--rate", "100", "--duration", "1s", "--warmup", "0s", "-c", "1", "--timeout", "20s"];
    let output = origin.output("/?delay=50ms", &[&flags[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(count(&report, "/ok"), 100);
    let at = |name: &str| report[name]["max"].as_f64().expect("a number");
    // The last is due at 990 ms and sent after 99 others: 99 * 50 - 990 = 3960 ms late.
    assert!(at("latency_us") > 3_900_000.0, "{report:#}");
    assert!(at("service_us") < 2_000_000.0, "{report:#}");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("INVALID: ran out of connections"));
}

#[test]
fn each_fault_is_called_by_its_name() {
    let origin = Origin::start(&[]);
    for (target, error) in [
        ("/?reset=1", "reset"),
        ("/?reset_after=1000", "reset"),
        ("/?truncate=100", "truncated"),
        ("/?chunked=1&size=100&truncate=10", "truncated"),
        ("/?status=503", "status_503"),
        ("/?bad=bare_lf", "malformed: bare LF in head"),
        ("/?bad=two_lengths", "malformed: two Content-Length"),
        ("/?bad=excess", "excess_bytes"),
        ("/?drop=1", "timeout"),
        ("/?stall=5s&size=10", "timeout"),
    ] {
        let (code, report) = origin.run(target, &["-c", "2", "-n", "4", "--timeout", "300ms"]);
        assert_eq!(code, Some(3), "{target}: nothing succeeded");
        assert_eq!(report["errors"][error].as_u64(), Some(4), "{target}: {report:#}");
    }
}

#[test]
fn good_but_odd_answers_are_good() {
    let origin = Origin::start(&[]);
    for (target, flags, bytes) in [
        ("/?chunked=1&size=5000&chunk=999&gap=1ms&trailers=1", &[][..], 5000),
        ("/?size=1MiB", &[], 1 << 20),
        ("/?slow=1ms&size=3", &[], 3),
        ("/?continue=1", &["--body", "x"], 42),
        ("/?early=1", &["--body-size", "100KiB"], 42),
        ("/?echo=1", &["--body-size", "300KiB"], 300 * 1024),
        ("/?close=1", &[], 42),
        ("/?delay=5ms", &["-X", "HEAD"], 0),
        ("/?status=404", &["--expect-status", "404"], 42),
        ("/", &["--keep-alive", "off"], 42),
    ] {
        let (code, report) = origin.run(target, &[&["-c", "2", "-n", "4"], flags].concat());
        assert_eq!(code, Some(0), "{target}: {report:#}");
        assert_eq!(count(&report, "/ok"), 4, "{target}: {report:#}");
        assert_eq!(count(&report, "/body_bytes_in"), 4 * bytes, "{target}");
    }
}

#[test]
fn events_are_counted_and_timed() {
    let origin = Origin::start(&[]);
    let (code, report) = origin.run("/?sse=5&gap=20ms", &["--sse", "-c", "2", "-n", "4"]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(count(&report, "/events"), 4 * 6, "five events and [DONE]");
    let p50 = report["event_gap_us"]["p50"].as_f64().expect("a number");
    assert!(p50 > 15_000.0, "{report:#}");
    assert_eq!(count(&origin.status(), "/events"), 20);
}

#[test]
fn an_abort_is_seen_by_the_origin_while_it_waits() {
    let origin = Origin::start(&[]);
    let flags = ["-c", "2", "-n", "6", "--abort-after", "30ms"];
    let (_, report) = origin.run("/?delay=30s", &flags);
    assert_eq!(count(&report, "/aborted"), 6, "{report:#}");
    assert_eq!(count(&report, "/errors_total"), 0);
    let status = origin.status();
    assert_eq!(count(&status, "/aborted_by_peer"), 6, "{status:#}");
}

/// Files with a certificate for localhost and its key; they live as long as the directory.
fn certificate(files: &tempfile::TempDir) -> (String, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a key");
    let path = |name: &str| files.path().join(name).to_str().expect("UTF-8").to_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    std::fs::write(&cert, certified.cert.pem()).expect("written");
    std::fs::write(&key, certified.signing_key.serialize_pem()).expect("written");
    (cert, key)
}

#[test]
fn tls_handshakes_are_full_or_resumed_as_told() {
    let files = tempfile::tempdir().expect("a directory");
    let (cert, key) = certificate(&files);
    let origin = Origin::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let each =
        ["--keep-alive", "off", "-c", "1", "-n", "10", "--tls-ca", &cert, "--sni", "localhost"];
    let (code, report) = origin.run("/", &[&each[..], &["--resume", "off"]].concat());
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(count(&report, "/handshakes/full"), 10);
    for version in ["1.2", "1.3"] {
        let (_, report) = origin.run("/", &[&each[..], &["--tls-version", version]].concat());
        assert_eq!(count(&report, "/ok"), 10, "{report:#}");
        assert_eq!(count(&report, "/handshakes/resumed"), 9, "{version}: {report:#}");
    }
    let (_, report) = origin.run("/?size=1MiB", &["--insecure", "-c", "2", "-n", "8"]);
    assert_eq!(count(&report, "/body_bytes_in"), 8 << 20, "{report:#}");
    let echo = ["--insecure", "-c", "1", "-n", "2", "--body-size", "300KiB"];
    let (_, report) = origin.run("/?echo=1", &echo);
    assert_eq!(count(&report, "/body_bytes_in"), 600 << 10, "{report:#}");
    let (code, report) = origin.run("/", &["-n", "1", "-c", "1", "--tls-ca", &cert]);
    assert_eq!(code, Some(3), "a certificate for another name must not pass");
    assert_eq!(count(&report, "/errors/tls_handshake"), 1);
}

#[test]
fn idle_connections_are_held() {
    let origin = Origin::start(&[]);
    let pid = origin.child.id().to_string();
    let (code, report) = origin.run("/", &["--idle", "100", "--hold", "300ms", "--pid", &pid]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(count(&report, "/alive_at_end"), 100);
    assert_eq!(count(&report, "/processes/0/pid"), u64::from(origin.child.id()));
    assert_eq!(count(&origin.status(), "/connections_accepted"), 101);
}

#[test]
fn a_watched_process_is_charged() {
    let origin = Origin::start(&[]);
    let pid = origin.child.id().to_string();
    let flags = ["-c", "4", "--duration", "1s", "--warmup", "100ms", "--pid", &pid];
    let (_, report) = origin.run("/", &flags);
    let each = report["processes"][0]["cpu_us_per_request"].as_f64().expect("a number");
    assert!(each > 0.5 && each < 5000.0, "{report:#}");
    assert!(report["generator"]["cpu_us_per_request"].as_f64().expect("a number") > 0.5);
}

#[test]
fn a_plan_mixes_requests() {
    let origin = Origin::start(&[]);
    let files = tempfile::tempdir().expect("a directory");
    let plan = files.path().join("mix.toml");
    let text = "[[request]]\nweight = 3\npath = '/?size=10&n={seq}'\n[[request]]\n\
                method = 'POST'\npath = '/?echo=1&n={rand}'\nbody = '{seq}.'\n";
    std::fs::write(&plan, text).expect("written");
    let plan = plan.to_str().expect("UTF-8");
    let (code, report) = origin.run("/", &["-c", "2", "-n", "400", "--plan", plan]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(count(&report, "/ok"), 400);
    let posted = count(&origin.status(), "/body_bytes");
    assert!((2 * 60..4 * 140).contains(&posted), "{posted} body bytes of about 100 posts");
}

#[test]
fn the_origin_shows_what_it_received() {
    let origin = Origin::start(&[]);
    let request = "GET /headers HTTP/1.1\r\nHost: o\r\nx-ODD:  kept \r\nConnection: close\r\n\r\n";
    let answer = origin.talk(request);
    assert!(answer.ends_with(request), "{answer}");
    let answer = origin.talk("GET /ip HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
    let answer = origin.talk("GET /?oops=1 HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let chunked = "POST /?echo=1 HTTP/1.1\r\nHost: o\r\nTransfer-Encoding: chunked\r\n\
                   Connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert!(origin.talk(chunked).ends_with("\r\n\r\nabc"));
    let smuggled = "POST / HTTP/1.1\r\nHost: o\r\nContent-Length: 3\r\n\
                    Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(origin.talk(smuggled).starts_with("HTTP/1.1 400 "));
    assert_eq!(count(&origin.status(), "/malformed"), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(&[]);
    let answer = origin.talk(
        "GET /?size=1 HTTP/1.1\r\nHost: o\r\n\r\nPOST /?echo=1 HTTP/1.1\r\nHost: o\r\n\
         Content-Length: 2\r\n\r\nhiGET /?size=3&close=1 HTTP/1.1\r\nHost: o\r\n\r\n",
    );
    let bodies: Vec<&str> = answer
        .split("HTTP/1.1 200 OK")
        .skip(1)
        .map(|a| a.split_once("\r\n\r\n").unwrap().1)
        .collect();
    assert_eq!(bodies, ["0", "hi", "012"]);
}

#[test]
fn http2_carries_streams() {
    for io in ["auto", "epoll"] {
        let origin = Origin::start(&["--io", io]);
        let flags = ["--http2", "-c", "2", "--streams", "16", "-n", "1000", "--io", io];
        let (code, report) = origin.run("/", &flags);
        assert_eq!(code, Some(0), "{report:#}");
        assert_eq!(count(&report, "/ok"), 1000);
        assert_eq!(count(&report, "/body_bytes_in"), 42_000);
        assert_eq!(count(&report, "/statuses/200"), 1000);
        let status = origin.status();
        assert_eq!(count(&status, "/requests"), 1001);
        assert_eq!(count(&status, "/http2_connections"), 2);
        assert_eq!(count(&status, "/connections_accepted"), 3);
    }
}

#[test]
fn http2_bodies_and_timings_are_what_was_asked_for() {
    let origin = Origin::start(&[]);
    for (target, flags, bytes) in [
        ("/?size=1MiB", &[][..], 1 << 20),
        ("/?chunked=1&size=5000&chunk=999&gap=1ms&trailers=1", &[], 5000),
        ("/?echo=1", &["--body-size", "300KiB"], 300 * 1024),
        ("/?echo=1&n={seq}", &["--body", "0123456789"], 10),
        ("/?delay=5ms", &["-X", "HEAD"], 0),
        ("/?status=404", &["--expect-status", "404"], 42),
        ("/?close=1", &[], 42),
        ("/?stall=20ms&size=10", &[], 10),
        ("/", &["--keep-alive", "off"], 42),
    ] {
        let fixed = ["--http2", "-c", "2", "--streams", "4", "-n", "16"];
        let (code, report) = origin.run(target, &[&fixed[..], flags].concat());
        assert_eq!(code, Some(0), "{target}: {report:#}");
        assert_eq!(count(&report, "/ok"), 16, "{target}: {report:#}");
        assert_eq!(count(&report, "/body_bytes_in"), 16 * bytes, "{target}");
    }
    assert_eq!(count(&origin.status(), "/malformed"), 0);
}

#[test]
fn http2_faults_are_called_by_their_names() {
    let origin = Origin::start(&[]);
    for (target, error) in [
        ("/?reset=1", "rst_stream: internal_error"),
        ("/?reset_after=1000", "rst_stream: internal_error"),
        ("/?truncate=100", "truncated"),
        ("/?status=503", "status_503"),
        ("/?drop=1", "timeout"),
        ("/?stall=5s&size=10", "timeout"),
        ("/?bad=garbage", "status_400"),
    ] {
        let flags = ["--http2", "-c", "1", "--streams", "2", "-n", "4", "--timeout", "300ms"];
        let (code, report) = origin.run(target, &flags);
        assert_eq!(code, Some(3), "{target}: nothing succeeded");
        assert_eq!(report["errors"][error].as_u64(), Some(4), "{target}: {report:#}");
        // A fault of one stream leaves its connection alone.
        assert_eq!(count(&report, "/connections_made"), 1, "{target}");
    }
}

#[test]
fn http2_keeps_the_schedule_of_an_open_loop() {
    let origin = Origin::start(&[]);
    let load = ["--rate", "500", "--duration", "2s", "--warmup", "0s"];
    let flags = ["--http2", "-c", "4", "--streams", "16"];
    let (_, report) = origin.run("/?delay=5ms", &[&load[..], &flags].concat());
    assert_eq!(count(&report, "/ok"), 1000, "{report:#}");
    assert_eq!(count(&report, "/latency_us/count"), 1000);
    assert_eq!(count(&report, "/connections_made"), 4);
    // One stream that takes 50 ms: at 100 a second half of the load has to wait.
    let narrow = ["--rate", "100", "--duration", "1s", "--warmup", "0s", "--timeout", "20s"];
    let (code, report) =
        origin.run("/?delay=50ms", &[&narrow[..], &["--http2", "-c", "1"]].concat());
    assert_eq!((code, count(&report, "/ok")), (Some(3), 100), "{report:#}");
    let slowest = report["latency_us"]["max"].as_f64().expect("a number");
    assert!(slowest > 3_900_000.0, "{report:#}");
}

#[test]
fn an_aborted_stream_is_seen_by_the_origin_and_its_neighbours_go_on() {
    let origin = Origin::start(&[]);
    let flags = ["--http2", "-c", "1", "--streams", "4", "-n", "40", "--abort-after", "30ms"];
    let (_, report) =
        origin.run("/?delay=90ms", &[&flags[..], &["--abort-percent", "50"]].concat());
    let aborted = count(&report, "/aborted");
    assert!((5..36).contains(&aborted), "{report:#}");
    assert_eq!(count(&report, "/ok") + aborted, 40, "{report:#}");
    assert_eq!(count(&report, "/connections_made"), 1);
    assert_eq!(count(&origin.status(), "/aborted_by_peer"), aborted);
}

#[test]
fn http2_is_negotiated_over_tls() {
    let files = tempfile::tempdir().expect("a directory");
    let (cert, key) = certificate(&files);
    let origin = Origin::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let flags = ["--http2", "--insecure", "-c", "2", "--streams", "8", "-n", "64"];
    for (target, bytes) in [("/", 42), ("/?size=300KiB", 300 << 10)] {
        let (code, report) = origin.run(target, &flags);
        assert_eq!(code, Some(0), "{report:#}");
        assert_eq!(count(&report, "/body_bytes_in"), 64 * bytes, "{report:#}");
    }
    let (_, report) = origin.run("/", &["--insecure", "-c", "2", "-n", "8"]);
    assert_eq!(count(&report, "/ok"), 8, "HTTP/1.1 where it is asked for: {report:#}");
}

#[test]
fn grpc_calls_are_answered_with_their_message() {
    let origin = Origin::start(&[]);
    let flags = ["--grpc", "-c", "2", "--streams", "8", "-n", "100", "--body-size", "1000"];
    let (code, report) = origin.run("/pets.Pets/Get", &flags);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(count(&report, "/body_bytes_in"), 100 * 1005);
    // An answer without grpc-status is none.
    let (code, report) =
        origin.run("/", &["--grpc", "-n", "2", "-c", "1", "-H", "content-type: x"]);
    assert_eq!(code, Some(3), "{report:#}");
    assert_eq!(count(&report, "/errors/malformed: no grpc-status"), 2);
}

#[test]
fn websocket_messages_come_back() {
    let files = tempfile::tempdir().expect("a directory");
    let (cert, key) = certificate(&files);
    for tls in [&[][..], &["--tls-cert", &cert, "--tls-key", &key]] {
        let origin = Origin::start(tls);
        for (flags, bytes) in [
            (&["-n", "200"][..], 42),
            (&["-n", "8", "--body-size", "100KiB"], 100 << 10),
            (&["-n", "10", "--body", "{seq}{seq}", "--threads", "2"], 2),
            (&["-n", "10", "--keep-alive", "off"], 42),
        ] {
            let fixed = ["--websocket", "--insecure", "-c", "2"];
            let (code, report) = origin.run("/ws", &[&fixed[..], flags].concat());
            assert_eq!(code, Some(0), "{flags:?}: {report:#}");
            let sent: u64 = flags[1].parse().expect("a number");
            assert_eq!(count(&report, "/ok"), sent);
            assert_eq!(count(&report, "/body_bytes_in"), sent * bytes);
            assert_eq!(count(&report, "/statuses/101"), sent);
        }
    }
    let origin = Origin::start(&[]);
    let (code, report) = origin.run("/no-such", &["--websocket", "-c", "1", "-n", "2"]);
    assert_eq!(code, Some(3));
    assert_eq!(count(&report, "/errors/no_upgrade"), 2, "{report:#}");
}

#[test]
fn idle_tunnels_are_held() {
    let origin = Origin::start(&[]);
    let idle = ["--websocket", "--idle", "50", "--hold", "200ms"];
    let (code, report) = origin.run("/ws", &idle);
    assert_eq!((code, count(&report, "/alive_at_end")), (Some(0), 50), "{report:#}");
    let (code, _) = origin.run("/ws", &[&idle[..], &["--silent"]].concat());
    assert_eq!(code, Some(0));
    let status = origin.status();
    assert_eq!((count(&status, "/websockets"), count(&status, "/messages")), (100, 50));
}

/// What the origin says to a client that breaks HTTP/2, frame by frame.
#[test]
fn the_origin_is_strict_with_http2() {
    let origin = Origin::start(&[]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // :method GET, :scheme http, :path /, and then a field that has no place in HTTP/2.
    let bad_field = b"\0\0\x10\x01\x05\0\0\0\x01\x82\x86\x84\0\x07upgrade\x03h2c";
    // A PING with seven bytes.
    let bad_frame = b"\0\0\x07\x06\0\0\0\0\0PINGPIN";
    let mut stream = TcpStream::connect(&origin.address).expect("the origin listens");
    stream.write_all(&[&preface[..], bad_field, bad_frame].concat()).expect("the origin reads");
    stream.shutdown(std::net::Shutdown::Write).expect("open until now");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the origin ends it");
    let has = |frame: &[u8]| answer.windows(frame.len()).any(|seen| seen == frame);
    assert!(has(b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x01"), "RST_STREAM: {answer:?}");
    assert!(has(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\x01"), "GOAWAY: {answer:?}");
    assert_eq!(count(&origin.status(), "/malformed"), 2);
}
