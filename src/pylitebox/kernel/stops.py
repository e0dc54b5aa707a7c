"""How the threads of a stopped process are held.

A thread that runs is kicked: it stands still at its safe point. One that sleeps in a call of the host's (nanosleep(2),
a futex) would be woken by that, and its call would end with EINTR, which Linux's does not: it is let sleep on, and
looked at every LOOK_NS. As soon as its CPU clock has moved it has woken, and is kicked like the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from pylitebox.kernel.task import Process, Task
    from pylitebox.kernel.timers import Timer

LOOK_NS = 10_000_000
#: Sleepers of one process that are let sleep; the others are kicked.
MOST = 64


class Sleepers:
    """The threads that sleep, each with its CPU time when it was stopped."""

    __slots__ = ("_process", "_timer", "times")

    def __init__(self, process: Process, times: dict[Task, int]) -> None:
        self._process = process
        self.times = times
        self._timer: Timer | None = None
        self._arm()

    def _arm(self) -> None:
        kernel = self._process.kernel
        self._timer = kernel.timers.at(kernel.now() + LOOK_NS, self._look)

    def cancel(self) -> None:
        if self._timer is not None:
            self._process.kernel.timers.cancel(self._timer)
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        for task, before in list(self.times.items()):
            thread = task.thread
            if thread is None or task.exiting:
                del self.times[task]
            elif thread.cpu_time(alone=True) != before or not thread.asleep():
                del self.times[task]
                if task.call is None:
                    self._process.kernel.kick(task)
        if self.times:
            self._arm()


def hold(process: Process) -> None:
    """Bring every thread of a process that was stopped to a stand."""
    times: dict[Task, int] = {}
    for task in process.tasks.values():
        thread = task.thread
        if task.call is not None or thread is None:
            continue
        # It is asleep only if it has slept from before its clock was read until after.
        before = thread.cpu_time(alone=True) if not task.kicked and len(times) < MOST else 0
        if before and thread.asleep() and thread.cpu_time(alone=True) == before:
            times[task] = before
        else:
            process.kernel.kick(task)
    if times:
        process.sleepers = Sleepers(process, times)


def release(process: Process) -> Collection[Task]:
    """The process goes on, or ends: who still sleeps is no longer watched. Those threads."""
    sleepers, process.sleepers = process.sleepers, None
    if sleepers is None:
        return ()
    sleepers.cancel()
    return sleepers.times
