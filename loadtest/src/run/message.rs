//! Requests as HTTP/2 puts them: pseudo-header fields first, names in lower case, no fields of the
//! connection, a gRPC message behind its length. Pure.

use super::request::{Definition, Piece, fill, pieces};
use crate::dice::Dice;
use crate::h2::hpack;

/// Names and values, in the order of the block.
pub type Fields = Vec<(String, Vec<Piece>)>;

/// Before each message of gRPC: not compressed, and four bytes of length.
pub const GRPC_PREFIX: usize = 5;

pub fn fields(from: &Definition, host: &str, scheme: &str, grpc: bool) -> Result<Fields, String> {
    let named_host = from.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let authority = named_host.map_or(host, |(_, value)| value);
    let method = if grpc { "POST" } else { &from.method };
    let mut fields: Vec<(String, &str)> = vec![
        (":method".into(), method),
        (":scheme".into(), scheme),
        (":authority".into(), authority),
        (":path".into(), &from.path),
    ];
    if grpc {
        fields.push(("content-type".into(), "application/grpc"));
        fields.push(("te".into(), "trailers"));
    }
    for (name, value) in &from.headers {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "host" => {}
            "connection" | "keep-alive" | "proxy-connection" | "upgrade" => {
                return Err(format!("{name} has no place in HTTP/2"));
            }
            _ => fields.push((name, value)),
        }
    }
    Ok(fields.into_iter().map(|(name, value)| (name, pieces(value.as_bytes()))).collect())
}

pub fn block(fields: &Fields, body: Option<&[u8]>, sequence: u64, dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let mut value = Vec::new();
    for (name, pieces) in fields {
        value.clear();
        fill(&mut value, pieces, sequence, dice);
        hpack::encode(&mut out, name, &value);
    }
    if let Some(body) = body {
        hpack::encode(&mut out, "content-length", body.len().to_string().as_bytes());
    }
    out
}

/// Writes the length of a message in front of it.
pub fn set_grpc_length(framed: &mut [u8]) {
    let length = u32::try_from(framed.len() - GRPC_PREFIX).unwrap_or(u32::MAX);
    framed[1..GRPC_PREFIX].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::request::{Mix, Wire};
    use super::*;
    use crate::h2::hpack::Decoder;

    fn definition(headers: &[(&str, &str)], body: Option<&str>) -> Definition {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Definition {
            weight: 1,
            method: "PUT".into(),
            path: "/a?n={seq}".into(),
            headers: headers.iter().map(own).collect(),
            body: body.map(|b| b.as_bytes().to_vec()),
        }
    }

    fn rendered(from: Definition, grpc: bool, sequence: u64) -> (String, Option<Vec<u8>>) {
        let mix = Mix::new(&[from], "h:1", Wire::Http2 { scheme: "http", grpc }).unwrap();
        let mut dice = Dice::new(1);
        let message = mix.choose(&mut dice).message(sequence, &mut dice);
        let mut text = String::new();
        let decoded = Decoder::new(0).decode(message.block.as_slice(), |name, value| {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            text.push_str(&format!("{name}={value} "));
            Ok(())
        });
        decoded.unwrap();
        (text, message.body.map(|body| body.into_cow().into_owned()))
    }

    #[test]
    fn a_request_has_its_fields_in_order() {
        let from = definition(&[("X-A", "{seq}"), ("Host", "other")], Some("b{seq}"));
        let (text, body) = rendered(from, false, 77);
        assert_eq!(
            text,
            ":method=PUT :scheme=http :authority=other :path=/a?n=77 x-a=77 content-length=3 "
        );
        assert_eq!(body.unwrap(), b"b77");
        let (text, body) = rendered(definition(&[], None), false, 5);
        assert_eq!(text, ":method=PUT :scheme=http :authority=h:1 :path=/a?n=5 ");
        assert!(body.is_none());
    }

    #[test]
    fn grpc_messages_have_their_length() {
        let (text, body) = rendered(definition(&[], Some("abc")), true, 0);
        assert!(text.starts_with(":method=POST "), "{text}");
        assert!(text.contains("content-type=application/grpc te=trailers "), "{text}");
        assert_eq!(body.unwrap(), b"\0\0\0\0\x03abc");
    }

    #[test]
    fn fields_of_the_connection_are_refused() {
        assert!(fields(&definition(&[("Connection", "close")], None), "h", "http", false).is_err());
    }
}
