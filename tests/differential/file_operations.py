"""Families of operations on files: their data, names, attributes and locks."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.words import (
    ANYWHERE,
    AT,
    FD,
    LENGTH,
    MODE,
    NAME,
    NEWFD,
    OFFSET,
    OPEN_FLAGS,
    SIZE,
    SMALL,
    TARGET,
    UID,
    flags,
    one,
    words,
)

OPENING = [
    words("open", NAME, OPEN_FLAGS, MODE),
    words("open", NAME, one("O_RDWR|O_CREAT", "O_RDONLY", "O_RDWR"), one("0o644")),
    words("openat", AT, NAME, OPEN_FLAGS, MODE),
    words("creat", NAME, MODE),
    words("open", one(".", "d", ".", "a"), one("O_TMPFILE|O_RDWR", "O_TMPFILE|O_WRONLY|O_EXCL"), MODE),
    words("open", one("d", "."), one("O_RDONLY|O_DIRECTORY", "O_PATH", "O_PATH|O_NOFOLLOW"), one("0")),
]
DESCRIPTORS = [
    words("close", FD),
    words("dup", FD),
    words("dup2", FD, NEWFD),
    words("dup3", FD, NEWFD, one("0", "O_CLOEXEC", "O_NONBLOCK")),
    words("fcntl", FD, one("F_DUPFD", "F_DUPFD_CLOEXEC"), one(0, 3, 6, 10, -1)),
    words("fcntl", FD, one("F_GETFL", "F_GETFD"), one("0")),
    words("fcntl", FD, one("F_SETFD"), one("0", "1", "3")),
    words("fcntl", FD, one("F_SETFL"), flags("O_APPEND", "O_NONBLOCK", "O_RDWR", "O_CREAT", "O_NOATIME", "O_DIRECT")),
    words("close_range", one(3, 5, 7), one(4, 6, 20, 3), one("0", "CLOSE_RANGE_CLOEXEC", "CLOSE_RANGE_UNSHARE", "1")),
    words("ioctl_nbio", FD, one(0, 1)),
    words("ioctl_cloexec", FD, one(0, 1)),
    words("fstat", FD),
    words("fds"),
]
RWF = one("0", "0", "RWF_APPEND", "RWF_NOWAIT", "RWF_HIPRI", "RWF_DSYNC", "0x8000")
PAGES = one(0, 4096, 4096, 8192, 12288, 20480, 65536, 131072)
FALLOCATE = one(
    "FALLOC_FL_UNSHARE_RANGE", "FALLOC_FL_UNSHARE_RANGE|FALLOC_FL_KEEP_SIZE",
    "FALLOC_FL_COLLAPSE_RANGE|FALLOC_FL_KEEP_SIZE", "0x80",
)  # fmt: skip
MOVES = one(
    "FALLOC_FL_COLLAPSE_RANGE", "FALLOC_FL_INSERT_RANGE", "FALLOC_FL_ZERO_RANGE", "FALLOC_FL_COLLAPSE_RANGE",
    "FALLOC_FL_INSERT_RANGE", "FALLOC_FL_ZERO_RANGE|FALLOC_FL_KEEP_SIZE", "FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE",
)  # fmt: skip
DATA = [
    words("read", FD, SIZE),
    words("write", FD, SIZE),
    words("write", FD, SMALL),
    words("pread", FD, SIZE, OFFSET),
    words("pwrite", FD, SIZE, OFFSET),
    words("readv", FD, SIZE),
    words("writev", FD, SIZE),
    words("preadv2", FD, SMALL, OFFSET, RWF),
    words("pwritev2", FD, SMALL, OFFSET, RWF),
    words("lseek", FD, ANYWHERE, one("SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_SET", 7)),
    words("ftruncate", FD, LENGTH),
    words("truncate", NAME, LENGTH),
    words(
        "fallocate", FD,
        one("0", "0", "FALLOC_FL_KEEP_SIZE", "FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE", "FALLOC_FL_PUNCH_HOLE"),
        OFFSET, SIZE,
    ),
    words("fallocate", FD, FALLOCATE, OFFSET, SIZE),
    words("lseek", FD, ANYWHERE, one("SEEK_DATA", "SEEK_HOLE")),
    words("fsync", FD),
    words("fadvise", FD, OFFSET, SIZE, one(0, 1, 2, 3, 4, 5, 6)),
    words("fstat", FD),
    words("stat", NAME),
]  # fmt: skip
HOLES = [
    words("fallocate", FD, FALLOCATE | one("FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE", "0"), PAGES, PAGES),
    words("lseek", FD, PAGES | OFFSET, one("SEEK_DATA", "SEEK_HOLE")),
    words("pwrite", FD, one(1, 5000, 4096), PAGES | OFFSET),
    words("pread", FD, one(70000), OFFSET),
    words("ftruncate", FD, PAGES | LENGTH),
    words("fstat", FD),
]
RANGES = [
    words("fallocate", FD, MOVES, PAGES, PAGES),
    words("fallocate", FD, MOVES, OFFSET, SIZE),
    words("pwrite", FD, one(1, 5000, 4096), PAGES | OFFSET),
    words("pread", FD, one(200000), one(0)),
    words("pread", FD, one(200000), PAGES),
    words("ftruncate", FD, PAGES | LENGTH),
    words("lseek", FD, one(0), one("SEEK_END")),
]
POSITION = one(-1, -1, 0, 5, 100, 5000)
TRANSFER = [
    words("copy_file_range", FD, POSITION, FD, POSITION, SIZE, one(0, 0, 0, 1)),
    words("sendfile", FD, FD, POSITION, SIZE),
    words("splice", FD, POSITION, FD, POSITION, SIZE, one("SPLICE_F_NONBLOCK", "SPLICE_F_NONBLOCK|SPLICE_F_MOVE", 64)),
    words("tee", FD, FD, SIZE),
]
NAMES = [
    words("mkdir", NAME, MODE),
    words("mkdir", one("d", "c", "d/d"), one("0o755")),
    words("mkdirat", AT, NAME, MODE),
    words("rmdir", NAME),
    words("unlink", NAME),
    words("unlinkat", AT, NAME, one("0", "AT_REMOVEDIR", "AT_REMOVEDIR", "AT_SYMLINK_FOLLOW")),
    words("rename", NAME, NAME),
    words("rename", NAME, NAME),
    words(
        "renameat2", AT, NAME, AT, NAME,
        one("0", "RENAME_NOREPLACE", "RENAME_EXCHANGE", "RENAME_EXCHANGE", "RENAME_NOREPLACE|RENAME_EXCHANGE", "8"),
    ),
    words("link", NAME, NAME),
    words("linkat", AT, NAME, AT, NAME, one("0", "AT_SYMLINK_FOLLOW", "AT_SYMLINK_NOFOLLOW")),
    words("symlink", TARGET, NAME),
    words("readlink", NAME, one(1, 5, 100, 0, -1)),
    words("readlinkat", AT, NAME),
    words("mknod", NAME, st.tuples(one("S_IFIFO", "S_IFIFO", "S_IFREG", "0", "S_IFDIR"), MODE).map("|".join)),
    words("mknod", NAME, one("S_IFSOCK|0o644")),
    words("getdents", FD, one(32768, 32768, 10)),
    words("chdir", NAME),
    words("fchdir", FD),
    words("getcwd", one(0, 0, 0, 1, 2)),
    words("stat", NAME),
    words("lstat", NAME),
    words("lstat", NAME),
]  # fmt: skip
LINK_OPEN = [
    words("link_fd", FD, NAME),
    words("linkat", FD, one("%"), one("AT_FDCWD"), NAME, one("AT_EMPTY_PATH")),
    words("linkat", AT, NAME, AT, NAME, one("AT_EMPTY_PATH")),
]
TIME = one(5, 7, 0, -1, -2, -3, 1000, 1 << 33)
ATTRIBUTES = [
    words("stat", NAME),
    words("lstat", NAME),
    words("fstat", FD),
    words("fstatat", AT, NAME, flags("AT_SYMLINK_NOFOLLOW", "AT_EMPTY_PATH", "AT_NO_AUTOMOUNT", "AT_REMOVEDIR")),
    words("statx", AT, NAME, flags("AT_SYMLINK_NOFOLLOW", "AT_EMPTY_PATH"), one("STATX_BASIC_STATS", "0xfff")),
    words("access", NAME, one(0, 1, 2, 4, 7, 8)),
    words("faccessat2", AT, NAME, one(0, 1, 2, 4, 6), flags("AT_EACCESS", "AT_SYMLINK_NOFOLLOW", "AT_EMPTY_PATH")),
    words("chmod", NAME, MODE),
    words("fchmod", FD, MODE),
    words("fchmodat2", AT, NAME, MODE, flags("AT_SYMLINK_NOFOLLOW", "AT_EMPTY_PATH")),
    words("chown", NAME, UID, UID),
    words("lchown", NAME, UID, UID),
    words("fchown", FD, UID, UID),
    words("umask", one("0o022", "0", "0o077", "0o7777", "0o027")),
    words("utimensat", AT, NAME, TIME, TIME, one("0", "0", "AT_SYMLINK_NOFOLLOW", "AT_EMPTY_PATH")),
    words("utimensat", FD, one("%0"), TIME, TIME, one("0")),
]
XATTR = one("user.x", "user.x", "user.y")
XATTR_ODD = one(
    "trusted.x", "security.x", "system.x", "other.x", "user.", "trusted.", "x", "%", "%L255",
    "%L256", "user.x",
)  # fmt: skip
ATTRIBUTES_MORE = [
    words("setxattr", NAME, XATTR, one(0, 1, 10, 100), one("0", "0", "XATTR_CREATE", "XATTR_REPLACE")),
    words("fsetxattr", FD, XATTR, one(0, 1, 10), one("0", "XATTR_CREATE", "XATTR_REPLACE")),
    words("getxattr", NAME, XATTR, one(0, 1, 10, 1000)),
    words("lgetxattr", NAME, XATTR, one(0, 1000)),
    words("fgetxattr", FD, XATTR, one(0, 5, 1000)),
    words("listxattr", NAME, one(0, 1, 1000)),
    words("removexattr", NAME, XATTR),
    words("setxattr", NAME, XATTR_ODD, one(0, 1, 10, 65536, 65537), one("0", "0", 3, 4)),
    words("fsetxattr", FD, XATTR_ODD, one(1, 10), one("0", "XATTR_REPLACE")),
    words("getxattr", NAME, XATTR_ODD, one(0, 10, 1000)),
    words("removexattr", NAME, XATTR_ODD),
]
LOCKS = [
    words("flock", FD, one("LOCK_SH", "LOCK_EX", "LOCK_EX", "LOCK_UN", "0", "3")),
    words(
        "lock", FD, one("F_SETLK", "F_SETLK", "F_OFD_SETLK", "F_GETLK", "F_OFD_GETLK"),
        one("F_RDLCK", "F_WRLCK", "F_WRLCK", "F_UNLCK", "5"), one("SEEK_SET", "SEEK_SET", "SEEK_CUR", "SEEK_END"),
        one(0, 0, 5, 10, -5, 100), one(0, 0, 1, 5, 10, -5),
    ),
]  # fmt: skip
LOCKS_WAITING = [
    words(
        "lockw", FD, one("F_SETLKW", "F_SETLKW", "F_OFD_SETLKW"), one("F_RDLCK", "F_WRLCK", "F_UNLCK", "5"),
        one("SEEK_SET", "SEEK_END"), one(0, 0, 5, 10), one(0, 1, 5),
    ),
]  # fmt: skip
