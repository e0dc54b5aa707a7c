"""A supervisor's process on Linux, where it is forked (from the zygote, or from the command line) with a control
socket: a session of its own, no descriptor but that socket, default signal handling."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys

from pylitebox.supervisor import serve
from pylitebox.supervisor.protocol import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylitebox.supervisor.host import Host


def preload() -> None:
    """Import all that a supervisor on Linux may ever need."""
    serve.preload(_load)


def _load() -> type[Host]:
    from pylitebox.supervisor.linux import LinuxHost

    return LinuxHost


def main(fd: int) -> None:
    """Be a supervisor with the control socket ``fd``. Never returns."""
    status = 1
    try:
        _detach(fd)
        channel = Channel(socket.socket(fileno=_CONTROL))
        channel.socket.set_inheritable(False)
        serve.serve(channel, _load)
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
