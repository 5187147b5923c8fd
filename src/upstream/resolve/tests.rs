//! The resolver against name servers of its own on the loopback address, each with one behaviour.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, QTYPE, ResourceRecord, TYPE};
use tempfile::TempDir;

use super::*;

/// What to send back for a question: (name, AAAA?, over TCP?, the question) -> datagrams.
type Behaviour = dyn Fn(&str, bool, bool, &[u8]) -> Vec<Vec<u8>> + Send + Sync;

struct Server {
    address: SocketAddr,
    asked: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    fn new(
        behaviour: impl Fn(&str, bool, bool, &[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Server {
        Server::at("127.0.0.1", behaviour)
    }

    fn at(
        host: &str,
        behaviour: impl Fn(&str, bool, bool, &[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Server {
        let host: IpAddr = host.parse().unwrap();
        // Another socket may have the UDP port of the same number: then try the next.
        let (tcp, udp) = (0..50)
            .find_map(|_| {
                let tcp = TcpListener::bind((host, 0)).unwrap();
                let udp = UdpSocket::bind(tcp.local_addr().unwrap()).ok()?;
                Some((tcp, udp))
            })
            .unwrap();
        let address = udp.local_addr().unwrap();
        let (asked, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let threads = vec![
            std::thread::spawn({
                let (asked, stop, behaviour) = (asked.clone(), stop.clone(), behaviour.clone());
                move || serve_udp(&udp, &asked, &stop, &*behaviour)
            }),
            std::thread::spawn({
                let stop = stop.clone();
                move || serve_tcp(&tcp, &stop, &*behaviour)
            }),
        ];
        Server { address, asked, stop, threads }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let waker = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        waker.send_to(&[], self.address).unwrap();
        drop(TcpStream::connect(self.address).unwrap());
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn serve_udp(udp: &UdpSocket, asked: &AtomicU32, stop: &AtomicBool, behaviour: &Behaviour) {
    let mut buffer = [0; 600];
    loop {
        let (len, from) = udp.recv_from(&mut buffer).unwrap();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        asked.fetch_add(1, Ordering::SeqCst);
        for message in answer_with(behaviour, false, &buffer[..len]) {
            udp.send_to(&message, from).unwrap();
        }
    }
}

fn serve_tcp(tcp: &TcpListener, stop: &AtomicBool, behaviour: &Behaviour) {
    loop {
        let (mut stream, _) = tcp.accept().unwrap();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut question).unwrap();
        for message in answer_with(behaviour, true, &question) {
            let len = u16::try_from(message.len()).unwrap().to_be_bytes();
            // In two pieces, and the client may have gone.
            let _ = stream.write_all(&len).and_then(|()| stream.write_all(&message));
        }
    }
}

fn answer_with(behaviour: &Behaviour, tcp: bool, question: &[u8]) -> Vec<Vec<u8>> {
    let packet = Packet::parse(question).unwrap();
    let name = packet.questions[0].qname.to_string();
    let six = packet.questions[0].qtype == QTYPE::TYPE(TYPE::AAAA);
    behaviour(&name, six, tcp, question)
}

fn reply(question: &[u8], records: &[RData<'static>]) -> Vec<u8> {
    let mut packet = Packet::parse(question).unwrap().into_reply();
    let name = packet.questions[0].qname.clone();
    for record in records {
        packet.answers.push(ResourceRecord::new(name.clone(), CLASS::IN, 60, record.clone()));
    }
    packet.build_bytes_vec_compressed().unwrap()
}

fn coded(question: &[u8], code: u8) -> Vec<u8> {
    let mut message = reply(question, &[]);
    message[3] |= code;
    message
}

fn four(last: u8) -> RData<'static> {
    RData::A(A { address: u32::from_be_bytes([10, 0, 0, last]) })
}

fn six(last: u128) -> RData<'static> {
    RData::AAAA(AAAA { address: (0xfd00 << 112) + last })
}

/// An answer with one address of either family.
fn both(is_six: bool, question: &[u8]) -> Vec<Vec<u8>> {
    vec![reply(question, &[if is_six { six(1) } else { four(1) }])]
}

struct Host {
    dir: TempDir,
    config: ResolverConfig,
}

impl Host {
    fn new(servers: &[&Server]) -> Host {
        let dir = tempfile::tempdir().unwrap();
        let config = ResolverConfig {
            servers: servers.iter().map(|s| s.address).collect(),
            timeout: Duration::from_secs(5),
            attempts: 1,
            hosts_path: dir.path().join("hosts"),
            resolv_conf_path: dir.path().join("resolv.conf"),
        };
        Host { dir, config }
    }

    fn file(self, name: &str, text: &str) -> Host {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    fn with(mut self, change: impl FnOnce(&mut ResolverConfig)) -> Host {
        change(&mut self.config);
        self
    }

    fn resolve(&self, name: &str) -> Result<Answer, ResolveError> {
        Resolver::new(self.config.clone()).resolve(name)
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

#[test]
fn both_families_are_asked_for() {
    let server = Server::new(|_, six, _, q| both(six, q));
    let host = Host::new(&[&server]);
    let answer = host.resolve("api.example.com").unwrap();
    assert_eq!(answer.addresses, ips(&["10.0.0.1", "fd00::1"]));
    assert_eq!(answer.ttl, Duration::from_secs(60));
    assert_eq!(server.asked(), 2);
}

#[test]
fn a_server_on_ipv6_is_asked_too() {
    let server = Server::at("::1", |_, six, _, q| both(six, q));
    assert_eq!(Host::new(&[&server]).resolve("a.b").unwrap().addresses.len(), 2);
}

#[test]
fn one_family_is_enough() {
    let server =
        Server::new(
            |_, is_six, _, q| {
                if is_six { vec![reply(q, &[])] } else { vec![reply(q, &[four(7), four(8)])] }
            },
        );
    let answer = Host::new(&[&server]).resolve("a.b").unwrap();
    assert_eq!(answer.addresses, ips(&["10.0.0.7", "10.0.0.8"]));
    assert_eq!(answer.ttl, Duration::from_secs(60));
    // Also if the other one fails: then the answer is to be asked for again soon.
    let server = Server::new(
        |_, is_six, _, q| {
            if is_six { vec![coded(q, 2)] } else { vec![reply(q, &[four(7)])] }
        },
    );
    let answer = Host::new(&[&server]).resolve("a.b").unwrap();
    assert_eq!((answer.addresses, answer.ttl), (ips(&["10.0.0.7"]), DNS_TTL_MIN));
}

#[test]
fn noise_and_forgeries_before_the_answer_are_ignored() {
    let server = Server::new(|_, is_six, _, q| {
        let mut other_id = reply(q, &[four(66)]);
        other_id[0] ^= 0xff;
        let mut other_name = reply(q, &[four(66)]);
        other_name[13] ^= 1;
        let mut messages = vec![vec![], vec![0; 5], other_id, other_name, q.to_vec()];
        messages.extend(both(is_six, q));
        messages.extend(both(is_six, q)); // and once more
        messages
    });
    let answer = Host::new(&[&server]).resolve("api.example.com").unwrap();
    assert_eq!(answer.addresses, ips(&["10.0.0.1", "fd00::1"]));
}

#[test]
fn a_flood_of_noise_ends() {
    let server = Server::new(|_, _, _, _| vec![vec![0; 20]; 100]);
    assert_eq!(Host::new(&[&server]).resolve("a.b"), Err(ResolveError::Timeout));
}

#[test]
fn what_does_not_fit_comes_over_tcp() {
    let server = Server::new(|_, is_six, tcp, q| {
        if is_six {
            return vec![reply(q, &[])];
        }
        let all: Vec<_> = (1..=100).map(four).collect();
        let mut message = reply(q, &all);
        if !tcp {
            message.truncate(500);
            message[2] |= 0x02;
        }
        vec![message]
    });
    let answer = Host::new(&[&server]).resolve("many.example.com").unwrap();
    assert_eq!(answer.addresses.len(), 100);
    assert_eq!(answer.addresses[99], IpAddr::from([10, 0, 0, 100]));
}

#[test]
fn nonsense_over_tcp_is_told() {
    let server = Server::new(|_, _, tcp, q| {
        let mut message = reply(q, &[]);
        if tcp {
            message[0] ^= 1;
        } else {
            message[2] |= 0x02;
        }
        vec![message]
    });
    let expected = ResolveError::Malformed { server: server.address };
    assert_eq!(Host::new(&[&server]).resolve("a.b"), Err(expected));
    // Closed without an answer.
    let server = Server::new(|_, _, tcp, q| {
        let mut message = reply(q, &[]);
        message[2] |= 0x02;
        if tcp { vec![] } else { vec![message] }
    });
    let kind = io::ErrorKind::UnexpectedEof;
    let expected = ResolveError::Unreachable { server: server.address, kind };
    assert_eq!(Host::new(&[&server]).resolve("a.b"), Err(expected));
}

#[test]
fn absent_names_are_final_and_failing_servers_are_not() {
    let absent = Server::new(|_, _, _, q| vec![coded(q, 3)]);
    let good = Server::new(|_, six, _, q| both(six, q));
    let failing = Server::new(|_, _, _, q| vec![coded(q, 2)]);
    let refusing = Server::new(|_, _, _, q| vec![coded(q, 5)]);

    let host = Host::new(&[&absent, &good]);
    assert_eq!(host.resolve("a.b"), Err(ResolveError::NotFound { ttl: DNS_TTL_MIN }));
    assert_eq!(good.asked(), 0);

    let host = Host::new(&[&failing, &refusing, &good]);
    assert_eq!(host.resolve("a.b").unwrap().addresses.len(), 2);

    let host = Host::new(&[&failing, &refusing]).with(|c| c.attempts = 3);
    let (asked, expected) =
        (failing.asked(), ResolveError::ServerFailed { server: refusing.address, code: 5 });
    assert_eq!(host.resolve("a.b"), Err(expected));
    assert_eq!(failing.asked() - asked, 6);
}

#[test]
fn a_silent_server_costs_its_timeout_and_a_dead_one_nothing() {
    let silent = Server::new(|_, _, _, _| vec![]);
    let good = Server::new(|_, six, _, q| both(six, q));
    let quick = |c: &mut ResolverConfig| c.timeout = Duration::from_millis(150);
    let host = Host::new(&[&silent, &good]).with(quick);
    assert_eq!(host.resolve("a.b").unwrap().addresses.len(), 2);
    assert_eq!(silent.asked(), 2);
    assert_eq!(Host::new(&[&silent]).with(quick).resolve("a.b"), Err(ResolveError::Timeout));

    // A port that was just given back: the kernel refuses, and a connected socket hears of it.
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = Host::new(&[]).with(|c| c.servers = vec![dead]);
    let kind = io::ErrorKind::ConnectionRefused;
    assert_eq!(host.resolve("a.b"), Err(ResolveError::Unreachable { server: dead, kind }));
}

#[test]
fn the_hosts_file_comes_first() {
    let server = Server::new(|_, six, _, q| both(six, q));
    let host = Host::new(&[&server]).file(
        "hosts",
        "# comment\nfd00::7 db\n10.1.1.1 db.local DB # mine.local\n\n10.1.1.2\tdb\nnonsense db\n\
         fe80::1%eth0 db\n10.1.1.1 db\n",
    );
    let answer = host.resolve("Db").unwrap();
    assert_eq!(answer.addresses, ips(&["10.1.1.1", "10.1.1.2", "fd00::7"]));
    assert_eq!(answer.ttl, DNS_TTL_HOSTS);
    assert_eq!(host.resolve("db.local.").unwrap().addresses, ips(&["10.1.1.1"]));
    assert_eq!(server.asked(), 0);
    assert_eq!(host.resolve("mine.local").unwrap().addresses, ips(&["10.0.0.1", "fd00::1"]));
    // A change is seen at once.
    let host = host.file("hosts", "10.9.9.9 db\n");
    assert_eq!(host.resolve("db").unwrap().addresses, ips(&["10.9.9.9"]));
}

#[test]
fn addresses_and_localhost_are_not_asked_for() {
    let host = Host::new(&[]).with(|c| c.servers = vec![([127, 0, 0, 1], 1).into()]);
    for (name, expected) in [
        ("10.2.3.4", vec!["10.2.3.4"]),
        ("::1", vec!["::1"]),
        ("[fd00::2]", vec!["fd00::2"]),
        ("localhost", vec!["127.0.0.1", "::1"]),
        ("db.LocalHost.", vec!["127.0.0.1", "::1"]),
    ] {
        assert_eq!(host.resolve(name).unwrap().addresses, ips(&expected), "{name}");
    }
    let long = "x".repeat(64);
    for bad in ["", "a..b", "a b", long.as_str()] {
        assert_eq!(host.resolve(bad), Err(ResolveError::BadName), "{bad}");
    }
}

#[test]
fn the_search_list_is_tried_as_ndots_says() {
    let server = Server::new(|name, six, _, q| match name {
        "db.prod.example" | "a.b.prod.example" | "known.example" => both(six, q),
        "db.bad.example" => vec![coded(q, 2)],
        _ => vec![coded(q, 3)],
    });
    let conf = |text: &str| Host::new(&[&server]).file("resolv.conf", text);
    let host = conf("search bad.example prod.example.\noptions rotate ndots:2\n");
    assert!(host.resolve("db").is_ok());
    assert!(host.resolve("a.b").is_ok());
    assert!(host.resolve("known.example").is_ok());
    // The failure of one candidate outweighs the absence of the others.
    let failed = ResolveError::ServerFailed { server: server.address, code: 2 };
    assert_eq!(conf("search bad.example\n").resolve("db"), Err(failed));
    assert!(matches!(host.resolve("db."), Err(ResolveError::NotFound { .. })));
    assert!(matches!(conf("").resolve("db"), Err(ResolveError::NotFound { .. })));
}

#[test]
fn candidates_in_order() {
    let conf = |search: &[&str], ndots| ResolvConf {
        servers: vec![],
        search: search.iter().map(|s| (*s).to_owned()).collect(),
        ndots,
    };
    for (name, search, ndots, expected) in [
        ("db", &["x.y", "z"][..], 1, &["db.x.y", "db.z", "db"][..]),
        ("db.x", &["z"], 1, &["db.x", "db.x.z"]),
        ("db.x", &["z", "."], 5, &["db.x.z", "db.x"]),
        ("db.", &["z"], 1, &["db."]),
        ("db", &[], 1, &["db"]),
    ] {
        assert_eq!(candidates(name, &conf(search, ndots)), expected, "{name}");
    }
}

#[test]
fn resolv_conf_as_in_its_manual() {
    let conf = ResolvConf::parse(
        "# generated\nnameserver 10.0.0.53\nnameserver nonsense\n; nameserver 1.1.1.1\n\
         nameserver fd00::53 # second\nnameserver fe80::1%2\nnameserver 10.0.0.99\n\
         domain old.example\nsearch a.example b.example\noptions timeout:1 ndots:99 ndots:x\n",
    );
    let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.53:53", "[fd00::53]:53", "[fe80::1%2]:53"]);
    assert_eq!((conf.search, conf.ndots), (vec!["a.example".into(), "b.example".into()], 15));
    let empty = ResolvConf::parse("");
    assert_eq!(empty.servers, [SocketAddr::from(([127, 0, 0, 1], 53))]);
}

#[test]
fn ids_differ() {
    let ids: std::collections::HashSet<[u16; 2]> = (0..1000).map(|_| random_ids()).collect();
    assert!(ids.len() > 990);
    assert!(ids.iter().all(|[a, b]| a != b));
}
