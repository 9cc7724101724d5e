"""The suites: how each is built, which tests it has, how a result is read.

A test is one file of a suite, run in a process of its own; it holds cases,
which is what its output tells of. `Cases` are what passed (a count) and what
did not (names).
"""

import re
import shutil
import subprocess
import xml.etree.ElementTree as xml

from .fetch import require, run

BUILD = {"gcc": "gcc", "make": "make", "/usr/include/stdio.h": "libc6-dev"}


#: The case of an output that stops half-way.
NO_END = "(no end)"


class Suite:
    """What is common to all. A suite is made under `home`; `setup` gives the
    version, which is kept so that it is made once."""

    name = ""
    #: What its tests and `trial` need in their environment.
    env = {}
    #: The exit status of a test that finds it cannot be run here.
    skips = 0
    #: Tests that threads or forks make the most of, a few minutes in all.
    quick = []

    def __init__(self, home):
        self.home = home / self.name
        self.made = self.home / "version"

    def is_made(self):
        self.version = self.made.read_text().strip() if self.made.exists() else None
        return self.version is not None

    def make(self, apt, log, jobs):
        if not self.is_made():
            shutil.rmtree(self.home, ignore_errors=True)
            self.home.mkdir(parents=True)
            self.made.write_text(self.setup(apt, log, jobs) + "\n")
            self.is_made()

    def env_with(self, preset):
        """`env` where it depends on the preset."""
        return self.env

    def prepare(self, scratch):
        """Puts into the directory of one run what it needs."""


class CPython(Suite):
    """Python's own regression tests. Every allocation of the interpreter goes
    to malloc, not through its own arenas; but for mmap-only, where a system
    call and an OS page for each object would make days of it."""

    name = "cpython"
    quick = ["test_threading", "test_fork1", "test_thread", "test_queue", "test_gc", "test_dict",
             "test_list", "test_bytes", "test_json", "test_posix", "test_multiprocessing_main_handling"]

    def setup(self, apt, log, jobs):
        python = apt.depends("python3", r"python3\.\d+")
        version = apt.packages(
            [python, f"{python}-minimal", f"lib{python}-minimal", f"lib{python}-stdlib",
             f"lib{python}-testsuite"], self.home)
        (self.home / "name").write_text(python)
        return version

    @property
    def program(self):
        return self.home / "usr/bin" / (self.home / "name").read_text()

    @property
    def env(self):
        return {"PYTHONHOME": str(self.home / "usr"), "PYTHONMALLOC": "malloc"}

    def env_with(self, preset):
        return self.env | ({"PYTHONMALLOC": "pymalloc"} if preset == "mmap-only" else {})

    def trial(self):
        return [self.program, "-c", "import threading"]

    def tests(self):
        listed = subprocess.run([self.program, "-m", "test", "--list-tests"], env=self.env,
                                capture_output=True, text=True)
        return listed.stdout.split()

    def command(self, test, slot):
        # Those of vsock wait for ever on some virtual machines.
        return [self.program, "-m", "test", "--junit-xml", "cases.xml", "--tempdir", ".",
                "-u", "cpu,subprocess", "--ignore", "*VSOCK*", test]

    def cases(self, output, scratch):
        try:
            cases = list(xml.parse(scratch / "cases.xml").iter("testcase"))
        except (OSError, xml.ParseError):
            return None
        failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
        passed = [case for case in cases if case.get("result") == "completed" and case not in failed]
        return len(passed), [case.get("name") for case in failed]


class Sqlite(Suite):
    """SQLite's Tcl tests (what it calls veryquick, and those of threads and of
    crashes in child processes), and the programs of threadtest3."""

    name = "sqlite"
    more = ["thread001.test", "thread002.test", "thread003.test", "thread004.test", "thread005.test",
            "walthread.test", "notify2.test", "mutex2.test", "crash.test", "crash3.test", "crash5.test",
            "walcrash.test", "backup.test", "vacuum3.test"]
    quick = ["select1.test", "thread001.test", "thread003.test", "crash5.test", "where.test",
             "ext/fts5/test/fts5ab.test", "threadtest3 walthread5", "threadtest3 lookaside1", "threadtest3 stress1"]
    LIST = """
        set testdir [lindex $argv 0]
        set argv0 $testdir/list.test
        set argv {}
        source $testdir/permutations.test
        array set spec $::testspec(veryquick)
        foreach file $spec(-files) { puts "test: $file" }
    """

    def setup(self, apt, log, jobs):
        require({**BUILD, "tclsh": "tcl", "/usr/include/tcl": "tcl-dev"}, log)
        version = apt.source("sqlite3", self.home / "source")
        build = self.home / "build"
        build.mkdir()
        run(["../source/configure", "--disable-readline"], log, cwd=build)
        run(["make", f"-j{jobs}", "testfixture", "threadtest3"], log, cwd=build)
        return version

    @property
    def program(self):
        return self.home / "build/testfixture"

    def trial(self):
        script = self.home / "trial.tcl"
        script.write_text("puts hello\n")
        return [self.program, script]

    def tests(self):
        script, scratch = self.home / "list.tcl", self.home / "list"
        script.write_text(self.LIST)
        scratch.mkdir(exist_ok=True)
        listed = subprocess.run([self.program, script, self.home / "source/test"], cwd=scratch,
                                capture_output=True, text=True)
        files = re.findall(r"^test: (\S+)$", listed.stdout, re.MULTILINE)
        files = [name.partition("/test/../")[2] or name for name in files] + self.more
        threads = re.findall(r"^\s*\{ *\w+, *\"(\w+)\", *\d+ *\}",
                             (self.home / "source/test/threadtest3.c").read_text(), re.MULTILINE)
        return list(dict.fromkeys(files)) + [f"threadtest3 {name}" for name in threads]

    def command(self, test, slot):
        if test.startswith("threadtest3 "):
            return [self.home / "build/threadtest3", test.split()[1]]
        source = self.home / "source"
        return [self.program, source / test if "/" in test else source / "test" / test]

    def cases(self, output, scratch):
        failed = sorted(set(re.findall(r"^! (\S+) expected:", output, re.MULTILINE)))
        ends = re.findall(r"^(\d+) errors out of (\d+) tests", output, re.MULTILINE)
        if not ends:
            return len(re.findall(r"\.\.\. Ok$", output, re.MULTILINE)), failed + [NO_END]
        errors, tests = map(int, ends[-1])
        return tests - errors, failed if errors else []


class Redis(Suite):
    """Redis's integration tests: servers that fork to save while they are
    written to, replicate, and free in background threads. Built to use the
    process's malloc."""

    name = "redis"
    quick = ["unit/aofrw", "unit/dump", "unit/lazyfree", "unit/type/list", "integration/rdb", "unit/memefficiency"]

    def setup(self, apt, log, jobs):
        require({**BUILD, "tclsh": "tcl"}, log)
        version = apt.source("redis", self.home / "source")
        run(["make", "-C", "src", f"-j{jobs}", "MALLOC=libc", "redis-server", "redis-cli",
             "redis-benchmark", "redis-check-rdb", "redis-check-aof"], log, cwd=self.home / "source")
        return version

    @property
    def program(self):
        return self.home / "source/src/redis-server"

    def trial(self):
        return [self.program, "--version"]

    def tests(self):
        listed = subprocess.run(["./runtest", "--list-tests"], cwd=self.home / "source",
                                capture_output=True, text=True)
        return re.findall(r"^(?:unit|integration)/\S+$", listed.stdout, re.MULTILINE)

    def prepare(self, scratch):
        for name in ["src", "redis.conf", "sentinel.conf", "utils"]:
            (scratch / name).symlink_to(self.home / "source" / name)
        shutil.copytree(self.home / "source/tests", scratch / "tests", symlinks=True)
        shutil.copy(self.home / "source/runtest", scratch)

    def command(self, test, slot):
        # Each run has ports of its own, below those that the kernel gives out.
        port = 11000 + 1000 * slot
        return ["./runtest", "--single", test, "--clients", "1", "--baseport", str(port), "--portcount", "900"]

    def cases(self, output, scratch):
        output = re.sub(r"\x1b\[[0-9;]*m", "", output)
        # By name: some check the same thing as often as chance has it.
        passed = set(re.findall(r"^\[ok\]: (.*?)(?: \(\d+ ms\))?$", output, re.MULTILINE))
        failed = re.findall(r"^\[(?:err|exception|TIMEOUT)\]:? (.*?)(?: in tests/.*)?$", output, re.MULTILINE)
        return len(passed), sorted(set(failed)) + ([] if "The End" in output else [NO_END])


class Glib(Suite):
    """GLib's installed tests: thread pools, main loops, D-Bus servers and
    clients. Left out are those that are scripts, which need modules of
    Python's, and those that bring a preload of their own."""

    name = "glib"
    skips = 77
    quick = ["thread-pool", "asyncqueue", "gdbus-connection-loss", "task", "spawn-multithreaded", "hash",
             "slice-concurrent"]
    PREFIX = "/usr/libexec/installed-tests/glib/"

    def setup(self, apt, log, jobs):
        require({"dbus-daemon": "dbus-daemon"}, log)
        library = apt.depends("libglib2.0-tests", r"libglib2\.0-0\w*")
        return apt.packages(["libglib2.0-tests", library], self.home)

    @property
    def env(self):
        library, = self.home.glob("usr/lib/*/libglib-2.0.so.0")
        # Or the older ones would keep pools of their own above malloc.
        return {"LD_LIBRARY_PATH": str(library.parent), "G_SLICE": "always-malloc"}

    def program_of(self, test):
        return self.home / self.PREFIX.lstrip("/") / test

    def trial(self):
        return [self.program_of("hash"), "-l"]

    def tests(self):
        descriptions = sorted((self.home / "usr/share/installed-tests/glib").glob("*.test"))
        lines = "".join(file.read_text() for file in descriptions)
        return re.findall(rf"^Exec={self.PREFIX}([\w-]+)$", lines, re.MULTILINE)

    def command(self, test, slot):
        # A seed, or random tests would take more memory one time than another.
        return [self.program_of(test), "--tap", "--seed=R02S0123456789abcdef0123456789abcdef"]

    def cases(self, output, scratch):
        passed = re.findall(r"^ok \d+ (?!.*# SKIP)", output, re.MULTILINE)
        failed = re.findall(r"^not ok \d+ (\S+)(?!.*# TODO)", output, re.MULTILINE)
        # A few print no plan: the whole is one case, and its exit status tells.
        return len(passed) if "1.." in output else 1, failed


SUITES = [CPython, Sqlite, Redis, Glib]
