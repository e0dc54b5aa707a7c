"""What the files of /proc that describe the whole system say (man 5 proc), and /proc/sys.

The system is the sandbox: times count from its start, loads and counters that the kernel does not keep are zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import ipc, mqueue
from pylitebox.abi.time import NSEC_PER_SEC, USER_HZ
from pylitebox.kernel.credentials import NGROUPS_MAX
from pylitebox.kernel.descriptors import NR_OPEN
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.proc_files import Text
from pylitebox.kernel.inotify import MAX_QUEUED_EVENTS, MAX_USER_INSTANCES
from pylitebox.kernel.ipc import status
from pylitebox.kernel.locks import show as show_locks
from pylitebox.kernel.pipe import PIPE_MAX_SIZE
from pylitebox.kernel.version import OSRELEASE, OSTYPE, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.kernel import Kernel


def _said(text: bytes) -> Text:
    """A file that always says the same."""
    return Text(0o444, lambda kernel, process, task: text)


def _computed(read: Callable[[Kernel], bytes], mode: int = 0o444) -> Text:
    return Text(mode, lambda kernel, process, task: read(kernel))


def _cpuinfo(kernel: Kernel) -> bytes:
    cpus = kernel.platform.cpu_count()
    return b"".join(
        b"processor\t: %d\nvendor_id\t: pylitebox\nmodel name\t: virtual\nphysical id\t: 0\nsiblings\t: %d\n"
        b"core id\t\t: %d\ncpu cores\t: %d\nfpu\t\t: yes\nflags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm"
        b"\ncache_alignment\t: 64\naddress sizes\t: 48 bits physical, 48 bits virtual\n\n" % (cpu, cpus, cpu, cpus)
        for cpu in range(cpus)
    )


def _filesystems(kernel: Kernel) -> bytes:
    return b"".join(b"nodev\t%s\n" % name for name in (b"tmpfs", b"proc", b"devtmpfs", b"mqueue", b"overlay"))


def _loadavg(kernel: Kernel) -> bytes:
    running = sum(task.call is None for task in kernel.tasks.values())
    last = max(kernel.tasks, default=1)
    return b"0.00 0.00 0.00 %d/%d %d\n" % (running, max(1, len(kernel.tasks)), last)


def _meminfo(kernel: Kernel) -> bytes:
    memory = kernel.file_memory
    total, used = memory.limit >> 10, memory.used >> 10
    lines = (
        (b"MemTotal", total),
        (b"MemFree", total - used),
        (b"MemAvailable", total - used),
        (b"Buffers", 0),
        (b"Cached", used),
        (b"SwapCached", 0),
        (b"Active", used),
        (b"Inactive", 0),
        (b"SwapTotal", 0),
        (b"SwapFree", 0),
        (b"Dirty", 0),
        (b"Writeback", 0),
        (b"AnonPages", 0),
        (b"Mapped", 0),
        (b"Shmem", used),
        (b"Slab", 0),
        (b"CommitLimit", total),
        (b"Committed_AS", used),
    )
    return b"".join(b"%-15s %8d kB\n" % (name + b":", kilobytes) for name, kilobytes in lines)


def _stat(kernel: Kernel) -> bytes:
    idle = max(0, kernel.now() - kernel.boot_ns) * USER_HZ // NSEC_PER_SEC
    cpus = kernel.platform.cpu_count()
    lines = [b"cpu  0 0 0 %d 0 0 0 0 0 0\n" % (idle * cpus)]
    lines += [b"cpu%d 0 0 0 %d 0 0 0 0 0 0\n" % (cpu, idle) for cpu in range(cpus)]
    booted = (kernel.wall() - (kernel.now() - kernel.boot_ns)) // NSEC_PER_SEC
    running = sum(task.call is None for task in kernel.tasks.values())
    lines.append(
        b"intr 0\nctxt 0\nbtime %d\nprocesses %d\nprocs_running %d\nprocs_blocked 0\n"
        % (booted, len(kernel.processes), running)
    )
    return b"".join(lines)


def _uptime(kernel: Kernel) -> bytes:
    hundredths = max(0, kernel.now() - kernel.boot_ns) * 100 // NSEC_PER_SEC
    up = b"%d.%02d" % divmod(hundredths, 100)
    return b"%s %s\n" % (up, up)


def _uuid(data: bytes) -> bytes:
    """Sixteen random bytes as a version 4 UUID (RFC 9562)."""
    value = bytearray(data)
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    digits = value.hex()
    parts = digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]
    return "-".join(parts).encode() + b"\n"


def _set_hostname(kernel: Kernel, process: object, task: object, data: bytes) -> None:
    name = data.rstrip(b"\n")
    if len(name) > 64:
        raise KernelError(E.EINVAL)
    kernel.hostname = name


#: The tree: a Text, a symbolic link's target, or a directory.
SYSTEM: dict[bytes, object] = {
    b"cmdline": _said(b"pylitebox\n"),
    b"cpuinfo": _computed(_cpuinfo),
    b"filesystems": _computed(_filesystems),
    b"locks": _computed(show_locks),
    b"loadavg": _computed(_loadavg),
    b"meminfo": _computed(_meminfo),
    b"mounts": b"self/mounts",
    b"stat": _computed(_stat),
    b"swaps": _said(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    b"sysvipc": {
        b"msg": _computed(status.queues),
        b"sem": _computed(status.semaphores),
        b"shm": _computed(status.segments),
    },
    b"uptime": _computed(_uptime),
    b"version": _said(b"%s version %s %s\n" % (OSTYPE, OSRELEASE, VERSION)),
    b"sys": {
        b"fs": {
            b"file-max": _said(b"9223372036854775807\n"),
            b"file-nr": _said(b"0\t0\t9223372036854775807\n"),
            b"inotify": {
                b"max_queued_events": _said(b"%d\n" % MAX_QUEUED_EVENTS),
                b"max_user_instances": _said(b"%d\n" % MAX_USER_INSTANCES),
                b"max_user_watches": _computed(lambda kernel: b"%d\n" % kernel.limits.inotify_watches),
            },
            b"mqueue": {
                b"msg_default": _said(b"%d\n" % mqueue.DFLT_MSG),
                b"msg_max": _said(b"%d\n" % mqueue.DFLT_MSGMAX),
                b"msgsize_default": _said(b"%d\n" % mqueue.DFLT_MSGSIZE),
                b"msgsize_max": _said(b"%d\n" % mqueue.DFLT_MSGSIZEMAX),
                b"queues_max": _said(b"%d\n" % mqueue.DFLT_QUEUESMAX),
            },
            b"nr_open": _said(b"%d\n" % NR_OPEN),
            b"pipe-max-size": _said(b"%d\n" % PIPE_MAX_SIZE),
        },
        b"kernel": {
            b"cap_last_cap": _said(b"40\n"),
            b"core_pattern": _said(b"core\n"),
            b"domainname": _computed(lambda kernel: kernel.domainname + b"\n"),
            b"hostname": Text(0o644, lambda kernel, process, task: kernel.hostname + b"\n", _set_hostname),
            b"msgmax": _said(b"%d\n" % ipc.MSGMAX),
            b"msgmnb": _said(b"%d\n" % ipc.MSGMNB),
            b"msgmni": _said(b"%d\n" % ipc.MSGMNI),
            b"ngroups_max": _said(b"%d\n" % NGROUPS_MAX),
            b"osrelease": _said(OSRELEASE + b"\n"),
            b"ostype": _said(OSTYPE + b"\n"),
            b"overflowgid": _said(b"65534\n"),
            b"overflowuid": _said(b"65534\n"),
            b"pid_max": _said(b"4194304\n"),
            b"random": {
                b"boot_id": _computed(lambda kernel: _uuid(kernel.boot_id)),
                b"entropy_avail": _said(b"256\n"),
                b"poolsize": _said(b"256\n"),
                b"uuid": _computed(lambda kernel: _uuid(kernel.platform.random(16))),
            },
            b"randomize_va_space": _said(b"2\n"),
            b"sem": _said(b"%d\t%d\t%d\t%d\n" % (ipc.SEMMSL, ipc.SEMMNS, ipc.SEMOPM, ipc.SEMMNI)),
            b"shmall": _said(b"%d\n" % ipc.SHMALL),
            b"shmmax": _said(b"%d\n" % ipc.SHMMAX),
            b"shmmni": _said(b"%d\n" % ipc.SHMMNI),
            b"threads-max": _computed(lambda kernel: b"%d\n" % kernel.limits.threads),
            b"version": _said(VERSION + b"\n"),
        },
        b"vm": {
            b"max_map_count": _said(b"65530\n"),
            b"mmap_min_addr": _said(b"65536\n"),
            b"overcommit_memory": _said(b"0\n"),
            b"overcommit_ratio": _said(b"50\n"),
            b"swappiness": _said(b"60\n"),
        },
    },
}
