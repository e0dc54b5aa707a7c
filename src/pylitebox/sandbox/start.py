"""Starting a supervisor as a program of its own: on hosts that cannot fork one (Windows), or have nothing that a
forked one could be confined with (macOS).

It gets its end of the control channel by its standard input, and ends when its client does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import IO, Any, cast

from pylitebox.sandbox.errors import SandboxError
from pylitebox.supervisor.streaming import StreamChannel, pair

#: Packages of other people that a supervisor uses where they are installed.
OPTIONAL = ("zstandard", "unicorn")
_PROGRAM = """
import sys
sys.path += sys.argv[1:]
from pylitebox.supervisor.program import main
main()
"""
_WINDOWS = sys.platform == "win32"


class Started:
    """A supervisor: ``channel`` is the way to it, which whoever uses it closes. SandboxError."""

    def __init__(self) -> None:
        # in a virtual environment on Windows, sys.executable starts the Python that is meant, and is not it
        executable = getattr(sys, "_base_executable", None) if _WINDOWS else None
        executable = executable or sys.executable
        if not executable:
            raise SandboxError("the running Python does not know its own program (sys.executable is empty)")
        try:
            ours, theirs = pair()
            try:
                self._process = _start(executable, theirs)
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()
        except OSError as error:
            raise SandboxError(f"no supervisor can be started: {error.strerror}") from error
        if _WINDOWS:
            ours.peer = cast("Any", self._process)._handle  # an int that closes the handle when it goes
        self.channel = ours

    def forget(self) -> None:
        """It ends when we do: nobody waits for it, and that is no reason for a ResourceWarning."""
        self._process.returncode = 0

    def end(self, timeout: float) -> None:
        """Wait until it has ended, which it does once the channel is closed; end it after ``timeout`` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _start(executable: str, theirs: StreamChannel) -> subprocess.Popen[bytes]:
    debug = bool(os.environ.get("PYLITEBOX_DEBUG"))
    process = subprocess.Popen(
        [executable, "-I", "-S", "-c", _PROGRAM, *search_path()],
        stdin=subprocess.PIPE if _WINDOWS else theirs.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=None if debug else subprocess.DEVNULL,
        cwd=os.path.abspath(os.sep),
        # Ctrl-C is the client's
        start_new_session=not _WINDOWS,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
    if _WINDOWS:
        stdin = cast("IO[bytes]", process.stdin)
        with stdin:
            stdin.write(_shared(theirs.socket, process.pid))
    return process


def _shared(sock: socket.socket, pid: int) -> bytes:
    share = cast("Any", sock).share  # there is none but on Windows
    return cast("bytes", share(pid))


def search_path() -> list[str]:
    """Where our package is, and behind it (and the standard library) those of OPTIONAL."""
    from importlib.util import find_spec

    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = [root]
    for name in OPTIONAL:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            found.append(os.path.dirname(os.path.dirname(spec.origin)))
    return list(dict.fromkeys(found))
