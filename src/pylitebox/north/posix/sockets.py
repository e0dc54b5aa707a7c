"""AF_UNIX sockets as descriptors: the calls of man 7 unix, since ``os`` has none and ``socket`` is the host's.

Addresses are paths, as ``socket`` has them: str or bytes; with a leading NUL an abstract name; "" while unnamed.
Missing: control messages (passing descriptors and credentials), other families (EAFNOSUPPORT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import socket as so
from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.call import Argument, Calls, Room

if TYPE_CHECKING:
    from pylitebox.north.posix.arguments import ReadableBuffer, StrPath

_SIZE = 110  # sizeof(struct sockaddr_un)


def _packed(address: StrPath) -> bytearray:
    path = arg.encode(arg.fspath(address))
    if len(path) > _SIZE - 2 - (path[:1] != b"\0"):
        raise OSError("AF_UNIX path too long")
    nul = b"\0" if path and path[:1] != b"\0" else b""
    return bytearray(so.AF_UNIX.to_bytes(2, "little") + path + nul)


class Sockets(Calls):
    def socket(self, family: int = so.AF_UNIX, type: int = so.SOCK_STREAM, proto: int = 0) -> int:  # noqa: A002
        return self._call("socket", arg.c_int(family), arg.c_int(type) | so.SOCK_CLOEXEC, arg.c_int(proto))

    def socketpair(
        self, family: int = so.AF_UNIX, type: int = so.SOCK_STREAM, proto: int = 0  # noqa: A002
    ) -> tuple[int, int]:  # fmt: skip
        raw = bytearray(8)
        self._call("socketpair", arg.c_int(family), arg.c_int(type) | so.SOCK_CLOEXEC, arg.c_int(proto), raw)
        return arg.pair(raw)

    def bind(self, fd: int, address: StrPath, /) -> None:
        raw = _packed(address)
        self._call("bind", arg.c_int(fd), raw, len(raw))

    def listen(self, fd: int, backlog: int = 128, /) -> None:
        self._call("listen", arg.c_int(fd), arg.c_int(backlog))

    def connect(self, fd: int, address: StrPath, /) -> None:
        raw = _packed(address)
        self._call("connect", arg.c_int(fd), raw, len(raw))

    def accept(self, fd: int, /) -> tuple[int, str | bytes]:
        """(descriptor, address of the other side)."""
        raw, size = _room()
        new = self._call("accept4", arg.c_int(fd), raw, size, so.SOCK_CLOEXEC)
        return new, _address(raw, size)

    def getsockname(self, fd: int, /) -> str | bytes:
        raw, size = _room()
        self._call("getsockname", arg.c_int(fd), raw, size)
        return _address(raw, size)

    def getpeername(self, fd: int, /) -> str | bytes:
        raw, size = _room()
        self._call("getpeername", arg.c_int(fd), raw, size)
        return _address(raw, size)

    def shutdown(self, fd: int, how: int, /) -> None:
        self._call("shutdown", arg.c_int(fd), arg.c_int(how))

    def send(self, fd: int, data: ReadableBuffer, flags: int = 0, address: StrPath | None = None, /) -> int:
        """As ``socket.send``; with an address as ``sendto``. A broken connection is BrokenPipeError, no signal."""
        view = arg.data(data)
        target: tuple[Argument, Argument] = (None, 0)
        if address is not None:
            raw = _packed(address)
            target = raw, len(raw)
        flags = arg.c_int(flags) | so.MSG_NOSIGNAL
        return self._call("sendto", arg.c_int(fd), view, len(view), flags, *target)

    def recv(self, fd: int, bufsize: int, flags: int = 0, /) -> bytes:
        return self.recvfrom(fd, bufsize, flags)[0]

    def recvfrom(self, fd: int, bufsize: int, flags: int = 0, /) -> tuple[bytes, str | bytes]:
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        room = Room(arg.c_long(bufsize))
        raw, size = _room()
        self._call("recvfrom", arg.c_int(fd), room, room.size, arg.c_int(flags), raw, size)
        return bytes(room.data), _address(raw, size)


def _room() -> tuple[bytearray, bytearray]:
    """Where an address goes, and its size."""
    return bytearray(_SIZE), bytearray(_SIZE.to_bytes(4, "little"))


def _address(raw: bytearray, size: bytearray) -> str | bytes:
    path = bytes(raw[2 : int.from_bytes(size, "little")])
    if path[:1] == b"\0":
        return path
    return arg.decode(path.partition(b"\0")[0])
