//! The slots in memory that is mapped: of a file that several processes share, or of nobody else.
//!
//! Owns the file's header and the view of mapped bytes as slots. Refuses to open anything: whoever
//! has the file maps it and hands the mapping over. Invariant: the mapping is as long as the header
//! says, and lives as long as the view; every access to a slot is a 128-bit atomic instruction,
//! which other processes respect (a lock, which they would not, is refused).

#![expect(unsafe_code, reason = "mapped bytes are seen as atomic words")]

use std::fmt;
use std::ptr::NonNull;

use memmap2::{MmapMut, MmapRaw};

use super::id::HashKey;
use super::table::Slot;

/// What the file begins with; the slots follow at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub slots: u64,
    pub key: HashKey,
    /// Of the boot whose time the buckets are in.
    pub boot_id: [u8; 16],
}

/// Bytes before the slots.
pub const HEADER_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"RWLIMITS";
const VERSION: u64 = 1;
const SLOT_BYTES: usize = size_of::<Slot>();

/// Slots in a mapping.
pub struct Memory {
    /// Unmapped when dropped.
    map: MmapRaw,
    /// INVARIANT: points into `map`, aligned to 16, with `slots` slots behind it.
    first: NonNull<Slot>,
    slots: usize,
}

/// Why memory is no table.
#[derive(Debug)]
pub enum MemoryError {
    /// It does not begin as one.
    Foreign,
    /// It is one of another version of this program.
    Version(u64),
    /// Its length is not what its header says.
    Length {
        is: u64,
        should_be: u64,
    },
    /// The processor has no 128-bit compare-and-swap.
    Processor,
    Io(std::io::Error),
}

// === impl Header ===

impl Header {
    /// Reads the header of a file of `file_bytes`.
    ///
    /// # Errors
    /// When the file is not a table, or not a whole one.
    pub fn read(bytes: &[u8], file_bytes: u64) -> Result<Header, MemoryError> {
        let word = |at: usize| {
            let bytes = bytes.get(at * 8..at * 8 + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
        };
        let mut boot_id = [0; 16];
        let words = (word(1), word(2), word(3), word(4), bytes.get(40..56));
        let (true, (Some(version), Some(slots), Some(k0), Some(k1), Some(boot))) =
            (bytes.starts_with(MAGIC), words)
        else {
            return Err(MemoryError::Foreign);
        };
        if version != VERSION {
            return Err(MemoryError::Version(version));
        }
        boot_id.copy_from_slice(boot);
        let header = Header { slots, key: HashKey(k0, k1), boot_id };
        let should_be = header.file_bytes();
        if should_be != file_bytes {
            return Err(MemoryError::Length { is: file_bytes, should_be });
        }
        Ok(header)
    }

    /// As it stands in the file.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for word in [VERSION, self.slots, self.key.0, self.key.1] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.boot_id);
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    /// How long the file is.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let slots = self.slots.saturating_mul(SLOT_BYTES as u64);
        slots.saturating_add(HEADER_BYTES as u64)
    }
}

// === impl Memory ===

impl Memory {
    /// The slots behind the header of a mapped file.
    ///
    /// # Errors
    /// When the mapping is not as long as the header says, or the processor cannot.
    pub fn of_file(map: MmapRaw, header: &Header) -> Result<Memory, MemoryError> {
        if map.len() as u64 != header.file_bytes() {
            let (is, should_be) = (map.len() as u64, header.file_bytes());
            return Err(MemoryError::Length { is, should_be });
        }
        Memory::behind(map, HEADER_BYTES)
    }

    /// Slots that only this process sees, and that are gone with it. Untouched ones cost nothing.
    ///
    /// # Errors
    /// When there is no address space for them, or the processor cannot.
    pub fn anonymous(slots: usize) -> Result<Memory, MemoryError> {
        let map = MmapMut::map_anon(slots * SLOT_BYTES).map_err(MemoryError::Io)?;
        Memory::behind(map.into(), 0)
    }

    /// Hands what has changed to the disk, and waits for it.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn flush(&self) -> std::io::Result<()> {
        self.map.flush()
    }

    fn behind(map: MmapRaw, offset: usize) -> Result<Memory, MemoryError> {
        if !Slot::is_lock_free() {
            return Err(MemoryError::Processor);
        }
        let slots = (map.len() - offset) / SLOT_BYTES;
        // SAFETY: `offset` is not beyond the mapping's length, which was checked by the caller.
        let first = unsafe { map.as_mut_ptr().add(offset) }.cast::<Slot>();
        assert!(first.is_aligned(), "a mapping begins at a page");
        let first = NonNull::new(first).expect("a mapping is not at address zero");
        Ok(Memory { map, first, slots })
    }
}

impl AsRef<[Slot]> for Memory {
    fn as_ref(&self) -> &[Slot] {
        // SAFETY: by the invariant of `first`; any 16 bytes are a valid slot; all access, ours and
        // other processes', is by 128-bit atomic instructions (`is_lock_free`, checked when made).
        // The mapping is not shortened while it lives: nobody of ours truncates the file.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.slots) }
    }
}

// SAFETY: the mapping may be used and unmapped by any thread; its bytes are seen as atomics only.
unsafe impl Send for Memory {}
// SAFETY: the same.
unsafe impl Sync for Memory {}

// === impl MemoryError ===

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryError::Foreign => f.write_str("it is not a table of limits"),
            MemoryError::Version(version) => {
                write!(f, "it is of version {version}, and this program knows {VERSION}")
            }
            MemoryError::Length { is, should_be } => {
                write!(f, "it has {is} bytes where its header says {should_be}")
            }
            MemoryError::Processor => {
                f.write_str("this processor has no 128-bit compare-and-swap (cmpxchg16b)")
            }
            MemoryError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MemoryError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { slots: 128, key: HashKey(7, 9), boot_id: *b"0123456789abcdef" }
    }

    #[test]
    fn a_header_is_read_as_it_was_written_and_only_with_its_file_whole() {
        let (header, bytes) = (header(), header().bytes());
        assert_eq!(Header::read(&bytes, header.file_bytes()).expect("a header"), header);
        let cut = Header::read(&bytes, header.file_bytes() - 1);
        assert!(matches!(cut, Err(MemoryError::Length { .. })), "{cut:?}");
        assert!(matches!(Header::read(&bytes[..50], 50), Err(MemoryError::Foreign)));
        assert!(matches!(Header::read(b"", 0), Err(MemoryError::Foreign)));
        let mut other = bytes.clone();
        other[8] = 2;
        let other = Header::read(&other, header.file_bytes());
        assert!(matches!(other, Err(MemoryError::Version(2))), "{other:?}");
        let mut other = bytes;
        other[0] = b'x';
        let other = Header::read(&other, header.file_bytes());
        assert!(matches!(other, Err(MemoryError::Foreign)), "{other:?}");
    }

    #[test]
    fn anonymous_memory_is_empty_slots_and_a_mapping_too_short_is_refused() {
        let memory = Memory::anonymous(100).expect("memory");
        assert_eq!(memory.as_ref().len(), 100);
        let zero = |slot: &Slot| slot.load(std::sync::atomic::Ordering::SeqCst) == 0;
        assert!(memory.as_ref().iter().all(zero));
        let map = MmapMut::map_anon(4096).expect("memory");
        let short = Memory::of_file(map.into(), &header());
        assert!(matches!(short, Err(MemoryError::Length { .. })));
    }
}
