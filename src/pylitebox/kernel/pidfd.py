"""pidfd_open(2): a process behind a descriptor. It becomes readable when the process has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.fcntl import O_NONBLOCK, O_RDWR
from pylitebox.abi.poll import POLLHUP, POLLIN, POLLRDNORM
from pylitebox.kernel.anonymous import AnonymousFile

if TYPE_CHECKING:
    from pylitebox.kernel.task import Process
    from pylitebox.kernel.wait import WaitQueue


class PidFile(AnonymousFile):
    kind = b"pidfd"
    can_poll = True

    def __init__(self, process: Process, *, nonblocking: bool = False) -> None:
        super().__init__(O_RDWR | (O_NONBLOCK if nonblocking else 0))
        self.process = process

    def poll(self) -> int:
        if self.process.state == "zombie":
            return POLLIN | POLLRDNORM
        return POLLIN | POLLRDNORM | POLLHUP if self.process.state == "dead" else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.process.exit_queue,)

    def fdinfo(self) -> bytes:
        pid = -1 if self.process.state == "dead" else self.process.pid
        return b"Pid:\t%d\nNSpid:\t%d\n" % (pid, pid)
