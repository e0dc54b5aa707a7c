"""Waiting for children: what wait4(2) and waitid(2) share (kernel/exit.c, do_wait)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi import wait as w
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.process import end_info, reap
from pylitebox.kernel.signals import child_info, half_stopped
from pylitebox.kernel.usage import plus, used

if TYPE_CHECKING:
    from pylitebox.kernel.platform import Usage
    from pylitebox.kernel.signals import SigInfo
    from pylitebox.kernel.task import Process


class Change(NamedTuple):
    """A child's change that was waited for. ``usage`` is what the child and what it reaped have used."""

    pid: int
    status: int
    info: SigInfo
    usage: Usage


def find_change(parent: Process, id_type: int, ident: int, options: int) -> Change | None:
    """The first change of a chosen child, consumed unless WNOWAIT; None: wait on ``child_queue``; ECHILD: nothing to
    wait for. ``id_type`` P_ALL, P_PID or P_PGID."""
    chosen = False
    if id_type == w.P_PID:
        child = parent.children.get(ident)
        candidates = [child] if child is not None else []
    else:
        candidates = list(parent.children.values())
    for child in candidates:
        if id_type == w.P_PGID and child.pgid != ident:
            continue
        if not options & w.WALL and (child.exit_signal != sg.SIGCHLD) != bool(options & w.WCLONE):
            continue
        if child.state == "zombie":
            if options & w.WEXITED:
                return _reap(child, keep=bool(options & w.WNOWAIT))
            continue  # it will never do anything else
        chosen = True
        if child.state == "stopped" and options & w.WSTOPPED and not child.waited_stop and not half_stopped(child):
            child.waited_stop = not options & w.WNOWAIT
            info = child_info(child, sg.CLD_STOPPED, child.stop_signal)
            return Change(child.pid, w.stopped(child.stop_signal), info, _usage(child))
        if child.continued and options & w.WCONTINUED:
            child.continued = bool(options & w.WNOWAIT)
            return Change(child.pid, w.CONTINUED, child_info(child, sg.CLD_CONTINUED, sg.SIGCONT), _usage(child))
    if not chosen:
        raise KernelError(E.ECHILD)
    return None


def _usage(child: Process) -> Usage:
    return plus(used(child), child.children_used)


def _reap(child: Process, *, keep: bool) -> Change:
    change = Change(child.pid, child.status, end_info(child), _usage(child))
    if not keep:
        reap(child)
    return change
