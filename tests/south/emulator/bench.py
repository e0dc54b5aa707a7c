"""Runs machine code on the emulator without a kernel: what the platform tells is written down."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pylitebox.abi.mman import PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.kernel.image import Image

pytest.importorskip("unicorn")
from pylitebox.south.emulator.platform import EmulatorPlatform

if TYPE_CHECKING:
    from pylitebox.south.emulator.thread import EmulatorThread

CODE, DATA, STACK = 0x400000, 0x500000, 0x7000000
SYSCALL = b"\x0f\x05"
RAX, RDI, RSI, RDX, RCX, RSP, RIP = 13, 8, 9, 12, 14, 15, 16
R11, EFLAGS, ERR, TRAPNO, CR2 = 3, 17, 19, 20, 22


def mov(register: int, value: int) -> bytes:
    """mov $value, %register (0 rax, 1 rcx, 2 rdx, 6 rsi, 7 rdi), 64 bits."""
    return bytes([0x48, 0xB8 + register]) + struct.pack("<Q", value & (1 << 64) - 1)


def call(number: int, *args: int) -> bytes:
    return b"".join(mov(r, v) for r, v in zip((7, 6, 2), args, strict=False)) + mov(0, number) + SYSCALL


class Task:
    """As much of a task as the platform looks at."""

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.thread: Any = None
        self.memory: Any = None
        self.blocked = 0


class Bench:
    """A platform and the events that it gave. Number 60 ends the thread, 231 the process; others are ``answers``."""

    def __init__(self, memory: int = 16 << 20) -> None:
        self.platform = EmulatorPlatform(memory=memory)
        self.platform.attach(self)  # type: ignore[arg-type]
        self.platform.start()
        self.work: list[object] = []
        self.calls: list[tuple[int, int, tuple[int, ...]]] = []
        self.faults: list[tuple[int, int, int, list[int]]] = []
        self.answers: dict[int, Callable[..., int | None]] = {}
        self.handle: Callable[[Any, Any], bool] | None = None  # at a fault: whether the thread goes on
        self.safe: Callable[[Any, Any], bool] = lambda task, context: True
        self.returned: Callable[[Any, Any], bool] = lambda task, context: True
        self.started_tasks: list[Any] = []
        self.lost_tasks: list[Any] = []

    # -- GuestEvents ------------------------------------------------------------------------------------------

    def syscall(self, task: Any, number: int, args: tuple[int, ...]) -> int | None:
        self.calls.append((task.tid, number, args))
        if number in {60, 231}:
            task.thread.exit()
            return None
        answer = self.answers.get(number)
        return answer(task, *args) if answer is not None else 0

    def fault(self, task: Any, context: Any, signo: int, siginfo: bytes) -> bool:
        code, address = struct.unpack_from("<i4xQ", siginfo, 8)
        self.faults.append((signo, code, address, list(context.gregs)))
        if self.handle is not None:
            return self.handle(task, context)
        task.thread.kill()
        return False

    def safe_point(self, task: Any, context: Any) -> bool:
        return self.safe(task, context)

    def sigreturn(self, task: Any, context: Any) -> bool:
        return self.returned(task, context)

    def started(self, task: Any) -> None:
        self.started_tasks.append(task)

    def lost(self, task: Any, error: Exception | None = None) -> None:
        self.lost_tasks.append(task)

    def vfork_wait(self, parent: Any, tid: int) -> int | None:
        return None

    # -- running ----------------------------------------------------------------------------------------------

    def load(self, code: bytes, *, prot: int = PROT_READ | PROT_EXEC, tid: int = 1) -> Task:
        """A process with ``code``, a page of data and a stack."""
        threads: list[Any] = []
        self.platform.new_process(threads.append)
        thread: EmulatorThread = threads[0]
        space = thread.space
        size = len(code) + 4095 & -4096
        space.map(CODE, size, PROT_READ | PROT_WRITE, None, 0, shared=False)
        space.memory.write(CODE, code)
        space.protect(CODE, size, prot)
        space.map(DATA, 0x1000, PROT_READ | PROT_WRITE, None, 0, shared=False)
        space.map(STACK - 0x10000, 0x10000, PROT_READ | PROT_WRITE, None, 0, shared=False)
        task = Task(tid)
        task.thread, task.memory = thread, thread.memory
        self.platform.bind(thread, task)  # type: ignore[arg-type]
        thread.load(Image([], [], [], CODE, STACK - 0x100, 0, 0))
        return task

    def run(self, code: bytes, *, prot: int = PROT_READ | PROT_EXEC, polls: int = 20_000) -> Task:
        """Run a process until nobody is ready."""
        task = self.load(code, prot=prot)
        self.go(polls)
        return task

    def go(self, polls: int = 20_000) -> None:
        while self.platform._ready:
            polls -= 1
            assert polls, "it does not end"
            self.platform.poll(None)

