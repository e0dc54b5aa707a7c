"""The surface: every host call that each role of the native platform may make, with its condition and its reason.

This is data. :mod:`.filters` compiles it to seccomp programs, ``pylitebox surface`` and docs/surface.md show it, and
the tests compare the compiled programs with :func:`decide` for every number.

Roles
- guest       guest processes: arbitrary machine code, with the stub mapped among it
- template    the stub that forks empty processes; it runs under the guest's filter, plus what only starting needs
- guardian    the stub that ends every guest when the supervisor is gone; never runs guest code
- supervisor  the Python process that holds the kernel; ``host-write`` is added only for writable host directories,
              ``emulator`` where guests run inside it (its code buffer is mapped before the filter stands)

The test of the instruction pointer (:data:`STUB`) is *routing, not a boundary*: guest code can jump into the stub, or
map other code there. So a call that the guest's filter allows there must be harmless with any arguments from anywhere.

What a rule decides: the first case whose conditions all hold, else ``otherwise``. A call without a rule gets the role's
default: guests notify the supervisor, which then *is* their kernel; the supervisor gets EPERM; the guardian dies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as FC
from pylitebox.abi import futex as F
from pylitebox.abi import kvm as K
from pylitebox.abi import prctl as P
from pylitebox.abi import sched as C
from pylitebox.abi.mman import MAP_ANONYMOUS, MAP_HUGETLB, PROT_EXEC
from pylitebox.abi.numbers import X86_64
from pylitebox.abi.resource import RLIMIT_AS, RLIMIT_DATA
from pylitebox.abi.seccomp import (
    SECCOMP_IOCTL_NOTIF_ADDFD,
    SECCOMP_IOCTL_NOTIF_ID_VALID,
    SECCOMP_IOCTL_NOTIF_RECV,
    SECCOMP_IOCTL_NOTIF_SEND,
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS,
    SECCOMP_RET_TRAP,
    SECCOMP_RET_USER_NOTIF,
    X32_SYSCALL_BIT,
)
from pylitebox.south.descriptors import KVM_CPU, KVM_VM
from pylitebox.south.native.layout import KICK, STUB_BASE

SIGKILL = 9
ALLOW = SECCOMP_RET_ALLOW
NOTIFY = SECCOMP_RET_USER_NOTIF
TRAP = SECCOMP_RET_TRAP
KILL = SECCOMP_RET_KILL_PROCESS


def refuse(errno: int) -> int:
    return SECCOMP_RET_ERRNO | errno


class Condition(NamedTuple):
    """A condition on the low half of argument ``arg``, or on the high half of the instruction pointer (arg None).

    It holds if the word, after ``mask``, lies in one of ``ranges`` (both ends included). ``wide``: the argument's
    high half must be zero too, for calls that look at all 64 bits."""

    text: str
    arg: int | None
    ranges: tuple[tuple[int, int], ...]
    mask: int = 0xFFFFFFFF
    wide: bool = False

    def holds(self, pointer: int, args: tuple[int, ...]) -> bool:
        value = pointer >> 32 if self.arg is None else args[self.arg]
        if self.wide and value >> 32:
            return False
        word = value & self.mask
        return any(low <= word <= high for low, high in self.ranges)


class Case(NamedTuple):
    tests: tuple[Condition, ...]
    action: int
    #: The supervisor lets the host run the notified call, having looked at registers only.
    continued: bool = False


class Rule(NamedTuple):
    name: str
    cases: tuple[Case, ...]
    otherwise: int
    reason: str

    @property
    def reaches_host(self) -> bool:
        """Whether the host kernel may run the call for this role at all."""
        return self.otherwise == ALLOW or any(case.action == ALLOW or case.continued for case in self.cases)

    @property
    def conditions(self) -> str:
        """When the host runs the call, in words; empty if always."""
        parts = []
        for case in self.cases:
            if case.action == ALLOW or case.continued:
                texts = [test.text for test in case.tests]
                if case.continued:
                    texts.append("granted by the supervisor from the registers alone")
                parts.append(", ".join(texts))
        if self.otherwise == ALLOW:
            excepted = ["; ".join(test.text for test in case.tests) for case in self.cases if case.action != ALLOW]
            return "unless " + " or ".join(excepted) if excepted else ""
        return "; or ".join(parts)


# -- building rules ---------------------------------------------------------------------------------------------


def one_of(arg: int, values: Iterable[int], text: str, *, mask: int = 0xFFFFFFFF, wide: bool = False) -> Condition:
    ranges: list[tuple[int, int]] = []
    for value in sorted(values):
        if ranges and ranges[-1][1] + 1 == value:
            ranges[-1] = (ranges[-1][0], value)
        else:
            ranges.append((value, value))
    return Condition(text, arg, tuple(ranges), mask, wide)


def between(arg: int, low: int, high: int, text: str, *, wide: bool = False) -> Condition:
    return Condition(text, arg, ((low, high),), wide=wide)


def bits(arg: int, mask: int, value: int, text: str) -> Condition:
    """``argument & mask == value``."""
    return Condition(text, arg, ((value, value),), mask)


def plain(name: str, reason: str) -> Rule:
    return Rule(name, (), ALLOW, reason)


def only(name: str, tests: Iterable[Condition], otherwise: int, reason: str) -> Rule:
    return Rule(name, (Case(tuple(tests), ALLOW),), otherwise, reason)


#: The caller's instruction pointer is where the stub is mapped.
STUB = Condition("from the stub's addresses", None, ((STUB_BASE >> 32, STUB_BASE >> 32),))

# -- guest ------------------------------------------------------------------------------------------------------

#: The host clones for a guest only with these: a thread, or a process that is the guest's sibling. Never
#: CLONE_VFORK, a namespace, a descriptor (PIDFD), an id that leaks (SETTID), or an exit signal.
_THREAD = C.CLONE_VM | C.CLONE_FS | C.CLONE_FILES | C.CLONE_SIGHAND | C.CLONE_THREAD | C.CLONE_SYSVSEM | C.CLONE_SETTLS
CLONE_MASKS = tuple(
    shape | clear
    for shape in (_THREAD, C.CLONE_PARENT, C.CLONE_PARENT | C.CLONE_VM)
    for clear in (0, C.CLONE_CHILD_CLEARTID)
)
_FUTEX_OPERATIONS = (
    F.FUTEX_WAIT,
    F.FUTEX_WAKE,
    F.FUTEX_REQUEUE,
    F.FUTEX_CMP_REQUEUE,
    F.FUTEX_WAKE_OP,
    F.FUTEX_WAIT_BITSET,
    F.FUTEX_WAKE_BITSET,
)
_CLOCKS = between(0, 0, 11, "clock id 0 to 11: larger ones name a process by its host id")
#: Hints on the caller's own pages. Not MERGEABLE (same-page merging tells what pages others have), not COLD and
#: PAGEOUT (pages of files that others use), not HWPOISON and SOFT_OFFLINE.
_ADVICE = one_of(
    2,
    (0, 1, 2, 3, 4, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 22, 23, 24, 102, 103),
    "advice 0-4, 8-11, 13-19, 22-24, 102, 103: not MADV_MERGEABLE, COLD, PAGEOUT, HWPOISON, SOFT_OFFLINE",
)

#: What the stub answers from what it was told.
_TOLD = ("getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid")

#: What only the thread itself can do, or what needs all its registers.
_THREADS_OWN = (
    "fork", "vfork", "rt_sigaction", "rt_sigprocmask", "brk", "shmat", "shmdt", "setrlimit",
)  # fmt: skip

GUEST: tuple[Rule, ...] = (
    plain("sched_yield", "gives up the CPU"),
    plain("munmap", "the caller's own address space"),
    plain("mprotect", "the caller's own address space"),
    plain("mremap", "the caller's own address space, within RLIMIT_AS"),
    only("madvise", [_ADVICE], refuse(E.EINVAL), "hints on the caller's own pages"),
    plain("nanosleep", "sleeps"),
    plain("membarrier", "orders the caller's own memory accesses"),
    plain("restart_syscall", "goes on with an interrupted futex or sleep"),
    only("clock_gettime", [_CLOCKS], NOTIFY, "reads a clock"),
    only("clock_nanosleep", [_CLOCKS], NOTIFY, "sleeps"),
    only(
        "arch_prctl",
        [between(0, P.ARCH_SET_GS, P.ARCH_GET_GS, "code ARCH_SET_GS to ARCH_GET_GS")],
        refuse(E.EINVAL),
        "the caller's segment bases; ARCH_REQ_XCOMP_PERM would let frames outgrow the stub's stack",
    ),
    only(
        "futex",
        [one_of(1, _FUTEX_OPERATIONS, "operation without priority inheritance", mask=F.FUTEX_CMD_MASK)],
        refuse(E.ENOSYS),
        "waits on the caller's own memory; priority inheritance would put host ids into guest memory",
    ),
    Rule(
        "mmap",
        (
            Case((bits(3, MAP_HUGETLB, MAP_HUGETLB, "MAP_HUGETLB"),), refuse(E.ENOMEM)),
            Case((bits(3, MAP_ANONYMOUS, MAP_ANONYMOUS, "MAP_ANONYMOUS without MAP_HUGETLB"),), ALLOW),
            Case((STUB,), ALLOW),
        ),
        TRAP,
        "memory of the caller's own; a file is mapped by the stub, from a descriptor that the supervisor has put there "
        "for that moment with exactly the access that the guest has",
    ),
    only("rt_sigreturn", [STUB], TRAP, "enters guest code: loads registers from the caller's own memory"),
    only("set_tid_address", [STUB], TRAP, "zeroes one word of the caller's own memory when its thread ends"),
    only(
        "sigaltstack",
        [STUB, one_of(0, [0], "no new stack", wide=True)],
        TRAP,
        "tells where the stub's own stack is, by which it knows its thread",
    ),
    only("close", [STUB], NOTIFY, "drops the descriptor of a mapping"),
    Rule(
        "exit_group",
        (Case((STUB,), ALLOW), Case((), NOTIFY, continued=True)),
        NOTIFY,
        "ends the calling process",
    ),
    Rule("exit", (Case((), NOTIFY, continued=True),), NOTIFY, "ends the calling thread"),
    Rule(
        "clone",
        (
            Case(
                (
                    STUB,
                    one_of(0, CLONE_MASKS, "flags exactly " + ", ".join(f"{m:#x}" for m in CLONE_MASKS), wide=True),
                ),
                NOTIFY,
                continued=True,
            ),
            Case((STUB,), refuse(E.EPERM)),
        ),
        TRAP,
        "starts a thread or a process of the guest under the same filter, after the supervisor has counted it and "
        "given it its virtual id",
    ),
    Rule(
        "prctl",
        (
            Case(
                (
                    STUB,
                    one_of(0, [P.PR_SET_PDEATHSIG], "PR_SET_PDEATHSIG"),
                    one_of(1, [SIGKILL], "SIGKILL", wide=True),
                ),
                ALLOW,
            ),
            Case((STUB,), refuse(E.EPERM)),
        ),
        NOTIFY,
        "lets a guest process end with the supervisor",
    ),
    Rule(
        "prlimit64",
        (
            Case((one_of(2, [0], "no new limit", wide=True),), NOTIFY),
            Case(
                (
                    STUB,
                    one_of(0, [0], "the caller itself"),
                    one_of(1, [RLIMIT_DATA, RLIMIT_AS], "RLIMIT_DATA or RLIMIT_AS"),
                    one_of(3, [0], "old limit not asked for", wide=True),
                ),
                ALLOW,
            ),
            Case((STUB,), refuse(E.EPERM)),
        ),
        TRAP,
        "bounds the caller's own memory, as its own limits say; whatever it sets lies below the hard limits that it "
        "was started with, which no guest can raise",
    ),
    # What follows never reaches the host kernel.
    Rule("clone3", (), refuse(E.ENOSYS), "its arguments lie in memory, where a filter can't see them"),
    Rule("rseq", (), refuse(E.ENOSYS), "the host would write host facts into guest memory"),
    *(
        Rule(name, (), TRAP, "needs all registers, or a part that only the thread itself can do")
        for name in _THREADS_OWN
    ),
    *(Rule(name, (), TRAP, "the stub knows the answer") for name in _TOLD),
    *(
        Rule(name, (), TRAP, "the sender is at its safe point already when the signal is delivered")
        for name in ("kill", "tkill", "tgkill", "rt_sigsuspend")
    ),
)

#: Calls that container profiles answer with an errno, which would outrank our notification. They are trapped into the
#: stub, which forwards them. (Docker's default profile, Podman's, systemd's @system-service.)
DENIED_OUTSIDE: tuple[str, ...] = tuple(
    """_sysctl acct add_key bpf cachestat chroot clock_settime close_range create_module delete_module faccessat2
    fanotify_init fchmodat2 file_getattr file_setattr finit_module fsconfig fsmount fsopen fspick futex_requeue
    futex_wait futex_waitv futex_wake get_kernel_syms get_mempolicy getxattrat init_module io_uring_enter
    io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl landlock_add_rule
    landlock_create_ruleset landlock_restrict_self listmount listxattrat lookup_dcookie lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr map_shadow_stack mbind memfd_create memfd_secret migrate_pages mount
    mount_setattr move_mount move_pages mseal name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr
    openat2 perf_event_open personality pidfd_getfd pidfd_open pidfd_send_signal pivot_root process_madvise
    process_mrelease process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd reboot removexattrat
    request_key seccomp set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday setxattrat
    socket statmount statx swapoff swapon sysfs syslog umount2 unshare uselib userfaultfd ustat
    vhangup vserver""".split()  # noqa: SIM905 - a hundred literals read worse
)

#: The calls of that list that programs make often. Where the outer filter lets them pass, they are notified at once.
OFTEN: tuple[str, ...] = ("close_range", "faccessat2", "fchmodat2", "memfd_create", "openat2", "socket", "statx")

# -- template ---------------------------------------------------------------------------------------------------

#: Added to the guest's rules until the second filter, installed before any guest code exists, kills for them.
TEMPLATE: tuple[Rule, ...] = (
    only("seccomp", [STUB], TRAP, "installs the second filter; afterwards the call kills the process"),
    only("sendmsg", [STUB], NOTIFY, "hands the notification descriptor over; afterwards the call kills the process"),
)

# -- guardian ---------------------------------------------------------------------------------------------------

GUARDIAN: tuple[Rule, ...] = (
    plain("read", "waits for the end-of-file that says that the supervisor is gone"),
    only(
        "kill",
        [
            between(0, 0x80000000, 0xFFFFFFFE, "a process group"),
            one_of(1, [SIGKILL], "SIGKILL"),
        ],
        KILL,
        "ends every guest process",
    ),
    plain("wait4", "reaps guest processes"),
    plain("exit_group", "ends"),
)

# -- supervisor -------------------------------------------------------------------------------------------------

_OPEN_CHANGES = FC.O_CREAT | FC.O_TRUNC | (FC.O_TMPFILE & ~FC.O_DIRECTORY)
_OPEN_ONLY = bits(2, _OPEN_CHANGES, 0, "neither O_CREAT, O_TRUNC nor O_TMPFILE")
_NOT_EXECUTABLE = bits(2, PROT_EXEC, 0, "not PROT_EXEC")
_NOTIFICATION = (
    SECCOMP_IOCTL_NOTIF_RECV,
    SECCOMP_IOCTL_NOTIF_SEND,
    SECCOMP_IOCTL_NOTIF_ID_VALID,
    SECCOMP_IOCTL_NOTIF_ADDFD,
)
_OWN_SIGNALS = (SIGKILL, KICK)
_EPERM = refuse(E.EPERM)

SUPERVISOR: tuple[Rule, ...] = (
    plain("read", "control socket, console streams, host files, /proc, randomness for guests"),
    plain("write", "console streams; the content of a compressed rootfs, into the file that it was given"),
    plain("close", "its own descriptors"),
    plain("fstat", "host files and shared buffers"),
    plain("newfstatat", "files of the host view; whether a guest thread exists"),
    only(
        "openat",
        [_OPEN_ONLY],
        _EPERM,
        "files of the host view; mem, maps, smaps, stat, statm, schedstat, syscall, children and threads of guests in "
        "/proc; Landlock says which",
    ),
    plain("readlinkat", "symbolic links of the host view"),
    plain("getdents64", "directories of the host view"),
    plain("pread64", "guest memory, host files, shared buffers"),
    plain("preadv2", "host files, without waiting for the disk"),
    plain("pwrite64", "guest memory of the stub's own, shared buffers"),
    plain("process_vm_writev", "guest memory, where the guest may write; Landlock and ptrace rules say whose"),
    plain("memfd_create", "memory that guests share or map from files"),
    plain("ftruncate", "size of shared buffers"),
    only(
        "fcntl",
        [
            one_of(
                1,
                (FC.F_GETFD, FC.F_SETFD, FC.F_GETFL, FC.F_SETFL, FC.F_DUPFD_CLOEXEC, FC.F_ADD_SEALS, FC.F_GET_SEALS),
                "F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS",
            )
        ],
        _EPERM,
        "flags of its own descriptors; seals of shared buffers",
    ),
    only(
        "ioctl",
        [one_of(1, _NOTIFICATION, "SECCOMP_IOCTL_NOTIF_RECV, SEND, ID_VALID, ADDFD")],
        _EPERM,
        "receives and answers the guests' calls",
    ),
    plain("epoll_wait", "the loop"),
    plain("poll", "whether a console stream is ready, and whether the guardian has ended"),
    plain("epoll_ctl", "what the loop waits for"),
    plain("recvmsg", "orders of the client, with the descriptors of a program's streams"),
    plain("sendto", "answers to the client; console streams that are sockets"),
    only("mmap", [_NOT_EXECUTABLE], _EPERM, "memory of its own"),
    plain("munmap", "memory of its own"),
    plain("brk", "memory of its own; libc takes a refusal for success"),
    plain("clock_gettime", "the CPU time of guest processes and threads"),
    plain("sched_setaffinity", "which CPUs it and its guests run on, within those it was given"),
    plain("futex", "threads of its own, which read host files"),
    only(
        "tgkill",
        [one_of(2, _OWN_SIGNALS, "SIGKILL or SIGURG")],
        _EPERM,
        "brings a guest thread to a safe point; ends an intruder. Landlock's scope and the uid say whom it reaches",
    ),
    plain("pidfd_open", "holds on to a guest process"),
    only("pidfd_send_signal", [one_of(1, [SIGKILL], "SIGKILL")], _EPERM, "ends a guest process"),
    plain("wait4", "reaps the guardian"),
    plain("exit_group", "ends"),
)

#: Only with a writable host directory (``--mount HOST:GUEST:rw``, ``--workspace DIR:rw``).
HOST_WRITE: tuple[Rule, ...] = (
    plain("openat", "creates files beneath writable mounts; Landlock says where"),
    plain("mkdirat", "beneath writable mounts"),
    plain("symlinkat", "beneath writable mounts"),
    plain("linkat", "beneath writable mounts"),
    plain("unlinkat", "beneath writable mounts"),
    plain("renameat", "beneath writable mounts"),
    plain("fchmod", "beneath writable mounts"),
    plain("utimensat", "beneath writable mounts"),
    plain("fsync", "beneath writable mounts"),
)

#: What only processes of the host as guests need.
_NO_PROCESSES = (
    "memfd_create", "pidfd_open", "pidfd_send_signal", "process_vm_writev", "sched_setaffinity", "tgkill", "wait4",
)  # fmt: skip
_NO_GUESTS_OUTSIDE = tuple(Rule(name, (), _EPERM, "there are no guest processes on the host") for name in _NO_PROCESSES)

#: Only with the emulator platform, which runs guest code in the supervisor's own process.
EMULATOR: tuple[Rule, ...] = (
    plain("clock_nanosleep", "the thread that ends time slices sleeps for one"),
    Rule("ioctl", (), _EPERM, "there are no guest processes on the host"),
    *_NO_GUESTS_OUTSIDE,
)

_VM = between(0, KVM_VM, KVM_VM, f"the virtual machine (descriptor {KVM_VM})")
_CPU = between(0, KVM_CPU, KVM_CPU, f"its CPU (descriptor {KVM_CPU})")
_CPU_REQUESTS = one_of(
    1,
    (
        K.KVM_RUN, K.KVM_INTERRUPT, K.KVM_GET_MSRS, K.KVM_SET_MSRS, K.KVM_GET_XSAVE, K.KVM_SET_XSAVE, K.KVM_GET_SREGS,
        K.KVM_SET_SREGS,
    ),
    "KVM_RUN, INTERRUPT, GET_MSRS, SET_MSRS, GET_XSAVE, SET_XSAVE, GET_SREGS, SET_SREGS",
)
_MEMORY_REQUEST = one_of(1, (K.KVM_SET_USER_MEMORY_REGION,), "KVM_SET_USER_MEMORY_REGION")
#: Only with the kvm platform, whose guests are in a virtual machine of the supervisor's own.
KVM: tuple[Rule, ...] = (
    Rule(
        "ioctl",
        (Case((_CPU, _CPU_REQUESTS), ALLOW), Case((_VM, _MEMORY_REQUEST), ALLOW)),
        _EPERM,
        "runs the CPU, changes threads on it, puts it right after an error; takes page tables out and in so that KVM "
        "forgets them",
    ),
    plain("rt_sigtimedwait", "takes the tick that has ended a run"),
    *_NO_GUESTS_OUTSIDE,
)

#: No part of ours makes these. A supervisor that does has been taken over, and ends.
HOSTILE: tuple[Rule, ...] = tuple(
    Rule(name, (), KILL, "never made by us")
    for name in (
        "add_key", "bpf", "execve", "execveat", "finit_module", "init_module", "io_uring_setup", "kexec_file_load",
        "kexec_load", "keyctl", "mount", "move_mount", "open_by_handle_at", "perf_event_open", "pivot_root", "ptrace",
        "request_key", "setns", "umount2", "unshare", "userfaultfd",
    )
)  # fmt: skip

#: All roles by name, as ``pylitebox surface`` shows them.
ROLES: dict[str, tuple[Rule, ...]] = {
    "guest": GUEST,
    "template": TEMPLATE,
    "guardian": GUARDIAN,
    "supervisor": SUPERVISOR,
    "supervisor host-write": HOST_WRITE,
    "supervisor emulator": EMULATOR,
    "supervisor kvm": KVM,
}


def number(name: str) -> int:
    return X86_64[name]


def decide(rules: Mapping[int, Rule], default: int, nr: int, pointer: int, args: tuple[int, ...]) -> int:
    """What the tables say about one x86-64 call (``nr`` by number): the action of the first case that holds."""
    if nr & X32_SYSCALL_BIT:
        return refuse(E.ENOSYS)
    rule = rules.get(nr)
    if rule is None:
        return default
    for case in rule.cases:
        if all(test.holds(pointer, args) for test in case.tests):
            return case.action
    return rule.otherwise
