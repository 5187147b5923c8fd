//! Tests of whole translations: cases as files, and what holds of all.

mod golden;
mod props;
mod survives;

use super::*;

/// The stamp of every answer here.
const STAMP: Stamp<'static> = Stamp { unix: 1_700_000_000, id: "0a1b" };

fn ask(from: Endpoint, body: &[u8]) -> Ask<'_> {
    let to = match from.dialect() {
        Dialect::OpenAi => Dialect::Anthropic,
        Dialect::Anthropic => Dialect::OpenAi,
    };
    let model = match to {
        Dialect::OpenAi => "gpt-5.1-2025-11-13",
        Dialect::Anthropic => "claude-opus-4-8",
    };
    Ask { from, to, body, model, output_max: 4096 }
}
