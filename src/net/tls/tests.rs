//! Configurations from files: what they serve, what they refuse, and what a reload keeps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{SanType, SerialNumber, date_time_ymd};

use super::kit::{Ca, NOW, Peer, TLS12, TLS13, connect, der, refusal};
use super::{
    ClientAuth, ClientAuthMode, ClientSpec, ClientTls, MinVersion, ServerSpec, ServerTls, Session,
    TlsConfigError, Trust, UnknownSni,
};

fn build(spec: &ServerSpec) -> ServerTls {
    ServerTls::build(spec, None, NOW).unwrap()
}

fn refused(spec: &ServerSpec) -> TlsConfigError {
    match ServerTls::build(spec, None, NOW) {
        Ok(_) => panic!("{spec:?} was accepted"),
        Err(error) => {
            assert!(!error.message.is_empty() && !error.remedy.is_empty());
            error
        }
    }
}

/// The leaf a client that trusts the CA gets for a name.
fn leaf(ca: &Ca, tls: &ServerTls, name: &str) -> Result<Vec<u8>, &'static str> {
    let mut spec = ca.client_spec();
    spec.trust = Trust::InsecureSkipVerify;
    let client = ClientTls::build(&spec, None, NOW).unwrap();
    match connect(client.config(), tls, name) {
        Ok((client, _)) => Ok(client.session.negotiated().unwrap().peer_certificates[0].to_vec()),
        Err(_) => Err("refused"),
    }
}

#[test]
fn a_name_gets_its_certificate() {
    let ca = Ca::new();
    let default = ca.issue("default", &["default.example"]);
    let exact = ca.issue("exact", &["www.example.com", "UPPER.example.com"]);
    let wild = ca.issue("wild", &["*.example.com"]);
    let mut spec = ca.server_spec(&["unused.example"]);
    spec.certificates = vec![default.clone(), exact.clone(), wild.clone()];
    let cases = [
        ("default.example", Some(&default.0)),
        ("www.example.com", Some(&exact.0)),
        ("WWW.Example.COM", Some(&exact.0)),
        ("upper.example.com", Some(&exact.0)),
        ("api.example.com", Some(&wild.0)),
        ("example.com", None),
        ("a.b.example.com", None),
        ("unknown.test", None),
        ("127.0.0.1", None),
    ];
    for unknown_sni in [UnknownSni::Default, UnknownSni::Reject] {
        spec.unknown_sni = unknown_sni;
        let tls = build(&spec);
        assert_eq!(tls.warnings().iter().filter(|w| w.message.contains("is served by")).count(), 0);
        for (name, file) in cases {
            let expected = match (file, unknown_sni) {
                (Some(file), _) => Ok(der(file)),
                (None, UnknownSni::Default) => Ok(der(&default.0)),
                (None, UnknownSni::Reject) => Err("refused"),
            };
            assert!(leaf(&ca, &tls, name) == expected, "{name} with {unknown_sni:?}");
        }
    }
    let tls = build(&spec);
    let client = ca.client();
    assert_eq!(
        refusal(client.config(), &tls, "unknown.test"),
        ("server", "no_certificate_for_name")
    );
}

#[test]
fn the_name_asked_for_is_known_per_connection() {
    let ca = Ca::new();
    let tls = ca.server(&["a.example", "b.example"]);
    let client = ca.client();
    for name in ["a.example", "b.example"] {
        for resumed in [false, true] {
            let (_, server) = connect(client.config(), &tls, name).unwrap();
            let agreed = server.session.negotiated().unwrap();
            assert_eq!((agreed.server_name, agreed.resumed), (Some(name), resumed));
        }
    }
    let mut spec = ca.client_spec();
    spec.trust = Trust::InsecureSkipVerify;
    let client = ClientTls::build(&spec, None, NOW).unwrap();
    let (_, server) = connect(client.config(), &tls, "::1").unwrap();
    assert_eq!(server.session.negotiated().unwrap().server_name, None);
}

#[test]
fn the_default_certificate_is_the_one_for_the_host_named_so() {
    let ca = Ca::new();
    let base = ca.server_spec(&["a.example", "*.b.example"]);
    let swapped = ServerSpec { default: Some("x.b.example".into()), ..base.clone() };
    assert!(ServerTls::build(&swapped, None, NOW).is_ok());
    let unknown = ServerSpec { default: Some("x.c.example".into()), ..base };
    assert!(refused(&unknown).message.contains("x.c.example"));
}

#[test]
fn two_certificates_of_one_name() {
    let ca = Ca::new();
    let first = ca.issue("first", &["a.example"]);
    let same = ca.issue("same", &["a.example"]);
    let other = ca.issue_with("ed25519", &["a.example"], &rcgen::PKCS_ED25519, |_| {});
    let mut spec = ca.server_spec(&["unused.example"]);
    spec.certificates = vec![first.clone(), same.clone()];
    let tls = build(&spec);
    let warning = tls.warnings().iter().find(|w| w.file == same.0).unwrap();
    assert!(warning.message.contains("a.example") && warning.message.contains("first.crt"));
    assert!(leaf(&ca, &tls, "a.example") == Ok(der(&first.0)));
    // Another kind of key is no conflict: the client's abilities choose.
    spec.certificates = vec![other.clone(), first.clone()];
    let tls = build(&spec);
    assert!(tls.warnings().iter().all(|w| !w.message.contains("is served by")));
    assert!(leaf(&ca, &tls, "a.example") == Ok(der(&other.0)));
}

#[test]
fn alpn_is_agreed_on_or_refused() {
    let ca = Ca::new();
    let mut spec = ca.server_spec(&["a.example"]);
    spec.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = build(&spec);
    let client = |alpn: &[&str]| {
        let alpn = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        ClientTls::build(&ClientSpec { alpn, ..ca.client_spec() }, None, NOW).unwrap()
    };
    for (offer, expected) in [
        (&["http/1.1", "h2"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let (ours, theirs) = connect(client(offer).config(), &tls, "a.example").unwrap();
        assert_eq!(ours.session.negotiated().unwrap().alpn, expected, "{offer:?}");
        assert_eq!(theirs.session.negotiated().unwrap().alpn, expected, "{offer:?}");
    }
    let found = refusal(client(&["h3"]).config(), &tls, "a.example");
    assert_eq!(found, ("server", "no_alpn_overlap"));
    for bad in [vec![], vec![b'x'; 256]] {
        let error = refused(&ServerSpec { alpn: vec![bad], ..ca.server_spec(&["a.example"]) });
        assert!(error.message.contains("ALPN"), "{error}");
    }
}

fn require(ca: &Ca) -> ClientAuth {
    ClientAuth { ca: ca.file.clone(), mode: ClientAuthMode::Require, crl: None }
}

#[test]
fn client_certificates() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let anonymous = ca.client();
    let member = ca.client_showing(ca.issue("member", &["member.example"]));
    let mut spec = ca.server_spec(&["a.example"]);
    spec.client_auth = Some(require(&ca));
    let strict = build(&spec);
    spec.client_auth = Some(ClientAuth { mode: ClientAuthMode::Request, ..require(&ca) });
    let lax = build(&spec);
    // The stranger trusts our server but is known to another CA.
    let (certificate, key) = stranger.issue("stranger", &["stranger.example"]);
    let imposter = ca.client_showing((certificate, key));

    let (_, server) = connect(member.config(), &strict, "a.example").unwrap();
    let agreed = server.session.negotiated().unwrap();
    assert_eq!(agreed.peer_certificates[0].as_ref(), der(&ca.path("member.crt")));
    assert_eq!(
        refusal(anonymous.config(), &strict, "a.example"),
        ("server", "no_peer_certificate")
    );
    for tls in [&strict, &lax] {
        assert_eq!(
            refusal(imposter.config(), tls, "a.example"),
            ("server", "certificate_unknown_issuer")
        );
        connect(member.config(), tls, "a.example").unwrap();
    }
    let (_, server) = connect(anonymous.config(), &lax, "a.example").unwrap();
    assert!(server.session.negotiated().unwrap().peer_certificates.is_empty());
}

#[test]
fn revoked_client_certificates_and_lists_out_of_date() {
    let ca = Ca::new();
    let with_serial = |tag: &str, serial: u64| {
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        ca.client_showing(ca.issue_with(tag, &["member.example"], algorithm, |params| {
            params.serial_number = Some(SerialNumber::from(serial));
        }))
    };
    let (good, revoked) = (with_serial("good", 7), with_serial("revoked", 8));
    let mut spec = ca.server_spec(&["a.example"]);
    let mut with_crl = |crl: PathBuf| {
        spec.client_auth = Some(ClientAuth { crl: Some(crl), ..require(&ca) });
        ServerTls::build(&spec, None, NOW)
    };
    let tls = with_crl(ca.crl("fresh", &[8], 2090)).unwrap();
    connect(good.config(), &tls, "a.example").unwrap();
    assert_eq!(refusal(revoked.config(), &tls, "a.example"), ("server", "certificate_revoked"));
    let tls = with_crl(ca.crl("stale", &[8], 2021)).unwrap();
    let warned = tls.warnings().iter().any(|w| w.message.contains("2021-01-01 00:00:00 UTC"));
    assert!(warned, "{:?}", tls.warnings());
    let (who, _) = refusal(good.config(), &tls, "a.example");
    assert_eq!(who, "server", "a list out of date vouches for nobody");
}

#[test]
fn resumption_works_but_not_where_clients_show_certificates() {
    let ca = Ca::new();
    let spec = ca.server_spec(&["a.example"]);
    let (one, two) = (build(&spec), build(&spec));
    let mut mutual = spec.clone();
    mutual.client_auth = Some(require(&ca));
    let mutual = build(&mutual);
    for versions in [TLS12, TLS13] {
        let client = ca.client_of(versions);
        let resumed = |tls: &ServerTls| {
            let (ours, theirs) = connect(&client, tls, "a.example").unwrap();
            let (ours, theirs) = (ours.session.negotiated(), theirs.session.negotiated());
            assert_eq!(ours.as_ref().unwrap().resumed, theirs.unwrap().resumed);
            ours.unwrap().resumed
        };
        assert!(!resumed(&one));
        assert!(resumed(&one));
        assert!(resumed(&two), "any listener of this process knows the ticket");
        // A ticket got without showing a certificate opens nothing where one must be shown.
        let found = refusal(&client, &mutual, "a.example");
        assert_eq!(found, ("server", "no_peer_certificate"));
    }
    let member = ca.client_showing(ca.issue("member", &["member.example"]));
    for _ in 0..3 {
        let (_, server) = connect(member.config(), &mutual, "a.example").unwrap();
        assert!(!server.session.negotiated().unwrap().resumed);
    }
}

#[test]
fn a_reload_of_certificates_keeps_the_configuration() {
    let ca = Ca::new();
    let spec = ca.server_spec(&["a.example"]);
    let old = build(&spec);
    let client = ca.client();
    connect(client.config(), &old, "a.example").unwrap();
    let before = der(&ca.path("a.example.crt"));
    let (mut open, mut waiting) =
        (Peer::client(ca.client().config(), "a.example"), Peer::server(&old));

    ca.issue("a.example", &["a.example"]);
    let new = ServerTls::build(&spec, Some(&old), NOW).unwrap();
    assert!(Arc::ptr_eq(old.config(), new.config()));
    assert!(leaf(&ca, &old, "a.example") == Ok(before), "not before it is published");
    new.publish();
    let after = der(&ca.path("a.example.crt"));
    assert!(leaf(&ca, &old, "a.example") == Ok(after.clone()), "the old Arc serves it too");
    let (_, server) = connect(client.config(), &new, "a.example").unwrap();
    assert!(server.session.negotiated().unwrap().resumed, "tickets outlive the reload");
    super::kit::handshake(&mut open, &mut waiting, &mut || 50).unwrap();

    // A bad file: an error, and what is live stays.
    std::fs::write(ca.path("a.example.key"), "").unwrap();
    let error = ServerTls::build(&spec, Some(&new), NOW).err().unwrap();
    assert_eq!(error.file, Some(ca.path("a.example.key")));
    assert!(leaf(&ca, &new, "a.example") == Ok(after));
}

#[test]
fn a_reload_of_anything_else_makes_a_new_configuration() {
    let ca = Ca::new();
    let base = ca.server_spec(&["a.example"]);
    let mutual = ServerSpec { client_auth: Some(require(&ca)), ..base.clone() };
    let old = build(&base);
    for changed in [
        ServerSpec { alpn: vec![b"h2".to_vec()], ..base.clone() },
        ServerSpec { min_version: MinVersion::Tls13, ..base.clone() },
        mutual.clone(),
    ] {
        let new = ServerTls::build(&changed, Some(&old), NOW).unwrap();
        assert!(!Arc::ptr_eq(old.config(), new.config()), "{changed:?}");
    }
    // The same path, but another CA in it.
    let old = build(&mutual);
    let other = Ca::new();
    std::fs::copy(&other.file, &ca.file).unwrap();
    let new = ServerTls::build(&mutual, Some(&old), NOW).unwrap();
    assert!(!Arc::ptr_eq(old.config(), new.config()));
}

const ENCRYPTED: &str =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Damaged where it hurts.
fn middle(text: &str) -> String {
    let mut text = text.as_bytes().to_vec();
    let at = text.len() / 2;
    text[at..at + 4].copy_from_slice(b"!!!!");
    String::from_utf8(text).unwrap()
}

#[test]
fn every_bad_file_refuses() {
    let ca = Ca::new();
    let (chain, key) = ca.issue("good", &["a.example"]);
    let (other_chain, _) = ca.issue("other", &["b.example"]);
    let empty_section = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    let crl = text(&ca.crl("good", &[1], 2090));
    let bad = [
        ("empty", String::new()),
        ("blank", " \n\n".to_owned()),
        ("prose", "not a certificate\n".to_owned()),
        ("damaged base64", middle(&text(&chain))),
        ("cut", text(&chain)[..100].to_owned()),
        ("empty section", empty_section.to_owned()),
        ("second section damaged", text(&chain) + &middle(&text(&other_chain))),
        ("second section empty", text(&chain) + empty_section),
        ("another kind", ENCRYPTED.to_owned()),
        ("yet another kind", crl.clone()),
    ];
    for (what, content) in &bad {
        let file = ca.write("bad.pem", content);
        for place in 0..3 {
            let mut spec = ca.server_spec(&["a.example"]);
            spec.certificates = vec![(chain.clone(), key.clone())];
            match place {
                0 => spec.certificates.push((file.clone(), key.clone())),
                1 => spec.certificates.push((chain.clone(), file.clone())),
                _ => spec.client_auth = Some(ClientAuth { ca: file.clone(), ..require(&ca) }),
            }
            let error = refused(&spec);
            assert_eq!(error.file.as_ref(), Some(&file), "{what} in place {place}: {error}");
        }
        let spec = ClientSpec { trust: Trust::File(file.clone()), ..ca.client_spec() };
        let error = ClientTls::build(&spec, None, NOW).err().unwrap();
        assert_eq!(error.file.as_ref(), Some(&file), "{what} as upstream CA: {error}");
    }
}

#[test]
fn bad_pairs_and_bad_lists_refuse() {
    let ca = Ca::new();
    let (chain, key) = ca.issue("good", &["a.example"]);
    let (_, other_key) = ca.issue("other", &["b.example"]);
    let crl = text(&ca.crl("good", &[1], 2090));
    let auth = |crl: PathBuf| Some(ClientAuth { crl: Some(crl), ..require(&ca) });
    for content in ["", "prose", &text(&chain), &crl[..100], &middle(&crl)] {
        let mut spec = ca.server_spec(&["a.example"]);
        let file = ca.write("bad.crl", content);
        spec.client_auth = auth(file.clone());
        assert_eq!(refused(&spec).file, Some(file));
    }
    let single = |pair: (PathBuf, PathBuf)| {
        let mut spec = ca.server_spec(&["a.example"]);
        spec.certificates = vec![pair];
        refused(&spec)
    };
    let missing = ca.path("missing.pem");
    assert_eq!(single((missing.clone(), key.clone())).file, Some(missing.clone()));
    assert_eq!(single((chain.clone(), missing.clone())).file, Some(missing));
    let directory = ca.dir.path().to_path_buf();
    assert_eq!(single((directory.clone(), key.clone())).file, Some(directory));
    let error = single((chain.clone(), other_key.clone()));
    assert!(error.message.contains("not that of the first certificate"), "{error}");
    let two = ca.write("two.key", &(text(&key) + &text(&other_key)));
    assert!(single((chain.clone(), two)).message.contains("2 private keys"));
    let locked = ca.write("locked.key", ENCRYPTED);
    assert!(single((chain.clone(), locked)).message.contains("encrypted"));
    let binary = ca.path("binary.crt");
    std::fs::write(&binary, der(&chain)).unwrap();
    assert!(single((binary, key.clone())).message.contains("DER"));
    let endless = single((PathBuf::from("/dev/zero"), key));
    assert!(endless.message.contains("larger than"), "{endless}");
    let mut spec = ca.server_spec(&["a.example"]);
    spec.certificates.clear();
    assert_eq!(refused(&spec).file, None);
}

#[test]
fn names_with_bad_bytes_refuse() {
    let ca = Ca::new();
    let issue = |tag: &str, name: &str| {
        ca.issue_with(tag, &[], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.subject_alt_names = vec![
                SanType::DnsName("good.example".try_into().unwrap()),
                SanType::DnsName(name.try_into().unwrap()),
            ];
        })
    };
    let bad = [
        "a.example\0.evil.test",
        "\0",
        "",
        " ",
        "a b.example",
        "*",
        "*.",
        "a.*.example",
        "*a.example",
        "**.example",
        "*.*.example",
        ".example",
        "a..example",
        "a.example.",
        "a.example/",
        "-a.example",
        "a.example\n",
    ];
    for name in bad {
        let mut spec = ca.server_spec(&["fine.example"]);
        spec.certificates = vec![issue("bad", name)];
        let error = refused(&spec);
        assert!(error.message.contains("malformed DNS name"), "{name:?}: {error}");
        assert!(!error.to_string().contains('\0'), "an error's text is printable");
    }
    // No name at all: good as the default certificate only.
    let nameless = ca.issue("nameless", &["127.0.0.1"]);
    let mut spec = ca.server_spec(&["fine.example"]);
    spec.certificates.insert(0, nameless.clone());
    build(&spec);
    spec.certificates.reverse();
    assert!(refused(&spec).message.contains("no DNS name"));
    spec.certificates = vec![nameless];
    spec.unknown_sni = UnknownSni::Reject;
    assert!(refused(&spec).message.contains("no DNS name"));
}

#[test]
fn dates_and_modes_are_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let ca = Ca::new();
    let between = |tag: &str, from: i32, (year, month, day): (i32, u8, u8)| {
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        let pair = ca.issue_with(tag, &["a.example"], algorithm, |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(year, month, day);
        });
        std::fs::set_permissions(&pair.1, PermissionsExt::from_mode(0o600)).unwrap();
        let mut spec = ca.server_spec(&["a.example"]);
        spec.certificates = vec![pair];
        let tls = build(&spec);
        let messages: Vec<String> =
            tls.warnings().iter().map(|warning| warning.message.clone()).collect();
        (messages, tls.not_after())
    };
    // NOW is 2027-01-15.
    let expect = |found: (Vec<String>, i64), message: &str| assert_eq!(found.0, [message]);
    expect(
        between("old", 2020, (2026, 12, 31)),
        "the certificate expired on 2026-12-31 00:00:00 UTC",
    );
    expect(
        between("soon", 2020, (2027, 1, 20)),
        "the certificate expires soon, on 2027-01-20 00:00:00 UTC",
    );
    expect(
        between("early", 2028, (2051, 3, 4)),
        "the certificate is not valid before 2028-01-01 00:00:00 UTC",
    );
    let (none, not_after) = between("fine", 2020, (2030, 1, 1));
    assert_eq!((none.len(), not_after), (0, 1_893_456_000));
    // The files of the kit are made with the default mask.
    std::fs::set_permissions(ca.path("fine.key"), PermissionsExt::from_mode(0o644)).unwrap();
    let mut spec = ca.server_spec(&["a.example"]);
    spec.certificates = vec![(ca.path("fine.crt"), ca.path("fine.key"))];
    let tls = build(&spec);
    assert!(tls.warnings()[0].message.contains("read by every user"));
}

#[test]
fn an_upstream_is_verified_by_the_name_asked_for() {
    let ca = Ca::new();
    let tls = ca.server(&["internal.example", "127.0.0.1"]);
    let spec = ClientSpec { server_name: Some("internal.example".into()), ..ca.client_spec() };
    let named = ClientTls::build(&spec, None, NOW).unwrap();
    let plain = ca.client();
    let try_with = |client: &ClientTls, host: &str| {
        let name = client.name_for(host).unwrap();
        let session = Session::client(Arc::clone(client.config()), name).unwrap();
        let mut ours = Peer { session, plain: Vec::new(), closed: false };
        super::kit::handshake(&mut ours, &mut Peer::server(&tls), &mut || 999).is_ok()
    };
    assert!(try_with(&named, "10.9.8.7"));
    assert!(try_with(&plain, "internal.example"));
    assert!(try_with(&plain, "127.0.0.1"));
    assert!(!try_with(&plain, "10.9.8.7"));
    assert!(!try_with(&plain, "[::1]"));
    for bad in ["", "a b", "a\0b", "http://a", "a:443"] {
        assert!(plain.name_for(bad).is_err(), "{bad:?}");
    }
    let spec = ClientSpec { server_name: Some("a b".into()), ..ca.client_spec() };
    assert!(ClientTls::build(&spec, None, NOW).is_err());
}

#[test]
fn skipping_verification_is_one_explicit_choice() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let tls = stranger.server(&["other.example"]);
    assert_eq!(
        refusal(ca.client().config(), &tls, "a.example"),
        ("client", "certificate_unknown_issuer")
    );
    let spec = ClientSpec { trust: Trust::InsecureSkipVerify, ..ca.client_spec() };
    let blind = ClientTls::build(&spec, None, NOW).unwrap();
    connect(blind.config(), &tls, "a.example").unwrap();
}

#[test]
fn an_upstreams_sessions_outlive_a_reload_that_changes_nothing() {
    let ca = Ca::new();
    let tls = ca.server(&["a.example"]);
    let old = ca.client();
    connect(old.config(), &tls, "a.example").unwrap();
    let same = ClientTls::build(&ca.client_spec(), Some(&old), NOW).unwrap();
    let (client, _) = connect(same.config(), &tls, "a.example").unwrap();
    assert!(client.session.negotiated().unwrap().resumed);
    // Another CA: nobody it does not know may be resumed.
    let other = Ca::new();
    let changed = ClientTls::build(&other.client_spec(), Some(&old), NOW).unwrap();
    assert_eq!(
        refusal(changed.config(), &tls, "a.example"),
        ("client", "certificate_unknown_issuer")
    );
}

#[test]
fn an_expired_server_certificate_is_refused_by_our_client() {
    let ca = Ca::new();
    let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
    let pair = ca.issue_with("old", &["a.example"], algorithm, |params| {
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let mut spec = ca.server_spec(&["a.example"]);
    spec.certificates = vec![pair];
    let found = refusal(ca.client().config(), &build(&spec), "a.example");
    assert_eq!(found, ("client", "certificate_expired"));
}
