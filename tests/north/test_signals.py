"""Signal calls: what they refuse (asked of the host too), what posting does, and the frames that handlers run in."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.kernel import signal_state
from pylitebox.kernel import signals as ks
from pylitebox.kernel.signals import Action, SigInfo
from pylitebox.north.linux.x86_64 import sigframe
from tests.north.bench import PARKED

if TYPE_CHECKING:
    from tests.north.bench import Bench, Guest
    from tests.north.conftest import AnyGuest

HANDLER, RESTORER = 0x401000, 0x402000
STACK_SIZE = 1 << 16


def sigset(*signals: int) -> bytes:
    return sum(sg.bit(s) for s in signals).to_bytes(8, "little")


def handle(guest: Guest, signo: int, flags: int = 0, mask: int = 0, handler: int = HANDLER) -> None:
    action = sg.SIGACTION.pack(handler, flags | sg.SA_RESTORER, RESTORER, mask)
    assert guest("rt_sigaction", signo, action, 0, 8) == 0


class Context:
    """A machine stopped at a safe point, with a stack of its own."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.gregs = list(range(100, 123))
        self.gregs[sigframe.RSP] = guest.thread.memory.map(STACK_SIZE) + STACK_SIZE
        self.gregs[sigframe.RIP] = 0x400100
        self.gregs[sigframe.EFLAGS] = 0x246
        self.state = bytes(range(256)) * 3
        self.loaded: int | None = None

    def fpstate(self) -> bytes:
        return self.state

    def set_fpstate(self, address: int) -> None:
        self.loaded = address

    def safe_point(self) -> bool:
        return self.guest.bench.personality.safe_point(self.guest.task, self)

    def sigreturn(self) -> bool:
        self.gregs[sigframe.RSP] += 8  # the handler's return has taken the restorer's address
        return self.guest.bench.personality.sigreturn(self.guest.task, self)


@pytest.fixture
def guest(bench: Bench) -> Guest:
    return bench.guest()


# -- what is refused, as the host does ------------------------------------------------------------------------


def test_sigaction_refusals(g: AnyGuest) -> None:
    action = sg.SIGACTION.pack(sg.SIG_IGN, 0, 0, 0)
    assert g("rt_sigaction", sg.SIGUSR1, 0, 0, 4) == -E.EINVAL
    assert g("rt_sigaction", 0, 0, 0, 8) == -E.EINVAL
    assert g("rt_sigaction", 65, 0, 0, 8) == -E.EINVAL
    assert g("rt_sigaction", sg.SIGKILL, action, 0, 8) == -E.EINVAL
    assert g("rt_sigaction", sg.SIGSTOP, action, 0, 8) == -E.EINVAL
    assert g("rt_sigaction", sg.SIGKILL, 0, bytearray(32), 8) == 0
    assert g("rt_sigaction", sg.SIGKILL, 8, 0, 8) == -E.EFAULT


def test_sigaction_keeps_known_flags_and_maskable_signals(g: AnyGuest) -> None:
    old = bytearray(32)
    action = sg.SIGACTION.pack(HANDLER, 0x7FFF0000 | sg.SA_RESTART, RESTORER, (1 << 64) - 1)
    assert g("rt_sigaction", sg.SIGRTMAX, action, 0, 8) == 0
    assert g("rt_sigaction", sg.SIGRTMAX, sg.SIGACTION.pack(0, 0, 0, 0), old, 8) == 0
    handler, flags, restorer, mask = sg.SIGACTION.unpack(old)
    assert (handler, restorer) == (HANDLER, RESTORER)
    assert flags == sg.SA_RESTART | sg.SA_RESTORER | sg.SA_ONSTACK | sg.SA_NODEFER
    assert mask == (1 << 64) - 1 & ~sg.UNBLOCKABLE


def test_sigprocmask_refusals(g: AnyGuest) -> None:
    assert g("rt_sigprocmask", 3, sigset(), 0, 8) == -E.EINVAL
    assert g("rt_sigprocmask", 3, 0, bytearray(8), 8) == 0
    assert g("rt_sigprocmask", sg.SIG_BLOCK, 0, 0, 4) == -E.EINVAL
    assert g("rt_sigprocmask", sg.SIG_BLOCK, 16, 0, 8) == -E.EFAULT
    assert g("rt_sigpending", bytearray(16), 16) == -E.EINVAL
    assert g("rt_sigpending", 8, 8) == -E.EFAULT


def test_kill_refusals(g: AnyGuest) -> None:
    assert g("kill", 1, 65) == -E.EINVAL
    assert g("kill", 1, -1) == -E.EINVAL
    assert g("kill", 4194000, 0) == -E.ESRCH
    assert g("kill", -4194000, 0) == -E.ESRCH
    assert g("kill", -(1 << 31), 0) == -E.ESRCH
    assert g("kill", g("getpid"), 0) == 0
    assert g("tkill", 0, 0) == -E.EINVAL
    assert g("tkill", -1, 0) == -E.EINVAL
    assert g("tgkill", 0, g("gettid"), 0) == -E.EINVAL
    assert g("tgkill", g("getpid"), 4194000, 0) == -E.ESRCH
    assert g("tgkill", 4194000, g("gettid"), 0) == -E.ESRCH
    assert g("tgkill", g("getpid"), g("gettid"), 0) == 0


def test_sigqueue_refusals(g: AnyGuest) -> None:
    claims_kernel = struct.pack("<iii", 0, 0, sg.SI_KERNEL).ljust(128, b"\0")
    assert g("rt_sigqueueinfo", 1, 0, claims_kernel) == -E.EPERM
    queued = struct.pack("<iii", 0, 0, sg.SI_QUEUE).ljust(128, b"\0")
    assert g("rt_sigqueueinfo", 4194000, 0, queued) == -E.ESRCH
    assert g("rt_sigqueueinfo", g("getpid"), 0, queued) == 0
    assert g("rt_tgsigqueueinfo", g("getpid"), 0, 0, queued) == -E.EINVAL
    assert g("rt_tgsigqueueinfo", g("getpid"), g("gettid"), 0, queued) == 0


def test_timedwait_refusals(g: AnyGuest) -> None:
    zero, bad = struct.pack("<qq", 0, 0), struct.pack("<qq", 0, 1_000_000_000)
    assert g("rt_sigtimedwait", sigset(sg.SIGUSR1), 0, zero, 8) == -E.EAGAIN
    assert g("rt_sigtimedwait", sigset(sg.SIGUSR1), 0, bad, 8) == -E.EINVAL
    assert g("rt_sigtimedwait", sigset(sg.SIGUSR1), 0, zero, 16) == -E.EINVAL
    assert g("rt_sigsuspend", sigset(), 4) == -E.EINVAL


def test_altstack_refusals(g: AnyGuest) -> None:
    assert g("sigaltstack", sg.STACK_T.pack(0x1000, 4, 0, 1 << 16), 0) == -E.EINVAL
    assert g("sigaltstack", sg.STACK_T.pack(0x1000, 0, 0, 1024), 0) == -E.ENOMEM
    assert g("sigaltstack", 8, 0) == -E.EFAULT


def test_queued_signals_come_back_in_order(g: AnyGuest) -> None:
    """Real-time signals queue, standard ones do not; the lowest number comes first."""
    old = bytearray(8)
    high, low = 50, sg.SIGUSR2
    both = sigset(high, low)
    assert g("rt_sigprocmask", sg.SIG_BLOCK, both, old, 8) == 0
    for value in (1, 2):
        info = struct.pack("<iiiiiIQ", 0, 0, sg.SI_QUEUE, 0, 7, 8, value).ljust(128, b"\0")
        assert g("rt_tgsigqueueinfo", g("getpid"), g("gettid"), high, info) == 0
        assert g("tgkill", g("getpid"), g("gettid"), low) == 0
    pending = bytearray(8)
    assert g("rt_sigpending", pending, 8) == 0
    assert bytes(pending) == both
    zero = struct.pack("<qq", 0, 0)
    info_out = bytearray(128)
    assert g("rt_sigtimedwait", both, info_out, zero, 8) == low
    signo, _, code, _, pid, uid = struct.unpack_from("<iiiiiI", info_out)
    assert (signo, code, pid) == (low, sg.SI_TKILL, g("getpid"))
    assert uid == g("getuid")
    for value in (1, 2):
        assert g("rt_sigtimedwait", both, info_out, zero, 8) == high
        assert struct.unpack_from("<iiiiiIQ", info_out) == (high, 0, sg.SI_QUEUE, 0, 7, 8, value)
    assert g("rt_sigtimedwait", both, info_out, zero, 8) == -E.EAGAIN
    assert g("rt_sigprocmask", sg.SIG_SETMASK, bytes(old), 0, 8) == 0


def test_ignoring_a_signal_forgets_it(g: AnyGuest) -> None:
    old, pending = bytearray(8), bytearray(8)
    assert g("rt_sigprocmask", sg.SIG_BLOCK, sigset(sg.SIGUSR2), old, 8) == 0
    assert g("tgkill", g("getpid"), g("gettid"), sg.SIGUSR2) == 0
    assert g("rt_sigaction", sg.SIGUSR2, sg.SIGACTION.pack(sg.SIG_IGN, 0, 0, 0), 0, 8) == 0
    assert g("rt_sigpending", pending, 8) == 0
    assert bytes(pending) == bytes(8)
    assert g("tgkill", g("getpid"), g("gettid"), sg.SIGUSR2) == 0  # blocked: queued, though it is ignored
    assert g("rt_sigpending", pending, 8) == 0
    assert bytes(pending) == sigset(sg.SIGUSR2)
    assert g("rt_sigprocmask", sg.SIG_SETMASK, bytes(old), 0, 8) == 0  # and dropped when it may come
    assert g("rt_sigaction", sg.SIGUSR2, sg.SIGACTION.pack(0, 0, 0, 0), 0, 8) == 0


# -- frames ---------------------------------------------------------------------------------------------------


def test_a_frame_is_what_linux_builds(bench: Bench, guest: Guest) -> None:
    handle(guest, sg.SIGUSR1, sg.SA_SIGINFO, mask=sg.bit(sg.SIGHUP))
    context = Context(guest)
    before = list(context.gregs)
    assert guest("kill", guest.task.process.pid, sg.SIGUSR1) == 0
    assert guest.thread.kicks == 1
    assert context.safe_point()
    gregs, sp = context.gregs, context.gregs[sigframe.RSP]
    assert sp % 16 == 8
    assert gregs[sigframe.RIP] == HANDLER
    assert gregs[sigframe.RDI] == sg.SIGUSR1
    assert gregs[sigframe.RDX] == sp + 8
    assert gregs[sigframe.RSI] == sp + 312
    assert context.loaded == 0
    frame = guest.peek(sp, 440)
    assert int.from_bytes(frame[:8], "little") == RESTORER
    assert list(struct.unpack_from("<23Q", frame, 8 + 40))[:21] == before[:21]
    assert struct.unpack_from("<Q", frame, 8 + 296) == (0,)
    state = struct.unpack_from("<Q", frame, 8 + 224)[0]
    assert state % 64 == 0
    assert state + len(context.state) <= before[sigframe.RSP] - 128
    assert guest.peek(state, len(context.state)) == context.state
    assert struct.unpack_from("<iiiiiI", frame, 312) == (sg.SIGUSR1, 0, sg.SI_USER, 0, guest.task.process.pid, 0)
    assert guest.task.blocked == sg.bit(sg.SIGUSR1) | sg.bit(sg.SIGHUP)
    assert context.sigreturn()
    assert context.gregs == before
    assert context.loaded == state
    assert guest.task.blocked == 0


def test_frames_nest_and_unwind(bench: Bench, guest: Guest) -> None:
    for signo in (sg.SIGUSR1, sg.SIGUSR2):
        handle(guest, signo, handler=HANDLER + signo)
    both = sigset(sg.SIGUSR1, sg.SIGUSR2)
    guest("rt_sigprocmask", sg.SIG_BLOCK, both, 0, 8)
    for signo in (sg.SIGUSR2, sg.SIGUSR1):
        guest("kill", guest.task.process.pid, signo)
    assert guest.thread.kicks == 0
    guest("rt_sigprocmask", sg.SIG_UNBLOCK, both, 0, 8)
    context = Context(guest)
    before = list(context.gregs)
    assert context.safe_point()
    # USR1 was set up first, then USR2 on top of it: USR2 runs first
    assert context.gregs[sigframe.RIP] == HANDLER + sg.SIGUSR2
    assert context.sigreturn()
    assert context.gregs[sigframe.RIP] == HANDLER + sg.SIGUSR1
    assert context.sigreturn()
    assert context.gregs == before


def test_sigreturn_of_nonsense_is_a_segmentation_fault(bench: Bench, guest: Guest) -> None:
    context = Context(guest)
    context.gregs[sigframe.RSP] = 0xDEAD0000
    assert not context.sigreturn()
    assert guest.task.process.status == sg.SIGSEGV
    assert bench.kernel.internal_errors == 0


def test_sigreturn_cannot_take_privileges(bench: Bench, guest: Guest) -> None:
    handle(guest, sg.SIGUSR1)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    context = Context(guest)
    segments = context.gregs[sigframe.SEGMENTS]
    context.safe_point()
    uc = context.gregs[sigframe.RSP] + 8
    guest.thread.memory.poke(uc + 40 + 8 * sigframe.EFLAGS, struct.pack("<Q", (1 << 64) - 1))
    guest.thread.memory.poke(uc + 40 + 8 * sigframe.SEGMENTS, struct.pack("<Q", 0x23))
    guest.thread.memory.poke(uc + 296, struct.pack("<Q", (1 << 64) - 1))
    context.sigreturn()
    assert context.gregs[sigframe.SEGMENTS] == segments
    assert context.gregs[sigframe.EFLAGS] & 0x3000 == 0  # no I/O privilege
    assert guest.task.blocked & sg.UNBLOCKABLE == 0


def test_no_stack_for_the_frame_is_fatal(bench: Bench, guest: Guest) -> None:
    handle(guest, sg.SIGUSR1)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    context = Context(guest)
    context.gregs[sigframe.RSP] = 0x3000
    assert not context.safe_point()
    assert guest.task.process.status == sg.SIGSEGV


def test_no_stack_but_an_alternate_one_for_sigsegv(bench: Bench, guest: Guest) -> None:
    base = guest.thread.memory.map(STACK_SIZE)
    guest("sigaltstack", sg.STACK_T.pack(base, 0, 0, STACK_SIZE), 0)
    handle(guest, sg.SIGUSR1)
    handle(guest, sg.SIGSEGV, sg.SA_ONSTACK, handler=HANDLER + 8)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    context = Context(guest)
    context.gregs[sigframe.RSP] = 0x3000
    assert context.safe_point()
    assert context.gregs[sigframe.RIP] == HANDLER + 8
    assert base < context.gregs[sigframe.RSP] < base + STACK_SIZE


def test_alternate_stack_is_used_and_told(bench: Bench, guest: Guest) -> None:
    base = guest.thread.memory.map(STACK_SIZE)
    guest("sigaltstack", sg.STACK_T.pack(base, 0, 0, STACK_SIZE), 0)
    handle(guest, sg.SIGUSR1, sg.SA_ONSTACK)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    context = Context(guest)
    assert context.safe_point()
    sp = context.gregs[sigframe.RSP]
    assert base < sp < base + STACK_SIZE
    assert struct.unpack("<Qi4xQ", guest.peek(sp + 8 + 16, 24)) == (base, 0, STACK_SIZE)
    # a second signal stays on it, below the first
    handle(guest, sg.SIGUSR2, sg.SA_ONSTACK)
    guest("kill", guest.task.process.pid, sg.SIGUSR2)
    assert context.safe_point()
    assert base < context.gregs[sigframe.RSP] < sp


def test_autodisarm(bench: Bench, guest: Guest) -> None:
    base = guest.thread.memory.map(STACK_SIZE)
    flags = sg.SS_AUTODISARM - (1 << 32)
    guest("sigaltstack", sg.STACK_T.pack(base, flags, 0, STACK_SIZE), 0)
    handle(guest, sg.SIGUSR1, sg.SA_ONSTACK)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    context = Context(guest)
    context.safe_point()
    assert guest.task.altstack[1] == sg.SS_DISABLE
    context.sigreturn()
    assert guest.task.altstack == (base, sg.SS_AUTODISARM, STACK_SIZE)


def test_a_handler_without_restorer_is_fatal(bench: Bench, guest: Guest) -> None:
    guest("rt_sigaction", sg.SIGUSR1, sg.SIGACTION.pack(HANDLER, 0, 0, 0), 0, 8)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    assert not Context(guest).safe_point()
    assert guest.task.process.status == sg.SIGSEGV


def test_resethand_and_nodefer(bench: Bench, guest: Guest) -> None:
    handle(guest, sg.SIGUSR1, sg.SA_RESETHAND | sg.SA_NODEFER)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    Context(guest).safe_point()
    assert guest.task.blocked == 0
    assert guest.task.process.actions.get(sg.SIGUSR1).handler == sg.SIG_DFL


# -- faults ---------------------------------------------------------------------------------------------------


def _fault(guest: Guest, context: Context) -> bool:
    info = struct.pack("<iiiiQ", sg.SIGSEGV, 0, sg.SEGV_MAPERR, 0, 0x1234).ljust(128, b"\0")
    return guest.bench.personality.fault(guest.task, context, sg.SIGSEGV, info)


def test_a_fault_without_handler_ends_the_process(bench: Bench, guest: Guest) -> None:
    assert not _fault(guest, Context(guest))
    assert guest.task.process.status == sg.SIGSEGV
    assert guest.thread.killed


def test_a_fault_runs_its_handler(bench: Bench, guest: Guest) -> None:
    handle(guest, sg.SIGSEGV, sg.SA_SIGINFO)
    context = Context(guest)
    assert _fault(guest, context)
    assert context.gregs[sigframe.RIP] == HANDLER
    info = guest.peek(context.gregs[sigframe.RSI], 24)
    assert struct.unpack("<iiiiQ", info) == (sg.SIGSEGV, 0, sg.SEGV_MAPERR, 0, 0x1234)
    assert guest.thread.kicks == 0  # it is at its safe point already


@pytest.mark.parametrize("how", ["blocked", "ignored"])
def test_a_fault_cannot_be_refused(bench: Bench, guest: Guest, how: str) -> None:
    handle(guest, sg.SIGSEGV)
    if how == "blocked":
        guest("rt_sigprocmask", sg.SIG_BLOCK, sigset(sg.SIGSEGV), 0, 8)
    else:
        guest("rt_sigaction", sg.SIGSEGV, sg.SIGACTION.pack(sg.SIG_IGN, 0, 0, 0), 0, 8)
    assert not _fault(guest, Context(guest))
    assert guest.task.process.status == sg.SIGSEGV


# -- interrupted calls ----------------------------------------------------------------------------------------

SYSCALL_END = 0x400102


def _after_call(guest: Guest, result: int) -> Context:
    context = Context(guest)
    context.gregs[sigframe.RIP] = SYSCALL_END
    context.gregs[sigframe.RAX] = result & (1 << 64) - 1
    return context


def test_pause_is_interrupted_by_a_handler_only(bench: Bench, guest: Guest) -> None:
    handle(guest, sg.SIGUSR1, sg.SA_RESTART)
    assert guest("pause") is PARKED
    ks.post_process(guest.task.process, SigInfo(sg.SIGCHLD))
    bench.run()
    assert guest.parked
    ks.post_process(guest.task.process, SigInfo(sg.SIGUSR1))
    bench.run()
    assert guest.result == -E.EINTR
    context = _after_call(guest, -E.EINTR)
    context.safe_point()
    saved = guest.peek(context.gregs[sigframe.RSP] + 8 + 40, 184)
    assert struct.unpack_from("<q", saved, 8 * sigframe.RAX) == (-E.EINTR,)


@pytest.mark.parametrize(("flags", "restarts"), [(sg.SA_RESTART, True), (0, False)])
def test_wait_restarts_as_the_handler_says(bench: Bench, guest: Guest, flags: int, *, restarts: bool) -> None:
    handle(guest, sg.SIGUSR1, flags)
    assert guest("fork") is not None
    assert guest("wait4", -1, 0, 0, 0) is PARKED
    ks.post_process(guest.task.process, SigInfo(sg.SIGUSR1))
    bench.run()
    assert guest.result == -E.EINTR
    context = _after_call(guest, -E.EINTR)
    context.safe_point()
    saved = struct.unpack_from("<23q", guest.peek(context.gregs[sigframe.RSP] + 8 + 40, 184))
    if restarts:
        assert saved[sigframe.RAX] == 61
        assert saved[sigframe.RIP] == SYSCALL_END - 2
    else:
        assert saved[sigframe.RAX] == -E.EINTR
        assert saved[sigframe.RIP] == SYSCALL_END


def test_a_signal_that_is_gone_restarts_the_call(bench: Bench, guest: Guest) -> None:
    """Another thread took the signal: no handler runs here, so nothing was interrupted."""
    handle(guest, sg.SIGUSR1)
    guest("pause")
    ks.post_process(guest.task.process, SigInfo(sg.SIGUSR1))
    bench.run()
    assert guest.result == -E.EINTR
    guest.task.process.pending.discard(~0)
    context = _after_call(guest, -E.EINTR)
    assert context.safe_point()
    assert context.gregs[sigframe.RAX] == 34
    assert context.gregs[sigframe.RIP] == SYSCALL_END - 2


def test_suspend_restores_the_mask_after_the_handler(bench: Bench, guest: Guest) -> None:
    handle(guest, sg.SIGUSR1)
    guest("rt_sigprocmask", sg.SIG_BLOCK, sigset(sg.SIGUSR1), 0, 8)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    assert guest("rt_sigsuspend", sigset(sg.SIGHUP), 8) == -E.EINTR
    context = _after_call(guest, -E.EINTR)
    context.safe_point()
    assert guest.task.blocked == sg.bit(sg.SIGUSR1) | sg.bit(sg.SIGHUP)
    context.sigreturn()
    assert guest.task.blocked == sg.bit(sg.SIGUSR1)


def test_timedwait_takes_what_comes(bench: Bench, guest: Guest) -> None:
    guest("rt_sigprocmask", sg.SIG_BLOCK, sigset(sg.SIGUSR1), 0, 8)
    assert guest("rt_sigtimedwait", sigset(sg.SIGUSR1), 0, 0, 8) is PARKED
    ks.post_process(guest.task.process, SigInfo(sg.SIGUSR1))
    bench.run()
    assert guest.result == sg.SIGUSR1
    assert not guest.task.process.pending


def test_timedwait_times_out(bench: Bench, guest: Guest) -> None:
    guest("rt_sigprocmask", sg.SIG_BLOCK, sigset(sg.SIGUSR1), 0, 8)
    guest("rt_sigtimedwait", sigset(sg.SIGUSR1), 0, struct.pack("<qq", 1, 0), 8)
    bench.platform.time_ns += 1_000_000_000
    bench.run()
    assert guest.result == -E.EAGAIN


def test_a_host_futex_wait_is_not_restarted_behind_a_handler_that_forbids_it(bench: Bench, guest: Guest) -> None:
    bench.platform.delegates_memory = True  # type: ignore[misc]
    handle(guest, sg.SIGUSR1)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    code = guest.place(b"\x0f\x05")
    context = Context(guest)
    context.gregs[sigframe.RIP], context.gregs[sigframe.RAX], context.gregs[sigframe.RSI] = code, 202, 128
    context.safe_point()
    saved = struct.unpack_from("<23q", guest.peek(context.gregs[sigframe.RSP] + 8 + 40, 184))
    assert saved[sigframe.RAX] == -E.EINTR
    assert saved[sigframe.RIP] == code + 2


# -- threads, stops, permissions ------------------------------------------------------------------------------


def test_a_process_signal_goes_to_a_thread_that_takes_it(bench: Bench, guest: Guest) -> None:
    other = bench.thread(guest)
    handle(guest, sg.SIGUSR1)
    guest("rt_sigprocmask", sg.SIG_BLOCK, sigset(sg.SIGUSR1), 0, 8)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    assert not guest.task.signal_pending
    assert other.task.signal_pending
    assert other.thread.kicks == 1


def test_a_signal_is_handed_on_when_its_thread_blocks_it(bench: Bench, guest: Guest) -> None:
    other = bench.thread(guest)
    handle(guest, sg.SIGUSR1)
    guest("kill", guest.task.process.pid, sg.SIGUSR1)
    assert guest.task.signal_pending
    guest("rt_sigprocmask", sg.SIG_BLOCK, sigset(sg.SIGUSR1), 0, 8)
    assert not guest.task.signal_pending
    assert other.task.signal_pending


def test_stop_and_continue(bench: Bench, guest: Guest) -> None:
    process = guest.task.process
    guest("kill", process.pid, sg.SIGSTOP)
    assert process.state == "stopped"
    assert guest.thread.kicks == 1
    context = Context(guest)
    before = list(context.gregs)
    assert not context.safe_point()
    handle(guest, sg.SIGUSR1)
    ks.post_process(process, SigInfo(sg.SIGUSR1))
    assert not context.safe_point()
    ks.post_process(process, SigInfo(sg.SIGCONT))
    assert process.state == "running"
    assert guest.thread.kicks == 2
    assert context.safe_point()
    assert context.gregs[sigframe.RIP] == HANDLER
    assert context.sigreturn()
    assert context.gregs == before


def test_a_stopped_process_dies_of_sigkill_alone(bench: Bench, guest: Guest) -> None:
    process = guest.task.process
    guest("kill", process.pid, sg.SIGSTOP)
    ks.post_process(process, SigInfo(sg.SIGTERM))
    assert process.state == "stopped"
    ks.post_process(process, SigInfo(sg.SIGKILL))
    assert process.status == sg.SIGKILL


def test_sigterm_waits_for_the_continue(bench: Bench, guest: Guest) -> None:
    process = guest.task.process
    guest("kill", process.pid, sg.SIGSTOP)
    ks.post_process(process, SigInfo(sg.SIGTERM))
    ks.post_process(process, SigInfo(sg.SIGCONT))
    assert process.status == sg.SIGTERM


def test_stops_and_continues_cancel_each_other(bench: Bench, guest: Guest) -> None:
    process = guest.task.process
    guest("rt_sigprocmask", sg.SIG_BLOCK, sigset(sg.SIGTSTP, sg.SIGCONT), 0, 8)
    ks.post_process(process, SigInfo(sg.SIGTSTP))
    ks.post_process(process, SigInfo(sg.SIGCONT))
    assert process.pending.mask == sg.bit(sg.SIGCONT)
    ks.post_process(process, SigInfo(sg.SIGTSTP))
    assert process.pending.mask == sg.bit(sg.SIGTSTP)


def test_parked_calls_outlive_a_stop(bench: Bench, guest: Guest) -> None:
    guest("pause")
    ks.post_process(guest.task.process, SigInfo(sg.SIGSTOP))
    ks.post_process(guest.task.process, SigInfo(sg.SIGCONT))
    bench.run()
    assert guest.parked
    assert guest.thread.kicks == 0


def test_users_signal_their_own_processes_only(bench: Bench) -> None:
    from pylitebox.kernel.credentials import Credentials

    one, other = bench.guest(), bench.guest()
    one.task.cred, other.task.cred = Credentials.user(1000, 1000), Credentials.user(1001, 1001)
    assert one("kill", other.task.process.pid, sg.SIGTERM) == -E.EPERM
    assert one("kill", other.task.process.pid, 0) == -E.EPERM
    assert one("kill", -1, 0) == -E.EPERM
    other.task.cred = Credentials.user(1000, 1000)
    assert one("kill", other.task.process.pid, sg.SIGTERM) == 0
    assert other.task.process.status == sg.SIGTERM


def test_the_queue_is_bounded(bench: Bench, guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_state, "MAX_QUEUED", 3)
    guest("rt_sigprocmask", sg.SIG_BLOCK, sigset(40), 0, 8)
    info = struct.pack("<iii", 0, 0, sg.SI_QUEUE).ljust(128, b"\0")
    pid = guest.task.process.pid
    results = [guest("rt_sigqueueinfo", pid, 40, info) for _ in range(6)]
    assert results == [0, 0, 0, -E.EAGAIN, -E.EAGAIN, -E.EAGAIN]
    assert bench.kernel.queued_signals == {0: 3}
    assert guest("kill", pid, 40) == 0  # kill never fails for that
    guest("exit_group", 0)
    assert bench.kernel.queued_signals == {}


def test_raw_rt_sigreturn_by_number_is_a_fault(bench: Bench, guest: Guest) -> None:
    guest("rt_sigreturn")
    assert guest.task.process.status == sg.SIGSEGV


def test_actions_after_exec() -> None:
    actions = ks.Actions()
    actions.set(sg.SIGUSR1, Action(HANDLER, sg.SA_RESTART, RESTORER, 0))
    actions.set(sg.SIGUSR2, Action(sg.SIG_IGN, sg.SA_RESTART, RESTORER, 5))
    copy = actions.copy()
    actions.reset()
    assert actions.items() == [(sg.SIGUSR2, Action(sg.SIG_IGN))]
    assert copy.get(sg.SIGUSR1).handler == HANDLER
