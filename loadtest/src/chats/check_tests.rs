//! Streams as the mock writes them, and each way of spoiling one.

use proptest::prelude::*;

use super::*;

fn expected(dialect: Dialect, usage: bool) -> Expected {
    Expected { dialect, usage, numbered: true }
}

fn chunk(id: &str, text: &str) -> String {
    format!("data: {{\"id\":\"{id}\",\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

const FINISH: &str =
    "data: {\"id\":\"a\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"id\":\"a\",\"choices\":[],\"usage\":\
    {\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn judge(usage: bool, parts: &[&str]) -> Result<Told, Flaw> {
    let mut check = Check::new(expected(Dialect::OpenAi, usage));
    check.feed(parts.concat().as_bytes(), |_| {})?;
    check.end()
}

#[test]
fn a_sound_stream_has_no_flaw_and_a_spoilt_one_has_its_own() {
    let (t0, t1) = (chunk("a", "t0"), chunk("a", " t1"));
    let told = Told { input: 3, output: 2 };
    assert_eq!(judge(true, &[&t0, &t1, FINISH, USAGE, DONE]), Ok(told));
    assert_eq!(judge(false, &[&t0, &t1, FINISH, DONE]), Ok(Told::default()));
    let flaws: [(&[&str], Flaw); 9] = [
        (&[&t0, FINISH, USAGE, DONE], Flaw::WrongUsage),
        (&[&t0, &t1, FINISH, DONE], Flaw::WrongUsage),
        (&[&t0, &t1, FINISH, USAGE], Flaw::Incomplete),
        (&[&t0, &t1, USAGE, DONE], Flaw::Incomplete),
        (&[&t1], Flaw::Skipped),
        (&[&t0, &t1, &t0], Flaw::Replayed),
        (&[&t0, &chunk("b", " t1")], Flaw::TwoIds),
        (&[&t0, "data: {\"error\":{\"message\":\"x\"}}\n\n"], Flaw::ErrorEvent),
        (&[&t0, &t1, FINISH, USAGE, DONE, &t0], Flaw::AfterEnd),
    ];
    for (parts, flaw) in flaws {
        assert_eq!(judge(true, parts), Err(flaw), "{parts:?}");
    }
    assert_eq!(judge(false, &[&t0, &t1, FINISH, USAGE, DONE]), Err(Flaw::UnaskedUsage));
    assert_eq!(judge(false, &["data: {\"id\":\n\n"]), Err(Flaw::NotJson));
}

const MESSAGE: &str = "event: message_start\ndata: {\"type\":\"message_start\",\
    \"message\":{\"id\":\"m\",\
    \"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":1,\"output_tokens\":1}}}\n\n\
    event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
    \"delta\":{\"type\":\"text_delta\",\"text\":\"t0@123\"}}\n\n\
    event: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\
    \"delta\":{\"stop_reason\":\"end_turn\"},\
    \"usage\":{\"output_tokens\":1}}\n\n\
    event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

proptest! {
    #[test]
    fn any_split_is_judged_the_same(cuts in proptest::collection::vec(0..MESSAGE.len(), 0..20)) {
        let mut check = Check::new(expected(Dialect::Anthropic, false));
        let mut cuts = cuts;
        cuts.sort_unstable();
        cuts.push(MESSAGE.len());
        let (mut at, mut stamps) = (0, Vec::new());
        for cut in cuts {
            check.feed(&MESSAGE.as_bytes()[at..cut], |stamp| stamps.push(stamp)).unwrap();
            at = cut;
        }
        prop_assert_eq!(stamps, vec![Some(123)]);
        prop_assert_eq!(check.end(), Ok(Told { input: 4, output: 1 }));
    }
}

#[test]
fn whole_answers_are_judged_too() {
    let chat = r#"{"id":"a","choices":[{"message":{"content":"t0 t1"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let whole = |dialect, body: &str| Check::new(expected(dialect, false)).whole(body.as_bytes());
    assert_eq!(whole(Dialect::OpenAi, chat), Ok(Told { input: 3, output: 2 }));
    assert_eq!(whole(Dialect::OpenAi, &chat.replace("t1", "t2")), Err(Flaw::Skipped));
    assert_eq!(whole(Dialect::OpenAi, &chat.replace(":2}", ":5}")), Err(Flaw::WrongUsage));
    let message = r#"{"id":"a","type":"message","content":[{"type":"text","text":"t0"}],
        "stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1}}"#;
    assert_eq!(whole(Dialect::Anthropic, message), Ok(Told { input: 3, output: 1 }));
    let hidden = r#"{"id":"a","choices":[{"message":{"content":"t0"},"finish_reason":"stop"}],
        "usage":{"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":8}}}"#;
    assert_eq!(whole(Dialect::OpenAi, hidden), Ok(Told { input: 0, output: 9 }));
}
