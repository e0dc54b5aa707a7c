"""open(2), openat(2), openat2(2), creat(2).

What the flags mean is in kernel/fs/operations.py; here they are checked as Linux checks registers, and a FIFO's open
waits for its partner. The descriptor is counted before the file is looked for, so EMFILE makes no file.
"""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.pipe import FifoFile
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Blocking, Result
from pylitebox.north.linux.args import Address, DirFd, Mode, OpenFlags, Path, Size
from pylitebox.north.linux.lookup import start
from pylitebox.north.linux.table import Full, syscall

#: Every flag that open(2) knows; the rest is ignored by open and openat, and EINVAL for openat2.
VALID_OPEN_FLAGS = (
    fc.O_ACCMODE | fc.O_CREAT | fc.O_EXCL | fc.O_NOCTTY | fc.O_TRUNC | fc.O_APPEND | fc.O_NONBLOCK | fc.O_SYNC
    | fc.FASYNC | fc.O_DIRECT | fc.O_LARGEFILE | fc.O_DIRECTORY | fc.O_NOFOLLOW | fc.O_NOATIME | fc.O_CLOEXEC
    | fc.O_PATH | fc.O_TMPFILE
)  # fmt: skip
#: What goes with O_PATH; open(2) ignores other flags beside it.
O_PATH_FLAGS = fc.O_DIRECTORY | fc.O_NOFOLLOW | fc.O_PATH | fc.O_CLOEXEC
_TMPFILE = fc.O_TMPFILE & ~fc.O_DIRECTORY
_RESOLVE_FLAGS = 0x3F
_FROM_DIRECTORY = fc.RESOLVE_BENEATH | fc.RESOLVE_IN_ROOT

#: struct open_how (linux/openat2.h): flags, mode, resolve.
OPEN_HOW = struct.Struct("<QQQ")


@syscall("openat", x86_64=257, aarch64=56, support=Full, test="test_open")
def openat(task: Task, dirfd: DirFd, path: Path, flags: OpenFlags, mode: Mode) -> Result:
    return _open(task, dirfd, path, flags & VALID_OPEN_FLAGS, mode, 0)


@syscall("open", x86_64=2, aarch64=None, support=Full, test="test_open")
def open_(task: Task, path: Path, flags: OpenFlags, mode: Mode) -> Result:
    return openat(task, fc.AT_FDCWD, path, flags, mode)


@syscall("creat", x86_64=85, aarch64=None, support=Full, test="test_open")
def creat(task: Task, path: Path, mode: Mode) -> Result:
    return openat(task, fc.AT_FDCWD, path, fc.O_CREAT | fc.O_WRONLY | fc.O_TRUNC, mode)


@syscall("openat2", x86_64=437, aarch64=437, support=Full, test="test_openat2")
def openat2(task: Task, dirfd: DirFd, path: Path, how: Address, size: Size) -> Result:
    if size < OPEN_HOW.size:
        raise KernelError(E.EINVAL)
    if size > 4096:
        raise KernelError(E.E2BIG)
    raw = task.memory.read(how, size)
    if raw[OPEN_HOW.size :].strip(b"\0"):
        raise KernelError(E.E2BIG)
    flags, mode, resolve = OPEN_HOW.unpack_from(raw)
    if flags & ~VALID_OPEN_FLAGS or resolve & ~_RESOLVE_FLAGS:
        raise KernelError(E.EINVAL)
    if resolve & fc.RESOLVE_BENEATH and resolve & fc.RESOLVE_IN_ROOT:
        raise KernelError(E.EINVAL)
    creates = flags & fc.O_CREAT or flags & _TMPFILE
    if mode & ~0o7777 or (mode and not creates):
        raise KernelError(E.EINVAL)
    if flags & fc.O_PATH and flags & ~O_PATH_FLAGS:
        raise KernelError(E.EINVAL)
    if resolve & fc.RESOLVE_CACHED and flags & (fc.O_CREAT | fc.O_TRUNC | _TMPFILE):
        raise KernelError(E.EAGAIN)  # a walk never sleeps, but these may
    return _open(task, dirfd, path, flags, mode, resolve)


def _open(task: Task, dirfd: int, path: bytes, flags: int, mode: int, resolve: int) -> Result:
    ops.check_flags(flags)
    if not path:
        raise KernelError(E.ENOENT)
    task.files.free()  # EMFILE
    at = None
    if dirfd != fc.AT_FDCWD:
        # RESOLVE_BENEATH and RESOLVE_IN_ROOT take absolute paths from the descriptor too
        at = start(task, dirfd, (path.lstrip(b"/") or b".") if resolve & _FROM_DIRECTORY else path)
    file = ops.open(task, path, flags, mode, at=at, resolve_flags=resolve)
    if isinstance(file, FifoFile) and not file.connected:
        return _open_fifo(task, file, cloexec=bool(flags & fc.O_CLOEXEC))
    return install(task, file, cloexec=bool(flags & fc.O_CLOEXEC))


def _open_fifo(task: Task, file: FifoFile, *, cloexec: bool) -> Blocking:
    yield from file.wait_open()
    return install(task, file, cloexec=cloexec)


def install(task: Task, file: File, *, cloexec: bool) -> int:
    """A descriptor for a file just opened, which is released if there is none left."""
    try:
        return task.files.install(file, cloexec=cloexec)
    except KernelError:
        file.references += 1
        file.put()
        raise
