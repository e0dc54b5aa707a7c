"""File types, modes and the stat structures (man 7 inode; asm/stat.h for x86-64; linux/stat.h; asm/statfs.h)."""

import struct

S_IFMT = 0o170000
S_IFSOCK = 0o140000
S_IFLNK = 0o120000
S_IFREG = 0o100000
S_IFBLK = 0o060000
S_IFDIR = 0o040000
S_IFCHR = 0o020000
S_IFIFO = 0o010000
S_ISUID = 0o4000
S_ISGID = 0o2000
S_ISVTX = 0o1000
S_IRWXU = 0o700
S_IXUGO = 0o111

DT_UNKNOWN = 0
DT_FIFO = 1
DT_CHR = 2
DT_DIR = 4
DT_BLK = 6
DT_REG = 8
DT_LNK = 10
DT_SOCK = 12

UTIME_NOW = 0x3FFFFFFF
UTIME_OMIT = 0x3FFFFFFE

STATX_TYPE = 0x1
STATX_BASIC_STATS = 0x7FF
STATX_BTIME = 0x800
STATX_MNT_ID = 0x1000
STATX_DIOALIGN = 0x2000
STATX_MNT_ID_UNIQUE = 0x4000
STATX_MNT_ID = 0x1000
STATX_DIOALIGN = 0x2000

TMPFS_MAGIC = 0x01021994
OVERLAYFS_SUPER_MAGIC = 0x794C7630
PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
PIPEFS_MAGIC = 0x50495045
SOCKFS_MAGIC = 0x534F434B
ANON_INODE_FS_MAGIC = 0x09041934
EXT4_SUPER_MAGIC = 0xEF53
DEVPTS_SUPER_MAGIC = 0x1CD1

XATTR_CREATE = 1
XATTR_REPLACE = 2

#: struct stat, x86-64: dev ino nlink mode uid gid pad rdev size blksize blocks atime mtime ctime (each s, ns).
STAT_X86_64 = struct.Struct("<QQQIIIIQqqqqqqqqq24x")
#: struct statfs, 64 bit: type bsize blocks bfree bavail files ffree fsid(2) namelen frsize flags spare[4].
STATFS = struct.Struct("<qqQQQQQiiqqq32x")


def is_dir(mode: int) -> bool:
    return mode & S_IFMT == S_IFDIR


def is_reg(mode: int) -> bool:
    return mode & S_IFMT == S_IFREG


def is_lnk(mode: int) -> bool:
    return mode & S_IFMT == S_IFLNK


def dtype(mode: int) -> int:
    """The d_type of getdents64(2) for a file mode."""
    return (mode & S_IFMT) >> 12


def makedev(major: int, minor: int) -> int:
    """A dev_t as stat(2) reports it (man 3 makedev)."""
    return (major & 0xFFF) << 8 | (minor & 0xFF) | (minor & ~0xFF) << 12 | (major & ~0xFFF) << 32


def major(dev: int) -> int:
    return dev >> 8 & 0xFFF | dev >> 32 & ~0xFFF


def minor(dev: int) -> int:
    return dev & 0xFF | dev >> 12 & 0xFFFFFF00

