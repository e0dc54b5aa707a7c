"""One address space: mmap(2), munmap(2), mprotect(2), brk(2), and what fork, exec and exit make of it (mm/mmap.c).

Each operation finds out first whether it may be done (limits of the process, of the address space, of the sandbox),
then has the platform change its pages, then notes it: an operation that fails has changed nothing, except where Linux
has done a part too.

Missing: areas that grow downwards by themselves (MAP_GROWSDOWN is as large as it is made); huge pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pylitebox.abi import errno as E
from pylitebox.abi import mman as mm
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK
from pylitebox.kernel.credentials import CAP_IPC_LOCK
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.memory.areas import ALL, Areas, Region
from pylitebox.kernel.memory.locked import check_may_lock
from pylitebox.kernel.platform import Area, Map, Unmap

if TYPE_CHECKING:
    from pylitebox.kernel.image import Image, Mapping
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.memory.areas import Steps
    from pylitebox.kernel.memory.sources import Source
    from pylitebox.kernel.platform import AddressSpace
    from pylitebox.kernel.task import Task

MAX_MAP_COUNT = 65530
MMAP_MIN_ADDR = 65536
#: mmap(2) goes downwards from a random page of so many bytes beneath the top.
_MMAP_RANDOM = 1 << 40
_MMAP_GAP = 128 << 20


class Content(NamedTuple):
    """What a mapping of a file shows: ``limit`` are the PROT_* bits that it may ever have."""

    source: Source
    offset: int
    limit: int


class Space:
    """The areas of one address space, and its pages."""

    def __init__(self, kernel: Kernel, pages: AddressSpace) -> None:
        self.kernel = kernel
        self.pages = pages
        self.areas = Areas(kernel.sources, kernel.areas, kernel.commit)
        self.lock_future = False  # mlockall(MCL_FUTURE)
        entropy = int.from_bytes(kernel.code_places[16:] or kernel.platform.random(8), "little")
        self.base = mm.TASK_SIZE - _MMAP_GAP - mm.page_down(entropy % _MMAP_RANDOM)

    def snapshot(self, *, detailed: bool = False) -> list[Area]:
        copies: list[Area] = []
        for area in self.areas:
            copy = area.part(area.start, area.end)
            if detailed:
                copy.details = [b"VmFlags: " + area.flags()]
            copies.append(copy)
        return copies

    # -- limits -----------------------------------------------------------------------------------------------

    def room(self, more: int) -> None:
        """ENOMEM if there cannot be ``more`` areas more."""
        if len(self.areas) + more > MAX_MAP_COUNT or not self.kernel.areas.fits(more):
            raise KernelError(E.ENOMEM)

    def may_grow(self, task: Task, total: int, data: int) -> None:
        """ENOMEM beyond RLIMIT_AS and RLIMIT_DATA (may_expand_vm)."""
        rlimits, areas = task.process.rlimits, self.areas
        if areas.total + total > rlimits[RLIMIT_AS][0]:
            raise KernelError(E.ENOMEM)
        soft, hard = rlimits[RLIMIT_DATA]
        if data and areas.data + data > (soft or hard):  # a soft limit of 0 counts as none (for valgrind)
            raise KernelError(E.ENOMEM)

    def may_commit(self, size: int) -> None:
        """ENOMEM if the sandbox may not have so much memory more."""
        if not self.kernel.commit.fits(size):
            raise KernelError(E.ENOMEM)

    def may_lock(self, task: Task, size: int, error: int) -> None:
        """``error`` if so many locked bytes more would be too many for RLIMIT_MEMLOCK."""
        limit = task.process.rlimits[RLIMIT_MEMLOCK][0]
        too_much = limit != RLIM_INFINITY and self.areas.locked + size > mm.page_down(limit)
        if too_much and not task.cred.capable(CAP_IPC_LOCK):
            raise KernelError(error)

    # -- places -----------------------------------------------------------------------------------------------

    def is_free(self, start: int, end: int) -> bool:
        return not self.areas.within(start, end) and self.is_ours(start, end)

    def is_ours(self, start: int, end: int) -> bool:
        """Whether the platform leaves a range to the guest."""
        return all(end <= low or high <= start for low, high in self.kernel.platform.reserved)

    def find_place(self, hint: int, size: int) -> int:
        """A free place, at ``hint`` if possible (get_unmapped_area); ENOMEM."""
        if size > mm.TASK_SIZE:
            raise KernelError(E.ENOMEM)
        hint = mm.page_down(hint)
        if hint:
            hint = max(hint, MMAP_MIN_ADDR)
            if hint + size <= mm.TASK_SIZE and self.is_free(hint, hint + size):
                return hint
        for high in (self.base, mm.TASK_SIZE):
            while (place := self.areas.gap_below(size, MMAP_MIN_ADDR, high)) is not None:
                taken = [low for low, end in self.kernel.platform.reserved if low < place + size and place < end]
                if not taken:
                    return place
                high = min(taken)
        raise KernelError(E.ENOMEM)

    def fixed_place(self, address: int, size: int) -> int:
        """``address``, if something may be mapped there (MAP_FIXED); ENOMEM, EINVAL, EPERM."""
        if size > mm.TASK_SIZE or address > mm.TASK_SIZE - size:
            raise KernelError(E.ENOMEM)
        if address % mm.PAGE_SIZE:
            raise KernelError(E.EINVAL)
        if address < MMAP_MIN_ADDR:
            raise KernelError(E.EPERM)
        if not self.is_ours(address, address + size):
            raise KernelError(E.ENOMEM)
        return address

    # -- mmap -------------------------------------------------------------------------------------------------

    def place(self, address: int, size: int, flags: int) -> int:
        """Where mmap(2) maps ``size`` bytes (whole pages); EEXIST for MAP_FIXED_NOREPLACE."""
        if len(self.areas) > MAX_MAP_COUNT:
            raise KernelError(E.ENOMEM)
        if not flags & (mm.MAP_FIXED | mm.MAP_FIXED_NOREPLACE):
            return self.find_place(address, size)
        address = self.fixed_place(address, size)
        if flags & mm.MAP_FIXED_NOREPLACE and self.areas.within(address, address + size):
            raise KernelError(E.EEXIST)
        return address

    def map(self, task: Task, start: int, size: int, prot: int, flags: int, content: Content | None) -> int:
        """Map a range that :meth:`place` chose, instead of what is there; ``start``. EAGAIN, EPERM, ENOMEM.

        Shared memory without a file has a content too (:meth:`Sources.anonymous`)."""
        shared = bool(flags & mm.MAP_TYPE & mm.MAP_SHARED)
        growsdown = bool(flags & mm.MAP_GROWSDOWN)
        locked = bool(flags & mm.MAP_LOCKED) or self.lock_future
        if locked:
            if flags & mm.MAP_LOCKED:
                check_may_lock(task)
            self.may_lock(task, size, E.EAGAIN)
        noreserve = bool(flags & mm.MAP_NORESERVE)
        area = Region(
            start,
            start + size,
            prot & ALL,
            backing=content.source if content is not None else None,
            offset=content.offset if content is not None else 0,
            shared=shared,
            limit=content.limit if content is not None else ALL,
            growsdown=growsdown,
            noreserve=noreserve,
            charged=bool(prot & mm.PROT_WRITE) and not shared and not noreserve,
            locked=locked,
        )
        self.insert(task, area)
        return start

    def insert(self, task: Task, area: Region) -> None:
        """Map an area instead of what lies there; ENOMEM, with nothing changed unless pages cannot be had."""
        old = self.areas.cut(area.start, area.end)
        gone = sum(part.size for part in old)
        self.may_grow(task, area.size - gone, area.size if area.is_data else 0)
        if area.charged:
            self.may_commit(area.size)
        self.room(1 + self.areas.splits(area.start, area.end))
        if old:
            self.pages.unmap(area.start, area.size)
            self.areas.replace(area.start, area.end)
        self.show(area, area.start, area.size)
        self.areas.replace(area.start, area.end, [area])

    def show(self, area: Region, start: int, size: int) -> None:
        """Have the platform map what ``area`` shows (or would show) at a range."""
        file = area.backing.file if area.backing is not None else None
        self.pages.map(start, size, area.prot, file, area.place(start), shared=area.shared)

    def change(self, task: Task, change: Map | Unmap) -> int:
        """An order of the kernel's own (shmat(2)); the address, 0, or a negative errno."""
        try:
            if isinstance(change, Unmap):
                self.unmap(change.address, change.size)
                return 0
            size = mm.page_up(change.size)
            start = self.place(change.address, size, change.flags)
            limit = ALL if change.write else ALL & ~mm.PROT_WRITE
            source = self.kernel.sources.claim(change.source, write=change.write)
            try:
                return self.map(task, start, size, change.prot, change.flags, Content(source, change.offset, limit))
            finally:
                self.kernel.sources.release(source)
        except KernelError as error:
            return -error.errno

    # -- munmap, mprotect -------------------------------------------------------------------------------------

    def unmap(self, start: int, size: int) -> None:
        """munmap(2); EINVAL, ENOMEM."""
        if start % mm.PAGE_SIZE or start > mm.TASK_SIZE or not 0 < size <= mm.TASK_SIZE - start:
            raise KernelError(E.EINVAL)
        end = mm.page_up(start + size)
        found = self.areas.within(start, end)
        if not found:
            return
        if found[0].start < start and end < found[-1].end and len(found) == 1:
            self.room(1)
        self.pages.unmap(start, end - start)
        self.areas.replace(start, end)

    def protect(self, task: Task, start: int, end: int, prot: int) -> Steps:
        """mprotect(2) of whole pages; ENOMEM at a hole and EACCES, once what lies before has been changed."""
        if prot & mm.PROT_GROWSDOWN:
            first = self.areas.find(start) or next(iter(self.areas.within(start, end)), None)
            if first is None:
                raise KernelError(E.ENOMEM)
            if not first.growsdown:
                raise KernelError(E.EINVAL)
            start = first.start
        if prot & mm.PROT_GROWSUP:
            raise KernelError(E.EINVAL)
        at = start
        for part in self.areas.parts(start, end):
            if part.start != at:
                break
            self._protect(task, part, prot & ALL)
            at = part.end
            yield
        if at < end:
            raise KernelError(E.ENOMEM)
        return 0

    def _protect(self, task: Task, part: Region, prot: int) -> None:
        if prot & ~part.limit:
            raise KernelError(E.EACCES)
        if prot == part.prot:
            return
        was_data = part.is_data
        part.prot = prot
        if part.is_data and not was_data:
            self.may_grow(task, 0, part.size)
            if not part.charged and not part.noreserve:
                self.may_commit(part.size)
                part.charged = True
        self.room(self.areas.splits(part.start, part.end))
        self.pages.protect(part.start, part.size, prot)
        self.areas.replace(part.start, part.end, [part])

    # -- brk --------------------------------------------------------------------------------------------------

    def brk(self, task: Task, address: int) -> int:
        """brk(2): where the heap ends, moved or not."""
        layout = task.process.layout
        limit = task.process.rlimits[RLIMIT_DATA][0]
        if not layout.brk_start <= address <= layout.brk_limit or address - layout.brk_start > limit:
            return layout.brk
        old, new = mm.page_up(layout.brk), mm.page_up(address)
        try:
            if new < old:
                self.unmap(new, old - new)
            elif new > old:
                if not self.is_free(old, new + mm.PAGE_SIZE):
                    return layout.brk
                flags = mm.MAP_PRIVATE | mm.MAP_ANONYMOUS
                self.map(task, old, new - old, mm.PROT_READ | mm.PROT_WRITE, flags, None)
        except KernelError:
            return layout.brk
        layout.brk = address
        return address

    # -- life -------------------------------------------------------------------------------------------------

    def load(self, task: Task, image: Image) -> None:
        """Fill an empty address space with a program, whose sources are closed; ENOMEM, EFAULT."""
        try:
            for mapping in image.mappings:
                self._load(task, mapping, image)
        finally:
            for opened in image.sources:
                opened.close()
        memory = self.pages.memory
        for address, size in image.zero:
            memory.write(address, bytes(size))
        for address, data in image.data:
            memory.write(address, data)

    def _load(self, task: Task, mapping: Mapping, image: Image) -> None:
        size, flags = mm.page_up(mapping.size), mm.MAP_PRIVATE
        if (mapping.address, mapping.address + size) == image.stack:
            flags |= mm.MAP_GROWSDOWN
        if mapping.source is None:
            self.map(task, mapping.address, size, mapping.prot, flags, None)
            return
        source = self.kernel.sources.claim(mapping.source, write=False)
        try:
            content = Content(source, mapping.offset, ALL)
            self.map(task, mapping.address, size, mapping.prot, flags, content)
        finally:
            self.kernel.sources.release(source)

    def may_fork(self) -> None:
        """ENOMEM if there is no room for a copy."""
        if not self.kernel.areas.fits(len(self.areas)):
            raise KernelError(E.ENOMEM)
        self.may_commit(sum(area.size for area in self.areas if area.charged and not area.dontfork))

    def fork(self, pages: AddressSpace) -> Space:
        """The copy that a child has, whose ``pages`` the platform has copied; what is locked is not locked there."""
        child = Space(self.kernel, pages)
        child.base = self.base
        kept: list[Region] = []
        for area in self.areas:
            if area.dontfork:
                pages.unmap(area.start, area.size)
                continue
            if area.wipeonfork:
                pages.discard(area.start, area.size)
            copy = area.part(area.start, area.end)
            copy.locked = False
            kept.append(copy)
        child.areas.replace(0, mm.TASK_SIZE, kept)
        return child

    def drop(self) -> None:
        """Its last process has ended, or has another."""
        self.pages.drop()
        self.areas.replace(0, mm.TASK_SIZE)
