"""Signals: dispositions, masks, sending, waiting for them (man 7 signal)."""

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.kernel import signals as ks
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.pidfd import PidFile
from pylitebox.kernel.process import find, group_members
from pylitebox.kernel.signals import Action, SigInfo
from pylitebox.kernel.task import Process, Task
from pylitebox.kernel.wait import ERESTARTNOHAND, Blocking, Result, Wait
from pylitebox.north.linux import siginfo
from pylitebox.north.linux.args import Address, Fd, Pid, SigmaskHow, Signal, Size, UInt
from pylitebox.north.linux.table import Full, syscall
from pylitebox.north.linux.time import read_timespec
from pylitebox.north.linux.x86_64 import sigframe

_SIGSET_SIZE = 8
#: Flags that Linux keeps of what sigaction(2) is given (UAPI_SA_FLAGS).
_SA_FLAGS = (
    sg.SA_NOCLDSTOP
    | sg.SA_NOCLDWAIT
    | sg.SA_SIGINFO
    | 0x800  # SA_EXPOSE_TAGBITS
    | sg.SA_ONSTACK
    | sg.SA_RESTART
    | sg.SA_NODEFER
    | sg.SA_RESETHAND
    | sg.SA_RESTORER
)
_INT_MIN = -(1 << 31)


def read_sigset(task: Task, address: int, size: int) -> int:
    """The sigset_t at ``address``; EINVAL unless ``size`` is 8."""
    if size != _SIGSET_SIZE:
        raise KernelError(E.EINVAL)
    return int.from_bytes(task.memory.read(address, _SIGSET_SIZE), "little")


def write_sigset(task: Task, address: int, mask: int) -> None:
    task.memory.write(address, mask.to_bytes(_SIGSET_SIZE, "little"))


# -- dispositions and masks -----------------------------------------------------------------------------------


@syscall(
    "rt_sigaction",
    x86_64=13,
    aarch64=134,
    support=Full,
    test="test_signals",
    native="queries, and changes that change nothing",
)
def rt_sigaction(task: Task, signo: Signal, new: Address, old: Address, size: Size) -> Result:
    if size != _SIGSET_SIZE:
        raise KernelError(E.EINVAL)
    wanted = sg.SIGACTION.unpack(task.memory.read(new, sg.SIGACTION.size)) if new else None
    if not 1 <= signo <= sg.NSIG or (wanted is not None and signo in {sg.SIGKILL, sg.SIGSTOP}):
        raise KernelError(E.EINVAL)
    before = task.process.actions.get(signo)
    if wanted is not None:
        handler, flags, restorer, mask = wanted
        ks.set_action(task, signo, Action(handler, flags & _SA_FLAGS, restorer, mask & ~sg.UNBLOCKABLE))
    if old:
        task.memory.write(old, before.pack())
    return 0


@syscall(
    "rt_sigprocmask",
    x86_64=14,
    aarch64=135,
    support=Full,
    test="test_signals",
    native="while no signal waits",
)
def rt_sigprocmask(task: Task, how: SigmaskHow, new: Address, old: Address, size: Size) -> Result:
    if size != _SIGSET_SIZE:
        raise KernelError(E.EINVAL)
    before = task.blocked
    if new:
        mask = read_sigset(task, new, size)
        if how == sg.SIG_BLOCK:
            mask |= before
        elif how == sg.SIG_UNBLOCK:
            mask = before & ~mask
        elif how != sg.SIG_SETMASK:
            raise KernelError(E.EINVAL)
        ks.set_blocked(task, mask)
    if old:
        write_sigset(task, old, before)
    return 0


@syscall("rt_sigpending", x86_64=127, aarch64=136, support=Full, test="test_signals")
def rt_sigpending(task: Task, address: Address, size: Size) -> Result:
    if size > _SIGSET_SIZE:
        raise KernelError(E.EINVAL)
    pending = (task.pending.mask | task.process.pending.mask) & task.blocked
    task.memory.write(address, pending.to_bytes(8, "little")[:size])
    return 0


@syscall("sigaltstack", x86_64=131, aarch64=132, support=Full, test="test_signals")
def sigaltstack(task: Task, new: Address, old: Address) -> Result:
    wanted = sg.STACK_T.unpack(task.memory.read(new, sg.STACK_T.size)) if new else None
    base, flags, size = task.altstack
    sp = task.thread.stack_pointer() if task.thread is not None else 0
    state = sg.SS_ONSTACK if sigframe.on_stack(task, sp) else 0 if size else sg.SS_DISABLE
    state |= flags & sg.SS_AUTODISARM
    if wanted is not None:
        sigframe.set_altstack(task, sp, wanted[0], wanted[1] & 0xFFFFFFFF, wanted[3])
    if old:
        task.memory.write(old, sg.STACK_T.pack(base, state - (1 << 32) if state >> 31 else state, 0, size))
    return 0


@syscall(
    "rt_sigreturn",
    x86_64=15,
    aarch64=139,
    support=Full,
    test="test_signals",
    native="from the safe point: GuestEvents.sigreturn",
)
def rt_sigreturn(task: Task) -> Result:
    # Platforms tell of it with the registers; by its number alone there is no frame to return from.
    ks.force(task, SigInfo(sg.SIGSEGV, sg.SI_KERNEL))
    return 0


# -- waiting for signals --------------------------------------------------------------------------------------


@syscall("pause", x86_64=34, aarch64=None, support=Full, test="test_signals")
def pause(task: Task) -> Result:
    return _for_ever()


def _for_ever() -> Blocking:
    while True:
        yield Wait(restart=ERESTARTNOHAND)


@syscall("rt_sigsuspend", x86_64=130, aarch64=133, support=Full, test="test_signals")
def rt_sigsuspend(task: Task, mask: Address, size: Size) -> Result:
    wanted = read_sigset(task, mask, size)
    return ks.masked(task, wanted, _for_ever())


@syscall("rt_sigtimedwait", x86_64=128, aarch64=137, support=Full, test="test_signals")
def rt_sigtimedwait(task: Task, wanted: Address, info: Address, timeout: Address, size: Size) -> Result:
    mask = read_sigset(task, wanted, size) & ~sg.UNBLOCKABLE
    duration = read_timespec(task, timeout) if timeout else None
    found = _take(task, mask)
    if found is not None:
        return _taken(task, found, info)
    if duration == 0:
        raise KernelError(E.EAGAIN)
    return _wait_for(task, mask, info, None if duration is None else task.kernel.now() + duration)


def _take(task: Task, mask: int) -> SigInfo | None:
    for queue in (task.pending, task.process.pending):
        if signo := queue.first(mask):
            found = queue.take(signo, task.kernel)
            if task.signal_pending:
                ks.recompute(task)
            return found
    return None


def _taken(task: Task, found: SigInfo, info: int) -> int:
    if info:
        task.memory.write(info, siginfo.pack(found))
    return found.signo


def _wait_for(task: Task, mask: int, info: int, deadline: int | None) -> Blocking:
    while True:
        woken = yield Wait(task.signal_queue, deadline=deadline, restart=E.EINTR)
        found = _take(task, mask)
        if found is not None:
            return _taken(task, found, info)
        if not woken:
            raise KernelError(E.EAGAIN)


# -- sending --------------------------------------------------------------------------------------------------


def _check_signal(signo: int) -> None:
    if not 0 <= signo <= sg.NSIG:
        raise KernelError(E.EINVAL)


def _own_info(task: Task, signo: int, code: int) -> SigInfo:
    return SigInfo(signo, code, task.process.pid, task.cred.uid)


def _send(task: Task, target: Process, info: SigInfo) -> None:
    ks.check_kill(task, target, info.signo)
    if info.signo and not ks.post_process(target, info) and info.code != sg.SI_USER:
        raise KernelError(E.EAGAIN)


@syscall("kill", x86_64=62, aarch64=129, support=Full, test="test_signals")
def kill(task: Task, pid: Pid, signo: Signal) -> Result:
    if pid == _INT_MIN:
        raise KernelError(E.ESRCH)
    kernel, own = task.kernel, task.process
    info = _own_info(task, signo, sg.SI_USER)
    if pid > 0:
        target = find(kernel, pid)
        _check_signal(signo)
        _send(task, target, info)
        return 0
    if pid == -1:
        targets = [p for p in kernel.processes.values() if p is not own and p is not kernel.init]
    else:
        targets = group_members(kernel, -pid or own.pgid)
        # the caller last: it may be its own end
        targets.sort(key=lambda target: target is own)
    _send_group(task, targets, info)
    return 0


def _send_group(task: Task, targets: list[Process], info: SigInfo) -> None:
    """Send to each; the error of the last that failed if it reached none."""
    if not targets:
        raise KernelError(E.ESRCH)
    _check_signal(info.signo)
    done, failure = False, None
    for target in targets:
        try:
            _send(task, target, info)
            done = True
        except KernelError as error:
            failure = error
    if failure is not None and not done:
        raise failure


def _send_thread(task: Task, tgid: int, tid: int, info: SigInfo) -> int:
    target = task.kernel.tasks.get(tid)
    if target is None or (tgid > 0 and target.process.pid != tgid):
        zombie = task.kernel.processes.get(tid)
        if zombie is not None and tgid in {tid, 0} and zombie.state == "zombie":
            return 0
        raise KernelError(E.ESRCH)
    ks.check_kill(task, target.process, info.signo)
    if info.signo and not ks.post_task(target, info):
        raise KernelError(E.EAGAIN)
    return 0


@syscall("tkill", x86_64=200, aarch64=130, support=Full, test="test_signals")
def tkill(task: Task, tid: Pid, signo: Signal) -> Result:
    _check_signal(signo)
    if tid <= 0:
        raise KernelError(E.EINVAL)
    return _send_thread(task, 0, tid, _own_info(task, signo, sg.SI_TKILL))


@syscall("tgkill", x86_64=234, aarch64=131, support=Full, test="test_signals")
def tgkill(task: Task, tgid: Pid, tid: Pid, signo: Signal) -> Result:
    _check_signal(signo)
    if tgid <= 0 or tid <= 0:
        raise KernelError(E.EINVAL)
    return _send_thread(task, tgid, tid, _own_info(task, signo, sg.SI_TKILL))


def _guest_info(task: Task, signo: int, address: int, pid: int) -> SigInfo:
    """What a guest says of the signal it queues; only of its own may it claim what the kernel says."""
    info = siginfo.unpack(task.memory.read(address, sg.SIGINFO_SIZE))
    if (info.code >= 0 or info.code == sg.SI_TKILL) and pid != task.process.pid:
        raise KernelError(E.EPERM)
    _check_signal(signo)
    info.signo = signo
    return info


@syscall("rt_sigqueueinfo", x86_64=129, aarch64=138, support=Full, test="test_signals")
def rt_sigqueueinfo(task: Task, pid: Pid, signo: Signal, address: Address) -> Result:
    info = _guest_info(task, signo, address, pid)
    if pid <= 0:
        raise KernelError(E.ESRCH)
    _send(task, find(task.kernel, pid), info)
    return 0


@syscall("rt_tgsigqueueinfo", x86_64=297, aarch64=240, support=Full, test="test_signals")
def rt_tgsigqueueinfo(task: Task, tgid: Pid, tid: Pid, signo: Signal, address: Address) -> Result:
    if tgid <= 0 or tid <= 0:
        raise KernelError(E.EINVAL)
    return _send_thread(task, tgid, tid, _guest_info(task, signo, address, tgid))


_SIGNAL_THREAD, _SIGNAL_GROUP, _SIGNAL_PROCESS_GROUP = 1, 2, 4  # PIDFD_SIGNAL_*


@syscall("pidfd_send_signal", x86_64=424, aarch64=424, support=Full, test="test_process")
def pidfd_send_signal(task: Task, pidfd: Fd, signo: Signal, address: Address, flags: UInt) -> Result:
    if flags not in {0, _SIGNAL_THREAD, _SIGNAL_GROUP, _SIGNAL_PROCESS_GROUP}:
        raise KernelError(E.EINVAL)
    file = task.files.get(pidfd)
    if not isinstance(file, PidFile):
        raise KernelError(E.EBADF)
    whole = not flags & _SIGNAL_THREAD and (file.thread is None or flags)
    _check_signal(signo)
    if address:
        info = _guest_info(task, signo, address, file.process.pid)
        if int.from_bytes(info.raw[:4], "little") != signo:
            raise KernelError(E.EINVAL)
    else:
        info = _own_info(task, signo, sg.SI_USER if whole else sg.SI_TKILL)
    if file.gone:
        raise KernelError(E.ESRCH)
    if flags & _SIGNAL_PROCESS_GROUP:
        _send_group(task, group_members(task.kernel, file.process.pid), info)
    elif whole:
        _send(task, file.process, info)
    else:
        target = file.target()
        return _send_thread(task, 0, target.tid if target is not None else file.process.pid, info)
    return 0
