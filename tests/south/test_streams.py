"""Console streams over real descriptors."""

import os
import socket
import tempfile
from collections.abc import Callable

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.poll import POLLHUP, POLLIN, POLLOUT
from pylitebox.abi.stat import S_IFIFO, S_IFREG
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.south.streams import FdStream


class Watcher:
    """The part of the platform that a stream uses."""

    def __init__(self) -> None:
        self.armed: dict[int, Callable[[int], None]] = {}

    def watch_events(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        self.armed[fd] = callback

    def unwatch(self, fd: int) -> None:
        self.armed.pop(fd, None)


def stream(fd: int, *, readable: bool = False, writable: bool = False) -> FdStream:
    return FdStream(Watcher(), fd, readable=readable, writable=writable)  # type: ignore[arg-type]


def fill(end: FdStream) -> None:
    while end.write(b"x" * 65536):
        pass


def test_a_pipe_waits_reads_and_ends() -> None:
    r, w = os.pipe()
    os.set_blocking(r, False)
    source = stream(r, readable=True)
    with pytest.raises(WouldBlock):
        source.read(10)
    assert source.poll() == 0
    os.write(w, b"abc")
    assert source.poll() & POLLIN
    assert source.read(10) == b"abc"
    os.close(w)
    assert source.poll() & POLLHUP
    assert source.read(10) == b""
    assert source.kind == S_IFIFO
    source.close()


def test_writing_to_a_pipe_without_readers() -> None:
    r, w = os.pipe()
    os.set_blocking(w, False)
    sink = stream(w, writable=True)
    assert sink.poll() == POLLOUT
    assert sink.write(b"x" * 10) == 10
    os.close(r)
    with pytest.raises(KernelError) as caught:
        sink.write(b"x")
    assert caught.value.errno == E.EPIPE
    sink.close()


def test_a_socket_is_used_without_waiting() -> None:
    ours, theirs = socket.socketpair()
    end = stream(theirs.detach(), readable=True, writable=True)
    with pytest.raises(WouldBlock):
        end.read(1)
    ours.send(b"hi")
    assert end.read(5) == b"hi"
    with pytest.raises(WouldBlock):
        fill(end)
    ours.close()
    end.close()


def test_a_regular_file_is_always_ready() -> None:
    with tempfile.TemporaryFile() as file:
        sink = stream(os.dup(file.fileno()), readable=True, writable=True)
        assert sink.kind == S_IFREG
        assert sink.poll() == POLLIN | POLLOUT
        assert sink.write(b"text") == 4
        sink.close()
        assert os.pread(file.fileno(), 10, 0) == b"text"
