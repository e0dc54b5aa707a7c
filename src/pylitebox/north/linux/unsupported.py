"""Calls that always fail, with the errno that programs expect of a Linux that lacks or forbids them.

ENOSYS: programs have a fallback for a kernel without the call. EPERM: the call exists, and needs a privilege over the
machine that nobody in a sandbox has.
"""

from pylitebox.abi import errno as E
from pylitebox.north.linux.table import unsupported

_FALLBACK = "programs fall back to older calls"
_MACHINE = "changes the machine, which a sandbox doesn't have"
_MOUNTS = "the sandbox's mounts are given from outside"
_MODULES = "there are no kernel modules"
_KEYS = "there are no key rings"
_AIO = "asynchronous I/O is not implemented"
_NUMA = "there is one memory node"
_PTRACE = "processes cannot look into each other"
_GONE = "removed from Linux"
_LSM = "there are no security modules"

unsupported(
    "clone3", x86_64=435, aarch64=435, errno=E.ENOSYS, reason="programs fall back to clone, whose flags are registers"
)
unsupported(
    "rseq", x86_64=334, aarch64=293, errno=E.ENOSYS, reason="a cache of the CPU's number, which glibc does without"
)
unsupported(
    "ptrace",
    x86_64=101,
    aarch64=117,
    errno=E.EPERM,
    reason="refused: to stop and step a thread anywhere takes the host's ptrace(2), which ends a supervisor that calls "
    "it; run with --strace to see a program's calls, and debuggers outside",
)
unsupported("process_vm_readv", x86_64=310, aarch64=270, errno=E.EPERM, reason=_PTRACE)
unsupported("process_vm_writev", x86_64=311, aarch64=271, errno=E.EPERM, reason=_PTRACE)
unsupported("process_madvise", x86_64=440, aarch64=440, errno=E.EPERM, reason=_PTRACE)
unsupported("process_mrelease", x86_64=448, aarch64=448, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("seccomp", x86_64=317, aarch64=277, errno=E.EINVAL, reason="guests cannot install filters of their own")
unsupported("bpf", x86_64=321, aarch64=280, errno=E.EPERM, reason=_MACHINE)
unsupported("perf_event_open", x86_64=298, aarch64=241, errno=E.EACCES, reason="perf_event_paranoid")
unsupported("userfaultfd", x86_64=323, aarch64=282, errno=E.EPERM, reason="vm.unprivileged_userfaultfd")
unsupported("io_uring_setup", x86_64=425, aarch64=425, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("io_uring_enter", x86_64=426, aarch64=426, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("io_uring_register", x86_64=427, aarch64=427, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("io_setup", x86_64=206, aarch64=0, errno=E.ENOSYS, reason=_AIO)
unsupported("io_destroy", x86_64=207, aarch64=1, errno=E.ENOSYS, reason=_AIO)
unsupported("io_getevents", x86_64=208, aarch64=4, errno=E.ENOSYS, reason=_AIO)
unsupported("io_submit", x86_64=209, aarch64=2, errno=E.ENOSYS, reason=_AIO)
unsupported("io_cancel", x86_64=210, aarch64=3, errno=E.ENOSYS, reason=_AIO)
unsupported("io_pgetevents", x86_64=333, aarch64=292, errno=E.ENOSYS, reason=_AIO)
unsupported("mount", x86_64=165, aarch64=40, errno=E.EPERM, reason=_MOUNTS)
unsupported("umount2", x86_64=166, aarch64=39, errno=E.EPERM, reason=_MOUNTS)
unsupported("pivot_root", x86_64=155, aarch64=41, errno=E.EPERM, reason=_MOUNTS)
unsupported("open_tree", x86_64=428, aarch64=428, errno=E.EPERM, reason=_MOUNTS)
unsupported("move_mount", x86_64=429, aarch64=429, errno=E.EPERM, reason=_MOUNTS)
unsupported("fsopen", x86_64=430, aarch64=430, errno=E.EPERM, reason=_MOUNTS)
unsupported("fsconfig", x86_64=431, aarch64=431, errno=E.EPERM, reason=_MOUNTS)
unsupported("fsmount", x86_64=432, aarch64=432, errno=E.EPERM, reason=_MOUNTS)
unsupported("fspick", x86_64=433, aarch64=433, errno=E.EPERM, reason=_MOUNTS)
unsupported("mount_setattr", x86_64=442, aarch64=442, errno=E.EPERM, reason=_MOUNTS)
unsupported("open_tree_attr", x86_64=467, aarch64=467, errno=E.EPERM, reason=_MOUNTS)
unsupported("statmount", x86_64=457, aarch64=457, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("listmount", x86_64=458, aarch64=458, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("setns", x86_64=308, aarch64=268, errno=E.EPERM, reason="there are no namespaces to enter")
unsupported("swapon", x86_64=167, aarch64=224, errno=E.EPERM, reason=_MACHINE)
unsupported("swapoff", x86_64=168, aarch64=225, errno=E.EPERM, reason=_MACHINE)
unsupported("reboot", x86_64=169, aarch64=142, errno=E.EPERM, reason=_MACHINE)
unsupported("acct", x86_64=163, aarch64=89, errno=E.EPERM, reason=_MACHINE)
unsupported("quotactl", x86_64=179, aarch64=60, errno=E.EPERM, reason=_MACHINE)
unsupported("quotactl_fd", x86_64=443, aarch64=443, errno=E.EPERM, reason=_MACHINE)
unsupported("vhangup", x86_64=153, aarch64=58, errno=E.EPERM, reason=_MACHINE)
unsupported("iopl", x86_64=172, aarch64=None, errno=E.EPERM, reason=_MACHINE)
unsupported("ioperm", x86_64=173, aarch64=None, errno=E.EPERM, reason=_MACHINE)
unsupported("adjtimex", x86_64=159, aarch64=171, errno=E.EPERM, reason=_MACHINE)
unsupported("clock_adjtime", x86_64=305, aarch64=266, errno=E.EPERM, reason=_MACHINE)
unsupported("kexec_load", x86_64=246, aarch64=104, errno=E.EPERM, reason=_MACHINE)
unsupported("kexec_file_load", x86_64=320, aarch64=294, errno=E.EPERM, reason=_MACHINE)
unsupported("init_module", x86_64=175, aarch64=105, errno=E.EPERM, reason=_MODULES)
unsupported("finit_module", x86_64=313, aarch64=273, errno=E.EPERM, reason=_MODULES)
unsupported("delete_module", x86_64=176, aarch64=106, errno=E.EPERM, reason=_MODULES)
unsupported("add_key", x86_64=248, aarch64=217, errno=E.ENOSYS, reason=_KEYS)
unsupported("request_key", x86_64=249, aarch64=218, errno=E.ENOSYS, reason=_KEYS)
unsupported("keyctl", x86_64=250, aarch64=219, errno=E.ENOSYS, reason=_KEYS)
unsupported("mbind", x86_64=237, aarch64=235, errno=E.ENOSYS, reason=_NUMA)
unsupported("set_mempolicy", x86_64=238, aarch64=237, errno=E.ENOSYS, reason=_NUMA)
unsupported("get_mempolicy", x86_64=239, aarch64=236, errno=E.ENOSYS, reason=_NUMA)
unsupported("migrate_pages", x86_64=256, aarch64=238, errno=E.ENOSYS, reason=_NUMA)
unsupported("move_pages", x86_64=279, aarch64=239, errno=E.ENOSYS, reason=_NUMA)
unsupported("set_mempolicy_home_node", x86_64=450, aarch64=450, errno=E.ENOSYS, reason=_NUMA)
unsupported("fanotify_init", x86_64=300, aarch64=262, errno=E.EPERM, reason=_MACHINE)
unsupported("fanotify_mark", x86_64=301, aarch64=263, errno=E.EPERM, reason=_MACHINE)
unsupported("name_to_handle_at", x86_64=303, aarch64=264, errno=E.EOPNOTSUPP, reason="files have no handles")
unsupported("open_by_handle_at", x86_64=304, aarch64=265, errno=E.EPERM, reason="files have no handles")
unsupported("lookup_dcookie", x86_64=212, aarch64=18, errno=E.ENOSYS, reason=_GONE)
unsupported("remap_file_pages", x86_64=216, aarch64=234, errno=E.ENOSYS, reason=_GONE)
unsupported(
    "modify_ldt", x86_64=154, aarch64=None, errno=E.ENOSYS, reason="32-bit segments are not for 64-bit programs"
)
unsupported("set_thread_area", x86_64=205, aarch64=None, errno=E.ENOSYS, reason="32-bit programs are not supported")
unsupported("get_thread_area", x86_64=211, aarch64=None, errno=E.ENOSYS, reason="32-bit programs are not supported")
unsupported("pkey_mprotect", x86_64=329, aarch64=288, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("pkey_alloc", x86_64=330, aarch64=289, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("pkey_free", x86_64=331, aarch64=290, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("memfd_secret", x86_64=447, aarch64=447, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("landlock_create_ruleset", x86_64=444, aarch64=444, errno=E.ENOSYS, reason=_LSM)
unsupported("landlock_add_rule", x86_64=445, aarch64=445, errno=E.ENOSYS, reason=_LSM)
unsupported("landlock_restrict_self", x86_64=446, aarch64=446, errno=E.ENOSYS, reason=_LSM)
unsupported("lsm_get_self_attr", x86_64=459, aarch64=459, errno=E.ENOSYS, reason=_LSM)
unsupported("lsm_set_self_attr", x86_64=460, aarch64=460, errno=E.ENOSYS, reason=_LSM)
unsupported("lsm_list_modules", x86_64=461, aarch64=461, errno=E.ENOSYS, reason=_LSM)
unsupported("futex_waitv", x86_64=449, aarch64=449, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("futex_wake", x86_64=454, aarch64=454, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("futex_wait", x86_64=455, aarch64=455, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("futex_requeue", x86_64=456, aarch64=456, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("cachestat", x86_64=451, aarch64=451, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("map_shadow_stack", x86_64=453, aarch64=453, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("mseal", x86_64=462, aarch64=462, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("file_getattr", x86_64=468, aarch64=468, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("file_setattr", x86_64=469, aarch64=469, errno=E.ENOSYS, reason=_FALLBACK)
unsupported("_sysctl", x86_64=156, aarch64=None, errno=E.ENOSYS, reason=_GONE)
unsupported("sysfs", x86_64=139, aarch64=None, errno=E.ENOSYS, reason=_GONE)
unsupported("uselib", x86_64=134, aarch64=None, errno=E.ENOSYS, reason=_GONE)
unsupported("nfsservctl", x86_64=180, aarch64=42, errno=E.ENOSYS, reason=_GONE)
unsupported("create_module", x86_64=174, aarch64=None, errno=E.ENOSYS, reason=_GONE)
unsupported("get_kernel_syms", x86_64=177, aarch64=None, errno=E.ENOSYS, reason=_GONE)
unsupported("query_module", x86_64=178, aarch64=None, errno=E.ENOSYS, reason=_GONE)
unsupported("getpmsg", x86_64=181, aarch64=None, errno=E.ENOSYS, reason="never implemented")
unsupported("putpmsg", x86_64=182, aarch64=None, errno=E.ENOSYS, reason="never implemented")
unsupported("afs_syscall", x86_64=183, aarch64=None, errno=E.ENOSYS, reason="never implemented")
unsupported("tuxcall", x86_64=184, aarch64=None, errno=E.ENOSYS, reason="never implemented")
unsupported("security", x86_64=185, aarch64=None, errno=E.ENOSYS, reason="never implemented")
unsupported("vserver", x86_64=236, aarch64=None, errno=E.ENOSYS, reason="never implemented")
unsupported("epoll_ctl_old", x86_64=214, aarch64=None, errno=E.ENOSYS, reason="never implemented")
unsupported("epoll_wait_old", x86_64=215, aarch64=None, errno=E.ENOSYS, reason="never implemented")
