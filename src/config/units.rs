//! Units as an operator writes them: `"250ms"`, `"16KiB"`, `"20%"`, `"10.0.0.0/8"`. Both ways: read
//! with an error that says what to write, and written back so that reading gives the same again.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::types::{EndpointAddress, Percent, StatusRange};
pub(super) use crate::limit::show_usd;
use crate::limit::{NANO_PER_USD, Rate};

/// Why a text is not what it should be, and what to write instead.
#[derive(Debug, PartialEq)]
pub(super) struct Bad {
    pub message: String,
    pub remedy: String,
}

/// A duration as the configuration writes it, for the command line.
///
/// # Errors
/// What is wrong with the text.
pub fn duration_of(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|bad| format!("{}; {}", bad.message, bad.remedy))
}

/// `"250ms"`, `"5s"`, `"2m"`, `"1h"`, `"1d"`; whole numbers only.
pub(super) fn duration(text: &str) -> Result<Duration, Bad> {
    let bad = || Bad::new("not a duration", r#"write a number and a unit: "250ms", "5s", "2m""#);
    let (number, unit) = number_and_unit(text).ok_or_else(bad)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).map(Duration::from_millis).ok_or_else(bad)
}

/// `"100/s"`, `"6000/m"`, `"0.5/s"`, `"1/h"`: at most three digits after the point.
pub(super) fn rate(text: &str) -> Result<Rate, Bad> {
    let bad = || Bad::new("not a rate", r#"write a number and a time: "100/s", "0.5/s", "1/h""#);
    let (number, unit) = text.split_once('/').ok_or_else(bad)?;
    let (whole, part) = number.trim_end().split_once('.').unwrap_or((number.trim_end(), "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return Err(bad());
    }
    let per_ns = RATE_UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(bad)?.1;
    let part: u64 = format!("{part:0<3}").parse().map_err(|_| bad())?;
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let thousandths = whole.checked_mul(1000).and_then(|n| n.checked_add(part)).ok_or_else(bad)?;
    if thousandths == 0 {
        return Err(Bad::new("admits nothing", "write a rate above 0, or refuse requests"));
    }
    Ok(Rate { thousandths, per_ns })
}

/// `"12.50"`: dollars, at most nine digits after the point; in 10^-9 USD.
pub(super) fn usd(text: &str) -> Result<u64, Bad> {
    let bad = || Bad::new("not an amount of dollars", r#"write one in quotes: "12.50", "0.002""#);
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 {
        return Err(bad());
    }
    let part: u64 = format!("{part:0<9}").parse().map_err(|_| bad())?;
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    whole.checked_mul(NANO_PER_USD).and_then(|nano| nano.checked_add(part)).ok_or_else(bad)
}

/// `"5.00/h"`: dollars in a time, in 10^-9 USD.
pub(super) fn usd_rate(text: &str) -> Result<Rate, Bad> {
    let bad =
        || Bad::new("not a rate of dollars", r#"write an amount and a time: "5.00/h", "0.10/m""#);
    let (amount, unit) = text.split_once('/').ok_or_else(bad)?;
    let nano = usd(amount.trim_end()).map_err(|_| bad())?;
    let per_ns = RATE_UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(bad)?.1;
    if nano == 0 {
        return Err(Bad::new("admits nothing", "write a rate above 0, or refuse requests"));
    }
    Ok(Rate { thousandths: nano.checked_mul(1000).ok_or_else(bad)?, per_ns })
}

const RATE_UNITS: [(&str, u64); 4] = [
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Writes a rate of dollars as it is read.
pub(super) fn show_usd_rate(rate: Rate) -> String {
    let unit = RATE_UNITS.iter().find(|(_, ns)| *ns == rate.per_ns).map_or("s", |(name, _)| name);
    format!("{}/{unit}", show_usd(rate.thousandths / 1000))
}

/// Writes a rate as it is read.
pub(super) fn show_rate(rate: Rate) -> String {
    let unit = RATE_UNITS.iter().find(|(_, ns)| *ns == rate.per_ns).map_or("s", |(name, _)| name);
    let (whole, part) = (rate.thousandths / 1000, rate.thousandths % 1000);
    match part {
        0 => format!("{whole}/{unit}"),
        _ => format!("{whole}.{}/{unit}", format!("{part:03}").trim_end_matches('0')),
    }
}

/// `"512B"`, `"16KiB"`, `"10MiB"`, `"1GiB"`, and by thousands `"1KB"`, `"1MB"`, `"1GB"`.
pub(super) fn size(text: &str) -> Result<u64, Bad> {
    let bad = || {
        Bad::new("not a size", r#"write a number and a unit: "512B", "16KiB", "10MiB" (or "1MB")"#)
    };
    let (number, unit) = number_and_unit(text).ok_or_else(bad)?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).ok_or_else(bad)
}

/// `"20%"`, `"0.5%"`: at most two digits after the point.
pub(super) fn percent(text: &str) -> Result<Percent, Bad> {
    let parse = || {
        let number = text.strip_suffix('%')?.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 2 {
            return None;
        }
        let part: u32 = format!("{part:0<2}").parse().ok()?;
        whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part).map(Percent)
    };
    parse().ok_or_else(|| Bad::new("not a percentage", r#"write a number and a %: "20%", "0.5%""#))
}

/// `"127.0.0.1:8080"`, `"[::1]:8080"`.
pub(super) fn address(text: &str) -> Result<SocketAddr, Bad> {
    text.parse().map_err(|_| {
        Bad::new(
            "not an IP address and a port",
            r#"write "127.0.0.1:8080" or "[::1]:8080"; for all addresses "0.0.0.0:8080""#,
        )
    })
}

/// `"10.0.0.0/8"`, `"fd00::/8"`; an address alone is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, Bad> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| {
        Bad::new("not a network", r#"write "10.0.0.0/8", "fd00::/8" or an address alone"#)
    })?;
    // Bits beyond the prefix are more often a wrong prefix length than meant.
    if network.trunc() != network {
        let remedy = format!(r#"write "{}", or an address alone"#, network.trunc());
        return Err(Bad::new("has address bits beyond its prefix", &remedy));
    }
    Ok(network)
}

/// `"10.0.0.1:8080"`, `"[fd00::1]:8080"`, `"pets.internal:8080"`.
pub(super) fn endpoint(text: &str) -> Result<EndpointAddress, Bad> {
    let write = r#"write "10.0.0.1:8080" or "pets.internal:8080""#;
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() == 0 {
            return Err(Bad::new("port 0 cannot be connected to", write));
        }
        return Ok(EndpointAddress::Ip(address));
    }
    if text.contains("://") {
        let remedy = format!("{write} without a scheme; for TLS add the table `tls`");
        return Err(Bad::new("a URL where an address belongs", &remedy));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(Bad::new("no port", write));
    };
    let port = port.parse().ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| Bad::new("not a port from 1 to 65535", write))?;
    let host = host_name(host)?;
    Ok(EndpointAddress::Name { host, port })
}

/// A host name in lower case, without a trailing dot (RFC 1123 section 2.1, and `_` as DNS allows).
pub(super) fn host_name(text: &str) -> Result<String, Bad> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        let remedy = r#"write "api.example.com" (letters, digits, `-`; others as punycode)"#;
        return Err(Bad::new("not a host name", remedy));
    }
    // WHATWG URL section 3.5: what ends in a number is an IPv4 address, so `10.0.0.256` is a
    // mistake.
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        let message = match name.parse::<IpAddr>() {
            Ok(_) => "an IP address where a host name belongs",
            Err(_) => "looks like an IP address, but is none",
        };
        return Err(Bad::new(message, r#"write a name such as "api.example.com""#));
    }
    Ok(name.to_ascii_lowercase())
}

/// What a certificate is for: a host name or an IP address.
pub(super) fn tls_name(text: &str) -> Result<String, Bad> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => host_name(text),
    }
}

/// A `Host`: a name or an address, and maybe a port.
pub(super) fn authority(text: &str) -> Result<String, Bad> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bad = || Bad::new("not a host", r#"write "pets.internal" or "pets.internal:8080""#);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(bad());
    }
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let known = match v6 {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.parse::<std::net::Ipv4Addr>().is_ok() || host_name(host).is_ok(),
    };
    if known { Ok(text.to_ascii_lowercase()) } else { Err(bad()) }
}

/// `"200"` or `"200-399"`.
pub(super) fn statuses(text: &str) -> Result<StatusRange, Bad> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.parse::<u16>().ok().filter(|s| (100..=599).contains(s));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(StatusRange { first, last }),
        _ => Err(Bad::new("not a range of statuses", r#"write "200" or "200-399""#)),
    }
}

/// Splits `16KiB` into 16 and `KiB`; blanks between are let pass.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

// === impl Bad ===

impl Bad {
    pub(super) fn new(message: &str, remedy: &str) -> Bad {
        Bad { message: message.to_owned(), remedy: remedy.to_owned() }
    }
}

// --- writing ---

/// Writes a duration in the largest unit that holds it exactly: `90s`, `1m`, `250ms`.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// Writes a size in the largest binary unit that holds it exactly: `16KiB`, `10MiB`, `1000B`.
pub(super) fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0B".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => format!("{bytes}B"),
    }
}

// --- for `#[serde(serialize_with = ...)]` on the typed configuration ---

pub(super) fn as_duration<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show_duration(*value))
}

pub(super) fn as_duration_option<S: Serializer>(
    value: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    value.map(show_duration).serialize(to)
}

/// `None` is written as the `"0s"` it was read from.
pub(super) fn as_duration_or_zero<S: Serializer>(
    value: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    as_duration(&value.unwrap_or_default(), to)
}

pub(super) fn as_size<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show_size(*value))
}

/// `None` is written as the `"0B"` it was read from.
pub(super) fn as_size_or_zero<S: Serializer>(
    value: &Option<u64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    as_size(&value.unwrap_or_default(), to)
}

/// `None` is written as the `0` it was read from.
pub(super) fn as_number_or_zero<S: Serializer>(
    value: &Option<u64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_u64(value.unwrap_or_default())
}

pub(super) fn as_texts<T: Display, S: Serializer>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_back() {
        for (text, ms, shown) in [
            ("250ms", 250, "250ms"),
            ("30s", 30_000, "30s"),
            ("5m", 300_000, "5m"),
            ("1h", 3_600_000, "1h"),
            ("2d", 172_800_000, "48h"),
            ("90s", 90_000, "90s"),
            ("1500ms", 1_500, "1500ms"),
            ("0s", 0, "0s"),
            ("5 s", 5_000, "5s"),
        ] {
            let read = duration(text).expect("is a duration");
            assert_eq!(read, Duration::from_millis(ms), "{text}");
            assert_eq!(show_duration(read), shown);
            assert_eq!(duration(shown), Ok(read));
        }
        for text in ["", "5", "s", "5x", "1.5s", "-1s", "5S", "5us", "99999999999999999d", "５s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written_back() {
        for (text, bytes, shown) in [
            ("512B", 512, "512B"),
            ("16KiB", 16_384, "16KiB"),
            ("1536KiB", 1_572_864, "1536KiB"),
            ("10MiB", 10_485_760, "10MiB"),
            ("1MB", 1_000_000, "1000000B"),
            ("1GiB", 1_073_741_824, "1GiB"),
            ("0B", 0, "0B"),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), shown);
            assert_eq!(size(shown), Ok(bytes));
        }
        for text in ["", "5", "16k", "16kb", "16 K", "1.5MiB", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_keep_two_digits() {
        for (text, parts, shown) in [
            ("20%", 2_000, "20%"),
            ("0.5%", 50, "0.5%"),
            ("0.05%", 5, "0.05%"),
            ("100%", 10_000, "100%"),
            ("12.34%", 1_234, "12.34%"),
        ] {
            assert_eq!(percent(text), Ok(Percent(parts)), "{text}");
            assert_eq!(Percent(parts).to_string(), shown);
        }
        for text in ["20", "%", ".5%", "5.%", "0.123%", "-1%", "99999999999%"] {
            assert!(percent(text).is_err(), "{text}");
        }
        assert_eq!(Percent(2_000).of(10), 2);
        assert_eq!(Percent(10_000).of(u64::MAX), u64::MAX);
    }

    #[test]
    fn endpoints_are_addresses_or_names_with_a_port() {
        assert!(matches!(endpoint("10.0.0.1:80"), Ok(EndpointAddress::Ip(_))));
        assert!(matches!(endpoint("[fd00::1]:80"), Ok(EndpointAddress::Ip(_))));
        let name = endpoint("Pets.Internal.:8080").expect("is a name");
        assert_eq!(name.to_string(), "pets.internal:8080");
        for text in [
            "pets",
            "pets:",
            "pets:0",
            "10.0.0.1:0",
            "pets:65536",
            "http://pets:80",
            "fd00::1:80",
            "10.0.0.256:80",
            ":80",
            "a..b:80",
            "-a:80",
            "a b:80",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_exact() {
        assert_eq!(network("10.0.0.1").map(|n| n.to_string()), Ok("10.0.0.1/32".to_owned()));
        assert_eq!(network("fd00::/8").map(|n| n.to_string()), Ok("fd00::/8".to_owned()));
        for text in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0", ""] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn statuses_are_one_or_a_range() {
        assert_eq!(statuses("204"), Ok(StatusRange { first: 204, last: 204 }));
        assert_eq!(statuses("200-399"), Ok(StatusRange { first: 200, last: 399 }));
        for text in ["", "2xx", "399-200", "99", "600", "200-"] {
            assert!(statuses(text).is_err(), "{text}");
        }
    }
}
