//! The configuration of `ringway demo`: a file like any other, read by the same parser.

use std::net::SocketAddr;

use super::load::parse_str;
use super::types::Config;

const TEXT: &str = include_str!("../../config/demo.toml");

/// Where the file says that the origin is.
const WRITTEN: &str = "127.0.0.1:9000";

/// The demo's configuration, its upstream and its model's provider at this address.
#[must_use]
pub fn demo(origin: SocketAddr) -> Config {
    let text = TEXT.replace(WRITTEN, &origin.to_string());
    let loaded = parse_str(&text, "config/demo.toml");
    loaded.expect("a test reads the embedded file").config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_a_good_configuration_at_the_callers_address() {
        let loaded = parse_str(TEXT, "config/demo.toml").expect("it has no mistake");
        assert_eq!(loaded.warnings, []);
        let config = demo(([127, 0, 0, 1], 4711).into());
        let endpoints = &config.upstreams["origin"].endpoints;
        assert_eq!(endpoints.len(), 1);
        assert_eq!(endpoints[0].address.to_string(), "127.0.0.1:4711");
        assert_eq!(config.providers["demo"].base_url.port, 4711);
        assert_eq!(config.listeners["web"].addresses[0].address.to_string(), "127.0.0.1:8080");
        assert_eq!(config.admin.address.to_string(), "127.0.0.1:9901");
    }
}
