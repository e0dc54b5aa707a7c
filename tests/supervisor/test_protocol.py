"""The control protocol: what is sent arrives, and nothing malformed gets further than ProtocolError."""

import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitebox.supervisor import protocol
from pylitebox.supervisor.protocol import Channel, Message, ProtocolError, packets, pair


def test_a_message_arrives_with_payload_and_descriptors():
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


def test_a_long_message_travels_in_several_packets():
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
    message = receiver.receive()
    assert message is not None
    assert message.payload == payload
    a.close()
    b.close()


def test_too_long_a_message_is_refused_by_both_sides():
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
def test_malformed_packets(packet):
    a, b = pair()
    a.send_packet(packet)
    with pytest.raises(ProtocolError):
        b.receive()
    a.close()
    b.close()


@given(st.binary(min_size=1, max_size=200))
def test_any_packet_is_a_message_or_an_error(packet):
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


def test_the_end_within_a_message_is_an_error():
    a, b = pair()
    a.send_packet(b"\x01\x01abc")
    a.close()
    with pytest.raises(ProtocolError, match="within a message"):
        b.receive()
    b.close()


def test_what_the_peer_said_before_it_left_is_still_read():
    a, b = pair()
    b.send({"never": "read"})
    a.send({"op": "last"})
    a.close()
    message = b.receive()
    assert message is not None
    assert message.text("op") == "last"
    b.close()


def test_descriptors_of_a_message_nobody_finished_are_closed():
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


def test_a_channel_refuses_a_stream_socket_that_speaks_another_version():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    a.send(b"\x02\x00hello")
    channel = Channel(b)
    with pytest.raises(ProtocolError, match="version 2"):
        channel.receive()
    a.close()
    channel.close()
