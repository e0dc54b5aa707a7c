"""One address space: what is mapped where, and the pages that exist of it (AddressSpace of the contract).

:attr:`PagedSpace.table` has an entry for each page that was touched: the frame's address with the rights that hold now
(PROT_*), and SHARED. A right may be missing although the mapping has it: the page is then made, copied or noted by
:meth:`PagedSpace.touch` when it is needed. So everything lazy is one thing, an entry without a right:

- a page never touched has no entry;
- an anonymous page that was only read shows frame 0, not writable;
- a private page of a file, and every private page after a fork, is not writable: a store makes a copy, unless nobody
  else has the frame;
- a shared page of a file is not writable until it is stored to, so that what must be written back is known.

A change that takes a right or a frame from an entry is told to the observer, since a platform may keep entries (in a
TLB, in page tables); a right or a frame that is added is not.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.abi.signal import SIGBUS, SIGSEGV
from pylitebox.kernel.errors import KernelError
from pylitebox.south.paging.content import EndOfFileError, PageCache, Pages
from pylitebox.south.paging.memory import PagedMemory
from pylitebox.south.paging.physical import PAGE_SHIFT, ZERO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pylitebox.kernel.platform import MapSource

SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR = 1, 2, 2
RIGHTS = PROT_READ | PROT_WRITE | PROT_EXEC
#: In an entry, beside its rights: the page is that of a shared mapping.
SHARED = 8
_PRIVATE_WRITABLE = SHARED | PROT_WRITE
_start = attrgetter("start")


class Fault(KernelError):
    """An access that the pages do not allow: EFAULT to the kernel, a signal to the guest."""

    def __init__(self, signo: int, code: int) -> None:
        super().__init__(E.EFAULT)
        self.signo = signo
        self.code = code


class Observer(Protocol):
    """Who keeps entries."""

    def stale(self, space: PagedSpace, first: int, last: int) -> None:
        """Entries of the pages ``first`` to ``last`` (excluded) have lost a right, a frame, or themselves."""
        ...


class Region:
    """Pages ``start`` to ``end`` (excluded), mapped alike. ``index``: which page of ``content`` the first one is."""

    __slots__ = ("content", "end", "index", "rights", "shared", "start")

    def __init__(self, start: int, end: int, rights: int, content: Pages | None, index: int, *, shared: bool) -> None:
        self.start = start
        self.end = end
        self.rights = rights
        self.content = content
        self.index = index
        self.shared = shared

    def part(self, start: int, end: int) -> Region:
        index = self.index + start - self.start if self.content is not None else 0
        return Region(start, end, self.rights, self.content, index, shared=self.shared)

    def continues(self, other: Region) -> bool:
        """Whether ``other`` is more of the same, right behind."""
        return (
            self.end == other.start
            and self.content is other.content
            and self.rights == other.rights
            and self.shared == other.shared
            and (self.content is None or self.index + self.end - self.start == other.index)
        )


class PagedSpace:
    """An empty address space over the frames of ``cache``."""

    def __init__(self, cache: PageCache, observer: Observer) -> None:
        self.cache = cache
        self.physical = cache.physical
        self.observer = observer
        self.table: dict[int, int] = {}
        self.regions: list[Region] = []
        self.memory = PagedMemory(self)

    # -- touching ---------------------------------------------------------------------------------------------

    def entry(self, page: int, need: int) -> int:
        """The entry of a page with a right, for the kernel, which waits for nothing; Fault, ENOMEM."""
        entry = self.table.get(page, 0)
        return entry if entry & need else self.touch(page, need, now=True)

    def touch(self, page: int, need: int, *, now: bool = False) -> int:
        """Make the entry of a page have the right ``need``; Fault, ENOMEM, WouldBlock (unless ``now``) while the source
        of the page must wait: see :meth:`source`."""
        region = self._find(page)
        if region is None:
            raise Fault(SIGSEGV, SEGV_MAPERR)
        if not region.rights & need:
            raise Fault(SIGSEGV, SEGV_ACCERR)
        entry = self.table.get(page)
        if entry is None:
            entry = self._make(page, region, need, now=now)
        if need == PROT_WRITE and not entry & PROT_WRITE:
            entry = self._make_writable(page, region, entry)
        return entry

    def ahead(self, page: int, count: int) -> None:
        """``page`` was written to: if it is anonymous, make the pages of its block of ``count``, too. For platforms
        where a fault costs more than a page."""
        region = self._find(page)
        if region is None or region.content is not None or not region.rights & PROT_WRITE:
            return
        first = page & -count
        physical, table = self.physical, self.table
        for at in range(max(first, region.start), min(first + count, region.end)):
            if at not in table:
                if physical.available < count or physical.entries >= physical.max_entries:
                    return
                self._make(at, region, PROT_WRITE, now=True)

    def source(self, page: int) -> MapSource | None:
        """What the page's content waits for."""
        region = self._find(page)
        sources = getattr(region.content, "sources", None) if region is not None else None
        return sources[-1] if sources else None

    def _find(self, page: int) -> Region | None:
        regions = self.regions
        at = bisect_right(regions, page, key=_start) - 1
        if at >= 0 and page < regions[at].end:
            return regions[at]
        return None

    def _make(self, page: int, region: Region, need: int, *, now: bool) -> int:
        physical, content = self.physical, region.content
        if physical.entries >= physical.max_entries:
            raise KernelError(E.ENOMEM)
        if content is not None:
            return self._show(page, region, content, now=now)
        if need == PROT_WRITE:
            entry = physical.allocate() << PAGE_SHIFT | region.rights
        else:
            physical.counts[ZERO] += 1
            entry = ZERO << PAGE_SHIFT | region.rights & ~PROT_WRITE
        physical.entries += 1
        self.table[page] = entry
        return entry

    def _show(self, page: int, region: Region, content: Pages, *, now: bool) -> int:
        """Entries for a page of a content, and for its neighbours that are there anyway."""
        physical, table = self.physical, self.table
        index = region.index + page - region.start
        try:
            content.frame(index, now=now)
        except EndOfFileError:
            raise Fault(SIGBUS, BUS_ADRERR) from None
        bits = region.rights & ~PROT_WRITE | (SHARED if region.shared else 0)
        shift = page - index
        for other in content.around(index):
            at = other + shift
            frame = content.frames.get(other)
            if frame is not None and region.start <= at < region.end and at not in table:
                physical.counts[frame] += 1
                physical.entries += 1
                table[at] = frame << PAGE_SHIFT | bits
        return table[page]

    def _make_writable(self, page: int, region: Region, entry: int) -> int:
        physical, frame = self.physical, entry >> PAGE_SHIFT
        if region.shared:
            assert region.content is not None
            region.content.stored(region.index + page - region.start)
        elif frame == ZERO or physical.counts[frame] > 1:
            new = physical.copy(frame)
            physical.release(frame)
            entry = new << PAGE_SHIFT | entry & RIGHTS
            self.observer.stale(self, page, page + 1)
        self.table[page] = entry = entry | PROT_WRITE
        return entry

    # -- the contract -----------------------------------------------------------------------------------------

    def map(self, start: int, size: int, prot: int, source: MapSource | None, offset: int, *, shared: bool) -> None:
        content = self.cache.pages(source) if source is not None else None
        if content is not None:
            content.mappers[self] = None
        first = start >> PAGE_SHIFT
        region = Region(
            first,
            first + (size >> PAGE_SHIFT),
            _rights(prot),
            content,
            offset >> PAGE_SHIFT if content is not None else 0,
            shared=shared,
        )
        self._insert([region])

    def unmap(self, start: int, size: int) -> None:
        taken = self._take(start >> PAGE_SHIFT, start + size >> PAGE_SHIFT)
        self._release(start >> PAGE_SHIFT, start + size >> PAGE_SHIFT)
        self._check_mapped(taken)

    def protect(self, start: int, size: int, prot: int) -> None:
        first, last = start >> PAGE_SHIFT, start + size >> PAGE_SHIFT
        taken, rights = self._take(first, last), _rights(prot)
        for region in taken:
            region.rights = rights
        self._insert(taken)
        table = self.table
        for page in self._pages(first, last):
            entry = table[page]
            table[page] = entry & ~RIGHTS | rights & (entry | PROT_READ | PROT_EXEC)
        self.observer.stale(self, first, last)

    def move(self, start: int, size: int, new_start: int) -> None:
        first, last, shift = start >> PAGE_SHIFT, start + size >> PAGE_SHIFT, new_start - start >> PAGE_SHIFT
        moved = self._take(first, last)
        table = self.table
        entries = [(page, table.pop(page)) for page in self._pages(first, last)]
        for region in moved:
            region.start += shift
            region.end += shift
        self._insert(moved)
        table.update((page + shift, entry) for page, entry in entries)
        self.observer.stale(self, first, last)

    def discard(self, start: int, size: int) -> None:
        self._release(start >> PAGE_SHIFT, start + size >> PAGE_SHIFT)

    def sync(self, start: int, size: int) -> None:
        regions = self._between(start >> PAGE_SHIFT, start + size >> PAGE_SHIFT)
        for content in dict.fromkeys(region.content for region in regions if region.shared):
            if content is not None:
                content.sync()

    def fork(self) -> PagedSpace:
        physical, table = self.physical, self.table
        if physical.entries + len(table) > physical.max_entries:
            raise KernelError(E.ENOMEM)
        child = PagedSpace(self.cache, self.observer)
        child.regions = [region.part(region.start, region.end) for region in self.regions]
        for region in child.regions:
            if region.content is not None:
                region.content.mappers[child] = None
        counts, lost = physical.counts, False
        for page, entry in table.items():
            counts[entry >> PAGE_SHIFT] += 1
            if entry & _PRIVATE_WRITABLE == PROT_WRITE:
                table[page] = entry & ~PROT_WRITE  # changes no key
                lost = True
        child.table.update(table)
        physical.entries += len(table)
        if lost:
            self.observer.stale(self, 0, 1 << 52)
        return child

    def resident(self, start: int, size: int) -> bytes:
        first, last = start >> PAGE_SHIFT, start + size >> PAGE_SHIFT
        answer = bytearray(last - first)
        for page in self._pages(first, last):
            answer[page - first] = 1
        for region in self._between(first, last):
            if region.content is not None:
                shift = region.start - region.index
                low, high = max(first, region.start), min(last, region.end)
                frames = region.content.frames
                near = range(low - shift, high - shift)
                for index in near if len(near) < len(frames) else frames:
                    if index in near and index in frames:
                        answer[index + shift - first] = 1
        return bytes(answer)

    def drop(self) -> None:
        self.unmap(0, 1 << 63)

    # -- contents ---------------------------------------------------------------------------------------------

    def forget(self, content: Pages, first: int) -> None:
        """Mapper: pages of a content are gone. Private copies of them go, too, as when a file is truncated."""
        for region in self.regions:
            if region.content is content:
                at = max(region.start, region.start + first - region.index)
                if at < region.end:
                    self._release(at, region.end)

    def _check_mapped(self, taken: Iterable[Region]) -> None:
        """Regions are gone: perhaps the last ones of their contents."""
        gone = dict.fromkeys(region.content for region in taken if region.content is not None)
        if not gone:
            return
        left = {region.content for region in self.regions}
        for content in gone:
            if content not in left:
                content.mappers.pop(self, None)
                if not content.mappers:
                    self.cache.unmapped(content)

    # -- regions and entries ----------------------------------------------------------------------------------

    def _between(self, first: int, last: int) -> list[Region]:
        """The regions that have pages in a range."""
        regions = self.regions
        low = max(0, bisect_right(regions, first, key=_start) - 1)
        if low < len(regions) and regions[low].end <= first:
            low += 1
        high = bisect_right(regions, last - 1, key=_start)
        return regions[low:high]

    def _take(self, first: int, last: int) -> list[Region]:
        """Cut a range out; what was there."""
        found = self._between(first, last)
        if not found:
            return []
        at = bisect_right(self.regions, found[0].start, key=_start) - 1
        edges = []
        if found[0].start < first:
            edges.append(found[0].part(found[0].start, first))
        if last < found[-1].end:
            edges.append(found[-1].part(last, found[-1].end))
        self.regions[at : at + len(found)] = edges
        return [region.part(max(first, region.start), min(last, region.end)) for region in found]

    def _insert(self, new: list[Region]) -> None:
        """Add regions that lie side by side, or apart, where nothing is; one that continues another is joined to it."""
        if not new:
            return
        regions = self.regions
        at = bisect_right(regions, new[0].start, key=_start)
        end = at
        while end < len(regions) and regions[end].start < new[-1].end:
            end += 1
        low, high = max(0, at - 1), min(len(regions), end + 1)
        merged: list[Region] = []
        for region in sorted([*regions[low:high], *new], key=_start):
            if merged and merged[-1].continues(region):
                merged[-1].end = region.end
            else:
                merged.append(region)
        regions[low:high] = merged

    def _pages(self, first: int, last: int) -> list[int]:
        """The pages of a range that have entries."""
        table = self.table
        if last - first <= len(table):
            return [page for page in range(first, last) if page in table]
        return [page for page in table if first <= page < last]

    def _release(self, first: int, last: int) -> None:
        """Drop the entries of a range."""
        table, physical = self.table, self.physical
        pages = self._pages(first, last)
        for page in pages:
            physical.release(table.pop(page) >> PAGE_SHIFT)
        physical.entries -= len(pages)
        if pages:
            self.observer.stale(self, first, last)


def _rights(prot: int) -> int:
    """What x86-64 makes of PROT_*: what may be written or executed may be read."""
    rights = prot & RIGHTS
    return rights | PROT_READ if rights else 0
