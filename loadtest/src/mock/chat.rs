//! OpenAI's chat completions: `chat.completion` and the chunks of its stream. Bytes only.

use super::draft::{Part, Usage};
use super::wire::{Answer, Wire, put, quoted};

pub struct Chat;

const FINGERPRINT: &str = "fp_6d6f636b";

// === impl Chat ===

impl Wire for Chat {
    fn whole(&self, answer: &Answer, out: &mut Vec<u8>) {
        head(answer, "chat.completion", out);
        for choice in 0..answer.choices {
            let comma = if choice == 0 { "" } else { "," };
            put(
                out,
                format_args!(
                    r#"{comma}{{"index":{choice},"message":{{"role":"assistant","content":"#
                ),
            );
            content(answer, out);
            out.extend_from_slice(br#","refusal":null,"annotations":[]"#);
            if answer.draft.has_calls() {
                out.extend_from_slice(br#","tool_calls":["#);
                for (n, (name, arguments)) in answer.draft.calls().enumerate() {
                    let comma = if n == 0 { "" } else { "," };
                    let (id, name) = (call_id(answer, n), quoted(name));
                    let arguments = quoted(arguments);
                    put(
                        out,
                        format_args!(
                            "{comma}{{\"id\":\"{id}\",\"type\":\"function\",\
                             \"function\":{{\"name\":{name},\"arguments\":{arguments}}}}}"
                        ),
                    );
                }
                out.push(b']');
            }
            let finish = finish(answer);
            put(out, format_args!(r#"}},"logprobs":null,"finish_reason":"{finish}"}}"#));
        }
        out.push(b']');
        if answer.tells_usage {
            out.extend_from_slice(br#","usage":"#);
            usage(&answer.usage, out);
        }
        out.push(b'}');
    }

    fn begin(&self, answer: &Answer, out: &mut Vec<u8>) {
        let opens_with_call = matches!(answer.draft.parts.first(), Some(Part::Call { .. }));
        let text = if opens_with_call { "null" } else { r#""""# };
        for choice in 0..answer.choices {
            event(answer, choice, None, out, |out| {
                put(out, format_args!(r#""role":"assistant","content":{text},"refusal":null"#));
            });
        }
    }

    fn open(&self, _: &Answer, _: usize, _: &mut Vec<u8>) {}

    fn token(&self, answer: &Answer, part: usize, n: u64, out: &mut Vec<u8>) {
        for choice in 0..answer.choices {
            event(answer, choice, None, out, |out| match &answer.draft.parts[part] {
                Part::Call { name, .. } => {
                    let call = nth_call(answer, part);
                    put(out, format_args!(r#""tool_calls":[{{"index":{call},"#));
                    if n == 0 {
                        let (id, name) = (call_id(answer, call), quoted(name));
                        put(
                            out,
                            format_args!(
                                "\"id\":\"{id}\",\"type\":\"function\",\
                                 \"function\":{{\"name\":{name},\"arguments\":\""
                            ),
                        );
                    } else {
                        out.extend_from_slice(br#""function":{"arguments":""#);
                        answer.token(part, n - 1, out);
                    }
                    out.extend_from_slice(br#""}}]"#);
                }
                _ => {
                    out.extend_from_slice(br#""content":""#);
                    answer.token(part, n, out);
                    out.push(b'"');
                }
            });
        }
    }

    fn close(&self, _: &Answer, _: usize, _: &mut Vec<u8>) {}

    fn end(&self, answer: &Answer, out: &mut Vec<u8>) {
        for choice in 0..answer.choices {
            event(answer, choice, Some(finish(answer)), out, |_| {});
        }
        if answer.includes_usage {
            out.extend_from_slice(b"data: ");
            head(answer, "chat.completion.chunk", out);
            out.extend_from_slice(br#"],"usage":"#);
            usage(&answer.usage, out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn head(answer: &Answer, object: &str, out: &mut Vec<u8>) {
    let Answer { id, created, model, .. } = answer;
    put(
        out,
        format_args!(
            "{{\"id\":\"chatcmpl-{id}\",\"object\":\"{object}\",\"created\":{created},\
             \"model\":{model},\"service_tier\":\"default\",\
             \"system_fingerprint\":\"{FINGERPRINT}\",\"choices\":["
        ),
    );
}

fn event(
    answer: &Answer,
    choice: u64,
    finish: Option<&str>,
    out: &mut Vec<u8>,
    delta: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(b"data: ");
    head(answer, "chat.completion.chunk", out);
    put(out, format_args!(r#"{{"index":{choice},"delta":{{"#));
    delta(out);
    out.extend_from_slice(br#"},"logprobs":null,"finish_reason":"#);
    match finish {
        Some(reason) => put(out, format_args!(r#""{reason}""#)),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(if answer.includes_usage { br#"}],"usage":null}"# } else { b"}]}" });
    out.extend_from_slice(b"\n\n");
}

/// The text, or null where there are calls only.
fn content(answer: &Answer, out: &mut Vec<u8>) {
    let is_text = |part: &Part| matches!(part, Part::Words(_) | Part::Json(_));
    match answer.draft.parts.iter().position(is_text) {
        Some(part) => {
            out.push(b'"');
            answer.text(part, out);
            out.push(b'"');
        }
        None if answer.draft.has_calls() => out.extend_from_slice(b"null"),
        None => out.extend_from_slice(br#""""#),
    }
}

fn finish(answer: &Answer) -> &'static str {
    match (answer.draft.is_cut, answer.draft.has_calls()) {
        (true, _) => "length",
        (_, true) => "tool_calls",
        _ => "stop",
    }
}

pub fn usage(usage: &Usage, out: &mut Vec<u8>) {
    let Usage { input, cached, output, reasoning, .. } = usage;
    put(
        out,
        format_args!(
            "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{},\
             \"prompt_tokens_details\":{{\"cached_tokens\":{cached},\"audio_tokens\":0}},\
             \"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning},\
             \"audio_tokens\":0,\"accepted_prediction_tokens\":0,\
             \"rejected_prediction_tokens\":0}}}}",
            input + output
        ),
    );
}

/// How many calls stand before this part.
pub fn nth_call(answer: &Answer, part: usize) -> usize {
    let before = answer.draft.parts[..part].iter();
    before.filter(|part| matches!(part, Part::Call { .. })).count()
}

pub fn call_id(answer: &Answer, n: usize) -> String {
    format!("call_{}{n:04}", &answer.id[..20])
}
