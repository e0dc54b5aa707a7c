"""In-memory file data, against a plain bytearray; budgets; sharing; a backing file."""

from __future__ import annotations

from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs.content import CHUNK, PAGE, Budget, Content
from pylitebox.south.mock.host import MockBuffer
from tests.kernel.fs.support import Platform, errno_of

LIMIT = 64 * CHUNK
_offsets = st.one_of(st.integers(0, 3 * CHUNK), st.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK]))
_steps = st.one_of(
    st.tuples(st.just("write"), _offsets, st.integers(1, CHUNK + 5)),
    st.tuples(st.just("truncate"), _offsets, st.just(0)),
    st.tuples(st.just("punch"), _offsets, st.integers(1, 2 * CHUNK)),
    st.tuples(st.just("share"), st.just(0), st.just(0)),
)


class Backing:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.users = 0
        self.blocked = False

    def read_at(self, size: int, offset: int) -> bytes:
        if self.blocked:
            raise WouldBlock
        return self.data[offset : offset + size]

    def acquire(self, *, write: bool) -> None:
        self.users += 1

    def release(self) -> None:
        self.users -= 1


@given(st.lists(_steps, max_size=8), st.integers(0, 2 * CHUNK + 100))
def test_it_is_a_byte_array(steps: list[tuple[str, int, int]], size: int) -> None:
    """Any writes, cuts, holes and promotions, with and without a backing file."""
    budget = Budget(LIMIT)
    backing = Backing(bytes(i % 251 + 1 for i in range(size)))
    content, model = Content(budget, backing, size), bytearray(backing.data)
    for number, (step, offset, length) in enumerate(steps):
        if step == "write":
            data = bytes([number + 1]) * length
            assert content.write_at(data, offset) == length
            model.extend(bytes(max(0, offset + length - len(model))))
            model[offset : offset + length] = data
        elif step == "truncate":
            content.truncate(offset)
            del model[offset:]
            model.extend(bytes(offset - len(model)))
        elif step == "punch":
            content.punch(offset, length)
            end = min(offset + length, len(model))
            if end > offset:
                model[offset:end] = bytes(end - offset)
        else:
            content.share(Platform(), "x")  # type: ignore[arg-type]
        assert content.size == len(model)
        assert content.read_at(len(model) + 1, 0) == model
        assert budget.used == content.charged
    del content
    assert (budget.used, backing.users) == (0, 0)


def test_space_is_bounded_and_given_back() -> None:
    parent = Budget(4 * CHUNK)
    budget = Budget(2 * CHUNK, parent)
    content = Content(budget)
    assert content.write_at(b"x" * 3 * CHUNK, 0) == 2 * CHUNK  # as write(2): short, then an error
    assert errno_of(content.write_at, b"x", 2 * CHUNK) == E.ENOSPC
    assert (budget.used, parent.used) == (2 * CHUNK, 2 * CHUNK)
    content.truncate(0)
    assert (budget.used, parent.used) == (0, 0)


def test_a_hole_costs_nothing_until_it_is_shared() -> None:
    budget = Budget(1 << 20)
    content = Content(budget)
    content.truncate(1 << 40)
    assert (budget.used, content.read_at(10, 1 << 39)) == (0, bytes(10))
    assert errno_of(content.share, Platform(), "x") == E.ENOSPC


def test_sizes_end_at_the_largest_offset() -> None:
    content = Content(Budget(LIMIT))
    assert errno_of(content.write_at, b"x", (1 << 63) - 1) == E.EFBIG
    assert content.write_at(b"xy", (1 << 63) - 2) == 1


def test_data_and_holes() -> None:
    content = Content(Budget(LIMIT))
    content.write_at(b"x", 2 * CHUNK)
    content.truncate(5 * CHUNK)
    assert content.seek_data(0, hole=False) == 2 * CHUNK
    assert content.seek_data(2 * CHUNK, hole=True) == 2 * CHUNK + PAGE
    assert errno_of(content.seek_data, 3 * CHUNK, hole=False) == E.ENXIO
    content.write_at(b"x", 2 * CHUNK + 5 * PAGE)
    content.truncate(2 * CHUNK + PAGE)
    content.punch(2 * CHUNK, PAGE)
    assert (errno_of(content.seek_data, 0, hole=False), content.blocks) == (E.ENXIO, 0)


@given(st.lists(_steps.filter(lambda step: step[0] != "share"), max_size=8), st.integers(0, 2 * CHUNK + 100))
def test_holes_are_told_by_the_page(steps: list[tuple[str, int, int]], size: int) -> None:
    """What was written, and what stands in the backing file, is data; nothing else is."""
    content = Content(Budget(LIMIT), Backing(b"b" * size), size)
    data = set(range(-(-size // PAGE)))
    for step, offset, length in steps:
        end = min(offset + length, content.size)
        if step == "write":
            content.write_at(b"x" * length, offset)
            data |= set(range(offset // PAGE, (offset + length - 1) // PAGE + 1))
        elif step == "truncate":
            content.truncate(offset)
            data = {page for page in data if page * PAGE < offset}
        else:
            content.punch(offset, length)
            last = -(-end // PAGE) if end == content.size else end // PAGE
            data -= set(range(-(-offset // PAGE), last))
        for page in range(-(-content.size // PAGE)):
            following = min((other for other in data if other >= page), default=None)
            if following is None:
                assert errno_of(content.seek_data, page * PAGE, hole=False) == E.ENXIO
            else:
                assert content.seek_data(page * PAGE, hole=False) == following * PAGE
            hole = next(other for other in count(page) if other not in data)
            assert content.seek_data(page * PAGE, hole=True) == min(hole * PAGE, content.size)
    if not size:
        assert content.blocks == len(data) * PAGE // 512


def test_a_backing_file_that_must_wait() -> None:
    backing: Any = Backing(b"a" * 100)
    content = Content(Budget(LIMIT), backing, 100)
    backing.blocked = True
    with pytest.raises(WouldBlock):
        content.write_at(b"b", 50)
    backing.blocked = False
    content.write_at(b"b", 50)
    assert content.read_at(3, 49) == b"aba"
    assert backing.users == 0  # all of it is copied: nothing is read from it any more


def test_a_read_waits_rather_than_end_early() -> None:
    backing: Any = Backing(b"a" * (2 * CHUNK))
    content = Content(Budget(4 * CHUNK), backing, 2 * CHUNK)
    content.write_at(b"b" * CHUNK, 0)
    backing.blocked = True
    assert content.read_at(CHUNK, 0) == b"b" * CHUNK
    with pytest.raises(WouldBlock):
        content.read_at(20, CHUNK - 10)
    backing.blocked = False
    assert content.read_at(20, CHUNK - 10) == b"b" * 10 + b"a" * 10


def test_mapped_bytes_are_the_same_bytes() -> None:
    content = Content(Budget(LIMIT))
    content.write_at(b"before", 0)
    buffer = content.share(Platform(), "x")  # type: ignore[arg-type]
    content.write_at(b"AFTER", 0)
    assert buffer.read_at(6, 0) == b"AFTERe"
    buffer.write_at(b"mapped", 0)
    assert content.read_at(6, 0) == b"mapped"


def test_errors_are_kernel_errors_only() -> None:
    with pytest.raises(KernelError):
        Content(Budget(0)).write_at(b"x", 0)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_moving_data_is_as_moving_bytes(seed: int, *, shared: bool) -> None:
    """Random writes, collapses and inserts of pages, in chunks or in a shared buffer, against plain bytes."""
    random = Random(seed)
    budget = Budget(1 << 30)
    content, model = Content(budget), bytearray()
    if shared:
        content.share(Platform(), "shared")  # type: ignore[arg-type]
    for _ in range(40):
        what = random.choice(("write", "write", "collapse", "insert"))
        if what == "write":
            offset, data = random.randrange(0, 400_000), random.randbytes(random.randrange(1, 90_000))
            content.write_at(data, offset)
            model.extend(bytes(max(0, offset + len(data) - len(model))))
            model[offset : offset + len(data)] = data
        elif len(model) > 3 * 4096:
            offset = random.randrange(0, len(model) // 4096) * 4096
            size = random.randrange(1, 40) * 4096
            if what == "insert":
                content.insert(offset, size)
                model[offset:offset] = bytes(size)
            elif offset + size < len(model):
                content.collapse(offset, size)
                del model[offset : offset + size]
        assert content.size == len(model)
        assert content.read_at(len(model), 0) == model
    assert budget.used == content.charged
    content.truncate(0)
    assert budget.used == 0


def test_data_moves_only_if_there_is_room() -> None:
    budget = Budget(100_000)
    content = Content(budget)
    content.write_at(bytes(range(256)) * 300, 0)
    with pytest.raises(KernelError, match="ENOSPC"):
        content.insert(4096, 4096)
    assert content.read_at(1 << 20, 0) == bytes(range(256)) * 300
    assert budget.used == content.charged


def test_a_buffer_that_has_no_room_for_all_loses_nothing() -> None:
    """Where guests' memory is in one piece, a write to a shared buffer may end early."""

    class Full(MockBuffer):
        def write_at(self, data: bytes | memoryview, offset: int) -> int:
            return super().write_at(data[:PAGE], offset)

    class Small(Platform):
        def shared_buffer(self, name: str) -> Any:
            self.made = Full(name)
            return self.made

    content, platform = Content(Budget(LIMIT)), Small()
    content.write_at(b"x" * 3 * PAGE, 0)
    assert errno_of(content.share, platform, "x") == E.ENOSPC
    assert platform.made.users == 0
    assert content.read_at(LIMIT, 0) == b"x" * 3 * PAGE
