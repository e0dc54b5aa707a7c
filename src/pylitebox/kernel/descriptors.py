"""File descriptors: a process's table of open files (man 2 open, "Open file descriptions").

A :class:`~pylitebox.kernel.fs.file.File` is an open file description, shared by every descriptor that dup(2), fork(2)
or SCM_RIGHTS made of it; it is released when the last of them is gone. A table is shared by the threads of a process
(and by processes that clone(2) made with CLONE_FILES). The descriptors of all tables of a sandbox share one budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.content import Budget

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.platform import DelegatedThread

#: The highest RLIMIT_NOFILE (/proc/sys/fs/nr_open): poll(2) of so many takes milliseconds.
NR_OPEN = 1 << 16


class FileTable:
    """Descriptor numbers to files. ``limit`` is RLIMIT_NOFILE's soft value, ``budget`` the sandbox's."""

    __slots__ = ("_free_hint", "budget", "cloexec", "files", "lent", "limit", "users")

    def __init__(self, limit: int = 1024, budget: Budget | None = None) -> None:
        self.files: dict[int, File] = {}
        self.budget = budget or Budget(NR_OPEN, errno=E.ENFILE)
        self.cloexec: set[int] = set()
        self.limit = limit
        self.users = 1  # processes that share the table
        self.lent: tuple[int, DelegatedThread] | None = None  # a descriptor that the platform maps without asking
        self._free_hint = 0  # every number below it is taken

    def get(self, fd: int) -> File:
        """The file behind a descriptor; EBADF."""
        try:
            return self.files[fd]
        except KeyError:
            raise KernelError(E.EBADF) from None

    def free(self, lowest: int = 0) -> int:
        """The lowest free number from ``lowest`` on; EMFILE."""
        files = self.files
        fd = max(lowest, self._free_hint)
        while fd in files:
            fd += 1
        if fd >= self.limit:
            raise KernelError(E.EMFILE)
        return fd

    def install(self, file: File, *, cloexec: bool = False, lowest: int = 0) -> int:
        """Give ``file`` the lowest free number from ``lowest`` on; EMFILE, ENFILE. Takes a reference."""
        fd = self.free(lowest)
        budget = self.budget
        if budget.used >= budget.limit:
            raise KernelError(E.ENFILE)
        budget.used += 1
        if lowest <= self._free_hint:
            self._free_hint = fd + 1
        self.files[fd] = file
        file.references += 1
        if cloexec:
            self.cloexec.add(fd)
        return fd

    def install_at(self, fd: int, file: File, *, cloexec: bool = False) -> int:
        """Put ``file`` at this number, closing what was there; EBADF beyond the limit, ENFILE. Takes a reference."""
        if not 0 <= fd < self.limit:
            raise KernelError(E.EBADF)
        if fd not in self.files and self.budget.used >= self.budget.limit:
            raise KernelError(E.ENFILE)
        file.references += 1
        if fd in self.files:
            self.close(fd)
        self.budget.used += 1
        self.files[fd] = file
        if cloexec:
            self.cloexec.add(fd)
        return fd

    def close(self, fd: int) -> None:
        """Forget a descriptor; the file is released with its last reference; EBADF."""
        self._take_out(fd).put()

    def close_each(self, fds: list[int]) -> None:
        """Close all of these. What has no reference left is released afterwards, the last first: fput() makes work for
        the end of the call, or of the task, and such work is done in reverse (kernel/task_work.c)."""
        unused = []
        for fd in fds:
            file = self._take_out(fd)
            file.references -= 1
            if not file.references:
                unused.append(file)
        for file in reversed(unused):
            file.dispose()

    def _take_out(self, fd: int) -> File:
        """The file of a descriptor that is one no more; its reference is the caller's to drop."""
        file = self.files.pop(fd, None)
        if file is None:
            raise KernelError(E.EBADF)
        self.budget.used -= 1
        if self.lent is not None and self.lent[0] == fd:
            self.lent[1].recall()
            self.lent = None
        self.cloexec.discard(fd)
        if fd < self._free_hint:
            self._free_hint = fd
        file.on_close(self)
        return file

    def copy(self, *, must: bool = False) -> FileTable:
        """The table of a forked child: the same files, each with a reference more; EAGAIN beyond the sandbox's
        budget, unless there is no way back (``must``)."""
        if not must and not self.budget.fits(len(self.files)):
            raise KernelError(E.EAGAIN)
        table = FileTable(self.limit, self.budget)
        self.budget.used += len(self.files)
        table.files = dict(self.files)
        table.cloexec = set(self.cloexec)
        table._free_hint = self._free_hint
        for file in table.files.values():
            file.references += 1
        return table

    def note_opener(self, cred: Credentials) -> None:
        """Those who share the table are about to have other credentials than ``cred``."""
        for file in self.files.values():
            if file.opener is None:
                file.opener = cred

    def close_on_exec(self) -> None:
        self.close_each(sorted(self.cloexec))

    def release(self) -> None:
        """A process that used this table has ended or has another now."""
        self.users -= 1
        if self.users == 0:
            self.close_each(sorted(self.files))
