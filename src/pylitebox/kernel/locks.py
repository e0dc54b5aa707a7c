"""Advisory file locks: flock(2), and fcntl(2)'s record locks of processes and of open file descriptions.

An inode has at most one :class:`Locks`, made by its first lock and kept in ``inode.locks``. The two kinds do not see
each other, as on Linux. Who holds a lock is its owner: the open file description for flock and OFD locks, the
descriptor table for process locks. Ranges are inclusive.

Rules: locks of a table on a file go with the first descriptor of that table closed on it (man 2 fcntl); those of an
open file description go with its last reference. A wait that would close a cycle of process locks is EDEADLK.
A file without a name gets its inode from the caller (File.make_inode). Missing: mandatory locking, leases;
/proc/locks does not show who waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from weakref import ref

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import F_UNLCK, F_WRLCK, LOCK_EX, LOCK_UN
from pylitebox.abi.stat import major, minor
from pylitebox.kernel.descriptors import FileTable
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.wait import Blocking, Wait, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.fs.vfs import Inode
    from pylitebox.kernel.kernel import Kernel

#: Who holds a lock: a process (its descriptor table) or an open file description.
Owner: TypeAlias = "FileTable | File"

#: The most record locks on one file; beyond it ENOLCK, so that no guest fills the supervisor.
MAX_RECORDS = 4096
_EOF = (1 << 63) - 1


class Record:
    """A record lock on the bytes ``first`` to ``last``; ``kind`` is F_RDLCK, F_WRLCK or (as a request) F_UNLCK."""

    __slots__ = ("first", "kind", "last", "owner", "pid")

    def __init__(self, owner: Owner, kind: int, first: int, last: int, pid: int) -> None:
        self.owner = owner
        self.kind = kind
        self.first = first
        self.last = last
        self.pid = pid  # as F_GETLK reports it; -1 for OFD locks


class Locks:
    """All locks on one inode."""

    __slots__ = ("__weakref__", "_budget", "flocks", "inode", "queue", "records")

    def __init__(self, inode: Inode) -> None:
        kernel = inode.filesystem.kernel
        self._budget = kernel.record_locks  # of all record locks of the sandbox
        self.inode = ref(inode)
        self.flocks: dict[File, tuple[int, int]] = {}  # LOCK_SH or LOCK_EX, and who set it
        self.records: list[Record] = []  # by first byte
        self.queue = WaitQueue()  # woken when a lock is given up or weakened
        kernel.locks[id(self)] = self

    def conflict(self, wanted: Record) -> Record | None:
        """A lock of another owner that forbids ``wanted``; for F_UNLCK one that it would end (F_OFD_GETLK)."""
        for lock in self.records:
            if lock.first > wanted.last or wanted.first > lock.last:
                continue
            if wanted.kind == F_UNLCK:
                if lock.owner is wanted.owner:
                    return lock
            elif lock.owner is not wanted.owner and F_WRLCK in (lock.kind, wanted.kind):
                return lock
        return None

    def replace(self, new: Record) -> None:
        """Put ``new`` in the place of whatever its owner had on these bytes; neighbours of its kind join it."""
        kept: list[Record] = []
        first, last = new.first, new.last
        for lock in self.records:
            if lock.owner is not new.owner:
                kept.append(lock)
            elif lock.kind == new.kind and lock.first <= last + 1 and first <= lock.last + 1:
                first, last = min(first, lock.first), max(last, lock.last)
            elif lock.last < new.first or new.last < lock.first:
                kept.append(lock)
            else:  # another kind, or F_UNLCK: what sticks out remains
                if lock.first < new.first:
                    kept.append(Record(lock.owner, lock.kind, lock.first, new.first - 1, lock.pid))
                if lock.last > new.last:
                    kept.append(Record(lock.owner, lock.kind, new.last + 1, lock.last, lock.pid))
        if new.kind != F_UNLCK:
            kept.append(Record(new.owner, new.kind, first, last, new.pid))
        if len(kept) > max(MAX_RECORDS, len(self.records)):
            raise KernelError(E.ENOLCK)
        more = len(kept) - len(self.records)
        if more > 0:
            self._budget.take(more)
        else:
            self._budget.give(-more)
        kept.sort(key=lambda lock: lock.first)
        self.records = kept
        self.queue.wake()

    def forget(self, owner: Owner) -> None:
        """Give up all that ``owner`` holds here."""
        held = len(self.records) + len(self.flocks)
        before = len(self.records)
        self.records = [lock for lock in self.records if lock.owner is not owner]
        self._budget.give(before - len(self.records))
        if not isinstance(owner, FileTable):
            self.flocks.pop(owner, None)
        if len(self.records) + len(self.flocks) != held:
            self.queue.wake()


#: Which table waits for a lock of which other: the edges that a deadlock would close. Only process locks.
_waiting: dict[Owner, Record] = {}


def _of(file: File) -> Locks:
    inode = file.inode
    assert inode is not None, "the caller had it made"
    if inode.locks is None:
        inode.locks = Locks(inode)
    return inode.locks


def flock(file: File, mode: int, pid: int, *, wait: bool) -> int | Blocking:
    """Set ``file``'s lock to LOCK_SH or LOCK_EX, or give it up (LOCK_UN); EAGAIN where it may not ``wait``."""
    locks = _of(file)
    if mode == LOCK_UN:
        if locks.flocks.pop(file, None) is not None:
            locks.queue.wake()
        return 0
    if locks.flocks.get(file, (0, 0))[0] == mode or _try_flock(locks, file, mode, pid):
        return 0
    if not wait:
        raise KernelError(E.EAGAIN)
    return _flock_later(locks, file, mode, pid)


def _try_flock(locks: Locks, file: File, mode: int, pid: int) -> bool:
    # a conversion gives up the old lock first, and does not get it back (man 2 flock)
    if locks.flocks.pop(file, None) is not None:
        locks.queue.wake()
    for other, _ in locks.flocks.values():
        if LOCK_EX in (mode, other):
            return False
    locks.flocks[file] = mode, pid
    return True


def _flock_later(locks: Locks, file: File, mode: int, pid: int) -> Blocking:
    file.references += 1  # another thread may close it meanwhile
    try:
        while not _try_flock(locks, file, mode, pid):
            yield Wait(locks.queue)
    finally:
        file.put()
    return 0


def conflict(file: File, wanted: Record) -> Record | None:
    """F_GETLK: a lock that forbids ``wanted``, or None."""
    return _of(file).conflict(wanted)


def set_record(file: File, new: Record, *, wait: bool) -> int | Blocking:
    """Set or clear a record lock; EAGAIN where it may not ``wait``, EDEADLK, ENOLCK."""
    locks = _of(file)
    if new.kind == F_UNLCK or locks.conflict(new) is None:
        locks.replace(new)
        return 0
    if not wait:
        raise KernelError(E.EAGAIN)
    return _record_later(locks, file, new)


def _record_later(locks: Locks, file: File, new: Record) -> Blocking:
    file.references += 1
    try:
        while (other := locks.conflict(new)) is not None:
            if new.owner is not file:
                if _closes_cycle(new.owner, other.owner):
                    raise KernelError(E.EDEADLK)
                _waiting[new.owner] = other
            yield Wait(locks.queue)
        locks.replace(new)
        if isinstance(new.owner, FileTable) and file not in new.owner.files.values():
            locks.forget(new.owner)  # another thread closed the file meanwhile
    finally:
        _waiting.pop(new.owner, None)
        file.put()
    return 0


def _closes_cycle(owner: Owner, other: Owner) -> bool:
    seen: set[int] = set()
    while other is not owner:
        blocked = _waiting.get(other)
        if blocked is None or id(other) in seen:
            return False
        seen.add(id(other))
        other = blocked.owner
    return True


# -- /proc/locks ----------------------------------------------------------------------------------------------


def show(kernel: Kernel) -> bytes:
    """What /proc/locks says (man 5 proc_locks)."""
    lines = (line for locks in tuple(kernel.locks.values()) for line in _lines(locks))
    return b"".join(b"%d: %s\n" % numbered for numbered in enumerate(lines, 1))


def _lines(locks: Locks) -> Iterator[bytes]:
    inode = locks.inode()
    if inode is None:
        return
    stat = inode.stat()
    where = b"%02x:%02x:%d" % (major(stat.dev), minor(stat.dev), stat.ino)
    for mode, pid in locks.flocks.values():
        yield b"FLOCK  ADVISORY  %s %d %s 0 EOF" % (b"WRITE" if mode == LOCK_EX else b"READ", pid, where)
    for lock in locks.records:
        form = b"POSIX " if isinstance(lock.owner, FileTable) else b"OFDLCK"
        kind = b"WRITE" if lock.kind == F_WRLCK else b"READ"
        last = b"EOF" if lock.last == _EOF else b"%d" % lock.last
        yield b"%s ADVISORY  %s %d %s %d %s" % (form, kind, lock.pid, where, lock.first, last)
