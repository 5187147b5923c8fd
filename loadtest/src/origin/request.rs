//! Parses one request head for the origin: method, target, framing. Strict where a lenient origin
//! would hide a gateway's fault (bare LF, both framings, duplicates). Pure.

use httparse::{EMPTY_HEADER, Status};

pub const HEAD_BYTES_MAX: usize = 256 * 1024;
const FIELDS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
}

/// A parsed head; `target` borrows the receive buffer.
#[derive(Debug)]
pub struct Request<'a> {
    pub head_len: usize,
    pub target: &'a str,
    pub is_head: bool,
    pub keep_alive: bool,
    pub expects_continue: bool,
    pub body: Body,
    /// Of an upgrade to WebSocket.
    pub websocket_key: Option<&'a str>,
}

/// `None`: the head's end is not there yet. `Err`: not a request; the reason.
pub fn parse(bytes: &[u8]) -> Result<Option<Request<'_>>, &'static str> {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; FIELDS_MAX];
    let mut none = [EMPTY_HEADER; 0];
    let mut request = httparse::Request::new(&mut none);
    let head_len = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(Status::Complete(used)) => used,
        Ok(Status::Partial) if bytes.len() > HEAD_BYTES_MAX => return Err("head too large"),
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err("head syntax"),
    };
    for at in memchr::memchr_iter(b'\n', &bytes[..head_len]) {
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err("bare LF");
        }
    }
    let method = request.method.expect("httparse completed the head");
    let mut parsed = Request {
        head_len,
        target: request.path.expect("httparse completed the head"),
        is_head: method == "HEAD",
        keep_alive: request.version == Some(1),
        expects_continue: false,
        body: Body::None,
        websocket_key: None,
    };
    let mut hosts = 0;
    for field in request.headers.iter() {
        note(&mut parsed, field, &mut hosts)?;
    }
    // RFC 9112 section 3.2: exactly one Host in HTTP/1.1.
    if request.version == Some(1) && hosts != 1 {
        return Err("not exactly one Host");
    }
    Ok(Some(parsed))
}

fn note<'a>(
    parsed: &mut Request<'a>,
    field: &httparse::Header<'a>,
    hosts: &mut u32,
) -> Result<(), &'static str> {
    // The length tells most names apart without comparing them.
    match field.name.len() {
        4 if field.name.eq_ignore_ascii_case("host") => *hosts += 1,
        6 if field.name.eq_ignore_ascii_case("expect") => {
            parsed.expects_continue = field.value.eq_ignore_ascii_case(b"100-continue");
        }
        10 if field.name.eq_ignore_ascii_case("connection") => {
            let mut tokens = field.value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
            if tokens.any(|t| t.eq_ignore_ascii_case(b"close")) {
                parsed.keep_alive = false;
            }
        }
        14 if field.name.eq_ignore_ascii_case("content-length") => {
            if parsed.body != Body::None {
                return Err("two framings");
            }
            if !field.value.iter().all(u8::is_ascii_digit) {
                return Err("Content-Length is not a number");
            }
            let text = std::str::from_utf8(field.value).map_err(|_| "Content-Length")?;
            parsed.body = Body::Length(text.parse().map_err(|_| "Content-Length")?);
        }
        17 if field.name.eq_ignore_ascii_case("sec-websocket-key") => {
            parsed.websocket_key = std::str::from_utf8(field.value).ok();
        }
        17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
            if parsed.body != Body::None {
                return Err("two framings");
            }
            if !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err("Transfer-Encoding other than chunked");
            }
            parsed.body = Body::Chunked;
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_framing_and_target() {
        let wire = b"POST /a?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\
                     Expect: 100-continue\r\n\r\nhello";
        let request = parse(wire).unwrap().unwrap();
        assert_eq!(request.head_len, wire.len() - 5);
        assert_eq!((request.target, request.body), ("/a?x=1", Body::Length(5)));
        assert!(request.keep_alive && request.expects_continue && !request.is_head);
    }

    #[test]
    fn close_and_old_versions() {
        let closing = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n";
        assert!(!parse(closing).unwrap().unwrap().keep_alive);
        assert!(!parse(b"GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().keep_alive);
    }

    #[test]
    fn refuses_what_smuggles() {
        for wire in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "GARBAGE\r\n\r\n",
        ] {
            assert!(parse(wire.as_bytes()).is_err(), "{wire:?}");
        }
        assert!(parse(b"GET / HTTP/1.1\r\nHost").unwrap().is_none());
    }
}
