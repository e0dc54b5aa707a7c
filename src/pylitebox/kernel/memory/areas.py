"""The areas of one address space: a sorted list of ranges that do not overlap, equal neighbours merged (mm/vma.c).

An area says what is mapped and what may be done to it; pages are the platform's. Nothing here knows any limit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from operator import attrgetter
from typing import TYPE_CHECKING

from pylitebox.abi.mman import PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.kernel.platform import Area

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pylitebox.kernel.fs.content import Budget
    from pylitebox.kernel.memory.sources import Source, Sources

_start = attrgetter("start")
ALL = PROT_READ | PROT_WRITE | PROT_EXEC
#: Work that goes from area to area: between two of them others may have their turn. What it gives is a call's result.
Steps = Generator[None, None, int]


class Region(Area):
    """One area. ``limit`` are the PROT_* bits that mprotect(2) may give it."""

    __slots__ = ("backing", "charged", "dontfork", "growsdown", "limit", "locked", "noreserve", "wipeonfork")

    def __init__(
        self,
        start: int,
        end: int,
        prot: int,
        *,
        backing: Source | None = None,
        offset: int = 0,
        shared: bool = False,
        limit: int = ALL,
        growsdown: bool = False,
        noreserve: bool = False,
        charged: bool = False,
        locked: bool = False,
    ) -> None:
        source = backing.key if backing is not None else None
        name = "/dev/zero (deleted)" if backing is not None and backing.charge else ""
        super().__init__(start, end, prot, shared=shared, offset=offset, source=source, name=name)
        self.backing = backing
        self.limit = limit
        self.growsdown = growsdown
        self.noreserve = noreserve
        self.charged = charged  # it counts against the sandbox's memory (VM_ACCOUNT)
        self.locked = locked
        self.dontfork = False
        self.wipeonfork = False

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def is_data(self) -> bool:
        """RLIMIT_DATA counts it (is_data_mapping)."""
        return bool(self.prot & PROT_WRITE) and not self.shared and not self.growsdown

    def flags(self) -> bytes:
        """As VmFlags of smaps names them, in its order (fs/proc/task_mmu.c)."""
        shown = (
            (b"rd", self.prot & PROT_READ),
            (b"wr", self.prot & PROT_WRITE),
            (b"ex", self.prot & PROT_EXEC),
            (b"sh", self.shared and self.limit & PROT_WRITE),
            (b"mr", self.limit & PROT_READ),
            (b"mw", self.limit & PROT_WRITE),
            (b"me", self.limit & PROT_EXEC),
            (b"ms", self.shared),
            (b"gd", self.growsdown),
            (b"lo", self.locked),
            (b"dc", self.dontfork),
            (b"ac", self.charged),
            (b"nr", self.noreserve),
            (b"wf", self.wipeonfork),
        )
        return b"".join([name + b" " for name, is_set in shown if is_set])

    def place(self, address: int) -> int:
        """The offset in the source that ``address`` shows; 0 without one."""
        return self.offset + address - self.start if self.backing is not None else 0

    def part(self, start: int, end: int) -> Region:
        """The same kind of area over another range; within this one's, the same bytes."""
        new = Region(
            start,
            end,
            self.prot,
            backing=self.backing,
            offset=self.place(start),
            shared=self.shared,
            limit=self.limit,
            growsdown=self.growsdown,
            noreserve=self.noreserve,
            charged=self.charged,
            locked=self.locked,
        )
        new.dontfork, new.wipeonfork = self.dontfork, self.wipeonfork
        return new

    def alike(self) -> tuple[object, ...]:
        """What neighbours must have in common to be one area."""
        kind = (self.prot, self.shared, self.limit, self.growsdown, self.charged, self.locked)
        return *kind, self.noreserve, self.dontfork, self.wipeonfork, self.backing

    def joins(self, following: Region) -> bool:
        return (
            self.end == following.start
            and self.alike() == following.alike()
            and (self.backing is None or self.place(self.end) == following.offset)
        )


class Areas:
    """Every change of the list goes through :meth:`replace`, which counts: bytes in all, of data, locked, charged;
    areas and charged bytes against the sandbox's budgets, and areas of each source. That there is room has been found
    out before."""

    def __init__(self, sources: Sources, number: Budget, commit: Budget) -> None:
        self.regions: list[Region] = []
        self.total = self.data = self.locked = 0
        self._sources = sources
        self._number = number
        self._commit = commit

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)

    def __len__(self) -> int:
        return len(self.regions)

    def index(self, address: int) -> int:
        """The index of the first area that ends behind ``address``."""
        i = bisect_right(self.regions, address, key=_start)
        return i - 1 if i and self.regions[i - 1].end > address else i

    def find(self, address: int) -> Region | None:
        """The area that holds ``address``."""
        i = self.index(address)
        return self.regions[i] if i < len(self.regions) and self.regions[i].start <= address else None

    def within(self, start: int, end: int) -> list[Region]:
        """The areas that touch start..end, whole."""
        first = self.index(start)
        last = first
        while last < len(self.regions) and self.regions[last].start < end:
            last += 1
        return self.regions[first:last]

    def cut(self, start: int, end: int) -> list[Region]:
        """What of each area lies in start..end."""
        return [area.part(max(start, area.start), min(end, area.end)) for area in self.within(start, end)]

    def parts(self, start: int, end: int) -> Iterator[Region]:
        """What :meth:`cut` gives, each part looked up when it is asked for: areas may change between two."""
        while start < end:
            i = self.index(start)
            if i == len(self.regions) or self.regions[i].start >= end:
                return
            area = self.regions[i]
            part = area.part(max(start, area.start), min(end, area.end))
            start = part.end
            yield part

    def covered(self, start: int, end: int) -> int:
        """Where the first hole from ``start`` on begins, at most ``end``."""
        for area in self.within(start, end):
            if area.start > start:
                break
            start = area.end
        return min(start, end)

    def splits(self, start: int, end: int) -> int:
        """How many areas more there are when a range in the middle of others becomes different."""
        return sum(
            bool(area.start < edge < area.end) for edge in (start, end) for area in self.within(edge - 1, edge + 1)
        )

    def replace(self, start: int, end: int, new: Iterable[Region] = ()) -> None:
        """Put ``new`` (sorted, within start..end) where everything between ``start`` and ``end`` was."""
        first = self.index(start)
        old = self.within(start, end)
        fresh = list(new)
        if old and old[0].start < start:
            fresh.insert(0, old[0].part(old[0].start, start))
        if old and old[-1].end > end:
            fresh.append(old[-1].part(end, old[-1].end))
        last = first + len(old)
        if first:
            first -= 1
            fresh.insert(0, self.regions[first])
        if last < len(self.regions):
            fresh.append(self.regions[last])
            last += 1
        fresh = _merged(fresh)
        gone, self.regions[first:last] = self.regions[first:last], fresh
        for region in fresh:
            self._count(region, 1)
        for region in gone:
            self._count(region, -1)

    def _count(self, region: Region, sign: int) -> None:
        size = sign * region.size
        self.total += size
        if region.is_data:
            self.data += size
        if region.locked:
            self.locked += size
        if region.charged:
            self._commit.give(-size)
        self._number.give(-sign)
        if region.backing is not None:
            if sign > 0:
                region.backing.users += 1
            else:
                self._sources.release(region.backing)

    def gap_below(self, size: int, low: int, high: int) -> int | None:
        """The highest free place of ``size`` bytes between ``low`` and ``high``."""
        end = high
        for i in range(self.index(high - 1), -1, -1):
            if i < len(self.regions):
                area = self.regions[i]
                if area.start >= high:
                    continue
                if end - area.end >= size:
                    break
                end = min(end, area.start)
        return end - size if end - size >= low else None


def _merged(regions: list[Region]) -> list[Region]:
    result: list[Region] = []
    for region in regions:
        if result and result[-1].joins(region):
            result[-1] = result[-1].part(result[-1].start, region.end)
        else:
            result.append(region)
    return result
