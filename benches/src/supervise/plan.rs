//! All that the keeper and the child need, prepared before the fork: after it,
//! nothing may be allocated.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr;

use brkpoint_reports::record::Pass;

use super::board::SharedBoard;
use super::{Launch, LaunchError, Tracer, calls, process, sys};

/// Stack of the child until it execs, in bytes.
const CHILD_STACK: usize = 64 * 1024;

/// What the keeper and the child work from. Both only read it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) path: CString,
    argv: Strings,
    envp: Strings,
    pub(super) stdin: File,
    pub(super) stdout: File,
    pub(super) stderr: File,
    pub(super) pass: Pass,
    pub(super) tracer: Tracer,
    /// No program of the tree gains privileges by exec, in whatever pass.
    pub(super) unprivileged: bool,
    pub(super) notify_filter: Vec<libc::sock_filter>,
    pub(super) trace_filter: Vec<libc::sock_filter>,
    pub(super) board: SharedBoard,
    pub(super) stack: sys::Mapping,
    /// The keeper's end: a message or the closing of the other end means "kill
    /// them all"; its own closing means that all is over.
    pub(super) keeper_life: RawFd,
    /// The child's end, for the handshake about instruments.
    pub(super) child_talk: RawFd,
    /// Descriptors that the keeper leaves open, ascending.
    pub(super) kept: Vec<RawFd>,
}

/// The harness's ends of the two sockets.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) life: OwnedFd,
    pub(super) talk: OwnedFd,
    /// The other ends, for the fork to inherit.
    far: Option<[OwnedFd; 2]>,
}

impl Ends {
    /// To be called after the fork: only the keeper and the child may hold the
    /// other ends, or their closing would tell nothing.
    pub(super) fn without_far(mut self) -> Ends {
        self.far = None;
        self
    }
}

impl Plan {
    pub(super) fn new(launch: &Launch, pass: Pass) -> Result<(Plan, Ends), LaunchError> {
        let environment = environment(launch)?;
        let path = resolve(&launch.program, environment.get(OsStr::new("PATH")))?;
        let argv = std::iter::once(&launch.program).chain(&launch.args);
        let argv =
            Strings::new(argv.map(|a| c_string("argument", a.clone())).collect::<Result<_, _>>()?);
        let envp = Strings::new(
            environment
                .into_iter()
                .map(|(mut name, value)| {
                    name.push("=");
                    name.push(value);
                    c_string("variable", name)
                })
                .collect::<Result<_, _>>()?,
        );
        let stdin = launch.stdin.as_deref().unwrap_or(Path::new("/dev/null"));
        let stdin = File::open(stdin)
            .map_err(|source| LaunchError::Stdin { path: stdin.to_owned(), source })?;
        let capture = || {
            tempfile::tempfile()
                .map_err(LaunchError::system("creating a temporary file for the program's output"))
        };
        let (stdout, stderr) = (capture()?, capture()?);
        let pair = || sys::socket_pair().map_err(LaunchError::system("creating a socket pair"));
        let ((life, keeper_life), (talk, child_talk)) = (pair()?, pair()?);
        let memory = LaunchError::system("mapping memory for the program's start");
        let board = SharedBoard::new().map_err(memory)?;
        let memory = LaunchError::system("mapping memory for the program's start");
        let stack = sys::Mapping::private(CHILD_STACK).map_err(memory)?;

        let mut kept = vec![
            stdin.as_raw_fd(),
            stdout.as_raw_fd(),
            stderr.as_raw_fd(),
            keeper_life.as_raw_fd(),
            child_talk.as_raw_fd(),
        ];
        kept.sort_unstable();
        let memory = pass == Pass::Counts;
        let plan = Plan {
            path: c_string("program", path.into_os_string())?,
            argv,
            envp,
            stdin,
            stdout,
            stderr,
            pass,
            tracer: if pass == Pass::Time { Tracer::None } else { launch.tracer },
            unprivileged: !process::may_watch_privileged(),
            notify_filter: calls::filter(memory, libc::SECCOMP_RET_USER_NOTIF),
            trace_filter: calls::filter(memory, libc::SECCOMP_RET_TRACE),
            board,
            stack,
            keeper_life: keeper_life.as_raw_fd(),
            child_talk: child_talk.as_raw_fd(),
            kept,
        };
        Ok((plan, Ends { life, talk, far: Some([keeper_life, child_talk]) }))
    }

    /// Bytes that the tree has written to standard output and standard error.
    pub(super) fn written(&self) -> u64 {
        let length = |file: &File| file.metadata().map_or(0, |metadata| metadata.len());
        length(&self.stdout) + length(&self.stderr)
    }

    pub(super) fn argv(&self) -> *const *const libc::c_char {
        self.argv.pointers.as_ptr()
    }

    pub(super) fn envp(&self) -> *const *const libc::c_char {
        self.envp.pointers.as_ptr()
    }
}

/// A null-terminated array of C strings, as `execve` wants it.
#[derive(Debug)]
struct Strings {
    pointers: Vec<*const libc::c_char>,
    /// What `pointers` points to.
    _strings: Vec<CString>,
}

impl Strings {
    fn new(strings: Vec<CString>) -> Strings {
        let pointers =
            strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(ptr::null())).collect();
        Strings { pointers, _strings: strings }
    }
}

fn c_string(what: &'static str, value: OsString) -> Result<CString, LaunchError> {
    CString::new(value.into_vec())
        .map_err(|e| LaunchError::BadString { what, value: OsString::from_vec(e.into_vec()) })
}

fn environment(launch: &Launch) -> Result<BTreeMap<OsString, OsString>, LaunchError> {
    let mut environment: BTreeMap<_, _> = env::vars_os().collect();
    for name in &launch.env_remove {
        environment.remove(name);
    }
    for (name, value) in &launch.env {
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            return Err(LaunchError::BadString { what: "variable", value: name.clone() });
        }
        environment.insert(name.clone(), value.clone());
    }
    Ok(environment)
}

/// The file that `execvp` would run, by this process's `PATH`.
///
/// # Errors
/// If there is none, or it cannot be executed.
pub fn find_program(program: &OsStr) -> Result<PathBuf, LaunchError> {
    resolve(program, env::var_os("PATH").as_ref())
}

/// The file that `execvp` would run, by the program's own `PATH`.
pub(super) fn resolve(program: &OsStr, path: Option<&OsString>) -> Result<PathBuf, LaunchError> {
    let searched = !program.as_bytes().contains(&b'/');
    let not_found = || LaunchError::NotFound { program: program.to_owned(), searched };
    if program.is_empty() {
        return Err(not_found());
    }
    let candidates: Vec<PathBuf> = if searched {
        let path = path.map_or(OsStr::new("/bin:/usr/bin"), OsString::as_os_str);
        env::split_paths(path)
            .map(|dir| if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir })
            .map(|dir| dir.join(program))
            .collect()
    } else {
        vec![PathBuf::from(program)]
    };
    let mut refused = None;
    for candidate in candidates {
        let Ok(metadata) = candidate.metadata() else { continue };
        let c_path = c_string("program", candidate.clone().into_os_string())?;
        if metadata.is_file() && sys::may_execute(&c_path) {
            return Ok(candidate);
        }
        refused.get_or_insert(candidate);
    }
    Err(refused.map_or_else(not_found, |path| LaunchError::NotExecutable { path }))
}
