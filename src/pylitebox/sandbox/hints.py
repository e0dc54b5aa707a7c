"""What to say when a path exists on the host but not in the sandbox's view: the option that would add it."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylitebox.sandbox.options import Options

_ALREADY = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/dev")
_LONGEST_LINE = 4096


def hint(path: str, options: Options) -> str | None:
    """One sentence about a program or directory that was not found, or None if there is nothing to add.

    What is missing may be further on: where a symbolic link leads, or the interpreter that a script names."""
    if options.rootfs is not None:  # what the host has is not what is missing
        return None
    if not os.path.isabs(path):
        if "/" not in path:
            return None
        shown = any(mount.guest == options.cwd == mount.host for mount in options.mounts)
        path = os.path.normpath(os.path.join(options.cwd if shown else _here(), path))
    if not os.path.exists(path):
        return None
    if not _visible(path, options):
        return f"{path} exists on the host but not in the sandbox's view; {_way(path, options)} would add it"
    from pylitebox.sandbox.interpreter import links

    for hop in links(path):
        if not _visible(hop, options):
            return f"{path} leads to {hop}, which is not in the sandbox's view; {_way(hop, options)} would add it"
    program = _interpreter(path)
    text = hint(program, options) if program is not None and program != path else None
    return f"{path} is a script, and its interpreter {text}" if text is not None else None


def _way(path: str, options: Options) -> str:
    """The option that adds ``path``."""
    if not options.python and _belongs_to_python(path):
        return "--python (python=True)"
    if not options.python and os.path.basename(path).startswith("python") and os.path.isfile(path):
        return f'--python={path} (python="{path}")'
    directory = path if os.path.isdir(path) else os.path.dirname(path)
    cwd = _here()
    if (path + "/").startswith(cwd + "/") and cwd != "/":
        return '--workspace . (workspace=".")'
    return f'--mount {directory}:{directory}:ro (mounts=["{directory}:{directory}:ro"])'


def _here() -> str:
    """The current directory; the root if it does not exist any more."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def _visible(path: str, options: Options) -> bool:
    if path == "/":
        return True
    tops = [*_ALREADY, *(mount.guest for mount in options.all_mounts())]
    return any((path + "/").startswith(top.rstrip("/") + "/") for top in tops)


def _interpreter(path: str) -> str | None:
    """The program that a script names behind ``#!``."""
    try:
        with open(path, "rb") as file:
            line = file.readline(_LONGEST_LINE)
    except OSError:
        return None
    words = line[2:].split()
    return os.fsdecode(words[0]) if line.startswith(b"#!") and words else None


def _belongs_to_python(path: str) -> bool:
    return any((path + "/").startswith(prefix + "/") for prefix in {sys.prefix, sys.base_prefix} if prefix != "/usr")
