"""Page tables without a CPU: a walk through them as the CPU does it must find what the address space says."""

from __future__ import annotations

import mmap
import random
import struct

import pytest

from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.kernel.errors import KernelError
from pylitebox.south.kvm import trampoline as tr
from pylitebox.south.kvm.tables import NO_EXECUTE, PHYSICAL, PRESENT, USER, WRITABLE, PageTables
from pylitebox.south.paging import PageCache, PagedSpace, PhysicalMemory

ROW = struct.Struct("<4Q")


class Bench:
    """Tables over bare memory. ``settle`` does what the trampoline does."""

    def __init__(self, *, shadowed: bool, size: int = 1 << 20) -> None:
        self.memory = mmap.mmap(-1, size)
        self.forgets = 0
        self.tables = PageTables(self.memory, self._forget)
        self.tables.shadowed = shadowed
        self.cache = PageCache(PhysicalMemory(4 << 20))

    def _forget(self) -> None:
        self.forgets += 1

    def word(self, physical: int) -> int:
        at = physical - PHYSICAL
        return int.from_bytes(self.memory[at : at + 8], "little")

    def settle(self, space: PagedSpace) -> int:
        root = self.tables.root(space)
        more = True
        while more:
            end, more = self.tables.journal()
            start = tr.JOURNAL_PAGE * PAGE_SIZE
            for at in range(start, start + end - tr.JOURNAL, ROW.size):
                where, value, count, _ = ROW.unpack_from(self.memory, at)
                for number in range(count):
                    struct.pack_into("<Q", self.memory, where - tr.WINDOW + 8 * number, value)
        self.tables.reload()
        return root

    def walk(self, root: int, page: int) -> int:
        """The entry of the last level, 0 if there is none."""
        table = root
        for shift in (27, 18, 9):
            entry = self.word(table + (page >> shift & 511) * 8)
            if not entry & PRESENT:
                return 0
            assert entry & USER
            table = entry & 0x000FFFFFFFFFF000
        return self.word(table + (page & 511) * 8)


def _allows(entry: int) -> int:
    if not entry & PRESENT:
        return 0
    return PROT_READ | (PROT_WRITE if entry & WRITABLE else 0) | (0 if entry & NO_EXECUTE else PROT_EXEC)


@pytest.mark.parametrize("shadowed", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_tables_never_allow_more_than_the_address_space(shadowed: bool, seed: int) -> None:
    rng = random.Random(seed)
    bench = Bench(shadowed=shadowed)
    spaces = [PagedSpace(bench.cache, bench.tables)]
    places = [0x10, 0x400, 0x1FF, 0x40000, 0x7FFFFFF00]
    rights = (PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC, 0)
    for _ in range(300):
        space = rng.choice(spaces)
        page = rng.choice(places) + rng.randrange(24)
        size = rng.randrange(1, 8)
        match rng.randrange(6):
            case 0:
                space.unmap(page * PAGE_SIZE, size * PAGE_SIZE)
                space.map(page * PAGE_SIZE, size * PAGE_SIZE, rng.choice(rights), None, 0, shared=False)
            case 1 if space._find(page):
                space.protect(page * PAGE_SIZE, PAGE_SIZE, rng.choice(rights))
            case 2 if len(spaces) < 4:
                spaces.append(space.fork())
            case 3 if len(spaces) > 1:
                spaces.remove(space)
                space.drop()
                space = spaces[0]
            case _:
                try:
                    space.touch(page, rng.choice((PROT_READ, PROT_WRITE, PROT_EXEC)))
                    bench.tables.show(space, page)
                except KernelError:
                    pass
        root = bench.settle(space)
        for place in places:
            for at in range(place, place + 32):
                entry = bench.walk(root, at)
                if entry & PRESENT:
                    said = space.table[at]
                    assert entry & 0x000FFFFFFFFFF000 == said & -PAGE_SIZE
                    assert _allows(entry) & ~said == 0
                    assert entry & USER


def test_the_pool_is_used_again() -> None:
    bench = Bench(shadowed=True, size=32 * PAGE_SIZE)
    space = PagedSpace(bench.cache, bench.tables)
    for index in range(64):
        page = index << 18
        space.map(page * PAGE_SIZE, PAGE_SIZE, PROT_READ, None, 0, shared=False)
        space.touch(page, PROT_READ)
        bench.tables.show(space, page)
        assert bench.walk(bench.settle(space), page) & PRESENT
    assert bench.forgets > 4


def test_ring_0_is_in_every_root_and_not_for_ring_3() -> None:
    bench = Bench(shadowed=True)
    space = PagedSpace(bench.cache, bench.tables)
    top = bench.word(bench.settle(space) + 511 * 8)
    assert top == bench.word(bench.tables.kernel_root + 511 * 8)
    assert top & PRESENT
    assert not top & USER


def test_the_trampoline_jumps_where_its_labels_are() -> None:
    program = tr.assemble()
    code = program.code
    update, resume = program.labels["update"] - tr.BASE, program.labels["resume"] - tr.BASE
    test = code.index(bytes.fromhex("4885ed"))
    je, back = code.index(b"\x74", update), test - 2
    assert je + 2 + code[je + 1] == test
    assert code[back] == 0xEB
    assert back + 2 + code[back + 1] - 256 == update
    assert code[test + 3] == 0x74
    assert test + 5 + code[test + 4] == resume
    for vector, stub in zip((*range(32), tr.TICK), program.stubs, strict=True):
        at = stub - tr.BASE
        if vector not in {8, 10, 11, 12, 13, 14, 17, 21, 29, 30}:
            assert code[at : at + 2] == b"\x6a\x00"  # as if there were an error code
            at += 2
        assert code[at : at + 3] == bytes((0x6A, vector, 0xE9))
        assert tr.BASE + at + 7 + struct.unpack_from("<i", code, at + 3)[0] == program.labels["trap"]
    assert len(code) < PAGE_SIZE


def test_only_breakpoints_are_for_users() -> None:
    page = tr.tables(tr.assemble())
    gates = [struct.unpack_from("<HHBBHII", page, 0x200 + 16 * vector) for vector in range(33)]
    assert [vector for vector, gate in enumerate(gates) if gate[3] >> 5 & 3] == [3, 4]
    assert all(gate[1] == tr.KERNEL_CODE and gate[2] == 1 and gate[3] & 0x9F == 0x8E for gate in gates)


def test_what_was_taken_away_stays_so_when_the_pool_is_used_again() -> None:
    """A change of one space waits in the journal while another one needs the last pages: it must not be lost."""
    bench = Bench(shadowed=True, size=32 * PAGE_SIZE)
    tables = bench.tables
    space, greedy = PagedSpace(bench.cache, tables), PagedSpace(bench.cache, tables)
    space.map(0x10000, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, None, 0, shared=False)
    space.touch(0x10, PROT_WRITE)
    tables.show(space, 0x10)
    assert bench.walk(bench.settle(space), 0x10) & PRESENT
    index = 0
    while len(tables._free) + tables._end - tables._next >= 4:
        page, index = index << 18, index + 1
        greedy.map(page * PAGE_SIZE, PAGE_SIZE, PROT_READ, None, 0, shared=False)
        greedy.touch(page, PROT_READ)
        tables.show(greedy, page)
    bench.settle(greedy)
    greedy.drop()
    space.unmap(0x10000, PAGE_SIZE)  # its frame is anybody's now
    bench.settle(PagedSpace(bench.cache, tables))
    assert bench.forgets == 1
    assert space in tables._of
    assert not bench.walk(tables.root(space), 0x10) & PRESENT
