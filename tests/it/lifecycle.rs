//! Start, drain, end: what a supervisor and an operator see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::kit::gateway::{complete, run, with};
use crate::kit::origin::ok;
use crate::kit::{Client, End, Gateway, Origin, PATIENCE, eventually, ms};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An origin that answers `/` at once, and anything else when it is told to.
fn slow() -> (Origin, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let told = go.clone();
    let origin = Origin::scripted(move |conn| {
        while let Some(request) = conn.request() {
            if request.target() != "/" {
                conn.wait_for(&told);
            }
            conn.send(ok("finished"));
        }
    });
    (origin, go)
}

#[test]
pub fn sigterm_lets_requests_finish_refuses_new_ones_and_ends_with_0() {
    let (origin, go) = slow();
    let mut gateway = Gateway::before(origin.addr);
    let addr = gateway.addr();
    let mut idle = gateway.client();
    idle.send(GET).response();
    let mut busy = gateway.client();
    busy.send(GET.replace(" / ", " /slow "));
    origin.await_requests(2);
    gateway.signal("TERM");
    assert!(gateway.says("draining: no new connections"));
    assert!(eventually(PATIENCE, || Client::try_connect(addr).is_err()), "it still listens");
    assert_ne!(idle.end_within(PATIENCE), End::Open, "an idle connection is closed");
    go.store(true, Ordering::SeqCst);
    let response = busy.response();
    assert_eq!((response.text().as_str(), response.closes()), ("finished", true));
    let status = gateway.await_end(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(gateway.says("drained"));
    assert_eq!(gateway.access_log(2).len(), 2, "the log is whole");
}

#[test]
fn sigterm_lets_a_download_finish() {
    let origin = Origin::scripted(|conn| {
        conn.request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
        for _ in 0..10 {
            conn.send([b'x'; 10]);
            std::thread::sleep(ms(60));
        }
    });
    let mut gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send(GET).head().expect("a head");
    gateway.signal("TERM");
    assert_eq!(client.take(100).expect("all of it").len(), 100);
    assert_eq!(gateway.await_end(PATIENCE).expect("it ends").code(), Some(0));
}

#[test]
fn the_drains_deadline_bounds_it() {
    let (origin, _go) = slow();
    let config = with("", "", origin.addr);
    let mut gateway =
        Gateway::start(&format!("[gateway]\nworkers = 2\ndrain_deadline = \"1s\"\n{config}"));
    let mut busy = gateway.client();
    busy.send(GET.replace(" / ", " /slow "));
    origin.await_requests(1);
    let started = Instant::now();
    gateway.signal("TERM");
    let status = gateway.await_end(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(started.elapsed() >= ms(700), "{:?}", started.elapsed());
    // It is told, not cut off: as if the upstream had run out of time.
    assert_eq!(busy.response().status, 504);
}

#[test]
pub fn connections_that_wait_in_the_queue_at_sigterm_are_not_lost() {
    let origin = Origin::named("ok");
    let mut gateway = Gateway::before(origin.addr);
    let mut clients: Vec<Client> = (0..30).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    gateway.signal("TERM");
    for (nth, client) in clients.iter_mut().enumerate() {
        let got = client.try_response("GET");
        assert!(got.as_ref().is_ok_and(|response| response.status == 200), "client {nth}: {got:?}");
    }
    assert_eq!(gateway.await_end(PATIENCE).expect("it ends").code(), Some(0));
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(origin.addr);
    gateway.get("/");
    // The drain's deadline is much further away.
    assert_eq!(gateway.terminate().code(), Some(0));
}

#[test]
fn a_second_sigint_ends_at_once() {
    let (origin, _go) = slow();
    let mut gateway = Gateway::before(origin.addr);
    let mut busy = gateway.client();
    busy.send(GET.replace(" / ", " /slow "));
    origin.await_requests(1);
    gateway.signal("INT");
    assert!(gateway.says("draining"));
    assert!(gateway.is_running());
    std::thread::sleep(ms(100));
    gateway.signal("INT");
    assert!(gateway.await_end(PATIENCE).is_some(), "it still waits");
}

#[test]
fn a_wrong_configuration_exits_with_3_and_names_every_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = complete(
        "\n[listeners.web]\naddress = \"127.0.0.1\"\nidle = 5\n\
         [apis.a.routes.\"GET pets\"]\nrespond = {}\n",
    );
    std::fs::write(dir.path().join("bad.toml"), &config).expect("a file");
    for args in [&["serve", "--config", "bad.toml"][..], &["check", "bad.toml"]] {
        let ended = run(dir.path(), args);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        let said = format!("{}{}", ended.stderr, ended.stdout);
        for key in ["address = ", "idle = ", "[apis.a"] {
            let at = config.find(key).expect("it is there");
            let place = format!("bad.toml:{}:", config[..at].matches('\n').count() + 1);
            assert!(said.contains(&place), "{place} is missing in:\n{said}");
        }
    }
    let missing = run(dir.path(), &["serve", "--config", "none.toml"]);
    assert_eq!(missing.code, Some(3), "{missing:?}");
    assert!(missing.stderr.contains("none.toml"), "{missing:?}");
}

#[test]
fn a_port_in_use_exits_with_1_and_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("an address");
    let config = with("", "", addr).replace("127.0.0.1:0", &addr.to_string());
    std::fs::write(dir.path().join("c.toml"), complete(&config)).expect("a file");
    let ended = run(dir.path(), &["serve", "--config", "c.toml"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains(&addr.to_string()) && ended.stderr.contains("in use"),
        "{ended:?}"
    );
}

#[test]
fn two_gateways_do_not_share_an_address_by_accident() {
    let origin = Origin::named("ok");
    let port = crate::kit::free_port();
    let config = with("", "", origin.addr).replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let first = Gateway::start(&config);
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("c.toml"), complete(&config)).expect("a file");
    let mut second = std::process::Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["serve", "--config", "c.toml"])
        .current_dir(dir.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut code = None;
    eventually(PATIENCE, || {
        code = second.try_wait().expect("ours").and_then(|status| status.code());
        code.is_some()
    });
    let _ = second.kill();
    let _ = second.wait();
    assert_eq!(code, Some(1), "SO_REUSEPORT lets a second process steal half of the connections");
    assert_eq!(first.get("/").status, 200);
}

#[test]
fn bad_usage_exits_with_2() {
    let dir = tempfile::tempdir().expect("a directory");
    for args in [&["serve"][..], &["nonsense"], &["serve", "--config"], &["check"], &["--nope"]] {
        let ended = run(dir.path(), args);
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains("--help"), "{args:?}: {ended:?}");
    }
    assert_eq!(run(dir.path(), &["--help"]).code, Some(0));
    assert!(run(dir.path(), &["--version"]).stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_good_configuration_passes_the_check() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Origin::named("ok");
    std::fs::write(dir.path().join("c.toml"), complete(&with("", "", origin.addr)))
        .expect("a file");
    let ended = run(dir.path(), &["check", "c.toml"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let routes = run(dir.path(), &["routes", "c.toml"]);
    assert!(routes.code == Some(0) && routes.stdout.contains("$default"), "{routes:?}");
    assert_eq!(origin.connections(), 0, "a check talks to nobody");
}

#[test]
fn the_epoll_driver_serves_too() {
    let origin = Origin::named("ok");
    let config = with("", "", origin.addr);
    let gateway = Gateway::start(&format!("[gateway]\nworkers = 2\nio = \"epoll\"\n{config}"));
    assert!(gateway.log_lines().iter().any(|line| line.contains("epoll")));
    let mut client = gateway.client();
    for _ in 0..20 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        client.send("lo");
        assert_eq!(client.response().text(), "ok");
    }
    assert_eq!(gateway.terminate().code(), Some(0));
}
