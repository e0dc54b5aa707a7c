"""signalfd(2): pending signals read from a descriptor instead of delivered to a handler.

Whoever reads it reads its own signals: those sent to the thread and those sent to its whole process. Likewise polling,
and an epoll set is told of the signals of who put the descriptor there.
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
    rwf_write = None

    def __init__(self, task: Task, mask: int, *, nonblocking: bool = False) -> None:
        super().__init__(O_RDWR | (O_NONBLOCK if nonblocking else 0))
        self._kernel = task.kernel
        self.mask = 0
        self.set_mask(mask)

    def set_mask(self, mask: int) -> None:
        self.mask = mask & ~UNBLOCKABLE
        self._reader().signal_queue.wake()

    def _reader(self) -> Task:
        task = self._kernel.current
        assert task is not None  # who else has a descriptor?
        return task

    def read(self, size: int) -> bytes:
        if size < SIGNALFD_SIGINFO.size:
            raise KernelError(E.EINVAL)
        task = self._reader()
        taken: list[bytes] = []
        for _ in range(min(size // SIGNALFD_SIGINFO.size, 1024)):
            info = self._take(task)
            if info is None:
                break
            taken.append(_pack(info))
        if not taken:
            raise WouldBlock
        if task.signal_pending:
            recompute(task)
        return b"".join(taken)

    def _take(self, task: Task) -> SigInfo | None:
        for pending in (task.pending, task.process.pending):
            signo = pending.first(self.mask)
            if signo:
                return pending.take(signo, task.kernel)
        return None

    def poll(self) -> int:
        task = self._reader()
        pending = task.pending.mask | task.process.pending.mask
        return POLLIN if pending & self.mask else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self._reader().signal_queue,)

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
