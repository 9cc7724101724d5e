"""One test, in a process session of its own: its time limit, what it takes,
and which of its processes really carry the preload."""

import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

#: What the processes of one test may hold together, in KiB: a runaway ends
#: as a failure, not as the machine's.
MOST_MEMORY = 6 << 20
#: Seconds between two looks at the processes of a test.
LOOK = 1.0

PAGE_KIB = resource.getpagesize() // 1024


class Watch:
    """What was seen of the processes of a session while they ran."""

    def __init__(self, session, library):
        self.session, self.library = session, os.fsencode(library) if library else None
        self.carrying, self.bare, self.new = set(), set(), set()
        self.threads = 0

    def look(self):
        """Gives what the processes hold together at this moment, in KiB.

        A process without the library counts as bare only when seen twice: it
        may have been on its way into its program.
        """
        memory, seen = 0, set()
        for process in members(self.session):
            try:
                fields = stat_fields(process)
                maps = Path(f"/proc/{process}/maps").read_bytes()
                memory += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_KIB
            except (OSError, IndexError):
                continue
            self.threads = max(self.threads, int(fields[17]))
            key = (process, fields[19])
            if self.library and self.library in maps:
                self.carrying.add(key)
            elif maps:
                seen.add(key)
        self.bare |= seen & self.new
        self.new = seen
        self.bare -= self.carrying
        return memory


def stat_fields(process):
    """/proc/PID/stat from the state on (the third field of proc(5))."""
    # As bytes: a process may call itself anything.
    return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()


def members(session):
    """The ids of the live processes of a session."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = stat_fields(entry)
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in (b"Z", b"X"):
                yield int(entry)


def end(session):
    """Kills what is left of a session."""
    for _ in range(50):
        left = list(members(session))
        if not left:
            return
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)


def environment(suite, setting, scratch):
    """A plain environment, the suite's own part, and the setting's."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(scratch), "TMPDIR": str(scratch), "LANG": "C.UTF-8", "TERM": "dumb",
        **suite.env_with(setting.name), **setting.environment,
    }


def run_test(suite, test, setting, scratch, slot, limit, interrupted):
    """Runs a test and gives its record: outcome, cases, seconds, peak RSS,
    processes. `scratch` is made, and left for the caller to look at. The event
    `interrupted` ends it early."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    suite.prepare(scratch)
    began = time.monotonic()
    with open(scratch / "output", "wb") as output:
        child = subprocess.Popen(
            suite.command(test, slot), cwd=scratch, env=environment(suite, setting, scratch),
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    watch = Watch(child.pid, setting.library)
    stopped, pause, next_look = None, 0.01, began + 0.2
    try:
        while True:
            done, status, usage = os.wait4(child.pid, os.WNOHANG)
            now = time.monotonic()
            if done:
                break
            if now >= next_look and not stopped:
                next_look = now + LOOK
                if watch.look() > MOST_MEMORY:
                    stopped = f"more than {MOST_MEMORY >> 20} GiB"
                elif now - began > limit:
                    stopped = f"more than {limit:.0f} s"
                elif interrupted.is_set():
                    stopped = "an interrupt"
                if stopped:
                    end(child.pid)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)
        child.returncode = os.waitstatus_to_exitcode(status)
    finally:
        end(child.pid)
    code = 0 if child.returncode == suite.skips else child.returncode
    text = (scratch / "output").read_bytes().decode(errors="replace")
    return {
        **outcome(suite.cases(text, scratch), code, stopped, text),
        "seconds": round(now - began, 2), "peak_rss_kib": usage.ru_maxrss,
        "threads": watch.threads, "carrying": len(watch.carrying), "bare": len(watch.bare),
    }


def outcome(cases, code, stopped, text):
    """What a test came to: `pass`, `skip`, `fail`, `crash` or `stopped`, the
    cases that passed and the names of what did not."""
    passed, failed = cases or (0, [])
    kind = "skip" if passed == 0 else "pass"
    if stopped:
        kind, more = "stopped", [f"({stopped})"]
    elif code < 0:
        kind, more = "crash", [f"(killed by {signal.Signals(-code).name})"]
    else:
        more = [f"(exit status {code})"] if code else []
        more += ["(no result)"] if cases is None else []
    # Our allocator speaks only when it refuses something or finds a misuse.
    more += sorted({f"({line})" for line in text.splitlines() if line.startswith("brkpoint: ")})
    failed = list(failed) + more
    if failed and kind in ("pass", "skip"):
        kind = "fail"
    return {"outcome": kind, "passed": passed, "failed": failed}
