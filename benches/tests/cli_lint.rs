//! `brkpoint lint` names mistakes and proves effects.

mod cli_support;

use cli_support::Lab;

#[test]
fn lint_names_mistakes_in_a_unit_and_exits_1() {
    let lab = Lab::new();
    lab.write("a.service", "[Service]\nEnvironment=MALLOC_MMAP_THRESHOLD=64k\n");
    let ran = lab.run(&["lint", "--file", "a.service"]).exits(1);
    assert!(ran.stdout.contains("a.service:2: mistake"), "{}", ran.stdout);
    lab.run(&["lint", "--file", "none.service"]).exits(2).complains_of(&["none.service"]);
}

#[test]
fn lint_tells_a_process_that_began_without_a_setting() {
    let lab = Lab::new();
    let mut sleeper = lab.command("sleep", &["600"]).spawn().expect("sleep");
    let pid = sleeper.id().to_string();
    let ran = cli_support::run(lab.brkpoint(&["lint", "--pid", &pid]).env("MALLOC_ARENA_MAX", "2"));
    let without = lab.run(&["lint", "--pid", &pid]);
    sleeper.kill().and_then(|()| sleeper.wait()).expect("ended");
    let ran = ran.exits(1);
    assert!(ran.stdout.contains("MALLOC_ARENA_MAX=2 was set too late"), "{ran}");
    assert!(without.exits(0).stdout.contains("No setting"));
    lab.run(&["lint", "--pid", "4194303"]).exits(2).complains_of(&["/proc/4194303/environ"]);
}

#[test]
fn lint_proves_in_the_command_whether_a_setting_takes_effect() {
    let lab = Lab::new();
    let text = "MALLOC_TOP_PAD_=67108864\nMALLOC_MMAP_THRESHOLD_=131072\n\
                MALLOC_TRIM_THRESHOLD_=131072\n";
    lab.write("env", text);
    let ran = lab.run(&["lint", "--file", "env", "--", "sort", "env"]).exits(0);
    assert!(ran.stdout.contains("They take effect"), "{}", ran.stdout);
    // One thread has one arena as it is.
    lab.write("env", "MALLOC_ARENA_MAX=1\n");
    let ran = lab.run(&["lint", "--file", "env", "--", "sort", "env"]).exits(1);
    assert!(ran.stdout.contains("No effect"), "{}", ran.stdout);
    lab.run(&["lint", "--", "true"]).exits(2).complains_of(&["there is no setting"]);
}

#[test]
fn lint_sees_mappings_that_become_moves_of_the_break() {
    let lab = Lab::new();
    lab.write("env", "MALLOC_MMAP_THRESHOLD_=1048576\nMALLOC_TRIM_THRESHOLD_=8388608\n");
    // As many calls, bytes and faults, of another kind.
    let blocks = "push @kept, 'x' x 200000 for 1..200";
    let lint = ["lint", "--file", "env", "--", "perl", "-e", blocks];
    let ran = lab.run(&lint).exits(0);
    assert!(ran.stdout.contains("They take effect"), "{}", ran.stdout);
}

#[test]
fn lint_takes_no_noise_for_an_effect() {
    let lab = Lab::new();
    lab.write("env", "MALLOC_ARENA_MAX=1\n");
    let noise = "push @kept, 'x' x 200000 for 1..(50 + rand 500)";
    let ran = lab.run(&["lint", "--file", "env", "--", "perl", "-e", noise]).exits(3);
    assert!(ran.stdout.contains("cannot be told"), "{}", ran.stdout);
}
