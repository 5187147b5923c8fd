//! One document from a URL, over the gateway's own HTTP: bounded in time and size, whole or not at
//! all.
//!
//! For the few things the gateway itself must know from elsewhere (an issuer's keys), off the data
//! path, on a connection of its own. Redirects are not followed: where a document comes from is the
//! operator's to say. Invariant: nothing is returned but the whole body of a 200.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::answer::{Unread, read_head};
use crate::clock::{self, Tick};
use crate::http::{self, Method, Name, ResponseHead, Url};
use crate::message::{Body, HeadOut, Inbound};
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};
use crate::net::stream::Stream;
use crate::net::tls::ClientTls;
use crate::net::{Timer, dial};

/// What to ask for, and what is too much.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub url: &'a Url,
    /// Needed for `https`.
    pub tls: Option<&'a ClientTls>,
    pub accept: &'a str,
    pub bytes_max: usize,
    pub until: Tick,
}

/// A document.
#[derive(Debug)]
pub struct Document {
    pub body: Vec<u8>,
    /// How long it is good for, if the server says so (`Cache-Control: max-age`).
    pub max_age: Option<Duration>,
}

/// Why there is none.
#[derive(Debug)]
pub enum FetchError {
    /// No address answered.
    Connect(std::io::ErrorKind),
    Tls(String),
    Malformed(http::Reject),
    Status(u16),
    TooLarge(usize),
    /// The connection broke off.
    Cut,
    Late,
}

/// Fetches a document from the first of the addresses that can be connected to.
///
/// # Errors
/// Why there is none.
pub async fn get(wanted: &Wanted<'_>, addresses: &[IpAddr]) -> Result<Document, FetchError> {
    let timer = Timer::new();
    let mut failed = FetchError::Connect(std::io::ErrorKind::NotFound);
    for address in addresses {
        let address = SocketAddr::new(*address, wanted.url.port);
        match dial::connect(address, &timer, wanted.until).await {
            Ok(stream) => return ask(wanted, stream, &timer).await,
            Err(error) => failed = FetchError::Connect(error.kind()),
        }
        if clock::now() >= wanted.until {
            return Err(FetchError::Late);
        }
    }
    Err(failed)
}

async fn ask(wanted: &Wanted<'_>, stream: Stream, timer: &Timer) -> Result<Document, FetchError> {
    let patience = Patience { timer, idle: Duration::MAX, until: wanted.until, client: None };
    let stream = if wanted.url.https {
        let no_trust = || FetchError::Tls("no authorities to trust".to_owned());
        let tls = wanted.tls.ok_or_else(no_trust)?;
        let stream = stream.secure_client(tls, &wanted.url.host).map_err(FetchError::Tls)?;
        let (shaken, ended) = {
            let work = std::pin::pin!(stream.handshake(Buf::small()));
            patience.guard(&stream, work).await
        };
        match (shaken, ended) {
            (Ok(_), None) => stream,
            (_, Some(_)) => return Err(FetchError::Late),
            (Err(error), None) => return Err(FetchError::Tls(error.to_string())),
        }
    } else {
        stream
    };
    let head = head(wanted).into_buf().ok_or(FetchError::Cut)?;
    patience.write(&stream, head).await.map_err(|ended| FetchError::of(&ended))?;
    let mut response = ResponseHead::default();
    let read = read_head(&stream, &patience, Method::Get, &mut response).await;
    let block = read.map_err(|unread| FetchError::unread(&unread))?;
    if response.status != 200 {
        return Err(FetchError::Status(response.status));
    }
    let max_age = response.value(Name::CacheControl, block.filled()).and_then(max_age);
    let rest = &block.filled()[response.len..];
    let mut ahead = Buf::with_room(rest.len());
    ahead.put_all(rest);
    let mut body = Body::H1(Inbound::new(&stream, response.framing, Some(ahead)));
    let mut whole = Vec::new();
    loop {
        match body.next(&patience).await {
            Ok(Some(data)) if whole.len() + data.len() > wanted.bytes_max => {
                return Err(FetchError::TooLarge(wanted.bytes_max));
            }
            Ok(Some(data)) => whole.extend_from_slice(data.filled()),
            Ok(None) => return Ok(Document { body: whole, max_age }),
            Err(_) if clock::now() >= wanted.until => return Err(FetchError::Late),
            Err(_) => return Err(FetchError::Cut),
        }
    }
}

fn head(wanted: &Wanted<'_>) -> HeadOut {
    let mut out = HeadOut::new();
    let agent = concat!("ringway/", env!("CARGO_PKG_VERSION"));
    http::write::request_line(&mut out, b"GET", wanted.url.target.as_bytes(), None);
    http::write::field(&mut out, b"host", wanted.url.authority().as_bytes());
    http::write::field(&mut out, b"user-agent", agent.as_bytes());
    http::write::field(&mut out, b"accept", wanted.accept.as_bytes());
    http::write::field(&mut out, b"connection", b"close");
    http::write::end(&mut out);
    out
}

/// RFC 9111 section 5.2.2: what may not be kept is good for no time at all.
fn max_age(value: &[u8]) -> Option<Duration> {
    let mut age = None;
    for directive in value.split(|byte| *byte == b',') {
        let directive = directive.trim_ascii().to_ascii_lowercase();
        if directive == b"no-store" || directive == b"no-cache" {
            return Some(Duration::ZERO);
        }
        if let Some(seconds) = directive.strip_prefix(b"max-age=") {
            let text = std::str::from_utf8(seconds).ok()?.trim_matches('"');
            age = text.parse().ok().map(Duration::from_secs);
        }
    }
    age
}

// === impl FetchError ===

impl FetchError {
    fn unread(unread: &Unread) -> FetchError {
        match unread {
            Unread::Malformed(reject) => FetchError::Malformed(*reject),
            Unread::TooLarge => FetchError::Malformed(http::Reject::HeadTooLarge),
            Unread::Closed => FetchError::Cut,
            Unread::Ended(ended) => FetchError::of(ended),
        }
    }

    fn of(ended: &Ended) -> FetchError {
        match ended {
            Ended::Deadline => FetchError::Late,
            Ended::Io(_) | Ended::ClientGone => FetchError::Cut,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Connect(kind) => write!(f, "cannot connect: {kind}"),
            FetchError::Tls(why) => write!(f, "TLS: {why}"),
            FetchError::Malformed(reject) => write!(f, "malformed answer: {}", reject.token()),
            FetchError::Status(status) => write!(f, "status {status}"),
            FetchError::TooLarge(most) => write!(f, "larger than {most} bytes"),
            FetchError::Cut => f.write_str("the connection broke off"),
            FetchError::Late => f.write_str("no answer in time"),
        }
    }
}

impl std::error::Error for FetchError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_what_cache_control_says() {
        let age = |value: &str| max_age(value.as_bytes()).map(|age| age.as_secs());
        assert_eq!(age("public, max-age=3600, must-revalidate"), Some(3600));
        assert_eq!(age("Max-Age=\"60\""), Some(60));
        assert_eq!(age("no-store"), Some(0));
        assert_eq!(age("public"), None);
        assert_eq!(age("max-age=x"), None);
    }
}
