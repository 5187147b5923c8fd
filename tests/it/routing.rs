//! Which route a request meets, what is done to it there, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::kit::client::get;
use crate::kit::gateway::{complete, run};
use crate::kit::{Gateway, Origin, ms};

const WEB: &str = "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n";

/// A gateway whose routes say their own keys.
fn saying(apis: &[(&str, &str, &[&str])]) -> Gateway {
    let mut config = WEB.to_owned();
    for (name, head, keys) in apis {
        config += &format!("[apis.{name}]\n{head}\n");
        for key in *keys {
            config += &format!("[apis.{name}.routes.\"{key}\"]\n");
            config += &format!("respond = {{ body = \"{name} {key}\" }}\n");
        }
    }
    Gateway::start(&config)
}

fn ask(gateway: &Gateway, method: &str, host: &str, path: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let response = gateway.ask(request);
    if response.status == 200 { response.text() } else { response.status.to_string() }
}

#[test]
fn the_most_specific_route_wins_as_at_aws() {
    let keys = ["GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}"];
    let any = saying(&[("a", "", &[&keys[..], &["ANY /{proxy+}"]].concat())]);
    let default = saying(&[("a", "", &[&keys[..], &["$default"]].concat())]);
    for (gateway, last) in [(any, "ANY /{proxy+}"), (default, "$default")] {
        for (method, path, key) in [
            ("GET", "/pets/dog/1", keys[0]),
            ("GET", "/pets/dog/2", keys[1]),
            ("GET", "/pets/cat/1", keys[2]),
            ("GET", "/pets/dog/1/2", keys[2]),
            ("POST", "/test/5", last),
            ("POST", "/pets/dog/1", last),
        ] {
            assert_eq!(ask(&gateway, method, "h", path), format!("a {key}"), "{method} {path}");
        }
        let root = if last == "$default" { "a $default" } else { "404" };
        assert_eq!(ask(&gateway, "GET", "h", "/"), root, "a greedy parameter is not empty");
    }
}

#[test]
fn an_exact_host_comes_before_the_longest_wildcard_and_the_star_last() {
    let gateway = saying(&[
        ("exact", "hosts = [\"api.example.com\"]", &["$default"]),
        ("near", "hosts = [\"*.eu.example.com\"]", &["$default"]),
        ("far", "hosts = [\"*.example.com\"]", &["$default"]),
        ("any", "", &["$default"]),
    ]);
    for (host, api) in [
        ("api.example.com", "exact"),
        ("API.Example.COM:8443", "exact"),
        ("x.eu.example.com", "near"),
        ("y.example.com", "far"),
        ("example.com", "any"),
        ("other.test", "any"),
    ] {
        assert_eq!(ask(&gateway, "GET", host, "/"), format!("{api} $default"), "{host}");
    }
}

#[test]
fn methods_are_told_apart_and_what_no_route_takes_is_a_404() {
    let gateway = saying(&[("a", "", &["GET /x", "DELETE /x", "ANY /y", "PURGE /z"])]);
    assert_eq!(ask(&gateway, "GET", "h", "/x"), "a GET /x");
    assert_eq!(ask(&gateway, "DELETE", "h", "/x"), "a DELETE /x");
    assert_eq!(ask(&gateway, "POST", "h", "/x"), "404");
    assert_eq!(ask(&gateway, "get", "h", "/x"), "404", "methods are case-sensitive");
    assert_eq!(ask(&gateway, "BREW", "h", "/y"), "a ANY /y");
    assert_eq!(ask(&gateway, "PURGE", "h", "/z"), "a PURGE /z");
    assert_eq!(ask(&gateway, "GET", "h", "/nothing"), "404");
}

#[test]
fn a_base_path_is_part_of_what_is_matched() {
    let gateway = saying(&[
        ("v1", "base_path = \"/v1\"", &["GET /pets", "$default"]),
        ("v2", "base_path = \"/v2\"", &["GET /pets"]),
    ]);
    assert_eq!(ask(&gateway, "GET", "h", "/v1/pets"), "v1 GET /pets");
    assert_eq!(ask(&gateway, "GET", "h", "/v2/pets"), "v2 GET /pets");
    assert_eq!(ask(&gateway, "GET", "h", "/v1/other"), "v1 $default");
    assert_eq!(ask(&gateway, "GET", "h", "/v10/pets"), "404");
    assert_eq!(ask(&gateway, "GET", "h", "/pets"), "404");
}

#[test]
fn paths_are_stripped_rewritten_and_their_parameters_used() {
    let origin = Origin::named("ok");
    let addr = origin.addr;
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[upstreams.app]
endpoints = ["{addr}"]
[apis.a]
base_path = "/v1"
[apis.a.routes."GET /strip/{{proxy+}}"]
upstream = "app"
strip_prefix = "/v1/strip"
[apis.a.routes."GET /pets/{{id}}"]
upstream = "app"
rewrite = "/animals/{{id}}{{query?}}"
[apis.a.routes."ANY /files/{{rest+}}"]
upstream = "app"
rewrite = "/store/{{rest}}?from={{host}}&m={{method}}"
[apis.a.routes."GET /plain"]
upstream = "app"
"#
    ));
    for (path, target) in [
        ("/v1/strip/a/b?c=d", "/a/b?c=d"),
        ("/v1/pets/7?x=1", "/animals/7?x=1"),
        ("/v1/pets/a%2Fb", "/animals/a%2Fb"),
        ("/v1/pets/7", "/animals/7"),
        ("/v1/files/x/y", "/store/x/y?from=h&m=GET"),
        ("/v1/plain?", "/v1/plain?"),
        ("/v1/x/../plain?q=/../", "/v1/plain?q=/../"),
    ] {
        assert_eq!(ask(&gateway, "GET", "h", path), "ok", "{path}");
        assert_eq!(origin.last().target(), target, "{path}");
    }
}

#[test]
fn redirects_go_where_their_template_says() {
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[apis.a.routes."GET /old/{{id}}"]
redirect = {{ to = "https://{{host}}/new/{{id}}{{query?}}", status = 301 }}
[apis.a.routes."GET /moved"]
redirect = {{ to = "/here" }}
"#
    ));
    let old = gateway.ask("GET /old/7?a=b HTTP/1.1\r\nHost: H.example:8080\r\n\r\n");
    assert_eq!((old.status, old.field("location")), (301, Some("https://h.example/new/7?a=b")));
    let moved = gateway.get("/moved");
    assert_eq!((moved.status, moved.field("location")), (308, Some("/here")));
    assert_eq!(moved.field("content-length"), Some("0"));
}

#[test]
fn what_a_client_writes_in_a_path_cannot_add_a_line_to_a_location() {
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[apis.a.routes."GET /old/{{id}}"]
redirect = {{ to = "/new/{{id}}?q={{query}}" }}
"#
    ));
    let response = gateway.get("/old/a%0d%0aSet-Cookie:%20x=y?b%0d%0ac");
    assert_eq!(response.field("location"), Some("/new/a%0D%0ASet-Cookie:%20x=y?q=b%0d%0ac"));
    assert_eq!(response.field("set-cookie"), None);
}

#[test]
fn fields_are_removed_then_set_then_added_the_apis_first() {
    let origin = Origin::fixed(
        "HTTP/1.1 200 OK\r\nX-Powered-By: p\r\nX-Set: theirs\r\nX-Set: twice\r\nVary: a\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let addr = origin.addr;
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[upstreams.app]
endpoints = ["{addr}"]
[apis.a.request_headers]
remove = ["x-debug"]
set = {{ x-client = "{{client_ip}} {{scheme}} {{listener}} {{api}}" }}
add = {{ x-tag = ["one", "two"] }}
[apis.a.response_headers]
remove = ["X-Powered-By"]
set = {{ x-set = "{{status}} {{upstream}}" }}
add = {{ vary = "origin" }}
[apis.a.routes."GET /p/{{id}}"]
upstream = "app"
response_headers = {{ set = {{ x-own = "{{{{{{request_id}}}}}}" }} }}
[apis.a.routes."GET /p/{{id}}".request_headers]
set = {{ x-id = "{{id}} {{route}} {{header:x-in}}" }}
add = {{ x-tag = "three" }}
"#
    ));
    let response = gateway.ask(
        "GET /p/7 HTTP/1.1\r\nHost: a\r\nX-Debug: 1\r\nX-Client: forged\r\nX-Tag: zero\r\n\
         X-In: in\r\nX-Request-Id: r-1\r\n\r\n",
    );
    let request = origin.only();
    assert_eq!(request.field("x-debug"), None);
    assert_eq!(request.field("x-client"), Some("127.0.0.1 http web a"));
    assert_eq!(request.all("x-tag"), ["zero", "one", "two", "three"]);
    assert_eq!(request.field("x-id"), Some("7 GET /p/{id} in"));
    assert_eq!(response.field("x-powered-by"), None);
    assert_eq!(response.field("x-set"), Some("200 app"));
    assert_eq!(response.all("vary"), ["a", "origin"]);
    assert_eq!(response.field("x-own"), Some("{r-1}"));
}

#[test]
fn a_split_sends_each_upstream_its_share() {
    let (most, rest, none) = (Origin::named("most"), Origin::named("rest"), Origin::named("none"));
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[upstreams.most]
endpoints = ["{}"]
[upstreams.rest]
endpoints = ["{}"]
[upstreams.none]
endpoints = ["{}"]
[apis.a.routes."$default"]
split = [
    {{ upstream = "most", weight = 90 }},
    {{ upstream = "rest", weight = 10 }},
    {{ upstream = "none", weight = 0 }},
]
"#,
        most.addr, rest.addr, none.addr
    ));
    let mut client = gateway.client();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..1000 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        *seen.entry(client.response().text()).or_default() += 1;
    }
    let (most, rest) = (seen["most"], seen["rest"]);
    // Six standard deviations of 1000 draws at 10 %: 57.
    assert!(most + rest == 1000 && (43..=157).contains(&rest), "{seen:?}");
}

#[test]
fn a_body_over_the_limit_is_refused_with_413_declared_or_not() {
    let origin = Origin::named("ok");
    let addr = origin.addr;
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[upstreams.app]
endpoints = ["{addr}"]
[apis.a]
body_max = "1KiB"
[apis.a.routes."POST /small"]
upstream = "app"
[apis.a.routes."POST /large"]
upstream = "app"
body_max = "2KiB"
"#
    ));
    for (path, length, status) in [
        ("/small", 1024, 200),
        ("/small", 1025, 413),
        ("/large", 2048, 200),
        ("/large", 2049, 413),
        ("/small", 1 << 40, 413),
    ] {
        let before = origin.count();
        let mut client = gateway.client();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        if length < 1 << 20 {
            let _ = client.try_send(vec![b'x'; length]);
        }
        let response = client.response();
        assert_eq!(response.status, status, "{path} {length}");
        if status == 413 {
            assert_eq!((response.code().as_str(), response.closes()), ("COMMON_007", true));
            assert_eq!(origin.count(), before);
        }
    }
    // Undeclared: found out as it comes, in one piece and in many.
    for pause in [0, 5] {
        let before = origin.count();
        let mut client = gateway.client();
        client.send("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"100\r\n".to_vec(), vec![b'x'; 256], b"\r\n".to_vec()].concat();
        let pieces: Vec<&[u8]> = std::iter::repeat_n(chunk.as_slice(), 8).collect();
        client.send_split(pieces, ms(pause));
        let response = client.response();
        assert_eq!((response.status, response.closes()), (413, true));
        assert_eq!(origin.count(), before, "the origin saw a whole request");
    }
}

#[test]
fn routes_that_say_the_same_are_an_error_that_names_both_places() {
    for (first, second) in [
        ("GET /pets/{id}", "GET /pets/{name}"),
        ("ANY /{proxy+}", "ANY /{all+}"),
        ("GET /a", "GET /a/../a"),
    ] {
        let config = complete(&format!(
            "{WEB}[apis.a.routes.\"{first}\"]\nrespond = {{}}\n\
             [apis.b.routes.\"{second}\"]\nrespond = {{}}\n"
        ));
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("c.toml"), &config).expect("a file");
        let ended = run(dir.path(), &["check", "c.toml"]);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let said = format!("{}{}", ended.stderr, ended.stdout);
        if second.contains("..") {
            continue; // Refused for its dots alone.
        }
        let line = |key: &str| {
            let at = config.find(&format!("\"{key}\"")).expect("the key");
            config[..at].matches('\n').count() + 1
        };
        for key in [first, second] {
            let place = format!("c.toml:{}:", line(key));
            assert!(said.contains(&place), "{place} is not named:\n{said}");
        }
    }
}

#[test]
fn an_api_answers_only_on_its_listeners() {
    let gateway = Gateway::start(
        &r#"
[listeners.web]
address = "127.0.0.1:0"
[listeners.inner]
address = "127.0.0.1:INNER"
[apis.open.routes."GET /open"]
respond = { body = "open" }
[apis.closed]
listeners = ["inner"]
[apis.closed.routes."GET /closed"]
respond = { body = "closed" }
"#
        .replace("INNER", &crate::kit::free_port().to_string()),
    );
    let inner = gateway.addr_of("inner");
    assert_eq!(gateway.get("/open").text(), "open");
    assert_eq!(gateway.get("/closed").status, 404);
    assert_eq!(crate::kit::client::get(inner, "/closed").text(), "closed");
    assert_eq!(crate::kit::client::get(inner, "/open").text(), "open");
}

#[test]
fn errors_are_problems_where_the_api_says_so() {
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[upstreams.gone]
endpoints = ["127.0.0.1:{}"]
[apis.a]
errors = "problem"
[apis.a.routes."$default"]
upstream = "gone"
"#,
        crate::kit::free_port()
    ));
    let response = gateway.get("/");
    assert_eq!(response.status, 502);
    assert_eq!(response.field("content-type"), Some("application/problem+json"));
    let body: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(502), Some("UPSTREAM_001")));
}

#[test]
fn two_listeners_of_port_0_get_a_port_each_and_keep_it_over_reloads() {
    let listener = |name: &str| {
        format!("\n[listeners.{name}]\naddresses = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n")
    };
    let api = |name: &str| {
        format!(
            "[apis.{name}]\nlisteners = [\"{name}\"]\n[apis.{name}.routes.\"$default\"]\n\
                 respond = {{ body = \"{name}\" }}\n"
        )
    };
    let config = ["one", "two"].map(|name| listener(name) + &api(name)).concat();
    let mut gateway = Gateway::start(&config);
    let all = gateway.addresses();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4, "{all:?}");
    for round in 0..2 {
        for (name, address) in &all {
            assert_eq!(&get(*address, "/").text(), name, "round {round}");
        }
        let said = gateway.reload(&config.replace("body = \"", "status = 201, body = \""));
        assert!(!said.contains("refused"), "{said}");
    }
    let status = get(all[0].1, "/").status;
    assert_eq!(status, 201);
    // Written alike with a port, they are one address that two want.
    let port = crate::kit::free_port();
    let said = gateway.reload(&config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    assert!(said.contains("reload refused"), "{said}");
    let listener =
        |name: &str| format!("\n[listeners.{name}]\naddress = \"127.0.0.1:{port}\"\n{}", api(name));
    let said = gateway.reload(&(listener("one") + &listener("two")));
    assert!(said.contains("reload refused"), "{said}");
}
