"""What is known about files, and changing it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pylitebox.abi.fcntl import AT_EACCESS, AT_SYMLINK_NOFOLLOW
from pylitebox.abi.stat import STAT_X86_64, STATFS
from pylitebox.abi.time import TIMESPEC
from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix import results
from pylitebox.north.posix.call import Calls

if TYPE_CHECKING:
    from pylitebox.north.posix.arguments import FdOrPath, StrPath

_NS = 1_000_000_000


def _nofollow(*, follow_symlinks: bool) -> int:
    return 0 if follow_symlinks else AT_SYMLINK_NOFOLLOW


def _check_fd(name: str, dir_fd: int | None, *, follow_symlinks: bool) -> None:
    """A descriptor in place of a path leaves nothing to say."""
    if dir_fd is not None:
        raise ValueError(f"{name}: can't specify dir_fd without matching path")
    if not follow_symlinks:
        raise ValueError(f"{name}: cannot use fd and follow_symlinks together")


class Metadata(Calls):
    # -- stat -------------------------------------------------------------------------------------------------

    def stat(self, path: FdOrPath, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> results.stat_result:
        raw = bytearray(STAT_X86_64.size)
        if arg.is_fd(path):
            _check_fd("stat", dir_fd, follow_symlinks=follow_symlinks)
            self._call("fstat", arg.path_fd(path), raw, names=(path,))
        else:
            flags = _nofollow(follow_symlinks=follow_symlinks)
            self._call("newfstatat", arg.dirfd(dir_fd), arg.path(path), raw, flags, names=(path,))
        return results.stat_result(raw)

    def lstat(self, path: StrPath, *, dir_fd: int | None = None) -> results.stat_result:
        raw = bytearray(STAT_X86_64.size)
        name = arg.path(path)
        self._call("newfstatat", arg.dirfd(dir_fd), name, raw, AT_SYMLINK_NOFOLLOW, names=(path,))
        return results.stat_result(raw)

    def fstat(self, fd: int) -> results.stat_result:
        raw = bytearray(STAT_X86_64.size)
        self._call("fstat", arg.c_int(fd), raw)
        return results.stat_result(raw)

    def access(
        self,
        path: StrPath,
        mode: int,
        *,
        dir_fd: int | None = None,
        effective_ids: bool = False,
        follow_symlinks: bool = True,
    ) -> bool:
        flags = _nofollow(follow_symlinks=follow_symlinks) | (AT_EACCESS if effective_ids else 0)
        name = arg.path(path)
        try:
            self._call("faccessat2", arg.dirfd(dir_fd), name, arg.c_int(mode), flags)
        except OSError:
            return False
        return True

    def statvfs(self, path: FdOrPath) -> results.statvfs_result:
        raw = bytearray(STATFS.size)
        if arg.is_fd(path):
            self._call("fstatfs", arg.path_fd(path), raw, names=(path,))
        else:
            self._call("statfs", arg.path(path), raw, names=(path,))
        return results.statvfs(raw)

    def fstatvfs(self, fd: int, /) -> results.statvfs_result:
        raw = bytearray(STATFS.size)
        self._call("fstatfs", arg.c_int(fd), raw)
        return results.statvfs(raw)

    # -- mode and owner ---------------------------------------------------------------------------------------

    def chmod(self, path: FdOrPath, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
        if arg.is_fd(path):
            _check_fd("chmod", dir_fd, follow_symlinks=follow_symlinks)
            self._call("fchmod", arg.path_fd(path), arg.c_int(mode), names=(path,))
            return
        flags = _nofollow(follow_symlinks=follow_symlinks)
        self._call("fchmodat2", arg.dirfd(dir_fd), arg.path(path), arg.c_int(mode), flags, names=(path,))

    def fchmod(self, fd: int, mode: int) -> None:
        self._call("fchmod", arg.c_int(fd), arg.c_int(mode))

    def chown(
        self, path: FdOrPath, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        owner = arg.ident(uid), arg.ident(gid)
        if arg.is_fd(path):
            _check_fd("chown", dir_fd, follow_symlinks=follow_symlinks)
            self._call("fchown", arg.path_fd(path), *owner, names=(path,))
            return
        flags = _nofollow(follow_symlinks=follow_symlinks)
        self._call("fchownat", arg.dirfd(dir_fd), arg.path(path), *owner, flags, names=(path,))

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        self._call("fchown", arg.c_int(fd), arg.ident(uid), arg.ident(gid))

    def lchown(self, path: StrPath, uid: int, gid: int) -> None:
        self._call("lchown", arg.path(path), arg.ident(uid), arg.ident(gid), names=(path,))

    def umask(self, mask: int, /) -> int:
        return self._call("umask", arg.c_int(mask))

    # -- times ------------------------------------------------------------------------------------------------

    def utime(
        self,
        path: FdOrPath,
        times: tuple[float, float] | None = None,
        *,
        ns: tuple[int, int] | None = None,
        dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        if times is not None and ns is not None:
            raise ValueError("utime: you may specify either 'times' or 'ns' but not both")
        pair = _timespecs(times, ns)
        if arg.is_fd(path):
            _check_fd("utime", dir_fd, follow_symlinks=follow_symlinks)
            self._call("utimensat", arg.path_fd(path), None, pair, 0, names=(path,))
            return
        flags = _nofollow(follow_symlinks=follow_symlinks)
        self._call("utimensat", arg.dirfd(dir_fd), arg.path(path), pair, flags, names=(path,))


def _timespecs(times: tuple[float, float] | None, ns: tuple[int, int] | None) -> bytearray | None:
    """Two struct timespec; None for now."""
    if times is None and ns is None:
        return None
    given: tuple[float, ...] | None = ns if times is None else times
    if not isinstance(given, tuple) or len(given) != 2:
        what = "'ns'" if times is None else "'times'"
        raise TypeError(f"utime: {what} must be {'' if times is None else 'either '}a tuple of two ints"
                        f"{'' if times is None else ' or None'}")  # fmt: skip
    parts = [divmod(value, _NS) if times is None else _split(value) for value in given]
    for seconds, _ in parts:
        if not -(1 << 63) <= seconds < 1 << 63:
            raise OverflowError("timestamp out of range for platform time_t")
    return bytearray(b"".join(TIMESPEC.pack(int(seconds), int(rest)) for seconds, rest in parts))


def _split(value: float) -> tuple[int, int]:
    """Seconds and nanoseconds, rounded down as ``os.utime`` does."""
    if not isinstance(value, float):
        return int(value), 0
    if math.isnan(value):
        raise ValueError("Invalid value NaN (not a number)")
    if math.isinf(value):
        raise OverflowError("timestamp out of range for platform time_t")
    rest, seconds = math.modf(value)
    ns = math.floor(rest * 1e9)
    if ns < 0:
        ns += _NS
        seconds -= 1
    return int(seconds), int(ns)
