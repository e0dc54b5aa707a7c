"""Descriptors themselves: close(2), dup(2), fcntl(2), ioctl(2), flock(2), close_range(2).

Missing: leases (as if the file were always open elsewhere) and dnotify (as a Linux without it: EINVAL).
"""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import ioctl as io
from pylitebox.abi.stat import TMPFS_MAGIC, is_reg
from pylitebox.kernel import locks
from pylitebox.kernel.credentials import CAP_FOWNER
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import SETFL_MASK, File
from pylitebox.kernel.fs.tmpfs import MemoryFile
from pylitebox.kernel.pipe import PipeFile
from pylitebox.kernel.sigio import F_OWNER_PGRP, F_OWNER_PID, sigio_of
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, FcntlCommand, Fd, LockOperation, OpenFlags, Request, Size, UInt
from pylitebox.north.linux.lookup import opened
from pylitebox.north.linux.record_locks import record_lock
from pylitebox.north.linux.table import Full, Partial, syscall

F_SETOWN_EX = 15
F_GETOWN_EX = 16
F_GETOWNER_UIDS = 17
F_DUPFD_QUERY = 1027
#: What fcntl(2) may do with an O_PATH descriptor.
_PATH_COMMANDS = frozenset((fc.F_DUPFD, fc.F_DUPFD_CLOEXEC, fc.F_GETFD, fc.F_SETFD, fc.F_GETFL, F_DUPFD_QUERY))
_OWNER_COMMANDS = frozenset(
    (fc.F_SETOWN, fc.F_GETOWN, fc.F_SETSIG, fc.F_GETSIG, F_SETOWN_EX, F_GETOWN_EX, F_GETOWNER_UIDS)
)
_OWNER = struct.Struct("<ii")  # struct f_owner_ex: type, id
_LOCK_COMMANDS = frozenset(
    (fc.F_GETLK, fc.F_SETLK, fc.F_SETLKW, fc.F_OFD_GETLK, fc.F_OFD_SETLK, fc.F_OFD_SETLKW)
)


@syscall("close", x86_64=3, aarch64=57, support=Full, test="test_descriptors")
def close(task: Task, fd: Fd) -> Result:
    task.files.close(fd)
    return 0


@syscall(
    "close_range",
    x86_64=436,
    aarch64=436,
    support=Partial("CLOSE_RANGE_UNSHARE by one of several threads: the process's table is unshared as a whole"),
)
def close_range(task: Task, first: UInt, last: UInt, flags: UInt) -> Result:
    if flags & ~(fc.CLOSE_RANGE_UNSHARE | fc.CLOSE_RANGE_CLOEXEC) or first > last:
        raise KernelError(E.EINVAL)
    files = task.files
    if flags & fc.CLOSE_RANGE_UNSHARE and files.users > 1:
        copy = files.copy()
        files.release()
        process = task.process
        process.files = files = copy
        for sibling in process.tasks.values():
            sibling.files = copy
    fds = sorted(fd for fd in files.files if first <= fd <= last)
    if flags & fc.CLOSE_RANGE_CLOEXEC:
        files.cloexec.update(fds)
    else:
        files.close_each(fds)
    return 0


# -- duplicating --------------------------------------------------------------------------------------------------


@syscall("dup", x86_64=32, aarch64=23, support=Full, test="test_descriptors")
def dup(task: Task, fd: Fd) -> Result:
    return task.files.install(task.files.get(fd))


@syscall("dup2", x86_64=33, aarch64=None, support=Full, test="test_descriptors")
def dup2(task: Task, old: Fd, new: Fd) -> Result:
    file = task.files.get(old)
    return new if old == new else task.files.install_at(new, file)


@syscall("dup3", x86_64=292, aarch64=24, support=Full, test="test_descriptors")
def dup3(task: Task, old: Fd, new: Fd, flags: OpenFlags) -> Result:
    if flags & ~fc.O_CLOEXEC or old == new:
        raise KernelError(E.EINVAL)
    files = task.files
    if not 0 <= new < files.limit:
        raise KernelError(E.EBADF)
    return files.install_at(new, files.get(old), cloexec=bool(flags))


# -- fcntl --------------------------------------------------------------------------------------------------------


@syscall(
    "fcntl",
    x86_64=72,
    aarch64=25,
    support=Partial("F_SETLEASE: EAGAIN; F_NOTIFY: EINVAL"),
)
def fcntl(task: Task, fd: Fd, command: FcntlCommand, argument: Size) -> Result:
    files = task.files
    file = files.get(fd)
    if file.flags & fc.O_PATH and command not in _PATH_COMMANDS:
        raise KernelError(E.EBADF)
    if command == fc.F_GETFD:
        return fd in files.cloexec
    if command == fc.F_SETFD:
        (files.cloexec.add if argument & fc.FD_CLOEXEC else files.cloexec.discard)(fd)
        return 0
    if command == fc.F_GETFL:
        return file.flags & ~(fc.O_CREAT | fc.O_EXCL | fc.O_NOCTTY | fc.O_TRUNC | fc.O_CLOEXEC)
    if command == fc.F_SETFL:
        return _set_flags(task, fd, file, argument)
    if command in (fc.F_DUPFD, fc.F_DUPFD_CLOEXEC):
        lowest = argument & 0xFFFFFFFF
        if lowest >= files.limit:
            raise KernelError(E.EINVAL)
        return files.install(file, cloexec=command == fc.F_DUPFD_CLOEXEC, lowest=lowest)
    if command in _LOCK_COMMANDS:
        return record_lock(task, file, command, argument)
    return _fcntl_rest(task, file, command, argument)


def _set_flags(task: Task, fd: int, file: File, flags: int) -> int:
    changed = (file.flags ^ flags) & SETFL_MASK
    if changed & flags & fc.O_NOATIME:
        cred = task.cred
        if cred.fsuid != file.make_inode(task.kernel).uid and not cred.capable(CAP_FOWNER):
            raise KernelError(E.EPERM)
    if flags & fc.O_DIRECT and not file.can_direct:
        raise KernelError(E.EINVAL)
    if (file.flags ^ flags) & fc.FASYNC:
        file.set_async(task.kernel, fd, on=bool(flags & fc.FASYNC))
    file.flags ^= changed
    return 0


def _signals(task: Task, file: File, command: int, argument: int) -> int:
    """F_SETOWN and its kin (kernel/sigio.py)."""
    sigio = sigio_of(task.kernel, file)
    kind, ident = sigio.owner
    if command == fc.F_GETOWN:
        return -ident if kind == F_OWNER_PGRP else ident
    if command == F_GETOWN_EX:
        task.memory.write(argument, _OWNER.pack(kind, ident))
    elif command == F_GETOWNER_UIDS:
        task.memory.write(argument, struct.pack("<II", *sigio.uids))
    elif command == F_SETOWN_EX:
        kind, ident = _OWNER.unpack(task.memory.read(argument, 8))
        sigio.set_owner(kind, ident, task.cred)
    elif command == fc.F_GETSIG:
        return sigio.signo
    elif command == fc.F_SETSIG:
        sigio.set_signal(argument & 0xFFFFFFFFFFFFFFFF)
    else:
        ident = (argument & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
        if ident == -0x80000000:
            raise KernelError(E.EINVAL)
        sigio.set_owner(F_OWNER_PGRP if ident < 0 else F_OWNER_PID, abs(ident), task.cred)
    return 0


def _fcntl_rest(task: Task, file: File, command: int, argument: int) -> int:
    """The commands of special files, and those that are accepted only."""
    if command in (fc.F_GETPIPE_SZ, fc.F_SETPIPE_SZ):
        if not isinstance(file, PipeFile):
            raise KernelError(E.EBADF)
        return file.pipe.slots * 4096 if command == fc.F_GETPIPE_SZ else file.pipe.resize(argument & 0xFFFFFFFF)
    if command in (fc.F_ADD_SEALS, fc.F_GET_SEALS):
        return _seals(file, command, argument & 0xFFFFFFFF)
    if command == F_DUPFD_QUERY:
        return task.files.get((argument & 0xFFFFFFFF ^ 0x80000000) - 0x80000000) is file
    if command in _OWNER_COMMANDS:
        return _signals(task, file, command, argument)
    if command == fc.F_GETLEASE:
        return fc.F_UNLCK
    if command == fc.F_SETLEASE and argument in (fc.F_RDLCK, fc.F_WRLCK, fc.F_UNLCK) and is_reg(file.stat().mode):
        raise KernelError(E.EAGAIN)
    raise KernelError(E.EINVAL)


def _seals(file: File, command: int, seals: int) -> int:
    """The seals of a memory file (kernel/memfd.py). Other files of a tmpfs are sealed against seals."""
    inode = file.inode
    if command == fc.F_ADD_SEALS and not file.writable:
        raise KernelError(E.EPERM)
    if not isinstance(inode, MemoryFile) or inode.filesystem.magic != TMPFS_MAGIC:
        raise KernelError(E.EINVAL)
    if command == fc.F_GET_SEALS:
        return inode.seals
    inode.add_seals(seals)
    return 0


# -- ioctl, flock -------------------------------------------------------------------------------------------------


@syscall(
    "ioctl", x86_64=16, aarch64=29, support=Partial("requests of terminals and pipes only")
)
def ioctl(task: Task, fd: Fd, request: Request, argument: Address) -> Result:
    file = opened(task, fd)
    if request in (io.FIOCLEX, io.FIONCLEX):
        (task.files.cloexec.add if request == io.FIOCLEX else task.files.cloexec.discard)(fd)
        return 0
    if request == io.FIONBIO:
        on = any(task.memory.read(argument, 4))
        file.flags = file.flags | fc.O_NONBLOCK if on else file.flags & ~fc.O_NONBLOCK
        return 0
    if request == io.FIOASYNC:
        on = any(task.memory.read(argument, 4))
        if on != bool(file.flags & fc.FASYNC) and not file.set_async(task.kernel, fd, on=on):
            raise KernelError(E.ENOTTY)
        return 0
    if request in (io.FICLONE, io.FICLONERANGE):
        raise KernelError(E.EOPNOTSUPP)
    return file.ioctl(task, request, argument)


@syscall("flock", x86_64=73, aarch64=32, support=Full, test="test_flock")
def flock(task: Task, fd: Fd, operation: LockOperation) -> Result:
    mode = operation & ~fc.LOCK_NB
    if operation & 32:  # LOCK_MAND: accepted and ignored since Linux 5.17
        return 0
    if mode not in (fc.LOCK_SH, fc.LOCK_EX, fc.LOCK_UN):
        raise KernelError(E.EINVAL)
    file = opened(task, fd)
    file.make_inode(task.kernel)
    return locks.flock(file, mode, task.process.pid, wait=not operation & fc.LOCK_NB)
