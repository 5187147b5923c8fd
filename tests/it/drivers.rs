//! What io_uring does, epoll does: the core scenarios again on it, and a start where io_uring is
//! denied.

use std::process::{Command, Stdio};

use crate::kit::gateway::{ADMIN, SERVE, complete, on_epoll, with};
use crate::kit::system::deny_io_uring;
use crate::kit::{Gateway, Origin, Scrape};

/// The scenarios of other files, each a test of its own here.
macro_rules! on_epoll_too {
    ($($file:ident::$scenario:ident)*) => {
        $(#[test]
        fn $scenario() {
            on_epoll(crate::$file::$scenario);
        })*
    };
}

on_epoll_too! {
    counters::counters_agree_with_the_log_and_with_the_clients
    overload::two_thousand_slow_lorises_slow_nobody_and_are_ended_counted_and_forgotten
    message::pipelined_requests_are_answered_in_order
    message::a_connection_is_kept_until_its_idle_time_is_up
    message::a_chunked_request_streams_each_piece_arriving_before_the_next_is_sent
    relay::a_client_that_leaves_before_the_first_byte_ends_the_upstreams_work
    relay::a_client_that_leaves_during_its_upload_ends_the_upstreams_work
    relay::a_large_download_passes_with_bounded_memory
    relay::a_large_upload_passes_with_bounded_memory_and_a_slow_upstream_slows_it
    relay::a_slow_reader_slows_its_upstream_and_costs_no_memory
    relay::upload_and_download_run_at_once
    reload::a_changed_upstream_is_used_by_the_next_request_on_the_same_connection
    reload::a_removed_listener_drains_and_an_added_one_serves
    reload::reloads_under_load_lose_no_request
    lifecycle::connections_that_wait_in_the_queue_at_sigterm_are_not_lost
    lifecycle::sigterm_lets_requests_finish_refuses_new_ones_and_ends_with_0
    tls::https_is_served_with_tls_1_3_and_1_2
    upstreams::a_first_byte_that_does_not_come_in_time_is_a_504
    upstreams::a_pooled_connection_is_left_after_its_requests_or_its_idle_time
}

/// The binary where io_uring is denied.
fn denied() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(SERVE).env_remove("LISTEN_FDS");
    deny_io_uring(&mut command);
    command
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn where_io_uring_is_denied_it_starts_on_epoll_and_says_so_once() {
    let origin = Origin::named("ok");
    let config = format!("{ADMIN}{}", with("", "", origin.addr));
    let gateway = Gateway::start_by(denied(), directory(), &config);
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "ok");
    }
    let lines = gateway.log_lines();
    let loud: Vec<_> = lines.iter().filter(|line| line.contains("WARN")).collect();
    assert_eq!(loud.len(), 1, "{lines:#?}");
    for word in ["falling back to epoll", "seccomp", "io_uring_setup", "kernel.io_uring_disabled"] {
        assert!(loud[0].contains(word), "{}", loud[0]);
    }
    let driver = Scrape::of(&gateway).by("ringway_io_info", "driver");
    assert_eq!(driver, [("epoll".to_owned(), 1)].into());
    assert_eq!(gateway.terminate().code(), Some(0));
}

#[test]
fn where_io_uring_is_denied_and_asked_for_it_ends_with_1_and_the_remedy() {
    let dir = directory();
    let config = "[gateway]\nworkers = 1\nio = \"uring\"\n[listeners.web]\n\
                  address = \"127.0.0.1:0\"\n[apis.a.routes.\"$default\"]\nrespond = {}\n";
    std::fs::write(dir.path().join("ringway.toml"), complete(config)).expect("a file");
    let mut check = Command::new(env!("CARGO_BIN_EXE_ringway"));
    check.args(["check", "ringway.toml"]);
    deny_io_uring(&mut check);
    for mut command in [denied(), check] {
        let ended = command.current_dir(dir.path()).stdin(Stdio::null()).output();
        let ended = ended.expect("the binary runs");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        for word in ["gateway.io = \"uring\"", "seccomp", "kernel.io_uring_disabled"] {
            assert!(said.contains(word), "{said}");
        }
    }
}
