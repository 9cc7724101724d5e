//! The functions behind ours: the next of the same name.
//!
//! They are looked up at the first call. The dynamic linker may allocate while it
//! looks: it gets memory of ours, which is never given back.

use core::ffi::{CStr, c_int, c_void};
use core::mem::transmute;
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicBool, Ordering::Release};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Acquire, Ordering::Relaxed};

/// A function that is looked up once.
struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

/// Set while somebody is looking; in between there is only our own memory.
static LOOKING: AtomicBool = AtomicBool::new(false);

impl Next {
    const fn new(name: &'static CStr) -> Next {
        Next { name, address: AtomicPtr::new(null_mut()) }
    }

    #[inline(always)]
    fn address(&self) -> *mut c_void {
        let address = self.address.load(Acquire);
        if address.is_null() { self.look() } else { address }
    }

    /// Null: it is being looked for, or there is none.
    #[cold]
    fn look(&self) -> *mut c_void {
        // Only before the process has a second thread.
        if LOOKING.swap(true, Relaxed) {
            return null_mut();
        }
        // SAFETY: a C string.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(address, Release);
        LOOKING.store(false, Relaxed);
        address
    }
}

macro_rules! next {
    ($($place:ident = $name:literal),* $(,)?) => {
        $(static $place: Next = Next::new($name);)*

        /// Looks all functions up.
        pub(crate) fn prepare() {
            $($place.address();)*
        }
    };
}

next! {
    MALLOC = c"malloc", FREE = c"free", CALLOC = c"calloc", REALLOC = c"realloc",
    POSIX_MEMALIGN = c"posix_memalign", MEMALIGN = c"memalign", ALIGNED_ALLOC = c"aligned_alloc",
    USABLE_SIZE = c"malloc_usable_size",
}

pub(crate) const OURS_BYTES: usize = 64 << 10;

#[repr(align(16))]
struct Ours(core::cell::UnsafeCell<[u8; OURS_BYTES]>);

// SAFETY: each byte is handed out once.
unsafe impl Sync for Ours {}

static OURS: Ours = Ours(core::cell::UnsafeCell::new([0; OURS_BYTES]));
static OURS_USED: AtomicUsize = AtomicUsize::new(0);

/// Memory of ours, which is zero; null if there is no more.
#[cold]
fn ours(size: usize, align: usize) -> *mut c_void {
    let whole = size.checked_add(align.max(16) + 15).map_or(OURS_BYTES + 1, |whole| whole & !15);
    let at = OURS_USED.fetch_add(whole.min(OURS_BYTES + 1), Relaxed);
    if at.saturating_add(whole) > OURS_BYTES {
        return null_mut();
    }
    let start = OURS.0.get().cast::<u8>().wrapping_add(at);
    let pad = start.align_offset(align.max(16));
    start.wrapping_add(pad).cast()
}

/// Whether `block` is memory of ours.
#[inline(always)]
pub(crate) fn is_ours(block: *mut c_void) -> bool {
    block.addr().wrapping_sub(OURS.0.get().addr()) < OURS_BYTES
}

/// Copies a block of ours, of whatever size, to `new`.
#[cold]
pub(crate) fn moved_out(old: *mut c_void, new: *mut c_void, size: usize) -> *mut c_void {
    if !new.is_null() {
        let left = OURS.0.get().addr() + OURS_BYTES - old.addr();
        // SAFETY: both have so many bytes, and they are apart.
        unsafe { ptr::copy_nonoverlapping(old.cast::<u8>(), new.cast(), size.min(left)) };
    }
    new
}

#[inline(always)]
pub(crate) fn malloc(size: usize) -> *mut c_void {
    let next = MALLOC.address();
    if next.is_null() {
        return ours(size, 16);
    }
    // SAFETY: the function of that name has this type.
    unsafe { transmute::<*mut c_void, extern "C" fn(usize) -> *mut c_void>(next)(size) }
}

#[inline(always)]
pub(crate) fn calloc(count: usize, size: usize) -> *mut c_void {
    let next = CALLOC.address();
    if next.is_null() {
        return count.checked_mul(size).map_or(null_mut(), |bytes| ours(bytes, 16));
    }
    type Calloc = extern "C" fn(usize, usize) -> *mut c_void;
    // SAFETY: the function of that name has this type.
    unsafe { transmute::<*mut c_void, Calloc>(next)(count, size) }
}

/// # Safety
/// As `free(3)`.
#[inline(always)]
pub(crate) unsafe fn free(block: *mut c_void) {
    let next = FREE.address();
    if !next.is_null() {
        // SAFETY: the function of that name has this type.
        unsafe { transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(next)(block) };
    }
}

/// # Safety
/// As `realloc(3)`.
#[inline(always)]
pub(crate) unsafe fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    let next = REALLOC.address();
    if next.is_null() {
        return null_mut();
    }
    type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
    // SAFETY: the function of that name has this type.
    unsafe { transmute::<*mut c_void, Realloc>(next)(block, size) }
}

/// # Safety
/// As `posix_memalign(3)`.
pub(crate) unsafe fn posix_memalign(result: *mut *mut c_void, align: usize, size: usize) -> c_int {
    let next = POSIX_MEMALIGN.address();
    if next.is_null() {
        return libc::ENOMEM;
    }
    type Memalign = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;
    // SAFETY: the function of that name has this type.
    unsafe { transmute::<*mut c_void, Memalign>(next)(result, align, size) }
}

fn aligned(next: &Next, align: usize, size: usize) -> *mut c_void {
    let next = next.address();
    if next.is_null() {
        return if align.is_power_of_two() { ours(size, align) } else { null_mut() };
    }
    type Aligned = extern "C" fn(usize, usize) -> *mut c_void;
    // SAFETY: the functions of these names have this type.
    unsafe { transmute::<*mut c_void, Aligned>(next)(align, size) }
}

pub(crate) fn memalign(align: usize, size: usize) -> *mut c_void {
    aligned(&MEMALIGN, align, size)
}

pub(crate) fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    aligned(&ALIGNED_ALLOC, align, size)
}

/// Bytes of a live block; 0 if the allocator does not tell.
pub(crate) fn usable_size(block: *mut c_void) -> usize {
    let next = USABLE_SIZE.address();
    if next.is_null() {
        return 0;
    }
    type UsableSize = extern "C" fn(*mut c_void) -> usize;
    // SAFETY: the function of that name has this type.
    unsafe { transmute::<*mut c_void, UsableSize>(next)(block) }
}
