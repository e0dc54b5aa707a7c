"""Names and directories, one call each; what is made of several calls is in trees.py."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, AnyStr, Generic, Self, cast, overload

from pylitebox.abi.fcntl import AT_REMOVEDIR, AT_SYMLINK_FOLLOW, O_CLOEXEC, O_DIRECTORY, O_RDONLY, PATH_MAX
from pylitebox.abi.stat import DT_DIR, DT_LNK, DT_REG, DT_UNKNOWN, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, makedev
from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from pylitebox.north.posix.arguments import FdLike, FdOrPath, StrPath
    from pylitebox.north.posix.results import stat_result

#: struct linux_dirent64 before its name: ino, off, reclen, type.
_DIRENT64 = struct.Struct("<QqHB")
_ROOM = 1 << 16


class DirEntry(Generic[AnyStr]):
    """As ``os.DirEntry``: what a directory says of an entry is known, what it does not say is asked for once."""

    __slots__ = ("_at", "_ino", "_kind", "_os", "_stats", "name", "path")

    def __init__(self, os: Metadata, name: AnyStr, path: AnyStr, at: int | None, ino: int, kind: int) -> None:
        self.name: AnyStr = name
        self.path: AnyStr = path  # the name alone, if a descriptor was scanned
        self._os = os
        self._at = at  # the descriptor that was scanned
        self._ino = ino
        self._kind = kind  # DT_*
        self._stats: dict[bool, stat_result] = {}

    def inode(self) -> int:
        return self._ino

    def stat(self, *, follow_symlinks: bool = True) -> stat_result:
        if self._kind not in (DT_LNK, DT_UNKNOWN):
            follow_symlinks = False  # the same, and asked for once
        known = self._stats.get(follow_symlinks)
        if known is None:
            known = self._os.stat(self.path, dir_fd=self._at, follow_symlinks=follow_symlinks)
            self._stats[follow_symlinks] = known
        return known

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._is(DT_DIR, S_IFDIR, follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._is(DT_REG, S_IFREG, follow_symlinks=follow_symlinks)

    def is_symlink(self) -> bool:
        return self._is(DT_LNK, S_IFLNK, follow_symlinks=False)

    def is_junction(self) -> bool:
        return False

    def _is(self, kind: int, mode: int, *, follow_symlinks: bool) -> bool:
        if self._kind == DT_UNKNOWN or (self._kind == DT_LNK and follow_symlinks):
            try:
                found: int = self.stat(follow_symlinks=follow_symlinks).st_mode
            except FileNotFoundError:
                return False
            return found & S_IFMT == mode
        return self._kind == kind

    def __fspath__(self) -> AnyStr:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"


class ScandirIterator(Generic[AnyStr]):
    """What scandir() gives: an iterator that ends early with :meth:`close` or its ``with`` block."""

    def __init__(self, entries: Iterator[DirEntry[AnyStr]]) -> None:
        self._entries: Iterator[DirEntry[AnyStr]] = entries

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> DirEntry[AnyStr]:
        return next(self._entries)

    def close(self) -> None:
        self._entries = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Directories(Metadata):
    # -- reading ----------------------------------------------------------------------------------------------

    @overload
    def listdir(self, path: int | str | PathLike[str] | None = None) -> list[str]: ...
    @overload
    def listdir(self, path: bytes | PathLike[bytes]) -> list[bytes]: ...
    def listdir(self, path: FdOrPath | None = None) -> list[str] | list[bytes]:
        where = "." if path is None else path
        names = [name for name, _, _ in self._entries(where)]
        if not arg.is_fd(where) and isinstance(arg.fspath(where), bytes):
            return names
        return [arg.decode(name) for name in names]

    @overload
    def scandir(self, path: int | str | PathLike[str] | None = None) -> ScandirIterator[str]: ...
    @overload
    def scandir(self, path: bytes | PathLike[bytes]) -> ScandirIterator[bytes]: ...
    def scandir(self, path: FdOrPath | None = None) -> ScandirIterator[str] | ScandirIterator[bytes]:
        where = "." if path is None else path
        entries = self._entries(where)
        if arg.is_fd(where):
            at = arg.path_fd(where)
            names = ((arg.decode(name), ino, kind) for name, ino, kind in entries)
            return ScandirIterator(iter([DirEntry(self, name, name, at, ino, kind) for name, ino, kind in names]))
        base = arg.fspath(where)
        if isinstance(base, bytes):
            head = base if base.endswith(b"/") else base + b"/"
            return ScandirIterator(iter([DirEntry(self, n, head + n, None, ino, kind) for n, ino, kind in entries]))
        front = base if base.endswith("/") else base + "/"
        names = ((arg.decode(name), ino, kind) for name, ino, kind in entries)
        return ScandirIterator(iter([DirEntry(self, n, front + n, None, ino, kind) for n, ino, kind in names]))

    def _entries(self, path: FdOrPath) -> list[tuple[bytes, int, int]]:
        """(name, inode number, d_type) of each entry, without . and .. ."""
        if arg.is_fd(path):
            fd = self._call("dup", arg.path_fd(path))
        else:
            flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
            fd = self._call("openat", arg.dirfd(None), arg.path(path), flags, 0, names=(path,))
        try:
            if arg.is_fd(path):
                self._call("lseek", fd, 0, 0)
            return self._read_entries(fd)
        finally:
            self._call("close", fd)

    def _read_entries(self, fd: int) -> list[tuple[bytes, int, int]]:
        entries = []
        raw = bytearray(_ROOM)
        while size := self._getdents(fd, raw):
            at = 0
            while at < size:
                ino, _, length, kind = _DIRENT64.unpack_from(raw, at)
                name = bytes(raw[at + _DIRENT64.size : at + length]).partition(b"\0")[0]
                if name not in (b".", b".."):
                    entries.append((name, ino, kind))
                at += length
        return entries

    def _getdents(self, fd: int, raw: bytearray) -> int:
        try:
            return self._call("getdents64", fd, raw, len(raw))
        except FileNotFoundError:  # the directory was removed: POSIX calls this its end
            return 0

    # -- the working directory and the root -------------------------------------------------------------------

    def getcwdb(self) -> bytes:
        raw = bytearray(PATH_MAX)
        size = self._call("getcwd", raw, len(raw))
        return bytes(raw[: size - 1])

    def getcwd(self) -> str:
        return arg.decode(self.getcwdb())

    def chdir(self, path: FdOrPath) -> None:
        if arg.is_fd(path):
            self._call("fchdir", arg.path_fd(path), names=(path,))
        else:
            self._call("chdir", arg.path(path), names=(path,))

    def fchdir(self, fd: FdLike) -> None:
        self._call("fchdir", arg.fd(fd))

    def chroot(self, path: StrPath) -> None:
        self._call("chroot", arg.path(path), names=(path,))

    # -- making and removing ----------------------------------------------------------------------------------

    def mkdir(self, path: StrPath, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._call("mkdirat", arg.dirfd(dir_fd), arg.path(path), arg.c_int(mode), names=(path,))

    def rmdir(self, path: StrPath, *, dir_fd: int | None = None) -> None:
        self._call("unlinkat", arg.dirfd(dir_fd), arg.path(path), AT_REMOVEDIR, names=(path,))

    def unlink(self, path: StrPath, *, dir_fd: int | None = None) -> None:
        self._call("unlinkat", arg.dirfd(dir_fd), arg.path(path), 0, names=(path,))

    def remove(self, path: StrPath, *, dir_fd: int | None = None) -> None:
        self.unlink(path, dir_fd=dir_fd)

    def mkfifo(self, path: StrPath, mode: int = 0o666, *, dir_fd: int | None = None) -> None:
        self._call("mknodat", arg.dirfd(dir_fd), arg.path(path), arg.c_int(mode) & 0o7777 | S_IFIFO, 0)

    def mknod(self, path: StrPath, mode: int = 0o600, device: int = 0, *, dir_fd: int | None = None) -> None:
        self._call("mknodat", arg.dirfd(dir_fd), arg.path(path), arg.c_int(mode), device)

    def makedev(self, major: int, minor: int, /) -> int:
        return makedev(major, minor)

    def major(self, device: int, /) -> int:
        return device >> 8 & 0xFFF | device >> 32 & ~0xFFF

    def minor(self, device: int, /) -> int:
        return device & 0xFF | device >> 12 & ~0xFF

    # -- renaming and linking ---------------------------------------------------------------------------------

    def rename(
        self, src: StrPath, dst: StrPath, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        old, new = arg.path(src), arg.path(dst)
        self._call("renameat", arg.dirfd(src_dir_fd), old, arg.dirfd(dst_dir_fd), new, names=(src, dst))

    def replace(
        self, src: StrPath, dst: StrPath, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        self.rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def link(
        self,
        src: StrPath,
        dst: StrPath,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        """As ``os.link`` on Linux: with no other argument it is link(2), which does not follow a symbolic link."""
        old, new = arg.path(src), arg.path(dst)
        plain = src_dir_fd is None and dst_dir_fd is None
        flags = AT_SYMLINK_FOLLOW if follow_symlinks and not plain else 0
        self._call("linkat", arg.dirfd(src_dir_fd), old, arg.dirfd(dst_dir_fd), new, flags, names=(src, dst))

    def symlink(
        self, src: StrPath, dst: StrPath, target_is_directory: bool = False, *, dir_fd: int | None = None
    ) -> None:
        self._call("symlinkat", arg.path(src), arg.dirfd(dir_fd), arg.path(dst), names=(src, dst))

    def readlink(self, path: AnyStr | PathLike[AnyStr], *, dir_fd: int | None = None) -> AnyStr:
        raw = bytearray(PATH_MAX)
        size = self._call("readlinkat", arg.dirfd(dir_fd), arg.path(path), raw, len(raw), names=(path,))
        target = bytes(raw[:size])
        return cast("AnyStr", target if isinstance(arg.fspath(path), bytes) else arg.decode(target))
