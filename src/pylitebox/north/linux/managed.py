"""Handlers for platforms whose memory the kernel manages: memory, futexes, and what else a native guest's host does.

Their rows stand in memory.py, system.py and scheduling.py. Here are the arguments; what they mean is in kernel/memory/
and kernel/futex.py. The module is imported for such platforms alone.
"""

from pylitebox.abi import errno as E
from pylitebox.abi import futex as fx
from pylitebox.abi import mman as mm
from pylitebox.kernel import futex as futexes
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.fs.vfs import MS_NOEXEC
from pylitebox.kernel.memory import advice as advices
from pylitebox.kernel.memory.areas import ALL, Steps
from pylitebox.kernel.memory.remap import mremap as remap
from pylitebox.kernel.memory.space import Content, Space
from pylitebox.kernel.process import managed as managed_thread
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Blocking, Result
from pylitebox.north.linux.args import Address, Fd, Int, MapFlags, Offset, Prot, Size, UInt, ULong
from pylitebox.north.linux.copy import TURN
from pylitebox.north.linux.disk import patiently
from pylitebox.north.linux.files import next_turn
from pylitebox.north.linux.memory import file_to_map, pages
from pylitebox.north.linux.table import managed
from pylitebox.north.linux.time import read_timespec

#: Areas that one call changes before others get their turn.
_AREAS = 128
_PROT_SEM = 8
_MLOCK_ONFAULT = 1


def _space(task: Task) -> Space:
    space = task.process.layout.space
    if space is None:
        raise KernelError(E.ENOMEM)
    return space


def _in_turns(task: Task, steps: Steps) -> Result:
    """Go from area to area: at once if they are few."""
    done = _some(steps)
    return done if done is not None else _later(task, steps)


def _some(steps: Steps) -> int | None:
    try:
        for _ in range(_AREAS):
            next(steps)
    except StopIteration as stop:
        return int(stop.value)
    return None


def _later(task: Task, steps: Steps) -> Blocking:
    while True:
        yield next_turn(task)
        done = _some(steps)
        if done is not None:
            return done


# -- mappings ---------------------------------------------------------------------------------------------------------


@managed("mmap")
def mmap(task: Task, address: Address, length: Size, prot: Prot, flags: MapFlags, fd: Fd, offset: Offset) -> Result:
    if offset & (mm.PAGE_SIZE - 1):
        raise KernelError(E.EINVAL)
    if flags & mm.MAP_ANONYMOUS:
        return _map_anonymous(task, address, length, prot, flags)
    file, write = file_to_map(task, address, length, prot, flags, fd, offset)
    if flags & (mm.MAP_GROWSDOWN | mm.MAP_HUGETLB):
        raise KernelError(E.EINVAL)
    return patiently(file, lambda: _map_file(task, file, (address, length, prot, flags, offset), write=write))


def _map_anonymous(task: Task, address: int, length: int, prot: int, flags: int) -> int:
    space = _space(task)
    if flags & mm.MAP_HUGETLB:
        raise KernelError(E.ENOMEM)
    if not length:
        raise KernelError(E.EINVAL)
    size = mm.page_up(length)
    if size > mm.TASK_SIZE:
        raise KernelError(E.ENOMEM)
    start = space.place(address, size, flags)
    kind = flags & mm.MAP_TYPE
    if kind == mm.MAP_PRIVATE:
        return space.map(task, start, size, prot, flags, None)
    if kind != mm.MAP_SHARED or flags & mm.MAP_GROWSDOWN:
        raise KernelError(E.EINVAL)
    sources = task.kernel.sources
    source = sources.anonymous(task.kernel.platform, size)
    try:
        return space.map(task, start, size, prot, flags, Content(source, 0, ALL))
    finally:
        sources.release(source)


def _map_file(task: Task, file: File, call: tuple[int, int, int, int, int], *, write: bool) -> int:
    address, length, prot, flags, offset = call
    space, sources = _space(task), task.kernel.sources
    size = mm.page_up(length)
    limit = ALL if write or flags & mm.MAP_TYPE == mm.MAP_PRIVATE else ALL & ~mm.PROT_WRITE
    if file.location is not None and file.location.mount.flags & MS_NOEXEC:
        limit &= ~mm.PROT_EXEC
    handle = file.map_source()
    try:
        if file.location is not None:
            task.kernel.mapped_files.note(handle.key(), file.location)
        source = sources.claim(handle, write=write)
    finally:
        handle.close()
    try:
        start = space.place(address, size, flags)
        return space.map(task, start, size, prot, flags, Content(source, offset, limit))
    finally:
        sources.release(source)


@managed("munmap")
def munmap(task: Task, address: Address, length: Size) -> Result:
    _space(task).unmap(address, length)
    return 0


@managed("mprotect")
def mprotect(task: Task, address: Address, length: Size, prot: Prot) -> Result:
    grows = prot & (mm.PROT_GROWSDOWN | mm.PROT_GROWSUP)
    if grows == mm.PROT_GROWSDOWN | mm.PROT_GROWSUP or address & (mm.PAGE_SIZE - 1):
        raise KernelError(E.EINVAL)
    if not length:
        return 0
    end = address + mm.page_up(length)
    if end >= 1 << 64:
        raise KernelError(E.ENOMEM)
    if prot & ~(ALL | _PROT_SEM | grows):
        raise KernelError(E.EINVAL)
    return _in_turns(task, _space(task).protect(task, address, end, prot))


@managed("mremap")
def mremap(task: Task, old: Address, old_size: Size, new_size: Size, flags: ULong, new: Address) -> Result:
    return _in_turns(task, remap(task, _space(task), old, old_size, new_size, flags, new))


@managed("brk")
def brk(task: Task, address: Address) -> Result:
    return _space(task).brk(task, address)


@managed("madvise")
def madvise(task: Task, address: Address, length: Size, advice: Int) -> Result:
    return _in_turns(task, advices.madvise(_space(task), address, length, advice))


# -- questions, and locks ---------------------------------------------------------------------------------------------


@managed("msync")
def msync(task: Task, address: Address, length: Size, flags: Int) -> Result:
    if flags & ~(mm.MS_ASYNC | mm.MS_INVALIDATE | mm.MS_SYNC) or address & (mm.PAGE_SIZE - 1):
        raise KernelError(E.EINVAL)
    if flags & mm.MS_ASYNC and flags & mm.MS_SYNC:
        raise KernelError(E.EINVAL)
    advices.msync(_space(task), *pages(address, length, E.ENOMEM), flags)
    return 0


@managed("mincore")
def mincore(task: Task, address: Address, length: Size, vector: Address) -> Result:
    if address & (mm.PAGE_SIZE - 1):
        raise KernelError(E.EINVAL)
    start, end = pages(address, length, E.ENOMEM)
    space = _space(task)
    if end > mm.TASK_SIZE or space.areas.covered(start, end) != end:
        raise KernelError(E.ENOMEM)
    if end - start > TURN * mm.PAGE_SIZE:
        return _mincore(task, space, start, end, vector)
    task.memory.write(vector, space.pages.resident(start, end - start))
    return 0


def _mincore(task: Task, space: Space, start: int, end: int, vector: int) -> Blocking:
    while start < end:
        size = min(end - start, TURN * mm.PAGE_SIZE)
        if space.areas.covered(start, start + size) != start + size:  # another thread has unmapped it meanwhile
            raise KernelError(E.ENOMEM)
        task.memory.write(vector, space.pages.resident(start, size))
        start += size
        vector += size // mm.PAGE_SIZE
        yield next_turn(task)
    return 0


@managed("mlock")
def mlock(task: Task, address: Address, length: Size) -> Result:
    return _in_turns(task, advices.mlock(task, _space(task), *pages(address, length, E.EINVAL)))


@managed("mlock2")
def mlock2(task: Task, address: Address, length: Size, flags: Int) -> Result:
    if flags & ~_MLOCK_ONFAULT:
        raise KernelError(E.EINVAL)
    return mlock(task, address, length)


@managed("munlock")
def munlock(task: Task, address: Address, length: Size) -> Result:
    return _in_turns(task, advices.set_locked(_space(task), *pages(address, length, E.EINVAL), locked=False))


@managed("mlockall")
def mlockall(task: Task, flags: Int) -> Result:
    if not flags or flags & ~(mm.MCL_CURRENT | mm.MCL_FUTURE | mm.MCL_ONFAULT) or flags == mm.MCL_ONFAULT:
        raise KernelError(E.EINVAL)
    return _in_turns(task, advices.mlockall(task, _space(task), flags))


@managed("munlockall")
def munlockall(task: Task) -> Result:
    return _in_turns(task, advices.munlockall(_space(task)))


# -- futexes ----------------------------------------------------------------------------------------------------------

_TIMED = frozenset((fx.FUTEX_WAIT, fx.FUTEX_WAIT_BITSET, fx.FUTEX_LOCK_PI, fx.FUTEX_LOCK_PI2, fx.FUTEX_WAIT_REQUEUE_PI))
_CLOCKS = frozenset((fx.FUTEX_WAIT_BITSET, fx.FUTEX_WAIT_REQUEUE_PI, fx.FUTEX_LOCK_PI2))


def _s32(value: int) -> int:
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


@managed("futex")
def futex(
    task: Task, address: Address, operation: UInt, value: UInt, timeout: ULong, address2: Address, value3: UInt
) -> Result:
    command = operation & ~(fx.FUTEX_PRIVATE_FLAG | fx.FUTEX_CLOCK_REALTIME)
    private = bool(operation & fx.FUTEX_PRIVATE_FLAG)
    wall = bool(operation & fx.FUTEX_CLOCK_REALTIME)
    time = read_timespec(task, timeout) if command in _TIMED and timeout else None
    if wall and command not in _CLOCKS:
        raise KernelError(E.ENOSYS)
    if command in (fx.FUTEX_WAIT, fx.FUTEX_WAIT_BITSET):
        absolute = command == fx.FUTEX_WAIT_BITSET
        bitset = value3 if absolute else fx.FUTEX_BITSET_MATCH_ANY
        if not bitset:
            raise KernelError(E.EINVAL)
        key = futexes.key_of(task, address, private=private)
        deadline = _deadline(task, time, wall=wall, absolute=absolute)
        return futexes.wait(task, key, address, value, bitset, deadline)
    if command in (fx.FUTEX_WAKE, fx.FUTEX_WAKE_BITSET):
        bitset = value3 if command == fx.FUTEX_WAKE_BITSET else fx.FUTEX_BITSET_MATCH_ANY
        return futexes.wake(task, address, _s32(value), private=private, bitset=bitset)
    if command in (fx.FUTEX_REQUEUE, fx.FUTEX_CMP_REQUEUE):
        expected = value3 if command == fx.FUTEX_CMP_REQUEUE else None
        return futexes.requeue(task, address, address2, _s32(value), _s32(timeout), private=private, expected=expected)
    if command == fx.FUTEX_WAKE_OP:
        return futexes.wake_op(task, address, address2, _s32(value), _s32(timeout), value3, private=private)
    raise KernelError(E.ENOSYS)


def _deadline(task: Task, time: int | None, *, wall: bool, absolute: bool) -> int | None:
    """On the monotonic clock."""
    if time is None:
        return None
    now = task.kernel.now()
    if not absolute:
        return now + time
    return time - task.kernel.wall() + now if wall else time


# -- the machine ------------------------------------------------------------------------------------------------------

_ARCH_SET_GS, _ARCH_SET_FS, _ARCH_GET_FS, _ARCH_GET_GS = 0x1001, 0x1002, 0x1003, 0x1004


@managed("arch_prctl")
def arch_prctl(task: Task, code: Int, address: Address) -> Result:
    thread = managed_thread(task)
    if code in (_ARCH_GET_FS, _ARCH_GET_GS):
        base = thread.fs_base if code == _ARCH_GET_FS else thread.gs_base
        task.memory.write(address, base.to_bytes(8, "little"))
        return 0
    if code not in (_ARCH_SET_FS, _ARCH_SET_GS):
        raise KernelError(E.EINVAL)
    if address >= mm.TASK_SIZE:
        raise KernelError(E.EPERM)
    if code == _ARCH_SET_FS:
        thread.fs_base = address
    else:
        thread.gs_base = address
    return 0


@managed("sched_yield")
def sched_yield(task: Task) -> Result:
    return _yield(task)


def _yield(task: Task) -> Blocking:
    yield next_turn(task)
    return 0
