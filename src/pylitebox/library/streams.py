"""Descriptors of the kernel as Python's file objects, which the module ``io`` buffers and decodes."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

from pylitebox.abi.fcntl import O_ACCMODE, O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

if TYPE_CHECKING:
    from pylitebox.north.posix import Posix

_FLAGS = {
    "r": O_RDONLY,
    "w": O_WRONLY | O_CREAT | O_TRUNC,
    "a": O_WRONLY | O_CREAT | O_APPEND,
    "x": O_WRONLY | O_CREAT | O_EXCL,
}
_READ_ALL = 1 << 20


def split_mode(mode: str) -> tuple[str, bool, bool]:
    """r, w, a or x; whether it is for both; whether it is binary. ValueError."""
    kinds = [letter for letter in mode if letter in "rwax"]
    if len(set(mode)) != len(mode) or set(mode) - set("rwaxbt+") or len(kinds) != 1 or {"b", "t"} <= set(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    return kinds[0], "+" in mode, "b" in mode


def open_flags(mode: str) -> int:
    """What open(2) is told for a mode of the built-in open()."""
    kind, both, _ = split_mode(mode)
    return _FLAGS[kind] & ~O_ACCMODE | O_RDWR if both else _FLAGS[kind]


class RawFile(io.RawIOBase):
    """One descriptor of a kernel."""

    def __init__(self, os: Posix, fd: int, mode: str, *, closefd: bool, name: object) -> None:
        kind, both, _ = split_mode(mode)
        self._os = os
        self._fd = fd
        self._closefd = closefd
        self._readable = kind == "r" or both
        self._writable = kind != "r" or both
        self.name = name
        self.mode = mode.replace("t", "")

    def fileno(self) -> int:
        """The descriptor: of this kernel, not of the host."""
        self._check()
        return self._fd

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def readable(self) -> bool:
        return self._readable

    def writable(self) -> bool:
        return self._writable

    def seekable(self) -> bool:
        self._check()
        try:
            self._os.lseek(self._fd, 0, 1)
        except OSError:
            return False
        return True

    def isatty(self) -> bool:
        self._check()
        return self._os.isatty(self._fd)

    def readinto(self, buffer: Any) -> int | None:
        self._check()
        if not self._readable:
            raise io.UnsupportedOperation("not readable")
        try:
            return self._os.readv(self._fd, [buffer])
        except BlockingIOError:
            return None

    def readall(self) -> bytes:
        parts = []
        while data := self.read(_READ_ALL):
            parts.append(data)
        return b"".join(parts)

    def write(self, data: Any) -> int | None:
        self._check()
        if not self._writable:
            raise io.UnsupportedOperation("not writable")
        try:
            return self._os.write(self._fd, data)
        except BlockingIOError:
            return None

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check()
        return self._os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        return self.seek(0, 1)

    def truncate(self, size: int | None = None) -> int:
        self._check()
        if not self._writable:
            raise io.UnsupportedOperation("truncate")
        size = self.tell() if size is None else size
        self._os.ftruncate(self._fd, size)
        return size

    def close(self) -> None:
        if not self.closed:
            try:
                super().close()
            finally:
                if self._closefd and not self._os.ended:  # its end has closed it
                    self._os.close(self._fd)


def stream(raw: RawFile, buffering: int, encoding: str | None, errors: str | None, newline: str | None) -> IO[Any]:
    """What open() of the same mode gives: raw, buffered or text. Text is UTF-8 unless it is said otherwise."""
    kind, both, binary = split_mode(raw.mode)
    if binary and (encoding or errors or newline is not None):
        raise ValueError("binary mode doesn't take an encoding, errors or newline argument")
    if buffering == 0:
        if not binary:
            raise ValueError("can't have unbuffered text I/O")
        return raw  # type: ignore[return-value]
    line_buffered = buffering == 1 or (buffering < 0 and raw.isatty())
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    buffered: Any
    if both:
        buffered = io.BufferedRandom(raw, size)
    elif kind == "r":
        buffered = io.BufferedReader(raw, size)
    else:
        buffered = io.BufferedWriter(raw, size)
    if binary:
        return buffered  # type: ignore[no-any-return]
    text = io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline, line_buffered)
    text.mode = raw.mode  # type: ignore[misc]
    return text
