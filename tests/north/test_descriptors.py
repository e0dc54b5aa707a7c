"""close, dup, fcntl, ioctl, flock, record locks."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import ioctl as io
from pylitebox.abi.signal import SIGUSR1
from pylitebox.kernel import locks
from pylitebox.kernel.fs.procfs import ProcFs
from pylitebox.kernel.signals import Action, SigInfo, post_task, set_action
from pylitebox.north.linux.record_locks import FLOCK
from tests.north.bench import PARKED

CREATE = fc.O_CREAT | fc.O_RDWR


def make(g, name="f"):
    return g("open", name, CREATE, 0o644)


def test_descriptors(g):
    fd = make(g)
    copy = g("dup", fd)
    assert copy > fd
    assert g("dup2", fd, fd) == fd
    assert g("dup2", fd, 60) == 60
    assert g("dup3", fd, 61, fc.O_CLOEXEC) == 61
    assert g("fcntl", 60, fc.F_GETFD, 0) == 0
    assert g("fcntl", 61, fc.F_GETFD, 0) == 1
    g("write", fd, b"abc", 3)
    assert g("lseek", 61, 0, 1) == 3
    assert g("close", fd) == 0
    assert g("close", fd) == -E.EBADF
    assert g("lseek", 60, 0, 1) == 3
    assert g("dup", fd) == -E.EBADF
    assert g("dup2", 99, 99) == -E.EBADF
    assert g("dup2", 60, -1) == -E.EBADF
    assert g("dup2", 60, 100_000_000) == -E.EBADF
    assert g("dup3", 60, 60, 0) == -E.EINVAL
    assert g("dup3", 99, 99, 0) == -E.EINVAL
    assert g("dup3", 60, 62, 0o77) == -E.EINVAL


def test_fcntl(g):
    fd = make(g)
    assert g("fcntl", fd, fc.F_DUPFD, 50) == 50
    assert g("fcntl", fd, fc.F_DUPFD, 50) == 51
    assert g("fcntl", fd, fc.F_DUPFD_CLOEXEC, 55) == 55
    assert g("fcntl", 55, fc.F_GETFD, 0) == 1
    assert g("fcntl", 55, fc.F_SETFD, 0) == 0
    assert g("fcntl", 55, fc.F_GETFD, 0) == 0
    assert g("fcntl", fd, fc.F_DUPFD, -1) == -E.EINVAL
    assert g("fcntl", fd, fc.F_DUPFD, 100_000_000) == -E.EINVAL
    assert g("fcntl", fd, fc.F_SETFL, fc.O_NONBLOCK | fc.O_APPEND | fc.O_CREAT) == 0
    assert g("fcntl", fd, fc.F_GETFL, 0) == fc.O_RDWR | fc.O_NONBLOCK | fc.O_APPEND | fc.O_LARGEFILE
    assert g("fcntl", fd, 9999, 0) == -E.EINVAL
    assert g("fcntl", 99, fc.F_GETFD, 0) == -E.EBADF
    assert g("fcntl", fd, fc.F_GETPIPE_SZ, 0) == -E.EBADF
    assert g("fcntl", fd, fc.F_SETSIG, 1000) == -E.EINVAL
    place = g("open", "f", fc.O_PATH, 0)
    assert g("fcntl", place, fc.F_SETFL, 0) == -E.EBADF
    assert g("fcntl", place, 9999, 0) == -E.EBADF
    assert g("fcntl", place, fc.F_DUPFD, 70) == 70


def test_pipe_size(g):
    ends = bytearray(8)
    g("pipe2", ends, 0)
    reader, _ = struct.unpack("<ii", ends)
    assert g("fcntl", reader, fc.F_GETPIPE_SZ, 0) == 65536
    assert g("fcntl", reader, fc.F_SETPIPE_SZ, 5000) == 8192
    assert g("fcntl", reader, fc.F_GETPIPE_SZ, 0) == 8192


def test_close_range(g):
    make(g)
    for fd in range(400, 406):
        assert g("dup2", 0 if g("fcntl", 0, fc.F_GETFD, 0) >= 0 else make(g), fd) == fd
    assert g("close_range", 402, 403, fc.CLOSE_RANGE_CLOEXEC) == 0
    assert [g("fcntl", fd, fc.F_GETFD, 0) for fd in range(401, 405)] == [0, 1, 1, 0]
    assert g("close_range", 401, 404, 0) == 0
    assert [g("fcntl", fd, fc.F_GETFD, 0) for fd in range(400, 406)] == [0, *[-E.EBADF] * 4, 0]
    assert g("close_range", 405, 400, 0) == -E.EINVAL
    assert g("close_range", 400, 405, 1) == -E.EINVAL
    assert g("close_range", 400, 0xFFFFFFFF, 0) == 0


def test_ioctl(g):
    fd = make(g)
    g("write", fd, b"abcdef", 6)
    g("lseek", fd, 2, 0)
    word = bytearray(4)
    assert g("ioctl", fd, io.FIONREAD, word) == 0
    assert word == b"\4\0\0\0"
    assert g("ioctl", fd, io.FIOCLEX, 0) == 0
    assert g("fcntl", fd, fc.F_GETFD, 0) == 1
    assert g("ioctl", fd, io.FIONCLEX, 0) == 0
    assert g("fcntl", fd, fc.F_GETFD, 0) == 0
    assert g("ioctl", fd, io.FIONBIO, b"\1\0\0\0") == 0
    assert g("fcntl", fd, fc.F_GETFL, 0) & fc.O_NONBLOCK
    assert g("ioctl", fd, io.TCGETS, bytearray(60)) == -E.ENOTTY
    assert g("ioctl", fd, 0x1234, 0) == -E.ENOTTY
    assert g("ioctl", 99, io.FIONREAD, 0) == -E.EBADF
    assert g("ioctl", g("open", "f", fc.O_PATH, 0), io.FIOCLEX, 0) == -E.EBADF


def test_flock(g):
    first, second = make(g), make(g)
    assert g("flock", first, fc.LOCK_SH) == 0
    assert g("flock", second, fc.LOCK_SH | fc.LOCK_NB) == 0
    assert g("flock", second, fc.LOCK_EX | fc.LOCK_NB) == -E.EAGAIN
    assert g("flock", first, fc.LOCK_UN) == 0
    assert g("flock", second, fc.LOCK_EX | fc.LOCK_NB) == 0
    copy = g("dup", second)
    g("close", second)
    assert g("flock", first, fc.LOCK_SH | fc.LOCK_NB) == -E.EAGAIN
    g("close", copy)
    assert g("flock", first, fc.LOCK_EX | fc.LOCK_NB) == 0
    assert g("flock", first, 0) == -E.EINVAL
    assert g("flock", 99, 0) == -E.EINVAL
    assert g("flock", 99, fc.LOCK_SH) == -E.EBADF
    assert g("flock", g("open", "f", fc.O_PATH, 0), fc.LOCK_SH) == -E.EBADF


def lock(kind, start=0, length=0, whence=0, pid=0):
    return bytearray(FLOCK.pack(kind, whence, start, length, pid))


def test_ofd_locks(g):
    first, second = make(g), make(g)
    assert g("fcntl", first, fc.F_OFD_SETLK, lock(fc.F_WRLCK, 10, 10)) == 0
    assert g("fcntl", second, fc.F_OFD_SETLK, lock(fc.F_RDLCK, 15, 1)) == -E.EAGAIN
    assert g("fcntl", second, fc.F_OFD_SETLK, lock(fc.F_WRLCK, 20, 5)) == 0
    query = lock(fc.F_RDLCK)
    assert g("fcntl", second, fc.F_OFD_GETLK, query) == 0
    assert FLOCK.unpack(query) == (fc.F_WRLCK, 0, 10, 10, -1)
    assert g("fcntl", first, fc.F_OFD_SETLK, lock(fc.F_UNLCK, 12, 2)) == 0
    query = lock(fc.F_RDLCK, 12, 2)
    assert g("fcntl", second, fc.F_OFD_GETLK, query) == 0
    assert FLOCK.unpack(query) == (fc.F_UNLCK, 0, 12, 2, 0)
    query = lock(fc.F_WRLCK, 13, 100)
    assert g("fcntl", second, fc.F_OFD_GETLK, query) == 0
    assert FLOCK.unpack(query) == (fc.F_WRLCK, 0, 14, 6, -1)
    g("close", first)
    assert g("fcntl", second, fc.F_OFD_SETLK, lock(fc.F_WRLCK)) == 0


def test_record_lock_errors(g):
    fd = make(g)
    reader = g("open", "f", fc.O_RDONLY, 0)
    assert g("fcntl", fd, fc.F_SETLK, 0x1000) == -E.EFAULT
    assert g("fcntl", fd, fc.F_SETLK, lock(9)) == -E.EINVAL
    assert g("fcntl", fd, fc.F_SETLK, lock(fc.F_RDLCK, whence=7)) == -E.EINVAL
    assert g("fcntl", fd, fc.F_SETLK, lock(fc.F_RDLCK, -1)) == -E.EINVAL
    assert g("fcntl", fd, fc.F_SETLK, lock(fc.F_RDLCK, 10, -20)) == -E.EINVAL
    assert g("fcntl", fd, fc.F_SETLK, lock(fc.F_RDLCK, 10, (1 << 63) - 1)) == -E.EOVERFLOW
    assert g("fcntl", fd, fc.F_SETLK, lock(fc.F_RDLCK, 10, -10)) == 0
    assert g("fcntl", fd, fc.F_SETLK, lock(fc.F_RDLCK, 1, (1 << 63) - 1)) == 0
    assert g("fcntl", reader, fc.F_SETLK, lock(fc.F_WRLCK)) == -E.EBADF
    assert g("fcntl", reader, fc.F_GETLK, lock(fc.F_UNLCK)) == -E.EINVAL
    assert g("fcntl", reader, fc.F_OFD_SETLK, lock(fc.F_RDLCK, pid=5)) == -E.EINVAL
    assert g("fcntl", fd, fc.F_SETLK, lock(fc.F_WRLCK)) == 0
    assert g("fcntl", reader, fc.F_SETLK, lock(fc.F_RDLCK)) == 0  # its own lock is in nobody's way


# -- ours alone ---------------------------------------------------------------------------------------------------


def test_flock_waits(bench):
    g = bench.guest()
    other = bench.thread(g)
    first, second = make(g), make(g)
    g("flock", first, fc.LOCK_EX)
    assert other("flock", second, fc.LOCK_EX) is PARKED
    g("flock", first, fc.LOCK_UN)
    bench.run()
    assert other.result == 0
    assert g("flock", first, fc.LOCK_SH | fc.LOCK_NB) == -E.EAGAIN
    set_action(g.task, SIGUSR1, Action(handler=0x4000))
    assert g("flock", first, fc.LOCK_SH) is PARKED
    post_task(g.task, SigInfo(SIGUSR1))
    bench.run()
    assert g.result == -E.EINTR
    assert g.task.interrupted == 512


def test_process_locks(bench):
    a, b = bench.guest(), bench.guest()
    fa, fb = make(a), make(b)
    assert a("fcntl", fa, fc.F_SETLK, lock(fc.F_WRLCK, 5, 5)) == 0
    query = lock(fc.F_RDLCK)
    assert b("fcntl", fb, fc.F_GETLK, query) == 0
    assert FLOCK.unpack(query) == (fc.F_WRLCK, 0, 5, 5, a.task.process.pid)
    assert b("fcntl", fb, fc.F_SETLK, lock(fc.F_WRLCK)) == -E.EAGAIN
    assert b("fcntl", fb, fc.F_SETLKW, lock(fc.F_WRLCK)) is PARKED
    extra = make(a)
    a("close", extra)  # closing any descriptor of the file gives the locks up
    bench.run()
    assert b.result == 0
    assert a("fcntl", fa, fc.F_SETLK, lock(fc.F_RDLCK, 7, 1)) == -E.EAGAIN
    b.task.files.release()
    assert a("fcntl", fa, fc.F_SETLK, lock(fc.F_RDLCK, 7, 1)) == 0


def test_deadlock_is_noticed(bench):
    a, b = bench.guest(), bench.guest()
    fa, fb = make(a), make(b)
    a("fcntl", fa, fc.F_SETLK, lock(fc.F_WRLCK, 0, 1))
    b("fcntl", fb, fc.F_SETLK, lock(fc.F_WRLCK, 1, 1))
    assert a("fcntl", fa, fc.F_SETLKW, lock(fc.F_WRLCK, 1, 1)) is PARKED
    assert b("fcntl", fb, fc.F_SETLKW, lock(fc.F_WRLCK, 0, 1)) == -E.EDEADLK
    b("close", fb)
    bench.run()
    assert a.result == 0


def test_proc_locks(bench):
    g = bench.guest()
    g("mkdir", "/proc", 0o755)
    bench.kernel.namespace.mount(ProcFs(bench.kernel), b"/proc")
    fd, other = make(g), g("open", "f", fc.O_RDWR, 0)
    stat = bytearray(144)
    g("fstat", fd, stat)
    dev, ino = struct.unpack_from("<QQ", stat)
    pid, where = g.task.process.pid, f"{dev >> 8:02x}:{dev & 0xFF:02x}:{ino}"
    g("flock", fd, fc.LOCK_SH)
    g("fcntl", fd, fc.F_SETLK, lock(fc.F_WRLCK, 5, 5))
    g("fcntl", fd, fc.F_OFD_SETLK, lock(fc.F_RDLCK, 10))

    def shown():
        buffer = bytearray(1000)
        text = buffer[: g("read", g("open", "/proc/locks", 0), buffer, 1000)]
        return text.decode().splitlines()

    assert shown() == [
        f"1: FLOCK  ADVISORY  READ {pid} {where} 0 EOF",
        f"2: POSIX  ADVISORY  WRITE {pid} {where} 5 9",
        f"3: OFDLCK ADVISORY  READ -1 {where} 10 EOF",
    ]
    g("close", other)
    assert len(shown()) == 2, "the process's own lock is gone"
    g("unlink", "f")
    g("close", fd)
    assert shown() == []
    assert not bench.kernel.locks, "nothing is kept of a file that is gone"


def test_locks_of_one_file_are_bounded(bench, monkeypatch):
    monkeypatch.setattr(locks, "MAX_RECORDS", 50)
    g = bench.guest()
    fd = make(g)
    results = {g("fcntl", fd, fc.F_SETLK, lock(fc.F_WRLCK, 2 * i, 1)) for i in range(50)}
    assert results == {0}
    assert g("fcntl", fd, fc.F_SETLK, lock(fc.F_WRLCK, 10000, 1)) == -E.ENOLCK
    assert g("fcntl", fd, fc.F_SETLK, lock(fc.F_WRLCK)) == 0


def test_joining_and_splitting(bench):
    a, b = bench.guest(), bench.guest()
    fa, fb = make(a), make(b)

    def held():
        found, start = [], 0
        while True:
            query = lock(fc.F_WRLCK, start)
            b("fcntl", fb, fc.F_GETLK, query)
            kind, _, first, length, _ = FLOCK.unpack(query)
            if kind == fc.F_UNLCK:
                return found
            found.append((kind, first, length))
            if not length:
                return found
            start = first + length

    a("fcntl", fa, fc.F_SETLK, lock(fc.F_RDLCK, 0, 10))
    a("fcntl", fa, fc.F_SETLK, lock(fc.F_RDLCK, 10, 10))
    assert held() == [(fc.F_RDLCK, 0, 20)]
    a("fcntl", fa, fc.F_SETLK, lock(fc.F_WRLCK, 5, 5))
    assert held() == [(fc.F_RDLCK, 0, 5), (fc.F_WRLCK, 5, 5), (fc.F_RDLCK, 10, 10)]
    a("fcntl", fa, fc.F_SETLK, lock(fc.F_RDLCK, 5, 5))
    assert held() == [(fc.F_RDLCK, 0, 20)]
    a("fcntl", fa, fc.F_SETLK, lock(fc.F_UNLCK, 0, 3))
    a("fcntl", fa, fc.F_SETLK, lock(fc.F_WRLCK, 18))
    assert held() == [(fc.F_RDLCK, 3, 15), (fc.F_WRLCK, 18, 0)]


@pytest.mark.parametrize("threads", [1, 2])
def test_close_range_unshares_a_shared_table(bench, threads):
    g = bench.guest()
    others = [bench.thread(g) for _ in range(threads - 1)]
    fd = make(g)
    shared = g.task.files
    shared.users = 2  # another process, by CLONE_FILES
    assert g("close_range", fd, fd, fc.CLOSE_RANGE_UNSHARE) == 0
    assert fd in shared.files
    assert fd not in g.task.files.files
    assert all(other.task.files is g.task.files for other in others)


def test_a_lent_descriptor_is_recalled_once(bench):
    g = bench.guest()
    files, kept = g.task.files, make(g)
    for leave in (lambda fd: g("close", fd), lambda fd: g("dup2", kept, fd), lambda fd: g("close_range", fd, fd, 0)):
        fd, other = make(g), g("open", "f", fc.O_RDONLY, 0)
        before = g.thread.recalls
        files.lent = (fd, g.thread)
        g("close", other)
        assert g.thread.recalls == before
        leave(fd)
        assert (g.thread.recalls, files.lent) == (before + 1, None)
        g("close", fd)
        assert g.thread.recalls == before + 1
    assert files.copy().lent is None
