//! A page in a browser: WebSocket through the gateway over `ws:` (HTTP/1.1) and over `wss:` on the
//! HTTP/2 connection by which the page came (RFC 8441).

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::origin::ok;
use crate::kit::tls::Authority;
use crate::kit::ws;
use crate::kit::{Gateway, Origin, eventually};

/// A browser takes a while to start, all the more on a busy machine.
const PATIENT: Duration = Duration::from_secs(120);

/// Sends texts and bytes, compares what comes back, closes, and reports how it went.
const PAGE: &str = r#"<!doctype html><title>w</title><script>
const bytes = Uint8Array.from({length: 20000}, (_, at) => at % 251);
const sent = ["text \u2713", "", "x".repeat(3000), bytes], got = [];
const same = (a, b) => typeof b === "string" ? a === b
    : a.byteLength === b.length && new Uint8Array(a).every((byte, at) => byte === b[at]);
const report = what => fetch("/report", {method: "POST", body: JSON.stringify(what)});
const ws = new WebSocket(location.origin.replace("http", "ws") + "/echo");
ws.binaryType = "arraybuffer";
ws.onopen = () => sent.forEach(one => ws.send(one));
ws.onmessage = message => {
    got.push(same(message.data, sent[got.length]));
    if (got.length === sent.length) ws.close(4001, "enough");
};
ws.onclose = end => report({got, code: end.code, reason: end.reason, clean: end.wasClean});
</script>"#;

/// Ended when dropped, with its children.
struct Browser(Child);

impl Browser {
    /// `None` where there is none.
    fn open(url: &str, dir: &std::path::Path) -> Option<Browser> {
        let is_there = |name: &&str| {
            let version = Command::new(name).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        };
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let Some(name) = names.into_iter().find(is_there) else {
            eprintln!("skipped: there is no Chromium here");
            return None;
        };
        let mut command = Command::new(name);
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-dev-shm-usage", "--ignore-certificate-errors"])
            .arg(format!("--user-data-dir={}", dir.join("browser").display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A group of its own, to end all its processes by.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Some(Browser(command.spawn().expect("it has just said its version")))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).status());
        drop(self.0.wait());
    }
}

/// Has a browser open the page; the log line of its tunnel, if there is a browser.
fn visit(scheme: &str, tls: &str) -> Option<Value> {
    let dir = tempfile::tempdir().expect("a directory");
    Authority::new("a").issue(&["localhost"]).write(dir.path(), "a");
    let (echoes, reports) = (Origin::scripted(ws::echo), Origin::fixed(ok("")));
    let page = serde_json::to_string(PAGE).expect("a text is JSON");
    let gateway = Gateway::start_in(
        dir,
        &format!(
            "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n{tls}\n\
             [upstreams.echo]\nendpoints = [\"{}\"]\n[upstreams.report]\nendpoints = [\"{}\"]\n\
             [apis.app.routes.\"GET /\"]\nrespond = {{ body = {page}, headers = {{ \
             content-type = \"text/html\" }} }}\n\
             [apis.app.routes.\"GET /echo\"]\nupstream = \"echo\"\n\
             [apis.app.routes.\"POST /report\"]\nupstream = \"report\"\n",
            echoes.addr, reports.addr
        ),
    );
    let url = format!("{scheme}://{}/", gateway.addr());
    let browser = Browser::open(&url, gateway.dir.path())?;
    assert!(eventually(PATIENT, || reports.count() > 0), "the page reports");
    drop(browser);
    let report: Value = serde_json::from_slice(&reports.last().body).expect("is JSON");
    let expected =
        json!({ "got": [true, true, true, true], "code": 4001, "reason": "enough", "clean": true });
    assert_eq!(report, expected);
    let read = || {
        let log = std::fs::read_to_string(gateway.path("access.log")).unwrap_or_default();
        let lines = log.lines().map(|line| serde_json::from_str(line).expect("is JSON"));
        lines.into_iter().find(|line: &Value| line["path"] == "/echo")
    };
    assert!(eventually(PATIENT, || read().is_some()), "the tunnel is logged");
    read()
}

#[test]
fn a_page_talks_websocket_over_http_1() {
    let Some(line) = visit("http", "") else { return };
    assert_eq!((&line["status"], &line["version"]), (&json!(101), &json!("HTTP/1.1")), "{line}");
}

#[test]
fn a_page_that_came_over_http_2_talks_websocket_on_its_connection() {
    let tls = "protocols = [\"h2\", \"http/1.1\"]\n\
               tls.certificates = [{ cert = \"a.pem\", key = \"a.key\" }]";
    let Some(line) = visit("https", tls) else { return };
    assert_eq!((&line["status"], &line["version"]), (&json!(101), &json!("HTTP/2.0")), "{line}");
    assert!(line["connection_requests"].as_u64() > Some(1), "the page's connection: {line}");
}
