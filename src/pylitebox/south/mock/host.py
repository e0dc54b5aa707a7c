"""Host objects made of Python values: directory trees, files, console streams, shared buffers.

A tree is a dict: names to ``bytes`` or ``str`` (a file), a dict (a directory), :class:`Link`, or :class:`Entry` where
mode and owner matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Union
from weakref import WeakSet

from pylitebox.abi import errno as E
from pylitebox.abi.poll import POLLHUP, POLLIN, POLLOUT
from pylitebox.abi.stat import DT_DIR, DT_LNK, DT_REG, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.south.mock.memory import MockMemory

HOST_DEV = 0x801
#: 2001-09-09T01:46:40Z: every time stamp that nothing has changed.
EPOCH_NS = 1_000_000_000_000_000_000
_inodes = count(100)
_TYPES = {S_IFDIR: DT_DIR, S_IFREG: DT_REG, S_IFLNK: DT_LNK}


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(slots=True)
class Entry:
    """A file or directory with a mode of its own; ``slow``: each first read of a place must wait for the disk."""

    content: Tree
    mode: int
    slow: bool = False


Tree = Union[bytes, str, Link, Entry, Mapping[str, "Tree"]]  # noqa: UP007 - it names itself


@dataclass(slots=True)
class MockNode:
    """A file of the host: HostStat of the contract, and its content."""

    st_mode: int
    data: bytearray = field(default_factory=bytearray)
    names: dict[bytes, MockNode] = field(default_factory=dict)
    slow: bool = False
    st_ino: int = field(default_factory=lambda: next(_inodes))
    st_dev: int = HOST_DEV
    st_nlink: int = 1
    st_atime_ns: int = EPOCH_NS
    st_mtime_ns: int = EPOCH_NS
    st_ctime_ns: int = EPOCH_NS

    @property
    def st_size(self) -> int:
        return len(self.data)

    def touched(self) -> None:
        self.st_mtime_ns += 1
        self.st_ctime_ns += 1


def node(tree: Tree) -> MockNode:
    """The host file that a tree describes."""
    if isinstance(tree, Entry):
        made = node(tree.content)
        made.st_mode = made.st_mode & S_IFMT | tree.mode
        made.slow = tree.slow
        return made
    if isinstance(tree, Link):
        return MockNode(S_IFLNK | 0o777, bytearray(tree.target.encode()))
    if isinstance(tree, bytes | str):
        return MockNode(S_IFREG | 0o644, bytearray(tree.encode() if isinstance(tree, str) else tree))
    return MockNode(S_IFDIR | 0o755, names={name.encode(): node(inner) for name, inner in tree.items()}, st_nlink=2)


class Disk:
    """What slow files wait for: the platform serves it when nothing else happens."""

    def __init__(self) -> None:
        self._waiting: deque[MockHostFile] = deque()

    def ask(self, file: MockHostFile) -> None:
        self._waiting.append(file)

    def serve(self) -> bool:
        """Deliver to one file that waits; whether there was one."""
        if not self._waiting:
            return False
        self._waiting.popleft().deliver()
        return True


class MockHostFile:
    """HostFile of the contract. Of a slow file each place is read once in vain, until the disk was served."""

    def __init__(self, inode: MockNode, disk: Disk | None = None, *, write: bool = False) -> None:
        self._inode = inode
        self._disk = disk if inode.slow else None
        self._write = write
        self._cached: set[int] = set()
        self._wanted: set[int] = set()
        self._ready = WaitQueue()
        self.closed = False

    @property
    def ready(self) -> WaitQueue:
        return self._ready

    def deliver(self) -> None:
        self._cached |= self._wanted
        self._wanted.clear()
        self._ready.wake()

    def key(self) -> tuple[int, int]:
        return self._inode.st_dev, self._inode.st_ino

    def share(self) -> MockHostFile:
        return MockHostFile(self._inode, self._disk, write=self._write)

    def stat(self) -> MockNode:
        return self._inode

    def read_at(self, size: int, offset: int) -> bytes:
        if self._disk is not None and offset not in self._cached:
            self._wanted.add(offset)
            self._disk.ask(self)
            raise WouldBlock
        return bytes(self._inode.data[offset : offset + size])

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        if not self._write:
            raise KernelError(E.EBADF)
        write_into(self._inode.data, data, offset)
        self._inode.touched()
        return len(data)

    def truncate(self, size: int) -> None:
        resize(self._inode.data, size)
        self._inode.touched()

    def sync(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def write_into(buffer: bytearray, data: bytes | memoryview, offset: int) -> None:
    if len(buffer) < offset:
        buffer.extend(bytes(offset - len(buffer)))
    buffer[offset : offset + len(data)] = data


def resize(buffer: bytearray, size: int) -> None:
    if size < len(buffer):
        del buffer[size:]
        return
    try:
        buffer.extend(bytes(size - len(buffer)))
    except (MemoryError, OverflowError):
        raise KernelError(E.ENOSPC) from None


class MockDirectory:
    """HostDirectory of the contract over a tree."""

    def __init__(self, tree: Tree | MockNode, disk: Disk | None = None) -> None:
        self._disk = disk
        self.inode = tree if isinstance(tree, MockNode) else node(tree)
        if self.inode.st_mode & S_IFMT != S_IFDIR:
            raise KernelError(E.ENOTDIR)

    def _find(self, name: bytes) -> MockNode:
        try:
            return self.inode.names[name]
        except KeyError:
            raise KernelError(E.ENOENT) from None

    def _add(self, name: bytes, inode: MockNode) -> None:
        if name in self.inode.names:
            raise KernelError(E.EEXIST)
        self.inode.names[name] = inode
        self.inode.touched()

    def _remove(self, name: bytes) -> MockNode:
        inode = self.inode.names.pop(name)
        inode.st_nlink -= 1
        inode.st_ctime_ns += 1
        self.inode.touched()
        return inode

    def stat(self, name: bytes) -> MockNode:
        return self._find(name)

    def stat_self(self) -> MockNode:
        return self.inode

    def readlink(self, name: bytes) -> bytes:
        inode = self._find(name)
        if inode.st_mode & S_IFMT != S_IFLNK:
            raise KernelError(E.EINVAL)
        return bytes(inode.data)

    def listdir(self) -> list[tuple[bytes, int, int]]:
        return [(name, n.st_ino, _TYPES[n.st_mode & S_IFMT]) for name, n in self.inode.names.items()]

    def directory(self, name: bytes) -> MockDirectory:
        return MockDirectory(self._find(name), self._disk)

    def open(self, name: bytes, *, write: bool = False) -> MockHostFile:
        inode = self._find(name)
        if inode.st_mode & S_IFMT != S_IFREG:
            raise KernelError(E.EACCES)
        return MockHostFile(inode, self._disk, write=write)

    def create(self, name: bytes, mode: int) -> MockHostFile:
        inode = MockNode(S_IFREG | mode)
        self._add(name, inode)
        return MockHostFile(inode, self._disk, write=True)

    def mkdir(self, name: bytes, mode: int) -> None:
        self._add(name, MockNode(S_IFDIR | mode, st_nlink=2))

    def symlink(self, target: bytes, name: bytes) -> None:
        self._add(name, MockNode(S_IFLNK | 0o777, bytearray(target)))

    def link(self, name: bytes, directory: MockDirectory, new_name: bytes) -> None:
        inode = self._find(name)
        directory._add(new_name, inode)
        inode.st_nlink += 1

    def unlink(self, name: bytes) -> None:
        if self._find(name).st_mode & S_IFMT == S_IFDIR:
            raise KernelError(E.EISDIR)
        self._remove(name)

    def rmdir(self, name: bytes) -> None:
        inode = self._find(name)
        if inode.st_mode & S_IFMT != S_IFDIR:
            raise KernelError(E.ENOTDIR)
        if inode.names:
            raise KernelError(E.ENOTEMPTY)
        self._remove(name)

    def rename(self, name: bytes, directory: MockDirectory, new_name: bytes, flags: int) -> None:
        self._find(name)
        if flags & ~1:
            raise KernelError(E.EINVAL)
        old = directory.inode.names.get(new_name)
        if old is not None:
            if flags & 1:  # RENAME_NOREPLACE
                raise KernelError(E.EEXIST)
            if old.names:
                raise KernelError(E.ENOTEMPTY)
            directory._remove(new_name)
        inode = self._remove(name)
        inode.st_nlink += 1
        directory._add(new_name, inode)

    def chmod(self, name: bytes, mode: int) -> None:
        inode = self._find(name)
        inode.st_mode = inode.st_mode & S_IFMT | mode
        inode.st_ctime_ns += 1

    def utime(self, name: bytes, atime_ns: int, mtime_ns: int) -> None:
        inode = self._find(name)
        inode.st_atime_ns, inode.st_mtime_ns = atime_ns, mtime_ns
        inode.st_ctime_ns += 1

    def close(self) -> None:
        pass


class MockBuffer:
    """SharedBuffer of the contract. ``handles`` counts how many are open on the same content."""

    def __init__(self, name: str, origin: MockBuffer | None = None) -> None:
        self.name = name
        self.data: bytearray = origin.data if origin else bytearray()
        self.handles: list[MockBuffer] = origin.handles if origin else []
        self._ino: int = origin._ino if origin else next(_inodes)
        #: Address spaces that have mapped it: what is cut off goes from private copies, too.
        self.mappers: WeakSet[MockMemory] = origin.mappers if origin else WeakSet()
        self.handles.append(self)

    @property
    def users(self) -> int:
        return len(self.handles)

    def key(self) -> tuple[int, int]:
        return 1, self._ino

    def share(self) -> MockBuffer:
        return MockBuffer(self.name, self)

    def size(self) -> int:
        return len(self.data)

    def read_at(self, size: int, offset: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        write_into(self.data, data, offset)
        return len(data)

    def truncate(self, size: int) -> None:
        resize(self.data, size)
        for memory in self.mappers:
            memory.cut(self.key(), size)

    def seal(self) -> None:
        if self.users > 1:
            raise KernelError(E.EBUSY)

    def close(self) -> None:
        self.handles.remove(self)  # closing a handle twice is a fault of the caller's


class MockStream:
    """HostStream of the contract: reads what was :meth:`feed`, keeps what is written in ``output``.

    ``capacity``: bytes that are taken before the reader must :meth:`drain`. ``terminal``: it says it is one.
    """

    def __init__(self, data: bytes = b"", *, capacity: int | None = None, terminal: bool = False) -> None:
        self.kind = S_IFCHR if terminal else S_IFIFO
        self.termios: bytes | None = bytes(60) if terminal else None
        self.winsize: bytes | None = b"\x18\0\x50\0" + bytes(4) if terminal else None
        self.queue = WaitQueue()
        self.output = bytearray()
        self.closed = False
        self._input = bytearray(data)
        self._ended = True
        self._capacity = capacity
        self._taken = 0
        self._broken = False

    # -- the user's side --------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """More input; the end of input is open until :meth:`end`."""
        self._ended = False
        self._input += data
        self.queue.wake()

    def open_input(self) -> None:
        """More input may follow: a read waits for it."""
        self._ended = False

    def end(self) -> None:
        self._ended = True
        self.queue.wake()

    def drain(self) -> None:
        """The reader took all that was written."""
        self._taken = 0
        self.queue.wake()

    def hang_up(self) -> None:
        """Nobody reads any more: writes are EPIPE."""
        self._broken = True
        self.queue.wake()

    # -- the contract -----------------------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        if not self._input and not self._ended:
            raise WouldBlock
        data = bytes(self._input[:size])
        del self._input[:size]
        return data

    def write(self, data: bytes | memoryview) -> int:
        if self._broken:
            raise KernelError(E.EPIPE)
        room = len(data) if self._capacity is None else self._capacity - self._taken
        if room <= 0:
            raise WouldBlock
        part = bytes(data[:room])
        self.output += part
        self._taken += len(part)
        return len(part)

    def poll(self) -> int:
        events = POLLIN if self._input or self._ended else 0
        if self._ended and not self._input:
            events |= POLLHUP
        if self._broken or self._capacity is None or self._taken < self._capacity:
            events |= POLLOUT
        return events

    def close(self) -> None:
        self.closed = True
