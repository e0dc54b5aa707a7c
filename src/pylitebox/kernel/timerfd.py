"""timerfd_create(2): a timer behind a descriptor, which counts its expirations until they are read.

As in Linux, a periodic timer that has expired is not armed again before somebody looks (read, settime, gettime): the
expirations between are computed.
Missing: TFD_TIMER_CANCEL_ON_SET (a change of the host's clock is not seen), CLOCK_BOOTTIME's time in suspend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_NONBLOCK, O_RDWR
from pylitebox.abi.poll import POLLIN
from pylitebox.abi.time import CLOCK_REALTIME, CLOCK_REALTIME_ALARM, NSEC_PER_SEC
from pylitebox.kernel.anonymous import AnonymousFile
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.timers import Timer

_U64 = (1 << 64) - 1
#: No deadline lies further away (KTIME_MAX).
FOREVER = (1 << 63) - 1


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

    def set(self, value: int, interval: int, *, absolute: bool, flags: int = 0) -> tuple[int, int]:
        """Arm it to expire after ``value`` (or at, if absolute); 0 disarms. The previous (value left, interval)."""
        old = self.get()
        self._disarm()
        self._ticks = 0
        self._interval = min(interval, FOREVER)
        self._flags = flags
        self._deadline = 0
        if value:
            now = self._kernel.now()
            if not absolute:
                deadline = now + value
            elif self._realtime:
                deadline = now + value - self._kernel.wall()
            else:
                deadline = value
            self._deadline = min(max(deadline, 1), FOREVER)
            self._arm()
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

    def read(self, size: int) -> bytes:
        if size < 8:
            raise KernelError(E.EINVAL)
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
