//! The head of an answer to a question of the gateway's own: a probe's, a fetch's. On a connection
//! that carries nothing else, so that what follows the head may be left to whoever asked.

use crate::http::{Limits, Method, Parsed, Reject, ResponseHead, Scan, parse_response};
use crate::net::buffer::Buf;
use crate::net::patience::{Ended, Patience};
use crate::net::stream::Stream;

/// Why there is no head.
pub(super) enum Unread {
    Malformed(Reject),
    TooLarge,
    /// The connection ended before it was whole.
    Closed,
    Ended(Ended),
}

/// Reads the head that answers; interim ones are skipped.
pub(super) async fn read_head(
    stream: &Stream,
    patience: &Patience<'_>,
    method: Method,
    head: &mut ResponseHead,
) -> Result<Buf, Unread> {
    let (mut scan, mut block) = (Scan::default(), Buf::small());
    loop {
        if !block.is_empty() {
            match parse_response(head, &mut scan, block.filled(), &Limits::default(), method) {
                Ok(Parsed::Complete) if head.is_interim() => {
                    block.consume(head.len);
                    head.clear();
                    scan = Scan::default();
                    continue;
                }
                Ok(Parsed::Complete) => return Ok(block),
                Ok(Parsed::Partial) => {}
                Err(reject) => return Err(Unread::Malformed(reject)),
            }
        }
        if block.room() == 0 {
            block = block.larger().ok_or(Unread::TooLarge)?;
        }
        let (read, back) = patience.read(stream, block).await;
        block = back;
        match read {
            Ok(0) => return Err(Unread::Closed),
            Ok(_) => {}
            Err(ended) => return Err(Unread::Ended(ended)),
        }
    }
}
