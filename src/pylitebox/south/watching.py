"""Host descriptors that the loop waits for: epoll where there is one, else what ``selectors`` has."""

from __future__ import annotations

import select
import selectors
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds; a timer may be set to a time that the host cannot express.
_LONGEST_WAIT = 86400.0
#: The bits of epoll(7), which are what callers speak.
IN, OUT, ONESHOT = 1, 4, 1 << 30


class Watching(Protocol):
    """Callbacks by descriptor; each gets the events that came."""

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None: ...
    def unwatch(self, fd: int) -> None: ...
    def wait(self, deadline: int | None) -> None:
        """Until a descriptor is ready, whose callback is called, or the monotonic clock (ns) reaches ``deadline``."""
        ...

    def pending(self) -> bool:
        """Whether :meth:`wait` would find a descriptor that is ready, as far as that can be told beside it: any thread
        may ask."""
        ...

    def descriptors(self) -> set[int]: ...
    def close(self) -> None: ...


def make() -> Watching:
    return EpollWatching() if hasattr(select, "epoll") else SelectorWatching()


class EpollWatching:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._peek = select.poll()
        self._peek.register(self._epoll, select.POLLIN)
        self._callbacks: dict[int, Callable[[int], None]] = {}

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        if fd in self._callbacks:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def unwatch(self, fd: int) -> None:
        if self._callbacks.pop(fd, None) is not None:
            try:
                self._epoll.unregister(fd)
            except OSError:
                pass

    def wait(self, deadline: int | None) -> None:
        # one event at a time: what it leads to may close descriptors that later events are about
        for fd, events in self._epoll.poll(-1.0 if deadline is None else _seconds(deadline), 1):
            self._callbacks[fd](events)

    def pending(self) -> bool:
        return bool(self._peek.poll(0))

    def descriptors(self) -> set[int]:
        return {self._epoll.fileno()}

    def close(self) -> None:
        self._epoll.close()


class SelectorWatching:
    """Missing: sleeping without any descriptor, on hosts whose select needs one."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._callbacks: dict[int, tuple[int, Callable[[int], None]]] = {}

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        self.unwatch(fd)
        wanted = (selectors.EVENT_READ if events & IN else 0) | (selectors.EVENT_WRITE if events & OUT else 0)
        self._selector.register(fd, wanted)
        self._callbacks[fd] = events, callback

    def unwatch(self, fd: int) -> None:
        if self._callbacks.pop(fd, None) is not None:
            try:
                self._selector.unregister(fd)
            except (OSError, KeyError, ValueError):
                pass

    def wait(self, deadline: int | None) -> None:
        timeout = None if deadline is None else _seconds(deadline)
        if not self._callbacks:
            time.sleep(_LONGEST_WAIT if timeout is None else timeout)
            return
        for key, ready in self._selector.select(timeout)[:1]:
            events, callback = self._callbacks[key.fd]
            if events & ONESHOT:
                self.unwatch(key.fd)
            callback((IN if ready & selectors.EVENT_READ else 0) | (OUT if ready & selectors.EVENT_WRITE else 0))

    def pending(self) -> bool:
        return True

    def descriptors(self) -> set[int]:
        return set()

    def close(self) -> None:
        self._selector.close()


def _seconds(deadline: int) -> float:
    return min(_LONGEST_WAIT, max(0, deadline - time.monotonic_ns()) / 1e9)
