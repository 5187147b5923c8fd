//! DNS questions and answers as bytes (RFC 1035), without IO.
//!
//! Owns what an answer means: is it ours, which addresses does its chain of aliases lead to, for
//! how long does that hold. Sends nothing; does not choose servers. Invariant: no bytes from a
//! server make it panic, loop, or allocate more than a small multiple of their own length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

use crate::bounds::{DNS_ADDRESSES_MAX, DNS_ALIASES_MAX, DNS_TTL_MAX, DNS_TTL_MIN};

/// Which kind of address is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// A question to one server.
#[derive(Clone, Debug)]
pub struct Query {
    id: u16,
    name: String,
    family: Family,
    bytes: Vec<u8>,
}

/// What a message from the server means for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// At least one address.
    Addresses {
        /// In the order of the answer.
        addresses: Vec<IpAddr>,
        /// The least TTL of the records that led here.
        ttl: Duration,
    },
    /// The name exists, but has no address of this family.
    NoAddress {
        /// How long that holds.
        ttl: Duration,
    },
    /// The name does not exist (NXDOMAIN).
    NoName {
        /// How long that holds.
        ttl: Duration,
    },
    /// The answer did not fit: ask again over TCP.
    Truncated,
    /// The server failed or refused; its response code (2 is SERVFAIL, 5 REFUSED).
    Failed(u8),
    /// It answers this question, but makes no sense.
    Malformed,
    /// It is not an answer to this question: noise or forgery, to be ignored.
    NotOurs,
}

/// Why a text cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName;

/// Bytes of a message's header.
const HEADER: usize = 12;
/// The shortest question (root name, type, class) and record (root name, type, class, TTL, length).
const QUESTION_MIN: usize = 5;
const RECORD_MIN: usize = 11;

// === impl Query ===

impl Query {
    /// A recursive question for `name`, which is taken as absolute. `id` is from a source that
    /// cannot be guessed.
    ///
    /// # Errors
    /// `name` is no DNS name.
    pub fn new(name: &str, family: Family, id: u16) -> Result<Query, BadName> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        // The library skips empty labels, so `a..b` would become another name.
        if name.split('.').any(str::is_empty) {
            return Err(BadName);
        }
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let kind = QTYPE::TYPE(family.record_type());
        let qname = Name::new(&name).map_err(|_| BadName)?;
        packet.questions.push(Question::new(qname, kind, QCLASS::CLASS(CLASS::IN), false));
        let bytes = packet.build_bytes_vec().map_err(|_| BadName)?;
        Ok(Query { id, name, family, bytes })
    }

    /// The message to send.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a message that came from the server.
    #[must_use]
    pub fn read(&self, message: &[u8]) -> Reply {
        let Some(flags) = self.matching_flags(message) else { return Reply::NotOurs };
        // Before the whole is parsed: a truncated message may end in the middle of a record.
        if flags & PacketFlag::TRUNCATION.bits() != 0 {
            return Reply::Truncated;
        }
        let code = flags.to_be_bytes()[1] & 0x0f;
        if code != 0 && code != 3 {
            return Reply::Failed(code);
        }
        // The library reserves memory for as many records as the header claims.
        if !counts_fit(message) {
            return Reply::Malformed;
        }
        let Ok(packet) = Packet::parse(message) else { return Reply::Malformed };
        let Ok(qname) = Name::new(&self.name) else { return Reply::Malformed };
        let (addresses, ttl) = self.follow(&qname, &packet.answers);
        match addresses.is_empty() {
            false => Reply::Addresses { addresses, ttl: clamp(ttl) },
            true if code == 3 => Reply::NoName { ttl: negative_ttl(&packet) },
            true => Reply::NoAddress { ttl: negative_ttl(&packet) },
        }
    }

    /// The flags of a message that is a response with our id and our question.
    fn matching_flags(&self, message: &[u8]) -> Option<u16> {
        let word = |i: usize| Some(u16::from_be_bytes([*message.get(i)?, *message.get(i + 1)?]));
        let flags = word(2)?;
        let ours = word(0)? == self.id && flags & PacketFlag::RESPONSE.bits() != 0;
        // RFC 5452 section 9.1: the question must be the one that was asked. Ours is not
        // compressed, and nothing before it could be pointed at; only the case of letters may
        // differ.
        let question = message.get(HEADER..self.bytes.len())?;
        (ours && word(4)? == 1 && question.eq_ignore_ascii_case(&self.bytes[HEADER..]))
            .then_some(flags)
    }

    /// Follows the aliases from `qname` to the addresses, and gives the least TTL on the way.
    fn follow(&self, qname: &Name<'_>, records: &[ResourceRecord<'_>]) -> (Vec<IpAddr>, u32) {
        let (mut name, mut ttl) = (qname, u32::MAX);
        let mut addresses = Vec::new();
        for _ in 0..=DNS_ALIASES_MAX {
            let mut alias = None;
            for record in records {
                if record.class != CLASS::IN || !same(&record.name, name) {
                    continue;
                }
                if let Some(address) = self.family.address(&record.rdata) {
                    if addresses.len() < DNS_ADDRESSES_MAX && !addresses.contains(&address) {
                        addresses.push(address);
                    }
                    ttl = ttl.min(seconds(record.ttl));
                } else if let RData::CNAME(target) = &record.rdata {
                    alias = Some((&target.0, record.ttl));
                }
            }
            match alias {
                Some((target, alias_ttl)) if addresses.is_empty() => {
                    name = target;
                    ttl = ttl.min(seconds(alias_ttl));
                }
                _ => break,
            }
        }
        (addresses, ttl)
    }
}

// === impl Family ===

impl Family {
    fn record_type(self) -> TYPE {
        match self {
            Family::V4 => TYPE::A,
            Family::V6 => TYPE::AAAA,
        }
    }

    fn address(self, rdata: &RData<'_>) -> Option<IpAddr> {
        match (self, rdata) {
            (Family::V4, RData::A(a)) => Some(IpAddr::V4(Ipv4Addr::from(a.address))),
            (Family::V6, RData::AAAA(a)) => Some(IpAddr::V6(Ipv6Addr::from(a.address))),
            _ => None,
        }
    }
}

// === impl BadName ===

impl std::fmt::Display for BadName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a DNS name")
    }
}

impl std::error::Error for BadName {}

/// RFC 1035 section 2.3.3: names are compared without regard to ASCII case.
fn same(a: &Name<'_>, b: &Name<'_>) -> bool {
    let (a, b) = (a.get_labels(), b.get_labels());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.as_ref().eq_ignore_ascii_case(b.as_ref()))
}

/// Whether the message is long enough for the records its header counts.
fn counts_fit(message: &[u8]) -> bool {
    let count = |i: usize| usize::from(u16::from_be_bytes([message[i], message[i + 1]]));
    let records = count(6) + count(8) + count(10);
    HEADER + count(4) * QUESTION_MIN + records * RECORD_MIN <= message.len()
}

/// RFC 2181 section 8: a TTL with the top bit set is zero.
fn seconds(ttl: u32) -> u32 {
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl }
}

fn clamp(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into()).clamp(DNS_TTL_MIN, DNS_TTL_MAX)
}

/// RFC 2308 section 5: the lesser of the SOA record's TTL and its minimum field; without one, the
/// least we keep anything.
fn negative_ttl(packet: &Packet<'_>) -> Duration {
    let soa = packet.name_servers.iter().find_map(|record| match &record.rdata {
        RData::SOA(soa) => Some(seconds(record.ttl).min(seconds(soa.minimum))),
        _ => None,
    });
    clamp(soa.unwrap_or(0))
}

#[cfg(test)]
mod tests;
