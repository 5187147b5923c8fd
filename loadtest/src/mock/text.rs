//! OpenAI's older completions: `text_completion`, whole and in chunks. Bytes only.

use super::chat;
use super::wire::{Answer, Wire, put};

pub struct Text;

// === impl Text ===

impl Wire for Text {
    fn whole(&self, answer: &Answer, out: &mut Vec<u8>) {
        head(answer, out);
        for choice in 0..answer.choices {
            if choice > 0 {
                out.push(b',');
            }
            out.extend_from_slice(br#"{"text":""#);
            for part in 0..answer.draft.parts.len() {
                answer.text(part, out);
            }
            let finish = finish(answer);
            put(
                out,
                format_args!(r#"","index":{choice},"logprobs":null,"finish_reason":"{finish}"}}"#),
            );
        }
        out.push(b']');
        if answer.tells_usage {
            out.extend_from_slice(br#","usage":"#);
            chat::usage(&answer.usage, out);
        }
        out.push(b'}');
    }

    fn begin(&self, _: &Answer, _: &mut Vec<u8>) {}

    fn open(&self, _: &Answer, _: usize, _: &mut Vec<u8>) {}

    fn token(&self, answer: &Answer, part: usize, n: u64, out: &mut Vec<u8>) {
        for choice in 0..answer.choices {
            event(answer, choice, "null", out, |out| answer.token(part, n, out));
        }
    }

    fn close(&self, _: &Answer, _: usize, _: &mut Vec<u8>) {}

    fn end(&self, answer: &Answer, out: &mut Vec<u8>) {
        let finish = format!(r#""{}""#, finish(answer));
        for choice in 0..answer.choices {
            event(answer, choice, &finish, out, |_| {});
        }
        if answer.includes_usage {
            out.extend_from_slice(b"data: ");
            head(answer, out);
            out.extend_from_slice(br#"],"usage":"#);
            chat::usage(&answer.usage, out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn head(answer: &Answer, out: &mut Vec<u8>) {
    let Answer { id, created, model, .. } = answer;
    put(
        out,
        format_args!(
            "{{\"id\":\"cmpl-{id}\",\"object\":\"text_completion\",\"created\":{created},\
             \"model\":{model},\"system_fingerprint\":\"fp_6d6f636b\",\"choices\":["
        ),
    );
}

fn event(
    answer: &Answer,
    choice: u64,
    finish: &str,
    out: &mut Vec<u8>,
    text: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(b"data: ");
    head(answer, out);
    out.extend_from_slice(br#"{"text":""#);
    text(out);
    put(out, format_args!(r#"","index":{choice},"logprobs":null,"finish_reason":{finish}}}]"#));
    out.extend_from_slice(if answer.includes_usage { br#","usage":null}"# } else { b"}" });
    out.extend_from_slice(b"\n\n");
}

fn finish(answer: &Answer) -> &'static str {
    if answer.draft.is_cut { "length" } else { "stop" }
}
