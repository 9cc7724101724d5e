//! `mallopt`, `malloc_trim` and the statistics, as glibc's manual has them.

use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};

use brkpoint_allocator::{Bytes, Count, MmapThreshold};

use crate::{MALLOC, set_errno};

/// `malloc_trim(3)`: gives free memory at the break back but for `pad` bytes;
/// 1 if there was any.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(pad: usize) -> c_int {
    c_int::from(MALLOC.trim(pad))
}

/// `mallopt(3)`: 1 if the parameter is one of ours and the value makes sense,
/// else 0. Setting a threshold ends the dynamic rule, as with glibc.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(parameter: c_int, value: c_int) -> c_int {
    // glibc reads -1 as "as large as can be" where that has a meaning.
    let size = usize::try_from(value).ok();
    let known = match (parameter, size) {
        (libc::M_MMAP_THRESHOLD, Some(size)) => {
            MALLOC.configure(|config| config.mmap_threshold = MmapThreshold::Fixed(size));
            true
        }
        (libc::M_TRIM_THRESHOLD, size) => {
            MALLOC.configure(|config| {
                config.trim_threshold = Bytes(size.unwrap_or(usize::MAX));
                freeze(&mut config.mmap_threshold);
            });
            true
        }
        (libc::M_TOP_PAD, Some(size)) => {
            MALLOC.configure(|config| {
                config.top_pad = Bytes(size);
                freeze(&mut config.mmap_threshold);
            });
            true
        }
        (libc::M_MMAP_MAX, Some(count)) => {
            MALLOC.configure(|config| {
                config.mmap_max = Count(count);
                freeze(&mut config.mmap_threshold);
            });
            true
        }
        _ => false,
    };
    c_int::from(known)
}

/// Ends the dynamic rule where it stands in the settings.
fn freeze(threshold: &mut MmapThreshold) {
    if let MmapThreshold::Dynamic(size) = *threshold {
        *threshold = MmapThreshold::Fixed(size);
    }
}

/// `mallinfo2(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> libc::mallinfo2 {
    accounts()
}

/// What [`mallinfo2`] tells: no exported function calls another one, which in a library
/// that was opened and not preloaded may be the C library's.
fn accounts() -> libc::mallinfo2 {
    let stats = MALLOC.stats();
    let arena = stats.break_bytes + stats.region_bytes;
    let free = stats.free + stats.top;
    libc::mallinfo2 {
        arena,
        ordblks: stats.free_blocks + usize::from(stats.top > 0),
        smblks: 0,
        hblks: stats.mapped_blocks,
        hblkhd: stats.mapped_bytes,
        usmblks: 0,
        fsmblks: 0,
        uordblks: arena - free,
        fordblks: free,
        keepcost: stats.top,
    }
}

/// `mallinfo(3)`: as [`mallinfo2`], cut down to `int`.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> libc::mallinfo {
    let info = accounts();
    libc::mallinfo {
        arena: info.arena as c_int,
        ordblks: info.ordblks as c_int,
        smblks: info.smblks as c_int,
        hblks: info.hblks as c_int,
        hblkhd: info.hblkhd as c_int,
        usmblks: info.usmblks as c_int,
        fsmblks: info.fsmblks as c_int,
        uordblks: info.uordblks as c_int,
        fordblks: info.fordblks as c_int,
        keepcost: info.keepcost as c_int,
    }
}

/// Text gathered on the stack; what does not fit is dropped.
pub(crate) struct Text {
    bytes: [u8; 2048],
    len: usize,
}

impl Text {
    pub(crate) fn of(what: fmt::Arguments<'_>) -> Text {
        let mut text = Text { bytes: [0; 2048], len: 0 };
        let _ = text.write_fmt(what);
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let len = more.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&more.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

/// `malloc_stats(3)`: the accounts, on stderr.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    let text = Text::of(format_args!("{}", MALLOC.stats()));
    let bytes = text.as_bytes();
    // SAFETY: the slice is readable for its length.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

/// `malloc_info(3)`: the accounts as XML on `stream`; -1 and EINVAL for any
/// option but 0.
///
/// # Safety
///
/// `stream` is open for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 {
        set_errno(libc::EINVAL);
        return -1;
    }
    let stats = MALLOC.stats();
    let text = Text::of(format_args!(
        "<malloc version=\"brkpoint-1\">\n\
         <heap nr=\"0\">\n\
         <total type=\"rest\" count=\"{}\" size=\"{}\"/>\n\
         <total type=\"top\" count=\"1\" size=\"{}\"/>\n\
         <total type=\"mmap\" count=\"{}\" size=\"{}\"/>\n\
         <system type=\"current\" size=\"{}\"/>\n\
         </heap>\n\
         </malloc>\n",
        stats.free_blocks,
        stats.free,
        stats.top,
        stats.mapped_blocks,
        stats.mapped_bytes,
        stats.break_bytes + stats.region_bytes,
    ));
    let bytes = text.as_bytes();
    // SAFETY: the slice is readable for its length; the stream by contract.
    // The heap is not locked: stdio may allocate a buffer.
    let written = unsafe { libc::fwrite(bytes.as_ptr().cast::<c_void>(), 1, bytes.len(), stream) };
    if written == bytes.len() { 0 } else { -1 }
}
