"""/sys (man 5 sysfs), as little of it as programs look for: CPUs, the memory node, huge pages, the loop-back device.

Read only, of root, computed when it is read. Directories that are empty here are there because their presence is asked
for (util-linux, systemd, container runtimes). There are no control groups: fs/cgroup is an empty directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.kernel.fs.proc_system import computed, said
from pylitebox.kernel.fs.procfs import Directory, TextFs

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel

SYSFS_MAGIC = 0x62656572


class SysFs(TextFs):
    """The whole of /sys for one kernel."""

    name = "sysfs"
    magic = SYSFS_MAGIC

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, source="sysfs")
        self.root = Directory(self, self.new_ino(), lambda: self.fixed(_tree(kernel.platform.cpu_count())))


def _tree(cpus: int) -> dict[bytes, object]:
    everyone = b"0-%d\n" % (cpus - 1) if cpus > 1 else b"0\n"
    mask = b"%x\n" % ((1 << cpus) - 1)
    cpu: dict[bytes, object] = {
        b"isolated": said(b"\n"),
        b"kernel_max": said(b"8191\n"),
        b"offline": said(b"\n"),
        b"online": said(everyone),
        b"possible": said(everyone),
        b"present": said(everyone),
        b"smt": {b"active": said(b"0\n"), b"control": said(b"notsupported\n")},
    }
    for number in range(cpus):
        cpu[b"cpu%d" % number] = {b"online": said(b"1\n"), b"topology": _topology(number, everyone, mask)}
    return {
        b"block": {},
        b"bus": {},
        b"class": {b"block": {}, b"net": {b"lo": _LOOP_BACK}, b"tty": {}},
        b"dev": {b"block": {}, b"char": {}},
        b"devices": {
            b"system": {
                b"cpu": cpu,
                b"node": {
                    b"has_cpu": said(b"0\n"),
                    b"has_memory": said(b"0\n"),
                    b"node0": {b"cpulist": said(everyone), b"cpumap": said(mask), b"meminfo": computed(_node_meminfo)},
                    b"online": said(b"0\n"),
                    b"possible": said(b"0\n"),
                },
            },
            b"virtual": {b"net": {b"lo": _LOOP_BACK}},
        },
        b"firmware": {},
        b"fs": {b"cgroup": {}},
        b"kernel": {
            b"mm": {
                b"hugepages": {},
                b"transparent_hugepage": {
                    b"defrag": said(b"always defer defer+madvise [madvise] never\n"),
                    b"enabled": said(b"always [madvise] never\n"),
                    b"hpage_pmd_size": said(b"2097152\n"),
                    b"shmem_enabled": said(b"always within_size advise [never] deny force\n"),
                },
            },
        },
        b"module": {},
        b"power": {},
    }


def _topology(number: int, everyone: bytes, mask: bytes) -> dict[bytes, object]:
    """One socket; each CPU is a core of its own."""
    own, own_mask = b"%d\n" % number, b"%x\n" % (1 << number)
    return {
        b"core_cpus": said(own_mask),
        b"core_cpus_list": said(own),
        b"core_id": said(own),
        b"core_siblings": said(mask),
        b"core_siblings_list": said(everyone),
        b"die_id": said(b"0\n"),
        b"package_cpus": said(mask),
        b"package_cpus_list": said(everyone),
        b"physical_package_id": said(b"0\n"),
        b"thread_siblings": said(own_mask),
        b"thread_siblings_list": said(own),
    }


def _node_meminfo(kernel: Kernel) -> bytes:
    total, used = kernel.file_memory.limit >> 10, kernel.file_memory.used >> 10
    lines = ((b"MemTotal", total), (b"MemFree", total - used), (b"MemUsed", used))
    return b"".join(b"Node 0 %-15s %8d kB\n" % (name + b":", size) for name, size in lines)


_LOOP_BACK: dict[bytes, object] = {
    b"addr_len": said(b"6\n"),
    b"address": said(b"00:00:00:00:00:00\n"),
    b"carrier": said(b"1\n"),
    b"flags": said(b"0x9\n"),
    b"ifindex": said(b"1\n"),
    b"mtu": said(b"65536\n"),
    b"operstate": said(b"unknown\n"),
    b"type": said(b"772\n"),
}
