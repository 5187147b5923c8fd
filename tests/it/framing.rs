//! Strict on framing (RFC 9112): what is malformed or ambiguous is refused with the right status,
//! the connection closed, and nothing of it reaches an origin.

use crate::kit::cases::cases;
use crate::kit::gateway::with;
use crate::kit::{Client, End, Gateway, Origin, ms, origin, show};

const MALFORMED: &str = include_str!("../data/malformed-requests.txt");
const MALFORMED_RESPONSES: &str = include_str!("../data/malformed-responses.txt");

#[test]
fn every_malformed_request_gets_its_status_and_a_close_and_no_origin_sees_it() {
    let origin = Origin::named("never");
    let gateway = Gateway::start(&with("timeouts = { header = \"2s\" }", "", origin.addr));
    let mut wrong = Vec::new();
    for case in cases(MALFORMED) {
        let expected: u16 = case.columns[0][0].parse().expect("a status");
        let mut client = gateway.client();
        // Refused early, it may stop listening before it has got all.
        let _ = client.try_send(&case.bytes);
        let got = client.try_response("GET");
        let end = client.end_within(ms(4000));
        let fine = match &got {
            Ok(response) => response.status == expected && response.closes(),
            Err(_) => false,
        };
        if !fine || end == End::Open || !client.buf.is_empty() {
            wrong.push(format!("{}: wanted {expected}, got {got:?}, {end:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(origin.count(), 0, "the origin saw {}", show(&origin.bytes()));
}
