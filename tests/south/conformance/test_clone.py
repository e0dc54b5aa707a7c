"""fork, vfork, threads: what a child shares with its parent, and what it has of its own."""

from __future__ import annotations

from typing import Any

import pytest

from pylitebox.abi import sched
from pylitebox.abi.mman import PAGE_SIZE
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import DATA, RBX, STACK, Driver, Task

THREAD = (
    sched.CLONE_VM | sched.CLONE_FS | sched.CLONE_FILES | sched.CLONE_SIGHAND | sched.CLONE_THREAD
    | sched.CLONE_SYSVSEM | sched.CLONE_SETTLS
)  # fmt: skip
MEET = 1000


def meeting(driver: Driver, count: int) -> list[Task]:
    """The call MEET: nobody returns from it before ``count`` threads have come."""
    waiting: list[Task] = []

    def meet(task: Task, *args: int) -> int | None:
        waiting.append(task)
        if len(waiting) < count:
            return None
        for other in waiting[:-1]:
            driver.complete(other, 0)
        waiting.clear()
        return 0

    driver.on[MEET] = meet
    return waiting


def branch(code: Code, number: int, *args: int) -> Code:
    """Clone; the child goes on at "child"."""
    return code.call(number, *args).compare(a.RAX, 0).jump_equal("child")


def new_thread(code: Code, stack: int, tls: int = DATA) -> Code:
    return branch(code, a.CLONE, THREAD, stack, 0, 0, tls)


def test_a_fork_has_a_copy_of_everything(driver: Driver) -> None:
    code = Code().mov(a.RBX, DATA).mov(a.R12, 77).mov(a.R9, 78)
    branch(code, a.FORK).say(1).copy(a.R13, a.R9).say(2, a.R12).say(3, a.R13).load(a.RCX, a.RBX).say(4, a.RCX).exit()
    code.label("child").say(1).copy(a.R13, a.R9).say(2, a.R12).say(3, a.R13).load(a.RCX, a.RBX).say(4, a.RCX).exit()
    parent = driver.spawn(code, data=b"\x37")
    driver.run_to_end()
    (child,) = driver.begun
    assert driver.words(parent.tid) == [(1, child.tid), (2, 77), (3, 78), (4, 0x37)]
    assert driver.words(child.tid) == [(1, 0), (2, 77), (3, 78), (4, 0x37)]


@pytest.mark.needs("extended state")
def test_a_fork_has_its_parents_extended_state(driver: Driver) -> None:
    code = Code().mov(a.RBX, 0x1234567890).to_xmm0(a.RBX)
    branch(code, a.FORK).from_xmm0(a.RCX).say(1, a.RCX).exit()
    code.label("child").from_xmm0(a.RCX).say(1, a.RCX).exit()
    driver.spawn(code)
    driver.run_to_end()
    assert driver.words() == [(1, 0x1234567890)] * 2


def test_what_one_side_of_a_fork_stores_the_other_does_not_see(driver: Driver) -> None:
    """Each stores to pages that it had touched before and that it had not; the stack too."""
    meeting(driver, 2)
    places = (DATA, DATA + PAGE_SIZE, STACK - 64, STACK - 5 * PAGE_SIZE)

    def store_and_look(value: int) -> None:
        for place in places:
            code.mov(a.RBX, place).mov(a.RCX, value).store(a.RBX, a.RCX)
        code.call(MEET)
        for place in places:
            code.mov(a.RBX, place).load(a.RCX, a.RBX).say(place, a.RCX)

    code = Code().mov(a.RBX, DATA).mov(a.RCX, 1).store(a.RBX, a.RCX)
    branch(code, a.FORK)
    store_and_look(22)
    code.exit().label("child")
    store_and_look(33)
    code.exit()
    parent = driver.spawn(code)
    driver.run_to_end()
    (child,) = driver.begun
    assert driver.words(parent.tid) == [(place, 22) for place in places]
    assert driver.words(child.tid) == [(place, 33) for place in places]


def test_what_the_kernel_writes_after_a_fork_is_one_sides_too(driver: Driver) -> None:
    waiting = meeting(driver, 3)
    code = Code().mov(a.RBX, DATA)
    branch(code, a.FORK).call(MEET).load(a.RCX, a.RBX).say(1, a.RCX).exit()
    code.label("child").call(MEET).load(a.RCX, a.RBX).say(1, a.RCX).exit()
    parent = driver.spawn(code, data=b"\1")
    driver.run(lambda: len(waiting) == 2)
    (child,) = driver.begun
    child.memory.write(DATA, b"\7")
    assert parent.memory.read(DATA, 2) == b"\1\0"
    parent.memory.write(DATA, b"\5")
    assert child.memory.read(DATA, 2) == b"\7\0"
    for task in tuple(waiting):
        driver.complete(task, 0)
    driver.run_to_end()
    assert driver.words(parent.tid) == [(1, 5)]
    assert driver.words(child.tid) == [(1, 7)]


def test_forks_of_forks(driver: Driver) -> None:
    """Sixteen processes, each with the way that it came in its memory."""
    code = Code().mov(a.RBX, DATA)
    for step in range(4):
        code.call(a.FORK).compare(a.RAX, 0).jump_unequal(f"parent {step}")
        code.load(a.RCX, a.RBX).add(a.RCX, 1 << step).store(a.RBX, a.RCX).label(f"parent {step}")
    driver.spawn(code.load(a.RCX, a.RBX).say(1, a.RCX).exit())
    driver.run_to_end()
    assert sorted(value for _, value in driver.words()) == list(range(16))


def test_a_fork_may_have_a_stack_of_its_own(driver: Driver) -> None:
    code = branch(Code(), a.CLONE, 17, DATA + 4096, 0, 0, 0)
    code.copy(a.RCX, a.RSP).say(1, a.RCX).exit().label("child").copy(a.RCX, a.RSP).say(2, a.RCX).exit()
    driver.spawn(code)
    driver.run_to_end()
    assert sorted(driver.words()) == [(1, STACK - 256), (2, DATA + 4096)]


def test_a_child_goes_on_when_its_parent_has_ended(driver: Driver) -> None:
    driver.on[a.ASK] = lambda task, *args: None
    code = branch(Code(), a.FORK).exit().label("child").call(a.ASK).say(1).exit()
    parent = driver.spawn(code)
    driver.run(lambda: parent.state == "ended" and [t for t in driver.tasks.values() if t.state == "parked"] != [])
    (child,) = driver.begun
    driver.complete(child, 5)
    driver.run_to_end()
    assert driver.words(child.tid) == [(1, 5)]


# -- threads ----------------------------------------------------------------------------------------------------------


def test_a_thread_shares_memory_and_has_stack_and_tls_of_its_own(driver: Driver) -> None:
    meeting(driver, 2)
    code = Code().mov(a.RBX, DATA).mov(a.R12, 9)
    new_thread(code, STACK - 8192, DATA + 64).mov(a.RCX, 5).store(a.RBX, a.RCX).call(MEET).say(1).call(a.EXIT)
    code.label("child").call(MEET).load(a.RCX, a.RBX).say(2, a.RCX).copy(a.RCX, a.RSP).say(3, a.RCX)
    code.load_fs().say(4).load_fs(8).say(5).say(6, a.R12).call(a.EXIT)
    driver.spawn(code, data=bytes(64) + (99).to_bytes(8, "little") + (98).to_bytes(8, "little"))
    driver.run_to_end()
    (child,) = driver.begun
    assert driver.words(child.tid) == [(2, 5), (3, STACK - 8192), (4, 99), (5, 98), (6, 9)]


def test_the_kernel_sets_the_bases_of_segments(driver: Driver) -> None:
    """Where arch_prctl(2) is the kernel's; a program's are 0, a child's its parent's."""
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} has arch_prctl on the host")
    seen: list[tuple[int, int]] = []

    def set_bases(task: Task, *args: int) -> int:
        seen.append((task.thread.fs_base, task.thread.gs_base))
        task.thread.fs_base, task.thread.gs_base = DATA + 64, DATA + 128
        seen.append((task.thread.fs_base, task.thread.gs_base))
        return 0

    def look(task: Task, *args: int) -> int:
        seen.append((task.thread.fs_base, task.thread.gs_base))
        return 0

    driver.on[1000], driver.on[1001] = set_bases, look
    code = branch(Code().call(1000).load_fs().say(1), a.FORK).exit()
    driver.spawn(code.label("child").call(1001).load_fs().say(2).exit(), data=bytes(64) + b"\x2a")
    driver.run_to_end()
    assert sorted(driver.words()) == [(1, 42), (2, 42)]
    assert seen == [(0, 0), (DATA + 64, DATA + 128), (DATA + 64, DATA + 128)]


@pytest.mark.needs("own memory calls")
def test_the_word_of_a_thread_that_has_ended_is_cleared(driver: Driver) -> None:
    """And whoever waits for it is woken; where futexes are the host's."""
    if not driver.platform.delegates_memory:
        pytest.skip(f"on {driver.subject.name} that is the kernel's")
    word = DATA + 512
    code = Code().mov(a.RBX, word).mov(a.RCX, 1).store(a.RBX, a.RCX)
    code.call(a.CLONE, THREAD | sched.CLONE_CHILD_CLEARTID, STACK - 8192, 0, word, DATA)
    code.compare(a.RAX, 0).jump_equal("child").call(a.FUTEX, word, 0, 1, 0).load(a.RCX, a.RBX).say(1, a.RCX).exit()
    driver.on[1000] = lambda task, *args: None
    task = driver.spawn(code.label("child").call(1000).call(a.EXIT, 0))
    driver.run(lambda: bool(driver.begun) and driver.begun[0].state == "parked" and task.thread.asleep())
    driver.complete(driver.begun[0], 0)
    driver.run_to_end()
    assert driver.words() == [(1, 0)]


def test_threads_begin_and_end_one_by_one(driver: Driver) -> None:
    """What ends is the thread; the process ends with the last."""
    code = Code()
    for number in range(6):
        code.mov(a.R12, number)
        code.call(a.CLONE, THREAD, STACK - 4096 * (number + 2), 0, 0, DATA).compare(a.RAX, 0).jump_equal("child")
    code.call(a.EXIT, 0).label("child").say(1, a.R12).call(a.EXIT, 0)
    for _ in range(2):
        driver.spawn(code)
    driver.run_to_end()
    assert sorted(driver.words()) == sorted([(1, number) for number in range(6)] * 2)
    assert len(driver.begun) == 12


def test_a_process_may_share_memory_without_being_a_thread(driver: Driver) -> None:
    """One's end is not the other's."""
    meeting(driver, 3)
    code = Code().mov(a.RBX, DATA)
    branch(code, a.CLONE, sched.CLONE_VM | 17, STACK - 8192, 0, 0, 0).call(MEET).load(a.RCX, a.RBX).say(1, a.RCX).exit()
    code.label("child").mov(a.RCX, 5).store(a.RBX, a.RCX).exit()
    parent = driver.spawn(code)
    driver.run(lambda: parent.state == "parked" and len(driver.tasks) == 1)
    driver.complete(parent, 0)
    driver.run_to_end()
    assert driver.words() == [(1, 5)]


# -- vfork ------------------------------------------------------------------------------------------------------------


def test_the_parent_of_a_vfork_stands_until_the_child_has_ended(driver: Driver) -> None:
    driver.on[a.ASK] = lambda task, *args: None
    code = Code().mov(a.RBX, DATA)
    branch(code, a.VFORK).say(1).load(a.RCX, a.RBX).say(2, a.RCX).exit()
    code.label("child").mov(a.RCX, 5).store(a.RBX, a.RCX).call(a.ASK).exit()
    parent = driver.spawn(code)
    driver.run(lambda: bool(driver.begun) and driver.begun[0].state == "parked" and parent.state == "parked")
    (child,) = driver.begun
    driver.idle()
    assert driver.words() == []
    driver.complete(child, 0)
    driver.run_to_end()
    assert driver.words(parent.tid) == [(1, child.tid), (2, 5)]


def test_the_parent_of_a_vfork_goes_on_when_the_child_is_killed(driver: Driver) -> None:
    driver.on[a.ASK] = lambda task, *args: driver.kill(task)
    code = branch(Code(), a.VFORK).say(1).exit().label("child").call(a.ASK).say(2).exit()
    parent = driver.spawn(code)
    driver.run_to_end()
    assert driver.words() == [(1, driver.begun[0].tid)]
    assert driver.words(parent.tid) == driver.words()


# -- the beginning of a child -----------------------------------------------------------------------------------------


def test_a_child_that_is_killed_as_it_begins_does_nothing(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    started = driver.started

    def kill(task: Task) -> None:
        started(task)
        driver.kill(task)

    monkeypatch.setattr(driver, "started", kill)
    driver.spawn(branch(Code(), a.FORK).say(1).exit().label("child").say(2).exit())
    driver.run_to_end()
    assert [word for word, _ in driver.words()] == [1]


def test_a_child_that_is_killed_before_it_begins_does_nothing(driver: Driver) -> None:
    driver.at_clone = driver.kill
    driver.spawn(branch(Code(), a.FORK).say(1).exit().label("child").say(2).exit())
    driver.run_to_end()
    driver.idle()
    assert [word for word, _ in driver.words()] == [1]
    assert driver.begun == []


@pytest.mark.parametrize("number", [a.FORK, a.VFORK])
def test_a_child_that_is_kicked_before_it_begins_has_its_safe_point_first(driver: Driver, number: int) -> None:
    def change(task: Task, context: Any) -> None:
        context.gregs[RBX] += 1

    driver.at_clone = driver.kick
    driver.at_safe_point = change
    code = branch(Code().mov(a.RBX, 5), number).say(1, a.RBX).exit().label("child").say(2, a.RBX).exit()
    driver.spawn(code)
    driver.run_to_end()
    assert sorted(driver.words()) == [(1, 5), (2, 6)]
