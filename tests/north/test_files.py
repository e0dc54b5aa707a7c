"""read, write, lseek and their positioned and vectored forms."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_APPEND, O_CREAT, O_DIRECTORY, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_WRONLY
from pylitebox.abi.signal import SIG_IGN, SIGPIPE, SIGUSR1
from pylitebox.kernel.signals import Action, SigInfo, post_task, set_action
from tests.north.bench import PARKED, Bench

AT = -100
BAD = 0x1000  # never mapped


def make(g, content=b"0123456789", flags=O_RDWR, name="f"):
    fd = g("open", name, O_CREAT | O_WRONLY, 0o644)
    assert g("write", fd, content, len(content)) == len(content)
    g("close", fd)
    return g("open", name, flags, 0)


def read(g, fd, size):
    buffer = bytearray(size)
    count = g("read", fd, buffer, size)
    return bytes(buffer[:count]) if count >= 0 else count


def iov(g, *parts):
    """A vector of buffers: (its bytes, their addresses)."""
    addresses = [g.place(part) for part in parts]
    return b"".join(struct.pack("<QQ", a, len(p)) for a, p in zip(addresses, parts, strict=True)), addresses


def test_read_write(g):
    fd = make(g)
    assert read(g, fd, 4) == b"0123"
    assert g("write", fd, b"ab", 2) == 2
    assert read(g, fd, 100) == b"6789"
    assert read(g, fd, 100) == b""
    assert g("read", fd, 0, 0) == 0
    assert g("write", fd, BAD, 0) == 0


def test_read_write_errors(g):
    fd = make(g)
    reader, writer = g("open", "f", O_RDONLY, 0), g("open", "f", O_WRONLY, 0)
    place, directory = g("open", "f", O_PATH, 0), g("open", ".", O_DIRECTORY, 0)
    assert g("read", 99, BAD, 1) == -E.EBADF
    assert g("read", writer, BAD, 1) == -E.EBADF
    assert g("write", reader, BAD, 1) == -E.EBADF
    assert g("read", place, BAD, 1) == -E.EBADF
    assert g("read", directory, BAD, 1) == -E.EISDIR
    assert g("read", fd, BAD, 1) == -E.EFAULT
    assert g("write", fd, BAD, 1) == -E.EFAULT
    assert g("read", fd, BAD, -1) == -E.EFAULT
    assert g("write", fd, BAD, -1) == -E.EFAULT
    assert g("lseek", fd, 0, 1) == 0  # nothing was consumed


def test_append(g):
    fd = make(g, flags=O_RDWR | O_APPEND)
    assert g("write", fd, b"x", 1) == 1
    assert g("lseek", fd, 0, 1) == 11
    assert g("pwrite64", fd, b"y", 1, 0) == 1  # at the end, whatever the offset says
    assert g("lseek", fd, 0, 2) == 12


def test_lseek(g):
    fd = make(g)
    assert g("lseek", fd, 4, 0) == 4
    assert g("lseek", fd, -1, 1) == 3
    assert g("lseek", fd, 5, 2) == 15
    assert g("lseek", fd, -16, 1) == -E.EINVAL
    assert g("lseek", fd, -1, 0) == -E.EINVAL
    assert g("lseek", fd, 0, 99) == -E.EINVAL
    assert g("lseek", 99, 0, 0) == -E.EBADF
    assert g("lseek", fd, 0, 3) == 0  # SEEK_DATA
    assert g("lseek", fd, 0, 4) == 10  # SEEK_HOLE
    assert g("lseek", fd, 10, 3) == -E.ENXIO
    assert g("lseek", g("open", "f", O_PATH, 0), 0, 0) == -E.EBADF
    pipe = bytearray(8)
    g("pipe2", pipe, 0)
    assert g("lseek", struct.unpack("<ii", pipe)[0], 0, 0) == -E.ESPIPE
    assert g("lseek", fd, 100, 0) == 100
    assert g("write", fd, b"!", 1) == 1
    g("lseek", fd, 0, 0)
    assert read(g, fd, 200) == b"0123456789" + bytes(90) + b"!"


def test_positioned_io(g):
    fd = make(g)
    buffer = bytearray(3)
    assert g("pread64", fd, buffer, 3, 4) == 3
    assert buffer == b"456"
    assert g("pread64", fd, buffer, 3, 9) == 1
    assert g("pread64", fd, buffer, 3, 100) == 0
    assert g("pwrite64", fd, b"AB", 2, 1) == 2
    assert g("lseek", fd, 0, 1) == 0
    assert read(g, fd, 10) == b"0AB3456789"
    assert g("pread64", 99, buffer, 3, -1) == -E.EINVAL
    assert g("pread64", 99, buffer, 3, 0) == -E.EBADF
    assert g("pwrite64", fd, BAD, 3, 0) == -E.EFAULT
    assert g("pread64", fd, BAD, 3, 0) == -E.EFAULT
    assert g("pread64", g("open", ".", O_DIRECTORY, 0), BAD, 1, 0) == -E.EISDIR
    pipe = bytearray(8)
    g("pipe2", pipe, 0)
    reader, writer = struct.unpack("<ii", pipe)
    for end in (reader, writer):  # that it has no position comes before what it is open for
        assert g("pread64", end, buffer, 1, 0) == -E.ESPIPE
        assert g("pwrite64", end, b"x", 1, 0) == -E.ESPIPE
        vector, _ = iov(g, b"x")
        assert g("preadv", end, vector, 1, 0, 0) == -E.ESPIPE
        assert g("pwritev", end, vector, 1, 0, 0) == -E.ESPIPE
    for flags, call in ((O_WRONLY, "pread64"), (O_RDONLY, "pwrite64"), (O_PATH, "pread64"), (O_PATH, "pwrite64")):
        assert g(call, g("open", "f", flags, 0), bytearray(1), 1, 0) == -E.EBADF
    assert g("pwrite64", g("open", ".", O_DIRECTORY, 0), b"x", 1, 0) == -E.EBADF


def test_vectors(g):
    fd = make(g, b"")
    vector, _ = iov(g, b"abc", b"", b"defg")
    assert g("writev", fd, vector, 3) == 7
    g("lseek", fd, 0, 0)
    vector, (first, second) = iov(g, bytes(2), bytes(10))
    assert g("readv", fd, vector, 2) == 7
    assert g.peek(first, 2) == b"ab"
    assert g.peek(second, 5) == b"cdefg"
    assert g("readv", fd, BAD, 1) == -E.EFAULT
    assert g("readv", fd, BAD, 0) == 0
    assert g("readv", fd, BAD, -1) == -E.EINVAL
    assert g("readv", fd, BAD, 1025) == -E.EINVAL
    assert g("readv", fd, struct.pack("<Qq", first, -1), 1) == -E.EINVAL
    assert g("readv", 99, BAD, -1) == -E.EBADF


def test_positioned_vectors(g):
    fd = make(g)
    vector, (first, second) = iov(g, bytes(2), bytes(2))
    assert g("preadv", fd, vector, 2, 5, 0) == 4
    assert g.peek(first, 2) + g.peek(second, 2) == b"5678"
    vector, _ = iov(g, b"A", b"B")
    assert g("pwritev", fd, vector, 2, 0, 0) == 2
    assert g("preadv", fd, vector, 2, -1, 0) == -E.EINVAL
    assert g("preadv2", fd, vector, 2, -1, 0, 0) == 2  # at the position
    assert g("lseek", fd, 0, 1) == 2
    assert g("pwritev2", fd, vector, 2, 0, 0, 0x4000_0000) == -E.EOPNOTSUPP
    assert g("pwritev2", fd, vector, 2, 0, 0, 16) == 2  # RWF_APPEND
    assert g("lseek", fd, 0, 2) == 12
    pipe = bytearray(8)
    g("pipe2", pipe, 0)
    reader, _ = struct.unpack("<ii", pipe)
    assert g("preadv2", reader, vector, 2, 0, 0, 0) == -E.ESPIPE


def test_flags_of_vectors(g):
    """What Linux reads and writes piece by piece takes RWF_HIPRI alone, what it cannot read or write at all nothing."""
    hipri, dsync, nowait, unknown = 1, 2, 8, 0x4000_0000
    vector, _ = iov(g, b"\1" + bytes(7))

    def outcomes(call, fd):
        return [g(call, fd, vector, 1, -1, 0, flags) for flags in (hipri, dsync, nowait, unknown)]

    no, none = -E.EOPNOTSUPP, -E.EINVAL
    g("mkdir", "d", 0o755)
    assert outcomes("preadv2", g("open", "d", O_DIRECTORY, 0)) == [-E.EISDIR, no, no, no]
    assert outcomes("pwritev2", make(g)) == [8, 8, no, no]
    event = g("eventfd2", 0, O_NONBLOCK)
    assert outcomes("pwritev2", event) == [8, no, no, no]
    assert outcomes("preadv2", event) == [8, -E.EAGAIN, -E.EAGAIN, no]
    assert outcomes("preadv2", g("inotify_init1", O_NONBLOCK)) == [-E.EAGAIN, no, no, no]
    assert outcomes("pwritev2", g("timerfd_create", 1, 0)) == [none] * 4
    assert outcomes("pwritev2", g("signalfd4", -1, bytes(8), 8, 0)) == [none] * 4
    queue = g("mq_open", "pylitebox-flags", O_RDWR | O_CREAT | O_NONBLOCK, 0o600, 0)
    g("mq_unlink", "pylitebox-flags")
    assert outcomes("preadv2", queue) == [8, no, no, no]
    assert outcomes("pwritev2", queue) == [none] * 4
    for fd in (g("epoll_create1", 0), g("pidfd_open", g("getpid"), 0)):
        for call in ("preadv2", "pwritev2"):
            assert outcomes(call, fd) == [none] * 4
            assert g(call, fd, BAD, 1, -1, 0, 0) == none
            assert g(call, fd, BAD, 0, -1, 0, 0) == none


def test_nonblocking_pipe(g):
    ends = bytearray(8)
    g("pipe2", ends, O_NONBLOCK)
    reader, writer = struct.unpack("<ii", ends)
    assert g("read", reader, bytearray(1), 1) == -E.EAGAIN
    assert g("write", writer, bytes(70000), 70000) == 65536
    assert g("write", writer, b"x", 1) == -E.EAGAIN
    assert g("read", writer, BAD, 1) == -E.EBADF
    assert g("read", reader, BAD, 0) == 0
    buffer = bytearray(1 << 17)
    assert g("read", reader, buffer, len(buffer)) == 65536


# -- ours alone ---------------------------------------------------------------------------------------------------


def pipe(g, flags=0):
    ends = bytearray(8)
    assert g("pipe2", ends, flags) == 0
    return struct.unpack("<ii", ends)


def two_threads(bench: Bench):
    g = bench.guest()
    return g, bench.thread(g)


def test_read_waits(bench):
    g, other = two_threads(bench)
    reader, writer = pipe(g)
    target = g.place(bytes(8))
    assert g("read", reader, target, 8) is PARKED
    bench.run()
    assert g.parked
    assert other("write", writer, b"abc", 3) == 3
    bench.run()
    assert g.result == 3
    assert g.peek(target, 3) == b"abc"


def test_write_goes_on_until_all_is_written(bench):
    g, other = two_threads(bench)
    reader, writer = pipe(g)
    data = bytes(range(256)) * 800
    assert g("write", writer, data, len(data)) is PARKED
    got = b""
    while len(got) < len(data):
        got += read(other, reader, 50000)
        bench.run()
    assert got == data
    assert g.result == len(data)


def test_a_signal_after_the_first_byte_is_a_short_count(bench):
    g, _ = two_threads(bench)
    _, writer = pipe(g)
    set_action(g.task, SIGUSR1, Action(handler=0x4000))
    assert g("write", writer, bytes(70000), 70000) is PARKED
    post_task(g.task, SigInfo(SIGUSR1))
    bench.run()
    assert g.result == 65536
    g.task.signal_pending = False
    assert g("write", writer, b"more", 4) is PARKED
    post_task(g.task, SigInfo(SIGUSR1))
    g.task.signal_pending = True
    bench.kernel.scheduler.wake(g.task)
    bench.run()
    assert g.result == -E.EINTR
    assert g.task.interrupted == 512


def test_epipe_raises_sigpipe(bench):
    g = bench.guest()
    reader, writer = pipe(g)
    g("close", reader)
    set_action(g.task, SIGPIPE, Action(handler=0x4000))
    assert g("write", writer, b"x", 1) == -E.EPIPE
    assert g.task.pending.mask == 1 << (SIGPIPE - 1)


def test_epipe_while_waiting(bench):
    g, other = two_threads(bench)
    reader, writer = pipe(g)
    set_action(g.task, SIGPIPE, Action(handler=SIG_IGN))
    assert g("write", writer, bytes(70000), 70000) is PARKED
    other("close", reader)
    bench.run()
    assert g.result == 65536
    assert g("write", writer, b"x", 1) == -E.EPIPE


def test_sigpipe_ends_the_writer_that_waits(bench):
    g, other = bench.guest(), bench.guest()
    reader, writer = pipe(g)
    assert g("write", writer, bytes(70000), 70000) is PARKED
    g.task.files.close(reader)
    bench.run()
    assert g.thread.killed
    assert g.thread.results == []
    assert other("dup", 77) == -E.EBADF  # the kernel goes on


def test_a_waiting_read_holds_its_file(bench):
    g, other = two_threads(bench)
    reader, writer = pipe(g)
    target = g.place(bytes(4))
    assert g("read", reader, target, 4) is PARKED
    assert other("close", reader) == 0
    assert other("write", writer, b"abc", 3) == 3  # no EPIPE: somebody still reads
    bench.run()
    assert g.result == 3
    set_action(other.task, SIGPIPE, Action(handler=SIG_IGN))
    assert other("write", writer, b"abc", 3) == -E.EPIPE


def test_large_transfers_move_in_turns(bench):
    g = bench.guest()
    fd = g("open", "f", O_RDWR | O_CREAT, 0o644)
    size = 40 << 20
    g("ftruncate", fd, size)
    g("pwrite64", fd, b"end", 3, size - 3)
    address = g.thread.memory.map(size)
    assert g("read", fd, address, size) is PARKED
    for _ in range(4):
        bench.run()
    assert g.result == size
    assert g.peek(address + size - 3, 3) == b"end"


def test_a_buffer_that_ends_in_a_hole(bench):
    g = bench.guest()
    fd = make(g, bytes(range(200)) * 50)
    end = g.hole() + 4096
    assert g("read", fd, end - 100, 5000) == 100
    assert g("lseek", fd, 0, 1) == 100
    assert g("write", fd, end - 100, 200) == 100
    assert g("pread64", fd, end - 10, 200, 0) == 10
    assert g("writev", fd, struct.pack("<QQQQ", end - 5, 5, end, 5), 2) == 5
    g("lseek", fd, 0, 0)
    assert g("readv", fd, struct.pack("<QQQQ", end - 5, 5, end, 5), 2) == 5
    assert g("lseek", fd, 0, 1) == 5


@pytest.mark.parametrize("name", ["read", "write", "pread64", "pwrite64"])
@pytest.mark.parametrize("count", [1 << 20, (1 << 20) + 1, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_huge_counts_cost_nothing(bench, name, count):
    g = bench.guest()
    fd = make(g)
    result = g(name, fd, BAD, count, 0)
    if result is PARKED:
        bench.run()
        result = g.result
    assert result == -E.EFAULT
