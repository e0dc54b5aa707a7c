"""Clocks, sleeps and timers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi import time as tm
from pylitebox.kernel import signals as ks
from pylitebox.kernel.signals import Action, SigInfo
from tests.north.bench import PARKED, Bench, Guest

if TYPE_CHECKING:
    from tests.north.conftest import AnyGuest

SECOND = 1_000_000_000
ONE_SECOND = struct.pack("<qq", 1, 0)


@pytest.fixture
def guest(bench: Bench) -> Guest:
    guest = bench.guest()
    mask = sum(sg.bit(s) for s in (sg.SIGALRM, sg.SIGUSR1, sg.SIGVTALRM, 40))
    guest("rt_sigprocmask", sg.SIG_BLOCK, mask.to_bytes(8, "little"), 0, 8)
    return guest


def advance(bench: Bench, ns: int) -> None:
    bench.platform.time_ns += ns
    bench.run()


def test_refusals(g: AnyGuest) -> None:
    bad = struct.pack("<qq", 0, SECOND)
    out = bytearray(16)
    assert g("clock_gettime", 99, out) == -E.EINVAL
    assert g("clock_gettime", tm.CLOCK_MONOTONIC, 8) == -E.EFAULT
    assert g("clock_gettime", -(4194000 << 3) - 6, out) == -E.EINVAL
    assert g("clock_getres", 99, out) == -E.EINVAL
    assert g("clock_getres", tm.CLOCK_MONOTONIC, 0) == 0
    assert g("nanosleep", bad, 0) == -E.EINVAL
    assert g("nanosleep", struct.pack("<qq", -1, 0), 0) == -E.EINVAL
    assert g("nanosleep", bytes(16), 0) == 0
    assert g("clock_nanosleep", 99, 0, bytes(16), 0) == -E.EINVAL
    assert g("clock_nanosleep", tm.CLOCK_THREAD_CPUTIME_ID, 0, bytes(16), 0) == -E.EOPNOTSUPP
    assert g("clock_nanosleep", tm.CLOCK_MONOTONIC_RAW, 0, bytes(16), 0) == -E.EOPNOTSUPP
    assert g("clock_nanosleep", tm.CLOCK_MONOTONIC, tm.TIMER_ABSTIME, ONE_SECOND, 0) == 0
    assert g("clock_settime", tm.CLOCK_MONOTONIC, ONE_SECOND) == -E.EINVAL
    assert g("getitimer", 3, bytearray(32)) == -E.EINVAL
    assert g("setitimer", 3, bytes(32), 0) == -E.EINVAL
    assert g("setitimer", 0, struct.pack("<4q", 0, 0, 0, 1_000_000), 0) == -E.EINVAL
    assert g("setitimer", 0, struct.pack("<4q", 0, 0, -1, 0), 0) == -E.EINVAL


def test_timer_refusals(g: AnyGuest) -> None:
    ident = bytearray(4)
    assert g("timer_create", 99, 0, ident) == -E.EINVAL
    assert g("timer_create", tm.CLOCK_MONOTONIC_RAW, 0, ident) == -E.EOPNOTSUPP
    assert g("timer_create", tm.CLOCK_MONOTONIC, struct.pack("<Qii", 0, 99, 0).ljust(64, b"\0"), ident) == -E.EINVAL
    assert g("timer_create", tm.CLOCK_MONOTONIC, struct.pack("<Qii", 0, 10, 77).ljust(64, b"\0"), ident) == -E.EINVAL
    stranger = struct.pack("<Qiii", 0, 10, 4, 4194000).ljust(64, b"\0")
    assert g("timer_create", tm.CLOCK_MONOTONIC, stranger, ident) == -E.EINVAL
    assert g("timer_settime", 12345, 0, bytes(32), 0) == -E.EINVAL
    assert g("timer_settime", 12345, 0, 0, 0) == -E.EINVAL
    assert g("timer_gettime", 12345, bytearray(32)) == -E.EINVAL
    assert g("timer_getoverrun", 12345) == -E.EINVAL
    assert g("timer_delete", 12345) == -E.EINVAL
    quiet = struct.pack("<Qii", 0, 0, 1).ljust(64, b"\0")
    assert g("timer_create", tm.CLOCK_MONOTONIC, quiet, ident) == 0
    number = int.from_bytes(ident, "little")
    state = bytearray(b"\xff" * 32)
    assert g("timer_settime", number, 0, struct.pack("<4q", 0, 0, 0, SECOND), 0) == -E.EINVAL
    assert g("timer_settime", number, 0, struct.pack("<4q", 7, 5, 3600, 0), 0) == 0
    assert g("timer_gettime", number, state) == 0
    interval, interval_ns, value, _ = struct.unpack("<4q", state)
    assert (interval, interval_ns) == (7, 5)
    assert value in {3599, 3600}
    assert g("timer_settime", number, 0, bytes(32), bytearray(32)) == 0
    assert g("timer_delete", number) == 0


def test_alarm_rounds_to_the_nearest_second(g: AnyGuest) -> None:
    assert g("alarm", 100) == 0
    assert g("alarm", 50) == 100
    old = bytearray(32)
    assert g("setitimer", 0, bytes(32), old) == 0
    assert struct.unpack("<4q", old)[2] in {49, 50}
    assert g("alarm", 0) == 0


def test_clocks_agree(bench: Bench, guest: Guest) -> None:
    out = bytearray(16)
    guest("clock_gettime", tm.CLOCK_MONOTONIC, out)
    assert struct.unpack("<qq", out) == divmod(bench.platform.monotonic_ns(), SECOND)
    guest("gettimeofday", out, 0)
    seconds, micros = struct.unpack("<qq", out)
    assert (seconds, micros) == (bench.platform.realtime_ns() // SECOND, bench.platform.realtime_ns() % SECOND // 1000)
    assert guest("time", 0) == seconds


def test_sleeps_end(bench: Bench, guest: Guest) -> None:
    assert guest("nanosleep", ONE_SECOND, 0) is PARKED
    advance(bench, SECOND - 1)
    assert guest.parked
    advance(bench, 1)
    assert guest.result == 0


def test_an_interrupted_sleep_says_what_remains(bench: Bench, guest: Guest) -> None:
    ks.set_action(guest.task, sg.SIGUSR2, Action(0x401000, sg.SA_RESTORER, 0x402000))
    remain = guest.place(bytes(16))
    guest("clock_nanosleep", tm.CLOCK_REALTIME, 0, ONE_SECOND, remain)
    advance(bench, SECOND // 4)
    ks.post_process(guest.task.process, SigInfo(sg.SIGUSR2))
    bench.run()
    assert guest.result == -E.EINTR
    assert struct.unpack("<qq", guest.peek(remain, 16)) == (0, 3 * SECOND // 4)


def test_an_absolute_sleep_on_the_wall_clock(bench: Bench, guest: Guest) -> None:
    until = struct.pack("<qq", *divmod(bench.platform.realtime_ns() + 5, SECOND))
    guest("clock_nanosleep", tm.CLOCK_REALTIME, tm.TIMER_ABSTIME, until, 0)
    advance(bench, 4)
    assert guest.parked
    advance(bench, 1)
    assert guest.result == 0


def test_an_interval_timer_repeats(bench: Bench, guest: Guest) -> None:
    guest("setitimer", tm.ITIMER_REAL, struct.pack("<4q", 2, 0, 1, 0), 0)
    fired = []
    for _ in range(6):
        advance(bench, SECOND)
        fired.append(bool(guest.task.process.pending))
        guest.task.process.pending.discard(~0)
    assert fired == [True, False, True, False, True, False]
    guest("fork")
    child = next(iter(guest.task.process.children.values()))
    assert not child.itimers


def test_a_timer_counts_what_it_missed(bench: Bench, guest: Guest) -> None:
    ident = bytearray(4)
    event = struct.pack("<Qii", 77, 40, 0).ljust(64, b"\0")
    assert guest("timer_create", tm.CLOCK_MONOTONIC, event, ident) == 0
    guest("timer_settime", 0, 0, struct.pack("<4q", 1, 0, 1, 0), 0)
    advance(bench, SECOND)
    advance(bench, SECOND)  # the first is still queued
    advance(bench, 3 * SECOND)  # two periods went by unseen
    info = bytearray(128)
    forty = sg.bit(40).to_bytes(8, "little")
    assert guest("rt_sigtimedwait", forty, info, bytes(16), 8) == 40
    assert struct.unpack_from("<iiiiiiQ", info) == (40, 0, sg.SI_TIMER, 0, 0, 4, 77)
    assert guest("timer_getoverrun", 0) == 4
    assert guest("rt_sigtimedwait", forty, info, bytes(16), 8) == -E.EAGAIN
    assert guest("timer_delete", 0) == 0
    assert bench.kernel.timers.next_deadline() is None


def test_timers_are_bounded_and_end_with_the_process(bench: Bench, guest: Guest) -> None:
    ident = bytearray(4)
    results = {guest("timer_create", tm.CLOCK_MONOTONIC, 0, ident) for _ in range(300)}
    assert results == {0, -E.EAGAIN}
    guest("timer_settime", 5, tm.TIMER_ABSTIME, struct.pack("<4q", 0, 1, 1 << 40, 0), 0)
    guest("alarm", 5)
    guest("exit_group", 0)
    assert bench.kernel.timers.next_deadline() is None


def test_a_tiny_interval_does_not_stop_the_loop(bench: Bench, guest: Guest) -> None:
    guest("timer_create", tm.CLOCK_MONOTONIC, 0, bytearray(4))
    guest("timer_settime", 0, 0, struct.pack("<4q", 0, 1, 0, 1), 0)
    advance(bench, SECOND)
    deadline = bench.kernel.timers.next_deadline()
    assert deadline is not None
    assert deadline >= bench.platform.time_ns + 10_000
