"""timerfd_create(2): a timer behind a descriptor, which counts its expirations until they are read.

As in Linux, a periodic timer that has expired is not armed again before somebody looks (read, settime, gettime): the
expirations between are computed.
TFD_TIMER_CANCEL_ON_SET: nobody tells us that the host's clock was set, so that while such a timer is armed the clocks
are compared every LOOK_NS. Other timers do not follow the clock. Missing: CLOCK_BOOTTIME's time in suspend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_NONBLOCK, O_RDWR
from pylitebox.abi.poll import POLLIN
from pylitebox.abi.time import (
    CLOCK_REALTIME,
    CLOCK_REALTIME_ALARM,
    NSEC_PER_SEC,
    TFD_TIMER_ABSTIME,
    TFD_TIMER_CANCEL_ON_SET,
)
from pylitebox.kernel.anonymous import AnonymousFile
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.timers import Timer

_U64 = (1 << 64) - 1
#: No deadline lies further away (KTIME_MAX).
FOREVER = (1 << 63) - 1
LOOK_NS = NSEC_PER_SEC
_CANCELS = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET


class TimerFile(AnonymousFile):
    """One timer on ``clock`` (CLOCK_*). Times are in ns."""

    kind = b"timerfd"
    can_poll = True
    rwf_write = None

    def __init__(self, kernel: Kernel, clock: int, *, nonblocking: bool = False) -> None:
        super().__init__(O_RDWR | (O_NONBLOCK if nonblocking else 0))
        self._kernel = kernel
        self.clock = clock
        self._realtime = clock in (CLOCK_REALTIME, CLOCK_REALTIME_ALARM)
        self._deadline = 0  # monotonic; of the expiration armed or last seen; 0: disarmed
        self._interval = 0
        self._ticks = 0
        self._timer: Timer | None = None
        self._flags = 0
        self._queue = WaitQueue()
        self._distance: tuple[int, int] | None = None  # of the clocks, if a change of it cancels
        self._cancelled = False
        self._watch: Timer | None = None

    def set(self, value: int, interval: int, *, flags: int = 0) -> tuple[int, int]:
        """Arm it to expire after ``value``, or at with TFD_TIMER_ABSTIME; 0 disarms. The previous (value left,
        interval). ECANCELED, though it is armed, if the clock was set since (TFD_TIMER_CANCEL_ON_SET)."""
        old = self.get()
        self._set_watch(on=self._realtime and flags & _CANCELS == _CANCELS)
        self._disarm()
        self._ticks = 0
        self._interval = min(interval, FOREVER)
        self._flags = flags
        self._deadline = 0
        if value:
            now = self._kernel.now()
            if not flags & TFD_TIMER_ABSTIME:
                deadline = now + value
            elif self._realtime:
                deadline = now + value - self._kernel.wall()
            else:
                deadline = value
            self._deadline = min(max(deadline, 1), FOREVER)
            self._arm()
            if self._take_cancelled():
                raise KernelError(E.ECANCELED)
        return old

    def get(self) -> tuple[int, int]:
        """(ns until the next expiration, interval); 0 is disarmed."""
        self._catch_up()
        if not self._deadline or self._timer is None:
            return 0, self._interval
        return max(1, self._deadline - self._kernel.now()), self._interval

    def _arm(self) -> None:
        self._timer = self._kernel.timers.at(self._deadline, self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._kernel.timers.cancel(self._timer)
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self._ticks += 1
        self._queue.wake()

    def _catch_up(self) -> None:
        """Count the expirations of a periodic timer since the one that was seen, and arm it for the next."""
        if self._timer is None and self._ticks and self._interval:
            missed = max(0, (self._kernel.now() - self._deadline) // self._interval)
            self._ticks += missed
            self._deadline += (missed + 1) * self._interval
            self._arm()

    # -- the clock is set -------------------------------------------------------------------------------------

    def _set_watch(self, *, on: bool) -> None:
        """Whether setting the clock cancels; what was noticed before is kept only if it does."""
        self._look()
        self._unwatch()
        if on:
            self._distance = self._measure()
            self._watch = self._kernel.timers.at(self._kernel.now() + LOOK_NS, self._look)
        else:
            self._distance, self._cancelled = None, False

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._kernel.timers.cancel(self._watch)
            self._watch = None

    def _measure(self) -> tuple[int, int]:
        """What the real-time clock is ahead of the monotonic one: between these, whatever came between the looks."""
        before = self._kernel.now()
        wall = self._kernel.wall()
        return wall - self._kernel.now(), wall - before

    def _look(self) -> None:
        """Slewing moves both clocks; if their distance has certainly changed, the real-time clock was set."""
        if self._distance is None:
            return
        self._unwatch()
        self._watch = self._kernel.timers.at(self._kernel.now() + LOOK_NS, self._look)
        (least, most), (low, high) = self._distance, self._measure()
        if low <= most and least <= high:
            return
        self._distance = low, high
        self._cancelled = True
        self._ticks += 1
        if self._timer is not None:
            self._disarm()
            self._deadline = min(max(self._deadline + least - low, 1), FOREVER)
            self._arm()
        self._queue.wake()

    def _take_cancelled(self) -> bool:
        cancelled, self._cancelled = self._cancelled, False
        return cancelled

    def read(self, size: int) -> bytes:
        if size < 8:
            raise KernelError(E.EINVAL)
        self._look()
        if self._take_cancelled():
            self._ticks = 0
            raise KernelError(E.ECANCELED)
        if not self._ticks:
            raise WouldBlock
        self._catch_up()
        ticks, self._ticks = self._ticks, 0
        return min(ticks, _U64).to_bytes(8, "little")

    def poll(self) -> int:
        return POLLIN if self._ticks else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self._queue,)

    def fdinfo(self) -> bytes:
        value, interval = self.get()
        times = (*divmod(value, NSEC_PER_SEC), *divmod(interval, NSEC_PER_SEC))
        return b"clockid: %d\nticks: %d\nsettime flags: 0%o\nit_value: (%d, %d)\nit_interval: (%d, %d)\n" % (
            self.clock,
            self._ticks,
            self._flags,
            *times,
        )

    def release(self) -> None:
        self._disarm()
        self._unwatch()
