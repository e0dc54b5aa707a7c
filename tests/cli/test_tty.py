"""``run --tty``: a shell in a sandbox on the user's terminal, which is raw meanwhile and as before afterwards."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from tests.guest.harness import need

COMMAND = [sys.executable, "-m", "pylitebox", "run", "--tty"]
SHELL = ["--env", "PS1=$ ", "--", "bash", "--norc", "--noprofile", "--noediting"]


class User:
    """A person before a terminal, in which ``pylitebox run --tty`` runs."""

    def __init__(self, *arguments: str) -> None:
        need("bash")
        self.master, self.slave = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(self.slave)
        self.text = b""
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True
        )

    def resize(self, rows: int, columns: int) -> None:
        """The host tells only whose controlling terminal it is, so the signal is sent by hand."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, what: bytes) -> bytes:
        deadline = time.monotonic() + 30
        while what not in self.text:
            left = deadline - time.monotonic()
            assert left > 0, self.text
            if select.select([self.master], [], [], left)[0]:
                self.text += os.read(self.master, 4096)
        seen, _, self.text = self.text.partition(what)
        return seen + what

    def type(self, text: bytes, until: bytes = b"$ ") -> bytes:
        os.write(self.master, text)
        return self.expect(until)

    def end(self) -> int:
        """The exit status; the terminal is as it was."""
        status = self.process.wait(30)
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return status


def test_a_shell_with_job_control() -> None:
    user = User(*SHELL)
    user.expect(b"$ ")
    assert termios.tcgetattr(user.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG) == 0
    assert user.type(b"tty\n") == b"tty\r\n/dev/pts/0\r\n$ "
    assert user.type(b"stty size\n") == b"stty size\r\n24 80\r\n$ "
    user.type(b"cat\n", b"cat\r\n")
    user.type(b"hey\n", b"hey\r\nhey\r\n")
    assert b"Stopped" in user.type(b"\x1a")
    user.resize(33, 90)
    user.process.send_signal(signal.SIGWINCH)
    deadline = time.monotonic() + 20
    while b"33 90" not in user.type(b"stty size\n"):
        assert time.monotonic() < deadline
    user.type(b"fg\n", b"fg\r\ncat\r\n")
    user.type(b"again\n", b"again\r\nagain\r\n")  # it is in the foreground
    assert b"^C" in user.type(b"\x03")
    user.type(b"seq 20000; exit 5\n", b"19999\r\n20000\r\n")
    assert user.end() == 5


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_when_a_signal_ends_it(signo: signal.Signals) -> None:
    user = User("--", "sleep", "1000")
    deadline = time.monotonic() + 20
    while termios.tcgetattr(user.slave)[3] & termios.ICANON:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    user.process.send_signal(signo)
    assert user.end() == 128 + signo


def test_what_cannot_be_started() -> None:
    user = User("--", "/nothing")
    user.expect(b"/nothing: No such file or directory")
    assert user.end() == 127


def test_no_terminal() -> None:
    done = subprocess.run(
        [*COMMAND, "--", "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (125, "pylitebox: --tty needs a terminal as standard input\n")
