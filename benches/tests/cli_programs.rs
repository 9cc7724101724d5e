//! `brkpoint compare` measures real programs, which work as ever under every engine.

mod cli_support;

use brkpoint_reports::record::{Exit, Role};
use cli_support::{Lab, PEERS, PRESETS, has, our_library, run};

/// `tool` with `arguments` prints something, the same under all of `engines`, and
/// each of them has all figures.
fn works(lab: &Lab, engines: &[&str], tool: &str, arguments: &[&str]) {
    if !has(tool) {
        return;
    }
    let command = [&[tool], arguments].concat();
    let plain = run(&mut lab.command(tool, arguments)).exits(0);
    assert!(!plain.stdout.is_empty(), "prints nothing, which proves nothing: {plain}");

    let compared = lab.compare(engines, &[&["--rounds", "1", "--"], &command[..]].concat());
    let rows = compared.exits(0).rows();
    rows.are_sound(engines);

    let samples = lab.samples();
    // Each engine and the A/A arm, once in each of the three passes.
    assert_eq!(samples.len(), (engines.len() + 1) * 3);
    let digest = samples[0].digest.as_ref().expect("a digest of the output");
    for sample in &samples {
        let arm = sample.cell.arm();
        assert_eq!(sample.exit, Some(Exit::Code(0)), "{arm}");
        assert_eq!(sample.error, None, "{arm}");
        assert_eq!(sample.digest.as_ref(), Some(digest), "{arm}: the output differs");
    }
    assert!(samples.iter().any(|sample| sample.cell.role == Role::Repeat));
}

fn usual() -> Vec<&'static str> {
    [&["glibc", "brkpoint"], PEERS].concat()
}

fn with_presets() -> Vec<&'static str> {
    [&usual()[..], &PRESETS].concat()
}

#[test]
fn python3_works_under_every_engine() {
    let script = "import json, zlib
rows = [{'id': i, 'name': 'n%d' % i} for i in range(3000)]
text = json.dumps(rows)
print(len(text), zlib.crc32(text.encode()), sum(len(b'x' * n) for n in range(0, 400000, 9999)))";
    works(&Lab::new(), &usual(), "python3", &["-c", script]);
}

#[test]
fn git_works_under_every_engine() {
    if !has("git") {
        return;
    }
    let lab = Lab::new();
    let import = "\
commit refs/heads/main
committer A <a@example.org> 1700000000 +0000
data 5
first
M 100644 inline file
data 8
one\ntwo\n
commit refs/heads/main
committer A <a@example.org> 1700000060 +0000
data 6
second
M 100644 inline file
data 10
one\nthree\n
";
    lab.write("import", import);
    for words in
        [&["init", "-q", "repository"][..], &["-C", "repository", "fast-import", "--quiet"]]
    {
        let import = std::fs::File::open(lab.path("import")).expect("opening a file");
        run(lab.command("git", words).stdin(import)).exits(0);
    }
    works(&lab, &usual(), "git", &["-C", "repository", "log", "--stat", "-p", "main"]);
}

#[test]
fn gcc_works_under_every_engine() {
    let lab = Lab::new();
    let function =
        |n| format!("int f{n}(int x) {{ for (int i = 0; i < {n}; i++) x ^= x * i; return x; }}\n");
    lab.write("program.c", (0..40).map(function).collect::<String>());
    works(&lab, &usual(), "gcc", &["-O1", "-S", "-o", "-", "program.c"]);
}

#[test]
fn sqlite3_works_under_every_engine_and_preset() {
    let sql = "create table t(a, b);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 5000)
insert into t select x, hex(x * x) from c;
create index i on t(b);
select count(*), sum(length(b)) from t; select a from t order by b limit 5;";
    works(&Lab::new(), &with_presets(), "sqlite3", &[":memory:", sql]);
}

#[test]
fn bash_works_under_every_engine() {
    let script = "for i in {1..1500}; do a[$i]=$((i * i)); b+=\"$i \"; done; echo ${#b} ${a[77]}
for i in 1 2 3; do echo $(echo $i | { read x; echo $((x + 1)); }); done";
    works(&Lab::new(), &usual(), "bash", &["-c", script]);
}

#[test]
fn perl_works_under_every_engine_and_preset() {
    let script = r#"my %h; push @{$h{$_ % 97}}, "v" x ($_ % 200) for 1..20000;
my $n; $n += length join ",", @{$h{$_}} for sort keys %h; print "$n\n""#;
    works(&Lab::new(), &with_presets(), "perl", &["-e", script]);
}

#[test]
fn xz_works_under_every_engine() {
    let lab = Lab::new();
    let line = |n: u32| format!("{n} {}\n", n.wrapping_mul(2_654_435_761));
    lab.write("data", (0..40_000).map(line).collect::<String>());
    works(&lab, &usual(), "xz", &["-2", "-T2", "--block-size=200000", "-c", "data"]);
}

#[test]
fn a_command_reads_the_file_given_as_its_input() {
    let lab = Lab::new();
    lab.write("input", "what is read\n");
    let script = "IFS= read -r line && test \"$line\" = 'what is read'";
    let arguments = ["--rounds", "1", "--input", "input", "--", "sh", "-c", script];
    lab.compare(&["glibc", "brkpoint"], &arguments).exits(0).rows().are_sound(&["glibc"]);
    assert!(lab.samples().iter().all(|sample| sample.exit == Some(Exit::Code(0))));
}

#[test]
fn without_engines_named_the_usual_ones_are_compared() {
    let lab = Lab::new();
    let rows = lab.compare(&[], &["--rounds", "1", "--", "true"]).exits(0).rows();
    rows.are_sound(&usual());
}

#[test]
fn a_library_given_by_its_path_is_an_engine() {
    let lab = Lab::new();
    std::fs::copy(our_library(), lab.path("libmine.so")).expect("copying");
    let engines = ["glibc", "brkpoint", "./libmine.so"];
    let rows = lab.compare(&engines, &["--rounds", "1", "--", "true"]).exits(0).rows();
    rows.are_sound(&engines);
    for call in ["syscalls_brk", "syscalls_mmap", "syscalls_munmap"] {
        assert_eq!(rows.median("./libmine.so", call), rows.median("brkpoint", call), "{call}");
    }
}
