"""A supervisor that is a program of its own (sandbox/start.py), on hosts where none is forked and confined.

Nothing of the host keeps it in: it can do what its user can. The walls that are left are the emulator's CPU, which
reaches no memory but the guest's, and the kernel in between.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, cast

from pylitebox.supervisor.serve import serve
from pylitebox.supervisor.streaming import StreamChannel

if TYPE_CHECKING:
    from pylitebox.supervisor.host import Host


def main() -> None:
    """Serve the client whose socket our standard input is, or tells of. Never returns."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        channel = StreamChannel(_socket())
        try:
            serve(channel, _load)
        finally:
            channel.leave()
        status = 0
    except Exception:  # noqa: BLE001 - the client was told, or is gone
        if os.environ.get("PYLITEBOX_DEBUG"):
            sys.__excepthook__(*sys.exc_info())
    finally:
        os._exit(status)


def _load() -> type[Host]:
    from pylitebox.supervisor.portable import PortableHost

    return PortableHost


def _socket() -> socket.socket:
    if sys.platform == "win32":
        return cast("socket.socket", cast("Any", socket).fromshare(sys.stdin.buffer.read()))
    sock = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    return sock
