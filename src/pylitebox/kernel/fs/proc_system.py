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


def said(text: bytes) -> Text:
    """A file that always says the same."""
    return Text(0o444, lambda kernel, process, task: text, iterates=True)


def computed(read: Callable[[Kernel], bytes], mode: int = 0o444) -> Text:
    return Text(mode, lambda kernel, process, task: read(kernel), iterates=True)


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


def _cpus(kernel: Kernel) -> int:
    return kernel.platform.cpu_count()


def _vmstat(kernel: Kernel) -> bytes:
    free = (kernel.file_memory.limit - kernel.file_memory.used) >> 12
    lines = ((b"nr_free_pages", free), (b"nr_shmem", kernel.file_memory.used >> 12))
    rest = (b"pgpgin", b"pgpgout", b"pswpin", b"pswpout", b"pgfault", b"pgmajfault", b"oom_kill")
    return b"".join(b"%s %d\n" % line for line in (*lines, *((name, 0) for name in rest)))


#: /proc/PID/net: the same for all. There is the loop-back device, which nobody can use (socket(2) knows AF_UNIX only).
NETWORK: dict[bytes, Text] = {
    b"dev": said(
        b"Inter-|   Receive                                                |  Transmit\n"
        b" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls "
        b"carrier compressed\n"
        b"    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0"
        b"       0          0\n"
    ),
    b"if_inet6": said(b""),
    b"raw": said(b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"),
    b"route": said(b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"),
    b"snmp": said(b""),
    b"tcp": said(b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"),
    b"tcp6": said(
        b"  sl  local_address                         remote_address                        st tx_queue rx_queue tr "
        b"tm->when retrnsmt   uid  timeout inode\n"
    ),
    b"udp": said(
        b"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref "
        b"pointer drops\n"
    ),
    b"udp6": said(
        b"  sl  local_address                         remote_address                        st tx_queue rx_queue tr "
        b"tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
    ),
    b"unix": said(b"Num       RefCount Protocol Flags    Type St Inode Path\n"),
}

#: The tree: a Text, a symbolic link's target, or a directory.
SYSTEM: dict[bytes, object] = {
    b"buddyinfo": said(b""),
    b"cgroups": said(b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n"),
    b"cmdline": said(b"pylitebox\n"),
    b"cpuinfo": computed(_cpuinfo),
    b"devices": said(
        b"Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n"
    ),
    b"diskstats": said(b""),
    b"driver": {},
    b"filesystems": computed(_filesystems),
    b"fs": {},
    b"interrupts": computed(lambda kernel: b" " * 11 + b"".join(b"CPU%-8d" % n for n in range(_cpus(kernel))) + b"\n"),
    b"irq": {},
    b"loadavg": computed(_loadavg),
    b"locks": computed(show_locks),
    b"meminfo": computed(_meminfo),
    b"misc": said(b""),
    b"modules": said(b""),
    b"mounts": b"self/mounts",
    b"sysvipc": {
        b"msg": computed(status.queues),
        b"sem": computed(status.semaphores),
        b"shm": computed(status.segments),
    },
    b"net": b"self/net",
    b"partitions": said(b"major minor  #blocks  name\n\n"),
    b"stat": computed(_stat),
    b"swaps": said(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    b"tty": {
        b"drivers": said(
            b"/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
            b"/dev/console         /dev/console    5       1 system:console\n"
            b"pty_slave            /dev/pts      136 0-1048575 pty:slave\n"
        )
    },
    b"uptime": computed(_uptime),
    b"version": said(b"%s version %s %s\n" % (OSTYPE, OSRELEASE, VERSION)),
    b"vmstat": computed(_vmstat),
    b"sys": {
        b"abi": {},
        b"debug": {},
        b"dev": {},
        b"fs": {
            b"file-max": said(b"9223372036854775807\n"),
            b"file-nr": said(b"0\t0\t9223372036854775807\n"),
            b"inotify": {
                b"max_queued_events": said(b"%d\n" % MAX_QUEUED_EVENTS),
                b"max_user_instances": said(b"%d\n" % MAX_USER_INSTANCES),
                b"max_user_watches": computed(lambda kernel: b"%d\n" % kernel.limits.inotify_watches),
            },
            b"mqueue": {
                b"msg_default": said(b"%d\n" % mqueue.DFLT_MSG),
                b"msg_max": said(b"%d\n" % mqueue.DFLT_MSGMAX),
                b"msgsize_default": said(b"%d\n" % mqueue.DFLT_MSGSIZE),
                b"msgsize_max": said(b"%d\n" % mqueue.DFLT_MSGSIZEMAX),
                b"queues_max": said(b"%d\n" % mqueue.DFLT_QUEUESMAX),
            },
            b"nr_open": said(b"%d\n" % NR_OPEN),
            b"inode-nr": said(b"0\t0\n"),
            b"inode-state": said(b"0\t0\t0\t0\t0\t0\t0\n"),
            b"overflowgid": said(b"65534\n"),
            b"overflowuid": said(b"65534\n"),
            b"pipe-max-size": said(b"%d\n" % PIPE_MAX_SIZE),
        },
        b"kernel": {
            b"cap_last_cap": said(b"40\n"),
            b"core_pattern": said(b"core\n"),
            b"domainname": computed(lambda kernel: kernel.domainname + b"\n"),
            b"hostname": computed(lambda kernel: kernel.hostname + b"\n", 0o644)._replace(write=_set_hostname),
            b"msgmax": said(b"%d\n" % ipc.MSGMAX),
            b"msgmnb": said(b"%d\n" % ipc.MSGMNB),
            b"msgmni": said(b"%d\n" % ipc.MSGMNI),
            b"ngroups_max": said(b"%d\n" % NGROUPS_MAX),
            b"osrelease": said(OSRELEASE + b"\n"),
            b"ostype": said(OSTYPE + b"\n"),
            b"overflowgid": said(b"65534\n"),
            b"overflowuid": said(b"65534\n"),
            b"pid_max": said(b"4194304\n"),
            b"random": {
                b"boot_id": computed(lambda kernel: _uuid(kernel.boot_id)),
                b"entropy_avail": said(b"256\n"),
                b"poolsize": said(b"256\n"),
                b"uuid": computed(lambda kernel: _uuid(kernel.platform.random(16))),
            },
            b"sem": said(b"%d\t%d\t%d\t%d\n" % (ipc.SEMMSL, ipc.SEMMNS, ipc.SEMOPM, ipc.SEMMNI)),
            b"shmall": said(b"%d\n" % ipc.SHMALL),
            b"shmmax": said(b"%d\n" % ipc.SHMMAX),
            b"shmmni": said(b"%d\n" % ipc.SHMMNI),
            b"perf_event_paranoid": said(b"4\n"),
            b"pty": {b"max": said(b"4096\n"), b"nr": said(b"0\n")},
            b"randomize_va_space": said(b"2\n"),
            b"sched_child_runs_first": said(b"0\n"),
            b"seccomp": {b"actions_avail": said(b"\n")},
            b"sysrq": said(b"0\n"),
            b"tainted": said(b"0\n"),
            b"threads-max": computed(lambda kernel: b"%d\n" % kernel.limits.threads),
            b"version": said(VERSION + b"\n"),
        },
        b"net": {
            b"core": {
                b"netdev_max_backlog": said(b"1000\n"),
                b"optmem_max": said(b"131072\n"),
                b"rmem_default": said(b"212992\n"),
                b"rmem_max": said(b"212992\n"),
                b"somaxconn": said(b"4096\n"),
                b"wmem_default": said(b"212992\n"),
                b"wmem_max": said(b"212992\n"),
            },
            b"ipv4": {
                b"ip_forward": said(b"0\n"),
                b"ip_local_port_range": said(b"32768\t60999\n"),
                b"ip_unprivileged_port_start": said(b"1024\n"),
                b"tcp_fin_timeout": said(b"60\n"),
                b"tcp_keepalive_time": said(b"7200\n"),
                b"tcp_rmem": said(b"4096\t131072\t6291456\n"),
                b"tcp_wmem": said(b"4096\t16384\t4194304\n"),
            },
            b"unix": {b"max_dgram_qlen": said(b"512\n")},
        },
        b"vm": {
            b"dirty_background_ratio": said(b"10\n"),
            b"dirty_ratio": said(b"20\n"),
            b"drop_caches": said(b"0\n"),
            b"legacy_va_layout": said(b"0\n"),
            b"max_map_count": said(b"65530\n"),
            b"mmap_min_addr": said(b"65536\n"),
            b"nr_hugepages": said(b"0\n"),
            b"overcommit_memory": said(b"0\n"),
            b"overcommit_ratio": said(b"50\n"),
            b"swappiness": said(b"60\n"),
            b"vfs_cache_pressure": said(b"100\n"),
        },
    },
}
