//! Scrapes read back by a strict parser of the format, and compared with what was counted.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::failure::Failure;
use crate::observe::cells::{EndpointCells, Outcome, WorkerId};
use crate::observe::gen_ai::{AbortPhase, AttemptEnd, GenAiName, GenAiOutcome};
use crate::observe::proofs::JwksCells;
use crate::observe::registry::RouteName;

const PROCESS: Process = Process {
    version: "1.2.3",
    io_driver: "io_uring",
    started: Wall(1_763_763_120_500_000_000),
    cpu_ns: 1_250_000_000,
    resident_bytes: 4096,
    open_fds: 7,
    max_fds: 1024,
};
const ME: WorkerId = WorkerId(1);

fn outside() -> Outside {
    Outside {
        process: PROCESS,
        workers: vec![
            WorkerSeen { parks: 4, cpu_ns: 0 },
            WorkerSeen { parks: 5, cpu_ns: 2_500_000_000 },
        ],
        rings: Rings { submissions: 6, completions: 7 },
        store: StoreSeen::default(),
        ledger: LedgerSeen { written: 8, errors: 9, waiting_bytes: 10 },
        panics: 1,
        limits: LimitsSeen { slots: 64, used: 3, evicted: 2, full: 1 },
        endpoints: vec![EndpointSeen {
            upstream: "u".into(),
            endpoint: "10.0.0.1:80".into(),
            health: Health::Ejected,
        }],
        targets: vec![TargetSeen {
            model: "gpt-*".into(),
            provider: "openai-1".into(),
            served: "gpt-4o".into(),
            breaker: BreakerSeen::HalfOpen,
        }],
    }
}

/// A family as read: its kind, and its samples in order.
struct Read {
    kind: String,
    unit: Option<String>,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

fn scrape(registry: &Registry, options: Options) -> String {
    let mut out = Vec::new();
    render(registry, &outside(), options, &mut out);
    String::from_utf8(out).unwrap()
}

/// Reads a page; panics on anything the format does not allow or that is out of order.
fn read(page: &str) -> BTreeMap<String, Read> {
    let mut families: BTreeMap<String, Read> = BTreeMap::new();
    let mut current = String::new();
    assert!(page.ends_with('\n'), "the last line ends too");
    let mut seen = HashSet::new();
    for line in page.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && !families.contains_key(name), "{name} stands once");
            current = name.to_string();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current);
            let read = Read { kind: kind.to_string(), unit: None, samples: Vec::new() };
            families.insert(current.clone(), read);
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').unwrap();
            assert!(name == current && name.ends_with(unit));
            families.get_mut(name).unwrap().unit = Some(unit.to_string());
        } else {
            let sample = read_sample(line);
            assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_string()), "{line} twice");
            assert!(sample.name.starts_with(&current), "{line} stands in its family");
            families.get_mut(&current).unwrap().samples.push(sample);
        }
    }
    families
}

fn read_sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if rest.starts_with('{') {
        loop {
            let (label, after) = rest[1..].split_once("=\"").unwrap();
            let (value, after) = read_quoted(after);
            labels.push((label.to_string(), value));
            rest = after;
            if let Some(end) = rest.strip_prefix('}') {
                rest = end;
                break;
            }
            assert!(rest.starts_with(','), "{line}");
        }
    }
    let value = rest.strip_prefix(' ').unwrap();
    assert!(value.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{line}");
    Sample { name: name.to_string(), labels, value: value.parse().unwrap() }
}

fn read_quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                c => panic!("\\{c} is no escape"),
            }),
            c => value.push(c),
        }
    }
    panic!("{text} has no closing quote");
}

fn outcome(total_ns: u64, upstream_ns: Option<u64>) -> Outcome {
    Outcome {
        status: 200,
        failure: None,
        total_ns,
        upstream_ns,
        bytes_in: 10,
        bytes_out: 20,
        grpc: Some(crate::http::grpc::Status::Ok),
    }
}

/// A registry in which every door was opened.
type Held = (Arc<PerWorker<EndpointCells>>, Arc<PerWorker<JwksCells>>);

fn full() -> (Registry, Held) {
    let registry = Registry::new(2);
    let route = registry.route_of(&RouteName {
        api: "pets",
        route: "GET /\"p\\ts\"\n",
        stage: "prod",
        version: "v1",
        canary: true,
    });
    route.of(ME).record(&outcome(3_000_000, Some(2_000_000)));
    let failed =
        Outcome { status: 502, failure: Some(Failure::UpstreamCut), ..outcome(5000, None) };
    route.of(WorkerId(0)).record(&failed);
    drop(route.of(ME).tunnels.tunnel_opened());
    route.of(ME).tunnels.tunnel_closed(TunnelEnd::Idle);
    let listener = registry.listener("public");
    drop(listener.of(ME).connection_opened());
    listener.of(ME).connection_refused(Refusal::Limit);
    listener.of(ME).tls_handshake(Handshake::Resumed);
    listener.of(ME).abused(crate::http::h2::meter::AbuseKind::Ping);
    let upstream = registry.upstream("u");
    upstream.of(ME).connected();
    upstream.of(ME).connect_failed(Failure::UpstreamConnectTimeout);
    upstream.of(ME).connection_reused();
    upstream.of(ME).connections_idle(4);
    upstream.of(WorkerId(0)).connections_idle(3);
    upstream.of(ME).connection_evicted(Eviction::Dead);
    upstream.of(ME).retried();
    upstream.of(ME).retry_budget_exhausted();
    upstream.of(ME).bytes_exchanged(11, 22);
    registry.version("pets", "v1").version_asked(ME, "acme", 200, 9);
    let endpoint = registry.endpoint("u", "10.0.0.1:80");
    endpoint.of(ME).ejected();
    let target = registry.gen_ai(&GenAiName {
        dialect: "openai",
        model: "gpt-*",
        served: "gpt-4o",
        address: "api.openai.com",
        port: 443,
        provider: "openai-1",
    });
    target.of(ME).attempt_ended("chat", AttemptEnd::RateLimit, 5_000_000);
    target.of(ME).operation("chat").first_chunk_after(15_000_000);
    target.of(WorkerId(0)).operation("chat").next_chunk_after(15_000_000);
    let asked = GenAiOutcome {
        failure: None,
        total_ns: 1_000_000_000,
        first_token_ns: Some(100_000_000),
        input_tokens: 12,
        output_tokens: 5,
        estimated: false,
        cost_pico: 1_500_000_000_000,
    };
    target.of(ME).request_ended("chat", &asked);
    let failed = GenAiOutcome { failure: Some(Failure::UpstreamReset), ..asked };
    target.of(WorkerId(0)).request_ended("chat", &failed);
    registry.limit("per-ip").of(ME).judged(Verdict::Refused);
    let workers = registry.workers();
    workers.of(ME).relay_buffers(2, 32768);
    workers.of(ME).serves_generation(8);
    workers.of(ME).llm.aborted(AbortPhase::Answering);
    workers.of(ME).llm.entry_pushed(true);
    workers.of(ME).llm.entry_pushed(false);
    workers.of(ME).logged(true);
    workers.of(ME).logged(false);
    registry.control().reloaded(Reload::Applied);
    registry.control().published(9, Wall(1_763_763_121_000_000_000));
    registry.control().log_written(100);
    registry.control().log_write_failed();
    registry.authorizer("sso").of(ME).judged(Judged::Known);
    let jwks = registry.jwks("sso");
    jwks.of(ME).keys_fetched(2, Wall(1_763_763_121_000_000_000));
    jwks.of(ME).fetch_failed();
    (registry, (endpoint, jwks))
}

#[test]
fn every_row_of_the_table_is_scraped_with_its_kind_and_its_labels() {
    let (registry, _held) = full();
    let families = read(&scrape(&registry, Options::default()));
    assert_eq!(families.len(), TABLE.len());
    for row in TABLE {
        let family = &families[row.name];
        assert_eq!(family.kind, row.kind.name());
        assert!(!family.samples.is_empty(), "{} has a sample", row.name);
        for sample in &family.samples {
            let labels = sample.labels.iter().map(|(name, _)| name.as_str());
            let labels: Vec<&str> = labels.filter(|name| *name != "le").collect();
            let has_error = row.labels.last() == Some(&"error_type");
            let left_out = usize::from(has_error && labels.len() < row.labels.len());
            assert_eq!(labels, row.labels[..row.labels.len() - left_out], "{}", row.name);
        }
    }
}

#[test]
fn an_empty_label_is_left_out() {
    let registry = Registry::new(1);
    let cells = registry.route("pets", "GET /");
    let outcome = Outcome {
        status: 200,
        failure: None,
        total_ns: 1,
        upstream_ns: None,
        bytes_in: 1,
        bytes_out: 1,
        grpc: None,
    };
    cells.of(WorkerId(0)).record(&outcome);
    let text = scrape(&registry, Options::default());
    let line = "ringway_requests_total{api=\"pets\",route=\"GET /\",status=\"200\"} 1\n";
    assert!(text.contains(line), "as it was before there were stages and versions");
}

#[test]
fn what_was_counted_is_what_is_read() {
    let (registry, _held) = full();
    let families = read(&scrape(&registry, Options::default()));
    let value = |family: &str, last_label: &str| -> f64 {
        let samples = families[family].samples.iter();
        let of = |s: &&Sample| s.labels.last().map_or("", |(_, value)| value) == last_label;
        samples.filter(of).map(|s| s.value).sum()
    };
    let named = &families["ringway_requests_total"].samples[0].labels;
    assert_eq!(named[1], ("route".to_owned(), "GET /\"p\\ts\"\n".to_owned()));
    for (family, last_label, expected) in [
        ("ringway_requests_total", "200", 1.0),
        ("ringway_requests_total", "502", 1.0),
        ("ringway_request_failures_total", "upstream_cut", 1.0),
        ("ringway_downstream_received_bytes_total", "true", 20.0),
        ("ringway_downstream_sent_bytes_total", "true", 40.0),
        ("ringway_connections_opened_total", "public", 1.0),
        ("ringway_connections_active", "public", 0.0),
        ("ringway_connections_refused_total", "limit", 1.0),
        ("ringway_connections_refused_total", "accept_error", 0.0),
        ("ringway_tls_handshakes_total", "resumed", 1.0),
        ("ringway_upstream_connects_total", "u", 1.0),
        ("ringway_upstream_reuses_total", "u", 1.0),
        ("ringway_upstream_retries_total", "u", 1.0),
        ("ringway_upstream_retry_budget_exhausted_total", "u", 1.0),
        ("ringway_endpoint_ejections_total", "10.0.0.1:80", 1.0),
        ("ringway_authorizations_total", "known", 1.0),
        ("ringway_jwks_fetches_total", "ok", 1.0),
        ("ringway_jwks_fetches_total", "failed", 1.0),
        ("ringway_jwks_fetched_timestamp_seconds", "sso", 1_763_763_121.0),
        ("ringway_jwks_keys", "sso", 2.0),
        ("ringway_relay_buffers_in_use", "1", 2.0),
        ("ringway_relay_buffers_in_use_bytes", "1", 32768.0),
        ("ringway_worker_parks_total", "1", 5.0),
        ("ringway_worker_cpu_seconds_total", "1", 2.5),
        ("ringway_panics_total", "", 1.0),
        ("ringway_worker_config_generation", "1", 8.0),
        ("ringway_access_log_written_bytes_total", "", 100.0),
        ("ringway_access_log_write_errors_total", "", 1.0),
        ("ringway_io_info", "io_uring", 1.0),
        ("process_resident_memory_bytes", "", 4096.0),
        ("process_open_fds", "", 7.0),
        ("process_max_fds", "", 1024.0),
        ("ringway_upstream_connect_failures_total", "upstream_connect_timeout", 1.0),
        ("ringway_upstream_connections_idle", "u", 7.0),
        ("ringway_upstream_evictions_total", "dead", 1.0),
        ("ringway_upstream_sent_bytes_total", "u", 11.0),
        ("ringway_upstream_received_bytes_total", "u", 22.0),
        ("ringway_endpoint_health", "ejected", 1.0),
        ("ringway_endpoint_health", "unhealthy", 0.0),
        ("ringway_endpoint_health", "healthy", 0.0),
        ("ringway_ring_submissions_total", "", 6.0),
        ("ringway_ring_completions_total", "", 7.0),
        ("ringway_access_log_lines_total", "1", 1.0),
        ("ringway_access_log_dropped_total", "1", 1.0),
        ("ringway_access_log_dropped_total", "0", 0.0),
        ("ringway_config_reloads_total", "applied", 1.0),
        ("ringway_config_generation", "", 9.0),
        ("ringway_config_published_timestamp_seconds", "", 1_763_763_121.0),
        ("ringway_build_info", "1.2.3", 1.0),
        ("ringway_ledger_entries_total", "1", 1.0),
        ("ringway_ledger_lost_total", "1", 1.0),
        ("ringway_ledger_written_total", "", 8.0),
        ("ringway_ledger_waiting_bytes", "", 10.0),
        ("ringway_llm_aborted_total", "answering", 1.0),
        ("ringway_llm_aborted_total", "unsent", 0.0),
        ("ringway_llm_attempts_total", "rate_limit", 1.0),
        ("ringway_llm_breaker_state", "half_open", 1.0),
        ("ringway_llm_breaker_state", "open", 0.0),
        ("ringway_llm_cost_usd_total", "gpt-4o", 3.0),
        ("process_start_time_seconds", "", 1_763_763_120.5),
        ("process_cpu_seconds_total", "", 1.25),
    ] {
        assert!((value(family, last_label) - expected).abs() < 1e-6, "{family} {last_label}");
    }
}

#[test]
fn what_is_held_is_read_while_it_is_held() {
    let registry = Registry::new(2);
    let (workers, upstream) = (registry.workers(), registry.upstream("u"));
    let listener = registry.listener("public");
    let value = |family: &str| -> f64 {
        let families = read(&scrape(&registry, Options::default()));
        families[family].samples.iter().map(|s| s.value).sum()
    };
    let held = [
        ("ringway_requests_in_flight", workers.of(ME).request_in_flight()),
        ("ringway_upstream_exchanges_active", upstream.of(ME).exchange_active()),
        ("ringway_upstream_queue_waiting", upstream.of(ME).queue_waiting()),
        ("ringway_connections_active", listener.of(ME).connection_opened()),
    ];
    for (family, guard) in held {
        assert!((value(family) - 1.0).abs() < 1e-9, "{family}");
        drop(guard);
        assert!(value(family).abs() < 1e-9, "{family}");
    }
}

#[test]
fn a_histogram_is_cumulative_ends_in_infinity_and_agrees_with_its_count() {
    let (registry, _held) = full();
    for buckets_per_octave in [1, 2, 4] {
        let options = Options { buckets_per_octave, ..Options::default() };
        let families = read(&scrape(&registry, options));
        let samples = &families["ringway_request_duration_seconds"].samples;
        let buckets: Vec<&Sample> =
            samples.iter().filter(|s| s.name.ends_with("_bucket")).collect();
        assert_eq!(buckets.len(), 27 * buckets_per_octave + 2);
        assert!(buckets.windows(2).all(|pair| pair[0].value <= pair[1].value));
        let le = |sample: &Sample| sample.labels.last().unwrap().1.clone();
        assert_eq!(le(buckets[0]), "0.000001024");
        assert_eq!(le(buckets[buckets.len() - 1]), "+Inf");
        let bounds = buckets[..buckets.len() - 1].iter().map(|b| le(b).parse::<f64>().unwrap());
        let bounds: Vec<f64> = bounds.collect();
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
        let named = |suffix| samples.iter().find(|s| s.name.ends_with(suffix)).unwrap().value;
        assert!((named("_count") - 2.0).abs() < 1e-9);
        assert!((buckets[buckets.len() - 1].value - 2.0).abs() < 1e-9);
        assert!((named("_sum") - 0.003_005).abs() < 1e-9);
        // 5 us lie at or below 0.000008192 s, 3 ms do not.
        let at = bounds.iter().position(|b| (*b - 0.000_008_192).abs() < 1e-12).unwrap();
        assert!((buckets[at].value - 1.0).abs() < 1e-9);
    }
}

#[test]
fn the_histograms_of_models_have_the_buckets_of_the_conventions() {
    let (registry, _held) = full();
    let text = scrape(&registry, Options::default());
    let own = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",\
        gen_ai_request_model=\"gpt-*\",gen_ai_response_model=\"gpt-4o\",\
        server_address=\"api.openai.com\",server_port=\"443\",provider=\"openai-1\"";
    for line in [
        format!(
            "gen_ai_client_token_usage_bucket{{{own},gen_ai_token_type=\"input\",le=\"16\"}} 2"
        ),
        format!("gen_ai_client_token_usage_sum{{{own},gen_ai_token_type=\"output\"}} 10"),
        format!(
            "gen_ai_client_operation_duration_seconds_bucket{{{own},error_type=\"rate_limit\",\
             le=\"0.01\"}} 1"
        ),
        format!("gen_ai_client_operation_time_to_first_chunk_seconds_sum{{{own}}} 0.015"),
        format!(
            "gen_ai_client_operation_time_per_output_chunk_seconds_bucket{{{own},le=\"0.02\"}} 1"
        ),
        format!("gen_ai_server_request_duration_seconds_count{{{own}}} 1"),
        format!(
            "gen_ai_server_request_duration_seconds_count{{{own},error_type=\"upstream_reset\"}} 1"
        ),
        format!("gen_ai_server_time_to_first_token_seconds_bucket{{{own},le=\"0.1\"}} 1"),
        format!("gen_ai_server_time_per_output_token_seconds_bucket{{{own},le=\"0.3\"}} 1"),
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
    }
}

#[test]
fn open_metrics_names_families_without_total_says_units_and_ends() {
    let (registry, _held) = full();
    let options = Options { dialect: Dialect::OpenMetrics, ..Options::default() };
    let page = scrape(&registry, options);
    assert!(page.ends_with("\n# EOF\n"));
    let families = read(&page);
    assert_eq!(families["ringway_requests"].samples[0].name, "ringway_requests_total");
    assert_eq!(families["process_cpu_seconds"].unit.as_deref(), Some("seconds"));
    assert_eq!(families["ringway_panics"].unit, None);
    assert_eq!(families.len(), TABLE.len());
}

#[test]
fn two_scrapes_of_the_same_numbers_are_the_same_bytes_and_names_are_in_order() {
    let registry = Registry::new(1);
    for name in ["b", "a", "c"] {
        drop(registry.upstream(name));
    }
    let page = scrape(&registry, Options::default());
    assert_eq!(page, scrape(&registry, Options::default()));
    let family = &read(&page)["ringway_upstream_connects_total"];
    let names: Vec<&str> = family.samples.iter().map(|s| s.labels[0].1.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn seconds_are_exact_and_short() {
    for (ns, text) in [
        (0, "0.0"),
        (1, "0.000000001"),
        (1_500_000_000, "1.5"),
        (2_000_000_000, "2.0"),
        (u64::MAX, "18446744073.709551615"),
    ] {
        assert_eq!(seconds(ns), text);
    }
}
