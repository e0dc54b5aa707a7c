"""Guest memory in plain Python: areas, and pages that exist once they are touched.

It behaves as the native platform's does: an access to what is not mapped, or not allowed, is EFAULT; anonymous and
private pages are the address space's own; pages of shared mappings are the buffer's.
"""

from __future__ import annotations

from pylitebox.abi import errno as E
from pylitebox.abi.mman import (
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_SHARED,
    PAGE_SIZE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    TASK_SIZE,
    page_up,
)
from pylitebox.abi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.platform import Area, Map, MapSource, Unmap
from pylitebox.south.mock.host import MockBuffer

#: Where mappings go that are given no address: apart from where a kernel puts them.
MMAP_BASE = 0x300000000000


#: What makes a page readable on x86-64.
_READABLE = PROT_READ | PROT_WRITE | PROT_EXEC


class MockArea:
    """One mapping: an area, its rights and its content."""

    __slots__ = ("content", "end", "offset", "prot", "shared", "start")

    def __init__(
        self, start: int, end: int, prot: int, content: MapSource | None, offset: int, *, shared: bool
    ) -> None:
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
        if not data and size:
            raise KernelError(E.EFAULT)
        return data

    def read_cstring(self, address: int, limit: int) -> bytes:
        data = self._read_some(address, limit)
        end = data.find(b"\0")
        if end >= 0:
            return data[:end]
        raise KernelError(E.ENAMETOOLONG if len(data) == limit else E.EFAULT)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        if data and not self._allowed(address, len(data), PROT_WRITE):
            raise KernelError(E.EFAULT)
        self.poke(address, data)

    # -- the owner's side -------------------------------------------------------------------------------------

    def map(
        self,
        size: int,
        *,
        address: int = 0,
        prot: int = PROT_READ | PROT_WRITE,
        content: MapSource | None = None,
        offset: int = 0,
        shared: bool = False,
    ) -> int:
        """Map ``size`` bytes at ``address``, replacing what is there, or anywhere; the address."""
        size = page_up(size)
        address = address or self.pick(size)
        self.unmap(address, size)
        _note(content, self)
        self._areas.append(MockArea(address, address + size, prot, content, offset, shared=shared))
        self._areas.sort(key=lambda area: area.start)
        return address

    def pick(self, size: int) -> int:
        """A free place."""
        address = self._next
        self._next += page_up(size) + PAGE_SIZE  # a hole behind, so that running over it is noticed
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
            content=change.source,
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

    def mapped(self, address: int, size: int) -> int:
        """How many bytes of a range are mapped."""
        end = address + size
        return sum(max(min(a.end, end) - max(a.start, address), 0) for a in self._areas)

    def move(self, address: int, size: int, target: int) -> None:
        end = address + size
        found = [a for a in self._areas if a.start < end and address < a.end]
        parts = [a.part(max(a.start, address), min(a.end, end)) for a in found]
        pages = {p: page for p, page in self._pages.items() if address <= p < end}
        self.unmap(address, size)
        for part in parts:
            part.start, part.end = part.start - address + target, part.end - address + target
        self._areas = sorted([*self._areas, *parts], key=lambda area: area.start)
        self._pages.update({p - address + target: page for p, page in pages.items()})

    def forget(self, address: int, size: int) -> None:
        """Drop private pages: what is behind them is seen again."""
        for page in [p for p in self._pages if address <= p < address + size]:
            del self._pages[page]

    def cut(self, key: tuple[int, int], size: int) -> None:
        """A content has been truncated: copies of what lay behind its end are gone."""
        for area in self._areas:
            if area.content is not None and area.content.key() == key:
                first = max(area.start, area.start + page_up(size) - area.offset)
                self.forget(first, area.end - first)

    def resident(self, address: int, size: int) -> bytes:
        pages = range(address, address + size, PAGE_SIZE)
        return bytes(p in self._pages or self._area(p).content is not None for p in pages)

    def fork(self) -> MockMemory:
        child = MockMemory()
        child._areas = [area.part(area.start, area.end) for area in self._areas]
        child._pages = {address: bytearray(page) for address, page in self._pages.items()}
        child._next = self._next
        for area in child._areas:
            _note(area.content, child)
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
            page, within = self._page(address + done, write=True)
            part = bytes(data[done : done + PAGE_SIZE - within])
            area = self._area(address + done)
            if area.shared and area.content is not None:
                place = area.offset + address + done - area.start
                inside = part[: max(0, _length(area.content) - place)]  # what lies behind the end is nobody's
                area.content.write_at(inside, place)
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

    def _page(self, address: int, *, write: bool = False) -> tuple[bytearray, int]:
        """The page of an address as its area has it now, and the place in it; its own copy if it will be written."""
        area = self._area(address)
        start = address & -PAGE_SIZE
        page = self._pages.get(start)
        if page is None:
            page = bytearray(PAGE_SIZE)
            if area.content is not None:
                offset = area.offset + start - area.start
                if offset >= page_up(_length(area.content)):
                    raise KernelError(E.EFAULT)
                data = area.content.read_at(PAGE_SIZE, offset)
                page[: len(data)] = data
            if area.content is None or (write and not area.shared):
                self._pages[start] = page
        return page, address - start

    def fault(self, address: int, *, write: bool) -> tuple[int, int] | None:
        """Signal and si_code of an access to a byte; None if it is allowed."""
        try:
            area = self._area(address)
        except KernelError:
            return SIGSEGV, SEGV_MAPERR
        if not area.prot & (PROT_WRITE if write else _READABLE):
            return SIGSEGV, SEGV_ACCERR
        if area.content is not None and area.offset + address - area.start >= page_up(_length(area.content)):
            return (SIGBUS, BUS_ADRERR) if address & -PAGE_SIZE not in self._pages else None
        return None

    def _read_some(self, address: int, size: int) -> bytes:
        parts: list[bytes] = []
        end = address + size
        while address < end and self._allowed(address, 1, _READABLE):
            try:
                page, within = self._page(address)
            except WouldBlock:
                raise
            except KernelError:
                break
            part = bytes(page[within : within + end - address])
            parts.append(part)
            address += len(part)
        return b"".join(parts)


def _length(content: MapSource) -> int:
    """The size of a host file or a shared buffer."""
    stat = getattr(content, "stat", None)
    return int(stat().st_size) if stat is not None else int(content.size())  # type: ignore[attr-defined]


def _note(content: MapSource | None, memory: MockMemory) -> None:
    if isinstance(content, MockBuffer):
        content.mappers.add(memory)


class MockAddressSpace:
    """AddressSpace of the contract. It checks what the kernel promises about ranges."""

    def __init__(self, memory: MockMemory | None = None) -> None:
        self.memory = memory or MockMemory()
        self.dropped = False

    def map(self, start: int, size: int, prot: int, source: MapSource | None, offset: int, *, shared: bool) -> None:
        assert source is not None or not shared, "shared memory has a source"
        assert not self.memory.mapped(start, size), "a range to map holds nothing"
        assert not (start | size) % PAGE_SIZE
        self.memory.map(size, address=start, prot=prot, content=source, offset=offset, shared=shared)

    def unmap(self, start: int, size: int) -> None:
        self.memory.unmap(start, size)

    def protect(self, start: int, size: int, prot: int) -> None:
        self._expect(start, size)
        self.memory.protect(start, size, prot)

    def move(self, start: int, size: int, new_start: int) -> None:
        self._expect(start, size)
        assert not self.memory.mapped(new_start, size), "what is moved to holds nothing"
        self.memory.move(start, size, new_start)

    def discard(self, start: int, size: int) -> None:
        self._expect(start, size)
        self.memory.forget(start, size)

    def sync(self, start: int, size: int) -> None:
        self._expect(start, size)

    def fork(self) -> MockAddressSpace:
        return MockAddressSpace(self.memory.fork())

    def resident(self, start: int, size: int) -> bytes:
        self._expect(start, size)
        return self.memory.resident(start, size)

    def drop(self) -> None:
        assert not self.dropped, "dropped twice"
        self.dropped = True
        self.memory.unmap(0, TASK_SIZE)

    def _expect(self, start: int, size: int) -> None:
        assert self.memory.mapped(start, size) == size, "the range is mapped throughout"
