"""The list of areas, against a plain dict of pages; and what it counts."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pylitebox.kernel.fs.content import Budget
from pylitebox.kernel.memory.areas import Areas, Region
from pylitebox.kernel.memory.sources import Sources
from pylitebox.south.mock.host import MockBuffer

PAGE = 4096
STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 10), st.sampled_from([None, 0, 1, 3]), st.booleans()), max_size=30
)


class Books:
    def __init__(self) -> None:
        self.number, self.commit = Budget(1000), Budget(1 << 30)
        self.sources = Sources(Budget(10), self.commit)
        self.areas = Areas(self.sources, self.number, self.commit)
        self.buffer = MockBuffer("x")
        self.source = self.sources.claim(self.buffer, write=True)


@given(STEPS)
def test_against_pages(steps: list[tuple[int, int, int | None, bool]]) -> None:
    books, model = Books(), {}
    areas = books.areas
    for first, count, prot, backed in steps:
        start, end = first * PAGE, (first + count) * PAGE
        new: list[Region] = []
        if prot is not None:
            backing = books.source if backed else None
            new = [Region(start, end, prot, backing=backing, offset=start, shared=backed, charged=not backed)]
        areas.replace(start, end, new)
        for page in range(start, end, PAGE):
            model.pop(page, None)
            if prot is not None:
                model[page] = (prot, backed)
    seen: dict[int, Any] = {}
    for area in areas:
        for page in range(area.start, area.end, PAGE):
            assert page not in seen
            seen[page] = (area.prot, area.backing is not None)
            assert area.backing is None or area.place(page) == page
            assert areas.find(page) is area
    assert seen == model
    assert not any(a.joins(b) for a, b in zip(areas.regions, areas.regions[1:], strict=False))
    assert areas.total == len(model) * PAGE
    assert books.commit.used == PAGE * sum(not backed for _, backed in model.values())
    assert books.number.used == len(areas)
    for hole in range(42):
        assert (areas.find(hole * PAGE) is None) == (hole * PAGE not in model)
    for size in (1, 3):
        place = areas.gap_below(size * PAGE, 0, 42 * PAGE)
        free = [p for p in range(43 - size) if not any((p + i) * PAGE in model for i in range(size))]
        assert place == (max(free) * PAGE if free else None)
    areas.replace(0, 1 << 40)
    assert (areas.total, books.commit.used, books.number.used, books.source.users) == (0, 0, 0, 1)
    books.sources.release(books.source)
    assert books.buffer.users == 1


@given(STEPS, st.integers(0, 40), st.integers(0, 40))
def test_ranges(steps: list[tuple[int, int, int | None, bool]], a: int, b: int) -> None:
    areas = Books().areas
    for first, count, prot, _ in steps:
        region = [] if prot is None else [Region(first * PAGE, (first + count) * PAGE, prot)]
        areas.replace(first * PAGE, (first + count) * PAGE, region)
    start, end = min(a, b) * PAGE, max(a, b) * PAGE
    pages = [p for p in range(start, end, PAGE) if areas.find(p) is not None]
    cut = areas.cut(start, end)
    assert [p for part in cut for p in range(part.start, part.end, PAGE)] == pages
    covered = areas.covered(start, end)
    assert all(areas.find(p) is not None for p in range(start, covered, PAGE))
    assert covered == end or areas.find(covered) is None
    before = len(areas)
    if cut and start < end:
        more = areas.splits(start, end)
        for part in cut:
            part.limit = 0
        areas.replace(start, end, cut)
        assert len(areas) <= before + more
