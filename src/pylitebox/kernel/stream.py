"""The console streams of a sandbox as files: what the user gave as stdin, stdout and stderr.

A stream is shown as a pipe or a character device, and cannot be sought; a redirected regular file is shown as a pipe
too, since only its bytes cross into the sandbox. Where the user's stream is a terminal, its settings and size are
those it had when it was attached.

Missing: TCSETS* and TIOCSWINSZ are accepted and remembered for this stream but do not reach the user's terminal; it
is nobody's controlling terminal, so there is no job control (TIOCGPGRP and the like are ENOTTY).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import ioctl as io
from pylitebox.abi.fcntl import O_RDWR
from pylitebox.abi.poll import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from pylitebox.abi.stat import S_IFCHR, S_IFIFO, S_IFMT, makedev
from pylitebox.kernel.anonymous import STREAM_DEV, nameless_stat, new_inode_number
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import Stat
    from pylitebox.kernel.platform import HostStream
    from pylitebox.kernel.task import Task
    from pylitebox.kernel.wait import WaitQueue

#: /dev/pts/0: what a terminal claims to be.
TERMINAL_RDEV = makedev(136, 0)
NULL_RDEV = makedev(1, 3)
#: The most that one read(2) or write(2) moves through a stream.
CHUNK = 1 << 20

_TERMIO_COMMANDS = frozenset((io.TCSBRK, io.TCFLSH))


class StreamFile(File):
    """An open file description over a :class:`~pylitebox.kernel.platform.HostStream`."""

    def __init__(self, stream: HostStream, flags: int = O_RDWR, *, uid: int = 0, gid: int = 0) -> None:
        super().__init__(flags)
        self._stream = stream
        self._owner = (uid, gid)
        self._ino = new_inode_number()
        self._termios = stream.termios
        self._winsize = stream.winsize

    @property
    def terminal(self) -> bool:
        return self._termios is not None

    def link_text(self) -> bytes:
        if self.terminal:
            return b"/dev/pts/0"
        return b"/dev/null" if self._stream.kind & S_IFMT == S_IFCHR else b"pipe:[%d]" % self._ino

    def stat(self) -> Stat:
        uid, gid = self._owner
        if self._stream.kind & S_IFMT == S_IFCHR:
            mode, rdev = (0o620, TERMINAL_RDEV) if self.terminal else (0o666, NULL_RDEV)
            return nameless_stat(STREAM_DEV, self._ino, S_IFCHR | mode, uid, gid, 0, rdev=rdev)
        return nameless_stat(STREAM_DEV, self._ino, S_IFIFO | 0o600, uid, gid, 0)

    def read(self, size: int) -> bytes:
        return self._stream.read(min(size, CHUNK)) if size else b""

    def write(self, data: bytes | memoryview) -> int:
        return self._stream.write(data[:CHUNK]) if len(data) else 0

    def poll(self) -> int:
        events = self._stream.poll()
        if events & POLLIN:
            events |= POLLRDNORM
        if events & POLLOUT:
            events |= POLLWRNORM
        if not self.readable:
            events &= ~(POLLIN | POLLRDNORM)
        if not self.writable:
            events &= ~(POLLOUT | POLLWRNORM)
        return events

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        self._stream.poll()  # arms the queue
        return (self._stream.queue,)

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        if self._termios is None:
            raise KernelError(E.ENOTTY)
        if request == io.TCGETS:
            task.memory.write(argument, self._termios[: io.TERMIOS.size])
        elif request in (io.TCSETS, io.TCSETSW, io.TCSETSF):
            self._termios = task.memory.read(argument, io.TERMIOS.size)
        elif request == io.TIOCGWINSZ:
            task.memory.write(argument, (self._winsize or bytes(io.WINSIZE.size))[: io.WINSIZE.size])
        elif request == io.TIOCSWINSZ:
            self._winsize = task.memory.read(argument, io.WINSIZE.size)
        elif request == io.FIONREAD:
            task.memory.write(argument, bytes(4))  # what the host holds is not known before it is read
        elif request not in _TERMIO_COMMANDS:
            raise KernelError(E.ENOTTY)
        return 0

    def release(self) -> None:
        self._stream.close()
