"""Which host directories a Python interpreter needs: what ``python=True`` and ``--python`` add to the view.

An interpreter is more than one directory: the virtual environment (``prefix``), the installation it was made from
(``base_prefix``), directories of packages on ``sys.path`` outside both, the projects that are installed editable, and
every directory that the chain of symbolic links from ``bin/python`` passes through (uv and pyenv link through versioned
aliases). Each is mounted read-only at its own path, so that the paths inside scripts, ``pyvenv.cfg`` and ``.pth`` files
hold. Directories that only PYTHONPATH or the caller's script put on ``sys.path`` are not shown.
"""

from __future__ import annotations

import functools
import os
import sys

from pylitebox.sandbox.errors import OptionError
from pylitebox.sandbox.options import Mount

_QUESTION = """
import json, sys
print(json.dumps([sys.executable, [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix], sys.path]))
"""
#: In the sandbox's default view already.
_ALREADY = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: Never made visible as a whole, whatever an interpreter says its prefix is.
_TOO_MUCH = {"/", "/home", "/root", "/etc", "/var", "/proc", "/sys", "/dev", "/run", "/tmp"}  # noqa: S108


def add_interpreter(mounts: list[Mount], executable: str | None, *, rootfs: bool = False) -> None:
    """Add what the calling interpreter (or the one named) needs and ``mounts`` does not show yet. With a ``rootfs``
    one that is a part of the host's system is not to be had: its libraries are not there (OptionError)."""
    name, prefixes, path = _facts(executable)
    for place in (os.path.realpath(name), *prefixes) if rootfs else ():
        if any((place + "/").startswith(top + "/") for top in _ALREADY):
            raise OptionError(
                f"the Python {name} is a part of the host's system ({place}), whose place the rootfs takes: use the "
                "rootfs's own, or name one that brings its libraries along"
            )
    for directory in _directories(name, prefixes, path):
        if not _shown(directory, mounts):
            mounts.append(Mount(directory, directory, "ro"))


def programs(executable: str | None) -> str:
    """The directory of its programs: ``python`` itself and those that packages installed."""
    return os.path.dirname(_facts(executable)[0])


def _facts(executable: str | None) -> tuple[str, list[str], list[str]]:
    """(executable, prefixes, sys.path)."""
    if executable is not None:
        return _ask(executable)
    return (
        sys.executable,
        [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix],
        [path for path in sys.path if path],
    )


@functools.cache
def _ask(executable: str) -> tuple[str, list[str], list[str]]:
    import json
    import shutil
    import subprocess

    found = shutil.which(os.path.expanduser(executable))
    if found is None:
        raise OptionError(f"python {executable!r} is no program on this host")
    try:
        answer = subprocess.run([found, "-c", _QUESTION], capture_output=True, check=True, timeout=30, cwd="/")
        name, prefixes, path = json.loads(answer.stdout)
        return str(name), [str(prefix) for prefix in prefixes], [str(entry) for entry in path if entry]
    except (OSError, subprocess.SubprocessError, ValueError):
        raise OptionError(f"python {executable!r} is no Python interpreter that runs") from None


def _directories(executable: str, prefixes: list[str], path: list[str]) -> list[str]:
    wanted: list[str] = []
    for prefix in prefixes:
        wanted += [prefix, os.path.realpath(prefix)]
    wanted += [os.path.dirname(hop) for hop in links(executable)]
    packages = [entry for entry in path if "site-packages" in entry or "dist-packages" in entry]
    wanted += packages
    for directory in packages:
        wanted += _editable(directory)
    result: list[str] = []
    too_much = _TOO_MUCH | {os.path.expanduser("~")}
    for directory in sorted({os.path.abspath(entry) for entry in wanted if entry}, key=len):
        if directory in too_much or not os.path.isdir(directory):
            continue
        if not any(directory == top or directory.startswith(top + "/") for top in (*_ALREADY, *result)):
            result.append(directory)
    return result


def _editable(packages: str) -> list[str]:
    """What a directory of packages leads to: the lines of its .pth files, and projects installed by ``pip -e``."""
    result: list[str] = []
    try:
        names = os.listdir(packages)
    except OSError:
        return result
    for name in names:
        path = os.path.join(packages, name)
        try:
            if name.endswith(".pth"):
                with open(path, encoding="utf-8", errors="surrogateescape") as file:
                    lines = [line.strip() for line in file if not line.startswith(("import ", "import\t", "#"))]
                result += [os.path.join(packages, line) for line in lines if line and "\0" not in line]
            elif name.endswith(".dist-info"):
                result += _project(os.path.join(path, "direct_url.json"))
        except OSError:
            continue
    return result


def _project(origin: str) -> list[str]:
    """The directory that a package was installed from, if it is used from there (PEP 610)."""
    if not os.path.exists(origin):
        return []
    import json
    from urllib.parse import unquote, urlsplit

    try:
        with open(origin, encoding="utf-8") as file:
            facts = json.load(file)
        url = urlsplit(facts["url"])
        return [unquote(url.path)] if url.scheme == "file" and facts["dir_info"]["editable"] is True else []
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def links(path: str) -> list[str]:
    """``path`` and every path that its symbolic links lead through."""
    result: list[str] = []
    path = os.path.abspath(path)
    while path not in result and len(result) < 40:
        result.append(path)
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if real == path and os.path.islink(path):
            real = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        path = real
    return result


def _shown(path: str, mounts: list[Mount]) -> bool:
    """Whether a mount shows this host path at the same path already."""
    best: Mount | None = None
    for mount in mounts:
        top = mount.guest.rstrip("/") + "/"
        if (path + "/").startswith(top) and (best is None or len(mount.guest) > len(best.guest)):
            best = mount
    return best is not None and best.host == best.guest
