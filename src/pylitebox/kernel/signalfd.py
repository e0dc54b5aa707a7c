"""signalfd(2): pending signals read from a descriptor instead of delivered to a handler.

It reads the signals of the thread that made it and those sent to its whole process. Linux reads those of whoever
calls read(2), which differs only for a descriptor used by another thread or after fork(2): missing here.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_NONBLOCK, O_RDWR
from pylitebox.abi.poll import POLLIN
from pylitebox.abi.signal import UNBLOCKABLE
from pylitebox.kernel.anonymous import AnonymousFile
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.signals import recompute

if TYPE_CHECKING:
    from pylitebox.kernel.signals import SigInfo
    from pylitebox.kernel.task import Task
    from pylitebox.kernel.wait import WaitQueue

#: struct signalfd_siginfo: signo errno code pid uid fd tid band overrun trapno status int ptr utime stime addr.
SIGNALFD_SIGINFO = struct.Struct("<IiiIIiIIIIiiQQQQ48x")


class SignalFile(AnonymousFile):
    """``mask`` (a sigset_t) says which signals are read."""

    kind = b"signalfd"
    can_poll = True

    def __init__(self, task: Task, mask: int, *, nonblocking: bool = False) -> None:
        super().__init__(O_RDWR | (O_NONBLOCK if nonblocking else 0))
        self._task = task
        self._queue = task.signal_queue
        self.mask = 0
        self.set_mask(mask)

    def set_mask(self, mask: int) -> None:
        self.mask = mask & ~UNBLOCKABLE
        self._queue.wake()

    def read(self, size: int) -> bytes:
        if size < SIGNALFD_SIGINFO.size:
            raise KernelError(E.EINVAL)
        task = self._task
        taken: list[bytes] = []
        for _ in range(min(size // SIGNALFD_SIGINFO.size, 1024)):
            info = self._take()
            if info is None:
                break
            taken.append(_pack(info))
        if not taken:
            raise WouldBlock
        if task.signal_pending:
            recompute(task)
        return b"".join(taken)

    def _take(self) -> SigInfo | None:
        task = self._task
        for pending in (task.pending, task.process.pending):
            signo = pending.first(self.mask)
            if signo:
                return pending.take(signo, task.kernel)
        return None

    def poll(self) -> int:
        pending = self._task.pending.mask | self._task.process.pending.mask
        return POLLIN if pending & self.mask else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self._queue,)

    def fdinfo(self) -> bytes:
        return b"sigmask:\t%016x\n" % self.mask


def _pack(info: SigInfo) -> bytes:
    low = info.value & 0xFFFFFFFF
    return SIGNALFD_SIGINFO.pack(
        info.signo,
        0,
        info.code,
        info.pid & 0xFFFFFFFF,
        info.uid & 0xFFFFFFFF,
        0,
        info.timer & 0xFFFFFFFF,
        0,
        info.overrun & 0xFFFFFFFF,
        0,
        info.status,
        low - (1 << 32) if low >> 31 else low,
        info.value & (1 << 64) - 1,
        info.utime,
        info.stime,
        info.addr & (1 << 64) - 1,
    )
