"""A supervisor's work: from its client's first request, which says what sandbox it wants, to the end of that sandbox.

compose.py builds it and gives up what the supervisor does not need; then the loop runs until the client is gone or the
sandbox is done, and everything in it is ended. What the host has and how the supervisor is kept in, a :class:`Host`
says (linux.py, portable.py).
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.supervisor.host import Host
    from pylitebox.supervisor.protocol import Channel


def preload(load: Callable[[], type[Host]]) -> type[Host]:
    """Import all that a supervisor may ever need: once it is confined, it can open no module. ``load`` imports what
    the host is.

    The collector is off meanwhile, and until the sandbox runs (compose.py): nothing of this is ever garbage."""
    gc.disable()
    from pylitebox.kernel.tty import pty  # noqa: F401
    from pylitebox.north.linux.personality import load_families
    from pylitebox.supervisor import compose, session  # noqa: F401

    host = load()
    host.preload()
    load_families()
    return host


def serve(channel: Channel, load: Callable[[], type[Host]]) -> None:
    """Hold the sandbox that the client at the other end of ``channel`` asks for, to its end."""
    try:
        host = preload(load)  # while the client reads its options
        from pylitebox.kernel.log import log
        from pylitebox.supervisor.compose import Composed, compose
    except Exception as error:  # noqa: BLE001 - a Python without ctypes, a damaged installation
        channel.send({"event": "end", "message": _explain(error)})
        return
    message = channel.receive()
    if message is None:
        return
    ident = message.number("id", 0)
    try:
        composed: Composed = compose(channel, message, host)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
        host.wait_for(channel)
        channel.send({"re": ident, "message": _explain(error)})
        return
    finally:
        message.close()
    composed.control.send({"re": ident, "walls": composed.walls})
    try:
        composed.run()
    except Exception as error:
        log("the loop failed", error)
        composed.control.send({"event": "end", "message": f"the supervisor failed: {type(error).__name__}: {error}"})
        raise
    finally:
        composed.close()


def _explain(error: Exception) -> str:
    """One sentence for the user."""
    if type(error).__module__.startswith("pylitebox") and str(error):
        return str(error)
    return f"the sandbox could not be made: {type(error).__name__}: {error}"
