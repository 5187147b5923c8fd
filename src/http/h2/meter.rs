//! What a client may send that is no use to it, and when that is abuse.
//!
//! Owns the budgets of one connection, one per kind of abuse, and what is charged and given back:
//! it sees every byte of both directions before the `h2` crate does. Knows no HPACK, no stream's
//! state and no socket. The invariant: a budget at rest fills up with time and with useful work
//! (requests completed, DATA sent), so what a client does that gets its money's worth is never
//! abuse; and an attack that sends as fast as it can is told within 200 frames. So resets in all
//! stay below burst + rate x time + requests completed.
//!
//! What `h2` 0.4.20 bounds by itself: resets of streams not yet accepted (20; but we accept at
//! once, so a rapid reset never meets it), resets it sends for errors of the client's (1024),
//! CONTINUATION frames of a block (5 at a 16 KiB list), the decoded header list, small DATA frames
//! not yet consumed, empty DATA frames (100 in a connection's life), and a WINDOW_UPDATE of 0 ends
//! the connection. What it does not: accepted streams that are reset, PING, SETTINGS, PRIORITY,
//! WINDOW_UPDATE, unknown frames and repeated GOAWAY; streams refused count with its 1024 only.

use crate::bounds;
use crate::clock::Tick;

use super::PREFACE_BYTES;
use super::walk::{Frame, Walk};

macro_rules! kinds {
    ($($variant:ident $name:literal $budget:ident $why:literal;)*) => {
        /// A kind of abuse.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum AbuseKind { $(#[doc = $why] $variant,)* }

        impl AbuseKind {
            /// Every kind, in declaration order.
            pub const ALL: &[AbuseKind] = &[$(AbuseKind::$variant),*];

            /// Metric label and log token: stable, `snake_case`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(AbuseKind::$variant => $name,)* }
            }

            /// How many at once, and how many a second come back.
            const fn budget(self) -> (u32, u32) {
                match self { $(AbuseKind::$variant => bounds::$budget,)* }
            }
        }
    };
}

kinds! {
    RapidReset "rapid_reset" H2_RESETS
        "Streams opened and reset (CVE-2023-44487).";
    MadeReset "made_reset" H2_RESETS_MADE
        "Streams we were made to reset (MadeYouReset, CVE-2025-8671).";
    HalfOpen "half_open" H2_REFUSED
        "Streams opened beyond the limit while others are held open.";
    Continuation "continuation" H2_CONTINUATIONS
        "A block of header fields that does not end (CVE-2024-27316 and its kin).";
    EmptyContinuation "empty_continuation" H2_CONTINUATIONS_EMPTY
        "CONTINUATION frames with nothing in them.";
    Ping "ping" H2_PINGS
        "PING frames (CVE-2019-9512).";
    Settings "settings" H2_SETTINGS
        "SETTINGS frames (CVE-2019-9515).";
    EmptyData "empty_data" H2_EMPTY_DATA
        "DATA frames with nothing in them (CVE-2019-9518).";
    Priority "priority" H2_PRIORITIES
        "PRIORITY and PRIORITY_UPDATE frames (CVE-2019-9513).";
    WindowUpdate "window_update" H2_WINDOW_UPDATES
        "WINDOW_UPDATE frames without the DATA to ask for them (CVE-2019-9511).";
    Trailers "trailers" H2_TRAILERS
        "HEADERS on streams that were open already.";
    Unknown "unknown" H2_UNKNOWN
        "Frames of unknown types, and those a client sends once if at all.";
}

const KINDS: usize = AbuseKind::ALL.len();

/// What a frame costs, in parts: time gives parts back in tenths of a second.
const WHOLE: i32 = 10;
const STEP_NS: u64 = 100_000_000;

/// Frame types: RFC 9113 section 6, RFC 9218 section 7.1.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const PRIORITY_UPDATE: u8 = 16;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Error codes that say whose doing a reset was: RFC 9113 section 7.
const REFUSED_STREAM: u32 = 7;
/// PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR.
const CLIENTS_DOING: [u32; 5] = [1, 3, 5, 6, 9];

/// The budgets of one connection on which we are the server.
#[derive(Clone, Debug)]
pub struct Meter {
    received: Walk,
    sent: Walk,
    /// What is spent of each kind's budget, in parts. Below zero: saved up.
    spent: [i32; KINDS],
    /// Up to here time was given back.
    since: Tick,
    /// The highest stream the client has opened.
    opened: u32,
    /// PINGs we sent that were not acknowledged.
    pings: u32,
    /// Bytes of DATA sent since they last gave a WINDOW_UPDATE back.
    data: u32,
    /// The first abuse; it stays.
    abuse: Option<AbuseKind>,
}

// === impl Meter ===

impl Meter {
    /// A new connection's: the client's preface is the first thing received.
    #[must_use]
    pub fn new(now: Tick) -> Meter {
        Meter {
            received: Walk::after(PREFACE_BYTES),
            sent: Walk::after(0),
            spent: [0; KINDS],
            since: now,
            opened: 0,
            pings: 0,
            data: 0,
            abuse: None,
        }
    }

    /// Takes in what the client has sent. After an abuse the connection ends with
    /// ENHANCE_YOUR_CALM; asked again, the answer is the same.
    pub fn received(&mut self, mut bytes: &[u8], now: Tick) -> Result<(), AbuseKind> {
        self.pass(now);
        while self.abuse.is_none()
            && let Some(frame) = self.received.next(&mut bytes)
        {
            self.note_received(&frame);
        }
        self.verdict()
    }

    /// Takes in what we are about to send. Resets of ours are the client's abuse too, if it made us
    /// send them.
    pub fn sent(&mut self, mut bytes: &[u8]) -> Result<(), AbuseKind> {
        while self.abuse.is_none()
            && let Some(frame) = self.sent.next(&mut bytes)
        {
            self.note_sent(&frame);
        }
        self.verdict()
    }

    fn verdict(&self) -> Result<(), AbuseKind> {
        self.abuse.map_or(Ok(()), Err)
    }

    fn note_received(&mut self, frame: &Frame) {
        match frame.kind {
            DATA if frame.flags & END_STREAM == 0 && content(frame) == 0 => {
                self.charge(AbuseKind::EmptyData, 1);
            }
            DATA => {}
            HEADERS => self.headers(frame),
            PRIORITY | PRIORITY_UPDATE => self.charge(AbuseKind::Priority, 1),
            RST_STREAM => self.charge(AbuseKind::RapidReset, 1),
            // One SETTINGS frame can hold 2,730 of them.
            SETTINGS => self.charge(AbuseKind::Settings, 1 + frame.len / 96),
            PING if frame.flags & ACK != 0 && self.pings > 0 => self.pings -= 1,
            PING => self.charge(AbuseKind::Ping, 1),
            WINDOW_UPDATE => self.charge(AbuseKind::WindowUpdate, 1),
            CONTINUATION => {
                self.charge(AbuseKind::Continuation, 1);
                if frame.len == 0 {
                    self.charge(AbuseKind::EmptyContinuation, 1);
                }
                self.block_ends(frame);
            }
            _ => self.charge(AbuseKind::Unknown, 1),
        }
    }

    fn headers(&mut self, frame: &Frame) {
        if frame.stream > self.opened {
            self.opened = frame.stream;
            // What comes with a request: its trailers, a priority or two, a window of its own.
            self.give_back(AbuseKind::Trailers, 1);
            self.give_back(AbuseKind::Priority, 2);
            self.give_back(AbuseKind::WindowUpdate, 3);
            self.give_back(AbuseKind::Unknown, 1);
        } else {
            self.charge(AbuseKind::Trailers, 1);
        }
        self.block_ends(frame);
    }

    /// A block of header fields that has ended is forgotten.
    fn block_ends(&mut self, frame: &Frame) {
        if frame.flags & END_HEADERS != 0 && self.abuse.is_none() {
            self.spent[AbuseKind::Continuation as usize] = 0;
        }
    }

    fn note_sent(&mut self, frame: &Frame) {
        match frame.kind {
            DATA => self.data_sent(content(frame)),
            PING if frame.flags & ACK == 0 => self.pings = self.pings.saturating_add(1),
            RST_STREAM => match u32::from_be_bytes(frame.lead) {
                REFUSED_STREAM => self.charge(AbuseKind::HalfOpen, 1),
                code if CLIENTS_DOING.contains(&code) => self.charge(AbuseKind::MadeReset, 1),
                _ => {}
            },
            _ => {}
        }
        // A request is completed.
        if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
            self.give_back(AbuseKind::RapidReset, 1);
            self.give_back(AbuseKind::MadeReset, 1);
            self.give_back(AbuseKind::HalfOpen, 1);
            self.give_back(AbuseKind::EmptyData, 1);
            // However little there was in it: some acknowledge every frame, to both windows.
            self.give_back(AbuseKind::WindowUpdate, 2);
        }
    }

    /// DATA asks for WINDOW_UPDATE frames: one per KiB, and for a stream and the connection one
    /// each if a client acknowledges every frame.
    fn data_sent(&mut self, content: u32) {
        if content >= bounds::H2_DATA_BYTES_USEFUL {
            self.data += content;
            self.give_back(AbuseKind::WindowUpdate, 2 + self.data / 1024);
            self.data %= 1024;
        }
        if content > 0 {
            self.give_back(AbuseKind::Ping, 1);
        }
    }

    #[inline]
    fn charge(&mut self, kind: AbuseKind, count: u32) {
        let spent = &mut self.spent[kind as usize];
        *spent = spent.saturating_add(parts(count));
        if *spent > parts(kind.budget().0) && self.abuse.is_none() {
            self.abuse = Some(kind);
        }
    }

    #[inline]
    fn give_back(&mut self, kind: AbuseKind, count: u32) {
        let saved = match kind {
            AbuseKind::RapidReset => bounds::H2_RESETS_SAVED,
            AbuseKind::WindowUpdate => bounds::H2_WINDOW_UPDATES_SAVED,
            _ => 0,
        };
        let spent = &mut self.spent[kind as usize];
        *spent = (*spent - parts(count)).max(-parts(saved));
    }

    /// Gives back what time gives. It fills budgets up, it saves nothing.
    #[inline]
    fn pass(&mut self, now: Tick) {
        let steps = now.0.saturating_sub(self.since.0) / STEP_NS;
        if steps == 0 {
            return;
        }
        self.since = Tick(self.since.0 + steps * STEP_NS);
        for (spent, kind) in self.spent.iter_mut().zip(AbuseKind::ALL) {
            let back = steps.saturating_mul(u64::from(kind.budget().1));
            let back = i32::try_from(back).unwrap_or(i32::MAX);
            *spent = spent.saturating_sub(back).max((*spent).min(0));
        }
    }
}

/// A count in parts; budgets and counts are far below 2^27.
fn parts(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX).saturating_mul(WHOLE)
}

/// Bytes of a DATA frame without its padding.
fn content(frame: &Frame) -> u32 {
    if frame.flags & PADDED == 0 {
        return frame.len;
    }
    frame.len.saturating_sub(1 + u32::from(frame.lead[0]))
}

#[cfg(test)]
mod tests;
