//! Each value that a tuner tries is the one that the engine then says it has, in a
//! process that was started like any that is measured.

mod engine_support;

use brkpoint::engine::{Arm, EngineError, Engines, Knob};
use brkpoint::supervise::{self, Call, Launch, Stop};
use brkpoint::tune::tunables::Tunables;
use brkpoint_reports::record::Pass;
use engine_support::{arm, compile, output, printed, resolve, under, worker};

/// Calls `each` with every knob of `engine` that is tuned, every value of it, and the
/// arm that has it.
fn tuned(engine: &str, mut each: impl FnMut(&Knob, &str, &Arm)) {
    let knobs = &Engines::builtin().get(engine).expect(engine).knobs;
    let mut values = 0;
    for knob in knobs {
        for value in &knob.tune {
            values += 1;
            each(knob, value, &arm(&format!("{engine}:{}={value}", knob.name)));
        }
    }
    assert!(values > 0, "{engine} has nothing to tune");
}

/// What a process that does nothing says under `arm`, with `variable` set as well.
fn said(arm: &Arm, variable: (&str, &str)) -> String {
    // It ends by `exit`, as a shell need not.
    let mut command = under(arm, "perl");
    command.args(["-e", "1"]).env(variable.0, variable.1);
    let output = output(&mut command);
    assert!(output.status.success(), "{}: {output:?}", arm.engine);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn expects(said: &str, line: &str) {
    assert!(said.lines().any(|said| said.trim() == line), "no {line:?} in:\n{said}");
}

#[test]
fn glibc_reads_its_tunables_as_they_are_meant() {
    tuned("glibc", |_, _, arm| {
        let tunables = Tunables::under(&arm.env, &arm.env_remove).expect("glibc 2.33 or later");
        assert_eq!(tunables.contradicts(&arm.env), None);
    });
}

#[test]
fn brkpoint_says_what_it_was_set_to() {
    tuned("brkpoint", |knob, value, arm| {
        let name = knob.measure.split('=').next().expect("a variable");
        expects(&said(arm, ("BRKPOINT_VERBOSE", "1")), &format!("brkpoint: {name}={value}"));
    });
}

#[test]
#[cfg(feature = "peers")]
fn mimalloc_says_what_it_was_set_to() {
    tuned("mimalloc", |knob, value, arm| {
        let line = format!("option '{}': {value}", knob.name);
        expects(&said(arm, ("MIMALLOC_VERBOSE", "1")), &line);
    });
}

#[test]
#[cfg(feature = "peers")]
fn jemalloc_says_what_it_was_set_to() {
    const CONF: &str = "_RJEM_MALLOC_CONF";
    tuned("jemalloc", |knob, _, arm| {
        let set = arm.env.iter().find(|(name, _)| name == CONF).expect("its variable");
        let set = set.1.to_str().expect("text");
        let given = set.split_once(':').expect("a value").1;
        let said = said(arm, (CONF, &format!("{set},stats_print:true")));
        // What is in force now follows, where that can change.
        let start = format!("opt.{}: ", knob.name);
        let told = said.lines().find_map(|line| line.trim().strip_prefix(&start));
        let told = told.unwrap_or_else(|| panic!("no {start:?} in:\n{said}"));
        let told = told.split(' ').next().expect("a word").trim_matches('"');
        assert_eq!(told, given, "{}", knob.name);
    });
}

/// Prints two properties of gperftools, which the program finds in the library that is
/// loaded before it.
const PROPERTIES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(void) {
    const char *names[] = {"tcmalloc.max_total_thread_cache_bytes",
                           "tcmalloc.aggressive_memory_decommit"};
    int (*get)(const char *, size_t *) = dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty");
    free(malloc(1));
    if (!get) return 1;
    for (int i = 0; i < 2; i++) {
        size_t value = 0;
        get(names[i], &value);
        printf("%s: %zu\n", names[i], value);
    }
    return 0;
}
"#;

#[test]
fn gperftools_says_what_it_was_set_to() {
    if let Err(absent @ EngineError::Absent { .. }) = resolve("gperftools") {
        eprintln!("not tried: {absent}");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let program = compile(directory.path(), "properties", PROPERTIES, &[]);
    tuned("gperftools", |knob, _, arm| {
        let variable = knob.measure.split('=').next().expect("a variable");
        let given = &arm.env.iter().find(|(name, _)| name == variable).expect("set").1;
        let property = match knob.name.as_str() {
            "aggressive_decommit" => "tcmalloc.aggressive_memory_decommit".to_owned(),
            "release_rate" => return,
            name => format!("tcmalloc.{name}"),
        };
        let said = printed(&mut under(arm, &program));
        expects(&said, &format!("{property}: {}", given.to_str().expect("text")));
    });
    // The rate has no such property; that it is 10 or 0 shows in what is given back.
    let given_back = |rate| madvised(&arm(&format!("gperftools:release_rate={rate}")));
    let (never, eager) = (given_back(0), given_back(10));
    assert!(never < 10 && eager > 100, "{never} calls of madvise at 0, {eager} at 10");
}

/// Calls of `madvise` in a workload that frees some gigabytes: only then does it begin
/// to give back.
fn madvised(arm: &Arm) -> u64 {
    let launch = Launch {
        program: worker().into(),
        args: brkpoint::worker::run_arguments("straddle", Pass::Counts, 7, 8.0),
        env: arm.env.clone(),
        env_remove: arm.env_remove.clone(),
        library: arm.library.clone(),
        ..Launch::default()
    };
    let seen = supervise::run(&launch, Pass::Counts, &Stop::default()).expect("a run");
    seen.syscalls.expect("an instrument").total().calls(Call::Madvise)
}
