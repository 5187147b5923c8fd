//! Two sessions over a wire that cuts anywhere, and a client that forges what rustls never sends.

use proptest::prelude::*;
use rustls::client::ClientConnectionData;
use rustls::crypto::cipher::{
    MessageEncrypter, OutboundChunks, OutboundPlainMessage, Tls12AeadAlgorithm, Tls13AeadAlgorithm,
};
use rustls::unbuffered::ConnectionState;
use rustls::{ConnectionTrafficSecrets, ContentType, SupportedCipherSuite};

use super::*;
use crate::net::tls::kit::{Ca, Fault, Peer, TLS12, TLS13, connect, handshake, refusal};
use crate::net::tls::records::{RECORD_OVERHEAD_MAX, RECORD_PLAINTEXT_MAX, plaintext_fitting};
use crate::net::tls::{MinVersion, ServerSpec, ServerTls};

fn both(versions: &[&'static rustls::SupportedProtocolVersion]) -> (Peer, Peer) {
    let ca = Ca::new();
    connect(&ca.client_of(versions), &ca.server(&["a.example"]), "a.example").unwrap()
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

#[test]
fn one_byte_at_a_time() {
    for (versions, expected) in [(TLS12, TlsVersion::V1_2), (TLS13, TlsVersion::V1_3)] {
        let ca = Ca::new();
        let mut client = Peer::client(&ca.client_of(versions), "a.example");
        let mut server = Peer::server(&ca.server(&["a.example"]));
        handshake(&mut client, &mut server, &mut || 1).unwrap();
        let wire = client.send(b"hello", 100);
        server.feed(&wire, &mut || 1).unwrap();
        assert_eq!(server.plain, b"hello");
        let agreed = server.session.negotiated().unwrap();
        assert_eq!(agreed.version, expected);
        assert_eq!(agreed.server_name, Some("a.example"));
        assert!(!agreed.resumed);
        assert!(agreed.cipher.starts_with("TLS"), "{}", agreed.cipher);
        assert_eq!(client.session.negotiated().unwrap().cipher, agreed.cipher);
        assert_eq!(client.session.negotiated().unwrap().peer_certificates.len(), 1);
    }
}

#[test]
fn nothing_is_kept_while_idle() {
    let (mut client, mut server) = both(TLS13);
    let wire = client.send(&pattern(50_000), 60_000);
    server.feed(&wire, &mut || 1000).unwrap();
    for session in [&client.session, &server.session] {
        assert_eq!((session.stash.capacity(), session.outgoing.capacity()), (0, 0));
    }
}

#[test]
fn a_relay_buffer_goes_out_in_one_call_and_comes_in_in_one() {
    for versions in [TLS12, TLS13] {
        let (mut client, mut server) = both(versions);
        for n in [0, 1, 16_383, 16_384, 16_385, 262_144, 1_000_000] {
            let data = pattern(n);
            let mut out = vec![0; server.session.encrypt_room(n)];
            let (consumed, written) = server.session.encrypt(&data, &mut out).unwrap();
            assert_eq!(consumed, n);
            assert!(written <= encrypted_len(n));
            let received = client.session.receive(&mut out[..written]).unwrap();
            assert_eq!(received.plaintext, n);
            assert_eq!(&out[..n], &data[..], "compacted to the front");
        }
    }
}

#[test]
fn too_little_room_consumes_nothing() {
    let (_, mut server) = both(TLS12);
    for room in 0..=RECORD_OVERHEAD_MAX {
        assert_eq!(server.session.encrypt(b"x", &mut vec![0; room]).unwrap(), (0, 0));
    }
    let mut out = [0; RECORD_OVERHEAD_MAX + 1];
    assert_eq!(server.session.encrypt(b"xy", &mut out).unwrap().0, 1);
}

#[test]
fn pending_bytes_leave_before_data() {
    let ca = Ca::new();
    let mut client = Peer::client(&ca.client_of(TLS13), "a.example");
    let mut server = Peer::server(&ca.server(&["a.example"]));
    server.feed_whole(&client.session.take_outgoing().unwrap()).unwrap();
    client.feed_whole(&server.session.take_outgoing().unwrap()).unwrap();
    // The client's Finished is still pending: the request rides behind it in one buffer.
    assert!(client.session.outgoing_len() > 0);
    assert!(server.session.is_handshaking());
    assert!(matches!(server.session.encrypt(b"x", &mut [0; 99]), Err(TlsError::NotEstablished)));
    let mut out = vec![0; client.session.encrypt_room(3)];
    let (consumed, written) = client.session.encrypt(b"GET", &mut out).unwrap();
    assert_eq!((consumed, client.session.outgoing_len()), (3, 0));
    server.feed_whole(&out[..written]).unwrap();
    assert_eq!(server.plain, b"GET");
    // One ticket is pending; a buffer too small for it gets a part of it and no data.
    let ticket = server.session.outgoing_len();
    assert!(ticket > 50);
    let wire = server.send(b"200", 60);
    assert!(wire.len() > ticket);
    client.feed_whole(&wire).unwrap();
    assert_eq!(client.plain, b"200");
}

#[test]
fn data_before_the_close_is_delivered_and_data_after_it_is_not() {
    for versions in [TLS12, TLS13] {
        let (mut client, mut server) = both(versions);
        let mut wire = client.send(b"last", 100);
        client.session.close_notify();
        client.session.close_notify();
        wire.extend(client.session.take_outgoing().unwrap());
        assert!(client.session.take_outgoing().is_none(), "one close_notify is enough");
        wire.extend(b"\x17\x03\x03\x00\x03abc trailing junk");
        server.feed_whole(&wire).unwrap();
        assert_eq!((server.plain.as_slice(), server.closed), (&b"last"[..], true));
        server.feed_whole(b"more junk").unwrap();
        assert_eq!(server.session.stash_len(), 0);

        // Half closed: the other way is still open.
        let wire = server.send(b"answer", 100);
        client.feed_whole(&wire).unwrap();
        assert_eq!(client.plain, b"answer");
        assert!(matches!(
            client.session.encrypt(b"x", &mut [0; 99]),
            Err(TlsError::WriteAfterClose)
        ));
        server.session.close_notify();
        client.feed_whole(&server.session.take_outgoing().unwrap()).unwrap();
        assert!(client.closed && client.session.peer_closed());
        assert!(server.session.failure().is_none() && client.session.failure().is_none());
    }
}

#[test]
fn closing_during_the_handshake_says_nothing() {
    let ca = Ca::new();
    let mut server = Peer::server(&ca.server(&["a.example"]));
    server.session.close_notify();
    assert!(server.session.take_outgoing().is_none());
}

#[test]
fn what_is_not_tls_is_refused_with_an_alert() {
    let ca = Ca::new();
    let tls = ca.server(&["a.example"]);
    for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x00\x02"] {
        let mut server = Peer::server(&tls);
        let error = server.feed_whole(junk).unwrap_err();
        assert_eq!(error.token(), "not_tls", "{error}");
        let alert = server.session.take_outgoing().unwrap();
        assert_eq!((alert[0], alert.len()), (21, 7), "a plain alert record");
        assert_eq!(alert[5], 2, "a fatal one");
        // Dead for good, and quiet.
        assert!(server.feed_whole(b"anything").is_err());
        assert!(server.session.encrypt(b"x", &mut [0; 99]).is_err());
        server.session.close_notify();
        assert!(server.session.take_outgoing().is_none());
    }
}

#[test]
fn a_flipped_bit_ends_the_connection_on_both_sides() {
    for versions in [TLS12, TLS13] {
        let (mut client, mut server) = both(versions);
        let good = client.send(b"good", 100);
        let mut bad = client.send(b"bad", 100);
        *bad.last_mut().unwrap() ^= 1;
        let error = server.feed_whole(&[good, bad].concat()).unwrap_err();
        assert_eq!(error.token(), "bad_record");
        assert_eq!(server.plain, b"good", "what came before is delivered");
        assert_eq!(server.session.failure().map(TlsError::token), Some("bad_record"));
        let alert = server.session.take_outgoing().unwrap();
        let heard = client.feed_whole(&alert).unwrap_err();
        assert_eq!(heard.token(), "alert_received");
    }
}

#[test]
fn a_replayed_or_reordered_record_is_refused() {
    let (mut client, mut server) = both(TLS13);
    let first = client.send(b"1", 100);
    let second = client.send(b"2", 100);
    assert_eq!(server.feed_whole(&second).unwrap_err().token(), "bad_record");
    let (mut client, mut server) = both(TLS12);
    let record = client.send(b"1", 100);
    server.feed_whole(&record).unwrap();
    assert_eq!(server.feed_whole(&record).unwrap_err().token(), "bad_record");
    drop(first);
}

#[test]
fn an_unfinished_handshake_message_is_bounded() {
    let ca = Ca::new();
    let mut server = Peer::server(&ca.server(&["a.example"]));
    // A ClientHello of 60000 bytes, one byte in each record: 360 KB on the wire.
    let mut wire = Vec::new();
    for byte in [1, 0, 0xea, 0x60].into_iter().chain(std::iter::repeat_n(0, 60_000)) {
        wire.extend([22, 3, 1, 0, 1, byte]);
    }
    let error = server.feed(&wire, &mut || 4096).unwrap_err();
    assert_eq!(error.token(), "handshake_too_large");
    assert_eq!(server.session.stash_len(), 0);
}

#[test]
fn old_versions_and_downgrades_are_refused() {
    let ca = Ca::new();
    let spec = ServerSpec { min_version: MinVersion::Tls13, ..ca.server_spec(&["a.example"]) };
    let tls = ServerTls::build(&spec, None, crate::net::tls::kit::NOW).unwrap();
    let client = ca.client_of(TLS12);
    assert_eq!(refusal(&client, &tls, "a.example"), ("server", "no_version_overlap"));

    // Somebody in the middle strips TLS 1.3 from the offer: the server's random says so (RFC 8446
    // section 4.1.3), or the transcript does not match; either way nobody connects.
    let tls = ca.server(&["a.example"]);
    let mut client = Peer::client(ca.client().config(), "a.example");
    let mut server = Peer::server(&tls);
    let mut hello = client.session.take_outgoing().unwrap();
    // supported_versions: type 43, length 5, list of 4: 1.3, 1.2.
    let offer = [0, 43, 0, 5, 4, 3, 4, 3, 3];
    let at = hello.windows(9).position(|window| window == offer).unwrap();
    hello[at + 6] = 3;
    server.feed_whole(&hello).unwrap();
    assert_eq!(server.session.negotiated().unwrap().version, TlsVersion::V1_2);
    let error = client.feed_whole(&server.session.take_outgoing().unwrap()).unwrap_err();
    assert_eq!(error.token(), "peer_misbehaved", "{error}");
}

#[test]
fn a_handshake_needs_the_right_ca_and_the_right_name() {
    let (ca, other) = (Ca::new(), Ca::new());
    let tls = ca.server(&["a.example"]);
    for versions in [TLS12, TLS13] {
        let client = other.client_of(versions);
        let found = refusal(&client, &tls, "a.example");
        assert_eq!(found, ("client", "certificate_unknown_issuer"));
        let client = ca.client_of(versions);
        assert_eq!(refusal(&client, &tls, "b.example"), ("client", "certificate_wrong_name"));
        let mut server = Peer::server(&tls);
        let mut client = Peer::client(&client, "b.example");
        let fault = handshake(&mut client, &mut server, &mut || 100).unwrap_err();
        assert!(matches!(fault, Fault::Client(_)));
        let alert = client.session.take_outgoing().expect("the server is told");
        assert_eq!(server.feed_whole(&alert).unwrap_err().token(), "alert_received");
    }
}

/// A client whose handshake was real and whose records are made by hand.
struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
    kernel: Option<rustls::kernel::KernelConnection<ClientConnectionData>>,
    suite: SupportedCipherSuite,
}

impl Forger {
    fn new(client: Peer) -> Forger {
        let Side::Client(conn) = client.session.side else { panic!("a client") };
        let suite = conn.negotiated_cipher_suite().unwrap();
        let (secrets, kernel) = conn.dangerous_into_kernel_connection().unwrap();
        let (sequence, keys) = secrets.tx;
        let encrypter = encrypter(suite, keys);
        Forger { encrypter, sequence, kernel: Some(kernel), suite }
    }

    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        let record = self.encrypter.encrypt(message, self.sequence).unwrap();
        self.sequence += 1;
        record.encode()
    }

    fn next_keys(&mut self) {
        let (sequence, keys) = self.kernel.as_mut().unwrap().update_tx_secret().unwrap();
        self.sequence = sequence;
        self.encrypter = encrypter(self.suite, keys);
    }
}

fn encrypter(
    suite: SupportedCipherSuite,
    keys: ConnectionTrafficSecrets,
) -> Box<dyn MessageEncrypter> {
    let (key, iv) = match keys {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("an AEAD of rustls'"),
    };
    match suite {
        SupportedCipherSuite::Tls13(suite) => {
            let aead: &dyn Tls13AeadAlgorithm = suite.aead_alg;
            aead.encrypter(key, iv)
        }
        SupportedCipherSuite::Tls12(suite) => {
            let aead: &dyn Tls12AeadAlgorithm = suite.aead_alg;
            let (fixed, explicit) = iv.as_ref().split_at(4);
            aead.encrypter(key, fixed, explicit)
        }
    }
}

#[test]
fn a_key_update_in_pieces_between_data() {
    let (client, mut server) = both(TLS13);
    let mut forger = Forger::new(client);
    // KeyUpdate, update_requested (RFC 8446 section 4.6.3), cut after its first three bytes.
    let first = forger.record(ContentType::Handshake, &[24, 0, 0]);
    server.feed(&first, &mut || 10).unwrap();
    assert!(server.session.stash_len() > 0, "rustls wants its bytes again");
    // We write meanwhile: rustls must see the stash, or its offsets point nowhere.
    let mut out = [0; 200];
    assert_eq!(server.session.encrypt(b"data", &mut out).unwrap().0, 4);

    let second = forger.record(ContentType::Handshake, &[1, 1]);
    server.feed(&second, &mut || 1).unwrap();
    assert_eq!(server.session.stash_len(), 0);
    forger.next_keys();
    let data = forger.record(ContentType::ApplicationData, b"with new keys");
    server.feed_whole(&data).unwrap();
    assert_eq!(server.plain, b"with new keys");

    // Our answer, a KeyUpdate of our own, leaves before the next data: two records, even if the
    // buffer was sized for one.
    let mut out = vec![0; server.session.encrypt_room(1)];
    let mut wire = Vec::new();
    loop {
        let (consumed, written) = server.session.encrypt(b"x", &mut out).unwrap();
        wire.extend(&out[..written]);
        if consumed == 1 {
            break;
        }
        assert!(written > 0);
    }
    let first_len = 5 + usize::from(u16::from_be_bytes([wire[3], wire[4]]));
    assert_eq!(first_len, 5 + 5 + 1 + 16, "the key update");
    assert_eq!(wire.len(), first_len + 5 + 1 + 1 + 16, "the data");
}

#[test]
fn data_inside_a_handshake_message_is_refused() {
    let (client, mut server) = both(TLS13);
    let mut forger = Forger::new(client);
    let mut wire = forger.record(ContentType::Handshake, &[24, 0, 0]);
    wire.extend(forger.record(ContentType::ApplicationData, b"in between"));
    assert_eq!(server.feed_whole(&wire).unwrap_err().token(), "peer_misbehaved");
    assert!(server.plain.is_empty());
}

#[test]
fn key_updates_without_data_end() {
    let (client, mut server) = both(TLS13);
    let mut forger = Forger::new(client);
    let mut sent = 0;
    let error = loop {
        let wire = forger.record(ContentType::Handshake, &[24, 0, 0, 1, 1]);
        forger.next_keys();
        sent += 1;
        if let Err(error) = server.feed_whole(&wire) {
            break error;
        }
        assert!(sent < 100, "somebody must stop this");
    };
    assert_eq!(error.token(), "peer_misbehaved");
    assert!(server.session.outgoing_len() < 1000, "answers do not pile up");
}

#[test]
fn empty_records_end() {
    let (client, mut server) = both(TLS13);
    let mut forger = Forger::new(client);
    let wire: Vec<u8> =
        (0..100).flat_map(|_| forger.record(ContentType::ApplicationData, b"")).collect();
    assert_eq!(server.feed_whole(&wire).unwrap_err().token(), "peer_misbehaved");
}

#[test]
fn renegotiation_is_refused() {
    let ca = Ca::new();
    let config = ca.client_of(TLS12);
    let (client, mut server) = connect(&config, &ca.server(&["a.example"]), "a.example").unwrap();
    let mut forger = Forger::new(client);
    let mut fresh = Peer::client(&config, "a.example");
    let hello = fresh.session.take_outgoing().unwrap();
    let again = forger.record(ContentType::Handshake, &hello[5..]);
    server.feed_whole(&again).unwrap();
    let warning = server.session.take_outgoing().expect("no_renegotiation is said");
    assert_eq!(warning[0], 21);
    let more = forger.record(ContentType::Handshake, &hello[5..]);
    assert_eq!(server.feed_whole(&more).unwrap_err().token(), "peer_misbehaved");
}

#[test]
fn early_data_is_never_read() {
    let ca = Ca::new();
    let mut config = (*ca.client_of(TLS13)).clone();
    config.enable_early_data = true;
    let config = Arc::new(config);
    let tls = ca.server(&["a.example"]);
    assert_eq!(tls.config().max_early_data_size, 0);
    // The same server, were it to allow early data (rustls does so for stateful sessions only).
    let mut eager = ServerConfig::builder_with_provider(crate::net::tls::server::provider())
        .with_protocol_versions(TLS13)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&tls.config().cert_resolver));
    eager.session_storage = rustls::server::ServerSessionMemoryCache::new(4);
    eager.max_early_data_size = 1000;
    let mut client = Peer::client(&config, "a.example");
    let mut server = Peer::server(&tls);
    server.session = Session::server(Arc::new(eager)).unwrap();
    handshake(&mut client, &mut server, &mut || 999).unwrap();

    // With it, the client sends a request before our server has said a word.
    let name = ServerName::try_from("a.example").unwrap();
    let mut conn = UnbufferedClientConnection::new(config, name).unwrap();
    let mut wire = vec![0; 4000];
    let mut len = 0;
    loop {
        match conn.process_tls_records(&mut []).state.unwrap() {
            ConnectionState::EncodeTlsData(mut data) => {
                len += data.encode(&mut wire[len..]).unwrap();
            }
            ConnectionState::TransmitTlsData(mut data) => {
                let mut early = data.may_encrypt_early_data().expect("the ticket allows it");
                len += early.encrypt(b"early", &mut wire[len..]).unwrap();
                data.done();
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    client.session = Session::new(Side::Client(Box::new(conn)));
    let mut server = Peer::server(&tls);
    server.feed(&wire[..len], &mut || 100).unwrap();
    client.feed_whole(&server.session.take_outgoing().unwrap()).unwrap();
    handshake(&mut client, &mut server, &mut || 999).unwrap();
    let wire = client.send(b"late", 100);
    server.feed_whole(&wire).unwrap();
    assert_eq!(server.plain, b"late", "the early request was skipped, and can be sent again");
}

#[test]
fn fitting_is_the_inverse_of_encrypted_len() {
    for room in (0..70_000).step_by(7).chain([16_384 + 29, 16_384 + 28, 16_384 + 30]) {
        let n = plaintext_fitting(room);
        assert!(encrypted_len(n) <= room || n == 0, "{room}");
        assert!(
            n + 1 + RECORD_OVERHEAD_MAX * (n / RECORD_PLAINTEXT_MAX + 1) > room
                || encrypted_len(n + 1) > room,
            "{room}"
        );
    }
    assert_eq!(encrypted_len(0), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_cut_of_the_wire_gives_the_same_bytes(
        v13 in any::<bool>(),
        cuts in proptest::collection::vec(1_usize..3000, 1..20),
        up in proptest::collection::vec(0_usize..40_000, 1..4),
        down in 0_usize..100_000,
        room in 60_usize..40_000,
    ) {
        let ca = Ca::new();
        let mut cut = cuts.into_iter().cycle();
        let mut split = || cut.next().unwrap();
        let versions = if v13 { TLS13 } else { TLS12 };
        let mut client = Peer::client(&ca.client_of(versions), "a.example");
        let mut server = Peer::server(&ca.server(&["a.example"]));
        handshake(&mut client, &mut server, &mut split).unwrap();
        let mut expected = Vec::new();
        for n in up {
            let data = pattern(n);
            let wire = client.send(&data, room);
            server.feed(&wire, &mut split).unwrap();
            expected.extend(data);
        }
        prop_assert_eq!(&server.plain, &expected);
        let data = pattern(down);
        let mut wire = server.send(&data, room);
        server.session.close_notify();
        wire.extend(server.session.take_outgoing().unwrap());
        client.feed(&wire, &mut split).unwrap();
        prop_assert_eq!(&client.plain, &data);
        prop_assert!(client.closed);
        prop_assert_eq!(client.session.stash_len(), 0);
    }

    #[test]
    fn no_bytes_panic_a_session(
        junk in proptest::collection::vec(any::<u8>(), 0..600),
        at in 0_usize..600,
        cut in 1_usize..600,
    ) {
        let ca = Ca::new();
        let tls = ca.server(&["a.example"]);
        let mut client = Peer::client(&ca.client_of(TLS13), "a.example");
        let mut hello = client.session.take_outgoing().unwrap();
        let at = at % hello.len();
        let n = junk.len().min(hello.len() - at);
        hello[at..at + n].copy_from_slice(&junk[..n]);
        let mut server = Peer::server(&tls);
        let _ = server.feed(&hello, &mut || cut);
        let _ = Peer::server(&tls).feed(&junk, &mut || cut);
        let _ = client.feed(&junk, &mut || cut);
    }
}
