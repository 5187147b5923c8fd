//! A name server on 127.0.0.1: answers A and AAAA questions over UDP from a zone that a test
//! changes as it goes. Writes its messages by hand (RFC 1035 section 4.1).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::ms;

/// A running name server; silent once dropped.
pub struct NameServer {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

/// Name -> addresses and the seconds they hold; who is not here gets NXDOMAIN.
type Zone = BTreeMap<String, (Vec<IpAddr>, u32)>;

#[derive(Default)]
struct Shared {
    zone: Mutex<Zone>,
    asked: AtomicUsize,
    stopped: AtomicBool,
}

const HEADER: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;
const NXDOMAIN: u8 = 3;

// === impl NameServer ===

impl NameServer {
    pub fn start() -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let addr = socket.local_addr().expect("a bound socket has an address");
        socket.set_read_timeout(Some(ms(50))).expect("a timeout above zero");
        let shared: Arc<Shared> = Arc::default();
        let here = shared.clone();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while !here.stopped.load(Ordering::SeqCst) {
                let Ok((len, from)) = socket.recv_from(&mut question) else { continue };
                let reply = here.reply(&question[..len]);
                here.asked.fetch_add(1, Ordering::SeqCst);
                let _ = socket.send_to(&reply, from);
            }
        });
        NameServer { addr, shared }
    }

    /// From now on the name has these addresses, for `ttl` seconds at a time.
    pub fn set(&self, name: &str, addresses: &[SocketAddr], ttl: u32) {
        let addresses = addresses.iter().map(SocketAddr::ip).collect();
        self.shared.zone().insert(name.to_owned(), (addresses, ttl));
    }

    /// From now on there is no such name.
    pub fn remove(&self, name: &str) {
        self.shared.zone().remove(name);
    }

    /// Questions answered.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
    }
}

// === impl Shared ===

impl Shared {
    fn zone(&self) -> std::sync::MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, message: &[u8]) -> Vec<u8> {
        let (name, kind, end) = question(message);
        let found = self.zone().get(&name).cloned();
        let code = if found.is_some() { 0 } else { NXDOMAIN };
        let (addresses, ttl) = found.unwrap_or_default();
        let fits = |address: &IpAddr| address.is_ipv4() == (kind == A);
        let records =
            addresses.into_iter().filter(|address| fits(address) && [A, AAAA].contains(&kind));
        let records: Vec<Vec<u8>> = records.map(|address| record(address, kind, ttl)).collect();
        let count = u8::try_from(records.len()).expect("a handful of addresses");
        // The id; a response, recursion desired and available; one question, so many answers.
        let mut reply = vec![message[0], message[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
        reply.extend(&message[HEADER..end]);
        reply.extend(records.concat());
        reply
    }
}

/// The name asked for, what of it, and where the question ends.
fn question(message: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (HEADER, Vec::new());
    while message[at] != 0 {
        let len = usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..=at + len]).to_ascii_lowercase());
        at += 1 + len;
    }
    let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
    (labels.join("."), kind, at + 5)
}

/// A record of the name that the question stands for.
fn record(address: IpAddr, kind: u16, ttl: u32) -> Vec<u8> {
    let data = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let len = u16::try_from(data.len()).expect("4 or 16 bytes");
    let in_class = 1_u16.to_be_bytes();
    let pointer = [0xc0, 12];
    [&pointer, &kind.to_be_bytes(), &in_class, &ttl.to_be_bytes()[..], &len.to_be_bytes(), &data]
        .concat()
}
