"""Signal-driven I/O: owners, signals, and what is told when, on the host's kernel and on ours."""

import struct
from collections.abc import Iterator

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import signal as sg
from tests.north.bench import Bench
from tests.north.calls import pipe, read, write
from tests.north.conftest import UID, AnyGuest

ASYNC = fc.FASYNC | fc.O_NONBLOCK
REALTIME = 34
SET = sum(sg.bit(signo) for signo in (sg.SIGIO, sg.SIGUSR1, REALTIME)).to_bytes(8, "little")
SETOWN_EX, GETOWN_EX, UIDS = 15, 16, 17
TID, PID, PGRP = range(3)
IN, OUT, HUP = (1, 0x41), (2, 0x304), (6, 0x18)


@pytest.fixture
def s(g: AnyGuest) -> Iterator[AnyGuest]:
    """A guest that keeps the signals in question back."""
    mask = bytearray(8)
    g("rt_sigprocmask", 0, SET, mask, 8)
    yield g
    told(g)
    g("rt_sigprocmask", 2, bytes(mask), 0, 8)


def told(g: AnyGuest) -> list[tuple[int, ...]]:
    """(signal, code, band, descriptor) of each signal that has come."""
    found, info = [], bytearray(128)
    while g("rt_sigtimedwait", SET, info, bytes(16), 8) > 0:
        signo, code, band, fd = struct.unpack_from("<i4xi4xqi", info)
        found.append((signo, code, *((band, fd) if code < 0x80 else ())))
    return found


def listen(g: AnyGuest, fd: int, signo: int = REALTIME) -> None:
    assert g("fcntl", fd, SETOWN_EX, struct.pack("<ii", TID, g("gettid"))) == 0
    assert g("fcntl", fd, fc.F_SETSIG, signo) == 0
    assert g("fcntl", fd, fc.F_SETFL, ASYNC) == 0
    assert g("fcntl", fd, fc.F_GETFL, 0) & ASYNC == ASYNC


def owner(g: AnyGuest, fd: int) -> tuple[int, int]:
    buffer = bytearray(8)
    assert g("fcntl", fd, GETOWN_EX, buffer) == 0
    return struct.unpack("<ii", buffer)


def test_owners(s: AnyGuest) -> None:
    g = s
    fd, _ = pipe(g)
    pid, group = g("getpid"), g("getpgrp")
    assert (g("fcntl", fd, fc.F_GETOWN, 0), g("fcntl", fd, fc.F_GETSIG, 0)) == (0, 0)
    assert g("fcntl", fd, fc.F_SETOWN, 4194303) == g("fcntl", fd, fc.F_SETOWN, -4194303) == -E.ESRCH
    assert g("fcntl", fd, fc.F_SETOWN, -0x80000000) == -E.EINVAL
    assert g("fcntl", fd, fc.F_SETOWN, pid) == 0
    assert (g("fcntl", fd, fc.F_GETOWN, 0), owner(g, fd)) == (pid, (PID, pid))
    assert g("fcntl", fd, fc.F_SETOWN, -group) == 0
    assert (g("fcntl", fd, fc.F_GETOWN, 0), owner(g, fd)) == (-group, (PGRP, group))
    for kind, ident in ((TID, g("gettid")), (PID, pid), (PGRP, group)):
        assert g("fcntl", fd, SETOWN_EX, struct.pack("<ii", kind, ident)) == 0
        assert owner(g, fd) == (kind, ident)
    uids = bytearray(8)
    assert g("fcntl", fd, UIDS, uids) == 0
    assert struct.unpack("<II", uids) == (UID, UID)
    assert g("fcntl", fd, SETOWN_EX, struct.pack("<ii", 3, pid)) == -E.EINVAL
    assert g("fcntl", fd, SETOWN_EX, struct.pack("<ii", PID, 4194303)) == -E.ESRCH
    assert g("fcntl", fd, SETOWN_EX, bytes(8)) == 0
    assert (g("fcntl", fd, fc.F_GETOWN, 0), owner(g, fd)) == (0, (0, 0))
    assert [g("fcntl", fd, fc.F_SETSIG, signo) for signo in (64, 65, 1000)] == [0, -E.EINVAL, -E.EINVAL]
    assert g("fcntl", fd, fc.F_GETSIG, 0) == 64


def test_who_has_something_to_tell(s: AnyGuest) -> None:
    g = s
    on = b"\1\0\0\0"
    for fd in (g("open", "f", fc.O_CREAT | fc.O_RDWR, 0o644), g("eventfd2", 0, 0)):
        assert g("fcntl", fd, fc.F_SETFL, ASYNC) == 0
        assert g("fcntl", fd, fc.F_GETFL, 0) & ASYNC == fc.O_NONBLOCK, "not taken"
        assert g("ioctl", fd, 0x5452, on) == -E.ENOTTY
    fd, _ = pipe(g)
    assert g("ioctl", fd, 0x5452, on) == 0
    assert g("fcntl", fd, fc.F_GETFL, 0) & fc.FASYNC
    assert g("fcntl", fd, fc.F_SETFL, 0) == 0
    assert g("fcntl", fd, fc.F_GETFL, 0) & fc.FASYNC == 0
    assert g("fcntl", fd, fc.F_SETLEASE, fc.F_RDLCK) == -E.EINVAL
    assert g("fcntl", fd, fc.F_GETLEASE, 0) == fc.F_UNLCK


def test_pipes(s: AnyGuest) -> None:
    g = s
    out, into = pipe(g)
    listen(g, out, 0)
    write(g, into, b"a")
    assert told(g) == [(sg.SIGIO, sg.SI_KERNEL)]
    assert read(g, out, 1) == b"a"
    assert told(g) == []
    g("fcntl", out, fc.F_SETSIG, REALTIME)
    write(g, into, b"a")
    write(g, into, b"a")
    assert told(g) == [(REALTIME, *IN, out)] * 2
    listen(g, into, sg.SIGUSR1)
    write(g, into, b"a")
    assert told(g) == [(REALTIME, *IN, out)]
    read(g, out, 1)
    assert told(g) == [(sg.SIGUSR1, *OUT, into)]
    g("fcntl", out, fc.F_SETFL, 0)
    write(g, into, b"a")
    assert told(g) == []
    g("close", out)
    assert told(g) == [(sg.SIGUSR1, *OUT, into)]
    out, into = pipe(g)
    listen(g, out)
    g("close", into)
    assert told(g) == [(REALTIME, *IN, out)]


def test_nobody_is_told(s: AnyGuest) -> None:
    g = s
    out, into = pipe(g)
    g("fcntl", out, fc.F_SETFL, ASYNC)
    write(g, into, b"a")
    assert told(g) == []


@pytest.mark.parametrize("kind", [1, 2, 5], ids=["stream", "datagram", "packet"])
def test_sockets(s: AnyGuest, kind: int) -> None:
    g = s
    ends = bytearray(8)
    g("socketpair", 1, kind, 0, ends)
    mine, other = struct.unpack("<ii", ends)
    listen(g, mine)
    write(g, other, b"x")
    assert told(g) == [(REALTIME, *IN, mine)]
    read(g, mine, 1)
    write(g, mine, b"y")
    read(g, other, 1)
    assert told(g) == []
    g("shutdown", other, 1)
    assert told(g) == ([] if kind == 2 else [(REALTIME, *IN, mine)])
    g("close", other)
    assert told(g) == ([] if kind == 2 else [(REALTIME, *HUP, mine)])


def test_listeners_and_watches(s: AnyGuest) -> None:
    g = s
    address = struct.pack("<H", 1) + b"sock"
    server, client = g("socket", 1, 1, 0), g("socket", 1, 1, 0)
    g("bind", server, address, len(address))
    g("listen", server, 5)
    listen(g, server)
    assert g("connect", client, address, len(address)) == 0
    assert told(g) == [(REALTIME, *IN, server)]
    watch = g("inotify_init1", fc.O_NONBLOCK)
    listen(g, watch)
    g("inotify_add_watch", watch, ".", 0x100)
    g("mkdir", "d", 0o755)
    assert told(g) == [(REALTIME, *IN, watch)]


# -- ours alone ---------------------------------------------------------------------------------------------------


def test_only_whom_one_might_signal(bench: Bench) -> None:
    g, other = bench.guest(), bench.guest()
    for guest in (g, other):
        guest("rt_sigprocmask", 0, SET, 0, 8)
    out, into = pipe(g)
    g("setresuid", 1000, 1000, 1000)
    assert g("fcntl", out, fc.F_SETOWN, other.task.process.pid) == 0
    g("fcntl", out, fc.F_SETFL, ASYNC)
    write(g, into, b"a")
    assert told(other) == [], "it is root's"
    other("setresuid", 1000, 1000, 1000)
    write(g, into, b"a")
    assert told(other) == [(sg.SIGIO, sg.SI_KERNEL)]
    other("exit_group", 0)
    assert write(g, into, b"a") == 1, "an owner that is gone is told nothing"


def test_a_signal_may_be_the_end(bench: Bench) -> None:
    g = bench.guest()
    out, into = pipe(g)
    g("fcntl", out, fc.F_SETOWN, g.task.process.pid)
    g("fcntl", out, fc.F_SETFL, ASYNC)
    write(g, into, b"a")
    assert g.thread.killed, "SIGIO ends who doesn't expect it"
    assert bench.kernel.internal_errors == 0
