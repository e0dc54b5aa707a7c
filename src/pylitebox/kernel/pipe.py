"""Pipes and FIFOs (man 7 pipe, man 7 fifo).

A pipe holds at most ``slots`` pages, as Linux's does: a write that fits behind the last page's data is merged into
it, any other takes a new page, and what was read from a page is not given back before all of it is. So a write of at
most PIPE_BUF bytes is atomic, and POLLOUT means a free page.

Rules: readers and writers are counted by open file description; reading without writers is the end, writing without
readers is EPIPE (the caller raises SIGPIPE). A FIFO's pipe lives from its first opener to its last.
Missing: capacities above pipe-max-size, which Linux grants to CAP_SYS_RESOURCE (EPERM here, for anyone).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_ACCMODE, O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY
from pylitebox.abi.inotify import IN_OPEN
from pylitebox.abi.ioctl import FIONREAD
from pylitebox.abi.poll import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from pylitebox.abi.stat import S_IFIFO
from pylitebox.kernel.anonymous import PIPEFS_DEV, nameless_stat, new_inode_number
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.fs.notify import on_file, watched
from pylitebox.kernel.sigio import POLL_IN, POLL_OUT
from pylitebox.kernel.wait import Wait, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Generator

    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.content import Budget
    from pylitebox.kernel.fs.vfs import Inode, Location, Stat
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Task

PAGE = 4096
PIPE_BUF = 4096
DEFAULT_SLOTS = 16
#: Of a pipe that is made when the sandbox has many (linux/fs/pipe.c: PIPE_MIN_DEF_BUFFERS).
MIN_SLOTS = 2
#: /proc/sys/fs/pipe-max-size, bytes.
PIPE_MAX_SIZE = 1 << 20


class Owner(Protocol):
    """Who makes a pipe; a Task is one."""

    kernel: Kernel
    cred: Credentials


class _Packet(bytes):
    """A page that was written in packet mode (O_DIRECT): one read takes it whole."""


class Pipe:
    """The buffer between the two ends."""

    __slots__ = (
        "_budget",
        "_consumed",
        "_pages",
        "inode",
        "listeners",
        "read_queue",
        "reader_opens",
        "readers",
        "slots",
        "write_queue",
        "writer_opens",
        "writers",
    )

    def __init__(self, budget: Budget) -> None:
        """``budget`` counts the slots of all pipes: when it is used up a new pipe is small, and EPERM keeps others
        from growing; at twice as much ENFILE."""
        self.listeners: set[PipeFile] | None = None  # those with O_ASYNC
        self.inode: Inode | None = None  # of a nameless one, once it was asked for
        self.slots = 0
        self._budget = budget
        slots = DEFAULT_SLOTS if budget.fits(DEFAULT_SLOTS) else MIN_SLOTS
        if budget.used + slots > 2 * budget.limit:
            raise KernelError(E.ENFILE)
        budget.used += slots
        self.slots = slots
        self._pages: deque[bytes] = deque()
        self._consumed = 0  # bytes of the first page that were read
        self.readers = 0
        self.writers = 0
        # How often each side was ever opened: a FIFO's opener waits for the other side's count to change.
        self.reader_opens = 0
        self.writer_opens = 0
        self.read_queue = WaitQueue()
        self.write_queue = WaitQueue()

    def __del__(self) -> None:
        self._budget.used -= self.slots

    @property
    def empty(self) -> bool:
        return not self._pages

    @property
    def full(self) -> bool:
        return len(self._pages) >= self.slots

    def __len__(self) -> int:
        """The bytes that wait to be read (FIONREAD)."""
        return sum(map(len, self._pages)) - self._consumed

    def read(self, size: int) -> bytes:
        pages = self._pages
        if not size:
            return b""
        if not pages:
            if self.writers:
                raise WouldBlock
            return b""
        was_full = len(pages) >= self.slots
        data = self._take(size)
        if was_full and len(pages) < self.slots:
            self.write_queue.wake()
        if self.listeners:
            self._tell_writers()
        return data

    def _tell_readers(self) -> None:
        for file in tuple(self.listeners or ()):
            if file.readable and file.sigio is not None:
                file.sigio.tell(POLL_IN)

    def _tell_writers(self) -> None:
        for file in tuple(self.listeners or ()):
            if file.writable and file.sigio is not None:
                file.sigio.tell(POLL_OUT)

    def _take(self, size: int) -> bytes:
        pages = self._pages
        parts: list[bytes] = []
        while pages and size:
            page = pages[0]
            start = self._consumed
            available = len(page) - start
            if type(page) is _Packet:
                if not parts:
                    pages.popleft()
                    return bytes(page[:size])
                break
            if available > size:
                parts.append(page[start : start + size])
                self._consumed += size
                break
            parts.append(page[start:] if start else page)
            size -= available
            self._consumed = 0
            pages.popleft()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def used(self) -> int:
        """How many of the slots hold data."""
        return len(self._pages)

    def peek(self, size: int) -> bytes:
        """What :meth:`read` would give, without taking it (splice(2), tee(2)); WouldBlock."""
        if not self._pages and self.writers:
            raise WouldBlock
        parts: list[bytes] = []
        start = self._consumed
        for page in self._pages:
            if size <= 0 or (type(page) is _Packet and parts):
                break
            parts.append(bytes(page[start : start + size]))
            size -= len(parts[-1])
            start = 0
            if type(page) is _Packet:
                break
        return b"".join(parts)

    def write(self, data: bytes | memoryview, *, packets: bool = False) -> int:
        """How many bytes were taken: all of them if they are at most PIPE_BUF."""
        size = len(data)
        if not size:
            return 0
        if not self.readers:
            raise KernelError(E.EPIPE)
        pages = self._pages
        done = 0
        tail = size % PAGE
        if tail and pages and not packets:
            last = pages[-1]
            if type(last) is not _Packet and len(last) + tail <= PAGE:
                pages[-1] = last + bytes(data[:tail])
                done = tail
        while done < size and len(pages) < self.slots:
            page = bytes(data[done : done + PAGE])
            pages.append(_Packet(page) if packets else page)
            done += len(page)
        if not done:
            if self.listeners:  # also of a write that found no room
                self._tell_readers()
            raise WouldBlock
        self.read_queue.wake()
        if self.listeners:
            self._tell_readers()
        return done

    def resize(self, size: int) -> int:
        """F_SETPIPE_SZ: the new capacity in bytes; EINVAL, EPERM, EBUSY."""
        if not 0 <= size <= 1 << 31:
            raise KernelError(E.EINVAL)
        slots = 1
        while slots * PAGE < size:
            slots *= 2
        if slots * PAGE > PIPE_MAX_SIZE:
            raise KernelError(E.EPERM)
        if slots < len(self._pages):
            raise KernelError(E.EBUSY)
        if slots > self.slots and not self._budget.fits(slots - self.slots):
            raise KernelError(E.EPERM)
        self._budget.used += slots - self.slots
        self.slots = slots
        self.write_queue.wake()
        return slots * PAGE

    def attach(self, *, reader: bool, writer: bool) -> None:
        """An open file description more on these sides."""
        if reader:
            self.readers += 1
            self.reader_opens += 1
            if self.readers == 1:
                self.write_queue.wake()
        if writer:
            self.writers += 1
            self.writer_opens += 1
            if self.writers == 1:
                self.read_queue.wake()

    def detach(self, *, reader: bool, writer: bool) -> None:
        self.readers -= reader
        self.writers -= writer
        if bool(self.readers) != bool(self.writers):
            self.read_queue.wake()
            self.write_queue.wake()
            if self.listeners:
                self._tell_readers()
                self._tell_writers()


class PipeFile(File):
    can_direct = True

    """An open file description on a pipe; the base of pipe ends and opened FIFOs."""

    can_poll = True

    def __init__(
        self, pipe: Pipe, flags: int, *, inode: Inode | None = None, location: Location | None = None
    ) -> None:
        super().__init__(flags, inode=inode, location=location)
        self.pipe = pipe
        #: The writers' count at an open that had none: no POLLHUP before one has come.
        self._unseen = -1
        pipe.attach(reader=self.readable, writer=self.writable)

    def read(self, size: int) -> bytes:
        return self.pipe.read(size)

    def write(self, data: bytes | memoryview) -> int:
        return self.pipe.write(data, packets=bool(self.flags & O_DIRECT))

    def poll(self) -> int:
        pipe = self.pipe
        events = 0
        if self.readable:
            if not pipe.empty:
                events = POLLIN | POLLRDNORM
            if not pipe.writers and pipe.writer_opens != self._unseen:
                events |= POLLHUP
        if self.writable:
            if not pipe.full:
                events |= POLLOUT | POLLWRNORM
            if not pipe.readers:
                events |= POLLERR
        return events

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        pipe = self.pipe
        if not self.writable:
            return (pipe.read_queue,)
        if not self.readable:
            return (pipe.write_queue,)
        return (pipe.read_queue, pipe.write_queue)

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        if request == FIONREAD:
            task.memory.write(argument, len(self.pipe).to_bytes(4, "little"))
            return 0
        raise KernelError(E.ENOTTY)

    def set_async(self, kernel: Kernel, fd: int, *, on: bool) -> bool:
        self._switch_async(kernel, fd, on=on)
        listeners = self.pipe.listeners or set()
        (listeners.add if on else listeners.discard)(self)
        self.pipe.listeners = listeners or None
        return True

    def release(self) -> None:
        if self.pipe.listeners:
            self.pipe.listeners.discard(self)
        self.pipe.detach(reader=self.readable, writer=self.writable)


class PipeEnd(PipeFile):
    """One end of what pipe(2) made."""

    def __init__(self, pipe: Pipe, flags: int, identity: tuple[int, int, int, int]) -> None:
        super().__init__(pipe, flags)
        self._identity = identity  # inode number, uid, gid, time of creation

    def link_text(self) -> bytes:
        return b"pipe:[%d]" % self._identity[0]

    def reopen(self, flags: int) -> PipeEnd:
        """Open /proc/PID/fd/N of it: either side, whatever this end is; ENXIO as for a FIFO, but no waiting."""
        flags &= O_ACCMODE | O_NONBLOCK | O_DIRECT
        if flags & O_NONBLOCK and flags & O_ACCMODE == O_WRONLY and not self.pipe.readers:
            raise KernelError(E.ENXIO)
        return PipeEnd(self.pipe, flags, self._identity)

    def make_inode(self, kernel: Kernel) -> Inode:
        if self.pipe.inode is None:
            from pylitebox.kernel.fs.nameless import make_inode

            self.pipe.inode = make_inode(kernel, self)
        self.inode = self.pipe.inode
        return self.inode

    def stat(self) -> Stat:
        if self.pipe.inode is not None:
            return self.pipe.inode.stat()
        ino, uid, gid, time_ns = self._identity
        return nameless_stat(PIPEFS_DEV, ino, S_IFIFO | 0o600, uid, gid, time_ns)


def make_pipe(owner: Owner, flags: int = 0) -> tuple[PipeEnd, PipeEnd]:
    """The read end and the write end of a new pipe; ``flags`` may hold O_NONBLOCK and O_DIRECT. ENFILE."""
    pipe = Pipe(owner.kernel.pipe_pages)
    identity = (new_inode_number(), owner.cred.fsuid, owner.cred.fsgid, owner.kernel.wall())
    flags &= O_NONBLOCK | O_DIRECT
    return PipeEnd(pipe, O_RDONLY | flags & O_NONBLOCK, identity), PipeEnd(pipe, O_WRONLY | flags, identity)


class FifoFile(PipeFile):
    """An opened FIFO. It may have to wait for its partner: see :attr:`connected` and :meth:`wait_open`."""

    def __init__(self, inode: Inode, flags: int, location: Location | None = None) -> None:
        """ENXIO for a non-blocking writer without a reader; ENFILE."""
        pipe: Pipe | None = getattr(inode, "pipe", None)
        if pipe is None:
            pipe = Pipe(inode.filesystem.kernel.pipe_pages)
        if flags & O_NONBLOCK and flags & O_ACCMODE == O_WRONLY and not pipe.readers:
            raise KernelError(E.ENXIO)
        super().__init__(pipe, flags, inode=inode, location=location)
        inode.pipe = pipe
        self._partner_opens = -1  # the other side's count when this open began to wait
        if not self.writable and not pipe.writers:
            if self.nonblocking:
                self._unseen = pipe.writer_opens
            else:
                self._partner_opens = pipe.writer_opens
        elif not self.readable and not pipe.readers:
            self._partner_opens = pipe.reader_opens

    @property
    def connected(self) -> bool:
        """Whether open(2) may return: a partner has come since, or none is needed."""
        opens = self.pipe.reader_opens if self.writable else self.pipe.writer_opens
        return self._partner_opens != opens

    def wait_open(self) -> Generator[Wait, bool, None]:
        """Wait, inside open(2), until the partner has come. An interrupted open gives the file up."""
        try:
            while not self.connected:
                yield Wait(*self.wait_queues())
            if watched:
                on_file(self, IN_OPEN)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        super().release()
        if not self.pipe.readers and not self.pipe.writers and self.inode is not None:
            self.inode.pipe = None
