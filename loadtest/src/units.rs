//! Parses what people type: durations (`10s`, `20ms`, `1m30s` is not one), sizes (`64KiB`, `1MB`,
//! `65536`), CPU lists (`0`, `0,1`, `0-3`). Pure.

use std::time::Duration;

/// `500us`, `20ms`, `10s`, `2m`, `1h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let value: f64 = number.parse().map_err(|_| format!("`{text}` is not a duration like 10s"))?;
    let seconds = match unit {
        "us" | "µs" => value / 1e6,
        "ms" => value / 1e3,
        "s" | "" => value,
        "m" | "min" => value * 60.0,
        "h" => value * 3600.0,
        _ => return Err(format!("unknown unit `{unit}`: use us, ms, s, m or h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|e| format!("`{text}`: {e}"))
}

/// `65536`, `64KiB`, `64k` (binary), `1MB` (decimal), `2MiB`, `1GiB`.
pub fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let value: usize = number.parse().map_err(|_| format!("`{text}` is not a size like 64KiB"))?;
    let factor: usize = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("unknown unit `{unit}`: use KiB, MiB, GiB, KB, MB or GB")),
    };
    value.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
}

/// `1`, `0,2`, `0-3` and mixtures of them; nothing is the empty list.
pub fn cpus(text: &str) -> Result<Vec<usize>, String> {
    let bad = |_| format!("`{text}` is not a CPU list like 0,2-3");
    let mut list = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('-') {
            Some((first, last)) => {
                list.extend(first.parse::<usize>().map_err(bad)?..=last.parse().map_err(bad)?);
            }
            None => list.push(part.parse().map_err(bad)?),
        }
    }
    Ok(list)
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("10s").unwrap(), Duration::from_secs(10));
        assert_eq!(duration("1.5ms").unwrap(), Duration::from_micros(1500));
        assert_eq!(duration("3").unwrap(), Duration::from_secs(3));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        assert!(duration("10 parsecs").is_err());
        assert!(duration("").is_err());
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(size("64KiB").unwrap(), 65536);
        assert_eq!(size("1MB").unwrap(), 1_000_000);
        assert_eq!(size("42").unwrap(), 42);
        assert!(size("99999999999GiB").is_err());
        assert!(size("1 furlong").is_err());
    }

    #[test]
    fn cpu_lists() {
        assert_eq!(cpus("0,2-4").unwrap(), [0, 2, 3, 4]);
        assert!(cpus("x").is_err());
    }
}
