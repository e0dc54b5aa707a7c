"""AF_NETLINK sockets (man 7 netlink), as far as mq_notify(3) needs one: the kernel puts a cookie into it when a message
has come, and a thread of the C library that waits for it runs the function of the program's.

Missing: everything else. Nothing can be bound or sent (EAFNOSUPPORT), so a program that asks for the machine's network
interfaces learns that there is no netlink, as it would on a kernel without it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pylitebox.abi import socket as so
from pylitebox.abi.fcntl import O_NONBLOCK, O_RDWR
from pylitebox.abi.poll import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from pylitebox.abi.stat import S_IFSOCK
from pylitebox.kernel.anonymous import SOCKFS_DEV, nameless_stat, new_inode_number
from pylitebox.kernel.errors import WouldBlock
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.net.unix import Received
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import Stat
    from pylitebox.kernel.kernel import Kernel

#: Messages that wait in one socket; further ones are lost, as in Linux when its buffer is full.
_MAX_MESSAGES = 256


class NetlinkSocket(File):
    """One socket; it only receives what the kernel posts."""

    can_poll = True
    kind = so.SOCK_DGRAM

    def __init__(self, kernel: Kernel, *, nonblocking: bool) -> None:
        super().__init__(O_RDWR | (O_NONBLOCK if nonblocking else 0))
        self.kernel = kernel
        self.queue = WaitQueue()
        self.timeouts: dict[int, int] = {}
        self._messages: deque[bytes] = deque()
        self._ino = new_inode_number()

    def post(self, data: bytes) -> None:
        if len(self._messages) < _MAX_MESSAGES:
            self._messages.append(data)
            self.queue.wake()

    def receive(self, size: int, *, peek: bool = False, wait: bool = False) -> Received:
        if not self._messages:
            raise WouldBlock
        data = self._messages[0] if peek else self._messages.popleft()
        return Received(data[:size], [], None, b"", len(data))

    def read(self, size: int) -> bytes:
        return self.receive(size).data

    def poll(self) -> int:
        return POLLOUT | POLLWRNORM | (POLLIN | POLLRDNORM if self._messages else 0)

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)

    def link_text(self) -> bytes:
        return b"socket:[%d]" % self._ino

    def stat(self) -> Stat:
        return nameless_stat(SOCKFS_DEV, self._ino, S_IFSOCK | 0o777, 0, 0, 0)
