"""RLIMIT_FSIZE (man 2 getrlimit): how far a process may write regular files.

Every call that writes to or grows a file asks here first, as Linux does in one place per kind (mm/filemap.c,
generic_write_check_limits; fs/attr.c, inode_newsize_ok). What begins below the limit is cut at it; what begins at or
behind it is EFBIG, with SIGXFSZ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_APPEND
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_FSIZE
from pylitebox.abi.signal import SI_USER, SIGXFSZ
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.opened import RegularFile
from pylitebox.kernel.signals import SigInfo, post_task

if TYPE_CHECKING:
    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.fs.vfs import Inode
    from pylitebox.kernel.task import Task


def exceeded(task: Task) -> None:
    """Tell a process that it has reached its limit."""
    post_task(task, SigInfo(SIGXFSZ, SI_USER, pid=task.process.pid, uid=task.cred.uid))


def _refuse(task: Task) -> NoReturn:
    exceeded(task)
    raise KernelError(E.EFBIG)


def room(task: Task, file: File, offset: int | None, count: int) -> int:
    """How much of ``count`` bytes may be written at ``offset`` (None: the file's position); EFBIG."""
    limit = task.process.rlimits[RLIMIT_FSIZE][0]
    if limit == RLIM_INFINITY or not count or not isinstance(file, RegularFile):
        return count
    if file.flags & O_APPEND:
        offset = file.inode.size
    elif offset is None:
        offset = file.position
    if offset >= limit:
        _refuse(task)
    return min(count, limit - offset)


def check_growth(task: Task, inode: Inode, size: int) -> None:
    """EFBIG if a file of less than ``size`` bytes may not get as long as that."""
    if size > task.process.rlimits[RLIMIT_FSIZE][0] and size > inode.size:
        _refuse(task)
