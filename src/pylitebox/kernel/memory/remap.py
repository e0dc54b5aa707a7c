"""mremap(2) (mm/mremap.c): shrink, grow, move; several areas may be moved in one call, as in Linux 6.17."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import mman as mm
from pylitebox.kernel.errors import KernelError

if TYPE_CHECKING:
    from pylitebox.kernel.memory.areas import Region, Steps
    from pylitebox.kernel.memory.space import Space
    from pylitebox.kernel.task import Task

_FLAGS = mm.MREMAP_MAYMOVE | mm.MREMAP_FIXED | mm.MREMAP_DONTUNMAP


def mremap(task: Task, space: Space, old: int, old_size: int, new_size: int, flags: int, new: int) -> Steps:
    """The new address. EINVAL, EFAULT, ENOMEM, EAGAIN, EPERM."""
    old_size, new_size = _whole(old_size), _whole(new_size)
    _check(old, old_size, new_size, flags, new)
    if not flags & mm.MREMAP_FIXED or old_size != new_size:
        return _remap(task, space, old, old_size, new_size, flags, new)
    result, at = None, old
    for part in space.areas.parts(old, old + old_size):
        if result is None and part.start != old:
            break
        new += part.start - at
        moved = _remap(task, space, part.start, part.size, part.size, flags, new)
        result = moved if result is None else result
        at, new = part.end, new + part.size
        yield
    if result is None:
        raise KernelError(E.EFAULT)
    return result


def _remap(task: Task, space: Space, old: int, old_size: int, new_size: int, flags: int, new: int) -> int:
    """Within one area."""
    area = space.areas.find(old)
    if area is None:
        raise KernelError(E.EFAULT)
    if not flags & (mm.MREMAP_FIXED | mm.MREMAP_DONTUNMAP) and new_size <= old_size:
        if new_size < old_size:
            space.unmap(old + new_size, old_size - new_size)
        return old
    if not old_size and not area.shared:
        raise KernelError(E.EINVAL)
    if flags & mm.MREMAP_FIXED and new_size < old_size:
        if old + new_size > area.end:
            raise KernelError(E.EFAULT)
    elif old_size > area.end - old:
        raise KernelError(E.EFAULT)
    grown = max(new_size - old_size, 0)
    if grown and area.backing is not None and area.place(old) + new_size >= 1 << 63:
        raise KernelError(E.EINVAL)
    if area.locked:
        space.may_lock(task, grown, E.EAGAIN)
    more = new_size if flags & mm.MREMAP_DONTUNMAP else grown
    space.may_grow(task, more, more if area.is_data else 0)
    if area.charged:
        space.may_commit(more)
    fixed = flags & (mm.MREMAP_FIXED | mm.MREMAP_DONTUNMAP)
    if old_size and not fixed and old + old_size == area.end and _extend(space, area, grown):
        return old
    if not flags & mm.MREMAP_MAYMOVE:
        raise KernelError(E.ENOMEM)
    return _move(space, area, (old, old_size), new_size, flags, new)


def _whole(size: int) -> int:
    return mm.page_up(size) % (1 << 64)


def _check(old: int, old_size: int, new_size: int, flags: int, new: int) -> None:
    """What is EINVAL whatever is mapped."""
    wrong = flags & ~_FLAGS or old % mm.PAGE_SIZE or not new_size
    if flags & (mm.MREMAP_FIXED | mm.MREMAP_DONTUNMAP):
        wrong = wrong or not flags & mm.MREMAP_MAYMOVE or new % mm.PAGE_SIZE
        wrong = wrong or new_size > mm.TASK_SIZE or new > mm.TASK_SIZE - new_size
        wrong = wrong or (old < new + new_size and new < old + old_size)
    if flags & mm.MREMAP_DONTUNMAP and old_size != new_size:
        wrong = True
    if wrong:
        raise KernelError(E.EINVAL)


def _extend(space: Space, area: Region, grown: int) -> bool:
    """Grow an area where it is, if nothing lies behind it."""
    end = area.end + grown
    if end > mm.TASK_SIZE or not space.is_free(area.end, end):
        return False
    space.show(area, area.end, grown)
    space.areas.replace(area.end, end, [area.part(area.end, end)])
    return True


def _move(space: Space, area: Region, source: tuple[int, int], new_size: int, flags: int, new: int) -> int:
    """Have the area's part at ``source`` (address, size) elsewhere, with another size."""
    old, old_size = source
    moved = min(old_size, new_size)
    space.room(3)
    if flags & mm.MREMAP_FIXED:
        space.fixed_place(new, new_size)
        if space.areas.within(new, new + new_size):
            space.unmap(new, new_size)
            found = space.areas.find(old)
            if found is None:
                raise KernelError(E.EFAULT)
            area = found
    else:
        new = space.find_place(new if flags & mm.MREMAP_DONTUNMAP else 0, new_size)
    if moved < old_size:
        space.unmap(old + moved, old_size - moved)
    if moved < new_size:
        _show(space, area, old + moved, new + moved, new_size - moved)
    if moved:
        try:
            space.pages.move(old, moved, new)
        except KernelError:
            space.pages.unmap(new, new_size)
            raise
    copy = area.part(old, old + new_size)
    copy.start, copy.end = new, new + new_size
    space.areas.replace(new, new + new_size, [copy])
    if flags & mm.MREMAP_DONTUNMAP:
        left = area.part(old, old + moved)
        space.show(left, old, moved)
        left.locked = False
        space.areas.replace(old, old + moved, [left])
    elif moved:
        space.areas.replace(old, old + moved)
    return new


def _show(space: Space, area: Region, origin: int, start: int, size: int) -> None:
    """Map at ``start`` what the area shows, or would show, at ``origin``."""
    file = area.backing.file if area.backing is not None else None
    space.pages.map(start, size, area.prot, file, area.place(origin), shared=area.shared)
