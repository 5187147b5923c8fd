//! The passes of the writer against a place that fails when told to; the thread against real files.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::clock::Wall;
use crate::observe::access_log::{Format, Plain, Record};
use crate::observe::cells::WorkerCells;
use crate::observe::ring::{Pushed, Pusher};

/// A place whose next writes are scripted; with no script left it takes all.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Scripted>>);

#[derive(Default)]
struct Scripted {
    next: VecDeque<Result<usize, io::ErrorKind>>,
    files: Vec<Vec<u8>>,
}

impl Script {
    fn then(&self, steps: impl IntoIterator<Item = Result<usize, io::ErrorKind>>) {
        self.0.lock().unwrap().next.extend(steps);
    }

    fn files(&self) -> Vec<String> {
        let scripted = self.0.lock().unwrap();
        scripted.files.iter().map(|file| String::from_utf8(file.clone()).unwrap()).collect()
    }
}

impl Place for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut scripted = self.0.lock().unwrap();
        let n = scripted.next.pop_front().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
        if scripted.files.is_empty() {
            scripted.files.push(Vec::new());
        }
        scripted.files.last_mut().unwrap().extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn reopen(&mut self, _target: Option<Target>) -> io::Result<()> {
        self.0.lock().unwrap().files.push(Vec::new());
        Ok(())
    }
}

fn writer(workers: usize) -> (Writer<Script>, Script, Vec<Pusher>) {
    let script = Script::default();
    let (pushers, takers) = (0..workers).map(|_| ring(4096)).unzip();
    let writer = Writer::new(script.clone(), takers, Arc::new(Registry::new(1)));
    (writer, script, pushers)
}

fn push(pusher: &mut Pusher, line: &str) {
    assert_ne!(pusher.push(line.as_bytes()), Pushed::Dropped);
}

fn at(millis: u64) -> Tick {
    Tick(millis * 1_000_000)
}

#[test]
fn the_lines_of_all_workers_go_out_in_one_write() {
    let (mut writer, script, mut pushers) = writer(3);
    for (n, pusher) in pushers.iter_mut().enumerate() {
        push(pusher, &format!("{n}\n"));
    }
    script.then([Ok(usize::MAX), Err(io::ErrorKind::Other)]);
    assert_eq!(writer.pass(at(0)), Pass::Drained);
    assert_eq!(script.files(), ["0\n1\n2\n"]);
    assert_eq!(writer.pass(at(0)), Pass::Drained, "nothing to write is no write");
}

#[test]
fn a_full_disk_delays_lines_and_tears_or_loses_none() {
    let (mut writer, script, mut pushers) = writer(1);
    push(&mut pushers[0], "first\n");
    push(&mut pushers[0], "second\n");
    script.then([Err(io::ErrorKind::Interrupted), Ok(8), Err(io::ErrorKind::StorageFull)]);
    assert_eq!(writer.pass(at(0)), Pass::Stuck);
    assert_eq!(script.files(), ["first\nse"]);
    push(&mut pushers[0], "third\n");
    assert_eq!(writer.pass(at(LOG_RETRY_MS - 1)), Pass::Stuck);
    assert_eq!(script.files(), ["first\nse"], "not tried before its time");
    assert_eq!(writer.pass(at(LOG_RETRY_MS)), Pass::More);
    assert_eq!(writer.pass(at(LOG_RETRY_MS)), Pass::Drained);
    assert_eq!(script.files(), ["first\nsecond\nthird\n"]);
}

#[test]
fn a_reader_that_is_slow_is_not_counted_as_an_error_a_broken_one_is() {
    let (mut writer, script, mut pushers) = writer(1);
    let page = |writer: &Writer<Script>| {
        let process = crate::observe::exposition::Process {
            version: "",
            io_driver: "",
            started: Wall(0),
            cpu_ns: 0,
            resident_bytes: 0,
            open_fds: 0,
            max_fds: 0,
        };
        let outside = crate::observe::exposition::Outside {
            process,
            workers: Vec::new(),
            rings: crate::observe::exposition::Rings::default(),
            store: crate::observe::exposition::StoreSeen::default(),
            ledger: crate::observe::exposition::LedgerSeen::default(),
            panics: 0,
            limits: crate::observe::exposition::LimitsSeen::default(),
            endpoints: Vec::new(),
            targets: Vec::new(),
        };
        let mut out = Vec::new();
        let options = crate::observe::exposition::Options::default();
        crate::observe::exposition::render(&writer.registry, &outside, options, &mut out);
        String::from_utf8(out).unwrap()
    };
    push(&mut pushers[0], "line\n");
    script.then([Err(io::ErrorKind::WouldBlock), Err(io::ErrorKind::BrokenPipe), Ok(0)]);
    assert_eq!(writer.pass(at(0)), Pass::Stuck);
    assert!(page(&writer).contains("\nringway_access_log_write_errors_total 0\n"));
    assert_eq!(writer.pass(at(LOG_FULL_PIPE_MS)), Pass::Stuck);
    assert!(page(&writer).contains("\nringway_access_log_write_errors_total 1\n"));
    assert_eq!(writer.pass(at(2 * LOG_RETRY_MS)), Pass::Stuck, "taking nothing is an error too");
    assert_eq!(writer.pass(at(3 * LOG_RETRY_MS)), Pass::Drained);
    let page = page(&writer);
    assert!(page.contains("\nringway_access_log_write_errors_total 2\n"));
    assert!(page.contains("\nringway_access_log_written_bytes_total 5\n"));
}

#[test]
fn a_reopening_repeats_a_torn_line_whole_in_the_new_file() {
    let (mut writer, script, mut pushers) = writer(1);
    push(&mut pushers[0], "first\n");
    push(&mut pushers[0], "second\n");
    let full = Err(io::ErrorKind::StorageFull);
    script.then([Ok(8), full, full]);
    assert_eq!(writer.pass(at(0)), Pass::Stuck);
    writer.reopen(None).unwrap();
    assert_eq!(writer.pass(Tick::NEVER), Pass::Drained);
    assert_eq!(script.files(), ["first\nse", "second\n"]);
}

#[test]
fn a_reopening_leaves_what_was_taken_before_in_the_old_file() {
    let (mut writer, script, mut pushers) = writer(1);
    push(&mut pushers[0], "old\n");
    script.then([Err(io::ErrorKind::WouldBlock)]);
    assert_eq!(writer.pass(at(0)), Pass::Stuck);
    writer.reopen(None).unwrap();
    push(&mut pushers[0], "new\n");
    assert_eq!(writer.pass(Tick::NEVER), Pass::Drained);
    assert_eq!(script.files(), ["old\n", "new\n"]);
}

#[test]
fn what_does_not_fit_one_batch_comes_in_the_next_and_all_workers_get_their_turn() {
    let script = Script::default();
    let (mut pushers, takers): (Vec<_>, Vec<_>) = (0..2).map(|_| ring(LOG_BATCH_BYTES * 2)).unzip();
    let mut writer = Writer::new(script.clone(), takers, Arc::new(Registry::new(1)));
    let long = format!("{}\n", "x".repeat(1000));
    for _ in 0..LOG_BATCH_BYTES / 1001 + 1 {
        push(&mut pushers[0], &long);
    }
    push(&mut pushers[1], "short\n");
    assert_eq!(writer.pass(at(0)), Pass::More);
    assert_eq!(writer.pass(at(0)), Pass::Drained);
    let lines = LOG_BATCH_BYTES / 1001 + 1;
    let file = &script.files()[0];
    assert_eq!(file.len(), lines * 1001 + 6);
    assert!(file.ends_with(&format!("short\n{long}")), "the second worker came first then");
}

/// A place that is slow: while it writes a line comes.
struct Slow(Script, Pusher);

impl Place for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        push(&mut self.1, "late\n");
        self.0.write(bytes)
    }

    fn reopen(&mut self, _: Option<Target>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_comes_during_a_write_waits_for_the_next_pass() {
    let script = Script::default();
    let (mut pusher, taker) = ring(4096);
    push(&mut pusher, "first\n");
    let place = Slow(script.clone(), pusher);
    let mut writer = Writer::new(place, vec![taker], Arc::new(Registry::new(1)));
    assert_eq!(writer.pass(at(0)), Pass::Drained);
    assert_eq!(script.files(), ["first\n"]);
    assert_eq!(writer.pass(at(0)), Pass::Drained);
    assert_eq!(script.files(), ["first\nlate\n"]);
}

#[test]
fn a_writer_that_comes_only_when_it_is_woken_loses_no_line() {
    let (mut writer, script, mut pushers) = writer(1);
    let (mut passes, mut expected) = (0, String::new());
    for n in 0..5000 {
        let line = format!("{n} {}\n", "x".repeat(n * 7 % 400));
        let pushed = pushers[0].push(line.as_bytes());
        assert_ne!(pushed, Pushed::Dropped, "{n}");
        expected += &line;
        if pushed == Pushed::HalfFull {
            assert_eq!(writer.pass(at(0)), Pass::Drained);
            passes += 1;
        }
    }
    let ring_halves = expected.len() / 2048;
    assert!(passes <= ring_halves + 1, "{passes} for {ring_halves}");
    writer.pass(at(0));
    assert_eq!(script.files(), [expected]);
}

#[test]
fn what_is_abandoned_is_counted_to_the_line() {
    let (mut writer, script, mut pushers) = writer(2);
    push(&mut pushers[0], "a\n");
    push(&mut pushers[0], "b\n");
    script.then([Ok(2), Err(io::ErrorKind::StorageFull)]);
    assert_eq!(writer.pass(at(0)), Pass::Stuck);
    push(&mut pushers[1], "c\n");
    assert_eq!(writer.abandon(), 2);
}

#[test]
fn errors_are_said_at_once_and_then_now_and_then() {
    let mut complaint = Complaint::default();
    assert!(!complaint.recovered());
    assert_eq!(complaint.due(at(5)), Some(1));
    assert_eq!(complaint.due(at(6)), None);
    assert_eq!(complaint.due(at(LOG_REPORT_MS + 4)), None);
    assert_eq!(complaint.due(at(LOG_REPORT_MS + 5)), Some(3));
    assert!(complaint.recovered());
    assert!(!complaint.recovered());
}

// === the thread ===

fn log(logs: &mut [WorkerLog], worker: usize, path: &str) {
    let record = Record {
        time: Wall(0),
        client: [127, 0, 0, 1].into(),
        client_port: 0,
        listener: Plain::of(""),
        api: Plain::of(""),
        route: "",
        stage: "",
        api_version: "",
        canary: false,
        method: Plain::of(""),
        host: Plain::of(""),
        path: path.as_bytes(),
        query: None,
        version: "",
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
        request_id: Plain::of(""),
        traceparent: Plain::of(""),
        bytes_in: 0,
        bytes_out: 0,
        upstream: Plain::of(""),
        endpoint: None,
        attempts: 0,
        upstream_reused: false,
        total_ns: 0,
        upstream_connect_ns: None,
        upstream_first_byte_ns: None,
        upstream_ns: None,
        user_agent: b"",
        referer: b"",
        tls_version: "",
        sni: b"",
        connection_requests: 1,
        llm: None,
    };
    let format = Format::parse_template("{path}").unwrap();
    logs[worker].log(&format, &record, &WorkerCells::default());
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn what_workers_logged_stands_in_the_file_when_the_writer_has_finished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    std::fs::write(&path, "kept\n").unwrap();
    let target = Target::File(path.clone());
    let (sink, mut logs) = LogSink::start(target, 2, Arc::new(Registry::new(2))).unwrap();
    for n in 0..500 {
        log(&mut logs, n % 2, &format!("/{n}"));
    }
    sink.finish(PATIENCE).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "kept");
    for worker in 0..2 {
        let own = lines.iter().map(|line| line[1..].parse::<usize>().unwrap());
        let own: Vec<usize> = own.filter(|n| n % 2 == worker).collect();
        assert_eq!(own, (0..500).filter(|n| n % 2 == worker).collect::<Vec<_>>());
    }
}

#[test]
fn a_moved_file_is_left_and_a_new_one_begun_and_another_target_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved, other) =
        (dir.path().join("a.log"), dir.path().join("a.log.1"), dir.path().join("b.log"));
    let target = Target::File(path.clone());
    let (sink, mut logs) = LogSink::start(target, 1, Arc::new(Registry::new(1))).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    sink.reopen(None).recv_timeout(PATIENCE).unwrap().unwrap();
    log(&mut logs, 0, "/one");
    let missing = Target::File(dir.path().join("no/such/dir.log"));
    assert!(sink.reopen(Some(missing)).recv_timeout(PATIENCE).unwrap().is_err());
    sink.reopen(None).recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(path.exists(), "an error changed nothing");
    sink.reopen(Some(Target::File(other.clone()))).recv_timeout(PATIENCE).unwrap().unwrap();
    log(&mut logs, 0, "/two");
    sink.finish(PATIENCE).unwrap();
    let read = |path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&moved), "");
    assert_eq!(read(&path) + &read(&other), "/one\n/two\n");
    assert!(read(&other).ends_with("/two\n"));
}

#[test]
fn a_place_that_takes_nothing_is_given_up_when_the_time_is_over_and_the_loss_told() {
    let (mut writer, script, mut pushers) = writer(1);
    push(&mut pushers[0], "lost\n");
    push(&mut pushers[0], "too\n");
    script.then([Err(io::ErrorKind::StorageFull)]);
    let (commands, inbox) = unbounded();
    commands.send(Command::Finish(Tick(0))).unwrap();
    assert_eq!(writer.run(&inbox), 2);
}

#[test]
fn a_write_that_does_not_return_does_not_hold_up_the_end() {
    struct Stone(Receiver<()>);
    impl Place for Stone {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn reopen(&mut self, _: Option<Target>) -> io::Result<()> {
            Ok(())
        }
    }
    let (_free, hold) = bounded(0);
    let (sink, mut logs) = LogSink::start_at(Stone(hold), 1, Arc::new(Registry::new(1))).unwrap();
    log(&mut logs, 0, "/held");
    assert_eq!(sink.finish(Duration::from_millis(20)), Err(Unfinished::Blocked));
}
