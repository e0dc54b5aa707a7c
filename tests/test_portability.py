"""The portable layers work where there is no POSIX: none of their modules needs what only POSIX systems have.

Everything is portable but what PLATFORMS names: the parts that are one operating system's own. Two checks: the source
of a portable module names no POSIX-only module, and no part of PLATFORMS, except where WHERE says so (and then within
a function, behind a question which host it is); and all of them are imported in a process that looks like Windows.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_layering import SOURCE, _module, modules

#: What is one operating system's own: modules or packages, relative to pylitebox.
PLATFORMS = {
    "south.native", "south.kvm", "south.hostfiles", "south.streams", "south.descriptors",  # Linux
    "supervisor.linux", "supervisor.main", "supervisor.confine", "supervisor.zygote",  # a supervisor that is forked
    "sandbox.raw",  # POSIX terminals
    "supervisor.handles",  # Windows
}  # fmt: skip

#: Modules of the standard library that Windows' Python lacks, or macOS's ("sys/unix.h" of both).
POSIX_ONLY = {
    "fcntl", "grp", "nis", "ossaudiodev", "posix", "pty", "pwd", "readline", "resource", "spwd", "syslog", "termios",
    "tty", "crypt", "curses", "_posixsubprocess",
}  # fmt: skip

#: Where a portable module reaches for one of either, on a host that has it.
WHERE = {
    "cli/facts.py": {"south.native.doctor", "south.native.report"},  # what pylitebox may do on Linux, to be read
    "library/posix.py": {"south.hostfiles"},
    "sandbox/foreground.py": {"supervisor.main", "sandbox.raw"},
    "sandbox/streams.py": {"fcntl"},
    "supervisor/platforms.py": {"south.native.platform", "south.kvm.host", "south.kvm.platform", "supervisor.confine"},
    "supervisor/streaming.py": {"supervisor.handles"},
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def is_part(name: str, parts: set[str]) -> bool:
    return any(name == part or name.startswith(part + ".") for part in parts)


PORTABLE = [path for path in modules() if not is_part(name_of(path), PLATFORMS)]


def needs(path: Path) -> Iterator[tuple[int, str, bool]]:
    """What a module imports that is not portable: line, name, whether that is done within a function."""
    tree = ast.parse(path.read_text(), str(path))
    late: set[int] = set()
    typing: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            late.update(id(inner) for inner in ast.walk(node))
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing.update(id(inner) for inner in ast.walk(node))
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            ours = node.module.startswith("pylitebox")
            names = [_module(node.module, alias.name) if ours else node.module for alias in node.names]
        for name in dict.fromkeys(names):
            own = name.removeprefix("pylitebox.")
            if is_part(own, PLATFORMS) if own != name else name.partition(".")[0] in POSIX_ONLY:
                yield node.lineno, own, id(node) in late


def test_the_parts_of_platforms_exist() -> None:
    names = {name_of(path) for path in modules()}
    assert {part for part in PLATFORMS if not any(is_part(name, {part}) for name in names)} == set()


def test_no_portable_module_names_what_only_posix_has() -> None:
    found: dict[str, set[str]] = {}
    early = []
    for path in PORTABLE:
        for line, name, late in needs(path):
            found.setdefault(path.relative_to(SOURCE).as_posix(), set()).add(name)
            if not late:
                early.append(f"{path.relative_to(SOURCE)}:{line}: {name}")
    assert early == []
    assert found == WHERE


#: Makes this process look like Windows' Python, and imports what it is told. What is missing there raises; modules of
#: the standard library that are loaded already have been told the truth.
_LIKE_WINDOWS = """
import asyncio, ctypes, importlib, importlib.util, json, logging, lzma, mmap, multiprocessing, os, pathlib, queue
import random, selectors, shutil, signal, socket, ssl, stat, subprocess, sys, tempfile, threading, time, types, zlib

missing = set(sys.argv[1].split(","))

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r} (as on Windows)", name=name)

for name in [name for name in sys.modules if name.partition(".")[0] in missing]:
    del sys.modules[name]
sys.meta_path.insert(0, Missing())
sys.platform = "win32"

def strip(module, names):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

ours = set(sys.argv[2].split(","))
others = ("sched_", "posix_", "SCHED_", "WNO", "WIF", "WST", "WTERM", "RTLD_")
strip(os, [name for name in dir(os) if name in ours or name.startswith(others)])
strip(socket, ["AF_UNIX", "CMSG_SPACE", "CMSG_LEN", "SCM_RIGHTS", "MSG_CMSG_CLOEXEC", "MSG_DONTWAIT", "SOCK_SEQPACKET"])
import select
strip(select, [name for name in dir(select) if name.lower().startswith(("epoll", "poll"))])
strip(signal, ["SIGKILL", "SIGHUP", "SIGQUIT", "SIGCHLD", "SIGPIPE", "SIGWINCH", "SIGURG", "SIGALRM", "SIGUSR1",
               "pthread_sigmask", "sigwait", "setitimer", "alarm"])
strip(mmap, [name for name in dir(mmap) if name.startswith(("MAP_", "PROT_", "MADV_"))])
strip(time, [name for name in dir(time) if name.startswith(("clock_", "CLOCK_", "pthread_"))])
load = ctypes.CDLL.__init__

def cdll(self, name, *arguments, **options):
    if name is None:
        raise TypeError("CDLL(None), as on Windows")
    load(self, name, *arguments, **options)

ctypes.CDLL.__init__ = cdll
failed = {}
importlib.import_module("pylitebox.north.linux.personality").load_families()  # before its parts
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = f"{type(error).__name__}: {error}"
print(json.dumps(failed))
"""
#: What os has here, and not on Windows (of what one may want at import).
_OS = [
    "O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH", "chown", "eventfd", "fchmod",
    "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getpgid", "getuid", "getxattr", "killpg", "lchown",
    "memfd_create", "mkfifo", "mknod", "openpty", "pidfd_open", "pipe2", "pread", "preadv", "pwrite", "pwritev",
    "register_at_fork", "sendfile", "setsid", "setxattr", "splice", "statvfs", "sysconf", "sysconf_names",
    "tcgetpgrp", "ttyname", "uname",
]  # fmt: skip


#: Attributes that Windows' modules lack, which portable modules use where the host has them: each stands behind a
#: question which host it is, or is Linux's side of something that has two.
GUARDED = {
    "sandbox/files.py": {"O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "fchmod"},  # refused elsewhere
    "sandbox/foreground.py": {"SIGKILL", "fork", "pidfd_open"},  # Forked
    "sandbox/options.py": {"O_CLOEXEC", "O_DIRECTORY", "O_PATH"},
    "sandbox/popen.py": {"set_blocking"},
    "sandbox/streams.py": {"ioctl"},
    "south/emulator/platform.py": {"clock_gettime_ns"},
    "south/paging/physical.py": {"MAP_ANONYMOUS"},
    "south/watching.py": {"POLLIN", "epoll", "poll"},
    "supervisor/protocol.py": {"AF_UNIX", "MSG_CMSG_CLOEXEC", "POLLIN", "SCM_RIGHTS", "recvmsg", "sendmsg"},
    "supervisor/streaming.py": {"SCM_RIGHTS", "recvmsg", "sendmsg"},
}


@pytest.mark.timeout(600)
def test_what_portable_modules_use_is_there_on_windows(tmp_path: Path) -> None:
    """By the type checker, which knows what each module of the standard library has where."""
    api = pytest.importorskip("mypy.api", reason="mypy is missing: pip install mypy")
    cache = Path(".mypy_cache/windows") if Path(".mypy_cache").is_dir() else tmp_path
    report, trouble, _ = api.run(["--platform", "win32", "--cache-dir", str(cache), str(SOURCE)])
    assert trouble == ""
    found: dict[str, set[str]] = {}
    for path, name in re.findall(r'^(\S+?):\d+: error: .* has no attribute "(\w+)"', report, re.MULTILINE):
        if (SOURCE.parents[1] / path).resolve() in PORTABLE:
            found.setdefault(Path(path).resolve().relative_to(SOURCE).as_posix(), set()).add(name)
    assert found == GUARDED


def imported_on_windows(names: list[str]) -> str:
    command = [sys.executable, "-c", _LIKE_WINDOWS, ",".join(sorted(POSIX_ONLY)), ",".join(_OS)]
    done = subprocess.run(command, input=" ".join(names), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_portable_module_can_be_imported_on_windows() -> None:
    assert imported_on_windows([f"pylitebox.{name_of(path)}".removesuffix(".__init__") for path in PORTABLE]) == "{}"


@pytest.mark.parametrize("name", ["fcntl", "pylitebox.south.hostfiles", "pylitebox.supervisor.main"])
def test_what_is_not_portable_fails_there(name: str) -> None:
    assert name in imported_on_windows([name])
