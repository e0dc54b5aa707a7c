"""What only a hostile guest does, or one with a bug: nothing of it is anybody else's trouble."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.abi.signal import SEGV_MAPERR, SIGSEGV, SIGTRAP
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.image import Mapping
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import CODE, DATA, EFLAGS, END, RBX, RIP, RW, STACK, Driver, Faulted, Task
from tests.south.conformance.test_clone import new_thread
from tests.south.conformance.test_safe_points import address, computing, handler, running

PLACE = 0x50000000
P = PAGE_SIZE
U64 = (1 << 64) - 1
RWX = PROT_READ | PROT_WRITE | PROT_EXEC
CARRY, TRAP, DIRECTION = 1, 0x100, 0x400


def still_there(driver: Driver) -> None:
    """Other guests run as ever."""
    before = len(driver.said)
    driver.spawn(Code().call(a.ASK).say(99).exit())
    driver.run(lambda: [said.word for said in driver.said[before:]] == [99])


@pytest.mark.parametrize("pointer", [0, 7, 1 << 47, 1 << 63, U64, 0x6000_0000_0000, CODE], ids=hex)
def test_a_stack_pointer_that_is_none_is_no_trouble_to_a_call(driver: Driver, pointer: int) -> None:
    code = Code().mov(a.RSP, pointer).mov(a.RBP, pointer).call(a.ASK).say(1).copy(a.RCX, a.RSP).say(2, a.RCX)
    driver.spawn(code.exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0), (2, pointer)]
    assert driver.faults == []


@pytest.mark.parametrize("pointer", [0, 1 << 63, CODE + 64], ids=hex)
def test_nor_to_a_safe_point(driver: Driver, pointer: int) -> None:
    code = Code().mov(a.RSP, pointer).call(a.ASK)
    with code.forever():
        code.add(a.RBX, 1)
    task = running(driver, code)
    for number in range(1, 4):
        driver.kick(task)
        driver.run(lambda number=number: len(driver.safe_points) == number)
    assert {gregs[15] for _, gregs in driver.safe_points} == {pointer}


def spoiled(driver: Driver, code: Code, spoil: Callable[[Task, Any], None]) -> None:
    """Let a program compute, spoil its context at one safe point, and let it go on; others must not notice."""
    task = running(driver, code)
    driver.at_safe_point = spoil
    driver.kick(task)
    driver.run(lambda: bool(driver.safe_points))
    driver.at_safe_point = lambda task, context: None
    driver.idle()
    still_there(driver)


@pytest.mark.parametrize("content", [b"\xff", b"\x01", b"\x53"], ids=["ones", "01", "53"])
def test_an_extended_state_that_no_cpu_can_have(driver: Driver, content: bytes) -> None:
    """The thread goes on with what can be made of it, or has a fault; its process may be lost."""

    def spoil(task: Task, context: Any) -> None:
        size = len(context.fpstate())
        task.memory.write(DATA, (content * P)[: min(size, P)])
        with contextlib.suppress(KernelError):
            context.set_fpstate(DATA)

    code = computing().label("out").say(1).exit()
    spoiled(driver, code, spoil)


@pytest.mark.parametrize("place", [1, DATA + 1, DATA + 24, END - 64, END, 1 << 47, 1 << 63, U64, U64 - 511], ids=hex)
def test_an_extended_state_that_is_nowhere(driver: Driver, place: int) -> None:
    """EFAULT at once, or the thread's fault."""

    def spoil(task: Task, context: Any) -> None:
        with contextlib.suppress(KernelError):
            context.set_fpstate(place)

    spoiled(driver, computing(), spoil)


def test_flags_are_kept_by_calls_and_safe_points(driver: Driver) -> None:
    """The direction flag is the guest's; what a handler starts with is the kernel's to say."""

    def set_flags(task: Task, context: Any) -> None:
        if len(driver.safe_points) == 1:
            context.gregs[EFLAGS] |= DIRECTION | CARRY

    driver.at_safe_point = set_flags
    driver.on[1000] = lambda task, *args: driver.kick(task) or 0
    driver.spawn(Code().call(1000).call(a.ASK).call(1000).exit())
    driver.run_to_end()
    before, after = (gregs[EFLAGS] for _, gregs in driver.safe_points)
    assert not before & (DIRECTION | CARRY)
    assert after & (DIRECTION | CARRY) == DIRECTION | CARRY
    assert before & 0x202 == after & 0x202 == 0x202, "interrupts are on, as far as a guest can see"


@pytest.mark.needs("single step", "rip")
def test_a_single_step_is_a_trap_behind_one_instruction(driver: Driver) -> None:
    def step(task: Task, context: Any) -> None:
        context.gregs[EFLAGS] |= TRAP

    def stepped(task: Task, context: Any, fault: Faulted) -> bool:
        context.gregs[EFLAGS] &= ~TRAP
        return True

    driver.at_safe_point, driver.at_fault = step, stepped
    driver.on[1000] = lambda task, *args: driver.kick(task) or 0
    code = Code().call(1000)
    place = CODE + len(code)
    driver.at_fault = lambda task, context, fault: (
        setattr(driver, "at_safe_point", lambda task, context: None) or stepped(task, context, fault)
    )
    driver.spawn(code.mov(a.RBX, 5).mov(a.RCX, 6).say(1, a.RCX).exit())
    driver.run_to_end()
    assert [(fault.signo, fault.rip) for fault in driver.faults] == [(SIGTRAP, place + 10)]
    assert driver.words() == [(1, 6)]


# -- memory that changes under a guest --------------------------------------------------------------------------------


def test_code_that_a_guest_writes_is_the_code_that_runs(driver: Driver) -> None:
    """In a loop: each turn stores another immediate into the instruction ahead."""
    routine = Code().mov(a.RCX, 0).jump_to(a.RBP)
    code = Code().mov(a.RBX, PLACE).mov(a.R12, 0).label("again").add(a.R12, 1).store(a.RBX, a.R12, 2)
    back = len(code) + 10 + 2
    code.mov(a.RBP, CODE + back).jump_to(a.RBX)
    assert len(code) == back
    code.say(1, a.RCX).compare(a.R12, 5).jump_unequal("again").exit()
    source = driver.buffer(routine.linked())
    driver.spawn(code, extra=[Mapping(PLACE, P, RWX, source)])
    driver.run_to_end()
    assert driver.words() == [(1, value) for value in range(1, 6)]


def test_code_that_one_thread_writes_is_the_code_that_another_runs(driver: Driver) -> None:
    source = driver.buffer(Code().label("loop").jump("loop").linked())
    code = new_thread(Code().mov(a.RBX, PLACE), STACK - 8192)
    code.call(a.ASK).mov(a.RCX, int.from_bytes(b"\x0f\x0b" * 4, "little")).store(a.RBX, a.RCX)
    with code.forever():
        code.call(a.ASK)
    driver.spawn(code.label("child").jump_to(a.RBX), extra=[Mapping(PLACE, P, RWX, source)])
    driver.run_to_end()
    (child,) = driver.begun
    assert [(fault.tid, fault.signo) for fault in driver.faults] == [(child.tid, 4)]


def test_a_program_that_is_gone_when_its_call_is_complete(driver: Driver) -> None:
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} delegates memory")
    driver.on[1000] = lambda task, *args: None
    task = driver.spawn(Code().call(1000).say(1).exit())
    driver.run(lambda: task.state == "parked")
    task.thread.space.unmap(CODE, P)
    driver.complete(task, 0)
    driver.run_to_end()
    assert [fault[1:3] for fault in driver.faults] == [(SIGSEGV, SEGV_MAPERR)]
    assert driver.said == []


def test_memory_that_is_unmapped_by_another_thread(driver: Driver) -> None:
    """While one loads from it without end."""
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} delegates memory")
    driver.on[1000] = lambda task, *args: None

    def unmap(task: Task, *args: int) -> int:
        task.thread.space.unmap(PLACE, P)
        return 0

    driver.on[1001] = unmap
    code = new_thread(Code().mov(a.RBX, PLACE), STACK - 8192).call(1000).call(1001)
    with code.forever():
        code.call(a.ASK)
    code.label("child").load(a.RCX, a.RBX).say(1).label("again").load(a.RCX, a.RBX).jump("again")
    task = driver.spawn(code, extra=[Mapping(PLACE, P, RW)])
    driver.run(lambda: task.state == "parked" and len(driver.said) == 1)
    driver.complete(task, 0)
    driver.run_to_end()
    (child,) = driver.begun
    assert [fault[:4] for fault in driver.faults] == [(child.tid, SIGSEGV, SEGV_MAPERR, PLACE)]


# -- many at a time ---------------------------------------------------------------------------------------------------


def test_a_guest_that_makes_children_without_end_is_ended_with_them(driver: Driver) -> None:
    """The kernel bounds them; here it kills what it has after forty, half of which have not begun."""
    clone = driver.on[a.CLONE]
    bound = 40

    def bounded(task: Task, flags: int, *rest: int) -> int | None:
        if len(driver.tasks) >= bound:
            return -11
        return clone(task, flags, *rest)

    for number in (a.CLONE, a.FORK):
        driver.on[number] = bounded if number == a.CLONE else lambda task, *rest: bounded(task, 17, *rest)
    code = Code()
    with code.forever():
        code.call(a.FORK)
    driver.spawn(code)
    driver.run(lambda: len(driver.tasks) >= bound)
    while driver.tasks:
        driver.kill(next(iter(driver.tasks.values())))
    driver.idle()
    still_there(driver)


def test_signals_that_nest_without_end(driver: Driver) -> None:
    """A handler that is interrupted before it returns, again and again, until the kernel has no more stack to use."""
    code = handler(Code().call(a.ASK).label("wait").jump("wait"))
    code.label("nested").call(1000).label("here").jump("here")
    task = running(driver, code)
    depth = 0

    def once_more(task: Task, *args: int) -> int:
        nonlocal depth
        depth += 1
        if depth < 8:
            driver.signal(task, 10, address(code, "nested"))
        return 0

    driver.on[1000] = once_more
    driver.signal(task, 10, address(code, "nested"))
    driver.run(lambda: depth == 8)
    assert len(task.frames) == 8
    driver.kick(task)
    driver.run(lambda: not task.kicked)
    assert driver.safe_points[-1][1][RBX] == 0
    assert driver.safe_points[-1][1][RIP] != 0
