"""Files of a sandbox, by a handle shaped like ``pathlib.Path``.

Each operation is a request to the sandbox's kernel, done there as its root user; errors are the OSError that pathlib
would raise. Copying out is careful with what a guest has left: names are taken one component at a time beneath a
directory descriptor, nothing is followed or overwritten through a symbolic link, links that leave the copied tree and
special files are skipped, and set-id bits are dropped.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import cast

from pylitebox.supervisor.protocol import CHUNK, Message

#: The most that read_bytes and copy_to take unless they are told otherwise (a guest's file can be as large as it says).
DEFAULT_LIMIT = 1 << 30
StrPath = str | os.PathLike[str]


class SandboxPath(os.PathLike[str]):
    """An absolute path in a sandbox; made by :meth:`Sandbox.path`."""

    __slots__ = ("_pure", "_request")

    def __init__(self, request: Callable[..., Message], path: StrPath) -> None:
        self._request = request
        self._pure = PurePosixPath(path)

    # -- the path itself --------------------------------------------------------------------------------------

    def __fspath__(self) -> str:
        return str(self._pure)

    def __str__(self) -> str:
        return str(self._pure)

    def __repr__(self) -> str:
        return f"SandboxPath({str(self._pure)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SandboxPath) and self._request == other._request and self._pure == other._pure

    def __hash__(self) -> int:
        return hash(self._pure)

    def __truediv__(self, name: StrPath) -> SandboxPath:
        return self._with(self._pure / name)

    def joinpath(self, *names: StrPath) -> SandboxPath:
        return self._with(self._pure.joinpath(*names))

    @property
    def name(self) -> str:
        return self._pure.name

    @property
    def suffix(self) -> str:
        return self._pure.suffix

    @property
    def stem(self) -> str:
        return self._pure.stem

    @property
    def parts(self) -> tuple[str, ...]:
        return self._pure.parts

    @property
    def parent(self) -> SandboxPath:
        return self._with(self._pure.parent)

    def _with(self, pure: PurePosixPath) -> SandboxPath:
        return SandboxPath(self._request, pure)

    def _do(self, op: str, **fields: object) -> Message:
        return self._request(op, {"path": str(self._pure), **fields})

    # -- facts ------------------------------------------------------------------------------------------------

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        reply = self._do("stat", follow=follow_symlinks)
        values = cast("list[int]", reply.header["stat"])
        seconds = [value / 1e9 for value in values[7:10]]
        return os.stat_result([*values[:7], *(int(s) for s in seconds), *seconds, *values[7:10]])

    def lstat(self) -> os.stat_result:
        return self.stat(follow_symlinks=False)

    def _mode(self, *, follow: bool = True) -> int:
        """st_mode, 0 if there is no such file."""
        try:
            return self.stat(follow_symlinks=follow).st_mode
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return 0
            raise

    def exists(self) -> bool:
        return self._mode() != 0

    def is_file(self) -> bool:
        return stat.S_ISREG(self._mode())

    def is_dir(self) -> bool:
        return stat.S_ISDIR(self._mode())

    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self._mode(follow=False))

    def readlink(self) -> SandboxPath:
        return self._with(PurePosixPath(self._do("readlink").text("target")))

    def iterdir(self) -> Iterator[SandboxPath]:
        for name in self._names():
            yield self / name

    def _names(self) -> list[str]:
        names: list[str] = []
        while True:
            reply = self._do("listdir", skip=len(names))
            names += [os.fsdecode(name) for name in reply.payload.split(b"\0") if name]
            if not reply.header.get("more"):
                return sorted(names)

    # -- contents ---------------------------------------------------------------------------------------------

    def read_bytes(self, limit: int = DEFAULT_LIMIT) -> bytes:
        """The file's content; OSError(EFBIG) if it is longer than ``limit`` bytes."""
        return b"".join(self._chunks(limit))

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read_bytes().decode(encoding, errors)

    def _chunks(self, limit: int) -> Iterator[bytes]:
        opened = self._do("open", write=False)
        handle = opened.number("handle")
        try:
            if opened.number("size", 0) > limit:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self))
            offset = 0
            while data := self._request("read", {"handle": handle, "offset": offset}).payload:
                offset += len(data)
                if offset > limit:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self))
                yield data
        finally:
            self._request("close", {"handle": handle})

    def write_bytes(self, data: bytes | bytearray | memoryview, *, mode: int = 0o644) -> int:
        """Make the file or replace its content; ``mode`` is for a new one."""
        view = memoryview(data).cast("B")
        self._write((bytes(view[i : i + CHUNK]) for i in range(0, len(view), CHUNK)), mode)
        return len(view)

    def write_text(self, text: str, encoding: str = "utf-8", errors: str = "strict", *, mode: int = 0o644) -> int:
        self.write_bytes(text.encode(encoding, errors), mode=mode)
        return len(text)

    def _write(self, chunks: Iterator[bytes], mode: int) -> None:
        handle = self._do("open", write=True, mode=mode).number("handle")
        try:
            offset = 0
            for chunk in chunks:
                self._request("write", {"handle": handle, "offset": offset}, chunk)
                offset += len(chunk)
        finally:
            self._request("close", {"handle": handle})

    # -- changes ----------------------------------------------------------------------------------------------

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        try:
            self._do("mkdir", mode=mode & ~0o022)
        except FileNotFoundError:
            if not parents or self.parent == self:
                raise
            self.parent.mkdir(parents=True, exist_ok=True)
            self.mkdir(mode, exist_ok=exist_ok)
        except OSError:
            if not exist_ok or not self.is_dir():
                raise

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            self._do("unlink")
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rmdir(self) -> None:
        self._do("rmdir")

    def rename(self, target: StrPath) -> SandboxPath:
        new = self._with(self._pure.parent / target)
        self._do("rename", target=str(new))
        return new

    def symlink_to(self, target: StrPath) -> None:
        self._do("symlink", target=os.fspath(target))

    def chmod(self, mode: int) -> None:
        self._do("chmod", mode=mode)

    def touch(self, mode: int = 0o644, exist_ok: bool = True) -> None:
        handle = self._do("open", write=True, mode=mode, truncate=False, exclusive=not exist_ok).number("handle")
        self._request("close", {"handle": handle})

    # -- across the boundary ----------------------------------------------------------------------------------

    def copy_from(self, source: StrPath) -> None:
        """Copy a host file or tree to this path (a directory is merged into an existing one). Symbolic links are
        copied as links; special files are skipped."""
        self._copy_in(os.fspath(source), os.stat(source))

    def _copy_in(self, source: str, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            self.mkdir(stat.S_IMODE(status.st_mode) | 0o700, exist_ok=True)
            with os.scandir(source) as entries:
                for entry in entries:
                    (self / entry.name)._copy_in(entry.path, entry.stat(follow_symlinks=False))
        elif stat.S_ISLNK(status.st_mode):
            self.unlink(missing_ok=True)
            self.symlink_to(os.readlink(source).replace(os.sep, "/"))
        elif stat.S_ISREG(status.st_mode):
            with open(source, "rb") as file:
                self._write(iter(lambda: file.read(CHUNK), b""), stat.S_IMODE(status.st_mode) & 0o777)
            self.chmod(stat.S_IMODE(status.st_mode) & 0o777)

    def copy_to(self, target: StrPath, *, limit: int = DEFAULT_LIMIT) -> None:
        """Copy this file or tree out to the host path ``target``, which must not exist yet (a file may be replaced).

        OSError(EFBIG) when there are more than ``limit`` bytes in all. NotImplementedError where the host has no
        descriptors of directories (Windows): nothing else keeps names that a guest chose from leading elsewhere.
        """
        if os.open not in os.supports_dir_fd:
            raise NotImplementedError("copy_to needs descriptors of directories, which this host lacks: read_bytes")
        target = os.path.abspath(os.fspath(target))
        directory = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            mode = self._mode()
            if not mode:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
            _CopyOut(limit).copy(self, mode, directory, os.path.basename(target), str(self))
        finally:
            os.close(directory)


class _CopyOut:
    """One copy to the host; ``left`` counts down the bytes it may still take."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    def copy(self, source: SandboxPath, mode: int, directory: int, name: str, top: str) -> None:
        if stat.S_ISDIR(mode):
            os.mkdir(name, 0o700, dir_fd=directory)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                for entry in source._names():
                    if "/" in entry or entry in ("", ".", ".."):
                        raise OSError(errno.EINVAL, "the sandbox gave an illegal file name", entry)
                    child = source / entry
                    self.copy(child, child._mode(follow=False), inner, entry, top)
                os.fchmod(inner, (mode & 0o777) | 0o700)
            finally:
                os.close(inner)
        elif stat.S_ISREG(mode):
            self._file(source, mode, directory, name)
        elif stat.S_ISLNK(mode):
            target = source._do("readlink").text("target")
            if _stays_inside(target, str(source), top):
                os.symlink(target, name, dir_fd=directory)

    def _file(self, source: SandboxPath, mode: int, directory: int, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            for chunk in source._chunks(self.left):
                self.left -= len(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[os.write(fd, view) :]
            os.fchmod(fd, mode & 0o777)
        finally:
            os.close(fd)


def _stays_inside(target: str, link: str, top: str) -> bool:
    """Whether a symbolic link at ``link`` leads to something beneath ``top``, wherever the tree is copied to and
    whatever other such links it has: ``..`` counts only at the beginning, before a name that may be a link itself,
    and never leads above the top, whose name is another one on the host."""
    names = [name for name in target.split("/") if name != "."]
    depth = len(PurePosixPath(link).parent.relative_to(top).parts) if link != top else -1
    while names and names[0] == "..":
        del names[0]
        depth -= 1
    return not target.startswith("/") and ".." not in names and depth >= 0
