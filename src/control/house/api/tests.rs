//! The API as its callers see it is tested over the wire (tests/it/admin_api.rs); here is what
//! needs no socket.

use super::*;

#[test]
fn the_api_is_what_is_below_its_root() {
    for path in [&b"/admin/v1"[..], b"/admin/v1/", b"/admin/v1/keys"] {
        assert!(Api::has(path));
    }
    for path in [&b"/admin"[..], b"/admin/v2", b"/admin/v10", b"/"] {
        assert!(!Api::has(path));
    }
}
