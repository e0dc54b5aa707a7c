"""Moving data between descriptors."""

from __future__ import annotations

from pylitebox.north.posix import arguments as arg
from pylitebox.north.posix.call import Calls


def _count(count: int) -> int:
    if count < 0:
        raise ValueError("negative value for 'count' not allowed")
    return arg.c_long(count)


class Transfer(Calls):
    def sendfile(self, out_fd: int, in_fd: int, offset: int | None, count: int) -> int:
        return self._call("sendfile", arg.c_int(out_fd), arg.c_int(in_fd), arg.pointer(offset), arg.c_long(count))

    def copy_file_range(
        self, src: int, dst: int, count: int, offset_src: int | None = None, offset_dst: int | None = None
    ) -> int:
        size = _count(count)
        left, right = arg.pointer(offset_src), arg.pointer(offset_dst)
        return self._call("copy_file_range", arg.c_int(src), left, arg.c_int(dst), right, size, 0)

    def splice(
        self,
        src: int,
        dst: int,
        count: int,
        offset_src: int | None = None,
        offset_dst: int | None = None,
        flags: int = 0,
    ) -> int:
        size = _count(count)
        left, right = arg.pointer(offset_src), arg.pointer(offset_dst)
        return self._call("splice", arg.c_int(src), left, arg.c_int(dst), right, size, arg.c_int(flags))
