"""The control protocol between a client and its supervisor: framed, versioned, bounded, and nothing is ever unpickled.

A message is a JSON object (the header), bytes (the payload) and descriptors. It travels over an AF_UNIX SOCK_SEQPACKET
socket in packets of at most MAX_PACKET bytes: one byte of version, one of flags (MORE: the message goes on in the next
packet), then the content, which is a 32-bit header length, the header, and the payload. The descriptors come with the
first packet. Text that stands for bytes (paths, arguments) uses surrogateescape, so any bytes survive JSON.

Requests carry an ``id``, and their replies carry it as ``re``; an ``event`` belongs to no request. A reply with an
``errno`` is a failed call of the sandbox's kernel, one with only a ``message`` is a failure of ours.
"""

from __future__ import annotations

import array
import json
import os
import select
import socket
import struct

VERSION = 1
MORE = 1
MAX_PACKET = 64 << 10
MAX_MESSAGE = 16 << 20
MAX_DESCRIPTORS = 250  # Linux takes 253 at once
#: How much of a file one request moves: two packets, so that an answer fits into a socket whose reader is away.
CHUNK = 2 * MAX_PACKET - 4096

_STANDARD = 2  # the highest descriptor of a standard stream
_LENGTH = struct.Struct("<I")
ANCILLARY = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4) if hasattr(socket, "CMSG_SPACE") else 0  # none on Windows


class ProtocolError(Exception):
    """The peer sent something that is no message; the connection is of no more use."""


class Message:
    """One message; the receiver owns its descriptors."""

    __slots__ = ("fds", "header", "payload")

    def __init__(self, header: dict[str, object], payload: bytes = b"", fds: list[int] | None = None) -> None:
        self.header = header
        self.payload = payload
        self.fds = fds or []

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        fds, self.fds = self.fds, []
        for fd in fds:
            if fd >= 0:  # else somebody took it
                os.close(fd)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.header.get(key, default)
        if not isinstance(value, str):
            raise ProtocolError(f"{key} is missing or no text")
        return value

    def number(self, key: str, default: int | None = None) -> int:
        value = self.header.get(key, default)
        if not isinstance(value, int) or not -(1 << 63) <= value < 1 << 64:
            raise ProtocolError(f"{key} is missing or no number")
        return value

    def path(self, key: str) -> bytes:
        """A text that stands for bytes."""
        return self.text(key).encode("utf-8", "surrogateescape")

    def texts(self, key: str) -> list[bytes]:
        """A list of texts that stand for bytes."""
        value = self.header.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ProtocolError(f"{key} is missing or no list of texts")
        return [item.encode("utf-8", "surrogateescape") for item in value]


def packets(header: dict[str, object], payload: bytes = b"") -> list[bytes]:
    """The packets of one message."""
    head = json.dumps(header, separators=(",", ":")).encode()
    content = _LENGTH.pack(len(head)) + head + payload
    if len(content) > MAX_MESSAGE:
        raise ProtocolError(f"a message of {len(content)} bytes is over the limit of {MAX_MESSAGE}")
    room = MAX_PACKET - 2
    pieces = [content[i : i + room] for i in range(0, len(content), room)]
    return [bytes((VERSION, MORE if i + 1 < len(pieces) else 0)) + piece for i, piece in enumerate(pieces)]


class Channel:
    """One end of a control socket. It is not locked: one thread at a time sends, one at a time receives."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._parts: list[bytes] = []
        self._size = 0
        self._fds: list[int] = []

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, header: dict[str, object], payload: bytes = b"", fds: list[int] | None = None) -> None:
        """Send one message; the descriptors stay the caller's. OSError when the peer is gone."""
        for packet in packets(header, payload):
            self.send_packet(packet, fds)
            fds = None

    def send_packet(self, packet: bytes, fds: list[int] | None = None) -> None:
        if fds:
            self.socket.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        else:
            self.socket.send(packet)

    def receive(self) -> Message | None:
        """The next message, None at the end; BlockingIOError if the socket is non-blocking and has no whole one."""
        while True:
            packet = self._receive_packet()
            if packet is None:
                if self._parts:
                    raise ProtocolError("the connection ended within a message")
                return None
            self._size += len(packet) - 2
            if self._size > MAX_MESSAGE:
                raise ProtocolError("a message is over the limit")
            self._parts.append(packet[2:])
            if not packet[1] & MORE:
                return self._assemble()

    def _receive_packet(self) -> bytes | None:
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(MAX_PACKET, ANCILLARY, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:  # the peer left without reading all of ours; what it said before is still here
            data, ancillary, flags, _ = self.socket.recvmsg(MAX_PACKET, ANCILLARY, socket.MSG_CMSG_CLOEXEC)
        self._take_rights(ancillary, flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))
        if not data:
            return None
        self._check_version(data)
        return data

    def _take_rights(self, ancillary: list[tuple[int, int, bytes]], cut: int) -> None:
        """Keep the descriptors that came with a packet."""
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                self._fds.extend(fds)
        if cut or len(self._fds) > MAX_DESCRIPTORS:
            raise ProtocolError("a packet was cut off")

    def _check_version(self, packet: bytes) -> None:
        if packet[0] != VERSION:
            raise ProtocolError(f"the peer speaks version {packet[0]}, this is version {VERSION}")
        if len(packet) < 2:
            raise ProtocolError("a packet without flags")

    def _assemble(self) -> Message:
        content, fds = b"".join(self._parts), self._fds
        self._parts, self._size, self._fds = [], 0, []
        message = Message({}, fds=fds)
        try:
            (size,) = _LENGTH.unpack_from(content)
            if size > len(content) - _LENGTH.size:
                raise ValueError("header length")
            header = json.loads(content[_LENGTH.size : _LENGTH.size + size])
        except (ValueError, struct.error, RecursionError) as error:
            message.close()
            raise ProtocolError(f"a message is malformed: {error}") from None
        if not isinstance(header, dict):
            message.close()
            raise ProtocolError("a header is no object")
        message.header = header
        message.payload = content[_LENGTH.size + size :]
        return message

    def close(self) -> None:
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)
        self.socket.close()


def pair() -> tuple[Channel, Channel]:
    """Two connected channels, neither of which stands where a standard stream would, were that closed."""
    low: list[socket.socket] = []
    try:
        while True:
            a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if min(a.fileno(), b.fileno()) > _STANDARD:
                return Channel(a), Channel(b)
            low += [a, b]
    finally:
        for sock in low:
            sock.close()


def wait_readable(filenos: list[int], timeout: float | None) -> set[int]:
    """Which sockets can be read (or have ended), after at most ``timeout`` seconds."""
    if hasattr(select, "poll"):
        poller = select.poll()
        for fileno in filenos:
            poller.register(fileno, select.POLLIN)
        return {fileno for fileno, _ in poller.poll(None if timeout is None else timeout * 1000)}
    return set(select.select(filenos, [], [], timeout)[0])
