//! What a run of chats counts: one score per thread, added up at the end. Pure.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::check::Told;
use crate::clock::Nanos;
use crate::run::tally::fine;

/// How far a request was when we hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    BeforeFirstByte,
    MidStream,
    Generating,
}

/// A request that we hung up on, for the witness.
#[derive(Clone, Copy, Debug)]
pub struct Abort {
    pub tag: u64,
    /// CLOCK_MONOTONIC.
    pub at: Nanos,
}

pub struct Score {
    /// From due to end.
    pub latency: Histogram<u64>,
    /// From sent to the first word of a stream; between two words.
    pub first_token: Histogram<u64>,
    pub gap: Histogram<u64>,
    /// From the stamp of a word to its reading.
    pub transit: Histogram<u64>,
    /// From due to sent.
    pub lag: Histogram<u64>,
    pub ok: u64,
    pub streams: u64,
    pub errors: BTreeMap<String, u64>,
    pub aborted: [u64; 3],
    /// Aborts that came too late: the answer was there.
    pub too_late: u64,
    pub aborts: Vec<Abort>,
    pub told: Told,
    pub words: u64,
    pub connections: u64,
    pub waited: u64,
    pub unfinished: u64,
    pub most_at_once: u64,
}

// === impl Score ===

impl Score {
    pub fn new() -> Score {
        Score {
            latency: fine(),
            first_token: fine(),
            gap: fine(),
            transit: fine(),
            lag: fine(),
            ok: 0,
            streams: 0,
            errors: BTreeMap::new(),
            aborted: [0; 3],
            too_late: 0,
            aborts: Vec::new(),
            told: Told::default(),
            words: 0,
            connections: 0,
            waited: 0,
            unfinished: 0,
            most_at_once: 0,
        }
    }

    pub fn fail(&mut self, name: String) {
        *self.errors.entry(name).or_default() += 1;
    }

    pub fn abort(&mut self, phase: Phase, abort: Abort) {
        self.aborted[phase as usize] += 1;
        self.aborts.push(abort);
    }

    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }

    pub fn aborts_total(&self) -> u64 {
        self.aborted.iter().sum()
    }

    pub fn add(&mut self, other: Score) {
        const SAME: &str = "all histograms have the same bounds";
        self.latency.add(&other.latency).expect(SAME);
        self.first_token.add(&other.first_token).expect(SAME);
        self.gap.add(&other.gap).expect(SAME);
        self.transit.add(&other.transit).expect(SAME);
        self.lag.add(&other.lag).expect(SAME);
        self.ok += other.ok;
        self.streams += other.streams;
        self.too_late += other.too_late;
        self.told.input += other.told.input;
        self.told.output += other.told.output;
        self.words += other.words;
        self.connections += other.connections;
        self.waited += other.waited;
        self.unfinished += other.unfinished;
        self.most_at_once += other.most_at_once;
        self.aborts.extend(other.aborts);
        for (name, n) in other.errors {
            *self.errors.entry(name).or_default() += n;
        }
        for (mine, theirs) in self.aborted.iter_mut().zip(other.aborted) {
            *mine += theirs;
        }
    }
}
