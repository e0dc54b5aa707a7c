"""The console streams of a sandbox as files: what the user gave as stdin, stdout and stderr.

A stream is shown as a pipe or a character device, and cannot be sought; a redirected regular file is shown as a pipe
too, since only its bytes cross into the sandbox. Where the user's stream is a terminal, its settings and size are
those it had when it was attached.

Missing: TCSETS* and TIOCSWINSZ are accepted and remembered for this stream but do not reach the user's terminal; it
is nobody's controlling terminal, so there is no job control (TIOCGPGRP and the like are ENOTTY): ``run --tty`` gives a
program a terminal of the sandbox instead (kernel/tty, supervisor/terminal.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import ioctl as io
from pylitebox.abi import termios as tm
from pylitebox.abi.fcntl import O_ACCMODE, O_APPEND, O_NONBLOCK, O_RDWR, RWF_NOWAIT, RWF_SUPPORTED
from pylitebox.abi.poll import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from pylitebox.abi.stat import S_IFCHR, S_IFIFO, S_IFMT, makedev
from pylitebox.kernel.anonymous import STREAM_DEV, nameless_stat, new_inode_number
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import Inode, Stat
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import HostStream
    from pylitebox.kernel.task import Task
    from pylitebox.kernel.wait import WaitQueue

#: /dev/pts/0: what a terminal claims to be.
TERMINAL_RDEV = makedev(136, 0)
NULL_RDEV = makedev(1, 3)
#: The most that one read(2) or write(2) moves through a stream.
CHUNK = 1 << 20


class _Console:
    """What the open file descriptions of one stream share; the stream is closed with the last of them."""

    __slots__ = ("gid", "ino", "inode", "stream", "termios", "uid", "users", "winsize")

    def __init__(self, stream: HostStream, uid: int, gid: int) -> None:
        self.stream = stream
        self.inode: Inode | None = None
        self.uid = uid
        self.gid = gid
        self.ino = new_inode_number()
        self.termios = stream.termios
        self.winsize = stream.winsize
        self.users = 0


class StreamFile(File):
    """An open file description over a :class:`~pylitebox.kernel.platform.HostStream`."""

    can_poll = True

    def __init__(
        self, stream: HostStream, flags: int = O_RDWR, *, uid: int = 0, gid: int = 0, console: _Console | None = None
    ) -> None:
        super().__init__(flags)
        self._stream = stream
        self._console = console or _Console(stream, uid, gid)
        self._console.users += 1
        if self.terminal:
            self.rwf_read = self.rwf_write = RWF_SUPPORTED & ~RWF_NOWAIT

    @property
    def terminal(self) -> bool:
        return self._console.termios is not None

    def link_text(self) -> bytes:
        if self.terminal:
            return b"/dev/pts/0"
        return b"/dev/null" if self._stream.kind & S_IFMT == S_IFCHR else b"pipe:[%d]" % self._console.ino

    def make_inode(self, kernel: Kernel) -> Inode:
        console = self._console
        if console.inode is None:
            from pylitebox.kernel.fs.nameless import make_inode

            console.inode = make_inode(kernel, self)
        self.inode = console.inode
        return self.inode

    def stat(self) -> Stat:
        console = self._console
        if console.inode is not None:
            return console.inode.stat()
        if self._stream.kind & S_IFMT == S_IFCHR:
            mode, rdev = (0o620, TERMINAL_RDEV) if self.terminal else (0o666, NULL_RDEV)
            return nameless_stat(STREAM_DEV, console.ino, S_IFCHR | mode, console.uid, console.gid, 0, rdev=rdev)
        return nameless_stat(STREAM_DEV, console.ino, S_IFIFO | 0o600, console.uid, console.gid, 0)

    def reopen(self, flags: int) -> StreamFile:
        """Open /proc/PID/fd/N of it: the same stream with flags of its own."""
        return StreamFile(self._stream, flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), console=self._console)

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
        console = self._console
        if console.termios is None:
            if request == io.FIONREAD and self._stream.kind & S_IFMT != S_IFCHR:
                task.memory.write(argument, bytes(4))  # what the host holds is not known before it is read
                return 0
            raise KernelError(E.ENOTTY)
        if request == io.TCGETS:
            task.memory.write(argument, console.termios[: tm.TERMIOS.size])
        elif request in (io.TCSETS, io.TCSETSW, io.TCSETSF):
            console.termios = task.memory.read(argument, tm.TERMIOS.size)
        elif request == io.TIOCGWINSZ:
            task.memory.write(argument, (console.winsize or bytes(tm.WINSIZE.size))[: tm.WINSIZE.size])
        elif request == io.TIOCSWINSZ:
            console.winsize = task.memory.read(argument, tm.WINSIZE.size)
        elif request == io.FIONREAD:
            task.memory.write(argument, bytes(4))
        elif request not in (io.TCSBRK, io.TCFLSH):
            raise KernelError(E.ENOTTY)
        return 0

    def release(self) -> None:
        self._console.users -= 1
        if not self._console.users:
            self._stream.close()
