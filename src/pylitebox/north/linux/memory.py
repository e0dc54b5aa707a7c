"""Memory areas: mmap(2) of files, brk(2), msync(2), mincore(2), mlock(2), and the calls that the host kernel runs.

The handlers here are for platforms that delegate memory (native), which run mmap of anonymous memory, munmap, mprotect,
mremap and madvise without asking us. A file is mapped by the platform too (``DelegatedThread.change_memory``); what is
decided here is whether it may be. Where the kernel manages memory, managed.py has the handlers.
RLIMIT_AS and RLIMIT_DATA are the host's business there (limits.py), RLIMIT_MEMLOCK is ours (kernel/memory/locked.py).
"""

from pylitebox.abi import errno as E
from pylitebox.abi import mman as mm
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.fs.vfs import MS_NOEXEC
from pylitebox.kernel.memfd import MemfdFile
from pylitebox.kernel.memory import areas_of, delegated, locked
from pylitebox.kernel.platform import Map
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Blocking, Result
from pylitebox.north.linux.args import Address, Fd, Int, MapFlags, Offset, Prot, Size, UInt
from pylitebox.north.linux.copy import TURN
from pylitebox.north.linux.disk import patiently
from pylitebox.north.linux.files import next_turn
from pylitebox.north.linux.loader import heap_end
from pylitebox.north.linux.lookup import opened
from pylitebox.north.linux.table import Full, Partial, syscall

_ADDRESS_MAX = 1 << 64
#: Flags that MAP_SHARED_VALIDATE accepts for any file; others are EOPNOTSUPP (linux/mman.h: LEGACY_MAP_MASK).
_LEGACY_FLAGS = (
    mm.MAP_TYPE | mm.MAP_FIXED | mm.MAP_ANONYMOUS | mm.MAP_DENYWRITE | mm.MAP_EXECUTABLE | mm.MAP_GROWSDOWN
    | mm.MAP_LOCKED | mm.MAP_NORESERVE | mm.MAP_POPULATE | mm.MAP_NONBLOCK | mm.MAP_STACK | mm.MAP_HUGETLB
    | mm.MAP_FIXED_NOREPLACE | 0x40 | 0xFC000000
)  # fmt: skip


@syscall(
    "mmap",
    x86_64=9,
    aarch64=222,
    support=Partial("MAP_HUGETLB: EINVAL or ENOMEM; MAP_GROWSDOWN and MAP_LOCKED are the host's"),
    native="MAP_ANONYMOUS runs in the host kernel; files are mapped there after our decision",
)
def mmap(task: Task, address: Address, length: Size, prot: Prot, flags: MapFlags, fd: Fd, offset: Offset) -> Result:
    if offset & (mm.PAGE_SIZE - 1):
        raise KernelError(E.EINVAL)
    if flags & mm.MAP_ANONYMOUS:
        raise KernelError(E.ENOSYS)
    file, write = file_to_map(task, address, length, prot, flags, fd, offset)
    lend = fd if flags & mm.MAP_TYPE == mm.MAP_PRIVATE and _lendable(task, file) else None
    return patiently(file, lambda: _map(task, file, (address, length, prot, flags, offset), write=write, lend=lend))


def _lendable(task: Task, file: File) -> bool:
    """Whether every further private mapping of the descriptor would be granted, and of the same bytes: then the
    platform may make them without asking, as a loader maps a library part by part. Only for a process of one thread,
    whose descriptors are nobody else's."""
    location = file.location
    return (
        location is not None
        and not location.mount.flags & MS_NOEXEC
        and location.inode.version() is not None
        and task.files.users == 1
        and len(task.process.tasks) == 1
    )


def file_to_map(
    task: Task, address: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> tuple[File, bool]:
    """The file that mmap(2) names, and whether stores may reach it, now or after mprotect(2); else the call's error."""
    file = opened(task, fd)
    if not length or (flags & (mm.MAP_FIXED | mm.MAP_FIXED_NOREPLACE) and address & (mm.PAGE_SIZE - 1)):
        raise KernelError(E.EINVAL)
    if length > mm.TASK_SIZE:
        raise KernelError(E.ENOMEM)
    if offset < 0 or offset + length >= 1 << 63:
        raise KernelError(E.EOVERFLOW)
    kind = flags & mm.MAP_TYPE
    if kind not in (mm.MAP_SHARED, mm.MAP_PRIVATE, mm.MAP_SHARED_VALIDATE):
        raise KernelError(E.EINVAL)
    if kind == mm.MAP_SHARED_VALIDATE and flags & ~_LEGACY_FLAGS:
        raise KernelError(E.EOPNOTSUPP)
    shared = kind != mm.MAP_PRIVATE
    if not file.readable or (shared and prot & mm.PROT_WRITE and not file.writable):
        raise KernelError(E.EACCES)
    if prot & mm.PROT_EXEC and file.location is not None and file.location.mount.flags & MS_NOEXEC:
        raise KernelError(E.EPERM)
    sealed = isinstance(file, MemfdFile) and file.inode.sealed_against_writing
    if sealed and shared and prot & mm.PROT_WRITE:
        raise KernelError(E.EPERM)
    # a shared mapping of a writable file can be made writable later, without another question to us
    return file, shared and file.writable and not sealed


def _map(
    task: Task, file: File, call: tuple[int, int, int, int, int], *, write: bool, lend: int | None
) -> int | None:
    source = file.map_source()
    try:
        if task.thread is None:
            raise KernelError(E.ENOMEM)
        if file.location is not None:
            task.kernel.mapped_files.note(source.key(), file.location)
        thread = delegated(task)
        result = thread.change_memory(Map(source, *call, write=write, lend=lend))
        if lend is not None:
            task.files.lent = (lend, thread)
        return result
    finally:
        source.close()


@syscall("brk", x86_64=12, aarch64=214, support=Partial("1 GiB at the most"), native="always")
def brk(task: Task, address: Address) -> Result:
    layout = task.process.layout
    end = max(heap_end(task.process.rlimits, layout), task.process.program_break)
    if not layout.brk_start <= address <= end:
        return task.process.program_break
    layout.brk = address
    return address


# -- what the host kernel does ------------------------------------------------------------------------------------


@syscall("munmap", x86_64=11, aarch64=215, support=Full, test="test_memory", native="always")
def munmap(task: Task, address: Address, length: Size) -> Result:
    raise KernelError(E.ENOSYS)


@syscall("mprotect", x86_64=10, aarch64=226, support=Partial("protection keys and PROT_SEM"), native="always")
def mprotect(task: Task, address: Address, length: Size, prot: Prot) -> Result:
    raise KernelError(E.ENOSYS)


@syscall("mremap", x86_64=25, aarch64=216, support=Full, test="test_memory_random", native="always")
def mremap(task: Task, old: Address, old_size: Size, new_size: Size, flags: UInt, new: Address) -> Result:
    raise KernelError(E.ENOSYS)


@syscall(
    "madvise",
    x86_64=28,
    aarch64=233,
    support=Partial("MADV_REMOVE: EOPNOTSUPP, guards and MADV_COLLAPSE: EINVAL (emulator, kvm)"),
    native="always",
)
def madvise(task: Task, address: Address, length: Size, advice: Int) -> Result:
    raise KernelError(E.ENOSYS)


# -- questions about areas ----------------------------------------------------------------------------------------


def _check_mapped(task: Task, start: int, end: int) -> None:
    """ENOMEM unless every page from ``start`` to ``end`` is mapped."""
    if end <= start:
        return
    for area in areas_of(task):
        if area.end <= start:
            continue
        if area.start > start:
            break
        start = area.end
        if start >= end:
            return
    raise KernelError(E.ENOMEM)


def pages(address: int, length: int, error: int) -> tuple[int, int]:
    """The pages that a range touches; ``error`` if it wraps around."""
    start, end = mm.page_down(address), mm.page_up(address + length)
    if end >= _ADDRESS_MAX:
        raise KernelError(error)
    return start, end


@syscall("msync", x86_64=26, aarch64=227, support=Partial("writable host mounts: written back by the host in its time"))
def msync(task: Task, address: Address, length: Size, flags: Int) -> Result:
    if flags & ~(mm.MS_ASYNC | mm.MS_INVALIDATE | mm.MS_SYNC) or address & (mm.PAGE_SIZE - 1):
        raise KernelError(E.EINVAL)
    if flags & mm.MS_ASYNC and flags & mm.MS_SYNC:
        raise KernelError(E.EINVAL)
    _check_mapped(task, *pages(address, length, E.ENOMEM))
    return 0


@syscall("mincore", x86_64=27, aarch64=232, support=Partial("every mapped page is said to be resident"))
def mincore(task: Task, address: Address, length: Size, vector: Address) -> Result:
    if address & (mm.PAGE_SIZE - 1):
        raise KernelError(E.EINVAL)
    if address + length > mm.TASK_SIZE:
        raise KernelError(E.ENOMEM)
    start, end = pages(address, length, E.ENOMEM)
    _check_mapped(task, start, end)
    count = (end - start) // mm.PAGE_SIZE
    if count > TURN:  # 16 GiB: memory that is only reserved may be that large
        return _mincore(task, vector, count)
    task.memory.write(vector, b"\1" * count)
    return 0


def _mincore(task: Task, vector: int, pages: int) -> Blocking:
    while pages:
        step = min(pages, TURN)
        task.memory.write(vector, b"\1" * step)
        vector += step
        pages -= step
        yield next_turn(task)
    return 0


_UNLOCKED = Partial("checked and counted, but nothing is pinned; RLIMIT_MEMLOCK does not see MAP_LOCKED and MCL_FUTURE")


@syscall("mlock", x86_64=149, aarch64=228, support=_UNLOCKED)
def mlock(task: Task, address: Address, length: Size) -> Result:
    locked.mlock(task, *pages(address, length, E.EINVAL))
    return 0


@syscall("mlock2", x86_64=325, aarch64=284, support=_UNLOCKED)
def mlock2(task: Task, address: Address, length: Size, flags: Int) -> Result:
    if flags & ~1:
        raise KernelError(E.EINVAL)
    return mlock(task, address, length)


@syscall("munlock", x86_64=150, aarch64=229, support=_UNLOCKED)
def munlock(task: Task, address: Address, length: Size) -> Result:
    locked.munlock(task, *pages(address, length, E.EINVAL))
    return 0


@syscall("mlockall", x86_64=151, aarch64=230, support=_UNLOCKED)
def mlockall(task: Task, flags: Int) -> Result:
    if not flags or flags & ~(mm.MCL_CURRENT | mm.MCL_FUTURE | mm.MCL_ONFAULT) or flags == mm.MCL_ONFAULT:
        raise KernelError(E.EINVAL)
    locked.mlock_all(task, current=bool(flags & mm.MCL_CURRENT))
    return 0


@syscall("munlockall", x86_64=152, aarch64=231, support=_UNLOCKED)
def munlockall(task: Task) -> Result:
    task.process.layout.locked = []
    return 0
