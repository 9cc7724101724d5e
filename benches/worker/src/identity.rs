//! Which objects answer for the malloc family in this process.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::OnceLock;

use brkpoint_workloads::synthetic::UsableSize;
use serde::{Deserialize, Serialize};

/// The functions that must come from one object: a block of one allocator must
/// never reach the `free` of another.
const FAMILY: [&CStr; 7] = [
    c"malloc",
    c"free",
    c"calloc",
    c"realloc",
    c"posix_memalign",
    c"aligned_alloc",
    c"malloc_usable_size",
];

/// Who answers for the malloc family in a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Path of the object by function of the family.
    pub family: BTreeMap<String, String>,
    /// The version symbols that are there, in the order asked for.
    pub versions: Vec<VersionSymbol>,
    /// The allocator that is linked into this program, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked: Option<Linked>,
}

/// An allocator that is linked into a program as Rust's global allocator: there
/// the malloc family says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// Name of the engine.
    pub name: String,
    /// Its version, as it tells it.
    pub version: String,
}

/// What a linked allocator tells of itself.
#[derive(Debug, Clone, Copy)]
pub struct Inside {
    /// How many bytes of a live block may be used, if it can tell.
    pub usable_size: Option<UsableSize>,
    /// Its accounts as they are now; it may not allocate.
    pub accounts: Option<fn() -> Accounts>,
}

/// The accounts of an allocator, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accounts {
    /// Usable bytes of live blocks.
    pub live: u64,
    /// Obtained from the OS and not given back: it may be resident.
    pub held: u64,
    /// The part of `held` that may never have been touched, so need not be resident.
    pub untouched: u64,
}

static LINKED: OnceLock<(Linked, Option<Inside>)> = OnceLock::new();

/// Says, once, what is linked into this program.
pub(super) fn set_linked(linked: Linked, inside: Option<Inside>) {
    LINKED.get_or_init(|| (linked, inside));
}

/// What is linked into this program.
pub(super) fn linked() -> Option<Linked> {
    LINKED.get().map(|(linked, _)| linked.clone())
}

/// The accounts of the linked allocator, if there is one that keeps them.
pub(super) fn accounts() -> Option<Accounts> {
    let inside = LINKED.get().and_then(|(_, inside)| *inside)?;
    inside.accounts.map(|accounts| accounts())
}

/// Who tells usable sizes: the linked allocator, or else the process's malloc.
pub(super) fn usable_size() -> Option<UsableSize> {
    match LINKED.get() {
        Some((_, inside)) => inside.and_then(|inside| inside.usable_size),
        // SAFETY: called with live blocks of this process's allocator, which is its
        // malloc, since none is linked.
        None => Some(|block| unsafe { libc::malloc_usable_size(block.cast()) }),
    }
}

/// Tells a function, with what it is given for it, the address and the usable bytes of
/// every block that caches keep (`brkpoint_cached` of our preload library). That
/// function may neither allocate nor free.
pub(super) type Teller =
    unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void, *mut c_void, usize), *mut c_void);

/// That of this process's `malloc`, if it has one. Allocates nothing.
pub(super) fn cached_teller() -> Option<Teller> {
    let teller = address_of(c"brkpoint_cached")?;
    let base = |address| {
        // SAFETY: Dl_info is made of pointers, for which null is a value.
        let mut info: libc::Dl_info = unsafe { mem::zeroed() };
        // SAFETY: dladdr fills it.
        (unsafe { libc::dladdr(address, &mut info) } != 0).then_some(info.dli_fbase)
    };
    if base(teller)? != base(address_of(c"malloc")?)? || LINKED.get().is_some() {
        return None;
    }
    // SAFETY: the symbol of this name is such a function.
    Some(unsafe { mem::transmute::<*mut c_void, Teller>(teller) })
}

/// A function without arguments that tells a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSymbol {
    /// Its name.
    pub symbol: String,
    /// Path of the object that defines it.
    pub object: String,
    /// What it says.
    pub version: String,
}

impl Identity {
    /// Asks the dynamic linker about this process. Each of `symbols` that exists
    /// is called: it takes no argument, or up to three pointers that may be
    /// null, and returns a C string.
    pub(super) fn of_this_process(symbols: &[String]) -> Identity {
        let family = FAMILY.iter().filter_map(|&name| {
            object_of(name).map(|object| (name.to_string_lossy().into_owned(), object))
        });
        Identity {
            family: family.collect(),
            versions: symbols.iter().filter_map(|symbol| told_by(symbol)).collect(),
            linked: linked(),
        }
    }
}

/// Path of the object that defines `name` for this process.
pub(super) fn object_of(name: &CStr) -> Option<String> {
    let address = address_of(name)?;
    // SAFETY: Dl_info is made of pointers, for which null is a value; dladdr
    // fills it, and names an object that stays loaded, since `name` is in use.
    let path = unsafe {
        let mut info: libc::Dl_info = mem::zeroed();
        if libc::dladdr(address, &mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        CStr::from_ptr(info.dli_fname)
    };
    Some(path.to_string_lossy().into_owned())
}

fn address_of(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is a C string.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

fn told_by(symbol: &str) -> Option<VersionSymbol> {
    let name = CString::new(symbol).ok()?;
    let address = address_of(&name)?;
    type Teller = extern "C" fn(*mut c_int, *mut c_int, *mut *const c_char) -> *const c_char;
    // SAFETY: the caller asks only for symbols of this shape (`of_this_process`);
    // one that takes fewer arguments ignores the registers of the others.
    let text = unsafe {
        let teller = mem::transmute::<*mut c_void, Teller>(address);
        let text = teller(ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        if text.is_null() {
            return None;
        }
        CStr::from_ptr(text)
    };
    let version = text.to_string_lossy().into_owned();
    Some(VersionSymbol { symbol: symbol.to_owned(), object: object_of(&name)?, version })
}
