"""Console streams on any operating system: each that is not a regular file has a thread that waits for it.

A thread reads ahead (one piece at a time, once a program has asked for some), or writes what has been taken (at most
ROOM bytes), and tells the loop by the :class:`Mailbox` that something has changed. So a program sees that nobody reads
what it writes one write later than on Linux, and what was read ahead of its end is gone.
"""

from __future__ import annotations

import errno
import os
import queue
import select
import socket
import stat
import threading
from typing import TYPE_CHECKING, Protocol

from pylitebox.abi import errno as E
from pylitebox.abi import stat as linux_stat
from pylitebox.abi.poll import POLLERR, POLLHUP, POLLIN, POLLOUT
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that are read ahead, and that may wait to be written.
PIECE, ROOM = 1 << 14, 1 << 16
_KINDS = {stat.S_IFREG: linux_stat.S_IFREG, stat.S_IFCHR: linux_stat.S_IFCHR}


class Watcher(Protocol):
    """A platform whose loop can wait for a socket."""

    def watch(self, fd: int, callback: Callable[[], None]) -> None: ...


class Mailbox:
    """What threads want to be done in the loop's thread."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._read, self._write = socket.socketpair()
        self._read.settimeout(0)
        self._write.settimeout(0)

    def attach(self, platform: Watcher) -> None:
        platform.watch(self._read.fileno(), self.deliver)

    def post(self, job: Callable[[], None]) -> None:
        """Run ``job`` in the loop; from any thread."""
        self._jobs.put(job)
        try:
            self._write.send(b"x")
        except OSError:  # the loop has plenty of reasons to wake already, or is gone
            pass

    def deliver(self) -> None:
        """Run what was posted; in the loop."""
        try:
            self._read.recv(4096)
        except BlockingIOError:
            pass
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            job()

    def close(self) -> None:
        self._read.close()
        self._write.close()


class PipedStream:
    """HostStream over a descriptor that it owns; it is for reading, or for writing."""

    def __init__(
        self, mailbox: Mailbox, fd: int, *, readable: bool, termios: bytes | None = None, winsize: bytes | None = None
    ) -> None:
        self._mailbox = mailbox
        self._fd = fd
        self._readable = readable
        mode = os.fstat(fd).st_mode
        self._regular = stat.S_ISREG(mode)
        self.kind = _KINDS.get(stat.S_IFMT(mode), linux_stat.S_IFIFO)
        self.termios = termios
        self.winsize = winsize
        self.queue = WaitQueue()
        self._changed = threading.Condition()
        self._data = bytearray()  # read ahead, or to be written
        self._at_end = False  # of what is read
        self._error: int | None = None  # why no more can be read or written
        self._wanted = False  # more is to be read
        self._closed = False
        self._thread: threading.Thread | None = None

    def read(self, size: int) -> bytes:
        if self._regular:
            try:
                return os.read(self._fd, size)
            except OSError:
                raise KernelError(E.EIO) from None
        with self._changed:
            if self._data:
                piece = bytes(self._data[:size])
                del self._data[:size]
                return piece
            if self._at_end:
                self._at_end = self.kind == linux_stat.S_IFIFO  # a terminal goes on after the end of one input
                return b""
            if self._error is not None:
                raise KernelError(self._error)
            self._wanted = True
            self._work(self._read_ahead)
        raise WouldBlock

    def write(self, data: bytes | memoryview) -> int:
        if self._regular:
            try:
                return os.write(self._fd, data)
            except OSError as error:
                raise KernelError(_why(error)) from None
        with self._changed:
            if self._error is not None:
                raise KernelError(self._error)
            room = ROOM - len(self._data)
            if room <= 0:
                raise WouldBlock
            piece = bytes(memoryview(data).cast("B")[:room])
            self._data += piece
            self._work(self._write_out)
            return len(piece)

    def poll(self) -> int:
        if self._regular:
            return POLLIN | POLLOUT
        with self._changed:
            if not self._readable:
                return POLLERR if self._error is not None else POLLOUT if len(self._data) < ROOM else 0
            if self._data:
                return POLLIN
            if self._at_end:
                return POLLIN | POLLHUP
            if self._error is not None:
                return POLLERR
            self._wanted = True
            self._work(self._read_ahead)
            return 0

    def close(self) -> None:
        """What was taken is still written; the descriptor goes when it is."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
            if self._thread is None:
                os.close(self._fd)

    def drain(self, timeout: float) -> None:
        """Wait until what was taken is written, or cannot be."""
        if not self._readable:
            with self._changed:
                self._changed.wait_for(lambda: not self._data or self._error is not None, timeout)

    # -- the thread -------------------------------------------------------------------------------------------

    def _work(self, function: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=function, name=f"stream-{self._fd}", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _read_ahead(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or (self._wanted and not self._data))
                if self._closed:
                    break
                self._wanted = False
            error, data = None, b""
            try:
                data = os.read(self._fd, PIECE)
            except BlockingIOError:  # it is somebody else's too, who wants it so
                select.select([self._fd], [], [])
                self._wanted = True
                continue
            except OSError:
                error = E.EIO
            with self._changed:
                self._data += data
                self._error = error
                self._at_end = not data and error is None
            self._mailbox.post(self._wake)
            if error is not None or (not data and self.kind == linux_stat.S_IFIFO):
                break
        self._finish()

    def _write_out(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._data)
                if not self._data:
                    break
                data = bytes(self._data)
            try:
                done = os.write(self._fd, data)
            except BlockingIOError:
                select.select([], [self._fd], [])
                continue
            except OSError as error:
                with self._changed:
                    self._error = _why(error)
                    self._data.clear()
                    self._changed.notify_all()
                break
            finally:
                self._mailbox.post(self._wake)
            with self._changed:
                del self._data[:done]
                self._changed.notify_all()
        self._finish()

    def _finish(self) -> None:
        """Close the descriptor, once nobody uses it."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed)
        os.close(self._fd)

    def _wake(self) -> None:
        self.queue.wake()


def _why(error: OSError) -> int:
    """What a failed write means to a program. Windows says EINVAL where nobody reads any more."""
    named = {"ENOSPC": E.ENOSPC, "EFBIG": E.EFBIG, "EDQUOT": E.EDQUOT, "EPIPE": E.EPIPE, "EINVAL": E.EPIPE}
    return named.get(errno.errorcode.get(error.errno or 0, ""), E.EIO)
