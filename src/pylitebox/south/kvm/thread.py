"""Guest threads and processes as the kvm platform holds them.

A thread's registers are in the machine while it is the last one that ran (``platform.current``), else in ``gregs``. Its
extended state and segment bases stay in the CPU until another thread needs it (``platform.owner``). ``mode`` says what
the thread does: empty (no program yet), ready (in the platform's queue), running, parked (in a call, or until a disk
has read a page), held (at a safe point, by the kernel), dead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.mman import PAGE_SIZE
from pylitebox.abi.sched import CLONE_SETTLS, CLONE_THREAD, CLONE_VFORK, CLONE_VM
from pylitebox.kernel.platform import Area, Limit, Map, Unmap, Usage
from pylitebox.south.kvm.host import XSAVE_SIZE
from pylitebox.south.kvm.machine import G_EFLAGS, G_ERR, G_RAX, G_RIP, G_RSP, WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.image import Image
    from pylitebox.kernel.platform import Ids, Memory
    from pylitebox.kernel.task import Task
    from pylitebox.south.kvm.platform import KvmPlatform
    from pylitebox.south.paging import PagedSpace

NR_RT_SIGRETURN, NR_CLONE, NR_EXIT_GROUP = 15, 56, 231
_MASK = (1 << 64) - 1


class KvmProcess:
    """Threads that end together."""

    __slots__ = ("cpu_ns", "faults", "threads")

    def __init__(self) -> None:
        self.threads: set[KvmThread] = set()
        self.cpu_ns = 0
        self.faults = 0


class KvmThread:
    """ManagedThread of the contract."""

    __slots__ = (
        "_bases", "args", "blocked", "cpu_ns", "extended", "faults", "fresh", "gregs", "held", "kick_wanted", "mode",
        "number", "platform", "process", "space", "task", "trap",
        "vforked",
    )  # fmt: skip

    def __init__(self, platform: KvmPlatform, process: KvmProcess, space: PagedSpace) -> None:
        self.platform = platform
        self.process = process
        self.space = space
        self.task: Task | None = None
        self.blocked = 0
        self.mode = "empty"
        self.gregs = [0] * WORDS
        self.extended: bytearray | None = None  # None: clean
        self._bases = (0, 0)
        self.kick_wanted = False
        self.held: KvmContext | None = None
        self.fresh = False  # cloned, and not yet told
        self.vforked = 0  # the child that the call in progress made by vfork
        self.cpu_ns = self.faults = 0
        self.trap = (0, 0, 0, 0)  # what signal frames say of the last fault: err, trapno, oldmask, cr2
        # the call it is in
        self.number = 0
        self.args: tuple[int, ...] = ()
        process.threads.add(self)

    def __repr__(self) -> str:
        return f"<KvmThread {self.task!r} {self.mode}>"

    # -- the contract -----------------------------------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        return self.space.memory

    def complete(self, result: int) -> None:
        if self.mode == "parked":
            if self.platform.current is self:
                self.platform.machine.result(result & _MASK)
            else:
                self.gregs[G_RAX] = result & _MASK
            self.platform.enqueue(self)

    def kick(self) -> None:
        self.kick_wanted = True
        if self.mode == "held":
            self.platform.enqueue(self)

    def clone(self, child: Task, flags: int) -> int | None:
        platform = self.platform
        space = self.space if flags & CLONE_VM else self.space.fork()
        process = self.process if flags & CLONE_THREAD else KvmProcess()
        thread = KvmThread(platform, process, space)
        thread.task = child
        thread.blocked = child.blocked
        thread.gregs = self.registers()
        thread.gregs[G_RAX] = 0
        thread.extended = self.image()
        fs, gs = self.bases()
        if self.number == NR_CLONE:
            _, stack, _, _, tls, _ = self.args
            if stack:
                thread.gregs[G_RSP] = stack
            if flags & CLONE_SETTLS:
                fs = tls
        thread._bases = fs, gs
        child.thread, child.memory = thread, thread.memory
        thread.fresh = True
        platform.enqueue(thread)
        platform.begin_slice()
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
        self.gregs[G_RIP], self.gregs[G_RSP], self.gregs[G_EFLAGS] = image.entry, image.stack_pointer, 0x202
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
        return self.registers()[G_RSP]

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

    @property
    def fs_base(self) -> int:
        return self.bases()[0]

    @fs_base.setter
    def fs_base(self, value: int) -> None:
        self._set_bases(value, self.bases()[1])

    @property
    def gs_base(self) -> int:
        return self.bases()[1]

    @gs_base.setter
    def gs_base(self, value: int) -> None:
        self._set_bases(self.bases()[0], value)

    # -- what the CPU may have --------------------------------------------------------------------------------

    def registers(self) -> list[int]:
        """A copy."""
        return self.platform.machine.fetch() if self.platform.current is self else list(self.gregs)

    def bases(self) -> tuple[int, int]:
        return self.platform.cpu.bases() if self.platform.owner is self else self._bases

    def _set_bases(self, fs: int, gs: int) -> None:
        if self.platform.owner is self:
            self.platform.cpu.set_bases(fs, gs)
        else:
            self._bases = fs, gs

    def image(self) -> bytearray:
        """The extended state, to be kept."""
        if self.platform.owner is self:
            return self.platform.cpu.extended()
        return self.extended if self.extended is not None else self.platform.states.clean(XSAVE_SIZE)

    def set_image(self, image: bytearray) -> None:
        if self.platform.owner is self:
            self.platform.cpu.set_extended(image)
        else:
            self.extended = image

    def take(self) -> None:
        """Another thread needs the CPU: keep what is this one's."""
        self._bases, self.extended = self.platform.cpu.bases(), self.platform.cpu.extended()

    def give(self) -> None:
        """Make the CPU this thread's."""
        cpu = self.platform.cpu
        cpu.set_bases(*self._bases)
        cpu.set_extended(self.extended if self.extended is not None else self.platform.states.clean(XSAVE_SIZE))

    # -- the end ----------------------------------------------------------------------------------------------

    def die(self) -> None:
        if self.mode == "dead":
            return
        self.mode = "dead"
        self.held = None
        self.process.threads.discard(self)
        self.platform.forget(self)


class KvmContext:
    """MachineContext of a thread whose registers are not in the machine."""

    __slots__ = ("_image", "_thread", "gregs")

    def __init__(self, thread: KvmThread) -> None:
        self._thread = thread
        self.gregs = [*thread.gregs[:G_ERR], *thread.trap]
        self._image: bytearray | None = None

    def fpstate(self) -> bytes:
        return self._thread.platform.states.frame(self._thread.image())

    def set_fpstate(self, address: int) -> None:
        states = self._thread.platform.states
        if address:
            self._image = states.restored(self._thread.memory, address, XSAVE_SIZE)
        else:
            self._image = states.clean(XSAVE_SIZE)

    def commit(self) -> None:
        """The thread goes on with this."""
        self._thread.gregs = [value & _MASK for value in self.gregs]
        if self._image is not None:
            self._thread.set_image(self._image)
            self._image = None
