"""Inter-process communication by keys (System V) and by names (POSIX message queues).

All of a sandbox's is here (``Kernel.ipc``). What it makes the supervisor hold is bounded by one budget, ``memory``;
segments of shared memory count as data of in-memory files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.kernel.fs.content import Budget
from pylitebox.kernel.ipc.mqueue import MqueueFs
from pylitebox.kernel.ipc.msg import MessageQueues
from pylitebox.kernel.ipc.sem import Semaphores
from pylitebox.kernel.ipc.shm import Segments

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel


class Ipc:
    """The IPC namespace of one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self.memory = Budget(kernel.limits.ipc_bytes, errno=E.ENOMEM)
        self.semaphores = Semaphores(self.memory)
        self.queues = MessageQueues(self.memory)
        self.segments = Segments()
        self.mqueues = MqueueFs(kernel)
