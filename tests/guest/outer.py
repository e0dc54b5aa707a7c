"""Runs a command beneath an outer seccomp filter, as a container engine would: ``outer.py PROFILE COMMAND...``

``docker``         what moby's default profile denies on x86-64 to a container without added capabilities (as of its
                   25.0 and later: io_uring and AF_VSOCK too), on a kernel of 4.8 or later; every other number of its
                   age is allowed, unknown ones fail with EPERM. Written as the list of what is denied: the shorter.
``no-namespaces``  only what makes namespaces: unshare, setns, and clone with their flags

Differences from the real thing: calls of i386 all fail, where Docker filters them by the same names; and Docker's
other measures (masked /proc paths, AppArmor's profile) are not here. Its capabilities are: ``CAPABILITIES``.
"""

import ctypes
import os
import struct
import sys

from pylitebox.abi.numbers import X86_64

#: What `docker run` leaves in the bounding set.
CAPABILITIES = [
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service", "net_raw",
    "sys_chroot", "mknod", "audit_write", "setfcap",
]  # fmt: skip

#: Needs a capability that containers don't have (the groups of the profile), or is on no list at all.
DENIED = {
    "CAP_SYS_ADMIN": "bpf fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount"
    " open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount2 unshare",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday clock_settime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "on no list": "_sysctl add_key afs_syscall create_module get_kernel_syms getpmsg io_uring_enter io_uring_register"
    " io_uring_setup kexec_file_load kexec_load keyctl migrate_pages move_pages nfsservctl pivot_root putpmsg"
    " query_module request_key security swapoff swapon sysfs tuxcall uselib userfaultfd ustat vserver",
    "younger than the profile": "cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount"
    " listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat"
    " removexattrat open_tree_attr file_getattr file_setattr",
}
PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
CLONE_NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
AF_VSOCK = 40

ALLOW = 0x7FFF0000
ERRNO = 0x00050000
EPERM, ENOSYS = 1, 38
AUDIT_ARCH_X86_64 = 0xC000003E
LOAD, JEQ, JGE, JSET, RET = 0x20, 0x15, 0x35, 0x45, 0x06  # of the classic BPF machine, on 32-bit words
NR, ARCH, ARG0 = 0, 4, 16  # offsets in struct seccomp_data

Instruction = tuple[int, int, int, int]


def when(number: int, body: list[Instruction]) -> list[Instruction]:
    """``body`` if the loaded number is ``number``; it must return, or load the number again."""
    return [(JEQ, 0, len(body), number), *body]


def namespaces() -> list[Instruction]:
    """clone without namespaces; clone3, whose flags a filter can't see, as if it didn't exist."""
    program = when(X86_64["clone"], [(LOAD, 0, 0, ARG0), (JSET, 0, 1, CLONE_NAMESPACES), _errno(EPERM), _ret(ALLOW)])
    return program + when(X86_64["clone3"], [_errno(ENOSYS)])


def docker() -> list[Instruction]:
    program = namespaces()
    program += when(X86_64["socket"], [(LOAD, 0, 0, ARG0), (JEQ, 0, 1, AF_VSOCK), _errno(EPERM), _ret(ALLOW)])
    values: list[Instruction] = [(LOAD, 0, 0, ARG0)]
    for value in PERSONALITIES:
        values += [(JEQ, 0, 1, value), _ret(ALLOW)]
    program += when(X86_64["personality"], [*values, _errno(EPERM)])
    for name in " ".join(DENIED.values()).split():
        program += when(X86_64[name], [_errno(EPERM)])
    return [*program, (JGE, 0, 1, max(X86_64.values()) + 1), _errno(EPERM)]


def no_namespaces() -> list[Instruction]:
    return [*namespaces(), *when(X86_64["unshare"], [_errno(EPERM)]), *when(X86_64["setns"], [_errno(EPERM)])]


PROFILES = {"docker": docker, "no-namespaces": no_namespaces}


def _ret(value: int) -> Instruction:
    return (RET, 0, 0, value)


def _errno(number: int) -> Instruction:
    return _ret(ERRNO | number)


def compile_profile(name: str) -> bytes:
    """The profile as an array of struct sock_filter."""
    head = [(LOAD, 0, 0, ARCH), (JEQ, 1, 0, AUDIT_ARCH_X86_64), _errno(EPERM), (LOAD, 0, 0, NR)]
    x32 = [(JGE, 0, 1, 0x40000000), _errno(EPERM)]
    return b"".join(struct.pack("<HBBI", *i) for i in [*head, *x32, *PROFILES[name](), _ret(ALLOW)])


def install(code: bytes) -> None:
    """Put this process under the filter; with CAP_SYS_ADMIN without no_new_privs, as a container engine does."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("<H6xQ", len(code) // 8, ctypes.addressof(buffer))
    set_seccomp, mode_filter, set_no_new_privs = 22, 2, 38
    if libc.prctl(set_seccomp, mode_filter, program) == 0:
        return
    if libc.prctl(set_no_new_privs, 1, 0, 0, 0) or libc.prctl(set_seccomp, mode_filter, program):
        raise OSError(ctypes.get_errno(), "the outer filter was refused")


if __name__ == "__main__":
    install(compile_profile(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
