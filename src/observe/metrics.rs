//! THE table of metrics: one row per family. The scrape, docs/metrics.md and the test that finds
//! families nobody feeds all come from here.
//!
//! Names follow Prometheus' conventions: the prefix `ringway_`, base units (seconds, bytes),
//! `_total` on what only grows. What any process has keeps the names all exporters use
//! (`process_`), and what OpenTelemetry names keeps those names (`gen_ai_`) by its rules for
//! Prometheus: dots are underscores, the unit `s` is the suffix `_seconds`, and a unit in braces
//! (`{token}`) is none. Labels are names out of the config or words of this crate, never bytes of a
//! client: cardinality is bounded by the config. There is no `method` label (a route's key has it)
//! and no `listener` label on requests (it would multiply every route).

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets; tokens, of which there is one.
    Histogram,
}

/// In what a family is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    None,
    Bytes,
    Seconds,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub family: Family,
    /// What a scrape calls it.
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    /// Its labels, in the order they are written.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
    /// What code outside this room writes to feed it, to be searched for.
    pub door: &'static str,
}

macro_rules! table {
    ($($variant:ident $name:literal $kind:ident $unit:ident [$($label:literal)*] $door:literal
       $help:literal;)*) => {
        /// A family of metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Family { $(#[doc = $help] $variant),* }

        /// All rows, in the order of a scrape: `TABLE[family as usize]` is the family's row.
        pub const TABLE: &[Row] = &[$(Row {
            family: Family::$variant, name: $name, kind: Kind::$kind, unit: Unit::$unit,
            labels: &[$($label),*], help: $help, door: $door,
        }),*];
    };
}

// family, name, kind, unit, labels, door, help
table! {
    Requests "ringway_requests_total" Counter None
        ["api" "route" "stage" "version" "canary" "status"] "Outcome {"
        "Requests that ended, by route and the status sent.";
    RequestFailures "ringway_request_failures_total" Counter None
        ["api" "route" "stage" "version" "canary" "failure"]
        "Outcome {" "Requests that ended badly, by route and reason (docs/errors.md).";
    GrpcCalls "ringway_grpc_calls_total" Counter None
        ["api" "route" "stage" "version" "canary" "grpc_status"] "Outcome {"
        "gRPC calls that ended, by route and status; those cut off without one are not here.";
    RequestDuration "ringway_request_duration_seconds" Histogram Seconds
        ["api" "route" "stage" "version" "canary"]
        "Outcome {" "From the first byte of a request to the last byte of its answer.";
    RequestUpstream "ringway_request_upstream_duration_seconds" Histogram Seconds
        ["api" "route" "stage" "version" "canary"]
        "Outcome {" "Of that, the time spent waiting on the upstream; requests that asked one.";
    RequestGateway "ringway_request_gateway_duration_seconds" Histogram Seconds
        ["api" "route" "stage" "version" "canary"]
        "Outcome {" "Of that, the gateway's own: the difference of the two.";
    DownstreamReceived "ringway_downstream_received_bytes_total" Counter Bytes
        ["api" "route" "stage" "version" "canary"]
        "Outcome {" "Bytes received from clients, heads and bodies.";
    DownstreamSent "ringway_downstream_sent_bytes_total" Counter Bytes
        ["api" "route" "stage" "version" "canary"]
        "Outcome {" "Bytes sent to clients, heads and bodies.";
    VersionRequests "ringway_version_requests_total" Counter None
        ["api" "version" "key" "status"] ".version_asked("
        "Requests for a version of an API that ended, by API key: who still has to move.";
    TunnelsOpened "ringway_tunnels_opened_total" Counter None
        ["api" "route" "stage" "version" "canary"]
        ".tunnel_opened(" "Connections that were upgraded: WebSocket and other protocols.";
    TunnelsOpen "ringway_tunnels_open" Gauge None ["api" "route" "stage" "version" "canary"]
        ".tunnel_opened(" "Upgraded connections open now.";
    TunnelsClosed "ringway_tunnels_closed_total" Counter None
        ["api" "route" "stage" "version" "canary" "reason"]
        ".tunnel_closed(" "Upgraded connections that ended, by who or what ended them.";
    TunnelReceived "ringway_tunnel_received_bytes_total" Counter Bytes
        ["api" "route" "stage" "version" "canary"]
        ".tunnels.received" "Bytes received from clients through upgraded connections.";
    TunnelSent "ringway_tunnel_sent_bytes_total" Counter Bytes
        ["api" "route" "stage" "version" "canary"]
        ".tunnels.sent" "Bytes sent to clients through upgraded connections.";
    ConnectionsOpened "ringway_connections_opened_total" Counter None ["listener"]
        ".connection_opened(" "Connections accepted from clients.";
    ConnectionsActive "ringway_connections_active" Gauge None ["listener"]
        ".connection_opened(" "Connections with clients open now.";
    ConnectionsRefused "ringway_connections_refused_total" Counter None ["listener" "reason"]
        ".connection_refused(" "Connections not served: accept_error, limit.";
    TlsHandshakes "ringway_tls_handshakes_total" Counter None ["listener" "result"]
        ".tls_handshake(" "TLS handshakes with clients: failed, full, resumed.";
    ProtocolAbuse "ringway_protocol_abuse_total" Counter None ["listener" "kind"] ".abused("
        "HTTP/2 connections ended with ENHANCE_YOUR_CALM, by what the client did.";
    RequestsInFlight "ringway_requests_in_flight" Gauge None ["worker"]
        ".request_in_flight(" "Requests being served now.";
    KeyRefusals "ringway_key_refusals_total" Counter None ["reason"] ".key_refused("
        "Requests refused because of their API key, by reason.";
    RelayBuffers "ringway_relay_buffers_in_use" Gauge None ["worker"]
        ".relay_buffers(" "Buffers lent out by the relay pool now.";
    RelayBufferBytes "ringway_relay_buffers_in_use_bytes" Gauge Bytes ["worker"]
        ".relay_buffers(" "The size of those buffers together.";
    WorkerParks "ringway_worker_parks_total" Counter None ["worker"]
        "WorkerSeen {" "Times the worker's loop had nothing to do and slept.";
    WorkerCpu "ringway_worker_cpu_seconds_total" Counter Seconds ["worker"]
        "WorkerSeen {" "User and system time of the worker: one that nears 1 s a second is full.";
    RingSubmissions "ringway_ring_submissions_total" Counter None []
        "Rings {" "Operations given to the workers' rings; stands still above 10,000 connections.";
    RingCompletions "ringway_ring_completions_total" Counter None []
        "Rings {" "Completions the workers' rings gave; stands still above 10,000 connections.";
    Panics "ringway_panics_total" Counter None []
        "Outside {" "Tasks that panicked; each closed its own connection only. Always a bug.";
    WorkerGeneration "ringway_worker_config_generation" Gauge None ["worker"]
        ".serves_generation(" "Generation of the configuration the worker serves by.";
    LogLines "ringway_access_log_lines_total" Counter None ["worker"]
        "WorkerLog::new(" "Access-log lines handed to the log writer.";
    LogDropped "ringway_access_log_dropped_total" Counter None ["worker"]
        "WorkerLog::new(" "Access-log lines lost because the log writer was behind.";
    UpstreamConnects "ringway_upstream_connects_total" Counter None ["upstream"]
        ".connected(" "Connections established to the upstream.";
    UpstreamConnectFailures "ringway_upstream_connect_failures_total" Counter None
        ["upstream" "failure"] ".connect_failed("
        "Connections that could not be established, by reason (docs/errors.md).";
    UpstreamReuses "ringway_upstream_reuses_total" Counter None ["upstream"]
        ".connection_reused(" "Exchanges on a pooled connection.";
    UpstreamIdle "ringway_upstream_connections_idle" Gauge None ["upstream"]
        ".connections_idle(" "Idle connections in the pool now.";
    UpstreamShared "ringway_upstream_connections_shared" Gauge None ["upstream"]
        ".shares(" "HTTP/2 connections to the upstream now, idle ones included.";
    UpstreamStreams "ringway_upstream_streams_active" Gauge None ["upstream"]
        ".shares(" "Streams in use on them: exchanges with the upstream over HTTP/2 now.";
    UpstreamActive "ringway_upstream_exchanges_active" Gauge None ["upstream"]
        ".exchange_active(" "Exchanges with the upstream now.";
    UpstreamEvictions "ringway_upstream_evictions_total" Counter None ["upstream" "reason"]
        ".connection_evicted(" "Idle connections the pool closed: dead, endpoint, excess, expired.";
    UpstreamRetries "ringway_upstream_retries_total" Counter None ["upstream"]
        ".retried(" "Requests sent again.";
    UpstreamRetryBudget "ringway_upstream_retry_budget_exhausted_total" Counter None ["upstream"]
        ".retry_budget_exhausted(" "Requests not sent again because the retry budget was spent.";
    UpstreamWaiting "ringway_upstream_queue_waiting" Gauge None ["upstream"]
        ".queue_waiting(" "Requests waiting for a connection now.";
    UpstreamSent "ringway_upstream_sent_bytes_total" Counter Bytes ["upstream"]
        ".bytes_exchanged(" "Bytes sent to the upstream, heads and bodies.";
    UpstreamReceived "ringway_upstream_received_bytes_total" Counter Bytes ["upstream"]
        ".bytes_exchanged(" "Bytes received from the upstream, heads and bodies.";
    EndpointHealth "ringway_endpoint_health" Gauge None ["upstream" "endpoint" "state"]
        "EndpointSeen {"
        "1 for the state it is in: healthy, unhealthy (probes), ejected (requests).";
    EndpointEjections "ringway_endpoint_ejections_total" Counter None ["upstream" "endpoint"]
        ".ejected(" "Times a worker took the endpoint out because requests to it failed.";
    LimitVerdicts "ringway_limit_verdicts_total" Counter None ["limit" "verdict"]
        ".judged(" "What limits said to requests: admitted, refused, shadow_refused.";
    LimitSlots "ringway_limit_slots" Gauge None []
        "LimitsSeen {" "Slots of the table in which buckets and quotas are counted.";
    LimitSlotsUsed "ringway_limit_slots_used" Gauge None []
        "LimitsSeen {" "Of those, slots that could not be reused when they were counted last.";
    LimitEvictions "ringway_limit_evictions_total" Counter None []
        "LimitsSeen {" "Full buckets and quotas of past periods forgotten to make room.";
    LimitFull "ringway_limit_full_total" Counter None []
        "LimitsSeen {" "Requests that a limit could not count because no slot was free.";
    Authorizations "ringway_authorizations_total" Counter None ["authorizer" "outcome"]
        ".judged(" "Requests judged: accepted, known, invalid, forbidden, missing, unavailable.";
    JwksFetches "ringway_jwks_fetches_total" Counter None ["authorizer" "result"]
        ".keys_fetched(" "Times an authorizer's keys were read anew: failed, ok.";
    JwksFetched "ringway_jwks_fetched_timestamp_seconds" Gauge Seconds ["authorizer"]
        ".keys_fetched(" "When its keys were last read, in Unix time; 0: never.";
    JwksKeys "ringway_jwks_keys" Gauge None ["authorizer"]
        ".keys_fetched(" "Keys it can verify with now.";
    GenAiTokens "gen_ai_client_token_usage" Histogram None
        ["gen_ai_operation_name" "gen_ai_provider_name" "gen_ai_request_model"
         "gen_ai_response_model" "server_address" "server_port" "provider" "gen_ai_token_type"]
        ".request_ended("
        "Tokens of a request, input and output, as the provider counted them.";
    GenAiDuration "gen_ai_client_operation_duration_seconds" Histogram Seconds
        ["gen_ai_operation_name" "gen_ai_provider_name" "gen_ai_request_model"
         "gen_ai_response_model" "server_address" "server_port" "provider" "error_type"]
        ".attempt_ended("
        "An attempt at a provider, from sending the request to the last byte of its answer.";
    GenAiFirstChunk "gen_ai_client_operation_time_to_first_chunk_seconds" Histogram Seconds
        ["gen_ai_operation_name" "gen_ai_provider_name" "gen_ai_request_model"
         "gen_ai_response_model" "server_address" "server_port" "provider"]
        ".first_chunk_after("
        "From sending a request to the first chunk of its stream.";
    GenAiChunk "gen_ai_client_operation_time_per_output_chunk_seconds" Histogram Seconds
        ["gen_ai_operation_name" "gen_ai_provider_name" "gen_ai_request_model"
         "gen_ai_response_model" "server_address" "server_port" "provider"]
        ".next_chunk_after("
        "From one chunk of a stream to the next.";
    GenAiRequest "gen_ai_server_request_duration_seconds" Histogram Seconds
        ["gen_ai_operation_name" "gen_ai_provider_name" "gen_ai_request_model"
         "gen_ai_response_model" "server_address" "server_port" "provider" "error_type"]
        ".request_ended("
        "A client's request, all attempts included, by its last target.";
    GenAiFirstToken "gen_ai_server_time_to_first_token_seconds" Histogram Seconds
        ["gen_ai_operation_name" "gen_ai_provider_name" "gen_ai_request_model"
         "gen_ai_response_model" "server_address" "server_port" "provider"]
        ".request_ended("
        "From the first byte of a client's request to the first token of its stream.";
    GenAiPerToken "gen_ai_server_time_per_output_token_seconds" Histogram Seconds
        ["gen_ai_operation_name" "gen_ai_provider_name" "gen_ai_request_model"
         "gen_ai_response_model" "server_address" "server_port" "provider"]
        ".request_ended("
        "The time of a stream after its first token, for each further token.";
    LlmCost "ringway_llm_cost_usd_total" Counter None
        ["model" "provider" "served_model"] ".request_ended("
        "What requests have cost by the price table, in USD.";
    LlmEstimated "ringway_llm_usage_estimated_total" Counter None
        ["model" "provider" "served_model"] ".request_ended("
        "Requests whose tokens the gateway estimated, for the provider did not count them.";
    LlmAttempts "ringway_llm_attempts_total" Counter None
        ["model" "provider" "served_model" "result"] ".attempt_ended("
        "Attempts at providers, by how they ended.";
    LlmBreaker "ringway_llm_breaker_state" Gauge None
        ["model" "provider" "served_model" "state"] "TargetSeen {"
        "1 for the state a target's circuit breaker is in: closed, open, half_open.";
    LlmAborted "ringway_llm_aborted_total" Counter None ["phase"] ".llm.aborted("
        "Requests to models whose client went away: unsent, waiting, answering.";
    ConfigReloads "ringway_config_reloads_total" Counter None ["result"]
        ".reloaded(" "Reloads: applied, rejected.";
    ConfigGeneration "ringway_config_generation" Gauge None []
        ".published(" "Generation of the configuration published last.";
    ConfigPublished "ringway_config_published_timestamp_seconds" Gauge Seconds []
        ".published(" "When it was published, in Unix time.";
    LogWritten "ringway_access_log_written_bytes_total" Counter Bytes []
        ".log_written(" "Bytes the log writer has written.";
    LogWriteErrors "ringway_access_log_write_errors_total" Counter None []
        ".log_write_failed(" "Times the log writer could not write or reopen.";
    StoreKeys "ringway_store_keys" Gauge None []
        "StoreSeen {" "API keys in force, those of the configuration and those of the store.";
    StoreWrites "ringway_store_writes_total" Counter None []
        "StoreSeen {" "Changes that the store has committed: keys, reloads.";
    StoreErrors "ringway_store_errors_total" Counter None []
        "StoreSeen {" "Times the store could not be read or written.";
    LedgerEntries "ringway_ledger_entries_total" Counter None ["worker"]
        ".entry_pushed(" "Entries handed to the usage ledger.";
    LedgerLost "ringway_ledger_lost_total" Counter None ["worker"]
        ".entry_pushed(" "Entries that the usage ledger had no room for. Always to be looked into.";
    LedgerWritten "ringway_ledger_written_total" Counter None []
        "LedgerSeen {" "Entries that the usage ledger has committed.";
    LedgerErrors "ringway_ledger_errors_total" Counter None []
        "LedgerSeen {" "Times the usage ledger could not be read or written.";
    LedgerWaiting "ringway_ledger_waiting_bytes" Gauge Bytes []
        "LedgerSeen {" "Entries in memory that are to be written.";
    BuildInfo "ringway_build_info" Gauge None ["version"]
        "Process {" "Always 1; the version is the label.";
    IoInfo "ringway_io_info" Gauge None ["driver"]
        "Process {" "Always 1; how workers do their input and output is the label.";
    ProcessStart "process_start_time_seconds" Gauge Seconds []
        "Process {" "When the process started, in Unix time.";
    ProcessCpu "process_cpu_seconds_total" Counter Seconds []
        "Process {" "User and system time of the process.";
    ProcessResident "process_resident_memory_bytes" Gauge Bytes []
        "Process {" "Resident memory of the process.";
    ProcessFds "process_open_fds" Gauge None []
        "Process {" "File descriptors open.";
    ProcessFdsMax "process_max_fds" Gauge None []
        "Process {" "File descriptors the process may have open.";
}

// === impl Family ===

impl Family {
    /// This family's row.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

// === impl Kind ===

impl Kind {
    /// The word of the TYPE line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn rows_stand_at_their_familys_index_and_no_name_stands_twice() {
        let mut names = HashSet::new();
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.family as usize, i);
            assert!(names.insert(row.name), "{} twice", row.name);
        }
    }

    #[test]
    fn names_keep_prometheus_conventions() {
        for Row { family, name, kind, unit, labels, help, door } in TABLE {
            let prefixes = ["ringway_", "process_", "gen_ai_"];
            assert!(prefixes.iter().any(|prefix| name.starts_with(prefix)), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            let stem = name.trim_end_matches("_total");
            assert_eq!(*unit == Unit::Seconds, stem.ends_with("_seconds"), "{name}");
            assert_eq!(*unit == Unit::Bytes, stem.ends_with("_bytes"), "{name}");
            let tokens = *family == Family::GenAiTokens;
            assert!(*kind != Kind::Histogram || *unit == Unit::Seconds || tokens, "{name}");
            assert!(help.ends_with('.') && !help.contains(['\\', '\n']), "{name}");
            assert!(!door.is_empty(), "{name}");
            for label in *labels {
                assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{label}");
                assert!(!matches!(*label, "le" | "quantile"), "{label} is Prometheus' own");
            }
        }
    }
}
