"""Processes and threads: ids, clone(2) and its kin, exit(2), groups and sessions, pidfds."""

from pylitebox.abi import errno as E
from pylitebox.abi import sched as sd
from pylitebox.abi.fcntl import O_NONBLOCK
from pylitebox.abi.signal import SIGCHLD
from pylitebox.abi.wait import exited
from pylitebox.kernel import process as life
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.exit import undo_semaphores
from pylitebox.kernel.pidfd import PIDFD_THREAD, PidFile
from pylitebox.kernel.task import Process, Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, CloneFlags, Fd, Int, Pid, Size, UInt, ULong
from pylitebox.north.linux.table import Full, Partial, syscall

_ROBUST_HEAD_SIZE = 24


def task_of(task: Task, tid: int) -> Task:
    """The thread with this id, the caller's own for 0; ESRCH."""
    if tid in {0, task.tid}:
        return task
    found = task.kernel.tasks.get(tid) if tid > 0 else None
    if found is None:
        raise KernelError(E.ESRCH)
    return found


def _process_of(task: Task, pid: int) -> Process:
    return task.process if pid == 0 else life.find(task.kernel, pid)


# -- ids ------------------------------------------------------------------------------------------------------


@syscall("getpid", x86_64=39, aarch64=172, support=Full, test="test_process")
def getpid(task: Task) -> Result:
    return task.process.pid


@syscall("gettid", x86_64=186, aarch64=178, support=Full, test="test_process")
def gettid(task: Task) -> Result:
    return task.tid


@syscall("getppid", x86_64=110, aarch64=173, support=Full, test="test_process")
def getppid(task: Task) -> Result:
    parent = task.process.parent
    return parent.pid if parent is not None else 0


@syscall("getpgrp", x86_64=111, aarch64=None, support=Full, test="test_process")
def getpgrp(task: Task) -> Result:
    return task.process.pgid


@syscall("getpgid", x86_64=121, aarch64=155, support=Full, test="test_process")
def getpgid(task: Task, pid: Pid) -> Result:
    return _process_of(task, pid).pgid


@syscall("setpgid", x86_64=109, aarch64=154, support=Full, test="test_process")
def setpgid(task: Task, pid: Pid, pgid: Pid) -> Result:
    life.set_pgid(task, pid, pgid)
    return 0


@syscall("getsid", x86_64=124, aarch64=156, support=Full, test="test_process")
def getsid(task: Task, pid: Pid) -> Result:
    return _process_of(task, pid).sid


@syscall("setsid", x86_64=112, aarch64=157, support=Full, test="test_process")
def setsid(task: Task) -> Result:
    return life.new_session(task)


@syscall(
    "set_tid_address", x86_64=218, aarch64=96, support=Full, test="test_process", native="with the virtual id as result"
)
def set_tid_address(task: Task, address: Address) -> Result:
    task.clear_child_tid = address
    return task.tid


@syscall("set_robust_list", x86_64=273, aarch64=99, support=Full, test="test_process")
def set_robust_list(task: Task, head: Address, size: Size) -> Result:
    if size != _ROBUST_HEAD_SIZE:
        raise KernelError(E.EINVAL)
    task.robust_list = head
    return 0


@syscall("get_robust_list", x86_64=274, aarch64=100, support=Full, test="test_process")
def get_robust_list(task: Task, tid: Pid, head: Address, size: Address) -> Result:
    other = task_of(task, tid)
    if other.process is not task.process and task.cred.euid not in {0, other.cred.uid}:
        raise KernelError(E.EPERM)
    task.memory.write(size, _ROBUST_HEAD_SIZE.to_bytes(8, "little"))
    task.memory.write(head, other.robust_list.to_bytes(8, "little"))
    return 0


# -- clone and exit -------------------------------------------------------------------------------------------


@syscall(
    "clone",
    x86_64=56,
    aarch64=220,
    support=Partial("CLONE_NEW*: EPERM; CLONE_PTRACE is ignored"),
)
def clone(
    task: Task, flags: CloneFlags, stack: Address, parent_tid: Address, child_tid: Address, tls: Address
) -> Result:
    return life.clone(task, flags, stack, parent_tid, child_tid, tls)


@syscall("fork", x86_64=57, aarch64=None, support=Full, test="test_process")
def fork(task: Task) -> Result:
    return life.clone(task, SIGCHLD, 0, 0, 0, 0)


@syscall("vfork", x86_64=58, aarch64=None, support=Full, test="test_process")
def vfork(task: Task) -> Result:
    return life.clone(task, sd.CLONE_VM | sd.CLONE_VFORK | SIGCHLD, 0, 0, 0, 0)


@syscall("exit", x86_64=60, aarch64=93, support=Full, test="test_process")
def exit_(task: Task, code: Int) -> Result:
    life.exit_task(task, code)
    return None


@syscall("exit_group", x86_64=231, aarch64=94, support=Full, test="test_process")
def exit_group(task: Task, code: Int) -> Result:
    life.exit_process(task.process, exited(code), caller=task)
    return None


_SHAREABLE = sd.CLONE_FILES | sd.CLONE_FS | sd.CLONE_SYSVSEM
_ALONE = sd.CLONE_THREAD | sd.CLONE_SIGHAND | sd.CLONE_VM


@syscall("unshare", x86_64=272, aarch64=97, support=Partial("namespaces: EPERM"))
def unshare(task: Task, flags: CloneFlags) -> Result:
    namespaces = 0x7E020080
    if flags & ~(_SHAREABLE | _ALONE | namespaces):
        raise KernelError(E.EINVAL)
    process = task.process
    if flags & _ALONE and (len(process.tasks) > 1 or (process.actions.users > 1 and flags & sd.CLONE_SIGHAND)):
        raise KernelError(E.EINVAL)
    if flags & namespaces:
        raise KernelError(E.EPERM)
    if flags & sd.CLONE_SYSVSEM:
        undo_semaphores(process)
    if flags & sd.CLONE_FS:
        _unshare_fs(task)
    if flags & sd.CLONE_FILES:
        _unshare_files(task)
    return 0


def _unshare_fs(task: Task) -> None:
    process = task.process
    if len(process.tasks) == 1 and task.fs.users > 1:
        task.fs.users -= 1
        task.fs = process.fs = task.fs.copy()
    elif len(process.tasks) > 1:
        task.fs = task.fs.copy()


def _unshare_files(task: Task) -> None:
    process, old = task.process, task.files
    if old is not process.files:
        if old.users > 1:
            task.files = old.copy()
            old.release()
        return
    if len(process.tasks) > 1:
        task.files = old.copy()
    elif old.users > 1:
        table = old.copy()
        task.files = process.files = table
        old.release()


# -- pidfds ---------------------------------------------------------------------------------------------------


@syscall("pidfd_open", x86_64=434, aarch64=434, support=Full, test="test_process")
def pidfd_open(task: Task, pid: Pid, flags: UInt) -> Result:
    if flags & ~(O_NONBLOCK | PIDFD_THREAD) or pid <= 0:
        raise KernelError(E.EINVAL)
    process, thread = task.kernel.processes.get(pid), task.kernel.tasks.get(pid)
    if process is None and thread is None:
        raise KernelError(E.ESRCH)
    if flags & PIDFD_THREAD:
        if thread is None:
            raise KernelError(E.ESRCH)  # a zombie's last thread
        process = thread.process
    elif process is None:
        raise KernelError(E.ENOENT)
    else:
        thread = None
    return task.files.install(PidFile(process, thread, nonblocking=bool(flags & O_NONBLOCK)), cloexec=True)


@syscall("pidfd_getfd", x86_64=438, aarch64=438, support=Full, test="test_process")
def pidfd_getfd(task: Task, pidfd: Fd, fd: Fd, flags: UInt) -> Result:
    if flags:
        raise KernelError(E.EINVAL)
    file = task.files.get(pidfd)
    if not isinstance(file, PidFile):
        raise KernelError(E.EBADF)
    target = file.target()
    if target is None:
        raise KernelError(E.ESRCH)
    cred, other = task.cred, target.cred
    same = cred.fsuid == other.uid == other.euid == other.suid and cred.fsgid == other.gid == other.egid == other.sgid
    if target.process is not task.process and not same and not cred.effective >> 19 & 1:  # CAP_SYS_PTRACE
        raise KernelError(E.EPERM)
    return task.files.install(target.files.get(fd), cloexec=True)


# -- the rest -------------------------------------------------------------------------------------------------


@syscall("kcmp", x86_64=312, aarch64=272, support=Partial("KCMP_EPOLL_TFD, KCMP_IO, KCMP_SYSVSEM: EINVAL"))
def kcmp(task: Task, pid1: Pid, pid2: Pid, kind: Int, index1: ULong, index2: ULong) -> Result:
    first, second = task_of(task, pid1), task_of(task, pid2)
    if task.cred.euid != 0 and not first.cred.uid == second.cred.uid == task.cred.euid:
        raise KernelError(E.EPERM)
    if kind == 0:
        pair: tuple[object, object] = (first.files.get(index1), second.files.get(index2))
    elif kind == 1:
        pair = (first.process.layout, second.process.layout)
    elif kind == 2:
        pair = (first.files, second.files)
    elif kind == 3:
        pair = (first.fs, second.fs)
    elif kind == 4:
        pair = (first.process.actions, second.process.actions)
    else:
        raise KernelError(E.EINVAL)
    if pair[0] is pair[1]:
        return 0
    return 1 if id(pair[0]) < id(pair[1]) else 2
