"""The supervisor's host where Python is all that is known of it: directories by path, streams by threads, no walls."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, cast

from pylitebox.kernel.errors import KernelError
from pylitebox.south.local.directory import LocalDirectory, LocalFile
from pylitebox.south.piped import Mailbox, PipedStream
from pylitebox.supervisor.host import ComposeError, Host, Wall

if TYPE_CHECKING:
    from pylitebox.kernel.platform import HostDirectory, HostedPlatform, HostFile
    from pylitebox.supervisor.host import Mount
    from pylitebox.supervisor.platforms import Row
    from pylitebox.supervisor.session import NewStream

#: As many processes as the kernel's own limit allows: no descriptor of the host stands behind one.
_PROCESSES = 1 << 20
#: How long what programs have written last may take to reach whoever reads it, in seconds.
_LAST = 4.0


class PortableHost(Host):
    def __init__(self) -> None:
        self._mailbox = Mailbox()
        self._streams: weakref.WeakSet[PipedStream] = weakref.WeakSet()

    @staticmethod
    def preload() -> None:
        from pylitebox.south.emulator import platform  # noqa: F401

    def directory(self, mount: Mount) -> HostDirectory:
        try:
            return cast("HostDirectory", LocalDirectory(os.path.realpath(mount.host)))
        except KernelError as error:
            raise ComposeError(f"{mount.host} cannot be opened: {os.strerror(error.errno)}") from None

    def enclose(self, row: Row) -> list[Wall]:
        return [Wall("confinement", stands=False, detail="none on this operating system: it can do what its user can")]

    def attach(self, platform: HostedPlatform) -> int:
        self._mailbox.attach(platform)
        return _PROCESSES

    def file(self, fd: int) -> HostFile:
        return cast("HostFile", LocalFile(fd, write=False))

    def streams(self, platform: HostedPlatform) -> NewStream:
        def new_stream(
            fd: int, *, readable: bool, writable: bool, termios: bytes | None, winsize: bytes | None
        ) -> PipedStream:
            stream = PipedStream(self._mailbox, fd, readable=readable, termios=termios, winsize=winsize)
            self._streams.add(stream)
            return stream

        return new_stream

    def close(self) -> None:
        for stream in list(self._streams):
            stream.drain(_LAST)
