"""epoll(7): a set of files and the list of those that may be ready.

Every entry watches its file's wait queues; a wake puts it on the ready list, in the order of wakes. Whoever asks for
events takes entries off that list and polls their files: an entry with events is reported, and unless it is
edge-triggered or one-shot it goes back to the end of the list. So the cost is that of ready files, not of all.

Rules: an entry is a file *and* a descriptor number, and lives as long as the open file description (man 7 epoll,
Q6). Sets may hold sets, four deep, without cycles. The entries of all sets of a sandbox share one budget.
Missing: EPOLLEXCLUSIVE wakes every waiter (allowed: it "may" wake fewer); EPOLLWAKEUP is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.poll import (
    EPOLLET,
    EPOLLEXCLUSIVE,
    EPOLLONESHOT,
    EPOLLWAKEUP,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDNORM,
)
from pylitebox.kernel.anonymous import AnonymousFile
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.kernel.fs.content import Budget
    from pylitebox.kernel.fs.file import File

#: How deep sets may hold sets (linux/fs/eventpoll.c: EP_MAX_NESTS).
MAX_NESTING = 4
_PRIVATE = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE
_EXCLUSIVE_EVENTS = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE


class _Entry:
    """One file under one descriptor number. ``events`` 0 besides private bits: disabled by EPOLLONESHOT."""

    __slots__ = ("data", "events", "fd", "file", "queues")

    def __init__(self, file: File, fd: int, events: int, data: int) -> None:
        self.file = file
        self.fd = fd
        self.events = events
        self.data = data
        self.queues: tuple[WaitQueue, ...] = ()

    def ready(self) -> int:
        """The events to report now."""
        wanted = self.events & ~_PRIVATE
        return self.file.poll() & wanted if wanted else 0


class EpollFile(AnonymousFile):
    """One set."""

    kind = b"eventpoll"
    can_poll = True
    rwf_read = rwf_write = None

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget
        self._entries: dict[tuple[File, int], _Entry] = {}
        self._ready: dict[_Entry, None] = {}
        self._queue = WaitQueue()
        self._holders: dict[EpollFile, int] = {}  # the sets that hold this one, and how often

    # -- epoll_ctl(2) -----------------------------------------------------------------------------------------

    def add(self, file: File, fd: int, events: int, data: int) -> None:
        """EEXIST, EPERM, EINVAL, ELOOP, ENOSPC."""
        if (events & EPOLLEXCLUSIVE) and (events & ~_EXCLUSIVE_EVENTS or isinstance(file, EpollFile)):
            raise KernelError(E.EINVAL)
        key = (file, fd)
        if key in self._entries:
            raise KernelError(E.EEXIST)
        if isinstance(file, EpollFile):
            self._check_nesting(file)
        self._budget.take(1)
        if isinstance(file, EpollFile):
            file._holders[self] = file._holders.get(self, 0) + 1
        entry = _Entry(file, fd, events | POLLERR | POLLHUP, data)
        self._entries[key] = entry
        if file.on_release is None:
            file.on_release = {}
        file.on_release[entry] = lambda: self._drop(key)
        entry.queues = file.wait_queues()
        for queue in entry.queues:
            queue.watch(entry, lambda: self._wake(entry))
        if entry.ready():
            self._wake(entry)

    def modify(self, file: File, fd: int, events: int, data: int) -> None:
        """ENOENT, EINVAL."""
        if events & EPOLLEXCLUSIVE:
            raise KernelError(E.EINVAL)
        entry = self._entries.get((file, fd))
        if entry is None:
            raise KernelError(E.ENOENT)
        if entry.events & EPOLLEXCLUSIVE:
            raise KernelError(E.EINVAL)
        entry.events = events | POLLERR | POLLHUP
        entry.data = data
        if entry.ready():
            self._wake(entry)

    def remove(self, file: File, fd: int) -> None:
        """ENOENT."""
        if (file, fd) not in self._entries:
            raise KernelError(E.ENOENT)
        self._drop((file, fd))

    def _drop(self, key: tuple[File, int]) -> None:
        entry = self._entries.pop(key)
        self._budget.give(1)
        file = entry.file
        if isinstance(file, EpollFile):
            file._holders[self] -= 1
            if not file._holders[self]:
                del file._holders[self]
        self._ready.pop(entry, None)
        for queue in entry.queues:
            queue.unwatch(entry)
        if file.on_release is not None:
            del file.on_release[entry]

    def _wake(self, entry: _Entry) -> None:
        if entry.events & ~_PRIVATE and entry not in self._ready:
            self._ready[entry] = None
            self._queue.wake()

    def _check_nesting(self, inner: EpollFile) -> None:
        """ELOOP if ``inner`` holds this set, or the chain of sets through both would be too long."""
        if inner is self or inner._levels_below(self, {}) + self._levels_above({}) > MAX_NESTING:
            raise KernelError(E.ELOOP)

    def _levels_below(self, forbidden: EpollFile, known: dict[EpollFile, int]) -> int:
        """How many sets lie on the longest way down from this one, itself included. ``known``: those looked at
        before, since there may be very many ways through few sets."""
        deepest = known.get(self, 0)
        if not deepest:
            for file, _ in self._entries:
                if isinstance(file, EpollFile):
                    if file is forbidden:
                        raise KernelError(E.ELOOP)
                    deepest = max(deepest, file._levels_below(forbidden, known))
            deepest = known[self] = deepest + 1
        return deepest

    def _levels_above(self, known: dict[EpollFile, int]) -> int:
        """How many sets lie on the longest way up from this one, itself not included."""
        if self not in known:
            known[self] = max((1 + holder._levels_above(known) for holder in self._holders), default=0)
        return known[self]

    # -- epoll_wait(2) ----------------------------------------------------------------------------------------

    def take(self, limit: int) -> list[tuple[int, int]]:
        """(events, data) of at most ``limit`` ready entries; [] if there are none."""
        ready = self._ready
        taken: list[tuple[int, int]] = []
        again: list[_Entry] = []
        while ready and len(taken) < limit:
            entry = next(iter(ready))
            del ready[entry]
            events = entry.ready()
            if not events:
                continue
            taken.append((events, entry.data))
            if entry.events & EPOLLONESHOT:
                entry.events &= _PRIVATE
            elif not entry.events & EPOLLET:
                again.append(entry)
        for entry in again:
            ready[entry] = None
        return taken

    # -- as a file --------------------------------------------------------------------------------------------

    def poll(self) -> int:
        ready = self._ready
        while ready:
            entry = next(iter(ready))
            if entry.ready():
                return POLLIN | POLLRDNORM
            del ready[entry]
        return 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self._queue,)

    def fdinfo(self) -> bytes:
        return b"".join(
            b"tfd: %8d events: %8x data: %16x  pos:%d ino:0 sdev:0\n" % (fd, entry.events, entry.data, file.position)
            for (file, fd), entry in self._entries.items()
        )

    def release(self) -> None:
        for key in tuple(self._entries):
            self._drop(key)
