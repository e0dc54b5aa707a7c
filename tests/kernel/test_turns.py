"""No guest holds up the loop: timers and woken tasks run in batches, and long calls in turns."""

from __future__ import annotations

from pylitebox.abi import errno as E
from pylitebox.kernel import timers as kernel_timers
from pylitebox.kernel import wait
from pylitebox.kernel.timers import Timers
from pylitebox.north.linux.copy import TURN
from tests.north.bench import PARKED, Bench


def test_a_timer_that_is_always_due_fires_once_in_a_run() -> None:
    timers = Timers()
    fired: list[int] = []

    def again() -> None:
        fired.append(1)
        timers.at(0, again)

    timers.at(0, again)
    timers.run(5)
    assert len(fired) == 1
    timers.run(5)
    assert len(fired) == 2


def test_a_run_fires_a_batch_and_the_earliest_first() -> None:
    timers = Timers()
    fired: list[int] = []
    for deadline in reversed(range(100)):
        timers.at(deadline, lambda deadline=deadline: fired.append(deadline))  # type: ignore[misc]
    timers.run(1000)
    assert fired == list(range(kernel_timers.BATCH))
    for _ in range(100):
        timers.run(1000)
    assert fired == list(range(100))


def test_what_a_timer_of_the_same_run_cancels_does_not_fire() -> None:
    timers = Timers()
    fired: list[int] = []
    timers.at(1, lambda: timers.cancel(second))
    second = timers.at(2, lambda: fired.append(1))
    timers.run(5)
    assert not fired
    assert len(timers) == 0
    assert timers.next_deadline() is None


def test_a_run_of_the_scheduler_is_bounded() -> None:
    bench = Bench()
    first = bench.guest()
    fd = first("eventfd2", 0, 0)
    assert fd is not None
    file = first.task.files.get(fd)
    readers = [bench.guest() for _ in range(wait.BATCH + 1)]
    for reader in readers:
        reader.task.files.install_at(9, file)
        assert reader("read", 9, bytearray(8), 8) is PARKED
    assert first("write", fd, b"\1\0\0\0\0\0\0\0", 8) == 8
    bench.kernel.scheduler.run()
    assert len(bench.kernel.scheduler.ready) == 1  # the last one was not looked at yet
    bench.run()


def test_a_large_allocation_lets_others_run() -> None:
    bench = Bench()
    g = bench.guest()
    fd = g("memfd_create", "a", 0)
    assert fd is not None
    sizes: list[int] = []
    assert g("fallocate", fd, 0, 0, 3 * TURN) is PARKED
    bench.kernel.timers.at(bench.platform.time_ns, lambda: sizes.append(g.task.files.get(fd).stat().size))
    bench.run()
    assert g.result == 0
    assert sizes == [2 * TURN]
    assert g.task.files.get(fd).stat().size == 3 * TURN
    assert g("fallocate", fd, 0, 0, 1 << 60) == -E.ENOSPC
    assert g("fallocate", fd, 3, 0, 1 << 60) is PARKED  # punched as far as the file goes
    bench.run()
    assert g.result == 0
    assert g.task.files.get(fd).stat().blocks == 0


def test_a_long_transfer_lets_others_run() -> None:
    bench = Bench()
    g = bench.guest()
    source, sink = g("memfd_create", "a", 0), g("memfd_create", "b", 0)
    assert source is not None
    assert sink is not None
    assert g("ftruncate", source, 3 * TURN) == 0
    others: list[int] = []
    assert g("sendfile", sink, source, 0, 3 * TURN) is PARKED
    bench.kernel.timers.at(bench.platform.time_ns, lambda: others.append(g.task.files.get(sink).position))
    bench.run()
    assert g.result == 3 * TURN
    assert others == [2 * TURN]  # it was due after the second part, and ran before the third
