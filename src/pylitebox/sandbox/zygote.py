"""How a library user's sandbox gets its supervisor. On Linux that is the zygote's work: one process, started on first
use, that has imported everything and forks a supervisor for each sandbox. It ends with us. Elsewhere each is started
(start.py).
"""

from __future__ import annotations

import atexit
import os
import sys
import threading

from pylitebox.sandbox.errors import SandboxError
from pylitebox.supervisor.protocol import Channel, pair

_lock = threading.Lock()
_channel: Channel | None = None

_PROGRAM = """
import sys
sys.path += sys.argv[1:]
from pylitebox.supervisor.zygote import main
main()
"""


def new_supervisor() -> Channel:
    """The control channel of a fresh supervisor; SandboxError."""
    if sys.platform != "linux":
        from pylitebox.sandbox.start import Started

        started = Started()
        started.forget()
        return started.channel
    ours, theirs = pair()
    try:
        with _lock:
            try:
                _zygote().send({"op": "fork"}, fds=[theirs.fileno()])
            except OSError:  # it has ended: once more
                _forget()
                _zygote().send({"op": "fork"}, fds=[theirs.fileno()])
    except OSError as error:
        ours.close()
        raise SandboxError(f"no supervisor can be started: {error.strerror}") from error
    finally:
        theirs.close()
    return ours


def _zygote() -> Channel:
    global _channel  # noqa: PLW0603 - one per process
    if _channel is None:
        _channel = _start()
    return _channel


def _start() -> Channel:
    import subprocess

    from pylitebox.sandbox.start import search_path

    if not sys.executable:
        raise SandboxError("the running Python does not know its own program (sys.executable is empty)")
    ours, theirs = pair()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, *search_path()],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get("PYLITEBOX_DEBUG") else subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={},
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    process.returncode = 0  # it ends when we do: nobody waits for it, and that is no reason for a ResourceWarning
    return ours


def _forget() -> None:
    global _channel  # noqa: PLW0603
    if _channel is not None:
        _channel.close()
        _channel = None


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _forget()


atexit.register(_forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
