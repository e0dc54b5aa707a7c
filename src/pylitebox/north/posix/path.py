"""``Posix.path``: the functions of posixpath, those that look at files over this kernel.

Texts are split and joined here rather than by the standard library's posixpath, which belongs to the host.
Missing: expanduser, expandvars, commonpath: they are about the host's environment, or need no kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pylitebox.abi.stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from pylitebox.north.posix import arguments as arg

if TYPE_CHECKING:
    from pylitebox.north.posix import Posix
    from pylitebox.north.posix.arguments import FdOrPath


def _slash(path: Any) -> Any:
    return b"/" if isinstance(path, bytes) else "/"


def split(path: Any) -> tuple[Any, Any]:
    """(head, tail): what is before the last slash, without slashes at its end unless it is the root; what is after."""
    text = arg.fspath(path)
    slash: Any = _slash(text)
    cut = text.rfind(slash) + 1
    head: Any = text[:cut]
    if head and head != slash * len(head):
        head = head.rstrip(slash)
    return head, text[cut:]


class Path:
    sep, curdir, pardir, altsep, extsep, pathsep, devnull = "/", ".", "..", None, ".", ":", "/dev/null"

    def __init__(self, os: Posix) -> None:
        self._os = os

    # -- texts ------------------------------------------------------------------------------------------------

    def split(self, p: Any) -> tuple[Any, Any]:
        return split(p)

    def basename(self, p: Any) -> Any:
        return split(p)[1]

    def dirname(self, p: Any) -> Any:
        return split(p)[0]

    def splitext(self, p: Any) -> tuple[Any, Any]:
        text: Any = arg.fspath(p)
        dot: Any = b"." if isinstance(text, bytes) else "."
        name = split(text)[1]
        stem = name.lstrip(dot)
        cut = stem.rfind(dot)
        if cut < 0:
            return text, text[:0]
        size = len(stem) - cut
        return text[:-size], text[-size:]

    def isabs(self, s: Any) -> bool:
        text: Any = arg.fspath(s)
        return bool(text.startswith(_slash(text)))

    def join(self, a: Any, *p: Any) -> Any:
        path: Any = arg.fspath(a)
        slash = _slash(path)
        for part in p:
            text: Any = arg.fspath(part)
            if type(text) is not type(path):
                raise TypeError("Can't mix strings and bytes in path components")
            if text.startswith(slash):
                path = text
            elif not path or path.endswith(slash):
                path += text
            else:
                path += slash + text
        return path

    def normpath(self, path: Any) -> Any:
        text: Any = arg.fspath(path)
        slash = _slash(text)
        dot, up = (b".", b"..") if isinstance(text, bytes) else (".", "..")
        # POSIX lets exactly two slashes at the start mean something of their own
        slashes = len(text) - len(text.lstrip(slash))
        root = slash * (2 if slashes == 2 else min(slashes, 1))
        parts: list[Any] = []
        for name in text.split(slash):
            if not name or name == dot:
                continue
            if name != up or (not root and not parts) or (parts and parts[-1] == up):
                parts.append(name)
            elif parts:
                parts.pop()
        return root + slash.join(parts) or dot

    def abspath(self, path: Any) -> Any:
        text = arg.fspath(path)
        cwd: Any = self._os.getcwdb() if isinstance(text, bytes) else self._os.getcwd()
        return self.normpath(self.join(cwd, text))

    def relpath(self, path: Any, start: Any = None) -> Any:
        text: Any = arg.fspath(path)
        if not text:
            raise ValueError("no path specified")
        slash = _slash(text)
        dot, up = (b".", b"..") if isinstance(text, bytes) else (".", "..")
        here = [name for name in self.abspath(dot if start is None else start).split(slash) if name]
        there = [name for name in self.abspath(text).split(slash) if name]
        common = 0
        while common < min(len(here), len(there)) and here[common] == there[common]:
            common += 1
        return slash.join([up] * (len(here) - common) + there[common:]) or dot

    # -- files ------------------------------------------------------------------------------------------------

    def _mode(self, path: FdOrPath, *, follow_symlinks: bool = True) -> int:
        """The file type; 0 if there is none."""
        try:
            mode: int = self._os.stat(path, follow_symlinks=follow_symlinks).st_mode
        except (OSError, ValueError):
            return 0
        return mode & S_IFMT

    def exists(self, path: FdOrPath) -> bool:
        return self._mode(path) != 0

    def lexists(self, path: FdOrPath) -> bool:
        return self._mode(path, follow_symlinks=False) != 0

    def isfile(self, path: FdOrPath) -> bool:
        return self._mode(path) == S_IFREG

    def isdir(self, s: FdOrPath) -> bool:
        return self._mode(s) == S_IFDIR

    def islink(self, path: FdOrPath) -> bool:
        return self._mode(path, follow_symlinks=False) == S_IFLNK

    def ismount(self, path: Any) -> bool:
        try:
            here = self._os.lstat(path)
            text: Any = arg.fspath(path)
            above = self._os.lstat(self.join(text, b".." if isinstance(text, bytes) else ".."))
        except (OSError, ValueError):
            return False
        is_link = here.st_mode & S_IFMT == S_IFLNK
        return bool(not is_link and (here.st_dev != above.st_dev or here.st_ino == above.st_ino))

    def getsize(self, filename: FdOrPath) -> int:
        size: int = self._os.stat(filename).st_size
        return size

    def getmtime(self, filename: FdOrPath) -> float:
        return self._os.stat(filename).st_mtime

    def getatime(self, filename: FdOrPath) -> float:
        return self._os.stat(filename).st_atime

    def getctime(self, filename: FdOrPath) -> float:
        return self._os.stat(filename).st_ctime

    def samefile(self, f1: FdOrPath, f2: FdOrPath) -> bool:
        return self._os.stat(f1)[1:3] == self._os.stat(f2)[1:3]

    def realpath(self, filename: Any, *, strict: bool = False) -> Any:
        """The path without symbolic links. Where it leads nowhere (or in a circle) the rest is taken as it is, unless
        it is to be ``strict``: then that is an error."""
        text: Any = arg.fspath(filename)
        slash = _slash(text)
        dot, up = (b".", b"..") if isinstance(text, bytes) else (".", "..")
        path: Any = slash if text.startswith(slash) else text[:0]
        rest: list[Any] = text.split(slash)[::-1]
        links = 40
        while rest:
            name = rest.pop()
            if not name or name == dot:
                continue
            if name == up:
                head, tail = split(path)
                path = head if tail not in (up, text[:0]) or path == slash else self.join(path, up)
                continue
            new = self.join(path, name)
            try:
                target: Any = self._os.readlink(new) if self._os.lstat(new).st_mode & S_IFMT == S_IFLNK else None
                if target is not None and not links:
                    self._os.stat(new)  # ELOOP
            except OSError:
                if strict:
                    raise
                target = None
            if target is None or not links:
                path = new
                continue
            links -= 1
            if target.startswith(slash):
                path = slash
            rest += target.split(slash)[::-1]
        return self.abspath(path)
