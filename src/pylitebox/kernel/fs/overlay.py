"""A writable, in-memory layer over a read-only file system.

Unlike Linux's overlayfs there is no upper file system: the overlay is an in-memory file system (tmpfs.py) whose
inodes may have a *lower* file behind them, from which they take over what was not changed yet:

- attributes are the lower file's until one is set (:meth:`own`);
- data is the lower file's until the first write, which copies the chunk it falls into (content.py), so an open for
  writing costs nothing and a file that was open before sees what is written;
- a directory holds its own entries, the names of lower entries that are gone (*whiteouts*), and looks up the rest
  in the lower directory; a new directory has no lower one, so it hides whatever was there before.

So files and directories keep their identity and inode number, hard links stay links, and directories of the lower
layer are renamed like any other. What was changed is kept (*pinned*) in its directory's own entries; so the layer
wins over later changes of the lower file system. A mapping made before a file's first write keeps showing the lower
file, as on overlayfs. Each entry and each whiteout counts as one of the file system's entries.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pylitebox.abi import errno as E
from pylitebox.abi.stat import OVERLAYFS_SUPER_MAGIC, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, dtype
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.content import Content
from pylitebox.kernel.fs.tmpfs import MAX_ENTRIES, Attributes, MemoryDirectory, MemoryFile, MemoryInode, TmpFs
from pylitebox.kernel.fs.vfs import Inode, Stat

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.vfs import FileSystem
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import MapSource
    from pylitebox.kernel.wait import WaitQueue

#: Inode numbers of files that have no lower file start here: above what host file systems use.
FIRST_INO = 1 << 48


class LayeredInode(MemoryInode):
    """What all inodes that may have a lower file share. A ``lower`` of None is a file of this layer alone."""

    filesystem: OverlayFs
    lower: Inode | None = None
    owned = True  # the attributes are this inode's own
    pinned = True  # it is among its directory's own entries
    _above: OverlayDirectory | None = None  # where it was found last
    _name = b""
    _lower_stat: Stat | None = None
    _stat: Stat | None = None

    def stand_on(self, lower: Inode) -> None:
        """Take over from a lower file; only right after the inode was made."""
        self.lower = lower
        self.owned = self.pinned = False
        self.ino = lower.ino
        self.rdev = lower.rdev
        self.sync_lower()

    def sync_lower(self) -> None:
        """Take over the attributes that every path walk reads."""
        lower = self.lower
        assert lower is not None
        self.mode, self.uid, self.gid = lower.mode, lower.uid, lower.gid

    def place(self, directory: OverlayDirectory, name: bytes) -> None:
        self._above = directory
        self._name = name

    def pin(self) -> None:
        """Keep this inode, and the way to it, in this layer."""
        if self.pinned:
            return
        directory = self._above
        assert directory is not None
        directory.pin()
        if self._name not in directory.entries:
            self.filesystem.slots.take(1)
            directory.entries[self._name] = self
        self.pinned = True

    def own(self) -> None:
        if self.owned:
            return
        assert self.lower is not None
        self.pin()
        stat = self.lower.stat()
        self.atime_ns, self.mtime_ns, self.ctime_ns = stat.atime_ns, stat.mtime_ns, stat.ctime_ns
        self.btime_ns = stat.btime_ns
        self.links = max(stat.nlink, 1)
        self.owned = True
        self._stat = None
        if self.links > 1 and not isinstance(self, MemoryDirectory):
            self.filesystem.linked.add(self)  # its other names lead here by way of the lower file

    def stat(self) -> Stat:
        if self.owned:
            return super().stat()
        assert self.lower is not None
        lower = self.lower.stat()
        if lower is not self._lower_stat or self._stat is None:
            self._lower_stat = lower
            self._stat = Stat(
                self.filesystem.dev,
                self.ino,
                lower.mode,
                lower.nlink,
                lower.uid,
                lower.gid,
                lower.rdev,
                lower.size,
                lower.blksize,
                lower.blocks,
                lower.atime_ns,
                lower.mtime_ns,
                lower.ctime_ns,
                lower.btime_ns,
            )
        return self._stat

    @property
    def nlink(self) -> int:
        return self.links if self.owned or self.lower is None else self.lower.nlink

    def accessed(self) -> None:
        if self.owned:
            super().accessed()

    def readable_by_policy(self) -> bool:
        return self.lower is None or self.lower.readable_by_policy()

    # -- extended attributes: the lower file's until one is changed -------------------------------------------

    def _lower_xattrs(self) -> list[bytes]:
        """The names of those that are still the lower file's."""
        if self.lower is None or self._xattrs is not None:
            return []
        return self.lower.list_xattr()

    def get_xattr(self, name: bytes) -> bytes:
        if name in self._lower_xattrs():
            assert self.lower is not None
            return self.lower.get_xattr(name)
        return super().get_xattr(name)

    def list_xattr(self) -> list[bytes]:
        return self._lower_xattrs() or super().list_xattr()

    def set_xattr(self, name: bytes, value: bytes, flags: int) -> None:
        self._take_xattrs()
        super().set_xattr(name, value, flags)

    def remove_xattr(self, name: bytes) -> None:
        self._take_xattrs()
        super().remove_xattr(name)

    def _take_xattrs(self) -> None:
        names = self._lower_xattrs()
        if names and self.lower is not None:
            xattrs = Attributes(self.filesystem.space)
            for name in names:
                xattrs.put(name, self.lower.get_xattr(name))
            self._xattrs = xattrs

    def readlink(self) -> bytes:
        if self.lower is None:
            raise KernelError(E.EINVAL)
        return self.lower.readlink()

    @property
    def size(self) -> int:
        return self.lower.size if self.lower is not None else 0


class OverlayFile(LayeredInode, MemoryFile):
    """A regular file. ``content`` is of use once ``copied`` is true: from then on it is where the bytes are."""

    copied = True
    _lower_opens = 0

    def stand_on(self, lower: Inode) -> None:
        super().stand_on(lower)
        self.copied = False

    @property
    def size(self) -> int:
        if self.copied or self.lower is None:
            return self.content.size
        return self.lower.size

    @property
    def blocks(self) -> int:
        if self.copied or self.lower is None:
            return self.content.blocks
        return self.lower.stat().blocks

    def readable_by_policy(self) -> bool:
        return self.copied or self.lower is None or self.lower.readable_by_policy()

    def version(self) -> object:
        return None if self.copied or self.lower is None else self.lower.version()

    def acquire(self, *, write: bool) -> None:
        if not self.copied and self.lower is not None:
            self.lower.acquire(write=False)
            self._lower_opens += 1

    def release(self) -> None:
        if self._lower_opens and self.lower is not None:
            self._lower_opens -= 1
            self.lower.release()

    def copy_up(self, *, empty: bool = False) -> None:
        """Let this layer hold the bytes from now on; ``empty`` if none of the lower file's are wanted."""
        if self.copied:
            return
        self.own()
        if not empty:
            assert self.lower is not None
            self.content = Content(self.filesystem.space, self.lower, self.lower.size)
        self.copied = True

    def read_at(self, size: int, offset: int) -> bytes:
        if self.copied or self.lower is None:
            return super().read_at(size, offset)
        return self.lower.read_at(size, offset)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        self.copy_up()
        return super().write_at(data, offset)

    def truncate(self, size: int) -> None:
        self.copy_up(empty=size == 0)
        super().truncate(size)

    def allocate(self, mode: int, offset: int, size: int) -> None:
        self.copy_up()
        super().allocate(mode, offset, size)

    def seek_data(self, offset: int, *, hole: bool) -> int:
        if self.copied or self.lower is None:
            return super().seek_data(offset, hole=hole)
        return self.lower.seek_data(offset, hole=hole)

    def map_source(self, *, write: bool) -> MapSource:
        if write:
            self.copy_up()
        if self.copied or self.lower is None:
            return super().map_source(write=write)
        return self.lower.map_source(write=False)

    @property
    def ready(self) -> WaitQueue | None:
        return self.lower.ready if self.lower is not None else None


class OverlayNode(LayeredInode):
    """A symbolic link or special file of the lower layer."""


class OverlayDirectory(LayeredInode, MemoryDirectory):
    filesystem: OverlayFs

    def __init__(self, filesystem: OverlayFs, mode: int, uid: int, gid: int) -> None:
        super().__init__(filesystem, mode, uid, gid)
        self.whiteouts: set[bytes] = set()

    def own(self) -> None:
        super().own()
        self.links = max(self.links, 2)

    @property
    def size(self) -> int:
        return self.lower.size if self.lower is not None else super().size

    def lookup(self, name: bytes) -> Inode:
        inode = self.entries.get(name)
        if inode is not None:
            return inode
        if self.lower is None or self.removed or name in self.whiteouts:
            raise KernelError(E.ENOENT)
        return self.filesystem.node(self.lower.lookup(name), self, name)

    def readdir(self) -> list[tuple[bytes, int, int]]:
        result = []
        entries = self.entries
        if self.lower is not None and not self.removed:
            whiteouts = self.whiteouts
            result = [item for item in self.lower.readdir() if item[0] not in entries and item[0] not in whiteouts]
        self.accessed()
        result += [(name, inode.ino, dtype(inode.mode)) for name, inode in entries.items()]
        return result

    @property
    def empty(self) -> bool:
        if self.entries:
            return False
        return self.lower is None or all(name in self.whiteouts for name, _, _ in self.lower.readdir())

    def insert(self, name: bytes, inode: Inode) -> None:
        super().insert(name, inode)
        assert isinstance(inode, MemoryInode)
        if isinstance(inode, LayeredInode):
            inode.pinned = True
            inode.place(self, name)

    def remove(self, name: bytes) -> None:
        if self.lower is not None and name not in self.whiteouts:
            try:
                self.lower.lookup(name)
            except KernelError as error:
                if error.errno != E.ENOENT:
                    raise
            else:
                self.filesystem.slots.take(1)
                self.whiteouts.add(name)
        super().remove(name)

    def _hold(self, name: bytes) -> Inode:
        """Make an entry of the lower directory one of this directory's own: it is about to move or go."""
        inode = self.lookup(name)
        if name not in self.entries:
            self.pin()
            self.filesystem.slots.take(1)
            self.entries[name] = inode
            if isinstance(inode, LayeredInode):
                inode.pinned = True
        return inode

    def unlink(self, name: bytes) -> None:
        inode = self._hold(name)
        super().unlink(name)
        if isinstance(inode, LayeredInode):
            inode._above = None
            if not inode.links:
                self.filesystem.linked.discard(inode)

    def rmdir(self, name: bytes) -> None:
        inode = self._hold(name)
        super().rmdir(name)
        if isinstance(inode, LayeredInode):
            inode._above = None

    def rename(self, name: bytes, newdir: Inode, newname: bytes, flags: int, cred: Credentials) -> None:
        assert isinstance(newdir, OverlayDirectory)
        self._hold(name)
        if newdir.find(newname) is not None:
            newdir._hold(newname)
        super().rename(name, newdir, newname, flags, cred)


class OverlayFs(TmpFs):
    """``lower`` is the read-only file system beneath; ``size`` bounds the bytes of what is written above it."""

    name = "overlay"
    magic = OVERLAYFS_SUPER_MAGIC

    def __init__(
        self,
        kernel: Kernel,
        lower: FileSystem,
        *,
        size: int | None = None,
        entries: int = MAX_ENTRIES,
        source: str = "overlay",
    ) -> None:
        self.lower = lower
        self.cache_ns = lower.cache_ns
        #: Inodes by the identity of their lower file, which each of them keeps alive.
        self.nodes: WeakValueDictionary[int, LayeredInode] = WeakValueDictionary()
        #: Changed files that may have further names in the lower layer.
        self.linked: set[LayeredInode] = set()
        super().__init__(kernel, size=size, entries=entries, source=source)
        self._inos = count(FIRST_INO)

    def new_root(self, mode: int, uid: int, gid: int) -> Inode:
        root = self.new_directory(mode, uid, gid)
        root.stand_on(self.lower.root)
        root.pinned = True
        return root

    def new_directory(self, mode: int, uid: int, gid: int) -> OverlayDirectory:
        return OverlayDirectory(self, mode, uid, gid)

    def new_file(self, mode: int, uid: int, gid: int) -> MemoryFile:
        return OverlayFile(self, mode, uid, gid)

    def node(self, lower: Inode, directory: OverlayDirectory, name: bytes) -> Inode:
        """The inode that stands on a lower file, found as ``name`` in ``directory``."""
        inode = self.nodes.get(id(lower))
        if inode is None:
            kind = lower.mode & S_IFMT
            if kind == S_IFREG:
                inode = OverlayFile(self, 0, 0, 0, ino=lower.ino)
            elif kind == S_IFDIR:
                inode = OverlayDirectory(self, 0, 0, 0)
            else:
                inode = OverlayNode(self, kind if kind != S_IFLNK else S_IFLNK | 0o777, 0, 0, ino=lower.ino)
            inode.stand_on(lower)
            self.nodes[id(lower)] = inode
        elif not inode.owned:
            inode.sync_lower()
        if not inode.pinned:
            inode.place(directory, name)
        return inode
