//! Where keys are asked for: the admin API of a gateway that runs, or the store itself.
//!
//! Both answer to the same method, path and body with the same JSON, for both are the same code:
//! without a gateway, the API is asked in this process. Plain HTTP/1.1 over one connection a
//! question; the address is this host's.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::Whom;
use crate::config::{self, Config, Diagnostic};
use crate::control::StartError;
use crate::control::house::api::Offline;
use crate::http::{Limits, Method, Parsed, ResponseHead, Scan, parse_response};

/// Why it is not done.
pub enum Failed {
    /// The configuration is wrong.
    Config(Vec<Diagnostic>),
    /// What was asked for is refused.
    Refused(String),
    /// Nobody could be asked.
    Unable(String),
}

/// Whom to ask.
pub enum Door {
    Gateway { address: SocketAddr, token: Option<String> },
    Store(Box<Offline>),
}

/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What an answer may be long: a page of a thousand keys with all their lists full.
const ANSWER_MAX: u64 = 64 << 20;

// === impl Door ===

impl Door {
    /// The gateway, if one answers; else the store.
    pub fn open(whom: &Whom) -> Result<Door, Failed> {
        let config = match &whom.config {
            Some(file) => Some(config::load(file).map_err(Failed::Config)?.config),
            None => None,
        };
        let token = token(whom.token_file.as_deref(), config.as_ref())?;
        let address = match (&whom.admin, &config) {
            (Some(url), _) => Some(address_of(url)?),
            (None, Some(config)) => config.admin.enabled.then_some(local(config.admin.address)),
            (None, None) => None,
        };
        if let Some(address) = address {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(_) => return Ok(Door::Gateway { address, token }),
                Err(error) if whom.admin.is_some() => {
                    return Err(Failed::Unable(format!("no gateway at {address}: {error}")));
                }
                Err(_) => {}
            }
        }
        let config = config.expect("the command line asks for --config or --admin");
        if config.gateway.state_dir.is_none() {
            return Err(Failed::Unable(
                "no gateway runs with this configuration, and gateway.state_dir, where keys \
                 would be kept, is not set"
                    .to_owned(),
            ));
        }
        Offline::open(config).map(|offline| Door::Store(Box::new(offline))).map_err(|error| {
            match error {
                StartError::Config(all) => Failed::Config(all),
                error => Failed::Unable(error.to_string()),
            }
        })
    }

    /// The gateway at an admin address.
    pub fn to_gateway(
        url: &str,
        token_file: Option<&Path>,
        config: Option<&Config>,
    ) -> Result<Door, Failed> {
        let address = local(address_of(url)?);
        Ok(Door::Gateway { address, token: token(token_file, config)? })
    }

    /// Asks; the answer's JSON.
    pub fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failed> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let (status, answer) = match self {
            Door::Gateway { address, token } => {
                let request = request(*address, token.as_deref(), method, path, &body);
                exchange(*address, &request, method)
                    .map_err(|error| Failed::Unable(format!("the gateway at {address}: {error}")))?
            }
            Door::Store(offline) => offline.ask(method, path, body.as_bytes()),
        };
        let json: Value = match answer.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&answer)
                .map_err(|error| Failed::Unable(format!("not an answer of a gateway: {error}")))?,
        };
        if (200..300).contains(&status) {
            return Ok(json);
        }
        let detail = json["detail"].as_str().or(json["error"]["message"].as_str());
        let detail = detail.map_or_else(|| format!("status {status}"), str::to_owned);
        Err(match status {
            500.. => Failed::Unable(detail),
            _ => Failed::Refused(detail),
        })
    }
}

/// Percent-encoded, all but what never needs it (RFC 3986 section 2.3).
pub fn coded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn request(
    address: SocketAddr,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: &str,
) -> String {
    let user = std::env::var("USER").unwrap_or_default();
    let user: String = user.chars().filter(char::is_ascii_graphic).take(32).collect();
    let auth = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let kind = match body {
        "" => String::new(),
        _ => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
    };
    format!(
        "{method} /admin/v1{path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: ringway keys; \
         {user}\r\n{auth}{kind}Connection: close\r\n\r\n{body}"
    )
}

fn exchange(address: SocketAddr, request: &str, method: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    let mut head = ResponseHead::default();
    let method = Method::known(method.as_bytes()).unwrap_or(Method::Get);
    let limits = Limits::default();
    match parse_response(&mut head, &mut Scan::default(), &answer, &limits, method) {
        Ok(Parsed::Complete) => Ok((head.status, answer.split_off(head.len))),
        Ok(Parsed::Partial) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::other("it does not speak HTTP")),
    }
}

/// `http://HOST:PORT`, with or without a slash behind it.
fn address_of(url: &str) -> Result<SocketAddr, Failed> {
    let wrong = |why: &str| Failed::Unable(format!("--admin {url}: {why}"));
    let rest = match url.split_once("://") {
        None => url,
        Some(("http", rest)) => rest,
        Some(_) => return Err(wrong("the admin API is plain http")),
    };
    let host = rest.trim_end_matches('/');
    let found = host.to_socket_addrs().map_err(|error| wrong(&error.to_string()))?;
    found.into_iter().next().ok_or_else(|| wrong("no address"))
}

/// Where a server that listens on all addresses is reached from this host.
fn local(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => address.set_ip([127, 0, 0, 1].into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            address.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    address
}

/// The admin token, from where it is said to be first.
fn token(file: Option<&Path>, config: Option<&Config>) -> Result<Option<String>, Failed> {
    let from_file = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map(|text| text.trim().to_owned())
    };
    if let Some(path) = file {
        let token = from_file(path);
        let token =
            token.map_err(|error| Failed::Unable(format!("{}: {error}", path.display())))?;
        return Ok(Some(token));
    }
    if let Ok(token) = std::env::var("RINGWAY_ADMIN_TOKEN") {
        return Ok(Some(token.trim().to_owned()));
    }
    let Some(source) = config.and_then(|config| config.admin.token.as_ref()) else {
        return Ok(None);
    };
    if let Some(token) = source.env.as_ref().and_then(|name| std::env::var(name).ok()) {
        return Ok(Some(token.trim().to_owned()));
    }
    // One that this user may not read is the same as none: the gateway says that it is missing.
    Ok(source.file.as_ref().and_then(|file| from_file(&file.path).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_path_is_encoded() {
        assert_eq!(coded("a-b_c.1~"), "a-b_c.1~");
        assert_eq!(coded("a/b ?ä"), "a%2Fb%20%3F%C3%A4");
    }

    #[test]
    fn a_server_on_all_addresses_is_asked_on_loopback() {
        let all: SocketAddr = "0.0.0.0:9901".parse().expect("an address");
        assert_eq!(local(all).to_string(), "127.0.0.1:9901");
        let six: SocketAddr = "[::]:9901".parse().expect("an address");
        assert_eq!(local(six).to_string(), "[::1]:9901");
        let one: SocketAddr = "10.0.0.1:9901".parse().expect("an address");
        assert_eq!(local(one), one);
    }
}
