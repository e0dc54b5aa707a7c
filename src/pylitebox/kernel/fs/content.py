"""The data of an in-memory file: sparse chunks, counted against budgets, optionally over a backing file.

Bytes live in chunks of 64 KiB that exist only where something was written; within a chunk it is noted which pages never
were, so that holes are told by the page, as on Linux. A content may stand on a *backing* file
(the lower layer of an overlay): what no chunk covers is then read from it, and a chunk is copied when it is first
written to. When the file is to be mapped, all of it moves into one shared buffer, so that mappings and
read(2)/write(2) see the same bytes; a buffer counts with its whole size, since a guest can fill its holes unseen.
Whoever knows that nobody maps it can take it back (shared.py).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError, WouldBlock

if TYPE_CHECKING:
    from pylitebox.kernel.platform import Platform, SharedBuffer

CHUNK = 1 << 16
PAGE = 4096
#: Chunks that are moved at once.
BATCH = 64
#: The largest file: what a signed 64-bit offset can reach.
MAX_FILE_SIZE = (1 << 63) - 1


class Budget:
    """A number of units that may be in use at once; a budget may be part of a larger one."""

    __slots__ = ("errno", "limit", "parent", "used")

    def __init__(self, limit: int, parent: Budget | None = None, *, errno: int = E.ENOSPC) -> None:
        self.limit = limit
        self.used = 0
        self.parent = parent
        self.errno = errno

    def take(self, amount: int) -> None:
        """ENOSPC (or what was named), with nothing taken, if the budget or a larger one would be exceeded."""
        if self.used + amount > self.limit:
            raise KernelError(self.errno)
        if self.parent is not None:
            self.parent.take(amount)
        self.used += amount

    def fits(self, amount: int) -> bool:
        return self.used + amount <= self.limit

    def give(self, amount: int) -> None:
        self.used -= amount
        if self.parent is not None:
            self.parent.give(amount)


class Backing(Protocol):
    """A file beneath a content; its reads raise WouldBlock while the host must wait for its disk."""

    def read_at(self, size: int, offset: int) -> bytes: ...

    def acquire(self, *, write: bool) -> None: ...

    def release(self) -> None: ...


class Content:
    """One file's bytes. ``charged`` are the bytes counted against the budget, ``size`` is the file's length."""

    __slots__ = (
        "__weakref__",
        "_backing",
        "_backing_size",
        "_budget",
        "_buffer",
        "_chunks",
        "_hole_pages",
        "_holes",
        "_order",
        "_reserved",
        "charged",
        "size",
    )

    def __init__(self, budget: Budget, backing: Backing | None = None, size: int = 0) -> None:
        self._budget = budget
        self._chunks: dict[int, bytearray] = {}  # may be shorter than CHUNK: zeros follow
        self._holes: dict[int, int] = {}  # by chunk: a bit for each page of it that was never written
        self._hole_pages = 0  # the number of these bits
        self._reserved: dict[int, int] = {}  # by chunk: a bit for each page that fallocate(2) gave, and nobody wrote
        self._order: list[int] | None = None  # the chunks' indices, sorted, while they are known
        self._buffer: SharedBuffer | None = None
        self._backing = backing
        self._backing_size = size if backing is not None else 0
        self.charged = 0
        self.size = size
        if backing is not None:
            backing.acquire(write=False)

    def __del__(self) -> None:
        # The file is out of reach: no name, no descriptor. Whoever still maps the buffer keeps the host's memory.
        self._drop_backing()
        self._budget.give(self.charged)
        if self._buffer is not None:
            self._buffer.close()

    @property
    def blocks(self) -> int:
        """st_blocks: of 512 bytes, holes not counted."""
        return self.charged - self._hole_pages * PAGE >> 9

    # -- reading ----------------------------------------------------------------------------------------------

    def read_at(self, size: int, offset: int) -> bytes:
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        if self._buffer is not None:
            return self._buffer.read_at(size, offset)
        index, start = divmod(offset, CHUNK)
        if start + size <= CHUNK:
            return self._piece(index, start, size)
        parts = []
        while size > 0:
            step = min(CHUNK - start, size)
            try:
                parts.append(self._piece(index, start, step))
            except WouldBlock:  # for a disk: the pieces so far will be there, and less than all means the end
                raise
            except KernelError:
                if parts:
                    break
                raise
            index, start, size = index + 1, 0, size - step
        return b"".join(parts)

    def _piece(self, index: int, start: int, size: int) -> bytes:
        chunk = self._chunks.get(index)
        if chunk is not None:
            data = bytes(chunk[start : start + size])
        elif index * CHUNK + start < self._backing_size:
            data = self._from_backing(index * CHUNK + start, size)
        else:
            return bytes(size)
        return data if len(data) == size else data + bytes(size - len(data))

    def _from_backing(self, offset: int, size: int) -> bytes:
        assert self._backing is not None
        size = min(size, self._backing_size - offset)
        data = self._backing.read_at(size, offset)
        while data and len(data) < size:  # short at most once or twice; at the end if the file was cut meanwhile
            more = self._backing.read_at(size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    # -- writing ----------------------------------------------------------------------------------------------

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        """How many bytes were written: fewer than all if the space ran out on the way; ENOSPC, EFBIG."""
        size = len(data)
        if not size:
            return 0
        if offset + size > MAX_FILE_SIZE:
            if offset >= MAX_FILE_SIZE:
                raise KernelError(E.EFBIG)
            size = MAX_FILE_SIZE - offset
        if self._buffer is not None:
            self._extend_buffer(offset + size)
            done = self._buffer.write_at(data[:size] if size < len(data) else data, offset)
        else:
            done = 0
            view = memoryview(data)
            try:
                while done < size:
                    index, start = divmod(offset + done, CHUNK)
                    step = min(CHUNK - start, size - done)
                    chunk = self._writable(index, start, start + step)
                    chunk[start : start + step] = view[done : done + step]
                    done += step
            except KernelError:
                if not done:
                    raise
        if offset + done > self.size:
            self.size = offset + done
        return done

    def _writable(self, index: int, start: int, end: int) -> bytearray:
        """The chunk, at least ``end`` bytes long, with what was in it."""
        chunk = self._chunks.get(index)
        if chunk is not None:
            if len(chunk) < end:
                self._charge(_pages(end) - _pages(len(chunk)))
                self._pad(index, chunk, start)
            if index in self._holes:
                self._set_holes(index, self._holes[index] & ~_bits(start // PAGE, _pages(end) // PAGE))
            if index in self._reserved:
                self._set_reserved(index, self._reserved[index] & ~_bits(start // PAGE, _pages(end) // PAGE))
            return chunk
        old = b""
        base = index * CHUNK
        if base < self._backing_size:
            old = self._from_backing(base, CHUNK)
        self._charge(_pages(max(end, len(old))))
        chunk = self._chunks[index] = bytearray(old)
        self._order = None
        self._pad(index, chunk, start)
        if base < self._backing_size and self._covered():
            self._backing_size = 0
            self._drop_backing()
        return chunk

    def _pad(self, index: int, chunk: bytearray, start: int) -> None:
        """Fill a chunk with zeros up to ``start``; the pages between are a hole."""
        if len(chunk) < start:
            self._set_holes(index, self._holes.get(index, 0) | _bits(_pages(len(chunk)) // PAGE, start // PAGE))
            chunk += bytes(start - len(chunk))

    def _set_holes(self, index: int, pages: int) -> None:
        self._hole_pages += pages.bit_count() - self._holes.pop(index, 0).bit_count()
        if pages:
            self._holes[index] = pages

    def _set_reserved(self, index: int, pages: int) -> None:
        self._reserved.pop(index, None)
        if pages:
            self._reserved[index] = pages

    def _drop_chunk(self, index: int) -> None:
        self._refund(_pages(len(self._chunks.pop(index))))
        self._set_holes(index, 0)
        self._set_reserved(index, 0)
        self._order = None

    def _covered(self) -> bool:
        """Whether nothing is read from the backing file any more."""
        last = (self._backing_size + CHUNK - 1) // CHUNK
        return len(self._chunks) >= last and sum(index < last for index in self._chunks) == last

    def _charge(self, amount: int) -> None:
        if amount:
            self._budget.take(amount)
            self.charged += amount

    def _refund(self, amount: int) -> None:
        self._budget.give(amount)
        self.charged -= amount

    def _extend_buffer(self, size: int) -> None:
        assert self._buffer is not None
        if size > self.size:
            self._charge(_pages(size) - _pages(self.size))
            try:
                self._buffer.truncate(size)
            except KernelError:
                self._refund(_pages(size) - _pages(self.size))
                raise
            self.size = size

    # -- size -------------------------------------------------------------------------------------------------

    def truncate(self, size: int) -> None:
        """Set the length; what is cut off is gone, what is added is zeros."""
        if self._buffer is not None:
            if size > self.size:
                self._extend_buffer(size)
            elif size < self.size:
                self._buffer.truncate(size)
                self._refund(_pages(self.size) - _pages(size))
                self.size = size
            return
        if size < self.size:
            last, keep = divmod(size, CHUNK)
            for index in [i for i in self._chunks if i > last or (i == last and not keep)]:
                self._drop_chunk(index)
            chunk = self._chunks.get(last)
            if chunk is not None and len(chunk) > keep:
                before = _pages(len(chunk))
                del chunk[keep:]
                self._set_holes(last, self._holes.get(last, 0) & _bits(0, _pages(keep) // PAGE))
                self._set_reserved(last, self._reserved.get(last, 0) & _bits(0, _pages(keep) // PAGE))
                self._refund(before - _pages(len(chunk)))
            if size < self._backing_size:
                self._backing_size = size
                if not size:
                    self._drop_backing()
        self.size = size

    def punch(self, offset: int, size: int) -> None:
        """Make a range read as zeros, giving back whole chunks; the length stays."""
        end = min(offset + size, self.size)
        if self._buffer is not None:
            for position in range(offset, end, CHUNK):
                self._buffer.write_at(bytes(min(CHUNK, end - position)), position)
            return
        if end <= offset:
            return
        if offset < self._backing_size:
            self._absorb()
        order = self._sorted()
        for index in order[bisect_right(order, offset // CHUNK - 1) : bisect_right(order, (end - 1) // CHUNK)]:
            chunk = self._chunks[index]
            start, stop = max(offset - index * CHUNK, 0), end - index * CHUNK
            gone = _pages(stop) if end == self.size else stop  # pages that are cut into stay data
            if start == 0 and gone >= _pages(len(chunk)):
                self._drop_chunk(index)
            elif start < len(chunk):
                stop, gone = min(stop, len(chunk)), min(gone, _pages(len(chunk)))
                chunk[start:stop] = bytes(stop - start)
                holes = self._holes.get(index, 0) | _bits(_pages(start) // PAGE, gone // PAGE)
                self._set_holes(index, holes)
                self._set_reserved(index, self._reserved.get(index, 0) & ~holes)

    def reserve(self, offset: int, size: int) -> None:
        """Make sure that later writes to a range find space (fallocate with mode 0). As on a tmpfs, pages that it adds
        are no data yet, and pages that are there already become data (mm/shmem.c, SGP_FALLOC)."""
        if self._buffer is not None:
            return
        end = offset + size
        if end - offset > self._budget.limit:
            raise KernelError(E.ENOSPC)
        while offset < end:
            index, start = divmod(offset, CHUNK)
            stop = min(CHUNK, start + end - offset)
            there = self._allocated(index)
            chunk = self._writable(index, start, stop)
            if len(chunk) < stop:
                chunk += bytes(stop - len(chunk))
            new = _bits(start // PAGE, _pages(stop) // PAGE) & ~there
            self._set_reserved(index, self._reserved.get(index, 0) | new)
            offset += stop - start

    def collapse(self, offset: int, size: int) -> None:
        """Take a range of whole pages out; what is behind it moves up."""
        end = self.size
        self._make_movable()
        self.punch(offset, size)
        self._move(offset + size, -size)
        self.truncate(end - size)

    def insert(self, offset: int, size: int) -> None:
        """Put a hole of whole pages in; what is behind it moves down; EFBIG."""
        end = self.size
        if end + size > MAX_FILE_SIZE:
            raise KernelError(E.EFBIG)
        self._make_movable()
        self.truncate(end + size)
        self._move(offset, size)
        if self._buffer is not None:
            self.punch(offset, size)

    def _make_movable(self) -> None:
        """Before anything moves: nothing may fail half-way, so there must be room for chunks that get fuller."""
        self._absorb()
        if self._buffer is None:
            room = (len(self._chunks) + 2) * CHUNK
            self._budget.take(room)
            self._budget.give(room)

    def _move(self, first: int, distance: int) -> None:
        """Move all data from ``first`` on by ``distance`` bytes, onto what holds no data any more."""
        if self._buffer is not None:
            last = self.size - max(distance, 0)
            positions = range(first, last, CHUNK)
            for position in positions if distance < 0 else reversed(positions):
                data = self._buffer.read_at(min(CHUNK, last - position), position)
                self._buffer.write_at(data, position + distance)
            return
        moving = sorted((i for i in self._chunks if (i + 1) * CHUNK > first), reverse=distance > 0)
        for number in range(0, len(moving), BATCH):
            batch = moving[number : number + BATCH]
            start, end = max(min(batch) * CHUNK, first), (max(batch) + 1) * CHUNK
            taken = [(max(start, i * CHUNK), bytes(self._chunks[i][max(start - i * CHUNK, 0) :])) for i in batch]
            self.punch(start, end - start)
            for position, data in taken:
                self.write_at(data, position + distance)

    def seek_data(self, offset: int, *, hole: bool) -> int:
        """lseek(2) SEEK_DATA and SEEK_HOLE, in units of pages (what a shared buffer or a backing file holds is all
        data); ``offset`` lies within the file; ENXIO."""
        if self._buffer is not None:
            return self.size if hole else offset
        index, start = divmod(offset, CHUNK)
        while hole or index in self._chunks or index * CHUNK < self._backing_size:
            page = self._next_page(index, start // PAGE, data=not hole)
            if page < CHUNK // PAGE:
                return min(max(index * CHUNK + page * PAGE, offset), self.size)
            index, start = index + 1, 0
        order = self._sorted()
        for following in range(bisect_right(order, index), len(order)):
            page = self._next_page(order[following], 0, data=True)
            if page < CHUNK // PAGE:  # what a cut left of a chunk may be a hole throughout
                return order[following] * CHUNK + page * PAGE
        raise KernelError(E.ENXIO)

    def _next_page(self, index: int, page: int, *, data: bool) -> int:
        """The first page from ``page`` on, within a chunk, that is data (or not); the number of pages if none is."""
        present = self._allocated(index) & ~self._reserved.get(index, 0)
        left = (present if data else ~present) >> page << page & _bits(0, CHUNK // PAGE)
        return (left & -left).bit_length() - 1 if left else CHUNK // PAGE

    def _allocated(self, index: int) -> int:
        """A bit for each page of a chunk that is not a hole."""
        chunk = self._chunks.get(index)
        if chunk is not None:
            return _bits(0, _pages(len(chunk)) // PAGE) & ~self._holes.get(index, 0)
        return _bits(0, _pages(min(max(self._backing_size - index * CHUNK, 0), CHUNK)) // PAGE)

    def _sorted(self) -> list[int]:
        if self._order is None:
            self._order = sorted(self._chunks)
        return self._order

    # -- sharing ----------------------------------------------------------------------------------------------

    @property
    def shared(self) -> SharedBuffer | None:
        """The buffer that holds the bytes, if one does."""
        return self._buffer

    def unshare(self) -> None:
        """Let chunks hold the bytes again; nobody maps the buffer any more."""
        buffer = self._buffer
        if buffer is None:
            return
        for index in range((self.size + CHUNK - 1) // CHUNK):
            data = buffer.read_at(min(CHUNK, self.size - index * CHUNK), index * CHUNK).rstrip(b"\0")
            if data:
                self._chunks[index] = bytearray(data)
        self._buffer = None
        buffer.close()
        self._refund(self.charged - sum(_pages(len(chunk)) for chunk in self._chunks.values()))

    def share(self, platform: Platform, name: str) -> SharedBuffer:
        """The buffer that holds the bytes from now on."""
        if self._buffer is None:
            self._absorb()
            extra = _pages(self.size) - self.charged
            if extra > 0:
                self._charge(extra)
            buffer = platform.shared_buffer(name)
            try:
                buffer.truncate(self.size)
                for index, chunk in self._chunks.items():
                    data = memoryview(chunk)[: max(0, self.size - index * CHUNK)]
                    if data and buffer.write_at(data, index * CHUNK) < len(data):
                        raise KernelError(E.ENOSPC)
            except BaseException:
                buffer.close()
                raise
            self._chunks.clear()
            self._holes.clear()
            self._reserved.clear()
            self._hole_pages, self._order = 0, None
            if extra < 0:
                self._refund(-extra)
            self._buffer = buffer
        return self._buffer

    def _absorb(self) -> None:
        """Copy all that is still in the backing file; WouldBlock keeps what came so far."""
        if self._backing is None:
            return
        if self._backing_size - self.charged > self._budget.limit - self._budget.used:
            raise KernelError(E.ENOSPC)
        for index in range((self._backing_size + CHUNK - 1) // CHUNK):
            if index not in self._chunks:
                self._writable(index, 0, 0)
        self._backing_size = 0
        self._drop_backing()

    def _drop_backing(self) -> None:
        backing, self._backing = self._backing, None
        if backing is not None:
            backing.release()


def _bits(first: int, end: int) -> int:
    """A mask of the bits from ``first`` to ``end``, which is not part of it."""
    return (1 << max(end, first)) - (1 << first)


def _pages(size: int) -> int:
    """The bytes that ``size`` bytes take up in whole pages."""
    return (size + PAGE - 1) & -PAGE
