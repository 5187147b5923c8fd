//! The example of `config/examples/orders.toml`, run as its head says: every curl line of
//! `docs/orders.sh` gets the answer it expects.

use std::path::Path;
use std::process::Command;

use crate::kit::gateway::{ADMIN, Gateway};

/// A file of the repository, with ports of this run in place of its own.
fn file(path: &str, ports: &[(&str, String)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).expect("it is there");
    ports.iter().fold(text, |text, (written, now)| {
        assert!(text.contains(written), "{} names {written}", path.display());
        text.replace(written, now)
    })
}

#[test]
fn every_line_of_the_tour_gets_the_answer_it_expects() {
    let free = |written| (written, "127.0.0.1:0".to_owned());
    let upstreams = file(
        "config/examples/orders-upstreams.toml",
        &[free("127.0.0.1:9101"), free("127.0.0.1:9102"), free("127.0.0.1:9103")],
    );
    let upstreams = Gateway::start(&upstreams);
    let at = |written, name| (written, upstreams.addr_of(name).to_string());
    let config = file(
        "config/examples/orders.toml",
        &[
            free("127.0.0.1:8080"),
            at("127.0.0.1:9101", "v1"),
            at("127.0.0.1:9102", "v2"),
            at("127.0.0.1:9103", "v3"),
        ],
    );
    let dir = tempfile::tempdir().expect("a directory of its own");
    let keys = file("config/examples/orders.jwks.json", &[]);
    std::fs::write(dir.path().join("orders.jwks.json"), keys).expect("a file");
    let gateway = Gateway::start_in(dir, &format!("{ADMIN}{config}"));
    let tour = Command::new("bash")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/orders.sh"))
        .env("API", format!("http://{}", gateway.addr()))
        .output()
        .expect("there is a shell");
    let said = String::from_utf8_lossy(&tour.stdout);
    assert!(tour.status.success(), "{said}\n{}", String::from_utf8_lossy(&tour.stderr));
    assert!(said.contains(" steps, 0 failed"), "{said}");
}
