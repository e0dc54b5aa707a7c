"""Blocking: how a call parks on kernel objects and is finished later.

The kernel has one thread and no locks. A handler that must wait is a generator (a *blocking call*): it yields a
:class:`Wait` that names the queues and the deadline it waits for, is sent True when a queue woke it and False when
the deadline passed, looks at its condition again, and returns the call's result. Its local state is the call's state,
so what was copied in from the guest is never fetched twice.

Signals follow Linux: the condition is looked at first; only a call that would go on waiting is interrupted.
:class:`Interrupted` is thrown into the generator, which may turn it into a partial result; else the call ends with
the wait's restart code (linux/errno.h), which ``north`` turns into EINTR or a restart. A stop interrupts in Linux too,
but what would be restarted stays parked here until the process goes on: only waits that end with EINTR whatever
interrupts them (man 7 signal, "Interruption of system calls and library functions by stop signals") are ended by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.log import log

if TYPE_CHECKING:
    from pylitebox.kernel.task import Task
    from pylitebox.kernel.timers import Timer, Timers


#: Internal results of an interrupted call (linux/errno.h). They never reach a guest.
ERESTARTSYS = 512  # restart unless the handler lacks SA_RESTART
ERESTARTNOINTR = 513  # always restart
ERESTARTNOHAND = 514  # restart only if no handler runs
ERESTART_RESTARTBLOCK = 516  # restart only if no handler runs; the call continues with its remaining time


class WaitQueue:
    """The tasks that wait for something to change, and the watchers (epoll) that are told of every change."""

    __slots__ = ("_tasks", "_watchers")

    def __init__(self) -> None:
        self._tasks: dict[Task, None] = {}
        self._watchers: dict[object, Callable[[], None]] | None = None

    def __bool__(self) -> bool:
        return bool(self._tasks) or bool(self._watchers)

    def add(self, task: Task) -> None:
        self._tasks[task] = None

    def remove(self, task: Task) -> None:
        self._tasks.pop(task, None)

    def watch(self, key: object, callback: Callable[[], None]) -> None:
        """Call ``callback`` at every wake until :meth:`unwatch`; it may not call back into a queue's owner."""
        if self._watchers is None:
            self._watchers = {}
        self._watchers[key] = callback

    def unwatch(self, key: object) -> None:
        if self._watchers is not None:
            self._watchers.pop(key, None)

    def wake(self) -> None:
        """Wake every waiting task, first come first."""
        if self._tasks:
            for task in tuple(self._tasks):
                task.kernel.scheduler.wake(task)
        if self._watchers:
            for callback in tuple(self._watchers.values()):
                callback()


class Wait:
    """What a blocking call waits for: any of ``queues``, until ``deadline`` (monotonic ns; None: for ever)."""

    __slots__ = ("deadline", "interruptible", "queues", "restart")

    def __init__(
        self,
        *queues: WaitQueue,
        deadline: int | None = None,
        restart: int = ERESTARTSYS,
        interruptible: bool = True,
    ) -> None:
        self.queues = queues
        self.deadline = deadline
        self.restart = restart
        self.interruptible = interruptible


class Interrupted(KernelError):
    """A signal arrived; ``errno`` is the wait's restart code."""


#: A blocking call: yields waits, is sent whether a queue woke it, returns the result (negative: an errno), or None
#: when the platform finishes the call itself.
Blocking = Generator[Wait, bool, "int | None"]
#: What a handler gives back: a result, a blocking call, or None when the platform has finished or will finish it.
Result = int | Blocking | None


#: Parked tasks that one run of the scheduler resumes at most, before the platform is looked at again.
BATCH = 16


class Scheduler:
    """Runs blocking calls; ``finish(task, result)`` is called with the result of one that had parked."""

    def __init__(self, timers: Timers, finish: Callable[[Task, int], None]) -> None:
        self._timers = timers
        self.finish = finish  # replaced by a tracer
        self.ready: deque[Task] = deque()  # parked tasks to be resumed

    def start(self, task: Task, call: Blocking) -> int | None:
        """Run a call up to its first wait; its result if it needed none, else None."""
        return self._advance(task, call, None)

    def wake(self, task: Task) -> None:
        """Let a parked task look at its condition again."""
        if task.wait is not None and not task.woken:
            task.woken = True
            self.ready.append(task)

    def cancel(self, task: Task) -> None:
        """Drop a task's parked call without a result (its thread ends). A call that ends its own task is running,
        not parked: it goes on to its next wait, which drops it."""
        parked = task.wait is not None
        self._disarm(task)
        call, task.call = task.call, None
        if call is not None and parked:
            call.close()

    def run(self) -> None:
        """Resume what is ready, BATCH tasks at the most; what they make ready comes later."""
        ready = self.ready
        for _ in range(min(len(ready), BATCH)):
            task = ready.popleft()
            if task.woken:
                self._resume(task, woken=True)

    @property
    def idle(self) -> bool:
        return not self.ready

    def _expire(self, task: Task) -> None:
        task.wait_timer = None
        if not task.woken:
            self._resume(task, woken=False)

    def _resume(self, task: Task, *, woken: bool) -> None:
        self._disarm(task)
        call = task.call
        assert call is not None
        task.kernel.current = task
        result = self._advance(task, call, woken)
        if result is not None:
            self.finish(task, result)

    def _advance(self, task: Task, call: Blocking, woken: bool | None) -> int | None:
        try:
            wait = call.send(woken)  # type: ignore[arg-type]
            while wait.interruptible and (
                task.signal_pending or (task.stopped and wait.restart == E.EINTR)
            ):
                wait = call.throw(Interrupted(wait.restart))
        except StopIteration as stop:
            task.call = None
            result: int | None = stop.value
            return result
        except KernelError as error:
            task.call = None
            return -error.errno
        except Exception as error:  # noqa: BLE001 - logged; nothing may leave
            task.call = None
            log("internal error in a blocking call", error)
            task.kernel.internal_errors += 1
            return -E.EIO
        if task.exiting:
            call.close()
            return None
        task.call = call
        task.wait = wait
        task.switches += 1
        for queue in wait.queues:
            queue.add(task)
        if wait.deadline is not None:
            task.wait_timer = self._timers.at(wait.deadline, lambda: self._expire(task))
        return None

    def _disarm(self, task: Task) -> None:
        wait, task.wait = task.wait, None
        task.woken = False
        if wait is not None:
            for queue in wait.queues:
                queue.remove(task)
        timer: Timer | None = task.wait_timer
        if timer is not None:
            task.wait_timer = None
            self._timers.cancel(timer)
