//! The C malloc family as a subject: that of this process, whatever library
//! was preloaded into it, or that of a library beside it.

use std::alloc::Layout;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::mem::{self, MaybeUninit};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

use crate::op::Event;
use crate::shadow::{Complaint, Model, Promise, Subject};

type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
type Calloc = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);
type PosixMemalign = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;
type UsableSize = unsafe extern "C" fn(*mut c_void) -> usize;
type Trim = unsafe extern "C" fn(usize) -> c_int;
type Mallopt = unsafe extern "C" fn(c_int, c_int) -> c_int;

/// Every block that `malloc` gives is aligned to this, if it is as long.
const FUNDAMENTAL: usize = 16;

/// How many operations the address space stays limited for at most, and for
/// each request that is to fail: not every operation makes one.
const LIMITED_MOST: u32 = 256;
const LIMITED_EACH: u32 = 8;

/// Why there is no family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The library cannot be opened.
    Library {
        /// Its path.
        path: PathBuf,
        /// What the dynamic linker says.
        why: String,
    },
    /// A function that every allocator must have is not there.
    Function(&'static str),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Library { path, why } => {
                write!(f, "{} cannot be opened: {why}", path.display())
            }
            Missing::Function(name) => {
                write!(f, "no {name} is defined: is it a library of the malloc family?")
            }
        }
    }
}

impl std::error::Error for Missing {}

/// The functions that a library defines itself, or those that the programs of this
/// process get.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// Of the dynamic linker.
    handle: *mut c_void,
    /// Where the library's object begins.
    object: Option<NonNull<c_void>>,
}

// SAFETY: the dynamic linker's handles are not tied to a thread; the object is
// only compared.
unsafe impl Send for Functions {}
// SAFETY: as above.
unsafe impl Sync for Functions {}

impl Functions {
    /// Those that a program calls in this process, wherever they come from.
    const OF_PROCESS: Functions = Functions { handle: libc::RTLD_DEFAULT, object: None };

    /// Those of a library, opened beside the process's own. It stays open.
    ///
    /// # Errors
    ///
    /// Why the library cannot be opened, or that it has no `malloc`.
    ///
    /// # Safety
    ///
    /// What the library defines of the malloc family is of the types that C and
    /// glibc give it, and it may be opened at run time.
    pub unsafe fn of_library(path: &Path) -> Result<Functions, Missing> {
        let missing = |why| Missing::Library { path: path.to_owned(), why };
        let name = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|error| missing(error.to_string()))?;
        // SAFETY: a string; by contract.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: after a failure dlerror gives a string or null.
            let said: *mut c_char = unsafe { libc::dlerror() };
            let why = match NonNull::new(said) {
                // SAFETY: as above.
                Some(said) => unsafe { CStr::from_ptr(said.as_ptr()) }.to_string_lossy(),
                None => "for no reason that the dynamic linker gives".into(),
            };
            return Err(missing(why.into_owned()));
        }
        let open = Functions { handle, object: None };
        let object = object_of(open.needed(c"malloc")?);
        Ok(Functions { object, ..open })
    }

    /// The function of this name. The dynamic linker looks for it in what a library
    /// depends on, too, but the C library's functions abort on another's blocks.
    pub fn find(&self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: an open library or RTLD_DEFAULT, and a name that ends in NUL.
        let found = NonNull::new(unsafe { libc::dlsym(self.handle, name.as_ptr()) })?;
        (self.object.is_none() || object_of(found) == self.object).then_some(found)
    }

    fn needed(&self, name: &'static CStr) -> Result<NonNull<c_void>, Missing> {
        self.find(name).ok_or(Missing::Function(name.to_str().unwrap_or("malloc")))
    }
}

/// Where the object that an address is of begins.
fn object_of(address: NonNull<c_void>) -> Option<NonNull<c_void>> {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: any address will do.
    if unsafe { libc::dladdr(address.as_ptr(), info.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: dladdr has filled it.
    NonNull::new(unsafe { info.assume_init() }.dli_fbase)
}

/// The functions of a malloc family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    malloc: Malloc,
    calloc: Calloc,
    realloc: Realloc,
    free: Free,
    posix_memalign: Option<PosixMemalign>,
    aligned_alloc: Option<Calloc>,
    memalign: Option<Calloc>,
    usable_size: Option<UsableSize>,
    trim: Option<Trim>,
    mallopt: Option<Mallopt>,
}

impl Family {
    /// That of this process.
    ///
    /// # Errors
    ///
    /// The function that is missing.
    pub fn of_process() -> Result<Family, Missing> {
        Family::of(Functions::OF_PROCESS)
    }

    /// That of a library.
    ///
    /// # Errors
    ///
    /// The function that is missing.
    pub fn of(functions: Functions) -> Result<Family, Missing> {
        let needed = |name| functions.needed(name);
        let find = |name| functions.find(name);
        // SAFETY: functions of these names have these types: in a process those that
        // C gives them, in a library by the contract of `Functions::of_library`.
        unsafe {
            Ok(Family {
                malloc: mem::transmute::<NonNull<c_void>, Malloc>(needed(c"malloc")?),
                calloc: mem::transmute::<NonNull<c_void>, Calloc>(needed(c"calloc")?),
                realloc: mem::transmute::<NonNull<c_void>, Realloc>(needed(c"realloc")?),
                free: mem::transmute::<NonNull<c_void>, Free>(needed(c"free")?),
                posix_memalign: mem::transmute::<Option<NonNull<c_void>>, Option<PosixMemalign>>(
                    find(c"posix_memalign"),
                ),
                aligned_alloc: mem::transmute::<Option<NonNull<c_void>>, Option<Calloc>>(find(
                    c"aligned_alloc",
                )),
                memalign: mem::transmute::<Option<NonNull<c_void>>, Option<Calloc>>(find(
                    c"memalign",
                )),
                usable_size: mem::transmute::<Option<NonNull<c_void>>, Option<UsableSize>>(find(
                    c"malloc_usable_size",
                )),
                trim: mem::transmute::<Option<NonNull<c_void>>, Option<Trim>>(find(c"malloc_trim")),
                mallopt: mem::transmute::<Option<NonNull<c_void>>, Option<Mallopt>>(find(
                    c"mallopt",
                )),
            })
        }
    }

    /// A block at a multiple of a great alignment, by one of the functions that
    /// there are; null and the error otherwise.
    fn aligned(&self, align: usize, size: usize) -> (*mut c_void, c_int) {
        // Which function it is depends on the request, so that a program means
        // the same each time.
        let turn = (size / 16 + align.ilog2() as usize) % 3;
        match (turn, self.posix_memalign, self.memalign, self.aligned_alloc) {
            (1, _, Some(memalign), _) => {
                // SAFETY: any size, and an alignment that is a power of two.
                (unsafe { memalign(align, size) }, errno())
            }
            (2, _, _, Some(aligned_alloc)) if size.is_multiple_of(align) => {
                // SAFETY: as above, and the size a multiple of it.
                (unsafe { aligned_alloc(align, size) }, errno())
            }
            (_, Some(posix_memalign), ..) => {
                let mut block = ptr::null_mut();
                // SAFETY: a valid place, and a power of two that pointers divide.
                let error = unsafe { posix_memalign(&mut block, align, size) };
                (if error == 0 { block } else { ptr::null_mut() }, error)
            }
            // SAFETY: as above.
            (_, _, Some(memalign), _) => (unsafe { memalign(align, size) }, errno()),
            _ => (ptr::null_mut(), libc::ENOMEM),
        }
    }
}

fn errno() -> c_int {
    // SAFETY: the location is valid for this thread's lifetime.
    unsafe { *libc::__errno_location() }
}

fn set_errno(error: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = error };
}

/// A malloc family under test.
#[derive(Debug)]
pub struct Mallocs {
    family: Family,
    /// Whether it is the process's own, which forks with it.
    is_own: bool,
    complaint: Option<Complaint>,
    /// For so many operations more the address space stays limited.
    limited: u32,
}

impl Mallocs {
    /// Of this process.
    ///
    /// # Errors
    ///
    /// The function that is missing.
    pub fn of_process() -> Result<Mallocs, Missing> {
        Ok(Mallocs::new(Family::of_process()?, true))
    }

    /// Of functions; `is_own` if they are the process's own.
    pub fn new(family: Family, is_own: bool) -> Mallocs {
        Mallocs { family, is_own, complaint: None, limited: 0 }
    }

    /// What `call` answered to a request of `size` bytes.
    fn answer(
        &mut self,
        call: &str,
        size: usize,
        block: *mut c_void,
        error: c_int,
    ) -> Option<NonNull<u8>> {
        // Of 0 bytes, C leaves null to the allocator.
        if block.is_null() && size > 0 && error != libc::ENOMEM {
            let what = format!("{call} of {size} bytes gives null, and error {error}, not ENOMEM");
            self.complaint.get_or_insert(Complaint::new(Promise::Reported, what));
        }
        NonNull::new(block.cast())
    }

    fn request(&mut self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        set_errno(0);
        let Family { malloc, calloc, .. } = self.family;
        if align > FUNDAMENTAL {
            let (block, error) = self.family.aligned(align, size);
            let block = self.answer("an aligned allocation", size, block, error)?;
            if zeroed {
                // C has no such function.
                // SAFETY: as many bytes are the block's.
                unsafe { block.write_bytes(0, size) };
            }
            return Some(block);
        }
        if zeroed {
            // SAFETY: any numbers.
            let block = unsafe { calloc(1, size) };
            self.answer("calloc", size, block, errno())
        } else {
            // SAFETY: any number.
            let block = unsafe { malloc(size) };
            self.answer("malloc", size, block, errno())
        }
    }
}

impl Subject for Mallocs {
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        self.request(layout.size(), layout.align(), zeroed)
    }

    fn allocate_beyond(&mut self, size: usize, align: usize, zeroed: bool) -> Option<NonNull<u8>> {
        // Not zeroed by us, should it be granted.
        self.request(size, align, zeroed && align <= FUNDAMENTAL)
    }

    fn allocate_array(&mut self, count: usize, size: usize) -> Option<NonNull<u8>> {
        set_errno(0);
        // SAFETY: any numbers.
        let block = unsafe { (self.family.calloc)(count, size) };
        self.answer("calloc", count.saturating_mul(size), block, errno())
    }

    unsafe fn free(&mut self, block: NonNull<u8>, _: Layout) {
        set_errno(libc::EXFULL);
        // SAFETY: by contract.
        unsafe { (self.family.free)(block.as_ptr().cast()) };
        if errno() != libc::EXFULL {
            let what = format!("free changed errno to {} (POSIX.1-2024 forbids that)", errno());
            self.complaint.get_or_insert(Complaint::new(Promise::Reported, what));
        }
    }

    unsafe fn reallocate(
        &mut self,
        block: NonNull<u8>,
        _: Layout,
        size: usize,
    ) -> Option<NonNull<u8>> {
        // To 0 bytes, it is undefined what realloc does.
        let size = size.max(1);
        set_errno(0);
        // SAFETY: by contract.
        let new = unsafe { (self.family.realloc)(block.as_ptr().cast(), size) };
        self.answer("realloc", size, new, errno())
    }

    unsafe fn usable_size(&mut self, block: NonNull<u8>, layout: Layout) -> usize {
        match self.family.usable_size {
            // SAFETY: by contract.
            Some(usable_size) => unsafe { usable_size(block.as_ptr().cast()) },
            None => layout.size(),
        }
    }

    /// C aligns a block for what fits into it (C17 7.22.3; DR 445), and realloc
    /// forgets any greater alignment. A block of 0 bytes need only be unique.
    fn alignment(&self, layout: Layout, resized: bool) -> usize {
        if layout.size() == 0 {
            return 1;
        }
        if layout.align() > FUNDAMENTAL && !resized {
            return layout.align();
        }
        let fits = layout.size().checked_ilog2().map_or(1, |power| 1 << power);
        layout.align().min(FUNDAMENTAL).min(fits)
    }

    fn event(&mut self, event: Event) -> Result<(), Complaint> {
        match event {
            Event::Trim { keep } => {
                if let Some(trim) = self.family.trim {
                    // SAFETY: any number.
                    unsafe { trim(keep) };
                }
            }
            Event::Set { knob, value } => {
                if let Some(mallopt) = self.family.mallopt {
                    let (parameter, value) = parameter(knob, value);
                    // SAFETY: parameters that glibc's manual documents.
                    unsafe { mallopt(parameter, value) };
                }
            }
            Event::Fail { count, .. } if self.is_own => {
                self.limited = count.saturating_mul(LIMITED_EACH).min(LIMITED_MOST);
                limit_address_space(self.limited > 0);
            }
            Event::MoveBreak { bytes } if self.is_own => {
                // SAFETY: moves the break up; what it gains nobody uses.
                unsafe { libc::sbrk(bytes as isize) };
            }
            Event::Wait { milliseconds } => {
                std::thread::sleep(std::time::Duration::from_millis(milliseconds.min(20).into()));
            }
            _ => {}
        }
        Ok(())
    }

    fn fork(&mut self) -> Option<libc::pid_t> {
        if !self.is_own {
            return None;
        }
        // SAFETY: the child only tests the allocator, which promises to work
        // there, and ends.
        let child = unsafe { libc::fork() };
        (child >= 0).then_some(child)
    }

    /// What is resident, since nobody knows what was obtained.
    fn footprint(&mut self) -> Option<usize> {
        if self.is_own { resident() } else { None }
    }

    fn inspect(&mut self, _: &Model, _: bool) -> Result<(), Complaint> {
        if self.limited > 0 {
            self.limited -= 1;
            if self.limited == 0 {
                limit_address_space(false);
            }
        }
        self.complaint.take().map_or(Ok(()), Err)
    }
}

/// One of the parameters that `mallopt` documents, and a value for it.
fn parameter(knob: u32, value: usize) -> (c_int, c_int) {
    let parameters =
        [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD, libc::M_TOP_PAD, libc::M_MMAP_MAX];
    let values = [0, 1, 4096, 65_536, 128 << 10, 1 << 20];
    (parameters[knob as usize % parameters.len()], values[value % values.len()])
}

/// The resident bytes of this process, read without allocating.
fn resident() -> Option<usize> {
    let mut text = [0_u8; 128];
    // SAFETY: a path that ends in NUL, and a buffer of so many bytes.
    let len = unsafe {
        let file = libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let len = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        len
    };
    let text = str::from_utf8(text.get(..usize::try_from(len).ok()?)?).ok()?;
    let pages: usize = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Has the kernel refuse any more address space to this process, or ends that.
/// Allocates nothing.
fn limit_address_space(limited: bool) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the limit.
    if unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } != 0 {
        return;
    }
    if limited {
        // The stack must not have to grow meanwhile.
        std::hint::black_box([0_u8; 128 << 10]);
    }
    // Less than there already is: then nothing can be added.
    limit.rlim_cur = if limited { 4096 } else { limit.rlim_max };
    // SAFETY: a limit within the hard one.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
}
