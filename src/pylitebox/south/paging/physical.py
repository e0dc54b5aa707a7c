"""Physical memory: one region of this process, in frames of a page each, counted and bounded.

A frame is named by its number. Frame 0 holds zeros for ever: it stands for every page that was only read so far. A
frame that is handed out is all zeros, unless the taker says that it will write all of it. Memory is the host's until a
frame is first used; it is given back only with the whole region.

Frames that were executed (:attr:`PhysicalMemory.code`) may live on in a platform's translations: such a frame is not
used again before the platform has dropped them (:meth:`PhysicalMemory.settle`), and writes to it are told
(:attr:`PhysicalMemory.code_written`). A platform without translations leaves both alone.
"""

from __future__ import annotations

import mmap
from array import array
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PAGE_SIZE
from pylitebox.kernel.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE_SHIFT = 12
ZERO = 0
_ZEROS = bytes(PAGE_SIZE)
#: Entries of all address spaces for each frame: many pages may show one frame, but not without bound.
_ENTRIES_PER_FRAME = 4


class PhysicalMemory:
    """``size`` bytes, rounded down to pages; ENOMEM where the host has no such region."""

    def __init__(self, size: int) -> None:
        self.frames = size >> PAGE_SHIFT
        try:
            self.bytes = _region(self.frames << PAGE_SHIFT)
        except (OSError, ValueError, OverflowError):
            raise KernelError(E.ENOMEM) from None
        self.counts = array("I", [1])  # references to each frame that was ever used
        self.entries = 0  # of all address spaces
        self.max_entries = self.frames * _ENTRIES_PER_FRAME
        #: Frames that a platform has translated code of.
        self.code: set[int] = set()
        #: Called when a frame of :attr:`code` is written to from outside the guest.
        self.code_written: Callable[[], None] = _nobody
        #: Asked for frames that are only kept for speed; whether it gave any back.
        self.reclaim: Callable[[], bool] = _nothing
        self._free: list[int] = []
        self._retired: list[int] = []

    @property
    def used(self) -> int:
        """Frames in use, those that are kept for speed included."""
        return len(self.counts) - len(self._free) - len(self._retired)

    @property
    def available(self) -> int:
        """Frames that can be had without taking any back."""
        return self.frames - len(self.counts) + len(self._free)

    @property
    def retired(self) -> int:
        """Frames that are free once :meth:`settle` was called."""
        return len(self._retired)

    def settle(self) -> None:
        """The platform has no translations any more."""
        self.code.clear()
        self._free += self._retired
        self._retired.clear()

    def allocate(self, *, zero: bool = True) -> int:
        """A frame with one reference; ENOMEM. ``zero`` False: the caller writes all of it."""
        while True:
            if self._free:
                frame = self._free.pop()
                self.counts[frame] = 1
                if zero:
                    start = frame << PAGE_SHIFT
                    self.bytes[start : start + PAGE_SIZE] = _ZEROS
                return frame
            if len(self.counts) < self.frames:
                self.counts.append(1)
                return len(self.counts) - 1
            if not self.reclaim():
                raise KernelError(E.ENOMEM)

    def copy(self, frame: int) -> int:
        """A frame with the same bytes; ENOMEM."""
        if frame == ZERO:
            return self.allocate()
        new = self.allocate(zero=False)
        start, data = new << PAGE_SHIFT, self.bytes
        data[start : start + PAGE_SIZE] = data[frame << PAGE_SHIFT : (frame << PAGE_SHIFT) + PAGE_SIZE]
        return new

    def release(self, frame: int) -> None:
        """One reference less."""
        counts = self.counts
        counts[frame] -= 1
        if not counts[frame]:
            (self._retired if frame in self.code else self._free).append(frame)

    def read(self, frame: int, offset: int = 0, size: int = PAGE_SIZE) -> bytes:
        start = (frame << PAGE_SHIFT) + offset
        return self.bytes[start : start + size]

    def write(self, frame: int, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Within one frame."""
        start = (frame << PAGE_SHIFT) + offset
        self.bytes[start : start + len(data)] = data
        if frame in self.code:
            self.code_written()


def _region(size: int) -> mmap.mmap:
    private = getattr(mmap, "MAP_PRIVATE", None)
    if private is None:
        return mmap.mmap(-1, size)
    flags = private | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    return mmap.mmap(-1, size, flags=flags)


def _nobody() -> None:
    """Nobody has translations."""


def _nothing() -> bool:
    return False
