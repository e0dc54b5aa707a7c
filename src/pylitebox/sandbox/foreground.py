"""Running one program in the foreground, for the command line: the user's own streams, signals forwarded, and an exit
status as a shell would give it.

The supervisor is forked (where there is no Linux: started) right away, before the options are even read, so that it
imports the kernel meanwhile.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pylitebox.sandbox.errors import OptionError, SandboxError
from pylitebox.sandbox.hints import hint
from pylitebox.sandbox.streams import Streams, fill_standard_streams
from pylitebox.supervisor.protocol import Message, ProtocolError, pair, wait_readable

if TYPE_CHECKING:
    from pylitebox.sandbox.options import Options
    from pylitebox.sandbox.raw import RawTerminal
    from pylitebox.sandbox.start import Started

#: Exit statuses of our own, as timeout(1), env(1) and shells have them.
TIMED_OUT, FAILED, NOT_EXECUTABLE, NOT_FOUND = 124, 125, 126, 127
#: How long a program has to end after Ctrl-C before everything is ended, and a sandbox to end at all, in seconds.
GRACE = 2.0
#: Arguments looked at when a program failed.
_MOST_HINTED = 32
END = 5.0
#: Signals that we pass on: those of these that the host has, whose numbers are Linux's everywhere.
_FORWARDED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
_SIGINT, _SIGQUIT, _SIGWINCH = 2, 3, 28
_ENOENT, _ENOTDIR = 2, 20


class Forked:
    """A supervisor that is a child of ours; ``channel`` is the way to it. Needs a process with one thread."""

    def __init__(self) -> None:
        ours, theirs = pair()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                ours.close()
                from pylitebox.supervisor.main import main

                main(theirs.fileno())
            finally:
                os._exit(1)
        theirs.close()
        self.channel = ours

    def end(self, timeout: float) -> None:
        """Wait until it has ended, which it does once the channel is closed; end it after ``timeout`` seconds."""
        pidfd = os.pidfd_open(self._pid)
        if not wait_readable([pidfd], timeout):
            os.kill(self._pid, signal.SIGKILL)
        os.close(pidfd)
        os.waitpid(self._pid, 0)


class Foreground:
    """One supervisor, started now, and the program that :meth:`run` starts in it."""

    def __init__(self) -> None:
        self._closed = fill_standard_streams()
        if sys.platform == "linux":
            self._supervisor: Forked | Started | None = Forked()
        else:
            from pylitebox.sandbox.start import Started

            self._supervisor = Started()
        self._channel = self._supervisor.channel
        self._deadline: float | None = None
        self._overtime = FAILED  # the status when the deadline passes
        self.summary = ""
        self._shown = False  # a line of progress stands on the terminal

    # -- the program ------------------------------------------------------------------------------------------

    def run(
        self,
        argv: Sequence[str],
        options: Options,
        *,
        timeout: float | None = None,
        trace: int | None = None,
        tty: bool = False,
    ) -> int:
        """The exit status: the program's, 128+N after signal N, or one of ours, with a sentence on stderr.
        OptionError. ``trace``: a descriptor for --strace; ``tty``: the program has a terminal of its own, which the
        user's terminal, standard input, shows."""
        if timeout is not None:
            self._deadline, self._overtime = time.monotonic() + timeout, TIMED_OUT
        terminal = None
        if tty:
            if sys.platform == "win32":
                raise OptionError("--tty needs a terminal as POSIX has it: there is none on Windows")
            from pylitebox.sandbox.raw import RawTerminal

            terminal = RawTerminal(0)
        signals = _Signals([*_FORWARDED, signal.SIGWINCH] if tty else _FORWARDED)
        try:
            self._configure(options, trace)
            self._spawn(argv, options, terminal)
            return self._wait(argv, options, signals, terminal)
        except (SandboxError, ProtocolError) as error:
            return _fail(str(error))
        except OSError as error:
            return _fail(f"the sandbox has ended: {error.strerror}")
        finally:
            if terminal is not None:
                terminal.leave()
            self._show("")
            signals.close()
            self.close()

    def _configure(self, options: Options, trace: int | None) -> None:
        options.trace = trace is not None
        wire, fds = options.wire()
        try:
            self._send({"op": "configure", "id": 1, **wire}, [*fds, *([trace] if trace is not None else [])])
        finally:
            for fd in fds:
                os.close(fd)

    def _spawn(self, argv: Sequence[str], options: Options, terminal: RawTerminal | None) -> None:
        streams = Streams()
        try:
            for number in range(3):
                if number in self._closed:
                    streams.add_closed()
                else:
                    streams.add(number, write=number > 0)
            self._send(
                {
                    "op": "spawn",
                    "id": 2,
                    "argv": list(argv),
                    "executable": argv[0],
                    "env": [f"{name}={value}" for name, value in options.env.items()],
                    "cwd": options.cwd,
                    "uid": options.uid,
                    "gid": options.gid,
                    "streams": streams.wire,
                    "final": True,
                    **({"tty": True, "winsize": terminal.size()} if terminal is not None else {}),
                },
                streams.fds,
            )
        finally:
            streams.close()

    def _send(self, header: dict[str, object], fds: list[int] | None = None) -> None:
        try:
            self._channel.send(header, fds=fds)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, and perhaps said why: that is read next

    def _wait(self, argv: Sequence[str], options: Options, signals: _Signals, terminal: RawTerminal | None) -> int:
        channel, pid = self._channel.fileno(), 0
        while True:
            ready = wait_readable([channel, signals.fileno()], self._left())
            if not ready and self._deadline is not None and time.monotonic() >= self._deadline:
                if self._overtime == TIMED_OUT:
                    _say("the time is up")
                return self._overtime
            self._forward_all(signals, pid, terminal)
            if channel not in ready:
                continue
            message = self._channel.receive()
            if message is None:
                raise SandboxError("the supervisor ended unexpectedly")
            message.close()
            event, reply = message.header.get("event"), message.header.get("re")
            if event == "exit":
                status = self._ended(message, terminal)
                if 0 < status < 128:
                    _mention_missing(argv[1:], options)
                return status
            if event == "log":
                _say(message.text("text"))
            elif event == "progress":
                self._show(message.text("text"))
            elif event == "end" or reply in (1, 2):
                self._show("")
                if "message" in message.header:
                    raise SandboxError(message.text("message"))
            if reply == 2:
                if "errno" in message.header:
                    return _not_started(message, argv, options)
                pid = self._started(message, terminal)
                self._forward_all(signals, pid, terminal)

    def _started(self, message: Message, terminal: RawTerminal | None) -> int:
        """The program runs: its pid. From now on the user's keys are its own; what could end us is caught already."""
        if terminal is not None:
            terminal.enter()
        return message.number("pid")

    def _show(self, text: str) -> None:
        """Show on a terminal how far the start is, in place of what was shown before."""
        if self._shown or (text and sys.stderr.isatty()):
            self._shown = bool(text)
            sys.stderr.write(f"\r\x1b[K{'pylitebox: ' + text if text else ''}")
            sys.stderr.flush()

    def _left(self) -> float | None:
        """Seconds until the deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _forward_all(self, signals: _Signals, pid: int, terminal: RawTerminal | None) -> None:
        for signo in signals.take():
            if signo != _SIGWINCH or terminal is None:
                self._forward(signo, pid)
            elif pid:
                self._send({"op": "resize", "id": 4, "pid": pid, "winsize": terminal.size()})

    def _forward(self, signo: int, pid: int) -> None:
        if signo == _SIGINT:
            soon = time.monotonic() + GRACE
            if self._overtime == 128 + _SIGINT:
                soon = 0.0  # Ctrl-C again: at once
            if self._deadline is None or soon < self._deadline:
                self._deadline, self._overtime = soon, 128 + _SIGINT
        if pid:
            self._send(
                {"op": "signal", "id": 3, "pid": pid, "signo": signo, "group": signo in (_SIGINT, _SIGQUIT)}
            )
        else:
            self._deadline, self._overtime = 0.0, 128 + signo  # nothing runs yet

    def _ended(self, message: Message, terminal: RawTerminal | None) -> int:
        if terminal is not None:
            terminal.leave()
        self.summary = message.text("summary", "")
        status = message.number("status")
        return 128 + (status & 0x7F) if status & 0x7F else status >> 8 & 0xFF

    # -- the end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the sandbox, and wait until it has ended."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            self._channel.close()
            supervisor.end(END)


class _Signals:
    """The signals we are sent, as a socket to wait for: Windows can write to nothing else when one comes."""

    def __init__(self, wanted: Sequence[signal.Signals]) -> None:
        self._wanted = wanted
        self._read, self._write = socket.socketpair()
        self._read.settimeout(0)
        self._write.settimeout(0)
        caught = [signo for signo in wanted if signal.getsignal(signo) is not signal.SIG_IGN]  # as nohup(1) wants
        self._old = {signo: signal.signal(signo, lambda number, frame: None) for signo in caught}
        self._old_wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._read.fileno()

    def take(self) -> list[int]:
        try:
            return [signo for signo in self._read.recv(64) if signo in self._wanted]
        except BlockingIOError:
            return []

    def close(self) -> None:
        signal.set_wakeup_fd(self._old_wakeup)
        for signo, handler in self._old.items():
            signal.signal(signo, handler)
        self._read.close()
        self._write.close()


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"pylitebox: {text}\n")
        sys.stderr.flush()
    except OSError:  # nobody hears it; the program goes on
        pass


def _fail(text: str) -> int:
    _say(text)
    return FAILED


def _mention_missing(arguments: Sequence[str], options: Options) -> None:
    """A program failed: if it was given a path of the host that it could not see, that may be why."""
    for argument in arguments[:_MOST_HINTED]:
        if argument and not argument.startswith("-"):
            text = hint(argument if "/" in argument else f"./{argument}", options)
            if text is not None:
                _say(text)
                return


def _not_started(message: Message, argv: Sequence[str], options: Options) -> int:
    errno = message.number("errno")
    path = message.text("path", argv[0])
    text = hint(path, options) if errno in (_ENOENT, _ENOTDIR) else None
    if text is None:
        from pylitebox.sandbox.host_errors import host_error

        what = "not found" if errno == _ENOENT and "/" not in path else host_error(errno)[1]
        text = f"{path}: {what}"
    _say(text)
    if path == options.cwd and path != argv[0]:
        return FAILED
    return NOT_FOUND if errno in (_ENOENT, _ENOTDIR) else NOT_EXECUTABLE
