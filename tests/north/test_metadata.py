"""stat, statx, access, chmod, chown, utimensat, statfs."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import stat as st
from pylitebox.north.linux.metadata import STATX, STATX_ATTR_MOUNT_ROOT
from tests.north.bench import Bench
from tests.north.conftest import GID, UID

CREATE = fc.O_CREAT | fc.O_RDWR
AT = fc.AT_FDCWD
BAD = 0x1000
root_only = pytest.mark.skipif(UID != 0, reason="needs root on the host")


def make(g, name="f", content=b"hello"):
    fd = g("open", name, CREATE, 0o644)
    g("write", fd, content, len(content))
    return fd


def facts(g, path, flags=0, at=AT):
    buffer = bytearray(144)
    result = g("newfstatat", at, path, buffer, flags)
    if result < 0:
        return result
    names = "dev ino nlink mode uid gid pad rdev size blksize blocks atime atime_ns mtime mtime_ns ctime ctime_ns"
    return dict(zip(names.split(), st.STAT_X86_64.unpack(buffer), strict=True))


def test_stat(g):
    fd = make(g)
    g("symlink", "f", "link")
    here = facts(g, "f")
    assert (here["mode"], here["size"], here["nlink"], here["blksize"]) == (st.S_IFREG | 0o644, 5, 1, 4096)
    assert (here["uid"], here["gid"]) == (UID, GID)
    assert facts(g, "link") == here
    assert facts(g, "link", fc.AT_SYMLINK_NOFOLLOW)["mode"] == st.S_IFLNK | 0o777
    assert facts(g, "", fc.AT_EMPTY_PATH, at=fd) == here
    assert facts(g, 0, fc.AT_EMPTY_PATH, at=fd) == here
    assert facts(g, "", fc.AT_EMPTY_PATH)["mode"] & st.S_IFMT == st.S_IFDIR
    buffers = [bytearray(144) for _ in range(4)]
    assert g("stat", "link", buffers[0]) == g("lstat", "f", buffers[1]) == g("fstat", fd, buffers[2]) == 0
    assert buffers[0] == buffers[1] == buffers[2]
    g("link", "f", "again")
    assert facts(g, "f")["nlink"] == 2
    ends = bytearray(8)
    g("pipe2", ends, 0)
    assert facts(g, "", fc.AT_EMPTY_PATH, at=struct.unpack("<ii", ends)[0])["mode"] == st.S_IFIFO | 0o600


def test_stat_errors(g):
    fd = make(g)
    assert facts(g, "") == -E.ENOENT
    assert facts(g, "", at=99) == -E.ENOENT
    assert facts(g, "", fc.AT_EMPTY_PATH, at=99) == -E.EBADF
    assert facts(g, "x", at=99) == -E.EBADF
    assert facts(g, "x", at=fd) == -E.ENOTDIR
    assert facts(g, "/", at=99)["mode"] & st.S_IFMT == st.S_IFDIR
    assert facts(g, 0) == -E.EFAULT
    assert facts(g, "/", 0x8000) == -E.EINVAL
    assert facts(g, "f/") == -E.ENOTDIR
    assert facts(g, "f/x") == -E.ENOTDIR
    assert facts(g, "missing") == -E.ENOENT
    assert g("fstat", 99, BAD) == -E.EBADF
    assert g("fstat", fd, BAD) == -E.EFAULT
    assert g("stat", BAD, BAD) == -E.EFAULT


def test_statx(g):
    make(g)
    buffer = bytearray(256)
    assert g("statx", AT, "f", 0, st.STATX_BASIC_STATS | st.STATX_BTIME, buffer) == 0
    old = facts(g, "f")
    assert STATX.size == 256
    fields = STATX.unpack(buffer)
    assert fields[0] & st.STATX_BASIC_STATS == st.STATX_BASIC_STATS
    assert fields[1] == 4096
    assert fields[3:9] == (old["nlink"], old["uid"], old["gid"], old["mode"], old["ino"], old["size"])
    atime, mtime, ctime = fields[11:13], fields[17:19], fields[15:17]
    assert atime == (old["atime"], old["atime_ns"])
    assert mtime == (old["mtime"], old["mtime_ns"])
    assert ctime == (old["ctime"], old["ctime_ns"])
    assert st.makedev(*fields[21:23]) == old["dev"]
    assert fields[0] & (st.STATX_MNT_ID | st.STATX_MNT_ID_UNIQUE) == st.STATX_MNT_ID
    assert fields[2] & STATX_ATTR_MOUNT_ROOT == 0
    assert fields[10] & STATX_ATTR_MOUNT_ROOT
    assert g("statx", AT, "f", 0, st.STATX_MNT_ID_UNIQUE, buffer) == 0
    unique = STATX.unpack(buffer)
    assert unique[0] & (st.STATX_MNT_ID | st.STATX_MNT_ID_UNIQUE) == st.STATX_MNT_ID_UNIQUE
    assert unique[23] >= 1 << 31 > fields[23]
    assert g("statx", AT, "/", 0, 0, buffer) == 0
    assert STATX.unpack(buffer)[2] & STATX_ATTR_MOUNT_ROOT
    assert g("statx", AT, "f", 0, 1 << 31, buffer) == -E.EINVAL
    assert g("statx", AT, "f", fc.AT_STATX_SYNC_TYPE, 0, buffer) == -E.EINVAL
    assert g("statx", AT, "f", 0x8, 0, buffer) == -E.EINVAL


def nameless(g):
    """A pipe's end, a socket, and a memory file."""
    ends, pair = bytearray(8), bytearray(8)
    g("pipe2", ends, 0)
    g("socketpair", 1, 1, 0, pair)
    return [struct.unpack("<ii", ends)[0], struct.unpack("<ii", pair)[0], g("memfd_create", "m", 0)]


def of(g, fd):
    return facts(g, "", fc.AT_EMPTY_PATH, at=fd)


def test_attributes_of_nameless_files(g):
    times = struct.pack("<qqqq", 5, 0, 7, 9)
    for fd in nameless(g):
        kind = of(g, fd)["mode"] & st.S_IFMT
        assert g("fchmod", fd, 0o640) == 0
        assert of(g, fd)["mode"] == kind | 0o640
        assert g("fchmodat2", fd, "", 0o604, fc.AT_EMPTY_PATH) == 0
        assert of(g, fd)["mode"] == kind | 0o604
        assert g("fchown", fd, UID, GID) == 0
        assert g("fchownat", fd, "", -1, GID, fc.AT_EMPTY_PATH) == 0
        assert g("utimensat", fd, 0, times, 0) == 0
        assert [of(g, fd)[name] for name in ("atime", "mtime", "mtime_ns")] == [5, 7, 9]
        assert g("linkat", fd, "", AT, "named", fc.AT_EMPTY_PATH) in (-E.EXDEV, -E.ENOENT)
        assert of(g, g("dup", fd)) == of(g, fd)
    event = g("eventfd2", 0, 0)
    assert g("fchmod", event, 0o640) == -E.EOPNOTSUPP
    assert g("fchown", event, -1, GID) == -E.EOPNOTSUPP
    assert g("utimensat", event, 0, times, 0) == -E.EOPNOTSUPP
    assert of(g, event)["mode"] == 0o600


def test_both_ends_are_one_file(g):
    ends = bytearray(8)
    g("pipe2", ends, 0)
    one, other = struct.unpack("<ii", ends)
    before = of(g, other)
    assert g("fchmod", one, 0o622) == 0
    assert of(g, other)["mode"] == st.S_IFIFO | 0o622
    assert of(g, other)["ino"] == before["ino"]
    if UID == 0:
        assert g("fchown", one, 5, 6) == 0
        assert (of(g, other)["uid"], of(g, other)["gid"]) == (5, 6)
    assert g("flock", one, fc.LOCK_EX | fc.LOCK_NB) == 0
    assert g("flock", other, fc.LOCK_EX | fc.LOCK_NB) == -E.EAGAIN
    g("close", one)
    assert g("flock", other, fc.LOCK_EX | fc.LOCK_NB) == 0


def test_access(g):
    make(g)
    g("chmod", "f", 0o400)
    assert g("access", "f", 0) == 0
    assert g("access", "f", fc.R_OK) == 0
    assert g("access", "f", fc.X_OK) == -E.EACCES
    assert g("faccessat", AT, "missing", 0) == -E.ENOENT
    assert g("access", "f", 8) == -E.EINVAL
    assert g("faccessat2", AT, "f", 0, 0x8000) == -E.EINVAL
    g("symlink", "missing", "link")
    assert g("faccessat2", AT, "link", 0, 0) == -E.ENOENT
    assert g("faccessat2", AT, "link", 0, fc.AT_SYMLINK_NOFOLLOW) == 0
    assert g("faccessat2", AT, "f", fc.R_OK, fc.AT_EACCESS) == 0


def test_chmod(g):
    fd = make(g)
    assert g("chmod", "f", 0o7640) == 0
    assert facts(g, "f")["mode"] & 0o777 == 0o640
    assert g("fchmod", fd, 0o600) == 0
    assert g("fchmodat", AT, "f", 0o604) == 0
    assert facts(g, "f")["mode"] == st.S_IFREG | 0o604
    assert g("fchmodat2", fd, "", 0o611, fc.AT_EMPTY_PATH) == 0
    assert facts(g, "f")["mode"] == st.S_IFREG | 0o611
    g("symlink", "f", "link")
    assert g("fchmodat2", AT, "link", 0o600, fc.AT_SYMLINK_NOFOLLOW) == -E.EOPNOTSUPP
    assert g("fchmodat2", AT, "f", 0o600, 0x8) == -E.EINVAL
    assert g("fchmod", g("open", "f", fc.O_PATH, 0), 0o600) == -E.EBADF
    assert g("chmod", "missing", 0o600) == -E.ENOENT


@root_only
def test_chown(g):
    fd = make(g)
    g("symlink", "f", "link")
    assert g("chown", "link", 5, 6) == 0
    assert (facts(g, "f")["uid"], facts(g, "f")["gid"]) == (5, 6)
    assert g("fchown", fd, -1, 7) == 0
    assert (facts(g, "f")["uid"], facts(g, "f")["gid"]) == (5, 7)
    assert g("lchown", "link", 8, 9) == 0
    assert facts(g, "f")["uid"] == 5
    assert facts(g, "link", fc.AT_SYMLINK_NOFOLLOW)["uid"] == 8
    assert g("fchownat", fd, "", 1, 1, fc.AT_EMPTY_PATH) == 0
    assert facts(g, "f")["uid"] == 1
    g("chmod", "f", 0o6755)
    g("chown", "f", 2, 2)
    assert facts(g, "f")["mode"] == st.S_IFREG | 0o755


def times(*values):
    return struct.pack("<4q", *values)


def test_times(g):
    fd = make(g)
    assert g("utimensat", AT, "f", times(100, 5, 200, 6), 0) == 0
    now = facts(g, "f")
    assert (now["atime"], now["atime_ns"], now["mtime"], now["mtime_ns"]) == (100, 5, 200, 6)
    assert g("utimensat", fd, 0, times(0, st.UTIME_OMIT, 300, 0), 0) == 0
    now = facts(g, "f")
    assert (now["atime"], now["mtime"]) == (100, 300)
    assert g("utimes", "f", times(1, 500_000, 2, 0)) == 0
    assert facts(g, "f")["atime_ns"] == 500_000_000
    assert g("utime", "f", struct.pack("<qq", 7, 8)) == 0
    assert (facts(g, "f")["atime"], facts(g, "f")["mtime"]) == (7, 8)
    assert g("futimesat", AT, "f", times(9, 0, 10, 0)) == 0
    assert facts(g, "f")["mtime"] == 10
    assert g("utimensat", fd, "", times(-3, 0, 0, st.UTIME_NOW), fc.AT_EMPTY_PATH) == 0
    now = facts(g, "f")
    assert (now["atime"], now["mtime"] > 1_000_000) == (-3, True)
    g("symlink", "f", "link")
    assert g("utimensat", AT, "link", times(1, 0, 1, 0), fc.AT_SYMLINK_NOFOLLOW) == 0
    assert facts(g, "link", fc.AT_SYMLINK_NOFOLLOW)["mtime"] == 1
    assert g("utimensat", AT, "f", 0, 0) == 0
    assert facts(g, "f")["atime"] > 1_000_000


def test_times_errors(g):
    fd = make(g)
    assert g("utimensat", fd, 0, times(0, -1, 0, 0), 0) == -E.EINVAL
    assert g("utimensat", fd, 0, 0, fc.AT_SYMLINK_NOFOLLOW) == -E.EINVAL
    assert g("utimensat", AT, 0, 0, 0) == -E.EFAULT
    assert g("utimensat", 99, 0, 0, 0) == -E.EBADF
    assert g("utimensat", AT, "missing", 0, 0) == -E.ENOENT
    assert g("utimes", "f", times(0, 1_000_000, 0, 0)) == -E.EINVAL
    assert g("utimensat", AT, "missing", times(0, st.UTIME_OMIT, 0, st.UTIME_OMIT), 0) == 0


def test_statfs(g):
    fd = make(g)
    first, second = bytearray(120), bytearray(120)
    assert g("statfs", "f", first) == 0
    assert g("fstatfs", fd, second) == 0
    assert st.STATFS.unpack(first)[0] == st.STATFS.unpack(second)[0] != 0
    assert st.STATFS.unpack(first)[9] == 255
    assert st.STATFS.unpack(first)[11] & 0x20
    ends = bytearray(8)
    g("pipe2", ends, 0)
    assert g("fstatfs", struct.unpack("<ii", ends)[0], first) == 0
    assert st.STATFS.unpack(first)[0] == st.PIPEFS_MAGIC
    assert g("statfs", "missing", first) == -E.ENOENT
    assert g("fstatfs", 99, first) == -E.EBADF
    assert g("ustat", 0, first) == -E.EINVAL


# -- ours alone ---------------------------------------------------------------------------------------------------


def test_others_may_not_change_what_is_not_theirs():
    bench = Bench(uid=1000)
    g = bench.guest()
    make(g)
    bench.kernel.namespace.root.inode.lookup(b"f").setattr(uid=0, gid=0)
    assert g("chmod", "f", 0o777) == -E.EPERM
    assert g("chown", "f", 1000, 1000) == -E.EPERM
    assert g("utimensat", AT, "f", times(1, 0, 1, 0), 0) == -E.EPERM
    assert g("utimensat", AT, "f", 0, 0) == -E.EACCES
    assert g("access", "f", fc.W_OK) == -E.EACCES
    assert g("open", "f", fc.O_WRONLY, 0) == -E.EACCES
    assert g("truncate", "f", 0) == -E.EACCES
    assert g("mknod", "device", st.S_IFCHR | 0o666, 0x103) == -E.EPERM
    assert g("chroot", "/") == -E.EPERM
