"""From an exception of the CPU to the signal that Linux makes of it (arch/x86/kernel/traps.c, mm/fault.c)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pylitebox.abi.signal import SIGBUS, SIGFPE, SIGILL, SIGINFO_SIZE, SIGSEGV, SIGTRAP

SI_KERNEL = 0x80
_ILL_ILLOPN, _TRAP_TRACE, _BUS_ADRALN = 2, 2, 1
_FPE_INTDIV, _FPE_FLTDIV, _FPE_FLTOVF, _FPE_FLTUND, _FPE_FLTRES, _FPE_FLTINV = 1, 3, 4, 5, 6, 7
DEBUG, BREAKPOINT, INVALID_OPCODE, GENERAL_PROTECTION, PAGE_FAULT, FPU_ERROR, SIMD_ERROR = 1, 3, 6, 13, 14, 16, 19
#: In the error code of a page fault: an instruction was fetched.
FETCHED = 16
_SIGINFO = struct.Struct("<iiiiQ")


class Trap(NamedTuple):
    """A signal, its si_code and si_addr, and what the frame says of the exception."""

    signo: int
    code: int
    address: int
    number: int
    error: int = 0

    def siginfo(self) -> bytes:
        return _SIGINFO.pack(self.signo, 0, self.code, 0, self.address).ljust(SIGINFO_SIZE, b"\0")


def page_fault(signo: int, code: int, address: int, error: int) -> Trap:
    """An access that the pages do not allow; beyond the user's half there is nothing, or no address at all. ``error``:
    the CPU's error code, :func:`error_code` where there is none."""
    if address >> 47 and address >> 47 != 0x1FFFF:
        return Trap(SIGSEGV, SI_KERNEL, 0, GENERAL_PROTECTION)
    return Trap(signo, code, address, PAGE_FAULT, error)


def error_code(*, write: bool, fetch: bool, present: bool) -> int:
    """A page fault's by ring 3."""
    return 4 | (2 if write else 0) | (FETCHED if fetch else 0) | (1 if present else 0)


def exception(number: int, rip: int, raised: int, error: int = 0) -> Trap:
    """``rip``: the instruction of a fault, or what stands behind a trap's. ``raised``: the unmasked floating-point
    exceptions (of the x87 for vector 16, of SSE for 19)."""
    if number == 0:
        return Trap(SIGFPE, _FPE_INTDIV, rip, number)
    if number == DEBUG:
        return Trap(SIGTRAP, _TRAP_TRACE, rip, number)
    if number == BREAKPOINT:
        return Trap(SIGTRAP, SI_KERNEL, 0, number)
    if number == INVALID_OPCODE:
        return Trap(SIGILL, _ILL_ILLOPN, rip, number)
    if number in (FPU_ERROR, SIMD_ERROR):
        return Trap(SIGFPE, _floating_point(raised), rip, number)
    if number in (11, 12):
        return Trap(SIGBUS, SI_KERNEL, 0, number, error)
    if number == 17:
        return Trap(SIGBUS, _BUS_ADRALN, 0, number)
    if number >= 32:  # a gate that user code may not pass
        return Trap(SIGSEGV, SI_KERNEL, 0, GENERAL_PROTECTION, number * 8 + 2)
    return Trap(SIGSEGV, SI_KERNEL, 0, number, error)


def _floating_point(raised: int) -> int:
    """fpu__exception_code()."""
    for bit, code in ((1, _FPE_FLTINV), (4, _FPE_FLTDIV), (8, _FPE_FLTOVF), (0x12, _FPE_FLTUND), (0x20, _FPE_FLTRES)):
        if raised & bit:
            return code
    return 0
