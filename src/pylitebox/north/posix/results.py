"""What calls answer with: named tuples shaped like those of ``os``.

``os.stat_result`` itself differs between operating systems (Windows lacks st_blocks and st_rdev); this one is Linux's
everywhere.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from pylitebox.abi.stat import STAT_X86_64, STATFS

_NS = 1_000_000_000
_FIELDS = ("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size", "st_atime", "st_mtime", "st_ctime")


class stat_result(tuple[int, ...]):  # noqa: N801, SLOT001 - the name os gave it; a tuple with slots cannot be
    """As ``os.stat_result``: ten numbers as a tuple, more as attributes; times are whole seconds in the tuple."""

    __match_args__ = ("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size")
    n_fields, n_sequence_fields, n_unnamed_fields = 19, 10, 3

    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_blksize: int
    st_blocks: int
    st_rdev: int

    def __new__(cls, raw: bytes | bytearray) -> Self:
        """From a struct stat of x86-64."""
        dev, ino, nlink, mode, uid, gid, _, rdev, size, blksize, blocks, *times = STAT_X86_64.unpack(raw)
        self = super().__new__(cls, (mode, ino, dev, nlink, uid, gid, size, times[0], times[2], times[4]))
        self.st_atime_ns, self.st_mtime_ns, self.st_ctime_ns = (times[i] * _NS + times[i + 1] for i in (0, 2, 4))
        self.st_blksize, self.st_blocks, self.st_rdev = blksize, blocks, rdev
        return self

    @property
    def st_mode(self) -> int:
        return self[0]

    @property
    def st_ino(self) -> int:
        return self[1]

    @property
    def st_dev(self) -> int:
        return self[2]

    @property
    def st_nlink(self) -> int:
        return self[3]

    @property
    def st_uid(self) -> int:
        return self[4]

    @property
    def st_gid(self) -> int:
        return self[5]

    @property
    def st_size(self) -> int:
        return self[6]

    @property
    def st_atime(self) -> float:
        return _seconds(self.st_atime_ns)

    @property
    def st_mtime(self) -> float:
        return _seconds(self.st_mtime_ns)

    @property
    def st_ctime(self) -> float:
        return _seconds(self.st_ctime_ns)

    def __repr__(self) -> str:
        return f"stat_result({', '.join(f'{name}={value}' for name, value in zip(_FIELDS, self, strict=True))})"


def _seconds(ns: int) -> float:
    """As ``os`` computes it, to the same last bit."""
    seconds, rest = divmod(ns, _NS)
    return seconds + 1e-9 * rest


class statvfs_result(NamedTuple):  # noqa: N801
    f_bsize: int
    f_frsize: int
    f_blocks: int
    f_bfree: int
    f_bavail: int
    f_files: int
    f_ffree: int
    f_favail: int
    f_flag: int
    f_namemax: int


def statvfs(raw: bytes | bytearray) -> statvfs_result:
    """From a struct statfs, as libc does (man 3 statvfs)."""
    _, bsize, blocks, bfree, bavail, files, ffree, _, _, namelen, frsize, flags = STATFS.unpack(raw)
    return statvfs_result(
        bsize, frsize or bsize, blocks, bfree, bavail, files, ffree, ffree, flags & ~0x20, namelen
    )  # ST_VALID


class uname_result(NamedTuple):  # noqa: N801
    sysname: str
    nodename: str
    release: str
    version: str
    machine: str
