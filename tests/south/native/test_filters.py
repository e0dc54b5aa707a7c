"""The compiled programs say what the tables say: every number, every architecture, argument samples.

The expectation comes from :func:`surface.decide`, which reads the tables directly; what is compared is the bytes that
the host kernel gets, run by the evaluator. Facts that must hold whatever the tables say are tested by themselves.
"""

import struct
from collections.abc import Iterator

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.mman import MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE
from pylitebox.abi.numbers import X86_64
from pylitebox.abi.seccomp import (
    AUDIT_ARCH_AARCH64,
    AUDIT_ARCH_I386,
    AUDIT_ARCH_X86_64,
    SECCOMP_IOCTL_NOTIF_ADDFD,
    SECCOMP_IOCTL_NOTIF_RECV,
    SECCOMP_RET_ACTION_FULL,
    X32_SYSCALL_BIT,
)
from pylitebox.south.native import filters
from pylitebox.south.native import surface as S
from pylitebox.south.native.bpf import evaluate
from pylitebox.south.native.layout import STUB_BASE

GUEST_IP = 0x7F12_3456_789A
STUB_IP = STUB_BASE + 0x1234
POINTERS = (GUEST_IP, STUB_IP, STUB_BASE - 1, STUB_BASE + (1 << 32), 0, (1 << 64) - 1, 0xFFFFFFFF_60000000)
NUMBERS = [*range(1024), 0x3FFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF]

ROLES: dict[str, tuple[bytes, tuple[S.Rule, ...], int]] = {
    "guest": (filters.guest_filter(), filters.guest_rules(), S.NOTIFY),
    "guest beneath no filter": (filters.guest_filter(S.OFTEN), filters.guest_rules(S.OFTEN), S.NOTIFY),
    "startup": (filters.startup_filter(), filters.startup_rules(), S.ALLOW),
    "guardian": (filters.guardian_filter(), S.GUARDIAN, S.KILL),
    **{
        f"supervisor {groups}": (filters.supervisor_filter(groups), filters.supervisor_rules(groups), S.refuse(E.EPERM))
        for groups in ((), ("host-write",), ("emulator",), ("kvm",), ("kvm", "host-write"))
    },
}
each_role = pytest.mark.parametrize("role", ROLES)


def run(code: bytes, nr: int, *args: int, arch: int = AUDIT_ARCH_X86_64, ip: int = GUEST_IP) -> int:
    data = struct.pack("<IIQ6Q", nr & 0xFFFFFFFF, arch, ip, *args, *[0] * (6 - len(args)))
    return evaluate(code, data)[0]


def arguments(rule: S.Rule | None) -> Iterator[tuple[int, ...]]:
    """Arguments around every bound of a rule, with and without rubbish in the high halves."""
    yield (0,) * 6
    yield ((1 << 64) - 1,) * 6
    if rule is None:
        return
    tests = [test for case in rule.cases for test in case.tests if test.arg is not None]
    fitting = [0] * 6
    for test in tests:
        assert test.arg is not None
        fitting[test.arg] = test.ranges[0][0]
    yield tuple(fitting)
    for test in tests:
        assert test.arg is not None
        for low, high in test.ranges:
            for value in (low - 1, low, high, high + 1, low | 0x80000000, ~test.mask & 0xFFFFFFFF | low):
                for top in (0, 1 << 32, 0xFFFFFFFF << 32):
                    sample = list(fitting)
                    sample[test.arg] = (value & 0xFFFFFFFF) | top
                    yield tuple(sample)


@each_role
def test_the_program_is_the_table(role: str) -> None:
    code, rules, default = ROLES[role]
    by_number = {S.number(rule.name): rule for rule in rules}
    assert len(by_number) == len(rules)
    for nr in NUMBERS:
        rule = by_number.get(nr)
        for args in arguments(rule):
            for ip in POINTERS if rule else POINTERS[:2]:
                expected = S.decide(by_number, default, nr, ip, args)
                assert run(code, nr, *args, ip=ip) == expected, (nr, rule and rule.name, hex(ip), args)


@each_role
@pytest.mark.parametrize("arch", [AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, 0xFFFFFFFF, AUDIT_ARCH_X86_64 ^ 1])
def test_any_other_architecture_kills(role: str, arch: int) -> None:
    code = ROLES[role][0]
    assert {run(code, nr, arch=arch, ip=ip) for nr in NUMBERS for ip in POINTERS[:2]} == {S.KILL}


@each_role
def test_x32_is_absent(role: str) -> None:
    code = ROLES[role][0]
    assert {run(code, nr | X32_SYSCALL_BIT, ip=ip) for nr in range(1024) for ip in POINTERS[:2]} == {S.refuse(E.ENOSYS)}


@each_role
def test_programs_are_short(role: str) -> None:
    assert len(ROLES[role][0]) // 8 <= 512


@pytest.mark.parametrize("name", ["read", "write", "openat", "newfstatat", "getpgrp", "lseek", "fstat", "wait4"])
def test_notified_calls_pass_few_comparisons(name: str) -> None:
    data = struct.pack("<IIQ6Q", X86_64[name], AUDIT_ARCH_X86_64, GUEST_IP, *[0] * 6)
    action, steps = evaluate(filters.guest_filter(), data)
    assert action == S.NOTIFY
    assert steps <= 13


# -- facts of the guest's filter that hold whatever the tables say ----------------------------------------------------


def guest(name: str, *args: int, ip: int = GUEST_IP) -> int:
    return run(filters.guest_filter(), X86_64[name], *args, ip=ip)


#: What a program could name, reach or end the host by. From nowhere may the host run them.
NEVER = """open openat openat2 creat execve execveat read write pread64 pwrite64 socket connect bind sendto ptrace
process_vm_readv process_vm_writev kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal
pidfd_getfd unshare setns mount umount2 move_mount fsopen open_tree pivot_root chroot bpf userfaultfd io_uring_setup
perf_event_open keyctl clone3 fork vfork dup dup2 dup3 fcntl ioctl rt_sigaction rt_sigprocmask setuid
setresuid capset setrlimit prlimit64 memfd_create modify_ldt iopl ioperm remap_file_pages shmat shmget shmctl
sched_setaffinity sched_getaffinity setpgid setsid getpid getppid gettid recvmsg process_madvise kcmp rseq lseek
pkey_mprotect mlock mlockall personality set_robust_list get_robust_list futex_waitv uselib chdir""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", NEVER)
def test_never_allowed(name: str) -> None:
    for ip in POINTERS:
        for args in ((0,) * 6, (1,) * 6, ((1 << 64) - 1,) * 6, (0x7079626F80001B0C, 1, 0, 0, 0, 0)):
            assert guest(name, *args, ip=ip) & SECCOMP_RET_ACTION_FULL != S.ALLOW


def test_the_stub_may_look_at_its_stack_only() -> None:
    assert guest("sigaltstack", 0, 0x1000, ip=STUB_IP) == S.ALLOW
    for args, ip in (((0, 0x1000), GUEST_IP), ((0x1000, 0), STUB_IP), ((1 << 32, 0), STUB_IP)):
        assert guest("sigaltstack", *args, ip=ip) & SECCOMP_RET_ACTION_FULL == S.TRAP


def test_sendmsg_and_seccomp_leave_after_the_start() -> None:
    for name in ("seccomp", "sendmsg"):
        assert guest(name, ip=STUB_IP) == S.ALLOW
        assert run(filters.startup_filter(), X86_64[name], ip=STUB_IP) == S.KILL
        assert guest(name) != S.ALLOW


def test_files_are_mapped_by_the_stub_only() -> None:
    assert guest("mmap", 0, 4096, 3, MAP_PRIVATE, 3, 0) == S.TRAP
    assert guest("mmap", 0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS) == S.ALLOW
    assert guest("mmap", 0, 4096, 3, MAP_PRIVATE, 3, 0, ip=STUB_IP) == S.ALLOW
    assert guest("mmap", 0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, ip=STUB_IP) == S.refuse(E.ENOMEM)


@pytest.mark.parametrize("flag", [1 << n for n in range(64)])
def test_clone_takes_no_other_flag(flag: int) -> None:
    for mask in S.CLONE_MASKS:
        assert guest("clone", mask, ip=STUB_IP) == S.NOTIFY
        if mask ^ flag not in S.CLONE_MASKS:
            assert guest("clone", mask ^ flag, ip=STUB_IP) == S.refuse(E.EPERM)
        assert guest("clone", mask ^ flag) == S.TRAP


def test_prctl_is_the_parent_death_signal_only() -> None:
    assert guest("prctl", 1, 9, ip=STUB_IP) == S.ALLOW
    for args in ((1, 15), (1, 9 | 1 << 32), (22, 0), (38, 1), (4, 0), (35, 1), (36, 1), (0x53564D41, 0)):
        assert guest("prctl", *args, ip=STUB_IP) == S.refuse(E.EPERM)
        assert guest("prctl", *args) == S.NOTIFY


@pytest.mark.parametrize("resource", range(18))
def test_limits_of_the_callers_own_memory_only(resource: int) -> None:
    fine = resource in {2, 9}  # RLIMIT_DATA, RLIMIT_AS
    assert guest("prlimit64", 0, resource, 0x1000, 0, ip=STUB_IP) == (S.ALLOW if fine else S.refuse(E.EPERM))
    for args in ((1, resource, 0x1000, 0), (0, resource, 0x1000, 0x1000), (0, resource, 0x1000, 1 << 32)):
        assert guest("prlimit64", *args, ip=STUB_IP) == S.refuse(E.EPERM)
    for args in ((0, resource, 0x1000), (0, resource, 1 << 32), (1, resource, 0x1000, 0x1000)):
        assert guest("prlimit64", *args) == S.TRAP
    assert guest("prlimit64", 0, resource, 0, 0x1000) == S.NOTIFY
    assert guest("setrlimit", resource, 0x1000, ip=STUB_IP) == S.TRAP


@pytest.mark.parametrize("operation", range(16))
def test_futex_without_priority_inheritance(operation: int) -> None:
    fine = operation in {0, 1, 3, 4, 5, 9, 10}
    for flags in (0, 128, 256, 384):
        assert guest("futex", 0x1000, operation | flags) == (S.ALLOW if fine else S.refuse(E.ENOSYS))


def test_clocks_that_name_no_process() -> None:
    for name in ("clock_gettime", "clock_nanosleep"):
        assert guest(name, 11) == S.ALLOW
        assert guest(name, 12) == S.NOTIFY
        assert guest(name, -6 & 0xFFFFFFFF) == S.NOTIFY  # CPUCLOCK of process 0


def test_numbers_within_the_promised_bounds() -> None:
    assert sum(rule.reaches_host for rule in (*S.GUEST, *S.TEMPLATE)) <= 24
    assert sum(rule.reaches_host for rule in filters.supervisor_rules()) <= 32
    assert sum(rule.reaches_host for rule in S.HOST_WRITE) <= 10


def test_each_rule_has_a_reason_and_a_number() -> None:
    for rules in S.ROLES.values():
        for rule in rules:
            assert rule.reason
            assert rule.name in X86_64
            if rule.reaches_host and rule.cases:
                assert rule.conditions, rule.name


# -- facts of the supervisor's filter -------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["kvm", "emulator"])
def test_without_guests_on_the_host_the_supervisor_reaches_no_process_of_it(group: str) -> None:
    """What runs guest code in the supervisor's own process needs this most."""
    code = filters.supervisor_filter((group,))
    for name in ("process_vm_writev", "tgkill", "pidfd_open", "pidfd_send_signal", "wait4", "sched_setaffinity"):
        assert run(code, X86_64[name]) == S.refuse(E.EPERM)
        assert run(filters.supervisor_filter(), X86_64[name], 0, 9, 9) == S.ALLOW, "else the fact says nothing"
    for request in (SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_ADDFD):
        assert run(code, X86_64["ioctl"], 5, request) == S.refuse(E.EPERM)
