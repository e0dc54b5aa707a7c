"""Hostile programs end with an untouched host.

Each C program here tries one family of ways out (its first line says which), from arbitrary machine code. It must say
"contained" and exit with 0; and whatever it says, the host's side is looked at: a *canary* file outside the sandbox's
view and one inside a read-only and a copy-on-write mount, all world-writable so that nothing but our walls protects
them; a canary process; listening sockets. Nothing may have changed, come, gone, been contacted, or be left behind.

Each runs on every platform where it means something; ROWS says where not, and why. The gate leaves out on the slow
platforms what takes long there (SLOW), unless ``PYLITEBOX_LONG`` is set or ``PYLITEBOX_PLATFORMS`` names them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pylitebox
from tests.guest import harness
from tests.guest.catalogue import PATIENCE
from tests.guest.variants import VARIANTS

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.c"))
_STUB = "attacks the stub and its requests, which only native guests have"
_FILTER = "attacks what the stub's addresses may call natively, which only native guests can"
#: name -> platform -> why the attempt means nothing there.
ROWS: dict[str, dict[str, str]] = {
    **{
        name: {"kvm": _STUB, "emulator": _STUB}
        for name in ("forged_requests", "over_stub", "strays", "stub_gadgets", "tampered_block", "unknown_clone")
    },
    **{
        name: {"kvm": _FILTER, "emulator": _FILTER}
        for name in ("inherited", "limits", "own_filters", "slot_theft", "stub_numbers")
    },
    "exhaust": {"native": "memory is the host's, and bounded by the limits of each process (see limits)"},
}
#: What takes long on a platform.
SLOW: dict[str, set[str]] = {
    "kvm": {"clones", "exhaust", "huge_numbers", "proc_links", "race_memory", "race_path", "selectors"},
    "emulator": {"exhaust", "huge_numbers", "race_memory"},
}
OPTIONS = {"exhaust": ("--memory=32m",)}
CHOSEN = os.environ.get("PYLITEBOX_PLATFORMS")
ALL = bool(CHOSEN) or "PYLITEBOX_LONG" in os.environ
SECRET = "canary-secret"
CONTENT = b"a file that everyone may read\n"

#: Keys of System V IPC objects: of the host's, and of those that ipc.c leaves behind.
HOST_KEY = 0x70000000 + os.getpid()
GUEST_KEY = HOST_KEY ^ 0x10000000
_libc = ctypes.CDLL(None, use_errno=True)

#: Other surroundings than the plain one, for the programs whose outcome depends on them.
SURROUNDINGS = ["unprivileged", "no user namespaces", "docker, unprivileged"]
EVERYWHERE = [
    "clones", "exec_host", "inherited", "ipc", "kill_host", "proc_links", "sockets", "stub_numbers", "trace_host"
]  # fmt: skip


@pytest.fixture(scope="session")
def hostile(public_directory: Path) -> Path:
    """The compiled programs; static, so that nothing of the view is needed."""
    harness.need("gcc")
    directory = public_directory / "escape"
    directory.mkdir()
    for name in NAMES:
        subprocess.run(
            ["gcc", "-O1", "-static", "-pthread", "-w", "-o", directory / name, HERE / f"{name}.c"],
            check=True,
            timeout=120,
        )
    return directory


class HostIpc:
    """A segment, a semaphore set and a message queue of the host, which everyone may use."""

    def __init__(self) -> None:
        make = 0o1777  # IPC_CREAT
        self._objects = {
            "shm": _libc.shmget(HOST_KEY, 4096, make),
            "sem": _libc.semget(HOST_KEY, 1, make),
            "msg": _libc.msgget(HOST_KEY, make),
        }
        self.before = self.state()

    def state(self) -> list[str]:
        """What the host says about them."""
        return [
            line
            for kind, ident in self._objects.items()
            for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
            if int(line.split()[1]) == ident
        ]

    def untouched(self) -> None:
        assert self.state() == self.before
        assert len(self.before) == 3
        for get, arguments in (("shmget", (0, 0)), ("semget", (0, 0)), ("msgget", (0,))):
            assert getattr(_libc, get)(GUEST_KEY, *arguments) == -1
            assert ctypes.get_errno() == errno.ENOENT

    def close(self) -> None:
        for kind, ident in self._objects.items():
            getattr(_libc, f"{kind}ctl")(ident, 0, 0, 0)  # IPC_RMID; semctl takes a number before it


class Host:
    """The host's side, before and after."""

    def __init__(self, directory: Path) -> None:
        self.outside = directory / "outside"
        self.mounted = directory / "mounted"
        self.cow = directory / "cow"
        for path in (self.outside, self.mounted, self.cow):
            path.mkdir()
        self.canary = self.outside / "canary"
        self.canary.write_text(SECRET)
        (self.outside / "program").write_text(f"#!/bin/sh\necho executed > {self.outside}/executed\n")
        for path in (self.mounted, self.cow):
            (path / "readable").write_bytes(CONTENT)
        for name, target in {
            "to-canary": str(self.canary),
            "up-to-canary": "../outside/canary",
            "to-directory": str(self.outside),
            "to-root": "/",
            "to-proc": "/proc",
        }.items():
            (self.mounted / name).symlink_to(target)
        self.process = subprocess.Popen(
            ["sleep", "1000"], env={"PYLITEBOX_TEST_SECRET": "1"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self.ipc = HostIpc()
        self.sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port: int = self.sockets[0].getsockname()[1]
        for address in (
            f"\0pylitebox-canary-{self.process.pid}",
            str(self.outside / "socket"),
            str(self.mounted / "socket"),
        ):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(address)
            listener.listen()
            self.sockets.append(listener)
        for path in [directory, *directory.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o777)
        self.before = self.state()

    def state(self) -> dict[str, tuple[object, ...]]:
        """Everything about the files that an escape could have changed."""
        found: dict[str, tuple[object, ...]] = {}
        for path in sorted(self.outside.parent.rglob("*")):
            status = path.lstat()
            content: object = os.readlink(path) if path.is_symlink() else None
            if stat.S_ISREG(status.st_mode):
                content = path.read_bytes()
            # The time of the last access is not looked at: the test itself reads.
            kept = (status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_size)
            found[str(path)] = (*kept, status.st_mtime_ns, status.st_ctime_ns, content)
        return found

    def untouched(self) -> None:
        assert self.state() == self.before
        self.ipc.untouched()
        assert self.process.poll() is None, "the canary process ended"
        limits = Path(f"/proc/{self.process.pid}/limits").read_text()
        assert limits == Path("/proc/self/limits").read_text(), "its limits changed"
        assert os.sched_getaffinity(self.process.pid) == os.sched_getaffinity(0), "its CPUs changed"
        assert os.getpriority(os.PRIO_PROCESS, self.process.pid) == os.getpriority(os.PRIO_PROCESS, 0)
        for listener in self.sockets:
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()

    def close(self) -> None:
        self.ipc.close()
        self.process.kill()
        self.process.wait()
        for listener in self.sockets:
            listener.close()


@pytest.fixture
def host() -> Iterator[Host]:
    directory = Path(tempfile.mkdtemp(prefix="pylitebox-canary-"))
    host = Host(directory)
    yield host
    host.close()
    shutil.rmtree(directory)


def attack(runner: harness.Runner, hostile: Path, host: Host, name: str, *options: str) -> harness.Outcome:
    """Run one program, as the guest's root (more rights inside), and look at the host afterwards."""
    numbers = [str(number) for number in (host.process.pid, host.port, HOST_KEY)]
    arguments = [str(host.canary), str(host.outside), *numbers, runner.platform]
    mounts = [f"--mount={hostile}:/hostile:ro", f"--mount={host.mounted}:/escape:ro", f"--mount={host.cow}:/cow:cow"]
    timeout = PATIENCE[runner.platform] * harness.TIMEOUT
    outcome = runner.run([f"/hostile/{name}", *arguments], *mounts, *options, timeout=timeout)
    host.untouched()
    assert SECRET not in outcome.stdout
    assert "ESCAPED" not in outcome.stdout, outcome.stdout
    return outcome


def _rows(names: list[str]) -> list[object]:
    """Of each platform, the names that mean something there; those that don't are skipped, with their reason."""
    return [
        pytest.param(platform, name, id=f"{platform}-{name}", marks=_skipped(ROWS.get(name, {}).get(platform)))
        for platform in (CHOSEN.split(",") if CHOSEN else PATIENCE)
        for name in names
        if ALL or name not in SLOW.get(platform, ())
    ]


def _skipped(reason: str | None) -> list[pytest.MarkDecorator]:
    return [] if reason is None else [pytest.mark.skip(reason=reason)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("runner", "name"), _rows(NAMES), indirect=["runner"])
def test_contained(runner: harness.Runner, hostile: Path, host: Host, name: str) -> None:
    outcome = attack(runner, hostile, host, name, *OPTIONS.get(name, ()))
    assert outcome.stdout.rstrip().rpartition("\n")[2].startswith("contained"), outcome
    assert outcome.status == 0, outcome
    assert "Traceback" not in outcome.stderr, outcome.stderr
    assert "internal error" not in outcome.stderr, outcome.stderr
    assert outcome.stderr.count("memory is used up") <= 1, outcome.stderr  # a guest writes no log full


@pytest.mark.timeout(200)
@pytest.mark.parametrize("runner", ["native"], indirect=True)
@pytest.mark.parametrize("surrounding", SURROUNDINGS)
@pytest.mark.parametrize("name", EVERYWHERE)
def test_contained_elsewhere(runner: harness.Runner, hostile: Path, host: Host, name: str, surrounding: str) -> None:
    prefix = VARIANTS[surrounding]
    if prefix is None:
        pytest.skip("needs root to be made")
    runner.prefix = prefix
    outcome = attack(runner, hostile, host, name)
    assert outcome.status == 0, outcome
    assert "contained" in outcome.stdout, outcome


AS_ROOT = ["raw_numbers", "kill_host", "mounts", "kernel_interfaces", "proc_links"]
NOTICING = ["dotdot", "symlinks", "proc_links", "race_path"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("runner", "name"), _rows(AS_ROOT), indirect=["runner"])
def test_contained_as_the_guests_root(runner: harness.Runner, hostile: Path, host: Host, name: str) -> None:
    outcome = attack(runner, hostile, host, name, "--user=0:0")
    assert outcome.status == 0, outcome
    assert "contained" in outcome.stdout, outcome


@pytest.mark.parametrize(("runner", "name"), _rows(NOTICING), indirect=["runner"])
def test_the_programs_notice_when_they_are_out(runner: harness.Runner, hostile: Path, host: Host, name: str) -> None:
    """With the canary in the view at its own path, those that look for it must find it."""
    arguments = [str(host.canary), str(host.outside), str(host.process.pid), str(host.port)]
    mounts = [
        f"--mount={hostile}:/hostile:ro",
        f"--mount={host.outside}:{host.outside}:ro",
        f"--mount={host.mounted}:/escape:ro",
    ]
    outcome = runner.run([f"/hostile/{name}", *arguments], *mounts)
    assert outcome.status == 77, outcome
    assert "ESCAPED" in outcome.stdout
    host.untouched()


def _held_for_guests() -> list[str]:
    """The descriptors by which a supervisor below this process holds guest processes."""
    for fds in Path("/proc").glob("[0-9]*/fd"):
        try:
            links = [os.readlink(fd) for fd in fds.iterdir()]
        except OSError:
            continue  # gone, or somebody else's
        if "anon_inode:seccomp notify" in links and _is_below(int(fds.parent.name)):
            return [link for link in links if link.startswith("/proc/") or link == "anon_inode:[pidfd]"]
    raise AssertionError("no supervisor")


def _is_below(pid: int) -> bool:
    while pid > 1 and pid != os.getpid():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid > 1


@pytest.mark.timeout(200)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the descriptors of a confined process")
def test_the_supervisor_holds_nothing_for_ever(hostile: Path, host: Host) -> None:
    mounts = [f"{hostile}:/hostile:ro", f"{host.mounted}:/escape:ro"]
    with pylitebox.Sandbox(mounts=mounts, cwd="/tmp") as box:
        box.run(["/bin/true"])
        before = len(_held_for_guests())
        for name in ("strays", "fuzz"):
            arguments = ["/none", "/none", "1", "1", "1", "native"]
            done = box.run([f"/hostile/{name}", *arguments], capture_output=True, timeout=60)
            assert done.returncode == 0, done
        assert box.run(["/bin/sh", "-c", "echo served | cat"], capture_output=True).stdout == b"served\n"
        deadline = time.monotonic() + 15  # clones that were granted are waited for
        while len(_held_for_guests()) != before and time.monotonic() < deadline:
            time.sleep(0.5)
        assert len(_held_for_guests()) == before
    host.untouched()


def test_there_are_enough() -> None:
    for platform in PATIENCE:
        assert sum(platform not in ROWS.get(name, {}) for name in NAMES) >= 20
    assert {*ROWS, *OPTIONS} | set().union(*SLOW.values()) <= set(NAMES)
