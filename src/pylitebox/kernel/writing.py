"""What comes before every change of a regular file's content: RLIMIT_FSIZE (man 2 getrlimit), and the loss of the
privileges that the file gives (fs/privileges.py).

Every call that writes to or resizes a file asks here first, as Linux does in one place per kind (mm/filemap.c,
generic_write_checks; fs/attr.c, inode_newsize_ok). What begins below the limit is cut at it; what begins at or
behind it is EFBIG, with SIGXFSZ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_APPEND
from pylitebox.abi.inotify import IN_ATTRIB
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_FSIZE
from pylitebox.abi.signal import SI_USER, SIGXFSZ
from pylitebox.abi.stat import S_ISGID, S_ISUID
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.notify import on_file, watched
from pylitebox.kernel.fs.opened import RegularFile
from pylitebox.kernel.fs.privileges import drop_privileges
from pylitebox.kernel.signals import SigInfo, post_task

if TYPE_CHECKING:
    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.fs.vfs import Inode
    from pylitebox.kernel.task import Task

SET_IDS = S_ISUID | S_ISGID


def exceeded(task: Task) -> None:
    """Tell a process that it has reached its limit."""
    post_task(task, SigInfo(SIGXFSZ, SI_USER, pid=task.process.pid, uid=task.cred.uid))


def _refuse(task: Task) -> NoReturn:
    exceeded(task)
    raise KernelError(E.EFBIG)


def before_write(task: Task, file: File, offset: int | None, count: int) -> int:
    """How much of ``count`` bytes may be written at ``offset`` (None: the file's position); EFBIG."""
    if not count or not isinstance(file, RegularFile):
        return count
    inode = file.inode
    limit = task.process.rlimits[RLIMIT_FSIZE][0]
    if limit != RLIM_INFINITY:
        if file.flags & O_APPEND:
            offset = inode.size
        elif offset is None:
            offset = file.position
        count = below_limit(task, offset, count)
    if inode.mode & SET_IDS or inode.gives_capabilities:
        _drop(task, file)
    return count


def below_limit(task: Task, offset: int, count: int) -> int:
    """How much of ``count`` bytes, which may be none, lies below RLIMIT_FSIZE; EFBIG if ``offset`` doesn't."""
    limit = task.process.rlimits[RLIMIT_FSIZE][0]
    if offset >= limit:
        _refuse(task)
    return min(count, limit - offset)


def before_resize(task: Task, inode: Inode, size: int, file: File | None = None) -> None:
    """Before a file's end is moved: EFBIG if it may not get as long as ``size``."""
    if size > task.process.rlimits[RLIMIT_FSIZE][0] and size > inode.size:
        _refuse(task)
    if file is not None:
        _drop(task, file)
    else:
        drop_privileges(task.cred, inode)


def _drop(task: Task, file: File) -> None:
    if file.inode is not None and drop_privileges(task.cred, file.inode) and watched:
        on_file(file, IN_ATTRIB)
