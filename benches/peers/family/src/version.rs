//! A version that is only known once the library runs.

use core::ffi::c_char;
use core::sync::atomic::{AtomicU8, Ordering};

/// Room for a C string that lives forever.
#[derive(Debug)]
pub struct Version([AtomicU8; LENGTH]);

const LENGTH: usize = 32;

impl Version {
    /// An empty string.
    #[allow(clippy::new_without_default, reason = "it is for statics only")]
    pub const fn new() -> Version {
        Version([const { AtomicU8::new(0) }; LENGTH])
    }

    /// Holds `text`, cut off where the room ends. To set it again, to the same
    /// text, does no harm.
    pub fn set(&'static self, text: impl Iterator<Item = u8>) -> *const c_char {
        for (cell, byte) in self.0[..LENGTH - 1].iter().zip(text) {
            cell.store(byte, Ordering::Relaxed);
        }
        self.0.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use core::ffi::CStr;

    use super::*;

    #[test]
    fn long_texts_are_cut_off_and_terminated() {
        static SHORT: Version = Version::new();
        static LONG: Version = Version::new();
        let read = |text| {
            // SAFETY: `set` returns a C string that lives forever.
            unsafe { CStr::from_ptr(text) }.to_bytes()
        };
        assert_eq!(read(SHORT.set(b"1.2".iter().copied())), b"1.2");
        assert_eq!(read(LONG.set([b'x'; 99].into_iter())), [b'x'; LENGTH - 1]);
    }
}
