//! Endpoints by name: what the name server says is where requests go, and its silence changes
//! nothing.

use std::net::SocketAddr;
use std::time::Instant;

use crate::kit::dns::NameServer;
use crate::kit::gateway::ADMIN;
use crate::kit::{Gateway, Origin, PATIENCE, Scrape, eventually, ms, origin};

const NAME: &str = "app.ringway.test";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn named(server: &NameServer, port: u16) -> Gateway {
    Gateway::start(&(head(server) + &behind("app", NAME, port)))
}

fn head(server: &NameServer) -> String {
    let dns = server.addr;
    format!(
        r#"
{ADMIN}
[gateway]
workers = 2
pin = false
[gateway.dns]
servers = ["{dns}"]
timeout = "3s"
[listeners.web]
address = "127.0.0.1:0"
"#
    )
}

/// An upstream of one name, and the API that leads to it: `/` for "app", else its own path.
fn behind(upstream: &str, name: &str, port: u16) -> String {
    let base = if upstream == "app" { "" } else { upstream };
    format!(
        r#"
[upstreams.{upstream}]
endpoints = ["{name}:{port}"]
[apis.{upstream}]
base_path = "/{base}"
[apis.{upstream}.routes."$default"]
upstream = "{upstream}"
"#
    )
}

/// Two origins on one port, for a name has one: they differ in their family.
fn twins() -> (Origin, Origin) {
    loop {
        let four = Origin::named("four");
        let six: SocketAddr = ([0, 0, 0, 0, 0, 0, 0, 1], four.addr.port()).into();
        if std::net::TcpListener::bind(six).is_ok() {
            let six = Origin::at(six, |conn| conn.serve(&|_| origin::ok("six")));
            return (four, six);
        }
    }
}

#[test]
fn a_name_that_moves_is_followed_and_one_that_vanishes_keeps_its_addresses() {
    let (four, six) = twins();
    let server = NameServer::start();
    server.set(NAME, &[four.addr], 1);
    let began = Instant::now();
    let gateway = named(&server, four.addr.port());
    let mut client = gateway.client();
    assert_eq!(client.send(GET).response().text(), "four");
    let asked = server.asked();
    assert!(asked == 2 || began.elapsed() > ms(900), "A and AAAA, once in a TTL: {asked}");

    server.set(NAME, &[six.addr], 1);
    let moved = eventually(PATIENCE, || client.send(GET).response().text() == "six");
    assert!(moved, "a TTL of one second has passed");
    assert!(gateway.says("addresses changed"));
    // Each worker learns of it by itself.
    let all = || (0..10).all(|_| gateway.get("/").text() == "six");
    assert!(eventually(PATIENCE, all));
    assert!(eventually(PATIENCE, || four.open() == 0), "connections to the old address are closed");
    let healths = || Scrape::of(&gateway).by("ringway_endpoint_health", "endpoint");
    let expected = format!("{NAME}/{}", six.addr);
    let only = || healths().into_keys().eq([expected.clone()]);
    assert!(eventually(PATIENCE, only), "the old endpoint stays: {:?}", healths());

    server.remove(NAME);
    assert!(gateway.says("does not resolve; its last addresses stay"));
    for _ in 0..10 {
        assert_eq!(client.send(GET).response().text(), "six");
    }
    // Both: the name is back, and requests spread.
    server.set(NAME, &[four.addr, six.addr], 1);
    let before = four.count();
    let both = eventually(PATIENCE, || {
        assert_eq!(gateway.get("/").status, 200);
        four.count() > before
    });
    assert!(both, "a name that is back is asked for again");
    // The name server dies: nothing changes.
    let lines = gateway.log_lines().len();
    drop(server);
    let noticed = eventually(PATIENCE, || {
        gateway.log_lines()[lines..].iter().any(|line| line.contains("does not resolve"))
    });
    assert!(noticed, "it says that nobody answers");
    for _ in 0..10 {
        assert_eq!(gateway.get("/").status, 200);
    }
}

#[test]
fn a_name_unknown_at_the_start_does_not_stop_it_and_is_served_once_it_is_known() {
    let origin = Origin::named("late");
    let server = NameServer::start();
    let gateway = named(&server, origin.addr.port());
    let response = gateway.get("/");
    assert_eq!((response.status, response.code()), (503, "UPSTREAM_003".to_owned()));
    assert!(gateway.says(NAME), "the log names it");
    server.set(NAME, &[origin.addr], 60);
    assert!(eventually(PATIENCE, || gateway.get("/").status == 200));
    // Kept for its TTL, that is: not asked for with every request.
    let asked = server.asked();
    for _ in 0..20 {
        assert_eq!(gateway.get("/").text(), "late");
    }
    assert_eq!(server.asked(), asked);
}

#[test]
fn a_refused_reload_forgets_no_name() {
    const OTHER: &str = "other.ringway.test";
    let server = NameServer::start();
    let ((four, six), (other_four, other_six)) = (twins(), twins());
    server.set(NAME, &[four.addr], 1);
    server.set(OTHER, &[other_four.addr], 1);
    let app = head(&server) + &behind("app", NAME, four.addr.port());
    let mut gateway = Gateway::start(&(app.clone() + &behind("x", OTHER, other_four.addr.port())));
    assert_eq!((gateway.get("/").text(), gateway.get("/x").text()), ("four".into(), "four".into()));
    // Without the other name, and with two routes that collide: found out late, when compiled.
    let twice = behind("twin", NAME, four.addr.port()).replace("\"/twin\"", "\"/\"");
    let said = gateway.reload(&(app + &twice));
    assert!(said.contains("reload refused"), "{said}");

    server.set(NAME, &[six.addr], 1);
    assert!(eventually(PATIENCE, || gateway.get("/").text() == "six"), "it is still followed");
    for _ in 0..5 {
        assert_eq!(gateway.get("/x").text(), "four", "the other's address stays");
    }
    server.set(OTHER, &[other_six.addr], 1);
    assert!(eventually(PATIENCE, || gateway.get("/x").text() == "six"), "and is followed too");
}
