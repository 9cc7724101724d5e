//! Builds the libraries that are preloaded, and the workers with an allocator
//! linked into each: ours and the peers'.
//!
//! `cargo run` and `cargo test` build no cdylib that nothing depends on, and one
//! program has one global allocator, so this script runs cargo once more for each
//! of the two workspaces. Both share one target directory among all profiles,
//! clippy and tests: C and C++ are compiled once. The library learns what there is
//! from two variables: `BUILT_DIR` and `BUILT_FILES` (names between colons).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// A package, and what it leaves.
struct Package {
    name: String,
    files: Vec<String>,
}

/// The peers behind each feature.
const PEERS: [(&str, &[&str]); 2] =
    [("PEERS", &["jemalloc", "mimalloc", "rpmalloc", "snmalloc"]), ("TCMALLOC", &["tcmalloc"])];

/// The allocators that need no C, linked: of one package in `peers/`.
/// The last two are controls: of known overhead, and of no cost.
const LINKED: [&str; 5] = ["brkpoint", "glibc", "limit", "bump", "nothing"];

impl Package {
    /// Our library, which is preloaded.
    fn ours() -> Package {
        Package { name: "brkpoint-malloc".into(), files: vec!["libbrkpoint_malloc.so".into()] }
    }

    /// The library that records a program's calls.
    fn recorder() -> Package {
        let files = vec!["libbrkpoint_recorder.so".into()];
        Package { name: "brkpoint-recorder".into(), files }
    }

    fn linked() -> Package {
        Package { name: "brkpoint-linked".into(), files: LINKED.map(worker).into() }
    }

    fn peer(name: &str) -> Package {
        let files = vec![format!("libbrkpoint_{name}.so"), worker(name)];
        Package { name: format!("brkpoint-{name}"), files }
    }
}

/// The file of the worker into which allocator `name` is linked.
fn worker(name: &str) -> String {
    format!("linked-{name}")
}

/// Variables that cargo, clippy or a user set for the outer build and that would
/// change the inner one, or make cargo believe that it changed.
const NOT_INHERITED: [&str; 15] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "DEBUG",
    "HOST",
    "NUM_JOBS",
    "OPT_LEVEL",
    "PROFILE",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "TARGET",
];
const NOT_INHERITED_PREFIXES: [&str; 6] =
    ["CARGO_CFG_", "CARGO_FEATURE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PROFILE_", "DEP_"];

fn main() {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = here.parent().expect("benches lies in the workspace");
    let build = Build::new();
    watch(&here.join("build.rs"));
    println!("cargo::rustc-env=BUILT_VERSION={}", version(root));
    for ours in [
        "Cargo.toml",
        "Cargo.lock",
        "allocator",
        "reports/src",
        "workloads/src",
        "workloads/recorder",
    ] {
        watch(&root.join(ours));
    }
    watch(&here.join("worker"));
    let ours = [Package::ours(), Package::recorder()];
    build.run(root, &ours);

    let asked = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let peers = PEERS.iter().filter(|(feature, _)| asked(feature)).flat_map(|(_, names)| *names);
    let mut others = vec![Package::linked()];
    others.extend(peers.map(|name| Package::peer(name)));
    let peers_dir = here.join("peers");
    watch_members(&peers_dir);
    build.run(&peers_dir, &others);

    let files = ours.iter().chain(&others).flat_map(|package| &package.files);
    let files: Vec<&str> = files.map(String::as_str).collect();
    println!("cargo::rustc-env=BUILT_DIR={}", build.output.display());
    println!("cargo::rustc-env=BUILT_FILES={}", files.join(":"));
}

/// The package's version, and in a checkout the commit.
fn version(root: &Path) -> String {
    let version = variable("CARGO_PKG_VERSION");
    // HEAD's log grows with each commit and checkout.
    let log = root.join(".git/logs/HEAD");
    if log.is_file() {
        watch(&log);
    }
    let git =
        Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).current_dir(root).output();
    match git {
        Ok(git) if git.status.success() => {
            format!("{version} ({})", String::from_utf8_lossy(&git.stdout).trim())
        }
        _ => version,
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// Watches everything in `workspace` but what building it there would leave.
fn watch_members(workspace: &Path) {
    let entries =
        fs::read_dir(workspace).unwrap_or_else(|e| panic!("{}: {e}", workspace.display()));
    for entry in entries.flatten().filter(|entry| entry.file_name() != "target") {
        watch(&entry.path());
    }
}

/// The inner builds.
struct Build {
    /// Shared by all outer builds of this target directory.
    target_dir: PathBuf,
    /// The triple, where it is not the host's.
    cross: Option<String>,
    /// Where libraries and programs end up.
    output: PathBuf,
}

impl Build {
    fn new() -> Build {
        // OUT_DIR is <target>[/<triple>]/<profile>/build/<package>/out.
        let out = PathBuf::from(variable("OUT_DIR"));
        let (target, host) = (variable("TARGET"), variable("HOST"));
        let mut outer = out.ancestors().nth(4).expect("OUT_DIR lies deep").to_owned();
        if outer.file_name().is_some_and(|name| name == target.as_str()) {
            outer.pop();
        }
        let target_dir = outer.join("preload");
        let cross = (target != host).then_some(target);
        let output = target_dir.join(cross.as_deref().unwrap_or_default()).join("release");
        Build { target_dir, cross, output }
    }

    /// Builds `packages` of `workspace`, or explains why not and ends the script.
    fn run(&self, workspace: &Path, packages: &[Package]) {
        // In the workspace's own folder, for the sake of its .cargo/config.toml.
        let mut cargo = Command::new(variable("CARGO"));
        cargo.current_dir(workspace).args(["build", "--release", "--target-dir"]);
        cargo.arg(&self.target_dir);
        cargo.args(packages.iter().flat_map(|package| ["--package", &package.name]));
        cargo.args(self.cross.iter().flat_map(|triple| ["--target", triple]));
        for (name, _) in env::vars_os() {
            let Some(text) = name.to_str() else { continue };
            if NOT_INHERITED.contains(&text)
                || NOT_INHERITED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            {
                cargo.env_remove(&name);
            }
        }
        let output = cargo.output().unwrap_or_else(|e| panic!("cannot start cargo: {e}"));
        let log = String::from_utf8_lossy(&output.stderr);
        let missing = packages
            .iter()
            .flat_map(|package| &package.files)
            .map(|name| self.output.join(name))
            .find(|path| !path.is_file());
        if output.status.success() && missing.is_none() {
            return;
        }
        let left_out = missing.filter(|_| output.status.success());
        explain(workspace, packages, &log, left_out.as_deref());
        exit(1);
    }
}

/// Says on stderr, which cargo shows, what went wrong and what to do.
fn explain(workspace: &Path, packages: &[Package], log: &str, missing: Option<&Path>) {
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let failed = log.lines().find(|line| {
        line.contains("could not compile `") || line.contains("custom build command for `")
    });
    eprintln!(
        "cannot build what is preloaded or linked ({}) in {}",
        names.join(", "),
        workspace.display()
    );
    eprintln!("{}", failed.unwrap_or("cargo failed before it compiled anything").trim());
    for (variable, program) in [("CC", "cc"), ("CXX", "c++"), ("MAKE", "make")] {
        let program = env::var(variable).unwrap_or_else(|_| program.to_owned());
        if !on_path(&program) {
            eprintln!("there is no {program} here: install gcc, g++ and make");
        }
    }
    if let Some(path) = missing {
        eprintln!("it left no {}", path.display());
    }
    eprintln!("the end of its log:");
    let lines: Vec<&str> = log.lines().collect();
    for line in &lines[lines.len().saturating_sub(40)..] {
        eprintln!("  {line}");
    }
    if packages.len() > 1 {
        eprintln!("`cargo build --no-default-features` builds brkpoint without the peers");
    }
}

/// Whether a shell would find `program`, the first word of which counts.
fn on_path(program: &str) -> bool {
    let program = program.split_whitespace().next().unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    program.contains('/') && Path::new(program).is_file()
        || env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
