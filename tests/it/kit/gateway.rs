//! The gateway under test: the real binary, its configuration in a directory of its own.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::client::{self, Client};
use super::message::Response;
use super::{PATIENCE, eventually};

/// A running gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    pub dir: tempfile::TempDir,
    log: Arc<Mutex<Vec<String>>>,
    listeners: Vec<(String, SocketAddr)>,
}

/// A gateway that ended by itself.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
    pub stdout: String,
}

/// How the binary is asked to serve the configuration of its directory.
pub const SERVE: [&str; 3] = ["serve", "--config", "ringway.toml"];
/// A section that turns the admin server on, on a port of its own.
pub const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

// === impl Gateway ===

impl Gateway {
    /// Starts with this configuration, to which [`complete`] adds what it does not say.
    pub fn start(config: &str) -> Gateway {
        Gateway::start_in(tempfile::tempdir().expect("a directory of its own"), config)
    }

    /// In front of one origin, with nothing special about it.
    pub fn before(origin: SocketAddr) -> Gateway {
        Gateway::start(&plain(origin))
    }

    /// Starts in a directory that holds files the configuration names.
    pub fn start_in(dir: tempfile::TempDir, config: &str) -> Gateway {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(SERVE).env_remove("LISTEN_FDS");
        Gateway::start_by(command, dir, config)
    }

    /// Starts by a command of the test's own, which runs the binary with [`SERVE`].
    pub fn start_by(mut command: Command, dir: tempfile::TempDir, config: &str) -> Gateway {
        std::fs::write(dir.path().join("ringway.toml"), complete(config)).expect("a file");
        let mut child = command
            .current_dir(dir.path())
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stderr = child.stderr.take().expect("stderr is piped");
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut gateway = Gateway { child, dir, log, listeners: Vec::new() };
        let addresses = |line: &str| match line {
            _ if line.starts_with("[listeners.") => usize::from(line.matches('.').count() == 1),
            _ if line.starts_with("addresses = [") => line.matches(',').count(),
            _ => 0,
        };
        let count: usize = config.lines().map(addresses).sum();
        assert!(count > 0, "a configuration has a listener");
        eventually(PATIENCE, || {
            gateway.listeners = bound(&gateway.log_lines());
            gateway.listeners.len() >= count || gateway.child.try_wait().is_ok_and(|e| e.is_some())
        });
        let serves = gateway.listeners.len() >= count;
        assert!(serves, "the gateway did not start:\n{}", gateway.log_lines().join("\n"));
        assert!(!ON_EPOLL.get() || gateway.says("io=epoll"), "it runs on io_uring");
        gateway
    }

    /// The address of the listener `web`.
    pub fn addr(&self) -> SocketAddr {
        self.addr_of("web")
    }

    pub fn addr_of(&self, listener: &str) -> SocketAddr {
        let mut found = self.listeners.iter().filter(|(name, _)| name == listener);
        found.next().unwrap_or_else(|| panic!("no listener {listener}")).1
    }

    /// Every address with its listener's name.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.listeners.clone()
    }

    /// Where the admin server is, as the log says; the configuration must turn it on ([`ADMIN`]).
    pub fn admin(&self) -> SocketAddr {
        assert!(self.says("admin http://"), "no admin server");
        let lines = self.log_lines();
        let found = lines.iter().find_map(|line| line.split_once("admin http://"));
        found.and_then(|(_, address)| address.trim().parse().ok()).expect("an address")
    }

    /// A connection to the listener `web`.
    pub fn client(&self) -> Client {
        Client::connect(self.addr())
    }

    /// One request on a connection of its own.
    pub fn ask(&self, bytes: impl AsRef<[u8]>) -> Response {
        client::ask(self.addr(), bytes)
    }

    /// A plain GET on a connection of its own.
    pub fn get(&self, path: &str) -> Response {
        client::get(self.addr(), path)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status()
            .expect("a shell");
        assert!(sent.success(), "signal {name}");
    }

    /// Writes a new configuration and has it read; returns when the log says it has been.
    pub fn reload(&mut self, config: &str) -> String {
        self.reload_raw(&complete(config))
    }

    /// The same with exactly this text.
    pub fn reload_raw(&mut self, config: &str) -> String {
        std::fs::write(self.path("ringway.toml"), config).expect("a file");
        let before = self.log_lines().len();
        self.signal("HUP");
        let mut said = String::new();
        let done = eventually(PATIENCE, || {
            said = self.log_lines()[before..].join("\n");
            said.contains("reloaded: ") || said.contains("reload refused")
        });
        assert!(done, "no word of a reload:\n{said}");
        // The last lines of several: until no more come.
        loop {
            std::thread::sleep(super::ms(30));
            let now = self.log_lines()[before..].join("\n");
            if std::mem::replace(&mut said, now) == said {
                return said;
            }
        }
    }

    /// Lines of the process log so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a line of the process log comes to hold `text`.
    pub fn says(&self, text: &str) -> bool {
        eventually(PATIENCE, || self.log_lines().iter().any(|line| line.contains(text)))
    }

    /// Lines of the access log, at least so many.
    pub fn access_log(&self, at_least: usize) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        eventually(PATIENCE, || {
            lines = json_lines(&self.path("access.log"));
            lines.len() >= at_least
        });
        assert!(lines.len() >= at_least, "{} lines, not {at_least}: {lines:#?}", lines.len());
        lines
    }

    /// The only line of the access log.
    pub fn access_line(&self) -> serde_json::Value {
        let lines = self.access_log(1);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        lines[0].clone()
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the gateway runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kib = line.split_whitespace().nth(1).expect("a number");
        kib.parse::<u64>().expect("a number") * 1024
    }

    /// Threads.
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the gateway runs").count()
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the gateway runs").count()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.await_end(PATIENCE * 3).expect("the gateway ends after SIGTERM")
    }

    /// How it ended, if it does within `time`.
    pub fn await_end(&mut self, time: Duration) -> Option<ExitStatus> {
        let mut status = None;
        eventually(time, || {
            status = self.child.try_wait().expect("the child is ours");
            status.is_some()
        });
        status
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let panicked = self.log_lines().iter().any(|line| line.contains("panicked"));
        if std::thread::panicking() || panicked {
            let lines = self.log_lines();
            let last = lines.len().saturating_sub(20);
            eprintln!("--- the gateway's log ends ---\n{}", lines[last..].join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        assert!(!panicked || std::thread::panicking(), "the gateway panicked: see its log above");
    }
}

/// A configuration in front of one origin.
pub fn plain(origin: SocketAddr) -> String {
    with("", "", origin)
}

/// The same, with more keys for the listener and the upstream.
pub fn with(listener: &str, upstream: &str, origin: SocketAddr) -> String {
    format!(
        r#"
[listeners.web]
address = "127.0.0.1:0"
{listener}
[upstreams.app]
endpoints = ["{origin}"]
{upstream}
[apis.app.routes."$default"]
upstream = "app"
"#
    )
}

thread_local! {
    static ON_EPOLL: Cell<bool> = const { Cell::new(false) };
}

/// Runs a scenario with every gateway that it starts on epoll.
pub fn on_epoll(scenario: fn()) {
    ON_EPOLL.set(true);
    scenario();
    ON_EPOLL.set(false);
}

/// Adds what tests do not care about: two workers not pinned, no admin, an access log in a file, a
/// drain that nobody's patience outlasts; and the driver, where a scenario runs [`on_epoll`].
pub fn complete(config: &str) -> String {
    let whole = completed(config);
    match ON_EPOLL.get() {
        true => whole.replacen("[gateway]\n", "[gateway]\nio = \"epoll\"\n", 1),
        false => whole,
    }
}

fn completed(config: &str) -> String {
    let mut whole = String::new();
    for (section, text) in [
        ("[gateway]", "workers = 2\npin = false\n"),
        ("[admin]", "enabled = false\n"),
        ("[log.access]", "path = \"access.log\"\n"),
    ] {
        if !config.contains(section) {
            whole.push_str(&format!("{section}\n{text}"));
        }
    }
    whole.push_str(config);
    match whole.contains("drain_deadline") {
        true => whole,
        false => whole.replacen("[gateway]\n", "[gateway]\ndrain_deadline = \"5m\"\n", 1),
    }
}

/// Runs the binary to its end.
pub fn run(dir: &Path, args: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    Ended {
        code: output.status.code(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

/// Where listeners are, as the log says: `INFO http://127.0.0.1:41233 listener="web"`.
fn bound(log: &[String]) -> Vec<(String, SocketAddr)> {
    let mut found = Vec::new();
    for line in log {
        let Some(at) = line.find("http") else { continue };
        let Some((_, rest)) = line[at..].split_once("://") else { continue };
        let Some((address, rest)) = rest.split_once(' ') else { continue };
        let Some((_, name)) = rest.split_once("listener=\"") else { continue };
        if let (Ok(address), Some(name)) = (address.parse(), name.split('"').next()) {
            found.push((name.to_owned(), address));
        }
    }
    found
}

fn json_lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may not be whole yet.
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
    whole.lines().map(parse).collect()
}
