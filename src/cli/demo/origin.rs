//! The demo's origin: a small server inside the process that says what reached it, so that one sees
//! what the gateway does to a request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::control::house::page::{Asked, Content, Page};
use crate::control::house::server::{self, OwnThread};
use crate::http::{Name, upgrade, ws};
use crate::net::listen;

/// A running origin; it ends when this is dropped.
pub struct Origin {
    pub address: SocketAddr,
    _thread: OwnThread,
}

const TICKS: u32 = 10;
const MESSAGES: u32 = 3;
const TICK: Duration = Duration::from_millis(200);
/// Between two words of the demo's model.
pub(super) const TOKEN: Duration = Duration::from_millis(60);

// === impl Origin ===

impl Origin {
    /// Starts it on a port that is free.
    ///
    /// # Errors
    /// When there is no socket or thread to be had.
    pub fn start() -> io::Result<Origin> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = listen::bind(any, 1)?.pop().expect("as many sockets as were asked for");
        let address = listen::local_addr(&socket)?;
        let thread = OwnThread::start("origin", move || server::serve(socket, answer))?;
        Ok(Origin { address, _thread: thread })
    }
}

fn answer(asked: &Asked<'_>) -> Page {
    if let Some(page) = super::model::answer(asked) {
        return page;
    }
    match asked.request.path() {
        b"/stream" => ticks(),
        b"/ws" => messages(asked),
        b"/healthz" => Page::text(200, "ok\n"),
        _ => Page::json(200, &told(asked)),
    }
}

/// Server-sent events, one every [`TICK`].
fn ticks() -> Page {
    let events = (1..=TICKS).map(|n| {
        format!("id: {n}\nevent: tick\ndata: {{\"tick\":{n},\"of\":{TICKS}}}\n\n").into_bytes()
    });
    Page {
        status: 200,
        content_type: "text/event-stream",
        fields: Vec::new(),
        content: Content::Paced(TICK, Box::new(events)),
    }
}

/// A WebSocket that says a few things and goodbye (RFC 6455 section 5.2: unmasked frames).
fn messages(asked: &Asked<'_>) -> Page {
    let Some(key) = asked.request.value(Name::SecWebsocketKey) else {
        return Page::text(426, "this is a WebSocket; the README has the line that opens it\n");
    };
    let accept = upgrade::accept(key);
    let mut frames: Vec<Vec<u8>> = (1..=MESSAGES)
        .map(|n| {
            let text = format!("message {n} of {MESSAGES}\n");
            let len = u8::try_from(text.len()).expect("a short text");
            [&[0x81, len], text.as_bytes()].concat()
        })
        .collect();
    frames.push(ws::close_frame(1000, None).as_slice().to_vec());
    Page {
        status: 101,
        content_type: "text/plain",
        fields: vec![(
            "sec-websocket-accept",
            String::from_utf8_lossy(&accept).into_owned().into(),
        )],
        content: Content::Frames(TICK, Box::new(frames.into_iter())),
    }
}

/// The request as it arrived here.
fn told(asked: &Asked<'_>) -> Value {
    let request = &asked.request;
    let mut headers = Map::new();
    for field in &request.head.fields {
        let name = text(request.text(field.name)).to_ascii_lowercase();
        let value = text(request.text(field.value));
        match headers.get_mut(&name) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(&value);
            }
            _ => drop(headers.insert(name, value.into())),
        }
    }
    let mut told = json!({
        "from": "the demo's origin",
        "method": text(request.method()),
        "path": text(request.path()),
        "query": text(request.query()),
        "headers": headers,
        "body_bytes": asked.body_bytes,
    });
    if asked.body_bytes > 0 {
        told["body_begins"] = text(&asked.body[..asked.body.len().min(SHOWN)]).into();
    }
    told
}

/// Of a body, so much is shown.
const SHOWN: usize = 4096;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn talk(address: SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_says_what_reached_it() {
        let origin = Origin::start().unwrap();
        let answer = talk(
            origin.address,
            "POST /animals/7?x=1 HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nx-b: 2\r\nContent-Length: 3\r\n\
             Connection: close\r\n\r\nabc",
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let told: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&told["method"], &told["path"]), (&"POST".into(), &"/animals/7".into()));
        assert_eq!((&told["query"], &told["headers"]["x-b"]), (&"x=1".into(), &"1, 2".into()));
        assert_eq!((&told["body_bytes"], &told["body_begins"]), (&3.into(), &"abc".into()));
    }

    #[test]
    fn its_websocket_says_three_things_and_goodbye() {
        let origin = Origin::start().unwrap();
        let mut stream = TcpStream::connect(origin.address).unwrap();
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let asked = format!(
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: {key}\r\n\r\n"
        );
        stream.write_all(asked.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{text}");
        assert!(text.contains("\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(!text.contains("transfer-encoding") && !text.contains("connection: close"));
        assert!(answer.ends_with(b"message 3 of 3\n\x88\x02\x03\xe8"), "{text}");
    }

    #[test]
    fn its_stream_is_ten_events_and_then_an_end() {
        let origin = Origin::start().unwrap();
        let answer = talk(origin.address, "GET /stream HTTP/1.0\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\ncontent-type: text/event-stream\r\n"), "{head}");
        assert_eq!(body.matches("event: tick\n").count(), 10);
        assert!(body.starts_with("id: 1\n") && body.ends_with("\"tick\":10,\"of\":10}\n\n"));
    }
}
