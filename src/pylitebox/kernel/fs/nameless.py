"""The inodes of files that have no name: pipes, sockets, streams, and the one that eventfd(2), epoll(7) and their like
share. Most never need one, so it is made when an attribute is changed or a lock is set (File.make_inode).

They live on a hidden file system of their own, whose mount is nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.stat import S_IFDIR, S_IFMT
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.vfs import Dentry, FileSystem, Inode, Location, Mount, Stat

if TYPE_CHECKING:
    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.kernel import Kernel


class NamelessInode(Inode):
    """An inode that begins with the facts of ``stat``."""

    nameless = True

    def __init__(self, filesystem: FileSystem, stat: Stat) -> None:
        super().__init__(filesystem, stat.ino, stat.mode, stat.uid, stat.gid)
        self.rdev = stat.rdev
        self._stat = stat

    def stat(self) -> Stat:
        return self._stat

    def setattr(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        old = self._stat
        if mode is not None:
            self.mode = old.mode & S_IFMT | mode
        self.uid = old.uid if uid is None else uid
        self.gid = old.gid if gid is None else gid
        self._stat = Stat(
            old.dev,
            old.ino,
            self.mode,
            old.nlink,
            self.uid,
            self.gid,
            old.rdev,
            old.size,
            old.blksize,
            old.blocks,
            old.atime_ns if atime_ns is None else atime_ns,
            old.mtime_ns if mtime_ns is None else mtime_ns,
            self.filesystem.kernel.wall(),
            old.btime_ns,
        )


class AnonymousInode(NamelessInode):
    """The kernel's anonymous inode: no attribute of it can be changed (fs/anon_inodes.c), but it can be locked."""

    refusal = E.EOPNOTSUPP

    def setattr(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        raise KernelError(E.EOPNOTSUPP)


class NamelessFs(FileSystem):
    name = "none"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.root = Inode(self, 1, S_IFDIR)
        self.mount = Mount(self, 0, 0, None)
        self.anonymous: AnonymousInode | None = None


def nameless_fs(kernel: Kernel) -> NamelessFs:
    """The one of this kernel."""
    if kernel.nameless is None:
        kernel.nameless = NamelessFs(kernel)
    return kernel.nameless


def make_inode(kernel: Kernel, file: File) -> NamelessInode:
    """An inode for a pipe, socket or stream, with the facts that it shows now."""
    return NamelessInode(nameless_fs(kernel), file.stat())


def anonymous_inode(kernel: Kernel, file: File) -> NamelessInode:
    """The inode that all anonymous files share."""
    fs = nameless_fs(kernel)
    if fs.anonymous is None:
        fs.anonymous = AnonymousInode(fs, file.stat())
    return fs.anonymous


def place_of(kernel: Kernel, file: File) -> Location:
    """Where an open file is; a file without a name is somewhere that no path leads to."""
    if file.location is not None:
        return file.location
    inode = file.make_inode(kernel)
    return Location(nameless_fs(kernel).mount, Dentry(b"", None, inode))
