"""Opening, reading and writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import MAX_RW_COUNT, O_CLOEXEC
from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.call import Calls, Room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pylitebox.north.posix.arguments import FdLike, FdOrPath, ReadableBuffer, StrPath, WritableBuffer


class Files(Calls):
    def open(self, path: StrPath, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        name = arg.path(path)
        return self._call(
            "openat", arg.dirfd(dir_fd), name, arg.c_int(flags) | O_CLOEXEC, arg.c_int(mode), names=(path,)
        )

    def read(self, fd: int, length: int, /) -> bytes:
        if length < 0:
            raise self._failure(E.EINVAL)
        room = Room(min(arg.c_long(length), MAX_RW_COUNT))
        self._call("read", arg.c_int(fd), room, room.size)
        return bytes(room.data)

    def write(self, fd: int, data: ReadableBuffer, /) -> int:
        view = arg.data(data)
        return self._call("write", arg.c_int(fd), view, len(view))

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        if length < 0:
            raise self._failure(E.EINVAL)
        room = Room(min(arg.c_long(length), MAX_RW_COUNT))
        self._call("pread64", arg.c_int(fd), room, room.size, arg.c_long(offset))
        return bytes(room.data)

    def pwrite(self, fd: int, buffer: ReadableBuffer, offset: int, /) -> int:
        view = arg.data(buffer)
        return self._call("pwrite64", arg.c_int(fd), view, len(view), arg.c_long(offset))

    def readv(self, fd: int, buffers: Sequence[WritableBuffer], /) -> int:
        views = [arg.writable(buffer) for buffer in buffers]
        return self._call("readv", arg.c_int(fd), views, len(views))

    def writev(self, fd: int, buffers: Sequence[ReadableBuffer], /) -> int:
        views = [arg.data(buffer) for buffer in buffers]
        return self._call("writev", arg.c_int(fd), views, len(views))

    def preadv(self, fd: int, buffers: Sequence[WritableBuffer], offset: int, flags: int = 0, /) -> int:
        views = [arg.writable(buffer) for buffer in buffers]
        return self._positioned("preadv", fd, views, offset, flags)

    def pwritev(self, fd: int, buffers: Sequence[ReadableBuffer], offset: int, flags: int = 0, /) -> int:
        views = [arg.data(buffer) for buffer in buffers]
        return self._positioned("pwritev", fd, views, offset, flags)

    def _positioned(self, name: str, fd: int, views: list[memoryview], offset: int, flags: int) -> int:
        if flags:
            return self._call(name + "2", arg.c_int(fd), views, len(views), arg.c_long(offset), 0, arg.c_int(flags))
        return self._call(name, arg.c_int(fd), views, len(views), arg.c_long(offset))

    def lseek(self, fd: int, position: int, whence: int, /) -> int:
        return self._call("lseek", arg.c_int(fd), arg.c_long(position), arg.c_int(whence))

    # -- size, and the way to the disk ------------------------------------------------------------------------

    def truncate(self, path: FdOrPath, length: int) -> None:
        if arg.is_fd(path):
            self._call("ftruncate", arg.path_fd(path), arg.c_long(length))
        else:
            self._call("truncate", arg.path(path), arg.c_long(length), names=(path,))

    def ftruncate(self, fd: int, length: int, /) -> None:
        self._call("ftruncate", arg.c_int(fd), arg.c_long(length))

    def posix_fallocate(self, fd: int, offset: int, length: int, /) -> None:
        self._call("fallocate", arg.c_int(fd), 0, arg.c_long(offset), arg.c_long(length))

    def posix_fadvise(self, fd: int, offset: int, length: int, advice: int, /) -> None:
        self._call("fadvise64", arg.c_int(fd), arg.c_long(offset), arg.c_long(length), arg.c_int(advice))

    def fsync(self, fd: FdLike) -> None:
        self._call("fsync", arg.fd(fd))

    def fdatasync(self, fd: FdLike) -> None:
        self._call("fdatasync", arg.fd(fd))

    def sync(self) -> None:
        self._call("sync")
