"""The control protocol over a stream of bytes, for hosts whose sockets keep no packets together (Windows, macOS).

Each packet follows a head: two 32-bit numbers, its size and how many descriptors come with it. Descriptors travel as
ancillary data of the head where the host has that; on Windows as handles that the sender, who started the receiver,
has put into its process: 64 bits each, between head and packet.

The two ends are made by :func:`pair`. On Windows that is a connection over the loopback address, whose other end is
checked to be ours: nobody else on this machine can have taken its place.
"""

from __future__ import annotations

import array
import socket
import struct
import sys
import time

from pylitebox.supervisor.protocol import ANCILLARY, MAX_DESCRIPTORS, MAX_PACKET, Channel, ProtocolError

_HEAD = struct.Struct("<II")
_HANDLE = struct.Struct("<Q")
_WINDOWS = sys.platform == "win32"


class StreamChannel(Channel):
    """One end. ``peer``: the process at the other end, by its handle, where descriptors are sent on Windows."""

    peer: int | None = None

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._sending: bytes | None = None  # a packet of which a part is sent
        self._left = memoryview(b"")
        self._got = bytearray()

    def send_packet(self, packet: bytes, fds: list[int] | None = None) -> None:
        """As of Channel; BlockingIOError, if a part is sent: the same packet must be sent next, and goes on there."""
        if self._sending is not packet:
            self._push()
            handles = self._give(fds) if fds and _WINDOWS else []
            head = _HEAD.pack(len(packet), len(fds or ()))
            data = memoryview(b"".join((head, *(_HANDLE.pack(handle) for handle in handles), packet)))
            if fds and not _WINDOWS:
                data = data[self.socket.sendmsg([data], [_rights(fds)]) :]
            else:
                data = data[self.socket.send(data) :]
            self._sending, self._left = packet, data
        self._push()

    def _push(self) -> None:
        """Send what is left of a packet."""
        while self._left:
            self._left = self._left[self.socket.send(self._left) :]
        self._sending = None

    def _give(self, fds: list[int]) -> list[int]:
        from pylitebox.supervisor.handles import give

        if self.peer is None:
            raise ProtocolError("descriptors go to a supervisor only")
        return [give(fd, self.peer) for fd in fds]

    def _receive_packet(self) -> bytes | None:
        got = self._got
        if not self._fill(_HEAD.size):
            return None
        size, count = _HEAD.unpack_from(got)
        if not 2 <= size <= MAX_PACKET or count > MAX_DESCRIPTORS:
            raise ProtocolError("a packet's head is malformed")
        start = _HEAD.size + (count * _HANDLE.size if _WINDOWS else 0)
        if not self._fill(start + size):
            raise ProtocolError("the connection ended within a packet")
        packet = bytes(got[start:])
        if _WINDOWS and count:
            from pylitebox.supervisor.handles import take

            self._fds += [take(handle) for (handle,) in _HANDLE.iter_unpack(got[_HEAD.size : start])]
        elif count != len(self._fds) and count:
            raise ProtocolError("a packet was cut off")
        got.clear()
        self._check_version(packet)
        return packet

    def _fill(self, size: int) -> bool:
        """Receive until there are ``size`` bytes, and no byte more; False at the end of the connection."""
        got = self._got
        while len(got) < size:
            data = self._receive_or_end(size - len(got))
            if not data:
                if got:
                    raise ProtocolError("the connection ended within a packet")
                return False
            got += data
        return True

    def _receive_or_end(self, size: int) -> bytes:
        for _ in range(2):
            try:
                return self._receive(size)
            except ConnectionResetError:  # the peer left without reading all; what it said before may still be here
                continue
        return b""

    def leave(self, timeout: float = 1.0) -> None:
        """Close, but not before the peer has read all: a close with something unread would take that away from it."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(timeout)
            deadline = time.monotonic() + timeout
            while self.socket.recv(MAX_PACKET) and time.monotonic() < deadline:
                pass
        except OSError:
            pass
        self.close()

    def _receive(self, size: int) -> bytes:
        if _WINDOWS:
            return self.socket.recv(size)
        data, ancillary, flags, _ = self.socket.recvmsg(size, ANCILLARY, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        self._take_rights(ancillary, flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))
        return data


def _rights(fds: list[int]) -> tuple[int, int, array.array[int]]:
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds)


def pair() -> tuple[StreamChannel, StreamChannel]:
    """Two connected channels."""
    a, b = socket.socketpair()
    if a.family != getattr(socket, "AF_UNIX", None) and (
        a.getsockname() != b.getpeername() or b.getsockname() != a.getpeername()
    ):
        a.close()
        b.close()
        raise ConnectionError("somebody else answered on the loopback address")
    if a.family != getattr(socket, "AF_UNIX", None):
        for sock in (a, b):  # small messages are not kept back
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return StreamChannel(a), StreamChannel(b)
