"""The end of threads and processes: exit(2), zombies, orphans, reaping.

A process is a zombie from its end until its parent waits for it (reaped at once if the parent ignores SIGCHLD). The
host process behind it is ended in the same moment; nothing of the guest's state depends on when the host is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import signal as sg
from pylitebox.abi import wait as status_word
from pylitebox.kernel import itimers
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.futex import wake
from pylitebox.kernel.groups import group_members, orphaned_group
from pylitebox.kernel.platform import NO_MEMORY
from pylitebox.kernel.robust import exit_robust_list
from pylitebox.kernel.signals import SigInfo, check_kill, child_info, post_process, retarget
from pylitebox.kernel.stops import release
from pylitebox.kernel.usage import plus

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import GuestThread
    from pylitebox.kernel.task import Process, Task


def drop_task(task: Task) -> None:
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
    if task.exit_queue is not None:
        task.exit_queue.wake()


def leave_memory(task: Task) -> None:
    """mm_release(): robust futexes, and the word that pthread_join waits for (the host's business where it owns it)."""
    exit_robust_list(task)
    if task.clear_child_tid and not task.kernel.platform.delegates_memory:
        try:
            task.memory.write(task.clear_child_tid, bytes(4))
            wake(task, task.clear_child_tid, 1, private=False)
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
    leave_memory(task)
    thread = task.thread
    process.last_uid = task.cred.uid
    process.used = process.used._replace(switches=process.used.switches + task.switches)
    drop_task(task)
    retarget(process, task, ~0)
    if thread is not None:
        thread.exit()


def exit_process(process: Process, status: int, *, caller: Task | None = None) -> None:
    """End a process with a wait status, at once. ``caller``: the thread that is inside its own exit_group(2)."""
    if process.state in {"zombie", "dead"}:
        return
    kernel = process.kernel
    was_stopped, process.state = process.state == "stopped", "zombie"
    kernel.stopped.discard(process)
    process.status = status
    process.used = kernel.sizes.used_until_exit(process)
    release(process)
    thread: GuestThread | None = None
    tasks = list(process.tasks.values())
    for task in tasks:
        leave_memory(task)
        process.last_uid = task.cred.uid
    for task in tasks:
        if task is caller or thread is None:
            thread = task.thread or thread
        drop_task(task)
    if thread is not None:
        if caller is not None:
            thread.exit()
        else:
            thread.kill()
    itimers.cancel_all(process)
    process.pending.discard(~0, kernel)
    process.files.release()
    release_shared(process)
    undo_semaphores(process)
    process.vforked = False
    process.vfork_queue.wake()
    if was_stopped:
        process.waited_stop = True
    process.continued = False
    _orphan_children(process, caller or next(iter(tasks), None))
    if process.tty is not None or process.tty_old_group:
        leave_terminal(process)
    _notify_end(process)
    process.exit_queue.wake()


def release_shared(process: Process) -> None:
    process.layout.leave(process.pid)
    process.actions.users -= 1
    if process.fs is not None:
        process.fs.users -= 1


def undo_semaphores(process: Process) -> None:
    """What it did with SEM_UNDO is taken back."""
    if process.sem_undo:
        from pylitebox.kernel.ipc.sem import exit_semaphores

        exit_semaphores(process)


def leave_terminal(process: Process) -> None:
    """With its leader, a session loses its controlling terminal; the foreground group is told."""
    if process.sid == process.pid:
        from pylitebox.kernel.tty.jobs import end_session

        end_session(process)
    process.tty = None


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


def _orphan_children(process: Process, last: Task | None) -> None:
    """exit_notify(): give the children away before anything is posted, which may end some of them."""
    children = list(process.children.values())
    process.children.clear()
    reaper = _reaper(process) if children else None
    for child in children:
        assert reaper is not None
        child.parent = reaper
        for task in child.tasks.values():
            task.tell_ids()
        child.exit_signal = sg.SIGCHLD
        reaper.children[child.pid] = child
    for child in children:
        if child.state == "zombie":
            _notify_end(child)
        elif child.pdeathsig and last is not None and _may_kill(last, child, child.pdeathsig):
            post_process(child, SigInfo(child.pdeathsig, sg.SI_USER, process.pid, process.last_uid))
        _orphan_group(child, process)
    if process.parent is not None:
        _orphan_group(process, process.parent, process)


def _may_kill(sender: Task, target: Process, signo: int) -> bool:
    """PR_SET_PDEATHSIG's signal is the dying parent's: it needs the right to send it (group_send_sig_info)."""
    try:
        check_kill(sender, target, signo)
    except KernelError:
        return False
    return True


def _orphan_group(process: Process, parent: Process, ending: Process | None = None) -> None:
    """kill_orphaned_pgrp(): a group with stopped members gets SIGHUP and SIGCONT when it becomes orphaned (POSIX
    2.4.3, _exit): when ``parent``, who kept it from that, is no member's parent any more, or ``ending`` no member."""
    kernel, pgid, sid = process.kernel, process.pgid, process.sid
    if parent.pgid == pgid or parent.sid != sid:
        return
    stopped = any(p.pgid == pgid and p.sid == sid and p is not ending for p in kernel.stopped)
    if stopped and orphaned_group(process, ending):
        for member in [p for p in group_members(kernel, pgid) if p.sid == sid and p is not ending]:
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
        parent.children_used = plus(parent.children_used, plus(process.used, process.children_used))
    unlink(process)


def unlink(process: Process) -> None:
    process.kernel.processes.pop(process.pid, None)
    if process.parent is not None:
        process.parent.children.pop(process.pid, None)


def kill_all(kernel: Kernel) -> None:
    """End every process of the sandbox."""
    for process in list(kernel.processes.values()):
        if process is not kernel.init:
            exit_process(process, status_word.signaled(sg.SIGKILL))
