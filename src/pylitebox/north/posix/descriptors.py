"""Descriptors themselves: dup, fcntl, locks."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi.ioctl import TCGETS
from pylitebox.abi.termios import TERMIOS
from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.call import Calls, Room

if TYPE_CHECKING:
    from pylitebox.north.posix.arguments import FdLike

#: struct flock, 64 bit: type, whence, start, len, pid.
_FLOCK = struct.Struct("<hh4xqqi4x")
_FLOCK_COMMANDS = (fc.F_GETLK, fc.F_SETLK, fc.F_SETLKW, fc.F_OFD_GETLK, fc.F_OFD_SETLK, fc.F_OFD_SETLKW)


class Descriptors(Calls):
    def close(self, fd: int) -> None:
        self._call("close", arg.c_int(fd))

    def closerange(self, fd_low: int, fd_high: int, /) -> None:
        low, high = max(0, arg.c_int(fd_low)), arg.c_int(fd_high)
        if low < high:
            self._call("close_range", low, high - 1, 0)

    def dup(self, fd: int, /) -> int:
        return self._call("fcntl", arg.c_int(fd), fc.F_DUPFD_CLOEXEC, 0)

    def dup2(self, fd: int, fd2: int, inheritable: bool = True) -> int:
        if inheritable:
            return self._call("dup2", arg.c_int(fd), arg.c_int(fd2))
        return self._call("dup3", arg.c_int(fd), arg.c_int(fd2), fc.O_CLOEXEC)

    def get_inheritable(self, fd: int, /) -> bool:
        return not self._call("fcntl", arg.c_int(fd), fc.F_GETFD, 0) & fc.FD_CLOEXEC

    def set_inheritable(self, fd: int, inheritable: bool, /) -> None:
        self._call("fcntl", arg.c_int(fd), fc.F_SETFD, 0 if inheritable else fc.FD_CLOEXEC)

    def get_blocking(self, fd: int, /) -> bool:
        return not self._call("fcntl", arg.c_int(fd), fc.F_GETFL, 0) & fc.O_NONBLOCK

    def set_blocking(self, fd: int, blocking: bool, /) -> None:
        flags = self._call("fcntl", arg.c_int(fd), fc.F_GETFL, 0)
        flags = flags & ~fc.O_NONBLOCK if blocking else flags | fc.O_NONBLOCK
        self._call("fcntl", arg.c_int(fd), fc.F_SETFL, flags)

    def isatty(self, fd: int, /) -> bool:
        try:
            self._call("ioctl", arg.c_int(fd), TCGETS, Room(TERMIOS.size))
        except OSError:
            return False
        return True

    # -- as the module fcntl has them -------------------------------------------------------------------------

    def fcntl(self, fd: FdLike, cmd: int, arg_: int | bytes = 0, /) -> int | bytes:
        """As ``fcntl.fcntl``: with bytes for ``arg_`` (a struct flock, say) the answer is what became of them."""
        if isinstance(arg_, bytes):
            raw = bytearray(arg_)
            self._call("fcntl", arg.fd(fd), arg.c_int(cmd), raw)
            return bytes(raw)
        if cmd in _FLOCK_COMMANDS:
            raise self._failure(E.EFAULT)
        return self._call("fcntl", arg.fd(fd), arg.c_int(cmd), arg_)

    def flock(self, fd: FdLike, operation: int, /) -> None:
        self._call("flock", arg.fd(fd), arg.c_int(operation))

    def record_lock(self, fd: FdLike, cmd: int, len: int = 0, start: int = 0, whence: int = 0, /) -> None:  # noqa: A002
        """As ``fcntl.lockf``: LOCK_SH, LOCK_EX or LOCK_UN, perhaps with LOCK_NB, for a part of the file."""
        if cmd == fc.LOCK_UN:
            kind = fc.F_UNLCK
        elif cmd & (fc.LOCK_SH | fc.LOCK_EX):
            kind = fc.F_RDLCK if cmd & fc.LOCK_SH else fc.F_WRLCK
        else:
            raise ValueError("unrecognized lockf argument")
        lock = bytearray(_FLOCK.pack(kind, whence, arg.c_long(start), arg.c_long(len), 0))
        self._call("fcntl", arg.fd(fd), fc.F_SETLK if cmd & fc.LOCK_NB else fc.F_SETLKW, lock)

    def lockf(self, fd: int, command: int, length: int, /) -> None:
        """As ``os.lockf``: F_LOCK, F_TLOCK, F_ULOCK or F_TEST for ``length`` bytes from the position on."""
        if command == 3:  # F_TEST
            lock = bytearray(_FLOCK.pack(fc.F_WRLCK, fc.SEEK_CUR, 0, arg.c_long(length), 0))
            self._call("fcntl", arg.c_int(fd), fc.F_GETLK, lock)
            if _FLOCK.unpack(lock)[0] != fc.F_UNLCK:
                raise self._failure(E.EACCES)
            return
        if command not in (0, 1, 2):
            raise self._failure(E.EINVAL)
        kind = fc.F_UNLCK if command == 0 else fc.F_WRLCK
        lock = bytearray(_FLOCK.pack(kind, fc.SEEK_CUR, 0, arg.c_long(length), 0))
        self._call("fcntl", arg.c_int(fd), fc.F_SETLKW if command == 1 else fc.F_SETLK, lock)
