"""A thread's registers at a safe point: the ucontext that the host put on its alternate stack.

The kernel's struct ucontext is 304 bytes: flags, link, stack_t, the 23 registers and a pointer to the extended state
(offset 40), eight reserved words, and the host's signal mask; siginfo and the extended state follow in the block.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.signal import SIGINFO_SIZE
from pylitebox.kernel.errors import KernelError
from pylitebox.south.native.layout import BLOCK_SIZE

if TYPE_CHECKING:
    from pylitebox.south.native.memory import NativeMemory

UCONTEXT_SIZE = 304
_REGISTERS = struct.Struct("<24Q")
_REGISTERS_OFFSET = 40
_FP_XSTATE_MAGIC1 = 0x46505853
#: Index of the extended state's pointer behind the 23 registers.
_FPSTATE = 23
RAX = 13
RSP = 15
#: struct ucontext up to its mask, as a fresh thread enters: UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS.
_ENTRY = struct.Struct("<QQQQQ24Q9Q")
_USER_SEGMENTS = 0x2B << 48 | 0x33


class SignalContext:
    """MachineContext over the stub's signal frame at ``address``; read once, written back by :meth:`commit`."""

    __slots__ = ("_before", "_memory", "_tail", "address", "gregs")

    def __init__(self, memory: NativeMemory, address: int) -> None:
        self.address = address
        self._memory = memory
        self._tail = memory.read(address, BLOCK_SIZE - (address & (BLOCK_SIZE - 1)))
        if len(self._tail) < UCONTEXT_SIZE + SIGINFO_SIZE:
            raise KernelError(E.EFAULT)
        self._before = _REGISTERS.unpack_from(self._tail, _REGISTERS_OFFSET)
        self.gregs: list[int] = list(self._before)

    def siginfo(self) -> bytes:
        """The host's siginfo of the signal that led here."""
        return self._tail[UCONTEXT_SIZE : UCONTEXT_SIZE + SIGINFO_SIZE]

    def fpstate(self) -> bytes:
        start = self._before[_FPSTATE] - self.address
        if not UCONTEXT_SIZE <= start <= len(self._tail) - 512:
            raise KernelError(E.EFAULT)
        magic, size = struct.unpack_from("<II", self._tail, start + 464)
        return self._tail[start : start + (size if magic == _FP_XSTATE_MAGIC1 else 512)]

    def set_fpstate(self, address: int) -> None:
        self.gregs[_FPSTATE] = address

    def commit(self) -> None:
        """Write changed registers back; the stub's return makes them the thread's."""
        if tuple(self.gregs) != self._before:
            self._memory.poke(self.address + _REGISTERS_OFFSET, _REGISTERS.pack(*self.gregs))


def registers(memory: NativeMemory, address: int) -> tuple[int, ...]:
    """The 23 registers of a signal frame, for a forwarded call."""
    return _REGISTERS.unpack(memory.read(address + _REGISTERS_OFFSET, _REGISTERS.size))


def entry_context(entry: int, stack_pointer: int, alternate_stack: int, alternate_size: int) -> bytes:
    """A ucontext that starts a program: clean registers and extended state, nothing blocked."""
    gregs = [0] * 24
    gregs[15] = stack_pointer
    gregs[16] = entry
    gregs[17] = 0x202
    gregs[18] = _USER_SEGMENTS
    return _ENTRY.pack(6, 0, alternate_stack, 0, alternate_size, *gregs, *([0] * 9))
