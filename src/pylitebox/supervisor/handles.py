"""Descriptors between processes on Windows: as handles, which one process can put into another that it started."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import _winapi
    import msvcrt
    import os

    def give(fd: int, process: int) -> int:
        """Put what descriptor ``fd`` stands for into a process, by its handle; the number that it has there. OSError"""
        handle = msvcrt.get_osfhandle(fd)
        own, same = _winapi.GetCurrentProcess(), _winapi.DUPLICATE_SAME_ACCESS
        return _winapi.DuplicateHandle(own, handle, process, 0, False, same)  # noqa: FBT003 - it takes no names

    def take(handle: int) -> int:
        """A descriptor for a handle that was put into this process."""
        return msvcrt.open_osfhandle(handle, os.O_BINARY | os.O_NOINHERIT)

else:

    def give(fd: int, process: int) -> int:
        raise NotImplementedError

    def take(handle: int) -> int:
        raise NotImplementedError
