"""The system as a whole and odds and ends: uname, sysinfo, host names, prctl, random bytes, personality."""

import struct
from collections.abc import Callable

from pylitebox.abi import errno as E
from pylitebox.abi import prctl as pr
from pylitebox.abi import signal as sg
from pylitebox.abi.time import NSEC_PER_SEC
from pylitebox.kernel.credentials import CAP_SYS_ADMIN
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.task import Task
from pylitebox.kernel.version import OSRELEASE, OSTYPE, VERSION
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, Int, PrctlOption, Size, UInt, ULong
from pylitebox.north.linux.credentials import CAP_SETPCAP, SECBIT_KEEP_CAPS
from pylitebox.north.linux.table import Full, Partial, syscall

_UTS_LENGTH = 64
_SYSINFO = struct.Struct("<q3Q6QHH4xQQI4x")
_LAST_CAPABILITY = 40
_INT_MAX = 0x7FFFFFFF
#: Bytes of one getrandom(2); a program that wants more is told how many it got, as after a signal.
_RANDOM_MAX = 1 << 20


@syscall("uname", x86_64=63, aarch64=160, support=Full, test="test_system")
def uname(task: Task, address: Address) -> Result:
    kernel = task.kernel
    fields = (
        OSTYPE,
        kernel.hostname,
        OSRELEASE,
        VERSION,
        b"x86_64" if not task.process.persona & 8 else b"i686",  # PER_LINUX32
        kernel.domainname,
    )
    task.memory.write(address, b"".join(field.ljust(_UTS_LENGTH + 1, b"\0") for field in fields))
    return 0


def _read_name(task: Task, address: int, size: int) -> bytes:
    if not task.cred.capable(CAP_SYS_ADMIN):
        raise KernelError(E.EPERM)
    if not 0 <= size <= _UTS_LENGTH:
        raise KernelError(E.EINVAL)
    return task.memory.read(address, size).partition(b"\0")[0] if size else b""


@syscall("sethostname", x86_64=170, aarch64=161, support=Full, test="test_system")
def sethostname(task: Task, address: Address, size: Int) -> Result:
    task.kernel.hostname = _read_name(task, address, size)
    return 0


@syscall("setdomainname", x86_64=171, aarch64=162, support=Full, test="test_system")
def setdomainname(task: Task, address: Address, size: Int) -> Result:
    task.kernel.domainname = _read_name(task, address, size)
    return 0


@syscall("sysinfo", x86_64=99, aarch64=179, support=Partial("memory is what in-memory files may use; loads are 0"))
def sysinfo(task: Task, address: Address) -> Result:
    kernel = task.kernel
    memory = kernel.file_memory
    uptime = (kernel.now() - kernel.boot_ns) // NSEC_PER_SEC + 1
    task.memory.write(
        address,
        _SYSINFO.pack(
            uptime,
            0,
            0,
            0,
            memory.limit,
            memory.limit - memory.used,
            memory.used,
            0,
            0,
            0,
            len(kernel.tasks),
            0,
            0,
            0,
            1,
        ),
    )
    return 0


@syscall("getrandom", x86_64=318, aarch64=278, support=Full, test="test_system")
def getrandom(task: Task, address: Address, size: Size, flags: UInt) -> Result:
    if flags & ~7 or flags & 6 == 6:
        raise KernelError(E.EINVAL)
    size = min(size, _RANDOM_MAX)
    if size:
        task.memory.write(address, task.kernel.platform.random(size))
    return size


@syscall("personality", x86_64=135, aarch64=92, support=Partial("only remembered, but for PER_LINUX32 in uname"))
def personality(task: Task, persona: UInt) -> Result:
    old = task.process.persona
    if persona != 0xFFFFFFFF:
        task.process.persona = persona
    return old


@syscall("syslog", x86_64=103, aarch64=116, support=Partial("there is no log: empty for who may read it"))
def syslog(task: Task, kind: Int, address: Address, size: Int) -> Result:
    if kind not in {3, 10} and not task.cred.capable(34) and not task.cred.capable(CAP_SYS_ADMIN):  # CAP_SYSLOG
        raise KernelError(E.EPERM)
    if not 0 <= kind <= 10 or (kind in {2, 3, 4} and (not address or size < 0)):
        raise KernelError(E.EINVAL)
    return 0


# -- prctl ----------------------------------------------------------------------------------------------------

Option = Callable[[Task, int, int, int, int], int]
_OPTIONS: dict[int, Option] = {}


def _option(number: int) -> Callable[[Option], Option]:
    def declare(function: Option) -> Option:
        _OPTIONS[number] = function
        return function

    return declare


@syscall(
    "prctl",
    x86_64=157,
    aarch64=167,
    support=Partial(
        "no PR_SET_SECCOMP, PR_SET_MDWE, PR_SET_VMA names, speculation controls, core scheduling: EINVAL; PR_SET_MM: "
        "EPERM"
    ),
)
def prctl(task: Task, option: PrctlOption, a2: ULong, a3: ULong, a4: ULong, a5: ULong) -> Result:
    function = _OPTIONS.get(option)
    if function is None:
        raise KernelError(E.EINVAL)
    return function(task, a2, a3, a4, a5)


def _invalid_unless(condition: bool) -> None:
    if not condition:
        raise KernelError(E.EINVAL)


def _write_int(task: Task, address: int, value: int) -> int:
    task.memory.write(address, value.to_bytes(4, "little"))
    return 0


@_option(pr.PR_SET_NAME)
def _set_name(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    task.name = task.memory.read_some(a2, 16).partition(b"\0")[0][:15]
    if task.tid == task.process.pid:
        task.process.name = task.name
    return 0


@_option(pr.PR_GET_NAME)
def _get_name(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    task.memory.write(a2, task.name.ljust(16, b"\0"))
    return 0


@_option(pr.PR_SET_PDEATHSIG)
def _set_pdeathsig(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(a2 <= sg.NSIG)
    task.process.pdeathsig = a2
    return 0


@_option(pr.PR_GET_PDEATHSIG)
def _get_pdeathsig(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return _write_int(task, a2, task.process.pdeathsig)


@_option(pr.PR_GET_DUMPABLE)
def _get_dumpable(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return task.process.dumpable


@_option(pr.PR_SET_DUMPABLE)
def _set_dumpable(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(a2 <= 1)
    task.process.dumpable = a2
    return 0


@_option(pr.PR_SET_CHILD_SUBREAPER)
def _set_subreaper(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    task.process.subreaper = bool(a2)
    return 0


@_option(pr.PR_GET_CHILD_SUBREAPER)
def _get_subreaper(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return _write_int(task, a2, int(task.process.subreaper))


@_option(pr.PR_SET_NO_NEW_PRIVS)
def _set_no_new_privs(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(a2 == 1 and not (a3 or a4 or a5))
    task.process.no_new_privs = True
    return 0


@_option(pr.PR_GET_NO_NEW_PRIVS)
def _get_no_new_privs(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(not (a2 or a3 or a4 or a5))
    return int(task.process.no_new_privs)


@_option(pr.PR_GET_TID_ADDRESS)
def _get_tid_address(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    task.memory.write(a2, task.clear_child_tid.to_bytes(8, "little"))
    return 0


@_option(pr.PR_GET_SECCOMP)
def _get_seccomp(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return 0


@_option(pr.PR_SET_TIMERSLACK)
def _set_slack(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    task.sched.slack_ns = a2 if 0 < a2 < 1 << 63 else 50_000
    return 0


@_option(pr.PR_GET_TIMERSLACK)
def _get_slack(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return min(task.sched.slack_ns, _INT_MAX)


@_option(pr.PR_SET_THP_DISABLE)
def _set_thp_disable(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(not (a3 or a4 or a5))
    task.process.thp_disable = bool(a2)  # remembered: the host decides
    return 0


@_option(pr.PR_GET_THP_DISABLE)
def _get_thp_disable(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(not (a2 or a3 or a4 or a5))
    return int(task.process.thp_disable)


@_option(pr.PR_GET_TIMING)
def _get_timing(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return 0  # PR_TIMING_STATISTICAL


@_option(pr.PR_SET_TIMING)
def _set_timing(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(not a2)
    return 0


@_option(pr.PR_TASK_PERF_EVENTS_DISABLE)
@_option(pr.PR_TASK_PERF_EVENTS_ENABLE)
def _perf_events(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return 0  # there are none


@_option(pr.PR_MCE_KILL)
def _mce_kill(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(not (a4 or a5) and ((a2 == 0 and not a3) or (a2 == 1 and a3 <= 2)))
    task.process.mce_kill = a3 if a2 else 2
    return 0


@_option(pr.PR_MCE_KILL_GET)
def _get_mce_kill(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(not (a2 or a3 or a4 or a5))
    return task.process.mce_kill


@_option(pr.PR_GET_IO_FLUSHER)
@_option(pr.PR_SET_IO_FLUSHER)
@_option(pr.PR_SET_MM)
def _not_permitted(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    raise KernelError(E.EPERM)


@_option(pr.PR_GET_MDWE)
@_option(pr.PR_GET_MEMORY_MERGE)
def _get_nothing(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(not (a2 or a3 or a4 or a5))
    return 0


@_option(pr.PR_GET_AUXV)
def _get_auxv(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(not (a4 or a5))
    auxv = task.process.layout.auxv
    if size := min(len(auxv), a3):
        task.memory.write(a2, auxv[:size])
    return len(auxv)


@_option(25)  # PR_GET_TSC
def _get_tsc(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return _write_int(task, a2, 1)


@_option(26)  # PR_SET_TSC
def _set_tsc(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(a2 == 1)  # PR_TSC_ENABLE; the instruction cannot be taken from a guest
    return 0


@_option(pr.PR_CAPBSET_READ)
def _read_bounding(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(a2 <= _LAST_CAPABILITY)
    return task.cred.bounding >> a2 & 1


@_option(pr.PR_CAPBSET_DROP)
def _drop_bounding(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    if not task.cred.capable(CAP_SETPCAP):
        raise KernelError(E.EPERM)
    _invalid_unless(a2 <= _LAST_CAPABILITY)
    task.commit_creds(task.cred._replace(bounding=task.cred.bounding & ~(1 << a2)))
    return 0


@_option(pr.PR_GET_SECUREBITS)
def _get_securebits(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return task.cred.securebits


@_option(pr.PR_SET_SECUREBITS)
def _set_securebits(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    old = task.cred.securebits
    locks = old >> 1 & 0x55  # a lock's bit lies above the bit it locks
    if (old ^ a2) & locks or old & 0xAA & ~a2 or a2 & ~0xFF or not task.cred.capable(CAP_SETPCAP):
        raise KernelError(E.EPERM)
    task.commit_creds(task.cred._replace(securebits=a2))
    return 0


@_option(pr.PR_GET_KEEPCAPS)
def _get_keepcaps(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    return int(bool(task.cred.securebits & SECBIT_KEEP_CAPS))


@_option(pr.PR_SET_KEEPCAPS)
def _set_keepcaps(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    _invalid_unless(a2 <= 1)
    bits = task.cred.securebits
    if bits & SECBIT_KEEP_CAPS << 1:
        raise KernelError(E.EPERM)
    task.commit_creds(task.cred._replace(securebits=bits | SECBIT_KEEP_CAPS if a2 else bits & ~SECBIT_KEEP_CAPS))
    return 0


@_option(pr.PR_CAP_AMBIENT)
def _ambient(task: Task, a2: int, a3: int, a4: int, a5: int) -> int:
    cred = task.cred
    if a2 == 4:  # PR_CAP_AMBIENT_CLEAR_ALL
        _invalid_unless(not (a3 or a4 or a5))
        task.commit_creds(cred._replace(ambient=0))
        return 0
    _invalid_unless(a3 <= _LAST_CAPABILITY and not (a4 or a5) and 1 <= a2 <= 3)
    bit = 1 << a3
    if a2 == 1:  # PR_CAP_AMBIENT_IS_SET
        return int(bool(cred.ambient & bit))
    if a2 == 2:  # PR_CAP_AMBIENT_RAISE
        if not cred.permitted & cred.inheritable & bit or cred.securebits & 1 << 6:
            raise KernelError(E.EPERM)
        task.commit_creds(cred._replace(ambient=cred.ambient | bit))
    else:
        task.commit_creds(cred._replace(ambient=cred.ambient & ~bit))
    return 0


# -- calls that the host runs where it owns the machine -------------------------------------------------------


@syscall(
    "arch_prctl", x86_64=158, aarch64=None, support=Partial("ARCH_SET/GET_FS and GS only"), native="FS and GS bases"
)
def arch_prctl(task: Task, code: Int, address: Address) -> Result:
    raise KernelError(E.EINVAL)


@syscall(
    "membarrier",
    x86_64=324,
    aarch64=283,
    support=Partial("MEMBARRIER_CMD_QUERY: 0 where the host doesn't answer"),
    native="always",
)
def membarrier(task: Task, command: Int, flags: UInt, cpu: Int) -> Result:
    if flags or command:
        raise KernelError(E.EINVAL)
    return 0


@syscall(
    "futex",
    x86_64=202,
    aarch64=98,
    support=Partial("PI operations: ENOSYS"),
    native="all but PI",
)
def futex(
    task: Task, address: Address, operation: Int, value: UInt, timeout: ULong, address2: Address, value3: UInt
) -> Result:
    raise KernelError(E.ENOSYS)


@syscall("restart_syscall", x86_64=219, aarch64=128, support=Full, test="test_signals", native="always")
def restart_syscall(task: Task) -> Result:
    raise KernelError(E.EINTR)  # calls are restarted by their own number
