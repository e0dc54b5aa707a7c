"""eventfd, timerfd, signalfd and memfd, on the host and on our kernel alike where no test has to wait."""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import poll as po
from pylitebox.abi import signal as sg
from pylitebox.abi import time as clocks
from pylitebox.kernel.signals import SigInfo, post_task
from tests.north.bench import PARKED, Bench
from tests.north.calls import control, events, read, wait, write
from tests.north.conftest import AnyGuest


def test_eventfd(g: AnyGuest) -> None:
    fd = g("eventfd2", 3, fc.O_NONBLOCK)
    assert events(g, fd) == po.POLLIN | po.POLLOUT
    assert read(g, fd, 7) == -E.EINVAL
    assert read(g, fd, 9) == (3).to_bytes(8, "little")
    assert read(g, fd, 8) == -E.EAGAIN
    most = (1 << 64) - 2
    assert write(g, fd, most.to_bytes(8, "little")) == 8
    assert events(g, fd) == po.POLLIN
    assert write(g, fd, (1).to_bytes(8, "little")) == -E.EAGAIN
    assert write(g, fd, b"\xff" * 8) == -E.EINVAL
    assert write(g, fd, b"1") == -E.EINVAL
    semaphore = g("eventfd2", 2, 1)
    assert read(g, semaphore, 8) == (1).to_bytes(8, "little")
    assert g("eventfd2", 0, 2) == -E.EINVAL


def test_timerfd(g: AnyGuest) -> None:
    assert g("timerfd_create", 2, 0) == -E.EINVAL
    fd = g("timerfd_create", 1, fc.O_NONBLOCK)
    spec = struct.Struct("<qqqq")
    assert read(g, fd, 8) == -E.EAGAIN
    assert g("timerfd_settime", fd, 0, spec.pack(0, 10**9, 1, 0), 0) == -E.EINVAL
    assert g("timerfd_settime", fd, 4, spec.pack(0, 0, 1, 0), 0) == -E.EINVAL
    assert g("timerfd_settime", fd, 0, spec.pack(5, 0, 1000, 0), 0) == 0
    now = bytearray(32)
    assert g("timerfd_gettime", fd, now) == 0
    assert spec.unpack(now)[0] == 5
    assert 990 < spec.unpack(now)[2] <= 1000
    assert g("timerfd_settime", fd, 0, bytes(32), now) == 0
    assert spec.unpack(now)[0] == 5
    assert g("timerfd_gettime", 0x7FFF, now) == -E.EBADF
    assert g("timerfd_settime", fd, 1, spec.pack(0, 0, 0, 1), 0) == 0
    assert read(g, fd, 8) in ((1).to_bytes(8, "little"), -E.EAGAIN), "a time in the past is due at once"


def test_timerfd_counts_expirations(bench: Bench) -> None:
    g = bench.guest()
    fd = g("timerfd_create", 1, fc.O_NONBLOCK)
    ep = g("epoll_create1", 0)
    control(g, ep, po.EPOLL_CTL_ADD, fd, po.POLLIN, 1)
    assert g("timerfd_settime", fd, 0, struct.pack("<qqqq", 0, 100, 0, 1000), 0) == 0
    bench.platform.time_ns += 999
    bench.run()
    assert wait(g, ep) == []
    bench.platform.time_ns += 351
    bench.run()
    assert wait(g, ep) == [(po.POLLIN, 1)]
    assert read(g, fd, 8) == (4).to_bytes(8, "little")
    left = bytearray(32)
    g("timerfd_gettime", fd, left)
    assert struct.unpack("<qqqq", left) == (0, 100, 0, 50)
    bench.platform.time_ns += 50
    bench.run()
    assert read(g, fd, 8) == (1).to_bytes(8, "little")
    g("close", fd)
    assert bench.kernel.timers.next_deadline() is None


def test_timerfd_takes_the_flag_of_clocks_that_are_set(g: AnyGuest) -> None:
    for clock in (clocks.CLOCK_REALTIME, clocks.CLOCK_MONOTONIC):
        fd = g("timerfd_create", clock, fc.O_NONBLOCK)
        for flags in (2, 3):
            assert g("timerfd_settime", fd, flags, struct.pack("<qqqq", 0, 0, 1 << 33, 0), 0) == 0
            assert (read(g, fd, 8), read(g, fd, 7)) == (-E.EAGAIN, -E.EINVAL)
        assert g("timerfd_settime", fd, 4, bytes(32), 0) == -E.EINVAL


def test_timerfd_is_cancelled_when_the_clock_is_set(bench: Bench) -> None:
    """As linux/fs/timerfd.c has it; the host's clock is not a test's to set."""
    g = bench.guest()
    cancels = clocks.TFD_TIMER_ABSTIME | clocks.TFD_TIMER_CANCEL_ON_SET
    second = bench.platform.epoch_ns // 10**9
    spec = struct.pack("<qqqq", 0, 0, second + 100, 0)
    fd = g("timerfd_create", clocks.CLOCK_REALTIME, fc.O_NONBLOCK)
    plain = g("timerfd_create", clocks.CLOCK_REALTIME, fc.O_NONBLOCK)
    assert g("timerfd_settime", fd, cancels, spec, 0) == g("timerfd_settime", plain, 1, spec, 0) == 0
    bench.platform.time_ns += 2 * 10**9
    bench.run()
    assert (events(g, fd), read(g, fd, 8)) == (0, -E.EAGAIN)
    bench.platform.epoch_ns += 60 * 10**9
    assert (read(g, fd, 8), read(g, fd, 8)) == (-E.ECANCELED, -E.EAGAIN)
    left = bytearray(32)
    g("timerfd_gettime", fd, left)
    assert struct.unpack("<qqqq", left)[2] == 37, "it is due when the clock says so"
    # who waits is woken
    bench.platform.epoch_ns -= 10**9
    bench.platform.time_ns += 10**9
    bench.run()
    assert events(g, fd) == po.POLLIN
    assert g("timerfd_settime", fd, cancels, spec, 0) == -E.ECANCELED, "armed all the same"
    assert read(g, fd, 8) == -E.EAGAIN
    # other timers, and this one without the flag, don't mind
    assert g("timerfd_settime", fd, 1, spec, 0) == 0
    bench.platform.epoch_ns += 10**9
    bench.platform.time_ns += 10**9
    bench.run()
    assert read(g, fd, 8) == read(g, plain, 8) == -E.EAGAIN
    g("close", fd)
    g("close", plain)
    assert bench.kernel.timers.next_deadline() is None


def test_signalfd(bench: Bench) -> None:
    g = bench.guest()
    mask = sg.bit(sg.SIGUSR1)
    g.task.blocked = mask
    fd = g("signalfd4", -1, mask.to_bytes(8, "little"), 8, 0)
    buffer = g.place(bytes(256))
    assert g("read", fd, buffer, 256) is PARKED
    post_task(g.task, SigInfo(sg.SIGUSR1, pid=7))
    bench.run()
    assert g.result == 128
    assert struct.unpack("<IiiI", g.peek(buffer, 16)) == (sg.SIGUSR1, 0, 0, 7)
    assert not g.task.pending
    assert events(g, fd) == 0


def test_memfd_seals(g: AnyGuest) -> None:
    fd = g("memfd_create", "name", 2)
    assert write(g, fd, b"hello") == 5
    assert g("fcntl", fd, fc.F_ADD_SEALS, fc.F_SEAL_GROW | fc.F_SEAL_SHRINK) == 0
    assert g("pwrite64", fd, b"J", 1, 0) == 1
    assert write(g, fd, b"x") == -E.EPERM
    assert g("ftruncate", fd, 1) == -E.EPERM
    assert g("ftruncate", fd, 9) == -E.EPERM
    assert g("fcntl", fd, fc.F_ADD_SEALS, fc.F_SEAL_WRITE | fc.F_SEAL_SEAL) == 0
    assert g("pwrite64", fd, b"J", 1, 0) == -E.EPERM
    assert g("fcntl", fd, fc.F_ADD_SEALS, fc.F_SEAL_WRITE) == -E.EPERM
    assert g("fcntl", fd, fc.F_GET_SEALS, 0) == 15
    assert g("memfd_create", "x" * 250, 0) == -E.EINVAL
    assert g("memfd_create", "x" * 249, 0) >= 0
    assert g("memfd_create", "", 0x40) == -E.EINVAL
    plain = g("memfd_create", "", 0)
    assert g("fcntl", plain, fc.F_GET_SEALS, 0) == fc.F_SEAL_SEAL
    assert g("fcntl", plain, fc.F_ADD_SEALS, fc.F_SEAL_GROW) == -E.EPERM
