"""Host processes and threads that were cloned for guests and never became ours.

A granted clone is the host's business until its child reports in. Whether there is a child at all, hostile code may
lie about: say that the clone failed, or let the child compute without a call. Such a *stray* reaches nothing (its
first call ends it), but it would not be counted. So each clone that came to nothing is remembered, and some time later
every child of the guardian that is nobody of ours, and old enough to have reported in, is ended. A thread must be seen
twice, for one that was ours may be about to end.

Missing: without CONFIG_PROC_CHILDREN in the host's kernel strays live until the sandbox ends.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING

from pylitebox.abi.time import NSEC_PER_SEC, USER_HZ

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from pylitebox.south.native.thread import NativeProcess

#: Clones that came to nothing and have not been looked after yet; as many are granted at the most.
MOST = 1024
#: Between two looks, and added to an age that is told in ticks.
PAUSE_NS = NSEC_PER_SEC
_STATE, _PPID, _START = 0, 1, 19  # fields of /proc/PID/stat, counted from the state


def _read(path: str) -> bytes:
    """A whole file of /proc; nothing if it is gone."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _stat(path: str) -> list[bytes]:
    return _read(f"{path}/stat").rpartition(b")")[2].split()


class Strays:
    """``patience_ns``: how long a child may take to report in."""

    def __init__(self, patience_ns: int) -> None:
        self._patience_ns = patience_ns
        self._doubts: deque[tuple[int, NativeProcess | None, frozenset[int]]] = deque()  # with threads seen before
        self._not_before = 0

    @property
    def full(self) -> bool:
        return len(self._doubts) >= MOST

    def doubt(self, deadline: int, process: NativeProcess | None) -> None:
        """A clone came to nothing: of a thread of ``process``, or of a process. It should have reported in by
        ``deadline``."""
        self._doubts.append((deadline + PAUSE_NS, process, frozenset()))

    @property
    def due(self) -> int | None:
        """When to look, monotonic ns."""
        return max(self._doubts[0][0], self._not_before) if self._doubts else None

    def find(self, now: int, template: int, processes: Container[int], threads: Container[int]) -> Iterator[int]:
        """Host tgids of processes that must end: strays, and those that have a stray thread. ``processes`` and
        ``threads``: the host ids of those that are ours."""
        self._not_before = now + PAUSE_NS
        suspects: dict[NativeProcess | None, frozenset[int]] = {}
        while self._doubts and self._doubts[0][0] <= now:
            _, process, seen = self._doubts.popleft()
            suspects[process] = suspects.get(process, seen) | seen
        parent = _stat(f"/proc/{template}")[_PPID : _PPID + 1]
        if None in suspects and parent:
            guardian = int(parent[0])
            for child in map(int, _read(f"/proc/{guardian}/task/{guardian}/children").split()):
                if child != template and child not in processes and self._old(f"/proc/{child}"):
                    yield child
        for process, seen in suspects.items():
            if process is not None and not process.dead:
                tasks = f"/proc/{process.tgid}/task"
                found = {tid for tid in _ids(tasks) if tid not in threads and self._old(f"{tasks}/{tid}")}
                if found & seen:
                    yield process.tgid
                elif found:
                    self._doubts.append((now + PAUSE_NS, process, frozenset(found)))

    def _old(self, path: str) -> bool:
        """Whether it began so long ago that it is late; what has ended is not (a leader stays until all have)."""
        fields = _stat(path)
        if not fields or fields[_STATE] in (b"Z", b"X"):
            return False
        age = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(fields[_START]) * (NSEC_PER_SEC // USER_HZ)
        return age > self._patience_ns


def _ids(directory: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(directory)]
    except OSError:
        return []
