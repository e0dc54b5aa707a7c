"""What hypothesis writes: sequences of operations on a small world, so that they meet each other.

A sequence has a *theme*: which families of operations it mixes, and the lines that it may begin with, so that there is
something to work on (an open file, a pipe, a child). There are few names and few descriptors; that alone makes that
about half of the calls succeed. Each operation is a text line, written with the constants' names: see executor.c for
what each does with its arguments, and sequences.py for what happens to the lines.

``GAPS`` are operations that are known to differ and are left out until they don't.
"""

from __future__ import annotations

from collections.abc import Iterable

import hypothesis
from hypothesis import strategies as st

Line = st.SearchStrategy[str]
#: Operations of one sequence, at least and at the most, beside those that it begins with.
OPERATIONS = 6, 30

#: What is known to be missing, and therefore not generated.
GAPS = {
    "setxattr": "access control lists (system.posix_acl_access): ours has none, as a Linux without CONFIG_FS_POSIX_ACL",
    "lseek": "st_blocks, and SEEK_DATA and SEEK_HOLE of files that are or were mapped: a shared buffer is all data",
    "fcntl": "F_SETLEASE, F_NOTIFY",
    "seals": "F_SEAL_WRITE while the file is mapped by a descriptor that is read-only",
    "shmctl": "shm_lpid after munmap(2) of a segment: it is noticed when its process asks about segments",
    "fsize": "RLIMIT_FSIZE for fallocate(FALLOC_FL_KEEP_SIZE): only Linux's tmpfs asks for it",
    "mmap": "files larger than the sandbox's memory, however sparse: ENOSPC",
    "fallocate": "COLLAPSE_RANGE and the like on a tmpfs, which Linux's refuses; where a host's other file systems have"
    " holes afterwards",
}


def one(*values: object) -> Line:
    return st.sampled_from([str(value) for value in values])


def flags(*names: str, base: str = "0") -> Line:
    """Some of these, most often one or two."""
    return st.lists(st.sampled_from(names), max_size=3, unique=True).map(lambda some: "|".join([base, *sorted(some)]))


def words(*parts: str | Line) -> Line:
    """A line of these words."""
    strategies = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map(" ".join)


# -- arguments --------------------------------------------------------------------------------------------------------

SIMPLE = ["a", "b", "c", "d"]
NAME = one(
    *SIMPLE * 4, "d/a", "d/b", "d/c", "d/a", "d/b", "c/a", "d/d", "a/b", "d/.", "d/..", ".", "..", "a/", "d/", "./a",
    "d//a", "d/../a", "../w", "e", "%", "a/.", "d/d/a", "%L255", "%L256", "../w/b",
)  # fmt: skip
#: Targets of symbolic links; several make loops.
TARGET = one("a", "b", "c", "d", "d/a", "../a", ".", "..", "e", "d/", "./c", "%L255", "%")
FD = one(*[3] * 6, *[4] * 5, *[5] * 4, *[6] * 3, *[7] * 2, 8, 9, -1)
NEWFD = one(3, 4, 5, 6, 7, 8, 9, 12, 3, 4, 5, -1)
AT = one(*["AT_FDCWD"] * 4, 3, 4, 5, 9)
SIZE = one(0, 1, 5, 10, 10, 100, 1000, 4095, 4096, 4097, 5000, 10000, 65536, 70000)
SMALL = one(0, 1, 3, 10, 100, 4096)
OFFSET = one(0, 0, 1, 5, 100, 4095, 4096, 4097, 8192, 65536, 100000, -1)
ANYWHERE = one(0, 0, 1, 5, 100, 4096, 10000, 70000, -1, -5, -100, (1 << 63) - 1)
LENGTH = one(0, 0, 1, 5, 100, 4096, 10000, 70000, -1, 100000)
MODE = one(
    "0o644", "0o666", "0o777", "0o755", "0o600", "0o444", "0o000", "0o222", "0o4755", "0o2755", "0o1777", "0o7777"
)  # fmt: skip
ACCESS = one("O_RDONLY", "O_RDWR", "O_RDWR", "O_WRONLY")
OPEN_FLAGS = st.tuples(
    ACCESS,
    flags(
        "O_CREAT", "O_CREAT", "O_EXCL", "O_TRUNC", "O_APPEND", "O_DIRECTORY", "O_NOFOLLOW", "O_PATH", "O_CLOEXEC",
        "O_NONBLOCK", "O_NOATIME", "O_TMPFILE", "O_NOCTTY", "O_SYNC",
    ) | st.just("O_CREAT"),
).map("|".join)  # fmt: skip
UID = one(0, 0, 1000, 1001, 1000, -1)
SIGNAL = one("SIGUSR1", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGWINCH")
SIGNALS = one("0x200", "0xa00", "0x4200", "0x10000", "0x800", "0x7fffffff", "0x20200")  # masks; USR1 is 0x200
PROCESS = one("@0", "@1", "@1", "@2", "@3", "0")
EVENTS = flags(
    "POLLIN", "POLLOUT", "POLLPRI", "POLLRDHUP", "POLLHUP", "POLLRDNORM", "POLLWRNORM", base="POLLIN|POLLOUT"
) | one("POLLIN", "POLLOUT", "0")  # fmt: skip

# -- families ---------------------------------------------------------------------------------------------------------

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
PIPES = [
    words("pipe", flags("O_NONBLOCK", "O_CLOEXEC", "O_DIRECT")),
    words("read", FD, SIZE),
    words("write", FD, SIZE),
    words("readv", FD, SIZE),
    words("writev", FD, SIZE),
    words("ioctl_nread", FD),
    words("fcntl", FD, one("F_SETPIPE_SZ"), one(0, 4096, 8192, 10000, 65536, 1 << 20, -1)),
    words("fcntl", FD, one("F_GETPIPE_SZ"), one("0")),
    words("open", one("b", "a"), st.tuples(ACCESS, one("O_NONBLOCK", "O_NONBLOCK", "0")).map("|".join), one("0")),
    words("mknod", one("b", "a"), one("S_IFIFO|0o644")),
    words("close", FD),
    words("poll", EVENTS, FD, FD, FD),
    words("fcntl", FD, one("F_SETFL"), flags("O_NONBLOCK", "O_DIRECT")),
    words("ioctl_nbio", FD, one(0, 1)),
]
SOCKET_TYPE = one("SOCK_STREAM", "SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET", "SOCK_STREAM|SOCK_NONBLOCK", "77")
FIFOS = [
    words("mknod", one("a", "b", "d/a"), one("S_IFIFO|0o644")),
    words("open", one("a", "b", "b"), one("O_RDONLY", "O_WRONLY", "O_RDWR", "O_RDONLY|O_NONBLOCK", "O_PATH"), one("0")),
    words("unlink", one("a", "b")),
    words("stat", one("a", "b")),
]
SOCKETS = [
    words("socketpair", SOCKET_TYPE),
    words("socket", SOCKET_TYPE),
    words("bind", FD, one("a", "b", "c", "d", "%", "d/a")),
    words("connect", FD, one("a", "b", "c", "d", "%")),
    words("listen", FD, one(0, 1, 5)),
    words("accept", FD, one("0", "SOCK_CLOEXEC", "SOCK_NONBLOCK", "3")),
    words("socket_name", FD, one(0, 1)),
    words("getsockopt", FD, one("SO_TYPE", "SO_ERROR", "SO_ACCEPTCONN", "SO_DOMAIN", "SO_PROTOCOL", "SO_PASSCRED")),
    words("send", FD, SMALL, flags("MSG_NOSIGNAL", "MSG_EOR")),
    words("send", FD, SMALL, one("0")),
    words("sendto", FD, SMALL, one("a", "b", "c")),
    words("recv", FD, SMALL, flags("MSG_PEEK", "MSG_TRUNC", "MSG_WAITALL")),
    words("recv", FD, SMALL, one("0")),
    words("read", FD, SMALL),
    words("write", FD, SMALL),
    words("sendfd", FD, FD),
    words("recvmsg", FD, SMALL, flags("MSG_PEEK", "MSG_CMSG_CLOEXEC"), one(0, 20, 200, 200, 200)),
    words("shutdown", FD, one("SHUT_RD", "SHUT_WR", "SHUT_RDWR", "5")),
    words("ioctl_nread", FD),
    words("poll", EVENTS, FD, FD, FD),
    words("close", FD),
]
EVENT_FILES = [
    words("eventfd", one(0, 1, 5), one("0", "EFD_SEMAPHORE", "EFD_NONBLOCK", "EFD_SEMAPHORE|EFD_CLOEXEC", "5")),
    words("write_u64", FD, one(0, 1, 7, -1, -2)),
    words("read", FD, one(8, 8, 16, 4)),
    words("timerfd", one("CLOCK_MONOTONIC", "CLOCK_REALTIME", "77"), one("0", "TFD_NONBLOCK", "TFD_CLOEXEC", "5")),
    words("timerfd_set", FD, one(0, 1)),
    words("signalfd", one(-1, -1, 3, 4), SIGNALS, one("0", "SFD_NONBLOCK", "SFD_CLOEXEC", "5")),
    words("poll", EVENTS, FD, FD, FD),
    words("poll", EVENTS, FD, FD),
    words("epoll_create", one("0", "EPOLL_CLOEXEC", "5")),
    words(
        "epoll_ctl", FD, one("EPOLL_CTL_ADD", "EPOLL_CTL_ADD", "EPOLL_CTL_MOD", "EPOLL_CTL_DEL", "9"), FD,
        flags("EPOLLET", "EPOLLONESHOT", "EPOLLRDHUP", "EPOLLOUT", "EPOLLEXCLUSIVE", base="EPOLLIN"),
    ),
    words("epoll_wait", FD, one(10, 10, 10, 1, 0, -1)),
    words("epoll_wait", FD, one(10)),
    words("pipe", one("0", "O_NONBLOCK")),
    words("socketpair", one("SOCK_STREAM", "SOCK_DGRAM")),
    words("read", FD, SMALL),
    words("write", FD, SMALL),
    words("dup", FD),
    words("close", FD),
]  # fmt: skip
SLOT = one(0, 1, 0, 1, 2)
SEALS = ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_FUTURE_WRITE", "F_SEAL_SEAL", "F_SEAL_WRITE", "F_SEAL_EXEC")
MEMORY = [
    words(
        "mmap", SLOT, FD, one("PROT_READ|PROT_WRITE", "PROT_READ|PROT_WRITE", "PROT_READ", "PROT_WRITE", "PROT_NONE"),
        one("MAP_SHARED", "MAP_SHARED", "MAP_PRIVATE", "0", "MAP_SHARED|MAP_PRIVATE"),
        one(4096, 8192, 10000, 100), one(0, 0, 0, 4096, 100),
    ),
    words("peek", SLOT, one(0, 0, 10, 4090, 4096, 5000), one(1, 10, 100)),
    words("poke", SLOT, one(0, 0, 10, 4090, 4096, 5000), one(1, 10, 100)),
    words("munmap", SLOT),
    words("msync", SLOT, one("MS_SYNC", "MS_ASYNC", "MS_SYNC|MS_ASYNC", "0")),
]  # fmt: skip
SEALING = [
    words("memfd", one("0", "MFD_ALLOW_SEALING", "MFD_ALLOW_SEALING", "MFD_CLOEXEC", "MFD_NOEXEC_SEAL", "0x8000")),
    words("fcntl", FD, one("F_ADD_SEALS"), flags(*SEALS)),
    words("fcntl", FD, one("F_GET_SEALS"), one("0")),
]  # fmt: skip
AREA = one(0, 0, 4096, 8192, 100)
NO_FILE = "MAP_PRIVATE|MAP_ANONYMOUS", "MAP_SHARED|MAP_ANONYMOUS"
AREAS = [
    words("mmap", SLOT, one(-1), one("PROT_READ|PROT_WRITE"), one(*NO_FILE), one(8192, 20000), one(0)),
    words("mmap", SLOT, one(-1), one("PROT_READ|PROT_WRITE", "PROT_READ"), one(*NO_FILE), one(8192, 20000), one(0)),
    words("mprotect", SLOT, AREA, one(4096, 8192, 5000, 0), one("PROT_READ", "PROT_READ|PROT_WRITE", "PROT_NONE", 64)),
    words("mremap", SLOT, one(4096, 8192, 16384, 0, 5000)),
    words("madvise", SLOT, AREA, one(4096, 8192), one("MADV_DONTNEED", "MADV_WILLNEED", "MADV_NORMAL", 77)),
    words("madvise", SLOT, AREA, one(4096, 8192), one("MADV_DONTNEED", "MADV_DONTFORK", "MADV_REMOVE")),
]
NAMELESS = [
    words("fchmod", FD, MODE),
    words("fchown", FD, UID, UID),
    words("utimensat", FD, one("%0"), TIME, TIME, one("0")),
    words("fstat", FD),
    words("fstatat", FD, one("%"), one("AT_EMPTY_PATH")),
    words("fchmodat2", FD, one("%"), MODE, one("AT_EMPTY_PATH")),
    words("eventfd", one(0), one("EFD_NONBLOCK")),
    words("socketpair", one("SOCK_STREAM")),
    words("memfd", one("0", "MFD_ALLOW_SEALING", "MFD_NOEXEC_SEAL")),
    words("pipe", one("O_NONBLOCK")),
    words("fsetxattr", FD, XATTR, one(1), one("0")),
    words("fgetxattr", FD, XATTR, one(100)),
    words("close", FD),
]
OWNERS = [
    words("setown", FD, one("@0", "@1", "0", "-@0", "-@1", "99999999")),
    words("setown_ex", FD, one(0, 1, 2, 3), one("@0", "@1", "0", "99999999")),
    words("getown", FD),
    words("fcntl", FD, one("F_SETSIG"), one(0, "SIGUSR1", "SIGUSR1", 65)),
    words("fcntl", FD, one("F_GETSIG"), one(0)),
    words("fcntl", FD, one("F_SETFL"), one("O_ASYNC", "O_ASYNC|O_NONBLOCK", "O_NONBLOCK")),
    words("read", FD, SMALL),
    words("write", FD, SMALL),
    words("close", FD),
]
WATCHED = flags(
    "IN_ACCESS", "IN_MODIFY", "IN_ATTRIB", "IN_CLOSE_WRITE", "IN_CREATE", "IN_DELETE", "IN_DELETE_SELF", "IN_MOVE_SELF",
    "IN_ONLYDIR", "IN_DONT_FOLLOW", "IN_EXCL_UNLINK", "IN_MASK_ADD", "IN_ONESHOT", "IN_MASK_CREATE",
) | one("IN_ALL_EVENTS")  # fmt: skip
NOTIFY = [
    words("inotify", one("0", "O_NONBLOCK", "O_CLOEXEC", "5")),
    words("inotify_add", FD, NAME, WATCHED),
    words("inotify_add", one(3), one(".", "a", "d"), one("IN_ALL_EVENTS")),
    words("inotify_rm", FD, one(1, 2, 3, 9)),
    words("inotify_read", FD, one(32768, 32768, 32768, 16, 40, 0)),
    words("inotify_read", one(3), one(32768)),
    words("ioctl_nread", FD),
    words("poll", one("POLLIN"), one(3)),
]
FILE_SIZE = [
    words("fsize", one(0, 10, 4096, 5000, -1)),
    words("write", FD, SIZE),
    words("pwrite", FD, SIZE, OFFSET),
    words("pwritev2", FD, SMALL, OFFSET, RWF),
    words("writev", FD, SIZE),
    words("ftruncate", FD, LENGTH),
    words("truncate", NAME, LENGTH),
    words("fallocate", FD, one("0"), OFFSET, SIZE),
]
OBJECT = one(0, 0, 0, 1, 2)
CHANGE = st.tuples(one(0, 0, 1, 2, 5, -1), one(1, 1, 2, -1, -1, -2, 0, 32767), one(0, 0, "SEM_UNDO")).map(" ".join)
SEMAPHORES = [
    words("semget", OBJECT, one(1, 3, 3, 0, -1), one("0o600", "0o666", "0o644", "0")),
    words("semop", OBJECT, CHANGE),
    words("semop", OBJECT, CHANGE, CHANGE),
    words("semctl", OBJECT, one(0, 0, 1, 2, 5), one("GETVAL", "GETVAL", "GETPID", "SETVAL"), SMALL),
    words("semctl", OBJECT, one(0, 0, 1, 2, 5), one("GETNCNT", "GETZCNT"), one(0)),
    words("semctl", OBJECT, one(0), one("GETALL", "SETALL", "IPC_STAT", "IPC_RMID", 99), one(0, 1, 40000)),
    words("semctl", OBJECT, UID, one("IPC_SET"), one("0o600", "0o644")),
]
TYPE = one(1, 1, 2, 3)
MESSAGES = [
    words("msgget", OBJECT, one("0o600", "0o666", "0o644", "0")),
    words("msgsnd", OBJECT, one(1, 1, 2, 3, 0, -1), one(0, 1, 10, 5000, 8192, 8193, -1)),
    words("msgrcv", OBJECT, one(0, 0, 1, 2, -2), one(10, 9000, 9000, 0, -1), flags("MSG_NOERROR", "MSG_EXCEPT")),
    words("msgctl", OBJECT, one("IPC_STAT", "IPC_STAT", "IPC_RMID", "IPC_SET", 99), one(16384, 5000), one("0o644")),
]
SEGMENTS = [
    words("shmget", OBJECT, one(4096, 5000, 0, 1), one("0o600", "0o666", "0o644", "0")),
    words("shmat", OBJECT, SLOT, one("0", "0", "SHM_RDONLY")),
    words("shmdt", SLOT),
    words("shmctl", OBJECT, one("IPC_STAT", "IPC_STAT", "IPC_RMID", "IPC_SET", 99), one("0o644", "0o600")),
    words("peek", SLOT, one(0, 10, 4090), one(1, 10)),
    words("poke", SLOT, one(0, 10, 4090), one(1, 10)),
    words("munmap", SLOT),
]
QUEUES = [
    words(
        "mq_open", OBJECT,
        one("O_RDWR|O_CREAT", "O_RDWR", "O_RDONLY|O_NONBLOCK", "O_WRONLY", "O_RDWR|O_CREAT|O_EXCL"),
        MODE, one(0, 0, 2, 10), one(10, 100, 8192, 0),
    ),
    words("mq_unlink", OBJECT),
    words("mq_send", FD, one(0, 1, 10, 100, 9000), one(0, 1, 5, 32767, 32768)),
    words("mq_send", FD, one(1, 10), one(0, 1, 5)),
    words("mq_receive", FD, one(8192, 8192, 100, 10)),
    words("mq_attr", FD, one(-1, "0", "O_NONBLOCK", "O_RDWR")),
    words("mq_notify", FD, one("SIGEV_SIGNAL", "SIGEV_NONE", -1, 9), one("SIGUSR1", "SIGUSR1", 0, 65)),
    words("poll", EVENTS, FD, FD),
    words("fstat", FD),
    words("fchmod", FD, MODE),
    words("fork", one(1)),
]  # fmt: skip
INTERVAL = one(0, 0, 50, 7)
PERIOD = one(1000, 500, 0, 1000, -1)
TIMERS = [
    words("timerfd", one("CLOCK_MONOTONIC", "CLOCK_REALTIME", "CLOCK_BOOTTIME"), one("0", "TFD_NONBLOCK")),
    words("timerfd_arm", FD, PERIOD, INTERVAL, one(0, 0, 4)),
    words("timerfd_set", FD, one(0, 1)),
    words("timerfd_get", FD),
    words("read", FD, one(8, 4)),
    words("setitimer", one("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF", 3), PERIOD, INTERVAL),
    words("getitimer", one("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF", 3)),
    words("alarm", one(0, 1000, 500)),
    words(
        "timer_create", SLOT, one("CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_PROCESS_CPUTIME_ID", 77),
        one("SIGEV_SIGNAL", "SIGEV_NONE", 9), one("SIGUSR1", 0, 65),
    ),
    words("timer_settime", SLOT, PERIOD, INTERVAL, one(0)),
    words("timer_gettime", SLOT),
    words("timer_getoverrun", SLOT),
    words("timer_delete", SLOT),
    words("fork", one(1)),
    words("exec"),
]  # fmt: skip
CHILD = one(1, 1, 2, 3)
PROCESSES = [
    words("fork", CHILD),
    words("fork", CHILD),
    words("exec"),
    words("exit", one(0, 1, 7, 255, 256)),
    words("kill", PROCESS, one("SIGKILL", "SIGTERM", "SIGUSR1", "SIGSTOP", "SIGCONT", "0", "SIGCHLD", "SIGTSTP", "65")),
    words("wait4", one("-1", "-1", "@1", "@2", "0"), flags("WUNTRACED", "WCONTINUED", "__WALL", "__WCLONE")),
    words(
        "waitid", one("P_ALL 0", "P_PID @1", "P_PID @2", "P_PGID 0", "P_PGID @1", "9 0"),
        flags("WEXITED", "WSTOPPED", "WCONTINUED", "WNOWAIT", base="WEXITED") | one("WSTOPPED", "0"),
    ),
    words("getpid"),
    words("getpgid", one("0", "@0", "@1", "@2", "99999999", "-1")),
    words("getsid", one("0", "@0", "@1", "-1")),
    words("setpgid", one("0", "@1", "@2", "-1"), one("0", "@0", "@1", "@2", "-1")),
    words("setsid"),
    words("prctl", one("PR_SET_PDEATHSIG SIGUSR1", "PR_SET_PDEATHSIG 99", "PR_SET_CHILD_SUBREAPER 1")),
    words("prctl", one("PR_GET_DUMPABLE 0")),
    words("fds"),
    words("nofile", one(6, 64, 0)),
]  # fmt: skip
SIGNALLING = [
    words(
        "sigaction", SIGNAL, one(0, 1, 2, 2, 2),
        flags("SA_RESTART", "SA_NODEFER", "SA_RESETHAND", "SA_NOCLDWAIT", "SA_NOCLDSTOP"), SIGNALS,
    ),
    words("sigaction", one("SIGKILL", "SIGSTOP", "0", "65"), one(0, 2), one("0"), one("0")),
    words("sigprocmask", one("SIG_BLOCK", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK", "9"), SIGNALS),
    words("sigpending"),
    words("sigtimedwait", SIGNALS),
    words("raise", SIGNAL),
    words("kill", PROCESS, SIGNAL),
]  # fmt: skip
CREDENTIALS = [
    words("become", one(1000)),
    words("setreuid", UID, UID),
    words("setresuid", UID, UID, UID),
    words("setfsuid", UID),
    words("setregid", UID, UID),
    words("getuid"),
    words("access", NAME, one(0, 1, 2, 4)),
]


def theme(*families: list[Line], start: tuple[str, ...] = (), children: int = 0) -> st.SearchStrategy[list[str]]:
    """Sequences that mix these families (a family twice is twice as likely). ``start`` are lines that may come first,
    each or not; ``children``: in how many of ten operations a child acts."""
    operation = st.sampled_from(families).flatmap(st.sampled_from).flatmap(lambda line: line)
    if children:
        actor = one(*[""] * (10 - children), *["1 "] * max(1, children - 1), "2 ")
        operation = st.tuples(actor, operation).map("".join)
    kept = st.tuples(*(st.sampled_from([line, line, line, ""]) for line in start))
    body = st.lists(operation, min_size=OPERATIONS[0], max_size=OPERATIONS[1])
    return st.tuples(kept, body).map(lambda parts: [line for line in (*parts[0], *parts[1]) if line])


ROOTS = [
    words("chroot", NAME),
    words("symlink", one("/a", "/d", "/", "..", "../a"), one("a", "b", "c", "d/c")),
    words("chroot", one("d", "c", ".", "..")),
    words("chdir", one("/", "..", ".", "d", "/d")),
    words("getcwd", one(0)),
    words("stat", one("/", "/a", "/d", "/..", "/d/..", "a", "..")),
    words("open", one("/", "/a", "/d/a", "..", "c"), one("O_RDONLY", "O_PATH"), one(0)),
]
FILE = "open a O_RDWR|O_CREAT 0o644"
DIRECTORY = "mkdir d 0o755"
USER = "become 1000"
PAIR = "pipe O_NONBLOCK"
MAPPING = "mmap 0 3 PROT_READ|PROT_WRITE MAP_SHARED 8192 0"

THEMES = {
    "data": theme(OPENING, DATA, DATA, DATA, DESCRIPTORS, start=(FILE, "write 3 5000")),
    "transfer": theme(
        OPENING, DATA, TRANSFER, TRANSFER, TRANSFER, PIPES,
        start=(FILE, "write 3 5000", "open b O_RDWR|O_CREAT 0o644", PAIR),
    ),
    "names": theme(
        OPENING, NAMES, NAMES, NAMES, LINK_OPEN, start=(DIRECTORY, "creat a 0o644", "close 3", "creat d/b 0o600")
    ),
    "links": theme(
        NAMES, NAMES, OPENING, ATTRIBUTES, start=(DIRECTORY, "symlink a b", "symlink d c", "creat d/a 0o644")
    ),
    "attributes": theme(
        OPENING, ATTRIBUTES, ATTRIBUTES, ATTRIBUTES_MORE, NAMES, DATA, start=(DIRECTORY, FILE, "setxattr a user.x 5 0")
    ),
    "permissions": theme(
        OPENING, ATTRIBUTES, NAMES, NAMES, ATTRIBUTES_MORE, CREDENTIALS,
        start=(
            "umask 0", "mkdir d 0o1777", "creat d/a 0o600", "mkdir c 0o755", "creat c/a 0o666", "creat a 0o666", USER
        ),
    ),
    "user": theme(
        OPENING, ATTRIBUTES, ATTRIBUTES, NAMES, DATA, LOCKS, start=("mkdir d 0o2777", "chmod d 0o2777", FILE, USER)
    ),
    "descriptors": theme(OPENING, DESCRIPTORS, DESCRIPTORS, DATA, PIPES, PROCESSES, start=(FILE, PAIR), children=2),
    "pipes": theme(PIPES, PIPES, DESCRIPTORS, start=(PAIR, "mknod b S_IFIFO|0o644"), children=0),
    "shared pipes": theme(PIPES, PIPES, DESCRIPTORS, PROCESSES, start=(PAIR, "fork 1"), children=4),
    "sockets": theme(SOCKETS, SOCKETS, SOCKETS, DESCRIPTORS, start=("socketpair SOCK_STREAM", PAIR)),
    "named sockets": theme(
        SOCKETS, SOCKETS, NAMES,
        start=("socket SOCK_STREAM", "bind 3 a", "listen 3 1", "socket SOCK_STREAM", "connect 4 a"),
    ),
    "events": theme(
        EVENT_FILES, EVENT_FILES, EVENT_FILES, DESCRIPTORS, SIGNALLING,
        start=("epoll_create 0", PAIR, "epoll_ctl 3 EPOLL_CTL_ADD 4 EPOLLIN", "eventfd 0 EFD_NONBLOCK"),
    ),
    "memory": theme(MEMORY, MEMORY, MEMORY, SEALING, DATA, start=("memfd MFD_ALLOW_SEALING", "write 3 5000", MAPPING)),
    "seals": theme(SEALING, SEALING, MEMORY, DATA, start=("memfd MFD_ALLOW_SEALING", "write 3 5000")),
    "mapped files": theme(MEMORY, MEMORY, DATA, OPENING, start=(FILE, "write 3 5000", MAPPING)),
    "shared memory": theme(
        MEMORY, MEMORY, DATA, PROCESSES, start=(FILE, "write 3 5000", MAPPING, "fork 1"), children=4
    ),
    "locks": theme(
        LOCKS, LOCKS, LOCKS, LOCKS_WAITING, OPENING, DESCRIPTORS, PROCESSES,
        start=(FILE, "write 3 10", "fork 1", "open a O_RDWR 0", "1 open a O_RDWR 0"), children=5,
    ),
    "holes": theme(
        HOLES, HOLES, DATA, OPENING, start=(FILE, "pwrite 3 5000 0", "pwrite 3 10 20480")
    ),
    "areas": theme(
        AREAS, MEMORY, DATA, PROCESSES,
        start=(FILE, "write 3 10000", "mmap 0 3 PROT_READ|PROT_WRITE MAP_SHARED 16384 0", "fork 1"), children=3,
    ),
    "nameless": theme(
        NAMELESS, NAMELESS, DESCRIPTORS, CREDENTIALS, LINK_OPEN, start=(PAIR, "memfd 0", "eventfd 0 EFD_NONBLOCK")
    ),
    "owners": theme(
        OWNERS, OWNERS, PIPES, PROCESSES, SIGNALLING,
        start=(
            "sigaction SIGIO 2 0 0", "sigaction SIGUSR1 2 0 0", "fork 1", "socketpair SOCK_STREAM", PAIR, "setown 3 @0",
            "fcntl 3 F_SETFL O_ASYNC|O_NONBLOCK",
        ),
        children=3,
    ),
    "notify": theme(
        NOTIFY, NOTIFY, NAMES, OPENING, ATTRIBUTES, DATA,
        start=(
            "inotify O_NONBLOCK", "inotify_add 3 . IN_ALL_EVENTS", "creat a 0o644", "inotify_add 3 a IN_ALL_EVENTS",
            DIRECTORY,
        ),
    ),
    "file size": theme(
        FILE_SIZE, FILE_SIZE, OPENING, TRANSFER, PROCESSES,
        start=(FILE, "write 3 5000", "fsize 5000", "fork 1"), children=2,
    ),
    "fifos": theme(
        PIPES, PIPES, FIFOS, FIFOS, DESCRIPTORS,
        start=("mknod b S_IFIFO|0o644", "fork 1", "open b O_RDONLY|O_NONBLOCK 0", "1 open b O_WRONLY 0"), children=5,
    ),
    "roots": theme(
        ROOTS, ROOTS, NAMES, OPENING, PROCESSES,
        start=(DIRECTORY, "creat d/a 0o644", "fork 1", "1 chroot d"), children=8,
    ),
    "semaphores": theme(
        SEMAPHORES, SEMAPHORES, SEMAPHORES, PROCESSES, CREDENTIALS, start=("semget 0 3 0o600", "fork 1"), children=5
    ),
    "messages": theme(
        MESSAGES, MESSAGES, MESSAGES, PROCESSES, CREDENTIALS,
        start=("msgget 0 0o600", "fork 1", "msgsnd 0 1 10"), children=5,
    ),
    "segments": theme(
        SEGMENTS, SEGMENTS, SEGMENTS, PROCESSES, CREDENTIALS,
        start=("shmget 0 5000 0o600", "shmat 0 0 0", "fork 1", "shmat 0 1 0"), children=5,
    ),
    "queues": theme(
        QUEUES, QUEUES, QUEUES, SIGNALLING, DESCRIPTORS,
        start=("mq_open 0 O_RDWR|O_CREAT 0o644 0 0", "sigaction SIGUSR1 2 0 0", "fork 1"), children=4,
    ),
    "timers": theme(
        TIMERS, TIMERS, TIMERS, DESCRIPTORS,
        start=("timerfd CLOCK_MONOTONIC 0", "timerfd_arm 3 1000 0 0", "timer_create 0 CLOCK_MONOTONIC SIGEV_NONE 0"),
        children=3,
    ),
    "processes": theme(PROCESSES, PROCESSES, SIGNALLING, start=("fork 1", "1 fork 2", "fork 3"), children=4),
    "signals": theme(SIGNALLING, SIGNALLING, PROCESSES, start=("fork 1", "sigaction SIGUSR1 2 0 0"), children=4),
    "credentials": theme(CREDENTIALS, CREDENTIALS, ATTRIBUTES, PROCESSES, start=(FILE, "fork 1"), children=3),
}  # fmt: skip


#: On a file system of the host's that takes out and puts in parts of files, as its tmpfs doesn't and ours does.
MOVING_THEMES = {"ranges": theme(RANGES, RANGES, start=(FILE, "pwrite 3 10000 0", "pwrite 3 9 70000"))}
THEMES_OF_ALL = THEMES | MOVING_THEMES

#: Themes for a workspace: those about files. Seals differ by right: files of a tmpfs have some, of an overlay none.
FILE_THEMES = (
    "attributes", "data", "links", "locks", "mapped files", "named sockets", "names", "permissions", "transfer", "user",
)  # fmt: skip


def sequences(themes: Iterable[str] = THEMES) -> st.SearchStrategy[list[str]]:
    """A sequence of any of these themes."""
    return st.sampled_from(sorted(themes)).flatmap(THEMES_OF_ALL.__getitem__)


def generate(count: int, seed: int, themes: Iterable[str] = THEMES) -> list[list[str]]:
    """What hypothesis writes for this seed."""
    found: list[list[str]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        phases=[hypothesis.Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(sequences(themes))
    def collect(lines: list[str]) -> None:
        found.append(lines)

    collect()
    return found
