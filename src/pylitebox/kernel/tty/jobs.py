"""Controlling terminals and job control (drivers/tty/tty_jobctrl.c, man 4 tty, POSIX 11.1).

A session has at most one controlling terminal, a terminal at most one session; ``Process.tty`` is the terminal of each
process, since one that is no leader may give it up alone. A background process that reads, or changes something, or
writes with TOSTOP, is sent SIGTTIN or SIGTTOU, and its call begins anew once it goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.kernel.credentials import CAP_SYS_ADMIN
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.groups import group_members, orphaned_group
from pylitebox.kernel.signals import SigInfo, post_process
from pylitebox.kernel.tty.terminal import Terminal, post_group
from pylitebox.kernel.wait import ERESTARTSYS

if TYPE_CHECKING:
    from pylitebox.kernel.task import Process, Task


def check_change(task: Task, tty: Terminal, signo: int = sg.SIGTTOU) -> None:
    """__tty_check_change(): stop a background process by ``signo``; EIO where that cannot be."""
    process = task.process
    if process.tty is not tty or not tty.group or process.pgid == tty.group:
        return
    if task.blocked & sg.bit(signo) or process.actions.get(signo).handler == sg.SIG_IGN:
        if signo == sg.SIGTTIN:
            raise KernelError(E.EIO)
        return
    if orphaned_group(process):
        raise KernelError(E.EIO)
    post_group(task.kernel, process.pgid, signo)
    raise KernelError(ERESTARTSYS)


def acquire(process: Process, tty: Terminal) -> None:
    """proc_set_tty(): the process is a session leader without a terminal, and nobody has this one."""
    tty.session, tty.group = process.sid, process.pgid
    process.tty, process.tty_old_group = tty, 0


def open_acquires(process: Process, tty: Terminal) -> None:
    """tty_open_proc_set_tty(): a terminal that is nobody's becomes that of a session leader that has none."""
    if process.sid == process.pid and process.tty is None and process is not process.kernel.init:
        acquire(process, tty)


def set_controlling(task: Task, tty: Terminal, *, readable: bool, steal: bool) -> None:
    """TIOCSCTTY; EPERM."""
    process, root = task.process, task.cred.capable(CAP_SYS_ADMIN)
    leader = process.sid == process.pid
    if leader and tty.session == process.sid:
        return
    if not leader or process.tty is not None or not (readable or root):
        raise KernelError(E.EPERM)
    if tty.session:
        if not steal or not root:
            raise KernelError(E.EPERM)
        _clear_session(tty)
    acquire(process, tty)


def give_up(process: Process) -> None:
    """TIOCNOTTY: with a session's leader all of it loses the terminal."""
    if process.sid == process.pid:
        _disassociate(process, ending=False)
    process.tty = None


def _clear_session(tty: Terminal) -> None:
    for process in tty.kernel.processes.values():
        if process.sid == tty.session and process.tty is tty:
            process.tty = None
    tty.session = tty.group = 0


def _disassociate(process: Process, *, ending: bool) -> None:
    """disassociate_ctty() of a session leader."""
    tty, kernel = process.tty, process.kernel
    if tty is None:
        group, process.tty_old_group = process.tty_old_group, 0
        if ending:
            post_group(kernel, group, sg.SIGHUP, sg.SIGCONT)
        return
    group = tty.group
    _clear_session(tty)
    post_group(kernel, group, *((sg.SIGHUP,) if ending else (sg.SIGHUP, sg.SIGCONT)))


def end_session(process: Process) -> None:
    """A session leader has ended."""
    _disassociate(process, ending=True)
    process.tty = None


def hang_up(tty: Terminal) -> None:
    """__tty_hangup(): no open file of the terminal works any more, and the session's leader is told."""
    for file in tty.files:
        file.hung_up = True
    tty.files.clear()
    leaders = []
    for process in tty.kernel.processes.values():
        if tty.session and process.sid == tty.session and process.tty is tty:
            process.tty = None
            if process.pid == process.sid:
                process.tty_old_group = tty.group
                leaders.append(process)
    tty.session = tty.group = 0
    tty.stopped = tty.stopped_by_call = False
    tty.discipline.flush_input()
    tty.read_queue.wake()
    tty.write_queue.wake()
    for process in leaders:
        post_process(process, SigInfo(sg.SIGHUP, sg.SI_KERNEL))
        post_process(process, SigInfo(sg.SIGCONT, sg.SI_KERNEL))


def set_foreground(task: Task, tty: Terminal, group: int) -> None:
    """TIOCSPGRP, once the caller may change the terminal; EINVAL, ENOTTY, ESRCH, EPERM."""
    process, kernel = task.process, task.kernel
    if group < 0:
        raise KernelError(E.EINVAL)
    if process.tty is not tty or tty.session != process.sid:
        raise KernelError(E.ENOTTY)
    members = group_members(kernel, group)
    known = members[0] if members else kernel.processes.get(group)
    if known is None and group not in kernel.tasks:
        raise KernelError(E.ESRCH)
    if known is None or known.sid != process.sid:
        raise KernelError(E.EPERM)
    tty.group = group
