"""Packages and their sources, brought by apt into a directory of our own.

Nothing is installed and no system file is changed: apt gets lists and a cache
of its own, made from the sources that the machine is configured with.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

SYSTEM_SOURCES = [Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d")]


class SetupError(Exception):
    """The machine lacks something; the message says what to do."""


def run(argv, log, **options):
    """Runs a command of the set-up, its output appended to the file `log`."""
    with open(log, "a") as out:
        print("$", *argv, file=out, flush=True)
        done = subprocess.run(argv, stdout=out, stderr=subprocess.STDOUT, **options)
    if done.returncode != 0:
        raise SetupError(f"`{' '.join(map(str, argv))}` failed (exit {done.returncode}); see {log}")


def require(programs, log):
    """Has the programs, a dict to the Debian package that has each: as root
    they are installed, otherwise the error says how."""
    missing = sorted({package for program, package in programs.items() if not found(program)})
    if not missing:
        return
    if os.geteuid() == 0:
        run(["apt-get", "update", "-q"], log)
        install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing]
        run(install, log, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        missing = [p for p in missing if any(p == q and not found(n) for n, q in programs.items())]
    if missing:
        raise SetupError(f"not here: install them with `apt-get install {' '.join(missing)}`")


def found(program):
    """Whether a command, or an absolute path, is there."""
    return Path(program).exists() if program.startswith("/") else shutil.which(program)


class Apt:
    """An apt of our own under `home`."""

    def __init__(self, home, log):
        self.home, self.log = home, log
        self.options = [
            f"-oDir::Etc::sourceparts={home}/sources", "-oDir::Etc::sourcelist=/dev/null",
            f"-oDir::State::lists={home}/lists", f"-oDir::Cache={home}/cache", "-oAPT::Sandbox::User=root",
        ]
        self.updated = False

    def get(self, *arguments):
        run(["apt-get", "-q", *self.options, *arguments], self.log, cwd=self.home / "downloads")

    def update(self):
        """Reads the machine's package lists, those of the sources included."""
        if self.updated:
            return
        require({"apt-get": "apt", "dpkg-deb": "dpkg", "dpkg-source": "dpkg-dev"}, self.log)
        for part in ["lists/partial", "cache/archives/partial", "sources", "downloads"]:
            (self.home / part).mkdir(parents=True, exist_ok=True)
        files = [SYSTEM_SOURCES[0], *sorted(SYSTEM_SOURCES[1].glob("*"))]
        for file in files:
            if file.suffix in (".list", ".sources") and file.is_file():
                (self.home / "sources" / file.name).write_text(with_sources(file.read_text()))
        try:
            self.get("update")
        except SetupError:
            # A third party's archive that has no sources is no hindrance;
            # what cannot be fetched is reported when it is fetched.
            pass
        self.updated = True

    def depends(self, package, pattern):
        """The package among those that `package` depends on whose name the pattern fits."""
        self.update()
        shown = subprocess.run(["apt-cache", *self.options, "depends", package], capture_output=True, text=True)
        names = re.findall(rf"^ +Depends: ({pattern})$", shown.stdout, re.MULTILINE)
        if not names:
            raise SetupError(f"apt knows no package {package}, or not what it depends on: is this Debian?")
        return names[0]

    def packages(self, names, into):
        """Unpacks packages, of one version, under `into`; gives that version."""
        self.update()
        before = set((self.home / "downloads").glob("*.deb"))
        for old in before:
            old.unlink()
        self.get("download", *names)
        debs = sorted((self.home / "downloads").glob("*.deb"))
        for deb in debs:
            run(["dpkg-deb", "-x", deb, into], self.log)
        return one({deb.name.split("_")[1].replace("%3a", ":") for deb in debs}, names)

    def source(self, name, into):
        """Unpacks the source of a package, patched, as `into`; gives its version."""
        self.update()
        self.get("source", "--download-only", name)
        found = sorted((self.home / "downloads").glob(f"{name}_*.dsc"), key=os.path.getmtime)
        if not found:
            raise SetupError(f"apt brought no source of {name}; see {self.log}")
        shutil.rmtree(into, ignore_errors=True)
        run(["dpkg-source", "--no-check", "-x", found[-1], into], self.log)
        return one(set(re.findall(r"^Version: (\S+)", found[-1].read_text(), re.MULTILINE)), [name])


def with_sources(text):
    """A file of apt's sources, in either format, with the source packages too."""
    text = re.sub(r"^Types:.*$", "Types: deb deb-src", text, flags=re.MULTILINE)
    return re.sub(r"^deb (.*)$", r"deb \1\ndeb-src \1", text, flags=re.MULTILINE)


def one(versions, names):
    if len(versions) != 1:
        raise SetupError(f"{', '.join(names)}: one version expected, not {sorted(versions)}")
    return versions.pop()
