"""Tests of the parts that judge: `cd scripts && python3 -m unittest suiteslib.tests`."""

import json
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

from .execute import outcome
from .fetch import with_sources
from .programs import CPython, Glib, Redis, Sqlite
from .results import REFERENCE, Records, difference, markdown, summary, verdict

SUITE = SimpleNamespace(name="s", version="1")


def record(setting, failed=(), *, passed=5, outcome=None, alone=False, test="t"):
    return {"suite": "s", "version": "1", "test": test, "setting": setting,
            "build": None if setting.startswith(REFERENCE) else "b", "commit": "c", "alone": alone,
            "when": "2026-01-01T00:00:00Z", "failed": list(failed), "passed": passed,
            "outcome": outcome or ("fail" if failed else "pass"), "seconds": 60.0, "peak_rss_kib": 1000,
            "threads": 2, "carrying": 1, "bare": 0}


def records(*all_of_them):
    with tempfile.TemporaryDirectory() as directory:
        kept = Records(Path(directory) / "records.jsonl", "b")
        for one in all_of_them:
            kept.add(one)
        with open(kept.path, "a") as file:
            print(json.dumps(record("default", ["another build"]) | {"build": "other"}), file=file)
        return Records(kept.path, "b")


class Verdicts(unittest.TestCase):
    def kind(self, *all_of_them):
        return verdict(records(*all_of_them), SUITE, "default", "t")[0]

    def test_what_fails_under_both_is_no_difference(self):
        self.assertEqual(self.kind(record(REFERENCE, ["a"]), record("default", ["a"])), "same")

    def test_a_case_that_fails_under_ours_alone_awaits_its_repetition(self):
        self.assertEqual(self.kind(record(REFERENCE, ["a"]), record("default", ["a", "b"])), "open")

    def test_what_comes_again_is_a_fault(self):
        first = [record(REFERENCE), record("default", ["a"])]
        fine, bad = record("default", alone=True), record("default", ["a"], alone=True)
        self.assertEqual(self.kind(*first, fine, bad, fine, record(REFERENCE, alone=True)), "fault")

    def test_what_does_not_come_again_is_once(self):
        self.assertEqual(self.kind(record(REFERENCE), record("default", ["a"]), record("default", alone=True)), "once")

    def test_a_crash_is_a_fault_even_once(self):
        crash = record("default", ["(killed by SIGSEGV)"], outcome="crash", passed=0)
        self.assertEqual(self.kind(record(REFERENCE), crash, record("default", alone=True)), "fault")

    def test_what_glibc_fails_too_when_it_runs_again_is_flaky(self):
        self.assertEqual(self.kind(record(REFERENCE), record("default", ["a"]), record("default", ["a"], alone=True),
                                   record(REFERENCE, ["a"], alone=True)), "flaky")

    def test_what_glibc_fails_with_the_same_policy_is_the_policys(self):
        def kind(*glibc):
            runs = [record("mmap-only", ["a"]), record("mmap-only", ["a"], alone=True)]
            like = [record("glibc-mmap-only", alone=True, **one) for one in glibc]
            return verdict(records(record(REFERENCE), *runs, *like), SUITE, "mmap-only", "t")[0]
        self.assertEqual(kind(), "fault")
        self.assertEqual(kind({}), "fault")
        self.assertEqual(kind({"failed": ["b"]}), "fault")
        self.assertEqual(kind({"failed": ["(no end)"], "outcome": "stopped"}), "fault")
        self.assertEqual(kind({"failed": ["a"]}), "policy")

    def test_cases_that_vanish_are_a_difference(self):
        lost = ["(4 cases passed, not 5)"]
        self.assertEqual(difference(record("default", passed=4), [record(REFERENCE)]), lost)
        self.assertEqual(difference(record("default", ["a"], passed=4), [record(REFERENCE, ["a"])]), lost)

    def test_a_message_of_ours_fails_the_test(self):
        got = outcome((5, []), 0, None, "x\nbrkpoint: free(0x1): not a block\n")
        self.assertEqual((got["outcome"], got["failed"]), ("fail", ["(brkpoint: free(0x1): not a block)"]))

    def test_outcomes(self):
        self.assertEqual(outcome((5, []), 0, None, "")["outcome"], "pass")
        self.assertEqual(outcome((0, []), 0, None, "")["outcome"], "skip")
        self.assertEqual(outcome((5, []), 1, None, "")["failed"], ["(exit status 1)"])
        self.assertEqual(outcome(None, 0, None, "")["failed"], ["(no result)"])
        self.assertEqual(outcome(None, -11, None, "")["outcome"], "crash")
        self.assertEqual(outcome(None, -9, "more than 300 s", "")["outcome"], "stopped")

    def test_the_tables_name_what_differed(self):
        rows = summary(records(record(REFERENCE), record("default", ["a"])), [SUITE], ["default"])
        text = "\n".join(markdown(rows))
        self.assertIn("| s 1 | default | 1 | 0 | 5 | 0 |", text)
        self.assertIn("- s, default, t: a", text)


class Outputs(unittest.TestCase):
    def cases(self, suite, output, files=()):
        with tempfile.TemporaryDirectory() as directory:
            for name, text in files:
                (Path(directory) / name).write_text(text)
            return suite(Path(directory)).cases(output, Path(directory))

    def test_cpython(self):
        report = ('<testsuites><testsuite><testcase name="a" result="completed"/>'
                  '<testcase name="b" result="skipped"/>'
                  '<testcase name="c" result="completed"><failure>x</failure></testcase></testsuite></testsuites>')
        self.assertEqual(self.cases(CPython, "", [("cases.xml", report)]), (1, ["c"]))
        self.assertIsNone(self.cases(CPython, "Segmentation fault"))

    def test_sqlite(self):
        output = ("t-1... Ok\nt-2...\n! t-2 expected: [1]\n! t-2 got:      [2]\n"
                  "1 errors out of 2 tests on x Linux 64-bit\n")
        self.assertEqual(self.cases(Sqlite, output), (1, ["t-2"]))
        self.assertEqual(self.cases(Sqlite, "t-1... Ok\nt-2..."), (1, ["(no end)"]))

    def test_redis(self):
        output = "[\x1b[0;32mok\x1b[0m]: one (3 ms)\n[\x1b[31merr\x1b[0m]: two in tests/unit/x.tcl\nThe End\n"
        self.assertEqual(self.cases(Redis, output), (1, ["two"]))
        self.assertEqual(self.cases(Redis, "[ok]: one (3 ms)\n"), (1, ["(no end)"]))

    def test_glib(self):
        output = "1..3\nok 1 /a\nnot ok 2 /b\nok 3 /c # SKIP no network\n"
        self.assertEqual(self.cases(Glib, output), (1, ["/b"]))

    def test_sources_are_asked_for_in_both_formats(self):
        self.assertEqual(with_sources("Types: deb\nURIs: u\n"), "Types: deb deb-src\nURIs: u\n")
        self.assertEqual(with_sources("deb u stable main\n"), "deb u stable main\ndeb-src u stable main\n")


if __name__ == "__main__":
    unittest.main()
