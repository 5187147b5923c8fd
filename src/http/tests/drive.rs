//! Feeds bytes to the codec in pieces, as a connection would, and tells what it made of them.

use crate::http::*;

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The head's facts, once it was complete.
    pub head: Option<String>,
    /// The body's data so far.
    pub body: Vec<u8>,
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    pub end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Complete; that many bytes of the stream were the message.
    Complete(usize),
    /// The stream ended before the message.
    Cut,
    Refused(Reject),
}

/// Reads one request; the stream arrives cut at `cuts` (ascending), then ends.
pub fn request(bytes: &[u8], cuts: &[usize], limits: &Limits) -> Outcome {
    let (mut head, mut scan) = (RequestHead::default(), Scan::default());
    run(bytes, cuts, |buf| {
        let parsed = parse_request(&mut head, &mut scan, buf, limits)?;
        Ok((parsed == Parsed::Complete).then(|| (head.len, head.framing, format!("{head:?}"))))
    })
}

/// Reads one response to a request of that method.
pub fn response(bytes: &[u8], cuts: &[usize], limits: &Limits, method: Method) -> Outcome {
    let (mut head, mut scan) = (ResponseHead::default(), Scan::default());
    run(bytes, cuts, |buf| {
        let parsed = parse_response(&mut head, &mut scan, buf, limits, method)?;
        Ok((parsed == Parsed::Complete).then(|| (head.len, head.framing, format!("{head:?}"))))
    })
}

/// Reads one body.
pub fn body(bytes: &[u8], cuts: &[usize], framing: Framing) -> Outcome {
    run(bytes, cuts, |_| Ok(Some((0, framing, String::new()))))
}

type HeadRead = Option<(usize, Framing, String)>;

fn run(
    bytes: &[u8],
    cuts: &[usize],
    mut parse: impl FnMut(&[u8]) -> Result<HeadRead, Reject>,
) -> Outcome {
    let mut outcome = Outcome { head: None, body: vec![], trailers: vec![], end: End::Cut };
    let mut body = BodyReader::None;
    let mut at = 0;
    for upto in cuts.iter().copied().chain([bytes.len()]) {
        if outcome.head.is_none() {
            match parse(&bytes[..upto]) {
                Ok(None) => continue,
                Ok(Some((len, framing, text))) => {
                    assert!(len <= upto, "a head ends within the bytes given");
                    at = len;
                    body = BodyReader::new(framing);
                    outcome.head = Some(text);
                }
                Err(reject) => {
                    outcome.end = End::Refused(reject);
                    return outcome;
                }
            }
        }
        loop {
            match body.step(&bytes[at..upto]) {
                Ok(Step::Data { skip, len }) => {
                    assert!(len > 0 && at + skip + len <= upto);
                    outcome.body.extend_from_slice(&bytes[at + skip..at + skip + len]);
                    at += skip + len;
                }
                Ok(Step::More) => {
                    at = upto;
                    break;
                }
                Ok(Step::Done { used }) => {
                    assert!(body.is_done() && body.step(b"") == Ok(Step::Done { used: 0 }));
                    let own = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
                    outcome.trailers = body.trailers().map(own).collect();
                    outcome.end = End::Complete(at + used);
                    return outcome;
                }
                Err(reject) => {
                    outcome.end = End::Refused(reject);
                    return outcome;
                }
            }
        }
    }
    if outcome.head.is_some() && body.on_eof().is_ok() {
        outcome.end = End::Complete(at);
    }
    outcome
}
