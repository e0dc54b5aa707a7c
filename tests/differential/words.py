"""What operations are given: the small world of names, descriptors and numbers, as strategies that write words."""

from __future__ import annotations

from hypothesis import strategies as st

Line = st.SearchStrategy[str]


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
