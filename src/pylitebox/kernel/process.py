"""The life of processes and threads: boot, clone, exec, exit, reaping; process groups and sessions.

Pid 1 is the kernel's own: it has no thread, takes over orphans and reaps them. A process is a zombie from its end
until its parent waits for it (at once if the parent ignores SIGCHLD). The host process behind it is ended in the same
moment; nothing of the guest's state depends on when the host is done with that.

Missing: controlling terminals (no SIGHUP when a session leader ends), PID namespaces, ptrace.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import resource as rl
from pylitebox.abi import sched as sd
from pylitebox.abi import signal as sg
from pylitebox.abi import wait as status_word
from pylitebox.kernel import itimers
from pylitebox.kernel.credentials import CAP_SYS_ADMIN, CAP_SYS_RESOURCE, Credentials
from pylitebox.kernel.descriptors import FileTable
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.platform import NO_MEMORY
from pylitebox.kernel.robust import exit_robust_list
from pylitebox.kernel.signals import (
    SigInfo,
    child_info,
    orphaned_group,
    post_process,
    recompute,
    retarget,
)
from pylitebox.kernel.task import Layout, Process, Task
from pylitebox.kernel.wait import Blocking, Wait

if TYPE_CHECKING:
    from pylitebox.kernel.fs.namespace import FsContext
    from pylitebox.kernel.fs.vfs import Location
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import GuestThread

INIT_PID = 1
_NAMESPACES = (
    sd.CLONE_NEWNS
    | sd.CLONE_NEWCGROUP
    | sd.CLONE_NEWUTS
    | sd.CLONE_NEWIPC
    | sd.CLONE_NEWUSER
    | sd.CLONE_NEWPID
    | sd.CLONE_NEWNET
)


def default_rlimits() -> list[tuple[int, int]]:
    """The limits of a fresh log-in (man 2 getrlimit)."""
    limits = [(rl.RLIM_INFINITY, rl.RLIM_INFINITY)] * rl.RLIM_NLIMITS
    limits[rl.RLIMIT_STACK] = (8 << 20, rl.RLIM_INFINITY)
    limits[rl.RLIMIT_CORE] = (0, rl.RLIM_INFINITY)
    limits[rl.RLIMIT_NOFILE] = (1024, 1 << 20)
    limits[rl.RLIMIT_MEMLOCK] = (8 << 20, 8 << 20)
    limits[rl.RLIMIT_SIGPENDING] = (16384, 16384)
    limits[rl.RLIMIT_MSGQUEUE] = (819200, 819200)
    limits[rl.RLIMIT_NICE] = (0, 0)
    limits[rl.RLIMIT_RTPRIO] = (0, 0)
    return limits


# -- making processes -----------------------------------------------------------------------------------------


def boot(kernel: Kernel) -> Process:
    """Make pid 1, the reaper, which has no thread."""
    init = Process(kernel, INIT_PID, None, FileTable(), None)  # type: ignore[arg-type] # no thread ever looks at files
    init.name = b"init"
    init.subreaper = True
    init.rlimits = default_rlimits()
    kernel.processes[INIT_PID] = kernel.init = init
    return init


def create(
    kernel: Kernel,
    parent: Process | None,
    files: FileTable,
    fs: FsContext,
    cred: Credentials,
    *,
    rlimits: list[tuple[int, int]] | None = None,
) -> tuple[Process, Task]:
    """Make a process with one task that has no program yet, in a session of its own; EAGAIN. ``parent`` None: pid 1."""
    parent = parent or kernel.init or boot(kernel)
    _room(kernel, process=True)
    process = Process(kernel, kernel.new_id(), parent, files, fs)
    process.rlimits = rlimits or default_rlimits()
    files.limit = min(process.rlimits[rl.RLIMIT_NOFILE][0], 1 << 20)
    task = Task(kernel, process.pid, process, cred)
    _enter(parent, process, task)
    return process, task


def _room(kernel: Kernel, *, process: bool) -> None:
    """EAGAIN when the sandbox is full."""
    if len(kernel.tasks) >= kernel.limits.threads or (process and len(kernel.processes) > kernel.limits.processes):
        raise KernelError(E.EAGAIN)


def _enter(parent: Process, process: Process, task: Task) -> None:
    process.last_uid = task.cred.uid
    process.tasks[task.tid] = task
    parent.children[process.pid] = process
    process.kernel.processes[process.pid] = process
    process.kernel.tasks[task.tid] = task


def _check_user_limit(parent: Task) -> None:
    """EAGAIN beyond RLIMIT_NPROC (man 2 getrlimit: not for root)."""
    limit = parent.process.rlimits[rl.RLIMIT_NPROC][0]
    cred = parent.cred
    if limit == rl.RLIM_INFINITY or cred.uid == 0 or cred.capable(CAP_SYS_RESOURCE) or cred.capable(CAP_SYS_ADMIN):
        return
    if sum(task.cred.uid == cred.uid for task in parent.kernel.tasks.values()) >= limit:
        raise KernelError(E.EAGAIN)


def check_clone_flags(flags: int) -> None:
    """The combinations that clone(2) refuses with EINVAL, and namespaces, which are refused with EPERM."""
    if flags & sd.CLONE_SIGHAND and not flags & sd.CLONE_VM:
        raise KernelError(E.EINVAL)
    if flags & sd.CLONE_THREAD and not flags & sd.CLONE_SIGHAND:
        raise KernelError(E.EINVAL)
    if flags & sd.CLONE_FS and flags & (sd.CLONE_NEWNS | sd.CLONE_NEWUSER):
        raise KernelError(E.EINVAL)
    if flags & sd.CLONE_THREAD and flags & (sd.CLONE_NEWUSER | sd.CLONE_NEWPID):
        raise KernelError(E.EINVAL)
    if flags & sd.CLONE_PIDFD and flags & (sd.CLONE_DETACHED | sd.CLONE_PARENT_SETTID | sd.CLONE_THREAD):
        raise KernelError(E.EINVAL)
    if flags & _NAMESPACES:
        raise KernelError(E.EPERM)


def clone(task: Task, flags: int, stack: int, parent_tid: int, child_tid: int, tls: int) -> int | None:
    """clone(2): make a thread or a process as a copy of ``task``. The result is the platform's (its None included).

    ``stack`` and ``tls`` are the platform's business, which takes them from the call's registers.
    """
    flags &= 0xFFFFFFFF
    check_clone_flags(flags)
    _room(task.kernel, process=not flags & sd.CLONE_THREAD)
    _check_user_limit(task)
    assert task.thread is not None
    child = _copy_thread(task, flags) if flags & sd.CLONE_THREAD else _copy_process(task, flags)
    child.set_child_tid = child_tid if flags & sd.CLONE_CHILD_SETTID else 0
    child.clear_child_tid = child_tid if flags & sd.CLONE_CHILD_CLEARTID else 0
    pidfd = -1
    try:
        if flags & sd.CLONE_PARENT_SETTID:
            task.memory.write(parent_tid, child.tid.to_bytes(4, "little"))
        if flags & sd.CLONE_PIDFD:
            pidfd = _install_pidfd(task, child.process, parent_tid)
        return task.thread.clone(child, flags)
    except KernelError:
        if pidfd >= 0:
            task.files.close(pidfd)
        forget_clone(child)
        raise


def _install_pidfd(task: Task, process: Process, address: int) -> int:
    from pylitebox.kernel.pidfd import PidFile

    fd = task.files.install(PidFile(process), cloexec=True)
    try:
        task.memory.write(address, fd.to_bytes(4, "little"))
    except KernelError:
        task.files.close(fd)
        raise
    return fd


def _copy_task(task: Task, child: Task, flags: int) -> None:
    child.name = task.name
    child.blocked = task.blocked if task.saved_mask is None else task.saved_mask
    child.sched = task.sched.copy()
    if not flags & sd.CLONE_VM or flags & sd.CLONE_VFORK:
        child.altstack = task.altstack


def _copy_thread(task: Task, flags: int) -> Task:
    kernel, process = task.kernel, task.process
    child = Task(kernel, kernel.new_id(), process, task.cred)
    _copy_task(task, child, flags)
    child.files, child.fs = task.files, task.fs
    if not flags & sd.CLONE_FILES:
        child.files = task.files.copy()
    elif task.files is not process.files:
        task.files.users += 1
    if not flags & sd.CLONE_FS:
        child.fs = task.fs.copy()
    process.tasks[child.tid] = kernel.tasks[child.tid] = child
    return child


def _copy_process(task: Task, flags: int) -> Task:
    kernel, old = task.kernel, task.process
    files, fs = task.files, task.fs
    if flags & sd.CLONE_FILES:
        files.users += 1
    else:
        files = files.copy()
    if flags & sd.CLONE_FS:
        fs.users += 1
    else:
        fs = fs.copy()
    parent = old.parent if flags & sd.CLONE_PARENT and old.parent is not None else old
    process = Process(kernel, kernel.new_id(), parent, files, fs)
    process.pgid, process.sid = old.pgid, old.sid
    process.name, process.exe, process.argv, process.environ = old.name, old.exe, old.argv, old.environ
    process.layout = old.layout if flags & sd.CLONE_VM else _copy_layout(old.layout)
    if flags & sd.CLONE_SIGHAND:
        process.actions = old.actions
        old.actions.users += 1
    else:
        process.actions = old.actions.copy()
    process.rlimits = list(old.rlimits)
    process.no_new_privs, process.dumpable, process.persona = old.no_new_privs, old.dumpable, old.persona
    process.exit_signal = old.exit_signal if flags & sd.CLONE_PARENT else flags & sd.CSIGNAL
    process.vforked = bool(flags & sd.CLONE_VFORK)
    child = Task(kernel, process.pid, process, task.cred)
    _copy_task(task, child, flags)
    _enter(parent, process, child)
    return child


def _copy_layout(old: Layout) -> Layout:
    layout = Layout()
    for name in Layout.__slots__:
        setattr(layout, name, getattr(old, name))
    return layout


def forget_clone(child: Task) -> None:
    """A clone failed in the host: the child never was."""
    process = child.process
    _drop_task(child)
    if child.tid == process.pid:
        process.state = "dead"
        process.files.release()
        _release_shared(process)
        _unlink(process)
        process.vforked = False
        process.vfork_queue.wake()
        process.exit_queue.wake()


def wait_vfork(child: Process) -> Blocking:
    """A vfork's parent stands until the child has exec'd or ended. Only its own end interrupts it."""
    while child.vforked:
        yield Wait(child.vfork_queue, interruptible=False)
    return child.pid


# -- the end --------------------------------------------------------------------------------------------------


def _drop_task(task: Task) -> None:
    """Take a thread out of all tables; nothing of it is left to wake."""
    kernel, process = task.kernel, task.process
    task.exiting = True
    task.signal_pending = False
    kernel.scheduler.cancel(task)
    if kernel.tasks.get(task.tid) is task:
        del kernel.tasks[task.tid]
    if process.tasks.get(task.tid) is task:
        del process.tasks[task.tid]
    task.pending.discard(~0, kernel)
    if task.files is not process.files:
        task.files.release()
        task.files = process.files
    task.thread = None
    task.memory = NO_MEMORY


def _leave_memory(task: Task) -> None:
    """mm_release(): robust futexes, and the word that pthread_join waits for (the host's business where it owns it)."""
    exit_robust_list(task)
    if task.clear_child_tid and not task.kernel.platform.delegates_memory:
        try:
            task.memory.write(task.clear_child_tid, bytes(4))
        except KernelError:
            pass
    task.clear_child_tid = 0


def exit_task(task: Task, code: int) -> None:
    """exit(2): one thread ends; with the last one its process does, whose status is then the leader's."""
    process = task.process
    if task.tid == process.pid:
        process.status = status_word.exited(code)
    if len(process.tasks) == 1:
        status = process.status if process.pid not in process.tasks else status_word.exited(code)
        exit_process(process, status, caller=task)
        return
    _leave_memory(task)
    thread = task.thread
    process.last_uid = task.cred.uid
    _drop_task(task)
    retarget(process, task, ~0)
    if thread is not None:
        thread.exit()


def exit_process(process: Process, status: int, *, caller: Task | None = None) -> None:
    """End a process with a wait status, at once. ``caller``: the thread that is inside its own exit_group(2)."""
    if process.state in {"zombie", "dead"}:
        return
    kernel = process.kernel
    was_stopped, process.state = process.state == "stopped", "zombie"
    process.status = status
    process.used_times = cpu_times(process)
    thread: GuestThread | None = None
    tasks = list(process.tasks.values())
    for task in tasks:
        _leave_memory(task)
        process.last_uid = task.cred.uid
    for task in tasks:
        if task is caller or thread is None:
            thread = task.thread or thread
        _drop_task(task)
    if thread is not None:
        if caller is not None:
            thread.exit()
        else:
            thread.kill()
    itimers.cancel_all(process)
    process.pending.discard(~0, kernel)
    process.files.release()
    _release_shared(process)
    process.vforked = False
    process.vfork_queue.wake()
    if was_stopped:
        process.waited_stop = True
    process.continued = False
    _orphan_children(process)
    _notify_end(process)
    process.exit_queue.wake()


def _release_shared(process: Process) -> None:
    process.actions.users -= 1
    if process.fs is not None:
        process.fs.users -= 1


def cpu_times(process: Process) -> tuple[int, int]:
    """User and system time (ns) that the process has used, as far as the platform can tell."""
    for task in process.tasks.values():
        measure = getattr(task.thread, "cpu_times", None)
        if measure is not None:
            user, system = measure()
            return int(user), int(system)
    return process.used_times


def _reaper(process: Process) -> Process:
    """Who takes over the children: the nearest subreaper above, else pid 1 (man 2 prctl)."""
    init = process.kernel.init
    assert init is not None
    above = process.parent
    while above is not None and above is not init:
        if above.subreaper and above.state not in {"zombie", "dead"}:
            return above
        above = above.parent
    return init


def _orphan_children(process: Process) -> None:
    children = list(process.children.values())
    if not children:
        _orphan_group(process, process)
        return
    reaper = _reaper(process)
    process.children.clear()
    _orphan_group(process, process)
    for child in children:
        if child.pdeathsig and child.state not in {"zombie", "dead"}:
            post_process(child, SigInfo(child.pdeathsig, sg.SI_USER, process.pid, process.last_uid))
        was_orphaned = orphaned_group(child)
        child.parent = reaper
        child.exit_signal = sg.SIGCHLD
        reaper.children[child.pid] = child
        if child.state == "zombie":
            _notify_end(child)
        elif not was_orphaned:
            _orphan_group(child, None)


def _orphan_group(process: Process, ending: Process | None) -> None:
    """A group that becomes orphaned while it has stopped members gets SIGHUP and SIGCONT (POSIX 2.4.3, _exit)."""
    kernel, pgid, sid = process.kernel, process.pgid, process.sid
    members = [p for p in kernel.processes.values() if p.pgid == pgid and p.sid == sid and p is not ending]
    if not any(p.state == "stopped" for p in members):
        return
    if ending is not None:
        parent = ending.parent
        if parent is None or parent.pgid == pgid or parent.sid != sid:
            return  # its end changes nothing for the group
    if orphaned_group(process, ending):
        for member in members:
            post_process(member, SigInfo(sg.SIGHUP, sg.SI_KERNEL))
            post_process(member, SigInfo(sg.SIGCONT, sg.SI_KERNEL))


def _notify_end(process: Process) -> None:
    """Tell the parent of a zombie; who doesn't want to know has it reaped at once."""
    parent = process.parent
    if parent is None or parent is process.kernel.init or parent.state in {"zombie", "dead"}:
        reap(process)
        return
    action = parent.actions.get(sg.SIGCHLD)
    unwanted = process.exit_signal == sg.SIGCHLD and (
        action.handler == sg.SIG_IGN or bool(action.flags & sg.SA_NOCLDWAIT)
    )
    if process.exit_signal and not (unwanted and action.handler == sg.SIG_IGN):
        post_process(parent, end_info(process, process.exit_signal))
    if unwanted:
        reap(process)
    parent.child_queue.wake()


def end_info(process: Process, signo: int = sg.SIGCHLD) -> SigInfo:
    """The siginfo of a zombie, for SIGCHLD and waitid(2)."""
    status = process.status
    if status & 0x7F:
        code = sg.CLD_DUMPED if status & 0x80 else sg.CLD_KILLED
        return child_info(process, code, status & 0x7F, signo)
    return child_info(process, sg.CLD_EXITED, status >> 8 & 0xFF, signo)


def reap(process: Process) -> None:
    """Forget a zombie; its times go to its parent."""
    process.state = "dead"
    parent = process.parent
    if parent is not None:
        user, system = parent.children_times
        for more_user, more_system in (process.used_times, process.children_times):
            user += more_user
            system += more_system
        parent.children_times = (user, system)
    _unlink(process)


def _unlink(process: Process) -> None:
    process.kernel.processes.pop(process.pid, None)
    if process.parent is not None:
        process.parent.children.pop(process.pid, None)


def kill_all(kernel: Kernel) -> None:
    """End every process of the sandbox."""
    for process in list(kernel.processes.values()):
        if process is not kernel.init:
            exit_process(process, status_word.signaled(sg.SIGKILL))


# -- exec -----------------------------------------------------------------------------------------------------


def commit_exec(
    task: Task,
    thread: GuestThread,
    *,
    name: bytes,
    exe: Location | None,
    argv: list[bytes],
    environ: list[bytes],
    layout: Layout,
) -> None:
    """The point of no return of execve(2): ``task`` becomes the only thread of its process and leaves its old address
    space for the empty one of ``thread`` (from Platform.new_process), which the caller then loads."""
    kernel, process = task.kernel, task.process
    old_thread = task.thread
    for other in list(process.tasks.values()):
        _leave_memory(other)
        if other is not task:
            _drop_task(other)
    if task.tid != process.pid:
        del kernel.tasks[task.tid], process.tasks[task.tid]
        task.tid = process.pid
        kernel.tasks[task.tid] = process.tasks[task.tid] = task
    _own_tables(task)
    task.files.close_on_exec()
    task.altstack = (0, sg.SS_DISABLE, 0)
    task.saved_mask = task.interrupted = None
    task.set_child_tid = task.clear_child_tid = task.robust_list = 0
    task.cred = exec_credentials(task.cred)
    task.name = process.name = name[:15]
    process.exe, process.argv, process.environ, process.layout = exe, argv, environ, layout
    process.exec_count += 1
    process.dumpable = 1
    itimers.cancel_posix(process)
    task.thread = None
    if old_thread is not None:
        old_thread.kill()
    kernel.platform.bind(thread, task)
    task.thread, task.memory = thread, thread.memory
    task.kicked = False
    for signo, action in process.actions.items():
        thread.action_changed(signo, action.pack())
    recompute(task)
    if process.state == "stopped":
        kernel.kick(task)
    process.vforked = False
    process.vfork_queue.wake()


def _own_tables(task: Task) -> None:
    """An exec'd program shares neither descriptors nor dispositions with anyone (CLONE_FILES, CLONE_SIGHAND)."""
    process = task.process
    if task.files is not process.files:
        process.files.release()
        process.files = task.files
    if process.files.users > 1:
        table = process.files.copy()
        process.files.release()
        process.files = task.files = table
    process.fs = task.fs
    if process.actions.users > 1:
        process.actions.users -= 1
        process.actions = process.actions.copy()
    process.actions.reset()


def exec_credentials(cred: Credentials) -> Credentials:
    """What execve(2) of a file without set-id bits or file capabilities makes of credentials (man 7 capabilities)."""
    permitted = effective = cred.ambient
    if not cred.securebits & 1:  # SECBIT_NOROOT
        if 0 in {cred.uid, cred.euid}:
            permitted = cred.inheritable | cred.bounding
        if cred.euid == 0:
            effective = permitted
    return replace(
        cred,
        suid=cred.euid,
        fsuid=cred.euid,
        sgid=cred.egid,
        fsgid=cred.egid,
        permitted=permitted,
        effective=effective,
        securebits=cred.securebits & ~0x10,  # SECBIT_KEEP_CAPS
    )


# -- groups and sessions --------------------------------------------------------------------------------------


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
    return process.sid
