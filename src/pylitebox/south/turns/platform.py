"""A platform that runs all threads of all guests on one CPU, in the thread of the kernel's loop.

:meth:`TurnPlatform.poll` lets the next ready thread have a turn; when nobody is ready, it sleeps until a watched
descriptor or the deadline. A platform adds :meth:`_run`, and what must be done around it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from pylitebox.kernel.log import log
from pylitebox.south import watching
from pylitebox.south.clocks import HostClocks
from pylitebox.south.paging import PageCache, PagedBuffer, PhysicalMemory
from pylitebox.south.turns.thread import TurnThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.platform import GuestEvents, GuestThread
    from pylitebox.kernel.task import Task
    from pylitebox.south.turns.thread import Context

#: How often descriptors are looked at while guests run, ns.
_LOOK_NS = 1_000_000

T = TypeVar("T", bound=TurnThread)


class TurnPlatform(HostClocks, ABC, Generic[T]):
    """Platform of the contract, but for its name, ``start``, ``new_process`` and ``auxv``."""

    delegates_memory = False
    reserved: tuple[tuple[int, int], ...] = ()
    events: GuestEvents

    def __init__(self, memory: int, urandom: int | None) -> None:
        """``memory``: bytes of guest memory, for all guests together; KernelError(ENOMEM)."""
        self.urandom = urandom
        self.physical = PhysicalMemory(memory)
        self.cache = PageCache(self.physical)
        self.current: T | None = None  # whose registers are in the CPU
        self.turn: tuple[T | None, int] = (None, 0)  # who runs, and since when (monotonic ns)
        self._ready: deque[T] = deque()
        self._watching = watching.make()
        self._looked = 0  # when descriptors were looked at, monotonic ns
        self._deadline: int | None = None  # of this poll
        self._closed = False
        self._told = False  # that memory is used up

    # -- what a platform adds ---------------------------------------------------------------------------------

    @abstractmethod
    def _run(self, thread: T, task: Task) -> bool:
        """Run until something happens, and deal with it; whether the turn goes on."""

    @abstractmethod
    def _leave(self) -> None:
        """Nobody's registers are in the CPU any more."""

    @abstractmethod
    def _saved(self, thread: T) -> Context:
        """The registers of a thread that are not in the CPU."""

    def _begin(self, thread: T, now: int) -> None:
        """A turn begins."""

    def _end(self, thread: T) -> None:
        """A turn is over, and its thread stands last in the queue."""

    def _rest(self) -> None:
        """Nobody is ready."""

    def _release(self) -> None:
        """Give back what the host gave for the CPU."""

    def cloned(self) -> None:
        """The thread whose turn it is has made another, which is ready."""

    # -- the contract -----------------------------------------------------------------------------------------

    def attach(self, events: GuestEvents) -> None:
        self.events = events

    def poll(self, deadline: int | None) -> None:
        ready = self._ready
        self._deadline = deadline
        if not ready:
            self._rest()
            self._watching.wait(deadline)
            return
        now = time.monotonic_ns()
        if now - self._looked > _LOOK_NS:
            self._looked = now
            self._watching.wait(0)
        if ready:
            self._turn(ready.popleft(), now)

    def bind(self, thread: GuestThread, task: Task) -> None:
        assert isinstance(thread, TurnThread)
        thread.task = task

    def shared_buffer(self, name: str) -> PagedBuffer:
        return PagedBuffer(self.physical)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        self._watching.watch(fd, watching.IN, lambda events: callback())

    def watch_events(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """As watch, for any events of epoll(7), EPOLLONESHOT included; may be called again to change or re-arm."""
        self._watching.watch(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        self._watching.unwatch(fd)

    def descriptors(self) -> set[int]:
        """The host descriptors that the platform holds."""
        return self._watching.descriptors() | ({self.urandom} if self.urandom is not None else set())

    def cpu_count(self) -> int:
        return 1

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._ready.clear()
        self._release()
        self._watching.close()

    # -- threads ----------------------------------------------------------------------------------------------

    def enqueue(self, thread: T) -> None:
        if thread.mode != "dead":
            thread.mode = "ready"
            self._ready.append(thread)

    def forget(self, thread: T) -> None:
        """The thread is dead."""
        if self.current is thread:
            self.current = None

    def lose(self, thread: T, error: Exception | None = None) -> None:
        """End a guest process that cannot go on, and tell the kernel; ``error``: one of ours."""
        task = thread.task
        thread.kill()
        if task is not None:
            self.events.lost(task, error)

    def exhausted(self, thread: T) -> None:
        """There is no page for what the thread has touched: as Linux does when memory is out, end its process."""
        if not self._told:
            self._told = True  # once: a guest could write the log full
            log("the guests' memory is used up, and processes are ended for it (--memory gives more)")
        self.lose(thread)

    # -- a turn -----------------------------------------------------------------------------------------------

    def _waited_for(self, now: int) -> bool:
        """Whether the kernel has something to do beside guests; any thread may ask."""
        if self._deadline is not None and now >= self._deadline:
            return True
        return bool(self.events.work) or self._watching.pending()

    def _turn(self, thread: T, now: int) -> None:
        if thread.mode != "ready":
            return
        thread.mode = "running"
        task = thread.task
        assert task is not None
        self._begin(thread, now)
        self.turn = thread, now
        try:
            if thread.fresh:
                thread.fresh = False
                self.events.started(task)
            while thread.mode == "running" and (not thread.kick_wanted or self._safe_point(thread, task)):
                if not self._run(thread, task):
                    break
        except Exception as error:  # noqa: BLE001 - an error of ours ends the process, not the loop
            self.lose(thread, error)
        finally:
            self.turn = None, 0
            used = time.monotonic_ns() - now
            thread.cpu_ns += used
            thread.process.cpu_ns += used
        if thread.mode == "running":
            self.enqueue(thread)
            self._end(thread)

    # -- safe points, and pages that must be waited for -------------------------------------------------------

    def _context(self, thread: T) -> Context:
        if self.current is thread:
            self._leave()
        return self._saved(thread)

    def _safe_point(self, thread: T, task: Task) -> bool:
        context, thread.held = thread.held or self._context(thread), None
        thread.kick_wanted = False
        return self._settle(thread, context, self.events.safe_point(task, context))

    def _settle(self, thread: T, context: Context, go_on: bool) -> bool:
        """After a safe point; whether the thread goes on."""
        if thread.mode == "dead":
            return False
        if go_on:
            context.commit()
            return True
        thread.mode = "held"
        thread.held = context
        if thread.kick_wanted:
            self.enqueue(thread)
        return False

    def _wait_for_disk(self, thread: T, page: int) -> None:
        """Park the thread until the source of a page that it touched has it."""
        queue = getattr(thread.space.source(page), "ready", None)
        if queue is None:
            log(f"page {page:#x} waits for nobody {thread.space.source(page)}")
            self.lose(thread)
            return
        thread.mode = "parked"

        def arrived() -> None:
            queue.unwatch(thread)
            self.enqueue(thread)

        queue.watch(thread, arrived)
