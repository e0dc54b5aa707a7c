"""Entering ring 3, and what came back: what is any hypervisor's, over a virtual CPU that runs until it halts.

Between two runs the CPU stands at a ``hlt`` of the trampoline, and the registers of the guest's thread are partly in
the CPU, partly on ring 0's stack. :meth:`Machine.fetch` collects them; :meth:`Machine.put` has the next run begin with
others. :meth:`Machine.result` is the short way from a call back into the guest.

How SYSCALL arrives is found out by :func:`pylitebox.south.kvm.selftest.examine`: at LSTAR, or, where ring 3 and ring 0
are both run unprivileged by a nested hypervisor, as a page fault of ring 3 at LSTAR.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.south.kvm import trampoline as tr
from pylitebox.south.kvm.host import MSR_LSTAR, MSR_SFMASK, MSR_STAR

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.south.kvm.host import Cpu
    from pylitebox.south.kvm.tables import PageTables
    from pylitebox.south.paging import PagedSpace

# Indexes of the CPU's registers.
RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, R8, R9, R10, R11, R12, R13, R14, R15, RIP, RFLAGS = range(18)
#: A thread's registers in the order of struct sigcontext (r8-r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags).
_SIGCONTEXT = (R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP, RIP, RFLAGS)
G_RAX, G_RSP, G_RIP, G_EFLAGS, G_SEGMENTS, G_ERR, G_TRAPNO, G_CR2 = 13, 15, 16, 17, 18, 19, 20, 22
WORDS = 23
_SEGMENTS = tr.USER_DATA << 48 | tr.USER_CODE
#: Flags a guest may have: all of EFLAGS that ring 3 can change (ID, AC, RF, NT are its own), and IF, which it has.
_FLAGS, _ALWAYS = 0x254DD5, 0x202
USER_END = 0x7FFFFFFFF000
#: The frame that `resume` pops: r15 ... rax, rip, cs, rflags, rsp, ss.
_FRAME = struct.Struct("<20Q")
_FRAME_AT = tr.STACK_TOP - _FRAME.size
_IN_STACK = 4096 - _FRAME.size
#: A frame that goes to a `hlt` of ring 0: the journal had too many rows for one run.
_HALT = (*(0,) * 15, tr.BASE, tr.KERNEL_CODE, 2, tr.STACK_TOP, tr.KERNEL_DATA)
#: What an exception leaves on the stack: rax, vector, error, rip, cs, rflags, rsp, ss.
_TRAP = struct.Struct("<8Q")
_TRAP_AT = 4096 - _TRAP.size
_TRAP_WORDS = _TRAP_AT // 8
#: Bits of a page fault's error code: by ring 3, to fetch an instruction.
_FETCH = 0x14

SYSCALL = -1


class Broken(Exception):
    """Ring 0 itself took a fault: the thread that ran cannot go on."""


class Machine:
    """One CPU. After :meth:`run`, ``event`` is SYSCALL or the vector of an exception or of the tick, with ``error``
    and, for a page fault, ``address``."""

    def __init__(self, cpu: Cpu, tables: PageTables) -> None:
        self.cpu = cpu
        self.tables = tables
        self.registers = cpu.registers
        self._dirty = cpu.dirty
        self._stack = tables.stack
        self._words = tables.stack.cast("Q")
        program = tables.trampoline
        self._after_syscall = program.labels["syscall"] + 1
        self._lstar = program.labels["syscall"]
        self._update = program.labels["update"]
        self._reset_cpu()
        cpu.set_xcr0()
        cpu.set_msrs({MSR_STAR: tr.STAR, MSR_LSTAR: self._lstar, MSR_SFMASK: tr.SFMASK})
        #: SYSCALL arrives as a page fault.
        self.faulting_syscall = False
        self.event = 0
        self.error = 0
        self.address = 0
        #: The address space that ring 3 runs in.
        self.space: PagedSpace | None = None
        self._root = tables.kernel_root  # the root that the CPU has
        self._entered: PagedSpace | None = None  # whose it is
        self._next: list[int] | None = None  # registers to go on with, instead of those that it stands with
        self._trap = False  # the guest's registers are behind an exception's frame
        #: Asked when a tick comes: whether it is to end the run of ring 3.
        self.interrupting: Callable[[], bool] = _always

    def reset(self) -> None:
        """Put a CPU right that stopped where it should not: it stands nowhere now, and needs registers to go on."""
        self._reset_cpu()
        self._root, self._entered, self._next = self.tables.kernel_root, None, [0] * WORDS

    def _reset_cpu(self) -> None:
        self.cpu.enter_long_mode(
            root=self.tables.kernel_root,
            gdt=(tr.GDT_ADDRESS, tr.GDT_LIMIT),
            idt=(tr.IDT_ADDRESS, tr.IDT_LIMIT),
            tss=(tr.TSS, tr.TSS_ADDRESS, tr.TSS_LIMIT),
        )

    # -- running ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Go on in ring 3 until something happens there; Broken."""
        if self._next is not None or self.tables.changed or self.space is not self._entered:
            self._prepare()
        self._run()
        self._what()

    def _run(self) -> None:
        cpu = self.cpu
        wanted = ticked = False
        while not cpu.run():
            wanted = wanted or self.interrupting()
            # Let the tick be an interrupt like any other, as soon as ring 3 runs.
            if wanted and not ticked:
                ticked = cpu.interrupt(tr.TICK)

    def _prepare(self) -> None:
        """Have the next run begin with page tables and registers as they should be."""
        assert self.space is not None
        gregs = self.fetch()
        root = self.tables.root(self.space)
        self._next = None
        end, more = self.tables.journal()
        while more:
            self._enter(end, 0, _HALT)
            self._run()
            end, more = self.tables.journal()
        reload = self.tables.reload() or root != self._root
        flags = gregs[G_EFLAGS] & _FLAGS | _ALWAYS
        frame = (*_pops(gregs), gregs[G_RIP], tr.USER_CODE, flags, gregs[G_RSP], tr.USER_DATA)
        self._enter(end, root if reload else 0, frame)
        self._root, self._entered = root, self.space

    def park(self) -> None:
        """Leave every root but the kernel's: the others may go. The registers are kept for the next run."""
        self._next = self.fetch()
        self._enter(tr.JOURNAL, self.tables.kernel_root, _HALT)
        self._run()
        self._root, self._entered = self.tables.kernel_root, None

    def _enter(self, end: int, root: int, frame: tuple[int, ...]) -> None:
        _FRAME.pack_into(self._stack, _IN_STACK, *frame)
        registers = self.registers
        registers[RBX], registers[RDX], registers[RBP] = tr.JOURNAL, end, root
        registers[RSP], registers[RIP], registers[RFLAGS] = _FRAME_AT, self._update, 2
        self._dirty[0] = 1

    def _what(self) -> None:
        registers = self.registers
        if registers[RIP] == self._after_syscall:
            self._trap = False
            self.event = SYSCALL
            return
        self._trap = True
        _, vector, error, rip, cs, *_ = _TRAP.unpack_from(self._stack, _TRAP_AT)
        if cs & 3 != 3:
            raise Broken(f"vector {vector} at {rip:#x} in ring 0")
        if vector == tr.PAGE_FAULT:
            self.address = registers[RAX]
            if self.faulting_syscall and self.address == self._lstar and error & _FETCH == _FETCH:
                vector, error = self._call_by_fault()
        self.event = vector
        self.error = error

    def at_syscall_entry(self) -> bool:
        """Whether the page fault may have been a SYSCALL; then it is one, and so is each from now on."""
        if self.address != self._lstar or self.error & _FETCH != _FETCH:
            return False
        self.faulting_syscall = True
        self.event, self.error = self._call_by_fault()
        return True

    def _call_by_fault(self) -> tuple[int, int]:
        """As SYSCALL would have it: back to rcx, with the flags in r11."""
        registers, words = self.registers, self._words
        words[_TRAP_WORDS + 3] = registers[RCX]
        words[_TRAP_WORDS + 5] = registers[R11] & _FLAGS | _ALWAYS
        return (SYSCALL if registers[RCX] <= USER_END else tr.GENERAL_PROTECTION), 0

    # -- registers --------------------------------------------------------------------------------------------

    def fetch(self) -> list[int]:
        """The registers of the thread that ran, as struct sigcontext has them."""
        if self._next is not None:
            return list(self._next)
        registers = self.registers
        gregs = [registers[index] for index in _SIGCONTEXT]
        if self._trap:
            gregs[G_RAX], _, _, gregs[G_RIP], _, gregs[G_EFLAGS], gregs[G_RSP], _ = _TRAP.unpack_from(
                self._stack, _TRAP_AT
            )
        else:
            gregs[G_RIP], gregs[G_EFLAGS] = registers[RCX], registers[R11]
        return [*gregs, _SEGMENTS, 0, 0, 0, 0]

    def put(self, gregs: list[int]) -> None:
        """Go on with these registers."""
        self._next = gregs

    def result(self, value: int) -> None:
        """What the system call gives that the thread is in."""
        if self._next is not None:
            self._next[G_RAX] = value
        elif self._trap:
            self._words[_TRAP_WORDS] = value
        else:
            self.registers[RAX] = value
            self._dirty[0] = 1

    def call(self) -> tuple[int, tuple[int, int, int, int, int, int]]:
        """Number and arguments of the system call."""
        registers = self.registers
        number = self._words[_TRAP_WORDS] if self._trap else registers[RAX]
        arguments = (registers[RDI], registers[RSI], registers[RDX], registers[R10], registers[R8], registers[R9])
        return number & 0xFFFFFFFF, arguments


def _always() -> bool:
    return True


def _pops(gregs: list[int]) -> tuple[int, ...]:
    """r15 ... r8, rdi, rsi, rbp, rbx, rdx, rcx, rax."""
    return (*gregs[7::-1], gregs[8], gregs[9], gregs[10], gregs[11], gregs[12], gregs[14], gregs[13])
