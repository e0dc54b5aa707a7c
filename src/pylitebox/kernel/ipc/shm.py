"""System V shared memory (man 7 sysvipc, man 2 shmop; ipc/shm.c).

A segment is a shared buffer of the platform, made at its first attachment and mapped by guests as a file is. Who is
attached is counted for each address space (:class:`Attachments` of its Layout): on shmat, shmdt, fork, exec and exit.
As on Linux a detached range is found by what is mapped: the platform says which areas are a segment's. The size of a
segment counts against the memory of files from its start.

Missing: a part that munmap(2), mremap(2) or mprotect(2) cut off or split is noticed only when its process asks about
the segment or ends; SHM_HUGETLB (ENOMEM).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import ipc
from pylitebox.abi import mman as mm
from pylitebox.abi.mman import PAGE_SIZE, page_up
from pylitebox.abi.resource import RLIMIT_MEMLOCK
from pylitebox.kernel.credentials import CAP_IPC_LOCK
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.ipc.table import S_IRUGO, S_IWUGO, S_IXUGO, IpcObject, IpcTable
from pylitebox.kernel.memory import areas_of, change_memory
from pylitebox.kernel.platform import Map, Unmap
from pylitebox.kernel.wait import Blocking, Wait, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Generator

    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.content import Budget
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import Area, SharedBuffer
    from pylitebox.kernel.task import Task


class Segment(IpcObject):
    """One segment. ``attached`` counts the mappings of all address spaces."""

    def __init__(self, kernel: Kernel, key: int, mode: int, cred: Credentials, size: int, pid: int) -> None:
        super().__init__(kernel, key, mode, cred)
        self.name = b"/SYSV%08x (deleted)" % (key & 0xFFFFFFFF)
        self.size = size
        self.atime = self.dtime = 0
        self.cpid, self.lpid = pid, 0
        self.attached = 0
        self._buffer: SharedBuffer | None = None

    @property
    def pages(self) -> int:
        return page_up(self.size) // PAGE_SIZE

    @property
    def resident_pages(self) -> int:
        """Pages that may be in use: none before the first attachment."""
        return self.pages if self._buffer is not None else 0

    def buffer(self) -> SharedBuffer:
        """What guests map; ENFILE, ENOMEM."""
        if self._buffer is None:
            buffer = self.kernel.platform.shared_buffer(f"SYSV{self.key & 0xFFFFFFFF:08x}")
            try:
                buffer.truncate(page_up(self.size))
            except KernelError:
                buffer.close()
                raise KernelError(E.ENOMEM) from None
            self._buffer = buffer
            self.kernel.ipc.segments.by_source[buffer.key()] = self
            self.kernel.mapped_files.note_nameless(buffer.key(), 1, self.ident, self.name)
        return self._buffer

    def source(self) -> tuple[int, int] | None:
        """What the areas that map it say."""
        return self._buffer.key() if self._buffer is not None else None

    def attach(self, pid: int, count: int = 1) -> None:
        self.attached += count
        self.atime, self.lpid = self.now(), pid

    def detach(self, pid: int, count: int) -> None:
        """``count`` mappings are gone."""
        self.dtime, self.lpid = self.now(), pid
        self.release(count)

    def release(self, count: int = 1) -> None:
        """A segment that was removed goes with its last attachment."""
        self.attached -= count
        if not self.attached and self.mode & ipc.SHM_DEST:
            self.kernel.ipc.segments.remove(self)

    def lock(self, task: Task, *, lock: bool) -> None:
        """SHM_LOCK and SHM_UNLOCK: noted, but nothing is pinned; EPERM."""
        cred = task.cred
        allowed = cred.euid in (self.uid, self.cuid) and (not lock or task.process.rlimits[RLIMIT_MEMLOCK][0])
        if not allowed and not cred.capable(CAP_IPC_LOCK):
            raise KernelError(E.EPERM)
        self.mode = self.mode & ~ipc.SHM_LOCKED | (ipc.SHM_LOCKED if lock else 0)

    def end(self) -> None:
        """It is out of the table. Who still maps it keeps the host's memory."""
        self.kernel.file_memory.give(page_up(self.size))
        if self._buffer is not None:
            del self.kernel.ipc.segments.by_source[self._buffer.key()]
            self._buffer.close()
            self._buffer = None


class Segments(IpcTable[Segment]):
    """All segments."""

    def __init__(self) -> None:
        super().__init__(ipc.SHMMNI)
        self.by_source: dict[tuple[int, int], Segment] = {}  # those that were ever attached, by Area.source

    @property
    def pages(self) -> int:
        return sum(segment.pages for segment in self.objects.values())

    def open(self, task: Task, key: int, size: int, flags: int) -> int:
        """shmget(2)."""
        memory: Budget = task.kernel.file_memory

        def make() -> Segment:
            if not ipc.SHMMIN <= size <= ipc.SHMMAX:
                raise KernelError(E.EINVAL)
            if flags & ipc.SHM_HUGETLB or not memory.fits(page_up(size)):
                raise KernelError(E.ENOMEM)
            memory.take(page_up(size))
            return Segment(task.kernel, key, flags, task.cred, size, task.process.pid)

        return self.get(key, flags, task.cred, make, lambda found: size <= found.size)

    def mark(self, segment: Segment) -> None:
        """IPC_RMID: it goes at once, or with its last attachment."""
        if segment.attached:
            segment.mode |= ipc.SHM_DEST
            self.forget_key(segment)
        else:
            self.remove(segment)

    def remove(self, thing: Segment) -> None:
        super().remove(thing)
        thing.end()


class Attachments:
    """How often one address space maps each segment."""

    def __init__(self) -> None:
        self.counts: dict[Segment, int] = {}

    def add(self, segment: Segment, pid: int) -> None:
        self.counts[segment] = self.counts.get(segment, 0) + 1
        segment.attach(pid)

    def set(self, segment: Segment, count: int, pid: int) -> None:
        """The address space has this many mappings of the segment."""
        before = self.counts.get(segment, 0)
        if count:
            self.counts[segment] = count
        else:
            self.counts.pop(segment, None)
        if count < before:
            segment.detach(pid, before - count)
        else:
            segment.attached += count - before

    def copy(self, pid: int) -> Attachments:
        """The address space was copied by fork(2)."""
        new = Attachments()
        for segment, count in self.counts.items():
            new.counts[segment] = count
            segment.attach(pid, count)
        return new

    def release(self, pid: int) -> None:
        """The address space is gone."""
        counts, self.counts = self.counts, {}
        for segment, count in counts.items():
            segment.detach(pid, count)


def _attachments(task: Task) -> Attachments:
    layout = task.process.layout
    if layout.attachments is None:
        layout.attachments = Attachments()
    return layout.attachments


def recount(task: Task, segment: Segment) -> None:
    """Before a question about a segment: what the caller's own address space maps of it now."""
    attachments = task.process.layout.attachments
    if attachments is not None and segment in attachments.counts and task.thread is not None:
        attachments.set(segment, _count(segment, areas_of(task)), task.process.pid)


def _count(segment: Segment, areas: list[Area]) -> int:
    """How many areas map the segment: the guest may have unmapped or split some without telling us."""
    source = segment.source()
    return sum(area.source == source for area in areas)


class _Outcome:
    """What a change of memory gave, once the platform has told."""

    def __init__(self) -> None:
        self.queue = WaitQueue()
        self.result: int | None = None

    def told(self, result: int) -> None:
        self.result = result
        self.queue.wake()


def _change(task: Task, change: Map | Unmap) -> Generator[Wait, bool, int]:
    """Have the platform change the caller's address space; the address or 0, or its error."""
    if task.thread is None:
        raise KernelError(E.ENOMEM)
    outcome = _Outcome()
    change_memory(task, change, outcome.told)
    while outcome.result is None:
        yield Wait(outcome.queue, interruptible=False)
    if outcome.result < 0:
        raise KernelError(-outcome.result if -outcome.result in E.NAMES else E.EINVAL)
    return outcome.result


def attach(task: Task, ident: int, address: int, flags: int) -> Blocking:
    """shmat(2): the address; EINVAL, EACCES, ENOMEM."""
    if address % PAGE_SIZE and flags & ipc.SHM_RND:
        address = mm.page_down(address)
        if not address and flags & ipc.SHM_REMAP:
            raise KernelError(E.EINVAL)
    elif address % PAGE_SIZE or (not address and flags & ipc.SHM_REMAP):
        raise KernelError(E.EINVAL)
    prot, wanted = (mm.PROT_READ, S_IRUGO) if flags & ipc.SHM_RDONLY else (mm.PROT_READ | mm.PROT_WRITE, 0o666)
    if flags & ipc.SHM_EXEC:
        prot, wanted = prot | mm.PROT_EXEC, wanted | S_IXUGO
    segment = task.kernel.ipc.segments.find(ident)
    segment.check(task.cred, wanted)
    place = 0
    if address:
        if address + segment.size >= 1 << 64:
            raise KernelError(E.EINVAL)
        place = mm.MAP_FIXED if flags & ipc.SHM_REMAP else mm.MAP_FIXED_NOREPLACE
    write = bool(wanted & S_IWUGO)
    change = Map(segment.buffer(), address, page_up(segment.size), prot, mm.MAP_SHARED | place, write=write)
    segment.attached += 1  # it stays while it is being mapped
    try:
        try:
            address = yield from _change(task, change)
        except KernelError as error:
            raise KernelError(E.EINVAL if error.errno == E.EEXIST else error.errno) from None
        _attachments(task).add(segment, task.process.pid)
    finally:
        segment.release()
    return address


def detach(task: Task, address: int) -> Blocking:
    """shmdt(2); EINVAL."""
    areas = areas_of(task)
    found = _find(task.kernel.ipc.segments, areas, address)
    if address % PAGE_SIZE or found is None:
        raise KernelError(E.EINVAL)
    segment, gone = found
    for area in gone:
        yield from _change(task, Unmap(area.start, area.end - area.start))
    _attachments(task).set(segment, _count(segment, areas) - len(gone), task.process.pid)
    return 0


def _find(segments: Segments, areas: list[Area], address: int) -> tuple[Segment, list[Area]] | None:
    """The areas that shmdt(2) of ``address`` unmaps: those of one segment whose place in it fits the address."""
    found: Segment | None = None
    result: list[Area] = []
    for area in areas:
        if area.end <= address:
            continue
        if found is not None and area.end - address > page_up(found.size):
            break
        if area.source is None or area.start - address != area.offset:
            continue
        segment = segments.by_source.get(area.source)
        if segment is not None and found in (None, segment):
            found = segment
            result.append(area)
    return (found, result) if found is not None else None
