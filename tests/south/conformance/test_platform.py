"""What the kernel asks of the platform itself: clocks, randomness, facts, shared buffers, descriptors to wait for."""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.auxv import AT_CLKTCK, AT_MINSIGSTKSZ, AT_PAGESZ
from pylitebox.abi.mman import PAGE_SIZE, TASK_SIZE
from pylitebox.abi.poll import POLLHUP, POLLIN, POLLOUT
from pylitebox.abi.stat import S_IFIFO
from pylitebox.kernel import platform as contract
from pylitebox.kernel.errors import KernelError, WouldBlock
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import BREAK, BREAK_SIZE, CODE, DATA, END, STACK, STACK_SIZE, Driver
from tests.south.conformance.test_safe_points import computing, running

IN, OUT, ONESHOT = 1, 4, 1 << 30


def test_every_part_of_the_contract_says_what_it_is() -> None:
    parts = [part for part in vars(contract).values() if inspect.isclass(part) and part.__module__ == contract.__name__]
    assert len(parts) > 15
    for part in parts:
        if part.__name__.startswith("_"):
            continue
        assert part.__doc__, part
        for name, member in vars(part).items():
            function = member.fget if isinstance(member, property) else member
            if inspect.isfunction(function) and not name.startswith("_") and name != "total":
                assert function.__doc__, f"{part.__name__}.{name} of the contract is not documented"


def test_the_facts(driver: Driver) -> None:
    platform = driver.platform
    assert platform.name == platform.name.lower() != ""
    assert platform.delegates_memory in (True, False)
    assert platform.cpu_count() >= 1
    for low, high in platform.reserved:
        assert 0 <= low < high <= TASK_SIZE
        assert low % PAGE_SIZE == high % PAGE_SIZE == 0
        for start, end in ((CODE, CODE + 1), (DATA, END), (STACK - STACK_SIZE, STACK), (BREAK, BREAK + BREAK_SIZE)):
            assert end <= low or high <= start


def test_the_auxiliary_vector(driver: Driver) -> None:
    vector = driver.platform.auxv()
    assert all(0 < entry < 64 and 0 <= value < 1 << 64 for entry, value in vector.items())
    assert vector.get(AT_PAGESZ, PAGE_SIZE) == PAGE_SIZE
    assert vector.get(AT_CLKTCK, 100) == 100
    states: list[int] = []
    driver.at_safe_point = lambda task, context: states.append(len(context.fpstate()))
    driver.on[1000] = lambda task, *args: driver.kick(task) or 0
    driver.spawn(Code().call(1000).exit())
    driver.run_to_end()
    assert states[0] >= 512
    if AT_MINSIGSTKSZ in vector:
        assert states[0] + 304 + 128 + 8 <= vector[AT_MINSIGSTKSZ] < 1 << 20, "a signal frame"


def test_the_clocks(driver: Driver) -> None:
    platform = driver.platform
    monotonic, wall = platform.monotonic_ns(), platform.realtime_ns()
    assert isinstance(monotonic, int)
    assert wall > 10**18
    driver.poll(3_000_000)
    assert platform.monotonic_ns() >= monotonic + 3_000_000
    assert platform.realtime_ns() > wall


def test_randomness(driver: Driver) -> None:
    random = driver.platform.random
    assert random(0) == b""
    assert [len(random(size)) for size in (1, 16, 300, 70_000)] == [1, 16, 300, 70_000]
    assert random(32) != random(32)


# -- shared buffers ---------------------------------------------------------------------------------------------------


def test_a_buffer_is_a_file_without_a_name(driver: Driver) -> None:
    buffer = driver.buffer()
    assert buffer.size() == 0
    assert buffer.read_at(10, 0) == b""
    assert buffer.write_at(b"hello", 3) == 5
    assert buffer.size() == 8
    assert buffer.read_at(100, 0) == b"\0\0\0hello"
    assert buffer.read_at(3, 2) == b"\0he"
    assert buffer.read_at(10, 8) == buffer.read_at(10, 1 << 40) == b""
    assert buffer.write_at(memoryview(b"AB"), 4) == 2
    buffer.truncate(6)
    assert buffer.read_at(100, 0) == b"\0\0\0hAB"
    buffer.truncate(3 * PAGE_SIZE)
    assert buffer.read_at(1 << 20, 0) == (b"\0\0\0hAB").ljust(3 * PAGE_SIZE, b"\0")
    buffer.write_at(b"x" * 5000, PAGE_SIZE - 100)
    buffer.truncate(PAGE_SIZE + 1)
    buffer.truncate(2 * PAGE_SIZE)
    assert buffer.read_at(PAGE_SIZE, PAGE_SIZE) == b"x" + bytes(PAGE_SIZE - 1), "what was cut off is gone"
    buffer.truncate(0)
    assert (buffer.size(), buffer.read_at(5, 0)) == (0, b"")
    buffer.close()


def test_handles_of_a_buffer_show_the_same(driver: Driver) -> None:
    buffer, other = driver.buffer(b"one"), driver.buffer()
    assert (buffer.users, other.users) == (1, 1)
    handle = buffer.share()
    assert (buffer.users, handle.users, other.users) == (2, 2, 1)
    assert buffer.key() == handle.key() != other.key()
    handle.write_at(b"two", 3)
    assert buffer.read_at(10, 0) == b"onetwo"
    buffer.close()
    assert handle.read_at(10, 0) == b"onetwo"
    assert handle.users == 1
    handle.close()
    other.close()


def test_a_buffer_is_sealed_if_nobody_can_write(driver: Driver) -> None:
    buffer = driver.buffer(b"content")
    buffer.seal()
    assert buffer.read_at(10, 0) == b"content"
    buffer.close()


def test_a_sparse_buffer_is_cheap_and_a_huge_one_an_error(driver: Driver) -> None:
    buffer = driver.buffer()
    buffer.truncate(1 << 26)
    assert buffer.read_at(8, (1 << 26) - 8) == bytes(8)
    for size in (1 << 62, (1 << 63) - 1):
        with contextlib.suppress(KernelError):
            buffer.truncate(size)
    buffer.close()


# -- console streams --------------------------------------------------------------------------------------------------


@pytest.fixture
def streams(driver: Driver) -> Iterator[Any]:
    made = driver.subject.streams(driver.platform)
    yield made
    made.close()


def woken(driver: Driver, stream: Any, change: Callable[[], object]) -> None:
    """The stream's queue is woken by a change once its readiness was asked for."""
    wakes: list[None] = []
    stream.queue.watch(woken, lambda: wakes.append(None))
    stream.poll()
    change()
    driver.run(lambda: bool(wakes))
    stream.queue.unwatch(woken)


def fill(stream: Any) -> None:
    while stream.write(b"x" * 5000):
        pass


def test_input_is_waited_for(driver: Driver, streams: Any) -> None:
    stream = streams.input
    assert (stream.kind, stream.termios, stream.winsize) == (S_IFIFO, None, None)
    with pytest.raises(WouldBlock):
        stream.read(10)
    assert not stream.poll() & POLLIN
    woken(driver, stream, lambda: streams.feed(b"some words"))
    assert stream.poll() & POLLIN
    assert stream.read(4) == b"some"
    assert stream.read(100) == b" words"
    with pytest.raises(WouldBlock):
        stream.read(10)
    woken(driver, stream, streams.end)
    assert stream.poll() & POLLHUP
    assert stream.read(10) == stream.read(10) == b""


def test_output_waits_for_room_and_ends_with_its_reader(driver: Driver, streams: Any) -> None:
    stream = streams.output
    assert stream.poll() & POLLOUT
    assert stream.write(b"some") == 4
    assert stream.write(memoryview(b"thing")) == 5
    assert streams.taken() == b"something"
    with pytest.raises(WouldBlock):
        fill(stream)
    assert not stream.poll() & POLLOUT
    woken(driver, stream, streams.taken)
    assert stream.poll() & POLLOUT
    streams.hang_up()
    with pytest.raises(KernelError) as error:
        stream.write(b"x")
    assert error.value.errno == E.EPIPE


# -- descriptors of the process ---------------------------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.mark.needs("descriptors")
def test_a_watched_descriptor_is_told_of(driver: Driver, pipe: tuple[int, int]) -> None:
    """Whenever it is readable; not any more once it is unwatched."""
    reads, writes = pipe
    came: list[bytes] = []
    driver.platform.watch(reads, lambda: came.append(os.read(reads, 10)))
    driver.idle(2)
    assert came == []
    for word in (b"one", b"two"):
        os.write(writes, word)
        driver.run(lambda word=word: came[-1:] == [word])
    driver.platform.unwatch(reads)
    driver.platform.unwatch(reads)
    os.write(writes, b"three")
    driver.idle()
    assert came == [b"one", b"two"]


@pytest.mark.needs("descriptors")
def test_poll_wakes_for_a_descriptor(driver: Driver, pipe: tuple[int, int]) -> None:
    """Without any deadline."""
    reads, writes = pipe
    came: list[bytes] = []
    driver.platform.watch(reads, lambda: came.append(os.read(reads, 10)))
    timer = threading.Timer(0.05, os.write, (writes, b"x"))
    timer.start()
    while not came:
        driver.platform.poll(None)
    timer.join()
    driver.platform.unwatch(reads)


@pytest.mark.needs("descriptors")
@pytest.mark.parametrize("guest", ["computes", "calls"])
def test_guests_that_run_without_end_do_not_hide_a_descriptor(
    driver: Driver, pipe: tuple[int, int], guest: str
) -> None:
    reads, writes = pipe
    code = Code()
    with code.forever():
        code.call(a.ASK)
    running(driver, computing() if guest == "computes" else code)
    came: list[bytes] = []
    driver.platform.watch(reads, lambda: came.append(os.read(reads, 10)))
    os.write(writes, b"x")
    driver.run(lambda: bool(came))
    driver.platform.unwatch(reads)


@pytest.mark.needs("descriptors")
def test_events_of_a_descriptor(driver: Driver, pipe: tuple[int, int]) -> None:
    """Once, if that was asked for, until it is armed again."""
    reads, writes = pipe
    came: list[int] = []
    driver.platform.watch_events(writes, OUT | ONESHOT, came.append)
    driver.run(lambda: bool(came))
    driver.idle()
    assert came == [OUT]
    driver.platform.watch_events(writes, OUT | ONESHOT, came.append)
    driver.run(lambda: len(came) > 1)
    driver.idle()
    assert came == [OUT, OUT]
    driver.platform.watch_events(reads, IN, came.append)
    driver.idle()
    os.write(writes, b"x")
    driver.run(lambda: len(came) > 2)
    driver.platform.unwatch(reads)
    driver.platform.unwatch(writes)
    assert set(came[2:]) == {IN}


@pytest.mark.needs("descriptors")
def test_a_callback_may_unwatch_its_descriptor_and_complete_a_call(driver: Driver, pipe: tuple[int, int]) -> None:
    """As a file does whose data has come."""
    reads, writes = pipe
    driver.on[1000] = lambda task, *args: None
    task = driver.spawn(Code().call(1000).say(1).exit())
    driver.run(lambda: task.state == "parked")

    def arrived() -> None:
        driver.platform.unwatch(reads)
        driver.complete(task, len(os.read(reads, 10)))

    driver.platform.watch(reads, arrived)
    os.write(writes, b"four")
    driver.run_to_end()
    assert driver.words() == [(1, 4)]


@pytest.mark.needs("descriptors")
def test_what_cannot_be_waited_for_is_an_error(driver: Driver) -> None:
    fd = os.open(__file__, os.O_RDONLY)
    try:
        with pytest.raises(OSError):
            driver.platform.watch_events(fd, IN, lambda events: None)
    finally:
        driver.platform.unwatch(fd)
        os.close(fd)


@pytest.mark.needs("descriptors")
def test_the_platform_knows_its_descriptors(driver: Driver) -> None:
    """They are open, and nothing of theirs is inherited by a program."""
    held = driver.platform.descriptors()
    assert held
    for fd in held:
        assert not os.get_inheritable(fd)


@pytest.mark.needs("descriptors")
def test_a_deadline_is_kept_while_nothing_happens(driver: Driver) -> None:
    before = time.monotonic_ns()
    driver.poll(10_000_000)
    assert time.monotonic_ns() - before >= 10_000_000
