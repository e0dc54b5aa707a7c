"""Host directory trees by path: HostDirectory and HostFile for hosts without directory descriptors (Windows).

Where the host has them, south/hostfiles.py is used instead: it cannot be led out of the tree by a directory that is
replaced by a link while it is looked at. Here that race exists; who can win it may write to the mounted directory.

Rules: each name is one component that means one file (no separator, drive or stream of the host's in it), no call
follows a link, and a directory or file that has become a link is ENOENT.
Missing: reads wait for the disk. Hard links and symbolic links where the host refuses them (EPERM).
"""

from __future__ import annotations

import errno
import os
import stat as st
import sys
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import RENAME_EXCHANGE, RENAME_NOREPLACE
from pylitebox.abi.stat import DT_DIR, DT_LNK, DT_REG, DT_UNKNOWN
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
#: What a name may not hold on this host, since it would mean something else than a file of this name.
_FORBIDDEN = frozenset('\\/:*?"<>|' if os.name == "nt" else "/")
_SYMLINK_TAG = 0xA000000C  # IO_REPARSE_TAG_SYMLINK
#: Bytes of one read at the most.
MAX_READ = 64 << 20


def translated(error: OSError | ValueError) -> KernelError:
    """The host's error with Linux's number."""
    if not isinstance(error, OSError):
        return KernelError(E.EINVAL)
    return KernelError(getattr(E, errno.errorcode.get(error.errno or 0, ""), E.EIO))


class _Translating:
    """``with translate:`` turns the host's errors into KernelError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, value: BaseException | None, traceback: object) -> None:
        if isinstance(value, OSError | ValueError):
            raise translated(value) from value
        if isinstance(value, OverflowError):
            raise KernelError(E.EFBIG) from value


translate = _Translating()


class LocalDirectory:
    """One directory."""

    def __init__(self, path: str) -> None:
        self._path = path
        with translate:
            if not st.S_ISDIR(_facts(path).st_mode):
                raise KernelError(E.ENOTDIR)

    def _entry(self, name: bytes) -> str:
        """The host path of an entry; ENOENT for a name that no file can have."""
        text = os.fsdecode(name)
        if text in ("", ".", "..") or not _FORBIDDEN.isdisjoint(text) or (os.name == "nt" and text[-1] in " ."):
            raise KernelError(E.ENOENT)
        return os.path.join(self._path, text)

    # -- reading ----------------------------------------------------------------------------------------------

    def stat(self, name: bytes) -> os.stat_result:
        with translate:
            return _facts(self._entry(name))

    def stat_self(self) -> os.stat_result:
        with translate:
            return _facts(self._path)

    def readlink(self, name: bytes) -> bytes:
        with translate:
            return os.fsencode(os.readlink(self._entry(name))).replace(os.sep.encode(), b"/")

    def listdir(self) -> list[tuple[bytes, int, int]]:
        with translate, os.scandir(self._path) as entries:
            return list(_listed(entries))

    def directory(self, name: bytes) -> LocalDirectory:
        return LocalDirectory(self._entry(name))

    def open(self, name: bytes, *, write: bool = False) -> LocalFile:
        return self._open(name, os.O_RDWR if write else os.O_RDONLY, 0o600, write=write)

    def _open(self, name: bytes, flags: int, mode: int, *, write: bool) -> LocalFile:
        path = self._entry(name)
        with translate:
            if not flags & os.O_CREAT and not st.S_ISREG(_facts(path).st_mode):
                raise KernelError(E.EACCES)
            return LocalFile(os.open(path, flags | _FLAGS | _NO_LINK, mode), write=write)

    # -- writing ----------------------------------------------------------------------------------------------

    def create(self, name: bytes, mode: int) -> LocalFile:
        return self._open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode & 0o777 | 0o600, write=True)

    def mkdir(self, name: bytes, mode: int) -> None:
        with translate:
            os.mkdir(self._entry(name), mode & 0o777)

    def symlink(self, target: bytes, name: bytes) -> None:
        with translate:
            os.symlink(os.fsdecode(target), self._entry(name))

    def link(self, name: bytes, directory: LocalDirectory, new_name: bytes) -> None:
        with translate:
            os.link(self._entry(name), directory._entry(new_name))

    def unlink(self, name: bytes) -> None:
        with translate:
            os.unlink(self._entry(name))

    def rmdir(self, name: bytes) -> None:
        with translate:
            os.rmdir(self._entry(name))

    def rename(self, name: bytes, directory: LocalDirectory, new_name: bytes, flags: int) -> None:
        if flags & RENAME_EXCHANGE:
            raise KernelError(E.EINVAL)
        old, new = self._entry(name), directory._entry(new_name)
        with translate:
            if flags & RENAME_NOREPLACE and os.path.lexists(new):
                raise KernelError(E.EEXIST)
            os.replace(old, new)

    def chmod(self, name: bytes, mode: int) -> None:
        path = self._entry(name)
        with translate:
            if st.S_ISLNK(_facts(path).st_mode):
                raise KernelError(E.EOPNOTSUPP)
            os.chmod(path, mode & 0o777)

    def utime(self, name: bytes, atime_ns: int, mtime_ns: int) -> None:
        path = self._entry(name)
        with translate:
            if st.S_ISLNK(_facts(path).st_mode):
                raise KernelError(E.EOPNOTSUPP)
            os.utime(path, ns=(atime_ns, mtime_ns))

    def close(self) -> None:
        """A path holds nothing open."""


def _facts(path: str) -> os.stat_result:
    """lstat; what is a link of the host's other than a symbolic one (a junction) is not there."""
    facts = os.lstat(path)
    if getattr(facts, "st_reparse_tag", 0) not in (0, _SYMLINK_TAG) and not st.S_ISREG(facts.st_mode):
        raise FileNotFoundError(errno.ENOENT, "a junction", path)
    return facts


def _listed(entries: Iterator[os.DirEntry[str]]) -> Iterator[tuple[bytes, int, int]]:
    for entry in entries:
        kind = DT_UNKNOWN
        if entry.is_symlink():
            kind = DT_LNK
        elif entry.is_dir(follow_symlinks=False):
            kind = DT_DIR
        elif entry.is_file(follow_symlinks=False):
            kind = DT_REG
        yield os.fsencode(entry.name), entry.inode(), kind


class LocalFile:
    """One open regular file; ``share`` makes handles that are closed one by one."""

    def __init__(self, fd: int, *, write: bool) -> None:
        self._fd = fd
        self._write = write
        self._handles = 1
        self.ready = WaitQueue()
        facts = os.fstat(fd)
        self._key = facts.st_dev, facts.st_ino

    def key(self) -> tuple[int, int]:
        return self._key

    def share(self) -> LocalFile:
        self._handles += 1
        return self

    def stat(self) -> os.stat_result:
        return os.fstat(self._fd)

    def read_at(self, size: int, offset: int) -> bytes:
        with translate:
            size = min(size, MAX_READ, max(0, os.fstat(self._fd).st_size - offset))
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.read(self._fd, size)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        with translate:
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.write(self._fd, data)

    def truncate(self, size: int) -> None:
        with translate:
            os.ftruncate(self._fd, size)

    def sync(self) -> None:
        if self._write or sys.platform != "win32":
            with translate:
                os.fsync(self._fd)

    def close(self) -> None:
        self._handles -= 1
        if self._handles == 0:
            os.close(self._fd)
