//! The programs that the tree ran, and whether the preload library was in each.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::sys::Pid;
use super::{LaunchError, process};

/// A program that ran in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    /// Its file, as the kernel names it.
    pub executable: PathBuf,
    /// Whether the launched process itself ran it (the launched program, and
    /// what that turned into by exec), not only a descendant.
    pub main: bool,
    /// Why the library answered for none of its calls, as far as can be told;
    /// `None`: it was mapped, or none was asked for.
    pub not_covered: Option<String>,
}

impl Image {
    /// Whether the library answered, as far as one was asked for.
    pub fn covered(&self) -> bool {
        self.not_covered.is_none()
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.executable.display())?;
        self.not_covered.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

/// How the library is recognised among a process's mappings.
#[derive(Debug, Clone)]
pub(super) struct Library {
    /// ` major:minor inode ` as a line of `maps` has it.
    file: Vec<u8>,
    /// On stacked filesystems `maps` may show the file below: its path then tells.
    path: Vec<u8>,
}

impl Library {
    pub(super) fn new(path: &Path) -> Result<Library, LaunchError> {
        let error = |source| LaunchError::Library { path: path.to_owned(), source };
        let metadata = path.metadata().map_err(error)?;
        let canonical = path.canonicalize().map_err(error)?;
        let (major, minor) = (libc::major(metadata.dev()), libc::minor(metadata.dev()));
        let file = format!(" {major:02x}:{minor:02x} {} ", metadata.ino()).into_bytes();
        let path = [b" ", canonical.as_os_str().as_bytes()].concat();
        Ok(Library { file, path })
    }

    fn is_in(&self, maps: &[u8]) -> bool {
        maps.split(|&b| b == b'\n').any(|line| {
            line.ends_with(&self.path) || line.windows(self.file.len()).any(|w| w == self.file)
        })
    }
}

/// A program between its exec and the first proof that the library is in it.
#[derive(Debug, Default)]
struct Pending {
    executable: Option<PathBuf>,
    calls: u32,
}

/// Collects [`Image`]s. A process is looked at when it is about to exec or to
/// end, while it is stopped, so that nothing is added to what is counted. One
/// that a signal ends has no such stop; so each is also looked at after 8, 16,
/// 32, ... watched calls until the library is seen.
#[derive(Debug)]
pub(super) struct Images {
    main: Pid,
    library: Option<Library>,
    found: Vec<Image>,
    known: HashSet<Image>,
    pending: BTreeMap<Pid, Pending>,
}

impl Images {
    pub(super) fn new(main: Pid, library: Option<Library>) -> Images {
        let (found, known, pending) = Default::default();
        Images { main, library, found, known, pending }
    }

    /// `process` is about to run another program.
    pub(super) fn exec(&mut self, process: Pid) {
        self.pending.insert(process, Pending::default());
    }

    /// `thread` is stopped at a counted call.
    pub(super) fn call(&mut self, thread: Pid) {
        let Some(pending) = self.pending.get_mut(&thread) else { return };
        pending.calls += 1;
        if pending.calls == 1 {
            pending.executable = process::executable(thread);
        }
        if pending.calls >= 8
            && pending.calls.is_power_of_two()
            && let Some(library) = &self.library
            && process::maps(thread).is_some_and(|maps| library.is_in(&maps))
        {
            self.look(thread, thread);
        }
    }

    /// `thread` of `process` is stopped at its last call in this program.
    pub(super) fn look(&mut self, thread: Pid, process: Pid) {
        self.pending.remove(&process);
        let Some(executable) = process::executable(thread) else { return };
        let not_covered = self.library.as_ref().and_then(|library| why_not(library, thread));
        self.add(Image { executable, main: process == self.main, not_covered });
    }

    fn add(&mut self, image: Image) {
        if self.known.insert(image.clone()) {
            self.found.push(image);
        }
    }

    /// All that were found, in the order of being found.
    pub(super) fn finish(mut self) -> Vec<Image> {
        for (process, pending) in std::mem::take(&mut self.pending) {
            let reason = "a signal ended it before its mappings were seen";
            let unseen = PathBuf::from(format!("process {process}"));
            self.add(Image {
                executable: pending.executable.unwrap_or(unseen),
                main: process == self.main,
                not_covered: self.library.is_some().then(|| reason.to_owned()),
            });
        }
        self.found
    }
}

/// The likely reason why the library is not in a process; `None`: it is.
fn why_not(library: &Library, thread: Pid) -> Option<String> {
    let Some(maps) = process::maps(thread).filter(|maps| !maps.is_empty()) else {
        return Some("its mappings may not be read".to_owned());
    };
    if library.is_in(&maps) {
        return None;
    }
    let header = elf_header(thread);
    let reason = if header == Some(ElfKind::Static) {
        "statically linked: no loader, no preloading"
    } else if header == Some(ElfKind::Foreign) {
        "a program for another machine or word size"
    } else if process::is_secure(thread) {
        "set-uid or otherwise privileged: the loader ignores LD_PRELOAD"
    } else {
        match process::environment(thread) {
            None => "not mapped, and its environment may not be read",
            Some(e) if e.split(|&b| b == 0).any(|v| v.starts_with(b"LD_PRELOAD=")) => {
                "LD_PRELOAD was set, but the loader did not load the library"
            }
            Some(_) => "its environment had no LD_PRELOAD",
        }
    };
    Some(reason.to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ElfKind {
    Dynamic,
    Static,
    Foreign,
}

/// What the program file's headers say; `None` if it cannot be read.
fn elf_header(thread: Pid) -> Option<ElfKind> {
    const PT_INTERP: u32 = 3;
    let mut head = Vec::new();
    File::open(format!("/proc/{thread}/exe")).ok()?.take(4096).read_to_end(&mut head).ok()?;
    let u16_at = |at: usize| Some(u16::from_ne_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let own_machine = if cfg!(target_arch = "x86_64") { libc::EM_X86_64 } else { libc::EM_AARCH64 };
    if *head.get(4)? != libc::ELFCLASS64 || u16_at(18)? != own_machine {
        return Some(ElfKind::Foreign);
    }
    let table = u64::from_ne_bytes(head.get(32..40)?.try_into().ok()?) as usize;
    let (size, count) = (usize::from(u16_at(54)?), usize::from(u16_at(56)?));
    for i in 0..count {
        let at = table.checked_add(i * size)?;
        if u32::from_ne_bytes(head.get(at..at + 4)?.try_into().ok()?) == PT_INTERP {
            return Some(ElfKind::Dynamic);
        }
    }
    Some(ElfKind::Static)
}
