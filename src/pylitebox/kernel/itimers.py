"""Timers that send signals: setitimer(2), alarm(2) and POSIX timers (man 2 timer_create).

A period that passes while its signal is still queued is counted as an overrun and queues nothing. A periodic timer
fires at most once in MIN_PERIOD_NS, whatever its interval; what it skips counts as overruns.

Missing: timers on CPU clocks (ITIMER_VIRTUAL, ITIMER_PROF, CLOCK_*_CPUTIME_ID) run in real time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi import time as tm
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.signals import SigInfo, post_process, post_task

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Process
    from pylitebox.kernel.timers import Timer

MIN_PERIOD_NS = 20_000
#: POSIX timers of one process.
MAX_TIMERS = 256
DELAYTIMER_MAX = 0x7FFFFFFF
SIGEV_SIGNAL = 0
SIGEV_NONE = 1
SIGEV_THREAD_ID = 4
#: A deadline that far away never comes.
_NEVER = 1 << 62

_ITIMER_SIGNALS = {tm.ITIMER_REAL: sg.SIGALRM, tm.ITIMER_VIRTUAL: sg.SIGVTALRM, tm.ITIMER_PROF: sg.SIGPROF}


class IntervalTimer:
    """A timer that calls ``fire(missed)`` at its deadline, then every ``interval`` ns; 0: once."""

    __slots__ = ("_armed", "_fire", "_kernel", "deadline", "interval")

    def __init__(self, kernel: Kernel, fire: Callable[[int], None]) -> None:
        self._kernel = kernel
        self._fire = fire
        self._armed: Timer | None = None
        self.deadline = 0
        self.interval = 0

    def set(self, deadline: int, interval: int) -> None:
        """Arm for ``deadline`` (monotonic ns); 0 disarms."""
        self.disarm()
        self.interval = interval
        if deadline:
            self.deadline = min(deadline, _NEVER)
            self._armed = self._kernel.timers.at(self.deadline, self._expired)

    def disarm(self) -> None:
        if self._armed is not None:
            self._kernel.timers.cancel(self._armed)
            self._armed = None

    def remaining(self) -> tuple[int, int]:
        """Nanoseconds to the next expiry (0: disarmed; at least 1 when armed), and the interval."""
        if self._armed is None:
            return 0, self.interval
        return max(1, self.deadline - self._kernel.now()), self.interval

    def _expired(self) -> None:
        self._armed = None
        missed = 0
        if self.interval:
            now = self._kernel.now()
            missed = max(0, now - self.deadline) // self.interval
            following = self.deadline + (missed + 1) * self.interval
            if self.interval < MIN_PERIOD_NS:
                following = max(following, now + MIN_PERIOD_NS)
            self.deadline = min(following, _NEVER)
            self._armed = self._kernel.timers.at(self.deadline, self._expired)
        self._fire(missed)


def _itimer(process: Process, which: int) -> IntervalTimer:
    timer = process.itimers.get(which)
    if timer is None:
        signo = _ITIMER_SIGNALS[which]

        def fire(missed: int) -> None:
            post_process(process, SigInfo(signo, sg.SI_KERNEL))

        timer = process.itimers[which] = IntervalTimer(process.kernel, fire)
    assert isinstance(timer, IntervalTimer)
    return timer


def get_itimer(process: Process, which: int) -> tuple[int, int]:
    """(remaining, interval) in ns; EINVAL."""
    if which not in _ITIMER_SIGNALS:
        raise KernelError(E.EINVAL)
    return _itimer(process, which).remaining() if which in process.itimers else (0, 0)


def set_itimer(process: Process, which: int, value: int, interval: int) -> tuple[int, int]:
    """Arm for ``value`` ns from now (0 disarms); the previous (remaining, interval)."""
    old = get_itimer(process, which)
    if value or which in process.itimers:
        _itimer(process, which).set(process.kernel.now() + value if value else 0, interval if value else 0)
    return old


class PosixTimer:
    """One timer of timer_create(2). ``target`` is a thread id for SIGEV_THREAD_ID, else 0."""

    __slots__ = ("clock", "ident", "info", "notify", "process", "signo", "target", "timer", "value")

    def __init__(
        self, process: Process, ident: int, clock: int, notify: int, signo: int, value: int, target: int
    ) -> None:
        self.process = process
        self.ident = ident
        self.clock = clock
        self.notify = notify
        self.signo = signo
        self.value = value
        self.target = target
        self.info: SigInfo | None = None  # the signal that was sent last
        self.timer = IntervalTimer(process.kernel, self._fire)

    def _fire(self, missed: int) -> None:
        if self.notify == SIGEV_NONE:
            return
        task = self.process.tasks.get(self.target) if self.target else None
        if self.target and task is None:
            return
        queue = task.pending if task is not None else self.process.pending
        if self.info is not None and queue.holds(self.info):
            self.info.overrun = min(self.info.overrun + missed + 1, DELAYTIMER_MAX)
            return
        self.info = SigInfo(self.signo, sg.SI_TIMER, value=self.value, timer=self.ident, overrun=missed)
        if task is not None:
            post_task(task, self.info)
        else:
            post_process(self.process, self.info)


def create_timer(process: Process, clock: int, notify: int, signo: int, value: int | None, target: int) -> int:
    """Make a disarmed POSIX timer; its id. ``value`` None: the id itself (sigevent NULL). EAGAIN."""
    timers = process.posix_timers
    if len(timers) >= MAX_TIMERS:
        raise KernelError(E.EAGAIN)
    ident = 0
    while ident in timers:
        ident += 1
    timers[ident] = PosixTimer(process, ident, clock, notify, signo, ident if value is None else value, target)
    return ident


def find_timer(process: Process, ident: int) -> PosixTimer:
    """EINVAL if there is none."""
    timer = process.posix_timers.get(ident)
    if not isinstance(timer, PosixTimer):
        raise KernelError(E.EINVAL)
    return timer


def delete_timer(process: Process, ident: int) -> None:
    find_timer(process, ident).timer.disarm()
    del process.posix_timers[ident]


def cancel_posix(process: Process) -> None:
    """Delete every POSIX timer (exec and exit)."""
    for ident in list(process.posix_timers):
        delete_timer(process, ident)


def cancel_all(process: Process) -> None:
    """The process ends."""
    cancel_posix(process)
    for timer in process.itimers.values():
        assert isinstance(timer, IntervalTimer)
        timer.disarm()
    process.itimers.clear()
