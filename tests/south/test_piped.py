"""Streams that threads wait for: what a program sees of them, on any operating system."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import stat as st
from pylitebox.abi.poll import POLLERR, POLLHUP, POLLIN, POLLOUT
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.south.piped import PIECE, ROOM, Mailbox, PipedStream

#: Seconds that a thread may take, on a machine that is busy.
LONG = 60.0


class Loop:
    """What a platform does with the mailbox."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self._selector = selectors.DefaultSelector()
        self.mailbox.attach(self)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONG
        while not done():
            assert time.monotonic() < deadline
            for key, _ in self._selector.select(0.02):
                key.data()

    def close(self) -> None:
        self._selector.close()
        self.mailbox.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def read_all(loop: Loop, stream: PipedStream) -> bytes:
    parts = []
    while True:
        loop.until(lambda: bool(stream.poll() & (POLLIN | POLLERR)))
        part = stream.read(1000)
        if not part:
            return b"".join(parts)
        parts.append(part)


def test_what_was_written_is_read_and_then_its_end(loop: Loop) -> None:
    reader, writer = os.pipe()
    stream = PipedStream(loop.mailbox, reader, readable=True)
    assert stream.kind == st.S_IFIFO
    with pytest.raises(WouldBlock):
        stream.read(10)
    assert stream.poll() == 0
    data = os.urandom(PIECE // 2)
    os.write(writer, data)
    os.close(writer)
    assert read_all(loop, stream) == data
    assert stream.poll() == POLLIN | POLLHUP
    assert stream.read(1) == b""
    stream.close()
    stream.close()


def test_a_reader_that_waits_is_woken(loop: Loop) -> None:
    reader, writer = os.pipe()
    stream = PipedStream(loop.mailbox, reader, readable=True)
    woken: list[bool] = []
    stream.queue.watch("test", lambda: woken.append(True))
    assert stream.poll() == 0
    os.write(writer, b"x")
    loop.until(lambda: bool(woken))
    assert stream.read(5) == b"x"
    os.close(writer)
    stream.close()


def test_what_was_taken_reaches_its_reader_after_the_close(loop: Loop) -> None:
    reader, writer = os.pipe()
    stream = PipedStream(loop.mailbox, writer, readable=False)
    assert stream.poll() == POLLOUT
    data = os.urandom(ROOM)
    taken = stream.write(memoryview(data))
    assert 0 < taken <= ROOM
    stream.close()
    parts = []
    while part := os.read(reader, 4096):
        parts.append(part)
    assert b"".join(parts) == data[:taken]
    stream.drain(LONG)
    os.close(reader)


def test_a_reader_that_stands_still_holds_the_writer_up(loop: Loop) -> None:
    reader, writer = os.pipe()
    stream = PipedStream(loop.mailbox, writer, readable=False)
    taken = 0

    def full() -> bool:
        nonlocal taken
        try:
            taken += stream.write(bytes(ROOM))
        except WouldBlock:
            return not stream.poll()
        return False

    loop.until(full)
    got = 0
    while got < taken:
        got += len(os.read(reader, 1 << 16))
    loop.until(lambda: stream.poll() == POLLOUT)
    stream.close()
    os.close(reader)


def test_a_writer_learns_that_nobody_reads(loop: Loop) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = PipedStream(loop.mailbox, writer, readable=False)
    assert stream.write(b"lost") == 4
    loop.until(lambda: stream.poll() == POLLERR)
    with pytest.raises(KernelError) as caught:
        stream.write(b"more")
    assert caught.value.errno == E.EPIPE
    stream.drain(LONG)
    stream.close()


def test_regular_files_have_no_thread(loop: Loop, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    stream = PipedStream(loop.mailbox, os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0)), readable=True)
    assert (stream.kind, stream.poll()) == (st.S_IFREG, POLLIN | POLLOUT)
    assert (stream.read(100), stream.read(100)) == (b"content", b"")
    assert stream.write(b"!") == 1
    stream.close()
    assert path.read_bytes() == b"content!"
