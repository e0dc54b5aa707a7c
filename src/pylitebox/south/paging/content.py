"""What stands behind shared and file-backed pages: frames by page index, one set for each content.

Every mapping of one content shows the same frames, in all address spaces; a private mapping that is written to gets a
copy of its own (space.py). Two kinds: :class:`BufferPages` are the content (a platform's shared buffers), and
:class:`FilePages` are copies of a host file's pages, read several at a time, and written back if they were stored to.

Copies of a file that nobody maps any more are kept for the next program that does (libc, most of all), until frames
run out; they count as the file's only if it is the same file, unchanged since it was read.

Missing: a host file that is written by write(2) while it is mapped shows the old bytes in pages that had been touched,
and stores reach it when it is synchronised or unmapped.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from pylitebox.abi.mman import PAGE_SIZE
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.log import log
from pylitebox.south.paging.physical import PAGE_SHIFT, ZERO, PhysicalMemory

if TYPE_CHECKING:
    from pylitebox.kernel.platform import MapSource

#: Pages of a file that are read at a time.
AROUND = 16


class EndOfFileError(Exception):
    """The page lies behind the end of the content."""


class Mapper(Protocol):
    """An address space, as its contents see it."""

    def forget(self, content: Pages, first: int) -> None:
        """The pages of ``content`` from index ``first`` on are gone."""
        ...


class Pages:
    """Frames by index; the content holds one reference to each."""

    def __init__(self, physical: PhysicalMemory) -> None:
        self.physical = physical
        self.frames: dict[int, int] = {}
        #: The address spaces that map it.
        self.mappers: dict[Mapper, None] = {}

    def frame(self, index: int, *, now: bool) -> int:
        """The frame of a page, made if need be; EndOfFileError, ENOMEM, WouldBlock unless ``now``. No reference."""
        raise NotImplementedError

    def around(self, index: int) -> range:
        """The indexes that may be shown along with ``index``, as far as they have frames."""
        return range(index, index + 1)

    def stored(self, index: int) -> None:
        """The page is about to be stored to through a shared mapping."""

    def sync(self) -> None:
        """Stores have reached what the pages are copies of."""

    def cut(self, first: int) -> None:
        """Forget the pages from index ``first`` on, in every address space."""
        for mapper in tuple(self.mappers):
            mapper.forget(self, first)
        for index in [index for index in self.frames if index >= first]:
            self.physical.release(self.frames.pop(index))


class BufferPages(Pages):
    """The pages of a shared buffer of ``size`` bytes; absent ones are zeros."""

    def __init__(self, physical: PhysicalMemory) -> None:
        super().__init__(physical)
        self.size = 0

    def frame(self, index: int, *, now: bool) -> int:
        found = self.frames.get(index)
        if found is None:
            if index << PAGE_SHIFT >= self.size:
                raise EndOfFileError
            found = self.frames[index] = self.physical.allocate()
        return found

    def read(self, size: int, offset: int) -> bytes:
        size = max(0, min(size, self.size - offset))
        parts = []
        while size:
            index, within = offset >> PAGE_SHIFT, offset & PAGE_SIZE - 1
            step = min(size, PAGE_SIZE - within)
            parts.append(self.physical.read(self.frames.get(index, ZERO), within, step))
            offset += step
            size -= step
        return b"".join(parts)

    def write(self, data: bytes | memoryview, offset: int) -> int:
        """How much was written; ENOMEM if nothing was."""
        view, done = memoryview(data).cast("B"), 0
        while done < len(view):
            index, within = offset >> PAGE_SHIFT, offset & PAGE_SIZE - 1
            step = min(len(view) - done, PAGE_SIZE - within)
            frame = self.frames.get(index)
            if frame is None:
                try:
                    frame = self.frames[index] = self.physical.allocate()
                except KernelError:
                    if not done:
                        raise
                    break
            self.physical.write(frame, within, view[done : done + step])
            self.size = max(self.size, offset + step)
            offset += step
            done += step
        return done

    def truncate(self, size: int) -> None:
        if size < self.size:
            self.cut(size + PAGE_SIZE - 1 >> PAGE_SHIFT)
            tail = self.frames.get(size >> PAGE_SHIFT)
            if tail is not None and size & PAGE_SIZE - 1:
                within = size & PAGE_SIZE - 1
                self.physical.write(tail, within, bytes(PAGE_SIZE - within))
        self.size = size


class FilePages(Pages):
    """Copies of the pages of a host file, or of any other source."""

    def __init__(self, physical: PhysicalMemory, state: object) -> None:
        super().__init__(physical)
        self.state = state  # what tells whether the file has changed; None if nothing can
        self.sources: list[MapSource] = []  # the handles that mappings came with
        self._stored: set[int] = set()

    def frame(self, index: int, *, now: bool) -> int:
        found = self.frames.get(index)
        if found is None:
            self._read(index, now=now)
            found = self.frames.get(index)
            if found is None:
                raise EndOfFileError
        return found

    def around(self, index: int) -> range:
        first = index & -AROUND
        return range(first, first + AROUND)

    def _read(self, index: int, *, now: bool) -> None:
        """Read a page and those around it that come along. A host may give less than all (what it has in memory)."""
        first = index & -AROUND
        if not self._keep(first, self._fetch(AROUND, first, now=now), index):
            self._keep(index, self._fetch(1, index, now=now), index)

    def _fetch(self, pages: int, first: int, *, now: bool) -> bytes:
        for source in reversed(self.sources):
            read = getattr(source, "read_now", None) if now else None
            try:
                data: bytes = (read or source.read_at)(pages * PAGE_SIZE, first << PAGE_SHIFT)
            except WouldBlock:
                raise
            except (KernelError, OSError):  # a handle that was closed: its last mapping is gone
                continue
            return data
        return b""

    def _keep(self, first: int, data: bytes, wanted: int) -> bool:
        """Make frames of what was read; whether page ``wanted`` is there. ENOMEM if it cannot be."""
        physical, size = self.physical, _size(self.sources)
        for number in range(len(data) + PAGE_SIZE - 1 >> PAGE_SHIFT):
            index = first + number
            part = data[number << PAGE_SHIFT : number + 1 << PAGE_SHIFT]
            whole = len(part) == PAGE_SIZE or size is None or (index << PAGE_SHIFT) + len(part) >= size
            if index in self.frames or not whole:
                continue
            try:
                frame = physical.allocate(zero=False)
            except KernelError:
                if index == wanted:
                    raise
                continue
            physical.write(frame, 0, part.ljust(PAGE_SIZE, b"\0"))
            self.frames[index] = frame
        return wanted in self.frames

    def stored(self, index: int) -> None:
        self._stored.add(index)

    def sync(self) -> None:
        """Write back; an address space may go on storing to a page, which stays noted for as long as it is mapped."""
        stored = sorted(self._stored)
        if not self.mappers:
            self._stored.clear()
        size = _size(self.sources)
        for index in stored:
            data = self.physical.read(self.frames[index])
            if size is not None:  # the part of the last page behind the end is nobody's
                data = data[: max(0, size - (index << PAGE_SHIFT))]
            if data and not self._write(data, index << PAGE_SHIFT):
                log(f"page {index} of a mapped host file cannot be written back")

    def _write(self, data: bytes, offset: int) -> bool:
        for source in reversed(self.sources):  # one of them was opened for writing
            try:
                source.write_at(data, offset)
            except (KernelError, OSError):
                continue
            return True
        return False


def _size(sources: list[MapSource]) -> int | None:
    for source in sources:
        try:
            stat = getattr(source, "stat", None)
            if stat is not None:
                return int(stat().st_size)
            size = getattr(source, "size", None)
            if size is not None:
                return int(size())
        except (KernelError, OSError):  # a handle that was closed
            continue
    return None


def _is_open(source: MapSource) -> bool:
    """Whether a handle of a host file was not closed meanwhile."""
    stat = getattr(source, "stat", None)
    try:
        return stat is None or stat() is not None
    except (KernelError, OSError):
        return False


class PageCache:
    """The contents of all sources, by :meth:`MapSource.key`."""

    def __init__(self, physical: PhysicalMemory) -> None:
        self.physical = physical
        self._files: OrderedDict[tuple[int, int], FilePages] = OrderedDict()  # longest unused first
        physical.reclaim = self._reclaim

    def pages(self, source: MapSource) -> Pages:
        """What stands behind a mapping of ``source``."""
        own = getattr(source, "pages", None)
        if isinstance(own, Pages) and own.physical is self.physical:
            return own
        key = source.key()
        found = self._files.get(key)
        state = _state(source)
        if found is not None and not found.mappers and (state is None or state != found.state):
            self._drop(key)
            found = None
        if found is None:
            found = self._files[key] = FilePages(self.physical, state)
        self._files.move_to_end(key)
        if source not in found.sources:  # another handle of the file: some may have been closed since
            found.sources = [*filter(_is_open, found.sources), source]
        return found

    def unmapped(self, pages: Pages) -> None:
        """Nobody maps it any more: its sources are about to be closed."""
        if isinstance(pages, FilePages):
            pages.sync()
            pages.sources.clear()
            if pages.state is None or not pages.frames:
                for key in [key for key, kept in self._files.items() if kept is pages]:
                    self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        self._files.pop(key).cut(0)

    def _reclaim(self) -> bool:
        """Drop what has been unused longest."""
        used = self.physical.used
        for key in [key for key, pages in self._files.items() if not pages.mappers]:
            self._drop(key)
            if self.physical.used < used:
                return True
        return False


def _state(source: MapSource) -> object:
    """What changes when a host file does; None for a source that cannot tell."""
    stat = getattr(source, "stat", None)
    if stat is None:
        return None
    status = stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size

