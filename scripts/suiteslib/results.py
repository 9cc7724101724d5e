"""Records, their comparison with the reference, and the tables.

A record is one JSON line: which suite, version, test and setting, which build
of the library at which commit, when, whether with the others or `alone`, and
what came of it (`execute.run_test`).
"""

import json
import sys
import threading
from collections import defaultdict
from typing import NamedTuple

REFERENCE = "glibc"


class Policy(NamedTuple):
    """A setting of glibc's, and what tells glibc so."""
    name: str
    environment: dict


#: By preset: how glibc does the same. A program that reads what it freed, or
#: counts usable sizes, may mind the policy itself, whoever follows it.
SAME_POLICY = {
    "mmap-only": Policy("glibc-mmap-only", {
        "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=0:glibc.malloc.mmap_max=65000:glibc.malloc.tcache_count=0",
    }),
}
#: A test whose peak RSS is this many times glibc's, and so many KiB beyond it, is named.
MEMORY_TIMES, MEMORY_BEYOND = 2, 64 << 10


class Records:
    """The records of one build of the library, and of glibc, in a file that
    is only ever appended to."""

    def __init__(self, path, build):
        self.path, self.build = path, build
        self.lock = threading.Lock()
        #: By suite, version and setting: by test: in the order of time.
        self.runs = defaultdict(lambda: defaultdict(list))
        if path.exists():
            for number, line in enumerate(path.read_text().splitlines(), 1):
                try:
                    self.keep(json.loads(line))
                except json.JSONDecodeError:
                    # A run that was killed may leave half a line.
                    print(f"{path}, line {number}: not a record; left out", file=sys.stderr)

    def keep(self, record):
        if record["build"] in (None, self.build):
            self.runs[record["suite"], record["version"], record["setting"]][record["test"]].append(record)

    def add(self, record):
        with self.lock, open(self.path, "a") as file:
            file.write(json.dumps(record) + "\n")
            self.keep(record)

    def of(self, suite, setting):
        """All runs, by test."""
        return self.runs[suite.name, suite.version, setting]

    def first(self, suite, setting):
        """The run of each test with the others, by test: the last such, if there are several."""
        runs = self.of(suite, setting).items()
        return {test: r for test, all_of_it in list(runs) for r in all_of_it if not r["alone"]}

    def alone(self, suite, setting, test):
        return [r for r in self.of(suite, setting)[test] if r["alone"]]


def difference(record, references):
    """What of a record's failures the reference has in none of its runs."""
    if any(r["outcome"] == "stopped" for r in references):
        return []
    known = {case for r in references for case in r["failed"]}
    new = [case for case in record["failed"] if case not in known]
    least = min(r["passed"] for r in references)
    if not new and record["passed"] < least:
        new.append(f"({record['passed']} cases passed, not {least})")
    return new


def verdict(records, suite, setting, test):
    """`same`; or what a difference came to, and its cases: `fault` if it came
    again, or was a crash, a hang or a message of ours; `policy` if glibc has all
    of that, too, when it follows the same policy; `flaky` if glibc had it too
    when it ran again; `once` if neither had it again; `open` if it has not been
    run again."""
    first = [r for r in records.of(suite, setting)[test] if not r["alone"]][-1]
    reference = [r for r in records.of(suite, REFERENCE)[test] if not r["alone"]][-1]
    cases = difference(first, [reference])
    if not cases:
        return "same", []
    again = records.alone(suite, setting, test)
    theirs = records.alone(suite, REFERENCE, test)
    if not again:
        return "open", cases
    references = [reference, *theirs]
    if not difference(first, references):
        return "flaky", cases
    repeated = any(difference(r, references) for r in again)
    grave = first["outcome"] in ("crash", "stopped") or any(c.startswith("(brkpoint") for c in cases)
    if not repeated and not grave:
        return "once", cases
    like = SAME_POLICY.get(setting)
    alike = records.alone(suite, like.name, test) if like else []
    # A run that had no end shows nothing.
    alike = [r for r in alike if r["outcome"] != "stopped"]
    if alike and not any(difference(r, references + alike) for r in [first, *again]):
        return "policy", cases
    return "fault", cases


def summary(records, suites, settings):
    """One dict for each suite and setting that has been run."""
    for suite in suites:
        references = records.first(suite, REFERENCE)
        for setting in [REFERENCE, *settings]:
            runs = records.first(suite, setting)
            if not runs:
                continue
            verdicts = defaultdict(list)
            for test in runs:
                if setting != REFERENCE and test in references:
                    kind, cases = verdict(records, suite, setting, test)
                    verdicts[kind].append((test, cases))
            everything = [r for all_of_it in records.of(suite, setting).values() for r in all_of_it]
            concurrent = [r for r in everything if r["threads"] > 1 or r["carrying"] + r["bare"] > 1]
            yield {
                "suite": suite.name, "version": suite.version, "setting": setting,
                "tests": len(runs),
                "passed": sum(r["outcome"] == "pass" for r in runs.values()),
                "cases": sum(r["passed"] for r in runs.values()),
                "verdicts": verdicts,
                "minutes": sum(r["seconds"] for r in everything) / 60,
                "concurrent": sum(r["seconds"] for r in concurrent) / 60,
                "carrying": sum(r["carrying"] for r in everything),
                "bare": sum(r["bare"] for r in everything),
                "fat": [(test, r["peak_rss_kib"], references[test]["peak_rss_kib"])
                        for test, r in runs.items() if setting != REFERENCE and test in references
                        and fat(r["peak_rss_kib"], references[test]["peak_rss_kib"])],
                "commits": sorted({r["commit"] for r in runs.values()}),
                "days": sorted({r["when"][:10] for r in runs.values()}),
            }


def fat(ours, theirs):
    return ours > MEMORY_TIMES * theirs and ours > theirs + MEMORY_BEYOND


def markdown(rows):
    """The tables of docs/suites.md."""
    rows = list(rows)
    ours = [row for row in rows if row["setting"] != REFERENCE]
    days = sorted({day for row in rows for day in row["days"]})
    commits = sorted({commit for row in ours for commit in row["commits"]})
    when = " to ".join(dict.fromkeys([days[0], days[-1]]))
    yield f"`scripts/suites`, {when}, the allocator of commit {', '.join(commits)}."
    yield ""
    yield ("| suite | setting | tests | passed | cases passed | faults | policy | once | flaky | minutes | of them concurrent "
           "| processes seen with the preload | without |")
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for row in rows:
        found = row["verdicts"]
        counts, seen = ["-"] * 4, ["-"] * 2
        if row["setting"] != REFERENCE:
            counts = [str(len(found[kind])) for kind in ("fault", "policy", "once", "flaky")]
            seen = [f"{row['carrying']:,}", f"{row['bare']:,}"]
        cells = [f"{row['suite']} {row['version']}", row["setting"], f"{row['tests']:,}", f"{row['passed']:,}",
                 f"{row['cases']:,}", *counts, f"{row['minutes']:.0f}", f"{row['concurrent']:.0f}", *seen]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield (f"Under the preload: {sum(row['minutes'] for row in ours):.0f} minutes, "
           f"{sum(row['concurrent'] for row in ours):.0f} of them in tests with several threads or processes.")
    for kind, title in [("fault", "Faults"), ("open", "Not yet run again"),
                        ("policy", "Failed under glibc too when it follows the same policy"), ("once", "Failed once, and not again"),
                        ("flaky", "Failed under glibc too when run again")]:
        lines = [f"- {row['suite']}, {row['setting']}, {test}: {', '.join(cases[:4])}{' ...' if len(cases) > 4 else ''}"
                 for row in ours for test, cases in row["verdicts"][kind]]
        if lines:
            yield from ["", f"{title}:", "", *lines]
    lines = [f"- {row['suite']}, {row['setting']}, {test}: {mine >> 10} MiB, glibc {theirs >> 10} MiB"
             for row in ours for test, mine, theirs in row["fat"]]
    if lines:
        title = f"Peak RSS more than {MEMORY_TIMES} times glibc's and {MEMORY_BEYOND >> 10} MiB beyond it:"
        yield from ["", title, "", *lines]
