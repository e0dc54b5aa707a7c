"""fcntl(2)'s advisory record locks: F_SETLK, F_SETLKW, F_GETLK and the F_OFD_ forms (struct flock; kernel/locks.py)."""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.kernel import locks
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result

#: struct flock, 64 bit: type, whence, start, len, pid.
FLOCK = struct.Struct("<hh4xqqi4x")
MAX_OFFSET = (1 << 63) - 1
_OFD = frozenset((fc.F_OFD_GETLK, fc.F_OFD_SETLK, fc.F_OFD_SETLKW))


def record_lock(task: Task, file: File, command: int, address: int) -> Result:
    """One lock command with its struct flock at ``address``."""
    kind, whence, start, length, pid = FLOCK.unpack(task.memory.read(address, FLOCK.size))
    ofd = command in _OFD
    query = command in (fc.F_GETLK, fc.F_OFD_GETLK)
    if kind not in (fc.F_RDLCK, fc.F_WRLCK) and (command == fc.F_GETLK or kind != fc.F_UNLCK):
        raise KernelError(E.EINVAL)
    first, last = _range(file, whence, start, length)
    if ofd and pid:
        raise KernelError(E.EINVAL)
    if not query and (
        (kind == fc.F_RDLCK and not file.readable) or (kind == fc.F_WRLCK and not file.writable)
    ):
        raise KernelError(E.EBADF)
    file.make_inode(task.kernel)
    owner = file if ofd else task.files
    lock = locks.Record(owner, kind, first, last, -1 if ofd else task.process.pid)
    if not query:
        return locks.set_record(file, lock, wait=command in (fc.F_SETLKW, fc.F_OFD_SETLKW))
    other = locks.conflict(file, lock)
    if other is None:
        result = FLOCK.pack(fc.F_UNLCK, whence, start, length, pid)
    else:
        size = 0 if other.last == MAX_OFFSET else other.last - other.first + 1
        result = FLOCK.pack(other.kind, fc.SEEK_SET, other.first, size, other.pid)
    task.memory.write(address, result)
    return 0


def _range(file: File, whence: int, start: int, length: int) -> tuple[int, int]:
    """The first and last byte meant by a struct flock (linux/fs/locks.c: flock64_to_posix_lock)."""
    if whence == fc.SEEK_CUR:
        start += file.position
    elif whence == fc.SEEK_END:
        start += file.stat().size
    elif whence != fc.SEEK_SET:
        raise KernelError(E.EINVAL)
    if start > MAX_OFFSET:
        raise KernelError(E.EOVERFLOW)
    if start < 0:
        raise KernelError(E.EINVAL)
    if length > 0:
        if start + length - 1 > MAX_OFFSET:
            raise KernelError(E.EOVERFLOW)
        return start, start + length - 1
    if length < 0:
        if start + length < 0:
            raise KernelError(E.EINVAL)
        return start + length, start - 1
    return start, MAX_OFFSET
