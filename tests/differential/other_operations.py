"""Families of operations on all else: pipes, sockets, events, memory, System V IPC, processes, signals, timers."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.file_operations import RWF, TIME, XATTR
from tests.differential.words import (
    ACCESS,
    EVENTS,
    FD,
    LENGTH,
    MODE,
    NAME,
    OFFSET,
    PROCESS,
    SIGNAL,
    SIGNALS,
    SIZE,
    SMALL,
    UID,
    flags,
    one,
    words,
)

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
ROOTS = [
    words("chroot", NAME),
    words("symlink", one("/a", "/d", "/", "..", "../a"), one("a", "b", "c", "d/c")),
    words("chroot", one("d", "c", ".", "..")),
    words("chdir", one("/", "..", ".", "d", "/d")),
    words("getcwd", one(0)),
    words("stat", one("/", "/a", "/d", "/..", "/d/..", "a", "..")),
    words("open", one("/", "/a", "/d/a", "..", "c"), one("O_RDONLY", "O_PATH"), one(0)),
]
