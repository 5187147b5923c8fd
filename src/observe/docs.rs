//! The pages of docs/ that are tables of this crate: metrics, log fields, errors.
//!
//! Owns their wording; the tables own the facts. A test compares the files with what is generated;
//! with `RINGWAY_BLESS=1` it writes them instead:
//! `RINGWAY_BLESS=1 cargo test --lib observe::docs`.

mod openapi;

use std::fmt::Write;

use super::access_log::{MASKED_BY_DEFAULT, field};
use super::metrics;
use crate::bounds::ROUTE_CELLS_MAX;
use crate::failure;

pub use openapi::errors_openapi;

const METRICS: &str = "\
# Metrics and the access log

<!-- Generated from the tables in src/observe; see src/observe/docs.rs. -->

## Metrics

The admin listener serves them as Prometheus text 0.0.4, or as OpenMetrics 1.0 to those that ask.

- Labels are names out of your configuration and words of the gateway, never a client's bytes: what
  a scrape costs is bounded by the configuration. Requests that found no route have `api=\"-\"` and
  `route=\"-\"`; beyond ROUTES_MAX routes, further ones share `(other)`.
- CORS preflights that the gateway answers are requests of the route `(preflight)` of their API.
- Counts follow the name. A reload neither resets nor renames them, and a route that a reload
  removed keeps its series while the process lives, so that a rollback continues them. Endpoints
  are shown while they are in use.
- `status` is the exact code for those that gateways see (200, 404, 503, ...), else the class
  (`4xx`). 499 is a client that went away before the answer.
- A series by `status` or `failure` appears when it first happens, and a route's histograms with its
  first request.
- Histograms are recorded in four buckets to a power of two from 1 us to 137 s (a value is known to
  12.5 %) and shown in two.
- `worker` is the worker's number: compare workers to see imbalance.
- `gen_ai_*` are the GenAI metrics of OpenTelemetry, with the names its rules for Prometheus give
  them (dots are underscores, the unit `s` is `_seconds`, the unit `{token}` is none) and with its
  buckets. `gen_ai_client_*` is what the gateway sees of a provider, once an attempt;
  `gen_ai_server_*` what a client sees of the gateway, once a request, by the target that was asked
  last. `gen_ai_provider_name` is the dialect, `provider` the name in your configuration;
  `gen_ai_request_model` is the model as configured, a pattern where it is one. Tokens that the
  gateway had to estimate are no samples of `gen_ai_client_token_usage`, as the conventions demand;
  `ringway_llm_usage_estimated_total` counts those requests, their cost is in
  `ringway_llm_cost_usd_total`.

";

const LOG_FIELDS: &str = "
## Access log

One line a request, written when its answer is complete. `format = \"json\"` writes an object of the
fields below, those without a value left out; `\"combined\"` writes nginx's line; anything else is a
template, text with `{field}`s in it (`{{` and `}}` are braces).

- JSON strings are what was received, read as UTF-8 with each invalid part as U+FFFD. Control
  characters, line separators and direction overrides are escapes. In the text forms `\"`, `\\`,
  control characters and all non-ASCII bytes are `\\xHH`, and what is not known is `-`. Quote
  fields that may hold spaces.
- A field is cut to its bound; a JSON line with a cut field ends in `\"cut\":true`.
- Lines that the log writer is too slow for are dropped, never waited for:
  `ringway_access_log_dropped_total` counts them.

| field | bytes at most | in the JSON line | what it says |
|---|---|---|---|
";

const MASKING: &str = "
In `query`, `request` and `referer` the values of these parameters are written as `***` (compared
without regard to case, after percent decoding), unless the configuration names others:
";

const ERRORS: &str = "\
# Errors

<!-- Generated from the table in src/failure.rs; see src/observe/docs.rs. -->

What a client sees when a request ends badly. The code never changes its meaning. The name is the
`failure` of metrics and of the access log. \"Retryable\" says whether the same request may succeed
when sent again unchanged. Status 499 is never sent: it marks, in logs and metrics, a client that
went away. \"AWS\" is what an API with `errors = \"aws\"` answers in its place: status,
`x-amzn-ErrorType` and message; an empty message is the request's own. [edge.md](edge.md) shows the
four bodies; [errors.openapi.json](errors.openapi.json) is the same for OpenAPI documents. Every
listener serves a page for each code at its `doc_url`.
";

/// docs/metrics.md.
#[must_use]
pub fn metrics_markdown() -> String {
    let mut page = METRICS.replace("ROUTES_MAX", &ROUTE_CELLS_MAX.to_string());
    page.push_str("| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for row in metrics::TABLE {
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (row.name, row.kind.name(), labels.join(" "));
        line(&mut page, format_args!("| `{name}` | {kind} | {labels} | {} |", row.help));
    }
    page.push_str(LOG_FIELDS);
    for row in field::TABLE {
        let json = if row.in_json { "yes" } else { "no" };
        let (name, bytes, help) = (row.name, row.bytes_max, row.help);
        line(&mut page, format_args!("| `{name}` | {bytes} | {json} | {help} |"));
    }
    page.push_str(MASKING);
    let names: Vec<String> = MASKED_BY_DEFAULT.iter().map(|name| format!("`{name}`")).collect();
    line(&mut page, format_args!("{}.", names.join(", ")));
    page
}

/// docs/errors.md: a heading per code, which `doc_url` of an error's body points to.
#[must_use]
pub fn errors_markdown() -> String {
    let mut page = ERRORS.to_string();
    page.push_str("\n| code | name | status | retryable | whose doing |\n|---|---|---|---|---|\n");
    for row in failure::TABLE {
        let (code, name, status, blame) = (row.code, row.name, row.status, row.blame.whose());
        let retryable = if row.retryable { "yes" } else { "no" };
        let anchor = code.to_ascii_lowercase();
        line(
            &mut page,
            format_args!("| [{code}](#{anchor}) | `{name}` | {status} | {retryable} | {blame} |"),
        );
    }
    for row in failure::TABLE {
        let aws = failure::aws(row);
        let connection = if row.close { "closes" } else { "stays open" };
        let retry = if row.retryable { "may be sent again" } else { "fails again if sent again" };
        line(&mut page, format_args!("\n## {}\n\n{}\n", row.code, row.message));
        line(
            &mut page,
            format_args!(
                "`{}`, type `{}`, status {}. Whose doing: {}. The request {retry}; the client's \
                 connection {connection}.\n\nAWS: {} `{}` \"{}\". Anthropic: `{}`.",
                row.name,
                row.kind,
                row.status,
                row.blame.whose(),
                aws.status,
                aws.kind,
                aws.message,
                failure::anthropic_type(row)
            ),
        );
    }
    page
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("a String takes all text");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, generated: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        if std::env::var_os("RINGWAY_BLESS").is_some() {
            std::fs::write(&path, generated).expect("docs/ can be written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == generated,
            "docs/{name} is not what its table says: RINGWAY_BLESS=1 cargo test --lib observe::docs"
        );
    }

    #[test]
    fn the_metrics_page_is_what_the_tables_say() {
        check("metrics.md", &metrics_markdown());
    }

    #[test]
    fn the_errors_page_is_what_the_table_says() {
        check("errors.md", &errors_markdown());
    }

    #[test]
    fn the_openapi_fragment_is_what_the_table_says_and_its_references_lead_somewhere() {
        let text = errors_openapi();
        check("errors.openapi.json", &text);
        let document: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        for reference in text.split("\"$ref\": \"#").skip(1) {
            let pointer = reference.split('"').next().expect("split gives one part at least");
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
        for row in failure::TABLE {
            let response = &document["components"]["responses"][row.code];
            assert_eq!(response.is_object(), row.status != 499, "{}", row.code);
        }
    }

    #[test]
    fn every_code_has_a_heading_and_no_cell_breaks_a_table() {
        let errors = errors_markdown();
        for row in failure::TABLE {
            assert!(errors.contains(&format!("\n## {}\n", row.code)));
        }
        for text in metrics::TABLE.iter().map(|r| r.help).chain(field::TABLE.iter().map(|r| r.help))
        {
            assert!(!text.contains('|'), "{text}");
        }
    }
}
