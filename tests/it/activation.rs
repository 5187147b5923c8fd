//! Sockets that systemd has bound: they are served from, kept over reloads, and lose nobody over a
//! restart.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use crate::kit::client::get;
use crate::kit::gateway::{SERVE, complete, with};
use crate::kit::system::activated;
use crate::kit::{Client, Gateway, Origin, PATIENCE, eventually, free_port, ms};

const BINARY: &str = env!("CARGO_BIN_EXE_ringway");
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A socket as systemd holds it, and where it is.
fn held() -> (OwnedFd, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = socket.local_addr().expect("a bound socket has an address");
    (socket.into(), addr)
}

fn start(sockets: &[&OwnedFd], config: &str) -> Gateway {
    let dir = tempfile::tempdir().expect("a directory");
    Gateway::start_by(activated(BINARY, &SERVE, sockets, "web:more"), dir, config)
}

#[test]
fn sockets_passed_by_systemd_are_served_and_lose_nobody_over_a_restart() {
    let origin = Origin::named("ok");
    let (web, web_at) = held();
    let (more, more_at) = held();
    let own_at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let config = with("", "", origin.addr).replace("127.0.0.1:0", &web_at.to_string())
        + &format!(
            "[listeners.more]\naddress = \"{more_at}\"\n[listeners.own]\naddress = \"{own_at}\"\n"
        );
    // Who comes before the gateway waits.
    let mut early = Client::connect(web_at);
    early.send(GET);
    let mut gateway = start(&[&web, &more], &config);
    assert_eq!(early.response().text(), "ok");
    assert_eq!(gateway.addr(), web_at);
    for addr in [web_at, more_at, own_at] {
        assert_eq!(get(addr, "/").text(), "ok", "{addr}");
    }
    for round in 0..2 {
        let said = gateway.reload(&format!("{config}requests_max = {}\n", 100 + round));
        assert!(!said.contains("refused"), "{said}");
        for addr in [web_at, more_at, own_at] {
            assert_eq!(get(addr, "/").text(), "ok", "{addr}");
        }
    }
    // Both workers accept from the one queue.
    for mut client in (0..50).map(|_| Client::connect(web_at)).collect::<Vec<_>>() {
        assert_eq!(client.send(GET).response().status, 200);
    }
    let mut kept = Client::connect(more_at);
    kept.send(GET).response();
    assert_eq!(gateway.terminate().code(), Some(0));
    kept.expect_closed();
    assert!(Client::try_connect(own_at).is_err(), "the gateway's own address is closed");
    // The passed ones are systemd's, and still open.
    let mut between: Vec<Client> = [web_at, more_at].map(Client::connect).into();
    for client in &mut between {
        client.send(GET);
        assert!(client.is_quiet_for(ms(50)));
    }
    let again = start(&[&web, &more], &config);
    for client in &mut between {
        assert_eq!(client.response().text(), "ok", "who came in between is served");
    }
    assert_eq!(again.get("/").text(), "ok");
}

#[test]
fn a_passed_socket_no_listener_names_is_closed_and_one_that_is_no_tcp_listener_refused() {
    let origin = Origin::named("ok");
    let (web, web_at) = held();
    let (other, other_at) = held();
    let config = with("", "", origin.addr).replace("127.0.0.1:0", &web_at.to_string());
    let gateway = start(&[&web, &other], &config);
    assert_eq!(gateway.get("/").text(), "ok");
    drop(other);
    // A process that is being started beside us has our descriptors for a moment.
    let closed = || Client::try_connect(other_at).is_err();
    assert!(eventually(PATIENCE, closed), "somebody still holds it");

    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("ringway.toml"), complete(&config)).expect("a file");
    let udp: OwnedFd = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port").into();
    let ended = activated(BINARY, &SERVE, &[&udp], "web")
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("LISTEN_FDS") && said.contains("tcp"), "{said}");
}
