"""Guest threads and processes as the emulator holds them.

A thread's registers are in the CPU while it is the last one that ran, else in its ``state``. ``mode`` says what it
does: empty (no program yet), ready (in the platform's queue), running, parked (in a call, or until a disk has read a
page), held (at a safe point, by the kernel), dead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.mman import PAGE_SIZE
from pylitebox.abi.sched import CLONE_SETTLS, CLONE_THREAD, CLONE_VFORK, CLONE_VM
from pylitebox.kernel.platform import Area, Limit, Map, Unmap, Usage
from pylitebox.south.emulator import engine as e
from pylitebox.south.emulator.engine import Registers

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.image import Image
    from pylitebox.kernel.platform import Ids, Memory
    from pylitebox.kernel.task import Task
    from pylitebox.south.emulator.context import EmulatorContext
    from pylitebox.south.emulator.platform import EmulatorPlatform
    from pylitebox.south.paging import PagedSpace

NR_RT_SIGRETURN, NR_CLONE, NR_EXIT_GROUP = 15, 56, 231
_MASK = (1 << 64) - 1
_RAX = Registers(e.RAX)
_FS, _GS = Registers(e.FS_BASE), Registers(e.GS_BASE)
_ENTRY = Registers(e.RIP, e.RSP)
_CHILD = Registers(e.RAX, e.RIP, e.RCX, e.R11)
_STACK = Registers(e.RSP)


class EmulatorProcess:
    """Threads that end together."""

    __slots__ = ("cpu_ns", "faults", "threads")

    def __init__(self) -> None:
        self.threads: set[EmulatorThread] = set()
        self.cpu_ns = 0
        self.faults = 0  # pages that were made when they were touched


class EmulatorThread:
    """ManagedThread of the contract."""

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
        "rip",
        "space",
        "state",
        "task",
        "vforked",
    )

    def __init__(self, platform: EmulatorPlatform, process: EmulatorProcess, space: PagedSpace) -> None:
        self.platform = platform
        self.process = process
        self.space = space
        self.task: Task | None = None
        self.blocked = 0
        self.cpu_ns = self.faults = 0
        self.mode = "empty"
        self.state = platform.new_state()
        self.kick_wanted = False
        self.held: EmulatorContext | None = None
        self.fresh = False  # cloned, and not yet told
        self.vforked = 0  # the child that the call in progress made by vfork
        # the call it is in
        self.number = 0
        self.args: tuple[int, ...] = ()
        self.rip = 0  # behind its instruction
        process.threads.add(self)

    def __repr__(self) -> str:
        return f"<EmulatorThread {self.task!r} {self.mode}>"

    # -- the contract -----------------------------------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        return self.space.memory

    def complete(self, result: int) -> None:
        if self.mode == "parked":
            self._set(_RAX, result & _MASK)
            self.platform.enqueue(self)

    def kick(self) -> None:
        self.kick_wanted = True
        if self.mode == "held":
            self.platform.enqueue(self)

    def clone(self, child: Task, flags: int) -> int | None:
        platform = self.platform
        space = self.space if flags & CLONE_VM else self.space.fork()
        process = self.process if flags & CLONE_THREAD else EmulatorProcess()
        thread = EmulatorThread(platform, process, space)
        platform.engine.save(thread.state)  # this thread's own registers, in the middle of its call
        thread.task = child
        thread.blocked = child.blocked
        _CHILD.words[:4] = [0, self.rip, self.rip, platform.engine.read(e.RFLAGS)]
        platform.engine.write_saved(thread.state, _CHILD)
        if self.number == NR_CLONE:
            _, stack, _, _, tls, _ = self.args
            if stack:
                thread._set(_STACK, stack)
            if flags & CLONE_SETTLS:
                thread._set(_FS, tls)
        child.thread, child.memory = thread, thread.memory
        thread.fresh = True
        platform.enqueue(thread)
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
        _ENTRY.words[:2] = [image.entry, image.stack_pointer]
        self.platform.engine.write_saved(self.state, _ENTRY)
        self.platform.enqueue(self)

    def change_memory(self, change: Map | Unmap | Limit, done: Callable[[int], None] | None = None) -> int | None:
        raise AssertionError("the kernel manages memory")

    def attend(self, *, waits: bool) -> None:
        """Masks change only by calls here."""

    def program_break(self) -> int:
        return 0

    def ids_changed(self, ids: Ids) -> None:
        """Each call asks."""

    def recall(self) -> None:
        """Nothing was kept."""

    def action_changed(self, signo: int, action: bytes) -> None:
        """Nobody is asked but the kernel."""

    def stack_pointer(self) -> int:
        return self._get(_STACK)

    def cpu_time(self, *, alone: bool = False) -> int:
        return self.cpu_ns if alone else self.process.cpu_ns

    def usage(self, *, alone: bool = False) -> Usage:
        used = self if alone else self.process
        return Usage(user=used.cpu_ns, minor_faults=used.faults, resident=len(self.space.table) * PAGE_SIZE)

    def asleep(self) -> bool:
        return False

    def areas(self, *, detailed: bool = False) -> list[Area]:
        return []

    @property
    def fs_base(self) -> int:
        return self._get(_FS)

    @fs_base.setter
    def fs_base(self, value: int) -> None:
        self._set(_FS, value)

    @property
    def gs_base(self) -> int:
        return self._get(_GS)

    @gs_base.setter
    def gs_base(self, value: int) -> None:
        self._set(_GS, value)

    # -- registers --------------------------------------------------------------------------------------------

    def _get(self, register: Registers) -> int:
        engine = self.platform.engine
        if self.platform.current is self:
            engine.read_batch(engine.handle, register.ids, register.places, 1)
        else:
            engine.read_saved(self.state, register)
        return register.words[0]

    def _set(self, register: Registers, value: int) -> None:
        engine = self.platform.engine
        register.words[0] = value
        if self.platform.current is self:
            engine.write_batch(engine.handle, register.ids, register.places, 1)
        else:
            engine.write_saved(self.state, register)

    # -- the end ----------------------------------------------------------------------------------------------

    def die(self) -> None:
        if self.mode == "dead":
            return
        self.mode = "dead"
        self.held = None
        self.process.threads.discard(self)
        self.platform.forget(self)
