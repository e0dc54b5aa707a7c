"""A program on a terminal of its own (``run --tty``): a pseudo-terminal of the sandbox, between whose master and the
user's streams the supervisor moves bytes. The client keeps the user's own terminal in raw mode meanwhile and tells of
changes of its size: what a key means is decided in the sandbox.

Rule: at the end of the program what it has written is shown, for at most LAST_NS if nobody takes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pylitebox.abi import fcntl as fc
from pylitebox.abi.time import NSEC_PER_SEC
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.tty import jobs
from pylitebox.kernel.wait import Blocking, Wait, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Generator

    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.task import Process, Task
    from pylitebox.kernel.tty.pty import PtyFile
    from pylitebox.supervisor.caller import Caller

#: The most that is moved in one piece.
CHUNK = 4096
LAST_NS = 2 * NSEC_PER_SEC


class Console:
    """The terminal of one program, whose owner is ``uid``; KernelError."""

    def __init__(self, caller: Caller, keyboard: File, screen: File, uid: int) -> None:
        self._keyboard, self._screen = keyboard, screen
        self._master = cast("PtyFile", ops.open(caller, b"/dev/ptmx", fc.O_RDWR | fc.O_NOCTTY))
        self._master.references += 1
        master = self._master.tty
        master.locked = False
        self.slave = ops.open(caller, b"/dev/pts/%d" % master.index, fc.O_RDWR | fc.O_NOCTTY)
        if self.slave.inode is not None:
            self.slave.inode.setattr(uid=uid)
        self._kernel = caller.kernel
        self._quiet = WaitQueue()  # woken when all that was written is shown
        self._ended = False
        for file in (keyboard, screen, self.slave):
            file.references += 1

    def resize(self, winsize: bytes) -> None:
        self._master.tty.slave.resize(winsize)
        self._master.tty.slave.settle()

    def start(self, process: Process, keys: Caller, picture: Caller) -> None:
        """The terminal becomes the program's; two callers move bytes from now on."""
        jobs.acquire(process, self._master.tty.slave)
        picture.start(self._show(picture))
        keys.start(self._type(keys))

    def _each(self, caller: Caller, source: File) -> Generator[Wait, bool, bytes]:
        """The next piece; b"" at the end of all."""
        while not self._ended:
            self._kernel.current = cast("Task", caller)
            try:
                return source.read(CHUNK)
            except WouldBlock:
                if source is self._master:
                    self._quiet.wake()
                yield Wait(*source.wait_queues(), self._quiet)
            except KernelError:
                break
        return b""

    def _put(self, caller: Caller, target: File, data: bytes) -> Generator[Wait, bool, None]:
        while data and not self._ended:
            self._kernel.current = cast("Task", caller)
            try:
                data = data[target.write(data) :]
            except WouldBlock:
                yield Wait(*target.wait_queues(), self._quiet)
            except KernelError:
                return

    def _type(self, caller: Caller) -> Blocking:
        while data := (yield from self._each(caller, self._keyboard)):
            yield from self._put(caller, self._master, data)
        if not self._ended:  # the user's terminal is gone
            jobs.hang_up(self._master.tty.slave)
        return None

    def _show(self, caller: Caller) -> Blocking:
        while data := (yield from self._each(caller, self._master)):
            yield from self._put(caller, self._screen, data)
        return None

    def finish(self) -> Generator[Wait, bool, None]:
        """The program has ended: show the rest, and let go of everything."""
        master, deadline = self._master.tty, self._kernel.now() + LAST_NS
        while master.inbox or master.discipline.available():
            if not (yield Wait(self._quiet, deadline=deadline)):
                break
        self._ended = True
        self._quiet.wake()
        for file in (self.slave, self._master, self._keyboard, self._screen):
            file.put()
