//! Which system calls are watched, per ABI, and the seccomp filter that picks
//! them out.

use brkpoint_worker::marker::MAGIC;

/// A memory call that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the calls'")]
pub enum Call {
    Brk,
    Mmap,
    Munmap,
    Mremap,
    Madvise,
    Mprotect,
}

impl Call {
    /// All of them, in the order of their indices.
    pub const ALL: [Call; 6] =
        [Call::Brk, Call::Mmap, Call::Munmap, Call::Mremap, Call::Madvise, Call::Mprotect];

    /// The name of the system call.
    pub const fn name(self) -> &'static str {
        match self {
            Call::Brk => "brk",
            Call::Mmap => "mmap",
            Call::Munmap => "munmap",
            Call::Mremap => "mremap",
            Call::Madvise => "madvise",
            Call::Mprotect => "mprotect",
        }
    }
}

/// A memory call and its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) call: Call,
    /// The length; for `brk`, the break asked for; for `mremap`, the new length.
    pub(super) length: u64,
    /// Where it begins; for `mmap`, a hint.
    pub(super) start: u64,
    /// For `mremap`, the old length.
    pub(super) old: u64,
    /// An `mmap` as allocators make it for a block: private, anonymous, readable and
    /// writable, wherever there is room.
    pub(super) block: bool,
    /// What is in `start..start + length` is lost.
    pub(super) discards: bool,
}

/// A watched call, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A memory call.
    Memory(Memory),
    /// What is counted from here on belongs to this phase.
    Marker(u32),
    /// The process is about to become another program.
    Exec,
    /// The thread, and perhaps the process, is about to end.
    Exit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory(Call, usize),
    Marker,
    Exec,
    Exit,
}

/// One calling convention of the kernel and its numbers.
struct Abi {
    audit_arch: u32,
    /// Bits of the number that say nothing about which call it is.
    ignore: u32,
    calls: &'static [(u32, Kind)],
}

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the calling conventions of this machine's kernel are not listed here");

/// The x32 ABI is x86-64 with bit 30 set; the memory calls have the same numbers.
const NATIVE: Abi = Abi {
    audit_arch: 0xC000_003E,
    ignore: 0x4000_0000,
    calls: &[
        (libc::SYS_brk as u32, Kind::Memory(Call::Brk, 0)),
        (libc::SYS_mmap as u32, Kind::Memory(Call::Mmap, 1)),
        (libc::SYS_munmap as u32, Kind::Memory(Call::Munmap, 1)),
        (libc::SYS_mremap as u32, Kind::Memory(Call::Mremap, 2)),
        (libc::SYS_madvise as u32, Kind::Memory(Call::Madvise, 1)),
        (libc::SYS_mprotect as u32, Kind::Memory(Call::Mprotect, 1)),
        (libc::SYS_prctl as u32, Kind::Marker),
        (libc::SYS_execve as u32, Kind::Exec),
        (libc::SYS_execveat as u32, Kind::Exec),
        (libc::SYS_exit as u32, Kind::Exit),
        (libc::SYS_exit_group as u32, Kind::Exit),
    ],
};

/// 32-bit programs under a 64-bit x86 kernel. Its old `mmap` (90) takes its
/// arguments in memory: the call is counted, its length unknown.
const I386: Abi = Abi {
    audit_arch: 0x4000_0003,
    ignore: 0,
    calls: &[
        (45, Kind::Memory(Call::Brk, 0)),
        (90, Kind::Memory(Call::Mmap, NO_LENGTH)),
        (192, Kind::Memory(Call::Mmap, 1)),
        (91, Kind::Memory(Call::Munmap, 1)),
        (163, Kind::Memory(Call::Mremap, 2)),
        (219, Kind::Memory(Call::Madvise, 1)),
        (125, Kind::Memory(Call::Mprotect, 1)),
        (172, Kind::Marker),
        (11, Kind::Exec),
        (358, Kind::Exec),
        (1, Kind::Exit),
        (252, Kind::Exit),
    ],
};

/// In place of an argument's index: no argument is a length.
const NO_LENGTH: usize = usize::MAX;

const ABIS: &[Abi] = &[NATIVE, I386];

/// What a call means here; `None`: nothing (a `prctl` of another kind, say).
pub(super) fn classify(audit_arch: u32, number: u32, args: &[u64; 6]) -> Option<Event> {
    let abi = ABIS.iter().find(|abi| abi.audit_arch == audit_arch)?;
    let number = number & !abi.ignore;
    let (_, kind) = abi.calls.iter().find(|(n, _)| *n == number)?;
    match *kind {
        Kind::Memory(call, argument) => {
            const PROTECTION: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
            const FLAGS: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
            let block = args[0] == 0 && args[2] == PROTECTION && args[3] == FLAGS;
            let discards = match call {
                Call::Munmap => true,
                Call::Mmap => args[3] & libc::MAP_FIXED as u64 != 0,
                Call::Madvise => args[2] == libc::MADV_DONTNEED as u64,
                Call::Brk | Call::Mremap | Call::Mprotect => false,
            };
            Some(Event::Memory(Memory {
                call,
                length: args.get(argument).copied().unwrap_or(0),
                start: args[0],
                old: if call == Call::Mremap { args[1] } else { 0 },
                block: call == Call::Mmap && block,
                discards,
            }))
        }
        Kind::Marker => (args[0] as u32 == MAGIC).then_some(Event::Marker(args[1] as u32)),
        Kind::Exec => Some(Event::Exec),
        Kind::Exit => Some(Event::Exit),
    }
}

/// A filter that answers `action` to the watched calls and allows all others.
/// `memory` says whether the memory calls are watched, or only exec and exit.
pub(super) fn filter(memory: bool, action: u32) -> Vec<libc::sock_filter> {
    // Offsets in `struct seccomp_data`; the low half of the first argument.
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    const ARGUMENT: u32 = 16;
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let unless_equal =
        |k, skip| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, 0, skip);
    let answer = |action| instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0);
    let allow = answer(libc::SECCOMP_RET_ALLOW);

    let mut program = Vec::new();
    for abi in ABIS {
        let mut block = vec![
            load(NUMBER),
            instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, !abi.ignore, 0, 0),
        ];
        for &(number, kind) in abi.calls {
            match kind {
                Kind::Memory(..) | Kind::Marker if !memory => {}
                Kind::Marker => block.extend([
                    unless_equal(number, 4),
                    load(ARGUMENT),
                    unless_equal(MAGIC, 1),
                    answer(action),
                    allow,
                ]),
                _ => block.extend([unless_equal(number, 1), answer(action)]),
            }
        }
        block.push(allow);
        program.push(load(ARCH));
        program.push(unless_equal(abi.audit_arch, block.len() as u8));
        program.extend(block);
    }
    program.push(allow);
    program
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}
