"""The extended state of a thread: XSAVE images in the standard format, as the CPU and signal frames have them.

A signal frame's image says in the legacy area's software bytes how much it holds (struct fpx_sw_bytes), and ends in a
magic word (arch/x86/kernel/fpu/signal.c). What a guest put there is taken as Linux takes it: masked, or the legacy part
alone if the marks are not right.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylitebox.kernel.platform import Memory
    from pylitebox.south.kvm.host import Cpu

LEGACY, HEADER = 512, 64
_SOFTWARE = 464
_MAGIC1, _MAGIC2 = 0x46505853, 0x46505845
_FX_SSE = 3
_MXCSR_AT, _MXCSR_MASK, _CLEAN_MXCSR, _CLEAN_FCW = 24, 0xFFFF, 0x1F80, 0x37F
_SOFTWARE_BYTES = struct.Struct("<IIQI28x")
_WORD, _LONG = struct.Struct("<I"), struct.Struct("<Q")


class ExtendedState:
    """What is known of the images of one kind of CPU."""

    def __init__(self, cpu: Cpu) -> None:
        self.features = cpu.xcr0
        #: Bytes of an image.
        self.size = LEGACY + HEADER
        for feature in range(2, 63):
            if self.features >> feature & 1:
                size, offset, _, _ = cpu.leaf(0xD, feature)
                self.size = max(self.size, offset + size)

    def clean(self, room: int) -> bytearray:
        """That of a program that begins, in ``room`` bytes."""
        image = bytearray(room)
        struct.pack_into("<H", image, 0, _CLEAN_FCW)
        _WORD.pack_into(image, _MXCSR_AT, _CLEAN_MXCSR)
        return image

    def frame(self, image: bytearray) -> bytes:
        """As a signal frame has it."""
        image = image[: self.size]
        _SOFTWARE_BYTES.pack_into(image, _SOFTWARE, _MAGIC1, self.size + 4, self.features, self.size)
        return bytes(image) + _WORD.pack(_MAGIC2)

    def restored(self, memory: Memory, address: int, room: int) -> bytearray:
        """What a signal frame in guest memory says; EFAULT."""
        legacy = memory.read(address, LEGACY)
        magic, extended, features, size = _SOFTWARE_BYTES.unpack_from(legacy, _SOFTWARE)
        whole = (
            magic == _MAGIC1
            and LEGACY + HEADER <= size <= self.size
            and size <= extended
            and memory.read(address + size, 4) == _WORD.pack(_MAGIC2)
        )
        image = bytearray(room)
        if whole:
            image[:size] = memory.read(address, size)
            has = _LONG.unpack_from(image, LEGACY)[0] & features & self.features
            image[LEGACY : LEGACY + HEADER] = _LONG.pack(has).ljust(HEADER, b"\0")
        else:
            image[:LEGACY] = legacy
            _LONG.pack_into(image, LEGACY, _FX_SSE)
        image[_SOFTWARE:LEGACY] = bytes(LEGACY - _SOFTWARE)
        mxcsr = _WORD.unpack_from(image, _MXCSR_AT)[0] & _MXCSR_MASK
        _WORD.pack_into(image, _MXCSR_AT, mxcsr)
        return image


def raised(image: bytearray, *, simd: bool) -> int:
    """The unmasked floating-point exceptions that are pending."""
    if simd:
        mxcsr: int = _WORD.unpack_from(image, _MXCSR_AT)[0]
        return ~(mxcsr >> 7) & mxcsr & 0x3F
    control, status = struct.unpack_from("<HH", image)
    return int(status & ~control & 0x3F)
