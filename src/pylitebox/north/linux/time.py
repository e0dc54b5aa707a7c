"""Clocks, sleeps and timers (man 2 clock_gettime, nanosleep, setitimer, timer_create).

On the native platform most of it never gets here: the vDSO and the host answer clocks 0-11 and sleeps.
"""

import struct
from collections.abc import Callable
from functools import partial

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi import time as tm
from pylitebox.kernel import itimers
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.task import Task
from pylitebox.kernel.usage import cpu_time, thread_time, used_by, user_time
from pylitebox.kernel.wait import ERESTART_RESTARTBLOCK, ERESTARTNOHAND, Blocking, Interrupted, Result, Wait
from pylitebox.north.linux.args import Address, ClockId, Int, UInt
from pylitebox.north.linux.table import Full, Partial, syscall

_SECOND = tm.NSEC_PER_SEC
_WALL_CLOCKS = frozenset((tm.CLOCK_REALTIME, tm.CLOCK_REALTIME_COARSE, tm.CLOCK_REALTIME_ALARM, tm.CLOCK_TAI))
_MONOTONIC_CLOCKS = frozenset(
    (tm.CLOCK_MONOTONIC, tm.CLOCK_MONOTONIC_RAW, tm.CLOCK_MONOTONIC_COARSE, tm.CLOCK_BOOTTIME, tm.CLOCK_BOOTTIME_ALARM)
)
_SLEEP_CLOCKS = frozenset((tm.CLOCK_REALTIME, tm.CLOCK_MONOTONIC, tm.CLOCK_BOOTTIME, tm.CLOCK_TAI))
_TIMEZONE = bytes(8)
#: How often the coarse clocks move on most hosts (CONFIG_HZ=250).
_COARSE_NS = 4_000_000


def read_timespec(task: Task, address: int) -> int:
    """A non-negative struct timespec in ns; EFAULT, EINVAL."""
    seconds, nanoseconds = tm.TIMESPEC.unpack(task.memory.read(address, tm.TIMESPEC.size))
    if seconds < 0 or not 0 <= nanoseconds < _SECOND:
        raise KernelError(E.EINVAL)
    return int(seconds) * _SECOND + int(nanoseconds)


def write_timespec(task: Task, address: int, ns: int) -> None:
    task.memory.write(address, tm.TIMESPEC.pack(*divmod(ns, _SECOND)))


def _read_timevals(task: Task, address: int) -> tuple[int, int]:
    """struct itimerval: (interval, value) in ns."""
    fields = tm.ITIMERVAL.unpack(task.memory.read(address, tm.ITIMERVAL.size))
    if any(s < 0 for s in fields[::2]) or any(not 0 <= us < 1_000_000 for us in fields[1::2]):
        raise KernelError(E.EINVAL)
    return fields[0] * _SECOND + fields[1] * 1000, fields[2] * _SECOND + fields[3] * 1000


# -- clocks ---------------------------------------------------------------------------------------------------


def cpu_clock(task: Task, clock: int) -> Callable[[], int] | None:
    """What reads a clock of CPU time (ns); None if ``clock`` is none. EINVAL. A negative id names a process or a
    thread of the caller's (CPUCLOCK_*, man 3 clock_getcpuclockid)."""
    if clock == tm.CLOCK_PROCESS_CPUTIME_ID:
        return partial(cpu_time, task.process)
    if clock == tm.CLOCK_THREAD_CPUTIME_ID:
        return partial(thread_time, task)
    if clock >= 0:
        return None
    ident = ~clock >> 3
    if clock & 3 == 3:
        raise KernelError(E.EINVAL)
    user_only = clock & 3 == 1  # CPUCLOCK_VIRT
    if clock & 4:
        thread = task.process.tasks.get(ident) if ident else task
        if thread is None:
            raise KernelError(E.EINVAL)
        return partial(_thread_user_time, thread) if user_only else partial(thread_time, thread)
    process = task.kernel.processes.get(ident) if ident else task.process
    if process is None:
        raise KernelError(E.EINVAL)
    return partial(user_time if user_only else cpu_time, process)


def _thread_user_time(task: Task) -> int:
    return used_by(task).user


def read_clock(task: Task, clock: int) -> int:
    """A clock's time in ns; EINVAL."""
    if clock in _MONOTONIC_CLOCKS:
        return task.kernel.now()
    if clock in _WALL_CLOCKS:
        return task.kernel.wall()
    read = cpu_clock(task, clock)
    if read is None:
        raise KernelError(E.EINVAL)
    return read()


@syscall("clock_gettime", x86_64=228, aarch64=113, support=Full, test="test_time", native="clocks 0 to 11")
def clock_gettime(task: Task, clock: ClockId, address: Address) -> Result:
    write_timespec(task, address, read_clock(task, clock))
    return 0


@syscall(
    "clock_getres",
    x86_64=229,
    aarch64=114,
    support=Partial("the coarse clocks' is 4 ms, whatever the host's (which the vDSO tells)"),
)
def clock_getres(task: Task, clock: ClockId, address: Address) -> Result:
    read_clock(task, clock)
    if address:
        coarse = clock in {tm.CLOCK_REALTIME_COARSE, tm.CLOCK_MONOTONIC_COARSE}
        write_timespec(task, address, _COARSE_NS if coarse else 1)
    return 0


@syscall("clock_settime", x86_64=227, aarch64=112, support=Partial("no clock can be set: EPERM"))
def clock_settime(task: Task, clock: ClockId, address: Address) -> Result:
    if clock != tm.CLOCK_REALTIME:
        raise KernelError(E.EINVAL)
    read_timespec(task, address)
    raise KernelError(E.EPERM)


@syscall("gettimeofday", x86_64=96, aarch64=169, support=Full, test="test_time")
def gettimeofday(task: Task, address: Address, zone: Address) -> Result:
    if address:
        seconds, rest = divmod(task.kernel.wall(), _SECOND)
        task.memory.write(address, tm.TIMEVAL.pack(seconds, rest // 1000))
    if zone:
        task.memory.write(zone, _TIMEZONE)
    return 0


@syscall("settimeofday", x86_64=164, aarch64=170, support=Partial("no clock can be set: EPERM"))
def settimeofday(task: Task, address: Address, zone: Address) -> Result:
    raise KernelError(E.EPERM)


@syscall("time", x86_64=201, aarch64=None, support=Full, test="test_time")
def time(task: Task, address: Address) -> Result:
    seconds = task.kernel.wall() // _SECOND
    if address:
        task.memory.write(address, seconds.to_bytes(8, "little"))
    return seconds


# -- sleeps ---------------------------------------------------------------------------------------------------


def _sleep(task: Task, deadline: int, remain: int, restart: int) -> Blocking:
    try:
        while task.kernel.now() < deadline:
            yield Wait(deadline=deadline, restart=restart)
    except Interrupted:
        if remain:
            write_timespec(task, remain, max(0, deadline - task.kernel.now()))
        raise
    return 0


@syscall("nanosleep", x86_64=35, aarch64=101, support=Full, test="test_time", native="always")
def nanosleep(task: Task, request: Address, remain: Address) -> Result:
    duration = read_timespec(task, request)
    return _sleep(task, task.kernel.now() + duration, remain, ERESTART_RESTARTBLOCK)


def _cpu_sleep(task: Task, read: Callable[[], int], deadline: int, remain: int, restart: int) -> Blocking:
    """Sleep until a clock of CPU time has got to ``deadline``."""
    try:
        while (left := deadline - read()) > 0:
            yield Wait(deadline=task.kernel.now() + itimers.cpu_delay(task.kernel, left), restart=restart)
    except Interrupted:
        if remain:
            write_timespec(task, remain, max(0, deadline - read()))
        raise
    return 0


@syscall("clock_nanosleep", x86_64=230, aarch64=115, support=Full, test="test_time", native="clocks 0 to 11")
def clock_nanosleep(task: Task, clock: ClockId, flags: Int, request: Address, remain: Address) -> Result:
    read = cpu_clock(task, clock)
    if read is None and clock not in _SLEEP_CLOCKS:
        read_clock(task, clock)
        raise KernelError(E.EOPNOTSUPP)
    if clock == tm.CLOCK_THREAD_CPUTIME_ID:
        raise KernelError(E.EOPNOTSUPP)
    duration = read_timespec(task, request)
    if read is not None:
        if clock & 4 and ~clock >> 3 in {0, task.tid}:
            raise KernelError(E.EINVAL)  # its own time stands still while it sleeps
        if flags & tm.TIMER_ABSTIME:
            return _cpu_sleep(task, read, duration, 0, ERESTARTNOHAND)
        return _cpu_sleep(task, read, read() + duration, remain, ERESTART_RESTARTBLOCK)
    if flags & tm.TIMER_ABSTIME:
        deadline = duration - read_clock(task, clock) + task.kernel.now()
        return _sleep(task, deadline, 0, ERESTARTNOHAND)
    return _sleep(task, task.kernel.now() + duration, remain, ERESTART_RESTARTBLOCK)


# -- interval timers ------------------------------------------------------------------------------------------


def _pack_itimer(state: tuple[int, int]) -> bytes:
    value, interval = state
    # what is armed never reads as disarmed
    value = max(value, 1000) if value else 0
    return tm.ITIMERVAL.pack(interval // _SECOND, interval % _SECOND // 1000, value // _SECOND, value % _SECOND // 1000)


@syscall("getitimer", x86_64=36, aarch64=102, support=Full, test="test_time")
def getitimer(task: Task, which: Int, address: Address) -> Result:
    task.memory.write(address, _pack_itimer(itimers.get_itimer(task.process, which)))
    return 0


@syscall("setitimer", x86_64=38, aarch64=103, support=Full, test="test_time")
def setitimer(task: Task, which: Int, new: Address, old: Address) -> Result:
    interval, value = _read_timevals(task, new) if new else (0, 0)
    before = itimers.set_itimer(task.process, which, value, interval)
    if old:
        task.memory.write(old, _pack_itimer(before))
    return 0


@syscall("alarm", x86_64=37, aarch64=None, support=Full, test="test_time")
def alarm(task: Task, seconds: UInt) -> Result:
    remaining, _ = itimers.set_itimer(task.process, tm.ITIMER_REAL, seconds * _SECOND, 0)
    # rounded to the nearest second, but never to 0 (alarm_setitimer)
    return max(1, (remaining + _SECOND // 2) // _SECOND) if remaining else 0


# -- POSIX timers ---------------------------------------------------------------------------------------------

#: struct sigevent: value, signo, notify, thread id.
_SIGEVENT = struct.Struct("<Qiii")
_SIGEVENT_SIZE = 64
_ITIMERSPEC = struct.Struct("<qqqq")


@syscall(
    "timer_create",
    x86_64=222,
    aarch64=107,
    support=Partial("alarm clocks: EPERM"),
)
def timer_create(task: Task, clock: ClockId, event: Address, address: Address) -> Result:
    process = task.process
    if clock in {tm.CLOCK_REALTIME_ALARM, tm.CLOCK_BOOTTIME_ALARM}:
        raise KernelError(E.EPERM)
    read_clock(task, clock)
    if clock in {tm.CLOCK_MONOTONIC_RAW, tm.CLOCK_REALTIME_COARSE, tm.CLOCK_MONOTONIC_COARSE}:
        raise KernelError(E.EOPNOTSUPP)
    value: int | None = None
    notify, signo, target = itimers.SIGEV_SIGNAL, sg.SIGALRM, 0
    if event:
        value, signo, notify, tid = _SIGEVENT.unpack_from(task.memory.read(event, _SIGEVENT_SIZE))
        if notify == itimers.SIGEV_SIGNAL | itimers.SIGEV_THREAD_ID:
            if tid not in process.tasks:
                raise KernelError(E.EINVAL)
            target = tid
        elif notify not in {itimers.SIGEV_SIGNAL, itimers.SIGEV_NONE, 2}:
            raise KernelError(E.EINVAL)
        if notify != itimers.SIGEV_NONE and not 1 <= signo <= sg.NSIG:
            raise KernelError(E.EINVAL)
    ident = itimers.create_timer(process, clock, notify, signo, value, target, cpu_clock(task, clock))
    try:
        task.memory.write(address, ident.to_bytes(4, "little"))
    except KernelError:
        itimers.delete_timer(process, ident)
        raise
    return 0


def _pack_itimerspec(state: tuple[int, int]) -> bytes:
    value, interval = state
    return _ITIMERSPEC.pack(*divmod(interval, _SECOND), *divmod(value, _SECOND))


@syscall("timer_settime", x86_64=223, aarch64=110, support=Full, test="test_time")
def timer_settime(task: Task, ident: Int, flags: Int, new: Address, old: Address) -> Result:
    if not new:
        raise KernelError(E.EINVAL)
    interval, value = read_timespec(task, new), read_timespec(task, new + 16 & (1 << 64) - 1)
    timer = itimers.find_timer(task.process, ident)
    before = timer.timer.remaining()
    now = timer.timer.now()
    if not value:
        timer.timer.set(0, 0)
    elif flags & tm.TIMER_ABSTIME:
        timer.timer.set(max(1, value - read_clock(task, timer.clock) + now), interval)
    else:
        timer.timer.set(now + value, interval)
    if old:
        task.memory.write(old, _pack_itimerspec(before))
    return 0


@syscall("timer_gettime", x86_64=224, aarch64=108, support=Full, test="test_time")
def timer_gettime(task: Task, ident: Int, address: Address) -> Result:
    timer = itimers.find_timer(task.process, ident)
    task.memory.write(address, _pack_itimerspec(timer.timer.remaining()))
    return 0


@syscall("timer_getoverrun", x86_64=225, aarch64=109, support=Full, test="test_time")
def timer_getoverrun(task: Task, ident: Int) -> Result:
    return itimers.find_timer(task.process, ident).overrun()


@syscall("timer_delete", x86_64=226, aarch64=111, support=Full, test="test_time")
def timer_delete(task: Task, ident: Int) -> Result:
    itimers.delete_timer(task.process, ident)
    return 0
