"""The control protocol: what is sent arrives, and nothing malformed gets further than ProtocolError."""

import os
import socket
import struct
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylitebox.supervisor import protocol, streaming
from pylitebox.supervisor.protocol import Channel, Message, ProtocolError, packets

linux = pytest.mark.skipif(sys.platform != "linux", reason="about sockets that keep packets together")


@pytest.fixture(params=[pytest.param("packets", marks=linux), "stream"], scope="module")
def pair(request):
    """What makes two connected channels, of either kind."""
    if request.param == "packets":
        return protocol.pair

    def make():
        a, b = streaming.pair()
        if sys.platform == "win32":
            import _winapi

            a.peer = _winapi.GetCurrentProcess()
        return a, b

    return make


def test_a_message_arrives_with_payload_and_descriptors(pair):
    a, b = pair()
    read_end, write_end = os.pipe()
    a.send({"op": "x", "path": "/\udcff"}, b"payload", [write_end])
    message = b.receive()
    assert message is not None
    assert message.path("path") == b"/\xff"
    assert message.payload == b"payload"
    os.write(message.fds[0], b"through")
    assert os.read(read_end, 10) == b"through"
    assert not os.get_inheritable(message.fds[0])
    message.close()
    for fd in (read_end, write_end):
        os.close(fd)
    a.close()
    assert b.receive() is None
    b.close()


def test_a_long_message_travels_in_several_packets(pair):
    payload = os.urandom(3 * protocol.MAX_PACKET)
    assert len(packets({"op": "x"}, payload)) == 4
    a, b = pair()
    b.socket.setblocking(False)
    receiver = b
    parts = packets({"op": "x"}, payload)
    for part in parts[:-1]:
        a.send_packet(part)
        with pytest.raises(BlockingIOError):
            receiver.receive()
    a.send_packet(parts[-1])
    receiver.socket.settimeout(60)
    message = receiver.receive()
    assert message is not None
    assert message.payload == payload
    a.close()
    b.close()


def test_too_long_a_message_is_refused_by_both_sides(pair):
    with pytest.raises(ProtocolError, match="over the limit"):
        packets({}, bytes(protocol.MAX_MESSAGE))
    a, b = pair()
    b.socket.setblocking(False)
    part = bytes((protocol.VERSION, protocol.MORE)) + bytes(protocol.MAX_PACKET - 2)

    def flood():
        for _ in range(protocol.MAX_MESSAGE // len(part) + 2):
            a.send_packet(part)
            try:
                b.receive()
            except BlockingIOError:
                continue
        b.socket.settimeout(60)
        b.receive()

    with pytest.raises(ProtocolError, match="over the limit"):
        flood()
    a.close()
    b.close()


@pytest.mark.parametrize(
    "packet",
    [
        b"\x63\x00",
        b"\x01",
        b"\x01\x00",
        b"\x01\x00" + struct.pack("<I", 100) + b"{}",
        b"\x01\x00" + struct.pack("<I", 2) + b"[]",
        b"\x01\x00" + struct.pack("<I", 3) + b"{x}",
        b"\x01\x00" + struct.pack("<I", 100_000 // 2) + b"[" * 50_000,
    ],
)
def test_malformed_packets(pair, packet):
    a, b = pair()
    a.send_packet(packet)
    with pytest.raises(ProtocolError):
        b.receive()
    a.close()
    b.close()


@settings(deadline=None)
@given(packet=st.binary(min_size=1, max_size=200))
def test_any_packet_is_a_message_or_an_error(pair, packet):
    a, b = pair()
    b.socket.setblocking(False)
    a.send_packet(packet)
    try:
        message = b.receive()
        assert isinstance(message, Message)
    except (ProtocolError, BlockingIOError):
        pass
    a.close()
    b.close()


def test_the_end_within_a_message_is_an_error(pair):
    a, b = pair()
    a.send_packet(b"\x01\x01abc")
    a.close()
    with pytest.raises(ProtocolError, match="within a message"):
        b.receive()
    b.close()


def test_what_the_peer_said_before_it_left_is_still_read(pair):
    a, b = pair()
    b.send({"never": "read"})
    a.send({"op": "last"})
    if sys.platform == "win32":
        b.send({"too": "late"})
        threading.Thread(target=a.leave).start()
    else:
        a.close()
    message = b.receive()
    assert message is not None
    assert message.text("op") == "last"
    b.close()


def test_descriptors_of_a_message_nobody_finished_are_closed(pair):
    a, b = pair()
    b.socket.setblocking(False)
    read_end, write_end = os.pipe()
    a.send_packet(b"\x01\x01abc", [write_end])
    os.close(write_end)
    with pytest.raises(BlockingIOError):
        b.receive()
    b.close()
    assert os.read(read_end, 1) == b""
    os.close(read_end)
    a.close()


@pytest.mark.parametrize(
    ("getter", "value"),
    [("text", 3), ("number", "3"), ("number", 1 << 64), ("number", None), ("texts", "abc"), ("texts", ["a", 1])],
)
def test_a_field_of_another_type_is_an_error(getter, value):
    with pytest.raises(ProtocolError):
        getattr(Message({"key": value}), getter)("key")


@linux
def test_a_channel_refuses_a_stream_socket_that_speaks_another_version():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    a.send(b"\x02\x00hello")
    channel = Channel(b)
    with pytest.raises(ProtocolError, match="version 2"):
        channel.receive()
    a.close()
    channel.close()


def test_a_packet_is_sent_in_parts_to_a_peer_that_does_not_read():
    a, b = streaming.pair()
    a.socket.settimeout(0)
    sent = packets({"op": "x"}, bytes(200 * protocol.MAX_PACKET))
    waiting = list(sent)
    while waiting:
        try:
            a.send_packet(waiting[0])
        except BlockingIOError:
            break
        waiting.pop(0)
    assert waiting
    thread = threading.Thread(target=lambda: received.append(b.receive()))
    received = []
    thread.start()
    a.socket.settimeout(60)
    for packet in waiting:
        a.send_packet(packet)
    thread.join(60)
    assert len(received[0].payload) == 200 * protocol.MAX_PACKET
    a.close()
    b.close()


@pytest.mark.parametrize("head", [(0, 0), (1, 0), (protocol.MAX_PACKET + 1, 0), (10, protocol.MAX_DESCRIPTORS + 1)])
def test_malformed_heads(head):
    a, b = streaming.pair()
    a.socket.send(struct.pack("<II", *head))
    with pytest.raises(ProtocolError, match="head is malformed"):
        b.receive()
    a.close()
    b.close()


def test_a_connection_that_ends_within_a_packet():
    a, b = streaming.pair()
    a.socket.send(struct.pack("<II", 10, 0) + b"short")
    a.close()
    with pytest.raises(ProtocolError, match="within a packet"):
        b.receive()
    b.close()


@linux
def test_descriptors_that_are_fewer_than_was_said():
    a, b = streaming.pair()
    a.socket.send(struct.pack("<II", 2, 1) + b"\x01\x00")
    with pytest.raises(ProtocolError, match="cut off"):
        b.receive()
    a.close()
    b.close()


def test_a_stranger_on_the_loopback_address_is_noticed(monkeypatch):
    ours, stranger = socket.socketpair(socket.AF_UNIX) if sys.platform != "win32" else socket.socketpair()

    class Elsewhere:
        family = socket.AF_INET

        def getsockname(self):
            return ("127.0.0.1", 1)

        def getpeername(self):
            return ("127.0.0.1", 2)

        def close(self):
            stranger.close()
            ours.close()

    monkeypatch.setattr(streaming.socket, "socketpair", lambda: (Elsewhere(), Elsewhere()))
    with pytest.raises(ConnectionError, match="somebody else"):
        streaming.pair()
