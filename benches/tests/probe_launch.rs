//! What a program is started with, what it wrote, which library was in it, and
//! what is said if it cannot be started.

mod probe_common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brkpoint::supervise::{Image, Instrument, Launch, LaunchError, Stop, Tracer, run};
use brkpoint_reports::record::{Exit, Pass};
use probe_common::{again_as_nobody, compile, has, launch, observe, temp_dir};

const PASSES: [Pass; 3] = [Pass::Time, Pass::Counts, Pass::Memory];

fn fails(launch: &Launch) -> LaunchError {
    let errors = PASSES.map(|pass| match run(launch, pass, &Stop::default()) {
        Err(error) => error,
        Ok(seen) => panic!("{launch:?} started: {:?}", seen.exit),
    });
    let [error, ..] = errors;
    error
}

fn stdout(launch: &Launch, pass: Pass) -> String {
    let seen = observe(launch, pass, Tracer::Auto);
    assert_eq!(seen.exit, Exit::Code(0), "{}", seen.stderr_tail);
    String::from_utf8(seen.stdout.read().expect("output")).expect("text")
}

#[test]
fn output_is_the_same_in_all_passes() {
    let script =
        "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo oops >&2; exit 3";
    let digests = PASSES.map(|pass| {
        let seen = observe(&launch("sh", &["-c", script]), pass, Tracer::Auto);
        assert_eq!(seen.exit, Exit::Code(3));
        assert_eq!(seen.stderr_tail, "oops\n");
        let all = seen.stdout.read().expect("output");
        assert_eq!(all.len() as u64, seen.stdout.bytes);
        assert!(all.starts_with(b"line 0\nline 1\n") && all.ends_with(b"line 2999\n"));
        seen.stdout.digest
    });
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    let other = observe(&launch("echo", &["x"]), Pass::Time, Tracer::Auto).stdout.digest;
    assert_ne!(other, digests[0]);
}

#[test]
fn of_long_error_output_the_end_is_kept() {
    let script = "i=0; while [ $i -lt 1000 ]; do echo error $i >&2; i=$((i+1)); done";
    let seen = observe(&launch("sh", &["-c", script]), Pass::Time, Tracer::Auto);
    assert!(seen.stderr_tail.len() <= 2048 && seen.stderr_tail.ends_with("error 999\n"));
}

#[test]
fn environment_input_and_descriptors_are_as_asked() {
    let dir = temp_dir();
    let input = dir.path().join("input");
    fs::write(&input, "from a file").expect("writing a file");
    let held = fs::File::open(&input).expect("opening a file");
    for pass in PASSES {
        let mut command = launch("sh", &["-c", "echo $A-$HOME-$B; cat; ls /proc/self/fd"]);
        command.env = vec![("A".into(), "1".into()), ("B".into(), "2".into())];
        command.env_remove = vec!["HOME".into(), "B".into()];
        command.stdin = Some(input.clone());
        // `ls` itself opens the directory as descriptor 3.
        assert_eq!(stdout(&command, pass), "1--2\nfrom a file0\n1\n2\n3\n", "{pass:?}");
        assert_eq!(stdout(&launch("cat", &[]), pass), "", "standard input is empty by default");
    }
    drop(held);
}

#[test]
fn signals_have_their_default_actions() {
    // A Rust program ignores SIGPIPE, and its children would inherit that.
    let script = "kill -PIPE $$; echo survived";
    let seen = observe(&launch("sh", &["-c", script]), Pass::Time, Tracer::Auto);
    assert_eq!(seen.exit, Exit::Signal(libc::SIGPIPE));
    let masks = stdout(&launch("grep", &["-E", "SigBlk|SigIgn", "/proc/self/status"]), Pass::Time);
    assert!(masks.lines().all(|line| line.ends_with("0000000000000000")), "{masks}");
}

#[test]
fn what_cannot_be_started_is_named_with_the_reason() {
    let dir = temp_dir();
    let file = |name: &str, text: &str, mode| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("writing a file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("setting its mode");
        path
    };
    let said = |program: &Path| fails(&launch(program, &[])).to_string();

    let error = fails(&launch("no-such-command-here", &[]));
    assert!(matches!(error, LaunchError::NotFound { searched: true, .. }), "{error}");
    assert!(error.to_string().contains("no-such-command-here"), "{error}");
    assert!(matches!(
        fails(&launch("/no/such", &[])),
        LaunchError::NotFound { searched: false, .. }
    ));
    assert!(matches!(fails(&launch("", &[])), LaunchError::NotFound { .. }));
    assert!(matches!(fails(&launch("/tmp", &[])), LaunchError::NotExecutable { .. }));
    let plain = file("plain", "text", 0o644);
    assert!(matches!(fails(&launch(&plain, &[])), LaunchError::NotExecutable { .. }));
    let text = said(&file("text", "no program\n", 0o755));
    assert!(text.contains("#! line"), "{text}");
    let script = said(&file("script", "#!/no/such/interpreter\n", 0o755));
    assert!(script.contains("interpreter") && script.contains("script"), "{script}");

    let mut command = launch("true", &[]);
    command.stdin = Some(PathBuf::from("/no/such/input"));
    let error = fails(&command);
    assert!(matches!(error, LaunchError::Stdin { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/input"), "{error}");

    let mut command = launch("true", &[]);
    command.library = Some(PathBuf::from("/no/such/library.so"));
    assert!(matches!(fails(&command), LaunchError::Library { .. }));

    assert!(matches!(fails(&launch("true", &["a\0b"])), LaunchError::BadString { .. }));
    let mut command = launch("true", &[]);
    command.env = vec![("A=B".into(), "1".into())];
    assert!(matches!(fails(&command), LaunchError::BadString { .. }));
    assert!(matches!(
        fails(&launch("true", &["x".repeat(1 << 20).as_str()])),
        LaunchError::Exec { .. }
    ));
}

#[test]
fn it_is_known_which_programs_had_the_library() {
    if !has("gcc") {
        return;
    }
    let dir = temp_dir();
    let library = dir.path().join("library.so");
    compile("int nothing_here;\n", &library, &["-shared", "-fPIC"]);
    let bare = dir.path().join("bare");
    compile("int main(void) { return 0; }\n", &bare, &["-static"]);
    // May be executed, but not read; root reads everything.
    let secret = dir.path().join("secret");
    compile("int main(void) { return 0; }\n", &secret, &[]);
    fs::set_permissions(&secret, Permissions::from_mode(0o111)).expect("setting its mode");
    // SAFETY: takes no arguments.
    let is_root = unsafe { libc::geteuid() } == 0;
    let script = format!(
        "ls / > /dev/null; env -u LD_PRELOAD sort /dev/null; {}; {}; sh -c 'kill -KILL $$'; yes | head -1 >/dev/null",
        bare.display(),
        secret.display()
    );
    let mut command = launch("bash", &["-c", &script]);
    command.library = Some(library.clone());
    command.env = vec![("LD_PRELOAD".into(), library.clone().into())];
    for (pass, tracer) in [
        (Pass::Counts, Tracer::Notify),
        (Pass::Counts, Tracer::Ptrace),
        (Pass::Memory, Tracer::Ptrace),
    ] {
        let images = observe(&command, pass, tracer).images;
        let of = |name: &str| -> Vec<&Image> {
            images.iter().filter(|i| i.executable.file_name().is_some_and(|n| n == name)).collect()
        };
        let reason = |name: &str| match of(name)[..] {
            [image] => image.not_covered.clone().unwrap_or_default(),
            _ => panic!("{name} is in {images:?}"),
        };
        for covered in ["bash", "ls", "env", "yes", "head"] {
            assert!(of(covered)[..].iter().all(|i| i.covered()), "{covered} in {images:?}");
            assert!(!of(covered).is_empty(), "{covered} in {images:?}");
        }
        assert!(of("bash").iter().any(|i| i.main) && of("ls").iter().all(|i| !i.main));
        assert!(reason("sort").contains("no LD_PRELOAD"), "{images:?}");
        assert_eq!(reason("secret").contains("may not be read"), !is_root, "{images:?}");
        assert!(reason("bare").contains("static"), "{images:?}");
    }
    // What the loader could not load is not taken for loaded.
    command.env = vec![("LD_PRELOAD".into(), dir.path().join("missing.so").into())];
    let images = observe(&command, Pass::Counts, Tracer::Auto).images;
    assert!(images.iter().all(|image| !image.covered()), "{images:?}");
    assert!(images[0].to_string().contains("did not load"), "{images:?}");
    again_as_nobody("it_is_known_which_programs_had_the_library");
}

#[test]
fn the_timed_pass_has_no_instrument() {
    let seen = observe(&launch("sleep", &["0.1"]), Pass::Time, Tracer::Auto);
    assert_eq!(seen.instrument, Instrument::Unused);
    assert!(seen.wall_s >= 0.1 && seen.wall_s < 10.0, "{}", seen.wall_s);
    assert!(seen.syscalls.is_none() && seen.images.is_empty() && seen.series.is_none());
    let filters = stdout(
        &launch("grep", &["-E", "Seccomp:|NoNewPrivs|TracerPid", "/proc/self/status"]),
        Pass::Time,
    );
    assert!(filters.lines().all(|line| line.ends_with("\t0")), "{filters}");
    let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let seen =
        observe(&launch("sh", &["-c", &format!("({spin}) & wait")]), Pass::Time, Tracer::Auto);
    assert!(seen.user_s > 0.01, "time of descendants counts: {}", seen.user_s);
}

#[test]
fn the_shortest_timeout_is_kept_to() {
    let mut command = launch("sleep", &["1000"]);
    command.timeout = Some(Duration::from_nanos(1));
    assert_eq!(observe(&command, Pass::Time, Tracer::Auto).exit, Exit::TimedOut);
    command.timeout = Some(Duration::MAX);
    command.args = vec!["0".into()];
    assert_eq!(observe(&command, Pass::Time, Tracer::Auto).exit, Exit::Code(0));
}
