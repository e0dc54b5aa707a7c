"""What is made of several calls: makedirs, removedirs, renames, walk, fwalk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, AnyStr

from pylitebox.abi.fcntl import O_DIRECTORY, O_NONBLOCK, O_RDONLY
from pylitebox.abi.stat import S_IFDIR, S_IFLNK, S_IFMT
from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.directories import Directories, DirEntry
from pylitebox.north.posix.files import Files
from pylitebox.north.posix.path import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from pylitebox.north.posix.arguments import StrPath
    from pylitebox.north.posix.results import stat_result

    OnError = Callable[[OSError], object] | None


def _leads_to_dir(entry: DirEntry[Any]) -> bool:
    """Whether an entry is a directory or a link to one; a link that leads in a circle is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


class Trees(Files, Directories):
    def makedirs(self, name: StrPath, mode: int = 0o777, exist_ok: bool = False) -> None:
        """As ``os.makedirs``: parents get the mode that the umask leaves of 0o777."""
        path = arg.fspath(name)
        head, tail = split(path)
        if not tail:
            head, tail = split(head)
        if head and tail and not self._exists(head):
            try:
                self.makedirs(head, exist_ok=exist_ok)
            except FileExistsError:
                pass  # somebody else made it meanwhile
            if tail in (".", b"."):
                return
        try:
            self.mkdir(name, mode)
        except OSError:
            if not exist_ok or not self._is_dir(path):
                raise

    def removedirs(self, name: StrPath) -> None:
        self.rmdir(name)
        head, tail = split(arg.fspath(name))
        if not tail:
            head, tail = split(head)
        while head and tail:
            try:
                self.rmdir(head)
            except OSError:
                break
            head, tail = split(head)

    def renames(self, old: StrPath, new: StrPath) -> None:
        head, tail = split(arg.fspath(new))
        if head and tail and not self._exists(head):
            self.makedirs(head)
        self.rename(old, new)
        head, tail = split(arg.fspath(old))
        if head and tail:
            try:
                self.removedirs(head)
            except OSError:
                pass

    def _exists(self, path: str | bytes) -> bool:
        try:
            self.stat(path)
        except (OSError, ValueError):
            return False
        return True

    def _is_dir(self, path: str | bytes) -> bool:
        try:
            return bool(self.stat(path).st_mode & S_IFMT == S_IFDIR)
        except (OSError, ValueError):
            return False

    # -- walking ----------------------------------------------------------------------------------------------

    def walk(
        self,
        top: AnyStr | PathLike[AnyStr],
        topdown: bool = True,
        onerror: OnError = None,
        followlinks: bool = False,
    ) -> Iterator[tuple[AnyStr, list[AnyStr], list[AnyStr]]]:
        """As ``os.walk``: (directory, names of directories, names of other files); the second list may be changed."""
        stack: list[Any] = [arg.fspath(top)]
        while stack:
            path = stack.pop()
            if isinstance(path, tuple):
                yield path
                continue
            try:
                with self.scandir(path) as entries:
                    found = list(entries)
            except OSError as error:
                if onerror is not None:
                    onerror(error)
                continue
            kinds = [(entry.name, _leads_to_dir(entry)) for entry in found]
            directories = [name for name, is_dir in kinds if is_dir]
            others = [name for name, is_dir in kinds if not is_dir]
            links = {entry.name for entry in found if entry.is_symlink()} if not followlinks else set()
            head = path + (b"/" if isinstance(path, bytes) else "/") if path[-1:] not in ("/", b"/") else path
            if topdown:
                yield path, directories, others
                links |= {name for name in directories if self._became_link(head + name, followlinks=followlinks)}
            else:
                stack.append((path, directories, others))
            stack.extend(reversed([head + name for name in directories if name not in links]))

    def _became_link(self, path: str | bytes, *, followlinks: bool) -> bool:
        """Whether a name that the caller put into walk()'s list is a symbolic link."""
        if followlinks:
            return False
        try:
            return bool(self.lstat(path).st_mode & S_IFMT == S_IFLNK)
        except (OSError, ValueError):
            return False

    def fwalk(
        self,
        top: AnyStr | PathLike[AnyStr] | str = ".",
        topdown: bool = True,
        onerror: OnError = None,
        *,
        follow_symlinks: bool = False,
        dir_fd: int | None = None,
    ) -> Iterator[tuple[Any, list[Any], list[Any], int]]:
        """As ``os.fwalk``: :meth:`walk` with a descriptor of each directory, which is open until the next step."""
        path = arg.fspath(top)
        facts = None if follow_symlinks else self.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        try:
            fd = self.open(path, O_RDONLY | O_NONBLOCK, dir_fd=dir_fd)
        except OSError as error:
            if onerror is not None:
                onerror(error)
            return
        try:
            now = self.stat(fd)
            same = facts is None or (facts.st_mode & S_IFMT == S_IFDIR and facts[1:3] == now[1:3])
            if same:
                yield from self._fwalk(fd, path, topdown, onerror, follow_symlinks)
        finally:
            self._call("close", fd)

    def _fwalk(
        self, fd: int, path: Any, topdown: bool, onerror: OnError, follow_symlinks: bool
    ) -> Iterator[tuple[Any, list[Any], list[Any], int]]:
        is_bytes = isinstance(path, bytes)
        directories: list[Any] = []
        others: list[Any] = []
        for entry in self.scandir(fd):
            name: Any = arg.encode(entry.name) if is_bytes else entry.name
            (directories if _leads_to_dir(entry) else others).append(name)
        if topdown:
            yield path, directories, others, fd
        slash = b"/" if is_bytes else "/"
        for name in directories:
            facts: stat_result | None = None
            try:
                if not follow_symlinks:
                    facts = self.stat(name, dir_fd=fd, follow_symlinks=False)
                inner = self.open(name, O_RDONLY | O_NONBLOCK | O_DIRECTORY, dir_fd=fd)
            except OSError as error:
                if onerror is not None and (facts is None or facts.st_mode & S_IFMT == S_IFDIR):
                    onerror(error)
                continue
            try:
                now = self.stat(inner)
                if facts is None or facts[1:3] == now[1:3]:
                    below = path + name if path.endswith(slash) else path + slash + name
                    yield from self._fwalk(inner, below, topdown, onerror, follow_symlinks)
            finally:
                self._call("close", inner)
        if not topdown:
            yield path, directories, others, fd
