//! CORS at the edge, as AWS's HTTP APIs do it: preflights, actual requests, refusals.

use crate::kit::h2client::H2Client;
use crate::kit::message::Response;
use crate::kit::origin::ok;
use crate::kit::{Gateway, Origin};

const WEB: &str = "\n[listeners.web]\naddress = \"127.0.0.1:0\"\n";

/// An API `a` with these keys of `cors` in front of an origin, and `b` without CORS.
fn gateway(origin: &Origin, cors: &str) -> Gateway {
    let addr = origin.addr;
    Gateway::start(&format!(
        r#"{WEB}
[upstreams.app]
endpoints = ["{addr}"]
[apis.a]
hosts = ["a.test"]
body_max = "1KiB"
cors = {{ {cors} }}
[apis.a.routes."GET /pets"]
upstream = "app"
[apis.a.routes."PUT /pets"]
upstream = "app"
[apis.a.routes."GET /mock"]
respond = {{ body = "mock", headers = {{ access-control-allow-origin = "https://evil.test" }} }}
[apis.b]
hosts = ["b.test"]
routes."$default".upstream = "app"
"#
    ))
}

fn preflight(gateway: &Gateway, host: &str, path: &str, origin: &str, method: &str) -> Response {
    let mut client = gateway.client();
    client.send(format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: {method}\r\n\
         Access-Control-Request-Headers: authorization, x-tenant\r\nConnection: close\r\n\r\n"
    ));
    client.response_to("OPTIONS")
}

fn get(gateway: &Gateway, host: &str, path: &str, origin: &str) -> Response {
    gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{origin}Connection: close\r\n\r\n"))
}

/// The fields that speak of CORS, in order.
fn cors_fields(response: &Response) -> Vec<String> {
    let ours = |name: &str| name.starts_with("access-control-") || name == "vary";
    let fields = response.fields.iter().filter(|(name, _)| ours(name));
    fields.map(|(name, value)| format!("{name}: {value}")).collect()
}

#[test]
fn a_preflight_is_answered_at_the_edge_without_a_route_and_without_the_upstream() {
    let origin = Origin::named("ok");
    let gateway = gateway(
        &origin,
        r#"origins = ["https://app.test", "https://*.wild.test"], methods = ["GET", "PUT"],
           headers = ["Authorization", "x-tenant"], max_age = "10m", credentials = true"#,
    );
    let vary = "vary: origin, access-control-request-method, access-control-request-headers";
    for from in ["https://app.test", "https://x.y.wild.test"] {
        // For a route, for a path no route takes, for a method it does not take.
        for path in ["/pets", "/nothing"] {
            let answer = preflight(&gateway, "a.test", path, from, "PUT");
            assert_eq!((answer.status, answer.body.len()), (204, 0));
            assert_eq!(
                cors_fields(&answer),
                [
                    vary,
                    &format!("access-control-allow-origin: {from}"),
                    "access-control-allow-credentials: true",
                    "access-control-allow-methods: GET, PUT",
                    "access-control-allow-headers: authorization, x-tenant",
                    "access-control-max-age: 600",
                ]
            );
        }
    }
    let refused = preflight(&gateway, "a.test", "/pets", "https://evil.test", "PUT");
    assert_eq!((refused.status, cors_fields(&refused)), (204, vec![vary.to_owned()]));
    assert_eq!(origin.count(), 0, "no preflight reached the upstream");
    // Counted under a name of its own, not among the requests nobody takes.
    let lines = gateway.access_log(5);
    assert!(lines.iter().all(|l| l["api"] == "a" && l["route"] == "(preflight)"), "{lines:?}");
    // An API without a policy leaves CORS to its upstream; so does an OPTIONS that asks nothing.
    assert_eq!(preflight(&gateway, "b.test", "/x", "https://app.test", "PUT").text(), "ok");
    let plain = gateway.ask(
        "OPTIONS /pets HTTP/1.1\r\nHost: a.test\r\nOrigin: https://app.test\r\n\
         Connection: close\r\n\r\n",
    );
    assert_eq!(plain.status, 404);
}

#[test]
fn answers_carry_the_apis_fields_and_none_of_the_upstreams() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n\
          access-control-allow-credentials: true\r\nACCESS-CONTROL-EXPOSE-HEADERS: x-secret\r\n\
          Vary: accept-encoding\r\nContent-Length: 2\r\n\r\nok"
            .to_vec()
    });
    let gateway = gateway(&origin, r#"origins = ["https://app.test"], expose = ["x-a", "X-B"]"#);
    let allowed = [
        "vary: accept-encoding",
        "vary: origin",
        "access-control-allow-origin: https://app.test",
        "access-control-expose-headers: x-a, x-b",
    ];
    let answer = get(&gateway, "a.test", "/pets", "Origin: https://app.test\r\n");
    assert_eq!(cors_fields(&answer), allowed);
    let other = get(&gateway, "a.test", "/pets", "Origin: https://evil.test\r\n");
    assert_eq!(cors_fields(&other), allowed[..2]);
    assert_eq!(cors_fields(&get(&gateway, "a.test", "/pets", "")), allowed[..2]);
    // A fixed answer of the configuration does not speak of it either.
    let mock = get(&gateway, "a.test", "/mock", "Origin: https://app.test\r\n");
    assert_eq!(cors_fields(&mock), allowed[1..]);
    // Where no policy is, all passes.
    let b = get(&gateway, "b.test", "/pets", "Origin: https://app.test\r\n");
    assert_eq!(b.field("access-control-expose-headers"), Some("x-secret"));
}

#[test]
fn refusals_can_be_read_by_scripts() {
    let origin = Origin::named("ok");
    let gateway = gateway(&origin, r#"origins = ["https://app.test"], credentials = true"#);
    for (request, status) in [
        ("GET /nothing HTTP/1.1\r\n", 404),
        ("PUT /pets HTTP/1.1\r\nContent-Length: 2000\r\n", 413),
    ] {
        let (line, rest) = request.split_once("\r\n").expect("a line");
        let answer = gateway
            .ask(format!("{line}\r\nHost: a.test\r\nOrigin: https://app.test\r\n{rest}\r\n"));
        assert_eq!(answer.status, status);
        assert_eq!(answer.field("access-control-allow-origin"), Some("https://app.test"));
        assert_eq!(answer.field("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.all("vary"), ["origin"]);
    }
    let nobodys = get(&gateway, "c.test", "/", "Origin: https://app.test\r\n");
    assert_eq!((nobodys.status, cors_fields(&nobodys).len()), (404, 0));
}

#[test]
fn a_preflight_is_for_the_api_of_the_route_it_announces() {
    let origin = Origin::named("upstream");
    let addr = origin.addr;
    let gateway = Gateway::start(&format!(
        r#"{WEB}
[listeners.inner]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = ["{addr}"]
[apis.one]
routes."ANY /one".upstream = "app"
[apis.two]
routes."PUT /two".upstream = "app"
cors = {{ origins = ["https://two.test"], methods = ["PUT"] }}
[apis.three]
base_path = "/three"
listeners = ["inner"]
routes."PUT /".upstream = "app"
cors = {{ origins = ["https://three.test"], methods = ["PUT"] }}
"#
    ));
    let allowed = |path: &str, origin: &str| {
        let answer = preflight(&gateway, "a", path, origin, "PUT");
        (answer.status, answer.field("access-control-allow-origin").map(str::to_owned))
    };
    let two = Some("https://two.test".to_owned());
    assert_eq!(allowed("/two", "https://two.test"), (204, two.clone()));
    assert_eq!(allowed("/one", "https://two.test"), (200, None), "its upstream's business");
    assert_eq!(allowed("/nobody", "https://two.test"), (204, two));
    assert_eq!(allowed("/three", "https://three.test"), (204, None), "not on this listener");
    let inner = gateway.addr_of("inner");
    let answer = crate::kit::client::ask(
        inner,
        "OPTIONS /three HTTP/1.1\r\nHost: a\r\nOrigin: https://three.test\r\n\
         Access-Control-Request-Method: PUT\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://three.test"));
}

#[test]
fn over_http_2_it_is_the_same() {
    let origin = Origin::named("ok");
    let gateway = gateway(&origin, r#"origins = ["https://app.test"], methods = ["PUT"]"#);
    let mut client = H2Client::connect(gateway.addr());
    let from = ("origin", "https://app.test");
    let fields = [from, ("access-control-request-method", "PUT")];
    let mut preflight = client.open("OPTIONS", "/pets", &fields, true);
    let answer = client.answer(&mut preflight);
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.field("access-control-allow-methods"), Some("PUT"));
    let mut missing = client.open("GET", "/nothing", &[from], true);
    let missing = client.answer(&mut missing);
    assert_eq!(missing.status, 404);
    assert_eq!(missing.field("access-control-allow-origin"), Some("https://app.test"));
    // A browser's gRPC call that fails is told in fields, which it must be able to read.
    let grpc = [from, ("content-type", "application/grpc-web+proto")];
    let told = client.ask("/nothing", &grpc, b"");
    assert_eq!((told.status, told.field("grpc-status")), (200, Some("12")));
    assert_eq!(told.field("access-control-allow-origin"), Some("https://app.test"));
}

#[test]
fn the_star_is_for_all_and_asks_for_no_vary() {
    let origin = Origin::answering(|_| ok("ok"));
    let gateway =
        gateway(&origin, r#"origins = ["*"], methods = ["*"], headers = ["*"], max_age = "0""#);
    for from in ["Origin: https://any.test\r\n", "Origin: null\r\n", ""] {
        let answer = get(&gateway, "a.test", "/pets", from);
        assert_eq!(cors_fields(&answer), ["access-control-allow-origin: *"]);
    }
    let answer = preflight(&gateway, "a.test", "/pets", "null", "DELETE");
    assert_eq!(
        cors_fields(&answer)[1..],
        [
            "access-control-allow-origin: *",
            "access-control-allow-methods: DELETE",
            "access-control-allow-headers: authorization, x-tenant",
            "access-control-max-age: 0",
        ]
    );
}
