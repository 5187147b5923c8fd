//! Names to addresses, as the host would: hosts file, then the servers of resolv.conf or our own.
//!
//! Blocks for up to `timeout` x servers x attempts for each name tried, so it runs on a control
//! thread, NEVER on a worker. Keeps no cache: the answer says how long it holds, whoever asks again
//! does so then. The files are read at each call, so a change in them is seen without a reload.
//!
//! Against forged answers (RFC 5452): each exchange has its own socket, hence a random port,
//! connected, hence deaf to other addresses; ids are random; the question must come back.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dns::{Family, Query, Reply};
use crate::bounds::{
    DNS_FILE_BYTES_MAX, DNS_MESSAGE_BYTES_MAX, DNS_SEARCH_MAX, DNS_SERVERS_MAX, DNS_STRAYS_MAX,
    DNS_TTL_HOSTS, DNS_TTL_MAX, DNS_TTL_MIN,
};
use crate::clock::{self, Tick};

/// Where and how to ask.
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    /// Ask these; if there are none, those of resolv.conf.
    pub servers: Vec<SocketAddr>,
    /// For one exchange with one server.
    pub timeout: Duration,
    /// How often to go through the servers; at least once.
    pub attempts: u32,
    /// Looked into first.
    pub hosts_path: PathBuf,
    /// For `nameserver`, `search`, `domain` and `options ndots`.
    pub resolv_conf_path: PathBuf,
}

/// Resolves names. See the module for where it may be called.
#[derive(Clone, Debug)]
pub struct Resolver {
    config: ResolverConfig,
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// At least one, each once; IPv4 before IPv6.
    pub addresses: Vec<IpAddr>,
    /// How long they hold.
    pub ttl: Duration,
}

/// Why there are no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The text is neither an address nor a DNS name.
    BadName,
    /// The servers say that there is no such name, or no address for it.
    NotFound {
        /// How long that holds.
        ttl: Duration,
    },
    /// No server answered in time.
    Timeout,
    /// The last server asked failed or refused, with this response code.
    ServerFailed {
        /// Which.
        server: SocketAddr,
        /// 2 is SERVFAIL, 5 REFUSED.
        code: u8,
    },
    /// The last server asked answered nonsense.
    Malformed {
        /// Which.
        server: SocketAddr,
    },
    /// The last server asked could not be reached.
    Unreachable {
        /// Which.
        server: SocketAddr,
        /// Why.
        kind: io::ErrorKind,
    },
}

/// What resolv.conf says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ResolvConf {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// Both questions about a name to one server, and what is known of each.
struct Exchange {
    server: SocketAddr,
    queries: [Query; 2],
    replies: [Option<Reply>; 2],
    deadline: Tick,
}

const PORT: u16 = 53;
/// glibc's cap on `options ndots`.
const NDOTS_MAX: usize = 15;

// === impl ResolverConfig ===

impl Default for ResolverConfig {
    fn default() -> ResolverConfig {
        ResolverConfig {
            servers: Vec::new(),
            timeout: Duration::from_secs(2),
            attempts: 2,
            hosts_path: PathBuf::from("/etc/hosts"),
            resolv_conf_path: PathBuf::from("/etc/resolv.conf"),
        }
    }
}

// === impl Resolver ===

impl Resolver {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(config: ResolverConfig) -> Resolver {
        Resolver { config }
    }

    /// The addresses of `name`: an IP address (bracketed or not), a name, or with a dot at its end
    /// an absolute one.
    ///
    /// # Errors
    /// Says whether the name is wrong, absent, or could not be asked for.
    pub fn resolve(&self, name: &str) -> Result<Answer, ResolveError> {
        if let Some(address) = literal(name) {
            return Ok(Answer { addresses: vec![address], ttl: DNS_TTL_MAX });
        }
        let absolute = name.strip_suffix('.').unwrap_or(name);
        let hosts = read(&self.config.hosts_path);
        let addresses = from_hosts(&hosts, absolute);
        if !addresses.is_empty() {
            return Ok(Answer { addresses, ttl: DNS_TTL_HOSTS });
        }
        if is_localhost(absolute) {
            // RFC 6761 section 6.3: never asked of a server.
            let addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(Answer { addresses, ttl: DNS_TTL_MAX });
        }
        let conf = ResolvConf::parse(&read(&self.config.resolv_conf_path));
        let servers =
            if self.config.servers.is_empty() { &conf.servers } else { &self.config.servers };
        let mut failure = None;
        for candidate in candidates(name, &conf) {
            match self.ask_servers(&candidate, servers) {
                Ok(answer) => return Ok(answer),
                // A dead server would be dead for the next candidate too.
                Err(e @ (ResolveError::Timeout | ResolveError::Unreachable { .. })) => {
                    return Err(e);
                }
                Err(e) => failure = worse(failure, e),
            }
        }
        Err(failure.unwrap_or(ResolveError::BadName))
    }

    fn ask_servers(&self, name: &str, servers: &[SocketAddr]) -> Result<Answer, ResolveError> {
        let mut failure = ResolveError::Timeout;
        for _ in 0..self.config.attempts.max(1) {
            for &server in servers {
                match self.ask(name, server) {
                    Err(e @ (ResolveError::BadName | ResolveError::NotFound { .. })) => {
                        return Err(e);
                    }
                    Err(e) => failure = e,
                    Ok(answer) => return Ok(answer),
                }
            }
        }
        Err(failure)
    }

    /// One exchange with one server: both questions at once.
    fn ask(&self, name: &str, server: SocketAddr) -> Result<Answer, ResolveError> {
        let [id, other] = random_ids();
        let query = |family, id| Query::new(name, family, id).map_err(|_| ResolveError::BadName);
        let mut exchange = Exchange {
            server,
            queries: [query(Family::V4, id)?, query(Family::V6, other)?],
            replies: [None, None],
            deadline: clock::now().after(self.config.timeout),
        };
        let unreachable = |e: io::Error| ResolveError::Unreachable { server, kind: e.kind() };
        let outcome = exchange.over_udp().and_then(|()| exchange.over_tcp());
        match (exchange.verdict(), outcome) {
            // Half an answer is worth more than the error that cost the other half.
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(e)) if !is_timeout(&e) => Err(unreachable(e)),
            (Err(e), _) => Err(e),
        }
    }
}

// === impl Exchange ===

impl Exchange {
    fn over_udp(&mut self) -> io::Result<()> {
        let any: IpAddr = match self.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(self.server)?;
        for query in &self.queries {
            socket.send(query.bytes())?;
        }
        // We announce no larger size (EDNS), so nothing above 512 bytes is due.
        let mut buffer = [0; 4096];
        let mut strays = 0;
        while self.replies.contains(&None) && strays < DNS_STRAYS_MAX {
            socket.set_read_timeout(Some(self.left()?))?;
            match socket.recv(&mut buffer) {
                Ok(len) => strays += u32::from(!self.take(&buffer[..len])),
                // With a timeout set, the kernel does not restart a call that a signal broke off.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Files a message under the question it answers.
    fn take(&mut self, message: &[u8]) -> bool {
        for (query, slot) in self.queries.iter().zip(&mut self.replies) {
            match query.read(message) {
                Reply::NotOurs => {}
                _ if slot.is_some() => return false, // a duplicate
                reply => {
                    *slot = Some(reply);
                    return true;
                }
            }
        }
        false
    }

    /// Asks again for what did not fit (RFC 7766 section 5).
    fn over_tcp(&mut self) -> io::Result<()> {
        for i in 0..self.queries.len() {
            if self.replies[i] == Some(Reply::Truncated) {
                let message = self.one_over_tcp(self.queries[i].bytes())?;
                self.replies[i] = Some(match self.queries[i].read(&message) {
                    // Over TCP there is nothing to wait for after a wrong answer.
                    Reply::NotOurs | Reply::Truncated => Reply::Malformed,
                    reply => reply,
                });
            }
        }
        Ok(())
    }

    fn one_over_tcp(&self, query: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.server, self.left()?)?;
        let len = u16::try_from(query.len()).expect("a question is shorter than 64 KiB");
        let framed = [&len.to_be_bytes(), query].concat();
        stream.set_write_timeout(Some(self.left()?))?;
        stream.write_all(&framed)?;
        let mut len = [0; 2];
        self.fill(&mut stream, &mut len)?;
        let len = usize::from(u16::from_be_bytes(len));
        debug_assert!(len <= DNS_MESSAGE_BYTES_MAX);
        let mut message = vec![0; len];
        self.fill(&mut stream, &mut message)?;
        Ok(message)
    }

    /// `read_exact` with one deadline for all of it, so that a trickle does not hold us.
    fn fill(&self, stream: &mut TcpStream, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            stream.set_read_timeout(Some(self.left()?))?;
            match stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => buffer = &mut buffer[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn left(&self) -> io::Result<Duration> {
        let now = clock::now();
        if now >= self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(self.deadline.since(now))
    }

    /// What both replies come to: any address is an answer, any failure makes "not found" doubtful.
    fn verdict(&self) -> Result<Answer, ResolveError> {
        let mut found = Answer { addresses: Vec::new(), ttl: DNS_TTL_MAX };
        let mut absent_for = DNS_TTL_MAX;
        let mut failure = None;
        for reply in &self.replies {
            match reply {
                Some(Reply::Addresses { addresses, ttl }) => {
                    found.addresses.extend(addresses);
                    found.ttl = found.ttl.min(*ttl);
                }
                Some(Reply::NoAddress { ttl } | Reply::NoName { ttl }) => {
                    absent_for = absent_for.min(*ttl);
                }
                Some(Reply::Failed(code)) => {
                    failure = Some(ResolveError::ServerFailed { server: self.server, code: *code });
                }
                Some(Reply::Malformed | Reply::NotOurs) => {
                    failure = Some(ResolveError::Malformed { server: self.server });
                }
                // Still truncated: the rest did not come over TCP in time.
                Some(Reply::Truncated) | None => failure = failure.or(Some(ResolveError::Timeout)),
            }
        }
        match failure {
            _ if !found.addresses.is_empty() => {
                if failure.is_some() {
                    found.ttl = DNS_TTL_MIN; // come back soon for the other half
                }
                Ok(found)
            }
            Some(failure) => Err(failure),
            None => Err(ResolveError::NotFound { ttl: absent_for }),
        }
    }
}

// === impl ResolvConf ===

impl ResolvConf {
    /// resolv.conf(5), as far as it concerns addresses. Lines it does not know are skipped, as
    /// glibc does.
    fn parse(text: &str) -> ResolvConf {
        let mut conf = ResolvConf { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < DNS_SERVERS_MAX => {
                    conf.servers.extend(words.next().and_then(server));
                }
                // The last of these two wins.
                Some("search") => {
                    conf.search = words.take(DNS_SEARCH_MAX).map(str::to_owned).collect();
                }
                Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => {
                    for option in words {
                        if let Some(n) = option.strip_prefix("ndots:").and_then(|n| n.parse().ok())
                        {
                            conf.ndots = NDOTS_MAX.min(n);
                        }
                    }
                }
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            // "If no nameserver entries are present, the default is to use the local machine."
            conf.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        conf
    }
}

// === impl ResolveError ===

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::BadName => f.write_str("not a DNS name"),
            ResolveError::NotFound { .. } => f.write_str("no such name, or no address for it"),
            ResolveError::Timeout => f.write_str("no name server answered in time"),
            ResolveError::ServerFailed { server, code } => match code {
                2 => write!(f, "name server {server} failed (SERVFAIL)"),
                5 => write!(f, "name server {server} refused (REFUSED)"),
                code => write!(f, "name server {server} answered with code {code}"),
            },
            ResolveError::Malformed { server } => {
                write!(f, "name server {server} sent a malformed answer")
            }
            ResolveError::Unreachable { server, kind } => {
                write!(f, "name server {server} cannot be reached: {kind}")
            }
        }
    }
}

impl std::error::Error for ResolveError {}

fn literal(name: &str) -> Option<IpAddr> {
    let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    inner.unwrap_or(name).parse().ok()
}

fn is_localhost(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

/// The absolute names to try for `name`, in order (resolv.conf(5), `ndots` and `search`).
fn candidates(name: &str, conf: &ResolvConf) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_owned()];
    }
    let mut names: Vec<_> = conf
        .search
        .iter()
        .filter(|domain| *domain != ".")
        .map(|domain| format!("{name}.{}", domain.trim_matches('.')))
        .collect();
    let as_it_is = if name.matches('.').count() >= conf.ndots { 0 } else { names.len() };
    names.insert(as_it_is, name.to_owned());
    names
}

/// Of the failures of several candidates the one to tell: that a server failed outweighs that
/// another candidate does not exist; a candidate that is no name (too long with its domain) weighs
/// least.
fn worse(before: Option<ResolveError>, now: ResolveError) -> Option<ResolveError> {
    let weight = |e: &ResolveError| match e {
        ResolveError::BadName => 0,
        ResolveError::NotFound { .. } => 1,
        _ => 2,
    };
    before.filter(|b| weight(b) >= weight(&now)).or(Some(now))
}

/// All addresses that the hosts file gives for `name`.
fn from_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.sort_by_key(IpAddr::is_ipv6); // stable: the file's order within a family
    addresses
}

/// A name server's address; a link-local one may carry its interface's number (`fe80::1%2`).
fn server(word: &str) -> Option<SocketAddr> {
    match word.parse::<IpAddr>() {
        Ok(address) => Some((address, PORT).into()),
        Err(_) => format!("[{word}]:{PORT}").parse().ok(),
    }
}

/// A file's text; empty if it cannot be read, as for the host's own resolver.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What was read before an error still counts.
        let _ = file.take(DNS_FILE_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Two ids that differ and that nobody who has seen others can guess: the standard library seeds
/// its hash keys from the operating system, and SipHash does not give them away.
fn random_ids() -> [u16; 2] {
    let [a, b, c, d, ..] = RandomState::new().hash_one(clock::now().0).to_le_bytes();
    let id = u16::from_le_bytes([a, b]);
    let other = u16::from_le_bytes([c, d]);
    [id, if other == id { !id } else { other }]
}

fn is_timeout(e: &io::Error) -> bool {
    // A socket's read timeout shows as WouldBlock.
    matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests;
