//! Asks the mock what it saw: which of our aborts it noticed and how soon, whether anything is
//! still generated, and whether its sums are ours. Blocking, before and after a run.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::score::Score;
use crate::clock::{self, SECOND};
use crate::run::report;
use crate::run::tally::fine;

/// Generations get this long to end after the last request.
const PATIENCE: u64 = 5 * SECOND;

/// What the mock said.
pub struct Testimony {
    counters: Value,
    /// From our shutdown to its noticing.
    notice: Histogram<u64>,
    /// Aborts that it saw, and those it never heard of (the gateway had not asked it yet).
    seen: u64,
    unseen: u64,
}

pub fn reset(address: SocketAddr) -> Result<(), String> {
    ask(address, "POST", "/mock/reset").map(drop)
}

/// Waits until nothing is generated any more, then takes it down.
pub fn hear(address: SocketAddr, score: &Score) -> Result<Testimony, String> {
    let patient_until = clock::now() + PATIENCE;
    let counters = loop {
        let counters = ask(address, "GET", "/mock/counters")?;
        if counters["running"] == 0 || clock::now() > patient_until {
            break counters;
        }
    };
    let noticed: HashMap<u64, u64> = ask(address, "GET", "/mock/aborts")?
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| Some((row["tag"].as_str()?.parse().ok()?, row["noticed_ns"].as_u64()?)))
        .collect();
    let mut testimony = Testimony { counters, notice: fine(), seen: 0, unseen: 0 };
    for abort in &score.aborts {
        match noticed.get(&abort.tag) {
            Some(at) => {
                testimony.seen += 1;
                testimony.notice.saturating_record(at.saturating_sub(abort.at));
            }
            None => testimony.unseen += 1,
        }
    }
    Ok(testimony)
}

// === impl Testimony ===

impl Testimony {
    /// Why the run does not hold.
    pub fn objections(&self, score: &Score) -> Vec<String> {
        let mut objections = Vec::new();
        let running = &self.counters["running"];
        if *running != 0 {
            objections.push(format!("{running} generations still run at the mock"));
        }
        let (input, output) = self.completed();
        // What a client did not see to its end may have been completed all the same.
        let certain = score.failures() + score.aborts_total() == 0 && score.unfinished == 0;
        if certain
            && score.told.output > 0
            && (input, output) != (score.told.input, score.told.output)
        {
            objections.push(format!(
                "the mock completed {input} tokens of input and {output} of output, the answers \
                 say {} and {}",
                score.told.input, score.told.output
            ));
        }
        objections
    }

    fn completed(&self) -> (u64, u64) {
        let models = self.counters["models"].as_object();
        let sums = models.into_iter().flatten().map(|(_, model)| {
            let n = |name: &str| model["completed"][name].as_u64().unwrap_or(0);
            (n("input"), n("output"))
        });
        sums.fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }

    pub fn json(&self) -> Value {
        json!({
            "counters": self.counters,
            "aborts_seen": self.seen,
            "aborts_unseen": self.unseen,
            "abort_notice_us": report::percentiles(&self.notice),
        })
    }

    pub fn lines(&self) -> Vec<String> {
        let (input, output) = self.completed();
        let mut lines = vec![format!(
            "mock: {} completed ({input} tokens in, {output} out), {} aborted, {} running",
            self.counters["completed"], self.counters["aborted"]["total"], self.counters["running"]
        )];
        if self.seen + self.unseen > 0 {
            lines.push(format!("aborts it saw {}, never heard of {}", self.seen, self.unseen));
            lines.push(report::row("notice", &self.notice));
        }
        lines
    }
}

fn ask(address: SocketAddr, method: &str, path: &str) -> Result<Value, String> {
    let failed = |e: std::io::Error| format!("the mock at {address}: {e}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(failed)?;
    let at = memchr::memmem::find(&bytes, b"\r\n\r\n").ok_or("the mock said nothing")?;
    serde_json::from_slice(&bytes[at + 4..]).map_err(|e| format!("the mock at {address}: {e}"))
}
