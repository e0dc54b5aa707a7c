"""Scheduling: priorities, policies, CPU sets (man 7 sched).

What a program asks for is checked, remembered, inherited and answered as on Linux; the host decides who runs.
"""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import sched as sd
from pylitebox.abi.resource import RLIMIT_NICE, RLIMIT_RTPRIO
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, Int, Pid, SchedPolicy, UInt
from pylitebox.north.linux.process import task_of
from pylitebox.north.linux.table import Full, Partial, syscall
from pylitebox.north.linux.time import write_timespec

CAP_SYS_NICE = 23
_REAL_TIME = frozenset((sd.SCHED_FIFO, sd.SCHED_RR))
_POLICIES = frozenset((sd.SCHED_OTHER, sd.SCHED_FIFO, sd.SCHED_RR, sd.SCHED_BATCH, sd.SCHED_IDLE))
_SCHED_DEADLINE = 6
_RESET_ON_FORK = 0x40000000
_NOT_DONE = "remembered and answered, but without effect on the host"
_ATTR = struct.Struct("<IIQiIQQQII")
_ATTR_SIZE_VER0 = 48


def _may_change(task: Task, other: Task) -> None:
    cred, theirs = task.cred, other.cred
    if cred.euid not in {theirs.uid, theirs.euid} and not cred.capable(CAP_SYS_NICE):
        raise KernelError(E.EPERM)


# -- nice values ----------------------------------------------------------------------------------------------


def _chosen(task: Task, which: int, who: int) -> list[Task]:
    """The threads that (which, who) of getpriority(2) names; EINVAL, ESRCH."""
    kernel = task.kernel
    if which == sd.PRIO_PROCESS:
        return [task_of(task, who)]
    if which == sd.PRIO_PGRP:
        pgid = who or task.process.pgid
        found = [t for t in kernel.tasks.values() if t.process.pgid == pgid]
    elif which == sd.PRIO_USER:
        uid = who & 0xFFFFFFFF or task.cred.uid
        found = [t for t in kernel.tasks.values() if t.cred.uid == uid]
    else:
        raise KernelError(E.EINVAL)
    if not found:
        raise KernelError(E.ESRCH)
    return found


@syscall("getpriority", x86_64=140, aarch64=141, support=Full, test="test_system")
def getpriority(task: Task, which: Int, who: Int) -> Result:
    return 20 - min(other.sched.nice for other in _chosen(task, which, who))


def _set_nice(task: Task, other: Task, nice: int) -> None:
    _may_change_nice(task, other, nice)
    other.sched.nice = nice


def _may_change_nice(task: Task, other: Task, nice: int) -> None:
    _may_change(task, other)
    cred = task.cred
    lowest = 20 - min(other.process.rlimits[RLIMIT_NICE][0], 40)
    if nice < other.sched.nice and nice < lowest and not cred.capable(CAP_SYS_NICE):
        raise KernelError(E.EACCES)


@syscall("setpriority", x86_64=141, aarch64=140, support=Partial(_NOT_DONE))
def setpriority(task: Task, which: Int, who: Int, nice: Int) -> Result:
    nice = max(-20, min(19, nice))
    failure = None
    for other in _chosen(task, which, who):
        try:
            _set_nice(task, other, nice)
        except KernelError as error:
            failure = error
    if failure is not None:
        raise failure
    return 0


# -- policies -------------------------------------------------------------------------------------------------


def _set_policy(task: Task, other: Task, policy: int, priority: int, *, nice: int | None = None) -> None:
    """sched_setscheduler(2)'s checks and effect; ``policy`` may carry SCHED_RESET_ON_FORK."""
    reset = bool(policy & _RESET_ON_FORK)
    policy &= ~_RESET_ON_FORK
    if policy == _SCHED_DEADLINE:
        raise KernelError(E.EPERM)
    if policy not in _POLICIES or (not 1 <= priority <= 99 if policy in _REAL_TIME else priority):
        raise KernelError(E.EINVAL)
    sched = other.sched
    if not task.cred.capable(CAP_SYS_NICE):
        if policy in _REAL_TIME:
            limit = other.process.rlimits[RLIMIT_RTPRIO][0]
            if (policy != sched.policy and not limit) or (priority > sched.priority and priority > limit):
                raise KernelError(E.EPERM)
        if sched.reset_on_fork and not reset:
            raise KernelError(E.EPERM)
        _may_change(task, other)
    if nice is not None and policy not in _REAL_TIME:
        if nice < sched.nice:
            _may_change_nice(task, other, nice)
        sched.nice = nice
    sched.policy, sched.priority, sched.reset_on_fork = policy, priority, reset


def _thread(task: Task, tid: int) -> Task:
    if tid < 0:
        raise KernelError(E.EINVAL)
    return task_of(task, tid)


@syscall("sched_setscheduler", x86_64=144, aarch64=119, support=Partial(_NOT_DONE + "; SCHED_DEADLINE: EPERM"))
def sched_setscheduler(task: Task, tid: Pid, policy: SchedPolicy, param: Address) -> Result:
    if policy < 0 or tid < 0 or not param:
        raise KernelError(E.EINVAL)
    priority = int.from_bytes(task.memory.read(param, 4), "little", signed=True)
    _set_policy(task, task_of(task, tid), policy, priority)
    return 0


@syscall("sched_getscheduler", x86_64=145, aarch64=120, support=Full, test="test_system")
def sched_getscheduler(task: Task, tid: Pid) -> Result:
    sched = _thread(task, tid).sched
    return sched.policy | (_RESET_ON_FORK if sched.reset_on_fork else 0)


@syscall("sched_setparam", x86_64=142, aarch64=118, support=Partial(_NOT_DONE))
def sched_setparam(task: Task, tid: Pid, param: Address) -> Result:
    if tid < 0 or not param:
        raise KernelError(E.EINVAL)
    priority = int.from_bytes(task.memory.read(param, 4), "little", signed=True)
    other = task_of(task, tid)
    reset = _RESET_ON_FORK if other.sched.reset_on_fork else 0
    _set_policy(task, other, other.sched.policy | reset, priority)
    return 0


@syscall("sched_getparam", x86_64=143, aarch64=121, support=Full, test="test_system")
def sched_getparam(task: Task, tid: Pid, param: Address) -> Result:
    if tid < 0 or not param:
        raise KernelError(E.EINVAL)
    task.memory.write(param, task_of(task, tid).sched.priority.to_bytes(4, "little"))
    return 0


@syscall(
    "sched_setattr",
    x86_64=314,
    aarch64=274,
    support=Partial(_NOT_DONE + "; SCHED_DEADLINE: EPERM; utilisation clamps: EOPNOTSUPP"),
)
def sched_setattr(task: Task, tid: Pid, attr: Address, flags: UInt) -> Result:
    if not attr or tid < 0 or flags:
        raise KernelError(E.EINVAL)
    size = int.from_bytes(task.memory.read(attr, 4), "little") or _ATTR_SIZE_VER0
    if not _ATTR_SIZE_VER0 <= size <= 4096:
        raise KernelError(E.E2BIG)
    data = task.memory.read(attr, size)
    if any(data[_ATTR.size :]):
        raise KernelError(E.E2BIG)
    _, policy, attr_flags, nice, priority, *_ = _ATTR.unpack(data[: _ATTR.size].ljust(_ATTR.size, b"\0"))
    if policy >> 31 or attr_flags & ~0x7F:
        raise KernelError(E.EINVAL)
    if attr_flags & 0x60:
        raise KernelError(E.EOPNOTSUPP)
    other = task_of(task, tid)
    if attr_flags & 0x08:  # SCHED_FLAG_KEEP_POLICY
        policy = other.sched.policy
    if attr_flags & 0x10:  # SCHED_FLAG_KEEP_PARAMS
        nice, priority = other.sched.nice, other.sched.priority
    reset = _RESET_ON_FORK if attr_flags & 1 else 0
    _set_policy(task, other, policy | reset, priority, nice=max(-20, min(19, nice)))
    return 0


@syscall("sched_getattr", x86_64=315, aarch64=275, support=Full, test="test_system")
def sched_getattr(task: Task, tid: Pid, attr: Address, size: UInt, flags: UInt) -> Result:
    if not attr or tid < 0 or flags or not _ATTR_SIZE_VER0 <= size <= 4096:
        raise KernelError(E.EINVAL)
    sched = task_of(task, tid).sched
    used = min(size, _ATTR.size)
    nice = 0 if sched.policy in _REAL_TIME else sched.nice
    data = _ATTR.pack(used, sched.policy, int(sched.reset_on_fork), nice, sched.priority, 0, 0, 0, 0, 1024)
    task.memory.write(attr, data[:used])
    return 0


@syscall("sched_get_priority_max", x86_64=146, aarch64=125, support=Full, test="test_system")
def sched_get_priority_max(task: Task, policy: SchedPolicy) -> Result:
    if policy in _REAL_TIME:
        return 99
    if policy in _POLICIES or policy == _SCHED_DEADLINE:
        return 0
    raise KernelError(E.EINVAL)


@syscall("sched_get_priority_min", x86_64=147, aarch64=126, support=Full, test="test_system")
def sched_get_priority_min(task: Task, policy: SchedPolicy) -> Result:
    return 1 if policy in _REAL_TIME else sched_get_priority_max(task, policy)


@syscall("sched_rr_get_interval", x86_64=148, aarch64=127, support=Full, test="test_system")
def sched_rr_get_interval(task: Task, tid: Pid, address: Address) -> Result:
    policy = _thread(task, tid).sched.policy
    slices = {sd.SCHED_FIFO: 0, sd.SCHED_RR: 100_000_000}
    write_timespec(task, address, slices.get(policy, 4_000_000))
    return 0


@syscall("sched_yield", x86_64=24, aarch64=124, support=Full, test="test_system", native="always")
def sched_yield(task: Task) -> Result:
    return 0


# -- CPU sets -------------------------------------------------------------------------------------------------


def _all_cpus(task: Task) -> int:
    return (1 << task.kernel.platform.cpu_count()) - 1


@syscall("sched_getaffinity", x86_64=204, aarch64=123, support=Full, test="test_system")
def sched_getaffinity(task: Task, tid: Pid, size: UInt, address: Address) -> Result:
    everything = _all_cpus(task)
    needed = (everything.bit_length() + 63) // 64 * 8
    if size * 8 < everything.bit_length() or size & 7:
        raise KernelError(E.EINVAL)
    affinity = task_of(task, tid).sched.affinity
    mask = everything if affinity is None else affinity
    task.memory.write(address, mask.to_bytes(needed, "little"))
    return needed


@syscall("sched_setaffinity", x86_64=203, aarch64=122, support=Partial(_NOT_DONE))
def sched_setaffinity(task: Task, tid: Pid, size: UInt, address: Address) -> Result:
    mask = int.from_bytes(task.memory.read(address, min(size, 1024)), "little") & _all_cpus(task)
    other = task_of(task, tid)
    _may_change(task, other)
    if not mask:
        raise KernelError(E.EINVAL)
    other.sched.affinity = mask
    return 0


@syscall("getcpu", x86_64=309, aarch64=168, support=Partial("always CPU 0 of node 0"))
def getcpu(task: Task, cpu: Address, node: Address, cache: Address) -> Result:
    for address in (cpu, node):
        if address:
            task.memory.write(address, bytes(4))
    return 0


# -- I/O priorities -------------------------------------------------------------------------------------------


def _io_chosen(task: Task, which: int, who: int) -> list[Task]:
    """ioprio_get(2) counts its targets from 1."""
    if not 1 <= which <= 3:
        raise KernelError(E.EINVAL)
    return _chosen(task, which - 1, who)


@syscall("ioprio_get", x86_64=252, aarch64=31, support=Full, test="test_system")
def ioprio_get(task: Task, which: Int, who: Int) -> Result:
    return min(other.sched.ioprio or 4 for other in _io_chosen(task, which, who))


@syscall("ioprio_set", x86_64=251, aarch64=30, support=Partial(_NOT_DONE))
def ioprio_set(task: Task, which: Int, who: Int, priority: Int) -> Result:
    kind, level = priority >> 13 & 7, priority & 7
    if kind > 3 or priority < 0 or (kind == 0 and level):
        raise KernelError(E.EINVAL)
    if kind == 1 and not (task.cred.capable(21) or task.cred.capable(CAP_SYS_NICE)):
        raise KernelError(E.EPERM)
    for other in _io_chosen(task, which, who):
        other.sched.ioprio = priority
    return 0
