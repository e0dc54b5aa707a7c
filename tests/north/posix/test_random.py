"""Random sequences of calls have the same outcomes on ``os`` and on Posix; what differs is shrunk by hypothesis."""

from __future__ import annotations

import gc
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pylitebox
from tests.north.posix.hosts import HostOs, Recorder, host

LONG = "PYLITEBOX_LONG" in os.environ
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="compares with Linux")

NAMES = st.sampled_from(
    ["a", "b", "c", "a/b", "a/c", "b/a", "a/b/c", "c/", "a/..", ".", "./b", "none/x", "a/./b", b"a"]
)
MODES = st.sampled_from([0o777, 0o700, 0o640, 0o1777])
SIZES = st.sampled_from([0, 1, 5, 4096, 70_000])
SLOTS = st.integers(0, 3)
FLAGS = st.sampled_from(
    [
        os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_EXCL, os.O_RDWR | os.O_TRUNC,
        os.O_WRONLY | os.O_CREAT | os.O_APPEND, os.O_RDONLY | os.O_DIRECTORY, os.O_RDONLY | os.O_NOFOLLOW,
        os.O_PATH, os.O_RDWR | os.O_TMPFILE,
    ]
)  # fmt: skip

OPERATIONS = st.one_of(
    st.tuples(st.just("mkdir"), NAMES, MODES),
    st.tuples(st.sampled_from(["rmdir", "unlink", "readlink", "chdir", "removedirs"]), NAMES),
    st.tuples(st.just("makedirs"), NAMES),
    st.tuples(st.sampled_from(["rename", "link", "symlink", "renames"]), NAMES, NAMES),
    st.tuples(st.just("chmod"), NAMES, MODES),
    st.tuples(st.just("truncate"), NAMES, SIZES),
    st.tuples(st.sampled_from(["look", "list", "walk", "path"]), NAMES),
    st.tuples(st.just("open"), SLOTS, NAMES, FLAGS),
    st.tuples(st.sampled_from(["close", "fchdir", "fstat", "fsync"]), SLOTS),
    st.tuples(st.sampled_from(["read", "write", "pread", "ftruncate", "seek", "end", "ahead", "vector"]), SLOTS, SIZES),
    st.tuples(st.sampled_from(["dup", "copy", "send"]), SLOTS, SLOTS),
    st.tuples(st.sampled_from(["pipe", "socketpair"]), SLOTS, SLOTS),
    st.tuples(st.sampled_from(["xattr", "unxattr", "touch", "fifo", "scan"]), NAMES),
    st.tuples(st.sampled_from(["umask"]), MODES),
    st.tuples(st.sampled_from(["flock", "lock", "poll", "setfl"]), SLOTS, st.integers(0, 2)),
    st.tuples(st.sampled_from(["mkdirat", "unlinkat", "statat"]), SLOTS, NAMES),
)


def _facts(s: Any) -> tuple[int, ...]:
    """What must be the same of a stat: sizes and links of directories are the file system's own affair."""
    return (s.st_mode, 0, 0) if stat.S_ISDIR(s.st_mode) else (s.st_mode, s.st_size, s.st_nlink)


class Run:
    """The state of one sequence: descriptors in slots."""

    def __init__(self, o: Any) -> None:
        self.o = o
        self.a = Recorder()
        self.fds = [-1] * 4

    def put(self, slot: int, fd: int) -> None:
        if self.fds[slot] >= 0:
            self.o.close(self.fds[slot])
        self.fds[slot] = fd

    def step(self, name: str, *args: Any) -> None:
        method = getattr(self, f"do_{name}", None)
        if method is not None:
            method(*args)
        else:
            self.a(getattr(self.o, name), *args)

    def do_look(self, path: Any) -> None:
        self.a(lambda: _facts(self.o.stat(path)))
        self.a(lambda: _facts(self.o.lstat(path)))
        self.a(lambda: self.o.access(path, os.R_OK))

    def do_list(self, path: Any) -> None:
        self.a(lambda: sorted(self.o.listdir(path)))

    def do_walk(self, path: Any) -> None:
        self.a(lambda: sorted((p, sorted(d), sorted(f)) for p, d, f in self.o.walk(path)))

    def do_path(self, path: Any) -> None:
        for function in (self.o.path.exists, self.o.path.isdir, self.o.path.islink, self.o.path.normpath):
            self.a(function, path)

    def do_open(self, slot: int, path: Any, flags: int) -> None:
        fd = self.a.quiet(self.o.open, path, flags, 0o666)
        if fd is not None:
            self.put(slot, fd)

    def do_close(self, slot: int) -> None:
        self.a(self.o.close, self.fds[slot])
        self.fds[slot] = -1

    def do_fchdir(self, slot: int) -> None:
        self.a(self.o.fchdir, self.fds[slot])

    def do_fsync(self, slot: int) -> None:
        if not self.is_socket(slot):
            self.a(self.o.fsync, self.fds[slot])

    def is_socket(self, slot: int) -> bool:
        try:
            return stat.S_ISSOCK(self.o.fstat(self.fds[slot]).st_mode)
        except OSError:
            return False

    def do_fstat(self, slot: int) -> None:
        self.a(lambda: _facts(self.o.fstat(self.fds[slot])))
        self.a(lambda: self.o.get_blocking(self.fds[slot]))

    def do_read(self, slot: int, size: int) -> None:
        self.a(lambda: self.o.read(self.fds[slot], size))

    def do_write(self, slot: int, size: int) -> None:
        self.a(lambda: self.o.write(self.fds[slot], bytes(range(250)) * (size // 250) + b"x" * (size % 250)))

    def do_pread(self, slot: int, size: int) -> None:
        self.a(lambda: self.o.pread(self.fds[slot], 100, size))

    def do_ftruncate(self, slot: int, size: int) -> None:
        self.a(lambda: self.o.ftruncate(self.fds[slot], size))

    def do_seek(self, slot: int, size: int) -> None:
        if not self.is_directory(slot):
            self.a(lambda: self.o.lseek(self.fds[slot], size, os.SEEK_SET))

    def do_end(self, slot: int, size: int) -> None:
        if not self.is_directory(slot):
            self.a(lambda: self.o.lseek(self.fds[slot], -size, os.SEEK_END))

    def is_directory(self, slot: int) -> bool:
        try:
            return stat.S_ISDIR(self.o.fstat(self.fds[slot]).st_mode)
        except OSError:
            return False

    def do_ahead(self, slot: int, size: int) -> None:
        if not self.is_directory(slot):
            self.a(lambda: self.o.lseek(self.fds[slot], size, os.SEEK_CUR))

    def do_vector(self, slot: int, size: int) -> None:
        buffers = [bytearray(3), bytearray(size), bytearray(1)]
        self.a(lambda: self.o.readv(self.fds[slot], buffers))
        self.a.note(buffers)
        self.a(lambda: self.o.pwritev(self.fds[slot], buffers, size))

    def do_xattr(self, path: Any) -> None:
        self.a(lambda: self.o.setxattr(path, "user.x", b"value", os.XATTR_CREATE))
        self.a(lambda: self.o.getxattr(path, "user.x", follow_symlinks=False))
        self.a(lambda: self.o.listxattr(path))

    def do_unxattr(self, path: Any) -> None:
        self.a(lambda: self.o.removexattr(path, "user.x"))

    def do_touch(self, path: Any) -> None:
        self.a.nameless(lambda: self.o.utime(path, ns=(5, 10**18 + 7)))
        self.a(lambda: self.o.stat(path).st_mtime_ns == 10**18 + 7)

    def do_fifo(self, path: Any) -> None:
        """It is gone in the end: an open that would wait for a partner has none."""
        try:
            self.o.mkfifo(path)
        except OSError:
            return
        self.a(lambda: _facts(self.o.stat(path)))
        for flags in (os.O_WRONLY, os.O_RDONLY, os.O_RDWR):
            fd = self.a.quiet(self.o.open, path, flags | os.O_NONBLOCK)
            if fd is not None:
                self.o.close(fd)
        self.a(lambda: self.o.unlink(path))

    def do_scan(self, path: Any) -> None:
        def entries() -> list[tuple[Any, ...]]:
            with self.o.scandir(path) as found:
                return sorted((e.name, e.path, e.is_symlink(), e.is_file(follow_symlinks=False)) for e in found)

        self.a(entries)

    def do_flock(self, slot: int, mode: int) -> None:
        operation = (self.o.LOCK_SH, self.o.LOCK_EX, self.o.LOCK_UN)[mode] | self.o.LOCK_NB
        if self.fds[slot] >= 0:
            self.a(lambda: self.o.flock(self.fds[slot], operation))

    def do_lock(self, slot: int, mode: int) -> None:
        operation = (self.o.LOCK_SH, self.o.LOCK_EX, self.o.LOCK_UN)[mode] | self.o.LOCK_NB
        if self.fds[slot] >= 0:
            self.a(lambda: self.o.record_lock(self.fds[slot], operation, 10, mode))

    def do_poll(self, slot: int, _: int) -> None:
        poll = self.o.poll()
        if self.fds[slot] >= 0:
            poll.register(self.fds[slot], 0x3FFF & ~0x400)
            self.a(lambda: [events for _, events in poll.poll(0)])

    def do_setfl(self, slot: int, mode: int) -> None:
        if self.fds[slot] >= 0 and stat.S_ISREG(self.o.fstat(self.fds[slot]).st_mode):
            flags = (0, os.O_APPEND, os.O_NONBLOCK)[mode]
            self.a(lambda: self.o.fcntl(self.fds[slot], self.o.F_SETFL, flags))
            self.a(lambda: self.o.fcntl(self.fds[slot], self.o.F_GETFL) & ~os.O_CREAT)

    def do_dup(self, old: int, new: int) -> None:
        fd = self.a.quiet(self.o.dup, self.fds[old])
        if fd is not None:
            self.put(new, fd)

    def do_copy(self, src: int, dst: int) -> None:
        self.a(lambda: self.o.copy_file_range(self.fds[src], self.fds[dst], 5000, 0, 9000))

    def do_send(self, src: int, dst: int) -> None:
        if not self.is_socket(src):
            self.a(lambda: self.o.sendfile(self.fds[dst], self.fds[src], 0, 3000))

    def do_pipe(self, first: int, second: int) -> None:
        r, w = self.o.pipe2(os.O_NONBLOCK)
        self.put(first, r)
        self.put(second, w)

    def do_socketpair(self, first: int, second: int) -> None:
        x, y = self.o.socketpair()
        for slot, fd in ((first, x), (second, y)):
            self.o.set_blocking(fd, False)
            self.put(slot, fd)

    def do_mkdirat(self, slot: int, path: Any) -> None:
        self.a(lambda: self.o.mkdir(path, dir_fd=self.fds[slot]))

    def do_unlinkat(self, slot: int, path: Any) -> None:
        self.a(lambda: self.o.unlink(path, dir_fd=self.fds[slot]))

    def do_statat(self, slot: int, path: Any) -> None:
        self.a(lambda: _facts(self.o.stat(path, dir_fd=self.fds[slot], follow_symlinks=False)))


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where the host has one: its answers are those of a tmpfs then, like ours."""
    gc.collect()  # once, not for each sequence
    directory = Path("/dev/shm", f"pylitebox-{os.getpid()}") if os.access("/dev/shm", os.W_OK) else tmp_path / "d"
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@settings(
    max_examples=10_000 if LONG else 300,
    derandomize=not LONG,  # the gate tries the same ones each time
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.timeout(3000 if LONG else 120)
@given(st.lists(OPERATIONS, min_size=1, max_size=40))
def test_random_sequences(empty: Path, operations: list[tuple[Any, ...]]) -> None:
    shutil.rmtree(empty, ignore_errors=True)
    (empty / "work").mkdir(parents=True)
    with host(empty / "work", collect=False) as o:
        theirs = _all(o, operations)
    with pylitebox.Posix(user=(os.getuid(), os.getgid()), cwd="/tmp") as o:
        o.mkdir("work")
        o.chdir("work")
        ours = _all(o, operations)
        assert o._program.task.kernel.internal_errors == 0
    for number, (got, want) in enumerate(zip(ours, theirs, strict=True)):
        assert got == want, operations[number]


def _all(o: HostOs | pylitebox.Posix, operations: list[tuple[Any, ...]]) -> list[list[object]]:
    """What each step noted."""
    run = Run(o)
    result = []
    for operation in operations:
        run.a.notes = []
        run.step(*operation)
        result.append(run.a.notes)
    return result
