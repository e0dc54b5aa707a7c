"""How the *at() calls find the file they mean (man 2 open, "The openat() family"; man 7 path_resolution).

Rules, in Linux's order: an empty path is ENOENT before the descriptor is looked at; an absolute path never looks at
it; a descriptor without a place in the file system is ENOTDIR for a relative path. With AT_EMPTY_PATH the descriptor
itself is meant, whatever it stands for.
"""

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_PATH
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.fs.nameless import place_of
from pylitebox.kernel.fs.vfs import Location
from pylitebox.kernel.task import Task


def start(task: Task, dirfd: int, path: bytes) -> Location | None:
    """Where the walk of ``path`` begins; None is the working directory (or the root); EBADF, ENOTDIR."""
    if dirfd == AT_FDCWD or path[:1] == b"/" or not path:
        return None
    location = task.files.get(dirfd).location
    if location is None:
        raise KernelError(E.ENOTDIR)
    return location


def locate(task: Task, dirfd: int, path: bytes, flags: int) -> Location:
    """The file that ``path`` names, by AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH in ``flags``."""
    if path or not flags & AT_EMPTY_PATH:
        at = start(task, dirfd, path)
        return ops.resolve(task, path, at=at, follow=not flags & AT_SYMLINK_NOFOLLOW)
    if dirfd == AT_FDCWD:
        return task.fs.cwd
    return place_of(task.kernel, task.files.get(dirfd))


def opened(task: Task, fd: int) -> File:
    """The file behind a descriptor that was opened for more than its place (not O_PATH); EBADF."""
    file = task.files.get(fd)
    if file.flags & O_PATH:
        raise KernelError(E.EBADF)
    return file
