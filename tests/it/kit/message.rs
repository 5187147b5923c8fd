//! Messages as scenarios see them, and a parser of its own: strict, slow, plain.
//!
//! Knows nothing of the product's codec. A message that is not well-formed to the letter fails the
//! test, naming the bytes; an incomplete one is told apart from a complete one.

use super::show;

/// A request as an origin received it.
#[derive(Clone)]
pub struct Request {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// The head as it came, blank line included.
    pub head: Vec<u8>,
}

/// A response as a client received it.
#[derive(Clone)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Interim responses that came before, each with its fields.
    pub interim: Vec<Response>,
    pub head: Vec<u8>,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// What a piece of chunked coding is.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    Data(Vec<u8>),
    Last(Vec<(String, String)>),
}

// === impl Request ===

impl Request {
    /// Parses a head that ends in its blank line.
    pub fn of_head(head: &[u8]) -> Request {
        let (line, fields) = head_lines(head);
        Request { line, fields, body: Vec::new(), trailers: Vec::new(), head: head.to_vec() }
    }

    pub fn method(&self) -> &str {
        self.line.split(' ').next().expect("split gives one part at least")
    }

    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).expect("a request line has a target")
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        one(&self.fields, name)
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        all(&self.fields, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn framing(&self) -> Framing {
        match (self.field("transfer-encoding"), self.field("content-length")) {
            (Some("chunked"), None) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length.parse().expect("a length")),
            (None, None) => Framing::None,
            both => panic!("ambiguous framing {both:?} in {}", show(&self.head)),
        }
    }
}

// === impl Response ===

impl Response {
    /// Parses a head that ends in its blank line.
    pub fn of_head(head: &[u8]) -> Response {
        let (line, fields) = head_lines(head);
        let mut parts = line.splitn(3, ' ');
        let version = parts.next().expect("split gives one part at least");
        let status = parts.next().unwrap_or_default();
        let reason = parts.next().unwrap_or_else(|| panic!("no reason part: {line:?}")).to_owned();
        assert!(version == "HTTP/1.1" && status.len() == 3, "not a status line: {line:?}");
        Response {
            status: status.parse().unwrap_or_else(|_| panic!("not a status: {line:?}")),
            reason,
            fields,
            body: Vec::new(),
            trailers: Vec::new(),
            interim: Vec::new(),
            head: head.to_vec(),
        }
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        one(&self.fields, name)
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        all(&self.fields, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// RFC 9112 section 6.3, as a client reads it.
    pub fn framing(&self, method: &str) -> Framing {
        if method == "HEAD" || self.status < 200 || self.status == 204 || self.status == 304 {
            return Framing::None;
        }
        match (self.field("transfer-encoding"), self.field("content-length")) {
            (Some("chunked"), None) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length.parse().expect("a length")),
            (None, None) => Framing::UntilClose,
            both => panic!("ambiguous framing {both:?} in {}", show(&self.head)),
        }
    }

    /// Says whether the connection ends after it.
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The code of a gateway error.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not an error body: {}", show(&self.body)));
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} + {}", show(&self.head), show(&self.body))
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} + {}", show(&self.head), show(&self.body))
    }
}

/// Where a head ends, blank line included; bare CR or LF inside it fail the test.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The chunk (or last chunk with trailers) at the front, and its length; `None` if incomplete.
pub fn chunk(bytes: &[u8]) -> Option<(Chunk, usize)> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")?;
    let digits = std::str::from_utf8(&bytes[..line]).expect("a chunk size is text");
    let size = usize::from_str_radix(digits, 16)
        .unwrap_or_else(|_| panic!("not a chunk size: {}", show(&bytes[..line])));
    let start = line + 2;
    if size == 0 {
        if bytes[start..].starts_with(b"\r\n") {
            return Some((Chunk::Last(Vec::new()), start + 2));
        }
        let end = start + head_end(&bytes[start..])?;
        return Some((Chunk::Last(fields(&bytes[start..end - 2])), end));
    }
    let data = bytes.get(start..start + size)?.to_vec();
    let end = bytes.get(start + size..start + size + 2)?;
    assert_eq!(end, b"\r\n", "a chunk's data do not end where its size says");
    Some((Chunk::Data(data), start + size + 2))
}

fn head_lines(head: &[u8]) -> (String, Vec<(String, String)>) {
    let end = head.windows(2).position(|two| two == b"\r\n").expect("a first line");
    let line = String::from_utf8(head[..end].to_vec())
        .unwrap_or_else(|_| panic!("first line is not text: {}", show(head)));
    assert!(!line.contains(['\r', '\n', '\0']), "a bare control byte in {line:?}");
    (line, fields(&head[end + 2..head.len() - 2]))
}

/// Field lines, each ended by CRLF.
fn fields(bytes: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest
            .windows(2)
            .position(|two| two == b"\r\n")
            .unwrap_or_else(|| panic!("a line without its end: {}", show(rest)));
        let line = &rest[..end];
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'), "bare CR or LF: {}", show(line));
        let colon = line.iter().position(|b| *b == b':');
        let colon = colon.unwrap_or_else(|| panic!("no colon: {}", show(line)));
        let name = String::from_utf8(line[..colon].to_vec()).expect("a name is ASCII");
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        assert!(!name.is_empty() && name.bytes().all(token), "not a field name: {name:?}");
        let value: String = line[colon + 1..].iter().map(|b| char::from(*b)).collect();
        found.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
        rest = &rest[end + 2..];
    }
    found
}

fn one<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let values = all(fields, name);
    assert!(values.len() <= 1, "{name} stands {} times: {values:?}", values.len());
    values.first().copied()
}

fn all<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let named = fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}
