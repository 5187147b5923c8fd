//! A line of the usage ledger: one request, what it cost and whom.
//!
//! Owns its form as bytes between a worker and whoever keeps the ledger: a version, its length, the
//! numbers, the texts. Texts are cut to their bounds when written, so that an entry has a largest
//! size. Invariant: what [`Entry::encode`] writes, [`Entry::decode`] reads back equal, but for what
//! was cut; and it reads no other bytes as an entry.

use super::Usage;
use crate::bounds::ledger_text_max as max;
use crate::clock::Wall;

/// What the ledger keeps of a request.
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

/// The form of the bytes, their first one.
const FORM: u8 = 1;
/// The form and the length of what is behind both.
const HEAD: usize = 3;
/// A varint of a `u64`.
const VARINT_MAX: usize = 10;
const NUMBERS: usize = 11;
const TEXTS: usize = 9;
/// How much of each text is kept, in the order in which they are written.
const TEXT_MAX: [usize; TEXTS] = [
    max::REQUEST_ID,
    max::NAME,
    max::NAME,
    max::NAME,
    max::WORD,
    max::MODEL,
    max::NAME,
    max::MODEL,
    max::WORD,
];

/// No entry is longer.
pub const ENTRY_BYTES_MAX: usize = {
    let (mut sum, mut at) = (HEAD + 1 + NUMBERS * VARINT_MAX, 0);
    while at < TEXTS {
        sum += 2 + TEXT_MAX[at];
        at += 1;
    }
    sum
};

const _: () = assert!(ENTRY_BYTES_MAX < 1 << 16, "a length of two bytes tells it");

const STREAM: u8 = 1;
const ESTIMATED: u8 = 2;
const HAS_FIRST_TOKEN: u8 = 4;

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntry;

struct Reader<'a>(&'a [u8]);

// === impl Entry ===

impl<'a> Entry<'a> {
    /// The outcome of an attempt that its provider may bill, and of which no client has seen
    /// anything: a row beside the request's own.
    pub const LOST: &'static str = "lost";

    /// Appends the entry's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[FORM, 0, 0]);
        let mut flags = if self.stream { STREAM } else { 0 };
        flags |= if self.estimated { ESTIMATED } else { 0 };
        flags |= if self.first_token_us.is_some() { HAS_FIRST_TOKEN } else { 0 };
        out.push(flags);
        let usage = &self.usage;
        let numbers: [u64; NUMBERS] = [
            self.time.0,
            usage.input,
            usage.cached,
            usage.cache_write,
            usage.output,
            usage.reasoning,
            self.cost_pico,
            u64::from(self.status),
            u64::from(self.attempts),
            self.total_us,
            self.first_token_us.unwrap_or(0),
        ];
        numbers.into_iter().for_each(|number| varint(number, out));
        let texts: [&[u8]; TEXTS] = [
            self.request_id,
            self.key.as_bytes(),
            self.team.as_bytes(),
            self.api.as_bytes(),
            self.operation.as_bytes(),
            self.model.as_bytes(),
            self.provider.as_bytes(),
            self.served.as_bytes(),
            self.outcome.as_bytes(),
        ];
        for (text, most) in texts.into_iter().zip(TEXT_MAX) {
            let text = cut(text, most);
            varint(text.len() as u64, out);
            out.extend_from_slice(text);
        }
        let len = u16::try_from(out.len() - start - HEAD).expect("below ENTRY_BYTES_MAX");
        out[start + 1..start + HEAD].copy_from_slice(&len.to_le_bytes());
    }

    /// Reads the entry at the front of `bytes`, and tells what stands behind it.
    ///
    /// # Errors
    /// When no entry stands there.
    pub fn decode(bytes: &'a [u8]) -> Result<(Entry<'a>, &'a [u8]), NoEntry> {
        let [FORM, low, high, rest @ ..] = bytes else { return Err(NoEntry) };
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let (body, behind) = rest.split_at_checked(len).ok_or(NoEntry)?;
        let mut reader = Reader(body);
        let flags = reader.byte()?;
        let mut numbers = [0; NUMBERS];
        for number in &mut numbers {
            *number = reader.varint()?;
        }
        let mut texts: [&[u8]; TEXTS] = [b""; TEXTS];
        for (text, most) in texts.iter_mut().zip(TEXT_MAX) {
            *text = reader.text(most)?;
        }
        if !reader.0.is_empty() {
            return Err(NoEntry);
        }
        let name = |at: usize| std::str::from_utf8(texts[at]).map_err(|_| NoEntry);
        let entry = Entry {
            time: Wall(numbers[0]),
            request_id: texts[0],
            key: name(1)?,
            team: name(2)?,
            api: name(3)?,
            operation: name(4)?,
            model: name(5)?,
            provider: name(6)?,
            served: name(7)?,
            stream: flags & STREAM != 0,
            usage: Usage {
                input: numbers[1],
                cached: numbers[2],
                cache_write: numbers[3],
                output: numbers[4],
                reasoning: numbers[5],
            },
            estimated: flags & ESTIMATED != 0,
            cost_pico: numbers[6],
            status: u16::try_from(numbers[7]).map_err(|_| NoEntry)?,
            outcome: name(8)?,
            attempts: u32::try_from(numbers[8]).map_err(|_| NoEntry)?,
            total_us: numbers[9],
            first_token_us: (flags & HAS_FIRST_TOKEN != 0).then_some(numbers[10]),
        };
        Ok((entry, behind))
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, NoEntry> {
        let (first, rest) = self.0.split_first().ok_or(NoEntry)?;
        self.0 = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<u64, NoEntry> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if (bits << shift) >> shift != bits {
                return Err(NoEntry);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(NoEntry)
    }

    fn text(&mut self, most: usize) -> Result<&'a [u8], NoEntry> {
        let len = usize::try_from(self.varint()?).map_err(|_| NoEntry)?;
        let (text, rest) = self.0.split_at_checked(len).ok_or(NoEntry)?;
        self.0 = rest;
        if len <= most { Ok(text) } else { Err(NoEntry) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits of it")]
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
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

    #[test]
    fn an_entry_is_read_back_with_what_is_behind_it() {
        let mut bytes = encoded(&entry());
        assert!(bytes.len() < 140, "{}", bytes.len());
        let other = Entry { first_token_us: None, estimated: true, ..entry() };
        other.encode(&mut bytes);
        let (first, behind) = Entry::decode(&bytes).unwrap();
        assert_eq!(first, entry());
        assert_eq!(Entry::decode(behind), Ok((other, &b""[..])));
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
        let (read, _) = Entry::decode(&bytes).unwrap();
        assert_eq!(read.usage, numbers);
        assert_eq!(read.key, &long[..max::NAME]);
        assert_eq!(cut("aä".as_bytes(), 2), b"a");
        assert_eq!(cut("aä".as_bytes(), 3), "aä".as_bytes());
    }

    #[test]
    fn what_is_cut_short_or_of_another_form_is_no_entry() {
        let bytes = encoded(&entry());
        for end in 0..bytes.len() {
            assert_eq!(Entry::decode(&bytes[..end]), Err(NoEntry), "{end}");
        }
        let mut other = bytes.clone();
        other[0] = 2;
        assert_eq!(Entry::decode(&other), Err(NoEntry));
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
            prop_assert_eq!(Entry::decode(&bytes), Ok((entry, &b""[..])));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = Entry::decode(&bytes);
            let mut framed = vec![FORM, 0, 0];
            framed[1] = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            framed.extend_from_slice(&bytes);
            let _ = Entry::decode(&framed);
        }
    }
}
