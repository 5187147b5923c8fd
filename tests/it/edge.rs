//! What a route does itself: mock answers, redirects, checks of requests, transforms.

use serde_json::json;

use crate::kit::client::get;
use crate::kit::gateway::{complete, run};
use crate::kit::message::Response;
use crate::kit::{Gateway, Origin};

const WEB: &str = "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n";

/// One route before an origin, with these keys.
fn before(origin: &Origin, key: &str, keys: &str) -> Gateway {
    let addr = origin.addr;
    Gateway::start(&format!(
        "{WEB}[upstreams.app]\nendpoints = [\"{addr}\"]\n[apis.a.routes.\"{key}\"]\n\
         upstream = \"app\"\n{keys}\n"
    ))
}

fn mock(respond: &str) -> Gateway {
    Gateway::start(&format!("{WEB}[apis.a.routes.\"ANY /pets/{{id}}\".respond]\n{respond}\n"))
}

fn body(response: &Response) -> serde_json::Value {
    serde_json::from_slice(&response.body)
        .unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

#[test]
fn a_mock_answers_with_values_of_the_request_and_no_value_leaves_its_string() {
    let gateway = mock(
        r#"template = true
status = 201
body = '''{"id":"{id}","q":{"a":"{query:a_b}","x":"{query:x}"},"h":"{header:x-h}","code":{status},
"by":"{client_ip} {method} {request_id}","at":"{time}","none":{}}'''
headers = { content-type = "application/json", x-id = "{id}" }"#,
    );
    let nasty = "%22,%22admin%22:true,%22x%22:%22%5C";
    let response = gateway.ask(format!(
        "PUT /pets/{nasty}?a%5Fb=%22%7D%0A&x=%FF%3Cscript%3E&x=2 HTTP/1.1\r\nHost: a\r\n\
         X-Request-Id: r-1\r\nX-H: \"}},\"admin\":\"\\\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!((response.status, response.field("content-type")), (201, Some("application/json")));
    let mut value = body(&response);
    let at = value["at"].take();
    let at = at.as_str().expect("a time");
    assert!(at.len() == 20 && at.starts_with("20") && at.ends_with('Z'), "{at}");
    assert_eq!(
        value,
        json!({
            "id": "\",\"admin\":true,\"x\":\"\\",
            "q": {"a": "\"}\n", "x": "\u{fffd}<script>"},
            "h": "\"},\"admin\":\"\\", "code": 201, "by": "127.0.0.1 PUT r-1",
            "at": null, "none": {},
        })
    );
    assert!(!response.text().contains('<'));
    // In a field the parameter stands as it came: encoded.
    assert!(response.field("x-id").is_some_and(|id| id.starts_with("%22,%22admin")));
    let head = {
        let mut client = gateway.client();
        client.send("HEAD /pets/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.response_to("HEAD")
    };
    assert_eq!((head.status, head.body.len()), (201, 0));
}

#[test]
fn a_mock_of_markup_escapes_and_a_plain_one_and_a_literal_one_do_not() {
    let path = "/pets/%3Cb%3E%22&'";
    for (keys, expected) in [
        (
            r#"template = true
body = "<p title=\"{id}\">{id}""#,
            "<p title=\"&lt;b&gt;&quot;&amp;&#39;\">&lt;b&gt;&quot;&amp;&#39;",
        ),
        (r#"body = "<p>{id}""#, "<p>{id}"),
    ] {
        let gateway = mock(&format!("{keys}\nheaders = {{ content-type = \"text/html\" }}"));
        assert_eq!(get(gateway.addr(), path).text(), expected);
    }
    let gateway = mock("template = true\nbody = \"{id} {{id}\"");
    let plain = get(gateway.addr(), path);
    assert_eq!(plain.text(), "<b>\"&' {id}");
    assert_eq!(plain.field("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn a_redirect_keeps_the_query_and_stays_on_its_host() {
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[apis.a.routes."GET /old/{{id}}"]
redirect = {{ to = "/new/{{id}}?from=old", keep_query = true }}
[apis.a.routes."GET /plain"]
redirect = {{ to = "https://b.test/x", keep_query = true, status = 302 }}
[apis.a.routes."GET /to"]
redirect = {{ to = "/{{query:next}}" }}
[apis.a.routes."GET /search"]
redirect = {{ to = "https://b.test/find?q={{query:q}}&by={{header:x-by}}" }}
"#
    ));
    for (path, location) in [
        ("/old/7?a=b&c", "/new/7?from=old&a=b&c"),
        ("/old/7", "/new/7?from=old"),
        ("/plain?x=%2F", "https://b.test/x?x=%2F"),
        ("/plain", "https://b.test/x"),
        ("/to?next=here", "/here"),
        ("/to?next=/evil.test", "/evil.test"),
        ("/to?next=%5Cevil.test", "/%5Cevil.test"),
        ("/to", "/"),
    ] {
        let response = get(gateway.addr(), path);
        assert_eq!(response.field("location"), Some(location), "{path}");
    }
    let response = gateway
        .ask("GET /search?q=a%26b HTTP/1.1\r\nHost: a\r\nX-By: a b#\r\nConnection: close\r\n\r\n");
    assert_eq!(response.field("location"), Some("https://b.test/find?q=a%26b&by=a%20b%23"));
}

#[test]
fn all_that_a_request_lacks_is_told_at_once_in_awss_words() {
    let origin = Origin::named("ok");
    let keys = r#"
[apis.a.routes."ANY /pets/{id}".validate]
headers = ["X-Tenant", "x-b"]
query = ["page", "size"]
path_patterns = { id = "[0-9]+" }
query_patterns = { page = "[1-9][0-9]*" }
header_patterns = { x-tenant = "[a-z]+" }
"#;
    let own = before(&origin, "ANY /pets/{id}", keys);
    let aws = before(&origin, "ANY /pets/{id}", &format!("{keys}\n[apis.a]\nerrors = \"aws\"\n"));
    let ask = |gateway: &Gateway, path: &str, fields: &str| {
        gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n"))
    };
    let good = "X-Tenant: acme\r\nx-B: 1\r\n";
    assert_eq!(ask(&own, "/pets/7?page=1&size=x", good).text(), "ok");
    assert_eq!(ask(&own, "/pets/%37?p%61ge=1&size=x", good).text(), "ok");
    let before = origin.count();
    let lacking = ask(&own, "/pets/7?size=%20&Page=1", "X-Tenant: \r\n");
    assert_eq!((lacking.status, lacking.code().as_str()), (400, "COMMON_016"));
    let error = &body(&lacking)["error"];
    assert_eq!(error["details"], json!({"missing": ["x-tenant", "x-b", "page", "size"]}));
    assert_eq!(
        error["message"],
        "Missing required request parameters: [x-tenant, x-b, page, size]"
    );
    assert_eq!(error["param"], "x-tenant");
    for (path, fields, wrong) in [
        ("/pets/x?page=1&size=1", good, "id"),
        ("/pets/7x?page=1&size=1", good, "id"),
        ("/pets/7?page=01&size=1", good, "page"),
        ("/pets/7?page=1&page=x&size=1", good, "page"),
        ("/pets/7?page=1&size=1", "X-Tenant: Acme\r\nX-B: 1\r\n", "x-tenant"),
    ] {
        let response = ask(&own, path, fields);
        let error = &body(&response)["error"];
        assert_eq!((response.status, &error["details"]), (400, &json!({"invalid": [wrong]})));
        assert_eq!(error["message"], format!("Invalid request parameters: [{wrong}]"));
    }
    assert_eq!(origin.count(), before, "nothing of that reached the upstream");
    let as_aws = ask(&aws, "/pets/7?page=1", "X-Tenant: acme\r\n");
    assert_eq!(as_aws.status, 400);
    assert_eq!(as_aws.field("x-amzn-errortype"), Some("BadRequestException"));
    assert_eq!(as_aws.text(), "{\"message\":\"Missing required request parameters: [x-b, size]\"}");
    let lines = own.access_log(8);
    assert_eq!(lines.iter().filter(|line| line["failure"] == "parameter_missing").count(), 6);
}

#[test]
fn a_body_of_another_content_type_is_refused_and_told_which_are_taken() {
    let origin = Origin::named("ok");
    let gateway = before(
        &origin,
        "ANY /pets",
        "validate = { content_types = [\"application/json\", \"image/*\"] }",
    );
    for (fields, status) in [
        ("Content-Type: application/JSON; charset=utf-8\r\nContent-Length: 2\r\n", 200),
        ("Content-Type: image/png\r\nContent-Length: 2\r\n", 200),
        ("Content-Type: text/plain\r\nContent-Length: 2\r\n", 415),
        ("Content-Length: 2\r\n", 415),
        ("Content-Type: text/plain\r\nContent-Length: 0\r\n", 200),
        ("Content-Type: text/plain\r\n", 200),
    ] {
        let body = if fields.contains("Length: 2") { "{}" } else { "" };
        let response = gateway.ask(format!(
            "POST /pets HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n{body}"
        ));
        assert_eq!(response.status, status, "{fields}");
        if status == 415 {
            assert_eq!(response.code(), "COMMON_017");
            assert_eq!(response.field("accept"), Some("application/json, image/*"));
        }
    }
}

#[test]
fn path_query_and_status_are_changed_on_the_way() {
    let origin = Origin::answering(|request| {
        let status = if request.target().contains("pot") { "418 Teapot" } else { "200 Fine" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").into_bytes()
    });
    let gateway = before(
        &origin,
        "GET /pets/{id}",
        r#"path = "/internal/{api}/{id}"
status = { "418" = 404 }
[apis.a.routes."GET /pets/{id}".request_query]
remove = ["debug"]
set = { tenant = "{header:x-tenant}", id = "{id}&" }
add = { tag = ["a b", "{query:t}"] }"#,
    );
    let ask = |path: &str| {
        gateway.ask(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Tenant: a b&admin=1#\r\nConnection: close\r\n\r\n"
        ))
    };
    let fine = ask("/pets/x%2Fy?a=1&d%65bug=2&tenant=evil&b+c=%41&t=%26&ten%61nt=3");
    assert_eq!((fine.status, fine.reason.as_str()), (200, "Fine"));
    assert_eq!(
        origin.last().target(),
        "/internal/a/x%2Fy?a=1&b+c=%41&t=%26&id=x%2Fy%26&tenant=a%20b%26admin%3D1%23\
         &tag=a%20b&tag=%26"
    );
    ask("/pets/7");
    assert!(origin.last().target().starts_with("/internal/a/7?id=7%26&tenant="));
    let pot = ask("/pets/pot");
    assert_eq!((pot.status, pot.reason.as_str(), pot.text().as_str()), (404, "Not Found", "ok"));
    let mut lines = gateway.access_log(3).into_iter();
    assert!(lines.any(|line| line["status"] == 404), "the log has what was sent");
}

#[test]
fn what_could_never_work_is_refused_when_it_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let check = |keys: &str| {
        let config = complete(&format!(
            "{WEB}[upstreams.app]\nendpoints = [\"127.0.0.1:1\"]\n\
             [apis.a.routes.\"GET /pets/{{id}}\"]\n{keys}\n"
        ));
        std::fs::write(dir.path().join("c.toml"), config).expect("a file");
        let ended = run(dir.path(), &["check", "c.toml"]);
        format!("{:?} {}{}", ended.code, ended.stderr, ended.stdout)
    };
    let json = "template = true, headers = { content-type = \"application/json\" }";
    for (keys, part) in [
        (
            "upstream = \"app\"\nvalidate = { path_patterns = { id = \"a(b\" } }".to_owned(),
            "unclosed",
        ),
        (format!("respond = {{ body = '{{\"a\": {{id}}}}', {json} }}"), "outside a string"),
        (format!("respond = {{ body = '{{\"a\": \"{{id}}\",}}', {json} }}"), "not JSON"),
        ("redirect = { to = \"https://{query:host}/\" }".to_owned(), "choose the host"),
        ("upstream = \"app\"\npath = \"/{query:p}\"".to_owned(), "leave the path"),
        ("upstream = \"app\"\nrewrite = \"/{query:p}?a\"".to_owned(), "leave the path"),
    ] {
        let said = check(&keys);
        assert!(said.starts_with("Some(3)") && said.contains(part), "{keys}: {said}");
        assert!(said.contains("c.toml:"), "no place: {said}");
    }
}
