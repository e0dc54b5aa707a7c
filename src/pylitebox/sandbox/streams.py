"""Standard streams on their way into a sandbox.

A guest must never wait inside the supervisor, and the user's own descriptors must keep their flags. So on Linux pipes
and terminals are opened anew through /proc/self/fd, which makes a description of our own with O_NONBLOCK. Where that is
refused (the pipe is another user's), the descriptor goes as it is. Elsewhere the supervisor waits in threads
(south/piped.py), and a terminal is a stream of bytes like any other: its settings are not Linux's.
"""

from __future__ import annotations

import os
import stat
import sys

_TCGETS = 0x5401
_TIOCGWINSZ = 0x5413


class Streams:
    """What one process gets as its descriptors 0, 1 and 2: descriptors to send, and what to say about each."""

    def __init__(self) -> None:
        self.fds: list[int] = []
        self.wire: list[dict[str, object]] = []
        self._known: dict[tuple[int, bool], int] = {}

    def add_null(self) -> None:
        """/dev/null, the sandbox's."""
        self.wire.append({"kind": "null"})

    def add_closed(self) -> None:
        self.wire.append({"kind": "closed"})

    def add_same(self, number: int) -> None:
        """The same open file description as stream ``number``."""
        self.wire.append({"kind": "same", "as": number})

    def add(self, fd: int, *, write: bool) -> None:
        """A host descriptor, which stays the caller's."""
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            self.add_closed()
            return
        entry: dict[str, object] = {"kind": "fd", "index": len(self.fds), "write": write}
        if sys.platform == "linux" and stat.S_ISCHR(mode) and os.isatty(fd):
            entry |= _terminal(fd)
        self.fds.append(_own_description(fd, mode, write=write))
        self.wire.append(entry)

    def close(self) -> None:
        fds, self.fds = self.fds, []
        for fd in fds:
            os.close(fd)


def fill_standard_streams() -> set[int]:
    """Which of 0, 1 and 2 are closed; they become /dev/null, so that nothing else comes to stand there."""
    closed = set()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
    return closed


def _own_description(fd: int, mode: int, *, write: bool) -> int:
    if sys.platform == "linux" and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        access = os.O_WRONLY if write else os.O_RDONLY
        try:
            return os.open(f"/proc/self/fd/{fd}", access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            pass
    return os.dup(fd)


def _terminal(fd: int) -> dict[str, object]:
    """Settings and size of a terminal, as the ioctls give them."""
    import fcntl

    facts: dict[str, object] = {}
    for name, request, size in (("termios", _TCGETS, 36), ("winsize", _TIOCGWINSZ, 8)):
        try:
            facts[name] = fcntl.ioctl(fd, request, bytes(size)).hex()
        except OSError:
            pass
    return facts
