"""wait(2) family: options, id types and status words (bits/waitflags.h, man 2 wait4)."""

WNOHANG = 1
WUNTRACED = 2
WSTOPPED = 2
WEXITED = 4
WCONTINUED = 8
WNOWAIT = 0x01000000
WNOTHREAD = 0x20000000
WALL = 0x40000000
WCLONE = 0x80000000

P_ALL = 0
P_PID = 1
P_PGID = 2
P_PIDFD = 3

#: Status word of a continued child.
CONTINUED = 0xFFFF


def exited(code: int) -> int:
    """Status word of a process that called exit_group(code)."""
    return (code & 0xFF) << 8


def signaled(signo: int) -> int:
    """Status word of a process that a signal ended."""
    return signo & 0x7F


def stopped(signo: int) -> int:
    """Status word of a process that a signal stopped."""
    return (signo & 0xFF) << 8 | 0x7F


def returncode(status: int) -> int:
    """What subprocess calls the return code: the exit status, or minus the signal's number."""
    return -(status & 0x7F) if status & 0x7F else status >> 8 & 0xFF
