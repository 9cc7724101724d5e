//! What `/proc` tells about a process. `None`: it is gone, or may not be read.

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::sys::Pid;

/// Of `/proc/<pid>/status`, which is readable for any process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// The process that the thread belongs to.
    pub(super) process: Pid,
    pub(super) rss_bytes: u64,
    /// `VmHWM`: the most that `rss_bytes` has been since exec or fork.
    pub(super) peak_rss_bytes: u64,
}

/// Of a thread. A zombie has no memory: its sizes are 0.
pub(super) fn status(thread: Pid) -> Option<Status> {
    let text = fs::read(format!("/proc/{thread}/status")).ok()?;
    let mut status = Status::default();
    for line in text.split(|&b| b == b'\n') {
        let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
        let value = number(line[colon + 1..].trim_ascii());
        match &line[..colon] {
            b"Tgid" => status.process = value as Pid,
            b"VmRSS" => status.rss_bytes = value * 1024,
            b"VmHWM" => status.peak_rss_bytes = value * 1024,
            _ => {}
        }
    }
    Some(status)
}

/// Whether exec can grant privileges to a child of this thread, and this thread may
/// then still watch it: install a filter without promising that no exec grants any
/// (`CAP_SYS_ADMIN`), and trace and look at what has more privileges than its user
/// (`CAP_SYS_PTRACE`).
pub(super) fn may_watch_privileged() -> bool {
    const NEEDED: u64 = 1 << 19 | 1 << 21;
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let held = field("CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    held & NEEDED == NEEDED && field("NoNewPrivs:") == Some("0")
}

/// The direct children of all threads of a process.
pub(super) fn children(process: Pid) -> Vec<Pid> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let mut children = Vec::new();
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<Pid>().ok()));
    }
    children
}

/// Clock ticks on a CPU, user and system, of a process and of those of its children
/// that it has waited for.
pub(super) fn ticks(process: Pid) -> Option<(u64, u64)> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    let field = |n| stat_field(&stat, n);
    Some((field(14)? + field(16)?, field(15)? + field(17)?))
}

/// The n-th field of `/proc/<pid>/stat`, from 3 on. The second, the name, may contain
/// anything, parentheses too.
fn stat_field(stat: &[u8], n: usize) -> Option<u64> {
    let after_name = stat.iter().rposition(|&b| b == b')')? + 2;
    Some(number(stat[after_name..].split(|&b| b == b' ').nth(n - 3)?))
}

/// Whether this kernel lists children (`CONFIG_PROC_CHILDREN`).
pub(super) fn lists_children() -> bool {
    fs::exists("/proc/thread-self/children").unwrap_or(false)
}

/// The program file that a process runs; of one whose file the user may not read,
/// only its name (15 bytes at most).
pub(super) fn executable(thread: Pid) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{thread}/exe")).ok().or_else(|| {
        let name = fs::read_to_string(format!("/proc/{thread}/comm")).ok()?;
        Some(PathBuf::from(name.trim_end_matches('\n')))
    })
}

/// All of `/proc/<pid>/maps`; empty for a zombie.
pub(super) fn maps(thread: Pid) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{thread}/maps")).ok()
}

/// The mappings of no file that are a process's own, ascending: that of `brk`, and
/// all others but stacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Anonymous {
    pub(super) heap: Vec<(u64, u64)>,
    pub(super) others: Vec<(u64, u64)>,
}

pub(super) fn anonymous(process: Pid) -> Option<Anonymous> {
    let text = maps(process)?;
    let mut found = Anonymous::default();
    for line in text.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let mut fields = line.split(|&b| b == b' ').filter(|field| !field.is_empty());
        let (access, inode, name) = (fields.nth(1)?, fields.nth(2)?, fields.next());
        if access.last() != Some(&b'p') || inode != b"0" {
            continue;
        }
        match name {
            Some(b"[heap]") => found.heap.push(range(line)?),
            None => found.others.push(range(line)?),
            Some(name) if name.starts_with(b"[anon") => found.others.push(range(line)?),
            Some(_) => {}
        }
    }
    Some(found)
}

/// OS pages of `ranges` that are there: each was faulted in.
pub(super) fn present(process: Pid, ranges: &[(u64, u64)], os_page: u64) -> Option<u64> {
    /// Bits of a page that is in memory, or was and is in swap.
    const PRESENT: u64 = 1 << 63 | 1 << 62;
    let file = fs::File::open(format!("/proc/{process}/pagemap")).ok()?;
    let mut words = [0; 8 << 10];
    let mut count = 0;
    for &(begin, end) in ranges {
        let (mut at, end) = (begin / os_page * 8, end.div_ceil(os_page) * 8);
        while at < end {
            let most = words.len().min((end - at) as usize);
            let got = file.read_at(&mut words[..most], at).ok().filter(|got| *got > 0)?;
            let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
            count += words[..got].chunks_exact(8).filter(|it| word(it) & PRESENT != 0).count();
            at += got as u64;
        }
    }
    Some(count as u64)
}

/// The environment that the program was started with, NUL after each variable.
pub(super) fn environment(thread: Pid) -> Option<Vec<u8>> {
    fs::read(format!("/proc/{thread}/environ")).ok()
}

/// Whether the loader was told to distrust the environment (`AT_SECURE`).
pub(super) fn is_secure(thread: Pid) -> bool {
    const AT_SECURE: usize = 23;
    let vector = fs::read(format!("/proc/{thread}/auxv")).unwrap_or_default();
    let word = |bytes: &[u8]| usize::from_ne_bytes(bytes.try_into().expect("a word's length"));
    let words: Vec<usize> = vector.chunks_exact(size_of::<usize>()).map(word).collect();
    words.chunks_exact(2).any(|pair| pair[0] == AT_SECURE && pair[1] != 0)
}

/// Where the heap of `brk` begins and ends, up to a whole OS page, for a thread that is
/// stopped at the entry of `brk(wanted)`. The kernel names each mapping that
/// reaches into the heap; mappings are listed in ascending order, and only as many
/// as are asked for, so that small reads that stop early are cheap.
pub(super) fn heap(thread: Pid, wanted: u64) -> Option<(u64, u64)> {
    const READ: usize = 512;
    let mut file = fs::File::open(format!("/proc/{thread}/maps")).ok()?;
    let mut text = Vec::with_capacity(4 * READ);
    let (mut parsed, mut heap): (_, Option<(u64, u64)>) = (0, None);
    'file: loop {
        let start = text.len();
        text.resize(start + READ, 0);
        let n = file.read(&mut text[start..]).ok()?;
        text.truncate(start + n);
        if n == 0 {
            break;
        }
        while let Some(length) = text[parsed..].iter().position(|&b| b == b'\n') {
            let line = &text[parsed..parsed + length];
            parsed += length + 1;
            let (begin, end) = range(line)?;
            if line.ends_with(b"[heap]") {
                heap = Some((heap.map_or(begin, |heap| heap.0), end));
            } else if begin >= wanted {
                break 'file;
            }
        }
    }
    heap.or_else(|| heap_start(thread).map(|start| (start, start)))
}

/// `start_brk` of `/proc/<pid>/stat`: where the heap is, if it is still empty.
fn heap_start(thread: Pid) -> Option<u64> {
    let stat = fs::read(format!("/proc/{thread}/stat")).ok()?;
    stat_field(&stat, 47).filter(|&start| start != 0)
}

/// The addresses that a line of `maps` begins with.
fn range(line: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(line.split(|&b| b == b' ').next()?).ok()?;
    let (begin, end) = text.split_once('-')?;
    Some((u64::from_str_radix(begin, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

/// The decimal number that `text` begins with, else 0.
fn number(text: &[u8]) -> u64 {
    text.iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0, |n, b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')))
}
