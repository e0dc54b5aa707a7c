"""exec: an empty process for the same task, whose old one ends."""

from __future__ import annotations

from typing import Any

import pytest

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import CODE, DATA, RBX, STACK, Driver
from tests.south.conformance.test_clone import branch, new_thread


def executes(driver: Driver) -> None:
    """execve(2) parks; the test goes on with it."""
    driver.on[a.EXECVE] = lambda task, *args: None


def test_a_program_takes_the_place_of_another(driver: Driver) -> None:
    executes(driver)
    first = Code().mov(a.RBX, DATA).mov(a.R12, 7).mov(a.RCX, 5).store(a.RBX, a.RCX).store(a.RBX, a.RCX, 4096)
    task = driver.spawn(first.call(a.EXECVE, 1, 2, 3).say(1).exit(), data=b"old")
    driver.run(lambda: task.state == "parked")
    old = task.memory
    second = Code()
    for register in (a.RBX, a.RDX, a.RBP, a.R8, a.R9, a.R10, a.R12, a.R13, a.R14, a.R15):
        second.say(register, register)
    second.copy(a.RCX, a.RSP).say(100, a.RCX).mov(a.RBX, DATA).load(a.RCX, a.RBX).say(101, a.RCX)
    second.load(a.RCX, a.RBX, 4096).say(102, a.RCX).exit(9)
    driver.exec(task, second, data=b"\7")
    assert task.memory is not old
    driver.run_to_end()
    said = dict(driver.words(task.tid))
    assert (said.pop(100), said.pop(101), said.pop(102)) == (STACK - 256, 7, 0)
    assert set(said.values()) == {0}
    assert 1 not in said
    assert driver.calls[-1].args[0] == 9


def test_a_program_begins_with_a_clean_extended_state(driver: Driver) -> None:
    executes(driver)
    task = driver.spawn(Code().mov(a.RBX, 5).to_xmm0(a.RBX).call(a.EXECVE).exit())
    driver.run(lambda: task.state == "parked")
    driver.exec(task, Code().from_xmm0(a.RBX).say(1, a.RBX).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0)]


def test_exec_ends_all_other_threads(driver: Driver) -> None:
    """Whichever thread calls it: here the second, while the first makes calls without end."""
    executes(driver)
    code = new_thread(Code(), STACK - 8192)
    with code.forever():
        code.call(a.ASK)
    first = driver.spawn(code.label("child").call(a.EXECVE).say(1).exit())
    driver.run(lambda: bool(driver.begun) and driver.begun[0].state == "parked")
    (second,) = driver.begun
    driver.exec(second, Code().say(2).exit())
    driver.run_to_end()
    assert first.state == "ended"
    assert driver.words() == [(2, 0)]


def test_exec_after_vfork_lets_the_parent_go_on_with_its_memory(driver: Driver) -> None:
    executes(driver)
    code = branch(Code().mov(a.RBX, DATA), a.VFORK).say(1).load(a.RCX, a.RBX).say(2, a.RCX).exit()
    parent = driver.spawn(code.label("child").mov(a.RCX, 5).store(a.RBX, a.RCX).call(a.EXECVE).exit())
    driver.run(lambda: bool(driver.begun) and driver.begun[0].state == "parked" and parent.state == "parked")
    (child,) = driver.begun
    program = Code().mov(a.RBX, DATA).mov(a.RCX, 6).store(a.RBX, a.RCX).load(a.RCX, a.RBX).say(3, a.RCX)
    driver.exec(child, program.exit())
    driver.run_to_end()
    assert driver.words(parent.tid) == [(1, child.tid), (2, 5)]
    assert driver.words(child.tid) == [(3, 6)]


def test_programs_that_execute_each_other_again_and_again(driver: Driver) -> None:
    executes(driver)
    task = driver.spawn(Code().call(a.EXECVE))
    for number in range(8):
        driver.run(lambda: task.state == "parked")
        driver.exec(task, Code().mov(a.RBX, number).say(1, a.RBX).call(a.EXECVE))
    driver.run(lambda: task.state == "parked")
    assert driver.words() == [(1, number) for number in range(8)]


def test_a_program_that_was_kicked_before_it_began_has_its_safe_point_first(driver: Driver) -> None:
    """As a process that is stopped during exec."""
    executes(driver)
    task = driver.spawn(Code().call(a.EXECVE))
    driver.run(lambda: task.state == "parked")
    driver.before_load = driver.kick
    driver.stopped.add(task.tid)
    driver.exec(task, Code().mov(a.RBX, 7).say(1, a.RBX).exit())
    driver.run(lambda: task.state == "held")
    driver.idle()
    assert driver.said == []
    assert driver.safe_points[0][1][RBX] == 0
    driver.cont(task)
    driver.run_to_end()
    assert driver.words() == [(1, 7)]


# -- empty processes --------------------------------------------------------------------------------------------------


def test_empty_processes_that_nobody_wants_are_given_back(driver: Driver) -> None:
    for _ in range(3):
        driver.new_thread().kill()
    driver.idle()
    driver.spawn(Code().say(1).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0)]


def test_several_are_asked_for_at_a_time(driver: Driver) -> None:
    got: list[Any] = []
    driver._inside += 1
    for number in range(5):
        driver.platform.new_process(lambda thread, number=number: got.append((number, thread)))
    driver._inside -= 1
    driver.run(lambda: len(got) == 5)
    assert [number for number, _ in got] == list(range(5))
    assert len({id(thread) for _, thread in got}) == 5
    for _, thread in got:
        thread.kill()


def test_an_empty_process_has_no_memory(driver: Driver) -> None:
    thread = driver.new_thread()
    for address in (CODE, DATA, STACK - 8):
        with pytest.raises(KernelError) as error:
            thread.memory.read(address, 1)
        assert error.value.errno == E.EFAULT
    thread.kill()


def test_an_empty_process_runs_nothing_until_it_is_told(driver: Driver) -> None:
    thread = driver.new_thread()
    driver.idle()
    assert driver.calls == []
    thread.kill()
