"""Signals: numbers, codes, flags, structures (man 7 signal; asm/signal.h, asm-generic/siginfo.h, asm/ucontext.h)."""

import struct

SIGHUP = 1
SIGINT = 2
SIGQUIT = 3
SIGILL = 4
SIGTRAP = 5
SIGABRT = 6
SIGBUS = 7
SIGFPE = 8
SIGKILL = 9
SIGUSR1 = 10
SIGSEGV = 11
SIGUSR2 = 12
SIGPIPE = 13
SIGALRM = 14
SIGTERM = 15
SIGSTKFLT = 16
SIGCHLD = 17
SIGCONT = 18
SIGSTOP = 19
SIGTSTP = 20
SIGTTIN = 21
SIGTTOU = 22
SIGURG = 23
SIGXCPU = 24
SIGXFSZ = 25
SIGVTALRM = 26
SIGPROF = 27
SIGWINCH = 28
SIGIO = 29
SIGPWR = 30
SIGSYS = 31
SIGRTMIN = 32
SIGRTMAX = 64
NSIG = 64

#: Number -> name; real-time signals are SIGRTMIN+n.
NAMES: dict[int, str] = {
    value: name
    for name, value in list(globals().items())
    if name.startswith("SIG") and isinstance(value, int) and value < 32
}

SIG_DFL = 0
SIG_IGN = 1

SA_NOCLDSTOP = 0x00000001
SA_NOCLDWAIT = 0x00000002
SA_SIGINFO = 0x00000004
SA_RESTORER = 0x04000000
SA_ONSTACK = 0x08000000
SA_RESTART = 0x10000000
SA_NODEFER = 0x40000000
SA_RESETHAND = 0x80000000

SIG_BLOCK = 0
SIG_UNBLOCK = 1
SIG_SETMASK = 2

SS_ONSTACK = 1
SS_DISABLE = 2
SS_AUTODISARM = 1 << 31
MINSIGSTKSZ = 2048

SI_USER = 0
SI_KERNEL = 0x80
SI_QUEUE = -1
SI_TIMER = -2
SI_MESGQ = -3
SI_ASYNCIO = -4
SI_SIGIO = -5
SI_TKILL = -6
CLD_EXITED = 1
CLD_KILLED = 2
CLD_DUMPED = 3
CLD_TRAPPED = 4
CLD_STOPPED = 5
CLD_CONTINUED = 6
SEGV_MAPERR = 1
SEGV_ACCERR = 2
BUS_ADRALN = 1
BUS_ADRERR = 2

#: struct kernel_sigaction: handler, flags, restorer, mask.
SIGACTION = struct.Struct("<QQQQ")
#: stack_t: sp, flags, (pad), size.
STACK_T = struct.Struct("<QiiQ")
SIGINFO_SIZE = 128

#: Signals that no mask holds back.
UNBLOCKABLE = 1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1)
DEFAULT_IGNORED = frozenset((SIGCHLD, SIGCONT, SIGURG, SIGWINCH))
DEFAULT_STOP = frozenset((SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU))
#: Signals whose default action ends the process with the core-dump bit's meaning (we never write a core).
DEFAULT_CORE = frozenset((SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS))
#: Signals raised by a thread's own instruction; they are delivered before any other (kernel/signal.c SYNCHRONOUS_MASK).
SYNCHRONOUS = frozenset((SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS))


def bit(signo: int) -> int:
    """The bit of a signal in a sigset_t."""
    return 1 << (signo - 1)


def name(signo: int) -> str:
    """A signal's name, as strace prints it."""
    if signo in NAMES:
        return NAMES[signo]
    return f"SIGRT_{signo - SIGRTMIN}" if SIGRTMIN <= signo <= SIGRTMAX else str(signo)
