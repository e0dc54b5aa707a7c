"""Address spaces over physical pages: lazy pages, copy-on-write, files, rights, and the kernel's access."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE
from pylitebox.abi.signal import SIGBUS, SIGSEGV
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.south.paging import Fault, PageCache, PagedBuffer, PagedSpace, PhysicalMemory

P = 4096
RW = PROT_READ | PROT_WRITE
BASE = 0x400000


class Watcher:
    def __init__(self) -> None:
        self.stale_ranges: list[tuple[int, int]] = []

    def stale(self, space: PagedSpace, first: int, last: int) -> None:
        self.stale_ranges.append((first, last))


class File:
    """A source with content, as a host file is one."""

    def __init__(self, data: bytes, key: int = 1) -> None:
        self.data = bytearray(data)
        self.reads = 0
        self.blocks = False
        self.version = 0
        self._key = key

    def key(self) -> tuple[int, int]:
        return 7, self._key

    def share(self) -> File:
        return self

    def close(self) -> None:
        pass

    def stat(self) -> SimpleNamespace:
        return SimpleNamespace(st_mtime_ns=self.version, st_ctime_ns=0, st_size=len(self.data))

    def read_at(self, size: int, offset: int) -> bytes:
        if self.blocks:
            raise WouldBlock
        self.reads += 1
        return bytes(self.data[offset : offset + size])

    def read_now(self, size: int, offset: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def write_at(self, data: bytes, offset: int) -> int:
        self.data[offset : offset + len(data)] = data
        return len(data)


class Machine:
    def __init__(self, size: int = 1 << 20) -> None:
        self.physical = PhysicalMemory(size)
        self.cache = PageCache(self.physical)
        self.watcher = Watcher()

    def space(self) -> PagedSpace:
        return PagedSpace(self.cache, self.watcher)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def space(machine: Machine) -> PagedSpace:
    return machine.space()


def fault_of(space: PagedSpace, address: int, need: int) -> tuple[int, int]:
    with pytest.raises(Fault) as caught:
        space.touch(address // P, need)
    return caught.value.signo, caught.value.code


# -- anonymous memory -------------------------------------------------------------------------------------------------


def test_memory_is_zeros_and_costs_nothing_until_it_is_written(machine: Machine, space: PagedSpace) -> None:
    space.map(BASE, 16 * P, RW, None, 0, shared=False)
    assert space.memory.read(BASE, 16 * P) == bytes(16 * P)
    assert machine.physical.used == 1
    space.memory.write(BASE + P - 2, b"abcd")
    assert space.memory.read(BASE + P - 2, 4) == b"abcd"
    assert machine.physical.used == 3
    assert space.resident(BASE, 3 * P) == b"\1\1\1"


def test_fork_copies_what_either_side_writes(machine: Machine, space: PagedSpace) -> None:
    space.map(BASE, 2 * P, RW, None, 0, shared=False)
    space.memory.write(BASE, b"one")
    child = space.fork()
    assert (0, 1 << 52) in machine.watcher.stale_ranges
    used = machine.physical.used
    child.memory.write(BASE, b"two")
    assert machine.physical.used == used + 1
    space.memory.write(BASE, b"six")  # the frame is its own again: no copy
    assert machine.physical.used == used + 1
    assert (space.memory.read(BASE, 3), child.memory.read(BASE, 3)) == (b"six", b"two")
    child.drop()
    space.drop()
    assert machine.physical.used == 1
    assert machine.physical.entries == 0


def test_a_frame_that_is_used_again_is_zeros(machine: Machine, space: PagedSpace) -> None:
    space.map(BASE, P, RW, None, 0, shared=False)
    space.memory.write(BASE, b"secret")
    space.unmap(BASE, P)
    space.map(BASE, P, RW, None, 0, shared=False)
    space.touch(BASE // P, PROT_WRITE)
    assert space.memory.read(BASE, 6) == bytes(6)


def test_rights_and_holes_are_faults(space: PagedSpace) -> None:
    space.map(BASE, P, PROT_READ, None, 0, shared=False)
    space.map(BASE + P, P, PROT_NONE, None, 0, shared=False)
    space.map(BASE + 2 * P, P, PROT_EXEC, None, 0, shared=False)
    assert fault_of(space, BASE - 1, PROT_READ) == (SIGSEGV, 1)
    assert fault_of(space, BASE, PROT_WRITE) == (SIGSEGV, 2)
    assert fault_of(space, BASE, PROT_EXEC) == (SIGSEGV, 2)
    assert fault_of(space, BASE + P, PROT_READ) == (SIGSEGV, 2)
    assert space.touch(BASE // P + 2, PROT_READ)  # as on x86-64
    space.protect(BASE, 2 * P, RW)
    space.memory.write(BASE + P - 1, b"ab")
    space.protect(BASE, P, PROT_READ)
    with pytest.raises(KernelError) as caught:
        space.memory.write(BASE, b"x")
    assert caught.value.errno == E.EFAULT


def test_a_write_across_pages_is_all_or_nothing(space: PagedSpace) -> None:
    space.map(BASE, P, RW, None, 0, shared=False)
    with pytest.raises(KernelError):
        space.memory.write(BASE + P - 2, b"abcd")
    assert space.memory.read(BASE + P - 2, 2) == bytes(2)
    assert space.memory.read_some(BASE + P - 2, 100) == bytes(2)
    for address in (0, BASE - 1, BASE + P, 1 << 47, 1 << 63, (1 << 64) - 8):
        with pytest.raises(KernelError):
            space.memory.read(address, 16)
        with pytest.raises(KernelError):
            space.memory.write(address, b"x")


def test_strings_end_at_their_nul(space: PagedSpace) -> None:
    space.map(BASE, 2 * P, RW, None, 0, shared=False)
    space.memory.write(BASE + P - 3, b"abcdef\0")
    assert space.memory.read_cstring(BASE + P - 3, 100) == b"abcdef"
    for limit, start, errno in ((6, BASE + P - 3, E.ENAMETOOLONG), (9, BASE + 2 * P, E.EFAULT)):
        with pytest.raises(KernelError) as caught:
            space.memory.read_cstring(start, limit)
        assert caught.value.errno == errno


def test_moved_pages_are_found_at_their_new_place_alone(space: PagedSpace) -> None:
    space.map(BASE, 4 * P, RW, None, 0, shared=False)
    space.memory.write(BASE + P, b"here")
    space.move(BASE + P, 2 * P, BASE + 64 * P)
    assert space.memory.read(BASE + 64 * P, 4) == b"here"
    assert fault_of(space, BASE + P, PROT_READ) == (SIGSEGV, 1)
    assert space.memory.read(BASE + 3 * P, 4) == bytes(4)


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_memory_has_an_end(machine: Machine, space: PagedSpace) -> None:
    space.map(BASE, 2 << 20, RW, None, 0, shared=False)
    for page in range(255):
        space.touch(BASE // P + page, PROT_WRITE)
    with pytest.raises(KernelError) as caught:
        space.touch(BASE // P + 255, PROT_WRITE)
    assert caught.value.errno == E.ENOMEM
    assert machine.physical.used == 256
    space.unmap(BASE, 2 << 20)
    assert machine.physical.used == 1


def test_pages_that_cost_no_frame_have_an_end_too(machine: Machine, space: PagedSpace) -> None:
    space.map(BASE, 16 << 20, PROT_READ, None, 0, shared=False)
    for page in range(1024):
        space.touch(BASE // P + page, PROT_READ)
    with pytest.raises(KernelError) as caught:
        space.touch(BASE // P + 1024, PROT_READ)
    assert caught.value.errno == E.ENOMEM
    with pytest.raises(KernelError):
        space.fork()


def test_neighbours_are_one_region(space: PagedSpace) -> None:
    for page in range(100):
        space.map(BASE + page * P, P, RW, None, 0, shared=False)
    assert len(space.regions) == 1
    space.protect(BASE + 50 * P, P, PROT_READ)
    assert len(space.regions) == 3
    space.protect(BASE + 50 * P, P, RW)
    assert len(space.regions) == 1


# -- files and buffers ------------------------------------------------------------------------------------------------


def test_private_mappings_share_frames_until_they_are_written(machine: Machine) -> None:
    file = File(b"A" * P + b"B" * P + b"C" * 10)
    one, two = machine.space(), machine.space()
    for space in (one, two):
        space.map(BASE, 4 * P, RW, file, 0, shared=False)
    assert one.memory.read(BASE + 2 * P, 12) == b"C" * 10 + bytes(2)
    assert two.memory.read(BASE + P, 1) == b"B"
    assert (file.reads, machine.physical.used) == (0, 4)  # the kernel's reads wait
    one.memory.write(BASE, b"x")
    assert (one.memory.read(BASE, 2), two.memory.read(BASE, 2), file.data[:1]) == (b"xA", b"AA", b"A")
    one.discard(BASE, P)
    assert one.memory.read(BASE, 2) == b"AA"
    assert fault_of(one, BASE + 3 * P, PROT_READ) == (SIGBUS, 2)


def test_one_read_fetches_the_pages_around(machine: Machine, space: PagedSpace) -> None:
    file = File(b"".join(bytes([page]) * P for page in range(40)))
    space.map(BASE, 40 * P, PROT_READ, file, 0, shared=False)
    space.touch(BASE // P + 3, PROT_READ)
    assert sorted(space.table) == list(range(BASE // P, BASE // P + 16))
    assert file.reads == 1
    assert space.memory.read(BASE + 15 * P, 1) == b"\x0f"


def test_a_guest_waits_for_a_disk_and_the_kernel_does_not(space: PagedSpace) -> None:
    file = File(b"x" * P)
    file.blocks = True
    space.map(BASE, P, PROT_READ, file, 0, shared=False)
    with pytest.raises(WouldBlock):
        space.touch(BASE // P, PROT_READ)
    assert space.source(BASE // P) is file
    assert space.memory.read(BASE, 1) == b"x"


def test_pages_of_a_file_are_kept_until_it_changes(machine: Machine) -> None:
    file = File(b"old" + bytes(P))
    for expected, reads in ((b"old", 1), (b"old", 1), (b"new", 2)):
        if expected == b"new":
            file.write_at(b"new", 0)
            file.version += 1
        space = machine.space()
        space.map(BASE, P, PROT_READ, file, 0, shared=False)
        space.touch(BASE // P, PROT_READ)
        assert (space.memory.read(BASE, 3), file.reads) == (expected, reads)
        space.drop()


def test_kept_pages_make_room(machine: Machine) -> None:
    file = File(bytes(64 * P))
    space = machine.space()
    space.map(BASE, 64 * P, PROT_READ, file, 0, shared=False)
    space.memory.read(BASE, 64 * P)
    space.drop()
    assert machine.physical.used == 65
    other = machine.space()
    other.map(BASE, 255 * P, RW, None, 0, shared=False)
    other.memory.write(BASE, bytes(255 * P))
    assert machine.physical.used == 256


def test_stores_to_a_shared_file_reach_it(machine: Machine, space: PagedSpace) -> None:
    file = File(b"abc" + bytes(P))
    space.map(BASE, 2 * P, RW, file, 0, shared=True)
    other = machine.space()
    other.map(BASE, 2 * P, PROT_READ, file, 0, shared=True)
    space.memory.write(BASE + 1, b"X")
    assert other.memory.read(BASE, 3) == b"aXc"
    space.sync(BASE, P)
    assert file.data[:3] == b"aXc"
    space.memory.write(BASE + 2, b"Y")
    child = space.fork()
    space.drop()
    other.drop()
    child.drop()
    assert file.data[:3] == b"aXY"
    assert len(file.data) == P + 3


def test_a_buffer_is_the_same_for_guests_and_kernel(machine: Machine, space: PagedSpace) -> None:
    buffer = PagedBuffer(machine.physical)
    buffer.truncate(3 * P)
    space.map(BASE, 2 * P, RW, buffer, P, shared=True)
    child = space.fork()
    buffer.write_at(b"hello", P + 1)
    child.memory.write(BASE, b"J")
    assert space.memory.read(BASE, 6) == buffer.read_at(6, P) == b"Jhello"
    private = machine.space()
    private.map(BASE, P, RW, buffer, P, shared=False)
    private.memory.write(BASE, b"?")
    assert buffer.read_at(1, P) == b"J"
    buffer.truncate(P + 1)
    assert fault_of(space, BASE + P, PROT_READ) == (SIGBUS, 2)
    buffer.truncate(2 * P)
    assert space.memory.read(BASE, 6) == b"J" + bytes(5)
    for each in (space, child, private):
        each.drop()
    buffer.close()
    assert machine.physical.used == 1


def test_a_buffer_without_room_says_so(machine: Machine) -> None:
    buffer = PagedBuffer(machine.physical)
    assert buffer.write_at(bytes(300 * P), 0) == 255 * P
    with pytest.raises(KernelError) as caught:
        buffer.write_at(b"x", 300 * P)
    assert caught.value.errno == E.ENOSPC
    assert buffer.size() == 255 * P


def test_files_that_were_mapped_in_vain_are_forgotten(machine: Machine, space: PagedSpace) -> None:
    """Else each would be looked at when frames run out, and some memory held for it for ever."""
    for key in range(1500):
        space.map(BASE, P, PROT_READ, File(b"x", key), 0, shared=False)
        if key % 500 == 0:
            space.touch(BASE // P, PROT_READ)
        space.unmap(BASE, P)
    assert len(machine.cache._files) == 3
    space.map(BASE, 300 * P, RW, None, 0, shared=False)
    for page in range(255):
        space.touch(BASE // P + page, PROT_WRITE)
    with pytest.raises(KernelError) as caught:
        space.touch(BASE // P + 255, PROT_WRITE)
    assert caught.value.errno == E.ENOMEM
    assert len(machine.cache._files) == 0


class Handle(File):
    """A handle that says so when it is used after its end."""

    closed = False

    def close(self) -> None:
        self.closed = True

    def stat(self) -> SimpleNamespace:
        if self.closed:
            raise OSError(9, "Bad file descriptor")
        return super().stat()

    def read_at(self, size: int, offset: int) -> bytes:
        if self.closed:
            raise OSError(9, "Bad file descriptor")
        return super().read_at(size, offset)

    read_now = read_at


def test_one_handle_of_a_file_may_be_closed_before_another(machine: Machine, space: PagedSpace) -> None:
    kept = Handle(b"x" * 40 * P)
    first = Handle(b"x" * 40 * P)
    space.map(BASE, P, PROT_READ, first, 0, shared=False)
    space.map(BASE + P, 30 * P, RW, kept, P, shared=True)
    space.unmap(BASE, P)
    first.close()
    space.memory.write(BASE + 20 * P, b"y")
    space.sync(BASE + P, 30 * P)
    assert kept.data[20 * P] == ord("y")
    for _ in range(10):
        handle = Handle(b"x" * 40 * P)
        space.map(BASE, P, PROT_READ, handle, 0, shared=False)
        space.unmap(BASE, P)
        handle.close()
    assert len(machine.cache._files[7, 1].sources) == 2
    assert space.memory.read(BASE + 21 * P, 1) == b"x"


class Counted(dict[int, int]):
    """Frames that count how often they are walked over."""

    walks = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        self.walks += 1
        return super().__iter__()


def test_many_small_mappings_are_asked_for_without_a_walk_over_all_frames(machine: Machine, space: PagedSpace) -> None:
    buffer = PagedBuffer(machine.physical)
    buffer.write_at(b"x" * 100 * P, 0)
    buffer.pages.frames = frames = Counted(buffer.pages.frames)
    for page in range(40):
        space.map(BASE + page * P, P, (PROT_READ, RW)[page % 2], buffer, page * 3 * P, shared=True)
    assert space.resident(BASE, 40 * P) == b"\1" * 34 + bytes(6)
    assert frames.walks == 0
    space.map(BASE + 64 * P, 1000 * P, PROT_READ, buffer, 98 * P, shared=True)
    assert space.resident(BASE + 64 * P, 1000 * P) == b"\1\1" + bytes(998)
    assert frames.walks == 1


def test_a_file_is_written_back_once_however_often_it_is_mapped(space: PagedSpace) -> None:
    file = File(bytes(16 * P))
    writes: list[int] = []
    write, file.write_at = file.write_at, lambda data, offset: writes.append(offset) or write(data, offset)  # type: ignore[method-assign]
    for page in range(8):
        space.map(BASE + 2 * page * P, P, RW, file, page * P, shared=True)
        space.memory.write(BASE + 2 * page * P, b"z")
    space.sync(BASE, 16 * P)
    assert writes == [page * P for page in range(8)]


# -- code -------------------------------------------------------------------------------------------------------------


def test_frames_with_code_wait_until_translations_are_gone(machine: Machine, space: PagedSpace) -> None:
    told = []
    machine.physical.code_written = lambda: told.append(1)
    space.map(BASE, P, RW | PROT_EXEC, None, 0, shared=False)
    frame = space.touch(BASE // P, PROT_WRITE) // P
    machine.physical.code.add(frame)
    space.memory.write(BASE, b"\x90")
    assert told == [1]
    space.unmap(BASE, P)
    assert machine.physical.retired == 1
    machine.physical.settle()
    assert machine.physical.allocate() == frame


# -- a model ----------------------------------------------------------------------------------------------------------

PAGES = 8
_page = st.integers(0, PAGES - 1)
_count = st.integers(1, 3)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("map"), _page, _count, st.sampled_from((PROT_READ, RW, PROT_NONE))),
        st.tuples(st.just("map_file"), _page, _count, st.sampled_from((PROT_READ, RW))),
        st.tuples(st.just("map_shared"), _page, _count, st.sampled_from((PROT_READ, RW))),
        st.tuples(st.just("unmap"), _page, _count, st.just(0)),
        st.tuples(st.just("protect"), _page, _count, st.sampled_from((PROT_READ, RW, PROT_NONE))),
        st.tuples(st.just("discard"), _page, _count, st.just(0)),
        st.tuples(st.just("write"), _page, _count, st.integers(0, 255)),
        st.tuples(st.just("fork"), _page, _count, st.just(0)),
        st.tuples(st.just("swap"), _page, _count, st.just(0)),
    ),
    max_size=30,
)


class Model:
    """Pages as a dictionary: (rights, kind, index in the source, own byte or None)."""

    def __init__(self, pages: dict[int, list[object]]) -> None:
        self.pages = pages

    def byte(self, page: int, shared: list[int]) -> int:
        _, kind, index, own = self.pages[page]
        if kind == "shared":
            return shared[index]  # type: ignore[call-overload, no-any-return]
        if own is not None:
            return own  # type: ignore[return-value]
        return 0x40 + index if kind == "file" else 0  # type: ignore[operator, no-any-return]


@settings(max_examples=300, deadline=None)
@given(_steps)
def test_equals_a_simple_model(steps: list[tuple[str, int, int, int]]) -> None:
    machine = Machine()
    file = File(b"".join(bytes([0x40 + page]) * P for page in range(PAGES + 3)))
    buffer = PagedBuffer(machine.physical)
    buffer.truncate((PAGES + 3) * P)
    shared = [0] * (PAGES + 3)
    spaces = [(machine.space(), Model({}))]
    for what, page, count, value in steps:
        space, model = spaces[0]
        at, size, pages = BASE + page * P, count * P, range(page, page + count)
        if what.startswith("map"):
            kind = what.removeprefix("map").removeprefix("_") or "anonymous"
            source = {"anonymous": None, "file": file, "shared": buffer}[kind]
            space.unmap(at, size)
            space.map(at, size, value, source, page * P if source else 0, shared=kind == "shared")
            model.pages.update({p: [value, kind, p, None] for p in pages})
        elif what == "unmap":
            space.unmap(at, size)
            for p in pages:
                model.pages.pop(p, None)
        elif what in {"protect", "discard"} and all(p in model.pages for p in pages):
            if what == "protect":
                space.protect(at, size, value)
            else:
                space.discard(at, size)
            for p in pages:
                if what == "protect":
                    model.pages[p][0] = value
                else:
                    model.pages[p][3] = None
        elif what == "write":
            allowed = all(p in model.pages and model.pages[p][0] == RW for p in pages)
            try:
                space.memory.write(at, bytes([value]) * size)
                assert allowed
            except KernelError:
                assert not allowed
                continue
            for p in pages:
                if model.pages[p][1] == "shared":
                    shared[p] = value
                model.pages[p][3] = value
        elif what == "fork" and len(spaces) < 4:
            spaces.append((space.fork(), Model({p: list(entry) for p, entry in model.pages.items()})))
        elif what == "swap":
            spaces.append(spaces.pop(0))
        for space, model in spaces:
            for p in range(PAGES + 3):
                readable = p in model.pages and model.pages[p][0] != PROT_NONE
                try:
                    data = space.memory.read(BASE + p * P, P)
                except KernelError:
                    assert not readable
                else:
                    assert readable
                    assert data == bytes([model.byte(p, shared)]) * P
    assert buffer.read_at(1 << 20, 0) == b"".join(bytes([byte]) * P for byte in shared)
    for space, _ in spaces:
        space.drop()
    buffer.close()
    assert machine.physical.entries == 0
    kept = sum(len(pages.frames) for pages in machine.cache._files.values())
    assert machine.physical.used == 1 + kept
