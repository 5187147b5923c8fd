//! Server-sent events: no panic, the same events at every split, they are the standard's, and the
//! bytes of all of them are the bytes of the stream.
//!
//! The first byte says where to cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::http::sse::{Events, Place};

#[path = "../../src/http/sse/tests/reference.rs"]
mod reference;

fuzz_target!(|input: &[u8]| {
    let Some((&stride, stream)) = input.split_first() else { return };
    let expected = reference::events(stream);
    for stride in [usize::from(stride) + 1, stream.len().max(1)] {
        let (mut events, mut told, mut bytes) = (Events::default(), Vec::new(), Vec::new());
        for chunk in stream.chunks(stride) {
            let mut at = 0;
            while let Some(event) = events.next(chunk, &mut at).expect("the input is short") {
                if let Place::Chunk(range) = &event.place {
                    assert_eq!(&chunk[range.clone()], event.bytes);
                }
                bytes.extend_from_slice(event.bytes);
                let fields = event.fields();
                if let Some(data) = fields.data {
                    told.push((fields.name.to_vec(), data.into_owned()));
                }
            }
        }
        assert_eq!(told, expected);
        assert!(stream.starts_with(&bytes) && stream.ends_with(events.held()));
        // Between the two there may be the LF of a CR that ended the last event.
        assert!(stream.len() - bytes.len() - events.held().len() <= 1);
    }
});
