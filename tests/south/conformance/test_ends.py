"""The ends of guests: their own, the kernel's order, the host's; and of the platform, which leaves nothing.

Each test's fixture looks for descriptors, threads and processes that are left.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

import pytest

from pylitebox.abi.mman import PAGE_SIZE
from pylitebox.kernel.image import Mapping
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import DATA, RW, STACK, Driver, Task
from tests.south.conformance.test_clone import THREAD, branch, new_thread
from tests.south.conformance.test_safe_points import computing, running

LARGE, LARGE_SIZE = 0x50000000, 64 << 20


def test_exit_group_ends_all_threads(driver: Driver) -> None:
    """One that computes, one that is parked."""
    driver.on[1000] = lambda task, *args: None
    code = new_thread(Code(), STACK - 4096)
    code.call(a.CLONE, THREAD, STACK - 8192, 0, 0, DATA).compare(a.RAX, 0).jump_equal("spin")
    code.call(a.ASK).exit(3)
    code.label("child").call(1000).say(1).exit().label("spin")
    with code.forever():
        code.add(a.RBX, 1)
    driver.on[a.ASK] = lambda task, *args: None
    task = driver.spawn(code)
    driver.run(lambda: len(driver.begun) == 2 and task.state == driver.begun[0].state == "parked")
    driver.complete(task, 0)
    driver.run_to_end()
    driver.idle()
    assert driver.said == []


def test_the_others_go_on_when_the_first_thread_exits(driver: Driver) -> None:
    code = new_thread(Code(), STACK - 8192).call(a.EXIT, 0).label("child")
    for _ in range(5):
        code.call(a.ASK)
    driver.spawn(code.say(1).call(a.EXIT, 0))
    driver.run_to_end()
    assert [word for word, _ in driver.words()] == [1]


def test_a_killed_process_leaves_its_forks_alone(driver: Driver) -> None:
    code = branch(Code(), a.FORK)
    with code.forever():
        code.call(a.ASK)
    code.label("child").call(1000).say(1).exit()
    driver.on[1000] = lambda task, *args: None
    parent = driver.spawn(code)
    driver.run(lambda: bool(driver.begun) and driver.begun[0].state == "parked")
    driver.kill(parent)
    driver.complete(driver.begun[0], 7)
    driver.run_to_end()
    assert driver.words() == [(1, 7)]


@pytest.mark.parametrize("event", ["call", "safe point", "fault"])
def test_a_process_is_killed_from_within_its_own_event(driver: Driver, event: str) -> None:
    """All its threads are: none has an event afterwards. What the event returns is nothing to anybody."""

    def kill(task: Task, *args: Any) -> Any:
        driver.kill(task)
        return 0 if event == "call" else None

    if event == "fault":
        driver.at_fault = lambda task, context, fault: bool(kill(task)) or True
    driver.on[1000] = kill if event == "call" else lambda task, *args: driver.kick(task) or 0
    if event == "safe point":
        driver.at_safe_point = kill
    code = new_thread(Code(), STACK - 8192)
    code = (code.ud2() if event == "fault" else code.call(1000)).say(1).exit().label("child")
    with code.forever():
        code.call(a.ASK)
    driver.spawn(code)
    driver.run_to_end()
    driver.idle()
    assert driver.said == []


def test_a_process_is_killed_by_anothers_call(driver: Driver) -> None:
    victims = [running(driver, computing()) for _ in range(2)]

    def kill(task: Task, number: int, *rest: int) -> int:
        driver.kill(victims[number])
        return 0

    driver.on[1000] = kill
    driver.spawn(Code().call(1000, 0).call(1000, 1).say(1).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0)]


def test_many_processes_one_after_another(driver: Driver) -> None:
    for _ in range(30):
        driver.spawn(branch(Code(), a.FORK).exit().label("child").exit())
        driver.run_to_end()
    assert len(driver.begun) == 30


# -- not the kernel's order -------------------------------------------------------------------------------------------


@pytest.mark.needs("strike")
def test_a_process_that_the_host_ends_is_lost_once(driver: Driver) -> None:
    code = new_thread(Code(), STACK - 8192).call(1000).exit().label("child")
    with code.forever():
        code.add(a.RBX, 1)
    driver.on[1000] = lambda task, *args: None
    task = driver.spawn(code)
    driver.run(lambda: task.state == "parked" and bool(driver.begun))
    driver.subject.strike(driver.platform, task.thread)
    driver.run_to_end()
    assert len(driver.lost_tasks) == 1
    driver.spawn(Code().say(1).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0)]


def test_who_ends_in_time_is_not_lost(driver: Driver) -> None:
    for _ in range(10):
        driver.spawn(Code().exit())
        driver.kill(driver.spawn(computing()))
    driver.run_to_end()
    driver.idle()
    assert driver.lost_tasks == []


@pytest.mark.needs("little memory")
def test_a_guest_that_takes_all_memory_is_lost_and_others_are_not(make: Callable[..., Driver]) -> None:
    driver = make(memory=16 << 20)
    waits = driver.spawn(Code().call(1000).say(1).exit())
    driver.on[1000] = lambda task, *args: None
    greedy = Code().mov(a.RBX, LARGE)
    with greedy.forever():
        greedy.store(a.RBX, a.RBX).add(a.RBX, PAGE_SIZE)
    for _ in range(3):  # what one had the next can have
        task = driver.spawn(greedy, extra=[Mapping(LARGE, LARGE_SIZE, RW)])
        driver.run(lambda task=task: task.state == "ended")
        assert driver.lost_tasks.pop() is task
    driver.complete(waits, 7)
    driver.run_to_end()
    assert driver.words() == [(1, 7)]
    assert driver.lost_tasks == []


# -- what was used ----------------------------------------------------------------------------------------------------


@pytest.mark.needs("cpu time")
def test_time_is_counted_and_never_goes_back(driver: Driver) -> None:
    task = running(driver, computing())
    idle = driver.spawn(Code().call(1000).exit())
    driver.on[1000] = lambda task, *args: None
    driver.run(lambda: idle.state == "parked")
    seen = [0]
    driver.run(lambda: seen.append(task.thread.cpu_time()) or seen[-1] > 20_000_000)  # type: ignore[func-returns-value]
    assert seen == sorted(seen)
    assert 0 < task.thread.cpu_time(alone=True) <= task.thread.cpu_time() + 10_000_000
    usage = task.thread.usage()
    assert usage.total > 0
    assert min(usage) >= 0
    assert idle.thread.cpu_time() <= task.thread.cpu_time()


# -- the end of the platform ------------------------------------------------------------------------------------------


def test_close_ends_guests_in_whatever_state(driver: Driver) -> None:
    driver.on[1000] = lambda task, *args: None
    parked = driver.spawn(branch(new_thread(Code(), STACK - 8192), a.FORK).call(1000).label("child").call(1000))
    held = running(driver, computing())
    running(driver, computing())
    driver.new_thread()
    driver.stop(held)
    driver.run(lambda: held.state == "held" and parked.state == "parked")
    driver.tasks.clear()  # nobody ends them but the platform


def test_close_is_done_once(driver: Driver) -> None:
    driver.spawn(computing())
    driver.close()
    driver.close()


def test_a_platform_that_was_never_used_leaves_nothing(make: Callable[..., Driver]) -> None:
    make()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="there is no /proc")
def test_a_platform_that_is_closed_gives_its_memory_back(subject: Any) -> None:
    """What it has of the process's addresses: there may be caches of the process's own, which don't grow."""
    sizes = []
    for _ in range(5):
        driver = Driver(subject, subject.make())
        driver.spawn(branch(Code(), a.FORK).exit().label("child").exit())
        driver.run_to_end()
        driver.close()
        del driver
        gc.collect()
        with open("/proc/self/statm", "rb") as file:
            sizes.append(int(file.read().split()[0]) * PAGE_SIZE)
    assert sizes[-1] - sizes[1] < 48 << 20


@pytest.mark.needs("two in a process")
def test_two_platforms_side_by_side(make: Callable[..., Driver]) -> None:
    first, second = make(), make()
    for driver, value in ((first, 1), (second, 2)):
        driver.spawn(Code().mov(a.RBX, value).say(1, a.RBX).exit())
    for driver in (first, second):
        driver.run_to_end()
    assert first.words() == [(1, 1)]
    assert second.words() == [(1, 2)]
