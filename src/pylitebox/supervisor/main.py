"""A supervisor's life: from the fork to the end of its sandbox.

:func:`main` takes over a process that was just forked (from the zygote, or from the command line) with a control
socket: a session of its own, no descriptor but that socket, default signal handling. Then the client's first request
says what sandbox it wants; compose.py builds it and gives up what the supervisor does not need; then the loop runs
until the client is gone or the sandbox is done, and everything in it is ended.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
import socket
import sys

from pylitebox.supervisor.protocol import Channel


def preload() -> None:
    """Import all that a supervisor may ever need: once it is confined, it can open no module.

    The collector is off meanwhile, and until the sandbox runs (compose.py): nothing of this is ever garbage."""
    gc.disable()
    from pylitebox.kernel.tty import pty  # noqa: F401
    from pylitebox.north.linux.personality import load_families
    from pylitebox.south import streams  # noqa: F401
    from pylitebox.south.native import platform  # noqa: F401
    from pylitebox.supervisor import compose, session  # noqa: F401

    load_families()


def main(fd: int) -> None:
    """Be a supervisor with the control socket ``fd``. Never returns."""
    status = 1
    try:
        _detach(fd)
        channel = Channel(socket.socket(fileno=_CONTROL))
        channel.socket.set_inheritable(False)
        _serve(channel)
        status = 0
    except Exception:  # noqa: BLE001, S110 - the client was told, or is gone
        pass
    except BaseException:  # noqa: BLE001 - an error of ours: to standard error, which is /dev/null unless debugged
        sys.__excepthook__(*sys.exc_info())
    finally:
        os._exit(status)


#: The control socket's descriptor in every supervisor.
_CONTROL = 3


def _detach(fd: int) -> None:
    """Be nobody's: no terminal, no directory, no descriptor, no handler of the process we were forked from."""
    os.setsid()
    os.chdir("/")
    os.umask(0)
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(signo, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if fd != _CONTROL:
        os.dup2(fd, _CONTROL)
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1) if os.environ.get("PYLITEBOX_DEBUG") else (0, 1, 2):
        os.dup2(null, number)
    os.closerange(_CONTROL + 1, 1 << 20)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _serve(channel: Channel) -> None:
    try:
        preload()  # while the client reads its options
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
        composed: Composed = compose(channel, message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
        flags = fcntl.fcntl(channel.fileno(), fcntl.F_GETFL)  # settimeout would make a call that the filter refuses
        fcntl.fcntl(channel.fileno(), fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
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
