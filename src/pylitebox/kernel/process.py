"""The life of processes and threads: boot, clone, exec; what ends them is in exit.py.

Pid 1 is the kernel's own: it has no thread, takes over orphans and reaps them.

Missing: PID namespaces, ptrace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pylitebox.abi import errno as E
from pylitebox.abi import resource as rl
from pylitebox.abi import sched as sd
from pylitebox.abi import signal as sg
from pylitebox.kernel import itimers
from pylitebox.kernel.credentials import CAP_SYS_ADMIN, CAP_SYS_RESOURCE, Credentials
from pylitebox.kernel.descriptors import NR_OPEN, FileTable
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.exit import (
    drop_task,
    end_info,
    exit_process,
    exit_task,
    kill_all,
    leave_memory,
    reap,
    release_shared,
    unlink,
)
from pylitebox.kernel.groups import find, group_members, new_session, set_pgid
from pylitebox.kernel.signals import recompute, tell_of_stop
from pylitebox.kernel.task import Layout, Process, Task
from pylitebox.kernel.usage import used_until_exec
from pylitebox.kernel.wait import Blocking, Wait

if TYPE_CHECKING:
    from pylitebox.kernel.fs.namespace import FsContext
    from pylitebox.kernel.fs.vfs import Location
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import GuestThread, ManagedThread

#: The life of processes is one interface: what ends it (exit.py) and what orders it (groups.py) is part of it.
__all__ = [
    "add_thread",
    "boot",
    "clone",
    "commit_exec",
    "create",
    "end_info",
    "exit_process",
    "exit_task",
    "find",
    "group_members",
    "kill_all",
    "new_session",
    "reap",
    "set_pgid",
]

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
    limits[rl.RLIMIT_NOFILE] = (1024, NR_OPEN)
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
    files.limit = min(process.rlimits[rl.RLIMIT_NOFILE][0], NR_OPEN)
    if not files.files:
        files.budget = kernel.descriptors
    task = Task(kernel, process.pid, process, cred)
    _enter(parent, process, task)
    itimers.watch_cpu_limit(process)
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
    if flags & sd.CLONE_PIDFD and flags & (sd.CLONE_DETACHED | sd.CLONE_PARENT_SETTID):
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
            pidfd = _install_pidfd(task, child, parent_tid, thread=bool(flags & sd.CLONE_THREAD))
        return _start_clone(task, child, flags)
    except KernelError:
        if pidfd >= 0:
            task.files.close(pidfd)
        forget_clone(child)
        raise


def _start_clone(task: Task, child: Task, flags: int) -> int | None:
    """Have the platform make the child's thread, and where the kernel manages memory copy the areas of its pages."""
    assert task.thread is not None
    space = task.process.layout.space
    if space is None or flags & sd.CLONE_VM:
        return task.thread.clone(child, flags)
    space.may_fork()
    result = task.thread.clone(child, flags)
    child.process.layout.space = space.fork(managed(child).space)
    return result


def managed(task: Task) -> ManagedThread:
    """The thread of a task, on a platform whose memory the kernel manages."""
    return cast("ManagedThread", task.thread)


def _install_pidfd(task: Task, child: Task, address: int, *, thread: bool) -> int:
    from pylitebox.kernel.pidfd import PidFile

    fd = task.files.install(PidFile(child.process, child if thread else None), cloexec=True)
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
    process.pgid, process.sid, process.tty = old.pgid, old.sid, old.tty
    process.name, process.exe, process.argv, process.environ = old.name, old.exe, old.argv, old.environ
    if flags & sd.CLONE_VM:
        process.layout = old.layout
        old.layout.users += 1
    else:
        process.layout = old.layout.copy(old.pid)
    if flags & sd.CLONE_SIGHAND:
        process.actions = old.actions
        old.actions.users += 1
    else:
        process.actions = old.actions.copy()
    process.rlimits = list(old.rlimits)
    process.attention = old.attention
    process.no_new_privs, process.dumpable, process.persona = old.no_new_privs, old.dumpable, old.persona
    process.oom_score_adj = old.oom_score_adj
    process.thp_disable, process.mce_kill = old.thp_disable, old.mce_kill
    process.exit_signal = old.exit_signal if flags & sd.CLONE_PARENT else flags & sd.CSIGNAL
    process.vforked = bool(flags & sd.CLONE_VFORK)
    task.files.note_opener(task.cred)
    child = Task(kernel, process.pid, process, task.cred._replace())
    _copy_task(task, child, flags)
    _enter(parent, process, child)
    itimers.watch_cpu_limit(process)
    return child


def add_thread(task: Task) -> Task:
    """A thread more of the same process, which no platform runs (north/posix); it shares all that threads share.
    EAGAIN."""
    _room(task.kernel, process=False)
    return _copy_thread(task, sd.CLONE_THREAD | sd.CLONE_SIGHAND | sd.CLONE_VM | sd.CLONE_FS | sd.CLONE_FILES)


def forget_clone(child: Task) -> None:
    """A clone failed in the host: the child never was."""
    process = child.process
    drop_task(child)
    if child.tid == process.pid:
        process.state = "dead"
        process.pending.discard(~0, process.kernel)
        process.files.release()
        release_shared(process)
        unlink(process)
        process.vforked = False
        process.vfork_queue.wake()
        process.exit_queue.wake()


def wait_vfork(parent: Task, child: Process) -> Blocking:
    """A vfork's parent stands until the child has exec'd or ended. Only its own end interrupts it: a stop waits."""
    parent.stands_in_vfork = True
    while child.vforked:
        yield Wait(child.vfork_queue, interruptible=False)
    parent.stands_in_vfork = False
    if parent.process.state == "stopped":
        tell_of_stop(parent.process)
    recompute(parent)
    return child.pid


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
    old_thread, blocked = task.thread, task.blocked
    process.used, task.switches = used_until_exec(process), 0  # the new thread counts from 0
    for other in list(process.tasks.values()):
        leave_memory(other)
        if other is not task:
            drop_task(other)
    if task.tid != process.pid:
        del kernel.tasks[task.tid], process.tasks[task.tid]
        task.tid = process.pid
        kernel.tasks[task.tid] = process.tasks[task.tid] = task
    _own_tables(task)
    task.files.close_on_exec()
    task.altstack = (0, sg.SS_DISABLE, 0)
    task.saved_mask = task.interrupted = None
    task.set_child_tid = task.clear_child_tid = task.robust_list = 0
    task.files.note_opener(task.cred)
    task.cred = exec_credentials(task.cred)
    task.name = process.name = name[:15]
    old_layout = process.layout
    process.exe, process.layout = exe, layout
    # They are in the program's memory, which may hold megabytes; /proc reads them there.
    process.argv, process.environ = ([], []) if layout.arg_area[1] > layout.arg_area[0] else (argv, environ)
    process.exec_count += 1
    cred = task.cred
    process.dumpable = int((cred.euid, cred.egid) == (cred.uid, cred.gid))
    itimers.cancel_posix(process)
    task.thread = None
    if old_thread is not None:
        old_thread.kill()
    old_layout.leave(process.pid)
    kernel.platform.bind(thread, task)
    task.thread, task.memory = thread, thread.memory
    task.blocked = blocked
    task.tell_ids()
    task.kicked = process.attention = False
    if process.pending.mask or task.pending.mask:
        process.attention = True
        thread.attend(waits=True)
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
        table = process.files.copy(must=True)
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
    return cred._replace(
        suid=cred.euid,
        fsuid=cred.euid,
        sgid=cred.egid,
        fsgid=cred.egid,
        permitted=permitted,
        effective=effective,
        securebits=cred.securebits & ~0x10,  # SECBIT_KEEP_CAPS
    )
