"""pidfd_open(2): a process, or one thread (PIDFD_THREAD), behind a descriptor. It becomes readable at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.fcntl import O_EXCL, O_NONBLOCK, O_RDWR
from pylitebox.abi.poll import POLLHUP, POLLIN, POLLRDNORM
from pylitebox.kernel.anonymous import AnonymousFile
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.kernel.task import Process, Task

PIDFD_THREAD = O_EXCL


class PidFile(AnonymousFile):
    kind = b"pidfd"
    can_poll = True
    rwf_read = rwf_write = None

    def __init__(self, process: Process, thread: Task | None = None, *, nonblocking: bool = False) -> None:
        super().__init__(O_RDWR | (O_NONBLOCK if nonblocking else 0))
        if thread is not None:
            self.flags |= PIDFD_THREAD
        self.process = process
        self.thread = thread
        if thread is not None and thread.exit_queue is None:
            thread.exit_queue = WaitQueue()

    @property
    def gone(self) -> bool:
        """Whether nothing is left to be sent a signal, or to be waited for."""
        if self.thread is None or self.thread.tid == self.process.pid:
            return self.process.state == "dead"
        return self.thread.exiting

    def target(self) -> Task | None:
        """The thread, or the process's first that is left."""
        if self.thread is not None:
            return None if self.thread.exiting else self.thread
        return self.process.leader or next(iter(self.process.tasks.values()), None)

    def poll(self) -> int:
        if self.gone:
            return POLLIN | POLLRDNORM | POLLHUP
        ended = self.process.state == "zombie" if self.thread is None else self.thread.exiting
        return POLLIN | POLLRDNORM if ended else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        queue = self.thread.exit_queue if self.thread is not None else None
        return (self.process.exit_queue,) if queue is None else (self.process.exit_queue, queue)

    def fdinfo(self) -> bytes:
        pid = -1 if self.gone else self.process.pid if self.thread is None else self.thread.tid
        return b"Pid:\t%d\nNSpid:\t%d\n" % (pid, pid)
