"""sendfile, copy_file_range, splice, tee, vmsplice."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import stat as st
from pylitebox.abi.signal import SIG_IGN, SIGACTION, SIGPIPE
from tests.north.bench import PARKED
from tests.north.conftest import UID

CREATE = fc.O_CREAT | fc.O_RDWR
BAD = 0x1000
IGNORE = SIGACTION.pack(SIG_IGN, 0, 0, 0)


def make(g, name="f", content=b"0123456789"):
    fd = g("open", name, CREATE, 0o644)
    g("write", fd, content, len(content))
    g("lseek", fd, 0, 0)
    return fd


def pipe(g, flags=0):
    ends = bytearray(8)
    g("pipe2", ends, flags)
    return struct.unpack("<ii", ends)


def content(g, fd, size=64):
    buffer = bytearray(size)
    return bytes(buffer[: max(0, g("pread64", fd, buffer, size, 0))])


def drain(g, fd, size=100):
    buffer = bytearray(size)
    return bytes(buffer[: max(0, g("read", fd, buffer, size))])


def offset(value):
    return bytearray(struct.pack("<q", value))


def test_sendfile(g):
    source, sink = make(g), make(g, "out", b"")
    assert g("sendfile", sink, source, 0, 4) == 4
    assert g("lseek", source, 0, 1) == 4
    at = offset(8)
    assert g("sendfile", sink, source, at, 100) == 2
    assert struct.unpack("<q", at) == (10,)
    assert g("lseek", source, 0, 1) == 4
    assert content(g, sink) == b"012389"
    empty, (broken, full) = make(g, "empty", b""), pipe(g)
    g("fcntl", full, fc.F_SETFL, fc.O_NONBLOCK)
    while g("write", full, bytes(4096), 4096) > 0:
        pass
    assert [g("sendfile", full, file, 0, count) for file in (empty, source) for count in (0, 9)] == [-E.EAGAIN] * 4
    g("close", broken)
    g("rt_sigaction", SIGPIPE, IGNORE, 0, 8)
    assert [g("sendfile", full, file, 0, count) for file in (empty, source) for count in (0, 9)] == [-E.EPIPE] * 4
    directory = g("open", ".", fc.O_DIRECTORY, 0)
    assert g("sendfile", directory, directory, offset(0), 4) == -E.EBADF  # the sink, before what the source is
    assert g("sendfile", sink, directory, offset(0), 4) == -E.EINVAL
    reader, writer = pipe(g)
    assert g("sendfile", reader, reader, offset(-1), 4) == -E.ESPIPE
    assert g("sendfile", writer, source, 0, 100) == 6
    assert drain(g, reader) == b"456789"
    assert g("sendfile", writer, source, 0, 100) == 0
    assert g("sendfile", sink, reader, 0, 1) == -E.EINVAL
    assert g("sendfile", sink, g("open", ".", fc.O_DIRECTORY, 0), 0, 1) == -E.EINVAL
    assert g("sendfile", source, 0x7FFF, 0, 1) == -E.EBADF
    assert g("sendfile", 0x7FFF, source, 0, 1) == -E.EBADF
    assert g("sendfile", g("open", "f", fc.O_RDONLY, 0), source, 0, 1) == -E.EBADF
    assert g("sendfile", sink, source, BAD, 1) == -E.EFAULT
    assert g("sendfile", sink, reader, offset(0), 1) == -E.ESPIPE
    assert g("sendfile", g("open", "out", fc.O_WRONLY | fc.O_APPEND, 0), source, 0, 1) == -E.EINVAL


def test_sendfile_wants_what_can_be_spliced(g):
    sink = make(g, "out", b"")
    _, writer = pipe(g)
    directory, event = g("open", ".", fc.O_DIRECTORY, 0), g("eventfd2", 5, 0)
    assert g("sendfile", sink, directory, offset(0), 1) == g("sendfile", sink, event, 0, 8) == -E.EINVAL
    assert g("sendfile", sink, event, offset(0), 8) == -E.ESPIPE
    assert g("splice", event, 0, writer, 0, 8, 0) == -E.EINVAL


@pytest.mark.skipif(UID != 0, reason="needs root on the host")
def test_devices_as_sources(g):
    sink = make(g, "out", b"")
    _, writer = pipe(g)
    found = []
    for minor in (3, 5, 9):  # null, zero, urandom
        g("mknod", f"m{minor}", st.S_IFCHR | 0o666, 1 << 8 | minor)
        fd = g("open", f"m{minor}", fc.O_RDONLY, 0)
        found += [g("sendfile", sink, fd, 0, 10), g("splice", fd, 0, writer, 0, 5, 0)]
    if found[0] == -E.EBADF:
        pytest.skip("no devices in the host's directory")
    assert found == [-E.EINVAL, -E.EINVAL, 10, 5, 10, 5]


def test_copy_file_range(g):
    source, sink = make(g), make(g, "out", b"abcdefgh")
    assert g("copy_file_range", source, 0, sink, 0, 3, 0) == 3
    left, right = offset(5), offset(20)
    assert g("copy_file_range", source, left, sink, right, 100, 0) == 5
    assert struct.unpack("<qq", left + right) == (10, 25)
    assert content(g, sink) == b"012defgh" + bytes(12) + b"56789"
    assert g("lseek", sink, 0, 1) == g("lseek", source, 0, 1) == 3
    assert g("copy_file_range", source, offset(0), source, offset(2), 4, 0) == -E.EINVAL
    assert g("copy_file_range", source, offset(0), source, offset(12), 4, 0) == 4
    assert g("copy_file_range", source, 0, sink, 0, 1, 1) == -E.EINVAL
    directory, (reader, _) = g("open", ".", fc.O_DIRECTORY, 0), pipe(g)
    assert g("copy_file_range", directory, 0, sink, 0, 1, 0) == -E.EISDIR
    assert g("copy_file_range", directory, 0, g("open", "f", fc.O_PATH, 0), 0, 1, 0) == -E.EBADF
    assert g("copy_file_range", reader, 0, sink, 0, 1, 0) == -E.EINVAL
    assert g("copy_file_range", source, 0, g("open", "out", fc.O_RDONLY, 0), 0, 1, 0) == -E.EBADF
    assert g("copy_file_range", 0x7FFF, 0, sink, 0, 1, 0) == -E.EBADF


def test_splice(g):
    source, sink = make(g), make(g, "out", b"")
    reader, writer = pipe(g)
    assert g("splice", source, 0, writer, 0, 4, 0) == 4
    assert g("splice", source, offset(8), writer, 0, 100, 0) == 2
    assert g("splice", reader, 0, sink, 0, 3, 0) == 3
    assert g("splice", reader, 0, sink, offset(10), 100, 0) == 3
    assert content(g, sink) == b"012" + bytes(7) + b"389"
    assert g("splice", reader, 0, sink, 0, 1, 2) == -E.EAGAIN
    assert g("splice", source, 0, sink, 0, 1, 0) == -E.EINVAL
    assert g("splice", source, 0, reader, 0, 1, 0) == -E.EBADF
    assert g("splice", reader, BAD, sink, 0, 1, 0) == -E.ESPIPE
    assert g("splice", reader, 0, sink, 0, 0, 0) == 0
    assert g("splice", reader, 0, sink, 0, 1, 99) == -E.EINVAL
    assert g("splice", reader, 0, writer, 0, 1, 0) == -E.EINVAL
    second_reader, second_writer = pipe(g)
    g("write", writer, b"hello", 5)
    assert g("splice", reader, 0, second_writer, 0, 100, 0) == 5
    assert drain(g, second_reader) == b"hello"
    g("close", writer)
    assert g("splice", reader, 0, sink, 0, 1, 0) == 0


def test_tee(g):
    reader, writer = pipe(g)
    second_reader, second_writer = pipe(g)
    g("write", writer, b"abcdef", 6)
    assert g("tee", reader, second_writer, 4, 0) == 4
    assert drain(g, second_reader) == b"abcd"
    assert drain(g, reader) == b"abcdef"
    assert g("tee", reader, second_writer, 4, 2) == -E.EAGAIN
    assert g("tee", reader, second_writer, 0, 0) == 0
    assert g("tee", reader, writer, 1, 0) == -E.EINVAL
    assert g("tee", make(g), writer, 1, 0) == -E.EINVAL
    assert g("tee", 0x7FFF, writer, 1, 0) == -E.EBADF
    g("close", writer)
    assert g("tee", reader, second_writer, 4, 0) == 0


def test_vmsplice(g):
    reader, writer = pipe(g)
    first, second = g.place(b"abc"), g.place(b"defg")
    assert g("vmsplice", writer, struct.pack("<QQQQ", first, 3, second, 4), 2, 0) == 7
    target = g.place(bytes(10))
    assert g("vmsplice", reader, struct.pack("<QQ", target, 10), 1, 0) == 7
    assert g.peek(target, 7) == b"abcdefg"
    assert g("vmsplice", reader, struct.pack("<QQ", target, 10), 1, 2) == -E.EAGAIN
    assert g("vmsplice", make(g), struct.pack("<QQ", target, 10), 1, 0) == -E.EBADF


# -- ours alone ---------------------------------------------------------------------------------------------------


def test_sendfile_waits_for_the_sink(bench):
    g = bench.guest()
    other = bench.thread(g)
    data = bytes(range(251)) * 1000
    source = make(g, content=data)
    reader, writer = pipe(g)
    assert g("sendfile", writer, source, 0, len(data)) is PARKED
    got = b""
    while len(got) < len(data):
        got += drain(other, reader, 100_000)
        bench.run()
    assert got == data
    assert g.result == len(data)
    assert g("lseek", source, 0, 1) == len(data)


def test_splice_waits_for_data(bench):
    g = bench.guest()
    other = bench.thread(g)
    sink = make(g, "out", b"")
    reader, writer = pipe(g)
    assert g("splice", reader, 0, sink, 0, 100, 0) is PARKED
    other("write", writer, b"now", 3)
    bench.run()
    assert g.result == 3
    assert content(g, sink) == b"now"


def test_nothing_is_lost_in_a_full_pipe(bench):
    g = bench.guest()
    source = make(g, content=bytes(100_000))
    _, writer = pipe(g, fc.O_NONBLOCK)
    assert g("sendfile", writer, source, 0, 100_000) == 65536
    assert g("lseek", source, 0, 1) == 65536
    assert g("sendfile", writer, source, 0, 100_000) == -E.EAGAIN
    assert g("lseek", source, 0, 1) == 65536
