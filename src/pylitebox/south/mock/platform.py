"""The mock platform: scripted guests on a virtual clock, in one thread of Python, always in the same order.

Each :meth:`MockPlatform.poll` lets one thread make one step: up to its next system call. When nobody can run, slow
host files are delivered, and then the clock jumps to the deadline; when there is none, nothing will ever happen
again, which is :class:`Stalled`. Time passes in no other way, so a test that waits for an hour takes microseconds.

The kernel manages memory. With ``delegates_memory`` the host kernel's part is played by the guests' own memory: what a
native guest does without asking the kernel (anonymous mmap, munmap, futex) a script does by ``g.pages`` and
``g.protect``, or not at all.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pylitebox.abi import auxv as at
from pylitebox.abi.elf import EHDR, ELFMAG, EM_X86_64, ET_EXEC, PF_R, PF_X, PHDR, PT_LOAD
from pylitebox.south.mock.guest import Function, Guest, Heap, Script
from pylitebox.south.mock.host import EPOCH_NS, Disk, MockBuffer
from pylitebox.south.mock.memory import MockAddressSpace
from pylitebox.south.mock.thread import MockProcess, MockThread

if TYPE_CHECKING:
    from pylitebox.kernel.platform import GuestEvents, GuestThread
    from pylitebox.kernel.task import Task

#: Where the functions of scripts have their addresses.
_CODE = 0x100000000
_TEXT = 0x400000


class Stalled(RuntimeError):
    """Every guest waits for something that cannot happen."""


class MockPlatform:
    """Platform of the contract."""

    name = "mock"

    def __init__(
        self, *, seed: int = 0, tick_ns: int = 0, delegates_memory: bool = False, start_ns: int = 10**9
    ) -> None:
        """``tick_ns``: how long each system call takes on the virtual clock."""
        self.delegates_memory = delegates_memory
        self.reserved: tuple[tuple[int, int], ...] = ()
        self.events: GuestEvents
        self.now_ns = start_ns
        self.tick_ns = tick_ns
        self.disk = Disk()
        #: What went wrong in scripts: failed assertions, unexpected results of ``.ok`` calls.
        self.failures: list[BaseException] = []
        #: Every shared buffer that was made: their handles tell what was not closed.
        self.buffers: list[MockBuffer] = []
        self.steps = 0
        self._random = random.Random(seed)  # noqa: S311 - tests want the same every time
        self._ready: deque[MockThread] = deque()
        self._functions: dict[int, Function] = {}
        self._addresses: dict[Function, int] = {}
        self.processes: set[MockProcess] = set()
        self.closed = False
        self.restorer = self.code(_restorer)

    # -- the contract -----------------------------------------------------------------------------------------

    def attach(self, events: GuestEvents) -> None:
        self.events = events

    def poll(self, deadline: int | None) -> None:
        if self._ready:
            thread = self._ready.popleft()
            if thread.state == "ready":
                self.steps += 1
                thread.step()
        elif self.disk.serve():
            pass
        elif deadline is None:
            raise Stalled(self._who_waits())
        else:
            self.now_ns = max(self.now_ns, deadline)

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        process = MockProcess(MockAddressSpace(), Heap())
        self.processes.add(process)
        ready(MockThread(self, process))

    def bind(self, thread: GuestThread, task: Task) -> None:
        assert isinstance(thread, MockThread)
        thread.task = task

    def shared_buffer(self, name: str) -> MockBuffer:
        buffer = MockBuffer(name)
        self.buffers.append(buffer)
        return buffer

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return EPOCH_NS + self.now_ns

    def random(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def auxv(self) -> dict[int, int]:
        return {at.AT_MINSIGSTKSZ: 2048, at.AT_HWCAP: 0x178BFBFF, at.AT_HWCAP2: 2}

    def cpu_count(self) -> int:
        return 2

    def close(self) -> None:
        self.closed = True
        for process in tuple(self.processes):
            for thread in tuple(process.threads):
                thread.die()

    # -- the tester's side ------------------------------------------------------------------------------------

    def code(self, function: Function, *, at: int | None = None) -> int:
        """The address at which a function of Python stands in every guest: a new one, or ``at``."""
        if function not in self._addresses:
            address = _CODE + 16 * len(self._functions) if at is None else at
            self._functions[address] = function
            self._addresses[function] = address
        return self._addresses[function]

    def function(self, address: int) -> Function | None:
        return self._functions.get(address)

    def executable(self, program: Function) -> bytes:
        """A static ELF file whose entry point is this function."""
        head = EHDR.pack(ELFMAG + b"\2\1\1", ET_EXEC, EM_X86_64, 1, self.code(program), 64, 0, 0, 64, 56, 1, 0, 0, 0)
        return head + PHDR.pack(PT_LOAD, PF_R | PF_X, 0, _TEXT, _TEXT, 120, 120, 4096)

    def program(self, entry: int) -> Function:
        """What a loaded image runs."""
        return self._functions.get(entry, _wild)

    def enqueue(self, thread: MockThread) -> None:
        self._ready.append(thread)

    @property
    def idle(self) -> bool:
        """Whether nobody can run now."""
        return not self._ready

    def _who_waits(self) -> str:
        threads = [t for p in self.processes for t in p.threads]
        return "; ".join(map(repr, threads)) or "no guest is left"


def _restorer(g: object) -> int:
    raise AssertionError("the restorer is an address, not a function that runs")


def _wild(g: Guest) -> Script:
    """An image that no script belongs to: its first instruction is a crash."""
    yield g.crash()
