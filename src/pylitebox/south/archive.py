"""Archives on the host: a tar file as it is, or the content of a compressed one, ready to be read at any place.

A compressed archive cannot be read at random, so it is unpacked once, into a *spool*: a nameless temporary file that
whoever starts the sandbox has opened, and that is gone with the last descriptor of it. Unpacking needs a descriptor to
read, one to write and memory of its own, nothing else: it is done behind all walls. It is bounded by ``limit`` bytes of
output, and in memory by one step and the window of the format (MAX_WINDOW).

What it is compressed with is told by its first bytes, not by its name: gzip (several members too), xz (several
streams), zstd (several frames). Damage is an ArchiveFileError of one sentence.

Missing: unpacked archives are not kept between runs. A later sandbox would trust what a supervisor has written, whose
guests may have taken it over; whoever starts often unpacks the archive once himself.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes read, and bytes made, in one step.
_READ, _STEP = 1 << 18, 1 << 20
#: The memory that a format may ask for.
MAX_WINDOW = 128 << 20
#: zstandard does not bound what comes out of one step: 4 bytes may become 128 KiB, so it is fed with this much.
_SMALL = 1 << 10
_GROW = 1 << 22
MAGIC = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
MAGIC_SIZE = 6


class ArchiveFileError(Exception):
    """The archive cannot be unpacked; the message is a sentence without its name."""


def compression(head: bytes) -> str | None:
    """What a file that begins so is compressed with."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)


class _Engine(Protocol):
    """lzma.LZMADecompressor, and what is made to look like it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        import zlib

        self._engine = zlib.decompressobj(31)
        self._rest = b""
        self.needs_input = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        made = self._engine.decompress(self._rest + data, max_length)
        self._rest = self._engine.unconsumed_tail
        self.needs_input = not self._rest and len(made) < max_length
        return made

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def unused_data(self) -> bytes:
        return self._engine.unused_data


class _Zstandard:
    """The zstandard package's, where Python itself has none."""

    def __init__(self, package: Any) -> None:
        # a result grows by write_size, and is copied each time where the host cannot move pages (Windows)
        self._engine = package.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj(write_size=_GROW)
        self._rest = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        data = self._rest + data
        self._rest = data[_SMALL:]
        return bytes(self._engine.decompress(data[:_SMALL]))

    @property
    def needs_input(self) -> bool:
        return not self._rest

    @property
    def eof(self) -> bool:
        return bool(self._engine.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._engine.unused_data) + self._rest


def engine(kind: str) -> Callable[[], _Engine]:
    """What unpacks one member, stream or frame of this kind; imports it, so it comes before confinement."""
    if kind == "gzip":
        import zlib  # noqa: F401

        return _Gzip
    if kind == "xz":
        import lzma

        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_WINDOW)
    try:
        zstd = import_module("compression.zstd")
    except ImportError:
        pass
    else:
        options = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW.bit_length() - 1}
        return lambda: zstd.ZstdDecompressor(options=options)
    try:
        package = import_module("zstandard")
    except ImportError:
        raise ArchiveFileError(
            "is compressed with zstd, which needs Python 3.14 or the package zstandard: pip install 'pylitebox[zstd]'"
        ) from None
    return lambda: _Zstandard(package)


def unpacked(read: Callable[[int], bytes], kind: str, make: Callable[[], _Engine]) -> Iterator[bytes]:
    """The content, in pieces of a few megabytes at most. ArchiveFileError."""
    magic = next(magic for magic, name in MAGIC.items() if name == kind)
    data, one = b"", make()
    while True:
        if not data and one.needs_input:
            data = read(_READ)
            if not data:
                raise ArchiveFileError(f"is cut off: its {kind} data does not end")
        try:
            made, data = one.decompress(data, _STEP), b""
        except Exception as error:  # noqa: BLE001 - each engine has errors of its own
            raise ArchiveFileError(f"has damaged {kind} data ({error})") from None
        if made:
            yield made
        if one.eof:
            data = _next(one.unused_data, read)
            if not data.startswith(magic):  # padding, or what gzip(1) calls trailing garbage
                return
            one = make()


def _next(data: bytes, read: Callable[[int], bytes]) -> bytes:
    """What follows, without padding of zeros."""
    data = data.lstrip(b"\0")
    while len(data) < MAGIC_SIZE:
        more = read(_READ)
        if not more:
            break
        data = (data + more).lstrip(b"\0")
    return data


def unpack(
    source: int, spool: int, kind: str, make: Callable[[], _Engine], limit: int, tick: Callable[[int], None]
) -> int:
    """Unpack the file ``source`` into the file ``spool``, both at their beginnings; the size. ``tick`` is told how far
    it is after each step, and may end it by raising."""
    done = 0
    try:
        for piece in unpacked(lambda size: os.read(source, size), kind, make):
            if done + len(piece) > limit:
                raise ArchiveFileError(f"unpacks to more than {limit} bytes: --rootfs-size (rootfs_size) is the limit")
            view = memoryview(piece)
            while view:
                count = os.write(spool, view)
                view, done = view[count:], done + count
            tick(done)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArchiveFileError("has no room to be unpacked in the directory for temporary files (TMPDIR)") from None
        raise ArchiveFileError(f"cannot be unpacked: {error.strerror}") from None
    return done


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Read at a place of a file, and wait for the disk: for reading the index."""
    try:
        if hasattr(os, "pread"):
            return os.pread(fd, size, offset)
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, size)
    except OSError as error:
        raise ArchiveFileError(f"cannot be read: {error.strerror}") from None
