"""Guest threads and processes that run in turns: ManagedThread of the contract, but for the registers.

``mode`` says what a thread does: empty (no program yet), ready (in the platform's queue), running, parked (in a call,
or until a disk has read a page), held (at a safe point, by the kernel), dead. Its registers are in the CPU while it is
the last one that ran (``platform.current``), else the thread has them; each platform in its own way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from pylitebox.abi.mman import PAGE_SIZE
from pylitebox.abi.sched import CLONE_SETTLS, CLONE_THREAD, CLONE_VFORK, CLONE_VM
from pylitebox.kernel.platform import MachineContext, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.image import Image
    from pylitebox.kernel.platform import Area, Limit, Map, Memory, Unmap
    from pylitebox.kernel.task import Task
    from pylitebox.south.paging import PagedSpace
    from pylitebox.south.turns.platform import TurnPlatform

#: Calls that are dealt with here, by their numbers on x86-64.
NR_RT_SIGRETURN, NR_CLONE, NR_EXIT_GROUP = 15, 56, 231


class Context(MachineContext, Protocol):
    """The registers of a thread at a safe point."""

    def commit(self) -> None:
        """The thread goes on with them as they are now."""
        ...


class TurnProcess:
    """Threads that end together."""

    __slots__ = ("cpu_ns", "faults", "threads")

    def __init__(self) -> None:
        self.threads: set[TurnThread] = set()
        self.cpu_ns = 0
        self.faults = 0  # pages that were made when they were touched


class TurnThread(ABC):
    """ManagedThread of the contract. A platform adds where registers are."""

    __slots__ = (
        "args",
        "blocked",
        "cpu_ns",
        "faults",
        "fresh",
        "held",
        "kick_wanted",
        "mode",
        "number",
        "platform",
        "process",
        "space",
        "task",
        "vforked",
    )

    def __init__(self, platform: TurnPlatform[Any], process: TurnProcess, space: PagedSpace) -> None:
        self.platform = platform
        self.process = process
        self.space = space
        self.task: Task | None = None
        self.blocked = 0
        self.cpu_ns = self.faults = 0
        self.mode = "empty"
        self.kick_wanted = False
        self.held: Context | None = None
        self.fresh = False  # cloned, and not yet told
        self.vforked = 0  # the child that the call in progress made by vfork
        # the call it is in
        self.number = 0
        self.args: tuple[int, ...] = ()
        process.threads.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.task!r} {self.mode}>"

    # -- what a platform adds ---------------------------------------------------------------------------------

    @abstractmethod
    def enter(self, entry: int, stack_pointer: int) -> None:
        """The first instruction will be there; all other registers are as they were made."""

    @abstractmethod
    def returns(self, result: int) -> None:
        """The call that the thread is parked in gives ``result``."""

    @abstractmethod
    def copy(self, process: TurnProcess, space: PagedSpace) -> TurnThread:
        """A thread with the same registers, in which the call that this one is in gives 0."""

    @abstractmethod
    def stack_pointer(self) -> int: ...

    @abstractmethod
    def set_stack_pointer(self, value: int) -> None:
        """Of a thread that has not run yet."""

    @property
    @abstractmethod
    def fs_base(self) -> int: ...

    @fs_base.setter
    @abstractmethod
    def fs_base(self, value: int) -> None: ...

    @property
    @abstractmethod
    def gs_base(self) -> int: ...

    @gs_base.setter
    @abstractmethod
    def gs_base(self, value: int) -> None: ...

    # -- the contract -----------------------------------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        return self.space.memory

    def complete(self, result: int) -> None:
        if self.mode == "parked":
            self.returns(result)
            self.platform.enqueue(self)

    def kick(self) -> None:
        self.kick_wanted = True
        if self.mode == "held":
            self.platform.enqueue(self)

    def clone(self, child: Task, flags: int) -> int | None:
        platform = self.platform
        space = self.space if flags & CLONE_VM else self.space.fork()
        thread = self.copy(self.process if flags & CLONE_THREAD else TurnProcess(), space)
        thread.task = child
        thread.blocked = child.blocked
        if self.number == NR_CLONE:
            _, stack, _, _, tls, _ = self.args
            if stack:
                thread.set_stack_pointer(stack)
            if flags & CLONE_SETTLS:
                thread.fs_base = tls
        child.thread, child.memory = thread, thread.memory
        thread.fresh = True
        platform.enqueue(thread)
        platform.cloned()
        if flags & CLONE_VFORK:
            self.vforked = child.tid
        return child.tid

    def exit(self) -> None:
        if self.number == NR_EXIT_GROUP:
            self.kill()
        else:
            self.die()

    def kill(self) -> None:
        if self.mode == "empty" and self.task is None:
            self.space.drop()  # nobody else will
        for thread in tuple(self.process.threads):
            thread.die()

    def load(self, image: Image) -> None:
        self.enter(image.entry, image.stack_pointer)
        self.platform.enqueue(self)

    def change_memory(self, change: Map | Unmap | Limit, done: Callable[[int], None] | None = None) -> int | None:
        raise AssertionError("the kernel manages memory")

    def attend(self, *, waits: bool) -> None:  # noqa: B027 - complete as it is
        """Masks change only by calls here."""

    def program_break(self) -> int:
        return 0

    def action_changed(self, signo: int, action: bytes) -> None:  # noqa: B027
        """Nobody is asked but the kernel."""

    def cpu_time(self, *, alone: bool = False) -> int:
        used = self.cpu_ns if alone else self.process.cpu_ns
        running, since = self.platform.turn
        if running is self or (running is not None and running.process is self.process and not alone):
            used += self.platform.monotonic_ns() - since
        return used

    def usage(self, *, alone: bool = False) -> Usage:
        faults = self.faults if alone else self.process.faults
        return Usage(self.cpu_time(alone=alone), minor_faults=faults, resident=len(self.space.table) * PAGE_SIZE)

    def asleep(self) -> bool:
        return False

    def areas(self, *, detailed: bool = False) -> list[Area]:
        return []

    # -- the end ----------------------------------------------------------------------------------------------

    def die(self) -> None:
        if self.mode == "dead":
            return
        self.mode = "dead"
        self.held = None
        self.process.threads.discard(self)
        self.platform.forget(self)
