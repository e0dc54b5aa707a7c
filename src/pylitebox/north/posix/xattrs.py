"""Extended attributes (man 7 xattr)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.call import Calls, Room

if TYPE_CHECKING:
    from pylitebox.north.posix.arguments import FdOrPath, ReadableBuffer, StrPath
    from pylitebox.north.posix.call import Argument

_MOST = 1 << 16  # of a value, and of a list


class Xattrs(Calls):
    def getxattr(self, path: FdOrPath, attribute: StrPath, *, follow_symlinks: bool = True) -> bytes:
        room = Room(_MOST)
        name = arg.path(attribute)
        self._on("getxattr", path, name, room, room.size, follow_symlinks=follow_symlinks)
        return bytes(room.data)

    def setxattr(
        self,
        path: FdOrPath,
        attribute: StrPath,
        value: ReadableBuffer,
        flags: int = 0,
        *,
        follow_symlinks: bool = True,
    ) -> None:
        name, data = arg.path(attribute), arg.data(value)
        self._on("setxattr", path, name, data, len(data), arg.c_int(flags), follow_symlinks=follow_symlinks)

    def removexattr(self, path: FdOrPath, attribute: StrPath, *, follow_symlinks: bool = True) -> None:
        self._on("removexattr", path, arg.path(attribute), follow_symlinks=follow_symlinks)

    def listxattr(self, path: FdOrPath | None = None, *, follow_symlinks: bool = True) -> list[str]:
        room = Room(_MOST)
        self._on("listxattr", "." if path is None else path, room, room.size, follow_symlinks=follow_symlinks)
        return [arg.decode(name) for name in bytes(room.data).split(b"\0")[:-1]]

    def _on(self, name: str, path: FdOrPath, *arguments: Argument, follow_symlinks: bool) -> None:
        """One of the calls in its form for a path, a link itself or a descriptor."""
        if arg.is_fd(path):
            if not follow_symlinks:
                raise ValueError(f"{name}: cannot use fd and follow_symlinks together")
            self._call("f" + name, arg.path_fd(path), *arguments, names=(path,))
        else:
            self._call(name if follow_symlinks else "l" + name, arg.path(path), *arguments, names=(path,))
