//! The limits of a request in the fields that clients of language models know: OpenAI's
//! `x-ratelimit-*` and Anthropic's `anthropic-ratelimit-*`.
//!
//! Of several limits of a unit the tightest is told: the one with the least left. Money is told in
//! neither; `RateLimit` has all of them.

use super::Told;
use crate::clock::Wall;
use crate::http::date::rfc3339;
use crate::http::write::{self, DIGITS_MAX, Out, Text};
use crate::limit::{Level, Unit};
use crate::llm::Dialect;

/// What a limit of a unit is told in: how much, what is left, when all of it will be again.
type Names = (Unit, [&'static str; 3]);

const OPENAI: &[Names] = &[
    (
        Unit::Requests,
        [
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ],
    ),
    (
        Unit::Tokens,
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
    ),
];

const ANTHROPIC: &[Names] = &[
    (
        Unit::Requests,
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
    ),
    (
        Unit::Tokens,
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ),
    (
        Unit::InputTokens,
        [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
    ),
    (
        Unit::OutputTokens,
        [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
    ),
];

/// Puts how the limits stood at a time.
pub(super) fn put(
    told: &[Told<'_>],
    dialect: Dialect,
    at: Wall,
    field: &mut dyn FnMut(&str, &[u8]),
) {
    let names = match dialect {
        Dialect::OpenAi => OPENAI,
        Dialect::Anthropic => ANTHROPIC,
    };
    for (unit, [limit, remaining, reset]) in names {
        let Some((most, level)) = tightest(told, *unit) else { continue };
        field(limit, write::digits(most, &mut [0; DIGITS_MAX]));
        field(remaining, write::digits(level.left, &mut [0; DIGITS_MAX]));
        match dialect {
            Dialect::OpenAi => {
                let mut text = Text::<DURATION_MAX>::new();
                put_duration(&mut text, level.full_in_ms);
                field(reset, text.bytes());
            }
            Dialect::Anthropic => {
                // To the second after.
                let ms = (at.0 / 1_000_000).saturating_add(level.full_in_ms);
                let seconds = ms.div_ceil(1000).saturating_mul(1_000_000_000);
                field(reset, &rfc3339(Wall(seconds)));
            }
        }
    }
}

/// Whether a field of a provider speaks of its own limits: ours are told in its place.
pub(super) fn is_of_limits(name: &[u8]) -> bool {
    let begins = |prefix: &[u8]| {
        name.len() > prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix)
    };
    begins(b"x-ratelimit-") || begins(b"anthropic-ratelimit-")
}

/// How much the tightest limit of a unit is, and how it stands.
fn tightest(told: &[Told<'_>], unit: Unit) -> Option<(u64, Level)> {
    let mut tightest: Option<(u64, Level)> = None;
    let mut see = |most: u64, level: Level| {
        // Of equals the one that is full again last, and of those the first.
        let is_tighter = tightest.is_none_or(|(_, known)| {
            (level.left, known.full_in_ms) < (known.left, level.full_in_ms)
        });
        if is_tighter {
            tightest = Some((most, level));
        }
    };
    for Told { limit, standing } in told.iter().filter(|told| told.limit.unit == unit) {
        if let (Some(bucket), Some(level)) = (&limit.rules.bucket, standing.bucket) {
            see(bucket.burst(), level);
        }
        if let (Some(quota), Some(level)) = (&limit.rules.quota, standing.quota) {
            see(quota.max, level);
        }
    }
    tightest
}

/// The longest: `5124095576030h25m51.615s`.
const DURATION_MAX: usize = 24;

/// A duration as Go writes it, which is how OpenAI does: `12ms`, `1.5s`, `6m0s`, `1h0m0s`.
fn put_duration(out: &mut impl Out, ms: u64) {
    let (seconds, part) = (ms / 1000, ms % 1000);
    if seconds == 0 && part > 0 {
        write::decimal(out, part);
        out.put(b"ms");
        return;
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if hours > 0 {
        write::decimal(out, hours);
        out.put(b"h");
    }
    if hours > 0 || minutes > 0 {
        write::decimal(out, minutes);
        out.put(b"m");
    }
    write::decimal(out, seconds % 60);
    if part > 0 {
        let [tens, ones] = *write::two_digits(part % 100);
        let digits = [b'.', write::two_digits(part / 100)[1], tens, ones];
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        out.put(&digits[..digits.len() - zeros]);
    }
    out.put(b"s");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, parse_str};
    use crate::limit::{HashKey, Standing, Store};
    use crate::observe::registry::Registry;
    use crate::snapshot::{LimitScope, LimitSpec, Limits};

    #[test]
    fn durations_are_those_of_go() {
        let text = |ms| {
            let mut out = Vec::new();
            put_duration(&mut out, ms);
            String::from_utf8(out).expect("ASCII")
        };
        let minute = u64::try_from(Duration::from_secs(60).as_millis()).expect("small");
        assert_eq!(text(0), "0s");
        assert_eq!(text(12), "12ms");
        assert_eq!(text(1000), "1s");
        assert_eq!(text(1500), "1.5s");
        assert_eq!(text(59_999), "59.999s");
        assert_eq!(text(6 * minute), "6m0s");
        assert_eq!(text(60 * minute), "1h0m0s");
        assert_eq!(text(49 * 60 * minute + 7 * minute + 3040), "49h7m3.04s");
        assert_eq!(text(1003), "1.003s");
        assert_eq!(text(1200), "1.2s");
        assert_eq!(text(u64::MAX), "5124095576030h25m51.615s");
        assert_eq!(text(u64::MAX).len(), DURATION_MAX);
    }

    fn compiled(config: &Config) -> Limits {
        let store = Store::anonymous(64, HashKey(1, 2), 3).expect("memory");
        let specs: Vec<LimitSpec> =
            config.limits.iter().map(|(name, limit)| LimitSpec::of(name, limit)).collect();
        Limits::compile(&specs, &LimitScope::default(), &store, &Registry::new(1))
    }

    #[test]
    fn the_tightest_limit_of_each_unit_is_told_in_the_words_of_the_client() {
        let text = "[listeners.web]\naddress = \"127.0.0.1:0\"\n\
                    [limits.many]\nrate = \"100/s\"\n\
                    [limits.few]\nrate = \"5/m\"\nburst = 7\n\
                    [limits.tokens]\nunit = \"tokens\"\nrate = \"60000/m\"\n\
                    quota = { limit = 1000000 }\n\
                    [limits.input]\nunit = \"input_tokens\"\nrate = \"30000/m\"\n\
                    [limits.money]\nunit = \"usd\"\nquota = { limit = \"5.00\" }\n";
        let config = parse_str(text, "test").expect("a configuration").config;
        let limits = compiled(&config);
        let standing = |limit: &str| {
            let level = |left, full_in_ms| Some(Level { left, full_in_ms });
            match limit {
                "many" => Standing { bucket: level(99, 10), quota: None },
                "few" => Standing { bucket: level(6, 12_000), quota: None },
                "tokens" => {
                    Standing { bucket: level(50_000, 10_000), quota: level(900, 3_600_000) }
                }
                "input" => Standing { bucket: level(1, 59_999), quota: None },
                _ => Standing { bucket: None, quota: level(1, 1000) },
            }
        };
        let told: Vec<Told<'_>> =
            limits.list.iter().map(|l| Told { limit: l, standing: standing(&l.name) }).collect();
        let fields = |dialect| {
            let mut out = String::new();
            // 2026-11-22T05:00:00Z, and half a second.
            put(&told, dialect, Wall(1_795_323_600_500_000_000), &mut |name, value| {
                out += &format!("{name}: {}\n", String::from_utf8_lossy(value));
            });
            out
        };
        assert_eq!(
            fields(Dialect::OpenAi),
            "x-ratelimit-limit-requests: 7\nx-ratelimit-remaining-requests: 6\n\
             x-ratelimit-reset-requests: 12s\nx-ratelimit-limit-tokens: 1000000\n\
             x-ratelimit-remaining-tokens: 900\nx-ratelimit-reset-tokens: 1h0m0s\n"
        );
        let of_anthropic = fields(Dialect::Anthropic);
        assert!(of_anthropic.starts_with(
            "anthropic-ratelimit-requests-limit: 7\nanthropic-ratelimit-requests-remaining: 6\n\
             anthropic-ratelimit-requests-reset: 2026-11-22T05:00:13Z\n"
        ));
        assert!(of_anthropic.ends_with(
            "anthropic-ratelimit-input-tokens-limit: 30000\n\
             anthropic-ratelimit-input-tokens-remaining: 1\n\
             anthropic-ratelimit-input-tokens-reset: 2026-11-22T05:01:01Z\n"
        ));
        for name in fields(Dialect::OpenAi).lines().chain(of_anthropic.lines()) {
            assert!(is_of_limits(name.split(':').next().expect("a name").as_bytes()));
        }
        assert!(is_of_limits(b"X-RateLimit-Limit-Project-Tokens"));
        assert!(!is_of_limits(b"x-request-id") && !is_of_limits(b"ratelimit"));
    }
}
