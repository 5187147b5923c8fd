//! Anthropic's messages: a message, and the events that build one. Bytes only.

use super::draft::{Part, Usage};
use super::wire::{Answer, Wire, put, quoted};

pub struct Messages;

// === impl Messages ===

impl Wire for Messages {
    fn whole(&self, answer: &Answer, out: &mut Vec<u8>) {
        head(answer, out);
        for (n, part) in answer.draft.parts.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            match part {
                Part::Thought(_) => {
                    out.extend_from_slice(br#"{"type":"thinking","thinking":""#);
                    answer.text(n, out);
                    put(out, format_args!(r#"","signature":"{}"}}"#, signature(answer)));
                }
                Part::Words(_) | Part::Json(_) => {
                    out.extend_from_slice(br#"{"type":"text","text":""#);
                    answer.text(n, out);
                    out.extend_from_slice(br#""}"#);
                }
                Part::Call { name, arguments } => {
                    let (id, name) = (call_id(answer, n), quoted(name));
                    // An input that was cut is not JSON any more; whole answers then have none.
                    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok();
                    let input = if is_json { arguments } else { "{}" };
                    put(
                        out,
                        format_args!(
                            r#"{{"type":"tool_use","id":"{id}","name":{name},"input":{input}}}"#
                        ),
                    );
                }
            }
        }
        let stop = stop(answer);
        put(out, format_args!(r#"],"stop_reason":"{stop}","stop_sequence":null"#));
        if answer.tells_usage {
            usage(&answer.usage, answer.usage.output, out);
        }
        out.push(b'}');
    }

    fn begin(&self, answer: &Answer, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":",
        );
        head(answer, out);
        out.extend_from_slice(br#"],"stop_reason":null,"stop_sequence":null"#);
        // Clients read the field of this event without looking whether it is there.
        let told = if answer.tells_usage { answer.usage } else { Usage::default() };
        usage(&told, u64::from(answer.tells_usage), out);
        out.extend_from_slice(b"}}\n\n");
    }

    fn open(&self, answer: &Answer, part: usize, out: &mut Vec<u8>) {
        event(out, "content_block_start");
        put(out, format_args!(r#","index":{part},"content_block":"#));
        match &answer.draft.parts[part] {
            Part::Thought(_) => {
                out.extend_from_slice(br#"{"type":"thinking","thinking":"","signature":""}"#);
            }
            Part::Words(_) | Part::Json(_) => {
                out.extend_from_slice(br#"{"type":"text","text":""}"#)
            }
            Part::Call { name, .. } => {
                let (id, name) = (call_id(answer, part), quoted(name));
                put(
                    out,
                    format_args!(r#"{{"type":"tool_use","id":"{id}","name":{name},"input":{{}}}}"#),
                );
            }
        }
        out.extend_from_slice(b"}\n\n");
        if part == 0 {
            out.extend_from_slice(b"event: ping\ndata: {\"type\": \"ping\"}\n\n");
        }
    }

    fn token(&self, answer: &Answer, part: usize, n: u64, out: &mut Vec<u8>) {
        let (kind, field) = match answer.draft.parts[part] {
            Part::Thought(_) => ("thinking_delta", "thinking"),
            Part::Words(_) | Part::Json(_) => ("text_delta", "text"),
            Part::Call { .. } => ("input_json_delta", "partial_json"),
        };
        event(out, "content_block_delta");
        put(out, format_args!(r#","index":{part},"delta":{{"type":"{kind}","{field}":""#));
        match &answer.draft.parts[part] {
            // Its first token is the name, which the block's start has said.
            Part::Call { .. } if n == 0 => {}
            Part::Call { .. } => answer.token(part, n - 1, out),
            _ => answer.token(part, n, out),
        }
        out.extend_from_slice(b"\"}}\n\n");
    }

    fn close(&self, answer: &Answer, part: usize, out: &mut Vec<u8>) {
        if matches!(answer.draft.parts[part], Part::Thought(_)) {
            event(out, "content_block_delta");
            let signature = signature(answer);
            put(
                out,
                format_args!(
                    ",\"index\":{part},\"delta\":{{\"type\":\"signature_delta\",\
                     \"signature\":\"{signature}\"}}}}"
                ),
            );
            out.extend_from_slice(b"\n\n");
        }
        event(out, "content_block_stop");
        put(out, format_args!(",\"index\":{part}}}\n\n"));
    }

    fn end(&self, answer: &Answer, out: &mut Vec<u8>) {
        event(out, "message_delta");
        let stop = stop(answer);
        put(out, format_args!(r#","delta":{{"stop_reason":"{stop}","stop_sequence":null}}"#));
        if answer.tells_usage {
            let Usage { input, cached, written, output, .. } = answer.usage;
            let fresh = input - cached - written;
            put(
                out,
                format_args!(
                    ",\"usage\":{{\"input_tokens\":{fresh},\
                     \"cache_creation_input_tokens\":{written},\
                     \"cache_read_input_tokens\":{cached},\"output_tokens\":{output}}}"
                ),
            );
        }
        out.extend_from_slice(b"}\n\n");
        event(out, "message_stop");
        out.extend_from_slice(b"}\n\n");
    }
}

/// A message up to the inside of its content.
fn head(answer: &Answer, out: &mut Vec<u8>) {
    let Answer { id, model, .. } = answer;
    put(
        out,
        format_args!(
            r#"{{"id":"msg_{id}","type":"message","role":"assistant","model":{model},"content":["#
        ),
    );
}

fn event(out: &mut Vec<u8>, name: &str) {
    put(out, format_args!("event: {name}\ndata: {{\"type\":\"{name}\""));
}

/// Anthropic's input is what no cache had to do with; the sums are told apart.
fn usage(usage: &Usage, output: u64, out: &mut Vec<u8>) {
    let Usage { input, cached, written, .. } = usage;
    let fresh = input - cached - written;
    put(
        out,
        format_args!(
            ",\"usage\":{{\"input_tokens\":{fresh},\"cache_creation_input_tokens\":{written},\
             \"cache_read_input_tokens\":{cached},\
             \"cache_creation\":{{\"ephemeral_5m_input_tokens\":{written},\
             \"ephemeral_1h_input_tokens\":0}},\"output_tokens\":{output},\
             \"service_tier\":\"standard\"}}"
        ),
    );
}

fn stop(answer: &Answer) -> &'static str {
    match (answer.draft.is_cut, answer.draft.has_calls()) {
        (true, _) => "max_tokens",
        (_, true) => "tool_use",
        _ => "end_turn",
    }
}

fn call_id(answer: &Answer, part: usize) -> String {
    format!("toolu_{}{part:04}", &answer.id[..20])
}

fn signature(answer: &Answer) -> String {
    crate::websocket::base64(answer.id.as_bytes())
}
