"""Short forms of calls that many tests make, for either kind of guest."""

import struct

from pylitebox.abi import poll as po
from pylitebox.kernel.signals import Action
from tests.north.bench import Guest
from tests.north.conftest import AnyGuest

PAIR = struct.Struct("<ii")
TIMESPEC = struct.Struct("<qq")


def pipe(g: AnyGuest, flags: int = 0) -> tuple[int, int]:
    fds = bytearray(8)
    assert g("pipe2", fds, flags) == 0
    return PAIR.unpack(fds)


def events(g: AnyGuest, fd: int) -> int:
    array = bytearray(po.POLLFD.pack(fd, 0xFFFF, 0))
    g("poll", array, 1, 0)
    return po.POLLFD.unpack(array)[2]


def write(g: AnyGuest, fd: int, data: bytes) -> int:
    return g("write", fd, data, len(data))


def read(g: AnyGuest, fd: int, size: int) -> bytes | int:
    buffer = bytearray(size)
    result = g("read", fd, buffer, size)
    return bytes(buffer[:result]) if result >= 0 else result


def control(g: AnyGuest, ep: int, op: int, fd: int, wanted: int = 0, data: int = 0) -> int:
    return g("epoll_ctl", ep, op, fd, po.EPOLL_EVENT_X86_64.pack(wanted, data))


def wait(g: AnyGuest, ep: int, count: int = 8, timeout: int = 0) -> list[tuple[int, int]] | int:
    array = bytearray(12 * count)
    result = g("epoll_wait", ep, array, count, timeout)
    return list(po.EPOLL_EVENT_X86_64.iter_unpack(array))[:result] if result >= 0 else result


def handle(g: Guest, signo: int) -> None:
    """Give a signal a handler that nothing runs."""
    g.task.process.actions.set(signo, Action(handler=0x1000))
