//! Writes a parsed head again, as a relay would but without adding anything. Compiled into the fuzz
//! targets too, so it names the room by its public door only.

use crate::http::*;

/// The request that goes on: origin form, Host from the authority, framing made anew.
pub fn request(head: &RequestHead, buf: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let query = head.query.map(|query| query.of(buf));
    if head.method == Method::Connect {
        out.extend_from_slice(b"CONNECT ");
        out.extend_from_slice(head.authority.of(buf));
        out.extend_from_slice(b" HTTP/1.1\r\n");
    } else {
        write::request_line(&mut out, head.method.token(buf), head.path(buf), query);
    }
    write::field(&mut out, b"Host", head.authority.of(buf));
    write::framing(&mut out, head.framing);
    for field in head.forwarded(buf) {
        write::field(&mut out, field.name.of(buf), field.value.of(buf));
    }
    write::end(&mut out);
    out
}

/// The response that goes on.
pub fn response(head: &ResponseHead, buf: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::status_line_with(&mut out, head.status, head.reason.of(buf));
    write::framing(&mut out, head.framing);
    for field in head.forwarded(buf) {
        write::field(&mut out, field.name.of(buf), field.value.of(buf));
    }
    write::end(&mut out);
    out
}

/// Asserts that a complete request, written and parsed again, means the same.
pub fn assert_request_survives(head: &RequestHead, buf: &[u8]) {
    let written = request(head, buf);
    let mut again = RequestHead::default();
    // The fields written anew may be one more than came (an HTTP/1.0 request without Host), and an
    // absolute target becomes a longer Host.
    let limits = Limits { head_bytes_max: 1 << 18, target_bytes_max: 1 << 17, fields_max: 256 };
    let parsed = parse_request(&mut again, &mut Scan::default(), &written, &limits);
    let shown = String::from_utf8_lossy(&written);
    assert_eq!(parsed, Ok(Parsed::Complete), "{shown}");
    assert_eq!(again.len, written.len());
    assert_eq!(again.method.token(&written), head.method.token(buf));
    assert_eq!(again.path(&written), head.path(buf));
    assert_eq!(again.query.map(|query| query.of(&written)), head.query.map(|query| query.of(buf)));
    assert_eq!(again.authority.of(&written), head.authority.of(buf));
    assert_eq!((again.host.of(&written), again.port), (head.host.of(buf), head.port));
    assert_eq!(again.framing, head.framing);
    assert!(
        again
            .forwarded(&written)
            .map(|field| pair(field, &written))
            .eq(head.forwarded(buf).map(|field| pair(field, buf)))
    );
}

/// Asserts that a complete response, written and parsed again, means the same.
pub fn assert_response_survives(head: &ResponseHead, buf: &[u8], method: Method) {
    let written = response(head, buf);
    let mut again = ResponseHead::default();
    let limits = Limits { head_bytes_max: 1 << 18, fields_max: 256, ..Limits::default() };
    let parsed = parse_response(&mut again, &mut Scan::default(), &written, &limits, method);
    assert_eq!(parsed, Ok(Parsed::Complete), "{}", String::from_utf8_lossy(&written));
    assert_eq!((again.len, again.status), (written.len(), head.status));
    assert_eq!(again.reason.of(&written), head.reason.of(buf));
    assert_eq!((again.framing, again.tunnel), (head.framing, head.tunnel));
    assert!(
        again
            .forwarded(&written)
            .map(|field| pair(field, &written))
            .eq(head.forwarded(buf).map(|field| pair(field, buf)))
    );
}

fn pair<'a>(field: &Field, buf: &'a [u8]) -> (Name, &'a [u8], &'a [u8]) {
    (field.id, field.name.of(buf), field.value.of(buf))
}
