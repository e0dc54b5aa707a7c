"""What threads and processes have used (man 2 getrusage): as the platform measured it, summed over what has ended.

A process's own sum counts the programs that it has left by execve(2); its children's grows when they are reaped.

Missing: faults of a program that ran for less than a tick (10 ms), whose size may be that of an earlier run of the same
program that took as long (:class:`Sizes`); blocks read and written, involuntary context switches (0). A thread's
voluntary ones are its calls that had to wait; sleeps and futexes that the host runs are not among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.time import NSEC_PER_SEC, USER_HZ
from pylitebox.kernel.platform import NOTHING, Usage

#: What the host counts user and system time by.
TICK_NS = NSEC_PER_SEC // USER_HZ
_MOST_SIZES = 256

if TYPE_CHECKING:
    from pylitebox.kernel.platform import GuestThread
    from pylitebox.kernel.task import Process, Task


def plus(one: Usage, other: Usage) -> Usage:
    """The sum; of what was resident the maximum."""
    return Usage(
        one.user + other.user,
        one.system + other.system,
        one.minor_faults + other.minor_faults,
        one.major_faults + other.major_faults,
        max(one.resident, other.resident),
        one.switches + other.switches,
    )


def _thread(process: Process) -> GuestThread | None:
    return next((task.thread for task in process.tasks.values() if task.thread is not None), None)


def used(process: Process) -> Usage:
    """What a process has used, without its children."""
    thread = _thread(process)
    if thread is None:
        return process.used
    switches = sum(task.switches for task in process.tasks.values())
    return plus(process.used, thread.usage()._replace(switches=switches))


def used_until_exec(process: Process) -> Usage:
    """As :func:`used`, for a program that is being left: of one that ran for less than a tick only the time counts,
    since the child of a vfork has faulted nothing of its own in, and asking costs more than it did."""
    thread = _thread(process)
    spent = thread.cpu_time() if thread is not None else TICK_NS
    if spent >= TICK_NS:
        return used(process)
    return plus(process.used, Usage(spent, switches=sum(task.switches for task in process.tasks.values())))


class Sizes:
    """How large programs that ran for less than a tick were, each looked at once a second: asking costs as much as all
    else at their end. A run that takes no longer than twice the time of one that was looked at has touched no more."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int, bool], tuple[int, int, int]] = {}  # CPU time, resident bytes, good until

    def used_until_exit(self, process: Process) -> Usage:
        """As :func:`used`, of a process that ends."""
        thread, exe = _thread(process), process.exe
        if thread is None or exe is None:
            return used(process)
        # by numbers: a program that is gone must not be held
        key = id(exe.mount), exe.inode.ino, not process.exec_count
        spent, now = thread.cpu_time(), process.kernel.now()
        if spent < TICK_NS:
            seen = self._seen.get(key)
            if seen is not None and spent <= 2 * seen[0] and now < seen[2]:
                switches = sum(task.switches for task in process.tasks.values())
                return plus(process.used, Usage(spent, resident=seen[1], switches=switches))
        measured = thread.usage()
        if measured.total < TICK_NS:
            if len(self._seen) >= _MOST_SIZES:
                self._seen.clear()
            self._seen[key] = measured.total, measured.resident, now + NSEC_PER_SEC
        return plus(process.used, measured._replace(switches=sum(task.switches for task in process.tasks.values())))


def used_by(task: Task) -> Usage:
    """What one thread has used since its program began."""
    if task.thread is None:
        return NOTHING
    return task.thread.usage(alone=True)._replace(switches=task.switches)


def cpu_time(process: Process) -> int:
    """The CPU time (ns) of a process: the exact sum, and cheaper to have than its parts."""
    thread = _thread(process)
    return process.used.total + (thread.cpu_time() if thread is not None else 0)


def user_time(process: Process) -> int:
    return used(process).user


def thread_time(task: Task) -> int:
    """The CPU time (ns) of one thread."""
    return task.thread.cpu_time(alone=True) if task.thread is not None else 0
