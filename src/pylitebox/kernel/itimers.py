"""Timers that send signals: setitimer(2), alarm(2) and POSIX timers (man 2 timer_create).

A period that passes while its signal is still queued is counted as an overrun and queues nothing. A periodic timer
fires at most once in MIN_PERIOD_NS, whatever its interval; what it skips counts as overruns.

RLIMIT_CPU is such a timer too. As in Linux, the soft limit sends SIGXCPU, moves on by a second and does so again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi import time as tm
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_CPU
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.signals import SigInfo, post_process, post_task
from pylitebox.kernel.usage import cpu_time, user_time

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.signal_state import PendingSignals
    from pylitebox.kernel.task import Process
    from pylitebox.kernel.timers import Timer

MIN_PERIOD_NS = 20_000
#: How often a clock of CPU time is looked at, near its deadline and while it stands still. (Linux: every tick.)
LOOK_NS = 2_000_000
IDLE_LOOK_NS = 20_000_000
#: POSIX timers of one process.
MAX_TIMERS = 256
DELAYTIMER_MAX = 0x7FFFFFFF
SIGEV_SIGNAL = 0
SIGEV_NONE = 1
SIGEV_THREAD_ID = 4
#: A deadline that far away never comes.
_NEVER = 1 << 62

_ITIMER_CLOCKS = {tm.ITIMER_VIRTUAL: user_time, tm.ITIMER_PROF: cpu_time}
#: The key of RLIMIT_CPU's timer among a process's interval timers.
_CPU_LIMIT = -1
_ITIMER_SIGNALS = {tm.ITIMER_REAL: sg.SIGALRM, tm.ITIMER_VIRTUAL: sg.SIGVTALRM, tm.ITIMER_PROF: sg.SIGPROF}


class IntervalTimer:
    """A timer that calls ``fire(missed)`` at its deadline, then every ``interval`` ns; 0: once.

    ``clock`` is its clock (ns); None: the monotonic one. A clock of CPU time is looked at when it can have got there at
    the earliest, but not more often than every LOOK_NS, and less often while it stands still."""

    __slots__ = ("_armed", "_clock", "_fire", "_idle", "_kernel", "_seen", "deadline", "interval")

    def __init__(self, kernel: Kernel, fire: Callable[[int], None], clock: Callable[[], int] | None = None) -> None:
        self._kernel = kernel
        self._fire = fire
        self._clock = clock
        self._armed: Timer | None = None
        self._seen = self._idle = 0
        self.deadline = 0
        self.interval = 0

    def now(self) -> int:
        """The time of its clock."""
        return self._kernel.now() if self._clock is None else self._clock()

    def set(self, deadline: int, interval: int) -> None:
        """Arm for ``deadline`` (of its clock); 0 disarms."""
        self.disarm()
        self.interval = interval
        if deadline:
            self.deadline = min(deadline, _NEVER)
            self._arm()

    def disarm(self) -> None:
        if self._armed is not None:
            self._kernel.timers.cancel(self._armed)
            self._armed = None

    def remaining(self) -> tuple[int, int]:
        """Nanoseconds to the next expiry (0: disarmed; at least 1 when armed), and the interval."""
        if self._armed is None:
            return 0, self.interval
        return max(1, self.deadline - self.now()), self.interval

    def _arm(self) -> None:
        when = self.deadline
        if self._clock is not None:
            self._seen, self._idle = self._clock(), 0
            when = self._kernel.now() + cpu_delay(self._kernel, self.deadline - self._seen)
        self._armed = self._kernel.timers.at(when, self._expired)

    def _early(self) -> bool:
        """Whether a clock of CPU time has not got there yet: look again later."""
        if self._clock is None or (now := self._clock()) >= self.deadline:
            return False
        self._idle = min(self._idle + LOOK_NS, IDLE_LOOK_NS) if now == self._seen else 0
        self._seen = now
        delay = max(self._idle, cpu_delay(self._kernel, self.deadline - now))
        self._armed = self._kernel.timers.at(self._kernel.now() + delay, self._expired)
        return True

    def _expired(self) -> None:
        self._armed = None
        if self._early():
            return
        missed = 0
        if self.interval:
            now = self.now()
            missed = max(0, now - self.deadline) // self.interval
            following = self.deadline + (missed + 1) * self.interval
            if self.interval < MIN_PERIOD_NS:
                following = max(following, now + MIN_PERIOD_NS)
            self.deadline = min(following, _NEVER)
            self._arm()
        self._fire(missed)


def cpu_delay(kernel: Kernel, remaining: int) -> int:
    """How long (ns) it takes at least until so much CPU time was used, on all CPUs; no less than LOOK_NS."""
    return max(LOOK_NS, remaining // kernel.platform.cpu_count())


def _itimer(process: Process, which: int) -> IntervalTimer:
    timer = process.itimers.get(which)
    if timer is None:
        signo = _ITIMER_SIGNALS[which]

        def fire(missed: int) -> None:
            post_process(process, SigInfo(signo, sg.SI_KERNEL))

        clock = _ITIMER_CLOCKS.get(which)
        read = partial(clock, process) if clock is not None else None
        timer = process.itimers[which] = IntervalTimer(process.kernel, fire, read)
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
    kept = interval if value or which != tm.ITIMER_REAL else 0  # set_cpu_itimer() takes it without a value too
    if value or kept or which in process.itimers:
        timer = _itimer(process, which)
        timer.set(timer.now() + value if value else 0, kept)
    return old


# -- RLIMIT_CPU -----------------------------------------------------------------------------------------------


def watch_cpu_limit(process: Process) -> None:
    """The limit is new, or the process is: see that it is kept."""
    soft, hard = process.rlimits[RLIMIT_CPU]
    timer = process.itimers.get(_CPU_LIMIT)
    if timer is None:
        if soft == RLIM_INFINITY:
            return
        timer = IntervalTimer(process.kernel, lambda missed: _cpu_limit_reached(process), partial(cpu_time, process))
        process.itimers[_CPU_LIMIT] = timer
    assert isinstance(timer, IntervalTimer)
    timer.set(max(1, min(soft, hard)) * tm.NSEC_PER_SEC if soft != RLIM_INFINITY else 0, 0)


def _cpu_limit_reached(process: Process) -> None:
    soft, hard = process.rlimits[RLIMIT_CPU]
    if cpu_time(process) >= hard * tm.NSEC_PER_SEC:
        post_process(process, SigInfo(sg.SIGKILL, sg.SI_KERNEL))
        return
    process.rlimits[RLIMIT_CPU] = (soft + 1, hard)
    watch_cpu_limit(process)
    post_process(process, SigInfo(sg.SIGXCPU, sg.SI_KERNEL))


# -- POSIX timers ---------------------------------------------------------------------------------------------


class PosixTimer:
    """One timer of timer_create(2). ``target`` is a thread id for SIGEV_THREAD_ID, else 0."""

    __slots__ = ("_overrun", "clock", "ident", "info", "notify", "process", "signo", "target", "timer", "value")

    def __init__(
        self,
        process: Process,
        ident: int,
        clock: int,
        notify: int,
        signo: int,
        value: int,
        target: int,
        read: Callable[[], int] | None,
    ) -> None:
        self.process = process
        self.ident = ident
        self.clock = clock
        self.notify = notify
        self.signo = signo
        self.value = value
        self.target = target
        self.info: SigInfo | None = None  # the signal that was sent last
        self._overrun = 0  # of the one before it
        self.timer = IntervalTimer(process.kernel, self._fire, read)

    def overrun(self) -> int:
        """The overruns of the signal that was taken last (man 2 timer_getoverrun)."""
        if self.info is None:
            return 0
        return self._overrun if self._queue().holds(self.info) else self.info.overrun

    def _queue(self) -> PendingSignals:
        task = self.process.tasks.get(self.target) if self.target else None
        return task.pending if task is not None else self.process.pending

    def _fire(self, missed: int) -> None:
        if self.notify == SIGEV_NONE:
            return
        task = self.process.tasks.get(self.target) if self.target else None
        if self.target and task is None:
            return
        if self.info is not None and self._queue().holds(self.info):
            self.info.overrun = min(self.info.overrun + missed + 1, DELAYTIMER_MAX)
            return
        if self.info is not None:
            self._overrun = self.info.overrun
        self.info = SigInfo(self.signo, sg.SI_TIMER, value=self.value, timer=self.ident, overrun=missed)
        if task is not None:
            post_task(task, self.info)
        else:
            post_process(self.process, self.info)


def create_timer(
    process: Process,
    clock: int,
    notify: int,
    signo: int,
    value: int | None,
    target: int,
    read: Callable[[], int] | None = None,
) -> int:
    """Make a disarmed POSIX timer; its id. ``value`` None: the id itself (sigevent NULL); ``read``: what reads a clock
    of CPU time. EAGAIN."""
    timers = process.posix_timers
    if len(timers) >= MAX_TIMERS:
        raise KernelError(E.EAGAIN)
    process.kernel.posix_timers.take(1)
    ident = 0
    while ident in timers:
        ident += 1
    timers[ident] = PosixTimer(process, ident, clock, notify, signo, ident if value is None else value, target, read)
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
    process.kernel.posix_timers.give(1)


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
