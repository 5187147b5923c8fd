//! Stages, their variables and canaries, custom domains, and what is not found below them.

use std::collections::BTreeSet;

use crate::kit::message::Response;
use crate::kit::{Gateway, Origin};

const WEB: &str = "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n";

fn ask(gateway: &Gateway, host: &str, path: &str, fields: &str) -> Response {
    gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n"))
}

/// The body, or the status of what is not a 200.
fn said(response: &Response) -> String {
    if response.status == 200 { response.text() } else { response.status.to_string() }
}

const SAYING: &str = r#"
[apis.orders.routes."GET /pets"]
respond = { body = "${stageVariables.name}!", headers = { x-stage = "{stage}" } }
"#;

#[test]
fn the_first_segment_is_a_stage_or_the_default_stage_has_it() {
    let gateway = Gateway::start(&format!(
        "{WEB}[apis.orders]\nbase_path = \"/orders\"\n\
         [apis.orders.stages.dev.variables]\nname = \"d\"\n\
         [apis.orders.stages.prod.variables]\nname = \"p\"\n\
         [apis.orders.stages.\"$default\"]\n{SAYING}"
    ));
    for (path, found) in [
        ("/orders/dev/pets", "d!"),
        ("/orders/prod/pets", "p!"),
        ("/orders/pets", "!"),
        ("/orders/Dev/pets", "404"),
        ("/orders/dev", "404"),
        ("/orders/devel/pets", "404"),
        ("/dev/pets", "404"),
    ] {
        assert_eq!(said(&ask(&gateway, "h", path, "")), found, "{path}");
    }
    assert_eq!(ask(&gateway, "h", "/orders/dev/pets", "").field("x-stage"), Some("dev"));
    assert_eq!(ask(&gateway, "h", "/orders/pets", "").field("x-stage"), Some("$default"));
}

#[test]
fn without_a_default_stage_only_stages_answer_and_unmatched_says_how_not() {
    for (unmatched, status) in [("", 404), ("unmatched = \"403\"\n", 403)] {
        let gateway = Gateway::start(&format!(
            "{WEB}[apis.orders]\nbase_path = \"/orders\"\n{unmatched}\
             [apis.orders.stages.dev.variables]\nname = \"d\"\n{SAYING}"
        ));
        assert_eq!(said(&ask(&gateway, "h", "/orders/dev/pets", "")), "d!");
        for path in ["/orders/pets", "/orders", "/orders/dev/none", "/orders/other/pets"] {
            let refused = ask(&gateway, "h", path, "");
            assert_eq!(refused.status, status, "{path}");
            let text = refused.text();
            assert_eq!(text.contains("Missing Authentication Token"), status == 403, "{text}");
        }
        assert_eq!(ask(&gateway, "h", "/elsewhere", "").status, 404, "nobody's path");
    }
}

#[test]
fn a_stage_variable_chooses_the_upstream_and_is_filled_in_everywhere() {
    let (dev, prod) = (Origin::named("dev"), Origin::named("prod"));
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[upstreams.orders-dev]
endpoints = ["{}"]
[upstreams.orders-prod]
endpoints = ["{}"]
[apis.orders]
request_headers = {{ set = {{ x-env = "${{stageVariables.env}}/{{stage}}" }} }}
response_headers = {{ set = {{ x-env = "<${{stageVariables.env}}${{stageVariables.none}}>" }} }}
stages.dev.variables = {{ env = "dev" }}
stages.prod.variables = {{ env = "prod" }}
[apis.orders.routes."GET /{{proxy+}}"]
upstream = "orders-${{stageVariables.env}}"
rewrite = "/${{stageVariables.env}}/{{proxy}}"
"#,
        dev.addr, prod.addr
    ));
    for (stage, origin) in [("dev", &dev), ("prod", &prod)] {
        let response = ask(&gateway, "h", &format!("/{stage}/a/b"), "");
        assert_eq!(said(&response), stage);
        assert_eq!(response.field("x-env"), Some(format!("<{stage}>").as_str()));
        let asked = origin.last();
        assert_eq!(asked.target(), format!("/{stage}/a/b"));
        assert_eq!(asked.field("x-env"), Some(format!("{stage}/{stage}").as_str()));
    }
}

#[test]
fn a_domain_maps_paths_to_stages_and_the_longest_decides_alone() {
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[apis.orders]
hosts = ["internal.test"]
base_path = "/orders"
stages.dev.variables = {{ name = "d" }}
stages.prod.variables = {{ name = "p" }}
{SAYING}
[apis.rest]
hosts = ["internal.test"]
[apis.rest.routes."$default"]
respond = {{ body = "rest" }}
[domains."api.example.com"]
mappings = [
    {{ path = "/shop", api = "orders", stage = "prod" }},
    {{ path = "/shop/beta", api = "orders", stage = "dev" }},
    {{ path = "/all", api = "orders" }},
    {{ api = "rest" }},
]
[domains."*.example.com"]
mappings = [{{ path = "/shop", api = "orders", stage = "dev" }}]
"#
    ));
    for (host, path, found) in [
        ("api.example.com", "/shop/pets", "p!"),
        ("api.example.com", "/shop/beta/pets", "d!"),
        ("api.example.com", "/shop/beta/none", "404"),
        ("api.example.com", "/shop/none", "404"),
        ("api.example.com", "/all/dev/pets", "d!"),
        ("api.example.com", "/other", "rest"),
        ("x.example.com", "/shop/pets", "d!"),
        ("x.example.com", "/other", "404"),
        ("internal.test", "/orders/prod/pets", "p!"),
        ("internal.test", "/shop/pets", "rest"),
        ("example.com", "/shop/pets", "404"),
    ] {
        assert_eq!(said(&ask(&gateway, host, path, "")), found, "{host}{path}");
    }
}

fn canary(percent: &str, sticky: &str) -> Gateway {
    Gateway::start(&format!(
        "{WEB}[apis.orders]\n[apis.orders.stages.prod]\nvariables = {{ name = \"old\" }}\n\
         canary = {{ percent = \"{percent}\", variables = {{ name = \"new\" }}{sticky} }}\n{SAYING}"
    ))
}

#[test]
fn a_canary_takes_its_share_with_its_own_variables() {
    let count = |gateway: &Gateway, times: usize| {
        let mut client = gateway.client();
        let new = (0..times).filter(|_| {
            client.send("GET /prod/pets HTTP/1.1\r\nHost: h\r\n\r\n");
            client.response().text() == "new!"
        });
        new.count()
    };
    assert_eq!(count(&canary("0%", ""), 50), 0);
    assert_eq!(count(&canary("100%", ""), 50), 50);
    // 2,000 draws of a tenth: more than six deviations (13.4 each) are not chance.
    let taken = count(&canary("10%", ""), 2_000);
    assert!((110..290).contains(&taken), "{taken} of 2000");
}

#[test]
fn a_sticky_canary_keeps_its_callers_and_raising_it_only_adds_some() {
    let takers = |percent: &str| -> BTreeSet<usize> {
        let gateway = canary(percent, ", sticky = \"header:x-user\"");
        let taken = |user: &usize| {
            let fields = format!("X-User: user-{user}\r\n");
            let all: BTreeSet<String> =
                (0..3).map(|_| ask(&gateway, "h", "/prod/pets", &fields).text()).collect();
            assert_eq!(all.len(), 1, "user {user} is moved to and fro");
            all.contains("new!")
        };
        (0..100).filter(taken).collect()
    };
    let (few, more) = (takers("10%"), takers("40%"));
    assert!(!few.is_empty() && few.len() < more.len() && more.len() < 100);
    assert!(few.is_subset(&more), "who was in stays in");
}
