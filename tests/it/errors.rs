//! Errors as clients get them: four bodies, the fields beside them, and the pages about them.

use serde_json::json;

use crate::kit::client::get;
use crate::kit::message::Response;
use crate::kit::{Gateway, Origin};

const WEB: &str = "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n";

/// One API for each form, by host, whose upstream is not there.
fn gateway() -> Gateway {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = gone.local_addr().expect("an address");
    let mut config = format!("{WEB}[upstreams.gone]\nendpoints = [\"{gone}\"]\n");
    for form in ["ringway", "problem", "anthropic", "aws"] {
        config += &format!(
            "[apis.{form}]\nhosts = [\"{form}.test\"]\nerrors = \"{form}\"\nbody_max = \"1KiB\"\n\
             routes.\"ANY /gone\".upstream = \"gone\"\n"
        );
    }
    Gateway::start(&config)
}

fn ask(gateway: &Gateway, form: &str, request: &str) -> Response {
    let (line, rest) = request.split_once("\r\n").unwrap_or((request, ""));
    gateway.ask(format!("{line} HTTP/1.1\r\nHost: {form}.test\r\nX-Request-Id: r-1\r\n{rest}\r\n"))
}

fn body(response: &Response) -> serde_json::Value {
    serde_json::from_slice(&response.body).expect("is JSON")
}

#[test]
fn a_failure_is_told_in_the_form_of_its_api_also_where_no_route_takes_it() {
    let gateway = gateway();
    let own = ask(&gateway, "ringway", "GET /nothing");
    assert_eq!((own.status, own.field("content-type")), (404, Some("application/json")));
    assert_eq!(
        body(&own),
        json!({"error": {
            "code": "COMMON_002", "type": "not_found_error", "param": null, "details": {},
            "message": "No route matches this host, method and path.", "request_id": "r-1",
            "doc_url": "/docs/errors/common_002", "retryable": false,
        }})
    );
    let problem = ask(&gateway, "problem", "GET /nothing");
    assert_eq!(problem.field("content-type"), Some("application/problem+json"));
    assert_eq!((body(&problem)["status"].as_u64(), problem.status), (Some(404), 404));
    let anthropic = ask(&gateway, "anthropic", "GET /nothing");
    assert_eq!((anthropic.status, anthropic.field("request-id")), (404, Some("r-1")));
    assert_eq!(
        body(&anthropic),
        json!({"type": "error", "request_id": "r-1", "error": {
            "type": "not_found_error", "message": "No route matches this host, method and path.",
        }})
    );
    let aws = ask(&gateway, "aws", "GET /nothing");
    assert_eq!((aws.status, aws.text().as_str()), (404, "{\"message\":\"Not Found\"}"));
    assert_eq!(aws.field("x-amzn-errortype"), Some("NotFoundException"));
    assert_eq!(aws.field("x-amzn-requestid"), Some("r-1"));
    assert_eq!(own.field("x-amzn-errortype"), None);
}

#[test]
fn aws_has_its_own_statuses_and_words_and_the_log_has_what_was_sent() {
    let gateway = gateway();
    let own = ask(&gateway, "ringway", "GET /gone");
    assert_eq!((own.status, own.code().as_str()), (502, "UPSTREAM_001"));
    let aws = ask(&gateway, "aws", "GET /gone");
    let message = "{\"message\":\"Network error communicating with endpoint\"}";
    assert_eq!((aws.status, aws.text().as_str()), (504, message));
    assert_eq!(aws.field("x-amzn-errortype"), Some("InternalServerErrorException"));
    let large = ask(&gateway, "aws", "POST /gone\r\nContent-Length: 2000\r\n");
    assert_eq!((large.status, large.closes()), (413, true));
    assert_eq!(large.text(), "{\"message\":\"Request Too Long\"}");
    let large = ask(&gateway, "anthropic", "POST /gone\r\nContent-Length: 2000\r\n");
    assert_eq!(body(&large)["error"]["type"], "request_too_large");
    let lines = gateway.access_log(4);
    let sent =
        |line: &serde_json::Value| line["status"] == 504 && line["failure"] == "upstream_connect";
    assert_eq!(lines.iter().filter(|line| sent(line)).count(), 1, "{lines:?}");
}

#[test]
fn an_upstream_that_is_too_slow_is_a_504_in_awss_words() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.until_left();
    });
    let addr = origin.addr;
    let gateway = Gateway::start(&format!(
        "{WEB}[upstreams.app]\nendpoints = [\"{addr}\"]\nretry = {{ attempts = 1 }}\n\
         timeouts = {{ first_byte = \"100ms\" }}\n[apis.a]\nerrors = \"aws\"\n\
         routes.\"$default\".upstream = \"app\"\n"
    ));
    let response = get(gateway.addr(), "/");
    assert_eq!(response.status, 504);
    assert_eq!(response.text(), "{\"message\":\"Endpoint request timed out\"}");
    assert_eq!(response.field("x-amzn-errortype"), Some("InternalServerErrorException"));
}

/// An error's details are as long as what they tell of.
#[test]
fn a_long_error_arrives_whole() {
    let names: Vec<String> = (0..4_000).map(|n| format!("\"{}{n:04}\"", "x".repeat(90))).collect();
    let gateway = Gateway::start(&format!(
        "{WEB}[apis.a.routes.\"$default\"]\nrespond = {{}}\nvalidate = {{ query = [{}] }}\n",
        names.join(", ")
    ));
    let response = get(gateway.addr(), "/");
    assert_eq!((response.status, response.code().as_str()), (400, "COMMON_016"));
    let missing = &body(&response)["error"]["details"]["missing"];
    assert_eq!(missing.as_array().map(Vec::len), Some(4_000));
}

#[test]
fn every_code_is_explained_where_its_doc_url_leads() {
    let gateway = gateway();
    let error = body(&ask(&gateway, "ringway", "GET /nothing"));
    let path = error["error"]["doc_url"].as_str().expect("a path").to_owned();
    let page = ask(&gateway, "ringway", &format!("GET {path}"));
    assert_eq!((page.status, page.field("content-type")), (200, Some("application/json")));
    assert_eq!(
        (body(&page)["code"].as_str(), body(&page)["status"].as_u64()),
        (Some("COMMON_002"), Some(404))
    );
    let html = ask(&gateway, "aws", &format!("GET {path}\r\nAccept: text/html,*/*;q=0.8\r\n"));
    assert_eq!(html.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(html.text().contains("No route matches this host"), "{}", html.text());
    let list = get(gateway.addr(), "/docs/errors");
    assert!(body(&list)["errors"].as_array().is_some_and(|all| all.len() > 30));
    assert_eq!(ask(&gateway, "ringway", "GET /docs/errors/nope").status, 404);
    assert_eq!(ask(&gateway, "ringway", "POST /docs/errors").status, 404);
}

#[test]
fn a_route_for_the_path_of_a_page_comes_first_and_the_pages_can_be_turned_off() {
    let origin = Origin::named("upstream");
    let addr = origin.addr;
    let routes = |key: &str| {
        format!(
            "{WEB}[upstreams.app]\nendpoints = [\"{addr}\"]\n[apis.a]\n\
             routes.\"{key}\".upstream = \"app\"\n"
        )
    };
    let page = "/docs/errors/common_002";
    for (key, is_page) in [
        ("$default", true),
        ("ANY /{proxy+}", true),
        ("ANY /docs/{proxy+}", false),
        ("GET /docs/errors/{code}", false),
    ] {
        let gateway = Gateway::start(&routes(key));
        assert_eq!(get(gateway.addr(), page).text() != "upstream", is_page, "{key}");
        let other = get(gateway.addr(), "/docs/errors/other");
        assert_eq!(other.text(), "upstream", "{key}: a page there is none of");
    }
    let off = format!("[gateway]\nworkers = 1\nerror_docs = false\n{}", routes("$default"));
    let gateway = Gateway::start(&off);
    assert_eq!(get(gateway.addr(), page).text(), "upstream");
}
