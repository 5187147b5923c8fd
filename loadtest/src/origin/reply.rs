//! Turns a recipe into what HTTP/2 sends for it: header block, pieces of the body, pauses, the end.
//! Pure, as `recipe` is.
//!
//! Invariant: a recipe that HTTP/2 cannot follow is refused, never bent.

use std::borrow::Cow;
use std::time::Duration;

use super::recipe::{BODY, PATTERN, Recipe};
use crate::h2::{self, hpack, outbox::Piece};

pub enum Step {
    Head {
        block: Cow<'static, [u8]>,
        end: bool,
    },
    Send(Piece),
    /// One SSE event, counted when sent.
    Event(Vec<u8>),
    Wait(Duration),
    /// Nothing more, until the peer resets the stream or goes away.
    Silence,
    /// The connection takes no more requests.
    Leave,
}

pub fn steps(recipe: &Recipe, is_head: bool, echo: Option<Vec<u8>>) -> Result<Vec<Step>, String> {
    if recipe.slow.is_some() || recipe.early || recipe.continue_first || recipe.bad.is_some() {
        return Err("slow, early, continue and bad are of HTTP/1.1 only".into());
    }
    let mut steps = Vec::new();
    if !recipe.delay.is_zero() {
        steps.push(Step::Wait(recipe.delay));
    }
    if recipe.drop {
        steps.push(Step::Silence);
        return Ok(steps);
    }
    if recipe.reset {
        steps.push(Step::Send(Piece::Reset(h2::INTERNAL_ERROR)));
        return Ok(steps);
    }
    if recipe.close {
        steps.push(Step::Leave);
    }
    match recipe.sse {
        Some(events) => self::events(recipe, events, &mut steps),
        None => body(recipe, is_head, echo, &mut steps),
    }
    Ok(steps)
}

/// The header block; a length of `None` says none.
pub fn block(status: u16, kind: &str, length: Option<usize>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    hpack::encode(&mut out, ":status", status.to_string().as_bytes());
    hpack::encode(&mut out, "content-type", kind.as_bytes());
    if let Some(length) = length {
        hpack::encode(&mut out, "content-length", length.to_string().as_bytes());
    }
    out
}

fn body(recipe: &Recipe, is_head: bool, echo: Option<Vec<u8>>, steps: &mut Vec<Step>) {
    let status = recipe.status.unwrap_or(200);
    let stop_at = recipe.truncate.or(recipe.reset_after);
    let mut size = recipe.size.or(echo.as_ref().map(Vec::len)).unwrap_or(BODY.len());
    if let Some(sent) = stop_at {
        size = size.max(sent + 1);
    }
    let pieces = recipe.chunked || recipe.trailers;
    let empty = is_head || matches!(status, 204 | 304);
    let length = (!pieces && !matches!(status, 204 | 304)).then_some(size);
    steps.push(Step::Head { block: block(status, "text/plain", length).into(), end: empty });
    if empty {
        return;
    }
    let content = match echo {
        Some(bytes) => Some(bytes),
        None if recipe.size.is_none() && stop_at.is_none() && !pieces => Some(BODY.to_vec()),
        None => None,
    };
    match content {
        Some(bytes) => steps.push(Step::Send(Piece::of(bytes))),
        None => pattern(recipe, size, stop_at, steps),
    }
    let end = match (recipe.reset_after, recipe.trailers) {
        (Some(_), _) => Piece::Reset(h2::INTERNAL_ERROR),
        (None, true) => {
            let mut block = Vec::new();
            hpack::encode(&mut block, "x-checksum", b"0");
            Piece::Trailers(block)
        }
        (None, false) => Piece::End,
    };
    steps.push(Step::Send(end));
}

/// The body's pattern, whole or in pieces with pauses, or only its beginning.
fn pattern(recipe: &Recipe, size: usize, stop_at: Option<usize>, steps: &mut Vec<Step>) {
    let end = stop_at.unwrap_or(size).min(size);
    let chunk = if recipe.chunked { recipe.chunk.unwrap_or(16 * 1024) } else { end.max(1) };
    let half = recipe.stall.map(|pause| (size / 2, pause));
    let mut at = 0;
    while at < end {
        if at > 0 && !recipe.gap.is_zero() {
            steps.push(Step::Wait(recipe.gap));
        }
        let mut to = end.min(at + chunk);
        if let Some((half, pause)) = half {
            if at == half {
                steps.push(Step::Wait(pause));
            } else if at < half {
                to = to.min(half);
            }
        }
        let left = (to - at) as u64;
        steps.push(Step::Send(Piece::Cycle { of: PATTERN, offset: at, left }));
        at = to;
    }
}

fn events(recipe: &Recipe, events: usize, steps: &mut Vec<Step>) {
    let block = block(recipe.status.unwrap_or(200), "text/event-stream", None);
    steps.push(Step::Head { block: block.into(), end: false });
    let pad = ".".repeat(recipe.size.unwrap_or(0));
    for n in 0..events {
        if n > 0 && !recipe.gap.is_zero() {
            steps.push(Step::Wait(recipe.gap));
        }
        match (recipe.truncate, recipe.reset_after) {
            (Some(at), _) if n >= at => return steps.push(Step::Send(Piece::End)),
            (_, Some(at)) if n >= at => {
                return steps.push(Step::Send(Piece::Reset(h2::INTERNAL_ERROR)));
            }
            _ => {}
        }
        steps.push(Step::Event(format!("data: {{\"n\":{n}}}{pad}\n\n").into_bytes()));
    }
    steps.push(Step::Send(Piece::of(b"data: [DONE]\n\n".to_vec())));
    steps.push(Step::Send(Piece::End));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In short: heads with their end, bytes sent, pauses in ms, how it ends.
    fn told(query: &str, is_head: bool) -> String {
        let recipe = Recipe::parse(query).unwrap();
        let steps = match steps(&recipe, is_head, None) {
            Ok(steps) => steps,
            Err(_) => return "refused".into(),
        };
        let word = |step: &Step| match step {
            Step::Head { end, .. } => format!("head{}", if *end { "." } else { "" }),
            Step::Send(Piece::Bytes { bytes, .. }) => format!("{}", bytes.len()),
            Step::Send(Piece::Cycle { offset, left, .. }) => format!("{offset}+{left}"),
            Step::Send(Piece::End) => "end".into(),
            Step::Send(Piece::Trailers(_)) => "trailers".into(),
            Step::Send(Piece::Reset(_)) => "reset".into(),
            Step::Event(_) => "event".into(),
            Step::Wait(pause) => format!("{}ms", pause.as_millis()),
            Step::Silence => "silence".into(),
            Step::Leave => "leave".into(),
        };
        steps.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn recipes_become_steps() {
        for (query, steps) in [
            ("", "head 42 end"),
            ("size=100", "head 0+100 end"),
            ("status=204", "head."),
            ("delay=5ms", "5ms head 42 end"),
            ("chunked=1&size=5&chunk=2&gap=1ms", "head 0+2 1ms 2+2 1ms 4+1 end"),
            ("size=10&stall=7ms", "head 0+5 7ms 5+5 end"),
            ("trailers=1&size=3", "head 0+3 trailers"),
            ("truncate=10", "head 0+10 end"),
            ("reset_after=10", "head 0+10 reset"),
            ("reset=1", "reset"),
            ("drop=1", "silence"),
            ("close=1", "leave head 42 end"),
            ("sse=2&gap=3ms", "head event 3ms event 14 end"),
            ("sse=2&reset_after=1", "head event reset"),
            ("bad=garbage", "refused"),
            ("slow=1ms", "refused"),
        ] {
            assert_eq!(told(query, false), steps, "{query}");
        }
        assert_eq!(told("size=9", true), "head.");
    }
}
