"""Waiting for several descriptors: what the module ``select`` has, over this kernel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

from pylitebox.abi import errno as E
from pylitebox.abi import poll as po
from pylitebox.abi.time import TIMEVAL
from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.call import Calls, Room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pylitebox.north.posix.arguments import FdLike

_FD_SETSIZE = 1024
_DEFAULT = po.POLLIN | po.POLLPRI | po.POLLOUT


def _milliseconds(timeout: float | None) -> int:
    """Rounded up, so that no wait is too short; None or less than 0 is for ever."""
    if timeout is None or timeout < 0:
        return -1
    number = math.ceil(timeout)
    if number > 0x7FFFFFFF:
        raise OverflowError("timeout is too large")
    return number


class Polling(Calls):
    def select(
        self,
        rlist: Sequence[FdLike],
        wlist: Sequence[FdLike],
        xlist: Sequence[FdLike],
        timeout: float | None = None,
        /,
    ) -> tuple[list[FdLike], list[FdLike], list[FdLike]]:
        """As ``select.select``: what of each list is ready; ``timeout`` in seconds."""
        if timeout is not None and timeout < 0:
            raise ValueError("timeout must be non-negative")
        lists = [[(arg.fd(item), item) for item in items] for items in (rlist, wlist, xlist)]
        highest = -1
        sets = []
        for members in lists:
            bits = 0
            for fd, _ in members:
                if not 0 <= fd < _FD_SETSIZE:
                    raise ValueError("filedescriptor cannot be a negative integer (-1)" if fd < 0 else
                                     "filedescriptor out of range in select()")  # fmt: skip
                bits |= 1 << fd
                highest = max(highest, fd)
            sets.append(bytearray(bits.to_bytes(_FD_SETSIZE // 8, "little")))
        limit = None
        if timeout is not None:
            limit = bytearray(TIMEVAL.pack(*divmod(math.ceil(timeout * 1_000_000), 1_000_000)))
        self._call("select", highest + 1, sets[0], sets[1], sets[2], limit)
        found = [int.from_bytes(members, "little") for members in sets]
        ready = [[item for fd, item in lists[i] if found[i] >> fd & 1] for i in range(3)]
        return ready[0], ready[1], ready[2]

    def poll(self) -> Poll:
        """As ``select.poll()``."""
        return Poll(self)

    def epoll(self, sizehint: int = -1, flags: int = 0) -> Epoll:
        """As ``select.epoll()``."""
        return Epoll(self, self._call("epoll_create1", po.EPOLL_CLOEXEC))


class Poll:
    """Descriptors and the events that are waited for."""

    def __init__(self, os: Polling) -> None:
        self._os = os
        self._events: dict[int, int] = {}

    def register(self, fd: FdLike, eventmask: int = _DEFAULT, /) -> None:
        self._events[arg.fd(fd)] = eventmask & 0xFFFF

    def modify(self, fd: FdLike, eventmask: int, /) -> None:
        number = arg.fd(fd)
        if number not in self._events:
            raise self._os._failure(E.ENOENT)
        self._events[number] = eventmask & 0xFFFF

    def unregister(self, fd: FdLike, /) -> None:
        del self._events[arg.fd(fd)]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """(descriptor, events) of those that are ready; ``timeout`` in milliseconds."""
        array = bytearray(b"".join(po.POLLFD.pack(fd, events, 0) for fd, events in self._events.items()))
        self._os._call("poll", array, len(self._events), _milliseconds(timeout))
        return [(fd, found) for fd, _, found in po.POLLFD.iter_unpack(array) if found]


class Epoll:
    """An epoll set (man 7 epoll)."""

    def __init__(self, os: Polling, fd: int) -> None:
        self._os = os
        self._fd = fd

    def fileno(self) -> int:
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")
        return self._fd

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._os._call("close", fd)

    def _control(self, operation: int, fd: FdLike, events: int) -> None:
        number = arg.fd(fd)
        event = bytearray(po.EPOLL_EVENT_X86_64.pack(events & 0xFFFFFFFF, number & 0xFFFFFFFF))
        self._os._call("epoll_ctl", self.fileno(), operation, number, event)

    def register(self, fd: FdLike, eventmask: int = _DEFAULT) -> None:
        self._control(po.EPOLL_CTL_ADD, fd, eventmask)

    def modify(self, fd: FdLike, eventmask: int) -> None:
        self._control(po.EPOLL_CTL_MOD, fd, eventmask)

    def unregister(self, fd: FdLike) -> None:
        self._control(po.EPOLL_CTL_DEL, fd, 0)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """(descriptor, events) of at most ``maxevents``; ``timeout`` in seconds."""
        if maxevents == -1:
            maxevents = _FD_SETSIZE - 1
        elif maxevents <= 0:
            raise ValueError(f"maxevents must be greater than 0, got {maxevents}")
        room = Room(po.EPOLL_EVENT_X86_64.size * maxevents)
        limit = _milliseconds(None if timeout is None else timeout * 1000)
        self._os._call("epoll_wait", self.fileno(), room, maxevents, limit)
        return [(data, events) for events, data in po.EPOLL_EVENT_X86_64.iter_unpack(room.data)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
