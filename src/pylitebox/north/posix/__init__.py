"""The library OS for Python code: an object shaped like ``os`` over a kernel, without any guest.

What libc and the ``os`` module are to Linux, this package is to our kernel. :class:`Posix` is one process of it, whose
program is the caller's Python: each method makes the system calls that ``os`` makes, with arguments in the layout that
programs use, by the rows of north/linux. So there is one semantics, not two, and an error comes where Linux has it.

| file | family |
| --- | --- |
| call.py | making a call: memory, waiting, errors, threads |
| arguments.py, results.py, constants.py | what goes in, what comes out, the O_* and their like |
| files.py, transfer.py | open, read, write, seek, truncate; sendfile, splice |
| metadata.py | stat, chmod, utime, statvfs; xattrs.py: extended attributes |
| directories.py, trees.py | names and directories; makedirs, walk, and what else is made of those |
| descriptors.py, pipes.py, sockets.py, polling.py | dup, fcntl, locks; pipes, memory files; AF_UNIX; poll, epoll |
| processes.py | ids, waiting for children, the system |
| path.py | ``Posix.path``: posixpath over this kernel |

Rules: arguments, defaults and results are those of ``os`` on Linux; numbers of flags are Linux's, as attributes of the
object. The layer has no host effects: what the host calls an error, and the lock between threads, come from whoever
composes (pylitebox/library).
Missing: programs (fork, exec, spawn, system), terminals, scheduling, and the few that docs/posix.md lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Self

from pylitebox.north.posix.call import Deadlock, Errors, Program, Turn
from pylitebox.north.posix.constants import Constants
from pylitebox.north.posix.descriptors import Descriptors
from pylitebox.north.posix.directories import DirEntry
from pylitebox.north.posix.path import Path
from pylitebox.north.posix.pipes import Pipes
from pylitebox.north.posix.polling import Polling
from pylitebox.north.posix.processes import Processes
from pylitebox.north.posix.sockets import Sockets
from pylitebox.north.posix.transfer import Transfer
from pylitebox.north.posix.trees import Trees
from pylitebox.north.posix.xattrs import Xattrs

if TYPE_CHECKING:
    from pylitebox.kernel.task import Task

__all__ = ["Deadlock", "DirEntry", "Errors", "Posix", "Turn"]


class Posix(Constants, Trees, Transfer, Xattrs, Descriptors, Pipes, Sockets, Polling, Processes):
    """One process of a kernel, to be used like ``os``."""

    _parent: Self | None = None  # kept as long as its children

    def __init__(self, task: Task, errors: Errors, turn: Turn) -> None:
        super().__init__(Program(task, errors, turn))
        self.path = Path(self)

    def child(self) -> Self:
        """A second process over the same kernel, as fork(2) makes one: it has the same files open, the same working
        directory and ids; what either does with them from now on is its own. End it with its ``_exit``."""
        new = type(self).__new__(type(self))
        Posix.__init__(new, self._program.fork(), self._program.errors, self._program.turn)
        new._parent = self
        return new

    @property
    def ended(self) -> bool:
        """Whether this process is over: by its ``_exit``, by a signal, or with its kernel."""
        return self._program.ended

    def __repr__(self) -> str:
        return f"<{type(self).__name__} process {self._program.task.process.pid}>"

    if not TYPE_CHECKING:  # a type checker should know what is missing

        def __getattr__(self, name: str) -> NoReturn:
            if name in _PROGRAMS:
                raise AttributeError(f"{name} would run a program, which this kernel cannot; pylitebox.Sandbox can")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)


_PROGRAMS = frozenset(
    ["fork", "forkpty", "popen", "posix_spawn", "posix_spawnp", "startfile", "system"]
    + [kind + form for kind in ("exec", "spawn") for form in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")]
)
