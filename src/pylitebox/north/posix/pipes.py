"""Pipes, event counters and memory files: descriptors without a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.fcntl import O_CLOEXEC
from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.call import Calls

if TYPE_CHECKING:
    from pylitebox.north.posix.arguments import StrPath


class Pipes(Calls):
    def pipe(self) -> tuple[int, int]:
        return self.pipe2(O_CLOEXEC)

    def pipe2(self, flags: int, /) -> tuple[int, int]:
        raw = bytearray(8)
        self._call("pipe2", raw, arg.c_int(flags))
        return arg.pair(raw)

    def memfd_create(self, name: StrPath, flags: int = 1) -> int:  # MFD_CLOEXEC
        return self._call("memfd_create", arg.path(name), arg.c_int(flags))

    def eventfd(self, initval: int, flags: int = O_CLOEXEC) -> int:
        return self._call("eventfd2", initval, arg.c_int(flags))

    def eventfd_read(self, fd: int) -> int:
        raw = bytearray(8)
        self._call("read", arg.c_int(fd), raw, 8)
        return int.from_bytes(raw, "little")

    def eventfd_write(self, fd: int, value: int) -> None:
        self._call("write", arg.c_int(fd), bytearray(value.to_bytes(8, "little")), 8)
