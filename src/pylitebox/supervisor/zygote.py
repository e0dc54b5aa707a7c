"""The zygote: a process with everything imported that forks one supervisor for each control socket it is sent.

It holds no sandbox, runs no guest and opens nothing; it ends when its client does.
"""

from __future__ import annotations

import gc
import os
import signal
import socket

from pylitebox.supervisor import main as supervisor
from pylitebox.supervisor.protocol import Channel, ProtocolError


def main() -> None:
    """Serve the client whose socket is our standard input."""
    channel = Channel(socket.socket(fileno=os.dup(0)))
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _reap)
    supervisor.preload()
    gc.collect()
    gc.freeze()
    while True:
        try:
            message = channel.receive()
        except (OSError, ProtocolError):
            break
        if message is None:
            break
        if message.header.get("op") == "fork" and len(message.fds) == 1:
            _fork(channel, message.fds.pop())
        message.close()
    os._exit(0)


def _fork(channel: Channel, fd: int) -> None:
    if os.fork() == 0:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel.close()
            supervisor.main(fd)
        finally:
            os._exit(1)
    os.close(fd)


def _reap(signo: int, frame: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
