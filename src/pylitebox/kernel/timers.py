"""Deadlines of the kernel: one heap over the platform's monotonic clock.

A timer is a callback at an absolute time in nanoseconds. Cancelling marks it; marked entries leave the heap when
they reach its top, or all at once when they are the majority.

Rule: one run fires at most BATCH timers, the earliest first, and none that was made by another of the same run. So
guests that arm timers, or long calls that go on in turns, cannot keep the loop from looking at anything else.
"""

import heapq
from collections.abc import Callable

#: Timers that one run fires at most.
BATCH = 16


class Timer:
    """One deadline; ``callback`` is None once it has fired or was cancelled."""

    __slots__ = ("callback", "deadline", "queued")

    def __init__(self, deadline: int, callback: Callable[[], None]) -> None:
        self.deadline = deadline
        self.callback: Callable[[], None] | None = callback
        self.queued = True  # it is in the heap


class Timers:
    def __init__(self) -> None:
        #: Empty when nothing waits; cancelled timers stay in it until they are dropped.
        self.heap: list[tuple[int, int, Timer]] = []
        self._sequence = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self.heap) - self._cancelled

    def at(self, deadline: int, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once the monotonic clock (ns) has reached ``deadline``."""
        timer = Timer(deadline, callback)
        self._sequence += 1
        heapq.heappush(self.heap, (deadline, self._sequence, timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        if timer.callback is None:
            return
        timer.callback = None
        if not timer.queued:
            return
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self.heap):
            self.heap = [entry for entry in self.heap if entry[2].callback is not None]
            heapq.heapify(self.heap)
            self._cancelled = 0

    def next_deadline(self) -> int | None:
        """The earliest deadline (ns), or None when nothing waits."""
        heap = self.heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def run(self, now: int) -> None:
        """Fire what is due at ``now`` (ns), BATCH timers at the most."""
        due: list[Timer] = []
        while len(due) < BATCH and (deadline := self.next_deadline()) is not None and deadline <= now:
            timer = heapq.heappop(self.heap)[2]
            timer.queued = False
            due.append(timer)
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
