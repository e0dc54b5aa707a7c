"""Waiting for children: wait4(2) and waitid(2)."""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import wait as w
from pylitebox.abi.resource import RUSAGE
from pylitebox.abi.signal import SIGCHLD
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.pidfd import PidFile
from pylitebox.kernel.platform import Usage
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Blocking, Result, Wait
from pylitebox.kernel.waiting import Change, find_change
from pylitebox.north.linux.args import Address, Int, Pid, WaitOptions
from pylitebox.north.linux.table import Full, syscall

_WAIT4_OPTIONS = w.WNOHANG | w.WUNTRACED | w.WCONTINUED | w.WNOTHREAD | w.WCLONE | w.WALL
_WAITID_OPTIONS = w.WNOHANG | w.WNOWAIT | w.WEXITED | w.WSTOPPED | w.WCONTINUED | w.WNOTHREAD | w.WCLONE | w.WALL
_INT_MIN = -(1 << 31)
#: The part of siginfo_t that waitid(2) fills: signo, errno, code, (pad), pid, uid, status.
_INFO = struct.Struct("<iiiiiIi")


def pack_rusage(usage: Usage) -> bytes:
    """struct rusage: times, then ru_maxrss (KiB) to ru_nivcsw."""
    return RUSAGE.pack(
        usage.user // 1_000_000_000,
        usage.user // 1000 % 1_000_000,
        usage.system // 1_000_000_000,
        usage.system // 1000 % 1_000_000,
        usage.resident >> 10,
        0,
        0,
        0,
        usage.minor_faults,
        usage.major_faults,
        *([0] * 6),
        usage.switches,
        0,
    )


@syscall("wait4", x86_64=61, aarch64=260, support=Full, test="test_process")
def wait4(task: Task, pid: Pid, status: Address, options: WaitOptions, rusage: Address) -> Result:
    if options & ~_WAIT4_OPTIONS:
        raise KernelError(E.EINVAL)
    if pid == _INT_MIN:
        raise KernelError(E.ESRCH)
    if pid == -1:
        id_type, ident = w.P_ALL, 0
    elif pid > 0:
        id_type, ident = w.P_PID, pid
    else:
        id_type, ident = w.P_PGID, -pid or task.process.pgid
    options |= w.WEXITED
    change = find_change(task.process, id_type, ident, options)
    if change is None:
        if options & w.WNOHANG:
            return 0
        return _wait4_later(task, id_type, ident, options, status, rusage)
    return _wait4_result(task, change, status, rusage)


def _wait4_later(task: Task, id_type: int, ident: int, options: int, status: int, rusage: int) -> Blocking:
    queue = task.process.child_queue
    while True:
        yield Wait(queue)
        change = find_change(task.process, id_type, ident, options)
        if change is not None:
            return _wait4_result(task, change, status, rusage)


def _wait4_result(task: Task, change: Change, status: int, rusage: int) -> int:
    if status:
        task.memory.write(status, change.status.to_bytes(4, "little"))
    if rusage:
        task.memory.write(rusage, pack_rusage(change.usage))
    return change.pid


@syscall("waitid", x86_64=247, aarch64=95, support=Full, test="test_process")
def waitid(task: Task, id_type: Int, ident: Pid, info: Address, options: WaitOptions, rusage: Address) -> Result:
    if options & ~_WAITID_OPTIONS or not options & (w.WEXITED | w.WSTOPPED | w.WCONTINUED):
        raise KernelError(E.EINVAL)
    nonblocking = False
    if id_type == w.P_PIDFD:
        if ident < 0:
            raise KernelError(E.EINVAL)
        file = task.files.get(ident)
        if not isinstance(file, PidFile):
            raise KernelError(E.EBADF)
        id_type, ident, nonblocking = w.P_PID, file.process.pid, file.nonblocking
    elif id_type == w.P_PID:
        if ident <= 0:
            raise KernelError(E.EINVAL)
    elif id_type == w.P_PGID:
        if ident < 0:
            raise KernelError(E.EINVAL)
        ident = ident or task.process.pgid
    elif id_type != w.P_ALL:
        raise KernelError(E.EINVAL)
    change = find_change(task.process, id_type, ident, options)
    if change is None:
        if options & w.WNOHANG:
            return _waitid_result(task, None, info, rusage)
        if nonblocking:
            raise KernelError(E.EAGAIN)
        return _waitid_later(task, id_type, ident, options, info, rusage)
    return _waitid_result(task, change, info, rusage)


def _waitid_later(task: Task, id_type: int, ident: int, options: int, info: int, rusage: int) -> Blocking:
    queue = task.process.child_queue
    while True:
        yield Wait(queue)
        change = find_change(task.process, id_type, ident, options)
        if change is not None:
            return _waitid_result(task, change, info, rusage)


def _waitid_result(task: Task, change: Change | None, info: int, rusage: int) -> int:
    if change is not None and rusage:
        task.memory.write(rusage, pack_rusage(change.usage))
    if info:
        if change is None:
            data = bytes(_INFO.size)
        else:
            about = change.info
            data = _INFO.pack(SIGCHLD, 0, about.code, 0, about.pid, about.uid, about.status)
        task.memory.write(info, data)
    return 0
