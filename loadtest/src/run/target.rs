//! Takes a URL apart into what a connection needs: scheme, address, authority, path. Pure but for
//! one name look-up before the run starts.

use std::net::{SocketAddr, ToSocketAddrs};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub tls: bool,
    /// The scheme asks for an upgrade.
    pub websocket: bool,
    /// Without brackets: what TLS asks for.
    pub host: String,
    pub port: u16,
    /// As it stands in the URL: what the Host field says.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

// === impl Target ===

impl Target {
    pub fn parse(url: &str) -> Result<Target, String> {
        let bad = |why: &str| format!("`{url}`: {why}");
        let (tls, websocket, rest) = match url.split_once("://") {
            Some(("http", rest)) => (false, false, rest),
            Some(("https", rest)) => (true, false, rest),
            Some(("ws", rest)) => (false, true, rest),
            Some(("wss", rest)) => (true, true, rest),
            _ => return Err(bad("an URL begins with http://, https://, ws:// or wss://")),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let path = match path {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        if path.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'#') {
            return Err(bad("a path has no spaces, controls or fragment"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').ok_or_else(|| bad("`]` is missing"))?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(bad("the host is missing"));
        }
        let port = match port {
            Some(text) => text.parse().map_err(|_| bad("the port is not a number to 65535"))?,
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
        };
        let (host, authority) = (host.to_owned(), authority.to_owned());
        Ok(Target { tls, websocket, host, port, authority, path })
    }

    /// The first address of the host.
    pub fn resolve(&self) -> Result<SocketAddr, String> {
        (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|e| format!("{}: {e}", self.host))?
            .next()
            .ok_or_else(|| format!("{}: no address", self.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_apart() {
        let t = Target::parse("http://127.0.0.1:8080/a?b=c").unwrap();
        assert_eq!((t.tls, t.host.as_str(), t.port), (false, "127.0.0.1", 8080));
        assert_eq!((t.authority.as_str(), t.path.as_str()), ("127.0.0.1:8080", "/a?b=c"));
        let t = Target::parse("https://[::1]").unwrap();
        assert_eq!((t.tls, t.host.as_str(), t.port, t.path.as_str()), (true, "::1", 443, "/"));
        let t = Target::parse("wss://h/ws").unwrap();
        assert_eq!((t.tls, t.websocket, t.port), (true, true, 443));
        assert_eq!(Target::parse("http://h?x=1").unwrap().path, "/?x=1");
        for bad in ["ftp://a/", "http:///x", "http://a:70000/", "a", "http://[::1/", "http://a/b c"]
        {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
