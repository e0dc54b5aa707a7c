"""System calls: their numbers, arguments and results, what they leave of the registers, and how they wait."""

from __future__ import annotations

import pytest

from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import CODE, DATA, Driver

U64 = (1 << 64) - 1


def test_a_call_has_its_number_arguments_and_result(driver: Driver) -> None:
    driver.on[a.ASK] = lambda task, *args: -38
    task = driver.spawn(Code().call(a.ASK, 1, U64, 1 << 63, 4, 5, 6).say(1).exit(3))
    driver.run_to_end()
    assert [call.number for call in driver.calls] == [a.ASK, a.SAY, a.EXIT_GROUP]
    assert driver.calls[0] == (task.tid, a.ASK, (1, U64, 1 << 63, 4, 5, 6))
    assert driver.words() == [(1, U64 - 37)]
    assert driver.calls[2].args[0] == 3


@pytest.mark.parametrize("result", [0, 1, -1, -4095, -4096, (1 << 47) - 1, (1 << 63) - 1, -1 << 63])
def test_any_result_is_what_rax_has(driver: Driver, result: int) -> None:
    driver.on[a.ASK] = lambda task, *args: result
    driver.spawn(Code().call(a.ASK).say(1).exit())
    driver.run_to_end()
    assert driver.words() == [(1, result & U64)]


def test_the_number_is_in_the_low_half_of_rax(driver: Driver) -> None:
    """As the register is eax to Linux: whatever the high half holds."""
    driver.on[a.ASK] = lambda task, *args: 5
    driver.spawn(Code().mov(a.RAX, 0xDEAD_BEEF << 32 | a.ASK).syscall().say(1).exit())
    driver.run_to_end()
    assert driver.calls[0].number == a.ASK
    assert driver.words() == [(1, 5)]


@pytest.mark.parametrize("number", [999, 0x3FFF_FFFF, 0x4000_0027, 0x8000_0000, 0xFFFF_FFFF])
def test_a_number_that_nobody_knows_is_enosys_and_no_more(driver: Driver, number: int) -> None:
    """The kernel says so, or the platform in its place (as of calls of the x32 kind)."""
    driver.spawn(Code().call(number, 1, 2, 3).say(1).exit())
    driver.run_to_end()
    assert driver.words() == [(1, U64 - 37)]
    assert {call.number for call in driver.calls} <= {number, a.SAY, a.EXIT_GROUP}


def test_a_call_keeps_all_other_registers(driver: Driver) -> None:
    kept = (a.RBX, a.RDX, a.RSI, a.RDI, a.RBP, a.R8, a.R9, a.R10, a.R12, a.R13, a.R14, a.R15)
    code = Code()
    for register in kept:
        code.mov(register, 0x1000_0000_0000 + register)
    code.mov(a.RAX, a.ASK).syscall()
    for register in kept:
        if register not in (a.RDI, a.RSI):
            code.say(register, register)
    driver.spawn(code.exit())
    driver.run_to_end()
    asked = driver.calls[0]
    assert asked.args == tuple(0x1000_0000_0000 + r for r in a.ARGUMENTS)
    assert dict(driver.words()) == {r: 0x1000_0000_0000 + r for r in kept if r not in (a.RDI, a.RSI)}


@pytest.mark.needs("rcx")
def test_rcx_and_r11_are_kept_or_what_the_instruction_leaves(driver: Driver) -> None:
    code = Code().mov(a.RCX, 77).mov(a.R11, 88).mov(a.RAX, a.ASK).syscall()
    behind = CODE + len(code)
    driver.spawn(code.copy(a.R12, a.R11).copy(a.RBX, a.RCX).say(1, a.RBX).say(2, a.R12).exit())
    driver.run_to_end()
    said = dict(driver.words())
    assert said[1] in (77, behind)
    assert said[2] == 88 or said[2] & 0x202 == 0x202


def test_the_stack_pointer_of_a_call_where_it_is_known(driver: Driver) -> None:
    seen: list[int] = []
    driver.on[a.ASK] = lambda task, *args: seen.append(task.thread.stack_pointer()) or 0
    driver.spawn(Code().mov(a.RSP, DATA + 800).call(a.ASK).exit())
    driver.run_to_end()
    assert seen in ([DATA + 800], [0])


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_a_parked_thread_stands_until_its_call_is_complete(driver: Driver) -> None:
    driver.on[a.ASK] = lambda task, *args: None
    task = driver.spawn(Code().call(a.ASK).say(1).exit())
    driver.run(lambda: task.state == "parked")
    driver.idle()
    assert len(driver.calls) == 1
    driver.complete(task, -4)
    driver.run_to_end()
    assert driver.words() == [(1, U64 - 3)]


def test_others_run_while_one_is_parked(driver: Driver) -> None:
    """And one's call may complete another's."""
    driver.on[a.ASK] = lambda task, *args: None
    waits = driver.spawn(Code().call(a.ASK).say(1).exit())
    driver.run(lambda: waits.state == "parked")

    def finish(task: object, *args: int) -> int:
        driver.complete(waits, 7)
        return 8

    driver.on[1000] = finish
    driver.spawn(Code().call(1000).say(2).exit())
    driver.run_to_end()
    assert sorted(driver.words()) == [(1, 7), (2, 8)]


def test_a_call_may_be_completed_from_outside_of_poll(driver: Driver) -> None:
    driver.on[a.ASK] = lambda task, *args: None
    code = Code()
    with code.forever():
        code.call(a.ASK).say(1)
    task = driver.spawn(code)
    for number in range(20):
        driver.run(lambda: task.state == "parked")
        driver.complete(task, number)
    driver.run(lambda: len(driver.said) == 20)
    assert driver.words() == [(1, number) for number in range(20)]


# -- turns ------------------------------------------------------------------------------------------------------------


def calling() -> Code:
    code = Code()
    with code.forever():
        code.call(a.ASK)
    return code


def computing() -> Code:
    code = Code()
    with code.forever():
        code.add(a.RBX, 1)
    return code


def test_all_who_make_calls_without_end_get_their_turn(driver: Driver) -> None:
    tasks = [driver.spawn(calling()) for _ in range(3)]
    driver.run(lambda: all(sum(call.tid == task.tid for call in driver.calls) > 50 for task in tasks))


def test_who_computes_without_end_does_not_keep_others_from_running(driver: Driver) -> None:
    for _ in range(2):
        driver.spawn(computing())
    driver.spawn(Code().call(a.ASK).say(1).exit())
    driver.run(lambda: driver.words() == [(1, 0)])


@pytest.mark.parametrize("guest", [calling, computing])
def test_poll_ends_at_its_deadline(driver: Driver, guest: object) -> None:
    driver.spawn(guest())  # type: ignore[operator]
    for _ in range(3):
        driver.poll(20_000_000)


def test_poll_ends_soon_once_the_kernel_has_work(driver: Driver) -> None:
    """A deadline that is far away must not be waited for."""
    task = driver.spawn(calling())
    driver.run(lambda: len(driver.calls) > 3)
    count = len(driver.calls)
    driver.work.append(task)
    driver.poll(10**15)
    assert len(driver.calls) - count < 1000


def test_poll_without_anything_to_do_ends_at_its_deadline(driver: Driver) -> None:
    before = driver.platform.monotonic_ns()
    driver.poll(2_000_000)
    driver.poll(0)
    driver.poll(-5)
    assert driver.platform.monotonic_ns() >= before
