"""Process groups and sessions (man 2 setpgid, setsid; POSIX 3.264, orphaned process groups)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Process, Task


def find(kernel: Kernel, pid: int) -> Process:
    """The process with this id (or with a thread of this id), zombies included; ESRCH."""
    process = kernel.processes.get(pid)
    if process is None:
        task = kernel.tasks.get(pid)
        if task is None:
            raise KernelError(E.ESRCH)
        process = task.process
    return process


def group_members(kernel: Kernel, pgid: int) -> list[Process]:
    return [process for process in kernel.processes.values() if process.pgid == pgid]


def set_pgid(task: Task, pid: int, pgid: int) -> None:
    """setpgid(2)."""
    own = task.process
    pid = pid or own.pid
    pgid = pgid or pid
    if pgid < 0:
        raise KernelError(E.EINVAL)
    process = task.kernel.processes.get(pid)
    if process is None:
        raise KernelError(E.ESRCH if pid not in task.kernel.tasks else E.EINVAL)
    if process.parent is own:
        if process.sid != own.sid:
            raise KernelError(E.EPERM)
        if process.exec_count:
            raise KernelError(E.EACCES)
    elif process is not own:
        raise KernelError(E.ESRCH)
    if process.sid == process.pid:
        raise KernelError(E.EPERM)
    if pgid != pid and not any(member.sid == own.sid for member in group_members(task.kernel, pgid)):
        raise KernelError(E.EPERM)
    process.pgid = pgid


def new_session(task: Task) -> int:
    """setsid(2)."""
    process = task.process
    if process.sid == process.pid or group_members(task.kernel, process.pid):
        raise KernelError(E.EPERM)
    process.sid = process.pgid = process.pid
    process.tty, process.tty_old_group = None, 0
    return process.sid


def orphaned_group(process: Process, without: Process | None = None) -> bool:
    """Whether a process's group is orphaned: no member's parent is in the same session but another group
    (POSIX 3.264). ``without`` is a member that is ending."""
    pgid, sid = process.pgid, process.sid
    for member in process.kernel.processes.values():
        if member.pgid != pgid or member is without or member.state in ("zombie", "dead"):
            continue
        parent = member.parent
        if parent is not None and parent.sid == sid and parent.pgid != pgid:
            return False
    return True
