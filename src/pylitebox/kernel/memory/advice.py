"""madvise(2), msync(2), and the locks of mlock(2) (mm/madvise.c, mm/msync.c, mm/mlock.c).

Advice that changes what a program sees is followed; the rest is checked and forgotten. Nothing is ever pinned: locked
bytes are counted against RLIMIT_MEMLOCK.
Missing: MADV_REMOVE (EOPNOTSUPP), MADV_GUARD_INSTALL and MADV_GUARD_REMOVE (EINVAL).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import mman as mm
from pylitebox.abi.mman import PROT_READ, PROT_WRITE
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_MEMLOCK
from pylitebox.kernel.credentials import CAP_IPC_LOCK
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.memory.locked import check_may_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.memory.areas import Region, Steps
    from pylitebox.kernel.memory.sources import Source
    from pylitebox.kernel.memory.space import Space
    from pylitebox.kernel.task import Task

#: Advice about speed and dumps alone.
_NOTED = frozenset(
    (
        mm.MADV_NORMAL, mm.MADV_RANDOM, mm.MADV_SEQUENTIAL, mm.MADV_WILLNEED, mm.MADV_MERGEABLE, mm.MADV_UNMERGEABLE,
        mm.MADV_HUGEPAGE, mm.MADV_NOHUGEPAGE, mm.MADV_DONTDUMP, mm.MADV_DODUMP,
    )
)  # fmt: skip


def _cool(space: Space, part: Region) -> None:
    """Pages may be taken out; not doing so is as good."""
    if part.locked:
        raise KernelError(E.EINVAL)


def _discard(space: Space, part: Region) -> None:
    if part.locked:
        raise KernelError(E.EINVAL)
    space.pages.discard(part.start, part.size)


def _discard_locked(space: Space, part: Region) -> None:
    space.pages.discard(part.start, part.size)


def _free(space: Space, part: Region) -> None:
    """Pages may be freed some time; not freeing them is as good."""
    if part.locked or part.backing is not None:
        raise KernelError(E.EINVAL)


def _remove(space: Space, part: Region) -> None:
    if part.locked or part.backing is None:
        raise KernelError(E.EINVAL)
    if not part.shared or not part.limit & PROT_WRITE:
        raise KernelError(E.EACCES)
    raise KernelError(E.EOPNOTSUPP)


def _mark(**marks: bool) -> Callable[[Space, Region], None]:
    """Set a mark of areas that fork(2) looks at."""

    def apply(space: Space, part: Region) -> None:
        if marks.get("wipeonfork") and (part.backing is not None or part.shared):
            raise KernelError(E.EINVAL)
        space.room(space.areas.splits(part.start, part.end))
        for name, value in marks.items():
            setattr(part, name, value)
        space.areas.replace(part.start, part.end, [part])

    return apply


def _populate(needed: int) -> Callable[[Space, Region], None]:
    """Pages are made when they are touched; what matters is whether they might be: EFAULT behind the end of a file."""

    def apply(space: Space, part: Region) -> None:
        if not part.prot & needed:
            raise KernelError(E.EINVAL)
        space.pages.memory.read(part.end - 1, 1)

    return apply


_FOLLOWED: dict[int, Callable[[Space, Region], None]] = {
    mm.MADV_DONTNEED: _discard,
    mm.MADV_DONTNEED_LOCKED: _discard_locked,
    mm.MADV_FREE: _free,
    mm.MADV_COLD: _cool,
    mm.MADV_PAGEOUT: _cool,
    mm.MADV_REMOVE: _remove,
    mm.MADV_DONTFORK: _mark(dontfork=True),
    mm.MADV_DOFORK: _mark(dontfork=False),
    mm.MADV_WIPEONFORK: _mark(wipeonfork=True),
    mm.MADV_KEEPONFORK: _mark(wipeonfork=False),
    mm.MADV_POPULATE_READ: _populate(PROT_READ),
    mm.MADV_POPULATE_WRITE: _populate(PROT_WRITE),
}
#: Advice that stops at a hole; other advice goes on behind it, and then says ENOMEM.
_STOPS = frozenset((mm.MADV_POPULATE_READ, mm.MADV_POPULATE_WRITE))


def madvise(space: Space, start: int, length: int, advice: int) -> Steps:
    """EINVAL, ENOMEM, EACCES."""
    follow = _FOLLOWED.get(advice)
    if (follow is None and advice not in _NOTED) or start % mm.PAGE_SIZE:
        raise KernelError(E.EINVAL)
    end = start + mm.page_up(length)
    if end >= 1 << 64:
        raise KernelError(E.EINVAL)
    at, hole = start, False
    for part in space.areas.parts(start, end):
        if part.start != at:
            hole = True
            if advice in _STOPS:
                break
        if follow is not None:
            follow(space, part)
        at = part.end
        yield
    if hole or at != end:
        raise KernelError(E.ENOMEM)
    return 0


def msync(space: Space, start: int, end: int, flags: int) -> None:
    """Of whole pages; ENOMEM for a hole, once all else is done; EBUSY."""
    at, hole = start, False
    synchronised: set[Source | None] = set()
    for part in space.areas.cut(start, end):
        hole |= part.start != at
        if flags & mm.MS_INVALIDATE and part.locked:
            raise KernelError(E.EBUSY)
        if flags & mm.MS_SYNC and part.shared and part.backing not in synchronised:
            synchronised.add(part.backing)
            space.pages.sync(part.start, part.size)
        at = part.end
    if hole or (start < end and at != end):
        raise KernelError(E.ENOMEM)


# -- locks ------------------------------------------------------------------------------------------------------------


def mlock(task: Task, space: Space, start: int, end: int) -> Steps:
    """Of whole pages; ENOMEM beyond RLIMIT_MEMLOCK, and for a hole, once what lies before is locked; EPERM."""
    check_may_lock(task)
    locked = (area for area in space.areas.within(start, end) if area.locked)
    already = sum(min(end, area.end) - max(start, area.start) for area in locked)
    space.may_lock(task, end - start - already, E.ENOMEM)
    return set_locked(space, start, end, locked=True)


def set_locked(space: Space, start: int, end: int, *, locked: bool) -> Steps:
    at = start
    for part in space.areas.parts(start, end):
        if part.start != at:
            break
        if part.locked != locked:
            space.room(space.areas.splits(part.start, part.end))
            part.locked = locked
            space.areas.replace(part.start, part.end, [part])
        at = part.end
        yield
    if at < end:
        raise KernelError(E.ENOMEM)
    return 0


def mlockall(task: Task, space: Space, flags: int) -> Steps:
    """MCL_CURRENT, MCL_FUTURE; EPERM, ENOMEM."""
    check_may_lock(task)
    limit = task.process.rlimits[RLIMIT_MEMLOCK][0]
    current = flags & mm.MCL_CURRENT
    if current and limit != RLIM_INFINITY and space.areas.total > limit and not task.cred.capable(CAP_IPC_LOCK):
        raise KernelError(E.ENOMEM)
    space.lock_future = bool(flags & mm.MCL_FUTURE)
    return _set_all(space, locked=True) if current else nothing()


def munlockall(space: Space) -> Steps:
    space.lock_future = False
    return _set_all(space, locked=False)


def _set_all(space: Space, *, locked: bool) -> Steps:
    for part in space.areas.parts(0, mm.TASK_SIZE):
        part.locked = locked
        space.areas.replace(part.start, part.end, [part])
        yield
    return 0


def nothing() -> Steps:
    yield
    return 0
