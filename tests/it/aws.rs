//! AWS API Gateway's rules that no other scenario holds, in AWS's words; and that each rule of
//! docs/from-aws.md names the tests that hold it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::authorizers::mint::{Mint, jwks};
use crate::authorizers::{claims, jwt, with};
use crate::kit::message::Response;
use crate::kit::origin::ok;
use crate::kit::{Gateway, Origin};

const SECRET: &str = "acme-secret-0123456789";

/// The key `acme` of that secret.
fn key(more: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRET.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[keys.acme]\nhashes = [\"sha256:{hex}\"]\n{more}\n")
}

fn ask(gateway: &Gateway, line: &str, fields: &str) -> Response {
    let method = line.split(' ').next().unwrap_or_default();
    let mut client = gateway.client();
    client.send(format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"));
    client.response_to(method)
}

/// An API in AWS's manner behind an authorizer, whose issuer's keys are in a file.
fn with_issuer(mint: &Mint, authorizer: &str, api: &str, rest: &str) -> Gateway {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("keys.json"), jwks(&[mint])).expect("a file");
    let jwt = jwt("file = \"keys.json\"");
    Gateway::start_in(
        dir,
        &format!(
            "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n[authorizers.sso]\n{jwt}{authorizer}\n\
             [apis.app]\nerrors = \"aws\"\nauthorizer = \"sso\"\n{api}\n\
             [apis.app.routes.\"$default\"]\nrespond = {{ body = \"in\" }}\n{rest}"
        ),
    )
}

fn message(response: &Response) -> (u16, String, Option<&str>) {
    let body: Value = serde_json::from_slice(&response.body).expect("is JSON");
    let object = body.as_object().expect("an object");
    assert_eq!(object.len(), 1, "a message and nothing else: {body}");
    let message = body["message"].as_str().expect("a text").to_owned();
    (response.status, message, response.field("x-amzn-errortype"))
}

#[test]
fn head_is_no_get_any_takes_it_and_no_path_is_reserved() {
    let gateway = Gateway::start(
        "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n\
         [apis.app.routes.\"GET /pets\"]\nrespond = { body = \"pets\" }\n\
         [apis.app.routes.\"ANY /any\"]\nrespond = { body = \"any\" }\n\
         [apis.app.routes.\"GET /ping\"]\nrespond = { body = \"mine\" }\n\
         [apis.app.routes.\"GET /sping\"]\nrespond = { body = \"mine too\" }\n",
    );
    assert_eq!(ask(&gateway, "GET /pets", "").text(), "pets");
    assert_eq!(ask(&gateway, "HEAD /pets", "").status, 404);
    for method in ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"] {
        assert_eq!(ask(&gateway, &format!("{method} /any"), "").status, 200, "{method}");
    }
    assert_eq!(ask(&gateway, "GET /ping", "").text(), "mine");
    assert_eq!(ask(&gateway, "GET /sping", "").text(), "mine too");
}

#[test]
fn bars_braces_and_semicolons_are_characters_like_others() {
    let origin = Origin::fixed(ok("hello"));
    let gateway = Gateway::start(&format!(
        "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n[upstreams.app]\nendpoints = [\"{}\"]\n\
         [apis.app.routes.\"GET /pets/{{id}}\"]\nupstream = \"app\"\n\
         [apis.app.routes.\"GET /pets/{{id}}\".validate]\nquery = [\"a\"]\n\
         query_patterns = {{ a = \"1;b=2\" }}\n",
        origin.addr
    ));
    let target = "/pets/a|b;c{d}?a=1;b=2&c=|{x}";
    assert_eq!(ask(&gateway, &format!("GET {target}"), "").text(), "hello");
    assert_eq!(origin.last().target(), target, "and `;` parts no parameters");
}

#[test]
fn an_api_key_may_be_an_authorizers_answer() {
    let mint = Mint::new("k1", "RS256");
    let gateway = with_issuer(
        &mint,
        "",
        "api_key = { required = \"required\", from_claim = \"usage_key\" }",
        &format!(
            "[plans.gold]\napis = [\"app\"]\nrate = \"1/h\"\nburst = 2\n{}",
            key("plans = [\"gold\"]")
        ),
    );
    let get = |changes: Value, fields: &str| {
        let token = mint.token(&with(changes));
        ask(&gateway, "GET /", &format!("Authorization: Bearer {token}\r\n{fields}"))
    };
    let forbidden = (403, "Forbidden".to_owned(), Some("ForbiddenException"));
    assert_eq!(get(json!({ "usage_key": SECRET }), "").text(), "in");
    assert_eq!(message(&get(json!({}), "")), forbidden, "the answer has none");
    assert_eq!(message(&get(json!({ "usage_key": "somebody-elses-0123" }), "")), forbidden);
    // What the client shows does not stand in for it.
    assert_eq!(message(&get(json!({}), &format!("x-api-key: {SECRET}\r\n"))), forbidden);
    assert_eq!(get(json!({ "usage_key": SECRET }), "").status, 200);
    assert_eq!(get(json!({ "usage_key": SECRET }), "").status, 429, "the key's plan meters it");
}

#[test]
fn a_token_is_refused_in_the_words_of_http_apis() {
    let mint = Mint::new("k1", "RS256");
    let api = "scopes = [\"orders:read\"]\n";
    let gateway = with_issuer(&mint, "bearer = \"optional\"", api, "");
    let get = |token: &str| ask(&gateway, "GET /", &format!("Authorization: {token}\r\n"));
    assert_eq!(get(&mint.token(&claims())).text(), "in", "without the word Bearer");
    assert_eq!(get(&format!("Bearer {}", mint.token(&claims()))).text(), "in", "or with it");
    let refused = get(&mint.token(&with(json!({ "aud": "other" }))));
    let unauthorized = (401, "Unauthorized".to_owned(), Some("UnauthorizedException"));
    assert_eq!(message(&refused), unauthorized);
    assert_eq!(
        refused.field("www-authenticate"),
        Some(
            "Bearer scope=\"\" error=\"invalid_token\" \
             error_description=\"the token does not have a valid audience\""
        )
    );
    // `client_id` stands in for `aud`, `scp` for `scope`.
    let mut other = with(json!({ "client_id": "orders", "scp": ["orders:read"] }));
    for name in ["aud", "scope"] {
        other.as_object_mut().expect("an object").remove(name);
    }
    assert_eq!(get(&mint.token(&other)).text(), "in");
    let refused = get(&mint.token(&with(json!({ "scope": "orders:write" }))));
    assert_eq!((refused.status, message(&refused).1), (403, "Forbidden".to_owned()));
    let nobody = ask(&gateway, "GET /", "");
    assert_eq!(message(&nobody), unauthorized);
    assert_eq!(nobody.field("www-authenticate"), Some("Bearer scope=\"\""));
}

#[test]
fn an_authorized_default_route_needs_no_open_options_route() {
    let mint = Mint::new("k1", "RS256");
    let gateway = with_issuer(&mint, "", "cors = { origins = [\"https://app.test\"] }", "");
    let asks = "Origin: https://app.test\r\nAccess-Control-Request-Method: PUT\r\n";
    let preflight = ask(&gateway, "OPTIONS /pets", asks);
    assert_eq!((preflight.status, preflight.body.len()), (204, 0));
    assert_eq!(preflight.field("access-control-allow-origin"), Some("https://app.test"));
    assert_eq!(ask(&gateway, "PUT /pets", "Origin: https://app.test\r\n").status, 401);
}

#[test]
fn gateway_responses_have_rest_apis_statuses_types_and_messages() {
    let slow = Origin::scripted(|conn| {
        conn.request();
        conn.until_left();
    });
    let origin = Origin::fixed(ok("hello"));
    let gateway = Gateway::start(&format!(
        r#"
[listeners.web]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["{}"]
[upstreams.slow]
endpoints = ["{}"]
retry = {{ attempts = 1 }}
timeouts = {{ first_byte = "100ms" }}
[plans.day]
apis = ["app"]
quota = {{ limit = 2, per = "day" }}
[apis.app]
errors = "aws"
unmatched = "403"
body_max = "1KiB"
api_key = "off"
[apis.app.routes."GET /keyed"]
upstream = "app"
api_key = "required"
[apis.app.routes."GET /often"]
upstream = "app"
throttle = {{ rate = "1/h", burst = 1 }}
[apis.app.routes."POST /pets"]
upstream = "app"
validate = {{ headers = ["x-tenant"], query = ["page"], content_types = ["application/json"] }}
[apis.app.routes."GET /from"]
upstream = "app"
deny_from = ["127.0.0.0/8"]
[apis.app.routes."GET /slow"]
upstream = "slow"
{}"#,
        origin.addr,
        slow.addr,
        key("plans = [\"day\"]"),
    ));
    let keyed = format!("x-api-key: {SECRET}\r\n");
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "GET /keyed", &keyed).text(), "hello");
    }
    assert_eq!(ask(&gateway, "GET /often", "").text(), "hello");
    let json = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let text = "x-tenant: a\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx";
    for (line, fields, status, words, kind) in [
        ("GET /none", "", 403, "Missing Authentication Token", "MissingAuthenticationToken"),
        ("PUT /keyed", "", 403, "Missing Authentication Token", "MissingAuthenticationToken"),
        ("GET /keyed", "", 403, "Forbidden", "Forbidden"),
        ("GET /keyed", "x-api-key: not-a-key-of-anybody\r\n", 403, "Forbidden", "Forbidden"),
        ("GET /keyed", &keyed, 429, "Limit Exceeded", "LimitExceeded"),
        ("GET /often", "", 429, "Too Many Requests", "TooManyRequests"),
        ("GET /from", "", 403, "Forbidden", "Forbidden"),
        (
            "POST /pets",
            json,
            400,
            "Missing required request parameters: [x-tenant, page]",
            "BadRequest",
        ),
        ("POST /pets?page=1", text, 415, "Unsupported Media Type", "BadRequest"),
        ("POST /pets", "Content-Length: 2000\r\n", 413, "Request Too Long", "RequestTooLarge"),
        ("GET /slow", "", 504, "Endpoint request timed out", "InternalServerError"),
    ] {
        let response = ask(&gateway, line, fields);
        let kind = format!("{kind}Exception");
        assert_eq!(message(&response), (status, words.to_owned(), Some(&*kind)), "{line}");
        let id = response.field("x-amzn-requestid");
        assert!(id.is_some_and(|id| Some(id) == response.field("x-request-id")), "{response:?}");
    }
}

/// Names of functions in all files of a directory.
fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a text");
            let after_test = text.split("#[test]").skip(1).filter_map(|part| {
                let name = part.split_once("fn ")?.1.split_once('(')?.0;
                Some(name.trim().to_owned())
            });
            found.extend(after_test);
        }
    }
}

#[test]
fn every_rule_of_the_page_names_a_test_that_is_there_or_says_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut there = BTreeSet::new();
    functions(&root.join("tests/it"), &mut there);
    functions(&root.join("src"), &mut there);
    let page = std::fs::read_to_string(root.join("docs/from-aws.md")).expect("the page");
    let (mut rules, mut named) = (0, BTreeSet::new());
    let mut is_of_rules = false;
    for line in page.lines() {
        let Some(cells) = line.strip_prefix('|') else {
            is_of_rules &= !line.starts_with('#');
            continue;
        };
        let cells: Vec<&str> = cells.trim_end_matches('|').split(" | ").map(str::trim).collect();
        if cells[0] == "AWS rule" {
            assert_eq!(cells[2], "test", "{line}");
            is_of_rules = true;
            continue;
        }
        if !is_of_rules || cells[0].starts_with("---") {
            continue;
        }
        rules += 1;
        assert_eq!(cells.len(), 3, "{line}");
        let tests: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        let is_explained =
            cells[1].starts_with("different: ") || cells[1].starts_with("not here: ");
        assert!(!tests.is_empty() || is_explained, "no test and no reason: {line}");
        for test in tests {
            assert!(there.contains(test), "there is no test {test}: {line}");
            named.insert(test.to_owned());
        }
    }
    assert!(rules > 60, "{rules} rules");
    assert!(named.len() > 50, "{} tests", named.len());
}
