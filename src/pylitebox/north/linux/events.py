"""Descriptors for events and memory: epoll(7), eventfd(2), timerfd_create(2), signalfd(2), memfd_create(2),
inotify(7).
"""

from typing import Annotated

from pylitebox.abi import errno as E
from pylitebox.abi import inotify as ino
from pylitebox.abi import poll as po
from pylitebox.abi import time as clocks
from pylitebox.abi.fcntl import F_SEAL_EXEC, F_SEAL_SEAL, O_CLOEXEC, O_NONBLOCK
from pylitebox.kernel.epoll import EpollFile
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.eventfd import EFD_SEMAPHORE, EventFile
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.inotify import InotifyFile
from pylitebox.kernel.memfd import make_memfd
from pylitebox.kernel.signalfd import SignalFile
from pylitebox.kernel.signals import masked
from pylitebox.kernel.task import Task
from pylitebox.kernel.timerfd import TimerFile
from pylitebox.kernel.wait import Blocking, Result, Wait
from pylitebox.north.linux.args import (
    Address,
    Fd,
    Int,
    Kind,
    OpenFlags,
    Path,
    Size,
    UInt,
    choice,
    flag_names,
    prefixed,
)
from pylitebox.north.linux.lookup import opened
from pylitebox.north.linux.opening import install
from pylitebox.north.linux.poll import Limit, read_mask, timespec_limit
from pylitebox.north.linux.table import Full, Partial, syscall

EpollOperation = Annotated[int, Kind("x & 0xFFFFFFFF", choice(prefixed(po, "EPOLL_CTL_")))]
ClockId = Annotated[int, Kind("x & 0xFFFFFFFF", choice(prefixed(clocks, "CLOCK_")))]
InotifyMask = Annotated[
    int, Kind("x & 0xFFFFFFFF", flag_names({0xFFF: "IN_ALL_EVENTS"} | prefixed(ino, "IN_")))
]

#: epoll_wait(2)'s bound on maxevents (linux/fs/eventpoll.c: EP_MAX_EVENTS).
_MAX_EVENTS = 0x7FFFFFFF // po.EPOLL_EVENT_X86_64.size
_CAP_WAKE_ALARM = 35
_TIMER_CLOCKS = frozenset((0, 1, 7, 8, 9))
_ALARM_CLOCKS = frozenset((clocks.CLOCK_REALTIME_ALARM, clocks.CLOCK_BOOTTIME_ALARM))


def _new(task: Task, file: File, flags: int) -> int:
    return task.files.install(file, cloexec=bool(flags & O_CLOEXEC))


# -- epoll --------------------------------------------------------------------------------------------------------


@syscall("epoll_create1", x86_64=291, aarch64=20, support=Full, test="test_epoll")
def epoll_create1(task: Task, flags: OpenFlags) -> Result:
    if flags & ~O_CLOEXEC:
        raise KernelError(E.EINVAL)
    return _new(task, EpollFile(task.kernel.epoll_entries), flags)


@syscall("epoll_create", x86_64=213, aarch64=None, support=Full, test="test_epoll")
def epoll_create(task: Task, size: Int) -> Result:
    if size <= 0:
        raise KernelError(E.EINVAL)
    return _new(task, EpollFile(task.kernel.epoll_entries), 0)


@syscall("epoll_ctl", x86_64=233, aarch64=21, support=Partial("EPOLLEXCLUSIVE wakes all; EPOLLWAKEUP is ignored"))
def epoll_ctl(task: Task, epfd: Fd, op: EpollOperation, fd: Fd, event: Address) -> Result:
    events = data = 0
    if op != po.EPOLL_CTL_DEL:
        events, data = po.EPOLL_EVENT_X86_64.unpack(task.memory.read(event, po.EPOLL_EVENT_X86_64.size))
    epoll = opened(task, epfd)
    file = opened(task, fd)
    if not file.can_poll:
        raise KernelError(E.EPERM)
    if epoll is file or not isinstance(epoll, EpollFile):
        raise KernelError(E.EINVAL)
    if op == po.EPOLL_CTL_ADD:
        epoll.add(file, fd, events, data)
    elif op == po.EPOLL_CTL_MOD:
        epoll.modify(file, fd, events, data)
    elif op == po.EPOLL_CTL_DEL:
        epoll.remove(file, fd)
    else:
        raise KernelError(E.EINVAL)
    return 0


def _epoll_wait(task: Task, epfd: int, events: int, maxevents: int, limit: Limit, mask: int | None) -> Result:
    epoll = task.files.get(epfd)
    if not 0 < maxevents <= _MAX_EVENTS or not isinstance(epoll, EpollFile):
        raise KernelError(E.EINVAL)
    taken = epoll.take(maxevents)
    if taken or (limit.now and mask is None):
        return _export(task, events, taken)
    call = _wait_later(task, epoll, events, maxevents, limit.deadline)
    return call if mask is None else masked(task, mask, call)


def _export(task: Task, address: int, taken: list[tuple[int, int]]) -> int:
    if taken:
        task.memory.write(address, b"".join([po.EPOLL_EVENT_X86_64.pack(*event) for event in taken]))
    return len(taken)


def _wait_later(task: Task, epoll: EpollFile, address: int, maxevents: int, deadline: int | None) -> Blocking:
    epoll.references += 1
    try:
        taken: list[tuple[int, int]] = []
        woken = True
        while woken and not taken:
            woken = yield Wait(*epoll.wait_queues(), deadline=deadline, restart=E.EINTR)
            taken = epoll.take(maxevents)
        return _export(task, address, taken)
    finally:
        epoll.put()


@syscall("epoll_wait", x86_64=232, aarch64=None, support=Full, test="test_epoll")
def epoll_wait(task: Task, epfd: Fd, events: Address, maxevents: Int, timeout: Int) -> Result:
    limit = Limit(task, None if timeout < 0 else timeout * 1_000_000)
    return _epoll_wait(task, epfd, events, maxevents, limit, None)


@syscall("epoll_pwait", x86_64=281, aarch64=22, support=Full, test="test_epoll")
def epoll_pwait(
    task: Task, epfd: Fd, events: Address, maxevents: Int, timeout: Int, sigmask: Address, sigsetsize: Size
) -> Result:
    mask = read_mask(task, sigmask, sigsetsize)
    limit = Limit(task, None if timeout < 0 else timeout * 1_000_000)
    return _epoll_wait(task, epfd, events, maxevents, limit, mask)


@syscall("epoll_pwait2", x86_64=441, aarch64=441, support=Full, test="test_epoll")
def epoll_pwait2(
    task: Task, epfd: Fd, events: Address, maxevents: Int, timeout: Address, sigmask: Address, sigsetsize: Size
) -> Result:
    limit = timespec_limit(task, timeout, update=False)
    mask = read_mask(task, sigmask, sigsetsize)
    return _epoll_wait(task, epfd, events, maxevents, limit, mask)


# -- eventfd ------------------------------------------------------------------------------------------------------


@syscall("eventfd2", x86_64=290, aarch64=19, support=Full, test="test_eventfd")
def eventfd2(task: Task, initval: UInt, flags: OpenFlags) -> Result:
    if flags & ~(O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE):
        raise KernelError(E.EINVAL)
    file = EventFile(initval, semaphore=bool(flags & EFD_SEMAPHORE), nonblocking=bool(flags & O_NONBLOCK))
    return _new(task, file, flags)


@syscall("eventfd", x86_64=284, aarch64=None, support=Full, test="test_eventfd")
def eventfd(task: Task, initval: UInt) -> Result:
    return eventfd2(task, initval, 0)


# -- timerfd ------------------------------------------------------------------------------------------------------


@syscall("timerfd_create", x86_64=283, aarch64=85, support=Full, test="test_timerfd")
def timerfd_create(task: Task, clockid: ClockId, flags: OpenFlags) -> Result:
    if flags & ~(O_CLOEXEC | O_NONBLOCK) or clockid not in _TIMER_CLOCKS:
        raise KernelError(E.EINVAL)
    if clockid in _ALARM_CLOCKS and not task.cred.capable(_CAP_WAKE_ALARM):
        raise KernelError(E.EPERM)
    return _new(task, TimerFile(task.kernel, clockid, nonblocking=bool(flags & O_NONBLOCK)), flags)


@syscall("timerfd_settime", x86_64=286, aarch64=86, support=Partial("TFD_TIMER_CANCEL_ON_SET: within a second"))
def timerfd_settime(task: Task, fd: Fd, flags: UInt, new_value: Address, old_value: Address) -> Result:
    interval_s, interval_ns, value_s, value_ns = clocks.ITIMERVAL.unpack(task.memory.read(new_value, 32))
    if flags & ~(clocks.TFD_TIMER_ABSTIME | clocks.TFD_TIMER_CANCEL_ON_SET):
        raise KernelError(E.EINVAL)
    for seconds, nanoseconds in ((interval_s, interval_ns), (value_s, value_ns)):
        if seconds < 0 or not 0 <= nanoseconds < clocks.NSEC_PER_SEC:
            raise KernelError(E.EINVAL)
    timer = _timer(task, fd)
    old = timer.set(
        value_s * clocks.NSEC_PER_SEC + value_ns,
        interval_s * clocks.NSEC_PER_SEC + interval_ns,
        flags=flags,
    )
    if old_value:
        task.memory.write(old_value, _itimerspec(*old))
    return 0


@syscall("timerfd_gettime", x86_64=287, aarch64=87, support=Full, test="test_timerfd")
def timerfd_gettime(task: Task, fd: Fd, curr_value: Address) -> Result:
    task.memory.write(curr_value, _itimerspec(*_timer(task, fd).get()))
    return 0


def _timer(task: Task, fd: int) -> TimerFile:
    file = opened(task, fd)
    if not isinstance(file, TimerFile):
        raise KernelError(E.EINVAL)
    return file


def _itimerspec(value: int, interval: int) -> bytes:
    return clocks.ITIMERVAL.pack(*divmod(interval, clocks.NSEC_PER_SEC), *divmod(value, clocks.NSEC_PER_SEC))


# -- signalfd -----------------------------------------------------------------------------------------------------


@syscall(
    "signalfd4",
    x86_64=289,
    aarch64=74,
    support=Full,
    test="test_signalfd",
)
def signalfd4(task: Task, fd: Fd, mask: Address, sizemask: Size, flags: OpenFlags) -> Result:
    if sizemask != 8:
        raise KernelError(E.EINVAL)
    signals = int.from_bytes(task.memory.read(mask, 8), "little")
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise KernelError(E.EINVAL)
    if fd == -1:
        return _new(task, SignalFile(task, signals, nonblocking=bool(flags & O_NONBLOCK)), flags)
    file = opened(task, fd)
    if not isinstance(file, SignalFile):
        raise KernelError(E.EINVAL)
    file.set_mask(signals)
    return fd


@syscall("signalfd", x86_64=282, aarch64=None, support=Full, test="test_signalfd")
def signalfd(task: Task, fd: Fd, mask: Address, sizemask: Size) -> Result:
    return signalfd4(task, fd, mask, sizemask, 0)


# -- memfd --------------------------------------------------------------------------------------------------------

_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_NOEXEC_SEAL, _MFD_EXEC = 1, 2, 8, 16
#: NAME_MAX less the prefix "memfd:" and its NUL.
_MFD_NAME_MAX = 249


@syscall(
    "memfd_create",
    x86_64=319,
    aarch64=279,
    support=Partial("MFD_HUGETLB: EINVAL"),
)
def memfd_create(task: Task, name: Address, flags: UInt) -> Result:
    if flags & ~(_MFD_CLOEXEC | _MFD_ALLOW_SEALING | _MFD_NOEXEC_SEAL | _MFD_EXEC):
        raise KernelError(E.EINVAL)
    if flags & _MFD_EXEC and flags & _MFD_NOEXEC_SEAL:
        raise KernelError(E.EINVAL)
    try:
        text = task.memory.read_cstring(name, _MFD_NAME_MAX + 1)
    except KernelError as error:
        raise KernelError(E.EINVAL if error.errno == E.ENAMETOOLONG else error.errno) from None
    seals = 0 if flags & (_MFD_ALLOW_SEALING | _MFD_NOEXEC_SEAL) else F_SEAL_SEAL
    if flags & _MFD_NOEXEC_SEAL:
        seals |= F_SEAL_EXEC
    executable = not flags & _MFD_NOEXEC_SEAL
    file = make_memfd(task.kernel, text, task.cred, executable=executable, seals=seals)
    return task.files.install(file, cloexec=bool(flags & _MFD_CLOEXEC))


# -- inotify ------------------------------------------------------------------------------------------------------



@syscall("inotify_init1", x86_64=294, aarch64=26, support=Full, test="test_inotify")
def inotify_init1(task: Task, flags: OpenFlags) -> Result:
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise KernelError(E.EINVAL)
    file = InotifyFile(task.kernel, task.cred.euid, nonblocking=bool(flags & O_NONBLOCK))
    return install(task, file, cloexec=bool(flags & O_CLOEXEC))


@syscall("inotify_init", x86_64=253, aarch64=None, support=Full, test="test_inotify")
def inotify_init(task: Task) -> Result:
    return inotify_init1(task, 0)


def _instance(task: Task, fd: int) -> InotifyFile:
    file = opened(task, fd)
    if not isinstance(file, InotifyFile):
        raise KernelError(E.EINVAL)
    return file


@syscall("inotify_add_watch", x86_64=254, aarch64=27, support=Full, test="test_inotify")
def inotify_add_watch(task: Task, fd: Fd, path: Path, mask: InotifyMask) -> Result:
    if mask & ~ino.ALL_INOTIFY_BITS or not mask:
        raise KernelError(E.EINVAL)
    instance = _instance(task, fd)
    if mask & ino.IN_MASK_ADD and mask & ino.IN_MASK_CREATE:
        raise KernelError(E.EINVAL)
    follow, directory = not mask & ino.IN_DONT_FOLLOW, bool(mask & ino.IN_ONLYDIR)
    inode = ops.resolve(task, path, follow=follow, directory=directory).inode
    ops.permission(task.cred, inode, ops.MAY_READ)
    return instance.watch(inode, mask)


@syscall("inotify_rm_watch", x86_64=255, aarch64=28, support=Full, test="test_inotify")
def inotify_rm_watch(task: Task, fd: Fd, wd: Int) -> Result:
    _instance(task, fd).unwatch(wd)
    return 0
