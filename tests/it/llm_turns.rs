//! Whose turn it is when a model's providers have had enough: the other credentials of a provider
//! first, then the next target; and what a client is told when nobody is left.

use serde_json::json;

use crate::kit::client;
use crate::kit::gateway::Gateway;
use crate::kit::message::{Request, Response};
use crate::kit::origin::{Origin, ok};

const ANSWER: &str = r#"{"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;

/// A provider's API that has had enough of the credentials that `has_had_enough` says yes to.
fn provider(has_had_enough: impl Fn(&str) -> bool + Send + Sync + 'static) -> Origin {
    Origin::answering(move |request: &Request| {
        let key = request.field("authorization").unwrap_or("").replace("Bearer ", "");
        if !has_had_enough(&key) {
            return ok(ANSWER);
        }
        let error = r#"{"error":{"message":"too fast","type":"rate_limit_error"}}"#;
        let length = error.len();
        format!(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: {length}\r\n\
             \r\n{error}"
        )
        .into_bytes()
    })
}

/// A gateway before `first`, with these credentials, and `second`.
fn gateway(first: &Origin, second: &Origin, more: &[(&str, &str)], keys: &[&str]) -> Gateway {
    let part = |what: &str| -> String {
        let parts = more.iter().filter(|(at, _)| *at == what);
        parts.map(|(_, text)| format!("{text}\n")).collect()
    };
    let dir = tempfile::tempdir().expect("a directory");
    let credential = |name: &&str| {
        let path = dir.path().join(name);
        std::fs::write(&path, name).expect("a file");
        format!("{{ name = \"{name}\", file = \"{}\" }}", path.display())
    };
    let credentials = keys.iter().map(credential).collect::<Vec<_>>().join(", ");
    Gateway::start(&format!(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [apis.llm.routes.\"ANY /v1/{{proxy+}}\"]\nllm = true\n{}\n\
         [providers.first]\ndialect = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         credentials = [{credentials}]\n{}\n\
         [providers.second]\ndialect = \"openai\"\nbase_url = \"http://{}/v1\"\n{}\n\
         [models.m]\ntargets = [{{ provider = \"first\", model = \"a\" }}, \
         {{ provider = \"second\", model = \"b\", priority = 2 }}]\n{}\n",
        part("top"),
        first.addr,
        part("first"),
        second.addr,
        part("second"),
        part("model"),
    ))
}

fn ask(gateway: &Gateway) -> Response {
    let body =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "?" }] }).to_string();
    let length = body.len();
    client::ask(
        gateway.addr(),
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\
             \r\n{body}"
        ),
    )
}

/// Who has served, at which attempt.
fn served(answer: &Response) -> (&str, &str) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let field = |name| answer.field(name).expect("said");
    (field("x-ringway-provider"), field("x-ringway-attempts"))
}

#[test]
fn a_credential_that_has_had_enough_rests_and_the_next_of_the_same_provider_is_tried() {
    let keys = ["sk-a", "sk-b", "sk-c"];
    let (first, second) = (provider(|key| key != "sk-c"), provider(|_| false));
    // As likely as not another target would be chosen if it were not the same one's turn.
    let gateway = gateway(&first, &second, &[], &keys);
    assert_eq!(served(&ask(&gateway)), ("first", "3"));
    assert_eq!(first.count(), 3);
    for _ in 0..5 {
        assert_eq!(served(&ask(&gateway)), ("first", "1"), "the others rest");
    }
    assert_eq!((first.count(), second.count()), (8, 0));
}

#[test]
fn the_next_target_comes_when_all_credentials_rest_and_within_the_attempts() {
    let (first, second) = (provider(|_| true), provider(|_| false));
    let gateway = self::gateway(&first, &second, &[], &["sk-a", "sk-b"]);
    assert_eq!(served(&ask(&gateway)), ("second", "3"));
    assert_eq!(served(&ask(&gateway)), ("second", "1"), "both rest");
    assert_eq!((first.count(), second.count()), (2, 2));

    let (first, second) = (provider(|_| true), provider(|_| true));
    let two = [("model", "failover = { attempts = 2 }")];
    let gateway = self::gateway(&first, &second, &two, &["sk-a", "sk-b", "sk-c"]);
    let answer = ask(&gateway);
    assert_eq!((answer.status, &*answer.code()), (429, "PROVIDER_002"), "{}", answer.text());
    assert_eq!((first.count(), second.count()), (2, 0));
    // The third, the other provider; then nobody is left, which is a matter of rates too.
    assert_eq!(ask(&gateway).status, 429);
    let answer = ask(&gateway);
    assert_eq!((answer.status, &*answer.code()), (429, "PROVIDER_002"), "{}", answer.text());
    assert_eq!((first.count(), second.count()), (3, 1), "nobody was asked again");
}

#[test]
fn a_provider_whose_own_limit_is_used_up_is_passed_over_whatever_failover_is_on() {
    let (first, second) = (provider(|_| false), provider(|_| false));
    let more = [
        ("top", "[limits.one]\nrate = \"1/h\"\nburst = 1\n"),
        ("first", "limits = [\"one\"]"),
        ("model", "failover = { attempts = 1, on = [\"connect\"] }"),
    ];
    let gateway = gateway(&first, &second, &more, &["sk-a"]);
    assert_eq!(served(&ask(&gateway)), ("first", "1"));
    for _ in 0..3 {
        assert_eq!(served(&ask(&gateway)), ("second", "1"), "not asked: no attempt");
    }
    assert_eq!((first.count(), second.count()), (1, 3));
}

#[test]
fn where_all_are_passed_over_the_client_is_told_of_the_limit_that_passes_first() {
    let limits = "[limits.hour]\nrate = \"1/h\"\nburst = 1\n\
                  [limits.day]\nrate = \"1/d\"\nburst = 1\n\
                  [limits.money]\nunit = \"usd\"\n\
                  quota = { limit = \"0.000001\", per = \"month\" }\n\
                  [limits.tokens]\nunit = \"tokens\"\nrate = \"1/m\"\nburst = 500\n";
    let dear = "[providers.second.prices.\"*\"]\ninput = \"1000\"\noutput = \"1000\"\n";
    // limits of the first, of the second; how many are served; what the client is told at last.
    // What money and tokens are asked for never fits.
    for (one, two, serves, status, code, comes_back) in [
        ("hour", "day", 2, 429, "RATE_LIMIT_001", true),
        ("day", "hour", 2, 429, "RATE_LIMIT_001", true),
        ("hour", "money", 1, 429, "RATE_LIMIT_001", true),
        ("tokens", "hour", 1, 429, "RATE_LIMIT_001", true),
        ("tokens", "money", 0, 429, "RATE_LIMIT_002", false),
        ("tokens", "tokens", 0, 429, "RATE_LIMIT_002", false),
    ] {
        let what = format!("{one} and {two}");
        let (first, second) = (provider(|_| false), provider(|_| false));
        let of_first = format!("limits = [\"{one}\"]");
        let of_second = format!("limits = [\"{two}\"]\n{dear}");
        let more = [
            ("top", limits),
            ("first", of_first.as_str()),
            ("second", &of_second),
            ("model", "output_max = 1000\nfailover = { on = [\"connect\"] }"),
        ];
        let gateway = gateway(&first, &second, &more, &["sk-a"]);
        for _ in 0..serves {
            served(&ask(&gateway));
        }
        let answer = ask(&gateway);
        assert_eq!((answer.status, &*answer.code()), (status, code), "{what}: {}", answer.text());
        let wait = answer.field("retry-after").map(|wait| wait.parse::<u64>().expect("seconds"));
        assert_eq!(wait.is_some(), comes_back, "{what}: {answer:?}");
        assert!(wait.is_none_or(|wait| wait <= 3600), "{what}: of the one that passes first");
        assert_eq!(answer.field("x-should-retry"), Some("false"), "{what}: not while one waits");
        assert_eq!(first.count() + second.count(), serves, "{what}: nobody was asked");
    }
}

#[test]
fn what_a_provider_has_said_goes_before_what_a_limit_of_another_has() {
    let (first, second) = (provider(|_| true), provider(|_| false));
    let more =
        [("top", "[limits.one]\nrate = \"1/h\"\nburst = 1\n"), ("second", "limits = [\"one\"]")];
    let gateway = gateway(&first, &second, &more, &["sk-a", "sk-b", "sk-c", "sk-d"]);
    // Three attempts, all of them at the first.
    assert_eq!(ask(&gateway).status, 429);
    assert_eq!(served(&ask(&gateway)), ("second", "2"));
    let answer = ask(&gateway);
    assert_eq!((answer.status, &*answer.code()), (429, "RATE_LIMIT_001"), "nobody was asked");

    let first = Origin::fixed("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let gateway = self::gateway(&first, &second, &more, &["sk-a"]);
    served(&ask(&gateway));
    let answer = ask(&gateway);
    assert_eq!((answer.status, &*answer.code()), (502, "PROVIDER_005"), "{}", answer.text());
    assert_eq!(answer.field("x-should-retry"), Some("true"));
}
