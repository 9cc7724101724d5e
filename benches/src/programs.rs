//! Real programs as workloads: command lines that need nothing but the program.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::plan::Work;
use crate::supervise;

/// A program on a piece of work.
#[derive(Debug)]
pub struct Program {
    /// What it is called, and looked up by in `PATH`.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    arguments: &'static [&'static str],
}

/// What the compiler compiles.
const SOURCE: &str = include_str!("../tour/program.c");
/// Stands for the file that holds it.
const FILE: &str = "{source}";

/// Those that there are command lines for.
pub const ALL: &[Program] = &[
    Program {
        name: "gcc",
        about: "compiles a small program: trees, strings, obstacks",
        arguments: &["-O1", "-S", "-o", "/dev/null", FILE],
    },
    Program {
        name: "perl",
        about: "strings in arrays in a hash",
        arguments: &[
            "-e",
            r#"my %h; push @{$h{$_ % 997}}, "v" x ($_ % 200) for 1..100000; my $n; $n += length join ",", @{$h{$_}} for sort keys %h; print "$n\n""#,
        ],
    },
    Program {
        name: "python3",
        about: "objects, and one large string made of them",
        arguments: &[
            "-c",
            r#"import json; rows = [{"id": i, "name": "n%d" % i} for i in range(20000)]; print(len(json.dumps(rows)))"#,
        ],
    },
    Program {
        name: "sqlite3",
        about: "a table in memory: filled, indexed, summed up",
        arguments: &[
            "-init",
            "/dev/null",
            ":memory:",
            "CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) \
             INSERT INTO t SELECT i, printf('%08x', i * 2654435761 % 4294967296) FROM n; \
             CREATE INDEX ts ON t(s); \
             SELECT count(*), sum(length(s)), max(i) FROM t WHERE s > '80';",
        ],
    },
    Program {
        name: "jq",
        about: "small values made, grouped and sorted",
        arguments: &[
            "-n",
            r#"[range(30000) | {id: ., key: (. * 7919 % 97 | tostring)}] | group_by(.key) | map({(.[0].key): (map(.id) | add)}) | add | length"#,
        ],
    },
    Program {
        name: "bash",
        about: "words put into arrays and taken apart",
        arguments: &[
            "--norc",
            "-c",
            "declare -A n; for ((i = 0; i < 20000; i++)); do n[$((i * 7919 % 997))]+=\" $i\"; done; \
             t=0; for k in \"${!n[@]}\"; do set -- ${n[$k]}; t=$((t + $#)); done; echo $t",
        ],
    },
];

/// The program called `name`.
pub fn find(name: &str) -> Option<&'static Program> {
    ALL.iter().find(|program| program.name == name)
}

impl Program {
    /// Whether it is here.
    pub fn is_here(&self) -> bool {
        supervise::can_find(OsStr::new(self.name))
    }

    /// The text that has to be in a file for it, if it reads one.
    pub fn source(&self) -> Option<&'static str> {
        self.arguments.contains(&FILE).then_some(SOURCE)
    }

    /// The work; `file` holds its [`source`](Self::source), if it has one.
    pub fn work(&self, file: &Path) -> Work {
        let argument = |word: &&str| match *word {
            FILE => file.as_os_str().to_owned(),
            word => OsString::from(word),
        };
        Work::command(self.name.into(), self.arguments.iter().map(argument).collect(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_is_here_runs_and_says_the_same_twice() {
        let folder = tempfile::tempdir().expect("a directory");
        for program in ALL.iter().filter(|program| program.is_here()) {
            let file = folder.path().join("source.c");
            if let Some(source) = program.source() {
                std::fs::write(&file, source).expect("written");
            }
            let Work::Command { program: name, args, .. } = program.work(&file) else {
                unreachable!("a command");
            };
            let run = || Command::new(&name).args(&args).output().expect("it is here");
            let (first, second) = (run(), run());
            assert!(first.status.success(), "{}: {first:?}", program.name);
            assert_eq!(first.stdout, second.stdout, "{}", program.name);
        }
    }
}
