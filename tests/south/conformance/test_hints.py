"""Masks, dispositions, the break, futexes: what a platform may answer itself, and how the kernel learns of it.

Each test holds on a platform that answers nothing: the suite's kernel answers then.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from pylitebox.abi import errno as E
from pylitebox.kernel.platform import Ids
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import BREAK, BREAK_SIZE, CODE, DATA, RAX, Driver, Task
from tests.south.conformance.test_clone import branch

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK, _UNBLOCK, _SETMASK = 0, 1, 2
USR1, USR2 = 1 << 9, 1 << 11
UNBLOCKABLE = 1 << 8 | 1 << 18
U64 = (1 << 64) - 1


def word(value: int) -> bytes:
    return value.to_bytes(8, "little")


@pytest.fixture
def masks(driver: Driver) -> Driver:
    """A kernel that answers rt_sigprocmask(2)."""

    def sigprocmask(task: Task, how: int, new: int, old: int, size: int, *rest: int) -> int:
        before = task.thread.blocked
        if new:
            mask = int.from_bytes(task.memory.read(new, 8), "little")
            mask = before | mask if how == _BLOCK else before & ~mask if how == _UNBLOCK else mask
            task.thread.blocked = mask & ~UNBLOCKABLE
            driver.kick(task)
        if old:
            task.memory.write(old, word(before))
        return 0

    driver.on[a.SIGPROCMASK] = sigprocmask
    return driver


def sets(code: Code, how: int, offset: int) -> Code:
    """rt_sigprocmask with the mask at DATA + offset; the old one goes to DATA + 256."""
    return code.call(a.SIGPROCMASK, how, DATA + offset, DATA + 256, 8)


def test_the_mask_is_what_the_guest_made_it(masks: Driver) -> None:
    driver = masks
    seen: list[tuple[int, int]] = []

    def look(task: Task, *args: int) -> int:
        seen.append((task.thread.blocked, int.from_bytes(task.memory.read(DATA + 256, 8), "little")))
        return 0

    driver.on[1000] = look
    code = Code()
    for how, offset in ((_SETMASK, 0), (_BLOCK, 8), (_UNBLOCK, 0), (_SETMASK, 16)):
        sets(code, how, offset).call(1000)
    driver.spawn(code.exit(), data=word(USR1) + word(USR2) + word(U64))
    driver.run_to_end()
    assert seen == [(USR1, 0), (USR1 | USR2, USR1), (USR2, USR1 | USR2), (U64 & ~UNBLOCKABLE, USR2)]


def test_the_kernel_sets_the_mask(masks: Driver) -> None:
    """Before the thread runs, and while it stands in a call; what the guest asks for is what it finds."""
    driver = masks

    def block(task: Task, *args: int) -> int:
        task.thread.blocked = USR1 | USR2
        return 0

    driver.on[1000] = block
    code = sets(Code(), _BLOCK, 0).mov(a.RBX, DATA + 256).load(a.RCX, a.RBX).say(1, a.RCX).call(1000)
    task = driver.spawn(sets(code, _BLOCK, 0).load(a.RCX, a.RBX).say(2, a.RCX).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 0), (2, USR1 | USR2)]
    assert task.blocked == 0


def test_a_child_begins_with_its_parents_mask(masks: Driver) -> None:
    driver = masks
    for number in (a.FORK, a.VFORK):
        code = branch(sets(Code(), _SETMASK, 0), number).exit().label("child")
        sets(code, _BLOCK, 8).mov(a.RBX, DATA + 256).load(a.RCX, a.RBX).say(1, a.RCX)
        driver.spawn(code.exit(), data=word(USR2))
        driver.run_to_end()
    assert driver.words() == [(1, USR2)] * 2


def test_a_change_of_the_mask_that_is_attended_to_is_told(masks: Driver) -> None:
    """By a safe point before the next instruction: after the call's result."""
    driver = masks

    def attend(task: Task, waits: int, *rest: int) -> int:
        task.thread.attend(waits=bool(waits))
        return 0

    seen: list[tuple[int, int]] = []

    def look(task: Task, context: Any) -> None:
        seen.append((task.thread.blocked, context.gregs[RAX]))

    driver.on[1000], driver.at_safe_point = attend, look
    code = sets(Code().call(1000, 1), _SETMASK, 0).say(1)
    driver.spawn(sets(code, _BLOCK, 8).say(2).call(1000, 0).exit(), data=word(USR1) + word(USR2))
    driver.run(lambda: len(driver.said) == 1 or not driver.tasks)
    driver.run_to_end()
    assert seen[:2] == [(USR1, 0), (USR1 | USR2, 0)]
    assert driver.words() == [(1, 0), (2, 0)]


def test_a_handler_is_entered_as_soon_as_its_signal_is_unblocked(masks: Driver) -> None:
    driver = masks

    def attend(task: Task, *args: int) -> int:
        task.thread.attend(waits=True)
        return 0

    def deliver(task: Task, context: Any) -> None:
        if not task.thread.blocked & USR1 and not driver.said:
            task.signals.append((10, CODE + code.labels["handler"]))

    driver.on[1000], driver.at_safe_point = attend, deliver
    code = sets(sets(Code().call(1000), _SETMASK, 0), _UNBLOCK, 0).say(2).exit()
    code.label("handler").say(1).call(a.SIGRETURN)
    driver.spawn(code, data=word(USR1))
    driver.run_to_end()
    assert [number for number, _ in driver.words()] == [1, 2]


# -- dispositions -----------------------------------------------------------------------------------------------------


def test_what_the_platform_was_told_of_dispositions_is_what_the_guest_finds(driver: Driver) -> None:
    """Signal 10 by the kernel, signal 12 by default; told to the thread in its call."""
    action = struct.pack("<4Q", CODE + 7, 0x04000000, CODE + 9, USR2)

    def tell(task: Task, *args: int) -> int:
        task.thread.action_changed(10, action)
        return 0

    def sigaction(task: Task, signo: int, new: int, old: int, size: int, *rest: int) -> int:
        task.memory.write(old, action if signo == 10 else bytes(32))
        return 0

    driver.on[1000], driver.on[a.SIGACTION] = tell, sigaction
    code = Code().mov(a.RBX, DATA).call(1000)
    for signo in (10, 12):
        code.call(a.SIGACTION, signo, 0, DATA, 8).say(signo)
        for place in range(0, 32, 8):
            code.load(a.RCX, a.RBX, place).say(place, a.RCX)
    driver.spawn(code.exit(), data=b"\xff" * 32)
    driver.run_to_end()
    words = struct.unpack("<4Q", action)
    expected = [(10, 0), *zip(range(0, 32, 8), words, strict=True), (12, 0), *((place, 0) for place in range(0, 32, 8))]
    assert driver.words() == expected


def test_hostile_dispositions_do_no_harm(driver: Driver) -> None:
    """Wherever the guest says that they are, and whatever the signal."""
    driver.on[a.SIGACTION] = lambda task, *args: -E.EFAULT
    code = Code()
    for signo in (0, 9, 19, 65, U64):
        for place in (0, 1, 1 << 63, U64, CODE):
            code.call(a.SIGACTION, signo, place, place, 8).call(a.SIGPROCMASK, signo, place, place, 8)
    driver.spawn(code.say(1).exit())
    driver.run_to_end()
    assert len(driver.words()) == 1
    assert driver.lost_tasks == []


# -- the break --------------------------------------------------------------------------------------------------------


def test_the_break_is_the_platforms_or_the_kernels(driver: Driver) -> None:
    """Where the platform answers brk(2), it moves within what the image gave, and the kernel finds it."""
    seen: list[int] = []

    def look(task: Task, *args: int) -> int:
        seen.append(task.thread.program_break() if driver.platform.delegates_memory else 0)
        return 0

    driver.on[1000], driver.on[a.BRK] = look, lambda task, address, *rest: BREAK
    code = Code().call(a.BRK, 0).say(1).call(1000)
    for address in (BREAK + 4096, BREAK + BREAK_SIZE + 1, 5, BREAK + 100):
        code.call(a.BRK, address).call(1000)
    driver.spawn(code.exit())
    driver.run_to_end()
    assert driver.words() == [(1, BREAK)]
    moved = [BREAK, BREAK + 4096, BREAK + 4096, BREAK + 4096, BREAK + 100]
    assert seen == ([0] * 5 if a.BRK in [call.number for call in driver.calls] else moved)


# -- futexes ----------------------------------------------------------------------------------------------------------


def test_a_thread_that_waits_on_a_futex_is_brought_to_its_safe_point(driver: Driver) -> None:
    """In a call that the host runs, or parked in the kernel."""
    driver.on[a.FUTEX] = lambda task, *args: None
    code = Code().call(a.FUTEX, DATA, 128, 0, 0).say(1).exit()
    code.label("handler").say(2).call(a.SIGRETURN)
    task = driver.spawn(code)
    driver.run(lambda: task.state == "parked" or task.thread.asleep())
    task.memory.write(DATA, b"\1")  # it would not wait again
    driver.signal(task, 10, CODE + code.labels["handler"])
    if task.state == "parked":
        driver.complete(task, -E.EINTR)
    driver.run_to_end()
    assert driver.safe_points[0][1][RAX] in (a.FUTEX, U64 + 1 - E.EINTR)
    (first, _), (second, result) = driver.words()
    assert (first, second) == (2, 1)
    assert result in (U64 + 1 - E.EINTR, U64 + 1 - E.EAGAIN)


def test_a_thread_that_waits_on_a_futex_is_ended(driver: Driver) -> None:
    driver.on[a.FUTEX] = lambda task, *args: None
    task = driver.spawn(Code().call(a.FUTEX, DATA, 128, 0, 0).say(1).exit())
    driver.run(lambda: task.state == "parked" or task.thread.asleep())
    driver.kill(task)
    driver.idle()
    assert driver.said == []


# -- ids --------------------------------------------------------------------------------------------------------------

#: gettid, getpid, getppid, getuid, geteuid, getgid, getegid: in the order of Ids.
_IDS = (186, 39, 110, 102, 107, 104, 108)


def says_ids(code: Code) -> Code:
    for word_said, number in enumerate(_IDS):
        code.call(number).say(word_said)
    return code


@pytest.mark.parametrize("number", [a.FORK, a.VFORK])
def test_ids_are_what_was_told_and_a_childs_its_own(driver: Driver, number: int) -> None:
    told = Ids(900, 900, 800, 1, 2, 3, 4)
    asked: dict[int, Ids] = {}

    def tell(task: Task, *args: int) -> int:
        asked[task.tid] = told
        task.thread.ids_changed(told)
        return 0

    def answer(index: int) -> Callable[..., int]:
        def handler(task: Task, *args: int) -> int:
            return asked.get(task.tid, told._replace(tid=task.tid, pid=task.tid, ppid=told.pid))[index]

        return handler

    driver.on[1000] = tell
    driver.on.update({number: answer(index) for index, number in enumerate(_IDS)})
    code = branch(says_ids(Code().call(1000)), number)
    says_ids(code).exit()
    parent = driver.spawn(says_ids(code.label("child")).exit())
    driver.run_to_end()
    (child,) = driver.begun
    assert [value for _, value in driver.words(child.tid)] == [child.tid, child.tid, 900, 1, 2, 3, 4]
    assert [value for _, value in driver.words(parent.tid)] == [*told, *told]
