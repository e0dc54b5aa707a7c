"""Robust futex lists of dying threads: what they hold is marked, and hostile lists end."""

from __future__ import annotations

import struct

import pytest

from pylitebox.abi.futex import FUTEX_OWNER_DIED, FUTEX_WAIT, FUTEX_WAITERS
from pylitebox.kernel import robust
from tests.north.bench import Bench, Guest


@pytest.fixture
def guest(bench: Bench) -> Guest:
    return bench.guest()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def held(guest: Guest, count: int, *, word: int | None = None, pending: bool = False) -> list[int]:
    """Give the thread a list of ``count`` futexes that it holds; the addresses of their words."""
    head = guest.place(bytes(24))
    entries = [guest.place(bytes(16)) for _ in range(count)]
    links = [*entries, head]
    value = guest.task.tid if word is None else word
    for entry, following in zip(entries, links[1:], strict=True):
        guest.thread.memory.poke(entry, struct.pack("<QI", following, value))
    last = entries[-1] if pending else 0
    guest.thread.memory.poke(head, struct.pack("<QqQ", links[0], 8, last))
    assert guest("set_robust_list", head, 24) == 0
    return [entry + 8 for entry in entries]


def word_at(guest: Guest, address: int) -> int:
    return int.from_bytes(guest.peek(address, 4), "little")


def test_held_futexes_are_marked(guest: Guest) -> None:
    words = held(guest, 3)
    robust.exit_robust_list(guest.task)
    assert [word_at(guest, word) for word in words] == [FUTEX_OWNER_DIED] * 3
    assert guest.task.robust_list == 0


def test_the_pending_one_too(guest: Guest) -> None:
    words = held(guest, 1, pending=True)
    robust.exit_robust_list(guest.task)
    assert word_at(guest, words[0]) == FUTEX_OWNER_DIED


def test_those_of_others_are_left(guest: Guest) -> None:
    words = held(guest, 2, word=guest.task.tid + 1)
    robust.exit_robust_list(guest.task)
    assert [word_at(guest, word) for word in words] == [guest.task.tid + 1] * 2


def test_a_waiter_is_woken(bench: Bench, guest: Guest) -> None:
    waiters = [bench.thread(guest) for _ in range(2)]
    value = guest.task.tid | FUTEX_WAITERS
    words = held(guest, 1, word=value)
    for waiter in waiters:
        assert waiter("futex", words[0], FUTEX_WAIT, value, 0) is None
    guest("exit", 0)
    bench.run()
    assert word_at(waiters[0], words[0]) == FUTEX_WAITERS | FUTEX_OWNER_DIED
    assert [waiter.thread.results for waiter in waiters] == [[0], []]


def test_waiters_of_the_host_are_kicked(bench: Bench, guest: Guest) -> None:
    bench.platform.delegates_memory = True  # type: ignore[misc]
    parked, running = bench.guest(), bench.thread(guest)
    parked("pause")
    words = held(guest, 1, word=guest.task.tid | FUTEX_WAITERS)
    guest("exit", 0)
    assert word_at(running, words[0]) == FUTEX_WAITERS | FUTEX_OWNER_DIED
    assert (parked.thread.kicks, running.thread.kicks) == (0, 1)


def test_a_circle_ends(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust, "ROBUST_LIST_LIMIT", 5)
    words = held(guest, 1)
    guest.thread.memory.poke(words[0] - 8, struct.pack("<Q", words[0] - 8))
    reads = 0
    read = guest.thread.memory.read

    def counted(address: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        return read(address, size)

    guest.thread.memory.read = counted  # type: ignore[method-assign]
    robust.exit_robust_list(guest.task)
    assert reads == 1 + 2 * 5


@pytest.mark.parametrize("head", [8, 1 << 63, (1 << 64) - 8])
def test_an_unreadable_list_is_no_error(bench: Bench, guest: Guest, head: int) -> None:
    guest("set_robust_list", head, 24)
    guest("exit_group", 3)
    assert guest.task.process.state == "dead"
    assert bench.kernel.internal_errors == 0
