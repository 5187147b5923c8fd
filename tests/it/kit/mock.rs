//! A model's API without a model: `ringway-load mock-llm` as a process, and what it counted.
//!
//! The program is looked for beside the gateway's (a build of the workspace puts it there); where
//! it is missing it is built.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::client;
use super::{PATIENCE, eventually};

/// A running mock; killed when dropped.
pub struct Mock {
    child: Child,
    pub addr: SocketAddr,
}

// === impl Mock ===

impl Mock {
    /// With these flags of `ringway-load mock-llm`.
    pub fn start(flags: &[&str]) -> Mock {
        let mut child = Command::new(program())
            .args(["mock-llm", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the mock runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        let addr = line.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        Mock { child, addr: addr.unwrap_or_else(|| panic!("it says where it listens: {line}")) }
    }

    /// GET /mock/counters.
    pub fn counters(&self) -> Value {
        self.control("GET", "/mock/counters", "")
    }

    /// The counters, once nothing is generated any more.
    pub fn settled(&self) -> Value {
        let mut counters = Value::Null;
        let settles = eventually(PATIENCE, || {
            counters = self.counters();
            counters["running"] == 0
        });
        assert!(settles, "generations still run: {counters:#}");
        counters
    }

    /// All counters are zero again.
    pub fn reset(&self) {
        self.control("POST", "/mock/reset", "");
    }

    /// What the mock commits by itself from now on: `429:0.5,stall:0.1`; nothing ends it.
    pub fn commit(&self, faults: &str) {
        self.control("POST", "/mock/faults", faults);
    }

    fn control(&self, method: &str, path: &str, body: &str) -> Value {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: m\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = client::ask(self.addr, request);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `ringway-load` is.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let gateway = Path::new(env!("CARGO_BIN_EXE_ringway"));
        let beside = gateway.with_file_name("ringway-load");
        if !beside.exists() {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--package", "ringway-load"]);
            if gateway.components().any(|part| part.as_os_str() == "release") {
                build.arg("--release");
            }
            let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status();
            assert!(built.is_ok_and(|status| status.success()), "ringway-load cannot be built");
        }
        beside
    })
}
