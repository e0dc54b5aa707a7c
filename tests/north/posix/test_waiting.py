"""Calls that must wait: alone, with a time-out, with other processes of the kernel, with other threads."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import pylitebox
from pylitebox import Deadlock, Posix


@pytest.fixture
def box() -> Iterator[Posix]:
    with pylitebox.Posix(cwd="/tmp") as made:
        yield made
        assert made._program.task.kernel.internal_errors == 0


@pytest.fixture
def shared() -> Iterator[Posix]:
    """One that many threads use."""
    with pylitebox.Posix(cwd="/tmp", threads=True) as made:
        yield made
        assert made._program.task.kernel.internal_errors == 0


def _locked(box: Posix) -> Callable[[], object]:
    box.flock(box.open("f", box.O_CREAT), box.LOCK_EX)
    other = box.open("f", box.O_RDONLY)
    return lambda: box.flock(other, box.LOCK_SH)


def _connecting(box: Posix) -> Callable[[], object]:
    server = box.socket()
    box.bind(server, "s")
    box.listen(server)
    return lambda: box.accept(server)


def _empty(box: Posix) -> Callable[[], object]:
    r, _ = box.pipe()
    return lambda: box.read(r, 1)


def _event(box: Posix) -> Callable[[], object]:
    fd = box.eventfd(0)
    return lambda: box.eventfd_read(fd)


def _select(box: Posix) -> Callable[[], object]:
    r, _ = box.pipe()
    return lambda: box.select([r], [], [])


def _full(box: Posix) -> Callable[[], object]:
    _, w = box.pipe()
    return lambda: box.write(w, bytes(1 << 20))


def _fifo(box: Posix) -> Callable[[], object]:
    box.mkfifo("fifo")
    return lambda: box.open("fifo", box.O_RDONLY)


def _waiting(box: Posix) -> Callable[[], object]:
    box.child()
    return box.wait


WAITS: dict[str, Callable[[Posix], Callable[[], object]]] = {
    "an empty pipe": _empty,
    "a full pipe": _full,
    "a lock": _locked,
    "a fifo": _fifo,
    "a child": _waiting,
    "a connection": _connecting,
    "an event": _event,
    "poll": lambda box: box.poll().poll,
    "select": _select,
    "epoll": lambda box: box.epoll().poll,
}


@pytest.mark.parametrize("what", WAITS)
def test_a_wait_for_nobody_is_an_error(box: Posix, what: str) -> None:
    wait = WAITS[what](box)
    for _ in range(2):
        with pytest.raises(Deadlock, match="wait for ever") as caught:
            wait()
        assert caught.value.errno == errno.EDEADLK
    fd = box.open("still works", box.O_CREAT | box.O_RDWR)
    assert box.write(fd, b"yes") == 3
    assert len(box._program.task.process.tasks) == 1


def test_a_wait_that_was_given_up_leaves_nothing_behind(box: Posix) -> None:
    box.mkfifo("fifo")
    with pytest.raises(Deadlock):
        box.open("fifo", box.O_WRONLY)
    with pytest.raises(OSError, match=r"No such device or address.*fifo") as caught:
        box.open("fifo", box.O_WRONLY | box.O_NONBLOCK)  # no reader, and the writer that gave up doesn't count
    assert caught.value.errno == errno.ENXIO
    reader = box.open("fifo", box.O_RDONLY | box.O_NONBLOCK)
    assert box.read(reader, 1) == b""


def test_timeouts_are_waited_for(box: Posix) -> None:
    r, _ = box.pipe()
    poll = box.poll()
    poll.register(r, box.POLLIN)
    start = time.monotonic()
    assert poll.poll(30) == []
    assert box.select([r], [], [], 0.03) == ([], [], [])
    assert time.monotonic() - start >= 0.06


def test_a_child_is_as_after_fork(box: Posix) -> None:
    fd = box.open("f", box.O_CREAT | box.O_RDWR)
    box.write(fd, b"shared position")
    box.mkdir("d")
    child = box.child()
    assert child.getppid() == box.getpid() != child.getpid()
    assert child.getpgrp() == box.getpgrp()
    assert child.lseek(fd, 7, 0) == 7
    assert box.read(fd, 100) == b"position"
    child.chdir("d")
    child.umask(0)
    child.close(fd)
    assert (box.getcwd(), child.getcwd()) == ("/tmp", "/tmp/d")
    assert box.umask(0o022) == 0o022
    assert box.fstat(fd).st_size == 15
    assert child.path.abspath("x") == "/tmp/d/x"
    r, w = box.pipe()
    other = box.child()
    other_pid = other.getpid()
    box.close(w)
    other.write(w, b"from the other")
    assert box.read(r, 100) == b"from the other"
    other._exit(7)
    assert box.read(r, 100) == b""  # the last writer is gone with it
    pid, status = box.wait()
    assert (pid, box.waitstatus_to_exitcode(status)) == (other_pid, 7)


def test_a_process_that_ended_makes_no_calls(box: Posix) -> None:
    child = box.child()
    pid = child.getpid()
    file = child.fopen("f", "w")
    box.kill(pid, signal.SIGTERM)
    assert child.ended
    assert not box.ended
    file.close()
    for call in (child.getpid, lambda: child.open("f", 0), child.child):
        with pytest.raises(ProcessLookupError, match="has ended"):
            call()
    assert box.waitpid(pid, 0) == (pid, signal.SIGTERM)
    with pytest.raises(ChildProcessError):
        box.waitpid(pid, 0)


def test_nothing_works_after_the_end() -> None:
    box = pylitebox.Posix()
    child = box.child()
    box.end()
    box.end()
    for process in (box, child):
        assert process.ended
        with pytest.raises(ProcessLookupError):
            process.listdir("/")


def test_ctrl_c_ends_a_wait(box: Posix, monkeypatch: pytest.MonkeyPatch) -> None:
    r, w = box.pipe()

    def interrupted(deadline: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(box._program.task.kernel.platform, "poll", interrupted)
        with pytest.raises(KeyboardInterrupt):
            box.read(r, 1)
    box.write(w, b"x")
    assert box.read(r, 1) == b"x"


def test_finalizers_in_the_middle_of_a_call(box: Posix, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may end a file object while the kernel is at work in the same thread."""
    r, w = box.pipe()
    file = box.fopen("buffered", "w")
    file.write("kept")
    platform = box._program.task.kernel.platform
    clock = platform.realtime_ns
    seen: list[object] = []

    def collected() -> int:
        if not seen:
            seen.append(box.close(w))
            seen.append(file.close())
            with pytest.raises(RuntimeError, match="in the middle of another call"):
                box.listdir(".")
        return clock()

    with monkeypatch.context() as patch:
        patch.setattr(platform, "realtime_ns", collected)
        box.mkdir("d")
    assert seen == [None, None]
    assert box.read(r, 1) == b""  # its writer was closed
    with box.fopen("buffered") as again:
        assert again.read() == "kept"
    assert box.listdir("d") == []


def test_a_fault_of_ours_is_raised_where_the_call_was_made(shared: Posix, monkeypatch: pytest.MonkeyPatch) -> None:
    r, w = shared.pipe()
    thread, outcome = _started(lambda: shared.read(r, 1), shared)
    with monkeypatch.context() as patch:
        patch.setattr("pylitebox.kernel.pipe.Pipe.read", lambda *_: {}["a fault"])
        shared.write(w, b"x")
        thread.join(20)
    assert isinstance(outcome[0], KeyError)
    assert shared.read(r, 1) == b"x"


def test_too_many_children_leave_nothing_behind(box: Posix) -> None:
    kernel = box._program.task.kernel
    used = kernel.descriptors.used
    kernel.limits.processes = 1
    with pytest.raises(BlockingIOError):
        box.child()
    assert kernel.descriptors.used == used


# -- threads ------------------------------------------------------------------------------------------------------


def test_threads_wait_for_each_other(shared: Posix) -> None:
    r, w = shared.pipe()
    data = os.urandom(1 << 20)

    def produce() -> None:
        with shared.fdopen(w, "wb") as file:
            file.write(data)

    def consume() -> bytes:
        with shared.fdopen(r, "rb") as file:
            content: bytes = file.read()
            return content

    with ThreadPoolExecutor(2) as pool:
        reader = pool.submit(consume)
        pool.submit(produce).result(20)
        assert reader.result(20) == data


def test_many_threads_in_one_kernel(shared: Posix) -> None:
    pairs = [shared.socketpair() for _ in range(8)]

    def play(number: int, fd: int, first: int) -> int:
        for turn in range(50):
            if turn % 2 == first:
                shared.write(fd, b"%d" % number)
            else:
                assert shared.read(fd, 100) == b"%d" % number
            shared.close(shared.open(f"file{number}", shared.O_CREAT))
        return number

    with ThreadPoolExecutor(16) as pool:
        games = [pool.submit(play, n, pair[side], side) for n, pair in enumerate(pairs) for side in (0, 1)]
        assert sum(game.result(30) for game in games) == 2 * sum(range(8))
    assert len(shared._program.task.process.tasks) <= 17


def _waits(box: Posix) -> bool:
    return any(task.wait is not None for task in box._program.task.kernel.tasks.values())


def _started(call: Callable[[], Any], box: Posix) -> tuple[threading.Thread, list[Any]]:
    """A thread that waits in ``call``; what it gave will be in the list."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:  # noqa: BLE001 - what came of it
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not _waits(box):
        time.sleep(0.001)
    return thread, outcome


def test_the_end_ends_waits(shared: Posix) -> None:
    r, _ = shared.pipe()
    thread, outcome = _started(lambda: shared.read(r, 1), shared)
    shared.end()
    thread.join(20)
    assert isinstance(outcome[0], ProcessLookupError)


def test_waiting_for_a_child_of_another_thread(shared: Posix) -> None:
    child = shared.child()
    thread, outcome = _started(shared.wait, shared)
    child._exit(4)
    thread.join(20)
    assert outcome[0][1] == 4 << 8


def test_user_ids_are_of_the_whole_process(shared: Posix) -> None:
    r, w = shared.pipe()
    thread, outcome = _started(lambda: (shared.read(r, 1), shared.getuid()), shared)
    shared.setuid(1000)
    shared.write(w, b"x")
    thread.join(20)
    assert outcome == [(b"x", 1000)]
    assert shared.getuid() == 1000
    with pytest.raises(PermissionError):
        shared.setuid(0)


def test_a_lock_passes_from_thread_to_thread(shared: Posix) -> None:
    first = shared.open("f", shared.O_CREAT)
    second = shared.open("f", shared.O_RDONLY)
    shared.flock(first, shared.LOCK_EX)
    thread, outcome = _started(lambda: shared.flock(second, shared.LOCK_EX), shared)
    assert outcome == []
    shared.close(first)
    thread.join(20)
    assert outcome == [None]
