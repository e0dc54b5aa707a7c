"""How far a start is: a line on a terminal, that goes again."""

import io

import pytest

from pylitebox.sandbox.foreground import Foreground


class Screen(io.StringIO):
    def __init__(self, *, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture
def job():
    with_supervisor = Foreground()
    yield with_supervisor
    with_supervisor.close()


def test_a_terminal_is_shown_one_line_that_goes_again(job, monkeypatch):
    screen = Screen(terminal=True)
    monkeypatch.setattr("sys.stderr", screen)
    job._show("")
    assert screen.getvalue() == "", "nothing was shown, nothing goes"
    job._show("unpacking x: 1 MiB")
    job._show("unpacking x: 2 MiB")
    job._show("")
    job._show("")
    clear = "\r\x1b[K"
    assert screen.getvalue() == f"{clear}pylitebox: unpacking x: 1 MiB{clear}pylitebox: unpacking x: 2 MiB{clear}"


def test_a_file_gets_none_of_it(job, monkeypatch):
    screen = Screen(terminal=False)
    monkeypatch.setattr("sys.stderr", screen)
    job._show("unpacking x: 1 MiB")
    job._show("")
    assert screen.getvalue() == ""
