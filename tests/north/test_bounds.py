"""What one sandbox may make the supervisor hold: each kind of thing counts against one budget, which gets back what is
let go, and an exhausted one is an error of the call that wanted more."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import sched as sd
from pylitebox.abi import socket as so
from pylitebox.kernel.exit import exit_process
from pylitebox.kernel.fs.namespace import Namespace
from pylitebox.kernel.fs.tmpfs import TmpFs
from pylitebox.kernel.kernel import Limits
from tests.north.bench import Bench, Guest

FORK = 17


def number(value: int | None) -> int:
    assert value is not None
    return value


def unix(path: bytes) -> bytes:
    return so.AF_UNIX.to_bytes(2, "little") + path


def pipe(g: Guest) -> tuple[int, int]:
    fds = bytearray(8)
    assert g("pipe2", fds, 0) == 0
    return int.from_bytes(fds[:4], "little"), int.from_bytes(fds[4:], "little")


@pytest.fixture
def g(bench: Bench) -> Guest:
    return bench.guest()


# -- descriptors --------------------------------------------------------------------------------------------------


def test_descriptors_of_all_processes_are_counted(bench: Bench, g: Guest) -> None:
    budget = bench.kernel.descriptors
    other = bench.guest()
    budget.limit = 3
    fd = number(g("eventfd2", 0, 0))
    assert g("dup", fd) == 1
    assert other("eventfd2", 0, 0) == 0
    assert other("eventfd2", 0, 0) == -E.ENFILE
    assert g("dup2", fd, 9) == -E.ENFILE
    assert g("dup2", fd, 1) == 1  # in the place of another
    assert g("clone", FORK, 0, 0, 0, 0) == -E.EAGAIN
    assert other("close", 0) == 0
    assert g("dup2", fd, 9) == 9
    assert g("close_range", 0, 100, 0) == 0
    assert budget.used == 0


def test_a_fork_counts_its_copies_until_it_ends(bench: Bench, g: Guest) -> None:
    g("eventfd2", 0, 0)
    child = number(g("clone", FORK, 0, 0, 0, 0))
    assert bench.kernel.descriptors.used == 2
    assert number(g("clone", sd.CLONE_FILES | FORK, 0, 0, 0, 0)) > 0  # shares the table
    assert bench.kernel.descriptors.used == 2
    assert g("kill", child, 9) == 0
    assert bench.kernel.descriptors.used == 1


# -- pipes --------------------------------------------------------------------------------------------------------


def test_pipes_are_small_when_there_are_many(bench: Bench, g: Guest) -> None:
    budget = bench.kernel.pipe_pages
    budget.limit = 20
    first, second = pipe(g), pipe(g)
    assert g("fcntl", first[0], fc.F_GETPIPE_SZ, 0) == 16 * 4096
    assert g("fcntl", second[0], fc.F_GETPIPE_SZ, 0) == 2 * 4096
    assert g("fcntl", second[0], fc.F_SETPIPE_SZ, 8 * 4096) == -E.EPERM
    assert g("fcntl", second[0], fc.F_SETPIPE_SZ, 4096) == 4096
    assert budget.used == 17
    for _ in range(11):
        pipe(g)
    assert budget.used == 39
    assert g("pipe2", bytearray(8), 0) == -E.ENFILE
    assert g("close_range", 0, 100, 0) == 0
    assert budget.used == 0


# -- sockets ------------------------------------------------------------------------------------------------------


def test_what_waits_in_sockets_is_counted(bench: Bench, g: Guest) -> None:
    state = bench.kernel.unix
    pair = bytearray(8)
    assert g("socketpair", so.AF_UNIX, so.SOCK_STREAM, 0, pair) == 0
    assert g("write", 0, bytes(1000), 1000) == 1000
    queued = state.queued
    assert queued >= 1000
    state._limit = queued
    assert g("write", 0, b"x", 1) == -E.ENOBUFS
    assert g("read", 1, bytearray(400), 400) == 400
    assert state.queued == queued - 400
    assert g("write", 0, b"x", 1) == 1
    assert g("close", 1) == 0
    assert state.queued == 0


def test_connections_that_nobody_accepts_are_counted(bench: Bench, g: Guest) -> None:
    state = bench.kernel.unix
    name = unix(b"\0name")
    listener = number(g("socket", so.AF_UNIX, so.SOCK_STREAM, 0))
    assert g("bind", listener, name, len(name)) == 0
    assert g("listen", listener, 100) == 0
    state._limit = 10_000
    for errno in (0, 0, -E.ENOBUFS):
        client = number(g("socket", so.AF_UNIX, so.SOCK_STREAM, 0))
        assert g("connect", client, name, len(name)) == errno
        assert g("close", client) == 0
    assert number(g("accept", listener, 0, 0)) > 0
    assert 0 < state.queued < 5000
    assert g("close", listener) == 0
    assert state.queued == 0


# -- epoll --------------------------------------------------------------------------------------------------------


def test_entries_of_all_epoll_sets_are_counted(bench: Bench, g: Guest) -> None:
    budget = bench.kernel.epoll_entries
    budget.limit = 1
    event = number(g("eventfd2", 0, 0))
    one, two = number(g("epoll_create1", 0)), number(g("epoll_create1", 0))
    assert g("epoll_ctl", one, 1, event, bytes(12)) == 0
    assert g("epoll_ctl", two, 1, event, bytes(12)) == -E.ENOSPC
    assert g("close", event) == 0
    assert budget.used == 0


def test_many_ways_through_nested_sets_are_looked_at_once(g: Guest) -> None:
    layers = [[number(g("epoll_create1", 0)) for _ in range(60)] for _ in range(3)]
    for above, below in pairwise(layers):
        for outer in above:
            for inner in below:
                assert g("epoll_ctl", outer, 1, inner, bytes(12)) == 0
    top = number(g("epoll_create1", 0))
    for outer in layers[0]:  # each time 60 * 60 * 60 ways down: seconds if all were gone
        assert g("epoll_ctl", top, 1, outer, bytes(12)) == 0
    assert g("epoll_ctl", layers[2][0], 1, top, bytes(12)) == -E.ELOOP


# -- files --------------------------------------------------------------------------------------------------------


def test_names_of_all_file_systems_are_counted() -> None:
    bench = Bench()
    bench.kernel.file_names.limit = 2
    bench.kernel.namespace = Namespace(bench.kernel, TmpFs(bench.kernel))
    g = bench.guest()
    assert g("mkdir", "/a", 0o755) == 0
    bench.kernel.namespace.mount(TmpFs(bench.kernel), b"/a", 0)
    assert g("mkdir", "/a/b", 0o755) == 0
    assert g("mkdir", "/c", 0o755) == g("mkdir", "/a/c", 0o755) == -E.ENOSPC
    assert g("rmdir", "/a/b") == 0
    assert g("mkdir", "/c", 0o755) == 0


def test_attributes_and_link_targets_count_as_data(bench: Bench, g: Guest) -> None:
    used = bench.kernel.file_memory.used
    bench.kernel.file_memory.limit = used + 1000
    assert g("mkdir", "/d", 0o755) == 0
    assert g("setxattr", "/d", "user.a", bytes(600), 600, 0) == 0
    assert g("setxattr", "/d", "user.b", bytes(600), 600, 0) == -E.ENOSPC
    assert g("symlink", "t" * 600, "/l") == -E.ENOSPC
    assert g("setxattr", "/d", "user.a", bytes(100), 100, 0) == 0
    assert bench.kernel.file_memory.used == used + 106
    assert g("symlink", "t" * 600, "/l") == 0
    assert g("unlink", "/l") == g("removexattr", "/d", "user.a") == 0
    assert g("setxattr", "/d", "user.c", bytes(100), 100, 0) == g("rmdir", "/d") == 0
    assert bench.kernel.file_memory.used == used


def test_listings_of_open_directories_are_counted(bench: Bench, g: Guest) -> None:
    for name in range(50):
        assert g("mkdir", f"/{name}", 0o755) == 0
    budget = bench.kernel.listings
    budget.limit = 10_000
    first, second = (number(g("open", "/", fc.O_DIRECTORY, 0)) for _ in range(2))
    buffer = bytearray(200)
    sizes = []
    for fd in (first, second):
        total = 0
        while (got := number(g("getdents64", fd, buffer, len(buffer)))) > 0:
            total += got
        sizes.append(total)
    assert sizes[0] == sizes[1] >= 52 * 24
    assert budget.used == 52 * 128  # the second one's did not fit, and was made anew for each read
    g("close", first)
    assert budget.used == 0


def test_record_locks_of_all_files_are_counted(bench: Bench, g: Guest) -> None:
    budget = bench.kernel.record_locks
    budget.limit = 3
    fds = [number(g("open", f"/{name}", fc.O_RDWR | fc.O_CREAT, 0o644)) for name in "ab"]
    lock = [fc.F_WRLCK.to_bytes(8, "little") + first.to_bytes(8, "little") + b"\1" + bytes(15) for first in (0, 2, 4)]
    assert g("fcntl", fds[0], fc.F_SETLK, lock[0]) == g("fcntl", fds[0], fc.F_SETLK, lock[1]) == 0
    assert g("fcntl", fds[1], fc.F_SETLK, lock[0]) == 0
    assert g("fcntl", fds[1], fc.F_SETLK, lock[1]) == -E.ENOLCK
    assert g("close", fds[0]) == 0
    assert g("fcntl", fds[1], fc.F_SETLK, lock[1]) == 0
    assert g("close", fds[1]) == 0
    assert budget.used == 0


# -- threads and processes ----------------------------------------------------------------------------------------


def test_groups_are_bounded(g: Guest) -> None:
    assert g("setgroups", 1024, g.place(bytes(4096))) == 0
    assert g("setgroups", 1025, g.place(bytes(4100))) == -E.EINVAL


def test_the_defaults_fit_a_small_machine() -> None:
    limits = Limits()
    assert limits.memory_file_bytes + limits.listing_bytes + limits.socket_bytes + 8192 * limits.pipe_pages < 2 << 30


def test_timers_of_all_processes_are_counted(bench: Bench, g: Guest) -> None:
    budget, ident = bench.kernel.posix_timers, bytearray(4)
    budget.limit = 2
    other = bench.guest()
    assert g("timer_create", 1, 0, ident) == 0
    assert other("timer_create", 1, 0, ident) == 0
    assert other("timer_create", 1, 0, ident) == -E.EAGAIN
    assert g("timer_delete", 0) == 0
    assert other("timer_create", 1, 0, ident) == 0
    exit_process(other.task.process, 0)
    assert budget.used == 0
