"""What signals are made of: siginfo, dispositions, and the queues of those that wait (man 7 signal).

State only; what posting a signal does is in signals.py.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from pylitebox.abi import signal as sg

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel

#: Queued signals of one user at most, whatever RLIMIT_SIGPENDING says.
MAX_QUEUED = 16384
_SYNCHRONOUS_BITS = sum(sg.bit(s) for s in sg.SYNCHRONOUS)


class SigInfo:
    """What siginfo_t says (man 2 sigaction). ``raw``: 128 bytes that came from a guest or a fault, passed as they are.
    ``value`` is si_value (unsigned 64 bit); ``addr`` si_addr; ``timer``/``overrun`` are a POSIX timer's. ``owner``: the
    user whom it counts for while it is queued (RLIMIT_SIGPENDING); -1 for nobody."""

    __slots__ = (
        "addr", "code", "overrun", "owner", "pid", "raw", "signo", "status", "stime", "timer", "uid", "utime", "value",
    )  # fmt: skip

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
        self.owner = -1

    def copy(self) -> SigInfo:
        new = SigInfo(self.signo)
        for name in SigInfo.__slots__:
            setattr(new, name, getattr(self, name))
        return new

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

    def add(self, info: SigInfo, kernel: Kernel | None = None, owner: int = -1, limit: int = MAX_QUEUED) -> bool:
        """Queue a signal, which counts for the user ``owner``. False if it was lost: pending already (a standard
        signal), or beyond the user's limit. Of a signal of kill(2) beyond it only the fact is kept (linux/kernel/
        signal.c, __send_signal_locked)."""
        signo = info.signo
        queue = self._queues.get(signo)
        if queue is not None and signo < sg.SIGRTMIN:
            return False
        if kernel is not None and owner >= 0:
            count = kernel.queued_signals.get(owner, 0)
            forced = info.code == sg.SI_TIMER or (signo < sg.SIGRTMIN and info.code >= 0)
            full = count >= min(limit, MAX_QUEUED) or kernel.all_queued_signals >= kernel.limits.queued_signals
            if not forced and full:
                if queue is not None or (signo >= sg.SIGRTMIN and info.code != sg.SI_USER):
                    return False
                info = SigInfo(signo)
            else:
                if info.owner >= 0:  # it is queued for another of a group already
                    info = info.copy()
                kernel.queued_signals[owner] = count + 1
                kernel.all_queued_signals += 1
                info.owner = owner
        if queue is None:
            self._queues[signo] = deque((info,))
            self.mask |= 1 << (signo - 1)
        else:
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
        _uncount(info, kernel)
        return info

    def discard(self, mask: int, kernel: Kernel | None = None) -> None:
        """Forget every signal in ``mask``."""
        while signo := self.first(mask):
            for info in self._queues.pop(signo):
                _uncount(info, kernel)
            self.mask &= ~(1 << (signo - 1))


def _uncount(info: SigInfo, kernel: Kernel | None) -> None:
    owner, info.owner = info.owner, -1
    if kernel is not None and owner >= 0:
        kernel.all_queued_signals -= 1
        left = kernel.queued_signals.get(owner, 0) - 1
        if left > 0:
            kernel.queued_signals[owner] = left
        else:
            kernel.queued_signals.pop(owner, None)
