//! What a malloc library has beside the functions that programs are made of:
//! glibc's others, and brkpoint's own. What it does not define itself is not tried.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem;
use std::ptr::{self, NonNull};

use brkpoint_workloads::family::Functions;

/// A library that is open.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    functions: Functions,
}

/// What somebody says of blocks that caches keep.
type Each = unsafe extern "C" fn(*mut c_void, *mut c_void, usize);

/// Bytes of the text that brkpoint's functions give.
const TEXT: usize = 4096;

impl Library {
    /// That of these functions.
    pub fn of(functions: Functions) -> Library {
        Library { functions }
    }

    /// A function, of the type `F` by contract.
    ///
    /// # Safety
    ///
    /// `F` is a function pointer, of the type that the function of this name has.
    unsafe fn find<F: Copy>(self, name: &CStr) -> Option<F> {
        assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
        let found = self.functions.find(name)?;
        // SAFETY: by contract, and of the same size.
        Some(unsafe { mem::transmute_copy(&found) })
    }

    /// Calls each of them with a size, and with what it must refuse.
    ///
    /// # Panics
    ///
    /// When one does not do what its manual says.
    pub fn exercise(self, size: usize) {
        // SAFETY: functions of these names have these types; blocks are freed
        // once.
        unsafe {
            self.allocates(size);
            self.aligns(size);
            self.accounts();
            self.proves();
        }
    }

    unsafe fn allocates(self, size: usize) {
        // SAFETY: as in `exercise`.
        unsafe {
            let free = self.find::<unsafe extern "C" fn(*mut c_void)>(c"free").expect("free");
            free(ptr::null_mut());
            let usable_size =
                self.find::<unsafe extern "C" fn(*mut c_void) -> usize>(c"malloc_usable_size");
            assert_eq!(usable_size.map_or(0, |of| of(ptr::null_mut())), 0);
            type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
            let realloc = self.find::<Realloc>(c"realloc").expect("realloc");
            let block = realloc(ptr::null_mut(), size);
            assert!(!block.is_null(), "realloc of null, to {size} bytes");
            block.write_bytes(1, size);
            type Reallocarray = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
            let Some(reallocarray) = self.find::<Reallocarray>(c"reallocarray") else {
                return free(block);
            };
            assert!(refuses(libc::ENOMEM, || reallocarray(block, usize::MAX / 8, 16)));
            let block = reallocarray(block, size + 1, 2);
            assert!(!block.is_null(), "reallocarray to {size} + 1 pairs of bytes");
            let kept = std::slice::from_raw_parts(block.cast::<u8>(), size);
            assert!(kept.iter().all(|&byte| byte == 1), "reallocarray lost {size} bytes");
            // To 0 bytes, only ours says what it does.
            if self.is_ours() {
                assert!(realloc(block, 0).is_null());
            } else {
                free(block);
            }
        }
    }

    unsafe fn aligns(self, size: usize) {
        type Align = unsafe extern "C" fn(usize, usize) -> *mut c_void;
        type Whole = unsafe extern "C" fn(usize) -> *mut c_void;
        type Posix = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;
        // SAFETY: as in `exercise`.
        unsafe {
            let free = self.find::<unsafe extern "C" fn(*mut c_void)>(c"free").expect("free");
            let usable_size =
                self.find::<unsafe extern "C" fn(*mut c_void) -> usize>(c"malloc_usable_size");
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            for (name, whole) in [(c"valloc", false), (c"pvalloc", true)] {
                let Some(allocate) = self.find::<Whole>(name) else { continue };
                let block = allocate(size);
                assert!(!block.is_null() && block.addr().is_multiple_of(page), "{name:?}({size})");
                let least = if whole { size.next_multiple_of(page) } else { size };
                let usable = usable_size.map_or(least, |of| of(block));
                assert!(usable >= least, "{name:?}({size}) has {usable} bytes");
                free(block);
                assert!(refuses(libc::ENOMEM, || allocate(usize::MAX - page / 2)));
            }
            if let Some(posix_memalign) = self.find::<Posix>(c"posix_memalign") {
                let mut block = NonNull::dangling().as_ptr();
                for align in [0, 1, 3, 24] {
                    assert_eq!(posix_memalign(&mut block, align, size), libc::EINVAL, "{align}");
                }
                assert_eq!(posix_memalign(&mut block, 16, usize::MAX / 2 + 1), libc::ENOMEM);
                assert_eq!(block, NonNull::dangling().as_ptr(), "a refusal leaves it alone");
            }
            // What other libraries do with these, nobody has said.
            if !self.is_ours() {
                return;
            }
            let aligned_alloc = self.find::<Align>(c"aligned_alloc").expect("aligned_alloc");
            assert!(refuses(libc::EINVAL, || aligned_alloc(24, size)));
            let memalign = self.find::<Align>(c"memalign").expect("memalign");
            assert!(refuses(libc::EINVAL, || memalign(usize::MAX, size)));
            let block = memalign(24, size);
            assert!(!block.is_null() && block.addr().is_multiple_of(32), "memalign(24, {size})");
            free(block);
        }
    }

    unsafe fn accounts(self) {
        // SAFETY: as in `exercise`; the stream is open, and freed memory is its own.
        unsafe {
            if let Some(mallopt) =
                self.find::<unsafe extern "C" fn(c_int, c_int) -> c_int>(c"mallopt")
                && self.is_ours()
            {
                assert_eq!(mallopt(12_345, 1), 0, "a parameter that there is not");
            }
            if let Some(mallinfo2) =
                self.find::<unsafe extern "C" fn() -> libc::mallinfo2>(c"mallinfo2")
            {
                let info = mallinfo2();
                assert_eq!(info.uordblks + info.fordblks, info.arena);
                assert!(info.keepcost <= info.fordblks);
                if let Some(mallinfo) =
                    self.find::<unsafe extern "C" fn() -> libc::mallinfo>(c"mallinfo")
                {
                    assert_eq!(mallinfo().uordblks, mallinfo2().uordblks as c_int);
                }
            }
            type Info = unsafe extern "C" fn(c_int, *mut libc::FILE) -> c_int;
            let Some(malloc_info) = self.find::<Info>(c"malloc_info") else { return };
            let stream = libc::tmpfile();
            assert!(!stream.is_null(), "no file for what the library tells");
            *libc::__errno_location() = 0;
            assert_ne!(malloc_info(1, stream), 0, "options that there are not");
            assert_eq!(malloc_info(0, stream), 0);
            libc::fseek(stream, 0, libc::SEEK_SET);
            let mut text = [0_u8; TEXT];
            let len = libc::fread(text.as_mut_ptr().cast(), 1, TEXT, stream);
            libc::fclose(stream);
            let text = String::from_utf8_lossy(&text[..len]);
            assert!(text.starts_with("<malloc"), "malloc_info tells {text}");
        }
    }

    fn is_ours(self) -> bool {
        // SAFETY: only looked up.
        unsafe { self.find::<*const c_void>(c"brkpoint_version") }.is_some()
    }

    unsafe fn proves(self) {
        if !self.is_ours() {
            return;
        }
        type Text = unsafe extern "C" fn(*mut c_char, usize) -> usize;
        // SAFETY: as in `exercise`; what counts neither allocates nor frees.
        unsafe {
            let version = self
                .find::<unsafe extern "C" fn() -> *const c_char>(c"brkpoint_version")
                .expect("just looked up");
            assert!(!CStr::from_ptr(version()).is_empty());
            let check =
                self.find::<unsafe extern "C" fn() -> c_int>(c"brkpoint_check").expect("ours");
            assert_eq!(check(), 0, "an invariant is broken");
            let mut cached = 0_usize;
            unsafe extern "C" fn count(context: *mut c_void, _: *mut c_void, _: usize) {
                // SAFETY: the counter below.
                unsafe { *context.cast::<usize>() += 1 };
            }
            let each = self
                .find::<unsafe extern "C" fn(Each, *mut c_void)>(c"brkpoint_cached")
                .expect("ours");
            each(count, (&raw mut cached).cast());
            let mut texts = Vec::new();
            for name in [c"brkpoint_settings", c"brkpoint_stats"] {
                let write = self.find::<Text>(name).expect("ours");
                let mut buffer = [0x7f_u8; TEXT];
                let len = write(buffer.as_mut_ptr().cast(), TEXT);
                let text = CStr::from_bytes_until_nul(&buffer).expect("it ends");
                assert_eq!(text.count_bytes(), len);
                let mut part = [0x7f_u8; 8];
                assert_eq!(write(part.as_mut_ptr().cast(), 7), len, "the same text");
                assert_eq!(&part[..6], &buffer[..6]);
                assert_eq!(part[6..], [0, 0x7f], "no more than there is room for");
                assert_eq!(write(ptr::null_mut(), 0), len);
                texts.push(text.to_string_lossy().into_owned());
            }
            let said = format!("cached_blocks={cached}");
            assert!(texts[1].lines().any(|line| line == said), "{said}, but\n{}", texts[1]);
        }
    }

    /// Has the library tell its accounts on stderr.
    pub fn tell(self) {
        // SAFETY: a function of C's that takes nothing.
        if let Some(stats) = unsafe { self.find::<unsafe extern "C" fn()>(c"malloc_stats") } {
            // SAFETY: as above.
            unsafe { stats() };
        }
    }
}

/// Whether a call gives null, and this error.
fn refuses(error: c_int, call: impl FnOnce() -> *mut c_void) -> bool {
    // SAFETY: the location is valid for this thread's lifetime.
    unsafe {
        *libc::__errno_location() = 0;
        call().is_null() && *libc::__errno_location() == error
    }
}
