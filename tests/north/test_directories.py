"""Directories and names."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import stat as st
from tests.north.conftest import UID

CREATE = fc.O_CREAT | fc.O_RDWR
AT = fc.AT_FDCWD
BAD = 0x1000


def make(g, name="f"):
    fd = g("open", name, CREATE, 0o644)
    g("close", fd)


def listing(g, path, size=4096, call="getdents64"):
    """name -> (inode, type) of a directory, read with buffers of ``size`` bytes."""
    fd = g("open", path, fc.O_RDONLY | fc.O_DIRECTORY, 0)
    found = {}
    while True:
        buffer = bytearray(size)
        count = g(call, fd, buffer, size)
        assert count >= 0
        if not count:
            g("close", fd)
            return found
        at = 0
        while at < count:
            if call == "getdents64":
                ino, _, length, kind = struct.unpack_from("<QqHB", buffer, at)
                name = bytes(buffer[at + 19 : at + length]).split(b"\0")[0]
            else:
                ino, _, length = struct.unpack_from("<QqH", buffer, at)
                name, kind = bytes(buffer[at + 18 : at + length - 1]).split(b"\0")[0], buffer[at + length - 1]
            assert length % 8 == 0
            assert name not in found
            found[name] = (ino, kind)
            at += length


@pytest.mark.parametrize("call", ["getdents64", "getdents"])
def test_getdents(g, call):
    g("mkdir", "d", 0o755)
    for i in range(40):
        make(g, f"d/name-{i:030}")
    g("mkdir", "d/sub", 0o755)
    g("symlink", "x", "d/link")
    found = listing(g, "d", call=call)
    assert len(found) == 44
    assert (found[b"sub"][1], found[b"link"][1], found[b"name-" + b"0" * 30][1]) == (st.DT_DIR, st.DT_LNK, st.DT_REG)
    assert found[b"."][1] == found[b".."][1] == st.DT_DIR
    assert listing(g, "d", 100, call) == found
    fd = g("open", "d", fc.O_DIRECTORY, 0)
    assert g(call, fd, bytearray(8), 8) == -E.EINVAL
    assert g(call, fd, BAD, 100) == -E.EFAULT
    assert g(call, 99, BAD, 100) == -E.EBADF
    assert g(call, g("open", "d", fc.O_PATH, 0), BAD, 100) == -E.EBADF
    assert g(call, g("open", "f", CREATE, 0o600), BAD, 100) == -E.ENOTDIR


def test_rewinding_sees_what_is_new(g):
    g("mkdir", "d", 0o755)
    fd = g("open", "d", fc.O_DIRECTORY, 0)
    buffer = bytearray(512)
    first = g("getdents64", fd, buffer, 512)
    assert g("getdents64", fd, buffer, 512) == 0
    make(g, "d/new")
    assert g("lseek", fd, 0, 0) == 0
    assert g("getdents64", fd, buffer, 512) > first
    g("unlink", "d/new")
    g("rmdir", "d")
    g("lseek", fd, 0, 0)
    assert g("getdents64", fd, buffer, 512) == -E.ENOENT


def cwd(g):
    buffer = bytearray(4096)
    count = g("getcwd", buffer, 4096)
    return bytes(buffer[: count - 1]) if count > 0 else count


def test_chdir(g):
    top = cwd(g)
    g("mkdir", "d", 0o755)
    make(g)
    assert g("chdir", "d") == 0
    assert cwd(g) == top.rstrip(b"/") + b"/d"
    assert g("chdir", "missing") == -E.ENOENT
    assert g("chdir", "../f") == -E.ENOTDIR
    fd = g("open", "..", fc.O_PATH, 0)
    assert g("fchdir", fd) == 0
    assert cwd(g) == top
    assert g("fchdir", g("open", "f", fc.O_RDONLY, 0)) == -E.ENOTDIR
    assert g("fchdir", 99) == -E.EBADF
    assert g("getcwd", BAD, 0) == -E.ERANGE
    assert g("getcwd", BAD, 4096) == -E.EFAULT
    assert g("getcwd", bytearray(1), 1) == -E.ERANGE
    g("chdir", "d")
    g("rmdir", "../d")
    assert cwd(g) == -E.ENOENT
    assert g("open", "x", CREATE, 0o600) == -E.ENOENT
    assert g("fchdir", fd) == 0


def test_mkdir(g):
    assert g("mkdir", "d", 0o777) == 0
    assert g("mkdir", "d", 0o777) == -E.EEXIST
    assert g("mkdir", "d/", 0o777) == -E.EEXIST
    assert g("mkdirat", AT, "e/", 0o700) == 0
    at = g("open", "d", fc.O_PATH, 0)
    assert g("mkdirat", at, "inner", 0o700) == 0
    assert g("mkdir", "x/y", 0o700) == -E.ENOENT
    assert g("rmdir", "d") == -E.ENOTEMPTY
    assert g("rmdir", "d/.") == -E.EINVAL
    assert g("rmdir", "d/..") == -E.ENOTEMPTY
    make(g)
    assert g("rmdir", "f") == -E.ENOTDIR
    assert g("mkdir", "f/x", 0o700) == -E.ENOTDIR
    assert g("unlinkat", at, "inner", fc.AT_REMOVEDIR) == 0
    assert g("rmdir", "d") == 0
    assert g("rmdir", "d") == -E.ENOENT
    assert g("mkdirat", 99, "x", 0o700) == -E.EBADF
    buffer = bytearray(144)
    g("stat", "e", buffer)
    assert struct.unpack_from("<I", buffer, 24)[0] == st.S_IFDIR | 0o700


def test_unlink(g):
    make(g)
    g("mkdir", "d", 0o755)
    fd = g("open", "f", fc.O_RDONLY, 0)
    assert g("unlink", "f") == 0
    assert g("unlink", "f") == -E.ENOENT
    assert g("unlink", "d") == -E.EISDIR
    buffer = bytearray(144)
    g("fstat", fd, buffer)
    assert struct.unpack_from("<Q", buffer, 16)[0] == 0
    make(g)
    assert g("unlink", "f/") == -E.ENOTDIR
    assert g("unlinkat", AT, "f", 1) == -E.EINVAL
    assert g("unlinkat", AT, "f", fc.AT_REMOVEDIR) == -E.ENOTDIR
    g("symlink", "d", "link")
    assert g("unlinkat", AT, "link", 0) == 0
    assert g("access", "d", 0) == 0
    assert g("unlink", BAD) == -E.EFAULT


def test_rename(g):
    make(g, "a")
    make(g, "b")
    g("mkdir", "d", 0o755)
    g("mkdir", "e", 0o755)
    assert g("rename", "a", "c") == 0
    assert g("rename", "a", "c") == -E.ENOENT
    assert g("rename", "c", "b") == 0
    assert g("rename", "b", "d") == -E.EISDIR
    assert g("rename", "d", "b") == -E.ENOTDIR
    assert g("renameat", AT, "b", g("open", "d", fc.O_PATH, 0), "x") == 0
    assert g("rename", "e", "d") == -E.ENOTEMPTY
    assert g("rename", "d", "e") == 0
    assert g("access", "e/x", 0) == 0
    assert g("rename", "e", "e/sub") == -E.EINVAL
    make(g, "y")
    assert g("renameat2", AT, "y", AT, "e/x", fc.RENAME_NOREPLACE) == -E.EEXIST
    assert g("renameat2", AT, "y", AT, "e", fc.RENAME_EXCHANGE) == 0
    assert g("access", "y/x", 0) == 0
    assert g("renameat2", AT, "y", AT, "z", fc.RENAME_EXCHANGE) == -E.ENOENT
    assert g("renameat2", AT, "y", AT, "z", 3) == -E.EINVAL
    assert g("renameat2", AT, "y", AT, "z", 99) == -E.EINVAL
    assert g("rename", "y/.", "z") == -E.EBUSY


def test_rename_leaves_a_whiteout(g):
    make(g, "a")
    assert g("renameat2", AT, "a", AT, "b", fc.RENAME_WHITEOUT | fc.RENAME_EXCHANGE) == -E.EINVAL
    assert g("renameat2", AT, "a", AT, "b", fc.RENAME_WHITEOUT) == 0
    buffer = bytearray(144)
    assert g("lstat", "a", buffer) == 0
    _, _, links, mode, uid, _, _, rdev = struct.unpack_from("<QQQIIIiQ", buffer)
    assert (links, mode, uid, rdev) == (1, st.S_IFCHR, UID, 0)
    assert g("access", "b", 0) == 0
    assert g("unlink", "a") == 0
    make(g, "a")
    assert g("renameat2", AT, "a", AT, "b", fc.RENAME_WHITEOUT | fc.RENAME_NOREPLACE) == -E.EEXIST
    assert g("renameat2", AT, "a", AT, "b", fc.RENAME_WHITEOUT) == 0, "what is there is replaced"
    assert g("lstat", "a", buffer) == 0


def test_link(g):
    make(g)
    g("mkdir", "d", 0o755)
    assert g("link", "f", "g") == 0
    assert g("link", "f", "g") == -E.EEXIST
    assert g("link", "d", "h") == -E.EPERM
    assert g("link", "missing", "h") == -E.ENOENT
    g("symlink", "f", "link")
    assert g("linkat", AT, "link", AT, "h", 0) == 0
    assert g("readlink", "h", bytearray(8), 8) == 1
    assert g("linkat", AT, "link", AT, "i", fc.AT_SYMLINK_FOLLOW) == 0
    assert g("readlink", "i", bytearray(8), 8) == -E.EINVAL
    assert g("linkat", AT, "f", AT, "j", 1) == -E.EINVAL
    buffer = bytearray(144)
    g("stat", "f", buffer)
    assert struct.unpack_from("<Q", buffer, 16)[0] == 3


def test_symlink(g):
    assert g("symlink", "some/where", "link") == 0
    buffer = bytearray(20)
    assert g("readlink", "link", buffer, 20) == 10
    assert buffer[:10] == b"some/where"
    assert g("readlinkat", AT, "link", buffer, 4) == 4
    assert g("readlink", "link", buffer, 0) == -E.EINVAL
    assert g("readlink", "link", buffer, -1) == -E.EINVAL
    assert g("readlink", "link", BAD, 4) == -E.EFAULT
    assert g("readlink", ".", buffer, 4) == -E.EINVAL
    assert g("symlink", "x", "link") == -E.EEXIST
    assert g("symlink", "", "empty") == -E.ENOENT
    assert g("symlinkat", "t", g("open", ".", fc.O_PATH, 0), "l2") == 0
    assert g("readlinkat", g("open", ".", fc.O_PATH, 0), "", buffer, 8) == -E.ENOENT
    assert g("readlinkat", AT, "", buffer, 8) == -E.ENOENT
    assert g("readlinkat", g("open", "l2", fc.O_PATH | fc.O_NOFOLLOW, 0), "", buffer, 8) == 1


def test_mknod(g):
    assert g("mknod", "fifo", st.S_IFIFO | 0o600, 0) == 0
    assert g("mknodat", AT, "plain", 0o600, 0) == 0
    assert g("mknod", "dir", st.S_IFDIR | 0o600, 0) == -E.EPERM
    assert g("mknod", "what", st.S_IFMT | 0o600, 0) == -E.EINVAL
    assert g("mknod", "fifo", st.S_IFIFO | 0o600, 0) == -E.EEXIST
    assert listing(g, ".")[b"fifo"][1] == st.DT_FIFO


# -- ours alone ---------------------------------------------------------------------------------------------------


def test_chroot(bench):
    g = bench.guest()
    g("mkdir", "/jail", 0o755)
    g("mkdir", "/jail/d", 0o755)
    make(g, "/secret")
    assert g("chroot", "/secret") == -E.ENOTDIR
    assert g("chroot", "/jail") == 0
    assert g("chdir", "/d") == 0
    assert cwd(g) == b"/d"
    assert g("access", "/secret", 0) == -E.ENOENT
    assert g("access", "../../secret", 0) == -E.ENOENT
    other = bench.guest()
    assert other("access", "/secret", 0) == 0


def test_searching_needs_permission():
    from tests.north.bench import Bench

    bench = Bench(uid=1000)
    g = bench.guest()
    g("mkdir", "d", 0o700)
    g("mkdir", "d/inner", 0o700)
    bench.kernel.namespace.root.inode.lookup(b"d").setattr(uid=0)
    for call in ("chdir", "rmdir", "unlink"):
        assert g(call, "d/inner") == -E.EACCES
    assert g("chdir", "d") == -E.EACCES
    assert g("mkdir", "d/x", 0o700) == -E.EACCES
