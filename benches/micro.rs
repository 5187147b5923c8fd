//! Micro-benches of the pure rooms and of TLS: what one request costs without sockets.
//!
//! `cargo bench --bench micro` measures; `cargo bench --bench micro -- --test` runs each once. They
//! show which room a change made slower; what a request costs in all is the business of
//! `benches/compare`. Every bench checks its result once before it is measured, so that none
//! measures a refusal.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use ringway::allocator::Mimalloc;
use ringway::balance::{Algorithm, Fallback, Member, Picker, Random, View};
use ringway::clock::{self, Tick, Wall};
use ringway::config;
use ringway::http::{
    BodyReader, Framing, Limits, Method, Parsed, RequestHead, ResponseHead, Scan, Step,
    parse_request, parse_response, sse,
};
use ringway::integration::{Exchange, Ids, Party, forward};
use ringway::limit::{self, Ask, Bucket, HashKey, Period, Quota, Rules, Store, Times};
use ringway::llm::{self, Asked, Endpoint, Seen, Tap};
use ringway::message::{HeadOut, Request};
use ringway::net::deadline::{Timer, Wheel};
use ringway::net::tls::client::Trust;
use ringway::net::tls::{
    ClientSpec, ClientTls, MinVersion, ServerSpec, ServerTls, Session, UnknownSni,
};
use ringway::observe::access_log::{Dates, Format, LineBuf, Plain, Record};
use ringway::observe::registry::Registry;
use ringway::route::{
    BasePath, HostPattern, Lookup, Options, Params, Place, RouteKey, Spec, Table,
};
use ringway::snapshot::{self, Parts, Snapshot, Sockets};

// As in the gateway's binary.
#[global_allocator]
static ALLOCATOR: Mimalloc = Mimalloc;

/// What a browser sends to an API, ten fields.
const REQUEST: &[u8] = b"GET /v1/pets/42/visits?from=2026-01-01&limit=20 HTTP/1.1\r\n\
    Host: api.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Authorization: Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl\r\n\
    Referer: https://app.example.com/pets/42\r\n\
    Cookie: session=6f1d7a3c9b2e4f60; theme=dark\r\n\
    X-Request-Id: 4bf92f3577b34da6a3ce929d0e0e4736\r\n\
    Connection: keep-alive\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Sat, 21 Nov 2026 22:12:00 GMT\r\n\
    Server: app\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 4096\r\n\
    Cache-Control: private, max-age=0, must-revalidate\r\n\
    ETag: \"33a64df551425fcc55e4d42a148795d9f25f89d4\"\r\n\
    Vary: accept-encoding\r\n\
    Connection: keep-alive\r\n\r\n";

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 50_123);
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 443);

// === heads and bodies ===

fn parse(c: &mut Criterion) {
    let limits = Limits::default();
    let mut group = c.benchmark_group("parse");
    let mut head = RequestHead::default();
    assert_eq!(
        parse_request(&mut head, &mut Scan::default(), REQUEST, &limits),
        Ok(Parsed::Complete)
    );
    assert_eq!(head.fields.len(), 10);
    group.throughput(Throughput::Bytes(REQUEST.len() as u64));
    group.bench_function("request, 10 fields", |b| {
        b.iter(|| parse_request(&mut head, &mut Scan::default(), black_box(REQUEST), &limits));
    });
    let mut head = ResponseHead::default();
    assert_eq!(
        parse_response(&mut head, &mut Scan::default(), RESPONSE, &limits, Method::Get),
        Ok(Parsed::Complete)
    );
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("response, 8 fields", |b| {
        b.iter(|| {
            let scan = &mut Scan::default();
            parse_response(&mut head, scan, black_box(RESPONSE), &limits, Method::Get)
        });
    });
    group.finish();
}

/// 64 KiB of data in chunks of this size, and the last chunk.
fn chunked_body(chunk: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..BODY_BYTES / chunk {
        body.extend_from_slice(format!("{chunk:x}\r\n").as_bytes());
        body.resize(body.len() + chunk, b'x');
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

const BODY_BYTES: usize = 64 * 1024;

/// Bytes of data in a whole body.
fn decode(body: &[u8]) -> usize {
    let mut reader = BodyReader::new(Framing::Chunked);
    let (mut at, mut data) = (0, 0);
    loop {
        match reader.step(&body[at..]).expect("the body is well formed") {
            Step::Data { skip, len } => {
                at += skip + len;
                data += len;
            }
            Step::Done { .. } => return data,
            Step::More => unreachable!("the body is whole"),
        }
    }
}

fn chunked(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunked 64 KiB");
    group.throughput(Throughput::Bytes(BODY_BYTES as u64));
    for chunk in [64, 1024, 16 * 1024] {
        let body = chunked_body(chunk);
        assert_eq!(decode(&body), BODY_BYTES);
        group.bench_function(format!("chunks of {chunk}"), |b| {
            b.iter(|| decode(black_box(&body)));
        });
    }
    group.finish();
}

// === routes ===

fn spec(key: &str, target: usize) -> Spec {
    Spec {
        host: HostPattern::Any,
        base_path: BasePath::parse("/v1").expect("a path"),
        key: RouteKey::parse(key).expect("a route key"),
        target: u32::try_from(target).expect("few routes"),
        variant: 0,
        place: Place("bench".to_owned()),
    }
}

/// Resources with an id and something below it, as REST APIs have them.
fn table(routes: usize) -> Table {
    let specs = (0..routes).map(|at| match at % 4 {
        0 => spec(&format!("GET /resource{}", at / 4), at),
        1 => spec(&format!("GET /resource{}/{{id}}", at / 4), at),
        2 => spec(&format!("GET /resource{}/{{id}}/visits", at / 4), at),
        _ => spec(&format!("POST /resource{}", at / 4), at),
    });
    Table::build(specs.collect(), Options::default()).expect("no two routes are the same")
}

fn route(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for routes in [10, 100_000] {
        let table = table(routes);
        let mut params = Params::default();
        let resources = routes.div_ceil(4);
        // Everywhere in the table, in no order: a lookup that always meets a warm node is not one.
        let mut random = Random::new(7);
        let below = |random: &mut Random| random.below(resources as u64 / 2);
        let paths: Vec<String> =
            (0..1024).map(|_| format!("/v1/resource{}/42", below(&mut random))).collect();
        for path in &paths {
            let found = table.find(b"api.example.com", b"GET", path.as_bytes(), &mut params);
            assert!(matches!(found, Lookup::Found(at) if at % 4 == 1), "{path}: {found:?}");
        }
        let mut at = 0;
        group.bench_function(format!("lookup among {routes}"), |b| {
            b.iter(|| {
                at = (at + 1) % paths.len();
                table.find(b"api.example.com", b"GET", paths[at].as_bytes(), &mut params)
            });
        });
    }
    group.finish();
}

// === the request's head as the endpoint gets it ===

const CONFIG: &str = r#"
    [listeners.web]
    address = "127.0.0.1:8080"
    [upstreams.pets]
    endpoints = ["127.0.0.1:9000"]
    [apis.pets.routes."ANY /v1/{proxy+}"]
    upstream = "pets"
"#;

/// A compiled configuration; nothing is bound.
fn snapshot() -> Snapshot {
    let loaded = config::parse_str(CONFIG, "bench.toml").expect("the configuration is right");
    let registry = Registry::new(1);
    let (names, sockets) = (BTreeMap::new(), Sockets::default());
    let limits = Store::anonymous(256, HashKey(1, 2), 3).expect("memory for 256 slots");
    let limits = Arc::new(limits);
    let parts = Parts {
        previous: None,
        registry: &registry,
        names: &names,
        sockets: &sockets,
        limits: &limits,
    };
    snapshot::compile(Arc::new(loaded.config), &parts).expect("the configuration compiles")
}

fn forward_head(c: &mut Criterion) {
    let snapshot = snapshot();
    let mut head = RequestHead::default();
    let parsed = parse_request(&mut head, &mut Scan::default(), REQUEST, &Limits::default());
    assert_eq!(parsed, Ok(Parsed::Complete));
    let request = Request { head: &head, block: REQUEST };
    let mut random = Random::new(7);
    let exchange = exchange(&snapshot, request, Ids::of(&request, &mut random));
    let (route, upstream) = (&snapshot.routes[0], &snapshot.upstreams[0]);
    let endpoint = upstream.endpoints().list[0].clone();
    let write = || {
        let mut out = HeadOut::new();
        let framing = Framing::None;
        forward::write_head(&exchange, route, upstream, &endpoint, framing, "ringway", &mut out);
        out.into_buf().expect("the head fits")
    };
    let written = String::from_utf8(write().filled().to_vec()).expect("the head is text");
    assert!(written.contains("\r\nx-forwarded-for: 192.0.2.7\r\n"), "{written}");
    let mut group = c.benchmark_group("forward");
    group.bench_function("write the head", |b| b.iter(write));
    group.bench_function("ids", |b| b.iter(|| Ids::of(black_box(&request), &mut random)));
    group.finish();
}

fn exchange<'c>(snapshot: &'c Snapshot, request: Request<'c>, ids: Ids) -> Exchange<'c> {
    let party = Party {
        peer: CLIENT,
        peer_text: b"192.0.2.7",
        local: LOCAL,
        client: CLIENT.ip(),
        trusted: false,
        secure: true,
    };
    let mut exchange = Exchange::new(request, party, &snapshot.listeners[0], ids, Tick(0));
    exchange.path = request.path();
    exchange.route = Some(&snapshot.routes[0]);
    exchange.upstream = "pets";
    exchange
}

// === the access log ===

fn record(time: Wall) -> Record<'static> {
    Record {
        time,
        client: CLIENT.ip(),
        client_port: CLIENT.port(),
        listener: Plain::of("web"),
        api: Plain::of("pets"),
        route: "GET /v1/pets/{id}/visits",
        method: Plain::of("GET"),
        host: Plain::of("api.example.com"),
        path: b"/v1/pets/42/visits",
        query: Some(b"from=2026-01-01&limit=20"),
        version: "HTTP/1.1",
        status: 200,
        failure: None,
        subject: "",
        claims: b"",
        stage: "",
        api_version: "",
        canary: false,
        limit: "",
        key: "",
        plan: "",
        detail: "",
        tunnel_end: "",
        grpc_status: None,
        request_id: Plain::of("4bf92f3577b34da6a3ce929d0e0e4736"),
        traceparent: Plain::of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        bytes_in: 512,
        bytes_out: 4_500,
        upstream: Plain::of("pets"),
        endpoint: Some(LOCAL),
        attempts: 1,
        upstream_reused: true,
        total_ns: 1_234_567,
        upstream_connect_ns: None,
        upstream_first_byte_ns: Some(1_100_000),
        upstream_ns: Some(1_200_000),
        user_agent: b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        referer: b"https://app.example.com/pets/42",
        tls_version: "TLSv1.3",
        sni: b"api.example.com",
        connection_requests: 17,
        llm: None,
    }
}

fn access_log(c: &mut Criterion) {
    let mut group = c.benchmark_group("access log");
    let (mut dates, mut line) = (Dates::new(), LineBuf::new());
    for (name, format) in [("json", Format::json()), ("combined", Format::combined())] {
        let mut time = 1_795_300_000_000_000_000;
        format.write(&record(Wall(time)), &mut dates, &mut line);
        assert!(line.bytes().ends_with(b"\n") && line.bytes().len() > 100);
        group.bench_function(name, |b| {
            b.iter(|| {
                // A line each 30 us: the date is written anew once a second, as in life.
                time += 30_000;
                format.write(black_box(&record(Wall(time))), &mut dates, &mut line);
                line.bytes().len()
            });
        });
    }
    group.finish();
}

// === deadlines, endpoints ===

fn deadlines(c: &mut Criterion) {
    const STEP_NS: u64 = 30_000;
    let mut group = c.benchmark_group("deadline");
    // A connection arms its deadline anew several times a request.
    let timers: Vec<Timer> = (0..1000).map(|_| Timer::new()).collect();
    let mut now = clock::now();
    let mut at = 0;
    group.bench_function("arm, 1000 timers", |b| {
        b.iter(|| {
            at = (at + 1) % timers.len();
            now = Tick(now.0 + STEP_NS);
            timers[at].arm(Tick(now.0 + 30_000_000_000));
        });
    });
    let mut now = clock::now();
    let mut wheel = Wheel::new(now);
    group.bench_function("advance an empty wheel", |b| {
        b.iter(|| {
            now = Tick(now.0 + STEP_NS);
            wheel.advance(black_box(now));
        });
    });
    group.finish();
}

/// Endpoints of equal weight, busy to a different degree.
struct Endpoints(usize);

impl View for Endpoints {
    fn len(&self) -> usize {
        self.0
    }
    fn weight(&self, _: usize) -> u32 {
        1
    }
    fn active(&self, i: usize) -> u32 {
        u32::try_from(i % 7).expect("below 7")
    }
    fn usable(&self, _: usize, _: Tick) -> bool {
        true
    }
}

fn pick(c: &mut Criterion) {
    const ALGORITHMS: [(&str, Algorithm); 3] = [
        ("least_request", Algorithm::LeastRequest),
        ("round_robin", Algorithm::RoundRobin),
        ("hash", Algorithm::Hash { overload_percent: None }),
    ];
    let mut group = c.benchmark_group("pick of 16");
    let names: Vec<String> = (0..16).map(|at| format!("10.0.0.{at}:8080")).collect();
    let members: Vec<Member<'_>> =
        names.iter().map(|name| Member { identity: name, weight: 1 }).collect();
    let view = Endpoints(members.len());
    for (name, algorithm) in ALGORITHMS {
        let mut picker = Picker::new(algorithm, Fallback::Any, &members, 7);
        let mut key = 0_u64;
        let mut next = || {
            key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
            picker.pick(&view, Some(key), &[], Tick(1))
        };
        assert!(next().is_some());
        group.bench_function(name, |b| b.iter(&mut next));
    }
    group.finish();
}

// === limits ===

/// What a request pays for its limits: the clock is read, the ids are hashed.
fn limits(c: &mut Criterion) {
    const BUCKETS: u64 = 1_000_000;
    let slots = usize::try_from(2 * BUCKETS).expect("small");
    let store = Arc::new(Store::anonymous(slots, HashKey(1, 2), 3).expect("32 MiB"));
    // Neither is ever empty.
    let rate = limit::Rate { thousandths: 1_000_000_000, per_ns: 1_000_000_000 };
    let bucket = Bucket::new(rate, 100_000_000).expect("a bucket");
    let quota = Quota { max: u64::MAX >> 20, period: Period::Day, offset: 0, carries: false };
    let one = Rules { bucket: Some(bucket), ..Rules::default() };
    let all = Rules { bucket: Some(bucket), quota: Some(quota), at_once: Some(10) };
    let begun = store.hasher("per-key");
    let ask = |rules, key: u64| {
        let mut hasher = begun.clone();
        hasher.part(&key.to_le_bytes());
        Ask::new(rules, hasher.id(), false)
    };
    let take = |asks: &mut [Ask<'_>]| {
        let now = || Times { boot: clock::boottime(), wall: clock::wall() };
        limit::take(&store, asks, now).is_ok()
    };
    let mut group = c.benchmark_group("limits");
    assert!(take(&mut [ask(&one, 0)]) && take(&mut [ask(&all, 0)]));
    group.bench_function("a rate, one hot bucket", |b| b.iter(|| take(&mut [ask(&one, 0)])));
    group.bench_function("rate, quota and concurrency", |b| b.iter(|| take(&mut [ask(&all, 0)])));
    group.bench_function("two limits of a rate", |b| {
        b.iter(|| take(&mut [ask(&one, 0), ask(&one, 1)]));
    });
    assert!((0..BUCKETS).all(|key| take(&mut [ask(&one, key)])), "each has a slot");
    let mut key = 1_u64;
    group.bench_function("a rate, 1,000,000 buckets at random", |b| {
        b.iter(|| {
            key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            take(&mut [ask(&one, (key >> 20) % BUCKETS)])
        });
    });
    group.finish();
}

// === TLS ===

/// A listener's TLS with a P-256 certificate of its own.
fn tls_server() -> ServerTls {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let files = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&files.0, certificate.pem()).expect("the directory takes files");
    std::fs::write(&files.1, key.serialize_pem()).expect("the directory takes files");
    let spec = ServerSpec {
        default: None,
        certificates: vec![files],
        min_version: MinVersion::Tls13,
        alpn: Vec::new(),
        client_auth: None,
        unknown_sni: UnknownSni::Default,
    };
    ServerTls::build(&spec, None, clock::wall()).expect("the files are good")
}

/// An upstream's TLS that knows no session to resume yet.
fn tls_client() -> ClientTls {
    let spec = ClientSpec {
        min_version: MinVersion::Tls12,
        trust: Trust::InsecureSkipVerify,
        server_name: None,
        identity: None,
        alpn: Vec::new(),
    };
    ClientTls::build(&spec, None, clock::wall()).expect("the choices are good")
}

/// Both ends after a handshake, client first.
fn shake_hands(client: &ClientTls, server: &ServerTls) -> (Session, Session) {
    let name = client.name_for("a.example").expect("a name");
    let mut client = Session::client(client.config().clone(), name).expect("a client");
    let mut server = Session::server(server.config().clone()).expect("a server");
    while client.outgoing_len() + server.outgoing_len() > 0 {
        deliver(&mut client, &mut server);
        deliver(&mut server, &mut client);
    }
    (client, server)
}

fn deliver(from: &mut Session, to: &mut Session) {
    if let Some(flight) = from.take_outgoing() {
        let mut buf = vec![0; to.stash_len() + flight.len()];
        let kept = to.restore(&mut buf);
        buf[kept..].copy_from_slice(&flight);
        to.receive(&mut buf).expect("the handshake goes well");
    }
}

fn tls(c: &mut Criterion) {
    const BYTES: usize = 256 * 1024;
    let server_tls = tls_server();
    let (mut client, mut server) = shake_hands(&tls_client(), &server_tls);
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert!(!server.negotiated().expect("they agreed").resumed, "a full handshake is measured");
    let plain = vec![b'x'; BYTES];
    let mut wire = vec![0; server.encrypt_room(BYTES)];
    let mut group = c.benchmark_group("tls 1.3");
    group.bench_function("full handshake, both ends", |b| {
        let fresh = |client: ClientTls| shake_hands(&client, &server_tls);
        b.iter_batched(tls_client, fresh, BatchSize::SmallInput);
    });
    group.throughput(Throughput::Bytes(BYTES as u64));
    // What is sealed opens once and in order: so one bench does both, and the other comes last.
    group.bench_function("encrypt and decrypt 256 KiB", |b| {
        b.iter(|| {
            let (consumed, written) = server.encrypt(&plain, &mut wire).expect("it is open");
            let received = client.receive(&mut wire[..written]).expect("the peer sealed it");
            assert_eq!((consumed, received.plaintext), (BYTES, BYTES));
        });
    });
    group.bench_function("encrypt 256 KiB", |b| {
        b.iter(|| server.encrypt(black_box(&plain), &mut wire).expect("it is open"));
    });
    group.finish();
}

// === language models ===

/// A token of a chat's stream, as OpenAI sends it.
const DELTA: &[u8] = b"data: {\"id\":\"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012\",\
    \"object\":\"chat.completion.chunk\",\"created\":1764000000,\
    \"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\
    \"system_fingerprint\":\"fp_0123456789\",\"choices\":[{\"index\":0,\
    \"delta\":{\"content\":\" token\"},\"logprobs\":null,\"finish_reason\":null}],\
    \"usage\":null}\n\n";

/// The body of a chat with one message of so many bytes.
fn chat_body(message: usize) -> Vec<u8> {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(message / 45);
    let front = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":""#;
    let back = r#""}],"max_tokens":256,"temperature":0.7,"stream":true,"user":"u-1"}"#;
    [front, &text, back].concat().into_bytes()
}

fn models(c: &mut Criterion) {
    let mut group = c.benchmark_group("llm");
    for (name, body) in [("1 KiB", chat_body(860)), ("1 MiB", chat_body(1 << 20))] {
        let read = |body: &[u8]| Asked::read(Endpoint::ChatCompletions, body);
        let asked = read(&body).expect("it is a request");
        assert_eq!((asked.model(), asked.input.messages), ("gpt-4o-mini", 1));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("read a chat of {name}"), |b| {
            b.iter(|| read(black_box(&body)).map(|asked| llm::estimate_input(&asked)));
        });
        let mut out = Vec::new();
        group.bench_function(format!("write it for another model, {name}"), |b| {
            b.iter(|| {
                out.clear();
                asked.write_body(black_box(&body), "gpt-4o-mini-2024-07-18", true, &mut out);
            });
        });
    }
    let (mut events, mut tap) = (sse::Events::default(), Tap::new(Endpoint::ChatCompletions));
    let mut pass = |chunk: &[u8]| {
        let mut at = 0;
        let event = events.next(chunk, &mut at).expect("it is short").expect("it is whole");
        tap.event(&event)
    };
    assert_eq!(pass(DELTA), Seen::Delta);
    group.throughput(Throughput::Bytes(DELTA.len() as u64));
    group.bench_function("split off and tap an event", |b| b.iter(|| pass(black_box(DELTA))));
    group.finish();
}

criterion_group!(
    benches,
    parse,
    chunked,
    route,
    forward_head,
    access_log,
    deadlines,
    pick,
    limits,
    models,
    tls
);
criterion_main!(benches);
