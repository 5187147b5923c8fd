//! The grammar of a route key: `GET /pets/{id}`, `ANY /x/{proxy+}`, `$default`, and of a base path.
//!
//! Strict, because a key is configuration: what cannot be meant is refused with its position, what
//! is wrong and what to write instead. A literal is kept percent-decoded, for it is compared with
//! the decoded segment of a request (see `trie`).
//!
//! Trailing slash: `GET /pets/` is a key of its own, different from `GET /pets`, as a request for
//! `/pets/` does not meet `GET /pets` in an AWS HTTP API. With `Options::ignore_trailing_slash`
//! (AWS REST APIs) the two are the same route.

use std::fmt;

use crate::bounds::{
    ROUTE_KEY_BYTES_MAX, ROUTE_LITERAL_BYTES_MAX, ROUTE_METHOD_BYTES_MAX, ROUTE_SEGMENTS_MAX,
};

/// What a route answers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteKey {
    /// `$default`: whatever no other route of the same host and base path takes.
    Default,
    /// `METHOD /path`.
    Path {
        /// The method, or any.
        method: MethodKey,
        /// The path's shape.
        path: PathPattern,
    },
}

/// The method half of a route key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MethodKey {
    /// `ANY`: every method the same path has no route of its own for.
    Any,
    /// One method, case-sensitive (RFC 9110 section 9.1).
    Exact(String),
}

/// The path half of a route key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    /// The segments between slashes; none for `/`.
    pub segments: Vec<Segment>,
    /// Whether the key was written with a slash at its end (never for `/` itself).
    pub trailing_slash: bool,
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly these bytes, percent-decoded.
    Static(Vec<u8>),
    /// `{name}`: any one segment that is not empty.
    Param(String),
    /// `{name+}`: the rest of the path, at least one byte.
    Greedy(String),
}

/// Where an API is mounted: empty, or literal segments (`/v1`, `/shop/eu`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BasePath {
    segments: Vec<Vec<u8>>,
}

/// Why a text is not a route key or base path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    /// Byte offset into the text.
    pub at: usize,
    /// What is wrong there.
    pub fault: KeyFault,
}

/// The ways a route key can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// The key is empty.
    Empty,
    /// The key is longer than `ROUTE_KEY_BYTES_MAX`.
    TooLong,
    /// A `$` word that is not `$default`.
    UnknownSpecial,
    /// No method stands before the path.
    NoMethod,
    /// The method is not an upper-case token.
    BadMethod,
    /// There is no path after the method, or it does not begin with a slash.
    NoPath,
    /// Two slashes stand side by side.
    EmptySegment,
    /// More segments than `ROUTE_SEGMENTS_MAX`.
    TooManySegments,
    /// A literal longer than `ROUTE_LITERAL_BYTES_MAX`.
    LiteralTooLong,
    /// `.` or `..` as a segment.
    DotSegment,
    /// A byte that no path may hold.
    BadByte(char),
    /// A `%` without two hexadecimal digits, or one that stands for a separator or a control byte.
    BadPercent,
    /// A brace inside a literal, or one without its other half.
    BadBrace,
    /// `{}` or `{+}`.
    EmptyName,
    /// A byte that no parameter name may hold.
    BadName(char),
    /// The same parameter name twice.
    NameTwice(String),
    /// Something follows a greedy parameter.
    GreedyNotLast,
    /// A parameter in a base path.
    ParamInBase,
    /// A base path ends with a slash.
    BaseSlash,
}

// === impl RouteKey ===

impl RouteKey {
    /// Reads a route key.
    ///
    /// # Errors
    /// With the position, the fault and its remedy.
    pub fn parse(text: &str) -> Result<RouteKey, KeyError> {
        if text.len() > ROUTE_KEY_BYTES_MAX {
            return Err(KeyError { at: ROUTE_KEY_BYTES_MAX, fault: KeyFault::TooLong });
        }
        if text.is_empty() {
            return Err(KeyError { at: 0, fault: KeyFault::Empty });
        }
        if text.starts_with('$') {
            return match text {
                "$default" => Ok(RouteKey::Default),
                _ => Err(KeyError { at: 0, fault: KeyFault::UnknownSpecial }),
            };
        }
        let space = text.find(' ').unwrap_or(text.len());
        let method = parse_method(&text[..space])?;
        if space == text.len() {
            return Err(KeyError { at: space, fault: KeyFault::NoPath });
        }
        let path = PathPattern::parse(&text[space + 1..])
            .map_err(|e| KeyError { at: e.at + space + 1, ..e })?;
        Ok(RouteKey::Path { method, path })
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteKey::Default => f.write_str("$default"),
            RouteKey::Path { method, path } => write!(f, "{method} {path}"),
        }
    }
}

// === impl MethodKey ===

impl MethodKey {
    /// The method's token; `ANY` for any.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            MethodKey::Any => "ANY",
            MethodKey::Exact(m) => m,
        }
    }
}

impl fmt::Display for MethodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl PathPattern ===

impl PathPattern {
    /// Reads the path half of a route key.
    ///
    /// # Errors
    /// With the position inside `text`.
    pub fn parse(text: &str) -> Result<PathPattern, KeyError> {
        if !text.starts_with('/') {
            return Err(KeyError { at: 0, fault: KeyFault::NoPath });
        }
        let mut pattern = PathPattern { segments: Vec::new(), trailing_slash: false };
        let mut at = 1;
        for piece in text[1..].split('/') {
            if piece.is_empty() {
                if at != text.len() {
                    return Err(KeyError { at, fault: KeyFault::EmptySegment });
                }
                // The slash of `/` itself is not a trailing one.
                pattern.trailing_slash = !pattern.segments.is_empty();
                break;
            }
            if let Some(Segment::Greedy(_)) = pattern.segments.last() {
                return Err(KeyError { at, fault: KeyFault::GreedyNotLast });
            }
            if pattern.segments.len() == ROUTE_SEGMENTS_MAX {
                return Err(KeyError { at, fault: KeyFault::TooManySegments });
            }
            let segment = parse_segment(piece, at)?;
            if let Some(name) = segment.name()
                && pattern.segments.iter().any(|s| s.name() == Some(name))
            {
                let fault = KeyFault::NameTwice(name.to_owned());
                return Err(KeyError { at: at + 1, fault });
            }
            pattern.segments.push(segment);
            at += piece.len() + 1;
        }
        if pattern.trailing_slash && matches!(pattern.segments.last(), Some(Segment::Greedy(_))) {
            return Err(KeyError { at: text.len() - 1, fault: KeyFault::GreedyNotLast });
        }
        Ok(pattern)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return f.write_str("/");
        }
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        if self.trailing_slash { f.write_str("/") } else { Ok(()) }
    }
}

// === impl Segment ===

impl Segment {
    /// The parameter's name, if this is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Segment::Static(_) => None,
            Segment::Param(name) | Segment::Greedy(name) => Some(name),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segment::Static(bytes) => fmt_literal(bytes, f),
            Segment::Param(name) => write!(f, "{{{name}}}"),
            Segment::Greedy(name) => write!(f, "{{{name}+}}"),
        }
    }
}

// === impl BasePath ===

impl BasePath {
    /// Reads a base path: empty or `/` for none, else literal segments.
    ///
    /// # Errors
    /// With the position inside `text`.
    pub fn parse(text: &str) -> Result<BasePath, KeyError> {
        if text.is_empty() {
            return Ok(BasePath::default());
        }
        if text.len() > ROUTE_KEY_BYTES_MAX {
            return Err(KeyError { at: ROUTE_KEY_BYTES_MAX, fault: KeyFault::TooLong });
        }
        let pattern = PathPattern::parse(text)?;
        if pattern.trailing_slash {
            return Err(KeyError { at: text.len() - 1, fault: KeyFault::BaseSlash });
        }
        let mut segments = Vec::with_capacity(pattern.segments.len());
        for segment in pattern.segments {
            match segment {
                Segment::Static(bytes) => segments.push(bytes),
                Segment::Param(_) | Segment::Greedy(_) => {
                    let at = text.find('{').unwrap_or(0);
                    return Err(KeyError { at, fault: KeyFault::ParamInBase });
                }
            }
        }
        Ok(BasePath { segments })
    }

    /// The literal segments, percent-decoded.
    #[must_use]
    pub fn segments(&self) -> &[Vec<u8>] {
        &self.segments
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            f.write_str("/")?;
            fmt_literal(segment, f)?;
        }
        Ok(())
    }
}

// === impl KeyError ===

impl KeyError {
    /// What to write instead.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.fault {
            KeyFault::Empty | KeyFault::NoMethod | KeyFault::NoPath => {
                "write METHOD /path, ANY /path or $default"
            }
            KeyFault::TooLong | KeyFault::TooManySegments | KeyFault::LiteralTooLong => {
                "shorten the path, or take its rest with {name+}"
            }
            KeyFault::UnknownSpecial => "the only special key is $default",
            KeyFault::BadMethod => "write an upper-case token such as GET, or ANY",
            KeyFault::EmptySegment => "write one slash",
            KeyFault::DotSegment => "write the path that is meant, without . and ..",
            KeyFault::BadByte(_) => "percent-encode it; the query is not part of a route key",
            KeyFault::BadPercent => {
                "write % and two hexadecimal digits, not of a slash, backslash or control byte"
            }
            KeyFault::BadBrace => "a parameter is a whole segment: /{name}/",
            KeyFault::EmptyName => "name it, as in {id} or {proxy+}",
            KeyFault::BadName(_) => "names are made of A-Z a-z 0-9 _ . -",
            KeyFault::NameTwice(_) => "give each parameter its own name",
            KeyFault::GreedyNotLast => "put {name+} last",
            KeyFault::ParamInBase => "move the parameter into the route keys",
            KeyFault::BaseSlash => "leave the last slash out",
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: ", self.at)?;
        match &self.fault {
            KeyFault::Empty => f.write_str("the key is empty"),
            KeyFault::TooLong => write!(f, "longer than {ROUTE_KEY_BYTES_MAX} bytes"),
            KeyFault::UnknownSpecial => f.write_str("unknown special key"),
            KeyFault::NoMethod => f.write_str("no method before the path"),
            KeyFault::BadMethod => f.write_str("not a method"),
            KeyFault::NoPath => f.write_str("a path that begins with / is missing"),
            KeyFault::EmptySegment => f.write_str("empty path segment"),
            KeyFault::TooManySegments => write!(f, "more than {ROUTE_SEGMENTS_MAX} segments"),
            KeyFault::LiteralTooLong => {
                write!(f, "a segment longer than {ROUTE_LITERAL_BYTES_MAX} bytes")
            }
            KeyFault::DotSegment => f.write_str("a dot segment never reaches routing"),
            KeyFault::BadByte(c) => write!(f, "{c:?} cannot stand in a path"),
            KeyFault::BadPercent => f.write_str("bad percent-encoding"),
            KeyFault::BadBrace => f.write_str("misplaced brace"),
            KeyFault::EmptyName => f.write_str("a parameter without a name"),
            KeyFault::BadName(c) => write!(f, "{c:?} cannot stand in a parameter's name"),
            KeyFault::NameTwice(name) => write!(f, "parameter {name:?} stands twice"),
            KeyFault::GreedyNotLast => f.write_str("something follows a greedy parameter"),
            KeyFault::ParamInBase => f.write_str("a base path has no parameters"),
            KeyFault::BaseSlash => f.write_str("a base path does not end with a slash"),
        }?;
        write!(f, "; {}", self.remedy())
    }
}

impl std::error::Error for KeyError {}

fn parse_method(text: &str) -> Result<MethodKey, KeyError> {
    if text.is_empty() || text.starts_with('/') {
        return Err(KeyError { at: 0, fault: KeyFault::NoMethod });
    }
    if text == "ANY" {
        return Ok(MethodKey::Any);
    }
    // RFC 9110 section 5.6.2 `token`, less the lower-case letters: `get` would never match a `GET`.
    let token =
        |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(b);
    if let Some(at) = text.bytes().position(|b| !token(&b)) {
        return Err(KeyError { at, fault: KeyFault::BadMethod });
    }
    if text.len() > ROUTE_METHOD_BYTES_MAX {
        return Err(KeyError { at: ROUTE_METHOD_BYTES_MAX, fault: KeyFault::BadMethod });
    }
    Ok(MethodKey::Exact(text.to_owned()))
}

/// One piece between slashes; `at` is its offset, for the error.
fn parse_segment(piece: &str, at: usize) -> Result<Segment, KeyError> {
    let Some(inner) = piece.strip_prefix('{') else {
        return parse_literal(piece, at).map(Segment::Static);
    };
    let Some(inner) = inner.strip_suffix('}') else {
        return Err(KeyError { at: at + piece.len() - 1, fault: KeyFault::BadBrace });
    };
    let (name, greedy) = match inner.strip_suffix('+') {
        Some(name) => (name, true),
        None => (inner, false),
    };
    if name.is_empty() {
        return Err(KeyError { at: at + 1, fault: KeyFault::EmptyName });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if let Some((i, c)) = name.char_indices().find(|(_, c)| !allowed(*c)) {
        let fault = if matches!(c, '{' | '}') { KeyFault::BadBrace } else { KeyFault::BadName(c) };
        return Err(KeyError { at: at + 1 + i, fault });
    }
    Ok(if greedy { Segment::Greedy(name.to_owned()) } else { Segment::Param(name.to_owned()) })
}

fn parse_literal(piece: &str, at: usize) -> Result<Vec<u8>, KeyError> {
    let bytes = piece.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut chars = piece.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '{' | '}' => return Err(KeyError { at: at + i, fault: KeyFault::BadBrace }),
            '%' => {
                let byte = percent(&bytes[i..])
                    .filter(|b| !b.is_ascii_control() && !matches!(b, b'/' | b'\\'))
                    .ok_or(KeyError { at: at + i, fault: KeyFault::BadPercent })?;
                out.push(byte);
                chars.nth(1);
            }
            ' ' | '?' | '#' | '\\' | '"' | '<' | '>' | '^' | '`' | '|' => {
                return Err(KeyError { at: at + i, fault: KeyFault::BadByte(c) });
            }
            c if c.is_control() => {
                return Err(KeyError { at: at + i, fault: KeyFault::BadByte(c) });
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if out == b"." || out == b".." {
        return Err(KeyError { at, fault: KeyFault::DotSegment });
    }
    if out.len() > ROUTE_LITERAL_BYTES_MAX {
        return Err(KeyError { at, fault: KeyFault::LiteralTooLong });
    }
    Ok(out)
}

/// The byte that a `%XX` at the head of `bytes` stands for.
pub(super) fn percent(bytes: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = bytes else { return None };
    Some(hex(high)? << 4 | hex(low)?)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// A literal as it would stand in a URI: what is not a `pchar` (RFC 3986 section 3.3) is encoded.
fn fmt_literal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &b in bytes {
        if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b) {
            write!(f, "{}", char::from(b))?;
        } else {
            write!(f, "%{b:02X}")?;
        }
    }
    Ok(())
}
