"""System V semaphores (man 7 sysvipc, man 2 semop; ipc/sem.c).

The operations of one semop are done all or none. Those that cannot be done now wait in the order in which they came;
whoever changes a value carries out at once, on their behalf, what has become possible. So a value that somebody waits
for is never seen. What waits for zero and changes nothing goes first, as on Linux.

What a chain of waiting operations costs is bounded: beyond TURN single operations, the rest goes on from the loop.
Undo values belong to a process. Missing: CLONE_SYSVSEM between processes (threads always share them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import ipc
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.ipc.table import S_IRUGO, S_IWUGO, IpcObject, IpcTable
from pylitebox.kernel.wait import Blocking, Wait, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.content import Budget
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Process, Task

#: Single operations that are tried in one go.
TURN = 1 << 15
#: What a set, a semaphore and an undo value take of the supervisor's memory, bytes.
_SET_COST = 2048
_SEMAPHORE_COST = 64
_UNDO_COST = 128


class _Pending:
    """A semop that waits. ``result`` is None until it is done or has failed (an errno); ``blocking`` is the
    (number, operation) that could not be done."""

    __slots__ = ("alters", "blocking", "process", "queue", "result", "sops")

    def __init__(self, process: Process, sops: bytes, *, alters: bool) -> None:
        self.process = process
        self.sops = sops  # packed: five hundred tuples are too much to keep for each thread
        self.alters = alters
        self.queue = WaitQueue()
        self.result: int | None = None
        self.blocking = (0, 0)

    def end(self, result: int) -> None:
        self.result = result
        self.queue.wake()


class SemaphoreSet(IpcObject):
    """One set."""

    def __init__(self, kernel: Kernel, key: int, mode: int, cred: Credentials, count: int) -> None:
        super().__init__(kernel, key, mode, cred)
        self.values = [0] * count
        self.pids = [0] * count
        self.otime = 0
        self.undo: dict[Process, dict[int, int]] = {}
        self._waiting: dict[_Pending, None] = {}
        self._passes: Iterator[None] | None = None  # of an update that goes on from the loop
        self._again = False

    # -- operations -------------------------------------------------------------------------------------------

    def operate(self, task: Task, sops: bytes, deadline: int | None) -> int | Blocking:
        """semop(2): 0, or a call that waits; EAGAIN, ERANGE, EFBIG, EACCES, ENOMEM."""
        alters = undoes = False
        highest = 0
        for number, operation, flags in ipc.SEMBUF.iter_unpack(sops):
            highest = max(highest, number)
            alters = alters or operation != 0
            undoes = undoes or bool(flags & ipc.SEM_UNDO)
        if highest >= len(self.values):
            raise KernelError(E.EFBIG)
        self.check(task.cred, S_IWUGO if alters else S_IRUGO)
        if undoes:
            self._reserve_undo(task.process, sops)
        pending = _Pending(task.process, sops, alters=alters)
        if self._try(pending):
            self.otime = self.now()
            if alters:
                self.update()
            return 0
        self._waiting[pending] = None
        return self._wait(pending, deadline)

    def _wait(self, pending: _Pending, deadline: int | None) -> Blocking:
        try:
            while pending.result is None:
                # never restarted, whatever SA_RESTART says (man 7 signal)
                if not (yield Wait(pending.queue, deadline=deadline, restart=E.EINTR)) and pending.result is None:
                    raise KernelError(E.EAGAIN)
        finally:
            self._waiting.pop(pending, None)
        return -pending.result

    def _try(self, pending: _Pending) -> bool:
        """Do all operations, or none and False; EAGAIN (IPC_NOWAIT), ERANGE."""
        values, sops = self.values, list(ipc.SEMBUF.iter_unpack(pending.sops))
        adjustments = self.undo.get(pending.process, {})
        done: list[tuple[int, int, int]] = []
        try:
            for sop in sops:
                number, operation, flags = sop
                value = values[number] + operation
                if value < 0 or (operation == 0 and value):
                    if flags & ipc.IPC_NOWAIT:
                        raise KernelError(E.EAGAIN)
                    pending.blocking = (number, operation)
                    self._take_back(done, adjustments)
                    return False
                if value > ipc.SEMVMX:
                    raise KernelError(E.ERANGE)
                if flags & ipc.SEM_UNDO and operation:
                    adjusted = adjustments.get(number, 0) - operation
                    if not -ipc.SEMAEM - 1 <= adjusted <= ipc.SEMAEM:
                        raise KernelError(E.ERANGE)
                    adjustments[number] = adjusted
                values[number] = value
                done.append(sop)
        except KernelError:
            self._take_back(done, adjustments)
            raise
        for number, _, _ in sops:
            self.pids[number] = pending.process.pid
        return True

    def _take_back(self, done: list[tuple[int, int, int]], adjustments: dict[int, int]) -> None:
        for number, operation, flags in done:
            self.values[number] -= operation
            if flags & ipc.SEM_UNDO and operation:
                adjustments[number] += operation

    def update(self) -> None:
        """Do what has become possible of what waits."""
        self._again = bool(self._waiting)
        if self._passes is None and self._again:
            self._passes = self._pass()
            self._go_on()

    def _go_on(self) -> None:
        assert self._passes is not None
        for _ in self._passes:
            self.kernel.timers.at(self.kernel.now(), self._go_on)
            return
        self._passes = None

    def _pass(self) -> Iterator[None]:
        """Try each that waits, again and again, until nothing changes any more; a pause after each TURN."""
        left = TURN
        while self._again:
            self._again = False
            for alters in (False, True):
                for pending in [p for p in self._waiting if p.alters is alters]:
                    left -= len(pending.sops) // ipc.SEMBUF.size
                    if left < 0:
                        yield
                        left = TURN
                        if pending not in self._waiting:
                            continue
                    try:
                        if not self._try(pending):
                            continue
                    except KernelError as error:
                        del self._waiting[pending]
                        pending.end(error.errno)
                        continue
                    del self._waiting[pending]
                    self.otime = self.now()
                    pending.end(0)
                    self._again = self._again or alters

    def waiters(self, number: int, *, zero: bool) -> int:
        """GETNCNT and GETZCNT: how many wait for this value to rise, or to be zero."""
        return sum(p.blocking[0] == number and (p.blocking[1] == 0) is zero for p in self._waiting)

    # -- values -----------------------------------------------------------------------------------------------

    def set_value(self, process: Process, number: int, value: int) -> None:
        """SETVAL; the value was checked."""
        for adjustments in self.undo.values():
            if number in adjustments:
                adjustments[number] = 0
        self.values[number] = value
        self.pids[number] = process.pid
        self.ctime = self.now()
        self.update()

    def set_all(self, process: Process, values: list[int]) -> None:
        """SETALL; ERANGE."""
        if max(values) > ipc.SEMVMX:
            raise KernelError(E.ERANGE)
        for adjustments in self.undo.values():
            for number in adjustments:
                adjustments[number] = 0
        self.values = values
        self.pids = [process.pid] * len(values)
        self.ctime = self.now()
        self.update()

    # -- undo -------------------------------------------------------------------------------------------------

    def _reserve_undo(self, process: Process, sops: bytes) -> None:
        """Make room for the undo values of these operations; ENOMEM."""
        adjustments = self.undo.get(process, {})
        wanted = {n for n, op, flags in ipc.SEMBUF.iter_unpack(sops) if op and flags & ipc.SEM_UNDO}
        new = wanted.difference(adjustments)
        if new:
            self.kernel.ipc.memory.take(_UNDO_COST * len(new))
            self.undo[process] = adjustments
            adjustments.update(dict.fromkeys(new, 0))
            process.sem_undo[self] = None

    def apply_undo(self, process: Process) -> None:
        """The process ends: take back what it did with SEM_UNDO."""
        adjustments = self.undo.pop(process)
        self.kernel.ipc.memory.give(_UNDO_COST * len(adjustments))
        for number, adjustment in adjustments.items():
            if adjustment:
                self.values[number] = min(max(self.values[number] + adjustment, 0), ipc.SEMVMX)
                self.pids[number] = process.pid
        self.otime = self.now()
        self.update()

    def end(self) -> None:
        """It was removed."""
        for process, adjustments in self.undo.items():
            process.sem_undo.pop(self, None)
            self.kernel.ipc.memory.give(_UNDO_COST * len(adjustments))
        self.undo.clear()
        waiting, self._waiting = self._waiting, {}
        for pending in waiting:
            pending.end(E.EIDRM)


class Semaphores(IpcTable[SemaphoreSet]):
    """All sets. ``used`` counts their semaphores."""

    def __init__(self, memory: Budget) -> None:
        super().__init__(ipc.SEMMNI)
        self._memory = memory
        self.used = 0

    def open(self, task: Task, key: int, count: int, flags: int) -> int:
        """semget(2)."""
        if not 0 <= count <= ipc.SEMMSL:
            raise KernelError(E.EINVAL)

        def make() -> SemaphoreSet:
            if not count:
                raise KernelError(E.EINVAL)
            if self.used + count > ipc.SEMMNS:
                raise KernelError(E.ENOSPC)
            self._memory.take(_SET_COST + _SEMAPHORE_COST * count)
            self.used += count
            return SemaphoreSet(task.kernel, key, flags, task.cred, count)

        return self.get(key, flags, task.cred, make, lambda found: count <= len(found.values))

    def remove(self, thing: SemaphoreSet) -> None:
        super().remove(thing)
        self.used -= len(thing.values)
        self._memory.give(_SET_COST + _SEMAPHORE_COST * len(thing.values))
        thing.end()


def exit_semaphores(process: Process) -> None:
    """The process has ended: every set takes back what it did with SEM_UNDO."""
    sets, process.sem_undo = process.sem_undo, {}
    for found in sets:
        assert isinstance(found, SemaphoreSet)
        found.apply_undo(process)
