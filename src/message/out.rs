//! A head being written, on either side: grows with the head, bounded by the largest buffer.

use crate::http::write::Out;
use crate::net::buffer::Buf;

/// Collects a head's bytes in a buffer that grows when it must.
pub struct HeadOut {
    buf: Buf,
    overflowed: bool,
}

// === impl HeadOut ===

impl HeadOut {
    /// An empty one.
    #[must_use]
    pub fn new() -> HeadOut {
        HeadOut { buf: Buf::small(), overflowed: false }
    }

    /// The bytes, or `None` if they did not fit the largest buffer.
    #[must_use]
    pub fn into_buf(self) -> Option<Buf> {
        (!self.overflowed).then_some(self.buf)
    }
}

impl Default for HeadOut {
    fn default() -> Self {
        HeadOut::new()
    }
}

impl Out for HeadOut {
    fn put(&mut self, bytes: &[u8]) {
        if bytes.len() > self.buf.room() {
            let wanted = Buf::with_room(self.buf.len() + bytes.len());
            if wanted.room() < self.buf.len() + bytes.len() {
                self.overflowed = true;
                return;
            }
            let old = std::mem::replace(&mut self.buf, wanted);
            self.buf.put_some(old.filled());
        }
        self.buf.put_some(bytes);
    }
}
