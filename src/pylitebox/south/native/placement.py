"""Which CPUs a sandbox runs on: one for all of it, unless its threads compute side by side.

A call is a hand-over between a guest thread and the supervisor. On one CPU that is a switch; across two it wakes a
sleeping CPU and moves warm caches. So supervisor and guests start on one CPU. Every WINDOW_NS, while there is more than
one guest thread, their CPU clocks are looked at: as soon as two of them compute (a quarter of the window each, since
they share a CPU), all may run everywhere, until that has been over for CALM_WINDOWS windows.
"""

from __future__ import annotations

import os
from collections.abc import Collection

WINDOW_NS = 50_000_000
CALM_WINDOWS = 20
#: Threads whose clocks are looked at in one window.
MOST_THREADS = 64


def thread_time(tid: int) -> int:
    """The CPU time (ns) of a host thread, up to its last tick; 0 if it has ended. There is no clock of the threads of
    other processes: clock_gettime(2) gives EINVAL."""
    try:
        fd = os.open(f"/proc/{tid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(os.read(fd, 64).split()[0])
    except (OSError, IndexError):
        return 0
    finally:
        os.close(fd)


class Placement:
    """``everywhere``: the CPUs that this process was given. ``spread``: guests may run on all of them now."""

    def __init__(self) -> None:
        self.everywhere = os.sched_getaffinity(0)
        self.matters = len(self.everywhere) > 1
        self.spread = True
        self.due = 0  # when to look again, monotonic ns
        self._looked = 0
        self._times: dict[int, int] = {}
        self._calm = 0

    def gather(self, tids: Collection[int] = ()) -> None:
        """All on one CPU: this thread and ``tids``."""
        if self.matters:
            # by our process id, so that several sandboxes do not all choose the same
            cpus = sorted(self.everywhere)
            self._place({cpus[os.getpid() % len(cpus)]}, tids)
            self.spread = False

    def look(self, now: int, tids: Collection[int], others: Collection[int]) -> None:
        """Look at the clocks of the guest threads ``tids``; ``others`` (the template) are moved with them."""
        window = now - self._looked
        self._looked, self.due = now, now + WINDOW_NS
        before, self._times = self._times, {}
        computing = 0
        for tid in list(tids)[:MOST_THREADS]:
            used = self._times[tid] = thread_time(tid)
            computing += used - before.get(tid, used) > window // 4
        self._calm = 0 if computing > 1 else self._calm + 1
        if computing > 1 and not self.spread:
            self._place(self.everywhere, [*tids, *others])
            self.spread = True
        elif self.spread and self._calm >= CALM_WINDOWS:
            self.gather([*tids, *others])

    def _place(self, cpus: set[int], tids: Collection[int]) -> None:
        for tid in (0, *tids):
            try:
                os.sched_setaffinity(tid, cpus)
            except OSError:  # it has ended, or the host will not have it: it runs where it did
                continue
