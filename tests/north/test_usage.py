"""CPU time: who used it, the timers that run on it, and RLIMIT_CPU. Guests' clocks are moved by hand here; a program
compared with the host's output is tests/guest/programs/usage.c."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import resource as rl
from pylitebox.abi import signal as sg
from pylitebox.abi import time as tm
from pylitebox.kernel.exit import exit_process
from pylitebox.kernel.platform import NOTHING, Usage
from pylitebox.kernel.usage import plus
from tests.north.bench import PARKED

if TYPE_CHECKING:
    from tests.north.bench import Bench, Guest

SECOND = 1_000_000_000


@pytest.fixture
def guest(bench: Bench) -> Guest:
    return bench.guest()


def compute(bench: Bench, guest: Guest, ns: int) -> None:
    """Let the guest use the CPU for so long."""
    step = 1_000_000
    for _ in range(ns // step):
        guest.thread.cpu += step
        bench.platform.time_ns += step
        bench.run()


def idle(bench: Bench, ns: int) -> None:
    end = bench.platform.time_ns + ns
    while (deadline := bench.kernel.timers.next_deadline()) is not None and deadline <= end:
        bench.platform.time_ns = deadline
        bench.run()
    bench.platform.time_ns = end


def catch(guest: Guest, signo: int) -> None:
    guest("rt_sigaction", signo, sg.SIGACTION.pack(0x1000, sg.SA_RESTORER, 0x1000, 0), 0, 8)


def pending(guest: Guest) -> int:
    return guest.task.pending.mask | guest.task.process.pending.mask


def test_sums() -> None:
    one, other = Usage(1, 2, 3, 4, 50, 6), Usage(10, 20, 30, 40, 5, 60)
    assert plus(one, other) == Usage(11, 22, 33, 44, 50, 66)
    assert plus(one, NOTHING) == one


def test_what_a_child_used_is_its_parents_when_it_is_reaped(bench: Bench, guest: Guest) -> None:
    pid = guest("fork")
    assert pid is not None
    child = bench.kernel.processes[pid]
    child.tasks[pid].thread.cpu = 5 * SECOND  # type: ignore[union-attr]
    times = bytearray(32)
    guest("times", times)
    assert struct.unpack("<4q", times) == (0, 0, 0, 0)
    bench.personality.syscall(child.tasks[pid], 231, (0, 0, 0, 0, 0, 0))
    usage = bytearray(rl.RUSAGE.size)
    assert guest("wait4", pid, 0, 0, usage) == pid
    assert rl.RUSAGE.unpack(usage)[:4] == (5, 0, 0, 0)
    guest("times", times)
    assert struct.unpack("<4q", times) == (0, 0, 500, 0)
    assert guest("getrusage", rl.RUSAGE_CHILDREN, usage) == 0
    assert rl.RUSAGE.unpack(usage)[:4] == (5, 0, 0, 0)


def test_calls_that_waited_are_voluntary_switches(bench: Bench, guest: Guest) -> None:
    fds = bytearray(8)
    guest("pipe", fds)
    reader, writer = struct.unpack("<ii", fds)
    other = bench.thread(guest)
    for _ in range(3):
        assert guest("read", reader, bytearray(1), 1) is PARKED
        other("write", writer, b"x", 1)
        bench.run()
        assert guest.result == 1
    usage = bytearray(rl.RUSAGE.size)
    guest("getrusage", rl.RUSAGE_THREAD, usage)
    assert rl.RUSAGE.unpack(usage)[16] == 3
    other("getrusage", rl.RUSAGE_THREAD, usage)
    assert rl.RUSAGE.unpack(usage)[16] == 0
    other("exit", 0)
    guest("getrusage", rl.RUSAGE_SELF, usage)
    assert rl.RUSAGE.unpack(usage)[16] == 3


@pytest.mark.parametrize(("which", "signo"), [(tm.ITIMER_VIRTUAL, sg.SIGVTALRM), (tm.ITIMER_PROF, sg.SIGPROF)])
def test_a_cpu_timer_stands_while_its_process_does(bench: Bench, guest: Guest, which: int, signo: int) -> None:
    catch(guest, signo)
    assert guest("setitimer", which, tm.ITIMERVAL.pack(0, 0, 0, 100_000), 0) == 0
    idle(bench, 10 * SECOND)
    assert not pending(guest)
    compute(bench, guest, 90_000_000)
    assert not pending(guest)
    left = bytearray(tm.ITIMERVAL.size)
    guest("getitimer", which, left)
    assert tm.ITIMERVAL.unpack(left) == (0, 0, 0, 10_000)
    compute(bench, guest, 40_000_000)  # it may be seen so much late
    assert pending(guest) == sg.bit(signo)
    guest("getitimer", which, left)
    assert tm.ITIMERVAL.unpack(left) == (0, 0, 0, 0)


def test_a_cpu_clock_is_looked_at_seldom_while_it_stands_still(bench: Bench, guest: Guest) -> None:
    guest("setitimer", tm.ITIMER_PROF, tm.ITIMERVAL.pack(0, 0, 0, 1), 0)
    looks = 0
    end = bench.platform.time_ns + SECOND
    while (deadline := bench.kernel.timers.next_deadline()) is not None and deadline <= end:
        bench.platform.time_ns = deadline
        bench.run()
        looks += 1
    assert 40 <= looks <= 70


@pytest.mark.parametrize("clock", [tm.CLOCK_PROCESS_CPUTIME_ID, tm.CLOCK_THREAD_CPUTIME_ID, -6, -2])
def test_a_posix_timer_on_a_cpu_clock(bench: Bench, guest: Guest, clock: int) -> None:
    catch(guest, sg.SIGALRM)
    ident = bytearray(4)
    assert guest("timer_create", clock, 0, ident) == 0
    spec = struct.pack("<qqqq", 0, 50_000_000, 0, 50_000_000)
    assert guest("timer_settime", ident[0], 0, spec, 0) == 0
    idle(bench, SECOND)
    assert not pending(guest)
    compute(bench, guest, 75_000_000)
    assert pending(guest) == sg.bit(sg.SIGALRM)


def test_a_sleep_on_anothers_cpu_clock(bench: Bench, guest: Guest) -> None:
    pid = guest("fork")
    assert pid is not None
    child = bench.kernel.processes[pid].tasks[pid]
    assert guest("clock_nanosleep", ~pid << 3 | 2, 0, struct.pack("<qq", 1, 0), 0) is PARKED
    idle(bench, 3 * SECOND)
    assert guest.parked
    child.thread.cpu = SECOND  # type: ignore[union-attr]
    idle(bench, SECOND)
    assert guest.result == 0


def test_a_sleep_on_its_own_cpu_clock_is_refused(guest: Guest) -> None:
    second = struct.pack("<qq", 1, 0)
    assert guest("clock_nanosleep", tm.CLOCK_THREAD_CPUTIME_ID, 0, second, 0) == -E.EOPNOTSUPP
    assert guest("clock_nanosleep", -2, 0, second, 0) == -E.EINVAL
    assert guest("clock_nanosleep", ~guest.task.tid << 3 | 6, 0, second, 0) == -E.EINVAL


def test_the_cpu_limit_warns_each_second_then_ends(bench: Bench, guest: Guest) -> None:
    process = guest.task.process
    catch(guest, sg.SIGXCPU)
    assert guest("setrlimit", rl.RLIMIT_CPU, rl.RLIMIT64.pack(1, 3)) == 0
    for soft in (2, 3):
        compute(bench, guest, SECOND + 30_000_000)
        assert pending(guest) == sg.bit(sg.SIGXCPU)
        assert process.rlimits[rl.RLIMIT_CPU] == (soft, 3)
        process.pending.discard(~0, bench.kernel)
    compute(bench, guest, SECOND)
    assert process.state != "running"
    assert process.status == sg.SIGKILL


def test_a_child_inherits_the_cpu_limit_but_not_the_time(bench: Bench, guest: Guest) -> None:
    guest("setrlimit", rl.RLIMIT_CPU, rl.RLIMIT64.pack(5, 5))
    compute(bench, guest, 4 * SECOND)
    pid = guest("fork")
    assert pid is not None
    child = bench.kernel.processes[pid]
    child.tasks[pid].thread.cpu = 4 * SECOND  # type: ignore[union-attr]
    idle(bench, 10 * SECOND)
    assert child.state == "running"
    child.tasks[pid].thread.cpu = 5 * SECOND  # type: ignore[union-attr]
    idle(bench, 10 * SECOND)
    assert child.status == sg.SIGKILL
    assert guest.task.process.state == "running"


def test_queued_signals_count_for_their_user(bench: Bench, guest: Guest) -> None:
    guest("rt_sigprocmask", sg.SIG_BLOCK, (sg.bit(40) | sg.bit(41) | sg.bit(sg.SIGUSR1)).to_bytes(8, "little"), 0, 8)
    guest("setrlimit", rl.RLIMIT_SIGPENDING, rl.RLIMIT64.pack(2, 2))
    info = struct.pack("<iii", 0, 0, sg.SI_QUEUE).ljust(128, b"\0")
    pid = guest.task.process.pid
    assert guest("kill", pid, sg.SIGUSR1) == 0
    assert [guest("rt_sigqueueinfo", pid, 40, info) for _ in range(2)] == [0, -E.EAGAIN]
    assert guest("tgkill", pid, pid, 40) == -E.EAGAIN  # as man 2 tgkill says of real-time signals
    assert guest("kill", pid, 41) == 0  # pending, though nothing is known of it
    assert bench.kernel.queued_signals == {0: 2}
    waited = bytearray(128)
    assert guest("rt_sigtimedwait", sg.bit(40).to_bytes(8, "little"), waited, 0, 8) == 40
    assert guest("rt_sigqueueinfo", pid, 40, info) == 0


def test_a_signal_that_continues_a_process_into_its_end_counts_for_nobody(bench: Bench, guest: Guest) -> None:
    pid = guest("fork")
    assert isinstance(pid, int)
    child = bench.kernel.processes[pid]
    for signo in (sg.SIGSTOP, sg.SIGTERM, sg.SIGCONT):
        assert guest("kill", pid, signo) == 0
    assert child.status == sg.SIGTERM
    assert bench.kernel.queued_signals == {}


def test_a_signal_to_a_group_counts_for_each(bench: Bench, guest: Guest) -> None:
    mask = sg.bit(40).to_bytes(8, "little")
    guest("rt_sigprocmask", sg.SIG_BLOCK, mask, 0, 8)
    children = [guest("fork") for _ in range(3)]
    assert guest("kill", 0, 40) == 0
    assert bench.kernel.queued_signals == {0: 4}
    for pid in children:
        assert isinstance(pid, int)
        assert guest("kill", pid, sg.SIGKILL) == 0
    assert bench.kernel.queued_signals == {0: 1}
    assert guest("rt_sigtimedwait", mask, 0, 0, 8) == 40
    assert bench.kernel.queued_signals == {}


def test_queued_signals_of_all_users_are_bounded(bench: Bench, guest: Guest) -> None:
    bench.kernel.limits.queued_signals = 3
    mask = sg.bit(40).to_bytes(8, "little")
    info = struct.pack("<iii", 0, 0, sg.SI_QUEUE).ljust(128, b"\0")
    pid = guest.task.process.pid
    guest("rt_sigprocmask", sg.SIG_BLOCK, mask, 0, 8)
    results = []
    for uid in range(5):  # root's, and may take any other
        guest("setresuid", uid, 0, 0)
        results.append(guest("rt_sigqueueinfo", pid, 40, info))
    assert results == [0, 0, 0, -E.EAGAIN, -E.EAGAIN]
    assert guest("rt_sigtimedwait", mask, 0, 0, 8) == 40
    assert guest("rt_sigqueueinfo", pid, 40, info) == 0
    exit_process(guest.task.process, 0)
    assert bench.kernel.all_queued_signals == 0
