"""The user's terminal while it is another program's: raw, and afterwards as it was."""

from __future__ import annotations

import os
import pty
import termios

import pytest

from pylitebox.sandbox.errors import OptionError
from pylitebox.sandbox.raw import RawTerminal


def test_what_a_terminal_answered_is_not_typed_to_the_users_shell() -> None:
    """A program may ask its terminal, whose answer looks like keys, and end before it comes."""
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        terminal = RawTerminal(slave)
        terminal.enter()
        assert termios.tcgetattr(slave) != before
        os.write(master, b"\x1b]lrm -r ~\x1b\\\n")
        terminal.leave()
        terminal.leave()
        assert termios.tcgetattr(slave) == before
        os.write(master, b"ls\n")
        assert os.read(slave, 100) == b"ls\n"
    finally:
        os.close(master)
        os.close(slave)


def test_what_is_no_terminal_is_refused() -> None:
    with open(os.devnull, "rb") as file, pytest.raises(OptionError, match="terminal"):
        RawTerminal(file.fileno())
