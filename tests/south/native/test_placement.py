"""One CPU for a sandbox, until two of its threads compute side by side."""

import os
import subprocess
import sys

import pytest

from pylitebox.south.native import placement as p


class Host:
    """The host's clocks and affinities."""

    def __init__(self) -> None:
        self.used: dict[int, int] = {}
        self.cpus: dict[int, set[int]] = {}

    def clock(self, tid: int) -> int:
        return self.used.get(tid, 0)

    def place(self, tid: int, cpus: set[int]) -> None:
        self.cpus[tid] = set(cpus)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5, 7})
    monkeypatch.setattr(os, "sched_setaffinity", host.place)
    monkeypatch.setattr(p, "thread_time", host.clock)
    return host


def look(placement: p.Placement, host: Host, *used: int, times: int = 1) -> None:
    """Windows in each of which thread 1, 2, ... uses so much of it, in percent."""
    for _ in range(times):
        for tid, percent in enumerate(used, start=1):
            host.used[tid] = host.used.get(tid, 0) + p.WINDOW_NS * percent // 100
        placement.look(placement.due, list(range(1, len(used) + 1)), [99])


def test_all_start_on_one_cpu(host: Host) -> None:
    placement = p.Placement()
    placement.gather()
    assert len(host.cpus[0]) == 1
    assert host.cpus[0] < {2, 5, 7}
    assert not placement.spread


def test_two_that_compute_are_spread_and_gathered_again_when_it_is_over(host: Host) -> None:
    placement = p.Placement()
    placement.gather()
    look(placement, host, 0, 0)
    look(placement, host, 90, 10)
    assert not placement.spread
    look(placement, host, 50, 50)
    assert placement.spread
    assert [host.cpus[tid] for tid in (0, 1, 2, 99)] == [{2, 5, 7}] * 4
    look(placement, host, 100, 0, times=p.CALM_WINDOWS - 1)
    assert placement.spread
    look(placement, host, 100, 0)
    assert not placement.spread
    assert all(len(cpus) == 1 for cpus in host.cpus.values())


def test_a_thread_that_ended_is_passed_over(host: Host) -> None:
    placement = p.Placement()
    placement.gather()
    look(placement, host, 50, 50)
    host.used.clear()
    placement.look(placement.due, [1, 2], [])
    assert not placement.spread


def test_with_one_cpu_there_is_nothing_to_choose(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    placement = p.Placement()
    placement.gather()
    assert not placement.matters
    assert host.cpus == {}


def test_the_time_of_another_process_can_be_read() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            seen = p.thread_time(busy.pid)
            while p.thread_time(busy.pid) < seen + 20_000_000:
                pass
        finally:
            busy.kill()
    assert p.thread_time(busy.pid) == 0
