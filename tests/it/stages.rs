//! Stages, their variables and canaries, custom domains, and what is not found below them.

use std::collections::BTreeSet;

use crate::kit::gateway::{complete, run};
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

const DEPLOYED: [&str; 5] = [
    "[apis.orders]\nupstream = \"u-${stageVariables.env}\"\n\
     versioning = { select = [\"path\", \"header\"], default = \"v2\" }\n",
    "[apis.orders.stages.prod]\nvariables = { env = \"a\" }\n\
     canary = { percent = \"5%\", variables = { env = \"b\" } }\n\
     [apis.orders.stages.dev.variables]\nenv = \"b\"\n",
    "[apis.orders.versions.v10]\n[apis.orders.versions.v2]\n",
    "[apis.orders.routes.\"GET /a/{id}\"]\n[[apis.orders.routes.\"POST /a\"]]\n\
     versions = [\"v10\"]\nrespond = {}\n\
     [[apis.orders.routes.\"POST /a\"]]\nversions = [\"..v2\"]\n\
     [domains.\"api.example.com\"]\n\
     mappings = [{ path = \"/o\", api = \"orders\", stage = \"dev\" }]\n",
    "[upstreams.u-b]\nendpoints = [\"127.0.0.1:2\"]\n\
     [upstreams.u-a]\nendpoints = [\"127.0.0.1:1\"]\n",
];

fn written(name: &str, parts: impl Iterator<Item = &'static str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let text = complete(&format!("{WEB}{}", parts.collect::<String>()));
    std::fs::write(dir.path().join(name), text).expect("a file");
    dir
}

#[test]
fn the_same_configuration_compiles_to_the_same_routes_whatever_its_order() {
    let [one, other] =
        [written("a.toml", DEPLOYED.into_iter()), written("a.toml", DEPLOYED.into_iter().rev())];
    let table = |dir: &tempfile::TempDir| run(dir.path(), &["routes", "a.toml"]);
    let (one, other) = (table(&one), table(&other));
    assert_eq!((one.code, &one.stdout), (Some(0), &other.stdout), "{}", one.stderr);
    for row in [
        "/prod GET /a/{id}  stage=prod  version=v2",
        "/prod/v10 GET /a/{id}  stage=prod  version=v10",
        "/o/v10 POST /a  stage=dev  version=v10",
        "u-a (canary 5%: u-b)",
        "GET /.well-known/api-versions",
    ] {
        assert!(one.stdout.contains(row), "no {row} in\n{}", one.stdout);
    }
}

#[test]
fn diff_tells_by_name_what_a_reload_would_change() {
    let dir = written("old.toml", DEPLOYED.into_iter());
    let old = std::fs::read_to_string(dir.path().join("old.toml")).expect("is there");
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("a file");
    let reversed = complete(&format!("{WEB}{}", DEPLOYED.into_iter().rev().collect::<String>()));
    put("same.toml", &reversed);
    let new = old.replace("\"5%\"", "\"20%\"").replace(
        "[apis.orders.versions.v10]",
        "\
        [apis.orders.versions.v10]\ndeprecated = 2030-01-01\n[apis.orders.versions.v11]",
    );
    put("new.toml", &new);
    put("wrong.toml", &old.replace("env = \"a\"", "env = \"none\""));
    let same = run(dir.path(), &["diff", "old.toml", "same.toml"]);
    assert_eq!((same.code, &*same.stdout), (Some(0), ""), "{}", same.stderr);
    let told = run(dir.path(), &["diff", "old.toml", "new.toml"]);
    assert_eq!(told.code, Some(4), "{}", told.stderr);
    assert_eq!(
        told.stdout,
        "changed apis.orders.stages.prod\n  canary.percent: \"5%\" -> \"20%\"\n\
         changed apis.orders.versions.v10\n  deprecated: - -> \"2030-01-01T00:00:00Z\"\n\
         added apis.orders.versions.v11\n"
    );
    let json = run(dir.path(), &["diff", "old.toml", "new.toml", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("is JSON");
    assert_eq!(json["changes"][0]["keys"][0]["new"], "20%");
    assert_eq!(json["changes"][2]["change"], "added");
    let wrong = run(dir.path(), &["diff", "old.toml", "wrong.toml"]);
    assert_eq!(wrong.code, Some(3));
    assert!(
        wrong.stderr.contains("there is no upstream \"u-none\" in stage prod"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_base_path_whose_versions_a_field_names_is_of_one_api() {
    let shared = "[apis.b]\nversioning = { select = [\"header\"] }\n[apis.b.versions.v1]\n\
        [apis.b.routes.\"GET /b\"]\nrespond = {}\n\
        [apis.a.routes.\"GET /a\"]\nrespond = {}\n";
    let dir = written("a.toml", [shared].into_iter());
    let checked = run(dir.path(), &["check", "a.toml"]);
    assert_eq!(checked.code, Some(3));
    let told = "is also the base path of";
    assert!(checked.stderr.contains(told), "{}", checked.stderr);
    assert_eq!(checked.stderr.matches("a.toml:").count(), 2, "both places: {}", checked.stderr);
}
