"""Resource limits and usage (man 2 getrlimit, getrusage, times)."""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import resource as rl
from pylitebox.abi.time import NSEC_PER_SEC, USER_HZ
from pylitebox.kernel.credentials import CAP_SYS_RESOURCE
from pylitebox.kernel.descriptors import NR_OPEN
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.itimers import watch_cpu_limit
from pylitebox.kernel.memory import delegated
from pylitebox.kernel.platform import Limit
from pylitebox.kernel.task import Process, Task
from pylitebox.kernel.usage import used, used_by
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, Int, Pid, Resource
from pylitebox.north.linux.loader import SPACE_LIMITS, heap_end, space_limits
from pylitebox.north.linux.process import task_of
from pylitebox.north.linux.table import Full, Partial, syscall
from pylitebox.north.linux.waiting import pack_rusage

_TICK = NSEC_PER_SEC // USER_HZ
_TMS = struct.Struct("<4q")
_GAP = (
    "RLIMIT_RSS, RTTIME, LOCKS are kept, not enforced; RLIMIT_AS and DATA bound the heap and other mappings "
    "each, those of another process from its next exec on; RLIMIT_STACK at exec only; RLIMIT_CORE: there are no core "
    "files"
)


def _read_limit(task: Task, address: int) -> tuple[int, int]:
    soft, hard = rl.RLIMIT64.unpack(task.memory.read(address, rl.RLIMIT64.size))
    return soft, hard


def _get(process: Process, resource: int) -> tuple[int, int]:
    if resource >= rl.RLIM_NLIMITS:
        raise KernelError(E.EINVAL)
    return process.rlimits[resource]


def _set(task: Task, process: Process, resource: int, limit: tuple[int, int]) -> Result:
    """0, or None where the platform finishes the call."""
    soft, hard = limit
    before = _get(process, resource)
    old_hard = before[1]
    if soft > hard:
        raise KernelError(E.EINVAL)
    if resource == rl.RLIMIT_NOFILE and hard > NR_OPEN:
        raise KernelError(E.EPERM)
    if hard > old_hard and not task.cred.capable(CAP_SYS_RESOURCE):
        raise KernelError(E.EPERM)
    process.rlimits[resource] = limit
    if resource == rl.RLIMIT_CPU:
        watch_cpu_limit(process)
    if resource == rl.RLIMIT_NOFILE:
        process.files.limit = soft
        for other in process.tasks.values():
            other.files.limit = soft
    if resource in SPACE_LIMITS and process is task.process and limit != before:
        return _bound_memory(task, resource)
    return 0


def _bound_memory(task: Task, resource: int) -> Result:
    """Have the host bound what it owns."""
    process, kernel = task.process, task.kernel
    if task.thread is None or not kernel.platform.delegates_memory:
        return 0
    size = dict(space_limits(process.rlimits, process.layout)).get(resource, rl.RLIM_INFINITY)
    return delegated(task).change_memory(Limit(resource, size, heap_end(process.rlimits, process.layout)))


@syscall("prlimit64", x86_64=302, aarch64=261, support=Partial(_GAP))
def prlimit64(task: Task, pid: Pid, resource: Resource, new: Address, old: Address) -> Result:
    target = task_of(task, pid)
    if target.process is not task.process:
        cred, theirs = task.cred, target.cred
        same = (
            cred.uid == theirs.uid == theirs.euid == theirs.suid
            and cred.gid == theirs.gid == theirs.egid == theirs.sgid
        )
        if not same and not cred.capable(CAP_SYS_RESOURCE):
            raise KernelError(E.EPERM)
    wanted = _read_limit(task, new) if new else None
    before = _get(target.process, resource)
    result = _set(task, target.process, resource, wanted) if wanted is not None else 0
    if old:
        try:
            task.memory.write(old, rl.RLIMIT64.pack(*before))
        except KernelError:
            if result is not None:
                raise
    return result


@syscall("getrlimit", x86_64=97, aarch64=163, support=Partial(_GAP))
def getrlimit(task: Task, resource: Resource, address: Address) -> Result:
    task.memory.write(address, rl.RLIMIT64.pack(*_get(task.process, resource)))
    return 0


@syscall("setrlimit", x86_64=160, aarch64=164, support=Partial(_GAP))
def setrlimit(task: Task, resource: Resource, address: Address) -> Result:
    return _set(task, task.process, resource, _read_limit(task, address))


@syscall(
    "getrusage",
    x86_64=98,
    aarch64=165,
    support=Partial("ru_inblock, ru_oublock, ru_nivcsw: 0; ru_maxrss as large as at the last look"),
)
def getrusage(task: Task, who: Int, address: Address) -> Result:
    process = task.process
    if who == rl.RUSAGE_CHILDREN:
        usage = process.children_used
    elif who == rl.RUSAGE_SELF:
        usage = used(process)
    elif who == rl.RUSAGE_THREAD:
        usage = used_by(task)
    else:
        raise KernelError(E.EINVAL)
    task.memory.write(address, pack_rusage(usage))
    return 0


@syscall("times", x86_64=100, aarch64=153, support=Full, test="test_usage")
def times(task: Task, address: Address) -> Result:
    if address:
        own, children = used(task.process), task.process.children_used
        times = (own.user, own.system, children.user, children.system)
        task.memory.write(address, _TMS.pack(*(ns // _TICK for ns in times)))
    return (task.kernel.now() - task.kernel.boot_ns) // _TICK + 1
