//! The PROXY protocol, versions 1 and 2: who the real client is, said by a load balancer in front.
//!
//! Owns the grammar, both ways. Refuses to know who may say it: whether a peer is trusted to send
//! this header is decided before a byte is parsed, and a listener either always expects it or
//! never. Invariant: what is accepted is exactly what the specification (haproxy.org,
//! proxy-protocol.txt, section 2) allows; the header is at most [`HEADER_BYTES_MAX`] long, and no
//! byte after it is touched.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Section 2.1: the longest line, two full IPv6 addresses and CRLF.
pub const V1_BYTES_MAX: usize = 107;

/// Section 2.2 allows 16 + 65535. Balancers send addresses and a few TLVs: AWS about 100 bytes,
/// HAProxy with all of `send-proxy-v2-ssl-cn`, unique id and authority under 1 KiB.
pub const HEADER_BYTES_MAX: usize = 4096;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;
const V1_PREFIX: &[u8; 6] = b"PROXY ";

/// Type, then a length of two bytes.
const TLV_HEADER: usize = 3;
const TLV_CRC32C: u8 = 0x03;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its length; what follows is the connection's data.
    pub consumed: usize,
    pub version: Version,
    /// `None`: keep the connection's own addresses (LOCAL, UNKNOWN, UNSPEC, or a Unix socket).
    pub addresses: Option<Addresses>,
}

/// The two ends of the connection the balancer accepted. IPv4-mapped IPv6 is given as IPv4, so that
/// address rules mean one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header, right so far. Read more: it ends within [`HEADER_BYTES_MAX`]
    /// bytes.
    Partial,
    Header(Header),
}

/// Why the bytes are no header. Section 2: the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocolError {
    /// Neither version's signature: a client that connected without the balancer.
    NoHeader,
    /// Version 1's line is longer than 107 bytes, or holds a bare LF or CR.
    Line,
    /// Version 1's protocol, addresses or ports.
    Fields,
    /// Version 2's version, command, family or protocol.
    Kind,
    /// Version 2's length: over our bound, or too short for its family.
    Length,
    /// Version 2's TLVs do not fill the header exactly.
    Tlv,
    /// Version 2's checksum is wrong.
    Checksum,
}

/// Reads a header at the front of `buf`.
pub fn parse(buf: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let begins = |signature: &[u8]| {
        let n = buf.len().min(signature.len());
        buf[..n] == signature[..n]
    };
    if begins(V1_PREFIX) {
        if buf.len() < V1_PREFIX.len() { Ok(Parsed::Partial) } else { parse_v1(buf) }
    } else if begins(V2_SIGNATURE) {
        if buf.len() < V2_FIXED { partial_v2(buf) } else { parse_v2(buf) }
    } else {
        Err(ProxyProtocolError::NoHeader)
    }
}

/// Writes version 1. Addresses of two families are written as IPv6.
pub fn write_v1(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    use std::io::Write;
    let (src, dst) = same_family(source.ip(), destination.ip());
    let family = if src.is_ipv4() { "TCP4" } else { "TCP6" };
    let (src_port, dst_port) = (source.port(), destination.port());
    write!(out, "PROXY {family} {src} {dst} {src_port} {dst_port}\r\n")
        .expect("a Vec takes any write");
}

/// Writes version 2 with no TLVs. Addresses of two families are written as IPv6.
pub fn write_v2(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    out.extend(V2_SIGNATURE);
    match same_family(source.ip(), destination.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            out.extend([0x21, 0x11, 0, 12]);
            out.extend(src.octets());
            out.extend(dst.octets());
        }
        (src, dst) => {
            out.extend([0x21, 0x21, 0, 36]);
            out.extend(mapped(src).octets());
            out.extend(mapped(dst).octets());
        }
    }
    out.extend(source.port().to_be_bytes());
    out.extend(destination.port().to_be_bytes());
}

/// Writes version 2's LOCAL header: our own connection (a probe), on nobody's behalf.
pub fn write_v2_local(out: &mut Vec<u8>) {
    out.extend(V2_SIGNATURE);
    out.extend([0x20, 0, 0, 0]);
}

fn parse_v1(buf: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let window = &buf[..buf.len().min(V1_BYTES_MAX)];
    let Some(end) = memchr::memchr2(b'\r', b'\n', window) else {
        // The last byte within the bound must be LF, so one more without CR is already too long.
        let longest = window.len() >= V1_BYTES_MAX - 1;
        return if longest { Err(ProxyProtocolError::Line) } else { Ok(Parsed::Partial) };
    };
    match (window[end], window.get(end + 1)) {
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) if end + 1 < V1_BYTES_MAX => return Ok(Parsed::Partial),
        _ => return Err(ProxyProtocolError::Line),
    }
    let addresses = v1_fields(&window[V1_PREFIX.len()..end]).ok_or(ProxyProtocolError::Fields)?;
    Ok(Parsed::Header(Header { consumed: end + 2, version: Version::V1, addresses }))
}

/// The line after `PROXY `: `Some(None)` for UNKNOWN, `None` if malformed.
fn v1_fields(line: &[u8]) -> Option<Option<Addresses>> {
    // Section 2.1: whatever follows UNKNOWN is ignored.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Some(None);
    }
    let mut fields = std::str::from_utf8(line).ok()?.split(' ');
    let mut next = || fields.next();
    let (source, destination) = match next()? {
        "TCP4" => (v4(next()?)?, v4(next()?)?),
        "TCP6" => (v6(next()?)?, v6(next()?)?),
        _ => return None,
    };
    let (source_port, destination_port) = (port(next()?)?, port(next()?)?);
    if next().is_some() {
        return None;
    }
    Some(Some(Addresses::new(source, source_port, destination, destination_port)))
}

/// Dotted quad without leading zeros, as std demands.
fn v4(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

fn v6(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// Digits only (std would take a `+`), and section 2.1 forbids leading zeros.
fn port(text: &str) -> Option<u16> {
    let canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Refuses what the bytes so far already rule out.
fn partial_v2(buf: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    if let Some(&version_command) = buf.get(V2_SIGNATURE.len()) {
        v2_is_proxy(version_command)?;
    }
    Ok(Parsed::Partial)
}

fn parse_v2(buf: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let is_proxy = v2_is_proxy(buf[12])?;
    let consumed = V2_FIXED + usize::from(u16::from_be_bytes([buf[14], buf[15]]));
    if consumed > HEADER_BYTES_MAX {
        return Err(ProxyProtocolError::Length);
    }
    let kind = if is_proxy { v2_kind(buf[13])? } else { V2Kind::Ignored };
    if consumed - V2_FIXED < kind.address_bytes() {
        return Err(ProxyProtocolError::Length);
    }
    let Some(header) = buf.get(..consumed) else {
        return Ok(Parsed::Partial);
    };
    let (block, tlvs) = header[V2_FIXED..].split_at(kind.address_bytes());
    // Section 2.2: a LOCAL header's whole block, addresses or not, is discarded.
    if is_proxy {
        check_tlvs(header, header.len() - tlvs.len())?;
    }
    let addresses = match kind {
        V2Kind::Ignored | V2Kind::Unix => None,
        V2Kind::Tcp4 => Some(v2_addresses::<4>(block)),
        V2Kind::Tcp6 => Some(v2_addresses::<16>(block)),
    };
    Ok(Parsed::Header(Header { consumed, version: Version::V2, addresses }))
}

fn v2_is_proxy(version_command: u8) -> Result<bool, ProxyProtocolError> {
    match version_command {
        0x20 => Ok(false),
        0x21 => Ok(true),
        _ => Err(ProxyProtocolError::Kind),
    }
}

#[derive(Clone, Copy)]
enum V2Kind {
    /// LOCAL, or UNSPEC: whatever the block holds says nothing about addresses.
    Ignored,
    Tcp4,
    Tcp6,
    Unix,
}

/// Section 2.2: any other value must be rejected. So are datagrams: this is a stream.
fn v2_kind(family_protocol: u8) -> Result<V2Kind, ProxyProtocolError> {
    match family_protocol {
        0x00 => Ok(V2Kind::Ignored),
        0x11 => Ok(V2Kind::Tcp4),
        0x21 => Ok(V2Kind::Tcp6),
        0x31 => Ok(V2Kind::Unix),
        _ => Err(ProxyProtocolError::Kind),
    }
}

/// `block` holds source, destination, and their ports; `N` is the address's length.
fn v2_addresses<const N: usize>(block: &[u8]) -> Addresses
where
    IpAddr: From<[u8; N]>,
{
    let address = |at: usize| {
        let octets: [u8; N] = block[at..at + N].try_into().expect("the block was measured");
        IpAddr::from(octets)
    };
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    Addresses::new(address(0), port(2 * N), address(N), port(2 * N + 2))
}

/// The TLVs from `at` on must fill the header to its last byte; a checksum among them must be
/// right.
fn check_tlvs(header: &[u8], mut at: usize) -> Result<(), ProxyProtocolError> {
    while at < header.len() {
        let [kind, high, low] =
            *header[at..].first_chunk::<TLV_HEADER>().ok_or(ProxyProtocolError::Tlv)?;
        let value = at + TLV_HEADER;
        let end = value + usize::from(u16::from_be_bytes([high, low]));
        if end > header.len() {
            return Err(ProxyProtocolError::Tlv);
        }
        if kind == TLV_CRC32C {
            check_crc(header, value, &header[value..end])?;
        }
        at = end;
    }
    Ok(())
}

/// Section 2.2.3: CRC32c over the header with the checksum's own four bytes as zeros.
fn check_crc(header: &[u8], at: usize, sent: &[u8]) -> Result<(), ProxyProtocolError> {
    let sent: [u8; 4] = sent.try_into().map_err(|_| ProxyProtocolError::Tlv)?;
    let mut crc = u32::MAX;
    for (i, &byte) in header.iter().enumerate() {
        crc ^= u32::from(if (at..at + 4).contains(&i) { 0 } else { byte });
        for _ in 0..8 {
            // Castagnoli's polynomial, bits reversed.
            crc = (crc >> 1) ^ ((crc & 1) * 0x82f6_3b78);
        }
    }
    if !crc == u32::from_be_bytes(sent) { Ok(()) } else { Err(ProxyProtocolError::Checksum) }
}

fn same_family(a: IpAddr, b: IpAddr) -> (IpAddr, IpAddr) {
    if a.is_ipv4() == b.is_ipv4() { (a, b) } else { (mapped(a).into(), mapped(b).into()) }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

// === impl Addresses ===

impl Addresses {
    fn new(source: IpAddr, source_port: u16, destination: IpAddr, port: u16) -> Addresses {
        Addresses {
            source: SocketAddr::new(source.to_canonical(), source_port),
            destination: SocketAddr::new(destination.to_canonical(), port),
        }
    }
}

// === impl V2Kind ===

impl V2Kind {
    fn address_bytes(self) -> usize {
        match self {
            V2Kind::Ignored => 0,
            V2Kind::Tcp4 => 2 * 4 + 4,
            V2Kind::Tcp6 => 2 * 16 + 4,
            V2Kind::Unix => 2 * 108,
        }
    }
}

// === impl ProxyProtocolError ===

impl fmt::Display for ProxyProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyProtocolError::NoHeader => "the connection does not begin with a PROXY header",
            ProxyProtocolError::Line => "the PROXY line is too long or has a bare CR or LF",
            ProxyProtocolError::Fields => "the PROXY line's protocol, addresses or ports are wrong",
            ProxyProtocolError::Kind => "the PROXY header's version, command or family is unknown",
            ProxyProtocolError::Length => "the PROXY header's length is out of bounds",
            ProxyProtocolError::Tlv => "the PROXY header's TLVs do not fit its length",
            ProxyProtocolError::Checksum => "the PROXY header's checksum is wrong",
        })
    }
}

impl std::error::Error for ProxyProtocolError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(bytes: &[u8]) -> Header {
        match parse(bytes) {
            Ok(Parsed::Header(header)) => header,
            other => panic!("{other:?} from {}", bytes.escape_ascii()),
        }
    }

    fn v2(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut out = V2_SIGNATURE.to_vec();
        out.extend([version_command, family]);
        out.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
        out.extend(block);
        out
    }

    const TCP4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xbb];

    fn tcp4() -> Option<Addresses> {
        Some(Addresses {
            source: "192.0.2.1:12345".parse().unwrap(),
            destination: "198.51.100.2:443".parse().unwrap(),
        })
    }

    #[test]
    fn version_1_lines() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(header(line), Header { consumed: 45, version: Version::V1, addresses: tcp4() });
        let six = header(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n").addresses.unwrap();
        assert_eq!(six.source, "[2001:db8::1]:0".parse().unwrap());
        assert_eq!(six.destination, "[::1]:65535".parse().unwrap());
        let mapped = header(b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 12345 443\r\n");
        assert_eq!(mapped.addresses, tcp4(), "a mapped address is the IPv4 address");
        for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 what ever 99999\r\n"] {
            let header = header(unknown.as_bytes());
            assert_eq!((header.consumed, header.addresses), (unknown.len(), None));
        }
    }

    #[test]
    fn version_1_longest_line_and_one_more() {
        let line = |n: usize| {
            let mut line = b"PROXY UNKNOWN ".to_vec();
            line.resize(n - 2, b'x');
            line.extend(b"\r\n");
            line
        };
        assert_eq!(header(&line(107)).consumed, 107);
        assert_eq!(parse(&line(107)[..105]), Ok(Parsed::Partial));
        assert_eq!(parse(&line(107)[..106]), Ok(Parsed::Partial));
        assert_eq!(parse(&line(108)), Err(ProxyProtocolError::Line));
        assert_eq!(parse(&line(108)[..106]), Err(ProxyProtocolError::Line), "known before the end");
    }

    #[test]
    fn version_1_refusals() {
        use ProxyProtocolError as E;
        for (line, why) in [
            ("GET / HTTP/1.1\r\n", E::NoHeader),
            ("PROXYTCP4 1.1.1.1 2.2.2.2 1 2\r\n", E::NoHeader),
            ("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", E::NoHeader),
            (" PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", E::NoHeader),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", E::Line),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r\n", E::Line),
            ("PROXY TCP4\r1.1.1.1 2.2.2.2 1 2\r\n", E::Line),
            ("PROXY \r\n", E::Fields),
            ("PROXY UNKNOWNS\r\n", E::Fields),
            ("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", E::Fields),
            ("PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", E::Fields),
            ("PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1\t2.2.2.2 1 2\r\n", E::Fields),
            ("PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", E::Fields),
            ("PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n", E::Fields),
            ("PROXY TCP4 ::1 ::2 1 2\r\n", E::Fields),
            ("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", E::Fields),
            ("PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n", E::Fields),
            ("PROXY TCP6 [::1] ::2 1 2\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 \u{0}\r\n", E::Fields),
            ("PROXY TCP4 1.1.1.1 2.2.2.2 1 \u{661}\r\n", E::Fields),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(why), "{}", line.escape_debug());
        }
    }

    #[test]
    fn version_2_headers() {
        let mut tcp = v2(0x21, 0x11, &TCP4);
        tcp.extend(b"GET /");
        let expected = Header { consumed: 28, version: Version::V2, addresses: tcp4() };
        assert_eq!(header(&tcp), expected);
        let mut block = TCP4.to_vec();
        block.extend([0x04, 0, 2, 9, 9, 0xea, 0, 0]);
        assert_eq!(header(&v2(0x21, 0x11, &block)).addresses, tcp4(), "TLVs are passed over");
        for (bytes, what) in [
            (v2(0x20, 0x00, &[]), "LOCAL"),
            (v2(0x20, 0x11, &TCP4), "LOCAL with addresses"),
            (v2(0x20, 0xff, b"anything"), "LOCAL with an unknown family"),
            (v2(0x21, 0x00, &[0x04, 0, 0]), "UNSPEC"),
            (v2(0x21, 0x31, &[b'/'; 216]), "AF_UNIX"),
        ] {
            let header = header(&bytes);
            assert_eq!((header.consumed, header.addresses), (bytes.len(), None), "{what}");
        }
    }

    #[test]
    fn version_2_refusals() {
        use ProxyProtocolError as E;
        let tlv = |tlv: &[u8]| v2(0x21, 0x11, &[&TCP4[..], tlv].concat());
        for (bytes, why) in [
            (v2(0x11, 0x11, &TCP4), E::Kind),
            (v2(0x22, 0x11, &TCP4), E::Kind),
            (v2(0x21, 0x12, &TCP4), E::Kind),
            (v2(0x21, 0x10, &TCP4), E::Kind),
            (v2(0x21, 0x41, &TCP4), E::Kind),
            (v2(0x21, 0x01, &TCP4), E::Kind),
            (v2(0x21, 0x11, &TCP4[..11]), E::Length),
            (v2(0x21, 0x21, &[0; 35]), E::Length),
            (v2(0x21, 0x31, &[0; 215]), E::Length),
            (v2(0x21, 0x11, &[0; HEADER_BYTES_MAX - 15]), E::Length),
            (tlv(&[4]), E::Tlv),
            (tlv(&[4, 0]), E::Tlv),
            (tlv(&[4, 0, 1]), E::Tlv),
            (tlv(&[4, 0, 0, 9]), E::Tlv),
            (tlv(&[4, 0xff, 0xff, 1]), E::Tlv),
            (tlv(&[3, 0, 3, 1, 2, 3]), E::Tlv),
            (tlv(&[3, 0, 4, 1, 2, 3, 4]), E::Checksum),
        ] {
            assert_eq!(parse(&bytes), Err(why), "{}", bytes.escape_ascii());
        }
        assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\n\x11"), Err(E::Kind), "known from 13 bytes");
        assert_eq!(parse(b"\r\n\r\nX"), Err(E::NoHeader));
    }

    #[test]
    fn version_2_checksum() {
        let mut block = TCP4.to_vec();
        block.extend([3, 0, 4, 0, 0, 0, 0]);
        let mut bytes = v2(0x21, 0x11, &block);
        // CRC32c of these 35 bytes, computed with an independent table-driven implementation.
        let crc = crc32c_by_table(&bytes);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(header(&bytes).addresses, tcp4());
        // Byte 28 is the TLV's type: another one makes it a TLV like any other.
        for i in (16..bytes.len()).filter(|&i| i != 28) {
            let mut bad = bytes.clone();
            bad[i] ^= 1;
            assert!(parse(&bad).is_err(), "bit flipped at {i}");
        }
    }

    fn crc32c_by_table(bytes: &[u8]) -> u32 {
        let table: Vec<u32> = (0..256_u32)
            .map(|n| {
                (0..8).fold(n, |c, _| if c & 1 == 1 { 0x82f6_3b78 ^ (c >> 1) } else { c >> 1 })
            })
            .collect();
        assert_eq!(table[128], 0x82f6_3b78);
        !bytes.iter().fold(!0, |c: u32, &b| table[usize::from(c.to_le_bytes()[0] ^ b)] ^ (c >> 8))
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720 appendix B.4: 32 bytes of zeros give 0x8a9136aa.
        assert_eq!(crc32c_by_table(&[0; 32]), 0x8a91_36aa);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            source: SocketAddr, destination: SocketAddr, one in any::<bool>(), rest: Vec<u8>,
        ) {
            let strip = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
            let mut bytes = Vec::new();
            if one {
                write_v1(source, destination, &mut bytes);
                prop_assert!(bytes.len() <= V1_BYTES_MAX);
            } else {
                write_v2(source, destination, &mut bytes);
            }
            let whole = bytes.len();
            for n in 0..whole {
                prop_assert_eq!(parse(&bytes[..n]), Ok(Parsed::Partial), "{} of {}", n, whole);
            }
            bytes.extend(rest);
            let header = header(&bytes);
            prop_assert_eq!(header.consumed, whole);
            let expected =
                Addresses { source: strip(source), destination: strip(destination) };
            prop_assert_eq!(header.addresses, Some(expected));
        }

        #[test]
        fn no_bytes_panic_and_a_verdict_never_changes(
            mut tail in proptest::collection::vec(any::<u8>(), 0..300), which in 0_u8..4,
        ) {
            let mut bytes = match which {
                0 => Vec::new(),
                1 => b"PROXY ".to_vec(),
                2 => b"PROXY TCP4 1.1.1.1 ".to_vec(),
                _ => V2_SIGNATURE.to_vec(),
            };
            bytes.append(&mut tail);
            let mut before = Ok(Parsed::Partial);
            for n in 0..=bytes.len() {
                let now = parse(&bytes[..n]);
                if before != Ok(Parsed::Partial) {
                    prop_assert_eq!(now, before, "more bytes changed the verdict");
                }
                before = now;
            }
            prop_assert!(bytes.len() < HEADER_BYTES_MAX || before != Ok(Parsed::Partial));
        }
    }
}
