//! Versions of an API: how a request names one, what its callers are told of its life, and what
//! happens at the second its dates say.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::kit::gateway::ADMIN;
use crate::kit::message::Response;
use crate::kit::{Client, Gateway, H2Client, Origin, Scrape, eventually};

const WEB: &str = "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n";

/// An API `orders` whose routes tell their version and stage.
fn orders(select: &str, more: &str) -> Gateway {
    Gateway::start(&orders_config(select, more))
}

fn orders_config(select: &str, more: &str) -> String {
    format!(
        r#"{WEB}
[apis.orders]
base_path = "/orders"
versioning = {{ {select} }}
{more}
[apis.orders.routes."GET /pets/{{id}}"]
respond = {{ body = "pets", headers = {{ x-version = "{{version}}" }} }}
"#
    )
}

const THREE: &str = "[apis.orders.versions.v1]\n[apis.orders.versions.v2]\n\
    [apis.orders.versions.v3]\nstatus = \"beta\"\n";

fn ask(gateway: &Gateway, path: &str, fields: &str) -> Response {
    gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}Connection: close\r\n\r\n"))
}

/// The version that answered, or the error's code.
fn version(response: &Response) -> String {
    match response.status {
        200 => response.field("x-version").unwrap_or_default().to_owned(),
        _ => response.code(),
    }
}

fn details(response: &Response) -> serde_json::Value {
    let body: serde_json::Value = serde_json::from_slice(&response.body).expect("is JSON");
    body["error"]["details"].clone()
}

/// A date so many seconds from now, as TOML has it.
fn date(seconds_from_now: i64) -> String {
    format!("{}Z", clock(seconds_from_now).trim_end_matches('Z'))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("fits")
}

fn clock(seconds_from_now: i64) -> String {
    let at = u64::try_from(now() + seconds_from_now).expect("after 1970");
    let (days, of_day) = (at / 86_400, at % 86_400);
    let (year, month, day) = ringway::http::date::civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[test]
fn a_path_segment_names_the_version() {
    let gateway = orders("select = [\"path\"], default = \"v2\"", THREE);
    for (path, found) in [
        ("/orders/v1/pets/7", "v1"),
        ("/orders/v2/pets/7", "v2"),
        ("/orders/v3/pets/7", "v3"),
        ("/orders/pets/7", "v2"),
        ("/orders/v4/pets/7", "API_VERSION_NOT_FOUND"),
        ("/orders/v10/pets/7", "API_VERSION_NOT_FOUND"),
        ("/orders/v1/nothing", "COMMON_002"),
        ("/orders/vx/pets/7", "COMMON_002"),
        ("/v1/pets/7", "COMMON_002"),
    ] {
        assert_eq!(version(&ask(&gateway, path, "")), found, "{path}");
    }
    let unknown = ask(&gateway, "/orders/v4/pets/7", "");
    assert_eq!(unknown.status, 404);
    assert_eq!(details(&unknown)["available_versions"], serde_json::json!(["v1", "v2", "v3"]));
}

#[test]
fn a_field_a_parameter_or_a_media_type_names_the_version() {
    let select = "select = [\"header\", \"query\", \"media_type\"], default = \"v2\"";
    let gateway = orders(select, THREE);
    for (query, fields, found) in [
        ("", "", "v2"),
        ("", "Api-Version: v1\r\n", "v1"),
        ("", "api-version: 3\r\n", "v3"),
        ("?version=v1", "", "v1"),
        ("?version=v1", "api-version: v3\r\n", "v3"),
        ("?version=v9", "api-version: v3\r\n", "v3"),
        ("?a=b&version=v9", "", "API_VERSION_NOT_FOUND"),
        ("", "Accept: application/vnd.acme.v1+json\r\n", "v1"),
        ("", "Accept: text/html, application/json;version=3\r\n", "v3"),
        ("?version=v1", "Accept: application/json;version=3\r\n", "v1"),
        ("", "api-version: next\r\n", "API_VERSION_NOT_FOUND"),
    ] {
        let found_now = version(&ask(&gateway, &format!("/orders/pets/7{query}"), fields));
        assert_eq!(found_now, found, "{query} {fields}");
    }
    for path in ["/orders/pets/7", "/orders/none"] {
        assert_eq!(ask(&gateway, path, "").all("vary"), ["api-version", "accept"], "{path}");
    }
}

#[test]
fn of_two_that_name_a_version_the_first_in_order_wins() {
    for (order, found) in [("\"path\", \"header\"", "v1"), ("\"header\", \"path\"", "v2")] {
        let gateway = orders(&format!("select = [{order}]"), THREE);
        let response = ask(&gateway, "/orders/v1/pets/7", "api-version: v2\r\n");
        assert_eq!(version(&response), found, "{order}");
        assert_eq!(version(&ask(&gateway, "/orders/v3/pets/7", "")), "v3", "{order}");
        let only_field = ask(&gateway, "/orders/pets/7", "api-version: v2\r\n");
        assert_eq!(version(&only_field), "v2", "{order}");
        let none = ask(&gateway, "/orders/pets/7", "");
        assert_eq!(version(&none), "API_VERSION_NOT_FOUND", "{order}: there is no default");
    }
}

#[test]
fn deprecated_versions_say_so_in_standard_fields_on_every_answer() {
    let more = "[apis.orders.versions.v1]\ndeprecated = 2024-01-01\n\
        sunset = 2099-12-31T23:59:59Z\nguide = \"/docs/v1-migration\"\nsuccessor = \"v2\"\n\
        guide_text = \"# Move on\"\n[apis.orders.versions.v2]\n";
    let gateway = orders("select = [\"path\"], default = \"v2\"", more);
    let response = ask(&gateway, "/orders/v1/pets/7", "");
    assert_eq!(response.status, 200);
    assert_eq!(response.field("deprecation"), Some("@1704067200"));
    assert_eq!(response.field("sunset"), Some("Thu, 31 Dec 2099 23:59:59 GMT"));
    let links: Vec<_> = response.all("link");
    assert_eq!(
        links,
        [
            "</orders/docs/v1-migration>; rel=\"deprecation\"",
            "</orders/docs/v1-migration>; rel=\"sunset\"",
            "</orders/v2/pets/7>; rel=\"successor-version\"",
        ]
    );
    let current = ask(&gateway, "/orders/v2/pets/7", "");
    for field in ["deprecation", "sunset", "link"] {
        assert_eq!(current.field(field), None, "{field}");
    }
    let guide = ask(&gateway, "/orders/docs/v1-migration", "");
    assert_eq!((guide.status, guide.text().as_str()), (200, "# Move on"));
    assert_eq!(guide.field("content-type"), Some("text/markdown; charset=utf-8"));
}

#[test]
fn a_version_ends_at_its_second_without_a_reload() {
    let more = format!(
        "[apis.orders.versions.v1]\ndeprecated = 2024-01-01\nsunset = {}\nsuccessor = \"v2\"\n\
         guide = \"https://example.com/v2\"\n[apis.orders.versions.v2]\n\
         [apis.orders.versions.v0]\nsunset = {}\nsuccessor = \"v2\"\nafter_sunset = \"redirect\"\n",
        date(3),
        date(3)
    );
    let gateway = orders("select = [\"path\"]", &more);
    let path = "/orders/v1/pets/7";
    let before = ask(&gateway, path, "");
    if before.status == 200 {
        assert_eq!(before.field("deprecation"), Some("@1704067200"));
    }
    let is_gone = || ask(&gateway, path, "").status == 410;
    assert!(eventually(Duration::from_secs(20), is_gone), "it never ended");
    let gone = ask(&gateway, path, "");
    assert_eq!(gone.code(), "API_VERSION_SUNSET");
    let details = details(&gone);
    assert_eq!(details["guide"], "https://example.com/v2");
    assert_eq!(details["successor"], "v2");
    assert_eq!(ask(&gateway, "/orders/v1/no/such/route", "").status, 410, "all of it is gone");
    let moved = ask(&gateway, "/orders/v0/pets/7?a=b", "");
    assert_eq!((moved.status, moved.field("location")), (308, Some("/orders/v2/pets/7?a=b")));
    let unrouted = ask(&gateway, "/orders/v0/no/such/route", "");
    assert_eq!(unrouted.field("location"), Some("/orders/v2/no/such/route"), "v2 may have it");
    assert_eq!(ask(&gateway, "/orders/v2/pets/7", "").status, 200);
    let unknown = ask(&gateway, "/orders/v9/pets/7", "");
    let available = serde_json::json!(["v2"]);
    assert_eq!(self::details(&unknown)["available_versions"], available, "none that has ended");
}

#[test]
fn the_list_of_versions_is_served_and_a_route_of_that_very_key_wins() {
    let more = "[apis.orders.versions.v1]\ndeprecated = 2024-01-01\nfeatures = [\"a\"]\n\
        guide = \"/docs/v1\"\n\
        successor = \"v2\"\nbreaking_changes = [\"b\"]\n[apis.orders.versions.v2]\n\
        released = 2023-05-06\n[apis.orders.routes.\"$default\"]\nrespond = { body = \"rest\" }\n";
    let gateway = orders("select = [\"path\", \"header\"], default = \"v2\"", more);
    let list = ask(&gateway, "/orders/.well-known/api-versions", "");
    assert_eq!(list.status, 200, "also beside a $default");
    let list: serde_json::Value = serde_json::from_slice(&list.body).expect("is JSON");
    assert_eq!(
        list,
        serde_json::json!({ "api": "orders", "default": "v2", "versions": [
            { "id": "v1", "status": "deprecated", "deprecated": "2024-01-01T00:00:00Z",
              "guide": "/orders/docs/v1", "successor": "v2", "features": ["a"],
              "breaking_changes": ["b"] },
            { "id": "v2", "status": "active", "released": "2023-05-06T00:00:00Z" },
        ] })
    );
    let more = "[apis.orders.versions.v1]\n\
        [apis.orders.routes.\"GET /.well-known/api-versions\"]\nrespond = { body = \"mine\" }\n";
    let gateway = orders("select = [\"header\"], default = \"v1\"", more);
    assert_eq!(ask(&gateway, "/orders/.well-known/api-versions", "").text(), "mine");
}

#[test]
fn brownouts_refuse_and_say_when_to_come_again() {
    let more = format!(
        "[apis.orders.versions.v1]\nsunset = 2099-01-01\n\
         brownouts = [{{ from = {}, until = {} }}]\n[apis.orders.versions.v2]\n\
         brownouts = [{{ percent = \"0%\", daily = \"00:00-23:59\" }}]\n",
        date(-60),
        date(3600)
    );
    let gateway = orders("select = [\"path\"]", &more);
    let refused = ask(&gateway, "/orders/v1/pets/7", "");
    assert_eq!((refused.status, refused.code().as_str()), (410, "API_VERSION_BROWNOUT"));
    let again: u64 = refused.field("retry-after").expect("says when").parse().expect("a number");
    assert!((3_000..=3_600).contains(&again), "{again}");
    assert_eq!(ask(&gateway, "/orders/v2/pets/7", "").status, 200);
}

#[test]
fn a_host_names_the_version() {
    let more = "[apis.orders.versions.v1]\nhosts = [\"v1.example.com\"]\nsunset = 2000-01-01\n\
        after_sunset = \"redirect\"\nsuccessor = \"v2\"\n\
        [apis.orders.versions.v2]\nhosts = [\"v2.example.com\", \"*.v2.example.com\"]\n\
        [apis.orders.versions.v3]\n";
    let gateway = orders("select = [\"host\", \"header\"], default = \"v3\"", more);
    for (host, field, found) in [
        ("v2.example.com", "", "v2"),
        ("eu.v2.example.com", "", "v2"),
        ("other.example.com", "", "v3"),
        ("other.example.com", "api-version: v2\r\n", "v2"),
        ("v2.example.com", "api-version: v3\r\n", "v2"),
    ] {
        let response = gateway.ask(format!(
            "GET /orders/pets/7 HTTP/1.1\r\nHost: {host}\r\n{field}Connection: close\r\n\r\n"
        ));
        assert_eq!(version(&response), found, "{host} {field}");
    }
    let moved = gateway
        .ask("GET /orders/pets/7 HTTP/1.1\r\nHost: v1.example.com:81\r\nConnection: close\r\n\r\n");
    assert_eq!(moved.status, 308);
    assert_eq!(moved.field("location"), Some("http://v2.example.com:81/orders/pets/7"));
}

#[test]
fn a_version_has_upstreams_variables_and_routes_of_its_own() {
    let [one, two, beta] = ["one", "two", "beta"].map(Origin::named);
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[upstreams.one]
endpoints = ["{}"]
[upstreams.two]
endpoints = ["{}"]
[upstreams.beta]
endpoints = ["{}"]
[apis.orders]
upstream = "one"
versioning = {{ select = ["path"] }}
versions.v1 = {{}}
versions.v2 = {{ upstream = "two", variables = {{ table = "orders2", up = "two" }} }}
versions.v10 = {{ upstream = "${{stageVariables.up}}", status = "beta" }}
stages.prod.variables = {{ table = "orders", up = "beta" }}
[apis.orders.routes."GET /a"]
[apis.orders.routes."GET /named"]
upstream = "one"
[apis.orders.routes."GET /late"]
versions = ["v2.."]
[[apis.orders.routes."GET /each"]]
versions = ["v1", "v10"]
respond = {{ body = "odd ${{stageVariables.table}}" }}
[[apis.orders.routes."GET /each"]]
versions = ["v2"]
respond = {{ body = "two ${{stageVariables.table}}" }}
"#,
        one.addr, two.addr, beta.addr
    ));
    for (path, found) in [
        ("/prod/v1/a", "one"),
        ("/prod/v2/a", "two"),
        ("/prod/v10/a", "beta"),
        ("/prod/v2/named", "one"),
        ("/prod/v1/late", "404"),
        ("/prod/v10/late", "beta"),
        ("/prod/v1/each", "odd orders"),
        ("/prod/v2/each", "two orders2"),
        ("/v1/a", "404"),
    ] {
        let response = ask(&gateway, path, "");
        let said = if response.status == 200 { response.text() } else { "404".to_owned() };
        assert_eq!(said, found, "{path}");
    }
}

#[test]
fn two_versions_may_have_routes_that_one_table_could_not_hold() {
    let more = "[apis.orders.versions.v1]\n[apis.orders.versions.v2]\n\
        [apis.orders.routes.\"GET /{any}/{id}\"]\nversions = [\"v1\"]\n\
        respond = { body = \"any\", headers = { x-version = \"{version}\" } }\n";
    let gateway = orders("select = [\"header\"]", more);
    let say = |path: &str, id: &str| {
        let response = ask(&gateway, path, &format!("api-version: {id}\r\n"));
        if response.status == 200 { response.text() } else { response.status.to_string() }
    };
    assert_eq!(say("/orders/pets/7", "v1"), "pets");
    assert_eq!(say("/orders/cats/7", "v1"), "any");
    assert_eq!(say("/orders/cats/7", "v2"), "404");
}

#[test]
fn counts_and_log_tell_stage_version_and_canary() {
    let gateway = Gateway::start(&format!(
        r#"{WEB}{ADMIN}
[log.access]
path = "access.log"
[apis.orders]
versioning = {{ select = ["header"], default = "v2" }}
versions.v1 = {{ deprecated = 2024-01-01 }}
versions.v2 = {{}}
stages.prod.canary = {{ percent = "100%" }}
[apis.orders.routes."GET /pets"]
respond = {{ body = "x" }}
"#
    ));
    for (field, times) in [("api-version: v1\r\n", 2), ("", 1), ("api-version: v7\r\n", 1)] {
        (0..times).for_each(|_| drop(ask(&gateway, "/prod/pets", field)));
    }
    let labels = |version| {
        [("api", "orders"), ("route", "GET /pets"), ("stage", "prod"), ("version", version)]
    };
    let mut scrape = Scrape::of(&gateway);
    let count = |scrape: &Scrape, version| scrape.sum("ringway_requests_total", &labels(version));
    assert!(eventually(Duration::from_secs(10), || {
        scrape = Scrape::of(&gateway);
        count(&scrape, "v1") == 2 && count(&scrape, "v2") == 1
    }));
    assert_eq!(scrape.sum("ringway_requests_total", &[("canary", "true")]), 3);
    let asked = scrape.by("ringway_version_requests_total", "version");
    assert_eq!(asked, [("v1".to_owned(), 2), ("v2".to_owned(), 1)].into());
    let read = || std::fs::read_to_string(gateway.path("access.log")).unwrap_or_default();
    assert!(eventually(Duration::from_secs(10), || read().lines().count() == 4), "{}", read());
    let lines: Vec<serde_json::Value> =
        read().lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
    let of = |id: &str| lines.iter().filter(|line| line["api_version"] == id).count();
    assert_eq!((of("v1"), of("v2")), (2, 1));
    let served = lines.iter().filter(|line| line["stage"] == "prod" && line["canary"] == true);
    assert_eq!(served.count(), 3);
    let unknown = lines.iter().find(|line| line["failure"] == "version_not_found");
    assert!(unknown.is_some_and(|line| line.get("stage").is_none()));
}

#[test]
fn http2_clients_name_versions_too() {
    let gateway = Gateway::start(
        &orders_config("select = [\"path\", \"header\"], default = \"v2\"", THREE)
            .replace("[listeners.web]\n", "[listeners.web]\nprotocols = [\"h2\", \"http/1.1\"]\n"),
    );
    let mut client = H2Client::connect(gateway.addr());
    for (path, fields, found) in [
        ("/orders/v1/pets/7", &[][..], "v1"),
        ("/orders/pets/7", &[("api-version", "v3")][..], "v3"),
    ] {
        let mut stream = client.open("GET", path, fields, true);
        assert_eq!(client.answer(&mut stream).field("x-version"), Some(found), "{path}");
    }
}

#[test]
fn an_api_without_versions_may_share_the_base_path() {
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[apis.a]
[apis.a.routes."GET /health"]
respond = {{ body = "well" }}
[apis.b]
versioning = {{ select = ["path"], default = "v1" }}
versions.v1 = {{ deprecated = 2024-01-01, successor = "v2" }}
versions.v2 = {{}}
[apis.b.routes."GET /{{id}}"]
respond = {{ body = "b" }}
"#
    ));
    assert_eq!(ask(&gateway, "/health", "").text(), "well");
    let b = ask(&gateway, "/7", "");
    assert_eq!((b.text().as_str(), b.field("deprecation")), ("b", Some("@1704067200")));
    assert_eq!(b.field("link"), Some("</v2/7>; rel=\"successor-version\""));
    assert_eq!(ask(&gateway, "/v1/7", "").text(), "b");
    assert_eq!(ask(&gateway, "/v3", "").code(), "API_VERSION_NOT_FOUND");
    assert_eq!(ask(&gateway, "/7/8", "").code(), "COMMON_002");
}

#[test]
fn a_reload_passes_a_sunset_and_nobody_else_notices() {
    let with = |life: &str| {
        let more = format!("[apis.orders.versions.v1]\n{life}\n[apis.orders.versions.v2]\n");
        orders_config("select = [\"header\"], default = \"v2\"", &more)
    };
    let mut gateway = Gateway::start(&with(""));
    let (mut old, mut new) = (gateway.client(), gateway.client());
    let get = |client: &mut Client, id: &str| {
        let request =
            format!("GET /orders/pets/7 HTTP/1.1\r\nHost: h\r\napi-version: {id}\r\n\r\n");
        client.send(request).response().status
    };
    assert_eq!((get(&mut old, "v1"), get(&mut new, "v2")), (200, 200));
    let said = gateway.reload(&with("sunset = 2024-01-01"));
    assert!(said.contains("apis.orders.versions.v1"), "it says what changed: {said}");
    assert_eq!((get(&mut old, "v1"), get(&mut new, "v2")), (410, 200));
    assert_eq!(get(&mut old, "v2"), 200, "the connection is kept");
}
