//! Answers of models, whole and streamed: no panic, nothing counted twice, and no usage contradicts
//! itself, whatever a provider writes.
//!
//! The first byte chooses the endpoint, and where a stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::bounds;
use ringway::http::sse::Events;
use ringway::llm::{Endpoint, Price, ProviderError, Seen, Tap, Usage, answer};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let endpoint = match choice % 5 {
        0 => Endpoint::ChatCompletions,
        1 => Endpoint::Completions,
        2 => Endpoint::Responses,
        3 => Endpoint::Messages,
        _ => Endpoint::Embeddings,
    };
    if let Ok(whole) = answer::read(endpoint, bytes) {
        if let Some(usage) = whole.usage {
            consistent(&usage);
        }
        assert!(whole.output_bytes <= bytes.len() as u64);
    }
    if let Some(error) = ProviderError::of_body(bytes) {
        let _ = error.fault();
        assert!(error.message.len() <= bounds::PROVIDER_ERROR_BYTES_MAX);
    }
    let (mut tap, mut events) = (Tap::new(endpoint), Events::default());
    for chunk in bytes.chunks(usize::from(choice) / 5 + 1) {
        let mut at = 0;
        while let Some(event) = events.next(chunk, &mut at).expect("the input is short") {
            let (deltas, seen) = (tap.deltas(), tap.event(&event));
            assert_eq!(tap.deltas(), deltas + u64::from(seen == Seen::Delta));
            assert_eq!(seen == Seen::Error, seen == Seen::Error && tap.error().is_some());
        }
    }
    assert!(tap.text_bytes() <= bytes.len() as u64);
    let (usage, estimated) = tap.usage_or_estimate(10);
    assert_eq!(estimated, tap.usage().is_none());
    consistent(&usage);
});

fn consistent(usage: &Usage) {
    assert!(usage.cached + usage.cache_write <= usage.input && usage.reasoning <= usage.output);
    assert!(usage.input <= 3 * bounds::TOKENS_MAX && usage.output <= bounds::TOKENS_MAX);
    assert_eq!(Price::default().cost_pico(usage, false), 0);
}
