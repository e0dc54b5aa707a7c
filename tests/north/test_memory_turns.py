"""Calls that go from area to area do so in turns: a guest may have 65,530 of them, and others wait meanwhile."""

from __future__ import annotations

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import mman as mm
from tests.north.bench import PARKED, Bench, Guest

PAGE, COUNT = mm.PAGE_SIZE, 400
BASE, ELSEWHERE = 0x2000_0000_0000, 0x3000_0000_0000
MOVE = mm.MREMAP_MAYMOVE | mm.MREMAP_FIXED


@pytest.fixture
def g() -> Guest:
    """Has COUNT pages at BASE, every second one an area of its own."""
    g = Bench().guest()
    flags = mm.MAP_PRIVATE | mm.MAP_ANONYMOUS | mm.MAP_FIXED
    assert g("mmap", BASE, COUNT * PAGE, mm.PROT_READ, flags, -1, 0) == BASE
    for page in range(0, COUNT, 2):
        assert g("mprotect", BASE + page * PAGE, PAGE, 3) == 0
    assert len(g.space.areas.within(BASE, BASE + COUNT * PAGE)) == COUNT
    return g


def areas(g: Guest, base: int = BASE) -> list[tuple[int, int, int]]:
    return [
        ((area.start - base) // PAGE, (area.end - base) // PAGE, area.prot)
        for area in g.space.areas.within(base, base + COUNT * PAGE)
    ]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mprotect", (BASE, COUNT * PAGE, mm.PROT_READ)), ("madvise", (BASE, COUNT * PAGE, mm.MADV_DONTFORK)),
        ("mlock", (BASE, COUNT * PAGE)), ("munlock", (BASE, COUNT * PAGE)), ("mlockall", (mm.MCL_CURRENT,)),
        ("munlockall", ()), ("mremap", (BASE, COUNT * PAGE, COUNT * PAGE, MOVE, ELSEWHERE)),
    ],
)  # fmt: skip
def test_a_call_about_many_areas_lets_others_have_their_turn(g: Guest, name: str, arguments: tuple[int, ...]) -> None:
    assert g(name, *arguments) is PARKED
    turns = 0
    while g.parked:
        turns += 1
        g.bench.kernel.timers.run(g.bench.platform.time_ns)
    assert turns == 3
    assert g.result == (ELSEWHERE if name == "mremap" else 0)
    if name == "mprotect":
        assert {prot for _, _, prot in areas(g)} == {mm.PROT_READ}
    if name == "mremap":
        assert areas(g) == []
        assert len(areas(g, ELSEWHERE)) == COUNT


def test_what_is_unmapped_meanwhile_does_not_come_back(g: Guest) -> None:
    other = g.bench.thread(g)
    assert g("mprotect", BASE, COUNT * PAGE, mm.PROT_NONE) is PARKED
    assert other("munmap", BASE + 300 * PAGE, 50 * PAGE) == 0
    g.bench.run()
    assert g.result == -E.ENOMEM
    assert {prot for _, end, prot in areas(g) if end <= 300} == {mm.PROT_NONE}
    assert next(area for area in areas(g) if area[1] > 300) == (350, 351, 3)


def test_a_locked_area_that_is_unmapped_meanwhile_does_not_come_back(g: Guest) -> None:
    other = g.bench.thread(g)
    assert g("mlockall", mm.MCL_CURRENT) is PARKED
    assert other("munmap", BASE + 300 * PAGE, 100 * PAGE) == 0
    g.bench.run()
    assert g.result == 0
    assert len(areas(g)) == 300
    assert all(area.locked for area in g.space.areas)


def test_few_areas_are_done_at_once(g: Guest) -> None:
    assert g("mprotect", BASE, 100 * PAGE, mm.PROT_READ) == 0
    assert g("madvise", BASE + 100 * PAGE, 100 * PAGE, mm.MADV_DONTNEED) == 0
