"""The user's terminal while a program in a sandbox has one of its own (``run --tty``): raw, and restored at the end."""

from __future__ import annotations

import fcntl
import os
import termios
import tty

from pylitebox.sandbox.errors import OptionError


class RawTerminal:
    """The terminal behind descriptor ``fd``; OptionError if there is none."""

    def __init__(self, fd: int) -> None:
        if not os.isatty(fd):
            raise OptionError("--tty needs a terminal as standard input")
        self._fd = fd
        self._settings: list[object] | None = None

    def enter(self) -> None:
        """From now on each key is the program's."""
        self._settings = termios.tcgetattr(self._fd)
        tty.setraw(self._fd, termios.TCSADRAIN)

    def leave(self) -> None:
        settings, self._settings = self._settings, None
        if settings is not None:
            try:
                # what it has answered to the program, and nobody read, is not typed to whoever reads next
                termios.tcflush(self._fd, termios.TCIFLUSH)
                termios.tcsetattr(self._fd, termios.TCSAFLUSH, settings)  # type: ignore[arg-type]
            except termios.error:  # it is gone
                pass

    def size(self) -> str:
        """Its struct winsize, in hexadecimal digits."""
        try:
            return fcntl.ioctl(self._fd, termios.TIOCGWINSZ, bytes(8)).hex()
        except OSError:
            return bytes(8).hex()
