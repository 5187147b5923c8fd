//! The one form a path has when it is routed, authorised and forwarded.
//!
//! Owns the answer to "do the gateway and its upstream mean the same resource?". The bytes that
//! come out are the bytes to route AND to forward; whoever forwards others undoes the work.
//! Invariant: what comes out holds no dot segment in any spelling, no encoded unreserved byte, no
//! backslash.
//!
//! `%2F` and `%5C` stay what they are under `Normalize`: data inside one segment, never a separator
//! (package and project names need them). `;` is data too. An upstream that decodes `%2F` before it
//! routes, or cuts at `;`, should stand behind `Reject`. `//` is merged, as most upstreams would.

use super::key::percent;

/// What is done about a path that has more than one spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathPolicy {
    /// Rewrites it to its canonical form; refuses what has none.
    #[default]
    Normalize,
    /// Refuses whatever `Normalize` would rewrite (but for the case of hexadecimal digits), and
    /// also `%2F`, `%5C` and `;`: for upstreams that decode or cut paths in ways of their own.
    Reject,
    /// Routes and forwards the bytes as they came, dot segments included. Only for an upstream that
    /// is itself the judge of its paths; route-level authorisation is then not to be trusted.
    Raw,
}

/// Why a path was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// A `%` without two hexadecimal digits.
    BadPercent,
    /// `%00`.
    Nul,
    /// A backslash, which some upstreams take for a slash.
    Backslash,
    /// `..` beyond the root.
    AboveRoot,
    /// A dot segment that shows only after a second look: `..;x`, `..%2Fx`.
    HiddenDots,
    /// `Reject` only: a dot segment.
    DotSegment,
    /// `Reject` only: an encoded byte that needs no encoding.
    NeedlessPercent,
    /// `Reject` only: `%2F` or `%5C`.
    EncodedSeparator,
    /// `Reject` only: `//`.
    DoubleSlash,
    /// `Reject` only: `;`.
    Semicolon,
}

// === impl PathError ===

impl PathError {
    /// The reason in the access log: stable, `snake_case`.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            PathError::BadPercent => "path_bad_percent",
            PathError::Nul => "path_nul",
            PathError::Backslash => "path_backslash",
            PathError::AboveRoot => "path_above_root",
            PathError::HiddenDots => "path_hidden_dots",
            PathError::DotSegment => "path_dot_segment",
            PathError::NeedlessPercent => "path_needless_percent",
            PathError::EncodedSeparator => "path_encoded_separator",
            PathError::DoubleSlash => "path_double_slash",
            PathError::Semicolon => "path_semicolon",
        }
    }
}

/// `path` in canonical form: itself where it already is (the usual case, found in one pass), else
/// rewritten into `buffer`. `path` has no query. What does not begin with a slash (`*`) is left
/// alone.
///
/// # Errors
/// The path has no canonical form, or the policy refuses it.
pub fn canonical<'a>(
    path: &'a [u8],
    policy: PathPolicy,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], PathError> {
    if policy == PathPolicy::Raw || path.first() != Some(&b'/') || is_plain(path) {
        return Ok(path);
    }
    buffer.clear();
    let strict = policy == PathPolicy::Reject;
    let mut pieces = path[1..].split(|&b| b == b'/').peekable();
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        let start = buffer.len();
        buffer.push(b'/');
        unify(piece, strict, buffer)?;
        match &buffer[start + 1..] {
            b"" if last => {}
            b"" if strict => return Err(PathError::DoubleSlash),
            b"" => buffer.truncate(start),
            b"." | b".." if strict => return Err(PathError::DotSegment),
            // RFC 3986 section 5.2.4: a dot segment at the end leaves its slash behind.
            b"." => buffer.truncate(start + usize::from(last)),
            b".." => {
                // The RFC stays at the root; a path that tries to leave it means no good.
                let parent = memchr::memrchr(b'/', &buffer[..start]).ok_or(PathError::AboveRoot)?;
                buffer.truncate(parent + usize::from(last));
            }
            segment if hides_dots(segment) => return Err(PathError::HiddenDots),
            _ => {}
        }
    }
    Ok(buffer)
}

/// Whether nothing in `path`, which is not empty, could need rewriting or refusing. Without
/// branches, so that it vectorises.
fn is_plain(path: &[u8]) -> bool {
    let is_odd = |b: &u8| matches!(b, b'%' | b'\\' | b';');
    let is_dotted = |(b, next): (&u8, &u8)| *b == b'/' && matches!(next, b'/' | b'.');
    let odd = path.iter().fold(false, |odd, b| odd | is_odd(b));
    !path.iter().zip(&path[1..]).fold(odd, |odd, pair| odd | is_dotted(pair))
}

/// Appends `piece` with unreserved bytes decoded and other encodings in upper case, which RFC 3986
/// section 6.2.2 says are equivalent.
fn unify(piece: &[u8], strict: bool, out: &mut Vec<u8>) -> Result<(), PathError> {
    let mut i = 0;
    while let Some(&b) = piece.get(i) {
        i += 1;
        match b {
            b'\\' => return Err(PathError::Backslash),
            b';' if strict => return Err(PathError::Semicolon),
            b'%' => {
                let byte = percent(&piece[i - 1..]).ok_or(PathError::BadPercent)?;
                match byte {
                    0 => return Err(PathError::Nul),
                    b'/' | b'\\' if strict => return Err(PathError::EncodedSeparator),
                    b if is_unreserved(b) => {
                        // `%2e%2e` is told apart from `%61`: the log says what was tried.
                        match b {
                            b'.' if strict => return Err(PathError::DotSegment),
                            _ if strict => return Err(PathError::NeedlessPercent),
                            _ => out.push(b),
                        }
                    }
                    _ => {
                        out.push(b'%');
                        out.extend(piece[i..i + 2].iter().map(u8::to_ascii_uppercase));
                    }
                }
                i += 2;
            }
            b => out.push(b),
        }
    }
    Ok(())
}

/// RFC 3986 section 2.3.
fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// Whether an upstream that decodes separators, or cuts at `;`, would find a dot segment in here.
/// The segment itself is none: its caller has seen to that.
fn hides_dots(segment: &[u8]) -> bool {
    let mut rest = segment;
    loop {
        let cut = memchr::memchr_iter(b'%', rest)
            .find(|&i| matches!(percent(&rest[i..]), Some(b'/' | b'\\' | b';')));
        let part = &rest[..cut.unwrap_or(rest.len())];
        let name = part.split(|&b| b == b';').next().unwrap_or_default();
        match (name, cut) {
            (b"." | b"..", _) => return true,
            (_, Some(i)) => rest = &rest[i + 3..],
            (_, None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(policy: PathPolicy, path: &str) -> Result<String, PathError> {
        let mut buffer = Vec::new();
        canonical(path.as_bytes(), policy, &mut buffer)
            .map(|p| String::from_utf8(p.to_vec()).unwrap())
    }

    #[test]
    fn normalize_gives_every_spelling_one_form() {
        for (path, expected) in [
            ("/", "/"),
            ("*", "*"),
            ("", ""),
            ("/pets/7", "/pets/7"),
            ("/pets/", "/pets/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
            ("/a/..b", "/a/..b"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/a/%2e%2E/admin", "/admin"),
            ("/a/.%2e/admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/%7Euser/%41", "/~user/A"),
            ("//admin", "/admin"),
            ("/a//b///", "/a/b/"),
            ("///", "/"),
            ("/a//../b", "/b"),
            ("/group%2fproject", "/group%2Fproject"),
            ("/a%5cb", "/a%5Cb"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/a%3Ab", "/a%3Ab"),
        ] {
            assert_eq!(with(PathPolicy::Normalize, path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn normalize_refuses_what_has_no_one_form() {
        for (path, expected) in [
            ("/..", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("/%2e%2e/b", PathError::AboveRoot),
            ("/a\\b", PathError::Backslash),
            ("/a/..\\b", PathError::Backslash),
            ("/a%", PathError::BadPercent),
            ("/a%2", PathError::BadPercent),
            ("/a%2/b", PathError::BadPercent),
            ("/a%zz", PathError::BadPercent),
            ("/a%00b", PathError::Nul),
            ("/a/..;/b", PathError::HiddenDots),
            ("/a/..;x=1/b", PathError::HiddenDots),
            ("/a/.;/b", PathError::HiddenDots),
            ("/a/..%2fb", PathError::HiddenDots),
            ("/a/b%2f..", PathError::HiddenDots),
            ("/a/b%2f..%2fc", PathError::HiddenDots),
            ("/a/%2e%2e%5cb", PathError::HiddenDots),
            ("/a/b%5c.%5cc", PathError::HiddenDots),
            ("/a/..%3bx/b", PathError::HiddenDots),
            ("/a/b%2f..;x", PathError::HiddenDots),
        ] {
            assert_eq!(with(PathPolicy::Normalize, path), Err(expected), "{path}");
            assert!(with(PathPolicy::Reject, path).is_err(), "{path}");
            assert_eq!(with(PathPolicy::Raw, path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn reject_rewrites_nothing_but_the_case_of_hex_digits() {
        for (path, expected) in [
            ("/pets/7/", Ok("/pets/7/")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/a/./b", Err(PathError::DotSegment)),
            ("/a/%2e%2e/b", Err(PathError::DotSegment)),
            ("/%61dmin", Err(PathError::NeedlessPercent)),
            ("/a%2fb", Err(PathError::EncodedSeparator)),
            ("/a%5Cb", Err(PathError::EncodedSeparator)),
            ("//a", Err(PathError::DoubleSlash)),
            ("/a;b", Err(PathError::Semicolon)),
        ] {
            assert_eq!(with(PathPolicy::Reject, path).as_deref(), expected.as_deref(), "{path}");
        }
    }

    proptest! {
        // What comes out is a fixed point, and no reading of it by an upstream finds dots.
        #[test]
        fn the_canonical_form_is_canonical(
            path in "/([ab./;\\\\]|%2[eEfF]|%5c|%3b|%61|%25){0,12}",
        ) {
            let Ok(once) = with(PathPolicy::Normalize, &path) else { return Ok(()) };
            prop_assert_eq!(with(PathPolicy::Normalize, &once), Ok(once.clone()));
            let decoded = once.replace("%2F", "/").replace("%5C", "/").replace("%3B", ";");
            for segment in decoded.split('/') {
                let name = segment.split(';').next().unwrap();
                prop_assert!(name != "." && name != "..", "{} -> {}", path, once);
            }
            prop_assert!(!once.contains("//") && once.starts_with('/'));
        }
    }
}
