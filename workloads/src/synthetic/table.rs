//! A table of the driver's own: in a mapping whose pages are resident before the
//! first operation, so that neither its faults nor its bytes are the heap's.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Mutex;

use super::random::Random;

/// How many operations before it is needed an element of a large table is asked for:
/// their time covers that of main memory.
pub(super) const AHEAD: usize = 16;

/// No thread's, and not the workload's own.
const STREAM: u64 = u64::MAX;

/// A vector of fixed capacity outside the heap.
#[derive(Debug)]
pub(super) struct Table<T: Copy> {
    start: NonNull<T>,
    capacity: usize,
    length: usize,
}

impl<T: Copy> Table<T> {
    /// Room for `capacity` elements, at least one.
    pub(super) fn new(capacity: usize) -> io::Result<Table<T>> {
        assert!(capacity > 0 && size_of::<T>() > 0, "a table of nothing");
        // SAFETY: a fresh anonymous mapping of a length above zero; the kernel
        // aligns it to an OS page, which no T needs more than.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                capacity * size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at null");
        Ok(Table { start, capacity, length: 0 })
    }

    /// So many tables of `capacity` each, for threads to share.
    pub(super) fn several(count: usize, capacity: usize) -> io::Result<Vec<Mutex<Table<T>>>> {
        (0..count).map(|_| Ok(Mutex::new(Table::new(capacity)?))).collect()
    }

    /// Bytes of the mapping.
    pub(super) fn bytes(&self) -> usize {
        self.capacity * size_of::<T>()
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Brings element `index` into the cache, if there is one: the time of an operation
    /// is to be the allocator's, and no wait for a table that is larger than the caches.
    #[inline(always)]
    pub(super) fn prefetch(&self, index: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint that reads nothing, and takes any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.start.as_ptr().wrapping_add(index).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = index;
    }

    /// Appends `element`.
    ///
    /// # Panics
    /// If the table is full.
    pub(super) fn push(&mut self, element: T) {
        assert!(self.length < self.capacity, "a table of {} is full", self.capacity);
        // SAFETY: length < capacity, so the element lies in the mapping.
        unsafe { self.start.add(self.length).write(element) };
        self.length += 1;
    }

    /// Takes the last element away.
    pub(super) fn pop(&mut self) -> Option<T> {
        let last = *self.last()?;
        self.length -= 1;
        Some(last)
    }

    /// Takes element `index` away; the last one takes its place.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn swap_remove(&mut self, index: usize) -> T {
        let removed = self[index];
        self[index] = self[self.length - 1];
        self.length -= 1;
        removed
    }
}

// SAFETY: the mapping is the table's own, so it may go where its elements may.
unsafe impl<T: Copy + Send> Send for Table<T> {}

impl<T: Copy> Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `push` wrote the first `length` elements.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T: Copy> DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `push` wrote the first `length` elements.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T: Copy> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: `new` mapped just this range, and the borrow checker knows of
        // no reference into it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes()) };
    }
}

/// Random places in a table, each as likely, which are known ahead.
#[derive(Debug)]
pub(super) struct Places {
    slots: usize,
    now: Random,
    later: Random,
}

impl Places {
    /// In a table of so many elements.
    pub(super) fn new(seed: u64, slots: usize) -> Places {
        let now = Random::new(seed, STREAM);
        Places { slots, later: now.ahead(AHEAD), now }
    }

    /// The next place in `table`.
    #[inline(always)]
    pub(super) fn next<T: Copy>(&mut self, table: &Table<T>) -> usize {
        table.prefetch(self.later.below(self.slots));
        self.now.below(self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_pushed() {
        let mut table = Table::new(3).expect("maps");
        assert!(table.is_empty());
        for n in [5_u64, 6, 7] {
            table.push(n);
        }
        table[1] = 9;
        assert_eq!(*table, [5, 9, 7]);
        assert_eq!(table.swap_remove(0), 5);
        assert_eq!(*table, [7, 9]);
        assert_eq!((table.pop(), table.pop(), table.pop()), (Some(9), Some(7), None));
        table.push(1);
        table.clear();
        assert!(table.is_empty());
    }

    #[test]
    #[should_panic(expected = "full")]
    fn refuses_more_than_it_holds() {
        let mut table = Table::new(1).expect("maps");
        table.push(1_u8);
        table.push(2);
    }
}
