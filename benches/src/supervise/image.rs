//! The programs that the tree ran, and whether the preload library was in each.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::sys::Pid;
use super::{LaunchError, process, sys};

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
    /// Where no library was asked for: one that is known to bring a malloc of its own and
    /// was mapped.
    pub own_malloc: Option<String>,
}

impl Image {
    /// Whether the library answered, as far as one was asked for.
    pub fn covered(&self) -> bool {
        self.not_covered.is_none()
    }

    /// Whether its file grants privileges that this process does not have.
    pub(super) fn grants_privileges(&self) -> bool {
        // Where the file is unknown there is only a name, without a path.
        let Ok(metadata) = self.executable.metadata() else { return false };
        let Ok(path) = CString::new(self.executable.as_os_str().as_bytes()) else { return false };
        let (uid, gid) = sys::effective_ids();
        let has = |bit| metadata.mode() & bit == bit;
        self.executable.is_absolute()
            && (has(libc::S_ISUID) && metadata.uid() != uid
                || has(libc::S_ISGID | libc::S_IXGRP) && metadata.gid() != gid
                // Root has no use for them.
                || uid != 0 && sys::has_attribute(&path, c"security.capability"))
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
    rounds: u32,
    /// As it was in the latest round, if that told anything.
    seen: Option<Image>,
}

/// Collects [`Image`]s. A process is looked at when it is about to exec or to
/// end, while it is stopped, so that nothing is added to what is counted. One
/// that a signal ends has no such stop; so each is also looked at after 8, 16,
/// 32, ... watched calls until the library is seen, and in rounds while it runs.
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
        if let Some(image) = self.image(thread, process) {
            self.add(image);
        }
    }

    /// A round of looks at the processes that run, for the case that a signal ends
    /// them: in their 2nd, 4th, 8th ... round; the latest counts. The exec may be
    /// still under way in the first one, and what there is, the program before it.
    pub(super) fn look_round(&mut self) {
        for (process, mut pending) in std::mem::take(&mut self.pending) {
            pending.rounds += 1;
            if pending.rounds >= 2
                && pending.rounds.is_power_of_two()
                && let Some(image) = self.image(process, process)
                // Only of one that is alive even now was all to be seen.
                && process::status(process).is_some_and(|status| status.rss_bytes > 0)
            {
                pending.executable = Some(image.executable.clone());
                let is_early = image.not_covered.as_deref().is_some_and(|r| EARLY.contains(&r));
                pending.seen = (!is_early).then_some(image);
            }
            self.pending.insert(process, pending);
        }
    }

    fn image(&self, thread: Pid, process: Pid) -> Option<Image> {
        let executable = process::executable(thread)?;
        let not_covered = self.library.as_ref().and_then(|library| why_not(library, thread));
        let maps = || process::maps(thread).unwrap_or_default();
        let own_malloc = if self.library.is_none() { own_malloc(&maps()) } else { None };
        Some(Image { executable, main: process == self.main, not_covered, own_malloc })
    }

    fn add(&mut self, image: Image) {
        if self.known.insert(image.clone()) {
            self.found.push(image);
        }
    }

    /// All that were found, in the order of being found, and what is to be said of
    /// those that were not seen.
    pub(super) fn finish(mut self) -> (Vec<Image>, Option<String>) {
        let mut unseen = false;
        let mut names = BTreeSet::new();
        for pending in std::mem::take(&mut self.pending).into_values() {
            if let Some(image) = pending.seen {
                self.add(image);
            } else {
                unseen = true;
                names.extend(pending.executable.map(|path| path.display().to_string()));
            }
        }
        let names = if names.is_empty() {
            String::new()
        } else {
            format!(" ({})", Vec::from_iter(names).join(", "))
        };
        // Without ids or numbers: each round of a benchmark should say the same.
        let note = (unseen && self.library.is_some()).then(|| {
            format!(
                "not known whether the library was in every process: a signal ended some before \
                 their mappings were seen{names}"
            )
        });
        (self.found, note)
    }
}

const NO_ENVIRONMENT: &str = "its environment was empty";
const NOT_LOADED: &str = "LD_PRELOAD was set, but the loader did not load the library";

/// The reasons that are also seen where a program is still being loaded.
const EARLY: [&str; 2] = [NO_ENVIRONMENT, NOT_LOADED];

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
            Some(e) if e.is_empty() => NO_ENVIRONMENT,
            Some(e) if e.split(|&b| b == 0).any(|v| v.starts_with(b"LD_PRELOAD=")) => NOT_LOADED,
            Some(_) => "its environment had no LD_PRELOAD",
        }
    };
    Some(reason.to_owned())
}

/// Libraries that programs are linked with for their malloc.
const ALLOCATORS: [&str; 5] =
    ["libjemalloc.so", "libtcmalloc", "libmimalloc.so", "libhoard.so", "libsnmalloc"];

/// The file name of such a library among a process's mappings.
fn own_malloc(maps: &[u8]) -> Option<String> {
    let names = maps.split(|&b| b == b'\n').filter_map(|line| line.rsplit(|&b| b == b'/').next());
    let is_one = |name: &&[u8]| ALLOCATORS.iter().any(|start| name.starts_with(start.as_bytes()));
    names
        .filter(|name| !name.contains(&b' '))
        .find(is_one)
        .map(|name| String::from_utf8_lossy(name).into_owned())
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
    if *head.get(4)? != libc::ELFCLASS64 || u16_at(18)? != libc::EM_X86_64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processes that ended unseen, of one of which the file is known.
    fn unseen(library: Option<Library>) -> (Vec<Image>, Option<String>) {
        let mut images = Images::new(1, library);
        let known = Pending { executable: Some(PathBuf::from("/bin/known")), ..Pending::default() };
        images.pending.extend([(i32::MAX, Pending::default()), (i32::MAX - 1, known)]);
        images.look_round();
        images.look_round();
        images.finish()
    }

    #[test]
    fn a_program_that_brings_its_own_malloc_is_known_by_its_library() {
        let maps = "55d0-55d1 r--p 00000000 fd:01 7 /usr/bin/redis-server\n\
                    7f00-7f01 r-xp 00000000 fd:01 9 /usr/lib/x86_64-linux-gnu/libjemalloc.so.2\n\
                    7f02-7f03 rw-p 00000000 00:00 0 \n7f04-7f05 r-xp 0 fd:01 3 /lib/libc.so.6\n";
        assert_eq!(own_malloc(maps.as_bytes()).as_deref(), Some("libjemalloc.so.2"));
        assert_eq!(own_malloc(b"7f04-7f05 r-xp 0 fd:01 3 /lib/libc.so.6\n"), None);
        assert_eq!(own_malloc(b"7f0-7f1 r-xp 0 fd:01 3 /opt/libjemalloc.so/notes\n"), None);
    }

    #[test]
    fn nothing_is_claimed_of_what_was_not_seen() {
        let library = Library::new(Path::new("/proc/self/exe")).expect("this program is a file");
        let (images, note) = unseen(Some(library));
        assert!(images.is_empty(), "{images:?}");
        let note = note.expect("the library may have been missing");
        assert!(note.starts_with("not known") && note.ends_with("(/bin/known)"), "{note}");
        assert!(!note.contains(|c: char| c.is_ascii_digit()), "an id of a process: {note}");
        assert_eq!(unseen(None).1, None);
    }
}
