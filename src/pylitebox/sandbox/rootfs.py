"""The client's side of ``rootfs``: a directory or a tar archive whose files take the place of the host's.

It is opened here, as whom the user is; the supervisor gets descriptors. An archive that is no plain tar gets a nameless
temporary file beside it, for its content: the supervisor, who unpacks it, can make no files.
"""

from __future__ import annotations

import os
import stat

from pylitebox.sandbox.errors import OptionError
from pylitebox.sandbox.options import host_path

#: Where a tar header since 1988 says what it is.
_USTAR_PLACE, _USTAR = 257, b"ustar"


class Rootfs:
    """``host`` is the path; ``limit`` the bytes that a compressed archive may unpack to."""

    def __init__(self, host: str | os.PathLike[str], limit: int) -> None:
        self.host = host_path(os.fspath(host))
        self.limit = limit

    def open(self) -> tuple[dict[str, object], list[int]]:
        """What the supervisor is told, and the descriptors, which the caller closes: of the directory (none where
        directories go by path), or of the archive and its spool, if it needs one. OptionError."""
        binary, path = getattr(os, "O_BINARY", 0), getattr(os, "O_PATH", 0)
        fds: list[int] = []
        try:
            directory = stat.S_ISDIR(os.stat(self.host).st_mode)
            # not to hang on a FIFO; of a directory no more than its place
            flags = path if directory else os.O_RDONLY | binary | getattr(os, "O_NONBLOCK", 0)
            if not directory or path:
                fds.append(os.open(self.host, flags | getattr(os, "O_CLOEXEC", 0)))
            if not directory:
                if not stat.S_ISREG(os.fstat(fds[0]).st_mode):
                    raise OptionError(f"rootfs {self.host} is neither a directory nor an archive")
                if not _plain(fds[0]):
                    fds.append(_spool())
        except BaseException as error:
            for fd in fds:
                os.close(fd)
            if isinstance(error, OSError):
                raise OptionError(f"rootfs {self.host} cannot be opened: {error.strerror}") from None
            raise
        return {"directory": directory, "host": self.host, "limit": self.limit}, fds


def _plain(fd: int) -> bool:
    """Whether it is a tar archive as it is."""
    head = os.read(fd, 512)
    os.lseek(fd, 0, os.SEEK_SET)
    return head[_USTAR_PLACE : _USTAR_PLACE + len(_USTAR)] == _USTAR


def _spool() -> int:
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
