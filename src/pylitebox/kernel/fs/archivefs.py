"""A tar archive as a read-only file system, served where it lies: nothing is extracted, the archive is indexed once.

:class:`Index` is the tree that the members make, as tar(1) would extract it: of members with one name the last wins
(a directory keeps what is in it), directories that are missing are made, hard links share one file, names begin at the
root whether they say ``/``, ``./`` or nothing, and a name that leads through a symbolic link follows it, within the
tree. A name with ``..`` is refused. Owners, modes and times are the archive's; set-id bits are shown and mean nothing,
device nodes are there and cannot be opened (the mount is nodev). Whiteouts of image layers are ordinary files.

It is kept in columns, one entry for each file, and inodes are made when they are looked up: an archive of 100,000
members takes some 20 MB. The numbers of files, pieces and bytes of text are bounded (MAX_FILES, MAX_TEXT).

Data is read from the archive at its place. Members begin at multiples of 512 bytes, and a mapping at those of a page;
so a file that is mapped or executed is copied once into a shared buffer, of which guests get read-only handles. The
buffers that nobody needs are kept within MAX_KEPT bytes and MAX_BUFFERS, those used longest ago go first; a file of
more than MAX_MAPPED bytes, holes included, cannot be mapped (ENOMEM).

What changes the archive while it is used changes what is read, as on a disk; to replace it by another file is safe.
Missing: extended attributes other than user.* and trusted.*; access times are modification times.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pylitebox.abi import errno as E
from pylitebox.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, dtype
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs.tar import MAX_SIZE, ArchiveError, Member, Piece, ReadAt, Tar, shown
from pylitebox.kernel.fs.vfs import FileSystem, Inode, Stat, Statfs

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import HostFile, MapSource, SharedBuffer
    from pylitebox.kernel.wait import WaitQueue

#: Files of one archive, directories that it doesn't name included, and hard links; bytes of names, targets and
#: attributes.
MAX_FILES = 1 << 19
MAX_TEXT = 128 << 20
#: Pieces of all sparse files.
MAX_ALL_PIECES = 1 << 18
MAX_NAME = 255
#: Symbolic links on the way to one member, and steps that all such ways may take.
MAX_LINKS_FOLLOWED, MAX_STEPS = 40, 1 << 22
#: Paths of directories that are remembered while the index is made; what one attribute takes beside its text.
_REMEMBERED, _ATTRIBUTE_COST = 4096, 128
#: Copies of mapped files that are kept, and the largest file that is copied.
MAX_KEPT, MAX_BUFFERS, MAX_MAPPED = 256 << 20, 256, 1 << 30
#: Copies that wait for the disk; one more, and the oldest begins anew.
MAX_UNFINISHED = 16
#: Bytes that are read at once: of a sparse file, and to copy one.
MAX_READ, _COPY = 64 << 20, 1 << 20
#: Pieces and holes that are read at once.
_MOST_PARTS = 4096
#: The extended attributes that are shown.
_NAMESPACES = (b"user.", b"trusted.")
_BLOCK = 4096


class Index:
    """The tree. A file is a number, the root is 0; columns say the rest."""

    def __init__(self, now_ns: int) -> None:
        self._now = now_ns
        self._text = self._pieces = self._steps = self._links = 0
        self.mode, self.uid, self.gid, self.nlink = array("I"), array("I"), array("I"), array("I")
        self.size, self.mtime, self.offset = array("q"), array("q"), array("q")
        self.entries: dict[int, dict[bytes, int]] = {}
        self.targets: dict[int, bytes] = {}
        self.devices: dict[int, int] = {}
        self.xattrs: dict[int, dict[bytes, bytes]] = {}
        self.pieces: dict[int, list[Piece]] = {}
        self._directories: dict[bytes, int] = {}  # by path, while no name changes its meaning
        self._make(Member(b"", S_IFDIR | 0o755), now_ns)

    @classmethod
    def read(cls, read_at: ReadAt, size: int, now_ns: int) -> Index:
        """The index of the archive of ``size`` bytes that ``read_at(size, offset)`` gives; ArchiveError."""
        index = cls(now_ns)
        empty = True
        for member in Tar(read_at, size).members():
            index.add(member)
            empty = False
        if empty:
            raise ArchiveError("holds no file")
        index._directories.clear()
        return index

    def __len__(self) -> int:
        return len(self.mode)

    # -- building ---------------------------------------------------------------------------------------------

    def add(self, member: Member) -> None:
        """Take in one member, over what had its name before."""
        names = _split(member.name)
        if not names:
            if member.mode & S_IFMT != S_IFDIR or member.hard is not None:
                raise ArchiveError("has a root that is no directory")
            self._fill(0, member, member.mtime_ns)
            return
        directory = self._directory(names[:-1])
        entries, name = self.entries[directory], names[-1]
        old = entries.get(name)
        if member.hard is not None:
            number = self._target(member)
            if number == old:
                return
            self._drop(directory, name)
            self._links += 1
            if self._links > MAX_FILES:
                raise ArchiveError(f"holds more than {MAX_FILES} hard links")
            self.nlink[number] += 1
        elif old is not None and member.mode & S_IFMT == S_IFDIR == self.mode[old] & S_IFMT:
            self._fill(old, member, member.mtime_ns)
            return
        else:
            self._drop(directory, name)
            number = self._make(member, member.mtime_ns)
            if member.mode & S_IFMT == S_IFDIR:
                self.nlink[directory] += 1
        self._count(len(name))
        entries[name] = number

    def _make(self, member: Member, mtime_ns: int) -> int:
        number = len(self.mode)
        if number >= MAX_FILES:
            raise ArchiveError(f"holds more than {MAX_FILES} files")
        for column in (self.mode, self.uid, self.gid, self.nlink, self.size, self.mtime, self.offset):
            column.append(0)
        if member.mode & S_IFMT == S_IFDIR:
            self.entries[number] = {}
            self.nlink[number] = 2
        else:
            self.nlink[number] = 1
        self._fill(number, member, mtime_ns)
        return number

    def _fill(self, number: int, member: Member, mtime_ns: int) -> None:
        self.mode[number], self.uid[number], self.gid[number] = member.mode, member.uid, member.gid
        self.mtime[number] = mtime_ns
        kind = member.mode & S_IFMT
        if kind == S_IFREG:
            self.size[number], self.offset[number] = member.size, member.offset
            if member.pieces is not None:
                self._pieces += len(member.pieces)
                if self._pieces > MAX_ALL_PIECES:
                    raise ArchiveError("has sparse files of too many pieces")
                self.pieces[number] = member.pieces
        elif kind == S_IFLNK:
            if not member.target or b"\0" in member.target:
                raise ArchiveError(f"has a symbolic link {shown(member.name)} that leads nowhere")
            self._count(len(member.target))
            self.targets[number], self.size[number] = member.target, len(member.target)
        elif member.rdev:
            self.devices[number] = member.rdev
        self.xattrs.pop(number, None)
        if member.xattrs:
            self._attribute(number, member.xattrs)

    def _attribute(self, number: int, xattrs: dict[bytes, bytes]) -> None:
        kept = {name: value for name, value in xattrs.items() if name.startswith(_NAMESPACES) and len(name) <= MAX_NAME}
        if kept:
            self._count(sum(len(name) + len(value) + _ATTRIBUTE_COST for name, value in kept.items()))
            self.xattrs[number] = kept

    def _count(self, text: int) -> None:
        self._text += text
        if self._text > MAX_TEXT:
            raise ArchiveError(f"has more than {MAX_TEXT >> 20} MiB of names and attributes")

    def _drop(self, directory: int, name: bytes) -> None:
        """Let go of what has this name, with all beneath: what nobody reaches any more only takes up its number."""
        old = self.entries[directory].pop(name, None)
        if old is None:
            return
        self._directories.clear()
        self.nlink[old] -= 1
        if self.mode[old] & S_IFMT == S_IFDIR:
            self.nlink[directory] -= 1

    def _target(self, member: Member) -> int:
        """What a hard link leads to."""
        assert member.hard is not None
        names = _split(member.hard)
        found = self._find(names[:-1]) if names else None
        number = self.entries[found].get(names[-1]) if found is not None else None
        if number is None or self.mode[number] & S_IFMT == S_IFDIR:
            why = "a directory" if number is not None else "not in it before"
            raise ArchiveError(f"has a hard link {shown(member.name)} to {shown(member.hard)}, which is {why}")
        return number

    def _directory(self, names: list[bytes]) -> int:
        """The directory of this path, made where it is missing; what is in its place and is none has to go."""
        path = b"/".join(names)
        known = self._directories.get(path)
        if known is not None:
            return known
        number = 0
        for place, name in enumerate(names):
            following = self.entries[number].get(name)
            if following is not None and self.mode[following] & S_IFMT == S_IFLNK:
                following = self._find(names[: place + 1])
            if following is None or self.mode[following] & S_IFMT != S_IFDIR:
                self._drop(number, name)
                following = self._make(Member(b"", S_IFDIR | 0o755), self._now)
                self._count(len(name))
                self.entries[number][name] = following
                self.nlink[number] += 1
            number = following
        if len(self._directories) >= _REMEMBERED:
            self._directories.clear()
        self._directories[path] = number
        return number

    def _find(self, names: list[bytes]) -> int | None:
        """The directory of this path, through symbolic links, or None."""
        stack, left, followed = [0], names[::-1], 0
        while left:
            name = left.pop()
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise ArchiveError("has too many names that lead through symbolic links")
            if name == b"..":
                stack = stack[:-1] or [0]
                continue
            number = self.entries[stack[-1]].get(name)
            if number is None:
                return None
            kind = self.mode[number] & S_IFMT
            if kind == S_IFLNK:
                followed += 1
                if followed > MAX_LINKS_FOLLOWED:
                    return None
                target = self.targets[number]
                if target.startswith(b"/"):
                    stack = [0]
                left += [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]
            elif kind == S_IFDIR:
                stack.append(number)
            else:
                return None
        return stack[-1]


def _split(name: bytes) -> list[bytes]:
    """The components of a member's name."""
    names = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b"\0" in name or b".." in names or any(len(part) > MAX_NAME for part in names):
        raise ArchiveError(f"has a member whose name no file can have: {shown(name)}")
    return names


class ArchiveInode(Inode):
    """File number ``ino - 1`` of the index."""

    filesystem: ArchiveFs

    def __init__(self, filesystem: ArchiveFs, number: int) -> None:
        index = filesystem.index
        super().__init__(filesystem, number + 1, index.mode[number], index.uid[number], index.gid[number])
        self.number = number
        self.rdev = index.devices.get(number, 0)

    @property
    def size(self) -> int:
        index = self.filesystem.index
        if self.mode & S_IFMT == S_IFDIR:
            return len(index.entries[self.number]) * 20
        return index.size[self.number]

    @property
    def nlink(self) -> int:
        return self.filesystem.index.nlink[self.number]

    def stat(self) -> Stat:
        fs, size = self.filesystem, self.size
        t = fs.index.mtime[self.number]
        blocks = (self._stored() + _BLOCK - 1) // _BLOCK * (_BLOCK >> 9) if self.mode & S_IFMT == S_IFREG else 0
        return Stat(
            fs.dev, self.ino, self.mode, self.nlink, self.uid, self.gid, self.rdev, size, _BLOCK, blocks, t, t, t, t
        )

    def version(self) -> object:
        return self.ino

    # -- directories ------------------------------------------------------------------------------------------

    def lookup(self, name: bytes) -> Inode:
        if self.mode & S_IFMT != S_IFDIR:
            raise KernelError(E.ENOTDIR)
        number = self.filesystem.index.entries[self.number].get(name)
        if number is None:
            raise KernelError(E.ENOENT)
        return self.filesystem.inode(number)

    def readdir(self) -> list[tuple[bytes, int, int]]:
        if self.mode & S_IFMT != S_IFDIR:
            raise KernelError(E.ENOTDIR)
        mode = self.filesystem.index.mode
        entries = self.filesystem.index.entries[self.number]
        return [(name, number + 1, dtype(mode[number])) for name, number in entries.items()]

    # -- files ------------------------------------------------------------------------------------------------

    def _stored(self) -> int:
        """The bytes of it that the archive holds."""
        pieces = self.filesystem.index.pieces.get(self.number)
        return sum(length for _, length, _ in pieces) if pieces is not None else self.size

    def read_at(self, size: int, offset: int) -> bytes:
        index = self.filesystem.index
        size = min(size, index.size[self.number] - offset)
        if size <= 0:
            return b""
        pieces = index.pieces.get(self.number)
        if pieces is None:
            return self.filesystem.file.read_at(size, index.offset[self.number] + offset)
        parts: list[bytes] = []
        size = min(size, MAX_READ)
        while size:
            try:
                parts.append(self._piece(pieces, size, offset))
            except WouldBlock:
                if parts:
                    break
                raise
            if not parts[-1] or len(parts) == _MOST_PARTS:
                break
            size, offset = size - len(parts[-1]), offset + len(parts[-1])
        return b"".join(parts)

    def _piece(self, pieces: list[Piece], size: int, offset: int) -> bytes:
        """Some of a sparse file: from one of its pieces, or from one of its holes."""
        place = bisect_right(pieces, (offset, MAX_SIZE, 0)) - 1
        if place >= 0 and offset < pieces[place][0] + pieces[place][1]:
            start, length, source = pieces[place]
            return self.filesystem.file.read_at(min(size, start + length - offset), source + offset - start)
        following = pieces[place + 1][0] if place + 1 < len(pieces) else offset + size
        return bytes(min(size, following - offset))

    def seek_data(self, offset: int, *, hole: bool) -> int:
        size, pieces = self.size, self.filesystem.index.pieces.get(self.number)
        if pieces is None:
            return size if hole else offset
        for start, length, _ in pieces[max(0, bisect_right(pieces, (offset, MAX_SIZE, 0)) - 1) :]:
            if start + length <= offset:
                continue
            if not hole:
                return max(start, offset)
            if offset < start:
                return offset
            offset = start + length
        if hole:
            return min(offset, size)
        raise KernelError(E.ENXIO)

    def map_source(self, *, write: bool) -> MapSource:
        if write:
            raise KernelError(E.EACCES)
        return self.filesystem.buffer(self).share()

    def copy_to(self, buffer: SharedBuffer, start: int) -> int:
        """Copy on from ``start``; where it stopped, since the host must wait for its disk (or has no more)."""
        pieces = self.filesystem.index.pieces.get(self.number)
        for first, length, _ in pieces if pieces is not None else [(0, self.size, 0)]:
            place = max(first, start)
            while place < first + length:
                try:
                    data = self.read_at(min(_COPY, first + length - place), place)
                except WouldBlock:
                    return place
                if not data:  # the archive was cut while we used it
                    raise KernelError(E.EIO)
                place += buffer.write_at(data, place)
        return self.size

    @property
    def ready(self) -> WaitQueue | None:
        return self.filesystem.file.ready

    # -- links and attributes ---------------------------------------------------------------------------------

    def readlink(self) -> bytes:
        target = self.filesystem.index.targets.get(self.number)
        if target is None:
            raise KernelError(E.EINVAL)
        return target

    def get_xattr(self, name: bytes) -> bytes:
        if not name.startswith(_NAMESPACES):
            raise KernelError(E.EOPNOTSUPP)
        value = self.filesystem.index.xattrs.get(self.number, {}).get(name)
        if value is None:
            raise KernelError(E.ENODATA)
        return value

    def list_xattr(self) -> list[bytes]:
        return list(self.filesystem.index.xattrs.get(self.number, ()))


class ArchiveFs(FileSystem):
    """``file`` is the archive (unpacked, if it was compressed) that ``index`` was read from."""

    name = "tarfs"
    magic = 0x74617266  # "tarf": nothing else has it
    readonly = True

    def __init__(self, kernel: Kernel, file: HostFile, index: Index, *, source: str = "rootfs") -> None:
        super().__init__(kernel, source=source)
        self.file = file
        self.index = index
        self._inodes: WeakValueDictionary[int, ArchiveInode] = WeakValueDictionary()
        #: Copies of mapped files, and how far those are that wait for the disk.
        self._buffers: OrderedDict[int, SharedBuffer] = OrderedDict()
        self._kept = 0
        self._unfinished: OrderedDict[int, tuple[SharedBuffer, int]] = OrderedDict()
        self.root: Inode = self.inode(0)

    def inode(self, number: int) -> ArchiveInode:
        inode = self._inodes.get(number)
        if inode is None:
            inode = self._inodes[number] = ArchiveInode(self, number)
        return inode

    def buffer(self, inode: ArchiveInode) -> SharedBuffer:
        """The bytes of a file in a buffer that the file system owns; WouldBlock keeps what came so far."""
        buffer = self._buffers.get(inode.number)
        if buffer is not None:
            self._buffers.move_to_end(inode.number)
            return buffer
        buffer, done = self._unfinished.pop(inode.number, (None, 0))
        if buffer is None:
            if inode.size > MAX_MAPPED:  # holes count: who maps them has the host fill them
                raise KernelError(E.ENOMEM)
            buffer = self.kernel.platform.shared_buffer(f"file:{inode.ino}")
        try:
            if not done:
                buffer.truncate(inode.size)
            done = inode.copy_to(buffer, done)
        except BaseException:
            buffer.close()
            raise
        if done < inode.size:
            self._unfinished[inode.number] = (buffer, done)
            if len(self._unfinished) > MAX_UNFINISHED:
                self._unfinished.popitem(last=False)[1][0].close()
            raise WouldBlock
        self._buffers[inode.number] = buffer
        self._kept += inode.size
        while len(self._buffers) > 1 and (self._kept > MAX_KEPT or len(self._buffers) > MAX_BUFFERS):
            number, oldest = self._buffers.popitem(last=False)
            self._kept -= self.index.size[number]
            oldest.close()  # whoever maps it keeps its memory
        return buffer

    def statfs(self) -> Statfs:
        return Statfs(self.magic, _BLOCK, 1 << 20, 0, 0, len(self.index), 0, self.dev, MAX_NAME, _BLOCK, 0)
