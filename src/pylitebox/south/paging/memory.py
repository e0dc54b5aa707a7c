"""The kernel's access to a guest's memory through its address space: Memory of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PAGE_SIZE, PROT_READ, PROT_WRITE
from pylitebox.kernel.errors import KernelError
from pylitebox.south.paging.physical import PAGE_SHIFT

if TYPE_CHECKING:
    from pylitebox.south.paging.space import PagedSpace

_WITHIN = PAGE_SIZE - 1


class PagedMemory:
    """Access as the guest has it. A page that cannot be made is ENOMEM."""

    __slots__ = ("_bytes", "_entry", "_physical", "_table")

    def __init__(self, space: PagedSpace) -> None:
        self._physical = space.physical
        self._bytes = space.physical.bytes
        self._table = space.table
        self._entry = space.entry

    def read(self, address: int, size: int) -> bytes:
        within = address & _WITHIN
        if within + size <= PAGE_SIZE:
            entry = self._table.get(address >> PAGE_SHIFT, 0)
            if not entry & PROT_READ:
                if not size:
                    return b""
                entry = self._entry(address >> PAGE_SHIFT, PROT_READ)
            start = (entry & -PAGE_SIZE) + within
            return self._bytes[start : start + size]
        data = self._read_some(address, size)
        if len(data) != size:
            raise KernelError(E.EFAULT)
        return data

    def read_some(self, address: int, size: int) -> bytes:
        data = self._read_some(address, size)
        if not data and size:
            raise KernelError(E.EFAULT)
        return data

    def _read_some(self, address: int, size: int) -> bytes:
        parts = []
        end = address + size
        while address < end:
            within = address & _WITHIN
            step = min(end - address, PAGE_SIZE - within)
            try:
                entry = self._entry(address >> PAGE_SHIFT, PROT_READ)
            except KernelError:
                break
            start = (entry & -PAGE_SIZE) + within
            parts.append(self._bytes[start : start + step])
            address += step
        return b"".join(parts)

    def read_cstring(self, address: int, limit: int) -> bytes:
        parts = []
        while limit > 0:
            within = address & _WITHIN
            step = min(limit, PAGE_SIZE - within)
            entry = self._entry(address >> PAGE_SHIFT, PROT_READ)
            start = (entry & -PAGE_SIZE) + within
            end = self._bytes.find(b"\0", start, start + step)
            if end >= 0:
                parts.append(self._bytes[start:end])
                return b"".join(parts)
            parts.append(self._bytes[start : start + step])
            address += step
            limit -= step
        raise KernelError(E.ENAMETOOLONG)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        size, within = len(data), address & _WITHIN
        if within + size <= PAGE_SIZE:
            if size:
                self._write(address, data)
            return
        # all or nothing: what cannot be written is known before anything is
        for page in range(address >> PAGE_SHIFT, (address + size - 1 >> PAGE_SHIFT) + 1):
            self._entry(page, PROT_WRITE)
        view, done = memoryview(data), 0
        while done < size:
            step = min(size - done, PAGE_SIZE - (address + done & _WITHIN))
            self._write(address + done, view[done : done + step])
            done += step

    def _write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Within one page."""
        entry = self._table.get(address >> PAGE_SHIFT, 0)
        if not entry & PROT_WRITE:
            entry = self._entry(address >> PAGE_SHIFT, PROT_WRITE)
        start = (entry & -PAGE_SIZE) + (address & _WITHIN)
        self._bytes[start : start + len(data)] = data
        code = self._physical.code
        if code and entry >> PAGE_SHIFT in code:
            self._physical.code_written()
