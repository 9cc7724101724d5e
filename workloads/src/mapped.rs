//! A vector in mappings of its own: whatever the allocator under test does, it
//! does it to other memory, and what an oracle keeps changes nothing for it.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// The least capacity in bytes.
const LEAST: usize = 16 << 10;

/// As `Vec`, for plain values.
#[derive(Debug)]
pub struct Mapped<T> {
    start: NonNull<T>,
    len: usize,
    capacity: usize,
}

// SAFETY: it owns its memory, which is not tied to a thread.
unsafe impl<T: Send> Send for Mapped<T> {}
// SAFETY: shared, it only gives shared access to its values.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    /// The bytes of the mapping: the capacity was rounded down to whole values.
    fn bytes(&self) -> usize {
        (self.capacity * size_of::<T>()).next_multiple_of(4096)
    }
}

impl<T: Copy> Mapped<T> {
    /// An empty one, without memory.
    pub const fn new() -> Mapped<T> {
        Mapped { start: NonNull::dangling(), len: 0, capacity: 0 }
    }

    /// Makes room for `more` values.
    ///
    /// # Panics
    ///
    /// When the kernel has no memory.
    pub fn reserve(&mut self, more: usize) {
        let need = self.len + more;
        if need <= self.capacity {
            return;
        }
        let bytes = (need * size_of::<T>()).max(LEAST).next_power_of_two();
        // SAFETY: a new mapping, or one of ours that is resized; the values
        // move with it.
        let start = unsafe {
            if self.capacity == 0 {
                libc::mmap(
                    std::ptr::null_mut(),
                    bytes,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            } else {
                let has = self.bytes();
                libc::mremap(self.start.as_ptr().cast(), has, bytes, libc::MREMAP_MAYMOVE)
            }
        };
        assert!(start != libc::MAP_FAILED, "no memory for {bytes} bytes of the oracle's own");
        self.start = NonNull::new(start.cast()).expect("a mapping is not at null");
        self.capacity = bytes / size_of::<T>();
    }

    /// Adds a value at the end.
    pub fn push(&mut self, value: T) {
        self.insert(self.len, value);
    }

    /// Adds a value before that at `at`.
    pub fn insert(&mut self, at: usize, value: T) {
        assert!(at <= self.len);
        self.reserve(1);
        // SAFETY: there is room for one more; the values behind move up.
        unsafe {
            let place = self.start.add(at);
            place.copy_to(place.add(1), self.len - at);
            place.write(value);
        }
        self.len += 1;
    }

    /// Takes the value at `at` out.
    pub fn remove(&mut self, at: usize) {
        assert!(at < self.len);
        // SAFETY: within the values; those behind move down.
        unsafe {
            let place = self.start.add(at);
            place.add(1).copy_to(place, self.len - at - 1);
        }
        self.len -= 1;
    }

    /// Makes it `len` values long, with copies of `value`.
    pub fn resize(&mut self, len: usize, value: T) {
        self.reserve(len.saturating_sub(self.len));
        for at in self.len..len {
            // SAFETY: room has just been made.
            unsafe { self.start.add(at).write(value) };
        }
        self.len = len;
    }
}

impl<T: Copy> Default for Mapped<T> {
    fn default() -> Mapped<T> {
        Mapped::new()
    }
}

impl<T> Deref for Mapped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` values are written; without any, the pointer
        // dangles but is aligned.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Mapped<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: our own mapping, which goes with us.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vector_whatever_its_size() {
        let (mut mapped, mut model) = (Mapped::new(), Vec::new());
        for at in 0..5000_u64 {
            mapped.insert(at as usize / 2, [at; 3]);
            model.insert(at as usize / 2, [at; 3]);
        }
        for at in (0..4000).rev().step_by(3) {
            mapped.remove(at);
            model.remove(at);
        }
        mapped.resize(9000, [7; 3]);
        model.resize(9000, [7; 3]);
        mapped.push([8; 3]);
        model.push([8; 3]);
        assert_eq!(*mapped, model[..]);
        assert!(Mapped::<u8>::default().is_empty());
    }
}
