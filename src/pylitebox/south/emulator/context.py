"""A thread's registers and extended state at a safe point: MachineContext over a saved CPU.

The extended state of a signal frame is the FXSAVE image (Intel SDM 10.5.1), 512 bytes without the software bytes that
would say that more follows: x87 and SSE, which is what the CPU has.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.south.emulator import engine as e
from pylitebox.south.emulator.engine import Registers

if TYPE_CHECKING:
    from pylitebox.south.emulator.thread import EmulatorThread

# Indexes in struct sigcontext.
GREG_RSP, GREG_RIP, GREG_EFLAGS, GREG_ERR, GREG_TRAPNO, GREG_CR2 = 15, 16, 17, 19, 20, 22
_GENERAL = Registers(
    e.R8, e.R9, e.R10, e.R11, e.R12, e.R13, e.R14, e.R15, e.RDI, e.RSI, e.RBP, e.RBX, e.RDX, e.RAX, e.RCX, e.RSP, e.RIP,
    e.RFLAGS,
)  # fmt: skip
_EXTENDED = Registers(
    e.FPCW, e.FPSW, e.FPTAG, e.MXCSR, *range(e.FP0, e.FP0 + 8), *range(e.XMM0, e.XMM0 + 16), sizes=(16,)
)
_COUNT = _GENERAL.count
_USER_SEGMENTS = 0x2B << 48 | 0x33
#: ID AC RF NT OF DF TF SF ZF AF PF CF: what user code may have in its flags; IF and bit 1 are always set.
_USER_FLAGS, _FIXED_FLAGS = 0x254DD5, 0x202
_MXCSR_MASK = 0xFFFF
#: FCW, FSW, abridged tags, FOP, FIP, FDP, MXCSR and its mask.
_FXSAVE_HEAD = struct.Struct("<HHBxHQQII")
_FXSAVE_SIZE = 512
_CONTROL = struct.Struct("<H14xH14xH14xI12x")
_CLEAN = _CONTROL.pack(e.CLEAN_FPCW, 0, e.CLEAN_FPTAG, e.CLEAN_MXCSR) + bytes(16 * 24)


class EmulatorContext:
    """Read once from the thread's saved state, written back by :meth:`commit`."""

    __slots__ = ("_before", "_extended", "_thread", "gregs")

    def __init__(self, thread: EmulatorThread) -> None:
        self._thread = thread
        engine = thread.platform.engine
        engine.read_saved(thread.state, _GENERAL)
        self._before: list[int] = _GENERAL.words[:_COUNT]
        self.gregs: list[int] = [*self._before, _USER_SEGMENTS, 0, 0, 0, 0, 0]
        self._extended: bytes | None = None

    def fpstate(self) -> bytes:
        thread = self._thread
        thread.platform.engine.read_saved(thread.state, _EXTENDED)
        raw = _EXTENDED.raw()
        fcw, fsw, tags, mxcsr = _CONTROL.unpack_from(raw)
        top = fsw >> 11 & 7
        used = sum(1 << i for i in range(8) if tags >> 2 * i & 3 != 3)
        head = _FXSAVE_HEAD.pack(fcw, fsw, used, 0, 0, 0, mxcsr, _MXCSR_MASK)
        registers = [raw[64 + 16 * i : 74 + 16 * i] for i in range(8)]
        stack = b"".join([registers[top + i & 7] + bytes(6) for i in range(8)])
        return (head + stack + raw[192:]).ljust(_FXSAVE_SIZE, b"\0")

    def set_fpstate(self, address: int) -> None:
        if not address:
            self._extended = _CLEAN
            return
        image = self._thread.memory.read(address, _FXSAVE_SIZE)
        fcw, fsw, used, _, _, _, mxcsr, _ = _FXSAVE_HEAD.unpack_from(image)
        top = fsw >> 11 & 7
        tags = sum(0 if used >> i & 1 else 3 << 2 * i for i in range(8))
        stack = [image[32 + 16 * i : 42 + 16 * i] + bytes(6) for i in range(8)]
        registers = b"".join([stack[i - top & 7] for i in range(8)])
        self._extended = _CONTROL.pack(fcw, fsw, tags, mxcsr & _MXCSR_MASK) + registers + image[160:416]

    def commit(self) -> None:
        """Write changes back."""
        thread = self._thread
        engine = thread.platform.engine
        gregs = self.gregs[:_COUNT]
        if gregs != self._before:
            gregs[GREG_EFLAGS] = gregs[GREG_EFLAGS] & _USER_FLAGS | _FIXED_FLAGS
            _GENERAL.words[:_COUNT] = [value & 0xFFFFFFFFFFFFFFFF for value in gregs]
            engine.write_saved(thread.state, _GENERAL)
            self._before = gregs
        if self._extended is not None:
            _EXTENDED.set_raw(self._extended)
            engine.write_saved(thread.state, _EXTENDED)
            self._extended = None
