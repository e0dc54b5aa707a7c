"""The two things that a scenario runs on: ``os`` itself, in a directory of its own, and a Posix object.

A scenario is a function of ``o``, either of them, and of ``a``, the recorder: ``a(o.mkdir, "d")`` makes a call and
notes its outcome, a result or an error with type, number and names; ``a.quiet(...)`` notes only whether it failed,
where the results are numbers of the system's choice.
"""

from __future__ import annotations

import fcntl as fcntl_module
import os
import select as select_module
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pylitebox
from tests.north.conftest import open_fds


class HostOs:
    """The module ``os``, with what Posix takes from the modules beside it."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def __getattr__(self, name: str) -> Any:
        for module in (os, fcntl_module, select_module, socket):
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(name)

    flock = staticmethod(fcntl_module.flock)
    fcntl = staticmethod(fcntl_module.fcntl)
    record_lock = staticmethod(fcntl_module.lockf)
    lockf = staticmethod(os.lockf)
    select = staticmethod(select_module.select)
    poll = staticmethod(select_module.poll)
    epoll = staticmethod(select_module.epoll)
    name = os.name

    def fopen(self, *args: Any, **options: Any) -> Any:
        return open(*args, **({"encoding": "utf-8"} if "b" not in "".join(args[1:2]) else {}), **options)

    def fdopen(self, fd: int, mode: str = "r") -> Any:
        return os.fdopen(fd, mode, encoding=None if "b" in mode else "utf-8")

    def socketpair(self, *args: int) -> tuple[int, int]:
        first, second = socket.socketpair(*args)
        return first.detach(), second.detach()


class Recorder:
    """Calls and what came of them."""

    def __init__(self) -> None:
        self.notes: list[object] = []

    def __call__(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._note(function, args, options, quiet=False)

    def quiet(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self._note(function, args, options, quiet=True)

    def nameless(self, function: Callable[..., Any], *args: Any) -> None:
        """For a call whose errors name the file in some versions of Python only."""
        self._note(function, args, {}, quiet=False)
        note = self.notes[-1]
        if isinstance(note, tuple):
            self.notes[-1] = note[:-1]

    def note(self, value: object) -> None:
        self.notes.append(value)

    def _note(
        self, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], *, quiet: bool
    ) -> Any:
        try:
            result = function(*args, **options)
        except OSError as error:
            names = error.filename, error.filename2
            self.notes.append((type(error).__name__, error.errno, error.strerror, names))
        except Exception as error:  # noqa: BLE001 - part of the comparison
            self.notes.append(type(error).__name__)
        else:
            self.notes.append("ok" if quiet else result)
            return result
        return None


Scenario = Callable[[Any, Recorder], None]


@contextmanager
def host(directory: Path, *, collect: bool = True) -> Iterator[HostOs]:
    """``collect``: what was dropped before is closed first, which takes long where thousands of these follow."""
    before, umask, cwd = open_fds(collect=collect), os.umask(0o022), Path.cwd()
    os.chdir(directory)
    try:
        yield HostOs()
    finally:
        os.chdir(cwd)
        os.umask(umask)
        for fd in open_fds(collect=collect) - before:
            os.close(fd)


def compare(scenario: Scenario, directory: Path) -> None:
    """Run a scenario on both, and want the same outcome of each call."""
    theirs, ours = Recorder(), Recorder()
    with host(directory) as o:
        scenario(o, theirs)
    with pylitebox.Posix(user=(os.getuid(), os.getgid()), tmpfs=["/work"], cwd="/work") as o:
        scenario(o, ours)
        assert o._program.task.kernel.internal_errors == 0
    differences = [
        f"{number}: {got!r} is not {expected!r}"
        for number, (expected, got) in enumerate(zip(theirs.notes, ours.notes, strict=True))
        if got != expected
    ]
    assert not differences, "\n".join(differences)
