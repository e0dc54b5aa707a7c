"""Signals: dispositions, queues, and what posting one does (man 7 signal, kernel/signal.c).

What a signal's default action does is done when it is posted, if some thread may take it: an ignored one is dropped, a
fatal one ends the process, a stop stops it. Only a signal with a handler travels: it is queued, ``signal_pending`` is
set on one thread that may take it, and that thread is kicked (or its parked call woken, which looks at its condition
first and is interrupted if it would go on waiting). So ``signal_pending`` means exactly: a handler is to run at the
next safe point. Blocked signals stay queued, whatever their action, until the mask lets them through.

A stopped process keeps its parked calls parked, but for those that a stop interrupts (wait.py); its running threads are
kicked and held at their safe points (stops.py).

Missing: core dumps (their status bit is never set).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi import wait as status_word
from pylitebox.abi.resource import RLIMIT_SIGPENDING
from pylitebox.abi.time import NSEC_PER_SEC, USER_HZ
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.groups import orphaned_group
from pylitebox.kernel.signal_state import DEFAULT, Action, Actions, PendingSignals, SigInfo
from pylitebox.kernel.stops import hold, release
from pylitebox.kernel.wait import Blocking, Interrupted

if TYPE_CHECKING:
    from pylitebox.kernel.task import Process, Task

__all__ = ["DEFAULT", "Action", "Actions", "PendingSignals", "SigInfo"]  # and what is defined here

_STOP_BITS = sum(sg.bit(s) for s in sg.DEFAULT_STOP)
_CONTINUE_BIT = sg.bit(sg.SIGCONT)


# -- posting --------------------------------------------------------------------------------------------------


def post_process(process: Process, info: SigInfo) -> bool:
    """Send a signal to a process. False if a real-time signal found the queue full (EAGAIN for sigqueue)."""
    if not process.tasks or process.state in ("zombie", "dead"):
        return True
    first = process.leader or next(iter(process.tasks.values()))
    return _post(process, None, first, info)


def post_task(task: Task, info: SigInfo) -> bool:
    """Send a signal to one thread; as :func:`post_process`."""
    if task.exiting or task.process.state in ("zombie", "dead"):
        return True
    return _post(task.process, task, task, info)


def _post(process: Process, task: Task | None, first: Task, info: SigInfo) -> bool:
    signo = info.signo
    if signo == sg.SIGKILL:
        _end(process, signo)
        return True
    _prepare(process, signo)
    if process.state == "zombie" or (task is not None and task.exiting):
        return True  # it was continued, and ended by what had waited for that
    if not first.blocked >> (signo - 1) & 1 and process.actions.ignored(signo):
        return True
    if not process.attention:  # before any mask is looked at
        process.attention = True
        if first.thread is not None:
            first.thread.attend(waits=True)
    queue = process.pending if task is None else task.pending
    limit = process.rlimits[RLIMIT_SIGPENDING][0]
    fits = queue.add(info, process.kernel, first.cred.uid, limit) or signo < sg.SIGRTMIN
    for waiter in process.tasks.values() if task is None else (task,):
        waiter.signal_queue.wake()
    if task is None:
        candidate = _taker(process, first, signo)
    else:
        candidate = None if task.blocked >> (signo - 1) & 1 else task
    if candidate is not None:
        recompute(candidate)
    return fits


def _prepare(process: Process, signo: int) -> None:
    """A stop and a continue cancel each other, whatever their actions and masks."""
    if signo == sg.SIGCONT:
        cancelled = _STOP_BITS
    elif signo in sg.DEFAULT_STOP:
        cancelled = _CONTINUE_BIT
    else:
        return
    process.pending.discard(cancelled, process.kernel)
    for task in process.tasks.values():
        task.pending.discard(cancelled, process.kernel)
    if signo == sg.SIGCONT and process.state == "stopped":
        continue_process(process)


def _taker(process: Process, first: Task, signo: int) -> Task | None:
    """A thread that may take the signal now: the leader if it can, then one that is not busy with another."""
    bit = sg.bit(signo)
    if not first.blocked & bit and not first.exiting:
        return first
    busy = None
    for task in process.tasks.values():
        if not task.blocked & bit and not task.exiting:
            if not task.signal_pending:
                return task
            busy = task
    return busy


def force(task: Task, info: SigInfo) -> None:
    """Send a signal that the thread cannot refuse (a fault): if it is blocked or ignored, its action becomes the
    default."""
    signo = info.signo
    blocked = task.blocked >> (signo - 1) & 1
    action = task.process.actions.get(signo)
    if blocked or action.handler == sg.SIG_IGN:
        set_action(task, signo, action._replace(handler=sg.SIG_DFL))
        task.blocked &= ~sg.bit(signo)
    post_task(task, info)


# -- what is due ----------------------------------------------------------------------------------------------


def _next(task: Task) -> tuple[int, PendingSignals | None]:
    """The signal that is due for a thread, and its queue; stops come first, so that nothing is held half-way, but for
    who stands in vfork(2): there they come when it is over."""
    mask = ~task.blocked
    process = task.process
    if (task.pending.mask | process.pending.mask) & mask & _STOP_BITS:
        if task.stands_in_vfork:
            for signo in sg.DEFAULT_STOP:
                if process.actions.get(signo).handler == sg.SIG_DFL:
                    mask &= ~sg.bit(signo)
        for queue in (task.pending, process.pending):
            found = queue.mask & mask & _STOP_BITS
            while found:
                bit = found & -found
                found &= ~bit
                signo = bit.bit_length()
                if process.actions.get(signo).handler == sg.SIG_DFL:
                    return signo, queue
    for queue in (task.pending, process.pending):
        if signo := queue.first(mask):
            return signo, queue
    return 0, None


def recompute(task: Task) -> None:
    """Look at what is due for a thread: do default actions now, leave handlers to the safe point (and kick)."""
    process = task.process
    if process.state != "running" or task.exiting:
        return  # a stopped process takes its signals when it is continued
    actions = process.actions
    while True:
        signo, queue = _next(task)
        if queue is None:
            task.signal_pending = False
            if process.attention:
                _relax(task)
            return
        handler = actions.get(signo).handler
        if handler > sg.SIG_IGN:
            break
        info = queue.take(signo, process.kernel)
        if not _default(process, info, handler) or process.state != "running":
            return
    if not task.signal_pending:
        task.signal_pending = True
        if task.call is not None:
            task.kernel.scheduler.wake(task)
        else:
            task.kernel.kick(task)


def next_signal(task: Task) -> tuple[SigInfo, Action] | None:
    """Take the next signal whose handler is to run. None: there is none, or the process was ended or stopped."""
    process = task.process
    while True:
        signo, queue = _next(task)
        if queue is None:
            task.signal_pending = False
            if process.attention:
                _relax(task)
            return None
        action = process.actions.get(signo)
        info = queue.take(signo, process.kernel)
        if action.handler > sg.SIG_IGN:
            if action.flags & sg.SA_RESETHAND:
                set_action(task, signo, action._replace(handler=sg.SIG_DFL))
            return info, action
        if not _default(process, info, action.handler):
            task.signal_pending = False
            return None
        if process.state == "stopped":
            return None


def _default(process: Process, info: SigInfo, handler: int) -> bool:
    """Do the default action of a signal that was taken; False if the process has ended."""
    signo = info.signo
    if handler == sg.SIG_IGN or signo in sg.DEFAULT_IGNORED:
        return True
    if signo in sg.DEFAULT_STOP:
        if signo == sg.SIGSTOP or not orphaned_group(process):
            stop_process(process, signo)
        return True
    _end(process, signo)
    return False


def _end(process: Process, signo: int) -> None:
    from pylitebox.kernel.exit import exit_process

    exit_process(process, status_word.signaled(signo))


# -- masks and actions ----------------------------------------------------------------------------------------


def settle(task: Task) -> None:
    """A thread whose process pays attention has changed its mask itself: look at what is due now, and for whom."""
    process = task.process
    if len(process.tasks) > 1:
        retarget(process, task, task.blocked)
    recompute(task)


def _relax(task: Task) -> None:
    """Let threads change their masks unseen again, once no signal waits."""
    process = task.process
    waits = process.pending.mask or any(other.pending.mask for other in process.tasks.values())
    if not waits and process.actions.users == 1 and task.thread is not None:
        process.attention = False
        task.thread.attend(waits=False)


def set_blocked(task: Task, mask: int) -> None:
    """Set a thread's signal mask. A signal that it can no longer take is handed to another thread."""
    mask &= ~sg.UNBLOCKABLE
    added = mask & ~task.blocked
    task.blocked = mask
    process = task.process
    if added and task.signal_pending:
        retarget(process, task, added)
    if task.signal_pending or (task.pending.mask | process.pending.mask) & ~mask:
        recompute(task)


def retarget(process: Process, task: Task, mask: int) -> None:
    """``task`` will not take the process's pending signals in ``mask``: find others that do."""
    due = process.pending.mask & mask
    while due:
        bit = due & -due
        due &= ~bit
        for other in process.tasks.values():
            if other is not task and not other.blocked & bit and not other.exiting:
                recompute(other)
                break


def set_action(task: Task, signo: int, action: Action) -> None:
    """Set a disposition; what is ignored now is no longer pending (POSIX 2.4.3)."""
    process = task.process
    process.actions.set(signo, action)
    if task.thread is not None:
        task.thread.action_changed(signo, action.pack())
    if process.actions.ignored(signo):
        bit = sg.bit(signo)
        process.pending.discard(bit, process.kernel)
        for other in process.tasks.values():
            other.pending.discard(bit, process.kernel)
            if other.signal_pending:
                recompute(other)


def masked(task: Task, mask: int, call: Blocking) -> Blocking:
    """Run a blocking call under another signal mask (ppoll, pselect6, epoll_pwait, ...). If a signal interrupts it,
    the safe point restores the mask after the handler."""
    task.saved_mask = task.blocked
    set_blocked(task, mask)
    try:
        result = yield from call
    except Interrupted:
        raise
    except KernelError:
        restore_mask(task)
        raise
    restore_mask(task)
    return result


def restore_mask(task: Task) -> None:
    """Take back the mask that a call like sigsuspend replaced."""
    mask, task.saved_mask = task.saved_mask, None
    if mask is not None:
        set_blocked(task, mask)


# -- stop and continue ----------------------------------------------------------------------------------------


def stop_process(process: Process, signo: int) -> None:
    """Stop every thread; the parent is told (man 2 wait4, WUNTRACED)."""
    if process.state != "running":
        return
    process.state = "stopped"
    process.kernel.stopped.add(process)
    process.stop_signal = signo
    process.waited_stop = False
    process.continued = False
    for task in process.tasks.values():
        task.stopped = True
        if task.wait is not None and task.wait.restart == E.EINTR:
            process.kernel.scheduler.wake(task)  # a stop interrupts it
    hold(process)
    tell_of_stop(process)


def half_stopped(process: Process) -> bool:
    """Whether a thread of a stopped process has not come to the stop yet."""
    return any(task.stands_in_vfork for task in process.tasks.values())


def tell_of_stop(process: Process) -> None:
    """Tell the parent, once all threads have stopped."""
    if not half_stopped(process):
        _tell_parent(process, sg.CLD_STOPPED, process.stop_signal)


def continue_process(process: Process) -> None:
    """Let a stopped process run again."""
    process.state = "running"
    process.kernel.stopped.discard(process)
    sleeping = release(process)
    process.waited_stop = True
    process.continued = True
    for task in tuple(process.tasks.values()):
        task.stopped = False
        if task.call is not None:
            process.kernel.scheduler.wake(task)  # it may have let pass what came meanwhile (tty/pty.py)
        elif task not in sleeping:
            process.kernel.kick(task)
        recompute(task)
    _tell_parent(process, sg.CLD_CONTINUED, sg.SIGCONT)


def _tell_parent(process: Process, code: int, status: int) -> None:
    parent = process.parent
    if parent is None:
        return
    action = parent.actions.get(sg.SIGCHLD)
    if action.handler != sg.SIG_IGN and not action.flags & sg.SA_NOCLDSTOP:
        post_process(parent, child_info(process, code, status))
    parent.child_queue.wake()


def child_info(process: Process, code: int, status: int, signo: int = sg.SIGCHLD) -> SigInfo:
    """The siginfo that tells a parent of a child's change."""
    tick = NSEC_PER_SEC // USER_HZ
    user, system = process.used.user, process.used.system
    return SigInfo(signo, code, process.pid, process.last_uid, status, utime=user // tick, stime=system // tick)


# -- permission -----------------------------------------------------------------------------------------------


def check_kill(sender: Task, target: Process, signo: int) -> None:
    """EPERM unless ``sender`` may send ``signo`` to ``target`` (man 2 kill)."""
    if sender.process is target:
        return
    cred = sender.cred
    leader = target.leader or next(iter(target.tasks.values()), None)
    if leader is not None:
        other = leader.cred
        if cred.euid in (other.suid, other.uid) or cred.uid in (other.suid, other.uid):
            return
    elif target.last_uid in (cred.euid, cred.uid):
        return
    if cred.effective >> 5 & 1:  # CAP_KILL
        return
    if signo == sg.SIGCONT and sender.process.sid == target.sid:
        return
    raise KernelError(E.EPERM)
