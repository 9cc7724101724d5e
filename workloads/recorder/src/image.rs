//! What is noted of a program, and where its files are.

use core::ffi::{CStr, c_char};
use core::ptr::{addr_of, addr_of_mut};

use crate::raw::{DIRECTORY, MAX_BYTES};
use crate::system::{self, Errno};

/// Most bytes of a path.
pub(crate) const MOST: usize = 4096;
/// Bytes that a name in the directory may take.
const NAME: usize = 40;

/// The directory, as the environment names it.
static mut PATH: [u8; MOST] = [0; MOST];

/// Variables that steer an allocator begin so.
const STEERING: [&[u8]; 10] = [
    b"MALLOC_",
    b"GLIBC_TUNABLES=",
    b"BRKPOINT_",
    b"MIMALLOC_",
    b"TCMALLOC_",
    b"_RJEM_MALLOC_CONF=",
    b"LD_PRELOAD=",
    b"PYTHONMALLOC=",
    b"GLIBCXX_",
    b"G_SLICE=",
];
const NOT_STEERING: &[u8] = b"BRKPOINT_RECORD";

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// The environment; `None`: it is not there yet.
pub(crate) fn environment() -> Option<impl Iterator<Item = &'static CStr>> {
    // SAFETY: libc's own; the loader fills it in before programs run.
    let mut at = unsafe { environ };
    if at.is_null() {
        return None;
    }
    Some(core::iter::from_fn(move || {
        // SAFETY: pointers to C strings, and a null behind them; nobody changes the
        // environment while a process starts.
        unsafe {
            let entry = *at;
            at = at.add(1);
            (!entry.is_null()).then(|| CStr::from_ptr(entry))
        }
    }))
}

fn variable(name: &str) -> Option<&'static CStr> {
    environment()?.find_map(|entry| {
        let value = entry.to_bytes_with_nul().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        CStr::from_bytes_with_nul(value).ok()
    })
}

pub(crate) fn is_set(name: &str) -> bool {
    variable(name).is_some()
}

/// The directory to record into. It must be absolute, since programs change theirs.
pub(crate) fn directory() -> Option<&'static CStr> {
    let directory = variable(DIRECTORY)?;
    let bytes = directory.to_bytes();
    if bytes.first() != Some(&b'/') || bytes.len() + NAME > MOST {
        complain(directory, c"is no absolute path, or too long: nothing is recorded\n");
        return None;
    }
    // SAFETY: called once, before anybody reads it.
    unsafe {
        let path = &mut *addr_of_mut!(PATH);
        path[..bytes.len()].copy_from_slice(bytes);
    }
    Some(directory)
}

/// Says on standard error what is wrong with the directory.
pub(crate) fn complain(directory: &CStr, what: &CStr) {
    for part in [c"brkpoint recorder: BRKPOINT_RECORD=", directory, c" ", what] {
        // Nothing can be done about it.
        let _ = system::write(2, part.to_bytes());
    }
}

pub(crate) fn max_bytes() -> u64 {
    let Some(text) = variable(MAX_BYTES) else { return u64::MAX / 2 };
    let digits = text.to_bytes().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, byte| {
        number.saturating_mul(10).saturating_add(u64::from(byte - b'0'))
    })
}

/// A file of the directory, in `buffer`.
pub(crate) fn path_in<'b>(buffer: &'b mut [u8; MOST], name: &[&[u8]]) -> &'b CStr {
    // SAFETY: written once, before.
    let directory = unsafe { &*addr_of!(PATH) };
    let mut len = directory.iter().position(|&byte| byte == 0).unwrap_or_default();
    buffer[..len].copy_from_slice(&directory[..len]);
    for part in [&[b"/" as &[u8]], name].into_iter().flatten() {
        buffer[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    buffer[len] = 0;
    CStr::from_bytes_until_nul(buffer).unwrap_or_default()
}

/// `number` in decimal.
pub(crate) fn decimal(mut number: u32, text: &mut [u8; 10]) -> &[u8] {
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &text[at..];
        }
    }
}

/// Writes the file of image `number`: names and values, each ended by NUL, and
/// the command line as the kernel has it at the end.
pub(crate) fn note(number: u32) -> Result<(), Errno> {
    let (mut text, mut buffer) = ([0; 10], [0; MOST]);
    let path = path_in(&mut buffer, &[decimal(number, &mut text), b".image"]);
    let file = system::open(path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC)?;
    let noted = noted(file, &mut buffer);
    system::close(file);
    noted
}

fn noted(file: usize, buffer: &mut [u8; MOST]) -> Result<(), Errno> {
    let pair = |name: &CStr, value: &[u8]| {
        system::write(file, name.to_bytes_with_nul())?;
        system::write(file, value)?;
        system::write(file, b"\0")
    };
    pair(c"pid", decimal(system::pid(), &mut [0; 10]))?;
    // SAFETY: it takes nothing and returns a static C string (glibc's manual).
    let libc = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    pair(c"glibc", libc.to_bytes())?;
    let len = system::read_link(c"/proc/self/exe", buffer).unwrap_or_default();
    pair(c"program", &buffer[..len])?;
    for entry in environment().into_iter().flatten() {
        let bytes = entry.to_bytes();
        let steers = STEERING.iter().any(|start| bytes.starts_with(start));
        if steers && !bytes.starts_with(NOT_STEERING) {
            pair(c"set", bytes)?;
        }
    }
    system::write(file, b"cmdline\0")?;
    let Ok(from) = system::open(c"/proc/self/cmdline", libc::O_RDONLY) else { return Ok(()) };
    let mut copied = Ok(());
    while let Ok(more @ 1..) = system::read(from, buffer) {
        copied = system::write(file, &buffer[..more]);
        if copied.is_err() {
            break;
        }
    }
    system::close(from);
    copied
}
