"""A virtual machine for tests of the monitor, where /dev/kvm can be used."""

from __future__ import annotations

import mmap
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.south.kvm import selftest, tables
from pylitebox.south.kvm import trampoline as tr
from pylitebox.south.kvm.host import TICK_SIGNAL, Cpu, HypervisorError, Vm
from pylitebox.south.kvm.machine import G_EFLAGS, G_RIP, G_RSP, WORDS, Machine
from pylitebox.south.kvm.tables import PageTables
from pylitebox.south.paging import Fault, PageCache, PagedSpace, PhysicalMemory

RW, RX = PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC
CODE, DATA, STACK = 0x400000, 0x600000, 0x7FFFFFFDE000


class Lab:
    """A machine, and guests of a few instructions."""

    def __init__(self, *, tables_size: int = 4 << 20) -> None:
        self.vm = Vm()
        self.physical = PhysicalMemory(32 << 20)
        self.cache = PageCache(self.physical)
        monitor = mmap.mmap(-1, tables_size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.vm.add_memory(0, self.physical.bytes)
        self.vm.add_memory(tables.PHYSICAL, monitor)
        self.forgets = 0
        self.tables = PageTables(monitor, self._forget)
        self.cpu: Cpu = self.vm.cpu()
        self.machine = Machine(self.cpu, self.tables)
        self.strategy = selftest.examine(self.machine, self.cache)

    def _forget(self) -> None:
        self.forgets += 1
        self.machine.park()
        self.vm.renew(1)

    def space(self, code: str) -> PagedSpace:
        """An address space with the instructions at CODE, two pages of DATA and one of STACK."""
        space = PagedSpace(self.cache, self.tables)
        space.map(CODE, PAGE_SIZE, RW | PROT_EXEC, None, 0, shared=False)
        space.map(DATA, 2 * PAGE_SIZE, RW, None, 0, shared=False)
        space.map(STACK, PAGE_SIZE, RW, None, 0, shared=False)
        space.memory.write(CODE, bytes.fromhex(code))
        space.protect(CODE, PAGE_SIZE, RX)
        return space

    def enter(self, space: PagedSpace, **registers: int) -> None:
        gregs = [0] * WORDS
        gregs[G_RIP], gregs[G_RSP], gregs[G_EFLAGS] = CODE, STACK + PAGE_SIZE - 256, 0x202
        for name, value in registers.items():
            gregs[NAMES.index(name)] = value
        self.machine.space = space
        self.machine.put(gregs)

    def run(self) -> int:
        """Up to the next event that is no page fault which only makes a page."""
        machine = self.machine
        for _ in range(1000):
            machine.run()
            space = machine.space
            assert space is not None
            if machine.event != tr.PAGE_FAULT:
                return machine.event
            try:
                space.touch(machine.address >> 12, selftest.need(machine.error), now=True)
            except Fault:
                return machine.event
            self.tables.show(space, machine.address >> 12)
        raise AssertionError("a page fault is not over")

    def register(self, name: str) -> int:
        return self.machine.fetch()[NAMES.index(name)]

    def close(self) -> None:
        self.cpu.close()
        self.vm.close()


@contextmanager
def ticks(seconds: float) -> Iterator[None]:
    """The tick, for the calling thread alone: pytest may have threads of its own that would take a process's signal."""
    thread, done = threading.get_ident(), threading.Event()

    def tick() -> None:
        while not done.wait(seconds):
            signal.pthread_kill(thread, TICK_SIGNAL)

    ticker = threading.Thread(target=tick)
    ticker.start()
    yield
    done.set()
    ticker.join()


NAMES = ["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp",
         "rip", "eflags"]  # fmt: skip


@pytest.fixture
def lab() -> Iterator[Lab]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (TICK_SIGNAL,))
    try:
        lab = Lab()
    except HypervisorError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        pytest.skip(str(error))
    yield lab
    signal.sigtimedwait((TICK_SIGNAL,), 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    lab.close()
