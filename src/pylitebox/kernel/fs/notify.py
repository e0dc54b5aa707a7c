"""What happens to files, told to those who watch them (kernel/inotify.py). Operations on files report here.

Rules
- An operation looks at :data:`watched` first, and comes here only if anything at all is watched: what nobody watches
  costs one look at an empty set.
- A watch on a directory is told what happens to its entries, by name; one on a file is told what happens to the file
  by whatever name. Each function names the events that it makes; their order is Linux's.
- Once the last name of a file is gone, its watch no longer keeps it: it is deleted (IN_DELETE_SELF) when nobody has it
  open, mapped, or as a working directory, which is when the inode itself goes.
- Reading and writing is told of regular files only: of FIFOs Linux 6.18 doesn't either.
Missing: IN_UNMOUNT, since nothing is ever unmounted; changes that the host makes to its files; reading and writing of
devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.fcntl import O_PATH
from pylitebox.abi.inotify import (
    IN_ATTRIB,
    IN_CLOSE_NOWRITE,
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE,
    IN_ISDIR,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
)
from pylitebox.abi.stat import S_IFDIR, S_IFMT

if TYPE_CHECKING:
    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.fs.vfs import Dentry, Inode

#: The identities of all watches there are, of all kernels in this process.
watched: set[int] = set()

_last_cookie = 0


def _is_dir(inode: Inode) -> int:
    return IN_ISDIR if inode.mode & S_IFMT == S_IFDIR else 0


def on_inode(inode: Inode, mask: int) -> None:
    """Something happened to a file, by no name in particular."""
    if inode.watches:
        for watch in tuple(inode.watches.values()):
            watch.tell(mask)


def in_directory(directory: Inode, mask: int, name: bytes, cookie: int = 0) -> None:
    """Something happened to an entry of a directory."""
    if directory.watches:
        for watch in tuple(directory.watches.values()):
            watch.tell(mask, name, cookie)


def on_dentry(dentry: Dentry, mask: int) -> None:
    """Something happened to a file by this name: the directory's watches come first."""
    mask |= _is_dir(dentry.inode)
    parent = dentry.parent
    if parent is not None and parent.inode.watches:
        for watch in tuple(parent.inode.watches.values()):
            if not (dentry.deleted and watch.excludes_unlinked):
                watch.tell(mask, dentry.name)
    on_inode(dentry.inode, mask)


def on_file(file: File, mask: int) -> None:
    """Something happened through an open file."""
    if file.location is not None:
        on_dentry(file.location.dentry, mask)


def closed(file: File) -> None:
    """IN_CLOSE_*: the last descriptor of an open file is gone."""
    if not file.flags & O_PATH:
        on_file(file, IN_CLOSE_WRITE if file.writable else IN_CLOSE_NOWRITE)


def created(directory: Inode, name: bytes, inode: Inode) -> None:
    """IN_CREATE: a file was made."""
    in_directory(directory, IN_CREATE | _is_dir(inode), name)


def unlinked(inode: Inode) -> int:
    """IN_ATTRIB: a file lost a name. The caller lets go of it, so that IN_DELETE_SELF may come, and then goes on to
    :func:`deleted` with the value given back here."""
    is_dir = _is_dir(inode)
    if inode.watches:
        if not is_dir:
            on_inode(inode, IN_ATTRIB)
        if not inode.nlink and inode.watches:
            for watch in inode.watches.values():
                watch.unpin()
    return is_dir


def deleted(directory: Inode, name: bytes, is_dir: int) -> None:
    """IN_DELETE: a name is gone."""
    in_directory(directory, IN_DELETE | is_dir, name)


def moved(
    old_dir: Inode, old_name: bytes, new_dir: Inode, new_name: bytes, source: Inode, target: Inode | None
) -> None:
    """IN_MOVED_FROM, IN_MOVED_TO with the same cookie, then the fate of what was replaced, IN_MOVE_SELF."""
    global _last_cookie  # noqa: PLW0603 - a counter
    _last_cookie = (_last_cookie & 0x7FFFFFFF) + 1
    is_dir = _is_dir(source)
    in_directory(old_dir, IN_MOVED_FROM | is_dir, old_name, _last_cookie)
    in_directory(new_dir, IN_MOVED_TO | is_dir, new_name, _last_cookie)
    if target is not None:
        unlinked(target)
    on_inode(source, IN_MOVE_SELF)
