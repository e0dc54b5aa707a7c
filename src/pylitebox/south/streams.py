"""Console streams: what the user gave as stdin, stdout or stderr, as host descriptors.

The client opens pipes and terminals anew with O_NONBLOCK before it hands them over (a description of its own, so the
user's is untouched); sockets are used with MSG_DONTWAIT; regular files never wait. Readiness is asked of epoll only
while a guest waits for it (one shot).
"""

from __future__ import annotations

import os
import select
import socket
import stat
from typing import TYPE_CHECKING, Protocol

from pylitebox.abi import errno as E
from pylitebox.abi import stat as linux_stat
from pylitebox.abi.poll import POLLERR, POLLHUP, POLLIN, POLLOUT
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS = {stat.S_IFIFO: linux_stat.S_IFIFO, stat.S_IFSOCK: linux_stat.S_IFIFO, stat.S_IFREG: linux_stat.S_IFREG}


class Watcher(Protocol):
    """A platform whose loop can wait for a descriptor in epoll's terms."""

    def watch_events(self, fd: int, events: int, callback: Callable[[int], None]) -> None: ...
    def unwatch(self, fd: int) -> None: ...


class FdStream:
    """HostStream over a descriptor that it owns; ``readable``/``writable`` say which way it may be used."""

    def __init__(
        self,
        platform: Watcher,
        fd: int,
        *,
        readable: bool,
        writable: bool,
        termios: bytes | None = None,
        winsize: bytes | None = None,
    ) -> None:
        self._platform = platform
        self._fd = fd
        mode = os.fstat(fd).st_mode
        self._regular = stat.S_ISREG(mode)
        # Family and type are never looked at, and asking for them would be host calls that the supervisor may not make.
        sock = stat.S_ISSOCK(mode)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=os.dup(fd)) if sock else None
        self.kind = _KINDS.get(stat.S_IFMT(mode), linux_stat.S_IFCHR)
        self.termios = termios
        self.winsize = winsize
        self.queue = WaitQueue()
        self._interest = (select.EPOLLIN if readable else 0) | (select.EPOLLOUT if writable else 0)
        self._poller = select.poll()
        self._poller.register(fd, self._interest)

    def read(self, size: int) -> bytes:
        try:
            if self._socket is not None:
                return self._socket.recvmsg(size, 0, socket.MSG_DONTWAIT)[0]
            return os.read(self._fd, size)
        except BlockingIOError:
            raise WouldBlock from None
        except OSError as error:
            raise KernelError(E.EIO if error.errno != E.EISDIR else E.EISDIR) from error

    def write(self, data: bytes | memoryview) -> int:
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            return os.write(self._fd, data)
        except BlockingIOError:
            raise WouldBlock from None
        except (BrokenPipeError, ConnectionError):
            raise KernelError(E.EPIPE) from None
        except OSError as error:
            raise KernelError(error.errno if error.errno in (E.ENOSPC, E.EFBIG, E.EDQUOT) else E.EIO) from error

    def poll(self) -> int:
        if self._regular:
            return POLLIN | POLLOUT
        self._arm()
        ready = self._poller.poll(0)
        return ready[0][1] & (POLLIN | POLLOUT | POLLHUP | POLLERR) if ready else 0

    def _arm(self) -> None:
        try:
            self._platform.watch_events(self._fd, self._interest | select.EPOLLONESHOT, self._ready)
        except OSError:  # a file that epoll does not know is always ready
            self._regular = True

    def _ready(self, events: int) -> None:
        self.queue.wake()

    def close(self) -> None:
        if self._fd >= 0:
            self._platform.unwatch(self._fd)
            if self._socket is not None:
                self._socket.close()
            os.close(self._fd)
            self._fd = -1
