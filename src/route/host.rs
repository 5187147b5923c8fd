//! Host patterns and their compiled lookup.
//!
//! `api.example.com` is that name only; `*.example.com` is every name below `example.com`, at any
//! depth, but not `example.com` itself; `*` is every host, and also a request that names none. The
//! most specific pattern wins: exact, then the longest wildcard, then `*`; and the choice is final:
//! a path that the chosen host lacks is not looked for under a wider one (as in nginx and Envoy).
//! ASCII case and one trailing dot do not matter. The caller has stripped the port.

use std::fmt;

use super::index::{Index, hash};
use crate::bounds::ROUTE_HOST_BYTES_MAX;

/// Which hosts a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// One name or IP literal, lower case, without trailing dot.
    Exact(String),
    /// `*.` and this name.
    Below(String),
    /// `*`.
    Any,
}

/// Why a text is not a host pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Nothing, or only a dot.
    Empty,
    /// Longer than a name can be.
    TooLong,
    /// A star that is not the whole first label.
    Star,
    /// A label that is empty, longer than 63 bytes, or begins or ends with a hyphen.
    Label(String),
    /// A byte no host name has.
    Byte(char),
    /// A port after the name.
    Port,
}

/// Hosts compiled for lookup; the value of a host is its position in the order of `add`.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    names: Vec<HostPattern>,
    exact: Index,
    below: Index,
    any: Option<u32>,
    has_below: bool,
}

// === impl HostPattern ===

impl HostPattern {
    /// Reads a host pattern.
    ///
    /// # Errors
    /// Says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<HostPattern, HostError> {
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        if let Some(literal) = text.strip_prefix('[') {
            return parse_ip6(text, literal);
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(HostError::Empty);
        }
        if name.len() > ROUTE_HOST_BYTES_MAX {
            return Err(HostError::TooLong);
        }
        for c in name.chars() {
            match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => {}
                '*' => return Err(HostError::Star),
                ':' => return Err(HostError::Port),
                c => return Err(HostError::Byte(c)),
            }
        }
        for label in name.split('.') {
            let hyphen = label.starts_with('-') || label.ends_with('-');
            if label.is_empty() || label.len() > 63 || hyphen {
                return Err(HostError::Label(label.to_owned()));
            }
        }
        let name = name.to_ascii_lowercase();
        Ok(if below { HostPattern::Below(name) } else { HostPattern::Exact(name) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Below(name) => write!(f, "*.{name}"),
            HostPattern::Any => f.write_str("*"),
        }
    }
}

// === impl HostError ===

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostError::Empty => f.write_str("the host is empty; write a name, *.name or *"),
            HostError::TooLong => write!(f, "longer than {ROUTE_HOST_BYTES_MAX} bytes"),
            HostError::Star => {
                f.write_str("a star stands for the whole first label only; write *.example.com")
            }
            HostError::Label(label) => write!(
                f,
                "the label {label:?} is not 1 to 63 bytes long, or has a hyphen at its edge"
            ),
            HostError::Byte(c) => write!(
                f,
                "{c:?} cannot stand in a host; write an international name in its xn-- form"
            ),
            HostError::Port => f.write_str("a port does not belong here; the listener has it"),
        }
    }
}

impl std::error::Error for HostError {}

// === impl Hosts ===

impl Hosts {
    /// The number of `pattern`, new or known.
    pub(super) fn add(&mut self, pattern: &HostPattern) -> u32 {
        let next = u32::try_from(self.names.len()).expect("a table has fewer than 2^32 hosts");
        let (index, name) = match pattern {
            HostPattern::Any => {
                if let Some(id) = self.any {
                    return id;
                }
                self.any = Some(next);
                self.names.push(pattern.clone());
                return next;
            }
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::Below(name) => (&mut self.below, name),
        };
        let hash = hash(0, name.as_bytes());
        let names = &self.names;
        if let Some(id) = index.get(hash, |id| names[id as usize] == *pattern) {
            return id;
        }
        index.insert(hash, next);
        self.has_below |= matches!(pattern, HostPattern::Below(_));
        self.names.push(pattern.clone());
        next
    }

    /// The most specific pattern for `host`.
    pub(super) fn find(&self, host: &[u8]) -> Option<u32> {
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut buffer = [0u8; ROUTE_HOST_BYTES_MAX];
        let Some(lower) = buffer.get_mut(..host.len()).filter(|b| !b.is_empty()) else {
            return self.any; // no name, or none that a pattern could have
        };
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        let lower = &*lower;
        let found = self.exact.get(hash(0, lower), |id| self.is(id, lower));
        if found.is_some() {
            return found;
        }
        if self.has_below {
            // From the left, so the longest suffix comes first. At most 126 dots fit into a name.
            for dot in memchr::memchr_iter(b'.', lower) {
                let suffix = &lower[dot + 1..];
                // `.example.com` has an empty label before its dot: no name below example.com.
                if dot == 0 {
                    continue;
                }
                let found = self.below.get(hash(0, suffix), |id| self.is(id, suffix));
                if found.is_some() {
                    return found;
                }
            }
        }
        self.any
    }

    fn is(&self, id: u32, name: &[u8]) -> bool {
        match &self.names[id as usize] {
            HostPattern::Exact(n) | HostPattern::Below(n) => n.as_bytes() == name,
            HostPattern::Any => false,
        }
    }
}

/// `text` is the whole of `[...]`, `rest` is what follows the bracket.
fn parse_ip6(text: &str, rest: &str) -> Result<HostPattern, HostError> {
    match rest.strip_suffix(']') {
        Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => {
            Ok(HostPattern::Exact(text.to_ascii_lowercase()))
        }
        Some(_) => Err(HostError::Label(text.to_owned())),
        None => Err(HostError::Port),
    }
}
