//! Active health checks: an endpoint that says it is not well gets no requests until it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::kit::gateway::ADMIN;
use crate::kit::origin::ok;
use crate::kit::{Conn, Gateway, Origin, PATIENCE, Scrape, eventually};

/// An origin that can be told how it is.
struct Patient {
    origin: Origin,
    well: Arc<AtomicBool>,
    /// Requests that were no probes.
    served: Arc<AtomicUsize>,
}

// === impl Patient ===

impl Patient {
    fn named(name: &'static str) -> Patient {
        let (well, served) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let origin = Origin::scripted(Patient::script(name, &well, &served));
        Patient { origin, well, served }
    }

    fn script(
        name: &'static str,
        well: &Arc<AtomicBool>,
        served: &Arc<AtomicUsize>,
    ) -> impl Fn(&mut Conn) + Send + Sync + 'static {
        let (well, served) = (well.clone(), served.clone());
        move |conn| {
            while let Some(request) = conn.request() {
                let answer = match request.target() {
                    "/healthz" if well.load(Ordering::SeqCst) => ok("well"),
                    "/healthz" => {
                        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec()
                    }
                    _ => {
                        served.fetch_add(1, Ordering::SeqCst);
                        ok(name)
                    }
                };
                conn.send(answer);
            }
        }
    }

    fn is(&self, well: bool) {
        self.well.store(well, Ordering::SeqCst);
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

fn probed(endpoints: &[&Patient]) -> Gateway {
    let list: Vec<_> =
        endpoints.iter().map(|patient| format!("\"{}\"", patient.origin.addr)).collect();
    let list = list.join(", ");
    Gateway::start(&format!(
        r#"
{ADMIN}
[listeners.web]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = [{list}]
balance = "round_robin"
ejection = {{ failures = 0 }}
[upstreams.app.health]
path = "/healthz"
interval = "2s"
timeout = "2s"
rise = 2
fall = 2
[apis.a.routes."$default"]
upstream = "app"
"#
    ))
}

fn unhealthy(gateway: &Gateway) -> u64 {
    Scrape::of(gateway).sum("ringway_endpoint_health", &[("state", "unhealthy")])
}

fn logged(gateway: &Gateway, text: &str) -> usize {
    gateway.log_lines().iter().filter(|line| line.contains(text)).count()
}

#[test]
fn an_endpoint_that_probes_find_unwell_gets_no_traffic_until_they_find_it_well() {
    let (a, b) = (Patient::named("a"), Patient::named("b"));
    let gateway = probed(&[&a, &b]);
    let ask = |count: usize| (0..count).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    ask(20);
    assert!(a.served() >= 5 && b.served() >= 5, "{} {}", a.served(), b.served());
    let asked = a.origin.requests().into_iter().find(|request| request.target() == "/healthz");
    let asked = asked.expect("it was probed at once");
    assert_eq!((asked.method(), asked.field("host")), ("GET", Some(&*a.origin.addr.to_string())));

    a.is(false);
    assert!(gateway.says("endpoint down: probes fail"));
    assert_eq!(unhealthy(&gateway), 1);
    let before = a.served();
    ask(20);
    assert_eq!(a.served(), before, "it gets requests though it is down");

    a.is(true);
    assert!(gateway.says("endpoint up: probes succeed"));
    assert_eq!(unhealthy(&gateway), 0);
    ask(20);
    assert!(a.served() > before, "it gets none though it is up");
    assert_eq!((logged(&gateway, "endpoint down"), logged(&gateway, "endpoint up")), (1, 1));
}

#[test]
fn an_endpoint_that_dies_is_found_out_and_found_again_and_keeps_its_state_over_a_reload() {
    let (mut a, b) = (Patient::named("a"), Patient::named("b"));
    let mut gateway = probed(&[&a, &b]);
    let config = std::fs::read_to_string(gateway.path("ringway.toml")).expect("its file");
    let addr = a.origin.addr;
    // Gone, port and all.
    drop(std::mem::replace(&mut a.origin, Origin::named("a placeholder")));
    assert!(gateway.says("endpoint down: probes fail"));
    let said = gateway.reload_raw(&config.replace("rise = 2", "rise = 3"));
    assert!(!said.contains("refused"), "{said}");
    assert_eq!(unhealthy(&gateway), 1, "a reload forgets nothing");
    for _ in 0..10 {
        assert_eq!(gateway.get("/").text(), "b");
    }
    let lines = gateway.access_log(10);
    assert!(lines.iter().all(|line| line["attempts"] == 1), "the dead one is not even tried");
    a.origin = Origin::at(addr, Patient::script("a", &a.well, &a.served));
    assert!(eventually(PATIENCE, || gateway.get("/").text() == "a"), "it is back");
    assert_eq!(unhealthy(&gateway), 0);
}

#[test]
fn with_all_endpoints_down_clients_are_told_and_probes_go_on() {
    let a = Patient::named("a");
    let gateway = probed(&[&a]);
    assert_eq!(gateway.get("/").text(), "a");
    a.is(false);
    assert!(gateway.says("endpoint down: probes fail"));
    let response = gateway.get("/");
    assert_eq!((response.status, response.code()), (503, "UPSTREAM_003".to_owned()));
    a.is(true);
    assert!(eventually(PATIENCE, || gateway.get("/").status == 200));
}
