//! Renders requests, as HTTP/1.1, as HTTP/2, or as WebSocket messages. A request without
//! placeholders is rendered once and lives as long as the process, so that sending it copies
//! nothing; one with `{seq}` or `{rand}` is rendered each time. Pure.

use std::borrow::Cow;

use super::message::{self, Fields};
use crate::dice::Dice;

/// What a request is made of, as the flags or a plan say it.
#[derive(Clone, Debug)]
pub struct Definition {
    pub weight: u64,
    pub method: String,
    pub path: String,
    /// Name and value, Host and Content-Length left out.
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

#[derive(Debug)]
pub struct Template {
    pub is_head: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Fixed(&'static [u8]),
    Varying {
        head: Vec<Piece>,
        body: Option<Vec<Piece>>,
    },
    FixedMessage {
        block: &'static [u8],
        body: Option<&'static [u8]>,
    },
    VaryingMessage {
        fields: Fields,
        body: Option<Vec<Piece>>,
        grpc: bool,
    },
    /// The payload of a WebSocket message.
    Payload(Vec<Piece>),
}

/// What requests become on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Wire {
    Http1 { keep_alive: bool },
    Http2 { scheme: &'static str, grpc: bool },
    WebSocket,
}

/// A request of HTTP/2: its header block and its body.
pub struct Message {
    pub block: Rendered,
    pub body: Option<Rendered>,
}

#[derive(Debug)]
pub enum Piece {
    Text(Vec<u8>),
    Sequence,
    Random,
}

/// What a WebSocket message says where nothing else was asked for: 42 bytes.
const MESSAGE: &[u8; 42] = b"The quick brown client asks for an echo :)";

/// A weighted choice of templates.
#[derive(Debug)]
pub struct Mix {
    /// Each with the sum of the weights up to and including it.
    templates: Vec<(u64, Template)>,
}

/// Bytes ready to send.
pub enum Rendered {
    Fixed(&'static [u8]),
    Once(Vec<u8>),
}

// === impl Mix ===

impl Mix {
    pub fn new(definitions: &[Definition], host: &str, wire: Wire) -> Result<Mix, String> {
        let mut sum = 0;
        let mut templates = Vec::new();
        for definition in definitions {
            sum += definition.weight;
            templates.push((sum, Template::new(definition, host, wire)?));
        }
        if sum == 0 {
            return Err("the weights of the requests add up to nothing".into());
        }
        Ok(Mix { templates })
    }

    pub fn choose(&self, dice: &mut Dice) -> &Template {
        let (sum, last) = self.templates.last().expect("a mix has a request");
        if self.templates.len() == 1 {
            return last;
        }
        let point = dice.below(*sum);
        self.templates.iter().find(|(to, _)| point < *to).map_or(last, |(_, template)| template)
    }
}

// === impl Template ===

impl Template {
    fn new(from: &Definition, host: &str, wire: Wire) -> Result<Template, String> {
        check(from)?;
        let keep_alive = match wire {
            Wire::Http1 { keep_alive } => keep_alive,
            Wire::Http2 { scheme, grpc } => return Template::message_of(from, host, scheme, grpc),
            Wire::WebSocket => {
                let body = pieces(from.body.as_deref().unwrap_or(MESSAGE));
                let mut kind = Kind::Payload(body);
                if let Kind::Payload(body) = &kind
                    && !varies(body)
                {
                    kind = Kind::Fixed(kind.render(0, &mut Dice::new(0)).leak());
                }
                return Ok(Template { is_head: false, kind });
            }
        };
        let mut head = format!("{} {} HTTP/1.1\r\n", from.method, from.path);
        if !from.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &from.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !keep_alive {
            head.push_str("Connection: close\r\n");
        }
        let head = pieces(head.as_bytes());
        let body = from.body.as_deref().map(pieces);
        let varying = varies(&head) || body.as_ref().is_some_and(|body| varies(body));
        let mut kind = Kind::Varying { head, body };
        if !varying {
            kind = Kind::Fixed(kind.render(0, &mut Dice::new(0)).leak());
        }
        Ok(Template { is_head: from.method == "HEAD", kind })
    }

    fn message_of(
        from: &Definition,
        host: &str,
        scheme: &'static str,
        grpc: bool,
    ) -> Result<Template, String> {
        let fields = message::fields(from, host, scheme, grpc)?;
        let body = from.body.as_deref().or(grpc.then_some(b"".as_slice())).map(pieces);
        let varying = fields.iter().any(|(_, value)| varies(value))
            || body.as_ref().is_some_and(|body| varies(body));
        let mut kind = Kind::VaryingMessage { fields, body, grpc };
        if !varying {
            let (block, body) = kind.message(0, &mut Dice::new(0));
            let body = body.map(|body| &*body.leak());
            kind = Kind::FixedMessage { block: block.leak(), body };
        }
        Ok(Template { is_head: from.method == "HEAD", kind })
    }

    /// For HTTP/2.
    pub fn message(&self, sequence: u64, dice: &mut Dice) -> Message {
        if let Kind::FixedMessage { block, body } = self.kind {
            return Message { block: Rendered::Fixed(block), body: body.map(Rendered::Fixed) };
        }
        let (block, body) = self.kind.message(sequence, dice);
        Message { block: Rendered::Once(block), body: body.map(Rendered::Once) }
    }

    pub fn render(&self, sequence: u64, dice: &mut Dice) -> Rendered {
        match &self.kind {
            Kind::Fixed(bytes) => Rendered::Fixed(bytes),
            varying => Rendered::Once(varying.render(sequence, dice)),
        }
    }
}

// === impl Kind ===

impl Kind {
    fn render(&self, sequence: u64, dice: &mut Dice) -> Vec<u8> {
        let (head, body) = match self {
            Kind::Fixed(bytes) => return bytes.to_vec(),
            Kind::Payload(body) => {
                let mut out = Vec::new();
                fill(&mut out, body, sequence, dice);
                return out;
            }
            Kind::Varying { head, body } => (head, body),
            Kind::FixedMessage { .. } | Kind::VaryingMessage { .. } => {
                unreachable!("messages of HTTP/2 are asked for with `message`")
            }
        };
        let mut out = Vec::with_capacity(512);
        fill(&mut out, head, sequence, dice);
        let Some(body) = body else {
            out.extend_from_slice(b"\r\n");
            return out;
        };
        let mut filled = Vec::new();
        fill(&mut filled, body, sequence, dice);
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", filled.len()).as_bytes());
        out.extend_from_slice(&filled);
        out
    }

    /// Block and body.
    fn message(&self, sequence: u64, dice: &mut Dice) -> (Vec<u8>, Option<Vec<u8>>) {
        let Kind::VaryingMessage { fields, body, grpc } = self else {
            unreachable!("only messages of HTTP/2 are rendered as such")
        };
        let body = body.as_ref().map(|body| {
            let mut filled = if *grpc { vec![0; message::GRPC_PREFIX] } else { Vec::new() };
            fill(&mut filled, body, sequence, dice);
            if *grpc {
                message::set_grpc_length(&mut filled);
            }
            filled
        });
        (message::block(fields, body.as_deref(), sequence, dice), body)
    }
}

fn varies(pieces: &[Piece]) -> bool {
    pieces.iter().any(|piece| !matches!(piece, Piece::Text(_)))
}

// === impl Rendered ===

impl Rendered {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Rendered::Fixed(bytes) => bytes,
            Rendered::Once(bytes) => bytes,
        }
    }

    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub fn into_cow(self) -> Cow<'static, [u8]> {
        match self {
            Rendered::Fixed(bytes) => Cow::Borrowed(bytes),
            Rendered::Once(bytes) => Cow::Owned(bytes),
        }
    }
}

pub fn fill(out: &mut Vec<u8>, pieces: &[Piece], sequence: u64, dice: &mut Dice) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Sequence => out.extend_from_slice(sequence.to_string().as_bytes()),
            Piece::Random => out.extend_from_slice(dice.below(1 << 32).to_string().as_bytes()),
        }
    }
}

pub fn pieces(text: &[u8]) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let sequence = memchr::memmem::find(rest, b"{seq}");
        let random = memchr::memmem::find(rest, b"{rand}");
        let (at, len, piece) = match (sequence, random) {
            (Some(s), r) if r.is_none_or(|r| s < r) => (s, 5, Piece::Sequence),
            (_, Some(r)) => (r, 6, Piece::Random),
            _ => break,
        };
        if at > 0 {
            found.push(Piece::Text(rest[..at].to_vec()));
        }
        found.push(piece);
        rest = &rest[at + len..];
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest.to_vec()));
    }
    found
}

/// A generator that sends nonsense by accident measures the error path.
fn check(from: &Definition) -> Result<(), String> {
    let token = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_graphic());
    if !token(&from.method) || !token(&from.path) || !from.path.starts_with(['/', '*']) {
        return Err(format!("`{} {}` is not a request", from.method, from.path));
    }
    for (name, value) in &from.headers {
        if !token(name) || name.contains(':') || value.contains(['\r', '\n', '\0']) {
            return Err(format!("`{name}: {value}` is not a header field"));
        }
        if name.eq_ignore_ascii_case("content-length")
            || name.eq_ignore_ascii_case("transfer-encoding")
        {
            return Err(format!("{name} is set by the generator, from the body"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Wire = Wire::Http1 { keep_alive: true };

    fn definition(path: &str, body: Option<&str>) -> Definition {
        Definition {
            weight: 1,
            method: "POST".into(),
            path: path.into(),
            headers: vec![("X-A".into(), "{seq}".into())],
            body: body.map(|b| b.as_bytes().to_vec()),
        }
    }

    fn text(template: &Template, sequence: u64) -> String {
        let bytes = template.render(sequence, &mut Dice::new(3)).into_cow().into_owned();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn placeholders_are_filled_and_the_length_follows() {
        let template = Template::new(&definition("/{seq}", Some("{\"n\":{seq}}")), "h", KEPT);
        assert_eq!(
            text(&template.unwrap(), 12345),
            "POST /12345 HTTP/1.1\r\nHost: h\r\nX-A: 12345\r\nContent-Length: 11\r\n\r\n\
             {\"n\":12345}"
        );
    }

    #[test]
    fn a_fixed_request_is_rendered_once() {
        let mut fixed = definition("/", None);
        fixed.headers.clear();
        let template = Template::new(&fixed, "h", Wire::Http1 { keep_alive: false }).unwrap();
        assert!(matches!(template.kind, Kind::Fixed(_)));
        assert_eq!(text(&template, 1), "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn weights_are_kept() {
        let mut rare = definition("/rare", None);
        let mut often = definition("/often", None);
        (rare.weight, often.weight) = (1, 9);
        let mix = Mix::new(&[rare, often], "h", KEPT).unwrap();
        let mut dice = Dice::new(5);
        let drawn = (0..10_000).filter(|_| text(mix.choose(&mut dice), 0).contains("/rare"));
        let drawn = drawn.count();
        assert!((900..1100).contains(&drawn), "{drawn}");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Template::new(&definition("no-slash", None), "h", KEPT).is_err());
        assert!(Template::new(&definition("/a b", None), "h", KEPT).is_err());
        let mut injected = definition("/", None);
        injected.headers[0].1 = "a\r\nB: c".into();
        assert!(Template::new(&injected, "h", KEPT).is_err());
        let mut framed = definition("/", None);
        framed.headers[0].0 = "Content-Length".into();
        assert!(Template::new(&framed, "h", KEPT).is_err());
    }
}
