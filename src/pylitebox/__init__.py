"""pylitebox: unmodified Linux programs under a kernel of your own, in Python.

    >>> import pylitebox
    >>> pylitebox.run(["echo", "hello"], capture_output=True, text=True).stdout
    'hello\\n'

:func:`run` and :class:`Popen` are shaped like those of ``subprocess``; a :class:`Sandbox` keeps one kernel, file system
and process tree over many calls. What they do not do as ``subprocess`` does is listed in their documentation.
:class:`Posix` is the kernel alone, inside your program and shaped like ``os``: no programs, any operating system.

Names are imported on first use: the command line starts before most of this is needed.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylitebox.library.posix import Posix
    from pylitebox.north.posix.call import Deadlock
    from pylitebox.sandbox.box import Sandbox
    from pylitebox.sandbox.errors import OptionError, SandboxError
    from pylitebox.sandbox.files import SandboxPath
    from pylitebox.sandbox.options import Mount
    from pylitebox.sandbox.popen import Popen, run

__version__ = "0.1.0"
__all__ = [
    "Deadlock",
    "Mount",
    "OptionError",
    "Popen",
    "Posix",
    "Sandbox",
    "SandboxError",
    "SandboxPath",
    "__version__",
    "run",
]

_HOMES = {
    "Deadlock": "north.posix.call",
    "Mount": "sandbox.options",
    "OptionError": "sandbox.errors",
    "Popen": "sandbox.popen",
    "Posix": "library.posix",
    "Sandbox": "sandbox.box",
    "SandboxError": "sandbox.errors",
    "SandboxPath": "sandbox.files",
    "run": "sandbox.popen",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"pylitebox.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
