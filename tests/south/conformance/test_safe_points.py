"""Safe points: kicks of threads that compute, wait and stand, handlers and their return, threads that are held."""

from __future__ import annotations

from typing import Any

import pytest

from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import CODE, DATA, EFLAGS, R12, RAX, RBP, RBX, RCX, RIP, RSP, Driver, Task

U64 = (1 << 64) - 1


def computing() -> Code:
    """Counts in rbx without end. Its handler says what it was entered with, and spoils every register."""
    code = Code().mov(a.RBX, 0).mov(a.R12, 7).call(a.ASK)
    with code.forever():
        code.add(a.RBX, 1)
    return handler(code)


def handler(code: Code) -> Code:
    code.label("handler").copy(a.R13, a.RDI).say(100, a.R13)
    for register in (a.RCX, a.RDX, a.RBX, a.RBP, a.R8, a.R9, a.R10, a.R12):
        code.mov(register, 0x5555)
    return code.call(a.SIGRETURN)


def address(code: Code, label: str = "handler") -> int:
    return CODE + code.labels[label]


def running(driver: Driver, code: Code) -> Task:
    """A guest that has made its first call, behind which it computes."""
    task = driver.spawn(code)
    driver.run(lambda: bool(driver.calls) and driver.calls[-1].tid == task.tid)
    return task


# -- kicks ------------------------------------------------------------------------------------------------------------


def test_a_thread_that_computes_is_brought_to_a_safe_point(driver: Driver) -> None:
    task = running(driver, computing())
    counts = []
    for number in range(1, 4):
        driver.kick(task)
        driver.run(lambda number=number: len(driver.safe_points) == number)
        tid, gregs = driver.safe_points[-1]
        assert (tid, gregs[R12]) == (task.tid, 7)
        counts.append(gregs[RBX])
    assert counts == sorted(counts)
    assert len(driver.calls) == 1


def test_a_safe_points_changes_count(driver: Driver) -> None:
    code = computing().label("out").say(1, a.RBX).exit()

    def leave(task: Task, context: Any) -> None:
        context.gregs[RBX], context.gregs[RIP] = 0xABCDEF0123456789, address(code, "out")

    task = running(driver, code)
    driver.at_safe_point = leave
    driver.kick(task)
    driver.run_to_end()
    assert driver.words() == [(1, 0xABCDEF0123456789)]


@pytest.mark.needs("rip")
def test_a_safe_point_is_between_two_instructions_of_the_program(driver: Driver) -> None:
    code = Code().call(a.ASK).label("behind").mov(a.RBX, 0).label("zero").mov(a.RCX, 0)
    code.label("first").add(a.RBX, 1).label("second").add(a.RCX, 1)
    task = running(driver, code.label("third").jump("first"))
    for number in range(1, 30):
        driver.kick(task)
        driver.run(lambda number=number: len(driver.safe_points) == number)
        gregs = driver.safe_points[-1][1]
        where = next(name for name in code.labels if gregs[RIP] == address(code, name))
        if where in ("first", "second", "third"):
            assert gregs[RBX] - gregs[RCX] == (1 if where == "second" else 0)


def test_a_kick_in_a_call_comes_with_its_result(driver: Driver) -> None:
    """And before the next instruction."""

    def kick(task: Task, *args: int) -> int:
        driver.kick(task)
        return -38

    driver.on[1000] = kick
    driver.spawn(Code().call(1000).say(1).exit())
    driver.run_to_end()
    ((_, gregs),) = driver.safe_points
    assert gregs[RAX] == U64 - 37
    assert driver.words() == [(1, U64 - 37)]


def test_a_parked_thread_has_its_safe_point_when_its_call_is_complete(driver: Driver) -> None:
    """Not before; and several kicks are one."""
    driver.on[1000] = lambda task, *args: None
    task = driver.spawn(Code().call(1000).say(1).exit())
    driver.run(lambda: task.state == "parked")
    for _ in range(3):
        task.thread.kick()
    driver.idle()
    assert driver.safe_points == []
    driver.complete(task, -4)
    driver.run_to_end()
    assert [gregs[RAX] for _, gregs in driver.safe_points] == [U64 - 3]
    assert driver.words() == [(1, U64 - 3)]


def test_a_kick_at_a_safe_point_brings_another(driver: Driver) -> None:
    task = running(driver, computing())

    def once_more(task: Task, context: Any) -> None:
        if len(driver.safe_points) < 3:
            task.thread.kick()

    driver.at_safe_point = once_more
    driver.kick(task)
    driver.run(lambda: len(driver.safe_points) == 3)
    driver.idle()
    assert len(driver.safe_points) == 3


def test_only_the_thread_that_is_kicked_is_stopped(driver: Driver) -> None:
    tasks = [running(driver, computing()) for _ in range(2)]
    driver.kick(tasks[1])
    driver.run(lambda: len(driver.safe_points) == 1)
    driver.idle()
    assert [tid for tid, _ in driver.safe_points] == [tasks[1].tid]


def test_kicks_and_answers_for_threads_that_have_ended_do_nothing(driver: Driver) -> None:
    driver.on[1000] = lambda task, *args: None
    task = driver.spawn(Code().call(1000).exit())
    driver.run(lambda: task.state == "parked")
    thread = task.thread
    driver.kill(task)
    thread.kick()
    thread.complete(0)
    thread.kick()
    driver.idle()
    assert driver.safe_points == []


# -- a call that is made again ----------------------------------------------------------------------------------------


def test_a_call_is_made_again_from_its_safe_point(driver: Driver) -> None:
    """rip back by the instruction's two bytes, and the number in rax: the same call with the same arguments."""
    driver.on[1000] = lambda task, *args: None if len(driver.calls) == 1 else 5

    def restart(task: Task, context: Any) -> None:
        context.gregs[RAX] = 1000
        context.gregs[RIP] -= 2

    task = driver.spawn(Code().call(1000, 1, 2, 3, 4, 5, 6).say(1).exit())
    driver.run(lambda: task.state == "parked")
    driver.at_safe_point = restart
    driver.kick(task)
    driver.complete(task, -4)
    driver.run_to_end()
    assert [call for call in driver.calls if call.number == 1000] == [(task.tid, 1000, (1, 2, 3, 4, 5, 6))] * 2
    assert driver.words() == [(1, 5)]


# -- handlers ---------------------------------------------------------------------------------------------------------


def test_a_handler_interrupts_a_thread_that_computes(driver: Driver) -> None:
    """It returns to where it was, with all registers as they were."""
    code = computing()
    task = running(driver, code)
    driver.signal(task, 10, address(code))
    driver.run(lambda: driver.words() == [(100, 10)] and task.frames == [])
    driver.kick(task)
    driver.run(lambda: len(driver.safe_points) == 2)
    before, after = (gregs for _, gregs in driver.safe_points)
    assert before[RBX] <= after[RBX] < 1 << 40
    keep = [R12, RBP, RSP]
    assert [after[register] for register in keep] == [before[register] for register in keep]


def test_a_handler_runs_before_what_follows_a_call(driver: Driver) -> None:
    driver.on[1000] = lambda task, *args: None
    code = handler(Code().mov(a.R12, 7).call(1000).say(1).say(2, a.R12).exit())
    task = driver.spawn(code)
    driver.run(lambda: task.state == "parked")
    driver.signal(task, 12, address(code))
    driver.complete(task, -4)
    driver.run_to_end()
    assert driver.words() == [(100, 12), (1, U64 - 3), (2, 7)]


def test_handlers_interrupt_each_other(driver: Driver) -> None:
    """Two frames at one safe point: the last is entered first."""

    def signals(task: Task, *args: int) -> int:
        for signo in (10, 12):
            driver.signal(task, signo, address(code))
        return 3

    driver.on[1000] = signals
    code = handler(Code().mov(a.RBX, 9).call(1000).say(1).say(2, a.RBX).exit())
    driver.spawn(code)
    driver.run_to_end()
    assert driver.words() == [(100, 12), (100, 10), (1, 3), (2, 9)]


def test_a_signal_during_a_handler_waits_for_nobody(driver: Driver) -> None:
    """A handler that computes without end is interrupted as any code is; its frames are taken off one by one."""
    code = computing()
    code.label("endless").say(101)
    with code.forever():
        code.add(a.RBX, 1)
    task = running(driver, code)
    driver.signal(task, 10, address(code, "endless"))
    driver.run(lambda: len(driver.said) == 1)
    driver.signal(task, 12, address(code))
    driver.run(lambda: driver.words()[1:] == [(100, 12)])
    driver.run(lambda: len(task.frames) == 1)


@pytest.mark.needs("extended state")
def test_the_extended_state_is_the_handlers_own(driver: Driver) -> None:
    """Clean when it is entered, and back as it was when it returns; the frame's bytes say what was there."""
    value = 0x1122334455667788

    def signal(task: Task, *args: int) -> int:
        driver.signal(task, 10, address(code))
        return 0

    def look(task: Task, *args: int) -> int:
        states.append(task.memory.read(task.frames[0][1], 512))
        return 0

    states: list[bytes] = []
    driver.on[1000], driver.on[1001] = signal, look
    code = Code().mov(a.RBX, value).to_xmm0(a.RBX).call(1000).from_xmm0(a.RCX).say(1, a.RCX).exit()
    code.label("handler").from_xmm0(a.RCX).say(2, a.RCX).call(1001).mov(a.RBX, 5).to_xmm0(a.RBX).call(a.SIGRETURN)
    driver.spawn(code)
    driver.run_to_end()
    assert driver.words() == [(2, 0), (1, value)]
    (state,) = states
    assert state[160:168] == value.to_bytes(8, "little"), "xmm0 in an FXSAVE image"
    assert state[24:28] == (0x1F80).to_bytes(4, "little"), "MXCSR"


def test_threads_keep_their_extended_states_apart(driver: Driver) -> None:
    def program(value: int) -> Code:
        code = Code().mov(a.RBX, value).to_xmm0(a.RBX)
        for _ in range(20):
            code.call(a.ASK)
        return code.from_xmm0(a.RCX).say(1, a.RCX).exit()

    for value in (0x1111, 0x2222, 0x3333):
        driver.spawn(program(value))
    driver.run_to_end()
    assert sorted(driver.words()) == [(1, 0x1111), (1, 0x2222), (1, 0x3333)]


# -- what a guest may have in its registers ---------------------------------------------------------------------------


@pytest.mark.parametrize("rip", [0, DATA, 1 << 47, 1 << 63, U64, 0xFFFF_8000_0000_0000], ids=hex)
def test_a_thread_sent_to_where_no_code_is_has_a_fault(driver: Driver, rip: int) -> None:
    task = running(driver, computing())

    def leave(task: Task, context: Any) -> None:
        context.gregs[RIP] = rip

    driver.at_safe_point = leave
    driver.kick(task)
    driver.run_to_end()
    assert [fault.signo for fault in driver.faults] == [11]
    driver.spawn(Code().say(1).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0)]


def test_no_register_gives_a_guest_more_rights(driver: Driver) -> None:
    """All flags (but those that trap at once), an I/O privilege level most of all, and segments of a kernel."""
    code = computing().label("out").raw(a.PRIVILEGED["cli"]).say(1).exit()
    task = running(driver, code)

    def leave(task: Task, context: Any) -> None:
        gregs = context.gregs
        for register in range(16):
            gregs[register] = U64
        gregs[RIP], gregs[EFLAGS] = address(code, "out"), U64 & ~0x40100
        gregs[18] = 0x10 << 48 | 0x08

    driver.at_safe_point = leave
    driver.kick(task)
    driver.run_to_end()
    assert [fault.signo for fault in driver.faults] == [11]
    assert driver.said == []


@pytest.mark.needs("sigreturn without a frame")
def test_a_return_without_a_frame_is_the_kernels_to_judge(driver: Driver) -> None:
    other = driver.spawn(Code().call(a.ASK).say(1).exit())
    driver.spawn(Code().call(a.SIGRETURN).say(2).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0)]
    assert other.state == "ended"


# -- held -------------------------------------------------------------------------------------------------------------


def test_a_thread_is_held_until_it_is_kicked(driver: Driver) -> None:
    code = Code()
    with code.forever():
        code.call(a.ASK)
    task = driver.spawn(code)
    driver.run(lambda: len(driver.calls) > 3)
    driver.stop(task)
    driver.run(lambda: task.state == "held")
    count = len(driver.calls)
    driver.idle()
    assert len(driver.calls) == count
    driver.cont(task)
    driver.run(lambda: len(driver.calls) > count + 3)
    assert task.state == "running"


def test_a_thread_that_is_held_has_the_registers_it_was_left_with(driver: Driver) -> None:
    task = running(driver, computing())

    def change(task: Task, context: Any) -> None:
        if len(driver.safe_points) == 1:
            context.gregs[RBX] = 1 << 50

    driver.at_safe_point = change
    driver.stop(task)
    driver.run(lambda: task.state == "held")
    driver.kick(task)
    driver.run(lambda: len(driver.safe_points) == 2 and task.state == "held")
    driver.idle()
    driver.cont(task)
    driver.run(lambda: task.state == "running")
    assert [gregs[RBX] for _, gregs in driver.safe_points[1:]] == [1 << 50] * 2
    driver.kick(task)
    driver.run(lambda: len(driver.safe_points) == 4)
    assert driver.safe_points[3][1][RBX] >= 1 << 50


def test_a_parked_thread_is_held_when_its_call_is_complete(driver: Driver) -> None:
    driver.on[1000] = lambda task, *args: None
    task = driver.spawn(Code().call(1000).say(1).exit())
    driver.run(lambda: task.state == "parked")
    driver.stop(task)
    driver.complete(task, 5)
    driver.run(lambda: task.state == "held")
    driver.idle()
    assert driver.said == []
    driver.cont(task)
    driver.run_to_end()
    assert driver.words() == [(1, 5)]


def test_a_handler_is_entered_by_a_thread_that_was_held(driver: Driver) -> None:
    code = computing()
    task = running(driver, code)
    driver.stop(task)
    driver.run(lambda: task.state == "held")
    task.signals.append((10, address(code)))
    driver.cont(task)
    driver.run(lambda: driver.words() == [(100, 10)])


@pytest.mark.parametrize("state", ["computing", "held", "parked"])
def test_a_thread_is_killed_in_whatever_state(driver: Driver, state: str) -> None:
    driver.on[1000] = lambda task, *args: None
    task = driver.spawn(Code().call(1000).exit()) if state == "parked" else running(driver, computing())
    if state == "held":
        driver.stop(task)
    if state != "computing":
        driver.run(lambda: task.state == state)
    driver.kill(task)
    driver.idle()
    assert driver.tasks == {}
