"""Processes: what clone, exit, groups and sessions refuse and do, and waiting for children."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import sched as sd
from pylitebox.abi import signal as sg
from pylitebox.abi import wait as w
from pylitebox.kernel import process as life
from pylitebox.kernel import signals as ks
from pylitebox.kernel.signals import Action, SigInfo
from tests.north.bench import PARKED, Bench, Guest

if TYPE_CHECKING:
    from tests.north.conftest import AnyGuest

IGNORE = sg.SIGACTION.pack(sg.SIG_IGN, 0, 0, 0)


@pytest.fixture
def guest(bench: Bench) -> Guest:
    return bench.guest()


def child_of(guest: Guest, flags: int = sg.SIGCHLD) -> Guest:
    """A forked child that can make calls."""
    tid = guest("clone", flags, 0, 0, 0, 0)
    assert tid is not None
    assert tid > 0
    return Guest(guest.bench, guest.bench.kernel.tasks[tid])


# -- what is refused, as the host does ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        sd.CLONE_SIGHAND,
        sd.CLONE_THREAD | sd.CLONE_VM,
        sd.CLONE_THREAD | sd.CLONE_SIGHAND,
        sd.CLONE_FS | sd.CLONE_NEWNS,
        sd.CLONE_FS | sd.CLONE_NEWUSER,
        sd.CLONE_PIDFD | sd.CLONE_PARENT_SETTID,
        sd.CLONE_PIDFD | sd.CLONE_DETACHED,
    ],
)
def test_clone_refuses(g: AnyGuest, flags: int) -> None:
    assert g("clone", flags | sg.SIGCHLD, 0, 0, 0, 0) == -E.EINVAL


def test_group_and_session_refusals(g: AnyGuest) -> None:
    assert g("setpgid", -1, 0) == -E.EINVAL
    assert g("setpgid", -1, 1) == -E.ESRCH
    assert g("setpgid", 0, -1) == -E.EINVAL
    assert g("setpgid", 4194000, 0) == -E.ESRCH
    assert g("getpgid", 4194000) == -E.ESRCH
    assert g("getpgid", -1) == -E.ESRCH
    assert g("getsid", 4194000) == -E.ESRCH
    assert g("getpgid", 0) == g("getpgrp")
    assert g("getsid", 0) == g("getsid", g("getpid"))


def test_wait_refusals(g: AnyGuest) -> None:
    assert g("wait4", 4194000, 0, 0, 0) == -E.ECHILD
    assert g("wait4", -4194000, 0, w.WNOHANG, 0) == -E.ECHILD
    assert g("wait4", -(1 << 31), 0, 0, 0) == -E.ESRCH
    assert g("wait4", -1, 0, 0x100, 0) == -E.EINVAL
    assert g("waitid", w.P_ALL, 0, 0, 0, 0) == -E.EINVAL
    assert g("waitid", w.P_PID, 0, 0, w.WEXITED, 0) == -E.EINVAL
    assert g("waitid", w.P_PID, 4194000, 0, w.WEXITED, 0) == -E.ECHILD
    assert g("waitid", 9, 0, 0, w.WEXITED, 0) == -E.EINVAL
    assert g("waitid", w.P_PIDFD, 999, 0, w.WEXITED, 0) == -E.EBADF
    assert g("waitid", w.P_PIDFD, -1, 0, w.WEXITED, 0) == -E.EINVAL


def test_robust_lists(g: AnyGuest) -> None:
    assert g("set_robust_list", 0x1000, 8) == -E.EINVAL
    head, size = bytearray(8), bytearray(8)
    assert g("get_robust_list", 0, head, size) == 0
    assert int.from_bytes(size, "little") == 24
    assert g("get_robust_list", 4194000, head, size) == -E.ESRCH


def test_pidfd_refusals(g: AnyGuest) -> None:
    assert g("pidfd_open", 4194000, 0) == -E.ESRCH
    assert g("pidfd_open", 0, 0) == -E.EINVAL
    assert g("pidfd_open", g("getpid"), 1) == -E.EINVAL
    fd = g("pidfd_open", g("getpid"), 0)
    assert fd >= 0
    assert g("pidfd_send_signal", fd, 0, 0, 0) == 0
    assert g("pidfd_send_signal", fd, 0, 0, 16) == -E.EINVAL
    assert g("pidfd_send_signal", fd, 0, 0, 3) == -E.EINVAL
    assert g("pidfd_send_signal", fd, 0, 0, 1) == 0
    assert g("pidfd_send_signal", fd, 0, 0, 2) == 0
    thread = g("pidfd_open", g("gettid"), 0x80)
    assert thread >= 0
    assert g("pidfd_open", g("gettid"), 0x880) >= 0
    assert g("pidfd_open", 4194000, 0x80) == -E.ESRCH
    assert g("pidfd_send_signal", thread, 0, 0, 0) == 0
    assert g("pidfd_send_signal", fd, 99, 0, 0) == -E.EINVAL
    assert g("pidfd_send_signal", 9999, 0, 0, 0) == -E.EBADF
    assert g("pidfd_getfd", fd, 9999, 0) == -E.EBADF
    assert g("pidfd_getfd", fd, 9999, 1) == -E.EINVAL


def test_a_pidfd_of_a_thread(bench: Bench, guest: Guest) -> None:
    thread = bench.thread(guest)
    tid, pid = thread.task.tid, guest.task.process.pid
    guest("rt_sigprocmask", sg.SIG_BLOCK, b"\xff" * 8, 0, 8)
    thread("rt_sigprocmask", sg.SIG_BLOCK, b"\xff" * 8, 0, 8)
    assert guest("pidfd_open", tid, 0) == -E.ENOENT
    fd = guest("pidfd_open", tid, 0x80)
    assert isinstance(fd, int)
    entry = struct.pack("<ihh", fd, 1, 0)
    assert guest("poll", entry, 1, 0) == 0
    assert guest("pidfd_send_signal", fd, sg.SIGUSR1, 0, 0) == 0
    assert thread.task.pending.mask == sg.bit(sg.SIGUSR1)
    assert guest("pidfd_send_signal", fd, sg.SIGUSR2, 0, 2) == 0
    assert guest.task.process.pending.mask == sg.bit(sg.SIGUSR2)
    whole = guest("pidfd_open", pid, 0)
    assert isinstance(whole, int)
    assert guest("pidfd_send_signal", whole, sg.SIGUSR1, 0, 1) == 0
    assert guest.task.pending.mask == sg.bit(sg.SIGUSR1)
    info = guest.task.pending.take(sg.SIGUSR1, bench.kernel)
    assert info.code == sg.SI_TKILL
    assert guest("pidfd_send_signal", whole, 0, 0, 4) == 0  # it leads a group
    assert guest("poll", entry, 1, -1) is PARKED
    thread("exit", 0)
    bench.run()
    assert guest.result == 1
    for flags in (0, 2):
        assert guest("pidfd_send_signal", fd, sg.SIGUSR1, 0, flags) == -E.ESRCH
    assert guest("pidfd_getfd", fd, 0, 0) == -E.ESRCH


def test_a_clone_can_make_a_pidfd_of_its_thread(bench: Bench, guest: Guest) -> None:
    where = guest.place(bytes(4))
    flags = sd.CLONE_VM | sd.CLONE_SIGHAND | sd.CLONE_THREAD | sd.CLONE_PIDFD
    tid = guest("clone", flags, 0x1000, where, 0, 0)
    assert isinstance(tid, int)
    fd = int.from_bytes(guest.peek(where, 4), "little")
    file = guest.task.files.get(fd)
    assert b"Pid:\t%d\n" % tid in file.fdinfo()  # type: ignore[attr-defined]


def test_unshare_refusals(g: AnyGuest) -> None:
    assert g("unshare", 0) == 0
    assert g("unshare", 0x4) == -E.EINVAL


def test_kcmp(g: AnyGuest) -> None:
    pid = g("getpid")
    assert g("kcmp", pid, pid, 1, 0, 0) == 0
    assert g("kcmp", pid, pid, 2, 0, 0) == 0
    assert g("kcmp", pid, pid, 99, 0, 0) == -E.EINVAL
    assert g("kcmp", pid, 4194000, 1, 0, 0) == -E.ESRCH


# -- clone ----------------------------------------------------------------------------------------------------


def test_a_fork_copies_what_it_must(bench: Bench, guest: Guest) -> None:
    guest("rt_sigaction", sg.SIGUSR1, IGNORE, 0, 8)
    guest("rt_sigprocmask", sg.SIG_BLOCK, sg.bit(sg.SIGUSR2).to_bytes(8, "little"), 0, 8)
    guest("kill", guest.task.process.pid, sg.SIGUSR2)
    guest("setpriority", 0, 0, 5)
    child = child_of(guest)
    process = child.task.process
    assert process.parent is guest.task.process
    assert (process.pgid, process.sid) == (guest.task.process.pgid, guest.task.process.sid)
    assert process.actions.get(sg.SIGUSR1).handler == sg.SIG_IGN
    assert child.task.blocked == sg.bit(sg.SIGUSR2)
    assert not process.pending
    assert child.task.sched.nice == 5
    assert child("getppid") == guest.task.process.pid
    child("rt_sigaction", sg.SIGUSR1, sg.SIGACTION.pack(0, 0, 0, 0), 0, 8)
    assert guest.task.process.actions.get(sg.SIGUSR1).handler == sg.SIG_IGN


def test_clone_writes_the_ids(bench: Bench, guest: Guest) -> None:
    parent_tid, child_tid = guest.place(bytes(8)), guest.place(bytes(8))
    flags = sd.CLONE_PARENT_SETTID | sd.CLONE_CHILD_SETTID | sd.CLONE_CHILD_CLEARTID | sg.SIGCHLD
    tid = guest("clone", flags, 0, parent_tid, child_tid, 0)
    assert tid is not None
    assert int.from_bytes(guest.peek(parent_tid, 4), "little") == tid
    child = bench.kernel.tasks[tid]
    assert (child.set_child_tid, child.clear_child_tid) == (child_tid, child_tid)
    child.memory = guest.thread.memory
    bench.personality.started(child)
    assert int.from_bytes(guest.peek(child_tid, 4), "little") == tid
    life.exit_process(child.process, 0)
    assert int.from_bytes(guest.peek(child_tid, 4), "little") == 0


def test_clone_that_cannot_write_leaves_nothing(bench: Bench, guest: Guest) -> None:
    before = dict(bench.kernel.processes)
    assert guest("clone", sd.CLONE_PARENT_SETTID | sg.SIGCHLD, 0, 8, 0, 0) == -E.EFAULT
    assert bench.kernel.processes == before
    assert not guest.task.process.children


def test_threads_share_their_process(bench: Bench, guest: Guest) -> None:
    flags = sd.CLONE_VM | sd.CLONE_FS | sd.CLONE_FILES | sd.CLONE_SIGHAND | sd.CLONE_THREAD
    thread = child_of(guest, flags)
    assert thread.task.process is guest.task.process
    assert thread.task.files is guest.task.files
    assert thread("getpid") == guest("getpid") != thread("gettid")
    assert thread("exit", 3) is None
    assert guest.task.process.state == "running"
    assert guest("exit", 4) is None
    assert guest.task.process.status == w.exited(4)


def test_the_leaders_code_is_the_process_status(bench: Bench, guest: Guest) -> None:
    thread = bench.thread(guest)
    guest("exit", 4)
    assert guest.task.process.state == "running"
    thread("exit", 5)
    assert guest.task.process.status == w.exited(4)


def test_limits_are_eagain(bench: Bench, guest: Guest) -> None:
    bench.kernel.limits.processes = len(bench.kernel.processes)
    assert guest("fork") is not None
    assert guest("fork") == -E.EAGAIN
    bench.kernel.limits.threads = len(bench.kernel.tasks)
    flags = sd.CLONE_VM | sd.CLONE_SIGHAND | sd.CLONE_THREAD
    assert guest("clone", flags, 0, 0, 0, 0) == -E.EAGAIN


def test_nproc_counts_a_users_threads() -> None:
    guest = Bench(uid=1000).guest()
    guest("prlimit64", 0, 6, struct.pack("<QQ", 2, 2), 0)
    assert guest("fork") is not None
    assert guest("fork") == -E.EAGAIN


def test_namespaces_are_refused(guest: Guest) -> None:
    assert guest("clone", sd.CLONE_NEWPID | sg.SIGCHLD, 0, 0, 0, 0) == -E.EPERM
    assert guest("unshare", sd.CLONE_NEWUSER) == -E.EPERM


def test_a_failed_clone_never_was(bench: Bench, guest: Guest) -> None:
    tid = guest("fork")
    assert tid is not None
    files = bench.kernel.processes[tid].files
    bench.personality.clone_failed(guest.task, tid)
    assert tid not in bench.kernel.processes
    assert tid not in bench.kernel.tasks
    assert files.users == 0
    assert guest("wait4", -1, 0, 0, 0) == -E.ECHILD


def test_a_child_that_died_before_it_started_is_killed(bench: Bench, guest: Guest) -> None:
    child = child_of(guest)
    life.exit_process(child.task.process, sg.SIGKILL)
    late = child.thread
    late.killed = False
    child.task.thread = late  # type: ignore[assignment]
    bench.personality.started(child.task)
    assert late.killed


def test_who_may_answer_for_ids_is_told_of_changes(bench: Bench, guest: Guest) -> None:
    child = child_of(guest)
    grandchild = child_of(child)
    assert grandchild.thread.ids is None, "the platform gives a child its own"
    child("exit_group", 0)
    told = grandchild.thread.ids
    assert told is not None
    pid = grandchild.task.process.pid
    users = [grandchild(f"get{name}") for name in ("uid", "euid", "gid", "egid")]
    assert told == (pid, pid, grandchild("getppid"), *users)
    assert told.ppid != child.task.process.pid
    assert grandchild("setresgid", 5, 6, 7) == 0
    assert grandchild("setresuid", 1, 2, 3) == 0
    assert grandchild.thread.ids == (pid, pid, told.ppid, 1, 2, 5, 6)


@pytest.mark.parametrize(("user", "told"), [(0, True), (1000, False)])
def test_a_parents_death_is_told_by_who_may_kill(bench: Bench, guest: Guest, user: int, told: bool) -> None:
    parent = child_of(guest)
    child = child_of(parent)
    assert child("prctl", 1, sg.SIGUSR1, 0, 0, 0) == 0
    assert parent("setresuid", user, user, user) == 0
    parent("exit_group", 0)
    assert (child.task.process.state != "running") == told


def test_vfork_parent_waits_for_the_end(bench: Bench, guest: Guest) -> None:
    tid = guest("vfork")
    assert tid is not None
    assert bench.personality.vfork_wait(guest.task, tid) is PARKED
    ks.post_process(guest.task.process, SigInfo(sg.SIGCONT))
    bench.run()
    assert guest.parked
    life.exit_process(bench.kernel.processes[tid], 0)
    bench.run()
    assert guest.result == tid


def test_unshared_descriptors(bench: Bench, guest: Guest) -> None:
    child = child_of(guest, sd.CLONE_FILES | sg.SIGCHLD)
    assert child.task.files is guest.task.files
    assert child("unshare", sd.CLONE_FILES) == 0
    assert child.task.files is not guest.task.files
    assert guest.task.files.users == 1


# -- waiting --------------------------------------------------------------------------------------------------


def test_wait_reaps_in_order(bench: Bench, guest: Guest) -> None:
    children = [child_of(guest) for _ in range(3)]
    for code, child in enumerate(children):
        child("exit_group", code)
    status = bytearray(4)
    for code, child in enumerate(children):
        assert guest("wait4", -1, status, 0, 0) == child.task.process.pid
        assert int.from_bytes(status, "little") == w.exited(code)
        assert child.task.process.pid not in bench.kernel.processes
    assert guest("wait4", -1, status, 0, 0) == -E.ECHILD


def test_wait_parks_until_a_child_ends(bench: Bench, guest: Guest) -> None:
    child = child_of(guest)
    assert guest("wait4", -1, 0, w.WNOHANG, 0) == 0
    assert guest("wait4", child.task.process.pid, 0, 0, 0) is PARKED
    child("exit_group", 0)
    bench.run()
    assert guest.result == child.task.process.pid


def test_wait_by_group(bench: Bench, guest: Guest) -> None:
    same, other = child_of(guest), child_of(guest)
    assert guest("setpgid", other.task.process.pid, 0) == 0
    other("exit_group", 0)
    assert guest("wait4", 0, 0, w.WNOHANG, 0) == 0
    assert guest("wait4", -other.task.process.pid, 0, 0, 0) == other.task.process.pid
    same("exit_group", 0)
    assert guest("wait4", 0, 0, 0, 0) == same.task.process.pid


def test_waitid_says_what_happened_and_may_leave_it(bench: Bench, guest: Guest) -> None:
    child = child_of(guest)
    info = bytearray(b"\xff" * 128)
    assert guest("waitid", w.P_ALL, 0, info, w.WEXITED | w.WNOHANG, 0) == 0
    assert bytes(info[:28]) == bytes(28)
    ks.post_process(child.task.process, SigInfo(sg.SIGTERM))
    for options in (w.WEXITED | w.WNOWAIT, w.WEXITED):
        assert guest("waitid", w.P_PID, child.task.process.pid, info, options, 0) == 0
        expected = (sg.SIGCHLD, 0, sg.CLD_KILLED, 0, child.task.process.pid, 0, sg.SIGTERM)
        assert struct.unpack_from("<iiiiiIi", info) == expected
    assert guest("waitid", w.P_ALL, 0, info, w.WEXITED, 0) == -E.ECHILD


def test_waitid_by_pidfd(bench: Bench, guest: Guest) -> None:
    child = child_of(guest)
    fd = guest("pidfd_open", child.task.process.pid, 0o4000)
    assert fd is not None
    assert guest("waitid", w.P_PIDFD, fd, 0, w.WEXITED, 0) == -E.EAGAIN
    child("exit_group", 0)
    assert guest("waitid", w.P_PIDFD, fd, 0, w.WEXITED, 0) == 0


def test_stopped_and_continued_children(bench: Bench, guest: Guest) -> None:
    child = child_of(guest)
    pid = child.task.process.pid
    status = bytearray(4)
    guest("kill", pid, sg.SIGSTOP)
    assert guest("wait4", -1, status, w.WNOHANG, 0) == 0
    assert guest("wait4", -1, status, w.WUNTRACED, 0) == pid
    assert int.from_bytes(status, "little") == w.stopped(sg.SIGSTOP)
    assert guest("wait4", -1, status, w.WUNTRACED | w.WNOHANG, 0) == 0
    guest("kill", pid, sg.SIGCONT)
    assert guest("wait4", -1, status, w.WCONTINUED, 0) == pid
    assert int.from_bytes(status, "little") == w.CONTINUED
    assert guest("wait4", -1, status, w.WCONTINUED | w.WNOHANG, 0) == 0


def test_a_clone_childs_signal_and_wait_options(bench: Bench, guest: Guest) -> None:
    child = child_of(guest, 0)
    child("exit_group", 0)
    assert guest("wait4", -1, 0, w.WNOHANG, 0) == -E.ECHILD
    assert guest("wait4", -1, 0, w.WNOHANG | w.WCLONE, 0) == child.task.process.pid


@pytest.mark.parametrize("flags", [None, sg.SA_NOCLDWAIT])
def test_unwanted_children_are_reaped_at_once(bench: Bench, guest: Guest, flags: int | None) -> None:
    if flags is None:
        ks.set_action(guest.task, sg.SIGCHLD, Action(sg.SIG_IGN))
    else:
        ks.set_action(guest.task, sg.SIGCHLD, Action(sg.SIG_DFL, flags))
    child = child_of(guest)
    assert guest("wait4", -1, 0, 0, 0) is PARKED
    child("exit_group", 0)
    assert child.task.process.state == "dead"
    bench.run()
    assert guest.result == -E.ECHILD


def test_sigchld_says_who_and_how(bench: Bench, guest: Guest) -> None:
    guest("rt_sigprocmask", sg.SIG_BLOCK, sg.bit(sg.SIGCHLD).to_bytes(8, "little"), 0, 8)
    child = child_of(guest)
    child("exit_group", 7)
    info = guest.task.process.pending.take(sg.SIGCHLD)
    assert (info.code, info.pid, info.status) == (sg.CLD_EXITED, child.task.process.pid, 7)


def test_sigchld_is_kicked_before_wait_returns(bench: Bench, guest: Guest) -> None:
    ks.set_action(guest.task, sg.SIGCHLD, Action(0x401000, sg.SA_RESTORER, 0x402000))
    child = child_of(guest)
    guest("wait4", -1, 0, 0, 0)
    order: list[str] = []
    guest.thread.kick = lambda: order.append("kick")  # type: ignore[method-assign]
    guest.thread.complete = lambda result: order.append(f"complete {result}")  # type: ignore[method-assign]
    child("exit_group", 0)
    bench.run()
    assert order == ["kick", f"complete {child.task.process.pid}"]


# -- orphans --------------------------------------------------------------------------------------------------


def test_orphans_go_to_the_nearest_subreaper(bench: Bench, guest: Guest) -> None:
    guest("prctl", 36, 1, 0, 0, 0)
    child = child_of(guest)
    grandchild = child_of(child)
    child("exit_group", 0)
    assert grandchild.task.process.parent is guest.task.process


def test_init_reaps_orphans(bench: Bench, guest: Guest) -> None:
    child = child_of(guest)
    zombie = child_of(guest)
    zombie("exit_group", 0)
    assert zombie.task.process.state == "zombie"
    guest("exit_group", 0)
    assert zombie.task.process.state == "dead"
    assert guest.task.process.state == "dead"
    assert child("getppid") == 1
    child("exit_group", 0)
    assert set(bench.kernel.processes) == {1}
    assert not bench.kernel.tasks


def test_a_death_signal(bench: Bench, guest: Guest) -> None:
    child = child_of(guest)
    child("prctl", 1, sg.SIGTERM, 0, 0, 0)
    guest("exit_group", 0)
    assert child.task.process.status == sg.SIGTERM


def test_a_stopped_group_that_is_orphaned_is_hung_up(bench: Bench, guest: Guest) -> None:
    shell = child_of(guest)
    guest("setpgid", shell.task.process.pid, 0)
    job = child_of(shell)
    shell("setpgid", job.task.process.pid, 0)
    shell("kill", job.task.process.pid, sg.SIGTSTP)
    assert job.task.process.state == "stopped"
    shell("exit_group", 0)
    assert job.task.process.status == sg.SIGHUP


def test_an_orphaned_group_cannot_be_stopped_from_a_terminal(bench: Bench, guest: Guest) -> None:
    for signo in (sg.SIGTSTP, sg.SIGTTIN, sg.SIGTTOU):
        guest("kill", guest.task.process.pid, signo)
        assert guest.task.process.state == "running"


# -- groups and sessions --------------------------------------------------------------------------------------


def test_setpgid_rules(bench: Bench, guest: Guest) -> None:
    child, other = child_of(guest), bench.guest()
    pid = child.task.process.pid
    assert guest("setpgid", 0, 0) == -E.EPERM  # a session leader
    assert guest("setpgid", other.task.process.pid, 0) == -E.ESRCH
    assert guest("setpgid", pid, other.task.process.pgid) == -E.EPERM
    assert guest("setpgid", pid, pid) == 0
    assert guest("setpgid", pid, guest.task.process.pgid) == 0
    child.task.process.exec_count = 1
    assert guest("setpgid", pid, pid) == -E.EACCES
    assert child("setsid") == pid
    child.task.process.exec_count = 0
    assert guest("setpgid", pid, guest.task.process.pgid) == -E.EPERM
    assert child("setsid") == -E.EPERM


# -- the end --------------------------------------------------------------------------------------------------


def test_kill_all_leaves_init_alone(bench: Bench, guest: Guest) -> None:
    child_of(guest)
    bench.thread(guest)
    guest("pause")
    life.kill_all(bench.kernel)
    assert set(bench.kernel.processes) == {1}
    assert not bench.kernel.tasks
    bench.run()


def test_a_lost_process_was_killed(bench: Bench, guest: Guest) -> None:
    child = child_of(guest)
    bench.personality.lost(child.task)
    status = bytearray(4)
    assert guest("wait4", -1, status, 0, 0) == child.task.process.pid
    assert int.from_bytes(status, "little") == sg.SIGKILL


def test_a_failing_handler_is_eio_and_counted(bench: Bench, guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(task: object, args: object) -> int:
        raise ZeroDivisionError

    bench.personality.entries[39] = broken
    assert guest("getpid") == -E.EIO
    assert bench.kernel.internal_errors == 1
    bench.kernel.internal_errors = 0


def test_unknown_calls_are_counted(bench: Bench, guest: Guest) -> None:
    for number in (1000, 1 << 31, 400):
        assert bench.personality.syscall(guest.task, number, (0,) * 6) == -E.ENOSYS
    assert bench.kernel.counters.unimplemented == {1000: 1, 1024: 1, 400: 1}
    bench.personality.count_calls()
    bench.personality.syscall(guest.task, 39, (0,) * 6)
    assert bench.kernel.counters.calls == {39: 1}


# -- exec -----------------------------------------------------------------------------------------------------


def test_exec_makes_the_caller_the_only_thread(bench: Bench, guest: Guest) -> None:
    from pylitebox.kernel.task import Layout
    from tests.north.bench import BenchThread

    other = bench.thread(guest)
    process = guest.task.process
    ks.set_action(guest.task, sg.SIGUSR1, Action(0x401000, sg.SA_RESTORER, 0x402000))
    ks.set_action(guest.task, sg.SIGUSR2, Action(sg.SIG_IGN))
    base = guest.arena
    other("sigaltstack", sg.STACK_T.pack(base, 0, 0, 1 << 14), 0)
    other("rt_sigprocmask", sg.SIG_BLOCK, sg.bit(sg.SIGHUP).to_bytes(8, "little"), 0, 8)
    bound: list[object] = []
    bench.platform.bind = lambda thread, task: bound.append(task)  # type: ignore[attr-defined]
    told: list[int] = []
    fresh = BenchThread()
    fresh.action_changed = lambda signo, action: told.append(signo)  # type: ignore[method-assign]
    life.commit_exec(
        other.task,
        fresh,
        name=b"a-long-name-of-a-program",
        exe=None,
        argv=[b"x"],
        environ=[],
        layout=Layout(),  # type: ignore[arg-type]
    )
    assert list(process.tasks) == [process.pid]
    assert other.task.tid == process.pid
    assert bench.kernel.tasks == {process.pid: other.task}
    assert other.thread.killed
    assert guest.task.exiting
    assert bound == [other.task]
    assert told == [sg.SIGUSR2]
    assert process.actions.get(sg.SIGUSR1).handler == sg.SIG_DFL
    assert other.task.altstack[1] == sg.SS_DISABLE
    assert other.task.blocked == sg.bit(sg.SIGHUP)
    assert process.name == b"a-long-name-of-"
    assert process.exec_count == 1
