//! A brk/mmap allocator.
#![cfg_attr(not(test), no_std)]
