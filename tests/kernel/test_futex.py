"""Managed futexes: who is woken, who waits elsewhere, and when a wait ends."""

from __future__ import annotations

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import futex as fx
from pylitebox.abi import mman as mm
from tests.north.bench import Bench, Guest

PRIVATE = fx.FUTEX_PRIVATE_FLAG


@pytest.fixture
def bench() -> Bench:
    return Bench()


def waiters(bench: Bench, guest: Guest, word: int, count: int, operation: int = fx.FUTEX_WAIT | PRIVATE) -> list[Guest]:
    found = [bench.thread(guest) for _ in range(count)]
    for one in found:
        assert one("futex", word, operation, 0, 0, 0, fx.FUTEX_BITSET_MATCH_ANY) is None
    return found


def woken(bench: Bench, threads: list[Guest]) -> list[int]:
    bench.run()
    return [i for i, one in enumerate(threads) if one.thread.results]


def test_the_first_come_are_woken_first(bench: Bench) -> None:
    g = bench.guest()
    word = g.place(bytes(4))
    threads = waiters(bench, g, word, 3)
    assert g("futex", word, fx.FUTEX_WAKE, 9) == 0, "a shared wake finds no private waiter"
    assert g("futex", word, fx.FUTEX_WAKE | PRIVATE, 2) == 2
    assert woken(bench, threads) == [0, 1]
    assert g("futex", word, fx.FUTEX_WAKE | PRIVATE, 0) == 1, "as on Linux"
    assert not bench.kernel.futexes.waiting


def test_requeue(bench: Bench) -> None:
    g = bench.guest()
    word, other = g.place(bytes(4)), g.place(bytes(4))
    threads = waiters(bench, g, word, 4)
    assert g("futex", word, fx.FUTEX_CMP_REQUEUE | PRIVATE, 1, 2, other, 7) == -E.EAGAIN
    assert g("futex", word, fx.FUTEX_CMP_REQUEUE | PRIVATE, 1, 2, other, 0) == 3
    assert woken(bench, threads) == [0]
    assert g("futex", other, fx.FUTEX_WAKE | PRIVATE, 9) == 2
    assert woken(bench, threads) == [0, 1, 2]
    assert g("futex", word, fx.FUTEX_REQUEUE | PRIVATE, -1, 1, other, 0) == -E.EINVAL


def test_processes_meet_in_shared_memory(bench: Bench) -> None:
    g = bench.guest()
    word = g("mmap", 0, 4096, 3, mm.MAP_SHARED | mm.MAP_ANONYMOUS, -1, 0) + 64
    threads = waiters(bench, g, word, 1, fx.FUTEX_WAIT)
    child = bench.kernel.processes[g("fork")]
    task = child.leader
    assert task is not None
    args = (word, fx.FUTEX_WAKE, 1, 0, 0, 0)
    assert bench.personality.syscall(task, 202, args) == 1
    assert woken(bench, threads) == [0]


def test_a_bitset_chooses(bench: Bench) -> None:
    g = bench.guest()
    word = g.place(bytes(4))
    threads = waiters(bench, g, word, 1, fx.FUTEX_WAIT_BITSET | PRIVATE)
    one = bench.thread(g)
    assert one("futex", word, fx.FUTEX_WAIT_BITSET | PRIVATE, 0, 0, 0, 2) is None
    assert g("futex", word, fx.FUTEX_WAKE_BITSET | PRIVATE, 9, 0, 0, 0) == -E.EINVAL
    assert g("futex", word, fx.FUTEX_WAKE_BITSET | PRIVATE, 9, 0, 0, 4) == 1
    assert woken(bench, [*threads, one]) == [0]


def test_wake_op(bench: Bench) -> None:
    g = bench.guest()
    word, other = g.place(bytes(4)), g.place(bytes(4))
    threads = waiters(bench, g, word, 1) + waiters(bench, g, other, 1)
    add_five_if_zero = 1 << 28 | 0 << 24 | 5 << 12
    assert g("futex", word, fx.FUTEX_WAKE_OP | PRIVATE, 1, 1, other, add_five_if_zero) == 2
    assert g.peek(other, 4) == struct.pack("<I", 5)
    assert woken(bench, threads) == [0, 1]


@pytest.mark.parametrize(
    ("operation", "ahead"), [(fx.FUTEX_WAIT, 0), (fx.FUTEX_WAIT_BITSET, 1), (fx.FUTEX_WAIT_BITSET | 256, 2)]
)
def test_a_wait_ends_in_time(bench: Bench, operation: int, ahead: int) -> None:
    g = bench.guest()
    word = g.place(bytes(4))
    base = (0, bench.kernel.now(), bench.kernel.wall())[ahead]
    timeout = g.place(struct.pack("<qq", *divmod(base + 10**9, 10**9)))
    assert g("futex", word, operation | PRIVATE, 0, timeout, 0, 1) is None
    bench.platform.time_ns += 10**9 - 1
    bench.run()
    assert g.parked
    bench.platform.time_ns += 1
    bench.run()
    assert g.result == -E.ETIMEDOUT
    assert not bench.kernel.futexes.waiting


def test_who_ends_waits_no_more(bench: Bench) -> None:
    g = bench.guest()
    word = g.place(bytes(4))
    waiters(bench, g, word, 5)
    g("exit_group", 0)
    assert not bench.kernel.futexes.waiting
