"""The size of files and their way to the disk: truncate(2), fallocate(2), fsync(2), fadvise64(2) and their like.

Advice is checked and not taken: what is worth caching is cached anyway. Syncing reaches the host for the files of
writable host mounts; memory has nothing to sync.
"""

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi.stat import S_IFIFO, S_IFMT, is_dir, is_reg
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Blocking, Result
from pylitebox.kernel.writing import before_resize
from pylitebox.north.linux.args import Fd, Int, Offset, Path, Size, UInt
from pylitebox.north.linux.copy import TURN
from pylitebox.north.linux.disk import patiently
from pylitebox.north.linux.files import hold, next_turn
from pylitebox.north.linux.lookup import opened
from pylitebox.north.linux.table import Full, Partial, syscall

MAX_OFFSET = (1 << 63) - 1


@syscall("truncate", x86_64=76, aarch64=45, support=Full, test="test_size_limit")
def truncate(task: Task, path: Path, length: Offset) -> Result:
    if length < 0:
        raise KernelError(E.EINVAL)
    location = ops.resolve(task, path)
    try:
        ops.truncate(task, location, length, lambda inode: before_resize(task, inode, length))
    except WouldBlock:
        file = ops.open_location(task, location, fc.O_WRONLY)
        return patiently(file, lambda: _truncate(task, file, length))
    return 0


@syscall("ftruncate", x86_64=77, aarch64=46, support=Full, test="test_size_limit")
def ftruncate(task: Task, fd: Fd, length: Offset) -> Result:
    if length < 0:
        raise KernelError(E.EINVAL)
    file = opened(task, fd)
    if not file.writable or file.can_poll:
        raise KernelError(E.EINVAL)
    return patiently(file, lambda: _truncate(task, file, length))


def _truncate(task: Task, file: File, length: int) -> int:
    if file.inode is not None:
        before_resize(task, file.inode, length, file)
    file.truncate(length)
    return 0


FALLOC_FL_WRITE_ZEROES = 0x80
#: Modes that none of our file systems knows: they share no blocks, and are no block devices.
_NOWHERE = frozenset(
    (
        FALLOC_FL_WRITE_ZEROES,
        fc.FALLOC_FL_UNSHARE_RANGE,
        fc.FALLOC_FL_UNSHARE_RANGE | fc.FALLOC_FL_KEEP_SIZE,
    )
)
_ALLOCATIONS = frozenset(
    (
        0,
        fc.FALLOC_FL_KEEP_SIZE,
        fc.FALLOC_FL_PUNCH_HOLE | fc.FALLOC_FL_KEEP_SIZE,
        fc.FALLOC_FL_ZERO_RANGE,
        fc.FALLOC_FL_ZERO_RANGE | fc.FALLOC_FL_KEEP_SIZE,
        fc.FALLOC_FL_COLLAPSE_RANGE,
        fc.FALLOC_FL_INSERT_RANGE,
        *_NOWHERE,
    )
)
_MOVES = fc.FALLOC_FL_COLLAPSE_RANGE | fc.FALLOC_FL_INSERT_RANGE


@syscall("fallocate", x86_64=285, aarch64=47, support=Full, test="test_fallocate")
def fallocate(task: Task, fd: Fd, mode: Int, offset: Offset, length: Offset) -> Result:
    file = opened(task, fd)
    if offset < 0 or length <= 0:
        raise KernelError(E.EINVAL)
    if mode not in _ALLOCATIONS:
        raise KernelError(E.EOPNOTSUPP)
    if not file.writable:
        raise KernelError(E.EBADF)
    kind = file.stat().mode
    if kind & S_IFMT == S_IFIFO:
        raise KernelError(E.ESPIPE)
    if is_dir(kind):
        raise KernelError(E.EISDIR)
    if not is_reg(kind) or file.inode is None:
        raise KernelError(E.ENODEV)
    if offset + length > MAX_OFFSET:
        raise KernelError(E.EFBIG)
    if mode in _NOWHERE:
        raise KernelError(E.EOPNOTSUPP)
    before_resize(task, file.inode, 0 if mode & (fc.FALLOC_FL_KEEP_SIZE | _MOVES) else offset + length, file)
    if mode & fc.FALLOC_FL_PUNCH_HOLE:
        length = min(length, max(file.inode.size - offset, 1))
    # more than all memory is no space, or a hole without data: done at once
    if not mode & _MOVES and TURN < length <= task.kernel.file_memory.limit:
        return hold(_allocate_in_turns(task, file, mode, offset, length), file)
    return patiently(file, lambda: _allocate(file, mode, offset, length))


def _allocate_in_turns(task: Task, file: File, mode: int, offset: int, length: int) -> Blocking:
    end = offset + length
    while offset < end:
        start, size = offset, min(TURN, end - offset)
        result = patiently(file, lambda start=start, size=size: _allocate(file, mode, start, size))  # type: ignore[misc]
        if not isinstance(result, int) and result is not None:
            yield from result
        offset += size
        yield next_turn(task)
    return 0


def _allocate(file: File, mode: int, offset: int, length: int) -> int:
    file.allocate(mode, offset, length)
    return 0


# -- to the disk --------------------------------------------------------------------------------------------------


@syscall("fsync", x86_64=74, aarch64=82, support=Full, test="test_sync")
def fsync(task: Task, fd: Fd) -> Result:
    opened(task, fd).fsync()
    return 0


@syscall("fdatasync", x86_64=75, aarch64=83, support=Full, test="test_sync")
def fdatasync(task: Task, fd: Fd) -> Result:
    opened(task, fd).fsync()
    return 0


@syscall("sync", x86_64=162, aarch64=81, support=Partial("open files of writable host mounts need fsync(2)"))
def sync(task: Task) -> Result:
    return 0


@syscall("syncfs", x86_64=306, aarch64=267, support=Partial("open files of writable host mounts need fsync(2)"))
def syncfs(task: Task, fd: Fd) -> Result:
    opened(task, fd)
    return 0


@syscall("sync_file_range", x86_64=277, aarch64=84, support=Full, test="test_sync")
def sync_file_range(task: Task, fd: Fd, offset: Offset, count: Offset, flags: UInt) -> Result:
    file = opened(task, fd)
    if flags & ~7 or offset < 0 or count < 0 or offset + count > MAX_OFFSET:
        raise KernelError(E.EINVAL)
    if file.can_poll or file.inode is None:
        raise KernelError(E.ESPIPE)
    if flags:
        file.fsync()
    return 0


# -- advice -------------------------------------------------------------------------------------------------------


@syscall("fadvise64", x86_64=221, aarch64=223, support=Full, test="test_advice")
def fadvise64(task: Task, fd: Fd, offset: Offset, length: Offset, advice: Int) -> Result:
    file = opened(task, fd)
    if file.stat().mode & S_IFMT == S_IFIFO:
        raise KernelError(E.ESPIPE)
    if length < 0 or not 0 <= advice <= 5:
        raise KernelError(E.EINVAL)
    return 0


@syscall("readahead", x86_64=187, aarch64=213, support=Full, test="test_advice")
def readahead(task: Task, fd: Fd, offset: Offset, count: Size) -> Result:
    file = task.files.get(fd)
    if not file.readable:
        raise KernelError(E.EBADF)
    if not is_reg(file.stat().mode):
        raise KernelError(E.EINVAL)
    return 0
