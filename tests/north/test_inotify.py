"""inotify(7): which events come, in which order, on the host's kernel and on ours."""

import struct
from pathlib import Path

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import inotify as ino
from pylitebox.abi import poll as po
from pylitebox.abi.inotify import INOTIFY_EVENT
from pylitebox.kernel import inotify
from pylitebox.kernel.fs.hostfs import HostFs
from pylitebox.kernel.fs.namespace import Namespace
from pylitebox.kernel.fs.notify import watched
from pylitebox.kernel.fs.overlay import OverlayFs
from pylitebox.kernel.fs.procfs import ProcFs
from pylitebox.south.hostfiles import open_tree
from tests.north.bench import PARKED, Bench
from tests.north.calls import events, pipe, read, wait, write
from tests.north.conftest import AnyGuest

AT = fc.AT_FDCWD
CREATE = fc.O_CREAT | fc.O_RDWR
ALL = ino.IN_ALL_EVENTS
NAMES = {
    value: name[3:]
    for name, value in vars(ino).items()
    if name.startswith("IN_") and isinstance(value, int) and value.bit_count() == 1
}
Seen = tuple[int, str, bytes]


def unpack(data: bytes) -> list[tuple[int, int, int, bytes]]:
    found = []
    while data:
        wd, mask, cookie, size = INOTIFY_EVENT.unpack_from(data)
        found.append((wd, mask, cookie, data[16 : 16 + size].rstrip(b"\0")))
        data = data[16 + size :]
    return found


def seen(g: AnyGuest, fd: int) -> list[Seen]:
    """What has happened since the last look: (watch, events, name)."""
    data = read(g, fd, 1 << 16)
    if isinstance(data, int):
        assert data == -E.EAGAIN
        return []
    return [
        (wd, "|".join(name for bit, name in NAMES.items() if mask & bit), name) for wd, mask, _, name in unpack(data)
    ]


def both(event: str, name: bytes, of: int) -> list[Seen]:
    """An event told to watch 1, of a directory, and to the watch of the file itself."""
    return [(1, event, name), (of, event, b"")]


@pytest.fixture
def w(g: AnyGuest) -> int:
    """An instance whose watch 1 is a directory d and whose watch 2 is its file f."""
    g("mkdir", "d", 0o755)
    g("close", g("open", "d/f", CREATE, 0o644))
    fd = g("inotify_init1", fc.O_NONBLOCK)
    assert g("inotify_add_watch", fd, "d", ALL) == 1
    assert g("inotify_add_watch", fd, "d/f", ALL) == 2
    return fd


def test_inotify(g: AnyGuest, w: int) -> None:
    """Opening, reading, writing, closing."""
    f = g("open", "d/f", CREATE | fc.O_TRUNC, 0o644)
    assert seen(g, w) == both("OPEN", b"f", 2) + both("MODIFY", b"f", 2)
    write(g, f, b"abc")
    assert seen(g, w) == both("MODIFY", b"f", 2)
    assert read(g, f, 10) == b""
    assert write(g, f, b"") == 0
    assert seen(g, w) == [], "nothing was read, nothing written"
    assert g("pread64", f, bytearray(2), 2, 0) == 2
    assert seen(g, w) == both("ACCESS", b"f", 2)
    for call in (("ftruncate", f, 1), ("truncate", "d/f", 2), ("fallocate", f, 0, 0, 100)):
        assert g(*call) == 0
        assert seen(g, w) == both("MODIFY", b"f", 2)
    assert g("copy_file_range", f, struct.pack("<q", 0), f, struct.pack("<q", 50), 10, 0) == 10
    assert seen(g, w) == both("ACCESS", b"f", 2) + both("MODIFY", b"f", 2)
    again = g("dup", f)
    g("close", f)
    assert seen(g, w) == [], "a descriptor is left"
    g("close", again)
    assert seen(g, w) == both("CLOSE_WRITE", b"f", 2)
    f = g("open", "d/f", fc.O_RDONLY)
    g("close", f)
    assert seen(g, w) == both("OPEN", b"f", 2) + both("CLOSE_NOWRITE", b"f", 2)
    g("close", g("open", "d/f", fc.O_PATH))
    assert seen(g, w) == []
    f = g("open", "d/new", CREATE | fc.O_TRUNC, 0o644)
    assert seen(g, w) == [(1, "CREATE", b"new"), (1, "OPEN", b"new")]
    out, into = pipe(g)
    write(g, into, b"abc")
    g("splice", out, 0, f, 0, 3, 0)
    assert seen(g, w) == [(1, "MODIFY", b"new")]


def test_attributes(g: AnyGuest, w: int) -> None:
    changed = both("ATTRIB", b"f", 2)
    g("chmod", "d/f", 0o600)
    assert seen(g, w) == changed
    assert g("chown", "d/f", 0xFFFFFFFF, 0xFFFFFFFF) == 0
    assert seen(g, w) == []
    omit, now = struct.pack("<qq", 0, 0x3FFFFFFE), struct.pack("<qq", 0, 0x3FFFFFFF)
    g("utimensat", AT, "d/f", now + now, 0)
    assert seen(g, w) == changed
    g("utimensat", AT, "d/f", omit + now, 0)
    assert seen(g, w) == both("MODIFY", b"f", 2)
    g("utimensat", AT, "d/f", now + omit, 0)
    assert seen(g, w) == both("ACCESS", b"f", 2)
    if g("setxattr", "d/f", "user.a", b"b", 1, 0) == 0:
        assert seen(g, w) == changed
        g("removexattr", "d/f", "user.a")
        assert seen(g, w) == changed
    g("chmod", "d", 0o700)
    assert seen(g, w) == [(1, "ATTRIB|ISDIR", b"")]


def test_names(g: AnyGuest, w: int) -> None:
    g("link", "d/f", "d/g")
    assert seen(g, w) == [(2, "ATTRIB", b""), (1, "CREATE", b"g")]
    g("rename", "d/g", "d/h")
    assert seen(g, w) == [(1, "MOVED_FROM", b"g"), (1, "MOVED_TO", b"h"), (2, "MOVE_SELF", b"")]
    g("rename", "d/h", "out")
    assert seen(g, w) == [(1, "MOVED_FROM", b"h"), (2, "MOVE_SELF", b"")]
    g("rename", "out", "d/h")
    assert seen(g, w) == [(1, "MOVED_TO", b"h"), (2, "MOVE_SELF", b"")]
    g("unlink", "d/h")
    assert seen(g, w) == [(2, "ATTRIB", b""), (1, "DELETE", b"h")]
    g("symlink", "f", "d/l")
    g("mknod", "d/p", 0o010644, 0)
    assert seen(g, w) == [(1, "CREATE", b"l"), (1, "CREATE", b"p")]
    g("mkdir", "d/s", 0o755)
    assert seen(g, w) == [(1, "CREATE|ISDIR", b"s")]
    assert g("inotify_add_watch", w, "d/s", ALL) == 3
    s = g("open", "d/s", fc.O_DIRECTORY)
    assert g("getdents64", s, bytearray(1000), 1000) > 0
    g("close", s)
    assert seen(g, w) == [
        event for name in ("OPEN", "ACCESS", "CLOSE_NOWRITE") for event in both(name + "|ISDIR", b"s", 3)
    ]
    g("rename", "d/s", "d/t")
    assert seen(g, w) == [(1, "MOVED_FROM|ISDIR", b"s"), (1, "MOVED_TO|ISDIR", b"t"), (3, "MOVE_SELF", b"")]
    g("rmdir", "d/t")
    assert seen(g, w) == [(3, "DELETE_SELF", b""), (3, "IGNORED", b""), (1, "DELETE|ISDIR", b"t")]
    g("rename", "d", "e")
    assert seen(g, w) == [(1, "MOVE_SELF", b"")]
    g("chmod", "e/f", 0o600)
    assert seen(g, w) == both("ATTRIB", b"f", 2)


def test_cookies(g: AnyGuest, w: int) -> None:
    g("rename", "d/f", "d/g")
    g("mkdir", "d/s", 0o755)
    g("renameat2", AT, "d/g", AT, "d/s", fc.RENAME_EXCHANGE)
    found = unpack(read(g, w, 4096))
    cookies = [cookie for _, mask, cookie, _ in found if mask & ino.IN_ALL_EVENTS & 0xC0]
    assert len(cookies) == 6
    assert cookies[0] == cookies[1] != 0
    assert cookies[2] == cookies[3] != cookies[0]
    assert cookies[4] == cookies[5] not in (cookies[0], cookies[2])
    exchange = [(mask & ~ino.IN_ISDIR, name) for _, mask, _, name in found[-5:]]
    assert exchange == [
        (ino.IN_MOVED_FROM, b"g"), (ino.IN_MOVED_TO, b"s"), (ino.IN_MOVE_SELF, b""),
        (ino.IN_MOVED_FROM, b"s"), (ino.IN_MOVED_TO, b"g"),
    ]  # fmt: skip


def test_deletion(g: AnyGuest, w: int) -> None:
    """A file is gone with its last name, but not before its last descriptor."""
    gone = [(2, "DELETE_SELF", b""), (2, "IGNORED", b"")]
    g("unlink", "d/f")
    assert seen(g, w) == [(2, "ATTRIB", b""), *gone, (1, "DELETE", b"f")]
    assert g("inotify_rm_watch", w, 2) == -E.EINVAL
    f = g("open", "d/f", CREATE, 0o644)
    assert g("inotify_add_watch", w, "d/f", ALL) == 3, "descriptors of watches are not used again soon"
    seen(g, w)
    g("unlink", "d/f")
    assert seen(g, w) == [(3, "ATTRIB", b""), (1, "DELETE", b"f")]
    write(g, f, b"x")
    assert seen(g, w) == both("MODIFY", b"f", 3)
    g("close", f)
    assert seen(g, w) == [*both("CLOSE_WRITE", b"f", 3), (3, "DELETE_SELF", b""), (3, "IGNORED", b"")]
    for name in ("d/a", "d/b"):
        g("close", g("open", name, CREATE, 0o644))
    assert [g("inotify_add_watch", w, name, ALL) for name in ("d/a", "d/b")] == [4, 5]
    seen(g, w)
    g("rename", "d/a", "d/b")
    assert seen(g, w) == [
        (1, "MOVED_FROM", b"a"), (1, "MOVED_TO", b"b"), (5, "ATTRIB", b""), (4, "MOVE_SELF", b""),
        (5, "DELETE_SELF", b""), (5, "IGNORED", b""),
    ]  # fmt: skip


def test_a_working_directory_is_not_gone(g: AnyGuest) -> None:
    g("mkdir", "s", 0o755)
    fd = g("inotify_init1", fc.O_NONBLOCK)
    g("inotify_add_watch", fd, "s", ino.IN_DELETE_SELF)
    assert g("chdir", "s") == 0
    assert g("rmdir", "../s") == 0
    assert seen(g, fd) == []
    g("chdir", "/")
    assert seen(g, fd) == [(1, "DELETE_SELF", b""), (1, "IGNORED", b"")]


def test_options(g: AnyGuest, w: int) -> None:
    def add(path: str, mask: int, fd: int = w) -> int:
        return g("inotify_add_watch", fd, path, mask)

    assert [add("d", mask) for mask in (0, 1 << 12, 1 << 27)] == [-E.EINVAL] * 3
    assert [add("d", mask) for mask in (ino.IN_ISDIR, ino.IN_IGNORED, ino.IN_UNMOUNT, ino.IN_Q_OVERFLOW)] == [1] * 4
    assert add("d", ino.IN_MASK_ADD | ino.IN_MASK_CREATE | 1) == -E.EINVAL
    assert add("d", ino.IN_MASK_CREATE | 1) == -E.EEXIST
    assert add("d", ino.IN_ONLYDIR | 1) == 1
    assert add("d/f", ino.IN_ONLYDIR | 1) == -E.ENOTDIR
    assert add("missing", 1) == -E.ENOENT
    assert add("d", 1, 0x7FFF) == -E.EBADF
    assert add("d", 0, 0x7FFF) == -E.EINVAL
    assert add("d", 1, pipe(g)[0]) == -E.EINVAL
    assert g("inotify_rm_watch", w, 99) == -E.EINVAL
    assert g("inotify_rm_watch", 0x7FFF, 1) == -E.EBADF
    assert g("inotify_rm_watch", pipe(g)[0], 1) == -E.EINVAL
    assert g("inotify_init1", 1) == -E.EINVAL
    seen(g, w)
    assert add("d", ino.IN_CREATE) == 1
    assert add("d", ino.IN_DELETE | ino.IN_MASK_ADD) == 1
    g("mkdir", "d/s", 0o755)
    g("rmdir", "d/s")
    assert seen(g, w) == [(1, "CREATE|ISDIR", b"s"), (1, "DELETE|ISDIR", b"s")]
    assert add("d", ino.IN_CREATE | ino.IN_ONESHOT) == 1
    g("mkdir", "d/s", 0o755)
    g("mkdir", "d/t", 0o755)
    assert seen(g, w) == [(1, "CREATE|ISDIR", b"s"), (1, "IGNORED", b"")]
    g("symlink", "f", "d/l")
    assert add("d/l", ALL) == 2
    assert add("d/l", ALL | ino.IN_DONT_FOLLOW) == 3
    assert g("inotify_rm_watch", w, 2) == 0
    assert seen(g, w) == [(2, "IGNORED", b"")]


def test_unlinked_files_may_be_left_out(g: AnyGuest, w: int) -> None:
    f = g("open", "d/f", fc.O_RDWR)
    other = g("inotify_init1", fc.O_NONBLOCK)
    g("inotify_add_watch", other, "d", ALL | ino.IN_EXCL_UNLINK)
    g("unlink", "d/f")
    seen(g, w)
    assert seen(g, other) == [(1, "DELETE", b"f")]
    write(g, f, b"x")
    assert seen(g, w) == both("MODIFY", b"f", 2)
    assert seen(g, other) == []


def test_nameless_files(g: AnyGuest, w: int) -> None:
    f = g("open", "d", fc.O_TMPFILE | fc.O_RDWR, 0o600)
    if f < 0:
        pytest.skip("no O_TMPFILE on the host's file system")
    (of, event, name), *rest = seen(g, w)
    assert (of, event, name[:1], rest) == (1, "OPEN", b"#", [])
    write(g, f, b"x")
    assert seen(g, w) == [(1, "MODIFY", name)]
    assert g("linkat", f, "", AT, "d/named", fc.AT_EMPTY_PATH) in (0, -E.ENOENT)


def test_fifos(g: AnyGuest, w: int) -> None:
    g("mknod", "d/p", 0o010644, 0)
    p = g("open", "d/p", fc.O_RDWR)
    g("close", p)
    assert seen(g, w) == [(1, "CREATE", b"p"), (1, "OPEN", b"p"), (1, "CLOSE_WRITE", b"p")]


def test_the_queue(g: AnyGuest, w: int) -> None:
    f = g("open", "d/f", fc.O_RDWR)
    seen(g, w)
    size = bytearray(4)
    assert events(g, w) == 0
    assert read(g, w, 100) == -E.EAGAIN
    for _ in range(3):
        g("fchmod", f, 0o600)
        g("mkdir", "d/0123456789abcdef", 0o755)
    assert events(g, w) == po.POLLIN | po.POLLRDNORM
    assert g("ioctl", w, 0x541B, size) == 0
    assert struct.unpack("<i", size)[0] == 3 * (32 + 16) + 48
    assert read(g, w, 31) == -E.EINVAL
    assert len(read(g, w, 70)) == 48
    for _ in range(3):
        g("fchmod", f, 0o600)
    assert len(seen(g, w)) == 11, "a file watched twice gives two events, which are never equal to the one before"
    g("inotify_rm_watch", w, 1)
    seen(g, w)
    for _ in range(3):
        g("fchmod", f, 0o600)
    assert seen(g, w) == [(2, "ATTRIB", b"")], "equal events are one"
    assert write(g, w, b"x") == -E.EBADF
    assert g("lseek", w, 5, 0) == 0
    assert g("pread64", w, bytearray(9), 9, 0) == -E.ESPIPE


def test_overflow(g: AnyGuest, w: int) -> None:
    g("inotify_add_watch", w, "d/f", ino.IN_ACCESS)
    g("inotify_add_watch", w, "d", ino.IN_ATTRIB)
    f, d = g("open", "d/f", fc.O_RDWR), g("open", "d", fc.O_DIRECTORY)
    for _ in range(inotify.MAX_QUEUED_EVENTS // 2 + 5):
        g("fchmod", f, 0o600)
        g("fchmod", d, 0o700)
    count, last = 0, None
    while not isinstance(data := read(g, w, 1 << 16), int):
        found = unpack(data)
        count, last = count + len(found), found[-1]
    assert (count, last) == (inotify.MAX_QUEUED_EVENTS + 1, (-1, ino.IN_Q_OVERFLOW, 0, b""))
    g("fchmod", d, 0o700)
    assert seen(g, w) == [(1, "ATTRIB|ISDIR", b"")]


# -- ours alone ---------------------------------------------------------------------------------------------------


def test_waiting_and_epoll(bench: Bench) -> None:
    g, before = bench.guest(), len(watched)
    g("mkdir", "/d", 0o755)
    fd, ep = g("inotify_init"), g("epoll_create1", 0)
    g("inotify_add_watch", fd, "/d", ALL)
    g("epoll_ctl", ep, po.EPOLL_CTL_ADD, fd, po.EPOLL_EVENT_X86_64.pack(po.POLLIN | 1 << 31, 7))
    assert wait(g, ep) == []
    buffer = bytearray(100)
    assert g("read", fd, buffer, 100) is PARKED
    other = bench.guest()
    other("mkdir", "/d/s", 0o755)
    bench.run()
    assert g.result == 32
    other("mkdir", "/d/t", 0o755)
    assert wait(g, ep) == [(po.POLLIN, 7)]
    g("close", fd)
    assert len(watched) == before
    assert bench.kernel.inotify_instances == {}
    assert (bench.kernel.inotify_bytes.used, bench.kernel.inotify_watches.used) == (0, 0)


def test_what_one_user_may_have(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    g, before = bench.guest(), len(watched)
    bench.kernel.inotify_watches.limit = 3
    monkeypatch.setattr(inotify, "MAX_USER_INSTANCES", 4)
    fds = [g("inotify_init1", 0) for _ in range(4)]
    assert g("inotify_init1", 0) == -E.EMFILE
    for name in "abc":
        g("mkdir", "/" + name, 0o755)
        assert g("inotify_add_watch", fds[0], "/" + name, ALL) > 0
    assert g("inotify_add_watch", fds[0], "/", ALL) == -E.ENOSPC
    assert g("rmdir", "/a") == 0
    assert g("inotify_add_watch", fds[1], "/", ALL) == 1
    assert g("rmdir", "/b") == 0
    bench.kernel.inotify_bytes.limit = 0
    g("mkdir", "/x", 0o755)
    assert unpack(read(g, fds[1], 100))[0][1] == ino.IN_DELETE | ino.IN_ISDIR
    g("mkdir", "/y", 0o755)
    assert unpack(read(g, fds[1], 100)) == [(-1, ino.IN_Q_OVERFLOW, 0, b"")]
    for fd in fds:
        g("close", fd)
    assert g("inotify_init1", 0) >= 0
    g.task.files.release()
    assert len(watched) == before
    assert bench.kernel.inotify_watches.used == 0
    assert bench.kernel.inotify_bytes.used == 0


def test_the_limits_are_shown(bench: Bench) -> None:
    g = bench.guest()
    g("mkdir", "/proc", 0o755)
    bench.kernel.namespace.mount(ProcFs(bench.kernel), b"/proc")
    limits = {"max_queued_events": 16384, "max_user_instances": 128, "max_user_watches": 65536}
    for name, limit in limits.items():
        assert read(g, g("open", "/proc/sys/fs/inotify/" + name, 0), 100) == b"%d\n" % limit
    fd = g("inotify_init1", 0)
    g("inotify_add_watch", fd, "/", ALL)
    assert b"\ninotify wd:1 ino:1 sdev:" in read(g, g("open", f"/proc/self/fdinfo/{fd}", 0), 1000)


def test_only_what_may_be_read_is_watched() -> None:
    bench = Bench(uid=1000)
    g = bench.guest()
    fd = g("inotify_init1", 0)
    g("mkdir", "d", 0o300)
    assert g("inotify_add_watch", fd, "d", ALL) == -E.EACCES


@pytest.mark.parametrize("writable", [False, True], ids=["overlay", "host"])
def test_host_files(bench: Bench, tmp_path: Path, *, writable: bool) -> None:
    """The same on an overlay over the host's files and on a writable host mount."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"abc")
    lower = HostFs(bench.kernel, open_tree(tmp_path), readonly=not writable, public_only=False, owner=(0, 0))
    bench.kernel.namespace = Namespace(bench.kernel, lower if writable else OverlayFs(bench.kernel, lower))
    g = bench.guest()
    fd = g("inotify_init1", fc.O_NONBLOCK)
    assert g("inotify_add_watch", fd, "/d", ALL) == 1
    assert g("inotify_add_watch", fd, "/d/f", ALL) == 2
    f = g("open", "/d/f", fc.O_RDWR)
    assert read(g, f, 2) == b"ab"
    write(g, f, b"x")
    g("close", f)
    steps = "OPEN", "ACCESS", "MODIFY", "CLOSE_WRITE"
    assert seen(g, fd) == [event for step in steps for event in both(step, b"f", 2)]
    bench.platform.time_ns += 5 * 10**9
    assert g("access", "/d/missing", 0) == -E.ENOENT
    g("rename", "/d/f", "/d/g")
    assert seen(g, fd) == [(1, "MOVED_FROM", b"f"), (1, "MOVED_TO", b"g"), (2, "MOVE_SELF", b"")]
    g("unlink", "/d/g")
    assert seen(g, fd) == [
        (2, "ATTRIB", b""), (2, "DELETE_SELF", b""), (2, "IGNORED", b""), (1, "DELETE", b"g")
    ]  # fmt: skip
    g("rmdir", "/d")
    assert seen(g, fd) == [(1, "DELETE_SELF", b""), (1, "IGNORED", b"")]
