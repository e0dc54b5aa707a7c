"""Set-id bits, file capabilities and the namespaces of extended attributes, on the host and on our kernel, as root and
as somebody else (setfsuid(2): the calling thread's own file system identity, which takes the capabilities with it)."""

import struct
from collections.abc import Iterator

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.kernel.credentials import Credentials
from pylitebox.north.linux.metadata import STATX
from tests.north.bench import Bench
from tests.north.calls import pipe, write
from tests.north.conftest import UID, AnyGuest

pytestmark = pytest.mark.skipif(UID != 0, reason="needs root on the host")

CREATE = fc.O_CREAT | fc.O_RDWR
AT = fc.AT_FDCWD
USER, GROUP = 1001, 5001
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
MODES = (0o6777, 0o2666, 0o2676, 0o4666)


@pytest.fixture
def f(g: AnyGuest) -> Iterator[int]:
    """An open file of user and group 1000, in a directory that anybody may change."""
    g("chmod", ".", 0o777)
    fd = g("open", "f", CREATE, 0o644)
    write(g, fd, b"0123456789")
    assert g("fchown", fd, 1000, 1000) == 0
    yield fd
    become(g, 0, 0)


def become(g: AnyGuest, uid: int, gid: int = GROUP) -> None:
    g("setfsgid", gid)
    g("setfsuid", uid)
    assert g("setfsuid", -1) == uid


def mode(g: AnyGuest, name: str = "f") -> int:
    buffer = bytearray(256)
    assert g("statx", AT, name, 0, 0xFFF, buffer) == 0
    return STATX.unpack(buffer)[6] & 0o7777


def names(g: AnyGuest, name: str = "f") -> set[bytes]:
    buffer = bytearray(1000)
    size = g("listxattr", name, buffer, 1000)
    return set(bytes(buffer[:size]).split(b"\0")) - {b"", b"security.selinux"}


def put(g: AnyGuest, name: str, value: bytes, path: str = "f") -> int:
    return g("setxattr", path, name, value, len(value), 0)


def get(g: AnyGuest, name: str, path: str = "f") -> bytes | int:
    buffer = bytearray(100)
    size = g("getxattr", path, name, buffer, 100)
    return bytes(buffer[:size]) if size >= 0 else size


@pytest.mark.parametrize("gid", [GROUP, 1000], ids=["stranger", "member"])
@pytest.mark.parametrize("bits", MODES, ids=oct)
def test_writing_drops_set_ids(g: AnyGuest, f: int, bits: int, gid: int) -> None:
    g("fchmod", f, bits)
    write(g, f, b"x")
    assert mode(g) == bits, "root keeps them"
    become(g, USER, gid)
    assert write(g, f, b"") == 0
    assert mode(g) == bits
    write(g, f, b"x")
    left = bits & ~0o4000
    if gid == GROUP or bits & 0o010:
        left &= ~0o2000
    assert mode(g) == left


@pytest.mark.parametrize(
    "call",
    [
        ("pwrite64", 0, b"x", 1, 0), ("ftruncate", 0, 5), ("ftruncate", 0, 10), ("truncate", "f", 5),
        ("open", "f", fc.O_WRONLY | fc.O_TRUNC), ("fallocate", 0, 0, 0, 100), ("fallocate", 0, 3, 0, 5),
        ("copy_file_range", 0, bytes(8), 0, struct.pack("<q", 5), 2, 0),
    ],
    ids=lambda call: str(call[0]),
)  # fmt: skip
def test_every_change_drops_them(g: AnyGuest, f: int, call: tuple[int | str | bytes, ...]) -> None:
    g("fchmod", f, 0o6777)
    put(g, "security.capability", CAPABILITY)
    become(g, USER)
    name, *arguments = call
    if name == "copy_file_range":
        arguments[0] = arguments[2] = f
    elif arguments[0] == 0:
        arguments[0] = f
    assert g(name, *arguments) >= 0
    become(g, 0, 0)
    assert mode(g) == 0o777
    assert names(g) == set()


def test_transfers_drop_them(g: AnyGuest, f: int) -> None:
    source = g("open", "g", CREATE, 0o644)
    write(g, source, b"abc")
    out, into = pipe(g)
    write(g, into, b"abc")
    become(g, USER)
    for call in (("sendfile", f, source, bytes(8), 2), ("splice", out, 0, f, 0, 2, 0)):
        become(g, 0, 0)
        g("fchmod", f, 0o6777)
        become(g, USER)
        assert g(*call) == 2
        assert mode(g) == 0o777


def test_a_new_owner_drops_them(g: AnyGuest, f: int) -> None:
    for bits in (0o6777, 0o2666):
        g("fchmod", f, bits)
        put(g, "security.capability", CAPABILITY)
        assert g("fchown", f, -1, 1000) == 0
        assert (mode(g), names(g)) == (bits & (0o777 if bits & 0o010 else 0o2777), set())
    for gid, left in ((1000, 0o2666), (GROUP, 0o666)):
        g("fchmod", f, 0o2666)
        become(g, 1000, gid)
        assert g("chown", "f", 1000, -1) == 0
        become(g, 0, 0)
        assert mode(g) == left
    g("fchmod", f, 0o6777)
    become(g, 1000)
    assert g("chown", "f", -1, -1) == 0
    assert mode(g) == 0o777
    assert g("fchmod", f, 0o2755) == 0
    assert mode(g) == 0o755, "nobody makes a program of a group that is not theirs"


def test_set_group_id_directories(g: AnyGuest, f: int) -> None:
    g("mkdir", "d", 0o755)
    g("chown", "d", 1000, GROUP + 1)
    g("chmod", "d", 0o2777)
    become(g, USER)
    g("umask", 0o77)
    g("close", g("open", "d/masked", CREATE, 0o2755))
    assert mode(g, "d/masked") == 0o700, "the umask comes last"
    g("umask", 0o22)
    g("close", g("open", "d/f", CREATE, 0o2775))
    g("mkdir", "d/s", 0o755)
    buffer = bytearray(256)
    for name, bits in (("d/f", 0o755), ("d/s", 0o2755)):
        g("statx", AT, name, 0, 0xFFF, buffer)
        assert STATX.unpack(buffer)[4:7] == (USER, GROUP + 1, bits | (0o100000 if name == "d/f" else 0o040000))


def test_sticky_directories(g: AnyGuest, f: int) -> None:
    g("mkdir", "d", 0o755)
    g("chmod", "d", 0o1777)
    g("close", g("open", "d/root", CREATE, 0o666))
    become(g, USER)
    g("close", g("open", "d/mine", CREATE, 0o666))
    assert g("unlink", "d/root") == g("rename", "d/root", "d/x") == g("rename", "d/mine", "d/root") == -E.EPERM
    assert g("rename", "d/mine", "d/x") == 0
    assert put(g, "user.a", b"v", "d") == -E.EPERM
    become(g, 1002)
    assert g("unlink", "d/x") == -E.EPERM
    become(g, USER)
    assert g("unlink", "d/x") == 0


def test_both_directories_of_a_rename_are_searched_first(g: AnyGuest, f: int) -> None:
    g("mkdir", "d", 0)
    become(g, USER)
    assert g("rename", "missing", "d/x") == g("rename", "d/x", "missing") == -E.EACCES


def test_attributes_by_namespace(g: AnyGuest, f: int) -> None:
    g("symlink", "f", "l")
    g("mkdir", "d", 0o755)
    for name in ("trusted.a", "security.a", "user.a"):
        if put(g, name, b"v") == -E.EOPNOTSUPP:
            pytest.skip("the host's file system has no such attributes")
        assert get(g, name) == b"v"
        assert put(g, name, b"v", "d") == 0
        refused = -E.EPERM if name == "user.a" else 0
        assert g("lsetxattr", "l", name, b"v", 1, 0) == refused
        assert g("removexattr", "d", name) == 0
        assert g("removexattr", "d", name) == -E.ENODATA
    for name in ("trusted.", "security.", "user."):
        assert put(g, name, b"v") == get(g, name) == g("removexattr", "f", name) == -E.EINVAL
    for name in ("system.a", "foo", "foo.a"):
        assert put(g, name, b"v") == get(g, name) == g("removexattr", "f", name) == -E.EOPNOTSUPP
    assert get(g, "system.posix_acl_access") == -E.ENODATA
    assert names(g) == {b"trusted.a", b"security.a", b"user.a"}
    g("chmod", "f", 0o666)
    become(g, USER)
    assert get(g, "user.a") == b"v"
    g("chmod", "f", 0)
    become(g, 0, 0)
    g("chmod", "f", 0o600)
    become(g, USER)
    assert get(g, "user.a") == put(g, "user.a", b"") == -E.EACCES
    out, _ = pipe(g)
    become(g, 0, 0)
    assert g("fsetxattr", out, "user.a", b"v", 1, 0) == -E.EPERM
    assert g("fgetxattr", out, "user.a", 0, 0) == -E.ENODATA
    assert g("fsetxattr", out, "trusted.a", b"v", 1, 0) == g("fgetxattr", out, "trusted.a", 0, 0) == -E.EOPNOTSUPP


def test_what_others_may_not_set() -> None:
    """Ours alone: the host's thread cannot give up CAP_SYS_ADMIN and get it back."""
    root, user = Bench(uid=0).guest(), Bench(uid=1000).guest()
    for g in (root, user):
        g("close", g("open", "f", CREATE, 0o644))
    for name in ("trusted.a", "security.a"):
        assert put(root, name, b"v") == 0
        assert put(user, name, b"v") == user("removexattr", "f", name) == -E.EPERM
        assert get(user, name) == -E.ENODATA
    assert put(user, "security.capability", CAPABILITY) == -E.EPERM
    assert put(user, "security.capability", b"v") == -E.EINVAL
    assert names(root) == {b"trusted.a", b"security.a"}
    root.task.cred = Credentials.user(1000, 1000)
    assert names(root) == {b"security.a"}
    assert (get(root, "trusted.a"), get(root, "security.a")) == (-E.ENODATA, b"v")


def test_file_capabilities(g: AnyGuest, f: int) -> None:
    name = "security.capability"
    third = struct.pack("<IIIIII", 0x03000001, 1 << 10, 0, 0, 0, 0)
    for bad in (b"v", CAPABILITY[:12], CAPABILITY + b"x", b"\2" + CAPABILITY[1:], b"\1\0\0\4" + CAPABILITY[4:]):
        assert put(g, name, bad) == -E.EINVAL
    for good in (CAPABILITY, third):
        assert put(g, name, good) == 0
        assert get(g, name) == CAPABILITY, "those that root gives are version 2"
    other = third[:20] + struct.pack("<I", 5)
    assert put(g, name, other) == 0
    assert get(g, name) == other
    assert put(g, name, CAPABILITY) == 0
    g("chmod", "f", 0o600)
    assert names(g) == {name.encode()}, "a new mode takes nothing"
    write(g, f, b"x")
    assert names(g) == set(), "a write does, even root's"
