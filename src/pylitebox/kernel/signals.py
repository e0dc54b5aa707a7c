"""Signals: dispositions, queues, and what posting one does (man 7 signal, kernel/signal.c).

What a signal's default action does is done when it is posted, if some thread may take it: an ignored one is dropped, a
fatal one ends the process, a stop stops it. Only a signal with a handler travels: it is queued, ``signal_pending`` is
set on one thread that may take it, and that thread is kicked (or its parked call woken, which looks at its condition
first and is interrupted if it would go on waiting). So ``signal_pending`` means exactly: a handler is to run at the
next safe point. Blocked signals stay queued, whatever their action, until the mask lets them through.

A stopped process keeps its parked calls parked; its running threads are kicked and held at their safe points.

Missing: core dumps (their status bit is never set), per-user accounting of queued signals (the bound is the sandbox's).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi import wait as status_word
from pylitebox.abi.time import NSEC_PER_SEC, USER_HZ
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.wait import Blocking, Interrupted

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Process, Task

#: Queued real-time signals of one sandbox, beyond the first of each number.
MAX_QUEUED = 16384
_STOP_BITS = sum(sg.bit(s) for s in sg.DEFAULT_STOP)
_SYNCHRONOUS_BITS = sum(sg.bit(s) for s in sg.SYNCHRONOUS)
_CONTINUE_BIT = sg.bit(sg.SIGCONT)


class SigInfo:
    """What siginfo_t says (man 2 sigaction). ``raw``: 128 bytes that came from a guest or a fault, passed as they are.
    ``value`` is si_value (unsigned 64 bit); ``addr`` si_addr; ``timer``/``overrun`` are a POSIX timer's."""

    __slots__ = ("addr", "code", "overrun", "pid", "raw", "signo", "status", "stime", "timer", "uid", "utime", "value")

    def __init__(
        self,
        signo: int,
        code: int = sg.SI_USER,
        pid: int = 0,
        uid: int = 0,
        status: int = 0,
        value: int = 0,
        addr: int = 0,
        *,
        utime: int = 0,
        stime: int = 0,
        timer: int = 0,
        overrun: int = 0,
        raw: bytes = b"",
    ) -> None:
        self.signo = signo
        self.code = code
        self.pid = pid
        self.uid = uid
        self.status = status
        self.value = value
        self.addr = addr
        self.utime = utime  # clock ticks, of a child
        self.stime = stime
        self.timer = timer
        self.overrun = overrun
        self.raw = raw

    def __repr__(self) -> str:
        return f"<{sg.name(self.signo)} code {self.code} from {self.pid}>"


class Action(NamedTuple):
    """struct kernel_sigaction: ``handler`` is an address, SIG_DFL or SIG_IGN."""

    handler: int = sg.SIG_DFL
    flags: int = 0
    restorer: int = 0
    mask: int = 0

    def pack(self) -> bytes:
        return sg.SIGACTION.pack(*self)


DEFAULT = Action()


class Actions:
    """The dispositions of a process (shared by processes that clone(2) made with CLONE_SIGHAND)."""

    __slots__ = ("_set", "users")

    def __init__(self) -> None:
        self._set: dict[int, Action] = {}  # what is not the default
        self.users = 1

    def get(self, signo: int) -> Action:
        return self._set.get(signo, DEFAULT)

    def set(self, signo: int, action: Action) -> None:
        if action == DEFAULT:
            self._set.pop(signo, None)
        else:
            self._set[signo] = action

    def copy(self) -> Actions:
        actions = Actions()
        actions._set = dict(self._set)
        return actions

    def reset(self) -> None:
        """As exec(2) does: handlers become the default, what is ignored stays ignored."""
        self._set = {s: Action(sg.SIG_IGN) for s, a in self._set.items() if a.handler == sg.SIG_IGN}

    def items(self) -> list[tuple[int, Action]]:
        """The signals whose action is not all zero."""
        return sorted(self._set.items())

    def ignored(self, signo: int) -> bool:
        handler = self.get(signo).handler
        return handler == sg.SIG_IGN or (handler == sg.SIG_DFL and signo in sg.DEFAULT_IGNORED)

    def mask_of(self, handler: int) -> int:
        """The signals with this handler (SIG_IGN), or those with one of their own (any other value)."""
        if handler == sg.SIG_IGN:
            return sum(sg.bit(s) for s, a in self._set.items() if a.handler == sg.SIG_IGN)
        return sum(sg.bit(s) for s, a in self._set.items() if a.handler > sg.SIG_IGN)


class PendingSignals:
    """Signals queued for a thread or for a process. Standard signals are not queued twice."""

    __slots__ = ("_queues", "mask")

    def __init__(self) -> None:
        self._queues: dict[int, deque[SigInfo]] = {}
        self.mask = 0

    def __bool__(self) -> bool:
        return self.mask != 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, info: SigInfo, kernel: Kernel | None = None) -> bool:
        """Queue a signal; False if it was pending already (standard signals) or if the queue is full."""
        signo = info.signo
        queue = self._queues.get(signo)
        if queue is None:
            self._queues[signo] = deque((info,))
            self.mask |= 1 << (signo - 1)
            return True
        if signo < sg.SIGRTMIN:
            return False
        if kernel is not None:
            if kernel.queued_signals >= MAX_QUEUED:
                return False
            kernel.queued_signals += 1
        queue.append(info)
        return True

    def first(self, mask: int) -> int:
        """The signal that is delivered first of those in ``mask``; 0 if there is none."""
        found = self.mask & mask
        if not found:
            return 0
        found = found & _SYNCHRONOUS_BITS or found
        return (found & -found).bit_length()

    def holds(self, info: SigInfo) -> bool:
        """Whether this very signal is still queued."""
        return info in self._queues.get(info.signo, ())

    def take(self, signo: int, kernel: Kernel | None = None) -> SigInfo:
        """Remove and return the oldest queued one of a signal that is pending."""
        queue = self._queues[signo]
        info = queue.popleft()
        if not queue:
            del self._queues[signo]
            self.mask &= ~(1 << (signo - 1))
        elif kernel is not None:
            kernel.queued_signals -= 1
        return info

    def discard(self, mask: int, kernel: Kernel | None = None) -> None:
        """Forget every signal in ``mask``."""
        while signo := self.first(mask):
            if kernel is not None:
                kernel.queued_signals -= len(self._queues[signo]) - 1
            del self._queues[signo]
            self.mask &= ~(1 << (signo - 1))


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
    if not first.blocked >> (signo - 1) & 1 and process.actions.ignored(signo):
        return True
    queue = process.pending if task is None else task.pending
    fits = queue.add(info, process.kernel) or signo < sg.SIGRTMIN
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
    if blocked or task.process.actions.get(signo).handler == sg.SIG_IGN:
        set_action(task, signo, DEFAULT)
        task.blocked &= ~sg.bit(signo)
    post_task(task, info)


# -- what is due ----------------------------------------------------------------------------------------------


def _next(task: Task) -> tuple[int, PendingSignals | None]:
    """The signal that is due for a thread, and its queue; stops come first, so that nothing is held half-way."""
    mask = ~task.blocked
    process = task.process
    if (task.pending.mask | process.pending.mask) & mask & _STOP_BITS:
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
            return None
        action = process.actions.get(signo)
        info = queue.take(signo, process.kernel)
        if action.handler > sg.SIG_IGN:
            if action.flags & sg.SA_RESETHAND:
                set_action(task, signo, DEFAULT)
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
    from pylitebox.kernel.process import exit_process

    exit_process(process, status_word.signaled(signo))


# -- masks and actions ----------------------------------------------------------------------------------------


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
    process.stop_signal = signo
    process.waited_stop = False
    process.continued = False
    for task in process.tasks.values():
        if task.call is None:
            process.kernel.kick(task)
    _tell_parent(process, sg.CLD_STOPPED, signo)


def continue_process(process: Process) -> None:
    """Let a stopped process run again."""
    process.state = "running"
    process.waited_stop = True
    process.continued = True
    for task in tuple(process.tasks.values()):
        if task.call is None:
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
    user, system = process.used_times
    tick = NSEC_PER_SEC // USER_HZ
    return SigInfo(signo, code, process.pid, process.last_uid, status, utime=user // tick, stime=system // tick)


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
