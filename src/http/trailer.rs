//! The trailer section of a chunked body.
//!
//! Owns its bytes (they may arrive in pieces, after the buffer's earlier part is gone) and its
//! rules: the same as for a head's fields. The invariant: a name this gateway gives a meaning to
//! does not come out of a trailer, where nobody checked it (RFC 9110 section 6.5.1).

use crate::bounds;

use super::diagnose;
use super::field::{Field, Name};
use super::parse::field;
use super::reject::Reject;
use super::scan::Lines;

/// A trailer section being read, then its fields.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    bytes: Vec<u8>,
    lines: Lines,
    kept: Vec<Field>,
}

// === impl Trailers ===

impl Trailers {
    /// Takes in the next bytes; how many of them were used once the section is complete.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<Option<usize>, Reject> {
        let before = self.bytes.len();
        let room = bounds::TRAILER_BYTES_MAX - before;
        self.bytes.extend_from_slice(&input[..input.len().min(room)]);
        match self.lines.end(&self.bytes, bounds::TRAILER_BYTES_MAX)? {
            Some(end) => {
                self.bytes.truncate(end);
                self.read()?;
                Ok(Some(end - before))
            }
            None if self.bytes.len() == bounds::TRAILER_BYTES_MAX => Err(Reject::TrailersTooLarge),
            None => Ok(None),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.kept.iter().map(|kept| (kept.name.of(&self.bytes), kept.value.of(&self.bytes)))
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.kept.capacity()
    }

    fn read(&mut self) -> Result<(), Reject> {
        let mut table = [httparse::EMPTY_HEADER; bounds::TRAILER_FIELDS_MAX];
        match httparse::parse_headers(&self.bytes, &mut table) {
            Ok(httparse::Status::Complete((used, fields))) if used == self.bytes.len() => {
                let fields = fields.iter().map(|header| field(header, &self.bytes));
                self.kept.extend(fields.filter(|field| field.id == Name::Other));
                Ok(())
            }
            _ => Err(match diagnose::fields(&self.bytes, bounds::TRAILER_FIELDS_MAX) {
                Some(Reject::FieldsTooMany) => Reject::TrailersTooMany,
                Some(fault) => fault,
                None => Reject::FieldName,
            }),
        }
    }
}
