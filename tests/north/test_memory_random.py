"""Random sequences of memory calls have the same outcomes on the host's kernel and on ours: every result, and at the
end what each page of a range holds and allows. The host's side is in a forked child, in a range that is nobody else's.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pylitebox.abi import fcntl as fc
from pylitebox.abi import mman as mm
from tests.north.bench import Bench
from tests.north.conftest import HostGuest, forked

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="compares with Linux on x86-64"
)

LONG = "PYLITEBOX_LONG" in os.environ
RANGE, PAGES, PAGE = 0x2000_0000_0000, 10, mm.PAGE_SIZE
FILE_PAGES = 3
PRIVATE, SHARED, FIXED = mm.MAP_PRIVATE, mm.MAP_SHARED, mm.MAP_FIXED
Operation = tuple[Any, ...]
Outcome = tuple[list[int], list[Any]]

PLACES = st.integers(0, PAGES - 1)
COUNTS = st.integers(1, 4)
KINDS = st.sampled_from([PRIVATE, SHARED])
MOVES = st.sampled_from([3, 3, 3, 7, 2])
#: With protection keys, Linux makes what is PROT_EXEC alone unreadable, too; our CPUs have none.
KEYS = sys.platform == "linux" and " ospke" in Path("/proc/cpuinfo").read_text()
PROTS = st.sampled_from([0, 1, 2, 3, 5, 7] if KEYS else [0, 1, 2, 3, 4, 5, 7])
ADVICE = st.sampled_from([0, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 77])

OPERATIONS = st.one_of(
    st.tuples(st.just("anonymous"), PLACES, COUNTS, PROTS, st.sampled_from([PRIVATE, PRIVATE, SHARED, 3, 0])),
    st.tuples(st.just("noreplace"), PLACES, COUNTS, PROTS, st.just(PRIVATE)),
    st.tuples(st.just("file"), PLACES, COUNTS, PROTS, KINDS, st.booleans(), st.integers(0, 3)),
    st.tuples(st.sampled_from(["munmap", "mincore", "mlock", "munlock"]), PLACES, COUNTS),
    st.tuples(st.just("mprotect"), PLACES, COUNTS, PROTS),
    st.tuples(st.just("mremap"), PLACES, st.integers(0, 4), st.integers(0, 4), st.just(0), st.just(0)),
    st.tuples(st.just("mremap"), PLACES, st.integers(0, 4), st.integers(1, 4), MOVES, PLACES),
    st.tuples(st.just("madvise"), PLACES, COUNTS, ADVICE),
    st.tuples(st.just("msync"), PLACES, COUNTS, st.sampled_from([0, 1, 4, 2, 6])),
    st.tuples(st.just("store"), PLACES, st.integers(1, 255)),
    st.tuples(st.just("load"), PLACES),
    st.tuples(st.just("pwrite"), st.integers(0, FILE_PAGES), st.integers(1, 255)),
    st.tuples(st.just("ftruncate"), st.integers(0, FILE_PAGES)),
)  # fmt: skip


class Side:
    """One kernel, called by name; the same calls are made on both."""

    def __init__(self, call: Callable[..., Any], folder: str) -> None:
        self.call = call
        name = f"{folder}/f"
        self.writable = call("open", name, fc.O_RDWR | fc.O_CREAT, 0o644)
        call("ftruncate", self.writable, FILE_PAGES * PAGE)
        for page in range(FILE_PAGES):
            call("pwrite64", self.writable, bytes((0xF0 + page,)), 1, page * PAGE)
        self.readonly = call("open", name, fc.O_RDONLY, 0)
        fds = bytearray(8)
        call("pipe2", fds, fc.O_NONBLOCK)
        self.read_end, self.write_end = int.from_bytes(fds[:4], "little"), int.from_bytes(fds[4:], "little")

    def do(self, name: str, *arguments: Any) -> int:
        result: int = getattr(self, f"_{name}")(*arguments)
        return result

    def _anonymous(self, place: int, count: int, prot: int, kind: int) -> int:
        flags = kind | FIXED | mm.MAP_ANONYMOUS
        return self._mapped(self.call("mmap", at(place), count * PAGE, prot, flags, -1, 0))

    def _noreplace(self, place: int, count: int, prot: int, kind: int) -> int:
        flags = kind | mm.MAP_FIXED_NOREPLACE | mm.MAP_ANONYMOUS
        return self._mapped(self.call("mmap", at(place), count * PAGE, prot, flags, -1, 0))

    def _file(self, place: int, count: int, prot: int, kind: int, writable: bool, offset: int) -> int:
        fd = self.writable if writable else self.readonly
        return self._mapped(self.call("mmap", at(place), count * PAGE, prot, kind | FIXED, fd, offset * PAGE))

    def _mapped(self, result: int) -> int:
        return result - RANGE if result > 0 else result

    def _munmap(self, place: int, count: int) -> int:
        return self.call("munmap", at(place), count * PAGE)

    def _mincore(self, place: int, count: int) -> int:
        return self.call("mincore", at(place), count * PAGE, bytearray(count))

    def _mlock(self, place: int, count: int) -> int:
        return self.call("mlock2", at(place), count * PAGE, 1)

    def _munlock(self, place: int, count: int) -> int:
        return self.call("munlock", at(place), count * PAGE)

    def _mprotect(self, place: int, count: int, prot: int) -> int:
        return self.call("mprotect", at(place), count * PAGE, prot)

    def _mremap(self, place: int, old: int, new: int, flags: int, target: int) -> int:
        return self._mapped(self.call("mremap", at(place), old * PAGE, new * PAGE, flags, at(target)))

    def _madvise(self, place: int, count: int, advice: int) -> int:
        return self.call("madvise", at(place), count * PAGE, advice)

    def _msync(self, place: int, count: int, flags: int) -> int:
        return self.call("msync", at(place), count * PAGE, flags)

    def _store(self, place: int, value: int) -> int:
        assert self.call("write", self.write_end, bytes((value,)), 1) == 1
        result: int = self.call("read", self.read_end, at(place) + 5, 1)
        if result < 0:
            self.call("read", self.read_end, bytearray(1), 1)
        return result

    def _load(self, place: int, within: int = 5) -> int:
        result: int = self.call("write", self.write_end, at(place) + within, 1)
        if result == 1:
            data = bytearray(1)
            self.call("read", self.read_end, data, 1)
            result = data[0]
        return result

    def _pwrite(self, page: int, value: int) -> int:
        return self.call("pwrite64", self.writable, bytes((value,)), 1, page * PAGE + 5)

    def _ftruncate(self, pages: int) -> int:
        return self.call("ftruncate", self.writable, pages * PAGE)


def at(place: int) -> int:
    return RANGE + place * PAGE


def outcome(side: Side, operations: list[Operation], areas: Callable[[], Iterator[tuple[int, int, str]]]) -> Outcome:
    results = [side.do(*operation) for operation in operations]
    found = [area for area in areas() if RANGE <= area[0] < at(PAGES + 8)]
    rights = {page: mode for start, end, mode in found for page in range(start, end, PAGE)}
    pages = [(rights.get(at(p), ""), side.do("load", p), side.do("load", p, 0)) for p in range(PAGES + 8)]
    return results, pages


def ours(operations: list[Operation]) -> Outcome:
    bench = Bench()
    guest = bench.guest()
    guest("mkdir", "/d", 0o755)

    def areas() -> Iterator[tuple[int, int, str]]:
        for area in guest.space.snapshot():
            mode = "".join(c if area.prot & bit else "-" for bit, c in ((1, "r"), (2, "w"), (4, "x")))
            yield area.start, area.end, mode + ("s" if area.shared else "p")

    result = outcome(Side(guest, "/d"), operations, areas)
    check(bench, guest.space)
    return result


def check(bench: Bench, space: Any) -> None:
    """What must hold of our own books; and nothing is left when the space is gone."""
    assert bench.kernel.internal_errors == 0
    regions = space.areas.regions
    assert all(a.end <= b.start and not a.joins(b) for a, b in pairwise(regions))
    assert space.areas.total == sum(a.size for a in regions)
    assert space.areas.data == sum(a.size for a in regions if a.is_data)
    assert space.areas.locked == sum(a.size for a in regions if a.locked)
    assert bench.kernel.areas.used == len(regions)
    space.drop()
    assert (bench.kernel.areas.used, bench.kernel.commit.used, len(bench.kernel.sources)) == (0, 0, 0)


def theirs(operations: list[Operation]) -> Outcome:
    def run() -> Outcome:
        with tempfile.TemporaryDirectory() as folder:
            return outcome(Side(HostGuest(), folder), operations, host_areas)

    results, pages = forked(run)
    return results, [tuple(page) for page in pages]


def host_areas() -> Iterator[tuple[int, int, str]]:
    with open("/proc/self/maps") as file:
        for line in file:
            places, mode = line.split()[:2]
            start, _, end = places.partition("-")
            yield int(start, 16), int(end, 16), mode


@settings(max_examples=3000 if LONG else 100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, min_size=1, max_size=25))
def test_sequences_of_memory_calls(operations: list[Operation]) -> None:
    assert ours(operations) == theirs(operations)
