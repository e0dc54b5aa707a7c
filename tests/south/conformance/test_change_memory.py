"""Changes of an address space that its own call wants, where the platform manages memory (DelegatedThread)."""

from __future__ import annotations

from typing import Any

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.mman import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MAP_SHARED,
    PAGE_SIZE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from pylitebox.abi.resource import RLIMIT_AS
from pylitebox.kernel.platform import Limit, Map, Unmap
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import BREAK, CODE, DATA, RW, STACK, Driver, Task

PLACE, FD = 0x50000000, 5
_NR_PRLIMIT64 = 302
U64 = (1 << 64) - 1
P = PAGE_SIZE


@pytest.fixture(autouse=True)
def _delegates(driver: Driver) -> None:
    if not driver.platform.delegates_memory:
        pytest.skip(f"on {driver.subject.name} the kernel manages memory")


def maps(driver: Driver, change: Map) -> None:
    """What mmap(2) of a file does."""
    driver.on[a.MMAP] = lambda task, *args: driver.change_memory(task, change)


def mmap(code: Code) -> Code:
    return code.call(a.MMAP, 0, 2 * P, 3, MAP_SHARED, FD, 0).say(1)


def test_a_file_is_mapped_where_the_kernel_says(driver: Driver) -> None:
    """Shared: what one side stores the other sees."""
    buffer = driver.buffer(b"\7".ljust(2 * P, b"\0"))
    flags = MAP_SHARED | MAP_FIXED_NOREPLACE

    maps(driver, Map(buffer, PLACE, 2 * P, RW, flags, write=True))
    code = mmap(Code()).mov(a.RBX, PLACE).load(a.RCX, a.RBX).say(2, a.RCX).mov(a.RCX, 9).store(a.RBX, a.RCX, P)
    task = driver.spawn(code.call(1001).load(a.RCX, a.RBX).say(3, a.RCX).exit())
    found: list[Any] = []

    def look(task: Task, *args: int) -> int:
        found.append(buffer.read_at(8, P))
        buffer.write_at(b"\x0b", 0)
        found.append([area for area in task.thread.areas() if area.start == PLACE])
        return 0

    driver.on[1001] = look
    driver.run_to_end()
    assert driver.words(task.tid) == [(1, PLACE), (2, 7), (3, 11)]
    assert found[0] == (9).to_bytes(8, "little")
    (area,) = found[1]
    assert (area.end, area.prot, area.shared, area.offset) == (PLACE + 2 * P, RW, True, 0)
    assert area.source == buffer.key()
    buffer.close()


def test_a_private_mapping_leaves_the_file_alone(driver: Driver) -> None:
    buffer = driver.buffer(b"\7".ljust(2 * P, b"\0") + b"\x08".ljust(P, b"\0"))
    flags = MAP_PRIVATE | MAP_FIXED
    maps(driver, Map(buffer, PLACE, P, RW, flags, 2 * P, write=False))
    code = mmap(Code()).mov(a.RBX, PLACE).load(a.RCX, a.RBX).say(2, a.RCX).mov(a.RCX, 9).store(a.RBX, a.RCX)
    driver.spawn(code.load(a.RCX, a.RBX).say(3, a.RCX).exit())
    driver.run_to_end()
    assert driver.words() == [(1, PLACE), (2, 8), (3, 9)]
    assert buffer.read_at(1, 2 * P) == b"\x08"
    buffer.close()


def test_what_cannot_be_mapped_is_the_calls_result(driver: Driver) -> None:
    buffer = driver.buffer(bytes(P))
    flags = MAP_SHARED | MAP_FIXED_NOREPLACE
    maps(driver, Map(buffer, DATA, P, RW, flags, write=True))
    driver.spawn(mmap(Code()).exit())
    driver.run_to_end()
    assert driver.words() == [(1, U64 + 1 - E.EEXIST)]
    buffer.close()


def test_the_kernel_is_told_what_became_of_a_change(driver: Driver) -> None:
    """One after another, within one call, which the kernel then finishes."""
    buffer = driver.buffer(b"\7".ljust(P, b"\0"))
    told: list[int] = []

    def change(task: Task, *args: int) -> None:
        def mapped(result: int) -> None:
            told.append(result)
            assert task.thread.change_memory(Unmap(PLACE + P, P), told.append) is None

        whole = Map(buffer, PLACE, 2 * P, RW, MAP_SHARED | MAP_FIXED, write=True)
        assert task.thread.change_memory(whole, mapped) is None

    driver.on[a.MMAP] = change
    code = mmap(Code()).mov(a.RBX, PLACE).load(a.RCX, a.RBX).say(2, a.RCX).load(a.RCX, a.RBX, P).say(3).exit()
    task = driver.spawn(code)
    driver.run(lambda: len(told) == 2 and task.state == "parked")
    driver.complete(task, 77)
    driver.run_to_end()
    assert told == [PLACE, 0]
    assert driver.words(task.tid) == [(1, 77), (2, 7)]
    assert [fault.address for fault in driver.faults] == [PLACE + P]
    buffer.close()


def test_the_areas_of_a_guest(driver: Driver) -> None:
    """Lowest first, nothing of the platform's own, with rights and sources."""
    task = driver.spawn(Code().call(1000).exit())
    driver.on[1000] = lambda task, *args: None
    driver.run(lambda: task.state == "parked")
    areas = task.thread.areas()
    assert [area.start for area in areas] == sorted(area.start for area in areas)
    for area in areas:
        assert area.start < area.end
        assert all(area.end <= low or high <= area.start for low, high in driver.platform.reserved)
    by_start = {area.start: area for area in areas}
    assert by_start[CODE].prot == PROT_READ | PROT_EXEC
    assert by_start[CODE].source is not None
    assert (by_start[DATA].prot, by_start[DATA].source) == (PROT_READ | PROT_WRITE, None)
    assert any(area.start < STACK <= area.end for area in areas)
    thread = task.thread
    driver.kill(task)
    assert len(thread.areas(detailed=True)) >= 0


@pytest.mark.needs("own memory calls")
def test_anonymous_memory_never_reaches_the_kernel(driver: Driver) -> None:
    code = Code().call(a.MMAP, PLACE, P, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0).say(1)
    code.mov(a.RBX, PLACE).mov(a.RCX, 5).store(a.RBX, a.RCX).load(a.RDX, a.RBX).say(2, a.RDX).call(11, PLACE, P).say(3)
    driver.spawn(code.load(a.RDX, a.RBX).exit())
    driver.run_to_end()
    assert driver.words() == [(1, PLACE), (2, 5), (3, 0)]
    assert {call.number for call in driver.calls} == {a.SAY}
    assert [fault.address for fault in driver.faults] == [PLACE]


@pytest.mark.needs("own memory calls")
def test_a_limit_holds_from_then_on(driver: Driver) -> None:
    limit = Limit(RLIMIT_AS, 64 << 20, BREAK + 4096)
    driver.on[_NR_PRLIMIT64] = lambda task, *args: driver.change_memory(task, limit)
    flags = MAP_PRIVATE | MAP_ANONYMOUS
    code = Code().call(_NR_PRLIMIT64, 0, RLIMIT_AS, DATA, 0).say(1)
    code.call(a.MMAP, 0, 1 << 30, RW, flags, -1, 0).say(2).call(a.BRK, BREAK + 8192).say(3).call(a.BRK, BREAK + 4096)
    driver.spawn(code.say(4).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0), (2, U64 + 1 - E.ENOMEM), (3, BREAK), (4, BREAK + 4096)]


def test_a_call_that_changes_no_memory_cannot_be_asked_to(driver: Driver) -> None:
    """Only the call itself can: an error, and nothing has happened."""
    buffer = driver.buffer(bytes(P))
    seen: list[str] = []

    def ask(task: Task, *args: int) -> int:
        try:
            task.thread.change_memory(Map(buffer, PLACE, P, RW, MAP_SHARED | MAP_FIXED, write=True))
        except Exception as error:  # noqa: BLE001 - its kind is what the test is about
            seen.append(type(error).__name__)
        else:
            seen.append("done")
        return 0

    driver.on[1000] = ask
    driver.spawn(Code().call(1000).say(1).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0)]
    assert seen in (["KernelError"], ["done"])
    buffer.close()
