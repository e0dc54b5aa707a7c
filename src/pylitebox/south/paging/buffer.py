"""Shared buffers in physical pages: what the kernel reads and writes is what guests that map it see."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.south.paging.content import BufferPages

if TYPE_CHECKING:
    from pylitebox.south.paging.physical import PhysicalMemory

#: The device that shared buffers are on: none that a host file has.
_DEVICE = 1 << 63
_numbers = count(1)


class PagedBuffer:
    """SharedBuffer of the contract. Its pages go with the last handle."""

    def __init__(self, physical: PhysicalMemory) -> None:
        self.pages = BufferPages(physical)
        self._number = next(_numbers)
        self._handles = 1

    def key(self) -> tuple[int, int]:
        return _DEVICE, self._number

    def share(self) -> PagedBuffer:
        self._handles += 1
        return self

    @property
    def users(self) -> int:
        return self._handles

    def size(self) -> int:
        return self.pages.size

    def read_at(self, size: int, offset: int) -> bytes:
        return self.pages.read(size, offset)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        try:
            return self.pages.write(data, offset)
        except KernelError:
            raise KernelError(E.ENOSPC) from None

    def truncate(self, size: int) -> None:
        self.pages.truncate(size)

    def seal(self) -> None:
        if self.users > 1:
            raise KernelError(E.EBUSY)

    def close(self) -> None:
        self._handles -= 1
        if not self._handles:
            self.pages.cut(0)
