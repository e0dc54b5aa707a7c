"""Threads that take turns, on a CPU that plays a script: queue, safe points, clones, and the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pylitebox.abi.mman import PROT_READ, PROT_WRITE
from pylitebox.abi.sched import CLONE_SETTLS, CLONE_THREAD, CLONE_VFORK, CLONE_VM
from pylitebox.kernel.image import Image
from pylitebox.kernel.wait import WaitQueue
from pylitebox.south.paging import PagedSpace
from pylitebox.south.turns import TurnPlatform, TurnProcess, TurnThread

NR_GETPPID, NR_CLONE, NR_EXIT, NR_EXIT_GROUP = 110, 56, 60, 231


class ScriptThread(TurnThread):
    """Registers are a dictionary."""

    def __init__(self, platform: Any, process: TurnProcess, space: PagedSpace) -> None:
        super().__init__(platform, process, space)
        self.registers: dict[str, int] = {"fs": 0, "gs": 0}
        self.script: list[Callable[[], bool]] = []

    def enter(self, entry: int, stack_pointer: int) -> None:
        self.registers |= {"ip": entry, "sp": stack_pointer}

    def returns(self, result: int) -> None:
        self.registers["result"] = result

    def copy(self, process: TurnProcess, space: PagedSpace) -> ScriptThread:
        thread = ScriptThread(self.platform, process, space)
        thread.registers = self.registers | {"result": 0}
        return thread

    def stack_pointer(self) -> int:
        return self.registers["sp"]

    def set_stack_pointer(self, value: int) -> None:
        self.registers["sp"] = value

    @property
    def fs_base(self) -> int:
        return self.registers["fs"]

    @fs_base.setter
    def fs_base(self, value: int) -> None:
        self.registers["fs"] = value

    @property
    def gs_base(self) -> int:
        return self.registers["gs"]

    @gs_base.setter
    def gs_base(self, value: int) -> None:
        self.registers["gs"] = value


class ScriptContext:
    def __init__(self) -> None:
        self.gregs = [0] * 23
        self.commits = 0

    def fpstate(self) -> bytes:
        return b""

    def set_fpstate(self, address: int) -> None:
        pass

    def commit(self) -> None:
        self.commits += 1


class ScriptPlatform(TurnPlatform[ScriptThread]):
    """A run is the next step of the thread's script, which says whether the turn goes on."""

    name = "script"

    def __init__(self) -> None:
        super().__init__(1 << 20, None)
        self.attach(self)  # type: ignore[arg-type]
        self.told: list[tuple[str, Any]] = []
        self.go_on: list[bool] = []
        self.resting = self.released = 0

    # what a platform adds

    def _run(self, thread: ScriptThread, task: Any) -> bool:
        self.current = thread
        self.told.append(("run", task.tid))
        if not thread.script:
            thread.exit()
            return False
        return thread.script.pop(0)()

    def _leave(self) -> None:
        self.current = None

    def _saved(self, thread: ScriptThread) -> ScriptContext:
        assert self.current is not thread
        return ScriptContext()

    def _rest(self) -> None:
        self.resting += 1

    def _release(self) -> None:
        self.released += 1

    def stale(self, space: PagedSpace, first: int, last: int) -> None:
        pass

    # GuestEvents

    def safe_point(self, task: Any, context: ScriptContext) -> bool:
        self.told.append(("safe point", task.tid))
        return self.go_on.pop(0) if self.go_on else True

    def started(self, task: Any) -> None:
        self.told.append(("started", task.tid))

    def lost(self, task: Any) -> None:
        self.told.append(("lost", task.tid))


class Task:
    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.thread: Any = None
        self.memory: Any = None
        self.blocked = 5


@pytest.fixture
def platform() -> Iterator[ScriptPlatform]:
    platform = ScriptPlatform()
    yield platform
    platform.close()
    platform.close()
    assert platform.released == 1


def load(platform: ScriptPlatform, tid: int, *script: Callable[[], bool]) -> ScriptThread:
    thread = ScriptThread(platform, TurnProcess(), PagedSpace(platform.cache, platform))
    thread.task = Task(tid)  # type: ignore[assignment]
    thread.script = list(script)
    thread.load(Image([], [], [], 0x1000, 0x2000, 0, 0))
    return thread


def go(platform: ScriptPlatform, polls: int = 100) -> list[tuple[str, Any]]:
    while platform._ready:
        polls -= 1
        assert polls
        platform.poll(None)
    return platform.told


def test_turns_go_round(platform: ScriptPlatform) -> None:
    first, second = load(platform, 1, lambda: False, lambda: True), load(platform, 2, lambda: False)
    assert first.registers == {"fs": 0, "gs": 0, "ip": 0x1000, "sp": 0x2000}
    assert go(platform) == [("run", 1), ("run", 2), ("run", 1), ("run", 1), ("run", 2)]
    assert first.mode == second.mode == "dead"


def test_who_waits_has_no_turn_until_its_call_is_complete(platform: ScriptPlatform) -> None:
    def wait() -> bool:
        thread.mode = "parked"
        return False

    thread = load(platform, 1, wait)
    assert go(platform) == [("run", 1)]
    thread.complete(7)
    assert thread.registers["result"] == 7
    thread.complete(8)  # is in no call now
    assert thread.registers["result"] == 7
    assert go(platform)[1:] == [("run", 1)]


def test_a_kicked_thread_is_held_until_it_is_kicked_again(platform: ScriptPlatform) -> None:
    thread = load(platform, 1, lambda: True)
    platform.go_on = [False, True]
    thread.kick()
    assert go(platform) == [("safe point", 1)]
    assert thread.mode == "held"
    held = thread.held
    assert isinstance(held, ScriptContext)
    assert not held.commits
    thread.kick()
    assert go(platform) == [("safe point", 1), ("safe point", 1), ("run", 1), ("run", 1)]
    assert held.commits == 1


def test_a_kick_at_the_safe_point_brings_another(platform: ScriptPlatform) -> None:
    thread = load(platform, 1)
    answers = [False, True]

    def safe_point(task: Any, context: ScriptContext) -> bool:
        if len(answers) == 2:
            thread.kick()
        return answers.pop(0)

    platform.safe_point = safe_point  # type: ignore[method-assign]
    thread.kick()
    assert go(platform) == [("run", 1)]
    assert not answers


def test_clones(platform: ScriptPlatform) -> None:
    child, sibling = Task(2), Task(3)

    def clone() -> bool:
        thread.number, thread.args = NR_CLONE, (0, 0x9000, 0, 0, 0x7777, 0)
        assert thread.clone(child, CLONE_VM | CLONE_VFORK) == 2  # type: ignore[arg-type]
        assert thread.vforked == 2
        assert thread.clone(sibling, CLONE_VM | CLONE_THREAD | CLONE_SETTLS) == 3  # type: ignore[arg-type]
        return True

    thread = load(platform, 1, clone)
    assert go(platform) == [("run", 1), ("run", 1), ("started", 2), ("run", 2), ("started", 3), ("run", 3)]
    assert child.thread.registers == thread.registers | {"sp": 0x9000, "result": 0}
    assert sibling.thread.registers == thread.registers | {"sp": 0x9000, "result": 0, "fs": 0x7777}
    assert child.thread.blocked == 5
    assert child.memory is sibling.memory is thread.memory
    assert sibling.thread.process is thread.process is not child.thread.process


def test_exit_group_ends_all_threads_of_a_process(platform: ScriptPlatform) -> None:
    sibling = Task(2)

    def end() -> bool:
        thread.number = NR_GETPPID
        thread.clone(sibling, CLONE_VM | CLONE_THREAD)  # type: ignore[arg-type]
        thread.number = NR_EXIT_GROUP
        thread.exit()
        return False

    thread = load(platform, 1, end)
    assert go(platform) == [("run", 1)]
    assert sibling.thread.mode == "dead"


def test_a_lost_process_is_told_of(platform: ScriptPlatform) -> None:
    def lose() -> bool:
        platform.lose(thread)
        return False

    thread = load(platform, 1, lose)
    assert go(platform) == [("run", 1), ("lost", 1)]


def test_a_page_that_waits_for_a_disk_parks_its_thread(
    platform: ScriptPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Source:
        ready = WaitQueue()

    def touch() -> bool:
        platform._wait_for_disk(thread, 5)
        return False

    monkeypatch.setattr(PagedSpace, "source", lambda space, page: Source())
    thread = load(platform, 1, touch)
    assert go(platform) == [("run", 1)]
    assert thread.mode == "parked"
    Source.ready.wake()
    assert thread.mode == "ready"
    monkeypatch.setattr(PagedSpace, "source", lambda space, page: None)  # nobody would ever wake it
    thread.script = [touch]
    assert go(platform) == [("run", 1), ("run", 1), ("lost", 1)]


def test_time_counts_while_the_turn_goes_on(platform: ScriptPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000]
    monkeypatch.setattr("time.monotonic_ns", lambda: clock[0])
    seen: list[int] = []

    def compute() -> bool:
        clock[0] += 500
        seen.append(thread.cpu_time())
        return False

    thread = load(platform, 1, compute, compute)
    thread.process.threads.add(other := ScriptThread(platform, thread.process, thread.space))
    go(platform)
    assert seen == [500, 1000]
    assert thread.cpu_time() == thread.cpu_time(alone=True) == other.cpu_time() == 1000
    assert other.cpu_time(alone=True) == 0
    assert thread.usage().user == 1000


def test_an_unused_process_gives_its_memory_back(platform: ScriptPlatform) -> None:
    space = PagedSpace(platform.cache, platform)
    thread = ScriptThread(platform, TurnProcess(), space)
    used = platform.physical.used
    space.map(0x10000, 0x1000, PROT_READ | PROT_WRITE, None, 0, shared=False)
    space.memory.write(0x10000, b"x")
    assert platform.physical.used == used + 1
    thread.kill()
    assert platform.physical.used == used


def test_nobody_ready_sleeps_until_a_descriptor(platform: ScriptPlatform) -> None:
    reading, writing = os.pipe()
    seen: list[bytes] = []
    with open(reading, "rb", buffering=0), open(writing, "wb", buffering=0) as file:
        platform.watch(reading, lambda: seen.append(os.read(reading, 10)))
        platform.poll(0)
        assert not seen
        file.write(b"x")
        platform.poll(None)
        platform.unwatch(reading)
        file.write(b"y")
        platform.poll(0)
    assert seen == [b"x"]
    assert platform.resting == 3
