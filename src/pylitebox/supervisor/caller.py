"""Someone who calls the kernel and is no guest: the supervisor itself, for one request of the client.

It can stand wherever the kernel wants a ``Who``, and its blocking calls are run by the kernel's scheduler like those
of a task; nothing interrupts them, and they have no result to finish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.namespace import FsContext
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Task
    from pylitebox.kernel.timers import Timer
    from pylitebox.kernel.wait import Blocking, Wait


class Caller:
    """The part of a :class:`~pylitebox.kernel.task.Task` that file operations and the scheduler look at."""

    __slots__ = (
        "call", "cred", "exiting", "fs", "kernel", "signal_pending", "stopped", "switches", "thread", "wait",
        "wait_timer", "woken",
    )  # fmt: skip

    def __init__(self, kernel: Kernel, fs: FsContext, cred: Credentials) -> None:
        self.kernel = kernel
        self.fs = fs
        self.cred = cred
        self.call: Blocking | None = None
        self.wait: Wait | None = None
        self.wait_timer: Timer | None = None
        self.woken = False
        self.signal_pending = self.exiting = self.stopped = False
        self.switches = 0
        self.thread = None  # so Kernel.finish has nothing to finish

    def start(self, call: Blocking) -> None:
        """Run a blocking call; it tells its outcome itself."""
        self.kernel.scheduler.start(cast("Task", self), call)
