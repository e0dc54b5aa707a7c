"""Guest memory in plain Python: areas, and pages that exist once they are touched.

It behaves as the native platform's does: an access to what is not mapped, or not allowed, is EFAULT; anonymous and
private pages are the address space's own; pages of shared mappings are the buffer's.
"""

from __future__ import annotations

from typing import Protocol

from pylitebox.abi import errno as E
from pylitebox.abi.mman import (
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_SHARED,
    PAGE_SIZE,
    PROT_READ,
    PROT_WRITE,
    TASK_SIZE,
    page_up,
)
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.platform import Area, Map, Unmap

#: Where mappings go that are given no address.
MMAP_BASE = 0x7F0000000000


class Content(Protocol):
    """What the mock can map: its own host files and shared buffers."""

    def key(self) -> tuple[int, int]: ...
    def read_at(self, size: int, offset: int) -> bytes: ...
    def write_at(self, data: bytes | memoryview, offset: int) -> int: ...


class MockArea:
    """One mapping: an area, its rights and its content."""

    __slots__ = ("content", "end", "offset", "prot", "shared", "start")

    def __init__(self, start: int, end: int, prot: int, content: Content | None, offset: int, *, shared: bool) -> None:
        self.start = start
        self.end = end
        self.prot = prot
        self.content = content
        self.offset = offset
        self.shared = shared

    def part(self, start: int, end: int) -> MockArea:
        return MockArea(start, end, self.prot, self.content, self.offset + start - self.start, shared=self.shared)


class MockMemory:
    """One address space; Memory of the contract, and what its owner does to it."""

    def __init__(self) -> None:
        self._areas: list[MockArea] = []
        self._pages: dict[int, bytearray] = {}
        self._next = MMAP_BASE

    # -- the contract -----------------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        data = self._read_some(address, size)
        if len(data) != size:
            raise KernelError(E.EFAULT)
        return data

    def read_some(self, address: int, size: int) -> bytes:
        data = self._read_some(address, size)
        if not data:
            raise KernelError(E.EFAULT)
        return data

    def read_cstring(self, address: int, limit: int) -> bytes:
        data = self._read_some(address, limit)
        end = data.find(b"\0")
        if end >= 0:
            return data[:end]
        raise KernelError(E.ENAMETOOLONG if len(data) == limit else E.EFAULT)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        if not self._allowed(address, len(data), PROT_WRITE):
            raise KernelError(E.EFAULT)
        self.poke(address, data)

    # -- the owner's side -------------------------------------------------------------------------------------

    def map(
        self,
        size: int,
        *,
        address: int = 0,
        prot: int = PROT_READ | PROT_WRITE,
        content: Content | None = None,
        offset: int = 0,
        shared: bool = False,
    ) -> int:
        """Map ``size`` bytes at ``address``, replacing what is there, or anywhere; the address."""
        size = page_up(size)
        if not address:
            address = self._next
            self._next += size + PAGE_SIZE  # a hole behind, so that running over it is noticed
        self.unmap(address, size)
        self._areas.append(MockArea(address, address + size, prot, content, offset, shared=shared))
        self._areas.sort(key=lambda area: area.start)
        return address

    def change(self, change: Map | Unmap) -> int:
        """What the kernel orders; the address, 0, or a negative errno."""
        if isinstance(change, Unmap):
            self.unmap(change.address, page_up(change.size))
            return 0
        start, end = change.address, change.address + page_up(change.size)
        if change.flags & MAP_FIXED_NOREPLACE and any(a.start < end and start < a.end for a in self._areas):
            return -E.EEXIST
        return self.map(
            change.size,
            address=change.address if change.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) else 0,
            prot=change.prot,
            content=change.source,  # type: ignore[arg-type]
            offset=change.offset,
            shared=bool(change.flags & MAP_SHARED),
        )

    def unmap(self, address: int, size: int) -> None:
        """Drop what is mapped in a range of whole pages."""
        end = address + size
        for area in [a for a in self._areas if a.start < end and address < a.end]:
            self._areas.remove(area)
            if area.start < address:
                self._areas.append(area.part(area.start, address))
            if end < area.end:
                self._areas.append(area.part(end, area.end))
        self._areas.sort(key=lambda area: area.start)
        for page in [p for p in self._pages if address <= p < end]:
            del self._pages[page]

    def protect(self, address: int, size: int, prot: int) -> None:
        end = address + size
        for area in [a for a in self._areas if a.start < end and address < a.end]:
            start, stop = max(area.start, address), min(area.end, end)
            middle = area.part(start, stop)
            middle.prot = prot
            edges = [area.part(area.start, start)] if area.start < start else []
            edges += [area.part(stop, area.end)] if stop < area.end else []
            self._areas.remove(area)
            self._areas += [*edges, middle]
        self._areas.sort(key=lambda area: area.start)

    def fork(self) -> MockMemory:
        child = MockMemory()
        child._areas = [area.part(area.start, area.end) for area in self._areas]
        child._pages = {address: bytearray(page) for address, page in self._pages.items()}
        child._next = self._next
        return child

    def areas(self) -> list[Area]:
        return [
            Area(
                a.start,
                a.end,
                a.prot,
                shared=a.shared,
                offset=a.offset,
                source=a.content.key() if a.content else None,
                name="",
            )
            for a in self._areas
        ]

    def poke(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write whatever the protection says; the range must be mapped."""
        done = 0
        while done < len(data):
            page, within = self._page(address + done)
            part = bytes(data[done : done + PAGE_SIZE - within])
            area = self._area(address + done)
            if area.shared and area.content is not None:
                area.content.write_at(part, area.offset + address + done - area.start)
            else:
                page[within : within + len(part)] = part
            done += len(part)

    # -- pages ------------------------------------------------------------------------------------------------

    def _area(self, address: int) -> MockArea:
        for area in self._areas:
            if area.start <= address < area.end:
                return area
        raise KernelError(E.EFAULT)

    def _allowed(self, address: int, size: int, prot: int) -> bool:
        end = address + size
        if end > TASK_SIZE:
            return False
        while address < end:
            try:
                area = self._area(address)
            except KernelError:
                return False
            if not area.prot & prot:
                return False
            address = area.end
        return True

    def _page(self, address: int) -> tuple[bytearray, int]:
        """The page of an address as its area has it now, and the place in it."""
        area = self._area(address)
        start = address & -PAGE_SIZE
        page = self._pages.get(start)
        if page is None:
            page = bytearray(PAGE_SIZE)
            if area.content is not None:
                data = area.content.read_at(PAGE_SIZE, area.offset + start - area.start)
                page[: len(data)] = data
            if not area.shared or area.content is None:
                self._pages[start] = page
        return page, address - start

    def _read_some(self, address: int, size: int) -> bytes:
        parts: list[bytes] = []
        end = address + size
        while address < end and self._allowed(address, 1, PROT_READ):
            page, within = self._page(address)
            part = bytes(page[within : within + end - address])
            parts.append(part)
            address += len(part)
        return b"".join(parts)
