//! Answers built record by record, and answers that no server should send.

use proptest::prelude::*;
use simple_dns::rdata::{A, AAAA, CNAME, SOA};

use super::*;

const ID: u16 = 0xbeef;

fn query(family: Family) -> Query {
    Query::new("API.Example.com.", family, ID).unwrap()
}

fn record<'a>(name: &'a str, ttl: u32, rdata: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, ttl, rdata)
}

fn a(last: u32) -> RData<'static> {
    RData::A(A { address: 0x0a00_0000 + last })
}

fn alias(to: &str) -> RData<'_> {
    RData::CNAME(CNAME(Name::new(to).unwrap()))
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// A reply to `query` with these answers.
fn reply<'a>(query: &'a Query, answers: Vec<ResourceRecord<'a>>) -> Packet<'a> {
    let mut packet = Packet::parse(query.bytes()).unwrap().into_reply();
    packet.answers = answers;
    packet
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    packet.build_bytes_vec_compressed().unwrap()
}

fn addresses(last: &[u8], ttl: u64) -> Reply {
    let addresses = last.iter().map(|&n| ip(n)).collect();
    Reply::Addresses { addresses, ttl: Duration::from_secs(ttl) }
}

#[test]
fn a_question_asks_recursively_for_the_lower_case_name() {
    let q = query(Family::V6);
    let packet = Packet::parse(q.bytes()).unwrap();
    assert_eq!(packet.id(), ID);
    assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED));
    assert!(!packet.has_flags(PacketFlag::RESPONSE));
    assert_eq!(packet.questions[0].qname.to_string(), "api.example.com");
    assert_eq!(packet.questions[0].qtype, QTYPE::TYPE(TYPE::AAAA));
    let long = format!("{}.com", "x".repeat(64));
    for bad in ["", ".", "a..b", ".a", "-a.b", "a b", "é.fr", &long, &"a.".repeat(200)] {
        assert!(Query::new(bad, Family::V4, 1).is_err(), "{bad}");
    }
}

#[test]
fn aliases_lead_to_addresses_and_the_least_ttl_counts() {
    let q = query(Family::V4);
    let n = "api.example.com";
    for (answers, expected) in [
        (vec![record(n, 60, a(1)), record(n, 50, a(2))], addresses(&[1, 2], 50)),
        (vec![record("API.EXAMPLE.COM", 60, a(1))], addresses(&[1], 60)),
        // In any order, and by another name's record not led astray.
        (
            vec![
                record("c.example.net", 300, a(3)),
                record("other.example.com", 1, a(9)),
                record("b.example.net", 40, alias("C.example.net")),
                record(n, 100, alias("b.example.net")),
            ],
            addresses(&[3], 40),
        ),
        (vec![record(n, 60, a(1)), record(n, 60, a(1))], addresses(&[1], 60)),
        (vec![record(n, 0, a(1))], addresses(&[1], DNS_TTL_MIN.as_secs())),
        (vec![record(n, u32::MAX, a(1))], addresses(&[1], DNS_TTL_MIN.as_secs())),
        (vec![record(n, 1 << 30, a(1))], addresses(&[1], DNS_TTL_MAX.as_secs())),
        // An alias that leads nowhere, to itself, in a ring; the wrong family.
        (vec![record(n, 60, alias("gone.example.net"))], Reply::NoAddress { ttl: DNS_TTL_MIN }),
        (vec![record(n, 60, alias(n))], Reply::NoAddress { ttl: DNS_TTL_MIN }),
        (
            vec![record(n, 60, alias("b.net")), record("b.net", 60, alias(n))],
            Reply::NoAddress { ttl: DNS_TTL_MIN },
        ),
        (
            vec![record(n, 60, RData::AAAA(AAAA { address: 1 }))],
            Reply::NoAddress { ttl: DNS_TTL_MIN },
        ),
        (vec![], Reply::NoAddress { ttl: DNS_TTL_MIN }),
    ] {
        let text = format!("{answers:?}");
        assert_eq!(q.read(&bytes(&reply(&q, answers))), expected, "{text}");
    }
    let q = query(Family::V6);
    let six = vec![record(n, 60, RData::AAAA(AAAA { address: 1 }))];
    let expected = Reply::Addresses {
        addresses: vec![IpAddr::V6(Ipv6Addr::LOCALHOST)],
        ttl: Duration::from_secs(60),
    };
    assert_eq!(q.read(&bytes(&reply(&q, six))), expected);
}

#[test]
fn a_chain_of_aliases_has_an_end() {
    let q = query(Family::V4);
    let names: Vec<_> = (0..20).map(|i| format!("n{i}.net")).collect();
    let chain = |links: usize| {
        let mut answers = vec![record("api.example.com", 60, alias(&names[0]))];
        for i in 1..links {
            answers.push(record(&names[i - 1], 60, alias(&names[i])));
        }
        answers.push(record(&names[links - 1], 60, a(1)));
        q.read(&bytes(&reply(&q, answers)))
    };
    assert_eq!(chain(DNS_ALIASES_MAX), addresses(&[1], 60));
    assert_eq!(chain(DNS_ALIASES_MAX + 1), Reply::NoAddress { ttl: DNS_TTL_MIN });
}

#[test]
fn failures_are_told_apart() {
    let q = query(Family::V4);
    let coded = |code: u8| {
        let mut message = bytes(&reply(&q, vec![]));
        message[3] |= code;
        q.read(&message)
    };
    assert_eq!(coded(3), Reply::NoName { ttl: DNS_TTL_MIN });
    assert_eq!(coded(2), Reply::Failed(2));
    assert_eq!(coded(5), Reply::Failed(5));

    let mut packet = reply(&q, vec![]);
    let soa = SOA {
        mname: Name::new("ns.example.com").unwrap(),
        rname: Name::new("admin.example.com").unwrap(),
        serial: 1,
        refresh: 1,
        retry: 1,
        expire: 1,
        minimum: 77,
    };
    packet.name_servers.push(record("example.com", 90, RData::SOA(soa)));
    assert_eq!(q.read(&bytes(&packet)), Reply::NoAddress { ttl: Duration::from_secs(77) });

    // Truncated in the middle of a record.
    let mut message = bytes(&reply(&q, vec![record("api.example.com", 60, a(1))]));
    message[2] |= 0x02;
    assert_eq!(q.read(&message), Reply::Truncated);
    assert_eq!(q.read(&message[..message.len() - 3]), Reply::Truncated);
    message[2] &= !0x02;
    assert_eq!(q.read(&message[..message.len() - 3]), Reply::Malformed);
    // More records promised than bytes there: no memory is set aside for them.
    message[6..8].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(q.read(&message), Reply::Malformed);
}

#[test]
fn what_does_not_answer_the_question_is_ignored() {
    let q = query(Family::V4);
    let good = bytes(&reply(&q, vec![record("api.example.com", 60, a(1))]));
    assert_eq!(q.read(&good), addresses(&[1], 60));
    let changed = |at: usize, to: u8| {
        let mut message = good.clone();
        message[at] ^= to;
        q.read(&message)
    };
    assert_eq!(changed(0, 1), Reply::NotOurs, "another id");
    assert_eq!(changed(2, 0x80), Reply::NotOurs, "a question");
    assert_eq!(changed(5, 1), Reply::NotOurs, "no question");
    assert_eq!(changed(13, 1), Reply::NotOurs, "another name");
    assert_eq!(changed(13, 0x20), addresses(&[1], 60), "the name in upper case");
    assert_eq!(changed(30, 4), Reply::NotOurs, "another type");
    assert_eq!(changed(32, 2), Reply::NotOurs, "another class");
    for cut in 0..q.bytes().len() {
        assert_eq!(q.read(&good[..cut]), Reply::NotOurs);
    }
    assert_eq!(q.read(q.bytes()), Reply::NotOurs, "our own question");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    // Behind a head that is right: whatever follows, and whatever one flips in a good answer.
    #[test]
    fn no_message_panics(
        tail in proptest::collection::vec(any::<u8>(), 0..200),
        counts in proptest::collection::vec(0u8..4, 3),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let q = query(Family::V4);
        let mut message = q.bytes().to_vec();
        message[2] |= 0x80;
        for (i, count) in counts.iter().enumerate() {
            message[7 + 2 * i] = *count;
        }
        message.extend_from_slice(&tail);
        let _ = q.read(&message);

        let n = "api.example.com";
        let answers = vec![record(n, 9, alias("b.net")), record("b.net", 9, a(1))];
        let mut message = bytes(&reply(&q, answers));
        for (at, to) in flips {
            let at = at.index(message.len());
            message[at] = to;
        }
        if let Reply::Addresses { addresses, ttl } = q.read(&message) {
            prop_assert!(!addresses.is_empty());
            prop_assert!((DNS_TTL_MIN..=DNS_TTL_MAX).contains(&ttl));
        }
    }
}
