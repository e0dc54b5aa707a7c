"""open, openat, openat2, creat, umask."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import stat as st
from pylitebox.abi.signal import SIGUSR1
from pylitebox.kernel.signals import Action, SigInfo, post_task, set_action
from tests.north.bench import PARKED
from tests.north.conftest import UID

CREATE = fc.O_CREAT | fc.O_RDWR


def mode_of(g, path):
    buffer = bytearray(144)
    assert g("lstat", path, buffer) == 0
    return struct.unpack_from("<I", buffer, 24)[0] & 0o7777


def test_open(g):
    fd = g("openat", fc.AT_FDCWD, "f", CREATE | fc.O_EXCL, 0o666)
    assert fd >= 0
    assert mode_of(g, "f") == 0o644
    assert g("openat", fc.AT_FDCWD, "f", CREATE | fc.O_EXCL, 0o666) == -E.EEXIST
    assert g("umask", 0o77) == 0o22
    assert g("umask", 0o12345) == 0o77
    assert g("umask", 0o22) == 0o345
    assert g("creat", "g", 0o600) >= 0
    assert g("open", "missing", fc.O_RDONLY, 0) == -E.ENOENT
    assert g("open", "", fc.O_RDONLY, 0) == -E.ENOENT
    assert g("open", "f/x", fc.O_RDONLY, 0) == -E.ENOTDIR
    assert g("open", "f/", fc.O_RDONLY, 0) == -E.ENOTDIR
    assert g("open", ".", fc.O_WRONLY, 0) == -E.EISDIR
    assert g("open", ".", CREATE, 0o600) == -E.EISDIR
    assert g("open", "new/", CREATE, 0o600) == -E.EISDIR
    assert g("open", "f", fc.O_DIRECTORY, 0) == -E.ENOTDIR
    assert g("open", "new", CREATE | fc.O_DIRECTORY, 0o600) == -E.EINVAL
    assert g("open", "x" * 256, fc.O_RDONLY, 0) == -E.ENAMETOOLONG
    assert g("open", "x/" * 2100, fc.O_RDONLY, 0) == -E.ENAMETOOLONG
    assert g("open", 0x1000, fc.O_RDONLY, 0) == -E.EFAULT


def test_open_from_a_descriptor(g):
    assert g("mkdir", "d", 0o755) == 0
    directory = g("open", "d", fc.O_RDONLY | fc.O_DIRECTORY, 0)
    fd = g("openat", directory, "inner", CREATE, 0o600)
    assert fd >= 0
    assert g("openat", fc.AT_FDCWD, "d/inner", fc.O_RDONLY, 0) >= 0
    assert g("openat", fd, "x", fc.O_RDONLY, 0) == -E.ENOTDIR
    assert g("openat", 99, "x", fc.O_RDONLY, 0) == -E.EBADF
    assert g("openat", 99, "", fc.O_RDONLY, 0) == -E.ENOENT
    assert g("openat", 99, "/", fc.O_RDONLY, 0) >= 0
    ends = bytearray(8)
    g("pipe2", ends, 0)
    assert g("openat", struct.unpack("<ii", ends)[0], "x", fc.O_RDONLY, 0) == -E.ENOTDIR


def test_truncation_and_links(g):
    fd = g("open", "f", CREATE, 0o600)
    g("write", fd, b"data", 4)
    assert g("symlink", "f", "link") == 0
    assert g("open", "link", fc.O_RDONLY | fc.O_NOFOLLOW, 0) == -E.ELOOP
    assert g("open", "link", fc.O_WRONLY | fc.O_TRUNC, 0) >= 0
    assert g("lseek", fd, 0, 2) == 0
    place = g("open", "link", fc.O_PATH | fc.O_NOFOLLOW, 0)
    buffer = bytearray(8)
    assert g("readlinkat", place, "", buffer, 8) == 1
    assert buffer[:1] == b"f"
    assert g("symlink", "loop", "loop") == 0
    assert g("open", "loop", fc.O_RDONLY, 0) == -E.ELOOP
    assert g("symlink", "made", "dangling") == 0
    assert g("open", "dangling", CREATE | fc.O_EXCL, 0o600) == -E.EEXIST
    assert g("open", "dangling", CREATE, 0o600) >= 0
    assert mode_of(g, "made") == 0o600


def test_flags_are_kept(g):
    fd = g("open", "f", CREATE | fc.O_CLOEXEC | fc.O_NOFOLLOW | fc.O_NOCTTY | fc.O_TRUNC | fc.O_APPEND, 0o600)
    assert g("fcntl", fd, fc.F_GETFL, 0) == fc.O_RDWR | fc.O_NOFOLLOW | fc.O_LARGEFILE | fc.O_APPEND
    assert g("fcntl", fd, fc.F_GETFD, 0) == fc.FD_CLOEXEC
    assert g("fcntl", g("open", ".", fc.O_PATH | fc.O_CLOEXEC, 0), fc.F_GETFL, 0) == fc.O_PATH


def test_tmpfile(g):
    fd = g("open", ".", fc.O_TMPFILE | fc.O_RDWR, 0o600)
    assert fd >= 0
    assert g("write", fd, b"x", 1) == 1
    assert g("open", ".", fc.O_TMPFILE, 0o600) == -E.EINVAL
    assert g("open", ".", fc.O_TMPFILE & ~fc.O_DIRECTORY | fc.O_RDWR, 0o600) == -E.EINVAL
    g("open", "f", CREATE, 0o600)
    assert g("open", "f", fc.O_TMPFILE | fc.O_RDWR, 0o600) == -E.ENOTDIR


def how(flags=0, mode=0, resolve=0):
    return struct.pack("<QQQ", flags, mode, resolve)


def test_openat2(g):
    assert g("openat2", fc.AT_FDCWD, "f", how(CREATE, 0o600), 24) >= 0
    assert g("openat2", fc.AT_FDCWD, "f", how(), 23) == -E.EINVAL
    assert g("openat2", fc.AT_FDCWD, "f", how() + bytes(8), 32) >= 0
    assert g("openat2", fc.AT_FDCWD, "f", how() + b"\1" + bytes(7), 32) == -E.E2BIG
    assert g("openat2", fc.AT_FDCWD, "f", bytes(5000), 5000) == -E.E2BIG
    assert g("openat2", fc.AT_FDCWD, "f", how(mode=0o600), 24) == -E.EINVAL
    assert g("openat2", fc.AT_FDCWD, "f", how(1 << 40), 24) == -E.EINVAL
    assert g("openat2", fc.AT_FDCWD, "f", how(resolve=0x80), 24) == -E.EINVAL
    assert g("openat2", fc.AT_FDCWD, "f", how(fc.O_PATH | fc.O_RDWR), 24) == -E.EINVAL
    assert g("openat2", fc.AT_FDCWD, "f", how(CREATE, 0o10000), 24) == -E.EINVAL


def test_openat2_cached(g):
    g("close", g("open", "f", CREATE, 0o600))
    cached = fc.RESOLVE_CACHED
    assert g("openat2", fc.AT_FDCWD, "f", how(fc.O_RDWR, resolve=cached), 24) >= 0
    assert g("openat2", fc.AT_FDCWD, "f", how(CREATE, 0o600, resolve=cached), 24) == -E.EAGAIN
    assert g("openat2", fc.AT_FDCWD, "f", how(fc.O_RDWR | fc.O_TRUNC, resolve=cached), 24) == -E.EAGAIN
    assert g("openat2", fc.AT_FDCWD, ".", how(fc.O_RDWR | fc.O_TMPFILE, 0o600, resolve=cached), 24) == -E.EAGAIN


@pytest.mark.skipif(UID != 0, reason="needs root on the host")
def test_block_devices_that_are_not_there(g):
    assert g("mknod", "disk", st.S_IFBLK | 0o600, 500 << 8) == 0
    assert g("open", "disk", fc.O_RDONLY) == -E.ENXIO
    assert g("open", "disk", fc.O_PATH) >= 0


def test_openat2_resolution(g):
    g("mkdir", "d", 0o755)
    g("open", "d/f", CREATE, 0o600)
    g("symlink", "/f", "d/absolute")
    g("symlink", "../d/f", "d/outside")
    at = g("open", "d", fc.O_PATH, 0)
    beneath, in_root = how(resolve=fc.RESOLVE_BENEATH), how(resolve=fc.RESOLVE_IN_ROOT)
    assert g("openat2", at, "f", beneath, 24) >= 0
    assert g("openat2", at, "/f", beneath, 24) == -E.EXDEV
    assert g("openat2", at, "..", beneath, 24) == -E.EXDEV
    assert g("openat2", at, "absolute", beneath, 24) == -E.EXDEV
    assert g("openat2", at, "outside", beneath, 24) == -E.EXDEV
    assert g("openat2", at, "/f", in_root, 24) >= 0
    assert g("openat2", at, "absolute", in_root, 24) >= 0
    assert g("openat2", at, "../../f", in_root, 24) >= 0
    assert g("openat2", at, "absolute", how(resolve=fc.RESOLVE_NO_SYMLINKS), 24) == -E.ELOOP
    both = how(resolve=fc.RESOLVE_BENEATH | fc.RESOLVE_IN_ROOT)
    assert g("openat2", at, "f", both, 24) == -E.EINVAL


# -- ours alone ---------------------------------------------------------------------------------------------------


def test_a_fifo_waits_for_its_partner(bench):
    g = bench.guest()
    other = bench.thread(g)
    assert g("mknod", "fifo", 0o10600, 0) == 0
    assert g("open", "fifo", fc.O_WRONLY | fc.O_NONBLOCK, 0) == -E.ENXIO
    assert g("open", "fifo", fc.O_RDONLY, 0) is PARKED
    writer = other("open", "fifo", fc.O_WRONLY, 0)
    assert writer == 0
    bench.run()
    reader = g.result
    assert other("write", writer, b"hi", 2) == 2
    assert g("read", reader, bytearray(2), 2) == 2


def test_an_interrupted_open_leaves_nothing(bench):
    g = bench.guest()
    g("mknod", "fifo", 0o10600, 0)
    set_action(g.task, SIGUSR1, Action(handler=0x4000))
    assert g("open", "fifo", fc.O_RDONLY, 0) is PARKED
    post_task(g.task, SigInfo(SIGUSR1))
    bench.run()
    assert g.result == -E.EINTR
    assert g.task.files.files == {}
    assert g("open", "fifo", fc.O_WRONLY | fc.O_NONBLOCK, 0) == -E.ENXIO


def test_no_descriptor_left_makes_no_file(bench):
    g = bench.guest()
    g.task.files.limit = 1
    assert g("open", "a", CREATE, 0o600) == 0
    assert g("open", "b", CREATE, 0o600) == -E.EMFILE
    assert g("access", "b", 0) == -E.ENOENT
