//! Real programs under the preload library.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

/// The presets that programs are run under.
pub const PRESETS: [&str; 5] = ["default", "brk-only", "mmap-only", "hybrid", "hybrid-dynamic"];

/// Nothing here takes this long; what does, hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// The library, built once in a target directory of its own.
pub fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("preload");
        let cargo = std::env::var_os("CARGO").expect("run by cargo, which sets CARGO");
        let status = Command::new(cargo)
            .args(["build", "--release", "--quiet", "-p", "brkpoint-malloc", "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the preload library does not build");
        target.join("release/libbrkpoint_malloc.so")
    });
    &LIBRARY
}

/// Whether a program is here. A missing one is a failure, and not silently
/// passed over, unless `BRKPOINT_SKIP` (a list with commas) names it.
pub fn have(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&paths).any(|path| path.join(tool).is_file()) {
        return true;
    }
    let skip = std::env::var("BRKPOINT_SKIP").unwrap_or_default();
    assert!(
        skip.split(',').any(|name| name.trim() == tool),
        "{tool} is not installed: install it, or set BRKPOINT_SKIP={tool} to do without this test"
    );
    eprintln!("SKIPPED: {tool} is not installed, and BRKPOINT_SKIP allows it");
    false
}

/// A command under the library, with no setting but the preset.
pub fn preloaded(program: impl AsRef<OsStr>, preset: &str) -> Command {
    let mut command = Command::new(program);
    for option in brkpoint_allocator::options() {
        command.env_remove(option.env);
    }
    command.env("LD_PRELOAD", library()).env("BRKPOINT_PRESET", preset);
    command
}

/// Runs a command to its end; a hang is a failure.
pub fn output(mut command: Command) -> Output {
    let shown = format!("{command:?}");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let id = child.id() as libc::pid_t;
    let done = OnceLock::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            while done.get().is_none() {
                if start.elapsed() > PATIENCE {
                    // SAFETY: our own child, not yet waited for.
                    unsafe { libc::kill(id, libc::SIGKILL) };
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let output = child.wait_with_output();
        let _ = done.set(());
        output.unwrap_or_else(|error| panic!("{shown}: {error}"))
    })
}

/// Runs a command that must succeed, and gives its stdout.
pub fn stdout(command: Command) -> Vec<u8> {
    let shown = format!("{command:?}");
    let output = output(command);
    assert!(
        output.status.success(),
        "{shown}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A C program from `tests/preload/`, compiled. `None` without a compiler.
pub fn compiled(name: &str) -> Option<PathBuf> {
    if !have("gcc") {
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/preload/{name}.c"));
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut gcc = Command::new("gcc");
    // Compilers know malloc and drop what they think is unused.
    gcc.args(["-O1", "-fno-builtin", "-Wall", "-Wno-deprecated-declarations", "-pthread", "-o"]);
    gcc.arg(&binary).arg(source);
    stdout(gcc);
    Some(binary)
}
