//! System calls that leave `errno` alone, and that nobody interposes.

use core::arch::asm;
use core::ffi::CStr;

/// Bytes of an OS page on x86-64.
pub(crate) const OS_PAGE: usize = 4096;

/// The error number of a failed call.
pub(crate) type Errno = i32;

/// # Safety
/// The arguments are such that the call keeps Rust's rules.
unsafe fn call(number: i64, arguments: [usize; 6]) -> Result<usize, Errno> {
    let result: isize;
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the kernel's convention on x86-64 (its Documentation and the psABI,
    // A.2); the caller answers for the arguments.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) { Err(-result as Errno) } else { Ok(result as usize) }
}

/// Opens a file, readable by its owner only where it is made.
pub(crate) fn open(path: &CStr, flags: i32) -> Result<usize, Errno> {
    let flags = (flags | libc::O_CLOEXEC) as usize;
    let at = libc::AT_FDCWD as isize as usize;
    // SAFETY: reads the path.
    unsafe { call(libc::SYS_openat, [at, path.as_ptr().addr(), flags, 0o600, 0, 0]) }
}

pub(crate) fn close(file: usize) {
    // SAFETY: callers close what they opened. Nothing can be done about an error.
    let _ = unsafe { call(libc::SYS_close, [file, 0, 0, 0, 0, 0]) };
}

/// Makes a file so long, with room on its disk where the file system knows that.
pub(crate) fn extend(file: usize, from: u64, bytes: u64) -> Result<(), Errno> {
    // SAFETY: changes a file only.
    let room = unsafe { call(libc::SYS_fallocate, [file, 0, from as usize, bytes as usize, 0, 0]) };
    match room {
        Err(libc::EOPNOTSUPP | libc::ENOSYS) => set_len(file, from + bytes),
        other => other.map(|_| ()),
    }
}

pub(crate) fn set_len(file: usize, bytes: u64) -> Result<(), Errno> {
    // SAFETY: changes a file only.
    unsafe { call(libc::SYS_ftruncate, [file, bytes as usize, 0, 0, 0, 0]).map(|_| ()) }
}

/// Maps a part of a file for all to see.
pub(crate) fn map(file: usize, from: u64, bytes: usize) -> Result<usize, Errno> {
    let access = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let flags = libc::MAP_SHARED as usize;
    // SAFETY: a new mapping where the kernel chooses.
    unsafe { call(libc::SYS_mmap, [0, bytes, access, flags, file, from as usize]) }
}

pub(crate) fn unmap(address: usize, bytes: usize) {
    // SAFETY: callers unmap what they mapped and nobody uses.
    let _ = unsafe { call(libc::SYS_munmap, [address, bytes, 0, 0, 0, 0]) };
}

/// Forked children get the page as zeros.
pub(crate) fn wipe_on_fork(page: usize) -> Result<(), Errno> {
    let advice = libc::MADV_WIPEONFORK as usize;
    // SAFETY: nothing changes in this process.
    unsafe { call(libc::SYS_madvise, [page, OS_PAGE, advice, 0, 0, 0]).map(|_| ()) }
}

/// Tells which OS pages are resident, a byte each.
pub(crate) fn mincore(from: usize, there: &mut [u8]) -> Result<(), Errno> {
    let arguments = [from, there.len() * OS_PAGE, there.as_mut_ptr().addr(), 0, 0, 0];
    // SAFETY: writes a byte for each OS page.
    unsafe { call(libc::SYS_mincore, arguments).map(|_| ()) }
}

/// Writes all, or as much as can be.
pub(crate) fn write(file: usize, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        // SAFETY: reads the bytes.
        match unsafe { call(libc::SYS_write, [file, bytes.as_ptr().addr(), bytes.len(), 0, 0, 0]) }
        {
            Ok(0) => return Err(libc::EIO),
            Ok(more) => bytes = bytes.get(more..).unwrap_or_default(),
            Err(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all at a place of a file.
pub(crate) fn write_at(file: usize, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let arguments = [file, bytes.as_ptr().addr(), bytes.len(), at as usize, 0, 0];
        // SAFETY: reads the bytes.
        match unsafe { call(libc::SYS_pwrite64, arguments) } {
            Ok(0) => return Err(libc::EIO),
            Ok(more) => {
                bytes = bytes.get(more..).unwrap_or_default();
                at += more as u64;
            }
            Err(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn read(file: usize, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: writes to the buffer.
    unsafe { call(libc::SYS_read, [file, buffer.as_mut_ptr().addr(), buffer.len(), 0, 0, 0]) }
}

pub(crate) fn read_link(path: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    let (path, to) = (path.as_ptr().addr(), buffer.as_mut_ptr().addr());
    // SAFETY: reads the path, writes to the buffer.
    unsafe { call(libc::SYS_readlink, [path, to, buffer.len(), 0, 0, 0]) }
}

pub(crate) fn pid() -> u32 {
    // SAFETY: no arguments.
    unsafe { call(libc::SYS_getpid, [0; 6]) }.unwrap_or_default() as u32
}

pub(crate) fn tid() -> u32 {
    // SAFETY: no arguments.
    unsafe { call(libc::SYS_gettid, [0; 6]) }.unwrap_or_default() as u32
}

/// Nanoseconds of a clock.
pub(crate) fn now(clock: i32) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let to = (&raw mut time).addr();
    // SAFETY: fills the timespec.
    let _ = unsafe { call(libc::SYS_clock_gettime, [clock as usize, to, 0, 0, 0, 0]) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
