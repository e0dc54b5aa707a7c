"""The client's end of the control socket: requests and their replies, and the ends of processes.

Any thread may make requests. Nobody reads in the background: of the threads that wait, one reads and hands the others
what is theirs, so a sandbox costs no thread and a process that forks has none to lose. A forked child of the client
closes its copies: a sandbox belongs to the process that made it, and ends with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
import weakref
from collections.abc import Callable

from pylitebox.sandbox.errors import SandboxError
from pylitebox.supervisor.protocol import Channel, Message, ProtocolError, wait_readable

_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


class Connection:
    """One supervisor. ``exits`` maps the pids of processes that have ended to their wait status."""

    def __init__(self, channel: Channel, *, on_end: Callable[[], None] | None = None) -> None:
        self._channel = channel
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._reading = False
        self._replies: dict[int, Message | None] = {}  # None: still awaited
        self._last_id = 0
        self._end: str | None = None  # why the connection is over
        self._on_end = on_end
        self.exits: dict[int, int] = {}
        self.pid = os.getpid()
        self._finalizer = weakref.finalize(self, Channel.close, channel)
        _connections.add(self)

    # -- requests ---------------------------------------------------------------------------------------------

    def request(
        self, op: str, fields: dict[str, object], payload: bytes = b"", fds: list[int] | None = None
    ) -> Message:
        """The reply to one request. OSError as the sandbox's kernel has it; SandboxError."""
        return self.result(self.begin(op, fields, payload, fds), fields)

    def begin(self, op: str, fields: dict[str, object], payload: bytes = b"", fds: list[int] | None = None) -> int:
        """Send a request whose reply :meth:`result` gives."""
        with self._sending:
            self._check()
            self._last_id += 1
            ident = self._last_id
            self._replies[ident] = None
            try:
                self._channel.send({"op": op, "id": ident, **fields}, payload, fds)
            except (OSError, ProtocolError) as error:
                del self._replies[ident]
                if isinstance(error, ProtocolError):
                    number = errno.E2BIG if op == "spawn" else errno.EMSGSIZE
                    raise OSError(number, os.strerror(number), fields.get("executable", fields.get("path"))) from None
                self._read_rest()
                raise SandboxError(self._end or "the sandbox has ended") from None
        return ident

    def result(self, ident: int, fields: dict[str, object] | None = None) -> Message:
        try:
            self.wait_for(lambda: self._replies[ident] is not None)
            reply = self._replies[ident]
        finally:
            self._replies.pop(ident, None)
        assert reply is not None
        number = reply.header.get("errno")
        if isinstance(number, int):
            from pylitebox.sandbox.host_errors import host_error

            path = reply.header.get("path", (fields or {}).get("path"))
            raise OSError(*host_error(number), path)
        if "message" in reply.header:
            raise SandboxError(reply.text("message"))
        return reply

    # -- waiting ----------------------------------------------------------------------------------------------

    def wait_for(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until ``done()`` or ``timeout`` seconds have passed; the last value of ``done()``. SandboxError when
        the connection ends first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not done():
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            with self._changed:
                if self._reading:
                    if left == 0.0:
                        return done()
                    self._changed.wait(left)
                    continue
                self._reading = True
            try:
                if done():
                    return True
                self._check()
                if not self._read(left) and left == 0.0:
                    return done()
            finally:
                with self._changed:
                    self._reading = False
                    self._changed.notify_all()
        return True

    def _read(self, timeout: float | None) -> bool:
        """Take in one message; False if none came in time."""
        if not wait_readable([self._channel.fileno()], timeout):
            return False
        try:
            message = self._channel.receive()
        except (OSError, ProtocolError) as error:
            message = None
            self._end = f"the supervisor's answer cannot be read: {error}"
        if message is None:
            self._finish(self._end or "the supervisor ended unexpectedly")
            return True
        message.close()  # a supervisor never sends descriptors
        self._take(message)
        return True

    def _take(self, message: Message) -> None:
        event = message.header.get("event")
        if event == "exit":
            self.exits[message.number("pid")] = message.number("status")
        elif event == "end":
            self._end = message.text("message")
        elif event == "log":
            import logging

            logging.getLogger("pylitebox").warning("%s", message.text("text"))
        else:
            ident = message.number("re", 0)
            if ident in self._replies:
                self._replies[ident] = message

    def _read_rest(self) -> None:
        """Sending failed: look whether the supervisor said why."""
        with contextlib.suppress(SandboxError):
            self.wait_for(lambda: self._finalizer.alive is False, 1.0)

    # -- the end ----------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def _check(self) -> None:
        if self.pid != os.getpid():
            raise SandboxError("this sandbox belongs to the process that made it")
        if self.closed:
            raise SandboxError(self._end or "the sandbox is closed")

    def _finish(self, why: str) -> None:
        self._end = why
        self._finalizer()
        if self._on_end is not None:
            self._on_end()

    def close(self) -> None:
        """End the sandbox with everything in it, and wait (at most 5 seconds) until it has."""
        if self.closed or self.pid != os.getpid():
            return
        with contextlib.suppress(OSError, SandboxError), self._sending:
            self._channel.send({"op": "end", "id": 0})
        with contextlib.suppress(SandboxError):
            self.wait_for(lambda: self.closed, 5.0)
        self._end = "the sandbox is closed"
        self._finalizer()


def _after_fork_in_child() -> None:
    for connection in list(_connections):
        connection._finalizer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
