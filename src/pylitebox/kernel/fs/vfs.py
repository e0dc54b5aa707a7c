"""The objects of the file tree: inodes, the names that lead to them, mounts, and places in the tree.

An :class:`Inode` is one file of one file system; file systems subclass it and override what they can do. A
:class:`Dentry` is one name in the tree, a cache above the file system's own directories; a :class:`Mount` is one use
of a file system; a :class:`Location` (mount and dentry) is a place: a working directory, where a file was opened.

Rules
- Inode methods check no permissions, no read-only mounts, no name lengths: operations.py does that first. They do
  check what only the file system knows: EEXIST, ENOTEMPTY, ENOSPC, and ENOENT in a directory that was removed.
- ``mode``, ``uid`` and ``gid`` are plain attributes, always as fresh as the last look-up, because every path walk
  reads them.
- Whoever changes a directory through its inode after its names were walked bypasses the dentries; only additions are
  safe then, and only where ``FileSystem.cache_ns`` is None or 0.
Missing: mount propagation, bind mounts of a subtree, per-file-system user id maps.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import ref

from pylitebox.abi import errno as E
from pylitebox.abi.stat import S_IFDIR, S_IFMT, S_IFREG
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.opened import DirectoryFile, RegularFile

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.fs.namespace import FsContext
    from pylitebox.kernel.inotify import InotifyFile, Watch
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.locks import Locks
    from pylitebox.kernel.pipe import Pipe
    from pylitebox.kernel.platform import MapSource
    from pylitebox.kernel.wait import WaitQueue

#: Mount flags, as statfs(2) reports them (ST_*) and mount(2) takes them (MS_*).
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8

#: Names known to be absent that one file system remembers at most.
MAX_NEGATIVES = 8192
#: Names that a file system with expiring look-ups keeps although nobody uses them: about two kilobytes of ours each.
MAX_NAMES = 1 << 15


class Who(Protocol):
    """On whose behalf an operation is done; a Task is one."""

    @property
    def kernel(self) -> Kernel: ...
    @property
    def fs(self) -> FsContext: ...
    @property
    def cred(self) -> Credentials: ...


class Stat:
    """What stat(2) and statx(2) report. Never changed once made: file systems may hand the same one out again."""

    __slots__ = (
        "atime_ns",
        "blksize",
        "blocks",
        "btime_ns",
        "ctime_ns",
        "dev",
        "gid",
        "ino",
        "mode",
        "mtime_ns",
        "nlink",
        "packed",
        "rdev",
        "size",
        "uid",
    )

    def __init__(
        self,
        dev: int,
        ino: int,
        mode: int,
        nlink: int,
        uid: int,
        gid: int,
        rdev: int,
        size: int,
        blksize: int,
        blocks: int,
        atime_ns: int,
        mtime_ns: int,
        ctime_ns: int,
        btime_ns: int,
    ) -> None:
        self.dev = dev
        self.ino = ino
        self.mode = mode
        self.nlink = nlink
        self.uid = uid
        self.gid = gid
        self.rdev = rdev
        self.size = size
        self.blksize = blksize
        self.blocks = blocks  # of 512 bytes
        self.packed = b""  # as stat(2) last wrote it (north/linux/metadata.py)
        self.atime_ns = atime_ns
        self.mtime_ns = mtime_ns
        self.ctime_ns = ctime_ns
        self.btime_ns = btime_ns


class Statfs(NamedTuple):
    """What statfs(2) reports, in the order of the structure (abi.stat.STATFS)."""

    type: int
    bsize: int
    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int
    fsid: int
    namelen: int
    frsize: int
    flags: int


class Inode:
    """One file. The methods here are those of a file that can do nothing."""

    #: A symbolic link that leads to a place instead of a text (/proc/PID/exe): it has :meth:`jump`.
    magic = False
    #: The pipe of a FIFO that somebody has open (kernel/pipe.py).
    pipe: Pipe | None = None
    #: The socket bound to this name (kernel/net).
    socket: object = None
    #: Advisory locks (kernel/locks.py).
    locks: Locks | None = None
    #: Who is told what happens to it (kernel/inotify.py), by instance.
    watches: dict[InotifyFile, Watch] | None = None
    rdev = 0
    #: It has the attribute security.capability, which goes when it is written to.
    gives_capabilities = False
    #: It stands for a pipe, a socket or the like (nameless.py), which is opened through its file only.
    nameless = False
    #: The process that may look into this directory whatever its mode is: /proc/PID/fd's own.
    insider: object = None
    #: Why whoever doesn't own it may not change its attributes.
    refusal = E.EPERM
    #: What the last exec found in it, and the version that it holds for (north/linux/loader.py).
    facts: tuple[object, object] = (None, None)
    #: A nameless file that linkat(2) may still give a name (O_TMPFILE without O_EXCL).
    linkable = False

    def __init__(self, filesystem: FileSystem, ino: int, mode: int, uid: int = 0, gid: int = 0) -> None:
        self.filesystem = filesystem
        self.ino = ino
        self.mode = mode
        self.uid = uid
        self.gid = gid

    @property
    def size(self) -> int:
        return 0

    @property
    def nlink(self) -> int:
        return 2 if self.mode & S_IFMT == S_IFDIR else 1

    def stat(self) -> Stat:
        fs = self.filesystem
        t = fs.created_ns
        return Stat(
            fs.dev, self.ino, self.mode, self.nlink, self.uid, self.gid, self.rdev, self.size, 4096, 0, t, t, t, t
        )

    def version(self) -> object:
        """What stays equal while the bytes of this file stay the same, for facts that are kept about them (see
        ``facts``); None: nobody can tell, since guests may write the file, even through mappings."""
        return None

    def readable_by_policy(self) -> bool:
        """Whether the mount's view rules let anyone, root included, read this file."""
        return True

    # -- directories ------------------------------------------------------------------------------------------

    def lookup(self, name: bytes) -> Inode:
        """The file of this name; ENOENT. The same file is the same object while anyone holds it."""
        raise KernelError(E.ENOTDIR)

    def readdir(self) -> list[tuple[bytes, int, int]]:
        """(name, inode number, d_type) of every entry, without . and .. ."""
        raise KernelError(E.ENOTDIR)

    def create(self, name: bytes, mode: int, cred: Credentials) -> Inode:
        """A new regular file; ``mode`` are its permission bits, after the umask."""
        raise KernelError(E.EACCES)

    def mkdir(self, name: bytes, mode: int, cred: Credentials) -> Inode:
        raise KernelError(E.EPERM)

    def symlink(self, name: bytes, target: bytes, cred: Credentials) -> Inode:
        raise KernelError(E.EPERM)

    def mknod(self, name: bytes, mode: int, rdev: int, cred: Credentials) -> Inode:
        """A FIFO, device or socket node; ``mode`` holds the type."""
        raise KernelError(E.EPERM)

    def tmpfile(self, mode: int, cred: Credentials) -> Inode:
        """A nameless regular file on this directory's file system (O_TMPFILE)."""
        raise KernelError(E.EOPNOTSUPP)

    def link(self, name: bytes, inode: Inode) -> None:
        raise KernelError(E.EPERM)

    def unlink(self, name: bytes) -> None:
        raise KernelError(E.EPERM)

    def rmdir(self, name: bytes) -> None:
        raise KernelError(E.EPERM)

    def rename(self, name: bytes, newdir: Inode, newname: bytes, flags: int, cred: Credentials) -> None:
        """Move an entry to a directory of the same file system, replacing what is there (man 2 rename)."""
        raise KernelError(E.EPERM)

    # -- files ------------------------------------------------------------------------------------------------

    def open(self, flags: int, location: Location) -> File:
        """A new open file description. Access was checked; O_TRUNC is done by the caller."""
        kind = self.mode & S_IFMT
        if kind == S_IFDIR:
            return DirectoryFile(self, flags, location)
        if kind == S_IFREG:
            return RegularFile(self, flags, location)
        raise KernelError(E.ENXIO)

    def acquire(self, *, write: bool) -> None:
        """An open file description more stands on this regular file."""

    def release(self) -> None:
        """One is gone."""

    def read_at(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes; WouldBlock until :attr:`ready` wakes."""
        raise KernelError(E.EINVAL)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        raise KernelError(E.EINVAL)

    def truncate(self, size: int) -> None:
        raise KernelError(E.EINVAL)

    def allocate(self, mode: int, offset: int, size: int) -> None:
        """fallocate(2) with FALLOC_FL_* in ``mode``."""
        raise KernelError(E.EOPNOTSUPP)

    def seek_data(self, offset: int, *, hole: bool) -> int:
        """Where data (or a hole) begins from ``offset`` on, which lies within the file; ENXIO if there is no data."""
        return self.size if hole else offset

    def map_source(self, *, write: bool) -> MapSource:
        """What mmap(2) maps; ``write``: the file is open for writing. The caller closes it."""
        raise KernelError(E.ENODEV)

    def sync(self) -> None:
        """Make it durable, as far as the file system can."""

    @property
    def ready(self) -> WaitQueue | None:
        """Wakes after a WouldBlock; None if there never is one."""
        return None

    # -- symbolic links ---------------------------------------------------------------------------------------

    def readlink(self) -> bytes:
        raise KernelError(E.EINVAL)

    def target(self, who: Who) -> bytes:
        """:meth:`readlink`, where the text depends on who looks (/proc/self)."""
        return self.readlink()

    def jump(self, who: Who) -> Location | File:
        """Where a magic link leads: a place, or an open file that has none."""
        raise KernelError(E.EINVAL)

    # -- attributes -------------------------------------------------------------------------------------------

    def setattr(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Change what is not None; ``mode`` are permission bits only."""
        raise KernelError(E.EPERM)

    def get_xattr(self, name: bytes) -> bytes:
        raise KernelError(E.EOPNOTSUPP)

    def set_xattr(self, name: bytes, value: bytes, flags: int) -> None:
        raise KernelError(E.EOPNOTSUPP)

    def list_xattr(self) -> list[bytes]:
        return []

    def remove_xattr(self, name: bytes) -> None:
        raise KernelError(E.EOPNOTSUPP)


class Dentry:
    """One name in the tree. ``inode`` is None where a name is known to be absent."""

    __slots__ = ("__weakref__", "children", "deleted", "expires", "inode", "mounts", "name", "parent")

    #: What :attr:`inode` is for every dentry that leaves this module's and walk.py's hands.
    inode: Inode

    def __init__(self, name: bytes, parent: Dentry | None, inode: Inode | None, expires: int = 0) -> None:
        self.name = name
        self.parent = parent  # None for the root of a file system
        self.inode = inode  # type: ignore[assignment]
        self.children: dict[bytes, Dentry] = {}
        self.expires = expires  # monotonic ns until which no new look-up is needed; 0: for ever
        self.mounts: dict[Mount, Mount] | None = None  # what is mounted here, by the mount it is seen in
        self.deleted = False

    def find(self, name: bytes) -> Dentry | None:
        """The child of this name after asking the file system anew, or None; updates the cache. A name that the
        file system cannot look up raises its error."""
        inode = self.inode
        fs = inode.filesystem
        old = self.children.get(name)
        try:
            found = inode.lookup(name)
        except KernelError as error:
            if error.errno != E.ENOENT:
                raise
            if old is not None:
                if old.mounts is not None:
                    return old  # what is mounted on stays, whatever became of it below
                if old.inode is not None:
                    old.deleted = True
                    del self.children[name]
            if fs.cache_ns:
                fs.remember_absent(self, name)
            return None
        cache_ns = fs.cache_ns
        expires = fs.kernel.now() + cache_ns if cache_ns else 0
        if old is not None and old.inode is not None:
            if old.inode is found or old.mounts is not None:
                old.expires = expires
                return old
            old.deleted = True
        dentry = Dentry(name, self, found, expires)
        if cache_ns != 0:
            self.children[name] = dentry
        if cache_ns:
            fs.remember(dentry)
        return dentry

    def add(self, name: bytes, inode: Inode) -> Dentry:
        """Note that this child was just made."""
        fs = inode.filesystem
        dentry = Dentry(name, self, inode, fs.kernel.now() + fs.cache_ns if fs.cache_ns else 0)
        if fs.cache_ns != 0:
            self.children[name] = dentry
        if fs.cache_ns:
            fs.remember(dentry)
        return dentry

    def drop(self, child: Dentry) -> None:
        """Note that this child was just removed."""
        child.deleted = True
        if self.children.get(child.name) is child:
            del self.children[child.name]

    def move(self, child: Dentry, parent: Dentry, name: bytes) -> None:
        """Note that a child was renamed to ``name`` in ``parent``, which has no child of that name any more."""
        if self.children.get(child.name) is child:
            del self.children[child.name]
        child.name = name
        child.parent = parent
        parent.children[name] = child

    def is_below(self, ancestor: Dentry) -> bool:
        """Whether this is ``ancestor`` or lies beneath it."""
        dentry: Dentry | None = self
        while dentry is not None:
            if dentry is ancestor:
                return True
            dentry = dentry.parent
        return False


class FileSystem:
    """One file system. ``dev`` is its st_dev; ``name`` and ``source`` are what /proc/mounts shows."""

    name = "none"
    magic = 0
    #: How long a look-up stays valid, ns; None: until it is changed through us; 0: not at all (names are computed).
    cache_ns: int | None = None
    readonly = False
    root: Inode

    def __init__(self, kernel: Kernel, *, source: str = "none") -> None:
        self.kernel = kernel
        self.source = source
        self.dev = kernel.new_dev()
        self.created_ns = kernel.wall()
        self._root_dentry: Dentry | None = None
        self._negatives: deque[tuple[dict[bytes, Dentry], bytes]] = deque()
        self._names: deque[ref[Dentry]] = deque()

    @property
    def root_dentry(self) -> Dentry:
        """The dentry of the root, shared by all mounts of this file system."""
        if self._root_dentry is None:
            self._root_dentry = Dentry(b"", None, self.root)
        return self._root_dentry

    def remember(self, dentry: Dentry) -> None:
        """Note a name that was looked up, and forget the oldest beyond MAX_NAMES that nobody uses."""
        names = self._names
        names.append(ref(dentry))
        if len(names) > MAX_NAMES:
            self._forget_name(names.popleft())
            self._forget_name(names.popleft())

    def _forget_name(self, known: ref[Dentry]) -> None:
        dentry = known()
        if dentry is None or dentry.parent is None:
            return
        parent, name = dentry.parent, dentry.name
        if dentry.mounts is not None or parent.children.get(name) is not dentry:
            return
        if not dentry.children:
            del parent.children[name]
            dentry = None
            dentry = known()
            if dentry is None:
                return
            parent.children[name] = dentry  # somebody works in it, has it open, ...
        self._names.append(known)

    def remember_absent(self, parent: Dentry, name: bytes) -> None:
        """Cache that there is no such name, and forget the oldest such fact beyond MAX_NEGATIVES."""
        assert self.cache_ns
        old = parent.children.get(name)
        if old is None:
            self._negatives.append((parent.children, name))  # not the parent, which may go meanwhile
            if len(self._negatives) > MAX_NEGATIVES:
                children, oldest = self._negatives.popleft()
                absent = children.get(oldest)
                if absent is not None and absent.inode is None:
                    del children[oldest]
            parent.children[name] = Dentry(name, None, None, self.kernel.now() + self.cache_ns)
        else:
            old.expires = self.kernel.now() + self.cache_ns

    def statfs(self) -> Statfs:
        return Statfs(self.magic, 4096, 0, 0, 0, 0, 0, self.dev, 255, 4096, 0)


class Mount:
    """One use of a file system in the tree; the root mount has no parent."""

    __slots__ = ("filesystem", "flags", "ident", "mountpoint", "parent", "root")

    def __init__(self, filesystem: FileSystem, flags: int, ident: int, parent: Location | None) -> None:
        self.filesystem = filesystem
        self.flags = flags
        self.ident = ident
        self.root = filesystem.root_dentry
        self.parent: Mount | None = parent.mount if parent else None
        self.mountpoint: Dentry | None = parent.dentry if parent else None

    @property
    def readonly(self) -> bool:
        return bool(self.flags & MS_RDONLY) or self.filesystem.readonly


class Location:
    """A place in the tree: a name seen through a mount. Two are equal if both parts are the same objects."""

    __slots__ = ("dentry", "mount")

    def __init__(self, mount: Mount, dentry: Dentry) -> None:
        self.mount = mount
        self.dentry = dentry

    @property
    def inode(self) -> Inode:
        return self.dentry.inode

    @property
    def name(self) -> bytes:
        return self.dentry.name

    @property
    def deleted(self) -> bool:
        """Whether the name was removed since it was looked up."""
        return self.dentry.deleted

    @property
    def parent(self) -> Location:
        """``..``, out of mounts too; the root of everything is its own parent."""
        mount, dentry = self.mount, self.dentry
        while dentry is mount.root:
            if mount.parent is None or mount.mountpoint is None:
                return self
            dentry = mount.mountpoint
            mount = mount.parent
        assert dentry.parent is not None
        return Location(mount, dentry.parent)

    def top(self) -> Location:
        """This place, or the root of what is mounted on it."""
        mount, dentry = self.mount, self.dentry
        while dentry.mounts is not None:
            upper = dentry.mounts.get(mount)
            if upper is None:
                break
            mount, dentry = upper, upper.root
        return Location(mount, dentry)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and other.dentry is self.dentry and other.mount is self.mount

    def __hash__(self) -> int:
        return hash((id(self.dentry), id(self.mount)))

    def __repr__(self) -> str:
        return f"<Location {self.dentry.name!r} on {self.mount.filesystem.name}>"


class FileInode(Inode):
    """What a magic link leads to when it stands for an open file that has no place (a pipe, a socket)."""

    def __init__(self, filesystem: FileSystem, file: File) -> None:
        stat = file.stat()
        super().__init__(filesystem, stat.ino, stat.mode, stat.uid, stat.gid)
        self.file = file

    def stat(self) -> Stat:
        return self.file.stat()

    def open(self, flags: int, location: Location) -> File:
        return self.file.reopen(flags)

    def setattr(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        inode = self.file.make_inode(self.filesystem.kernel)
        inode.setattr(mode=mode, uid=uid, gid=gid, atime_ns=atime_ns, mtime_ns=mtime_ns)


def location_of_file(file: File, mount: Mount) -> Location:
    """A place for an open file: its own, or a nameless one; ``mount`` is where the link to it was found."""
    if file.location is not None:
        return file.location
    inode = file.inode
    if inode is None or inode.nameless:
        inode = FileInode(mount.filesystem, file)
    return Location(mount, Dentry(file.link_text(), None, inode))
