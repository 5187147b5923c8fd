//! OpenAI's responses: a `response` with its items, and the numbered events of its stream. Bytes
//! only.

use super::chat::{call_id, nth_call};
use super::draft::{Part, Usage};
use super::wire::{Answer, Wire, put, quoted};

pub struct Responses;

/// How far something is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Begun,
    Ended,
}

// === impl Responses ===

impl Wire for Responses {
    fn whole(&self, answer: &Answer, out: &mut Vec<u8>) {
        response(answer, Phase::Ended, out);
    }

    fn begin(&self, answer: &Answer, out: &mut Vec<u8>) {
        for name in ["response.created", "response.in_progress"] {
            event(answer, out, name, |out| {
                out.extend_from_slice(br#","response":"#);
                response(answer, Phase::Begun, out);
            });
        }
    }

    fn open(&self, answer: &Answer, part: usize, out: &mut Vec<u8>) {
        event(answer, out, "response.output_item.added", |out| {
            put(out, format_args!(r#","output_index":{part},"item":"#));
            item(answer, part, Phase::Begun, out);
        });
        if !is_call(answer, part) {
            event(answer, out, "response.content_part.added", |out| {
                place(answer, part, out);
                out.extend_from_slice(
                    br#","part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}"#,
                );
            });
        }
    }

    fn token(&self, answer: &Answer, part: usize, n: u64, out: &mut Vec<u8>) {
        if is_call(answer, part) {
            let Some(n) = n.checked_sub(1) else {
                return; // the name, which the item has said
            };
            event(answer, out, "response.function_call_arguments.delta", |out| {
                let id = item_id(answer, part);
                put(out, format_args!(r#","item_id":"{id}","output_index":{part},"delta":""#));
                answer.token(part, n, out);
                out.push(b'"');
            });
        } else {
            event(answer, out, "response.output_text.delta", |out| {
                place(answer, part, out);
                out.extend_from_slice(br#","delta":""#);
                answer.token(part, n, out);
                out.extend_from_slice(br#"","logprobs":[]"#);
            });
        }
    }

    fn close(&self, answer: &Answer, part: usize, out: &mut Vec<u8>) {
        if is_call(answer, part) {
            event(answer, out, "response.function_call_arguments.done", |out| {
                let id = item_id(answer, part);
                put(out, format_args!(r#","item_id":"{id}","output_index":{part},"arguments":""#));
                answer.text(part, out);
                out.push(b'"');
            });
        } else {
            event(answer, out, "response.output_text.done", |out| {
                place(answer, part, out);
                out.extend_from_slice(br#","text":""#);
                answer.text(part, out);
                out.extend_from_slice(br#"","logprobs":[]"#);
            });
            event(answer, out, "response.content_part.done", |out| {
                place(answer, part, out);
                out.extend_from_slice(
                    br#","part":{"type":"output_text","annotations":[],"logprobs":[],"text":""#,
                );
                answer.text(part, out);
                out.extend_from_slice(br#""}"#);
            });
        }
        event(answer, out, "response.output_item.done", |out| {
            put(out, format_args!(r#","output_index":{part},"item":"#));
            item(answer, part, Phase::Ended, out);
        });
    }

    fn end(&self, answer: &Answer, out: &mut Vec<u8>) {
        let name = if answer.draft.is_cut { "response.incomplete" } else { "response.completed" };
        event(answer, out, name, |out| {
            out.extend_from_slice(br#","response":"#);
            response(answer, Phase::Ended, out);
        });
    }
}

fn event(answer: &Answer, out: &mut Vec<u8>, name: &str, fields: impl FnOnce(&mut Vec<u8>)) {
    let number = answer.next();
    put(
        out,
        format_args!("event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{number}"),
    );
    fields(out);
    out.extend_from_slice(b"}\n\n");
}

fn place(answer: &Answer, part: usize, out: &mut Vec<u8>) {
    let id = item_id(answer, part);
    put(out, format_args!(r#","item_id":"{id}","output_index":{part},"content_index":0"#));
}

fn response(answer: &Answer, phase: Phase, out: &mut Vec<u8>) {
    let Answer { id, created, model, draft, .. } = answer;
    let (status, incomplete) = match (phase, draft.is_cut) {
        (Phase::Begun, _) => ("in_progress", "null"),
        (_, true) => ("incomplete", r#"{"reason":"max_output_tokens"}"#),
        _ => ("completed", "null"),
    };
    put(
        out,
        format_args!(
            "{{\"id\":\"resp_{id}\",\"object\":\"response\",\"created_at\":{created},\
             \"status\":\"{status}\",\"background\":false,\"error\":null,\
             \"incomplete_details\":{incomplete},\"instructions\":null,\
             \"max_output_tokens\":null,\"model\":{model},\"output\":["
        ),
    );
    if phase == Phase::Ended {
        for part in 0..draft.parts.len() {
            if part > 0 {
                out.push(b',');
            }
            item(answer, part, phase, out);
        }
    }
    out.extend_from_slice(
        b"],\"parallel_tool_calls\":true,\"previous_response_id\":null,\
          \"reasoning\":{\"effort\":null,\"summary\":null},\"service_tier\":\"default\",\
          \"store\":true,\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"}},\
          \"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"truncation\":\"disabled\",\
          \"usage\":",
    );
    if phase == Phase::Ended && answer.tells_usage {
        usage(&answer.usage, out);
    } else {
        out.extend_from_slice(b"null");
    }
    out.extend_from_slice(br#","user":null,"metadata":{}}"#);
}

fn item(answer: &Answer, part: usize, phase: Phase, out: &mut Vec<u8>) {
    let id = item_id(answer, part);
    let cut = answer.draft.is_cut && part + 1 == answer.draft.parts.len();
    let status = match phase {
        Phase::Begun => "in_progress",
        Phase::Ended if cut => "incomplete",
        Phase::Ended => "completed",
    };
    if let Part::Call { name, .. } = &answer.draft.parts[part] {
        let (call, name) = (call_id(answer, nth_call(answer, part)), quoted(name));
        put(
            out,
            format_args!(
                "{{\"id\":\"{id}\",\"type\":\"function_call\",\"status\":\"{status}\",\
                 \"call_id\":\"{call}\",\"name\":{name},\"arguments\":\""
            ),
        );
        if phase == Phase::Ended {
            answer.text(part, out);
        }
        out.extend_from_slice(br#""}"#);
        return;
    }
    put(out, format_args!(r#"{{"id":"{id}","type":"message","status":"{status}","content":["#));
    if phase == Phase::Ended {
        out.extend_from_slice(br#"{"type":"output_text","annotations":[],"logprobs":[],"text":""#);
        answer.text(part, out);
        out.extend_from_slice(br#""}"#);
    }
    out.extend_from_slice(br#"],"role":"assistant"}"#);
}

fn usage(usage: &Usage, out: &mut Vec<u8>) {
    let Usage { input, cached, output, reasoning, .. } = usage;
    put(
        out,
        format_args!(
            "{{\"input_tokens\":{input},\
             \"input_tokens_details\":{{\"cached_tokens\":{cached}}},\
             \"output_tokens\":{output},\
             \"output_tokens_details\":{{\"reasoning_tokens\":{reasoning}}},\
             \"total_tokens\":{}}}",
            input + output
        ),
    );
}

fn is_call(answer: &Answer, part: usize) -> bool {
    matches!(answer.draft.parts[part], Part::Call { .. })
}

fn item_id(answer: &Answer, part: usize) -> String {
    let kind = if is_call(answer, part) { "fc" } else { "msg" };
    format!("{kind}_{}{part:04}", &answer.id[..20])
}
