"""truncate, fallocate, fsync and advice; extended attributes."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc

CREATE = fc.O_CREAT | fc.O_RDWR
AT = fc.AT_FDCWD
BAD = 0x1000


def make(g, content=b"0123456789"):
    fd = g("open", "f", CREATE, 0o644)
    g("write", fd, content, len(content))
    return fd


def pipe(g):
    ends = bytearray(8)
    g("pipe2", ends, 0)
    return struct.unpack("<ii", ends)


def content(g, fd, size=64):
    buffer = bytearray(size)
    return bytes(buffer[: g("pread64", fd, buffer, size, 0)])


def size(g, fd):
    buffer = bytearray(144)
    g("fstat", fd, buffer)
    return struct.unpack_from("<q", buffer, 48)[0]


def test_truncate(g):
    fd = make(g)
    assert g("truncate", "f", 4) == 0
    assert content(g, fd) == b"0123"
    assert g("ftruncate", fd, 6) == 0
    assert content(g, fd) == b"0123\0\0"
    assert g("lseek", fd, 0, 1) == 10
    assert g("ftruncate", fd, -1) == -E.EINVAL
    assert g("ftruncate", 99, -1) == -E.EINVAL
    assert g("ftruncate", 99, 0) == -E.EBADF
    assert g("ftruncate", g("open", "f", fc.O_RDONLY, 0), 0) == -E.EINVAL
    assert g("ftruncate", g("open", "f", fc.O_PATH, 0), 0) == -E.EBADF
    assert g("ftruncate", pipe(g)[1], 0) == -E.EINVAL
    assert g("truncate", ".", 0) == -E.EISDIR
    assert g("truncate", ".", -1) == -E.EINVAL
    assert g("truncate", "missing", 0) == -E.ENOENT


def test_fallocate(g):
    fd = make(g)
    assert g("fallocate", fd, 0, 0, 20) == 0
    assert size(g, fd) == 20
    assert g("fallocate", fd, fc.FALLOC_FL_KEEP_SIZE, 0, 4096) == 0
    assert size(g, fd) == 20
    assert g("fallocate", fd, fc.FALLOC_FL_KEEP_SIZE | fc.FALLOC_FL_PUNCH_HOLE, 2, 3) == 0
    assert content(g, fd)[:10] == b"01\0\0\x0056789"
    assert g("fallocate", fd, 0, 0, 0) == -E.EINVAL
    assert g("fallocate", fd, 0, -1, 1) == -E.EINVAL
    assert g("fallocate", 99, 0, 0, 0) == -E.EBADF
    assert g("fallocate", pipe(g)[1], 0, 0, 1) == -E.ESPIPE
    assert g("fallocate", g("open", ".", fc.O_DIRECTORY, 0), 0, 0, 1) == -E.EBADF
    assert g("fallocate", g("open", "f", fc.O_RDONLY, 0), 0, 0, 1) == -E.EBADF
    assert g("fallocate", fd, 0x1000, 0, 1) == -E.EOPNOTSUPP
    assert g("fallocate", fd, fc.FALLOC_FL_PUNCH_HOLE, 0, 1) == -E.EOPNOTSUPP
    assert g("fallocate", fd, 0, (1 << 63) - 2, 100) == -E.EFBIG
    modes = {0x09, 0x21, 0x28, 0x18, 0x40, 0x41, 0x50, 0x02, 0x43, 0x04, 0x80, 0x100, 0x0B}
    assert {g("fallocate", fd, mode, 0, 4096) for mode in modes} == {-E.EOPNOTSUPP}


def test_fallocate_moves_what_is_behind(g):
    collapse, insert = fc.FALLOC_FL_COLLAPSE_RANGE, fc.FALLOC_FL_INSERT_RANGE
    fd = make(g, content=b"".join(bytes([i]) * 4096 for i in range(1, 7)) + b"tail")

    def pages():
        buffer = bytearray(1)
        return [buffer[0] for at in range(0, size(g, fd), 4096) if g("pread64", fd, buffer, 1, at) == 1]

    if g("fallocate", fd, collapse, 4096, 4096) == -E.EOPNOTSUPP:
        pytest.skip("the host's file system cannot")
    assert (size(g, fd), pages()) == (5 * 4096 + 4, [1, 3, 4, 5, 6, ord("t")])
    assert g("fallocate", fd, insert, 4096, 8192) == 0
    assert (size(g, fd), pages()) == (7 * 4096 + 4, [1, 0, 0, 3, 4, 5, 6, ord("t")])
    bad = [(collapse, 1, 4096), (collapse, 4096, 100), (collapse, 4096, 65536), (collapse, 7 * 4096, 4096)]
    bad += [(insert, 1, 4096), (insert, 4096, 100), (insert, 8 * 4096, 4096)]
    assert {g("fallocate", fd, *what) for what in bad} == {-E.EINVAL}
    assert g("fallocate", fd, insert, 0, (1 << 63) - 4096 * 7) == -E.EFBIG
    assert g("fallocate", g("open", "f", fc.O_RDONLY, 0), collapse, 0, 4096) == -E.EBADF
    assert g("fallocate", g("memfd_create", "m", 0), collapse, 0, 4096) == -E.EOPNOTSUPP


def test_sync(g):
    fd = make(g)
    reader, _ = pipe(g)
    assert g("fsync", fd) == g("fdatasync", fd) == g("syncfs", fd) == 0
    assert g("fsync", g("open", ".", fc.O_DIRECTORY, 0)) == 0
    assert g("fsync", reader) == -E.EINVAL
    assert g("fsync", 99) == -E.EBADF
    assert g("syncfs", 99) == -E.EBADF
    assert g("fsync", g("open", "f", fc.O_PATH, 0)) == -E.EBADF
    assert g("sync_file_range", fd, 0, 0, 7) == 0
    assert g("sync_file_range", fd, 0, 0, 99) == -E.EINVAL
    assert g("sync_file_range", fd, -1, 0, 0) == -E.EINVAL
    assert g("sync_file_range", reader, 0, 0, 0) == -E.ESPIPE


def test_advice(g):
    fd = make(g)
    reader, writer = pipe(g)
    assert [g("fadvise64", fd, 0, 0, advice) for advice in range(7)] == [0] * 6 + [-E.EINVAL]
    assert g("fadvise64", fd, 0, -1, 0) == -E.EINVAL
    assert g("fadvise64", reader, 0, 0, 99) == -E.ESPIPE
    assert g("fadvise64", 99, 0, 0, 0) == -E.EBADF
    assert g("readahead", fd, 0, 10) == 0
    assert g("readahead", reader, 0, 0) == -E.EINVAL
    assert g("readahead", writer, 0, 0) == -E.EBADF


def test_extended_attributes(g):
    fd = make(g)
    buffer = bytearray(8)
    assert g("setxattr", "f", "user.a", b"value", 5, 0) == 0
    assert g("getxattr", "f", "user.a", 0, 0) == 5
    assert g("fgetxattr", fd, "user.a", buffer, 8) == 5
    assert buffer[:5] == b"value"
    assert g("getxattr", "f", "user.a", buffer, 4) == -E.ERANGE
    assert g("fsetxattr", fd, "user.a", b"x", 1, 1) == -E.EEXIST
    assert g("fsetxattr", fd, "user.b", b"x", 1, 2) == -E.ENODATA
    assert g("fsetxattr", fd, "user.b", 0, 0, 1) == 0
    names = bytearray(32)
    count = g("listxattr", "f", names, 32)
    assert set(bytes(names[:count]).split(b"\0")) - {b"security.selinux"} == {b"user.a", b"user.b", b""}
    assert g("flistxattr", fd, names, 3) == -E.ERANGE
    assert g("removexattr", "f", "user.a") == 0
    assert g("removexattr", "f", "user.a") == -E.ENODATA
    assert g("getxattr", "f", "user.a", 0, 0) == -E.ENODATA
    assert g("fgetxattr", fd, "bogus", 0, 0) == -E.EOPNOTSUPP
    assert g("fgetxattr", fd, "", 0, 0) == -E.ERANGE
    assert g("fgetxattr", fd, "user." + "x" * 300, 0, 0) == -E.ERANGE
    assert g("fsetxattr", fd, "user.a", 0, 0, 9) == -E.EINVAL
    assert g("fsetxattr", fd, "user.a", BAD, 1 << 20, 0) == -E.E2BIG
    assert g("fsetxattr", fd, "user.a", BAD, 10, 0) == -E.EFAULT
    assert g("flistxattr", g("open", "f", fc.O_PATH, 0), 0, 0) == -E.EBADF
    g("symlink", "f", "link")
    assert g("lsetxattr", "link", "user.a", b"x", 1, 0) == -E.EPERM
    assert g("lgetxattr", "link", "user.b", 0, 0) == -E.ENODATA
    assert g("fsetxattr", pipe(g)[0], "user.a", 0, 0, 0) == -E.EPERM
    assert g("fgetxattr", pipe(g)[0], "user.a", 0, 0) == -E.ENODATA
