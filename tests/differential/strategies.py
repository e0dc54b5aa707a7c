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

from tests.differential.file_operations import (
    ATTRIBUTES,
    ATTRIBUTES_MORE,
    DATA,
    DESCRIPTORS,
    HOLES,
    LINK_OPEN,
    LOCKS,
    LOCKS_WAITING,
    NAMES,
    OPENING,
    RANGES,
    TRANSFER,
)
from tests.differential.other_operations import (
    AREAS,
    CREDENTIALS,
    EVENT_FILES,
    FIFOS,
    FILE_SIZE,
    MEMORY,
    MESSAGES,
    NAMELESS,
    NOTIFY,
    OWNERS,
    PIPES,
    PROCESSES,
    QUEUES,
    ROOTS,
    SEALING,
    SEGMENTS,
    SEMAPHORES,
    SIGNALLING,
    SOCKETS,
    TIMERS,
)
from tests.differential.words import Line, one

#: Operations of one sequence, at least and at the most, beside those that it begins with.
OPERATIONS = 6, 30

#: What is known to be missing, and therefore not generated.
GAPS = {
    "setxattr": "access control lists (system.posix_acl_access): ours has none, as a Linux without CONFIG_FS_POSIX_ACL",
    "lseek": "st_blocks, and SEEK_DATA and SEEK_HOLE of files that are or were mapped, or on a lower layer:"
    " there, all is data (a mapping's pages are the host's knowledge, and the supervisor may not lseek)",
    "fcntl": "F_SETLEASE, F_NOTIFY",
    "shmctl": "shm_lpid after munmap(2) of a segment: it is noticed when its process asks about segments",
    "fsize": "RLIMIT_FSIZE for fallocate(FALLOC_FL_KEEP_SIZE): only Linux's tmpfs asks for it",
    "mmap": "files larger than the sandbox's memory, however sparse: ENOSPC",
    "fallocate": "COLLAPSE_RANGE and the like on a tmpfs, which Linux's refuses; where a host's other file systems have"
    " holes afterwards",
}


def theme(*families: list[Line], start: tuple[str, ...] = (), children: int = 0) -> st.SearchStrategy[list[str]]:
    """Sequences that mix these families (a family twice is twice as likely). ``start`` are lines that may come first,
    each or not; ``children``: in how many of ten operations a child acts. Where files are mapped, nobody asks for their
    holes (GAPS)."""
    operation = st.sampled_from(families).flatmap(st.sampled_from).flatmap(lambda line: line)
    if children:
        actor = one(*[""] * (10 - children), *["1 "] * max(1, children - 1), "2 ")
        operation = st.tuples(actor, operation).map("".join)
    kept = st.tuples(*(st.sampled_from([line, line, line, ""]) for line in start))
    body = st.lists(operation, min_size=OPERATIONS[0], max_size=OPERATIONS[1])
    lines = st.tuples(kept, body).map(lambda parts: [line for line in (*parts[0], *parts[1]) if line])
    return lines.map(_without_holes) if MEMORY in families else lines


def _without_holes(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.endswith(("SEEK_DATA", "SEEK_HOLE"))]


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


#: Themes for a workspace: those about files. Seals differ by right: files of a tmpfs have some, of an overlay none; and
#: what is read from the lower layer has no holes (GAPS).
WORKSPACE_THEMES = {
    name + " of a workspace": THEMES[name].map(_without_holes)
    for name in (
        "attributes", "data", "links", "locks", "mapped files", "named sockets", "names", "permissions", "roots",
        "transfer", "user",
    )
}  # fmt: skip
ALL_THEMES = THEMES | MOVING_THEMES | WORKSPACE_THEMES


def sequences(themes: Iterable[str] = THEMES) -> st.SearchStrategy[list[str]]:
    """A sequence of any of these themes."""
    return st.sampled_from(sorted(themes)).flatmap(ALL_THEMES.__getitem__)


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
