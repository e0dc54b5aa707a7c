"""A bench for handlers: tasks with memory and nothing else, whose calls are made directly by name.

    g = Bench().guest()
    fd = g("openat", AT_FDCWD, "/a", O_RDWR | O_CREAT, 0o644)
    buffer = bytearray(4)
    assert g("read", fd, buffer, 4) == 4

Arguments: numbers as they are; ``str`` and ``bytes`` are put into guest memory with a NUL behind; a ``bytearray`` is
put there and read back after the call. A result is what the register would hold, negative errnos included; a call that
parked gives PARKED, and its result arrives in ``g.result`` once :meth:`Bench.run` let it finish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import mman
from pylitebox.abi.numbers import X86_64
from pylitebox.abi.sched import CLONE_VM
from pylitebox.kernel import process
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.descriptors import FileTable
from pylitebox.kernel.fs.namespace import Namespace
from pylitebox.kernel.fs.tmpfs import TmpFs
from pylitebox.kernel.kernel import Kernel
from pylitebox.kernel.memory.space import Space
from pylitebox.kernel.task import Task
from pylitebox.kernel.usage import Usage
from pylitebox.north.linux.personality import Personality
from pylitebox.south.mock.host import EPOCH_NS, MockBuffer
from pylitebox.south.mock.memory import MockAddressSpace

if TYPE_CHECKING:
    from pylitebox.kernel.platform import Ids

PARKED = None
Argument = int | str | bytes | bytearray
_ARENA = 1 << 22


class StillPlatform:
    """Clocks that tests move, random bytes that are not, and buffers: all a kernel without guests asks for."""

    name = "bench"
    delegates_memory = False
    reserved = ()

    def __init__(self) -> None:
        self.time_ns = 1_000_000_000
        self.epoch_ns = EPOCH_NS  # set to another value, the real-time clock is
        self.polls = 0

    def monotonic_ns(self) -> int:
        return self.time_ns

    def realtime_ns(self) -> int:
        return self.epoch_ns + self.time_ns

    def random(self, size: int) -> bytes:
        return bytes(range(256)) * (size // 256) + bytes(range(size % 256))

    def cpu_count(self) -> int:
        return 2

    def shared_buffer(self, name: str) -> MockBuffer:
        return MockBuffer(name)

    def poll(self, deadline: int | None) -> None:
        """Time passes up to the deadline: nothing else can happen."""
        self.polls += 1
        assert deadline is not None, "everything waits, and nothing will come"
        self.time_ns = max(self.time_ns, deadline)


class BenchThread:
    """A thread that keeps its calls' results."""

    def __init__(self, space: MockAddressSpace | None = None) -> None:
        self.space = space or MockAddressSpace()
        self.memory = self.space.memory
        self.fs_base = self.gs_base = 0
        self.blocked = 0
        self.attended = False
        self.results: list[int] = []
        self.kicks = 0
        self.cpu = 0  # ns
        self.killed = False
        self.ids: Ids | None = None
        self.recalls = 0

    def complete(self, result: int) -> None:
        self.results.append(result)

    def clone(self, child: Task, flags: int) -> int:
        thread = BenchThread(self.space if flags & CLONE_VM else self.space.fork())
        blocked, child.thread = child.blocked, thread  # type: ignore[assignment]
        child.blocked = blocked
        child.memory = thread.memory
        return child.tid

    def kick(self) -> None:
        self.kicks += 1

    def kill(self) -> None:
        self.killed = True

    def exit(self) -> None:
        self.killed = True

    def ids_changed(self, ids: Ids) -> None:
        self.ids = ids

    def recall(self) -> None:
        self.recalls += 1

    def action_changed(self, signo: int, action: bytes) -> None:
        pass

    def attend(self, *, waits: bool) -> None:
        self.attended = waits

    def program_break(self) -> int:
        return 0

    def stack_pointer(self) -> int:
        return 0

    def cpu_time(self, *, alone: bool = False) -> int:
        return self.cpu

    def usage(self, *, alone: bool = False) -> Usage:
        return Usage(self.cpu)

    def asleep(self) -> bool:
        return False



class Guest:
    """One task; calling it makes a system call."""

    def __init__(self, bench: Bench, task: Task) -> None:
        self.bench = bench
        self.task = task
        layout = task.process.layout
        if layout.space is None:
            layout.space = Space(bench.kernel, MockAddressSpace())  # type: ignore[arg-type]
        self.space = layout.space
        self.thread = BenchThread(layout.space.pages)  # type: ignore[arg-type]
        self.thread.blocked = task.blocked
        task.thread = self.thread  # type: ignore[assignment]
        task.memory = self.thread.memory
        self.arena = self.hole(_ARENA)
        self._free = self.arena

    def __call__(self, name: str, *arguments: Argument) -> int | None:
        registers: list[int] = []
        outputs: list[tuple[int, bytearray]] = []
        free = self._free
        for argument in arguments:
            if isinstance(argument, int):
                registers.append(argument & 0xFFFFFFFFFFFFFFFF)
                continue
            data = argument.encode() if isinstance(argument, str) else bytes(argument)
            address = self.place(data + b"\0")
            registers.append(address)
            if isinstance(argument, bytearray):
                outputs.append((address, argument))
        registers += [0] * (6 - len(registers))
        result = self.bench.personality.syscall(self.task, X86_64[name], tuple(registers))  # type: ignore[arg-type]
        for address, buffer in outputs:
            buffer[:] = self.thread.memory.read(address, len(buffer))
        if result is not PARKED:
            self._free = free
        return result

    def place(self, data: bytes) -> int:
        """Put bytes into guest memory for good; their address."""
        address = self._free
        assert address + len(data) <= self.arena + _ARENA
        self.thread.memory.poke(address, data)
        self._free += len(data) + 15 & ~15
        return address

    def peek(self, address: int, size: int) -> bytes:
        return self.thread.memory.read(address, size)

    @property
    def result(self) -> int:
        """The result of the call that had parked."""
        assert len(self.thread.results) == 1, self.thread.results
        return self.thread.results.pop()

    @property
    def parked(self) -> bool:
        return self.task.call is not None

    def hole(self, size: int = mman.PAGE_SIZE) -> int:
        """The address of ``size`` mapped bytes with nothing mapped behind."""
        address = self.thread.memory.pick(size)
        return self.space.map(self.task, address, mman.page_up(size), 3, mman.MAP_PRIVATE, None)


class Bench:
    """A kernel with an empty tmpfs as its root."""

    def __init__(self, *, uid: int = 0) -> None:
        self.platform = StillPlatform()
        self.kernel = Kernel(self.platform)  # type: ignore[arg-type]
        self.personality = Personality(self.kernel)
        self.kernel.namespace = Namespace(self.kernel, TmpFs(self.kernel))
        self.kernel.namespace.root.inode.setattr(uid=uid, gid=uid)
        self.cred = Credentials.user(uid, uid)

    def guest(self) -> Guest:
        """A process more."""
        assert self.kernel.namespace is not None
        files = FileTable()
        _, task = process.create(self.kernel, None, files, self.kernel.namespace.context(), self.cred)
        return Guest(self, task)

    def thread(self, guest: Guest) -> Guest:
        """A thread more in a guest's process; sharing its memory."""
        task = Task(self.kernel, self.kernel.new_id(), guest.task.process, guest.task.cred)
        guest.task.process.tasks[task.tid] = task
        self.kernel.tasks[task.tid] = task
        return Guest(self, task)

    def run(self) -> None:
        """Let all that can go on go on, without letting time pass."""
        kernel = self.kernel
        due = True
        while due or kernel.scheduler.ready:
            kernel.scheduler.run()
            kernel.timers.run(self.platform.time_ns)
            deadline = kernel.timers.next_deadline()
            due = deadline is not None and deadline <= self.platform.time_ns
        assert self.kernel.internal_errors == 0
