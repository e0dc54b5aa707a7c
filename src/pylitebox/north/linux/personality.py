"""What a platform tells the North: system calls, safe points, faults, the life of threads (GuestEvents).

:meth:`Personality.syscall` is the hot path of everything: one look-up, one compiled entry, one handler. The tables
fill themselves: a row is compiled when it is first called. A handler's failure never leaves here: KernelError becomes
its negative number, anything else EIO, a log entry and ``kernel.internal_errors``.

Hooks cost nothing while they are off: :meth:`count_calls` and a tracer replace ``syscall`` on the instance, before the
platform is attached or at any time for a platform that looks it up for each call.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi import wait as status_word
from pylitebox.kernel import process as life
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.log import log
from pylitebox.kernel.signals import (
    DEFAULT,
    Action,
    SigInfo,
    force,
    next_signal,
    restore_mask,
    set_action,
    set_blocked,
    settle,
)
from pylitebox.kernel.wait import ERESTARTSYS
from pylitebox.north.linux import table
from pylitebox.north.linux.x86_64 import sigframe

if TYPE_CHECKING:
    from collections.abc import Sized

    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import MachineContext
    from pylitebox.kernel.task import Task
    from pylitebox.north.linux.table import Entry, Row


#: The modules that hold rows.
FAMILIES = (
    "credentials",
    "descriptors",
    "directories",
    "events",
    "exec",
    "files",
    "limits",
    "memory",
    "metadata",
    "mqueue",
    "opening",
    "pipes",
    "poll",
    "process",
    "scheduling",
    "signals",
    "sockets",
    "storage",
    "system",
    "sysvipc",
    "time",
    "transfer",
    "unsupported",
    "waiting",
    "xattrs",
)
_HIGHEST = 1023  # numbers beyond it are counted as one
Args = tuple[int, int, int, int, int, int]


def load_families() -> None:
    """Import every module that holds rows."""
    for family in FAMILIES:
        importlib.import_module(f"pylitebox.north.linux.{family}")


class Entries(dict[int, "Entry"]):
    """Compiled entries by number; a missing one is compiled from its row, or counted and ENOSYS."""

    def __init__(self, rows: dict[int, Row], unimplemented: dict[int, int]) -> None:
        super().__init__()
        self._rows = rows
        self._unimplemented = unimplemented

    def __missing__(self, number: int) -> Entry:
        row = self._rows.get(number)
        if row is not None:
            self[number] = entry = row.entry()
            return entry
        number = min(number, _HIGHEST + 1)
        self._unimplemented[number] = self._unimplemented.get(number, 0) + 1
        return _unimplemented


def _unimplemented(task: Task, args: Args) -> int:
    return -E.ENOSYS


class Personality:
    """Linux on x86-64 for one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        load_families()
        self.kernel = kernel
        if not kernel.platform.delegates_memory:
            kernel.new_space = importlib.import_module("pylitebox.north.linux.managed").Space
        rows = table.numbers(managed=kernel.new_space is not None)
        self.entries = Entries(rows, kernel.counters.unimplemented)
        self._start = kernel.scheduler.start
        self.work: Sized = kernel.scheduler.ready

    # -- calls ------------------------------------------------------------------------------------------------

    def syscall(self, task: Task, number: int, args: Args) -> int | None:
        self.kernel.current = task
        task.syscall_number = number
        task.syscall_args = args
        try:
            result = self.entries[number](task, args)
        except KernelError as error:
            if error.errno < ERESTARTSYS:
                return -error.errno
            task.interrupted = error.errno
            return -E.EINTR
        except Exception as error:  # noqa: BLE001 - logged there; nothing may leave
            return self._internal_error(number, error)
        if result.__class__ is int:
            return result
        if result is None:
            return None
        if isinstance(result, int):
            return int(result)
        value = self._start(task, result)
        if value is not None and -516 <= value <= -512:
            task.interrupted = -value
            return -E.EINTR
        return value

    def _internal_error(self, number: int, error: Exception) -> int:
        log(f"internal error in system call {number}", error)
        self.kernel.internal_errors += 1
        return -E.EIO

    def count_calls(self) -> None:
        """Count calls by number in ``kernel.counters`` from now on (--summary)."""
        calls, inner = self.kernel.counters.calls, self.syscall

        def counted(task: Task, number: int, args: Args) -> int | None:
            calls[number] = calls.get(number, 0) + 1
            return inner(task, number, args)

        self.syscall = counted  # type: ignore[method-assign]

    # -- safe points ------------------------------------------------------------------------------------------

    def safe_point(self, task: Task, context: MachineContext) -> bool:
        try:
            return self._safe_point(task, context)
        except Exception as error:  # noqa: BLE001 - logged there; nothing may leave
            return self._broken(task, error)

    def _safe_point(self, task: Task, context: MachineContext) -> bool:
        task.kicked = True  # what is posted meanwhile is looked at here: no kick
        try:
            if task.process.attention:
                settle(task)
            return self._deliver(task, context)
        finally:
            task.kicked = False

    def _deliver(self, task: Task, context: MachineContext) -> bool:
        process = task.process
        entered = False
        while task.signal_pending and process.state == "running":
            found = next_signal(task)
            if found is None:
                break
            info, action = found
            if not entered:
                sigframe.restart(task, context, action)
                entered = True
            self.enter_handler(task, context, info, action)
        if process.state != "running" or task.exiting:
            return False
        if not entered:
            if task.interrupted is not None:
                sigframe.restart(task, context, None)
            if task.saved_mask is not None:
                restore_mask(task)
                if task.signal_pending:
                    return self._deliver(task, context)
        return True

    def enter_handler(self, task: Task, context: MachineContext, info: SigInfo, action: Action) -> None:
        signo = info.signo
        try:
            sigframe.push(task, context, info, action)
        except KernelError:
            # No room for the frame: SIGSEGV instead, which may have a stack of its own; if it hasn't, it's fatal.
            if signo == sg.SIGSEGV:
                set_action(task, signo, DEFAULT)
            force(task, SigInfo(sg.SIGSEGV, sg.SI_KERNEL))
            return
        mask = task.blocked | action.mask
        if not action.flags & sg.SA_NODEFER:
            mask |= sg.bit(signo)
        set_blocked(task, mask)

    def fault(self, task: Task, context: MachineContext, signo: int, siginfo: bytes) -> bool:
        task.kicked = True
        try:
            code = int.from_bytes(siginfo[8:12], "little", signed=True)
            force(task, SigInfo(signo, code, raw=bytes(siginfo).ljust(sg.SIGINFO_SIZE, b"\0")[: sg.SIGINFO_SIZE]))
            return self._safe_point(task, context)
        except Exception as error:  # noqa: BLE001 - logged there; nothing may leave
            return self._broken(task, error)

    def sigreturn(self, task: Task, context: MachineContext) -> bool:
        task.kicked = True
        try:
            task.interrupted = None
            try:
                set_blocked(task, sigframe.pop(task, context))
            except KernelError:
                force(task, SigInfo(sg.SIGSEGV, sg.SI_KERNEL))
            return self._safe_point(task, context)
        except Exception as error:  # noqa: BLE001 - logged there; nothing may leave
            return self._broken(task, error)

    def _broken(self, task: Task, error: Exception) -> bool:
        """An error of ours at a safe point: the process cannot go on."""
        log("internal error at a safe point", error)
        self.kernel.internal_errors += 1
        life.exit_process(task.process, status_word.signaled(sg.SIGKILL))
        return False

    # -- the life of threads ----------------------------------------------------------------------------------

    def started(self, task: Task) -> None:
        thread = task.thread
        if thread is None:
            return
        process = task.process
        if task.exiting or process.state in {"zombie", "dead"}:
            thread.kill()
            return
        if task.set_child_tid:
            try:
                task.memory.write(task.set_child_tid, task.tid.to_bytes(4, "little"))
            except KernelError:
                pass  # Linux ignores it too
        if process.attention:  # a signal may have come before there was anybody to tell
            thread.attend(waits=True)
        if task.signal_pending or process.state == "stopped":
            self.kernel.kick(task)

    def clone_failed(self, parent: Task, tid: int) -> None:
        child = self.kernel.tasks.get(tid)
        if child is not None:
            life.forget_clone(child)

    def vfork_wait(self, parent: Task, tid: int) -> int | None:
        child = parent.process.children.get(tid) or self.kernel.processes.get(tid)
        if child is None or not child.vforked:
            return tid
        return self._start(parent, life.wait_vfork(parent, child))

    def lost(self, task: Task, error: Exception | None = None) -> None:
        if error is not None:
            log("internal error while a guest ran", error)
            self.kernel.internal_errors += 1
        task.thread = None
        life.exit_process(task.process, status_word.signaled(sg.SIGKILL))
