//! What limits admit, to the token, by a gateway of two workers that 64 connections ask flat out.
//!
//! `cargo bench --bench exact` starts the gateway with a plan, asks for ten seconds for one hot key
//! and then for 10,000, and counts. Every token is accounted for: between two requests that tell
//! what is left (`RateLimit`), a key is admitted what it had, plus rate x t, less what it has.
//! Those two are alone on their way, so that the gateway's t is known well: the best of many for a
//! hot key, short batches for many keys. From the very first request on it may be burst + rate x t.
//! `RINGWAY_BIN` names another binary, `RINGWAY_BENCH_SECONDS` another time.
#![expect(clippy::print_stdout, reason = "what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures by the real clock")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Keys of one plan.
struct Case {
    name: &'static str,
    keys: usize,
    /// Tokens a second.
    rate: u32,
    burst: u32,
}

/// What is known of a key.
#[derive(Clone, Copy)]
struct Account {
    admitted: u64,
    /// The first that told, and the last.
    looks: [Option<Look>; 2],
}

/// A request that was alone on its way, or with a few others.
#[derive(Clone, Copy)]
struct Look {
    /// With this one.
    admitted: u64,
    left: u64,
    /// Between these it was judged.
    during: (Instant, Instant),
}

/// What comes back of a request.
struct Answer {
    status: u16,
    /// Tokens left, where that was told.
    left: Option<u64>,
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    taken: usize,
}

/// A gateway, ended when dropped.
struct Gateway(Child, SocketAddr);

const CASES: [Case; 3] = [
    Case { name: "one hot key", keys: 1, rate: 20_000, burst: 20_000 },
    Case { name: "one hot key, slower", keys: 1, rate: 1_000, burst: 1_000 },
    Case { name: "10,000 keys", keys: 10_000, rate: 2, burst: 10 },
];
const CONNECTIONS: usize = 64;
const THREADS: usize = 2;
/// Requests on their way on one connection.
const BATCH: usize = 16;
/// So long all ask before it is first looked: no bucket is full any more then, which is where
/// tokens are lost.
const DRAIN: Duration = Duration::from_secs(2);
/// Looks at a hot key, of which the shortest counts.
const LOOKS: usize = 300;

fn main() {
    let seconds = std::env::var("RINGWAY_BENCH_SECONDS").ok().and_then(|s| s.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(10));
    let inexact = CASES.iter().filter(|case| !measure(case, time)).count();
    assert_eq!(inexact, 0, "limits are not exact");
}

fn measure(case: &Case, time: Duration) -> bool {
    let dir = std::env::temp_dir().join(format!("ringway-exact-{}", std::process::id()));
    let gateway = Gateway::start(case, &dir);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::new(gateway.1)).collect();
    let mut accounts = vec![Account { admitted: 0, looks: [None; 2] }; case.keys];
    let began = Instant::now();
    flat_out(case, DRAIN, &mut clients, &mut accounts);
    look(&mut clients[0], &mut accounts, 0);
    let (asked, refused) = flat_out(case, time, &mut clients, &mut accounts);
    look(&mut clients[0], &mut accounts, 1);
    drop(gateway);
    drop(std::fs::remove_dir_all(&dir));
    tell(case, began, asked, refused, &accounts)
}

/// All connections ask as fast as they are answered: how often, and how often in vain.
fn flat_out(
    case: &Case,
    time: Duration,
    clients: &mut [Client],
    accounts: &mut [Account],
) -> (u64, u64) {
    let start = Barrier::new(THREADS);
    let until = Instant::now() + time;
    let each = clients.len() / THREADS;
    let counts: Vec<(Vec<u64>, u64)> = std::thread::scope(|scope| {
        let start = &start;
        let threads = clients.chunks_mut(each).enumerate().map(|(thread, clients)| {
            let first = thread * case.keys / THREADS;
            scope.spawn(move || {
                start.wait();
                ask_until(until, clients, case.keys, first)
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread fails")).collect()
    });
    let (mut asked, mut admitted) = (0, 0);
    for (counts, all) in counts {
        asked += all;
        admitted += counts.iter().sum::<u64>();
        accounts.iter_mut().zip(counts).for_each(|(account, count)| account.admitted += count);
    }
    (asked, asked - admitted)
}

/// Asks for one key after the other, on all connections at once: how often each was admitted, and
/// how many requests that took.
fn ask_until(until: Instant, clients: &mut [Client], keys: usize, first: usize) -> (Vec<u64>, u64) {
    let (mut counts, mut asked, mut next) = (vec![0; keys], 0, first);
    let mut sent: Vec<Vec<usize>> = vec![Vec::new(); clients.len()];
    while Instant::now() < until {
        // All connections have their requests on the way before any answer is read.
        for (client, sent) in clients.iter_mut().zip(&mut sent) {
            *sent = (next..next + BATCH).map(|at| at % keys).collect();
            next += BATCH;
            client.send(sent);
        }
        for (client, sent) in clients.iter_mut().zip(&sent) {
            for key in sent {
                counts[*key] += u64::from(client.answer().status == 200);
                asked += 1;
            }
        }
    }
    (counts, asked)
}

/// Asks for every key while nobody else does.
fn look(client: &mut Client, accounts: &mut [Account], which: usize) {
    let keys: Vec<usize> = (0..accounts.len()).collect();
    let tries = if keys.len() == 1 { LOOKS } else { 1 };
    for keys in keys.chunks(BATCH) {
        for _ in 0..tries {
            let (answers, during) = client.ask(keys);
            for (key, answer) in keys.iter().zip(answers) {
                let account = &mut accounts[*key];
                account.admitted += u64::from(answer.status == 200);
                let left = answer.left.expect("the limit tells what is left");
                let look = Look { admitted: account.admitted, left, during };
                let best = account.looks[which].get_or_insert(look);
                if look.width() < best.width() {
                    *best = look;
                }
            }
        }
    }
}

fn tell(case: &Case, began: Instant, asked: u64, refused: u64, accounts: &[Account]) -> bool {
    let (rate, burst) = (f64::from(case.rate), f64::from(case.burst));
    let (mut least, mut most, mut width, mut t) = (f64::MAX, f64::MIN, 0f64, 0f64);
    let (mut is_exact, mut admitted) = (true, 0);
    for account in accounts {
        let [first, last] = account.looks.map(|look| look.expect("each key was looked at"));
        let given = (last.admitted - first.admitted + last.left) as f64 - first.left as f64;
        let shortest = last.during.0.duration_since(first.during.1).as_secs_f64();
        let longest = last.during.1.duration_since(first.during.0).as_secs_f64();
        // What is left is told in whole tokens; one a second may be lost to rounding.
        is_exact &= given >= rate * shortest - 1.0 - longest && given <= rate * longest + 1.0;
        let all = last.during.1.duration_since(began).as_secs_f64();
        is_exact &= (last.admitted + last.left) as f64 <= burst + rate * all;
        let off = given - rate * (shortest + longest) / 2.0;
        (least, most) = (least.min(off), most.max(off));
        width = width.max(rate * (longest - shortest) / 2.0);
        admitted += last.admitted - first.admitted;
        t = t.max(longest);
    }
    let verdict = if is_exact { "exact" } else { "NOT EXACT" };
    println!(
        "{} at {}/s: {asked} requests in {t:.3} s, {refused} refused, {admitted} admitted: \
         {least:+.2} to {most:+.2} tokens a key beside rate x t, t known to {width:.2} tokens: \
         {verdict}",
        case.name, case.rate,
    );
    assert!(refused > asked / 10, "the buckets were not empty: the machine is too slow");
    is_exact
}

// === impl Look ===

impl Look {
    fn width(&self) -> Duration {
        self.during.1.duration_since(self.during.0)
    }
}

// === impl Gateway ===

impl Gateway {
    fn start(case: &Case, dir: &Path) -> Gateway {
        let binary = std::env::var("RINGWAY_BIN").ok();
        let binary = binary.or(option_env!("CARGO_BIN_EXE_ringway").map(str::to_owned));
        let mut config = format!(
            "[gateway]\nworkers = 2\npin = false\nstate_dir = \"state\"\n[admin]\nenabled = false\n\
             [log.access]\nenabled = false\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
             [plans.exact]\napis = [\"app\"]\nrate = \"{}/s\"\nburst = {}\n\
             [apis.app.routes.\"$default\"]\nrespond = {{ body = \"x\" }}\n",
            case.rate, case.burst
        );
        std::fs::create_dir_all(dir.join("keys")).expect("a directory");
        for key in 0..case.keys {
            std::fs::write(dir.join(format!("keys/{key}")), secret(key)).expect("a file");
            let values = format!("values = [{{ file = \"keys/{key}\" }}]\nplans = [\"exact\"]\n");
            write!(config, "[keys.k{key}]\n{values}").expect("a text takes all");
        }
        std::fs::write(dir.join("ringway.toml"), config).expect("a file");
        let mut child = Command::new(binary.expect("RINGWAY_BIN names the binary"))
            .args(["serve", "--config", "ringway.toml"])
            .current_dir(dir)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("http://")?;
            rest.split_once(" listener=")?.0.parse().ok()
        });
        // What it says later must not block it.
        std::thread::spawn(move || log.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Gateway(child, address.expect("it says where it listens"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

// === impl Client ===

impl Client {
    fn new(to: SocketAddr) -> Client {
        let stream = TcpStream::connect(to).expect("the gateway accepts");
        stream.set_nodelay(true).expect("a socket option");
        Client { stream, buffer: vec![0; 64 << 10], filled: 0, taken: 0 }
    }

    /// Asks for these keys at once; the answers, and when that was.
    fn ask(&mut self, keys: &[usize]) -> (Vec<Answer>, (Instant, Instant)) {
        let before = Instant::now();
        self.send(keys);
        let answers = keys.iter().map(|_| self.answer()).collect();
        (answers, (before, Instant::now()))
    }

    fn send(&mut self, keys: &[usize]) {
        let mut out = Vec::with_capacity(keys.len() * 80);
        for key in keys {
            out.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: ");
            out.extend_from_slice(secret(*key).as_bytes());
            out.extend_from_slice(b"\r\n\r\n");
        }
        self.stream.write_all(&out).expect("the gateway reads");
    }

    fn answer(&mut self) -> Answer {
        loop {
            let rest = &self.buffer[self.taken..self.filled];
            if let Some(end) = find(rest, b"\r\n\r\n") {
                let head = &rest[..end + 2];
                let length = number(head, b"content-length: ").expect("it has a length");
                let whole = end + 4 + usize::try_from(length).expect("a short body");
                if rest.len() >= whole {
                    let status = number(head, b"HTTP/1.1 ").and_then(|n| u16::try_from(n).ok());
                    let status = status.expect("a status");
                    assert!(matches!(status, 200 | 429), "{}", String::from_utf8_lossy(rest));
                    let left = number(head, b";r=");
                    self.taken += whole;
                    return Answer { status, left };
                }
            }
            self.buffer.copy_within(self.taken..self.filled, 0);
            (self.filled, self.taken) = (self.filled - self.taken, 0);
            let read = self.stream.read(&mut self.buffer[self.filled..]).expect("an answer");
            assert!(read > 0, "the gateway has closed");
            self.filled += read;
        }
    }
}

fn secret(key: usize) -> String {
    format!("secret-of-a-key-{key:08}")
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The number behind a word.
fn number(text: &[u8], word: &[u8]) -> Option<u64> {
    let rest = &text[find(text, word)? + word.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
