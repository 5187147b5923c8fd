//! A retry only where it is provably safe.

use crate::kit::gateway::with;
use crate::kit::origin::ok;
use crate::kit::{Gateway, Origin, PATIENCE, eventually, free_port, ms};

/// Resets the first connection after the request, having sent `before`; serves the others.
fn failing_once(before: &'static str) -> Origin {
    Origin::scripted(move |conn| {
        if conn.nth == 0 {
            if conn.request().is_some() {
                conn.send(before);
                std::thread::sleep(ms(if before.is_empty() { 0 } else { 30 }));
                conn.reset();
            }
            return;
        }
        conn.serve(&|_| ok("second"));
    })
}

fn outcome(origin: &Origin, upstream: &str, request: &str) -> (u16, usize, u64) {
    let gateway = Gateway::start(&with("", upstream, origin.addr));
    let response = gateway.ask(request);
    let line = gateway.access_line();
    let attempts = line["attempts"].as_u64().expect("attempts");
    // The origin may not have read yet what it has got.
    eventually(PATIENCE, || origin.count() as u64 >= attempts);
    (response.status, origin.count(), attempts)
}

#[test]
fn a_get_is_sent_again_after_a_reset_without_a_byte() {
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(outcome(&failing_once(""), "", &request), (200, 2, 2), "{method}");
    }
}

#[test]
fn a_get_is_not_sent_again_after_a_byte_of_an_answer() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for before in ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let (status, count, _) = outcome(&failing_once(before), "", request);
        assert_eq!((status, count), (502, 1), "after {before:?}");
    }
}

#[test]
fn a_post_is_never_sent_again_once_sent() {
    for method in ["POST", "PATCH", "BREW"] {
        for body in ["", "hello"] {
            let length = body.len();
            let request =
                format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
            let seen = outcome(&failing_once(""), "retry = { attempts = 5 }", &request);
            assert_eq!(seen, (502, 1, 1), "{method} {body}");
        }
    }
}

#[test]
fn a_put_with_its_whole_body_at_hand_is_sent_again_one_that_streams_is_not() {
    let whole = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let origin = failing_once("");
    assert_eq!(outcome(&origin, "", whole), (200, 2, 2));
    assert_eq!(origin.last().body, b"hello");
    let origin = failing_once("");
    let gateway = Gateway::before(origin.addr);
    let mut client = gateway.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    assert!(eventually(PATIENCE, || origin.bytes().ends_with(b"hel")), "it does not stream");
    assert_eq!(client.send("lo").response().status, 502);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_refused_connection_is_tried_elsewhere_whatever_the_method() {
    for method in ["GET", "POST"] {
        let origin = Origin::named("alive");
        let dead = format!("127.0.0.1:{}", free_port());
        let config = with("", "balance = \"round_robin\"", origin.addr);
        let gateway =
            Gateway::start(&config.replace("endpoints = [", &format!("endpoints = [\"{dead}\", ")));
        for nth in 0..6 {
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
            assert_eq!(gateway.ask(request).text(), "alive", "{method} {nth}");
        }
        assert_eq!(origin.count(), 6);
    }
}

#[test]
fn a_streamed_post_is_tried_elsewhere_when_the_connection_is_refused() {
    let origin = Origin::named("alive");
    let dead = format!("127.0.0.1:{}", free_port());
    let config = with("", "balance = \"round_robin\"", origin.addr);
    let gateway =
        Gateway::start(&config.replace("endpoints = [", &format!("endpoints = [\"{dead}\", ")));
    for _ in 0..4 {
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        std::thread::sleep(ms(20));
        assert_eq!(client.send("lo").response().text(), "alive");
        assert_eq!(origin.last().body, b"hello");
    }
}

#[test]
fn an_answered_error_is_an_answer_and_not_repeated() {
    let origin = Origin::fixed("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(outcome(&origin, "retry = { attempts = 5 }", request), (503, 1, 1));
}

#[test]
fn attempts_routes_and_the_budget_bound_retries() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let always = || {
        Origin::scripted(|conn| {
            conn.request();
            conn.reset();
        })
    };
    let never_out = "ejection = { failures = 0 }\n";
    for (retry, count) in [
        ("retry = { attempts = 4 }", 4),
        ("retry = { attempts = 1 }", 1),
        ("retry = { on = [\"connect\"] }", 1),
        ("retry = { attempts = 9, budget = \"0%\", budget_min = 0 }", 1),
    ] {
        let (status, seen, _) = outcome(&always(), &format!("{never_out}{retry}"), request);
        assert_eq!((status, seen), (502, count), "{retry}");
    }
    let origin = always();
    let config = with("", never_out, origin.addr);
    let gateway = Gateway::start(&format!("{config}retry = false\n"));
    assert_eq!((gateway.get("/").status, origin.count()), (502, 1), "the route says no");
}

#[test]
fn timeouts_are_retried_only_where_asked_for_and_safe() {
    let silent_once = || {
        Origin::scripted(|conn| {
            if conn.nth == 0 {
                conn.request();
                conn.until_left();
                return;
            }
            conn.serve(&|_| ok("second"));
        })
    };
    let upstream = "timeouts = { first_byte = \"500ms\" }\nretry = { on = [\"timeout\"] }";
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let again = eventually(PATIENCE, || {
        let (status, count, attempts) = outcome(&silent_once(), upstream, get);
        assert_eq!((count, attempts), (2, 2));
        // The second may be late, too.
        assert!(status == 200 || status == 504, "{status}");
        status == 200
    });
    assert!(again, "the second answer does not count");
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(outcome(&silent_once(), upstream, post), (504, 1, 1));
}
