//! Which mutant is active. This file is woven into a copy of the crate that is
//! mutated; it is no part of the crate itself.

use core::ffi::{CStr, c_char};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// The mutant that was built in; 0 if none was. Of what the compiler evaluates
/// none can be chosen later.
pub(crate) const BUILT: u32 = match option_env!("MUTANT_BUILT") {
    Some(text) => number(text.as_bytes()),
    None => 0,
};

/// Nobody has asked yet which one is active.
const UNKNOWN: u32 = u32::MAX;
/// None is, and those that are reached are marked.
const MARKING: u32 = u32::MAX - 1;

static ACTIVE: AtomicU32 = AtomicU32::new(UNKNOWN);
static MARKS: AtomicPtr<u8> = AtomicPtr::new(null_mut());

/// Whether this mutant is active.
#[inline(always)]
pub(crate) fn on(mutant: u32) -> bool {
    let active = ACTIVE.load(Relaxed);
    if active < MARKING { active == mutant } else { asked(mutant, active) }
}

#[cold]
#[inline(never)]
fn asked(mutant: u32, active: u32) -> bool {
    if active == MARKING {
        let marks = MARKS.load(Relaxed);
        // SAFETY: the file has a byte for each mutant.
        unsafe { marks.add(mutant as usize).write_volatile(1) };
        return false;
    }
    // SAFETY: libc's own variable, null until it is set up.
    if unsafe { environ.is_null() } {
        return false;
    }
    let active = variable(c"MUTANT_MARKS").and_then(marks).unwrap_or_else(|| {
        variable(c"MUTANT_ACTIVE").map_or(0, |text| number(text.to_bytes()))
    });
    ACTIVE.store(active, Relaxed);
    on(mutant)
}

fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: a terminated name; nobody changes the environment.
    let text = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: a terminated string that lives as long as the process.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// Maps the file where those that are reached are marked: `LENGTH:PATH`.
fn marks(text: &'static CStr) -> Option<u32> {
    let bytes = text.to_bytes_with_nul();
    let colon = bytes.iter().position(|&byte| byte == b':')?;
    let (length, path) = (number(&bytes[..colon]) as usize, &bytes[colon + 1..]);
    // SAFETY: a terminated path, and a mapping of its own.
    unsafe {
        let file = libc::open(path.as_ptr().cast(), libc::O_RDWR | libc::O_CLOEXEC);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let map = libc::mmap(null_mut(), length, access, libc::MAP_SHARED, file, 0);
        libc::close(file);
        if map == libc::MAP_FAILED {
            return None;
        }
        MARKS.store(map.cast(), Relaxed);
    }
    Some(MARKING)
}

const fn number(text: &[u8]) -> u32 {
    let (mut number, mut at) = (0, 0);
    while at < text.len() {
        number = number * 10 + (text[at] - b'0') as u32;
        at += 1;
    }
    number
}
