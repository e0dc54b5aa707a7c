"""Proof that the portable layers work on Windows, on a Linux machine: a Windows Python under Wine runs the portable
unit tests, and then Linux programs on the emulator, whose output is compared with the host's.

    python -m tests.windows [--directory DIR] [--only tests|programs|api|root] [TEST...]

Wine needs no display. Nothing of Windows' Python is installed: its DLL and its modules come inside the wheel of
panda3d for Windows, the rest of its standard library is any Python 3.11's, and a launcher of three lines is compiled.
Packages come from pip. Everything is made in DIR (kept, and used again) or in a temporary directory.

docs/windows.md says what is needed, and what the last run showed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from tests.windows.programs import PROGRAMS, Program

CHECKOUT = Path(__file__).parents[2]
MINGW = "x86_64-w64-mingw32-gcc"
#: The only wheels that hold what python.org's installer does, for this version.
VERSION = "3.11"
PANDA = "panda3d>=1.10.15,<1.11"
LAUNCHER = """
int Py_Main(int, unsigned short **);
int wmain(int count, unsigned short **words) { return Py_Main(count, words); }
"""
#: What pytest needs on Windows alone.
WINDOWS_ONLY = ["colorama"]
#: Seconds, for a machine that is busy.
BOOT, PROGRAM, TESTS = 300, 300, 3600


class ProofError(Exception):
    """The proof cannot be made here; the message says what is missing."""


def say(text: str) -> None:
    print(f"windows: {text}", flush=True)


class Wine:
    """A Windows of its own, with a Python; ``with`` ends all that runs in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = directory / "python"
        self.checkout = directory / "checkout"
        self._program = _find("wine64", "/usr/lib/wine/wine64", package="wine64")
        self._server = _find("wineserver", "/usr/lib/wine/wineserver", package="wine64")
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self.environment = {
            **keep,
            "WINEPREFIX": str(directory / "prefix"),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=",  # neither is there, and none is asked for
            "PYTHONPATH": ";".join(windows(directory / name) for name in ("checkout/src", "checkout", "site")),
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": windows(directory / "hypothesis"),
            "PYLITEBOX_ROOTFS": windows(directory / "root.tar"),
        }

    def __enter__(self) -> Self:
        (self.directory / "prefix").mkdir(exist_ok=True)
        if not (self.directory / "prefix/system.reg").exists():
            say("making a Windows (wineboot)")
            self._run([self._program, "wineboot", "-i"], BOOT)
        return self

    def __exit__(self, *error: object) -> None:
        for option in ("-k", "-w"):
            subprocess.run([self._server, option], env=self.environment, check=False, timeout=60)

    def _run(self, command: Sequence[object], timeout: float, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Through pipes: Windows' Python takes no regular files of the host as its streams."""
        return subprocess.run(
            [str(word) for word in command], input=data, capture_output=True, timeout=timeout, check=False,
            env=self.environment, cwd=self.checkout if self.checkout.exists() else self.directory,
        )  # fmt: skip

    def run_python(
        self, arguments: Sequence[str], timeout: float, data: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        return self._run([self._program, self.python / "python.exe", *arguments], timeout, data)

    def show_python(self, arguments: Sequence[str], timeout: float) -> int:
        """Run, and show what it says as it says it; its status."""
        command = [self._program, str(self.python / "python.exe"), *arguments]
        started = time.monotonic()
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment,
            cwd=self.checkout,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            try:
                while part := process.stdout.read1(4096):
                    sys.stdout.write(part.decode("utf-8", "replace").replace("\r", ""))
                    sys.stdout.flush()
                    if time.monotonic() - started > timeout:
                        raise ProofError(f"the tests took more than {timeout:.0f} s")
                return process.wait(BOOT)
            except BaseException:
                process.kill()
                raise


def windows(path: Path) -> str:
    """A path of the host as Wine has it."""
    return "Z:" + str(path.resolve()).replace("/", "\\")


def _find(name: str, *places: str, package: str) -> str:
    for place in (name, *places):
        found = shutil.which(place)
        if found is not None:
            return found
    raise ProofError(f"{name} is missing: apt-get install --no-install-recommends {package}")


# -- making ------------------------------------------------------------------------------------------------------


def pip(*arguments: str) -> None:
    target = ["--only-binary=:all:", "--platform", "win_amd64", "--python-version", VERSION, "--implementation", "cp"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", arguments[0], "-q", *target, *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise ProofError(f"pip {arguments[0]} failed:\n{done.stderr.strip()}")


def make_python(directory: Path) -> None:
    """python.exe, its DLL and modules, and the standard library."""
    home = directory / "python"
    if (home / "python.exe").exists():
        return
    compiler = _find(MINGW, package="gcc-mingw-w64-x86-64")
    library = Path(f"/usr/lib/python{VERSION}")
    if not library.is_dir():
        raise ProofError(f"{library} is missing: apt-get install python{VERSION}")
    say("fetching Windows' Python")
    wheels = directory / "wheels"
    pip("download", "--no-deps", "-d", str(wheels), PANDA)
    home.mkdir(exist_ok=True)
    with zipfile.ZipFile(next(wheels.glob("panda3d-*.whl"))) as wheel:
        for name in wheel.namelist():
            folder, _, file = name.rpartition("/")
            if folder == "deploy_libs" and file.lower().endswith((".dll", ".pyd")) and not file.startswith("api-ms"):
                (home / file).write_bytes(wheel.read(name))
    unwanted = shutil.ignore_patterns("__pycache__", "lib-dynload", "test", "config-*", "idlelib", "*.so")
    shutil.copytree(library, home / "Lib", ignore=unwanted, dirs_exist_ok=True)
    source = directory / "launcher.c"
    source.write_text(LAUNCHER)
    built = home / "python.new"
    command = [compiler, "-municode", "-o", str(built), str(source), str(home / "python311.dll")]
    subprocess.run(command, check=True, timeout=100)
    built.rename(home / "python.exe")


def make_packages(directory: Path) -> None:
    """What pyproject.toml names for tests."""
    site = directory / "site"
    if (site / "made").exists():
        return
    say("fetching packages")
    with open(CHECKOUT / "pyproject.toml", "rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    lines = [line for name in ("emulator", "zstd", "test") for line in extras[name]]
    # markers are about where pip runs
    wanted = [line.partition(";")[0] for line in lines if not line.startswith("pylitebox")]
    # its binding for Python is not used: no need of what that needs
    pip("install", "--no-deps", "--target", str(site), *extras["emulator"])
    rest = [line for line in wanted if line not in extras["emulator"]]
    pip("install", "--target", str(site), *rest, *WINDOWS_ONLY)
    (site / "made").touch()


def copy_checkout(directory: Path) -> None:
    """Compiled files of this Python stay out of the user's checkout."""
    target = directory / "checkout"
    shutil.rmtree(target, ignore_errors=True)
    for name in ("src", "tests", "docs"):
        shutil.copytree(CHECKOUT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(CHECKOUT / "pyproject.toml", target)


def make_root(directory: Path) -> None:
    """A tar archive of the machine's own bash, busybox and python3.11, with what they need."""
    target = directory / "root.tar"
    if target.exists():
        return
    say("packing this machine's busybox, bash and python3.11 into a root tar")
    names = ("bash", f"python{VERSION}", "sh", "cat", "head", "ls", "seq", "sleep", "sort", "tail", "tr", "true", "wc")
    commands = [f"/usr/bin/{name}" for name in names]
    commands.append(_find("busybox", "/bin/busybox", package="busybox-static"))
    places = {Path("/bin"), Path("/lib"), Path("/lib64"), Path("/etc/passwd"), Path("/etc/group")}
    for command in commands:
        if not Path(command).exists():
            raise ProofError(f"{command} is missing")
        places.update((Path(command), *_libraries(Path(command))))
    standard = Path(f"/usr/lib/python{VERSION}")
    for path in standard.rglob("*"):
        if not {"__pycache__", "test", "idlelib", "dist-packages"}.intersection(path.parts) and not path.is_dir():
            places.add(path)
            if path.suffix == ".so":
                places.update(_libraries(path))
    entries: dict[Path, None] = {}
    for path in sorted(places):
        _add(path, entries)
    partial = target.with_suffix(".new")
    with tarfile.open(partial, "w") as archive:
        for path in entries:
            archive.add(path, recursive=False)
    partial.rename(target)


def _add(path: Path, entries: dict[Path, None]) -> None:
    """A path with the directories above it, and what it leads to."""
    if path in entries or path == Path("/"):
        return
    _add(path.parent, entries)
    if path.parent.is_symlink():  # the directory itself is elsewhere
        _add(path.parent.resolve() / path.name, entries)
        return
    entries[path] = None
    if path.is_symlink():
        _add(Path(os.path.normpath(path.parent / path.readlink())), entries)


def _libraries(program: Path) -> Iterator[Path]:
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, timeout=60)
    for word in done.stdout.split():
        if word.startswith("/"):
            yield Path(word)


# -- showing -----------------------------------------------------------------------------------------------------


def run_pytest(wine: Wine, tests: Sequence[str]) -> bool:
    # Unicorn commits its memory by a handler of access violations, which faulthandler would report
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--timeout", str(PROGRAM)]
    return wine.show_python(["-m", "pytest", *options, *tests], TESTS) == 0


def run_tests(wine: Wine, tests: Sequence[str]) -> bool:
    say("the portable unit tests")
    return run_pytest(wine, tests or ["tests"])


def run_api(wine: Wine) -> bool:
    say("the Python API")
    return run_pytest(wine, ["tests/windows/api_checks.py"])


def run_programs(wine: Wine) -> bool:
    say("Linux programs on the emulator")
    failed = 0
    for program in PROGRAMS:
        expected, took = on_host(program), time.monotonic()
        rootfs = ["--platform", "emulator", "--rootfs", windows(wine.directory / "root.tar")]
        done = wine.run_python(["-m", "pylitebox", "run", *rootfs, "--", *program.argv], PROGRAM, program.input)
        got = done.returncode, done.stdout
        same = got == expected
        failed += not same
        say(f"{'same' if same else 'DIFFERENT'}  {time.monotonic() - took:5.1f} s  {program.name}")
        if not same:
            say(f"  on the host: {expected}\n  under Wine: {got}\n{done.stderr.decode('utf-8', 'replace')}")
    say(f"{len(PROGRAMS) - failed} of {len(PROGRAMS)} programs are the same as on the host")
    return not failed


def on_host(program: Program) -> tuple[int, bytes]:
    """Status and output, with the environment that a sandbox gives."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    done = subprocess.run(
        program.argv, input=program.input, capture_output=True, env=environment, cwd="/", timeout=PROGRAM, check=False
    )
    return done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout


def prove(directory: Path, only: str | None, tests: Sequence[str]) -> bool:
    directory.mkdir(parents=True, exist_ok=True)
    make_root(directory)
    if only == "root":
        return True
    make_python(directory)
    make_packages(directory)
    copy_checkout(directory)
    with Wine(directory) as wine:
        version = wine.run_python(["-c", "import sys; print(sys.version, sys.platform)"], BOOT)
        if version.returncode:
            raise ProofError(f"Windows' Python does not start:\n{version.stderr.decode('utf-8', 'replace')}")
        say(version.stdout.decode().strip())
        good = True
        if only in (None, "tests"):
            good = run_tests(wine, tests) and good
        if only in (None, "programs"):
            good = run_programs(wine) and good
        if only in (None, "api"):
            good = run_api(wine) and good
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.windows", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--directory", type=Path, help="where everything is made, and kept")
    parser.add_argument("--only", choices=("tests", "programs", "api", "root"), help="one part; root: pack it")
    parser.add_argument("tests", nargs="*", help="which unit tests (all that are portable)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # and Windows is ended
    try:
        if options.directory is not None:
            good = prove(options.directory.resolve(), options.only, options.tests)
        else:
            with tempfile.TemporaryDirectory(prefix="pylitebox-windows-") as directory:
                good = prove(Path(directory), options.only, options.tests)
    except (ProofError, subprocess.SubprocessError) as error:
        say(str(error))
        return 2
    say("done" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
