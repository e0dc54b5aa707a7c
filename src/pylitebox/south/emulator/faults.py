"""From an exception of the CPU to the signal that Linux makes of it (arch/x86/kernel/traps.c, mm/fault.c)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pylitebox.abi.signal import SIGBUS, SIGFPE, SIGILL, SIGINFO_SIZE, SIGSEGV, SIGTRAP
from pylitebox.south.emulator.engine import FETCH, WRITE

SI_KERNEL = 0x80
_ILL_ILLOPN, _TRAP_TRACE, _BUS_ADRALN = 2, 2, 1
_FPE_INTDIV, _FPE_FLTDIV, _FPE_FLTOVF, _FPE_FLTUND, _FPE_FLTRES, _FPE_FLTINV = 1, 3, 4, 5, 6, 7
DEBUG, BREAKPOINT, GENERAL_PROTECTION, PAGE_FAULT, FPU_ERROR = 1, 3, 13, 14, 16
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


def page_fault(signo: int, code: int, address: int, what: int, *, present: bool) -> Trap:
    """An access that the pages do not allow; beyond the user's half there is nothing, or no address at all."""
    if address >> 47 and address >> 47 != 0x1FFFF:
        return Trap(SIGSEGV, SI_KERNEL, 0, GENERAL_PROTECTION)
    error = 4 | (2 if what == WRITE else 0) | (FETCHED if what == FETCH else 0) | (1 if present else 0)
    return Trap(signo, code, address, PAGE_FAULT, error)


def exception(number: int, rip: int, fpu_status: int, fpu_control: int) -> Trap:
    """``rip``: the instruction of a fault, or what stands behind a trap's."""
    if number == 0:
        return Trap(SIGFPE, _FPE_INTDIV, rip, number)
    if number == DEBUG:
        return Trap(SIGTRAP, _TRAP_TRACE, rip, number)
    if number == BREAKPOINT:
        return Trap(SIGTRAP, SI_KERNEL, 0, number)
    if number == 6:
        return Trap(SIGILL, _ILL_ILLOPN, rip, number)
    if number == FPU_ERROR:
        return Trap(SIGFPE, _floating_point(fpu_status & ~fpu_control), rip, number)
    if number == 12:
        return Trap(SIGBUS, SI_KERNEL, 0, number)
    if number == 17:
        return Trap(SIGBUS, _BUS_ADRALN, 0, number)
    if number >= 32:  # a gate that user code may not pass
        return Trap(SIGSEGV, SI_KERNEL, 0, GENERAL_PROTECTION, number * 8 + 2)
    return Trap(SIGSEGV, SI_KERNEL, 0, GENERAL_PROTECTION)


def _floating_point(raised: int) -> int:
    """fpu__exception_code()."""
    for bit, code in ((1, _FPE_FLTINV), (4, _FPE_FLTDIV), (8, _FPE_FLTOVF), (0x12, _FPE_FLTUND), (0x20, _FPE_FLTRES)):
        if raised & bit:
            return code
    return 0
