"""Open regular files and directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import (
    O_APPEND,
    O_PATH,
    RWF_HIPRI,
    RWF_NOWAIT,
    RWF_SUPPORTED,
    SEEK_CUR,
    SEEK_DATA,
    SEEK_END,
    SEEK_HOLE,
    SEEK_SET,
)
from pylitebox.abi.inotify import IN_ACCESS, IN_MODIFY
from pylitebox.abi.ioctl import FIONREAD
from pylitebox.abi.stat import DT_DIR
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.fs.notify import on_file, watched

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import Inode, Location
    from pylitebox.kernel.platform import MapSource
    from pylitebox.kernel.task import Task
    from pylitebox.kernel.wait import WaitQueue

MAX_OFFSET = (1 << 63) - 1
#: What an entry of a kept listing takes, bytes.
ENTRY_COST = 128


class RegularFile(File):
    """A regular file: a position over the inode's bytes."""

    inode: Inode
    rwf_read = rwf_write = RWF_SUPPORTED & ~RWF_NOWAIT
    can_direct = True

    def __init__(self, inode: Inode, flags: int, location: Location | None) -> None:
        super().__init__(flags, inode=inode, location=location)
        inode.acquire(write=self.writable)

    def read(self, size: int) -> bytes:
        if self.position + size > MAX_OFFSET:  # rw_verify_area()
            raise KernelError(E.EINVAL)
        data = self.inode.read_at(size, self.position)
        self.position += len(data)
        if watched and data:
            on_file(self, IN_ACCESS)
        return data

    def write(self, data: bytes | memoryview) -> int:
        if not data:  # generic_write_checks(): nothing happens, not even to times
            return 0
        position = self.inode.size if self.flags & O_APPEND else self.position
        if position + len(data) > MAX_OFFSET:
            raise KernelError(E.EINVAL)
        done = self.inode.write_at(data, position)
        self.position = position + done
        if watched and done:
            on_file(self, IN_MODIFY)
        return done

    def pread(self, size: int, offset: int) -> bytes:
        if offset + size > MAX_OFFSET:
            raise KernelError(E.EINVAL)
        data = self.inode.read_at(size, offset)
        if watched and data:
            on_file(self, IN_ACCESS)
        return data

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        if not data:
            return 0
        if offset + len(data) > MAX_OFFSET:
            raise KernelError(E.EINVAL)
        # With O_APPEND Linux appends whatever the offset says (man 2 pwrite, BUGS).
        done = self.inode.write_at(data, self.inode.size if self.flags & O_APPEND else offset)
        if watched and done:
            on_file(self, IN_MODIFY)
        return done

    def seek(self, offset: int, whence: int) -> int:
        if whence == SEEK_SET:
            position = offset
        elif whence == SEEK_CUR:
            position = self.position + offset
        elif whence == SEEK_END:
            position = self.inode.size + offset
        elif whence in (SEEK_DATA, SEEK_HOLE):
            if not 0 <= offset < self.inode.size:
                raise KernelError(E.ENXIO)
            position = self.inode.seek_data(offset, hole=whence == SEEK_HOLE)
        else:
            raise KernelError(E.EINVAL)
        if not 0 <= position <= MAX_OFFSET:
            raise KernelError(E.EINVAL)
        self.position = position
        return position

    def truncate(self, size: int) -> None:
        if not self.writable:
            raise KernelError(E.EINVAL)
        self.inode.truncate(size)
        if watched:
            on_file(self, IN_MODIFY)

    def allocate(self, mode: int, offset: int, size: int) -> None:
        self.inode.allocate(mode, offset, size)
        if watched:
            on_file(self, IN_MODIFY)

    def fsync(self) -> None:
        self.inode.sync()

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        if request == FIONREAD:
            left = self.inode.size - self.position
            task.memory.write(argument, (left & 0xFFFFFFFF).to_bytes(4, "little"))
            return 0
        raise KernelError(E.ENOTTY)

    def map_source(self) -> MapSource:
        return self.inode.map_source(write=self.writable)

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        ready = self.inode.ready
        return (ready,) if ready is not None else ()

    def release(self) -> None:
        self.inode.release()


class DirectoryFile(File):
    """An open directory. Its entries are listed when it is read from the start; ``position`` counts in that list, so
    that it stays meaningful while entries come and go (man 3 readdir leaves open whether changes are seen). If the
    listings of all open directories get too large, further ones are not kept but made anew for each read."""

    inode: Inode
    location: Location
    rwf_read = RWF_HIPRI
    rwf_write = None

    def __init__(self, inode: Inode, flags: int, location: Location) -> None:
        super().__init__(flags, inode=inode, location=location)
        self._entries: list[tuple[bytes, int, int]] | None = None
        self._kept = 0  # what they count in the budget of listings

    def read(self, size: int) -> bytes:
        raise KernelError(E.EISDIR)

    def pread(self, size: int, offset: int) -> bytes:
        raise KernelError(E.EISDIR)

    def write(self, data: bytes | memoryview) -> int:
        raise KernelError(E.EBADF)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        raise KernelError(E.EBADF)

    def readdir(self) -> list[tuple[bytes, int, int]]:
        entries = self._entries
        if entries is None or not self.position:
            inode, location = self.inode, self.location
            if location.dentry.deleted:
                raise KernelError(E.ENOENT)
            entries = [(b".", inode.ino, DT_DIR), (b"..", location.parent.inode.ino, DT_DIR), *inode.readdir()]
            self.release()
            cost = ENTRY_COST * len(entries)
            budget = inode.filesystem.kernel.listings
            if budget.fits(cost):
                budget.take(cost)
                self._entries, self._kept = entries, cost
        if watched:
            on_file(self, IN_ACCESS)
        return entries[self.position :] if self.position else entries

    def seek(self, offset: int, whence: int) -> int:
        if whence == SEEK_CUR:
            offset += self.position
        elif whence != SEEK_SET:
            raise KernelError(E.EINVAL)
        if not 0 <= offset <= MAX_OFFSET:
            raise KernelError(E.EINVAL)
        self.position = offset
        return offset

    def release(self) -> None:
        """Let go of the listing."""
        self._entries = None
        self.inode.filesystem.kernel.listings.give(self._kept)
        self._kept = 0

    def fsync(self) -> None:
        self.inode.sync()


class PathFile(File):
    """A place held by O_PATH: good for *at(), fchdir and fstat, for nothing that needs an open file (EBADF)."""

    def __init__(self, inode: Inode, flags: int, location: Location) -> None:
        super().__init__(flags | O_PATH, inode=inode, location=location)

    def read(self, size: int) -> bytes:
        raise KernelError(E.EBADF)

    def write(self, data: bytes | memoryview) -> int:
        raise KernelError(E.EBADF)

    def pread(self, size: int, offset: int) -> bytes:
        raise KernelError(E.EBADF)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        raise KernelError(E.EBADF)

    def seek(self, offset: int, whence: int) -> int:
        raise KernelError(E.EBADF)

    def truncate(self, size: int) -> None:
        raise KernelError(E.EBADF)

    def fsync(self) -> None:
        raise KernelError(E.EBADF)

    def readdir(self) -> list[tuple[bytes, int, int]]:
        raise KernelError(E.EBADF)

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        raise KernelError(E.EBADF)

    def map_source(self) -> MapSource:
        raise KernelError(E.EBADF)
