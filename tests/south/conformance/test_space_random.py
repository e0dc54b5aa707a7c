"""Random orders to an address space, its copies and its sources, compared page by page with the suite's own platform,
whose memory is so simple that one can see that it is right."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.kernel.errors import KernelError
from tests.south.conformance import minimal

if TYPE_CHECKING:
    from tests.south.conformance.driver import Driver

P = PAGE_SIZE
START, PAGES = 0x50000000, 24
STEPS = 250
PROTECTIONS = (0, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_WRITE, PROT_READ | PROT_EXEC, 7)


class Pair:
    """The same thing twice: on the platform, and in the model."""

    def __init__(self, real: Any, model: Any) -> None:
        self.real = real
        self.model = model

    def do(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """One call on both, with the parts of pairs; what each gives, errors by their numbers."""
        return _outcome(self.real, name, args, kwargs, "real"), _outcome(self.model, name, args, kwargs, "model")


def _outcome(target: Any, name: str, args: Any, kwargs: Any, side: str) -> Any:
    plain = [getattr(arg, side) if isinstance(arg, Pair) else arg for arg in args]
    try:
        return getattr(target, name)(*plain, **kwargs)
    except KernelError as error:
        return error.errno


class World:
    def __init__(self, driver: Driver, seed: int) -> None:
        self.random = random.Random(seed)
        self.driver = driver
        self.thread = driver.new_thread()
        self.log: list[str] = []
        self.buffers = [Pair(driver.buffer(), minimal.Buffer(minimal.Content())) for _ in range(3)]
        for number, buffer in enumerate(self.buffers):
            buffer.do("write_at", bytes([number + 1]) * 4 * P, 0)
        self.spaces = [Pair(self.thread.space, minimal.Space())]

    # -- what may be asked for --------------------------------------------------------------------------------

    def runs(self, space: Pair, *, mapped: bool) -> tuple[int, int] | None:
        """A random range (start, size) that is mapped throughout, or holds nothing; None if there is none."""
        first = self.random.randrange(PAGES)
        count = 0
        while count < 5 and first + count < PAGES and self.mapped(space, first + count) == mapped:
            count += 1
        return (START + first * P, self.random.randint(1, count) * P) if count else None

    def mapped(self, space: Pair, page: int) -> bool:
        return space.model._region(START + page * P) is not None

    def step(self) -> None:
        space = self.random.choice(self.spaces)
        name = self.random.choice(
            ("map", "map", "map", "unmap", "protect", "discard", "move", "write", "write", "write", "fork", "drop",
             "write_at", "truncate")
        )  # fmt: skip
        getattr(self, f"_{name}")(space)

    def _order(self, space: Pair, name: str, *args: Any, **kwargs: Any) -> None:
        self.log.append(f"{self.spaces.index(space)}.{name}({', '.join(map(repr, args))}, {kwargs})")
        real, model = space.do(name, *args, **kwargs)
        assert real == model, self.log

    def _map(self, space: Pair) -> None:
        run = self.runs(space, mapped=False)
        if run is not None:
            source = self.random.choice([None, *self.buffers])
            shared = source is not None and self.random.random() < 0.5
            offset = self.random.randrange(4) * P if source is not None else 0
            self._order(space, "map", *run, self.random.choice(PROTECTIONS), source, offset, shared=shared)

    def _unmap(self, space: Pair) -> None:
        first = self.random.randrange(PAGES)
        self._order(space, "unmap", START + first * P, self.random.randint(1, min(6, PAGES - first)) * P)

    def _protect(self, space: Pair) -> None:
        run = self.runs(space, mapped=True)
        if run is not None:
            self._order(space, "protect", *run, self.random.choice(PROTECTIONS))

    def _discard(self, space: Pair) -> None:
        run = self.runs(space, mapped=True)
        if run is not None:
            self._order(space, "discard", *run)

    def _move(self, space: Pair) -> None:
        run, free = self.runs(space, mapped=True), self.runs(space, mapped=False)
        if run is not None and free is not None:
            self._order(space, "move", run[0], min(run[1], free[1]), free[0])

    def _write(self, space: Pair) -> None:
        """Within a page: how much of a write that fails is done is nobody's promise."""
        place = START + self.random.randrange(PAGES) * P + self.random.randrange(P - 16)
        data = self.random.randbytes(self.random.randint(1, 16))
        self.log.append(f"{self.spaces.index(space)}.write({place:#x}, {data!r})")
        memory = Pair(space.real.memory, space.model.memory)
        real, model = memory.do("write", place, data)
        assert real == model, self.log

    def _fork(self, space: Pair) -> None:
        if len(self.spaces) < 4:
            self.log.append(f"{self.spaces.index(space)}.fork()")
            self.spaces.append(Pair(*space.do("fork")))

    def _drop(self, space: Pair) -> None:
        if space is not self.spaces[0]:
            self._order(space, "drop")
            self.spaces.remove(space)

    def _write_at(self, space: Pair) -> None:
        buffer = self.random.choice(self.buffers)
        size = buffer.model.size()
        if size:
            data = self.random.randbytes(8)
            place = self.random.randrange(size - 8)
            self.log.append(f"buffer {self.buffers.index(buffer)}.write_at({data!r}, {place})")
            assert buffer.do("write_at", data, place) == (8, 8)

    def _truncate(self, space: Pair) -> None:
        """To whole pages: what a guest stores behind the end in the last one is nobody's."""
        buffer, size = self.random.choice(self.buffers), self.random.randrange(6) * P
        self.log.append(f"buffer {self.buffers.index(buffer)}.truncate({size})")
        buffer.do("truncate", size)

    # -- whether all is the same ------------------------------------------------------------------------------

    def compare(self) -> None:
        for buffer in self.buffers:
            real, model = buffer.do("read_at", 8 * P, 0)
            assert real == model, self.log
        for number, space in enumerate(self.spaces):
            memory = Pair(space.real.memory, space.model.memory)
            for page in range(PAGES):
                real, model = memory.do("read", START + page * P, P)
                assert real == model, (number, hex(START + page * P), self.log)

    def close(self) -> None:
        for space in self.spaces[1:]:
            space.do("drop")
        self.spaces[0].do("unmap", START, PAGES * P)
        self.thread.kill()
        for buffer in self.buffers:
            buffer.do("close")


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_orders(driver: Driver, seed: int) -> None:
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} delegates memory")
    world = World(driver, seed)
    for _ in range(STEPS):
        world.step()
        world.compare()
    world.close()
