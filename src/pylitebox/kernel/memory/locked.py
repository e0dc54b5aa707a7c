"""What mlock(2) locked where the platform keeps the areas: nothing is pinned, but it counts for RLIMIT_MEMLOCK.

The platform's areas know nothing of locks, and guests unmap without us: what is not mapped any more does not count.
Missing: what is mapped by MAP_LOCKED or after MCL_FUTURE is not counted; what was unmapped and mapped again still is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.mman import page_down
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_MEMLOCK
from pylitebox.kernel.credentials import CAP_IPC_LOCK
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.memory import areas_of

if TYPE_CHECKING:
    from pylitebox.kernel.task import Task

Ranges = list[tuple[int, int]]
#: Ranges of one address space, as Linux has areas.
MAX_RANGES = 65530


def check_may_lock(task: Task) -> None:
    """EPERM for who may not lock anything (can_do_mlock)."""
    if not task.process.rlimits[RLIMIT_MEMLOCK][0] and not task.cred.capable(CAP_IPC_LOCK):
        raise KernelError(E.EPERM)


def mlock(task: Task, start: int, end: int) -> None:
    """Of whole pages; ENOMEM beyond RLIMIT_MEMLOCK, and for a hole, once what lies before is locked; EPERM."""
    check_may_lock(task)
    mapped = _mapped(task)
    locked = _common(task.process.layout.locked, mapped)
    _check_limit(task, sum(high - low for low, high in _add(locked, start, end)))
    covered = next((min(end, high) for low, high in mapped if low <= start < high), start)
    task.process.layout.locked = _add(locked, start, covered)
    if covered < end:
        raise KernelError(E.ENOMEM)


def munlock(task: Task, start: int, end: int) -> None:
    """ENOMEM for a hole."""
    layout = task.process.layout
    layout.locked = _common(layout.locked, [(0, start), (end, 1 << 64)])
    if start < end and not any(low <= start and end <= high for low, high in _mapped(task)):
        raise KernelError(E.ENOMEM)


def mlock_all(task: Task, *, current: bool) -> None:
    """mlockall(2), with MCL_CURRENT; EPERM, ENOMEM."""
    check_may_lock(task)
    if current:
        mapped = _mapped(task)
        _check_limit(task, sum(high - low for low, high in mapped))
        task.process.layout.locked = mapped


def _mapped(task: Task) -> Ranges:
    """What is mapped, areas side by side as one."""
    ranges: Ranges = []
    for area in areas_of(task):
        if ranges and ranges[-1][1] == area.start:
            ranges[-1] = ranges[-1][0], area.end
        else:
            ranges.append((area.start, area.end))
    return ranges


def _check_limit(task: Task, size: int) -> None:
    limit = task.process.rlimits[RLIMIT_MEMLOCK][0]
    if limit != RLIM_INFINITY and size > page_down(limit) and not task.cred.capable(CAP_IPC_LOCK):
        raise KernelError(E.ENOMEM)


def _add(ranges: Ranges, start: int, end: int) -> Ranges:
    """Sorted ranges with one more."""
    if start >= end:
        return ranges
    joined = [(low, high) for low, high in ranges if high < start or end < low]
    touched = [(low, high) for low, high in ranges if not (high < start or end < low)]
    joined.append((min([start, *(low for low, _ in touched)]), max([end, *(high for _, high in touched)])))
    if len(joined) > MAX_RANGES:
        raise KernelError(E.ENOMEM)
    return sorted(joined)


def _common(first: Ranges, second: Ranges) -> Ranges:
    """What two sorted lists of ranges have in common."""
    found: Ranges = []
    i = j = 0
    while i < len(first) and j < len(second):
        low, high = max(first[i][0], second[j][0]), min(first[i][1], second[j][1])
        if low < high:
            found.append((low, high))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    return found
