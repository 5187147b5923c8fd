//! A line of the usage ledger: one request, what it cost and whom.
//!
//! Owns its form as bytes between a worker and whoever keeps the ledger: a version, its length,
//! what is this request's alone, and in one piece what many requests have in common, so that the
//! ledger finds a combination it knows without looking into it. Texts are cut to their
//! bounds when written, so that an entry has a largest size. Invariant: what [`Entry::encode`]
//! writes, [`Line::decode`] and [`Label::read`] read back equal, but for what was cut; and they
//! read no other bytes as an entry.

use std::borrow::Cow;

use super::Usage;
use crate::bounds::ledger_text_max as max;
use crate::clock::Wall;

/// What the ledger keeps of a request, as a worker gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it ended.
    pub time: Wall,
    pub request_id: &'a [u8],
    /// The name of the API key; empty if there was none.
    pub key: &'a str,
    /// The key's tag `team`; empty if it has none.
    pub team: &'a str,
    pub api: &'a str,
    /// `gen_ai.operation.name`.
    pub operation: &'a str,
    /// The model's name as the client wrote it.
    pub model: &'a str,
    /// Who served it; empty if nobody did.
    pub provider: &'a str,
    /// The provider's own name for the model.
    pub served: &'a str,
    pub stream: bool,
    pub usage: Usage,
    /// The usage was not the provider's word but the gateway's estimate.
    pub estimated: bool,
    /// In 10^-12 USD.
    pub cost_pico: u64,
    /// The status the client got.
    pub status: u16,
    /// `ok`, or the name of the failure.
    pub outcome: &'a str,
    /// How often it was sent to a provider.
    pub attempts: u32,
    pub total_us: u64,
    /// To the first token; `None` if none came.
    pub first_token_us: Option<u64>,
}

/// An entry as it is read: what is this request's alone. All else is its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub time: Wall,
    pub request_id: &'a [u8],
    pub usage: Usage,
    pub cost_pico: u64,
    pub total_us: u64,
    pub first_token_us: Option<u64>,
    /// The same bytes for the same values: [`Label::read`].
    pub label: &'a [u8],
}

/// What a request has in common with many others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    pub key: Cow<'a, str>,
    pub team: Cow<'a, str>,
    pub api: Cow<'a, str>,
    pub operation: Cow<'a, str>,
    pub model: Cow<'a, str>,
    pub provider: Cow<'a, str>,
    pub served: Cow<'a, str>,
    pub outcome: Cow<'a, str>,
    pub status: u16,
    pub stream: bool,
    pub estimated: bool,
    pub attempts: u32,
}

/// The form of the bytes, their first one.
const FORM: u8 = 2;
/// The form and the length of what is behind both.
const HEAD: usize = 3;
/// A number, of a width that costs no loop to read and none to write.
const NUMBER: usize = size_of::<u64>();
const NUMBERS: usize = 9;
/// A text's length.
const LENGTH: usize = size_of::<u16>();
const TEXTS: usize = 8;
/// How much of each text of a label is kept, in the order in which they are written.
const TEXT_MAX: [usize; TEXTS] =
    [max::NAME, max::NAME, max::NAME, max::WORD, max::MODEL, max::NAME, max::MODEL, max::WORD];
/// What is of one length in every line: flags, numbers, the length of the label.
const LINE_HEAD: usize = 1 + NUMBERS * NUMBER + LENGTH;
/// The same of a label: flags, status, attempts, the lengths of its texts.
const LABEL_HEAD: usize = 1 + 2 + 4 + TEXTS * LENGTH;

/// No label is longer.
const LABEL_BYTES_MAX: usize = {
    let (mut sum, mut at) = (LABEL_HEAD, 0);
    while at < TEXTS {
        sum += TEXT_MAX[at];
        at += 1;
    }
    sum
};
/// No entry is longer.
pub const ENTRY_BYTES_MAX: usize = HEAD + LINE_HEAD + LABEL_BYTES_MAX + max::REQUEST_ID;

const _: () = assert!(ENTRY_BYTES_MAX < 1 << 16, "a length of two bytes tells it");

/// A flag of the line.
const HAS_FIRST_TOKEN: u8 = 1;
/// Flags of the label.
const STREAM: u8 = 1;
const ESTIMATED: u8 = 2;

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntry;

/// What is still to be written of the head.
struct Writer<'a>(&'a mut [u8]);

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

// === impl Entry ===

impl Entry<'_> {
    /// The outcome of an attempt that its provider may bill, and of which no client has seen
    /// anything: a row beside the request's own.
    pub const LOST: &'static str = "lost";

    /// Appends the entry's bytes to `out`: all that is of one length first, in one piece, then the
    /// texts.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let usage = &self.usage;
        let numbers = [
            self.time.0,
            usage.input,
            usage.cached,
            usage.cache_write,
            usage.output,
            usage.reasoning,
            self.cost_pico,
            self.total_us,
            self.first_token_us.unwrap_or(0),
        ];
        let mut texts: [&[u8]; TEXTS] = [
            self.key.as_bytes(),
            self.team.as_bytes(),
            self.api.as_bytes(),
            self.operation.as_bytes(),
            self.model.as_bytes(),
            self.provider.as_bytes(),
            self.served.as_bytes(),
            self.outcome.as_bytes(),
        ];
        for (text, most) in texts.iter_mut().zip(&TEXT_MAX) {
            *text = cut(text, *most);
        }
        let label = LABEL_HEAD + texts.iter().map(|text| text.len()).sum::<usize>();
        let id = cut(self.request_id, max::REQUEST_ID);

        let mut head = [0; HEAD + LINE_HEAD + LABEL_HEAD];
        let mut to = Writer(&mut head);
        to.put([FORM]);
        to.length(LINE_HEAD + label + id.len());
        to.put([if self.first_token_us.is_some() { HAS_FIRST_TOKEN } else { 0 }]);
        numbers.iter().for_each(|number| to.put(number.to_le_bytes()));
        to.length(label);
        let stream = if self.stream { STREAM } else { 0 };
        to.put([stream | if self.estimated { ESTIMATED } else { 0 }]);
        to.put(self.status.to_le_bytes());
        to.put(self.attempts.to_le_bytes());
        texts.iter().for_each(|text| to.length(text.len()));
        out.extend_from_slice(&head);
        texts.iter().for_each(|text| out.extend_from_slice(text));
        out.extend_from_slice(id);
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    /// Reads the entry at the front of `bytes`, and tells what stands behind it.
    ///
    /// # Errors
    /// When no entry stands there.
    pub fn decode(bytes: &'a [u8]) -> Result<(Line<'a>, &'a [u8]), NoEntry> {
        let [FORM, low, high, rest @ ..] = bytes else { return Err(NoEntry) };
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let (body, behind) = rest.split_at_checked(len).ok_or(NoEntry)?;
        let mut reader = Reader(body);
        let [flags] = reader.bytes()?;
        let bytes: [u8; NUMBERS * NUMBER] = reader.bytes()?;
        let mut numbers = [0; NUMBERS];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        let [time, input, cached, cache_write, output, reasoning, cost_pico, total_us, first] =
            numbers;
        let label = reader.length()?;
        let (label, request_id) = reader.0.split_at_checked(label).ok_or(NoEntry)?;
        Label::check(label)?;
        if request_id.len() > max::REQUEST_ID {
            return Err(NoEntry);
        }
        let line = Line {
            time: Wall(time),
            request_id,
            usage: Usage { input, cached, cache_write, output, reasoning },
            cost_pico,
            total_us,
            first_token_us: (flags & HAS_FIRST_TOKEN != 0).then_some(first),
            label,
        };
        Ok((line, behind))
    }
}

// === impl Label ===

impl<'a> Label<'a> {
    /// Reads the label of a line.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &'a [u8]) -> Result<Label<'a>, NoEntry> {
        let mut reader = Reader(bytes);
        let [flags] = reader.bytes()?;
        let status = u16::from_le_bytes(reader.bytes()?);
        let attempts = u32::from_le_bytes(reader.bytes()?);
        let lengths = reader.lengths()?;
        let mut texts = [const { Cow::Borrowed("") }; TEXTS];
        for (text, length) in texts.iter_mut().zip(lengths) {
            let (front, rest) = reader.0.split_at_checked(length).ok_or(NoEntry)?;
            (*text, reader.0) = (String::from_utf8_lossy(front), rest);
        }
        let [key, team, api, operation, model, provider, served, outcome] = texts;
        Ok(Label {
            key,
            team,
            api,
            operation,
            model,
            provider,
            served,
            outcome,
            status,
            stream: flags & STREAM != 0,
            estimated: flags & ESTIMATED != 0,
            attempts,
        })
    }

    /// Whether it is one, down to its end.
    fn check(bytes: &[u8]) -> Result<(), NoEntry> {
        let mut reader = Reader(bytes);
        reader.bytes::<{ LABEL_HEAD - TEXTS * LENGTH }>()?;
        let lengths = reader.lengths()?;
        let is_whole = lengths.iter().sum::<usize>() == reader.0.len();
        let is_bounded = lengths.iter().zip(TEXT_MAX).all(|(length, most)| *length <= most);
        if is_whole && is_bounded { Ok(()) } else { Err(NoEntry) }
    }
}

// === impl Writer ===

impl Writer<'_> {
    #[inline]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        let room = std::mem::take(&mut self.0);
        let (front, rest) = room.split_first_chunk_mut().expect("the head has room for its parts");
        (*front, self.0) = (bytes, rest);
    }

    #[inline]
    fn length(&mut self, length: usize) {
        self.put(u16::try_from(length).expect("below ENTRY_BYTES_MAX").to_le_bytes());
    }
}

// === impl Reader ===

impl Reader<'_> {
    #[inline]
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], NoEntry> {
        let (front, rest) = self.0.split_first_chunk().ok_or(NoEntry)?;
        self.0 = rest;
        Ok(*front)
    }

    #[inline]
    fn length(&mut self) -> Result<usize, NoEntry> {
        Ok(usize::from(u16::from_le_bytes(self.bytes()?)))
    }

    #[inline]
    fn lengths(&mut self) -> Result<[usize; TEXTS], NoEntry> {
        let bytes: [u8; TEXTS * LENGTH] = self.bytes()?;
        let mut lengths = [0; TEXTS];
        for (length, bytes) in lengths.iter_mut().zip(bytes.as_chunks().0) {
            *length = usize::from(u16::from_le_bytes(*bytes));
        }
        Ok(lengths)
    }
}

/// The front of a text, not cut inside a character.
fn cut(text: &[u8], most: usize) -> &[u8] {
    let mut end = text.len().min(most);
    // A byte 10xxxxxx goes on with a character that began before it.
    while end > 0 && text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Entry<'static> {
        Entry {
            time: Wall(1_763_763_120_045_000_000),
            request_id: b"0190f3a2",
            key: "acme",
            team: "search",
            api: "llm",
            operation: "chat",
            model: "gpt-4o-mini",
            provider: "openai",
            served: "gpt-4o-mini-2024-07-18",
            stream: true,
            usage: Usage { input: 1200, cached: 1024, cache_write: 0, output: 340, reasoning: 64 },
            estimated: false,
            cost_pico: 384_000_000,
            status: 200,
            outcome: "ok",
            attempts: 1,
            total_us: 1_234_567,
            first_token_us: Some(210_000),
        }
    }

    fn encoded(entry: &Entry<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        entry.encode(&mut out);
        out
    }

    /// What a line and its label say is what the entry says, bit by bit.
    fn assert_same(entry: &Entry<'_>, line: &Line<'_>) {
        let label = Label::read(line.label).unwrap();
        let read = Entry {
            time: line.time,
            request_id: line.request_id,
            key: &label.key,
            team: &label.team,
            api: &label.api,
            operation: &label.operation,
            model: &label.model,
            provider: &label.provider,
            served: &label.served,
            stream: label.stream,
            usage: line.usage,
            estimated: label.estimated,
            cost_pico: line.cost_pico,
            status: label.status,
            outcome: &label.outcome,
            attempts: label.attempts,
            total_us: line.total_us,
            first_token_us: line.first_token_us,
        };
        assert_eq!(read, *entry);
    }

    #[test]
    fn an_entry_is_read_back_with_what_is_behind_it() {
        let mut bytes = encoded(&entry());
        assert!(bytes.len() < 180, "{}", bytes.len());
        let other = Entry { first_token_us: None, estimated: true, ..entry() };
        other.encode(&mut bytes);
        let (first, behind) = Line::decode(&bytes).unwrap();
        assert_same(&entry(), &first);
        let (second, behind) = Line::decode(behind).unwrap();
        assert_same(&other, &second);
        assert_eq!(behind, b"");
    }

    #[test]
    fn requests_that_differ_in_numbers_only_have_the_same_label() {
        let label = |entry: &Entry<'_>| Line::decode(&encoded(entry)).unwrap().0.label.to_vec();
        let next = Entry {
            time: Wall(1),
            request_id: b"another",
            usage: Usage::default(),
            cost_pico: 5,
            total_us: 6,
            first_token_us: None,
            ..entry()
        };
        assert_eq!(label(&next), label(&entry()));
        for other in [
            Entry { team: "searc", api: "hllm", ..entry() },
            Entry { stream: false, ..entry() },
            Entry { estimated: true, ..entry() },
            Entry { status: 502, ..entry() },
            Entry { attempts: 2, ..entry() },
        ] {
            assert_ne!(label(&other), label(&entry()));
        }
    }

    #[test]
    fn the_largest_entry_is_as_long_as_is_said_and_texts_are_cut_between_characters() {
        let long = "ä".repeat(2000);
        let numbers = Usage {
            input: u64::MAX,
            cached: u64::MAX,
            cache_write: u64::MAX,
            output: u64::MAX,
            reasoning: u64::MAX,
        };
        let most = Entry {
            time: Wall(u64::MAX),
            request_id: long.as_bytes(),
            key: &long,
            team: &long,
            api: &long,
            operation: &long,
            model: &long,
            provider: &long,
            served: &long,
            usage: numbers,
            cost_pico: u64::MAX,
            status: u16::MAX,
            outcome: &long,
            attempts: u32::MAX,
            total_us: u64::MAX,
            first_token_us: Some(u64::MAX),
            ..entry()
        };
        let bytes = encoded(&most);
        assert!(bytes.len() <= ENTRY_BYTES_MAX);
        let (read, _) = Line::decode(&bytes).unwrap();
        assert_eq!(read.usage, numbers);
        assert!(read.label.len() <= LABEL_BYTES_MAX);
        assert_eq!(Label::read(read.label).unwrap().key, long[..max::NAME]);
        assert_eq!(cut("aä".as_bytes(), 2), b"a");
        assert_eq!(cut("aä".as_bytes(), 3), "aä".as_bytes());
    }

    #[test]
    fn what_is_cut_short_or_of_another_form_is_no_entry() {
        let bytes = encoded(&entry());
        for end in 0..bytes.len() {
            assert_eq!(Line::decode(&bytes[..end]), Err(NoEntry), "{end}");
        }
        let mut other = bytes.clone();
        other[0] = 1;
        assert_eq!(Line::decode(&other), Err(NoEntry));
    }

    prop_compose! {
        fn numbers()(all in proptest::collection::vec(any::<u64>(), 9)) -> [u64; 9] {
            all.try_into().expect("nine were asked for")
        }
    }

    proptest! {
        #[test]
        fn any_entry_is_read_back_equal(
            n in numbers(),
            texts in proptest::collection::vec("[a-zé]{0,20}", 8),
            request_id in proptest::collection::vec(any::<u8>(), 0..=max::REQUEST_ID - 4),
            (stream, estimated, first) in any::<(bool, bool, Option<u64>)>(),
            (status, attempts) in any::<(u16, u32)>(),
        ) {
            let entry = Entry {
                time: Wall(n[0]),
                request_id: &request_id,
                key: &texts[0],
                team: &texts[1],
                api: &texts[2],
                operation: &texts[3],
                model: &texts[4],
                provider: &texts[5],
                served: &texts[6],
                stream,
                usage: Usage {
                    input: n[1], cached: n[2], cache_write: n[3], output: n[4], reasoning: n[5],
                },
                estimated,
                cost_pico: n[6],
                status,
                outcome: &texts[7],
                attempts,
                total_us: n[7],
                first_token_us: first,
            };
            let bytes = encoded(&entry);
            prop_assert!(bytes.len() <= ENTRY_BYTES_MAX);
            let (line, behind) = Line::decode(&bytes).unwrap();
            assert_same(&entry, &line);
            prop_assert!(behind.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = (Line::decode(&bytes), Label::read(&bytes));
            let mut framed = vec![FORM, 0, 0];
            framed[1] = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            framed.extend_from_slice(&bytes);
            let _ = Line::decode(&framed);
        }
    }
}
