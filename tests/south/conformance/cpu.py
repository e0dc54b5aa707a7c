"""An x86-64 CPU that knows the instructions of the suite's guests (assembler.py), and no others.

It is what a platform without any hardware, host kernel or emulator needs; the suite's own platform (minimal.py) runs
guests on it, and so do the scripts that the mock platform has for guests (subjects/mock.py).
"""

from __future__ import annotations

import struct
from typing import Protocol

from pylitebox.abi.signal import SIGFPE, SIGILL, SIGSEGV, SIGTRAP
from tests.south.conformance.assembler import PRIVILEGED

_MASK = (1 << 64) - 1
#: Index of each register of the encoding in struct sigcontext: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
GREGS = (13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7)
RIP, EFLAGS = 16, 17
_RCX, _R11 = 14, 3
_ZF, _TF = 0x40, 0x100
SI_KERNEL, ILL_ILLOPN, FPE_INTDIV, TRAP_TRACE = 0x80, 2, 1, 2


class Trap(Exception):
    """The instruction at rip cannot be executed: a signal, its si_code and si_addr. ``behind``: rip is past it."""

    def __init__(self, signo: int, code: int, address: int, *, behind: bool = False) -> None:
        super().__init__(signo, code, address)
        self.signo = signo
        self.code = code
        self.address = address
        self.behind = behind


class Accesses(Protocol):
    """The memory of a CPU; each raises :class:`Trap` where an access is not allowed."""

    def fetch(self, address: int, size: int) -> bytes:
        """1 to ``size`` bytes of code."""
        ...

    def load(self, address: int) -> int:
        """A word."""
        ...

    def store(self, address: int, value: int) -> None: ...


class State(Protocol):
    """What a thread has of a CPU: the registers of ``struct sigcontext``, the low half of xmm0, and the base of FS."""

    gregs: list[int]
    xmm0: int
    fs_base: int


def step(state: State, memory: Accesses) -> bool:
    """Execute one instruction; True if it was ``syscall``, after which rip, rcx and r11 are as the instruction leaves
    them. Trap: nothing has changed, but for a trap's rip."""
    if state.gregs[EFLAGS] & _TF:
        called = _step(state, memory)
        if not called:
            raise Trap(SIGTRAP, TRAP_TRACE, state.gregs[RIP], behind=True)
        return called
    return _step(state, memory)


def _step(state: State, memory: Accesses) -> bool:
    gregs = state.gregs
    rip = gregs[RIP]
    code = memory.fetch(rip, 15)
    first = code[0]
    if first == 0x90:
        gregs[RIP] = rip + 1
    elif first == 0xCC:
        gregs[RIP] = rip + 1
        raise Trap(SIGTRAP, SI_KERNEL, 0, behind=True)
    elif first == 0xE9:
        gregs[RIP] = rip + 5 + _int32(code, 1) & _MASK
    elif first == 0xFF:
        gregs[RIP] = gregs[GREGS[code[1] & 7]]
    elif first == 0x0F:
        return _two_bytes(state, rip, code)
    elif first == 0x64:
        gregs[GREGS[0]] = memory.load(state.fs_base + _int32(code, 5) & _MASK)
        gregs[RIP] = rip + 9
    elif first == 0x66:
        register = GREGS[(code[1] & 1) << 3 | code[4] & 7]
        if code[3] == 0x6E:
            state.xmm0 = gregs[register]
        else:
            gregs[register] = state.xmm0
        gregs[RIP] = rip + 5
    elif first & 0xF8 == 0x48:
        _wide(gregs, memory, rip, code)
    else:
        raise _refused(rip, code)
    return False


def _two_bytes(state: State, rip: int, code: bytes) -> bool:
    gregs = state.gregs
    if code[1] == 0x05:
        gregs[RIP] = gregs[_RCX] = rip + 2
        gregs[_R11] = gregs[EFLAGS]
        return True
    if code[1] in (0x84, 0x85):
        taken = bool(gregs[EFLAGS] & _ZF) == (code[1] == 0x84)
        gregs[RIP] = rip + 6 + (_int32(code, 2) if taken else 0) & _MASK
        return False
    raise _refused(rip, code)


def _wide(gregs: list[int], memory: Accesses, rip: int, code: bytes) -> None:
    """Instructions with a REX prefix."""
    rex, opcode, modrm = code[0], code[1], code[2]
    if opcode & 0xF8 == 0xB8:
        gregs[GREGS[(rex & 1) << 3 | opcode & 7]] = struct.unpack_from("<Q", code, 2)[0]
        gregs[RIP] = rip + 10
        return
    place = GREGS[(rex & 1) << 3 | modrm & 7]
    if opcode in (0x89, 0x8B):
        register = GREGS[(rex & 4) << 1 | modrm >> 3 & 7]
        if modrm >> 6 == 3:
            gregs[place] = gregs[register]
            gregs[RIP] = rip + 3
            return
        address = gregs[place] + _int32(code, 3) & _MASK
        if opcode == 0x89:
            memory.store(address, gregs[register])
        else:
            gregs[register] = memory.load(address)
        gregs[RIP] = rip + 7
    elif opcode == 0x81:
        kind, value = modrm >> 3 & 7, _int32(code, 3)
        result = gregs[place] + (value if kind == 0 else -value) & _MASK
        gregs[EFLAGS] = gregs[EFLAGS] & ~_ZF | (0 if result else _ZF)
        if kind == 0:
            gregs[place] = result
        gregs[RIP] = rip + 7
    elif opcode == 0xF7:
        divisor, dividend = gregs[place], gregs[12] << 64 | gregs[13]
        if not divisor or dividend // divisor > _MASK:
            raise Trap(SIGFPE, FPE_INTDIV, rip)
        gregs[13], gregs[12] = divmod(dividend, divisor)
        gregs[RIP] = rip + 3
    else:
        raise _refused(rip, code)


def _refused(rip: int, code: bytes) -> Trap:
    if any(code.startswith(other) for other in PRIVILEGED.values()):
        return Trap(SIGSEGV, SI_KERNEL, 0)
    return Trap(SIGILL, ILL_ILLOPN, rip)


def _int32(code: bytes, offset: int) -> int:
    return int(struct.unpack_from("<i", code, offset)[0])
