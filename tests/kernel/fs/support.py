"""A kernel on plain objects: a platform that has clocks, which tests can set, and shared buffers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.namespace import Namespace, Root
from pylitebox.kernel.fs.tmpfs import TmpFs
from pylitebox.kernel.kernel import Kernel
from pylitebox.south.local.platform import LocalPlatform

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import FileSystem
    from pylitebox.kernel.platform import SharedBuffer


class Platform:
    """``time`` is both clocks, ns; it moves a little with each look, as time does."""

    def __init__(self) -> None:
        self.time = 1_700_000_000 * 10**9

    def monotonic_ns(self) -> int:
        self.time += 1
        return self.time

    realtime_ns = monotonic_ns

    def random(self, size: int) -> bytes:
        return os.urandom(size)

    def shared_buffer(self, name: str) -> SharedBuffer:
        if sys.platform != "linux":
            return LocalPlatform().shared_buffer(name)
        from pylitebox.south.native.buffers import Memfd

        return Memfd(name)


class Tree:
    """A namespace on ``root`` (a tmpfs unless given), seen as root or as somebody else."""

    def __init__(self, make: Any = TmpFs, *arguments: Any, **options: Any) -> None:
        self.platform = Platform()
        self.kernel = Kernel(self.platform)  # type: ignore[arg-type]
        self.filesystem: FileSystem = make(self.kernel, *arguments, **options)
        self.namespace = Namespace(self.kernel, self.filesystem)
        self.root = self.namespace.view
        self.root.fs.umask = 0o022

    def user(self, uid: int = 1000, gid: int = 1000, groups: tuple[int, ...] = ()) -> Root:
        return Root(self.kernel, self.namespace.root, Credentials.user(uid, gid, groups))

    def later(self, seconds: float) -> None:
        self.platform.time += int(seconds * 10**9)


def errno_of(operation: Any, *arguments: Any, **options: Any) -> int:
    """The error number of an operation, 0 if it succeeds."""
    try:
        operation(*arguments, **options)
    except KernelError as error:
        return error.errno
    return 0


def opened(file: Any) -> Any:
    """Hold a file as a descriptor would."""
    file.references += 1
    return file


__all__ = ["Tree", "errno_of", "opened"]
