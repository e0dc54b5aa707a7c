"""RLIMIT_FSIZE: how far files may be written, and the signal that goes with it, on the host and on our kernel."""

import struct
from collections.abc import Iterator

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi.resource import RLIMIT64, RLIMIT_FSIZE
from pylitebox.abi.signal import SIGXFSZ
from tests.north.calls import pipe, read, write
from tests.north.conftest import AnyGuest

CREATE = fc.O_CREAT | fc.O_RDWR | fc.O_TRUNC
AT = fc.AT_FDCWD
BIT = (1 << (SIGXFSZ - 1)).to_bytes(8, "little")
LIMIT = 100
OVER = (-E.EFBIG, True)


@pytest.fixture
def limited(g: AnyGuest) -> Iterator[AnyGuest]:
    """A guest with two files, f, and big of 300 bytes, that keeps SIGXFSZ back."""
    for name, size in (("f", 0), ("big", 300)):
        fd = g("open", name, CREATE, 0o644)
        write(g, fd, b"z" * size)
        g("close", fd)
    mask = bytearray(8)
    g("rt_sigprocmask", 0, BIT, mask, 8)
    yield g
    g("rt_sigprocmask", 2, bytes(mask), 0, 8)


def did(g: AnyGuest, *call: object, limit: int = LIMIT) -> tuple[int, bool]:
    """The result of a call that may write so far, and whether it sent SIGXFSZ, from ourselves. The limit holds for
    this call alone: on the host, the tests' own output may be a file."""
    before = bytearray(16)
    assert g("prlimit64", 0, RLIMIT_FSIZE, 0, before) == 0
    g("prlimit64", 0, RLIMIT_FSIZE, RLIMIT64.pack(limit, RLIMIT64.unpack(before)[1]), 0)
    result = g(*call)
    g("prlimit64", 0, RLIMIT_FSIZE, bytes(before), 0)
    info = bytearray(128)
    taken = g("rt_sigtimedwait", BIT, info, bytes(16), 8)
    if taken == SIGXFSZ:
        assert struct.unpack_from("<iiiii", info) == (SIGXFSZ, 0, 0, 0, g("getpid"))
    return result, taken == SIGXFSZ


def test_size_limit(limited: AnyGuest) -> None:
    g = limited
    f, big = g("open", "f", fc.O_RDWR), g("open", "big", fc.O_RDWR)
    assert did(g, "write", f, b"a" * 150, 150) == (100, False), "what crosses the limit is cut"
    assert did(g, "write", f, b"a", 1) == OVER
    assert did(g, "write", f, b"", 0) == (0, False)
    assert did(g, "pwrite64", f, b"ab", 2, 99) == (1, False)
    assert did(g, "pwrite64", f, b"ab", 2, 100) == OVER
    assert did(g, "pwrite64", f, b"", 0, 200) == (0, False)
    vector = struct.pack("<QQ", g.place(b"abcd"), 4) * 5
    assert did(g, "pwritev", f, vector, 5, 90, 0) == (10, False)
    assert did(g, "pwritev2", f, vector, 5, 100, 0, 0) == OVER
    g("lseek", f, 94, 0)
    assert did(g, "writev", f, vector, 5) == (6, False)
    assert did(g, "writev", f, vector, 5) == OVER
    assert did(g, "pwrite64", big, b"a", 1, 150) == OVER, "even where the file is"
    append = g("open", "f", fc.O_WRONLY | fc.O_APPEND)
    g("ftruncate", f, 99)
    assert did(g, "write", append, b"abc", 3) == (1, False)
    assert did(g, "write", append, b"abc", 3) == OVER
    assert did(g, "ftruncate", f, 101) == OVER
    assert did(g, "truncate", "f", 101) == OVER
    assert did(g, "truncate", "f", 100) == (0, False)
    assert did(g, "ftruncate", big, 250) == (0, False), "a file may shrink"
    assert did(g, "fallocate", f, 0, 50, 100) == OVER
    assert did(g, "fallocate", f, fc.FALLOC_FL_KEEP_SIZE, 50, 100) == (0, False)
    assert did(g, "fallocate", big, 0, 150, 50) == (0, False)
    memory = g("memfd_create", "m", 0)
    assert did(g, "write", memory, b"a" * 150, 150) == (100, False)
    assert did(g, "write", memory, b"a", 1) == OVER
    assert did(g, "write", pipe(g)[1], b"a" * 150, 150) == (150, False)
    assert did(g, "truncate", "big", 101) == (0, False)


def test_a_long_write_stops_at_the_limit(limited: AnyGuest) -> None:
    g = limited
    f = g("open", "f", fc.O_RDWR)
    result = did(g, "write", f, bytes(600_000), 600_000, limit=400_000)
    assert result == (400_000, False)


def test_size_limit_of_transfers(limited: AnyGuest) -> None:
    g = limited
    f, big = g("open", "f", fc.O_RDWR), g("open", "big", fc.O_RDWR)
    assert did(g, "copy_file_range", big, 0, f, 0, 150, 0) == (100, False)
    assert did(g, "copy_file_range", big, 0, f, 0, 150, 0) == OVER
    g("lseek", f, 0, 0)
    start = bytearray(8)
    assert did(g, "sendfile", f, big, start, 150) == (100, True), "Linux goes on until it is refused"
    assert did(g, "sendfile", f, big, start, 150) == OVER
    out, into = pipe(g)
    write(g, into, b"p" * 150)
    assert did(g, "splice", out, 0, f, bytearray(8), 150, 0) == (100, True)
    assert did(g, "splice", out, 0, f, 0, 150, 0) == OVER
    assert read(g, out, 100) == b"p" * 50
