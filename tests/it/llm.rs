//! Requests to language models, on the wire: who is asked when somebody fails, what a client sees
//! of a stream that breaks, and that nobody generates for a client that has gone.

use std::net::SocketAddr;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::kit::PATIENCE;
use crate::kit::client::{self, Client};
use crate::kit::gateway::{ADMIN, Gateway};
use crate::kit::mock::Mock;
use crate::kit::origin::{Origin, ok};
use crate::kit::{Scrape, eventually};

/// A gateway whose model `m` is served by `first`, and by `second` if that fails.
fn gateway(first: &str, second: &str, more: &str) -> Gateway {
    let provider = |name: &str, at: &str| {
        format!(
            "[providers.{name}]\ndialect = \"openai\"\nbase_url = \"http://{at}/v1\"\n\
             stream_first_byte = \"700ms\"\n\
             timeouts = {{ connect = \"5s\", first_byte = \"700ms\", idle = \"700ms\" }}\n"
        )
    };
    Gateway::start(&format!(
        "{more}[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [apis.llm.routes.\"ANY /v1/{{proxy+}}\"]\nllm = true\n\
         {}{}\
         [models.\"m*\"]\n\
         targets = [{{ provider = \"first\", model = \"*\" }}, \
                    {{ provider = \"second\", model = \"mock-t6\", priority = 2 }}]\n\
         failover = {{ budget = \"100%\", budget_min = 100 }}\n\
         breaker = {{ failures = 1000, ratio = \"0%\" }}\n",
        provider("first", first),
        provider("second", second),
    ))
}

fn ask(model: &str, stream: bool) -> String {
    let body = json!({
        "model": model,
        "stream": stream,
        "messages": [{ "role": "user", "content": "a question" }],
    })
    .to_string();
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// What stands in the events of a chat's stream.
fn text_of(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    chunks
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect()
}

/// The six tokens of the second provider's answer.
const WHOLE: &str = "t0 t1 t2 t3 t4 t5";

/// Ways to fail before a byte of an answer has been passed on: faults of the mock, and a port at
/// which nobody listens. Those in the middle show before a stream's first token.
const EARLY: [&str; 25] = [
    "closed-port",
    "408",
    "429",
    "500",
    "502",
    "503",
    "504",
    "529",
    "401",
    "402",
    "403",
    "quota",
    "slow",
    "stall",
    "reset",
    "close",
    "error-first",
    "garbage",
    "garbage-http",
    "truncate",
    "reset-mid",
    "end-early",
    "stall-mid",
    "error-mid",
    "no-answer",
];

/// A gateway with a model for each way to fail, streamed and not, so that what one has done to a
/// target says nothing of another: the first two of its three targets fail, in two ways.
fn gateway_of_ways(mocks: [&str; 3]) -> Gateway {
    let mut config = "[listeners.web]\naddress = \"127.0.0.1:0\"\n\
                      [apis.llm.routes.\"ANY /v1/{proxy+}\"]\nllm = true\n"
        .to_owned();
    let provider = |name: &str, at: &str| {
        format!(
            "[providers.{name}]\ndialect = \"openai\"\nbase_url = \"http://{at}/v1\"\n\
             stream_first_byte = \"700ms\"\n\
             timeouts = {{ connect = \"5s\", first_byte = \"700ms\", idle = \"700ms\" }}\n"
        )
    };
    let names = ["first", "second", "third"];
    for (name, at) in names.into_iter().zip(mocks) {
        config += &provider(name, at);
    }
    config += &provider("closed-port", "127.0.0.1:9");
    config += &provider("no-answer", &no_answer().to_string());
    let target = |name: &str, way: &str, priority: u32| match way {
        "closed-port" | "no-answer" => {
            format!("{{ provider = \"{way}\", model = \"{name}\", priority = {priority} }}")
        }
        _ => format!(
            "{{ provider = \"{name}\", model = \"mock-t6-k0-fault-{way}\", \
             priority = {priority} }}"
        ),
    };
    for (i, way) in EARLY.iter().enumerate() {
        let (one, two) = (target("first", way, 1), target("second", EARLY[(i + 7) % 25], 2));
        for kind in ["whole", "stream"] {
            config += &format!(
                "[models.{kind}-{way}]\n\
                 targets = [{one}, {two}, \
                 {{ provider = \"third\", model = \"mock-t6\", priority = 3 }}]\n"
            );
        }
    }
    Gateway::start(&config)
}

/// Where connections are taken and nothing is ever said.
fn no_answer() -> SocketAddr {
    static SILENT: OnceLock<Origin> = OnceLock::new();
    SILENT.get_or_init(|| Origin::scripted(|conn| _ = conn.until_left())).addr
}

#[test]
fn providers_that_fail_before_the_first_byte_are_not_noticed() {
    let mocks = [(); 3].map(|()| Mock::start(&[]));
    let at = mocks.each_ref().map(|mock| mock.addr.to_string());
    let gateway = gateway_of_ways(at.each_ref().map(String::as_str));
    std::thread::scope(|scope| {
        for (way, stream) in EARLY.iter().flat_map(|way| [(way, false), (way, true)]) {
            let addr = gateway.addr();
            scope.spawn(move || {
                let what = format!("{way}, streamed: {stream}");
                let model = format!("{}-{way}", if stream { "stream" } else { "whole" });
                let answer = client::ask(addr, ask(&model, stream));
                assert_eq!(answer.status, 200, "{what}: {}", answer.text());
                let who =
                    ["provider", "attempts"].map(|name| answer.field(&format!("x-ringway-{name}")));
                assert_eq!(who, [Some("third"), Some("3")], "{what}");
                let text = answer.text();
                if stream {
                    assert_eq!(text_of(&text), WHOLE, "{what}: {text}");
                    assert_eq!(text.matches("data: [DONE]").count(), 1, "{what}: {text}");
                } else {
                    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
                    assert_eq!(body["choices"][0]["message"]["content"], WHOLE, "{what}");
                }
            });
        }
    });
    let [first, second, third] = mocks.each_ref().map(Mock::settled);
    let asked = EARLY.len() * 2;
    assert_eq!(third["requests"], asked, "each was asked for once: {third:#}");
    assert_eq!(third["completed"], asked, "and generated once: {third:#}");
    for failing in [first, second] {
        assert_eq!(failing["completed"], 0, "{failing:#}");
        for fault in EARLY.iter().filter(|way| !["closed-port", "no-answer"].contains(way)) {
            assert_eq!(failing["faults"][fault], 2, "{fault} was committed: {failing:#}");
        }
    }
}

#[test]
fn a_stream_that_breaks_ends_with_an_error_and_is_not_replayed() {
    let (bad, good) = (Mock::start(&[]), Mock::start(&[]));
    let gateway = gateway(&bad.addr.to_string(), &good.addr.to_string(), "");
    for fault in ["truncate", "reset-mid", "end-early", "stall-mid", "error-mid"] {
        let mut client = Client::connect(gateway.addr());
        client.send(ask(&format!("mock-t8-p5ms-k3-fault-{fault}"), true));
        let (bytes, _) = client.read_to_end();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{fault}: {text}");
        assert!(text.contains("t0"), "{fault}: some of it came: {text}");
        assert!(text.contains("data: {\"error\":{"), "{fault}: {text}");
        assert!(!text.contains("[DONE]"), "{fault}: it looks complete: {text}");
        // In order: fetch would throw the error away with the rest if the body was cut.
        assert!(text.ends_with("\n\n\r\n0\r\n\r\n"), "{fault}: the body is cut: {text}");
        assert!(text.matches("\"t0\"").count() <= 1, "{fault}: replayed: {text}");
    }
    assert_eq!(good.counters()["completed"], 0, "nobody else was asked");
}

#[test]
fn where_nobody_answers_the_client_is_told_what_the_last_one_said() {
    let mock = Mock::start(&["--retry-after", "7s"]);
    let gateway = gateway("127.0.0.1:9", "127.0.0.1:9", "");
    let answer = client::ask(gateway.addr(), ask("mock-t3", false));
    assert_eq!((answer.status, &*answer.code()), (503, "ROUTER_002"));
    assert_eq!(answer.field("x-should-retry"), Some("true"));

    let limited = Gateway::start(&format!(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [apis.llm.routes.\"ANY /v1/{{proxy+}}\"]\nllm = true\n\
         [providers.p]\ndialect = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         [models.\"mock*\"]\ntargets = [{{ provider = \"p\", model = \"*\" }}]\n",
        mock.addr
    ));
    for asked in ["by it", "for it"] {
        let answer = client::ask(limited.addr(), ask("mock-fault-429", false));
        assert_eq!((answer.status, &*answer.code()), (429, "PROVIDER_002"), "answered {asked}");
        assert!(answer.field("retry-after").is_some(), "{answer:?}");
    }
    let counters = mock.counters();
    assert_eq!(counters["faults"]["429"], 1, "it was left alone: {counters:#}");

    let alone = self::gateway(&mock.addr.to_string(), "127.0.0.1:9", "");
    let answer = client::ask(alone.addr(), ask("mock-fault-400", false));
    assert_eq!(answer.status, 400, "the client's own fault, in the provider's words");
    assert_eq!(answer.field("x-ringway-provider"), Some("first"));
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_parameter() {
    let mock = Mock::start(&[]);
    let at = mock.addr.to_string();
    let gateway = gateway(&at, &at, "");
    for (body, status, param) in [
        ("{\"model\":\"m1\"", 400, Value::Null),
        ("{\"messages\":[]}", 400, "model".into()),
        ("{\"model\":7,\"messages\":[]}", 400, "model".into()),
        ("{\"model\":\"m1\",\"model\":\"m2\",\"messages\":[]}", 400, "model".into()),
        ("{\"model\":\"m1\",\"max_tokens\":1e400,\"messages\":[]}", 400, "max_tokens".into()),
        ("{\"model\":\"unknown\",\"messages\":[]}", 404, "model".into()),
    ] {
        let length = body.len();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let answer = client::ask(gateway.addr(), request);
        let told: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(answer.status, status, "{body}: {told:#}");
        assert_eq!(told["error"]["param"], param, "{body}: {told:#}");
    }
    let deep = format!("{{\"model\":\"m1\",\"x\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let length = deep.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{deep}"
    );
    assert_eq!(client::ask(gateway.addr(), request).status, 400);
    for (path, status) in
        [("/v1/models/m1", 200), ("/v1/models", 200), ("/v1/models/x", 404), ("/v1/files", 404)]
    {
        assert_eq!(client::get(gateway.addr(), path).status, status, "{path}");
    }
    assert_eq!(mock.counters()["completed"], 0, "nothing of it was sent on");
}

#[test]
fn a_client_that_leaves_is_not_generated_for() {
    let mock = Mock::start(&[]);
    let at = mock.addr.to_string();
    let gateway = gateway(&at, &at, "");
    // Before the first byte, in the middle of a stream, and while a whole answer is made.
    let phases = [("mock-t50-f10s", true), ("mock-t5000-p5ms", true), ("mock-t5000-p5ms", false)];
    let each = 20;
    for (model, stream) in phases {
        let clients: Vec<Client> = (0..each)
            .map(|_| {
                let mut client = Client::connect(gateway.addr());
                client.send(ask(model, stream));
                if stream && model.contains("5000") {
                    client.more().expect("the stream has begun");
                }
                client
            })
            .collect();
        let runs = || mock.counters()["running"].as_u64() == Some(each);
        assert!(eventually(PATIENCE, runs), "{model}: {:#}", mock.counters());
        drop(clients);
        let ends = || mock.counters()["running"].as_u64() == Some(0);
        assert!(eventually(PATIENCE, ends), "{model}: {:#}", mock.counters());
    }
    let counters = mock.settled();
    assert_eq!(counters["completed"], 0, "{counters:#}");
}

#[test]
fn events_pass_byte_for_byte_whatever_their_lines_end_in() {
    let mock = Mock::start(&[]);
    let at = mock.addr.to_string();
    let gateway = gateway(&at, &at, "");
    for model in ["mock-t9", "mock-t9-crlf", "mock-t9-cr", "mock-t9-s7", "mock-t9-crlf-s1"] {
        let answer = client::ask(gateway.addr(), ask(model, true));
        assert_eq!(answer.status, 200, "{model}");
        let text = answer.text().replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(text_of(&text), "t0 t1 t2 t3 t4 t5 t6 t7 t8", "{model}: {text}");
        assert!(!text.contains("\"choices\":[]"), "{model}: nobody asked for the usage: {text}");
        assert!(text.trim_end().ends_with("data: [DONE]"), "{model}: {text}");
    }
}

#[test]
fn a_provider_sees_its_own_credential_and_nothing_of_the_client() {
    let answer = "{\"id\":\"x\",\"choices\":[],\"usage\":null}";
    let origin = Origin::fixed(ok(answer));
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), "sk-of-the-provider\n").expect("a file");
    let gateway = Gateway::start(&format!(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [apis.llm.routes.\"ANY /v1/{{proxy+}}\"]\nllm = true\n\
         [providers.p]\ndialect = \"openai\"\nbase_url = \"http://{}/v1\"\n\
         credentials = [{{ name = \"a\", file = \"{}\" }}]\nheaders = {{ x-org = \"ours\" }}\n\
         [models.m]\ntargets = [{{ provider = \"p\", model = \"real\" }}]\n",
        origin.addr,
        key.path().display(),
    ));
    let body = "{ \"messages\": [],\n \"model\" : \"m\", \"unknown\": {\"a\": 1.0e2} }";
    let length = body.len();
    let answer = client::ask(
        gateway.addr(),
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-client\r\n\
             X-Api-Key: sk-client\r\nCookie: a=b\r\nX-Forwarded-For: 9.9.9.9\r\nX-Org: theirs\r\n\
             OpenAI-Organization: theirs\r\nX-Custom: kept\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = origin.only();
    assert_eq!(seen.field("authorization"), Some("Bearer sk-of-the-provider"));
    assert_eq!(seen.field("x-org"), Some("ours"));
    assert_eq!(seen.field("x-custom"), Some("kept"));
    for gone in ["x-api-key", "cookie", "x-forwarded-for", "openai-organization", "forwarded"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    let expected = body.replace("\"m\"", "\"real\"");
    assert_eq!(String::from_utf8_lossy(&seen.body), expected, "untouched but for the name");
}

/// Thousands of streams wait at once, for their first event or the next one.
#[test]
fn streams_that_wait_hold_no_buffers() {
    const EACH: usize = 20;
    let mock = Mock::start(&[]);
    let at = mock.addr;
    let gateway = Gateway::start(&format!(
        "{ADMIN}[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [upstreams.plain]\nendpoints = [\"{at}\"]\n\
         [apis.plain]\nbase_path = \"/plain\"\n\
         [apis.plain.routes.\"$default\"]\nupstream = \"plain\"\n\
         [apis.llm.routes.\"ANY /v1/{{proxy+}}\"]\nllm = true\n\
         [providers.p]\ndialect = \"openai\"\nbase_url = \"http://{at}/v1\"\n\
         [models.\"m*\"]\ntargets = [{{ provider = \"p\", model = \"*\" }}]\n"
    ));
    let (first, next) = (ask("mock-t6-f60s", true), ask("mock-t600-p500ms", true));
    let plain = next.replacen("POST /", "POST /plain/", 1);
    let mut clients = Vec::new();
    for (request, begins) in [(&first, false), (&next, true), (&plain, true)] {
        for _ in 0..EACH {
            let mut client = gateway.client();
            client.send(request);
            if begins {
                assert_eq!(client.head().expect("a head").status, 200);
            }
            clients.push(client);
        }
    }
    // The gauge is set once a second; now and then an event is on its way.
    let mut held = 0;
    let none = eventually(PATIENCE, || {
        let scrape = Scrape::of(&gateway);
        held = scrape.sum("ringway_relay_buffers_in_use", &[]);
        scrape.count("ringway_requests_in_flight", &[]) == 3 * EACH && held <= 5
    });
    assert!(none, "{held} buffers are held");
}
