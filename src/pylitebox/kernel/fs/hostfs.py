"""A host directory tree as a file system: read-only by default, writable for HOST:GUEST:rw mounts.

What a guest sees of the host is decided here:
- with ``public_only`` only what everyone on the host may read can be opened, whoever asks (the rest is listed: EACCES);
- ``hidden(path)`` takes single files out of the view (/etc/shadow), by their path relative to the mount;
- sockets, FIFOs and devices are not there; set-user-id and set-group-id bits are not shown;
- every file belongs to ``owner``; the host's owners are not shown.

A host directory can change while it is mounted. Look-ups and attributes are at most CACHE_NS old; a file that was
replaced is noticed by its inode number (ESTALE, upon which the walk is done again); names and attributes changed
through us are seen at once. An open file stays what it was, as everywhere.
Missing: extended attributes (EOPNOTSUPP), O_TMPFILE, special files, other owners (EPERM), RENAME_EXCHANGE and WHITEOUT,
renaming directories where ``hidden`` is used (EXDEV).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol, cast
from weakref import WeakValueDictionary

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import RENAME_WHITEOUT
from pylitebox.abi.stat import DT_DIR, DT_LNK, DT_REG, DT_UNKNOWN, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, dtype
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.vfs import FileSystem, Inode, Stat, Statfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import HostDirectory, HostFile, HostStat, MapSource
    from pylitebox.kernel.wait import WaitQueue

#: How old a look-up or an attribute of a host file may be, ns.
CACHE_NS = 10**9
#: Files that nobody has open but whose host descriptor is kept, since what was opened is often opened again.
MAX_IDLE = 128
#: Directories whose entries are kept, since what was listed is often listed again, and how many entries at the most.
MAX_LISTINGS, MAX_LISTED = 32, 4096
#: The file system type that statfs(2) reports: the host's own is nobody's business.
HOSTFS_MAGIC = 0xEF53
_VISIBLE = (S_IFREG, S_IFDIR, S_IFLNK)
_MODE_SHOWN = S_IFMT | 0o1777


class _Moves(Protocol):
    def moved(self, parent: HostDirectory, name: bytes) -> None: ...


class HostInode(Inode):
    """A file of the tree: found as ``_name`` in ``_parent``, which is None for the root."""

    filesystem: HostFs

    def __init__(self, filesystem: HostFs, parent: HostInode | None, name: bytes, facts: HostStat) -> None:
        uid, gid = filesystem.owner
        super().__init__(filesystem, facts.st_ino, facts.st_mode & _MODE_SHOWN, uid, gid)
        self._directory: HostDirectory | None = None
        self._reader: HostFile | None = None
        self._writer: HostFile | None = None
        self._opens = 0
        self._target = b""
        self._target_ctime = -1
        self.place(parent, name)
        self._take(facts)

    def place(self, parent: HostInode | None, name: bytes) -> None:
        """Note where the file was found last."""
        self._parent = parent
        self._name = name
        self.path: bytes = name if parent is None or not parent.path else parent.path + b"/" + name

    def _take(self, facts: HostStat) -> None:
        self._facts = facts
        self._links_left: int | None = None  # if names went and the host could not be asked since
        self._stat: Stat | None = None
        self.mode = facts.st_mode & _MODE_SHOWN
        self.checked = self.filesystem.kernel.now()

    # -- facts ------------------------------------------------------------------------------------------------

    def fresh(self) -> HostStat:
        """The host's facts, at most CACHE_NS old."""
        if self.filesystem.kernel.now() - self.checked > CACHE_NS:
            self._refresh()
        return self._facts

    def _refresh(self) -> None:
        handle = self._writer or self._reader
        if handle is not None:
            self._take(handle.stat())
            return
        try:
            facts = self.directory.stat_self() if self._parent is None else self._parent.directory.stat(self._name)
        except KernelError:
            return  # it is gone from its place: what was known last stays
        if facts.st_ino == self.ino:
            self._take(facts)

    @property
    def size(self) -> int:
        if self._writer is not None:
            return self._writer.stat().st_size
        return self.fresh().st_size

    @property
    def nlink(self) -> int:
        return self._facts.st_nlink if self._links_left is None else self._links_left

    def stat(self) -> Stat:
        facts = self.fresh()
        result = self._stat
        if result is None:
            result = self._stat = Stat(
                self.filesystem.dev,
                self.ino,
                self.mode,
                self.nlink,
                self.uid,
                self.gid,
                0,
                facts.st_size,
                4096,
                (facts.st_size + 4095) >> 12 << 3,
                facts.st_atime_ns,
                facts.st_mtime_ns,
                facts.st_ctime_ns,
                facts.st_ctime_ns,
            )
        return result

    def version(self) -> object:
        if not self.filesystem.readonly:
            return None
        facts = self.fresh()
        return facts.st_ctime_ns, facts.st_size

    def readable_by_policy(self) -> bool:
        return not self.filesystem.public_only or bool(self._facts.st_mode & 0o004)

    # -- directories ------------------------------------------------------------------------------------------

    @property
    def directory(self) -> HostDirectory:
        if self._directory is None:
            assert self._parent is not None
            self._directory = self._parent.directory.directory(self._name)
            if self._directory.stat_self().st_ino != self.ino:
                self._directory.close()
                self._directory = None
                raise KernelError(E.ESTALE)
        return self._directory

    def _inside(self, name: bytes) -> bytes:
        """The path of an entry; EACCES, and ENOENT for what the view hides."""
        if self.mode & S_IFMT != S_IFDIR:
            raise KernelError(E.ENOTDIR)
        fs = self.filesystem
        if fs.public_only and not self._facts.st_mode & 0o001:
            raise KernelError(E.EACCES)
        path = self.path + b"/" + name if self.path else name
        if fs.hidden is not None and fs.hidden(path):
            raise KernelError(E.ENOENT)
        return path

    def lookup(self, name: bytes) -> Inode:
        self._inside(name)
        try:
            facts = self.directory.stat(name)
        except KernelError as error:
            if error.errno == E.ESTALE:
                raise KernelError(E.ENOENT) from None
            raise
        kind = facts.st_mode & S_IFMT
        if kind not in _VISIBLE:
            raise KernelError(E.ENOENT)
        inodes = self.filesystem.inodes
        inode = inodes.get(facts.st_ino)
        if inode is not None and inode.mode & S_IFMT == kind:
            inode.place(self, name)
            inode._take(facts)
        else:
            inode = inodes[facts.st_ino] = HostInode(self.filesystem, self, name, facts)
        return inode

    def readdir(self) -> list[tuple[bytes, int, int]]:
        facts, listings = self.fresh(), self.filesystem.listings
        kept = listings.get(self)
        if kept is not None and kept[0] == facts.st_mtime_ns:
            listings.move_to_end(self)
            return list(kept[1])
        entries = self._list()
        listings.pop(self, None)
        # a directory that has just changed may change again without its time telling
        if len(entries) <= MAX_LISTED and facts.st_mtime_ns < self.filesystem.kernel.wall() - 2 * CACHE_NS:
            listings[self] = (facts.st_mtime_ns, tuple(entries))
            if len(listings) > MAX_LISTINGS:
                listings.popitem(last=False)
        return entries

    def _list(self) -> list[tuple[bytes, int, int]]:
        hidden = self.filesystem.hidden
        prefix = self.path + b"/" if self.path else b""
        entries = []
        for name, ino, kind in self.directory.listdir():
            if hidden is not None and hidden(prefix + name):
                continue
            if kind not in (DT_REG, DT_DIR, DT_LNK):
                if kind != DT_UNKNOWN:
                    continue
                try:
                    kind = dtype(self.lookup(name).mode)
                except KernelError:
                    continue
            entries.append((name, ino, kind))
        return entries

    def create(self, name: bytes, mode: int, cred: Credentials) -> Inode:
        self._new(name)
        self.directory.create(name, mode).close()
        return self._made(name)

    def mkdir(self, name: bytes, mode: int, cred: Credentials) -> Inode:
        self._new(name)
        self.directory.mkdir(name, mode)
        return self._made(name)

    def symlink(self, name: bytes, target: bytes, cred: Credentials) -> Inode:
        self._new(name)
        self.directory.symlink(target, name)
        return self._made(name)

    def link(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, HostInode)
        self._new(name)
        if inode._parent is None:
            raise KernelError(E.EPERM)
        inode._parent.directory.link(inode._name, self.directory, name)
        inode._refresh()
        self._made(name)

    def _new(self, name: bytes) -> None:
        try:
            self._inside(name)
        except KernelError as error:  # a name that the view hides cannot be made either
            raise KernelError(E.EACCES if error.errno == E.ENOENT else error.errno) from None

    def _made(self, name: bytes) -> Inode:
        self._refresh()
        return self.lookup(name)

    def unlink(self, name: bytes) -> None:
        self._inside(name)
        inode = self.filesystem.inodes.get(self.lookup(name).ino)
        self.directory.unlink(name)
        self._refresh()
        if inode is not None:
            if inode in self.filesystem.kernel.idle_files:
                del self.filesystem.kernel.idle_files[inode]
                inode.forget()
            inode._lost_name()

    def _lost_name(self) -> None:
        """A name is gone, and with it maybe the way to ask the host how many are left."""
        left = 0 if self.mode & S_IFMT == S_IFDIR else max(self.nlink - 1, 0)
        self._stat = None
        if self._writer is not None or self._reader is not None:
            self._refresh()
        else:
            self._links_left = left

    def rmdir(self, name: bytes) -> None:
        self._inside(name)
        inode = self.filesystem.inodes.get(self.lookup(name).ino)
        self.directory.rmdir(name)
        self._refresh()
        if inode is not None:
            self.filesystem.listings.pop(inode, None)
            inode._lost_name()

    def rename(self, name: bytes, newdir: Inode, newname: bytes, flags: int, cred: Credentials) -> None:
        assert isinstance(newdir, HostInode)
        if flags & RENAME_WHITEOUT:
            raise KernelError(E.EINVAL)
        newdir._new(newname)
        inode = self.lookup(name)
        assert isinstance(inode, HostInode)
        if self.filesystem.hidden is not None and inode.mode & S_IFMT == S_IFDIR:
            raise KernelError(E.EXDEV)  # what is hidden beneath would appear under its new path
        self.directory.rename(name, newdir.directory, newname, flags)
        inode.place(newdir, newname)
        if inode._directory is not None:
            cast("_Moves", inode._directory).moved(newdir.directory, newname)
        self._refresh()
        newdir._refresh()

    # -- files ------------------------------------------------------------------------------------------------

    def _open(self, *, write: bool) -> HostFile:
        if self._parent is None:
            raise KernelError(E.EISDIR)
        if not self.readable_by_policy():
            raise KernelError(E.EACCES)
        try:
            file = self._parent.directory.open(self._name, write=write)
        except KernelError as error:
            raise KernelError(E.ESTALE if error.errno == E.ENOENT else error.errno) from None
        if file.key()[1] != self.ino:
            file.close()
            raise KernelError(E.ESTALE)
        return file

    def acquire(self, *, write: bool) -> None:
        if write and self._writer is None:
            self._writer = self._open(write=True)
        elif self._reader is None and self._writer is None:
            self._reader = self._open(write=False)
        if self._opens == 0:
            self.filesystem.kernel.idle_files.pop(self, None)
        self._opens += 1

    def release(self) -> None:
        self._opens -= 1
        if self._opens == 0:
            idle = self.filesystem.kernel.idle_files
            if self._writer is None:
                idle[self] = None
                if len(idle) > MAX_IDLE:
                    idle.popitem(last=False)[0].forget()
            else:
                self.forget()

    def forget(self) -> None:
        """Close the host descriptors of a file that nobody has open."""
        for file in (self._reader, self._writer):
            if file is not None:
                file.close()
        self._reader = self._writer = None

    def _handle(self) -> HostFile:
        handle = self._writer or self._reader
        if handle is None:
            raise KernelError(E.EBADF)
        return handle

    def read_at(self, size: int, offset: int) -> bytes:
        return self._handle().read_at(size, offset)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        if self._writer is None:
            raise KernelError(E.EROFS if self.filesystem.readonly else E.EBADF)
        done = self._writer.write_at(data, offset)
        self.checked -= CACHE_NS + 1
        return done

    def truncate(self, size: int) -> None:
        if self._writer is None:
            raise KernelError(E.EROFS if self.filesystem.readonly else E.EBADF)
        self._writer.truncate(size)
        self._refresh()

    def allocate(self, mode: int, offset: int, size: int) -> None:
        if mode or self._writer is None:
            raise KernelError(E.EOPNOTSUPP)
        if offset + size > self.size:
            self.truncate(offset + size)

    def map_source(self, *, write: bool) -> MapSource:
        if write and self._writer is None:
            raise KernelError(E.EACCES)
        return self._handle().share()

    def sync(self) -> None:
        if self._writer is not None:
            self._writer.sync()

    @property
    def ready(self) -> WaitQueue | None:
        handle = self._writer or self._reader
        return handle.ready if handle is not None else None

    # -- links and attributes ---------------------------------------------------------------------------------

    def readlink(self) -> bytes:
        if self.mode & S_IFMT != S_IFLNK or self._parent is None:
            raise KernelError(E.EINVAL)
        ctime = self._facts.st_ctime_ns
        if ctime != self._target_ctime:
            self._target = self._parent.directory.readlink(self._name)
            self._target_ctime = ctime
        return self._target

    def setattr(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        if uid not in (None, self.uid) or gid not in (None, self.gid):
            raise KernelError(E.EPERM)
        if self._parent is None:
            raise KernelError(E.EPERM)
        directory, name = self._parent.directory, self._name
        if mode is not None and mode & 0o7777 != self.mode & 0o7777:
            directory.chmod(name, mode & 0o1777)
        if atime_ns is not None or mtime_ns is not None:
            facts = self.fresh()
            directory.utime(
                name,
                facts.st_atime_ns if atime_ns is None else atime_ns,
                facts.st_mtime_ns if mtime_ns is None else mtime_ns,
            )
        self._refresh()


class HostFs(FileSystem):
    """``directory`` is the tree's root. ``hidden`` says of a relative path whether it is not part of the view."""

    name = "hostfs"
    magic = HOSTFS_MAGIC
    cache_ns = CACHE_NS

    def __init__(
        self,
        kernel: Kernel,
        directory: HostDirectory,
        *,
        readonly: bool = True,
        public_only: bool = True,
        owner: tuple[int, int] = (0, 0),
        hidden: Callable[[bytes], bool] | None = None,
        source: str = "host",
    ) -> None:
        super().__init__(kernel, source=source)
        self.readonly = readonly
        self.public_only = public_only
        self.owner = owner
        self.hidden = hidden
        self.inodes: WeakValueDictionary[int, HostInode] = WeakValueDictionary()
        #: Modification time and entries of directories listed lately.
        self.listings: OrderedDict[HostInode, tuple[int, tuple[tuple[bytes, int, int], ...]]] = OrderedDict()
        root = HostInode(self, None, b"", directory.stat_self())
        root._directory = directory
        self.root: Inode = root

    def statfs(self) -> Statfs:
        return Statfs(self.magic, 4096, 1 << 20, 0, 0, 1 << 20, 0, self.dev, 255, 4096, 0)


def forget_idle(kernel: Kernel) -> None:
    """Close the host descriptors of all files that nobody has open."""
    while kernel.idle_files:
        kernel.idle_files.popitem()[0].forget()
