"""POSIX message queues, on the host and on our kernel alike where no test has to wait; queues are always unlinked."""

import os
import struct
from collections.abc import Callable, Iterator

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import mqueue as mq
from pylitebox.abi import poll as po
from pylitebox.abi import signal as sg
from pylitebox.abi.resource import RLIMIT_MSGQUEUE
from pylitebox.abi.stat import S_IFREG
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.exit import exit_process
from pylitebox.kernel.fs import operations as ops
from tests.north.bench import PARKED, Bench, Guest
from tests.north.calls import events, handle, read, write
from tests.north.conftest import AnyGuest

NAME = f"pylitebox-test-{os.getpid()}"
RDWR = fc.O_RDWR | fc.O_CREAT
Make = Callable[..., int]


@pytest.fixture
def make(g: AnyGuest) -> Iterator[Make]:
    """Make a queue; its descriptor. It is unlinked at the end."""

    def opened(flags: int = RDWR | fc.O_NONBLOCK, mode: int = 0o600, *, limits: bytes | int = 0) -> int:
        return g("mq_open", NAME, flags, mode, limits)

    yield opened
    g("mq_unlink", NAME)


def attributes(count: int, size: int) -> bytes:
    return mq.MQ_ATTR.pack(0, count, size, 0)


def send(g: AnyGuest, fd: int, text: bytes, priority: int = 0, timeout: bytes | int = 0) -> int | None:
    return g("mq_timedsend", fd, text, len(text), priority, timeout)


def receive(g: AnyGuest, fd: int, size: int = 8192) -> tuple[int, bytes] | int:
    buffer, priority = bytearray(size), bytearray(4)
    result = g("mq_timedreceive", fd, buffer, size, priority, 0)
    return (int.from_bytes(priority, "little"), bytes(buffer[:result])) if result >= 0 else result


def limits_of(g: AnyGuest, fd: int) -> tuple[int, ...]:
    """flags, maxmsg, msgsize, curmsgs."""
    data = bytearray(64)
    assert g("mq_getsetattr", fd, 0, data) == 0
    return mq.MQ_ATTR.unpack(data)


@pytest.mark.parametrize(("name", "error"), [
    ("", E.ENOENT), (".", E.EACCES), ("..", E.EACCES), ("a/b", E.EACCES), ("/a", E.EACCES), ("x" * 256, E.ENAMETOOLONG),
])  # fmt: skip
def test_names(g: AnyGuest, name: str, error: int) -> None:
    assert g("mq_open", name, RDWR, 0o600, 0) == -error
    assert g("mq_unlink", name) == -error


def test_opening(g: AnyGuest, make: Make) -> None:
    assert make(fc.O_RDWR) == -E.ENOENT
    fd = make(mode=0o666)
    assert g("fcntl", fd, fc.F_GETFD, 0) == fc.FD_CLOEXEC
    data = bytearray(144)
    assert g("fstat", fd, data) == 0
    mode, size = struct.unpack_from("<I", data, 24)[0], struct.unpack_from("<q", data, 48)[0]
    assert (mode, size) == (S_IFREG | 0o644, mq.FILENT_SIZE), "the umask counts"
    assert make(RDWR | fc.O_EXCL) == -E.EEXIST
    assert make(fc.O_ACCMODE) == -E.EINVAL
    again = make(fc.O_RDONLY)
    assert send(g, again, b"x") == -E.EBADF
    assert receive(g, make(fc.O_WRONLY)) == -E.EBADF
    assert g("mq_unlink", NAME) == 0
    assert g("mq_unlink", NAME) == -E.ENOENT
    assert make(fc.O_RDWR) == -E.ENOENT
    assert send(g, fd, b"still there") == 0
    assert receive(g, again) == (0, b"still there")


def test_attributes(g: AnyGuest, make: Make) -> None:
    for count, size in ((0, 1), (1, 0), (-1, 1), (65537, 1), (1, (16 << 20) + 1)):
        assert make(limits=attributes(count, size)) == -E.EINVAL
    fd = make(limits=attributes(3, 5))
    assert limits_of(g, fd) == (fc.O_NONBLOCK, 3, 5, 0)
    old = bytearray(64)
    assert g("mq_getsetattr", fd, mq.MQ_ATTR.pack(0, 9, 9, 9), old) == 0
    assert mq.MQ_ATTR.unpack(old)[0] == fc.O_NONBLOCK
    assert limits_of(g, fd) == (0, 3, 5, 0)
    assert g("mq_getsetattr", fd, mq.MQ_ATTR.pack(1, 0, 0, 0), 0) == -E.EINVAL
    assert g("mq_getsetattr", 0x7FFF, 0, old) == -E.EBADF
    assert limits_of(g, make(fc.O_RDWR, limits=attributes(9, 9)))[1:3] == (3, 5)


def test_messages_come_by_priority(g: AnyGuest, make: Make) -> None:
    fd = make()
    assert limits_of(g, fd)[1:] == (10, 8192, 0)
    assert receive(g, fd) == -E.EAGAIN
    for priority, text in ((1, b"a"), (5, b"b"), (1, b""), (5, b"d"), (mq.MQ_PRIO_MAX - 1, b"first")):
        assert send(g, fd, text, priority) == 0
    assert send(g, fd, b"x", mq.MQ_PRIO_MAX) == -E.EINVAL
    assert send(g, fd, bytes(8193)) == -E.EMSGSIZE
    assert g("mq_timedsend", fd, 0, 1, 0, 0) == -E.EFAULT
    assert g("mq_timedsend", fd, b"x", 1, 0, struct.pack("<qq", 0, 10**9)) == -E.EINVAL
    assert receive(g, fd, 8191) == -E.EMSGSIZE
    expected = [(mq.MQ_PRIO_MAX - 1, b"first"), (5, b"b"), (5, b"d"), (1, b"a"), (1, b"")]
    assert [receive(g, fd) for _ in range(5)] == expected
    for _ in range(10):
        assert send(g, fd, b"y") == 0
    assert send(g, fd, b"y") == -E.EAGAIN
    assert g("mq_timedsend", 0x7FFF, b"x", 1, 0, 0) == -E.EBADF
    other = g("memfd_create", "m", 0)
    assert g("mq_timedsend", other, b"x", 1, 0, 0) == -E.EBADF


def test_a_time_that_has_passed(g: AnyGuest, make: Make) -> None:
    fd = make(RDWR)
    assert g("mq_timedreceive", fd, bytearray(8192), 8192, 0, struct.pack("<qq", 1, 0)) in (-E.ETIMEDOUT, PARKED)
    if isinstance(g, Guest):
        g.bench.run()
        assert g.result == -E.ETIMEDOUT


def test_a_queue_is_a_file(g: AnyGuest, make: Make) -> None:
    fd = make(limits=attributes(2, 8))
    assert events(g, fd) == po.POLLOUT | po.POLLWRNORM
    send(g, fd, b"abc")
    assert events(g, fd) == po.POLLIN | po.POLLRDNORM | po.POLLOUT | po.POLLWRNORM
    send(g, fd, b"defg")
    assert events(g, fd) == po.POLLIN | po.POLLRDNORM
    assert read(g, fd, 100) == b"QSIZE:7          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n"
    assert read(g, fd, 100) == b""
    assert write(g, fd, b"x") == -E.EINVAL
    assert g("mmap", 0, 4096, 1, 2, fd, 0) == -E.ENODEV


def sigevent(notify: int, signo: int, value: int = 0) -> bytes:
    return mq.SIGEVENT.pack(value, signo, notify)


def test_who_is_told(g: AnyGuest, make: Make) -> None:
    fd = make()
    assert g("mq_notify", fd, sigevent(9, 0)) == -E.EINVAL
    assert g("mq_notify", fd, sigevent(mq.SIGEV_SIGNAL, 65)) == -E.EINVAL
    assert g("mq_notify", 0x7FFF, sigevent(mq.SIGEV_NONE, 0)) == -E.EBADF
    assert g("mq_notify", fd, sigevent(mq.SIGEV_SIGNAL, 0)) == 0
    assert g("mq_notify", fd, sigevent(mq.SIGEV_NONE, 0)) == -E.EBUSY
    assert g("mq_notify", fd, 0) == 0
    assert g("mq_notify", fd, sigevent(mq.SIGEV_NONE, 0)) == 0
    me = g("getpid")
    assert read(g, fd, 100) == f"QSIZE:0          NOTIFY:1     SIGNO:0     NOTIFY_PID:{me:<6}\n".encode()
    g("lseek", fd, 0, 0)
    assert send(g, fd, b"x") == 0
    assert g("mq_notify", fd, sigevent(mq.SIGEV_NONE, 0)) == 0, "once"
    again = make(fc.O_RDWR)
    assert g("close", again) == 0
    assert g("mq_notify", fd, sigevent(mq.SIGEV_NONE, 0)) == 0, "any close of the queue by its process ends it"


def test_a_cookie_comes_back(g: AnyGuest, make: Make) -> None:
    """What mq_notify(3) makes of SIGEV_THREAD."""
    fd = make()
    netlink = g("socket", 16, 3, 0)
    cookie = g.place(bytes(range(32)))
    assert g("mq_notify", fd, sigevent(mq.SIGEV_THREAD, 0x7FFF, cookie)) == -E.EBADF
    assert g("mq_notify", fd, sigevent(mq.SIGEV_THREAD, fd, cookie)) == -E.ENOTSOCK
    assert g("mq_notify", fd, sigevent(mq.SIGEV_THREAD, g("socket", 1, 2, 0), cookie)) == -E.EINVAL
    assert g("mq_notify", fd, sigevent(mq.SIGEV_THREAD, netlink, 0)) == -E.EFAULT
    assert g("mq_notify", fd, sigevent(mq.SIGEV_THREAD, netlink, cookie)) == 0
    assert g("recvfrom", netlink, bytearray(64), 64, 0x40, 0, 0) == -E.EAGAIN
    assert send(g, fd, b"x") == 0
    assert events(g, netlink) & po.POLLIN
    data = bytearray(64)
    assert g("recvfrom", netlink, data, 64, 0x40, 0, 0) == 32
    assert data[:32] == bytes(range(31)) + b"\1"
    assert g("mq_notify", fd, sigevent(mq.SIGEV_THREAD, netlink, cookie)) == 0
    assert g("mq_notify", fd, 0) == 0
    assert g("recvfrom", netlink, data, 64, 0x40, 0, 0) == 32
    assert data[31] == mq.NOTIFY_REMOVED


def test_a_signal_tells_of_a_message(bench: Bench) -> None:
    a, b, waiting = (bench.guest() for _ in range(3))
    fds = [guest("mq_open", NAME, RDWR, 0o600, 0) for guest in (a, b, waiting)]
    handle(b, sg.SIGUSR1)
    b.task.blocked = sg.bit(sg.SIGUSR1)
    assert b("mq_notify", fds[1], sigevent(mq.SIGEV_SIGNAL, sg.SIGUSR1, 0x1234)) == 0
    assert a("mq_notify", fds[0], 0) == 0, "who is not registered takes nothing back"
    buffer = waiting.place(bytes(8192))
    assert waiting("mq_timedreceive", fds[2], buffer, 8192, 0, 0) is PARKED
    assert send(a, fds[0], b"to the one who waits") == 0
    assert not b.task.process.pending
    bench.run()
    assert waiting.result == 20
    assert send(a, fds[0], b"x") == 0
    info = b.task.process.pending.take(sg.SIGUSR1, bench.kernel)
    assert (info.code, info.pid, info.value) == (sg.SI_MESGQ, a.task.tid, 0x1234)
    assert send(a, fds[0], b"x") == 0
    assert not b.task.process.pending


def test_waiting(bench: Bench) -> None:
    a, first, second = (bench.guest() for _ in range(3))
    fd = a("mq_open", NAME, RDWR, 0o600, attributes(1, 8))
    fds = [guest("mq_open", NAME, RDWR, 0o600, 0) for guest in (first, second)]
    buffers = [guest.place(bytes(16)) for guest in (first, second)]
    assert first("mq_timedreceive", fds[0], buffers[0], 8, buffers[0] + 8, 0) is PARKED
    assert second("mq_timedreceive", fds[1], buffers[1], 8, 0, 0) is PARKED
    assert send(a, fd, b"one", 3) == 0
    assert send(a, fd, b"two") == 0
    bench.run()
    assert (first.result, second.result) == (3, 3)
    assert first.peek(buffers[0], 12) == b"one" + bytes(5) + struct.pack("<I", 3)
    assert send(a, fd, b"fills") == 0
    assert send(first, fds[0], b"low", 1) is PARKED
    assert send(second, fds[1], b"high", 2) is PARKED
    assert receive(a, fd, 8) == (0, b"fills")
    bench.run()
    assert (first.result, second.parked) == (0, True), "first come, first served"
    assert receive(a, fd, 8) == (1, b"low")
    bench.run()
    assert second.result == 0
    assert send(first, fds[0], b"late", 1, struct.pack("<qq", 1_000_000_002, 0)) is PARKED
    bench.platform.time_ns += 10**9
    bench.run()
    assert first.result == -E.ETIMEDOUT
    assert send(first, fds[0], b"never") is PARKED
    exit_process(first.task.process, 9)
    assert receive(a, fd, 8) == (2, b"high")
    assert limits_of(a, fd)[3] == 0
    assert bench.kernel.ipc.memory.used == 0


def other(bench: Bench, uid: int) -> Guest:
    guest = bench.guest()
    guest.task.cred = Credentials.user(uid, uid)
    return guest


def test_permissions(bench: Bench) -> None:
    owner, stranger = other(bench, 5), other(bench, 6)
    fd = owner("mq_open", NAME, RDWR, 0o644, 0)
    assert fd >= 0
    assert stranger("mq_open", NAME, fc.O_RDWR, 0, 0) == -E.EACCES
    assert stranger("mq_open", NAME, fc.O_RDONLY, 0, 0) >= 0
    assert stranger("mq_unlink", NAME) == -E.EPERM
    assert owner("mq_unlink", NAME) == 0


def test_limits(bench: Bench) -> None:
    poor, root = other(bench, 5), bench.guest()
    assert poor("mq_open", "large", RDWR, 0o600, attributes(11, 1)) == -E.EINVAL
    assert poor("mq_open", "large", RDWR, 0o600, attributes(1, 8193)) == -E.EINVAL
    fds = []
    while (fd := poor("mq_open", f"q{len(fds)}", RDWR, 0o600, 0)) >= 0:
        fds.append(fd)
    assert (len(fds), fd) == (9, -E.EMFILE), "RLIMIT_MSGQUEUE"
    assert other(bench, 7)("mq_open", "elses", RDWR, 0o600, 0) >= 0
    assert poor("mq_unlink", "q0") == 0
    assert poor("mq_open", "q0", RDWR, 0o600, 0) == -E.EMFILE, "it is there as long as it is open"
    assert poor("close", fds[0]) == 0
    assert poor("mq_open", "q0", RDWR, 0o600, 0) >= 0
    root.task.process.rlimits[RLIMIT_MSGQUEUE] = (1 << 63, 1 << 63)
    big = root("mq_open", "big", RDWR | fc.O_NONBLOCK, 0o600, attributes(65536, 1 << 20))
    assert big >= 0
    sent = 0
    text = root.place(bytes(1 << 20))
    while (result := root("mq_timedsend", big, text, 1 << 20, 0, 0)) == 0:
        sent += 1
    assert result == -E.ENOMEM
    assert 40 < sent < 64
    poor.task.process.rlimits[RLIMIT_MSGQUEUE] = (1 << 63, 1 << 63)
    made = sum(poor("mq_open", f"small{i}", RDWR, 0o600, attributes(1, 1)) >= 0 for i in range(300))
    assert made < 256
    assert poor("mq_open", "small", RDWR, 0o600, attributes(1, 1)) == -E.ENOSPC


def test_queues_can_be_seen_where_they_are_mounted(bench: Bench) -> None:
    g = bench.guest()
    namespace = bench.kernel.namespace
    assert namespace is not None
    namespace.make_directories(b"/dev/mqueue")
    namespace.mount(bench.kernel.ipc.mqueues, b"/dev/mqueue")
    fd = g("mq_open", NAME, RDWR, 0o600, 0)
    send(g, fd, b"12345")
    seen = g("openat", fc.AT_FDCWD, f"/dev/mqueue/{NAME}", fc.O_RDWR | fc.O_TRUNC)
    assert read(g, seen, 100)[:9] == b"QSIZE:5  "  # type: ignore[index]
    assert receive(g, seen) == (0, b"12345")
    assert g("mkdir", "/dev/mqueue/d", 0o755) == -E.EPERM
    assert g("rename", f"/dev/mqueue/{NAME}", "/dev/mqueue/x") == -E.EPERM
    assert g("openat", fc.AT_FDCWD, "/dev/mqueue/made", RDWR, 0o600) >= 0
    assert limits_of(g, g("mq_open", "made", fc.O_RDWR, 0, 0))[1:3] == (10, 8192)
    assert g("unlink", f"/dev/mqueue/{NAME}") == 0
    assert g("mq_open", NAME, fc.O_RDWR, 0, 0) == -E.ENOENT
    assert g("mq_unlink", "made") == 0
    assert ops.resolve(g.task, b"/dev/mqueue").inode.readdir() == []
