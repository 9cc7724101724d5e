//! The C malloc family over the entry points of an allocator, and Rust's global
//! allocator.
//!
//! [`export!`] is all that a preloadable peer consists of: it defines the exported symbols,
//! checks what the C library promises to check (overflow, alignment, `errno`)
//! and leaves by a tail call into the allocator, so every peer pays the same
//! few instructions. [`check`] holds those checks, [`version`] a string to be made
//! at run time. [`link!`] is all that a peer linked into a worker consists of
//! ([`global`]).
#![cfg_attr(not(test), no_std)]

#[doc(hidden)]
pub use libc;

pub mod check;
pub mod global;
pub mod version;

/// Defines the C malloc family, `brkpoint_engine_version` and the panic handler.
///
/// - `malloc(size)`, `calloc(count, size)`, `realloc(block, size)`,
///   `free(block)`, `usable(block)`: the allocator's own, with C's meaning.
/// - `aligned(alignment, size)`: the allocator's own; the alignment given is a
///   power of two and at least the size of a pointer.
/// - `version`: a function that returns a C string that lives forever.
///
/// Each is called in the unsafe context of the C caller's promises.
#[macro_export]
macro_rules! export {
    (
        malloc: $malloc:path,
        calloc: $calloc:path,
        realloc: $realloc:path,
        free: $free:path,
        usable: $usable:path,
        aligned: |$align:ident, $size:ident| $aligned:expr,
        version: $version:path $(,)?
    ) => {
        use core::ffi::{c_char, c_int, c_void};
        use $crate::check;

        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            // SAFETY: abort takes nothing and does not return.
            unsafe { $crate::libc::abort() }
        }

        /// The version of the allocator behind this library.
        #[unsafe(no_mangle)]
        pub extern "C" fn brkpoint_engine_version() -> *const c_char {
            $version()
        }

        #[inline(always)]
        unsafe fn aligned($align: usize, $size: usize) -> *mut c_void {
            // SAFETY: the callers below checked the alignment as `export!` promises.
            unsafe { $aligned }
        }

        /// `malloc(3)`.
        ///
        /// # Safety
        /// As C has it.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
            if check::too_big(size) {
                return check::out_of_memory();
            }
            // SAFETY: any size will do.
            unsafe { $malloc(size) }
        }

        /// `free(3)`.
        ///
        /// # Safety
        /// As C has it: `block` is null or came from this family and is live.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn free(block: *mut c_void) {
            // SAFETY: the C caller's promise.
            unsafe { $free(block) }
        }

        /// `calloc(3)`.
        ///
        /// # Safety
        /// As C has it.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
            if check::product(count, size).is_none() {
                return check::out_of_memory();
            }
            // SAFETY: the product does not overflow.
            unsafe { $calloc(count, size) }
        }

        /// `realloc(3)`.
        ///
        /// # Safety
        /// As C has it: `block` is null or came from this family and is live.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
            if check::too_big(size) {
                return check::out_of_memory();
            }
            // SAFETY: the C caller's promise.
            unsafe { $realloc(block, size) }
        }

        /// `reallocarray(3)`.
        ///
        /// # Safety
        /// As C has it: `block` is null or came from this family and is live.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn reallocarray(
            block: *mut c_void,
            count: usize,
            size: usize,
        ) -> *mut c_void {
            match check::product(count, size) {
                // SAFETY: the C caller's promise.
                Some(bytes) => unsafe { $realloc(block, bytes) },
                None => check::out_of_memory(),
            }
        }

        /// `memalign(3)`; an alignment that is no power of two is EINVAL.
        ///
        /// # Safety
        /// As C has it.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
            if !alignment.is_power_of_two() {
                return check::invalid();
            }
            if check::too_big(size) || check::too_big(alignment) {
                return check::out_of_memory();
            }
            // SAFETY: the alignment is a power of two, and raised to a pointer's.
            unsafe { aligned(alignment.max(size_of::<usize>()), size) }
        }

        /// `aligned_alloc(3)`.
        ///
        /// # Safety
        /// As C has it.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
            // SAFETY: the same contract.
            unsafe { memalign(alignment, size) }
        }

        /// `posix_memalign(3)`: answers with the error, and leaves `*block` alone
        /// when there is one.
        ///
        /// # Safety
        /// As C has it: `block` can be written.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn posix_memalign(
            block: *mut *mut c_void,
            alignment: usize,
            size: usize,
        ) -> c_int {
            if !alignment.is_power_of_two() || alignment < size_of::<usize>() {
                return $crate::libc::EINVAL;
            }
            if check::too_big(size) || check::too_big(alignment) {
                return $crate::libc::ENOMEM;
            }
            // SAFETY: the alignment was just checked.
            let got = unsafe { aligned(alignment, size) };
            if got.is_null() {
                return $crate::libc::ENOMEM;
            }
            // SAFETY: the C caller promises that `block` can be written.
            unsafe { block.write(got) };
            0
        }

        /// `valloc(3)`.
        ///
        /// # Safety
        /// As C has it.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
            // SAFETY: an OS page is a power of two.
            unsafe { memalign(check::os_page(), size) }
        }

        /// `pvalloc(3)`.
        ///
        /// # Safety
        /// As C has it.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
            let page = check::os_page();
            match size.max(1).checked_next_multiple_of(page) {
                // SAFETY: an OS page is a power of two.
                Some(size) => unsafe { memalign(page, size) },
                None => check::out_of_memory(),
            }
        }

        /// `malloc_usable_size(3)`.
        ///
        /// # Safety
        /// As C has it: `block` is null or came from this family and is live.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
            if block.is_null() {
                return 0;
            }
            // SAFETY: the C caller's promise; null was answered above.
            unsafe { $usable(block) }
        }
    };
}
