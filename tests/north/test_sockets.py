"""AF_UNIX sockets, on the host and on our kernel alike."""

import os
import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import poll as po
from pylitebox.abi import socket as so
from tests.north.bench import PARKED, Bench
from tests.north.conftest import AnyGuest

PAIR = struct.Struct("<ii")


def address(path: bytes) -> bytes:
    return so.AF_UNIX.to_bytes(2, "little") + path


def socketpair(g: AnyGuest, kind: int) -> tuple[int, int]:
    fds = bytearray(8)
    assert g("socketpair", so.AF_UNIX, kind, 0, fds) == 0
    return PAIR.unpack(fds)


def events(g: AnyGuest, fd: int) -> int:
    array = bytearray(po.POLLFD.pack(fd, 0xFFFF, 0))
    g("poll", array, 1, 0)
    return po.POLLFD.unpack(array)[2]


def send(g: AnyGuest, fd: int, data: bytes, flags: int = 0) -> int:
    return g("sendto", fd, data, len(data), flags | so.MSG_NOSIGNAL | so.MSG_DONTWAIT, 0, 0)


def receive(g: AnyGuest, fd: int, size: int = 100, flags: int = 0) -> bytes | int:
    buffer = bytearray(size)
    result = g("recvfrom", fd, buffer, size, flags | so.MSG_DONTWAIT, 0, 0)
    return bytes(buffer[:result]) if result >= 0 else result


def message(g: AnyGuest, data: bytes, control: bytes) -> tuple[bytearray, int, int]:
    """A msghdr over copies of the data and the control buffer, and the addresses of both."""
    data_at = g.place(data)
    control_at = g.place(control) if control else 0
    vector = g.place(struct.pack("<QQ", data_at, len(data)))
    return bytearray(struct.pack("<QI4xQQQQi4x", 0, 0, vector, 1, control_at, len(control), 0)), data_at, control_at


def rights(*fds: int) -> bytes:
    raw = struct.pack("<Qii", 16 + 4 * len(fds), so.SOL_SOCKET, so.SCM_RIGHTS) + struct.pack(f"<{len(fds)}i", *fds)
    return raw.ljust(len(raw) + 7 & ~7, b"\0")


def test_unix_streams_carry_bytes(g: AnyGuest) -> None:
    a, b = socketpair(g, so.SOCK_STREAM)
    assert receive(g, b) == -E.EAGAIN
    assert send(g, a, b"one") == 3
    assert send(g, a, b"two") == 3
    assert receive(g, b, 4, so.MSG_PEEK) == b"onet"
    assert receive(g, b, 4) == b"onet"
    assert receive(g, b) == b"wo"


def test_unix_packets_tell_of_a_reset_first(g: AnyGuest) -> None:
    reset = -E.ECONNRESET
    for kind, expected in ((so.SOCK_STREAM, [b"mine", reset, b""]), (so.SOCK_SEQPACKET, [reset, b"mine", b""])):
        a, b = socketpair(g, kind)
        assert send(g, b, b"mine") == send(g, a, b"read") == 4
        g("close", b)
        assert [receive(g, a) for _ in range(3)] == expected
    header, _, _ = message(g, b"x", rights(99))
    assert g("sendmsg", g("socket", so.AF_UNIX, so.SOCK_SEQPACKET, 0), header, 0) == -E.ENOTCONN
    assert g("sendmsg", g("socket", so.AF_UNIX, so.SOCK_STREAM, 0), header, 0) == -E.EBADF
    nobody = struct.pack("<Qii", 28, so.SOL_SOCKET, so.SCM_CREDENTIALS) + struct.pack("<iii", 0x3FFFFF, 0, 0)
    header, _, _ = message(g, b"x", nobody.ljust(32, b"\0"))
    assert g("sendmsg", a, header, so.MSG_NOSIGNAL) == (-E.EPERM if os.getuid() else -E.ESRCH)


def test_unix_streams_end_with_nobodys_credentials(g: AnyGuest) -> None:
    for kind, control in ((so.SOCK_STREAM, True), (so.SOCK_SEQPACKET, False)):
        a, b = socketpair(g, kind)
        g("setsockopt", b, so.SOL_SOCKET, so.SO_PASSCRED, b"\1\0\0\0", 4)
        g("close", a)
        header, _, at = message(g, bytes(10), bytes(32))
        assert g("recvmsg", b, header, 0) == 0
        expected = struct.pack("<Qii", 28, so.SOL_SOCKET, so.SCM_CREDENTIALS) + bytes(12) if control else bytes(28)
        assert g.peek(at, 28) == expected


def test_unix_streams_report_events(g: AnyGuest) -> None:
    a, b = socketpair(g, so.SOCK_STREAM)
    assert events(g, a) == 0x304
    assert send(g, b, b"x") == 1
    assert events(g, a) == 0x345
    assert g("shutdown", b, so.SHUT_WR) == 0
    assert (events(g, a), events(g, b)) == (0x2345, 0x304)
    assert send(g, b, b"x") == -E.EPIPE
    assert receive(g, a) == b"x"
    assert receive(g, a) == b""
    assert g("close", b) == 0
    assert events(g, a) == 0x2355
    assert send(g, a, b"x") == -E.EPIPE


def test_unix_streams_reset_when_data_is_lost(g: AnyGuest) -> None:
    a, b = socketpair(g, so.SOCK_STREAM)
    assert send(g, b, b"x") == 1
    assert g("close", a) == 0
    assert receive(g, b) == -E.ECONNRESET
    assert receive(g, b) == b""


def test_unix_packets_keep_their_bounds(g: AnyGuest) -> None:
    for kind in (so.SOCK_DGRAM, so.SOCK_SEQPACKET):
        a, b = socketpair(g, kind)
        assert send(g, a, b"one") == 3
        assert send(g, a, b"") == 0
        assert send(g, a, b"three") == 5
        assert receive(g, b, 2) == b"on"
        assert receive(g, b) == b""
        assert g("recvfrom", b, bytearray(2), 2, so.MSG_TRUNC, 0, 0) == 5
        assert receive(g, b) == -E.EAGAIN
        assert send(g, a, bytes(1 << 20)) == -E.EMSGSIZE
        assert g("close", a) == 0
        assert receive(g, b) == (-E.EAGAIN if kind == so.SOCK_DGRAM else b"")
        assert send(g, b, b"x") == (-E.ECONNREFUSED if kind == so.SOCK_DGRAM else -E.EPIPE)


def test_unix_names(g: AnyGuest) -> None:
    listener = g("socket", so.AF_UNIX, so.SOCK_STREAM, 0)
    assert g("listen", listener, 1) == -E.EINVAL
    assert g("bind", listener, address(b"s\0"), 4) == 0
    assert g("bind", listener, address(b"t\0"), 4) == -E.EINVAL
    other = g("socket", so.AF_UNIX, so.SOCK_STREAM | so.SOCK_NONBLOCK, 0)
    assert g("bind", other, address(b"s\0"), 4) == -E.EADDRINUSE
    assert g("connect", other, address(b"s\0"), 4) == -E.ECONNREFUSED
    assert g("connect", other, address(b"none\0"), 7) == -E.ENOENT
    assert g("accept", listener, 0, 0) == -E.EINVAL
    assert g("listen", listener, 1) == 0
    assert events(g, listener) == 0
    assert g("getpeername", other, bytearray(8), bytearray(4)) == -E.ENOTCONN
    assert g("connect", other, address(b"s\0"), 4) == 0
    assert g("connect", other, address(b"s\0"), 4) == -E.EISCONN
    assert events(g, listener) == 0x41
    name, size = bytearray(20), bytearray((20).to_bytes(4, "little"))
    server = g("accept4", listener, name, size, so.SOCK_CLOEXEC)
    assert server >= 0
    assert (bytes(name[:2]), size) == (b"\1\0", (2).to_bytes(4, "little"))
    size[:] = (20).to_bytes(4, "little")
    assert g("getpeername", other, name, size) == 0
    assert (bytes(name[:5]), size) == (b"\1\0s\0\0", (4).to_bytes(4, "little"))
    assert send(g, other, b"hello") == 5
    assert receive(g, server) == b"hello"
    assert g("close", listener) == 0
    again = g("socket", so.AF_UNIX, so.SOCK_STREAM, 0)
    assert g("connect", again, address(b"s\0"), 4) == -E.ECONNREFUSED
    assert events(g, again) == 0x314
    assert receive(g, again) == -E.EINVAL
    assert send(g, again, b"x") == -E.ENOTCONN


def test_unix_abstract_names_and_datagrams(g: AnyGuest) -> None:
    one = g("socket", so.AF_UNIX, so.SOCK_DGRAM, 0)
    two = g("socket", so.AF_UNIX, so.SOCK_DGRAM, 0)
    assert g("bind", one, address(b""), 2) == 0
    name, size = bytearray(20), bytearray((20).to_bytes(4, "little"))
    assert g("getsockname", one, name, size) == 0
    assert int.from_bytes(size, "little") == 8
    assert name[2] == 0
    where = bytes(name[:8])
    assert send(g, two, b"x") == -E.ENOTCONN
    assert g("sendto", two, b"hi", 2, 0, where, 8) == 2
    source, length = bytearray(20), bytearray((20).to_bytes(4, "little"))
    assert g("recvfrom", one, bytearray(5), 5, 0, source, length) == 2
    assert int.from_bytes(length, "little") == 0
    assert g("bind", two, where, 8) == -E.EADDRINUSE
    assert g("connect", two, where, 8) == 0
    assert send(g, two, b"y") == 1
    stream = g("socket", so.AF_UNIX, so.SOCK_STREAM, 0)
    assert g("connect", stream, where, 8) == -E.ECONNREFUSED, "each type has names of its own"
    assert g("bind", one, address(b"p\0"), 4) == -E.EINVAL
    three = g("socket", so.AF_UNIX, so.SOCK_DGRAM, 0)
    assert g("bind", three, address(b"p\0"), 4) == 0
    assert g("connect", stream, address(b"p\0"), 4) == -E.EPROTOTYPE


def test_unix_rights_carry_files(g: AnyGuest) -> None:
    a, b = socketpair(g, so.SOCK_STREAM)
    pipe = bytearray(8)
    assert g("pipe", pipe) == 0
    reader, writer = PAIR.unpack(pipe)
    header, _, _ = message(g, b"d", rights(writer))
    assert g("sendmsg", a, header, 0) == 1
    assert g("close", writer) == 0
    assert send(g, a, b"more") == 4
    header, data_at, control_at = message(g, bytes(10), bytes(32))
    assert g("recvmsg", b, header, so.MSG_CMSG_CLOEXEC) == 1, "a read ends behind the files"
    assert g.peek(data_at, 1) == b"d"
    assert struct.unpack_from("<Qi", header, 40) == (24, so.MSG_CMSG_CLOEXEC)
    length, level, kind, passed = struct.unpack("<Qiii", g.peek(control_at, 20))
    assert (length, level, kind) == (20, so.SOL_SOCKET, so.SCM_RIGHTS)
    assert g("fcntl", passed, 1, 0) == 1
    assert g("write", passed, b"x", 1) == 1
    assert receive(g, b) == b"more"
    assert g("close", passed) == 0
    assert g("read", reader, bytearray(2), 2) == 1
    assert g("read", reader, bytearray(2), 2) == 0


def test_unix_rights_without_room_are_closed(g: AnyGuest) -> None:
    a, b = socketpair(g, so.SOCK_DGRAM)
    pipe = bytearray(8)
    assert g("pipe", pipe) == 0
    reader, writer = PAIR.unpack(pipe)
    header, _, _ = message(g, b"d", rights(writer))
    assert g("sendmsg", a, header, 0) == 1
    assert g("close", writer) == 0
    header, _, _ = message(g, bytes(1), b"")
    assert g("recvmsg", b, header, 0) == 1
    assert struct.unpack_from("<Qi", header, 40) == (0, so.MSG_CTRUNC)
    assert g("read", reader, bytearray(2), 2) == 0
    header, _, _ = message(g, b"d", rights(0x7FFF))
    assert g("sendmsg", a, header, 0) == -E.EBADF


def test_unix_options(g: AnyGuest) -> None:
    a, _ = socketpair(g, so.SOCK_SEQPACKET)

    def option(number: int) -> int:
        value, size = bytearray(4), bytearray((4).to_bytes(4, "little"))
        assert g("getsockopt", a, so.SOL_SOCKET, number, value, size) == 0
        return int.from_bytes(value, "little")

    assert option(so.SO_TYPE) == so.SOCK_SEQPACKET
    assert option(so.SO_DOMAIN) == so.AF_UNIX
    assert option(so.SO_ERROR) == 0
    assert option(so.SO_SNDBUF) == 212992
    assert g("setsockopt", a, so.SOL_SOCKET, so.SO_SNDBUF, (1000).to_bytes(4, "little"), 4) == 0
    assert option(so.SO_SNDBUF) == 4608
    credentials, size = bytearray(12), bytearray((12).to_bytes(4, "little"))
    assert g("getsockopt", a, so.SOL_SOCKET, so.SO_PEERCRED, credentials, size) == 0
    assert struct.unpack("<iII", credentials) == (g("getpid"), g("geteuid"), g("getegid"))
    assert g("getsockopt", 0x7FFF, so.SOL_SOCKET, so.SO_TYPE, bytearray(4), size) == -E.EBADF


@pytest.mark.parametrize("kind", [so.SOCK_STREAM, so.SOCK_DGRAM])
def test_options_without_effect_on_unix_are_remembered(g: AnyGuest, kind: int) -> None:
    """Runtimes ask for them on whatever socket they have: Java for SO_LINGER before it shuts one down."""
    a, _ = socketpair(g, kind)

    def get(number: int, room: int = 4) -> bytes:
        value, size = bytearray(room), bytearray(room.to_bytes(4, "little"))
        assert g("getsockopt", a, so.SOL_SOCKET, number, value, size) == 0
        return bytes(value[: int.from_bytes(size, "little")])

    def set_(number: int, *words: int) -> int:
        result: int = g("setsockopt", a, so.SOL_SOCKET, number, struct.pack(f"<{len(words)}i", *words), 4 * len(words))
        return result

    for number in (so.SO_REUSEADDR, so.SO_DONTROUTE, so.SO_BROADCAST, so.SO_KEEPALIVE, so.SO_OOBINLINE):
        assert (get(number), set_(number, 5), get(number)) == (bytes(4), 0, b"\1\0\0\0")
        assert (set_(number, 0), get(number)) == (0, bytes(4))
    assert get(so.SO_LINGER, 60) == bytes(8)
    assert (set_(so.SO_LINGER, 7, 5), get(so.SO_LINGER, 8)) == (0, struct.pack("<ii", 1, 5))
    assert (set_(so.SO_LINGER, 0, 9), get(so.SO_LINGER, 8)) == (0, struct.pack("<ii", 0, 5))
    assert (set_(so.SO_LINGER, 1), get(so.SO_LINGER, 4)) == (-E.EINVAL, bytes(4))
    assert (set_(so.SO_REUSEPORT, 0), set_(so.SO_REUSEPORT, 1), get(so.SO_REUSEPORT)) == (0, -E.EOPNOTSUPP, bytes(4))
    assert get(so.SO_RCVLOWAT) == get(so.SO_SNDLOWAT) == b"\1\0\0\0"
    assert set_(so.SO_SNDLOWAT, 1) == -E.ENOPROTOOPT


def test_unix_messages_of_packets(g: AnyGuest) -> None:
    a, b = socketpair(g, so.SOCK_SEQPACKET)
    assert send(g, a, b"hello") == 5
    header, _, _ = message(g, bytes(3), b"")
    assert g("recvmsg", b, header, 0) == 3
    assert struct.unpack_from("<Qi", header, 40)[1] & so.MSG_TRUNC


def test_only_unix_is_there(bench: Bench) -> None:
    g = bench.guest()
    for family in (so.AF_INET, so.AF_INET6):
        assert g("socket", family, so.SOCK_STREAM, 0) == -E.EAFNOSUPPORT


def test_netlink_is_there_for_message_queues_only(bench: Bench) -> None:
    g = bench.guest()
    assert g("socket", so.AF_NETLINK, so.SOCK_STREAM, 0) == -E.ESOCKTNOSUPPORT
    assert g("socket", so.AF_NETLINK, so.SOCK_RAW, 9) == -E.EPROTONOSUPPORT
    fd = g("socket", so.AF_NETLINK, so.SOCK_RAW | so.SOCK_CLOEXEC | so.SOCK_NONBLOCK, 0)
    address = struct.pack("<HHII", so.AF_NETLINK, 0, 0, 0)
    assert g("bind", fd, address, len(address)) == -E.EAFNOSUPPORT
    assert g("sendto", fd, b"x", 1, 0, address, len(address)) == -E.EAFNOSUPPORT
    assert g("write", fd, b"x", 1) == -E.EINVAL
    assert g("recvfrom", fd, bytearray(8), 8, 0, 0, 0) == -E.EAGAIN
    assert g("read", fd, bytearray(8), 8) == -E.EAGAIN


def test_a_full_stream_blocks_its_writer(bench: Bench) -> None:
    g = bench.guest()
    a, b = socketpair(g, so.SOCK_STREAM)
    size = 1 << 19
    assert g("sendto", a, bytes(size), size, 0, 0, 0) is PARKED
    got = 0
    while g.parked:
        got += g("recvfrom", b, bytearray(65536), 65536, 0, 0, 0)
        bench.run()
    assert g.result == size
    while got < size:
        got += g("recvfrom", b, bytearray(65536), 65536, 0, 0, 0)
    assert got == size


def test_receive_waits_and_times_out(bench: Bench) -> None:
    g, h = bench.guest(), bench.guest()
    a, b = socketpair(g, so.SOCK_STREAM)
    h.task.files.install(g.task.files.get(a))
    assert g("recvfrom", b, bytearray(9), 9, 0, 0, 0) is PARKED
    assert send(h, 0, b"x") == 1
    bench.run()
    assert g.result == 1
    assert g("setsockopt", b, so.SOL_SOCKET, so.SO_RCVTIMEO, struct.pack("<qq", 1, 0), 16) == 0
    assert g("recvfrom", b, bytearray(9), 9, 0, 0, 0) is PARKED
    bench.kernel.step()
    assert g.result == -E.EAGAIN


def test_sockets_nested_in_flight_are_released(bench: Bench) -> None:
    """A chain of sockets, each in the queue of the next, is released without recursion."""
    g = bench.guest()
    a, b = socketpair(g, so.SOCK_STREAM)
    for _ in range(3000):
        c, d = socketpair(g, so.SOCK_STREAM)
        header, _, _ = message(g, b"x", rights(b))
        assert g("sendmsg", c, header, 0) == 1
        g("close", b)
        g("close", c)
        b = d
        g._free = g.arena
    assert g("close", b) == 0
    assert bench.kernel.unix.in_flight == 0
    assert send(g, a, b"x") == -E.EPIPE


def test_a_read_of_nothing_never_waits(g: AnyGuest) -> None:
    for kind in (so.SOCK_STREAM, so.SOCK_DGRAM, so.SOCK_SEQPACKET):
        a, b = socketpair(g, kind)
        assert g("read", a, bytearray(1), 0) == 0
        assert receive(g, a, 0) == -E.EAGAIN
        assert send(g, b, b"x") == 1
        assert g("read", a, bytearray(1), 0) == 0
        assert receive(g, a) == b"x"
