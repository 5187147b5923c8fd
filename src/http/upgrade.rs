//! Upgrades of HTTP/1.1 (RFC 9110 section 7.8) and WebSocket's handshake (RFC 6455 section 4).
//!
//! Owns which protocol of those a client offers is asked of the upstream, and whether a 101 answers
//! it. Knows nothing of connections. The invariant: a connection leaves HTTP only by a 101 that
//! names what was asked for and, for WebSocket, proves that it was made for this very request; a
//! server that upgrades unasked, or a cache that repeats an old answer, opens nothing.

use aws_lc_rs::digest;

use super::field::Name;
use super::framing::Framing;
use super::grammar;
use super::head::{RequestHead, ResponseHead};
use super::method::Method;

/// The token of RFC 6455.
pub const WEBSOCKET: &str = "websocket";
/// What RFC 6455 section 1.3 puts behind the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// An upgrade that is asked of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade<'a> {
    /// One of the tokens that are allowed.
    pub protocol: &'a str,
    /// The accept value a WebSocket's 101 must have; `None` for other protocols.
    pub accept: Option<[u8; 28]>,
}

/// Why a WebSocket handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

// === impl Upgrade ===

impl<'a> Upgrade<'a> {
    /// The first protocol in the client's order that is `allowed`; `None`: the request is plain
    /// HTTP. Only GET without content upgrades: a body would have to be read to its end before the
    /// tunnel's first byte, for which no protocol in use has a need.
    ///
    /// # Errors
    /// When WebSocket is asked for without one key of 16 bytes: RFC 6455 section 4.2.1 has the
    /// server stop and say 400. The version is left to the upstream, which alone knows what it
    /// speaks and answers 426 with a list (section 4.4).
    pub fn of(
        head: &RequestHead,
        block: &[u8],
        allowed: &'a [String],
    ) -> Result<Option<Upgrade<'a>>, BadKey> {
        let plain = matches!(head.framing, Framing::None | Framing::Length(0));
        if !head.upgrade || head.method != Method::Get || !plain {
            return Ok(None);
        }
        let offered = head.values(Name::Upgrade, block).flat_map(grammar::list);
        let mut known = offered.filter_map(|offer| {
            allowed.iter().find(|token| token.as_bytes().eq_ignore_ascii_case(offer))
        });
        let Some(protocol) = known.next() else { return Ok(None) };
        let upgrade = Upgrade { protocol, accept: None };
        if !upgrade.is_websocket() {
            return Ok(Some(upgrade));
        }
        let mut keys = head.values(Name::SecWebsocketKey, block);
        let key = keys.next().filter(|key| is_key(key)).ok_or(BadKey)?;
        if keys.next().is_some() {
            return Err(BadKey);
        }
        Ok(Some(Upgrade::websocket(key)))
    }

    /// A WebSocket asked for with this key.
    #[must_use]
    pub fn websocket(key: &[u8]) -> Upgrade<'a> {
        Upgrade { protocol: WEBSOCKET, accept: Some(accept(key)) }
    }

    /// Whether frames of RFC 6455 follow.
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        self.protocol.eq_ignore_ascii_case(WEBSOCKET)
    }

    /// Whether a 101 answers this request.
    ///
    /// # Errors
    /// What is wrong with it, in a word for the log.
    pub fn is_answered_by(&self, head: &ResponseHead, block: &[u8]) -> Result<(), &'static str> {
        // RFC 6455 section 4.1, points 1 to 4 of what a client must check.
        let mut named = head.values(Name::Upgrade, block).flat_map(grammar::list);
        let right =
            named.next().is_some_and(|name| name.eq_ignore_ascii_case(self.protocol.as_bytes()));
        if !right || named.next().is_some() {
            return Err("upgrade_protocol");
        }
        if !head.connection.upgrade {
            return Err("upgrade_connection");
        }
        let Some(accept) = self.accept else { return Ok(()) };
        let mut values = head.values(Name::SecWebsocketAccept, block);
        if values.next() != Some(&accept) || values.next().is_some() {
            return Err("websocket_accept");
        }
        Ok(())
    }
}

/// Base64 of 16 bytes: 22 digits and two signs of padding.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(|b| ALPHABET.contains(b))
}

/// Proof that the server has read this request's key (RFC 6455 section 4.2.2, point 5.4).
#[must_use]
pub fn accept(key: &[u8]) -> [u8; 28] {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    let hash = hash.finish();
    in_base64(hash.as_ref())
}

/// A key of our own, for a client whose protocol needs none (RFC 8441 section 5).
#[must_use]
pub fn key(random: [u64; 2]) -> [u8; 24] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random[0].to_ne_bytes());
    bytes[8..].copy_from_slice(&random[1].to_ne_bytes());
    in_base64(&bytes)
}

/// Padded: `N` is four for every three bytes begun.
fn in_base64<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut text = [b'='; N];
    for (three, four) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let word = three.iter().fold(0, |word, byte| word << 8 | usize::from(*byte));
        // A last group of fewer has as many digits fewer, and the padding stands.
        let word = word << (8 * (3 - three.len()));
        for (at, digit) in four.iter_mut().take(three.len() + 1).enumerate() {
            *digit = ALPHABET[word >> (18 - 6 * at) & 63];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Limits, Scan, parse_request, parse_response};

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn asked(text: &str, allowed: &[&str]) -> Result<Option<(String, bool)>, BadKey> {
        let mut head = RequestHead::default();
        let text = text.replace('\n', "\r\n");
        let parsed =
            parse_request(&mut head, &mut Scan::default(), text.as_bytes(), &Limits::default());
        assert_eq!(parsed, Ok(crate::http::Parsed::Complete), "{text}");
        let allowed: Vec<String> = allowed.iter().map(|token| (*token).to_owned()).collect();
        let upgrade = Upgrade::of(&head, text.as_bytes(), &allowed);
        upgrade.map(|found| found.map(|up| (up.protocol.to_owned(), up.accept.is_some())))
    }

    fn request(fields: &str) -> String {
        format!("GET / HTTP/1.1\nHost: a\n{fields}\n")
    }

    #[test]
    fn the_accept_value_is_the_rfcs() {
        assert_eq!(&accept(KEY.as_bytes()), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_first_allowed_protocol_of_the_clients_list_is_asked_for() {
        let ws = format!("Connection: keep-alive, Upgrade\nSec-WebSocket-Key: {KEY}\n");
        let text = request(&format!("{ws}Upgrade: h2c, WebSocket\n"));
        assert_eq!(asked(&text, &["websocket"]), Ok(Some(("websocket".to_owned(), true))));
        let text = request("Connection: upgrade\nUpgrade: a/1\nUpgrade: b\n");
        assert_eq!(asked(&text, &["b", "a/1"]), Ok(Some(("a/1".to_owned(), false))));
        assert_eq!(asked(&text, &["a"]), Ok(None), "a version belongs to the name");
        assert_eq!(asked(&text, &[]), Ok(None));
    }

    #[test]
    fn what_is_not_an_upgrade_is_plain_http() {
        let ws = format!("Upgrade: websocket\nSec-WebSocket-Key: {KEY}\n");
        for text in [
            request(&ws),
            request(&format!("Connection: upgrade\n{ws}Content-Length: 2\n")),
            request(&format!("Connection: upgrade\n{ws}")).replace("GET", "POST"),
            request(&format!("Connection: upgrade\n{ws}")).replace("HTTP/1.1", "HTTP/1.0"),
            request("Connection: upgrade\n"),
        ] {
            assert_eq!(asked(&text, &["websocket"]), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_key_is_16_bytes_in_base64_and_there_is_one() {
        let with =
            |keys: &str| request(&format!("Connection: upgrade\nUpgrade: websocket\n{keys}"));
        for bad in [
            "",
            "Sec-WebSocket-Key: \n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\n",
            &format!("Sec-WebSocket-Key: {KEY}\nSec-WebSocket-Key: {KEY}\n"),
        ] {
            assert_eq!(asked(&with(bad), &["websocket"]), Err(BadKey), "{bad}");
        }
        // Nobody who asks for something else needs one.
        assert_eq!(asked(&with(""), &["x"]), Ok(None));
    }

    #[test]
    fn only_a_101_made_for_this_request_answers_it() {
        let accept = accept(KEY.as_bytes());
        let text = std::str::from_utf8(&accept).unwrap();
        let ws = Upgrade { protocol: "websocket", accept: Some(accept) };
        let other = Upgrade { protocol: "x/2", accept: None };
        let verdict = |upgrade: &Upgrade<'_>, fields: &str| {
            let text = format!("HTTP/1.1 101 S\n{fields}\n").replace('\n', "\r\n");
            let mut head = ResponseHead::default();
            let mut scan = Scan::default();
            let limits = Limits::default();
            parse_response(&mut head, &mut scan, text.as_bytes(), &limits, Method::Get).unwrap();
            upgrade.is_answered_by(&head, text.as_bytes())
        };
        let good =
            format!("Upgrade: WebSocket\nConnection: upgrade\nSec-WebSocket-Accept: {text}\n");
        assert_eq!(verdict(&ws, &good), Ok(()));
        assert_eq!(verdict(&ws, &good.replace("s3pP", "s3pp")), Err("websocket_accept"));
        let twice = format!("{good}Sec-WebSocket-Accept: {text}\n");
        assert_eq!(verdict(&ws, &twice), Err("websocket_accept"));
        assert_eq!(
            verdict(&ws, "Upgrade: websocket\nConnection: upgrade\n"),
            Err("websocket_accept")
        );
        assert_eq!(verdict(&ws, "Connection: upgrade\n"), Err("upgrade_protocol"));
        assert_eq!(
            verdict(&ws, &good.replace("WebSocket\n", "a, websocket\n")),
            Err("upgrade_protocol")
        );
        assert_eq!(verdict(&ws, &good.replace("Connection", "X")), Err("upgrade_connection"));
        assert_eq!(verdict(&other, "Upgrade: X/2\nConnection: upgrade\n"), Ok(()));
        assert_eq!(verdict(&other, &good), Err("upgrade_protocol"));
    }
}
