//! What a program is started with, what it wrote, which library was in it, and
//! what is said if it cannot be started.

mod probe_common;

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use brkpoint::supervise::{Image, Instrument, Launch, LaunchError, Stop, Tracer, run};
use brkpoint_reports::record::{Exit, Pass};
use probe_common::{
    again_as_nobody, again_as_nobody_with, compile, has, launch, observe, temp_dir, user,
};

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
    let is_root = user() == 0;
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

/// With every tracer of every pass.
const SETTINGS: [(Pass, Tracer); 5] = [
    (Pass::Time, Tracer::Auto),
    (Pass::Counts, Tracer::Notify),
    (Pass::Counts, Tracer::Ptrace),
    (Pass::Memory, Tracer::Notify),
    (Pass::Memory, Tracer::Ptrace),
];

const SET_UID: &str = "BRKPOINT_TEST_SET_UID";

#[test]
fn a_set_uid_program_has_the_same_privileges_in_every_pass() {
    /// Neither root nor nobody.
    const OWNER: u32 = 65533;
    if !has("gcc") {
        return;
    }
    let dir = temp_dir();
    let library = dir.path().join("library.so");
    compile("int nothing_here;\n", &library, &["-shared", "-fPIC"]);
    let given = env::var_os(SET_UID).map(PathBuf::from);
    let program = given.clone().unwrap_or_else(|| dir.path().join("set_uid"));
    if given.is_none() {
        let source = "#include <stdio.h>\n#include <unistd.h>\n\
                      int main(void) { return printf(\"%u\\n\", geteuid()) < 0; }\n";
        compile(source, &program, &[]);
        if user() == 0 {
            chown(&program, Some(OWNER), None).expect("giving the program away");
        }
        fs::set_permissions(&program, Permissions::from_mode(0o4755)).expect("setting its mode");
    }
    let mut command = launch(&program, &[]);
    command.library = Some(library.clone());
    command.env = vec![("LD_PRELOAD".into(), library.into())];
    // What the kernel says of a program that any pass starts: whether privileges
    // can be gained depends on what this process may do.
    let promise = launch("grep", &["NoNewPrivs", "/proc/self/status"]);
    let stripped = stdout(&promise, Pass::Time).ends_with("1\n");
    assert!(stripped || user() == 0, "an unprivileged user can install no filter without");
    let runs_as = if user() == 0 && !stripped { OWNER } else { user() };
    for (pass, tracer) in SETTINGS {
        let status = observe(&promise, pass, tracer).stdout.read().expect("output");
        assert_eq!(status.ends_with(b"1\n"), stripped, "{pass:?} {tracer:?}");
        let seen = observe(&command, pass, tracer);
        let user_seen = String::from_utf8(seen.stdout.read().expect("output")).expect("text");
        assert_eq!(
            user_seen,
            format!("{runs_as}\n"),
            "{pass:?} {tracer:?} (or is {program:?} on a filesystem without set-uid?)"
        );
        if pass == Pass::Time {
            continue;
        }
        let [image] = &seen.images[..] else { panic!("{:?}", seen.images) };
        let reason = image.not_covered.clone().unwrap_or_default();
        let note = seen.notes.iter().any(|note| note.contains("without its privileges"));
        let is_own = !stripped || (user() != 0 && given.is_none());
        assert_eq!(reason.contains("set-uid"), runs_as == OWNER, "{pass:?} {tracer:?}: {image}");
        assert_eq!(image.covered(), runs_as != OWNER, "{pass:?} {tracer:?}: {image}");
        assert_eq!(note, !is_own, "{pass:?} {tracer:?}: {:?}", seen.notes);
    }
    let other = observe(&launch("true", &[]), Pass::Counts, Tracer::Auto);
    assert!(other.notes.iter().all(|note| !note.contains("privileges")), "{:?}", other.notes);
    again_as_nobody_with(
        "a_set_uid_program_has_the_same_privileges_in_every_pass",
        &[(SET_UID, &program)],
    );
}

#[test]
fn processes_that_are_killed_are_looked_at_before() {
    if !has("gcc") {
        return;
    }
    let dir = temp_dir();
    let library = dir.path().join("library.so");
    compile("int nothing_here;\n", &library, &["-shared", "-fPIC"]);
    let observe = |script: &str, pass, tracer, timeout| {
        let mut command = launch("sh", &["-c", script]);
        command.library = Some(library.clone());
        command.env = vec![("LD_PRELOAD".into(), library.clone().into())];
        command.timeout = Some(Duration::from_millis(timeout));
        observe(&command, pass, tracer)
    };
    for (pass, tracer) in &SETTINGS[1..] {
        // Long enough to be looked at on a busy machine too.
        let script = "sleep 1000 & env -u LD_PRELOAD tail -f /dev/null & sleep 1; echo x";
        let seen = observe(script, *pass, *tracer, 60_000);
        assert_eq!((seen.exit, seen.killed_descendants), (Exit::Code(0), 2));
        let named = |name: &str| {
            let is = |image: &&Image| image.executable.ends_with(name);
            let mut of = seen.images.iter().filter(is);
            of.next().cloned().unwrap_or_else(|| panic!("{name}: {:?}", seen.images))
        };
        assert!(named("sleep").covered(), "{pass:?} {tracer:?}: {:?}", seen.images);
        let reason = named("tail").not_covered.unwrap_or_default();
        assert!(reason.contains("no LD_PRELOAD"), "{pass:?} {tracer:?}: {:?}", seen.images);
        let uncovered = seen.images.iter().filter(|image| !image.covered()).count();
        assert_eq!(uncovered, 1, "{pass:?} {tracer:?}: {:?}", seen.images);
        assert!(seen.notes.iter().all(|note| !note.contains("not known")), "{:?}", seen.notes);

        let seen = observe("exec sleep 1000", *pass, *tracer, 1000);
        assert_eq!(seen.exit, Exit::TimedOut);
        assert!(seen.images.iter().any(|i| i.main && i.executable.ends_with("sleep")));
        assert!(seen.images.iter().all(Image::covered), "{pass:?} {tracer:?}: {:?}", seen.images);

        // Perhaps gone before anybody looked: then nothing is claimed.
        let seen = observe("kill -KILL $$", *pass, *tracer, 60_000);
        assert_eq!(seen.exit, Exit::Signal(libc::SIGKILL));
        assert!(seen.images.iter().all(Image::covered), "{pass:?} {tracer:?}: {:?}", seen.images);
        let unknown = seen.notes.iter().any(|note| note.starts_with("not known whether"));
        assert_eq!(unknown, seen.images.is_empty(), "{pass:?} {tracer:?}: {:?}", seen.notes);
    }
}

#[test]
fn the_timed_pass_has_no_instrument() {
    let seen = observe(&launch("sleep", &["0.1"]), Pass::Time, Tracer::Auto);
    assert_eq!(seen.instrument, Instrument::Unused);
    assert!(seen.wall_s >= 0.1 && seen.wall_s < 10.0, "{}", seen.wall_s);
    assert!(seen.syscalls.is_none() && seen.images.is_empty() && seen.series.is_none());
    let filters =
        stdout(&launch("grep", &["-E", "Seccomp:|TracerPid", "/proc/self/status"]), Pass::Time);
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
