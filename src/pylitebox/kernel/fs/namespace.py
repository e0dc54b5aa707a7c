"""The mount tree of a sandbox, and what a process sees of it (root, working directory, umask).

There is one mount tree for all processes; mounts are made by the supervisor before a guest runs, not by guests.
Missing: unmounting, moving and remounting (mount(2) and umount2(2) are refused).
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.stat import S_IFDIR, S_IFMT
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import operations
from pylitebox.kernel.fs.vfs import Location, Mount

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import FileSystem
    from pylitebox.kernel.kernel import Kernel


class FsContext:
    """What clone(2) shares with CLONE_FS. ``users`` counts the tasks that share it."""

    __slots__ = ("cwd", "root", "umask", "users")

    def __init__(self, root: Location, cwd: Location | None = None, umask: int = 0o022) -> None:
        self.root = root
        self.cwd = cwd or root
        self.umask = umask
        self.users = 1

    def copy(self) -> FsContext:
        """The context of a forked child."""
        return FsContext(self.root, self.cwd, self.umask)


class Root:
    """The kernel's own view: everything, as root. It can stand wherever an operation asks for a ``who``."""

    __slots__ = ("cred", "fs", "kernel")

    def __init__(self, kernel: Kernel, root: Location, cred: Credentials | None = None) -> None:
        self.kernel = kernel
        self.fs = FsContext(root)
        self.cred = cred or Credentials()


class Namespace:
    """The mount tree. ``mounts`` is in the order of mounting, the root mount first."""

    def __init__(self, kernel: Kernel, filesystem: FileSystem, flags: int = 0) -> None:
        """``filesystem`` becomes the root of the tree; ``flags`` are MS_*."""
        self._idents = count(21)
        self.kernel = kernel
        self.mounts: list[Mount] = [Mount(filesystem, flags, next(self._idents), None)]
        #: The view from which the supervisor works on the tree.
        self.view = Root(kernel, self.root)

    @property
    def root(self) -> Location:
        return Location(self.mounts[0], self.mounts[0].root).top()

    def context(self, cwd: bytes = b"/") -> FsContext:
        """A new process's view, in the directory ``cwd``; KernelError as for chdir(2)."""
        place = operations.resolve(self.view, cwd, directory=True)
        return FsContext(self.root, place)

    def mount(self, filesystem: FileSystem, path: bytes, flags: int = 0) -> Mount:
        """Mount on the directory ``path``, which is made (with its parents) where it is missing."""
        place = self.make_directories(path)
        mount = Mount(filesystem, flags, next(self._idents), place)
        dentry = place.dentry
        if dentry.mounts is None:
            dentry.mounts = {}
        dentry.mounts[place.mount] = mount
        self.mounts.append(mount)
        return mount

    def make_directories(self, path: bytes, mode: int = 0o755) -> Location:
        """The directory ``path``, made with its parents where it is missing; KernelError(ENOTDIR, EROFS, ...)."""
        place = self.root
        for name in path.split(b"/"):
            if not name or name == b".":
                continue
            try:
                place = operations.resolve(self.view, name, at=place)
            except KernelError as error:
                if error.errno != E.ENOENT:
                    raise
                operations.want_write(place)
                inode = place.inode.mkdir(name, mode, self.view.cred)
                place = Location(place.mount, place.dentry.add(name, inode))
            if place.inode.mode & S_IFMT != S_IFDIR:
                raise KernelError(E.ENOTDIR)
        return place
