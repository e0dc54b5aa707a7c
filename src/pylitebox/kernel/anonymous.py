"""Facts of files that have no name: pipes, sockets and the anonymous inodes behind eventfd(2), epoll(7) and others.

Each kind lives on a device of its own, as on Linux, so that (st_dev, st_ino) tells two files apart. Inode numbers
count upwards. The kernel's anonymous inodes all share one inode and have no file type in st_mode.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from pylitebox.abi.fcntl import O_RDWR
from pylitebox.abi.stat import makedev
from pylitebox.kernel.fs.file import File

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import Stat

SOCKFS_DEV = makedev(0, 8)
PIPEFS_DEV = makedev(0, 14)
ANON_INODE_DEV = makedev(0, 15)
STREAM_DEV = makedev(0, 16)

_numbers = count(1000)


def new_inode_number() -> int:
    """An inode number for a nameless file."""
    return next(_numbers)


def nameless_stat(dev: int, ino: int, mode: int, uid: int, gid: int, time_ns: int, *, rdev: int = 0) -> Stat:
    """The stat of an empty nameless file, made at ``time_ns`` of the real-time clock."""
    from pylitebox.kernel.fs.vfs import Stat

    return Stat(
        dev=dev,
        ino=ino,
        mode=mode,
        nlink=1,
        uid=uid,
        gid=gid,
        rdev=rdev,
        size=0,
        blksize=4096,
        blocks=0,
        atime_ns=time_ns,
        mtime_ns=time_ns,
        ctime_ns=time_ns,
        btime_ns=time_ns,
    )


class AnonymousFile(File):
    """A file on the kernel's anonymous inode; ``kind`` is what /proc/PID/fd shows in brackets."""

    kind = b"unknown"

    def __init__(self, flags: int = O_RDWR) -> None:
        super().__init__(flags)

    def link_text(self) -> bytes:
        return b"anon_inode:[" + self.kind + b"]"

    def stat(self) -> Stat:
        return nameless_stat(ANON_INODE_DEV, 1, 0o600, 0, 0, 0)

    def fdinfo(self) -> bytes:
        """The lines that /proc/PID/fdinfo/N adds for this kind of file."""
        return b""
