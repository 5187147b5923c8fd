//! How a stream ends that broke: with an error event in its endpoint's form, and with nothing that
//! looks complete.
//!
//! Owns the frame of the event; what it says is the failure table's. Invariant: a client of the
//! endpoint raises an error at it: neither `[DONE]` nor any last event follows.

use crate::failure::{ErrorFormat, Told};

use super::{Endpoint, json};

/// Appends the event that tells the client of a stream that it broke. It begins an event: what was
/// sent before must have ended with a whole one. `sequence` is the number of the next event
/// ([`super::Tap::sequence`]), which only Responses have.
pub fn broken_stream(endpoint: Endpoint, told: &Told<'_>, sequence: u64, out: &mut Vec<u8>) {
    let body = |format, out: &mut Vec<u8>| {
        let answer = told.answer(format);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(answer.body.trim_ascii_end());
    };
    match endpoint {
        Endpoint::Messages | Endpoint::CountTokens => {
            out.extend_from_slice(b"event: error\n");
            body(ErrorFormat::Anthropic, out);
        }
        Endpoint::Responses => {
            out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"code\":");
            json::write_string(out, told.failure.row().code);
            out.extend_from_slice(b",\"message\":");
            json::write_string(out, told.message());
            out.extend_from_slice(b",\"param\":null,\"sequence_number\":");
            out.extend_from_slice(sequence.to_string().as_bytes());
            out.extend_from_slice(b",\"request_id\":");
            json::write_string(out, &String::from_utf8_lossy(told.request_id));
            out.push(b'}');
        }
        _ => body(ErrorFormat::Ringway, out),
    }
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;
    use crate::http::sse::Events;
    use crate::llm::{Seen, Tap};

    #[test]
    fn every_form_is_one_error_event_and_no_end() {
        for endpoint in [Endpoint::ChatCompletions, Endpoint::Responses, Endpoint::Messages] {
            let told = Told {
                failure: Failure::UpstreamCut,
                request_id: b"req-\"\n1",
                reason: "",
                details: None,
            };
            let mut out = Vec::new();
            broken_stream(endpoint, &told, 7, &mut out);
            let (mut events, mut at, mut tap) = (Events::default(), 0, Tap::new(endpoint));
            let event = events.next(&out, &mut at).expect("is short").expect("is whole");
            let data = event.fields().data.expect("has data");
            let _: serde_json::Value = serde_json::from_slice(&data).expect("is JSON");
            assert_eq!(tap.event(&event), Seen::Error, "{endpoint:?}");
            assert!(!tap.is_complete());
            assert_eq!(&*tap.error().expect("was told").message, told.message());
            assert_eq!(at, out.len(), "nothing follows");
        }
    }
}
