//! A pointer of which the compiler no longer knows anything.

use std::arch::asm;

/// The same pointer, which as far as the compiler knows may be any, and whose
/// memory somebody may have looked at: what was written to it must be there, and
/// what is read through the result is read. Takes no instruction, where
/// [`black_box`](std::hint::black_box) stores the pointer and loads it again.
#[inline(always)]
pub(crate) fn opaque<T>(pointer: *mut T) -> *mut T {
    let mut same = pointer;
    // SAFETY: nothing is executed.
    unsafe { asm!("/* {0} */", inout(reg) same, options(nostack, preserves_flags)) };
    same
}
