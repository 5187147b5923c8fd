//! Counts server-sent events in a body that arrives in any pieces: an event ends with an empty
//! line; lines end with LF or CRLF. Pure.

#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    /// Something other than a line end stands on the current line.
    line_has_text: bool,
    /// A field line was seen since the last event.
    pending: bool,
}

// === impl Events ===

impl Events {
    /// How many events end within this piece.
    pub fn feed(&mut self, piece: &[u8]) -> u64 {
        let mut ended = 0;
        for &byte in piece {
            match byte {
                b'\n' if self.line_has_text => {
                    self.line_has_text = false;
                    self.pending = true;
                }
                b'\n' => {
                    ended += u64::from(self.pending);
                    self.pending = false;
                }
                b'\r' => {}
                _ => self.line_has_text = true,
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_events_not_blank_lines() {
        assert_eq!(Events::default().feed(b"data: 1\n\ndata: 2\r\ndata: 3\r\n\r\n\n\n"), 2);
        assert_eq!(Events::default().feed(b"data: unfinished\n"), 0);
    }

    proptest! {
        #[test]
        fn any_split_counts_the_same(
            text in "(data: [a-z]{0,5}(\r\n|\n)|\n|\r\n){0,20}",
            cut in any::<usize>(),
        ) {
            let cut = cut % (text.len() + 1);
            let mut split = Events::default();
            let sum = split.feed(&text.as_bytes()[..cut]) + split.feed(&text.as_bytes()[cut..]);
            prop_assert_eq!(sum, Events::default().feed(text.as_bytes()));
        }
    }
}
