"""The open file description, the base of everything a descriptor can stand for.

Rules: an operation either is done at once or raises :class:`WouldBlock`; parking is the caller's business, who waits
on :meth:`File.wait_queues` and tries again. O_NONBLOCK is the caller's business too. Data is ``bytes``; sizes and
offsets are checked by the caller to be within 0..MAX_RW_COUNT and 0..2^63-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import FASYNC, O_ACCMODE, O_NONBLOCK, O_PATH, O_RDONLY, O_WRONLY, RWF_SUPPORTED
from pylitebox.abi.poll import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.notify import closed, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.descriptors import FileTable
    from pylitebox.kernel.fs.vfs import Inode, Location, Stat
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import MapSource
    from pylitebox.kernel.sigio import Sigio
    from pylitebox.kernel.task import Task
    from pylitebox.kernel.wait import Wait, WaitQueue

#: Status flags that F_SETFL may change (man 2 fcntl); O_ASYNC is set_async's.
SETFL_MASK = 0o2000 | 0o4000 | 0o40000 | 0o1000000


class File:
    """One open file description. ``flags`` are the O_* access mode and status flags it was opened with."""

    #: Whether its readiness ever changes: epoll(7) refuses what is always ready (EPERM).
    can_poll = False
    #: Whether a read that must wait is the file's own business: then it has ``read_slowly(size)``, a blocking call.
    waits_itself = False
    #: Who is told what happens to it, and by which signal (kernel/sigio.py).
    sigio: Sigio | None = None
    #: The RWF_* that its reads and its writes take: only RWF_HIPRI where Linux's has no read_iter or write_iter (which
    #: are called piece by piece); None where there is no such operation at all.
    rwf_read: int | None = RWF_SUPPORTED
    rwf_write: int | None = RWF_SUPPORTED
    #: Whether a write that ends in EPIPE is told by SIGPIPE, too.
    sigpipe = True
    #: Whether it takes O_DIRECT (FMODE_CAN_ODIRECT).
    can_direct = False
    #: The credentials that it was opened with, once they are not its user's any more (struct file, f_cred).
    opener: Credentials | None = None
    #: What is to be called when the file is released (epoll's entries), by key.
    on_release: dict[object, Callable[[], None]] | None = None

    def __init__(self, flags: int, *, inode: Inode | None = None, location: Location | None = None) -> None:
        self.flags = flags
        self.inode = inode
        #: Where it was found in the file system: for fchdir, *at() and /proc; None for pipes, sockets, ...
        self.location = location
        #: Descriptors that stand for it, in all tables and messages in flight.
        self.references = 0
        self.position = 0

    # -- facts ------------------------------------------------------------------------------------------------

    @property
    def readable(self) -> bool:
        return self.flags & O_ACCMODE != O_WRONLY and not self.flags & O_PATH

    @property
    def writable(self) -> bool:
        return self.flags & O_ACCMODE != O_RDONLY and not self.flags & O_PATH

    @property
    def nonblocking(self) -> bool:
        return bool(self.flags & O_NONBLOCK)

    def link_text(self) -> bytes:
        """What readlink(2) of /proc/PID/fd/N says when there is no location (``pipe:[12]``)."""
        return b"anon_inode:[unknown]"

    def stat(self) -> Stat:
        if self.inode is None:
            raise KernelError(E.EINVAL)
        return self.inode.stat()

    def make_inode(self, kernel: Kernel) -> Inode:
        """The inode, made now if there is none yet: changing attributes and setting locks needs one."""
        if self.inode is None:
            from pylitebox.kernel.fs.nameless import anonymous_inode

            self.inode = anonymous_inode(kernel, self)
        return self.inode

    # -- data: each raises WouldBlock rather than wait --------------------------------------------------------

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes at the position; b"" at the end."""
        raise KernelError(E.EINVAL)

    def write(self, data: bytes | memoryview) -> int:
        """How many bytes were written at the position (or at the end with O_APPEND)."""
        raise KernelError(E.EINVAL)

    def pread(self, size: int, offset: int) -> bytes:
        raise KernelError(E.ESPIPE)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        raise KernelError(E.ESPIPE)

    def seek(self, offset: int, whence: int) -> int:
        """The new position (SEEK_*); EINVAL, ESPIPE, ENXIO, EOVERFLOW."""
        raise KernelError(E.ESPIPE)

    def truncate(self, size: int) -> None:
        raise KernelError(E.EINVAL)

    def allocate(self, mode: int, offset: int, size: int) -> None:
        """fallocate(2); the access mode was checked."""
        raise KernelError(E.ENODEV)

    def fsync(self) -> None:
        """Make it durable; EINVAL for what cannot be synced."""
        raise KernelError(E.EINVAL)

    def readdir(self) -> list[tuple[bytes, int, int]]:
        """(name, inode, d_type) from the position on, . and .. included; ENOTDIR. ``position`` is an index."""
        raise KernelError(E.ENOTDIR)

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        raise KernelError(E.ENOTTY)

    def map_source(self) -> MapSource:
        """What mmap(2) maps; ENODEV for what cannot be mapped. The caller closes it."""
        raise KernelError(E.ENODEV)

    def reopen(self, flags: int) -> File:
        """A new open file description of the same object: what open(2) of /proc/PID/fd/N gives for a file that has
        no place in the tree; ENXIO for what cannot be opened again (sockets)."""
        raise KernelError(E.ENXIO)

    # -- readiness --------------------------------------------------------------------------------------------

    def poll(self) -> int:
        """The POLL* events that hold now. Regular files are always ready."""
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM

    def read_slowly(self, size: int) -> Generator[Wait, bool, bytes]:
        """What :meth:`read` gives after a wait; for those that wait themselves."""
        raise NotImplementedError

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        """What wakes when :meth:`poll` may have changed: the same queues for the file's whole life."""
        return ()

    def set_async(self, kernel: Kernel, fd: int, *, on: bool) -> bool:
        """Set or clear O_ASYNC through this descriptor; False for what has nothing to tell."""
        return False

    def _switch_async(self, kernel: Kernel, fd: int, *, on: bool) -> None:
        """What :meth:`set_async` does where there is something to tell."""
        from pylitebox.kernel.sigio import sigio_of

        sigio_of(kernel, self).fd = fd if on else -1
        self.flags = self.flags | FASYNC if on else self.flags & ~FASYNC

    # -- life -------------------------------------------------------------------------------------------------

    def put(self) -> None:
        """Drop one reference."""
        self.references -= 1
        if self.references == 0:
            self.dispose()

    def dispose(self) -> None:
        """What follows when the last reference was dropped."""
        if self.on_release:
            for callback in tuple(self.on_release.values()):
                callback()
        if self.inode is not None and self.inode.locks is not None:
            self.inode.locks.forget(self)
        if watched:
            closed(self)
        self.release()

    def on_close(self, table: FileTable) -> None:
        """A descriptor of ``table`` was closed: its record locks on the file go (man 2 fcntl)."""
        if self.inode is not None and self.inode.locks is not None:
            self.inode.locks.forget(table)

    def release(self) -> None:
        """The last reference is gone."""
