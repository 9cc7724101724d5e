//! What a replay writes to blocks.

use std::ptr;

use super::Touch;
use crate::trace::Action;
use crate::trace::untouched::whole_pages;

const OS_PAGE: usize = crate::trace::untouched::OS_PAGE as usize;
/// Bytes of the word that is written to a block and read back.
pub(super) const WORD: u64 = 8;

pub(super) const NONE: u8 = Touch::None as u8;
pub(super) const PAGES: u8 = Touch::Pages as u8;
pub(super) const RECORDED: u8 = Touch::Recorded as u8;
pub(super) const ALL: u8 = Touch::All as u8;

/// Writes to a block, of which the first `old` bytes were written before; so many of its
/// last whole OS pages are left alone.
///
/// # Safety
/// The block has the action's size.
#[inline(always)]
pub(super) unsafe fn touch<const TOUCH: u8>(
    block: *mut u8,
    old: u64,
    untouched: u64,
    action: Action,
) {
    let size = action.size();
    if TOUCH == NONE {
        return;
    }
    // SAFETY: all within the block.
    unsafe {
        if TOUCH == ALL && size > old {
            ptr::write_bytes(block.add(old as usize), 0xa5, (size - old) as usize);
        } else if size > old && size >= OS_PAGE as u64 / 2 {
            touch_pages(block, old as usize, reach(block, size, untouched));
        }
        if size >= WORD {
            let seal = u64::from(action.to()) << 32 ^ size;
            block.cast::<u64>().write_unaligned(seal);
        } else if size > 0 {
            block.write(1);
        }
    }
}

/// Bytes of a block up to the first of so many whole OS pages, which are its last.
fn reach(block: *mut u8, size: u64, untouched: u64) -> usize {
    if untouched == 0 {
        return size as usize;
    }
    let whole = whole_pages(block.addr() as u64, size).end - block.addr() as u64;
    whole.saturating_sub(untouched.saturating_mul(OS_PAGE as u64)).min(size) as usize
}

/// Writes the first byte of each OS page that begins behind the first `old` of a
/// block's bytes.
///
/// # Safety
/// The block has `size` bytes.
#[inline(never)]
unsafe fn touch_pages(block: *mut u8, old: usize, size: usize) {
    let first = (block.addr() + old).next_multiple_of(OS_PAGE) - block.addr();
    for at in (first..size).step_by(OS_PAGE) {
        // SAFETY: at < size.
        unsafe { block.add(at).write_volatile(1) };
    }
}
