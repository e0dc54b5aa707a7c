"""The in-memory file system (man 5 tmpfs): directories are dictionaries, file data is a :class:`Content`.

Bytes of data and numbers of entries are bounded per file system, and those of all of them per kernel. Extended
attributes and the targets of symbolic links count as data.
The overlay (overlay.py) is built from these classes.
Access times are updated as relatime does. Missing: POSIX ACLs.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import (
    ALL_SEALS,
    F_SEAL_SEAL,
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    RENAME_EXCHANGE,
    RENAME_WHITEOUT,
)
from pylitebox.abi.stat import (
    S_IFCHR,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    TMPFS_MAGIC,
    XATTR_CREATE,
    XATTR_REPLACE,
    dtype,
)
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.content import PAGE, Budget, Content
from pylitebox.kernel.fs.privileges import CAPABILITY
from pylitebox.kernel.fs.vfs import FileSystem, Inode, Stat, Statfs

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import MapSource

_DAY = 86_400 * 10**9
#: Directory entries of one file system, unless its maker says otherwise: each takes about a kilobyte of ours.
MAX_ENTRIES = 1 << 18
#: Names and values of extended attributes that one inode may hold, bytes.
MAX_XATTR_BYTES = 1 << 17
_NAMESPACES = (b"user.", b"trusted.", b"security.")
DIRENT_SIZE = 20  # what tmpfs adds to a directory's size for each entry (mm/shmem.c: BOGO_DIRENT_SIZE)


class Attributes:
    """The extended attributes of one inode; their bytes are given back with them."""

    def __init__(self, budget: Budget) -> None:
        self.values: dict[bytes, bytes] = {}
        self._budget = budget
        self._charged = 0

    def __del__(self) -> None:
        self._budget.give(self._charged)

    def put(self, name: bytes, value: bytes | None) -> None:
        """Set one, or remove it (None); ENOSPC."""
        old = self.values.get(name)
        more = (0 if value is None else len(name) + len(value)) - (0 if old is None else len(name) + len(old))
        if self._charged + more > MAX_XATTR_BYTES:
            raise KernelError(E.ENOSPC)
        self._budget.take(more)
        self._charged += more
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = value


class MemoryInode(Inode):
    """An inode whose attributes live in memory."""

    filesystem: TmpFs
    _xattrs: Attributes | None = None
    links = 1

    def __init__(self, filesystem: TmpFs, mode: int, uid: int, gid: int, *, ino: int | None = None) -> None:
        super().__init__(filesystem, filesystem.new_ino() if ino is None else ino, mode, uid, gid)
        now = filesystem.kernel.wall()
        self.atime_ns = self.mtime_ns = self.ctime_ns = self.btime_ns = now

    @property
    def nlink(self) -> int:
        return self.links

    @property
    def blocks(self) -> int:
        return 0

    def own(self) -> None:
        """The attributes are about to change (the overlay takes them over from the lower file first)."""

    def stat(self) -> Stat:
        return Stat(
            self.filesystem.dev,
            self.ino,
            self.mode,
            self.nlink,
            self.uid,
            self.gid,
            self.rdev,
            self.size,
            PAGE,
            self.blocks,
            self.atime_ns,
            self.mtime_ns,
            self.ctime_ns,
            self.btime_ns,
        )

    def setattr(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        self.own()
        if mode is not None:
            self.mode = self.mode & S_IFMT | mode & 0o7777
        if uid is not None:
            self.uid = uid
        if gid is not None:
            self.gid = gid
        if atime_ns is not None:
            self.atime_ns = atime_ns
        if mtime_ns is not None:
            self.mtime_ns = mtime_ns
        self.ctime_ns = self.filesystem.kernel.wall()

    def accessed(self) -> None:
        """Update the access time as relatime does: if it is not newer than the last change, or a day old."""
        if self.atime_ns <= self.mtime_ns or self.atime_ns <= self.ctime_ns:
            self.atime_ns = self.filesystem.kernel.wall()
        elif self.mtime_ns + _DAY < self.atime_ns:
            now = self.filesystem.kernel.wall()
            if now - self.atime_ns >= _DAY:
                self.atime_ns = now

    def touch(self) -> None:
        """Content or entries changed."""
        self.mtime_ns = self.ctime_ns = self.filesystem.kernel.wall()

    # -- extended attributes (man 7 xattr) --------------------------------------------------------------------

    def _check_xattr(self, name: bytes) -> dict[bytes, bytes]:
        if not name.startswith(_NAMESPACES):
            raise KernelError(E.EOPNOTSUPP)
        if name in _NAMESPACES:
            raise KernelError(E.EINVAL)
        return self._xattrs.values if self._xattrs is not None else {}

    def get_xattr(self, name: bytes) -> bytes:
        value = self._check_xattr(name).get(name)
        if value is None:
            raise KernelError(E.ENODATA)
        return value

    def set_xattr(self, name: bytes, value: bytes, flags: int) -> None:
        present = self._check_xattr(name)
        if flags & XATTR_CREATE and name in present:
            raise KernelError(E.EEXIST)
        if flags & XATTR_REPLACE and name not in present:
            raise KernelError(E.ENODATA)
        self.own()
        if self._xattrs is None:
            self._xattrs = Attributes(self.filesystem.space)
        self._xattrs.put(name, value)
        self.gives_capabilities = CAPABILITY in self._xattrs.values
        self.ctime_ns = self.filesystem.kernel.wall()

    def list_xattr(self) -> list[bytes]:
        return list(self._xattrs.values) if self._xattrs is not None else []

    def remove_xattr(self, name: bytes) -> None:
        if name not in self._check_xattr(name):
            raise KernelError(E.ENODATA)
        assert self._xattrs is not None
        self.own()
        self._xattrs.put(name, None)
        self.gives_capabilities = CAPABILITY in self._xattrs.values
        self.ctime_ns = self.filesystem.kernel.wall()


class MemoryFile(MemoryInode):
    """A regular file. ``seals`` are F_SEAL_*: what has a name can have no others than this."""

    seals = F_SEAL_SEAL

    def __init__(
        self,
        filesystem: TmpFs,
        mode: int,
        uid: int,
        gid: int,
        *,
        content: Content | None = None,
        ino: int | None = None,
    ) -> None:
        super().__init__(filesystem, S_IFREG | mode & 0o7777, uid, gid, ino=ino)
        self.content = content or Content(filesystem.space)

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def blocks(self) -> int:
        return self.content.blocks

    def add_seals(self, seals: int) -> None:
        """EINVAL, EPERM."""
        raise KernelError(E.EINVAL if seals & ~ALL_SEALS else E.EPERM)

    def read_at(self, size: int, offset: int) -> bytes:
        if self.atime_ns <= self.mtime_ns:
            self.accessed()
        return self.content.read_at(size, offset)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        done = self.content.write_at(data, offset)
        self.touch()
        return done

    def truncate(self, size: int) -> None:
        self.content.truncate(size)
        self.touch()

    def allocate(self, mode: int, offset: int, size: int) -> None:
        content = self.content
        if mode in (FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE):
            collapse = mode == FALLOC_FL_COLLAPSE_RANGE
            if offset % PAGE or size % PAGE or (offset + size if collapse else offset) >= content.size:
                raise KernelError(E.EINVAL)
            (content.collapse if collapse else content.insert)(offset, size)
        elif mode == FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
            content.punch(offset, size)
        elif mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE):
            raise KernelError(E.EOPNOTSUPP)
        else:
            if mode & FALLOC_FL_ZERO_RANGE:
                content.punch(offset, size)
            content.reserve(offset, size)
            if not mode & FALLOC_FL_KEEP_SIZE and offset + size > content.size:
                content.truncate(offset + size)
        self.touch()

    def seek_data(self, offset: int, *, hole: bool) -> int:
        return self.content.seek_data(offset, hole=hole)

    def map_source(self, *, write: bool) -> MapSource:
        kernel = self.filesystem.kernel
        return kernel.shared_contents.share(kernel, self.content, f"file:{self.ino}").share()


class MemorySymlink(MemoryInode):
    def __init__(self, filesystem: TmpFs, target: bytes, uid: int, gid: int) -> None:
        self._target = b""
        super().__init__(filesystem, S_IFLNK | 0o777, uid, gid)
        filesystem.space.take(len(target))
        self._target = target

    def __del__(self) -> None:
        self.filesystem.space.give(len(self._target))

    @property
    def size(self) -> int:
        return len(self._target)

    def readlink(self) -> bytes:
        return self._target


class MemoryNode(MemoryInode):
    """A FIFO, a device node or a bound socket's name."""

    def __init__(self, filesystem: TmpFs, mode: int, rdev: int, uid: int, gid: int) -> None:
        super().__init__(filesystem, mode, uid, gid)
        self.rdev = rdev


class MemoryDirectory(MemoryInode):
    removed = False

    def __init__(self, filesystem: TmpFs, mode: int, uid: int, gid: int, *, ino: int | None = None) -> None:
        super().__init__(filesystem, S_IFDIR | mode & 0o7777, uid, gid, ino=ino)
        self.entries: dict[bytes, Inode] = {}
        self.links = 2

    @property
    def size(self) -> int:
        return (2 + len(self.entries)) * DIRENT_SIZE

    def lookup(self, name: bytes) -> Inode:
        inode = self.entries.get(name)
        if inode is None:
            raise KernelError(E.ENOENT)
        return inode

    def readdir(self) -> list[tuple[bytes, int, int]]:
        self.accessed()
        return [(name, inode.ino, dtype(inode.mode)) for name, inode in self.entries.items()]

    def find(self, name: bytes) -> Inode | None:
        """The file of this name, or None."""
        try:
            return self.lookup(name)
        except KernelError as error:
            if error.errno != E.ENOENT:
                raise
            return None

    @property
    def empty(self) -> bool:
        return not self.entries

    # -- making -----------------------------------------------------------------------------------------------

    def _ids(self, cred: Credentials) -> tuple[int, int]:
        """Owner and group of what ``cred`` makes here: a set-group-id directory passes its group on."""
        return cred.fsuid, self.gid if self.mode & S_ISGID else cred.fsgid

    def _check_new(self, name: bytes) -> None:
        if self.removed:
            raise KernelError(E.ENOENT)
        if self.find(name) is not None:
            raise KernelError(E.EEXIST)
        self.filesystem.slots.take(1)

    def insert(self, name: bytes, inode: Inode) -> None:
        """Put an entry in place; the caller has taken its slot."""
        self.own()
        self.entries[name] = inode
        self.touch()

    def remove(self, name: bytes) -> None:
        """Take an entry out; the caller gives its slot back."""
        self.own()
        self.entries.pop(name, None)
        self.touch()

    def create(self, name: bytes, mode: int, cred: Credentials) -> Inode:
        self._check_new(name)
        uid, gid = self._ids(cred)
        inode = self.filesystem.new_file(mode, uid, gid)
        self.insert(name, inode)
        return inode

    def tmpfile(self, mode: int, cred: Credentials) -> Inode:
        uid, gid = self._ids(cred)
        inode = self.filesystem.new_file(mode, uid, gid)
        inode.links = 0
        return inode

    def mkdir(self, name: bytes, mode: int, cred: Credentials) -> Inode:
        self._check_new(name)
        uid, gid = self._ids(cred)
        inode = self.filesystem.new_directory(mode | self.mode & S_ISGID, uid, gid)
        self.insert(name, inode)
        self.links += 1
        return inode

    def symlink(self, name: bytes, target: bytes, cred: Credentials) -> Inode:
        self._check_new(name)
        try:
            inode = MemorySymlink(self.filesystem, target, *self._ids(cred))
        except KernelError:
            self.filesystem.slots.give(1)
            raise
        self.insert(name, inode)
        return inode

    def mknod(self, name: bytes, mode: int, rdev: int, cred: Credentials) -> Inode:
        if mode & S_IFMT == S_IFREG:
            return self.create(name, mode & 0o7777, cred)
        self._check_new(name)
        inode = MemoryNode(self.filesystem, mode, rdev, *self._ids(cred))
        self.insert(name, inode)
        return inode

    def link(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, MemoryInode)
        self._check_new(name)
        inode.own()
        inode.links += 1
        inode.ctime_ns = self.filesystem.kernel.wall()
        self.insert(name, inode)

    # -- removing ---------------------------------------------------------------------------------------------

    def unlink(self, name: bytes) -> None:
        inode = self.lookup(name)
        self.remove(name)
        self._unlinked(inode)

    def rmdir(self, name: bytes) -> None:
        inode = self.lookup(name)
        assert isinstance(inode, MemoryDirectory)
        if not inode.empty:
            raise KernelError(E.ENOTEMPTY)
        self.remove(name)
        self._unlinked(inode)

    def _unlinked(self, inode: Inode) -> None:
        """An inode has lost its name in this directory."""
        assert isinstance(inode, MemoryInode)
        self.filesystem.slots.give(1)
        inode.own()
        if isinstance(inode, MemoryDirectory):
            inode.removed = True
            inode.links = 0
            self.links = max(self.links - 1, 2)
        else:
            inode.links -= 1
        inode.ctime_ns = self.filesystem.kernel.wall()

    def rename(self, name: bytes, newdir: Inode, newname: bytes, flags: int, cred: Credentials) -> None:
        assert isinstance(newdir, MemoryDirectory)
        inode = self.lookup(name)
        other = newdir.find(newname)
        if newdir.removed:
            raise KernelError(E.ENOENT)
        assert isinstance(inode, MemoryInode)
        inode.own()
        if flags & RENAME_EXCHANGE:
            assert isinstance(other, MemoryInode)
            other.own()
            self._moved(other, newdir, self)
            self.insert(name, other)
            other.ctime_ns = self.ctime_ns
        else:
            if isinstance(other, MemoryDirectory) and not other.empty:
                raise KernelError(E.ENOTEMPTY)
            if flags & RENAME_WHITEOUT:
                self.filesystem.slots.take(1)
            if other is not None:
                newdir.remove(newname)
                newdir._unlinked(other)
            self.remove(name)
        self._moved(inode, self, newdir)
        newdir.insert(newname, inode)
        inode.ctime_ns = newdir.ctime_ns
        if flags & RENAME_WHITEOUT:  # as overlayfs marks what is gone; the mover owns it
            self.insert(name, MemoryNode(self.filesystem, S_IFCHR, 0, cred.fsuid, cred.fsgid))

    @staticmethod
    def _moved(inode: Inode, old: MemoryDirectory, new: MemoryDirectory) -> None:
        """Each subdirectory's ``..`` is a link to its parent."""
        if old is not new and inode.mode & S_IFMT == S_IFDIR:
            old.links = max(old.links - 1, 2)
            new.links += 1


class TmpFs(FileSystem):
    """An in-memory file system. ``size`` bounds the bytes of its files, ``entries`` the number of its names."""

    name = "tmpfs"
    magic = TMPFS_MAGIC

    def __init__(
        self,
        kernel: Kernel,
        *,
        size: int | None = None,
        entries: int = MAX_ENTRIES,
        mode: int = 0o755,
        uid: int = 0,
        gid: int = 0,
        source: str = "tmpfs",
    ) -> None:
        super().__init__(kernel, source=source)
        self.space = Budget(kernel.limits.memory_file_bytes if size is None else size, kernel.file_memory)
        self.slots = Budget(entries, kernel.file_names)
        self._inos = count(1)
        self.root: Inode = self.new_root(mode, uid, gid)

    def new_ino(self) -> int:
        return next(self._inos)

    def new_root(self, mode: int, uid: int, gid: int) -> Inode:
        return self.new_directory(mode, uid, gid)

    def new_directory(self, mode: int, uid: int, gid: int) -> MemoryDirectory:
        return MemoryDirectory(self, mode, uid, gid)

    def new_file(self, mode: int, uid: int, gid: int) -> MemoryFile:
        return MemoryFile(self, mode, uid, gid)

    def statfs(self) -> Statfs:
        space, slots = self.space, self.slots
        kernel = self.kernel
        free = min(space.limit - space.used, kernel.file_memory.limit - kernel.file_memory.used)
        free_slots = min(slots.limit - slots.used, kernel.file_names.limit - kernel.file_names.used)
        return Statfs(
            self.magic,
            PAGE,
            space.limit // PAGE,
            free // PAGE,
            free // PAGE,
            slots.limit,
            free_slots,
            self.dev,
            255,
            PAGE,
            0,
        )


__all__ = ["MemoryDirectory", "MemoryFile", "MemoryInode", "MemoryNode", "MemorySymlink", "TmpFs"]
