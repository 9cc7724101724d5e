//! Real programs print the same, byte for byte, under every engine.

mod engine_support;

use engine_support::{arm, arms, output, under};

/// Threads that allocate, and processes that are started beside them.
const PYTHON: &str = r#"
import json, subprocess, threading, zlib
sizes = []
def work():
    total = 0
    for _ in range(40):
        total += len(json.dumps({str(k): "x" * (k % 500) for k in range(200)}))
    sizes.append(total)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
outputs = {subprocess.run(["sh", "-c", "expr 1 + 1"], capture_output=True).stdout for _ in range(10)}
for thread in threads: thread.join()
print(sizes, outputs, len(zlib.compress(b"abc" * 100000)))
"#;

const PERL: &str = r#"my %h; push @{$h{$_ % 997}}, "v" x ($_ % 200) for 1..50000;
my $n; $n += length join ",", @{$h{$_}} for sort keys %h; print "$n\n""#;

const SQL: &str = "create table t(a, b);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 20000)
insert into t select x, hex(x * x) from c;
create index i on t(b); select count(*), sum(length(b)) from t; select a from t order by b limit 3;";

const C: &str = "printf 'int f(int x) { return x * 3; }' | gcc -O2 -x c -S -o - -";
const BASH: &str = "for i in $(seq 1 2000); do a[$i]=$((i * i)); b+=\"$i \"; done; echo ${#b} ${a[77]}; \
    for i in 1 2 3; do echo $(echo $i | tr 1 2); done";
const SORT: &str =
    "seq 1 60000 | awk '{ print ($1 * 7919) % 1000003 }' | sort --parallel=4 -S 1M -n | cksum";
const XZ: &str = "seq 1 200000 | xz -T2 --block-size=200000 -c | xz -dc | cksum";
const GIT: &str = "cd $(mktemp -d) && git init -q . && seq 1 5000 > f && git add f && git write-tree; rm -rf $PWD";

const PROGRAMS: [&[&str]; 9] = [
    &["ls", "-l", "/usr/bin"],
    &["python3", "-c", PYTHON],
    &["perl", "-e", PERL],
    &["sqlite3", ":memory:", SQL],
    &["bash", "-c", BASH],
    &["sh", "-c", C],
    &["sh", "-c", SORT],
    &["sh", "-c", XZ],
    &["sh", "-c", GIT],
];

#[test]
fn programs_print_the_same_under_every_engine() {
    let glibc = arm("glibc");
    let mut compared = 0;
    for words in PROGRAMS {
        let mut command = under(&glibc, words[0]);
        // A program that this machine lacks, or has without a feature, is named.
        let Ok(reference) = command.args(&words[1..]).output() else {
            eprintln!("{} is not here", words[0]);
            continue;
        };
        if !reference.status.success() {
            eprintln!("{words:?} does not work here: {reference:?}");
            continue;
        }
        assert!(!reference.stdout.is_empty(), "{words:?} prints nothing");
        for arm in arms() {
            let got = output(under(&arm, words[0]).args(&words[1..]));
            let at = format!("{} {} runs {words:?}", arm.engine, arm.version);
            assert_eq!(
                got.status,
                reference.status,
                "{at}: {}",
                String::from_utf8_lossy(&got.stderr)
            );
            assert!(got.stdout == reference.stdout, "{at}: its output differs");
            assert_eq!(
                got.stderr,
                reference.stderr,
                "{at}: {}",
                String::from_utf8_lossy(&got.stderr)
            );
        }
        compared += 1;
    }
    assert!(compared >= 4, "only {compared} of the programs are on this machine");
}
