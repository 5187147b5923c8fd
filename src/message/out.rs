//! A head being written, on either side: grows with the head, bounded by the largest buffer.

use crate::http::write::Out;
use crate::net::buffer::{Buf, Class};

/// Collects a head's bytes in a buffer that grows when it must.
pub struct HeadOut {
    buf: Buf,
    overflowed: bool,
}

// === impl HeadOut ===

impl HeadOut {
    /// An empty one, which takes a buffer when it gets its first bytes.
    #[must_use]
    pub fn new() -> HeadOut {
        HeadOut { buf: Buf::none(), overflowed: false }
    }

    /// One that begins without a buffer.
    #[must_use]
    pub fn none() -> HeadOut {
        HeadOut { buf: Buf::none(), overflowed: false }
    }

    /// An empty one that begins in a buffer of `largest` at most: what it leaves behind is what the
    /// answer is then read into.
    #[must_use]
    pub fn within(largest: Class) -> HeadOut {
        HeadOut { buf: Buf::of(largest.min(Class::Small)), overflowed: false }
    }

    #[cold]
    fn grow_and_put(&mut self, bytes: &[u8]) {
        let wanted = Buf::with_room(self.buf.len() + bytes.len());
        if wanted.room() < self.buf.len() + bytes.len() {
            self.overflowed = true;
            return;
        }
        let old = std::mem::replace(&mut self.buf, wanted);
        self.buf.put_all(old.filled());
        self.buf.put_all(bytes);
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
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if bytes.len() <= self.buf.room() {
            self.buf.put_all(bytes);
        } else {
            self.grow_and_put(bytes);
        }
    }

    #[inline]
    fn put_field(&mut self, name: &[u8], value: &[u8]) {
        if name.len() + value.len() + 4 <= self.buf.room() {
            self.buf.put_field(name, value);
        } else {
            [name, b": ", value, b"\r\n"].into_iter().for_each(|piece| self.put(piece));
        }
    }
}
