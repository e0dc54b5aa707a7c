"""Runs real programs on the host and under pylitebox, the same way, so that a test can compare the two.

A test says ``check(argv)``: the host's status, standard output and standard error are the expectation. Both sides get
the same environment, the same standard input and an empty working directory /tmp (the host: a fresh directory). What a
program prints must therefore not depend on ids, inode numbers, times of day, or on where it runs.

Everything goes through the command line in a process of its own: that is what a *variant* (a user without rights, an
outer filter, one CPU) can be wrapped around. The package is copied to a world-readable directory first, since the
checkout and the interpreter may be root's alone.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import pylitebox

HERE = Path(__file__).parent
ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
#: Long enough for a loaded machine of two CPUs; a hang is a failure, never a hung suite.
TIMEOUT = float(os.environ.get("PYLITEBOX_TEST_TIMEOUT", "60"))
#: The Debian package of a program that a machine may lack.
PACKAGES = {
    "busybox": "busybox-static", "gcc": "gcc", "make": "make", "perl": "perl", "gawk": "gawk", "mawk": "mawk",
    "xz": "xz-utils", "/usr/bin/python3": "python3", "setpriv": "util-linux", "taskset": "util-linux",
    "ipcs": "util-linux",
    "bc": "bc", "bzip2": "bzip2", "cmake": "cmake", "cpio": "cpio", "ed": "ed", "file": "file", "flock": "util-linux",
    "g++": "g++", "git": "git", "jq": "jq", "less": "less", "more": "util-linux", "ninja": "ninja-build",
    "openssl": "openssl", "patch": "patch", "rsync": "rsync", "sqlite3": "sqlite3", "strings": "binutils",
    "tclsh": "tcl", "unzip": "unzip", "vim": "vim-nox", "xxd": "xxd", "zip": "zip", "zstd": "zstd",
    "node": "nodejs", "go": "golang-go", "java": "default-jdk-headless", "javac": "default-jdk-headless",
}  # fmt: skip


def need(program: str) -> None:
    """Skip the test, naming the Debian package, if ``program`` is not on this machine."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing: apt-get install {PACKAGES.get(program, Path(program).name)}")


@dataclass(frozen=True)
class Outcome:
    """What a program did."""

    status: int
    stdout: str
    stderr: str


@dataclass
class Runner:
    """Runs programs under pylitebox; ``prefix`` is the command that makes the variant."""

    platform: str
    package: Path  # the directory that holds the copy of the package
    interpreter: str
    prefix: Sequence[str] = ()
    mounts: dict[Path, str] = field(default_factory=dict)

    def command(self, argv: Sequence[str], *options: str) -> list[str]:
        """The whole command line of a run."""
        mounts = [f"--mount={host}:{guest}:ro" for host, guest in self.mounts.items()]
        environ = [f"--env={key}={value}" for key, value in ENVIRON.items()]
        own = [*self.prefix, self.interpreter, "-m", "pylitebox"]
        return [*own, "run", f"--platform={self.platform}", "--cwd=/tmp", *environ, *mounts, *options, "--", *argv]

    def environ(self) -> Mapping[str, str]:
        """The client's environment: the copied package, and errors for warnings."""
        return {**ENVIRON, "PYTHONPATH": str(self.package), "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, argv: Sequence[str], *options: str, **how: object) -> subprocess.Popen[bytes]:
        """Start the command line; what subprocess.Popen takes."""
        return subprocess.Popen(self.command(argv, *options), env=self.environ(), cwd="/", **how)  # type: ignore[call-overload, no-any-return]

    def run(self, argv: Sequence[str], *options: str, stdin: str = "", timeout: float = TIMEOUT) -> Outcome:
        """Run to its end. A time-out ends the whole tree and fails the test."""
        pipe = subprocess.PIPE
        process = self.start(argv, *options, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            out, err = process.communicate(stdin.encode(), timeout)
        except subprocess.TimeoutExpired:
            process.kill()  # whatever it started must end by itself: the next test looks
            out, err = process.communicate()
            pytest.fail(f"no end within {timeout} s: {argv}\n--- stdout\n{_text(out)}\n--- stderr\n{_text(err)}")
        return Outcome(process.returncode, _text(out), _text(err))

    def check(self, argv: Sequence[str], *, stdin: str = "", timeout: float = TIMEOUT) -> Outcome:
        """Run on the host and under pylitebox; fail unless status and output are equal."""
        own = [self.host_path(word) for word in argv]
        need(own[0])
        expected = on_host(own, stdin, timeout)
        got = self.run(argv, stdin=stdin, timeout=timeout)
        assert got == expected
        return got

    def host_path(self, word: str) -> str:
        """A path below a mount, as it is on the host."""
        for host, guest in self.mounts.items():
            if word.startswith(guest + "/"):
                return str(host) + word[len(guest) :]
        return word

    def leftovers(self, patience: float = 1.0) -> list[str]:
        """The processes that are still there ``patience`` seconds after everything should have ended. They are then
        ended, so that one test's fault is not all later tests' too."""
        deadline = time.monotonic() + patience
        while (found := _processes_of(self.package)) and time.monotonic() < deadline:
            time.sleep(0.02)  # polling is all there is: they are not our children
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return [f"{pid}: {command}" for pid, command in found.items()]


def on_host(argv: Sequence[str], stdin: str = "", timeout: float = TIMEOUT) -> Outcome:
    """Run on the host, in a fresh directory."""
    with tempfile.TemporaryDirectory() as fresh:
        done = subprocess.run(
            argv, input=stdin.encode(), capture_output=True, timeout=timeout, cwd=fresh, env=ENVIRON, check=False
        )
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return Outcome(status, _text(done.stdout), _text(done.stderr))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _processes_of(package: Path) -> dict[int, str]:
    """Processes that run the copied package or its stub: told by their executable, arguments or environment."""
    token = os.fsencode(package)
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            text = os.fsencode((entry / "exe").readlink()) + command + (entry / "environ").read_bytes()
            zombie = b"\nState:\tZ" in (entry / "status").read_bytes()
        except OSError:
            continue  # gone, or somebody else's
        if token in text and not zombie:
            found[int(entry.name)] = command.replace(b"\0", b" ").decode("utf-8", "replace")
    return found


def publish(directory: Path) -> tuple[Path, str]:
    """Copy the package where every user can read it; returns its parent and an interpreter for every user."""
    source = Path(pylitebox.__file__).parent
    shutil.copytree(source, directory / "pylitebox", ignore=shutil.ignore_patterns("__pycache__"))
    emulator = importlib.util.find_spec("unicorn")
    if emulator is not None and emulator.origin is not None:
        shutil.copytree(
            Path(emulator.origin).parent, directory / "unicorn", ignore=shutil.ignore_patterns("__pycache__", "*.a")
        )
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return directory, _public_interpreter()


def _public_interpreter() -> str:
    """This interpreter, if every user can run it; else the system's."""
    real = Path(sys.executable).resolve()
    reachable = all(parent.stat().st_mode & 0o005 == 0o005 for parent in [real, *real.parents])
    return sys.executable if reachable and _all_reachable(Path(sys.executable)) else "/usr/bin/python3"


def _all_reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


def compile_programs(directory: Path) -> Path:
    """Compile tests/guest/programs/*.c into ``directory``; skips the test without a compiler."""
    need("gcc")
    for source in sorted((HERE / "programs").glob("*.c")):
        subprocess.run(
            ["gcc", "-O1", "-Wall", "-Wextra", "-pthread", "-o", directory / source.stem, source, "-lrt"], check=True
        )
    for script in sorted((HERE / "programs").glob("*.sh")):
        shutil.copy(script, directory)
    for path in directory.iterdir():
        path.chmod(0o755)
    return directory
