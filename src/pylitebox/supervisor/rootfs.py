"""What the supervisor makes of ``rootfs``: the file system beneath the sandbox's root.

The descriptors come from the client, so an archive needs no path and no right of the supervisor's. It is unpacked and
indexed behind all walls (compose.py), and the modules for that are imported before. Nothing here needs POSIX.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pylitebox.kernel.fs.archivefs import ArchiveFs, Index
from pylitebox.kernel.fs.tar import ArchiveError
from pylitebox.south import archive

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import HostFile

#: How often the client is told how far the unpacking is, in seconds.
_INTERVAL = 0.25


class RootfsError(Exception):
    """The rootfs cannot be used; the message is one sentence."""


class ArchiveRoot:
    """An archive: ``fds`` are its own, and that of its spool if it is no plain tar, both taken over."""

    def __init__(self, host: str, fds: list[int], limit: int) -> None:
        self.host = host
        self.fds = fds
        self.limit = limit
        try:
            self._kind = archive.compression(archive.read_at(fds[0], archive.MAGIC_SIZE, 0))
            self._engine = archive.engine(self._kind) if self._kind is not None else None
        except archive.ArchiveFileError as error:
            raise RootfsError(f"rootfs {host} {error}") from None

    def file_system(
        self, kernel: Kernel, serve: Callable[[int], HostFile], tell: Callable[[int], None]
    ) -> ArchiveFs:
        """Unpack it if need be (``tell`` hears now and then how many bytes there are), index it, and let ``serve`` make
        of its descriptor what is read from then on."""
        try:
            fd = self._unpacked(tell)
            size = os.fstat(fd).st_size
            index = Index.read(lambda count, offset: archive.read_at(fd, count, offset), size, kernel.wall())
        except (archive.ArchiveFileError, ArchiveError) as error:
            why = str(error)
            if why == "is no tar archive":
                why += ", plain or compressed with gzip, xz or zstd"
            raise RootfsError(f"rootfs {self.host} {why}") from None
        except MemoryError:
            raise RootfsError(f"rootfs {self.host} needs more memory than there is") from None
        return ArchiveFs(kernel, serve(fd), index)

    def _unpacked(self, tell: Callable[[int], None]) -> int:
        """A descriptor of the tar archive."""
        if self._kind is None or self._engine is None or len(self.fds) < 2:
            return self.fds[0]
        last = time.monotonic()

        def tick(done: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _INTERVAL:
                last = now
                tell(done)

        source, spool = self.fds
        archive.unpack(source, spool, self._kind, self._engine, self.limit, tick)
        os.close(source)
        self.fds = [spool]
        return spool
