"""Signal-driven I/O (man 2 fcntl, "Managing signals"): who is told by a signal that something happened to a file.

An open file description has an owner (F_SETOWN: a thread, a process or a group) and a signal (F_SETSIG); while its
O_ASYNC is set, what happens to it is told. Pipes, sockets and inotify instances call :meth:`Sigio.tell`, as the last
thing that an operation does, for it may end processes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.signal import NSIG, SI_KERNEL, SIGINFO_SIZE, SIGIO
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.groups import group_members
from pylitebox.kernel.signals import SigInfo, post_process, post_task

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.kernel import Kernel

#: si_code: what happened. The numbers of poll.h are its si_band.
POLL_IN = 1
POLL_OUT = 2
POLL_HUP = 6
_BANDS = {POLL_IN: 0x041, POLL_OUT: 0x304, POLL_HUP: 0x018}

#: Types of owners (F_SETOWN_EX).
F_OWNER_TID = 0
F_OWNER_PID = 1
F_OWNER_PGRP = 2

_SIGINFO = struct.Struct("<iii4xqi")


class Sigio:
    """The owner of one open file description. ``fd`` is the descriptor O_ASYNC was set with, -1 while it isn't."""

    __slots__ = ("_euid", "_ident", "_kernel", "_kind", "_uid", "fd", "signo")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._kind = F_OWNER_TID
        self._ident = self._uid = self._euid = 0
        self.signo = 0
        self.fd = -1

    def set_owner(self, kind: int, ident: int, cred: Credentials) -> None:
        """EINVAL, ESRCH; 0 is nobody."""
        if not F_OWNER_TID <= kind <= F_OWNER_PGRP:
            raise KernelError(E.EINVAL)
        if ident and not self._known(ident):
            raise KernelError(E.ESRCH)
        self._kind, self._ident = kind, ident
        self._uid, self._euid = (cred.uid, cred.euid) if ident else (0, 0)

    @property
    def owner(self) -> tuple[int, int]:
        """(type, id); the id is 0 once the owner is gone."""
        return self._kind, self._ident if self._ident and self._exists(self._kind, self._ident) else 0

    @property
    def uids(self) -> tuple[int, int]:
        return self._uid, self._euid

    def set_signal(self, signo: int) -> None:
        if not 0 <= signo <= NSIG:
            raise KernelError(E.EINVAL)
        self.signo = signo

    def _known(self, ident: int) -> bool:
        """Whether anything has this id: that it is of the right type is asked when the owner is."""
        kernel = self._kernel
        if ident in kernel.tasks or ident in kernel.processes:
            return True
        return any(ident in (process.pgid, process.sid) for process in kernel.processes.values())

    def _exists(self, kind: int, ident: int) -> bool:
        kernel = self._kernel
        if kind == F_OWNER_PGRP:
            return bool(group_members(kernel, ident))
        return ident in kernel.tasks or ident in kernel.processes

    def tell(self, reason: int) -> None:
        """Something happened (POLL_*)."""
        if self.fd < 0 or not self._ident:
            return
        kernel = self._kernel
        if self._kind == F_OWNER_TID:
            task = kernel.tasks.get(self._ident)
            if task is not None and self._may(task.cred) and not post_task(task, self._info(reason)):
                post_task(task, SigInfo(SIGIO, SI_KERNEL))
            return
        processes = (
            group_members(kernel, self._ident)
            if self._kind == F_OWNER_PGRP
            else [process for process in (kernel.processes.get(self._ident),) if process is not None]
        )
        for process in processes:
            first = process.leader or next(iter(process.tasks.values()), None)
            if first is not None and self._may(first.cred) and not post_process(process, self._info(reason)):
                post_process(process, SigInfo(SIGIO, SI_KERNEL))

    def _may(self, cred: Credentials) -> bool:
        """Whether whoever named the owner might signal it (fs/fcntl.c, sigio_perm)."""
        return self._euid == 0 or bool({self._uid, self._euid} & {cred.uid, cred.suid})

    def _info(self, reason: int) -> SigInfo:
        if not self.signo:
            return SigInfo(SIGIO, SI_KERNEL)
        raw = _SIGINFO.pack(self.signo, 0, reason, _BANDS[reason], self.fd)
        return SigInfo(self.signo, reason, raw=raw.ljust(SIGINFO_SIZE, b"\0"))


def sigio_of(kernel: Kernel, file: File) -> Sigio:
    if file.sigio is None:
        file.sigio = Sigio(kernel)
    return file.sigio
