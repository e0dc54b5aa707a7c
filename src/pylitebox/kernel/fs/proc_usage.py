"""The files of /proc/PID about what a process uses: memory by area, time, timers; and what is only there to be read.

Areas and their sizes are the platform's; nothing that the host's kernel says of them names anything of the host. Of a
process with very many areas smaps says no more than what is mapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.proc_files import ENTRIES, Text, alive, areas_of, entry, map_line
from pylitebox.kernel.usage import cpu_time, thread_time

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import Area
    from pylitebox.kernel.task import Process, Task


# -- memory -----------------------------------------------------------------------------------------------------


def _details(area: Area) -> list[tuple[bytes, int | bytes]]:
    """The lines of smaps below an area's own: sizes in kB, or text; those of the platform, else what is known."""
    size = (area.end - area.start) >> 10
    lines: list[tuple[bytes, int | bytes]] = [(b"Size", size), (b"KernelPageSize", 4), (b"MMUPageSize", 4)]
    known = {b"Size", b"KernelPageSize", b"MMUPageSize"}
    for line in area.details:
        name, _, value = line.partition(b":")
        words = value.split()
        if name not in known:
            is_size = len(words) == 2 and words[1] == b"kB"
            lines.append((name, min(int(words[0]), size) if is_size else value.strip()))
    if not any(name == b"Rss" for name, _ in lines):
        lines[3:3] = [(b"Rss", size if area.prot else 0), (b"Pss", size if area.prot else 0)]
    return lines


@entry("smaps", 0o444)
def _smaps(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    parts, heap_end = [], process.program_break
    for area in areas_of(process, task, detailed=True):
        parts.append(map_line(kernel, process, area, heap_end))
        for name, value in _details(area):
            shown = b"%-15s %8d kB\n" % (name + b":", value) if isinstance(value, int) else name + b": " + value + b"\n"
            parts.append(shown)
    return b"".join(parts)


@entry("smaps_rollup", 0o444)
def _smaps_rollup(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    areas = areas_of(process, task, detailed=True)
    if not areas:
        raise KernelError(E.ESRCH)
    sums: dict[bytes, int] = {}
    for area in areas:
        for name, value in _details(area)[3:]:
            if isinstance(value, int):
                sums[name] = sums.get(name, 0) + value
    head = b"%08x-%08x ---p 00000000 00:00 0 " % (areas[0].start, areas[-1].end)
    lines = [b"%-15s %8d kB\n" % (name + b":", size) for name, size in sums.items()]
    return head.ljust(73) + b"[rollup]\n" + b"".join(lines)


# -- time -------------------------------------------------------------------------------------------------------


def _switches(process: Process, task: Task | None) -> int:
    task = alive(process, task)
    return task.switches if task is not None else process.used.switches


@entry("schedstat")
def _schedstat(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    used = thread_time(task) if task is not None else cpu_time(process)
    return b"%d 0 %d\n" % (used, _switches(process, task) + 1)


@entry("sched", 0o644)
def _sched(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    shown = alive(process, task)
    if shown is None:
        raise KernelError(E.ESRCH)
    head = b"%s (%d, #threads: %d)\n" % (shown.name, shown.tid, len(process.tasks))
    used, switches, sched = thread_time(shown), shown.switches, shown.sched
    lines: list[tuple[bytes, bytes]] = [
        (b"se.sum_exec_runtime", b"%d.%06d" % divmod(used, 1_000_000)),
        (b"nr_switches", b"%d" % switches),
        (b"nr_voluntary_switches", b"%d" % switches),
        (b"nr_involuntary_switches", b"0"),
        (b"policy", b"%d" % sched.policy),
        (b"prio", b"%d" % (120 + sched.nice)),
    ]
    return head + b"-" * 67 + b"\n" + b"".join(b"%-45s:%21s\n" % line for line in lines)


@entry("timers")
def _timers(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    if not process.posix_timers:
        return b""
    from pylitebox.kernel.itimers import PosixTimer

    kinds = {0: b"signal", 1: b"none", 2: b"thread"}
    parts = []
    for timer in process.posix_timers.values():
        assert isinstance(timer, PosixTimer)
        kind = kinds.get(timer.notify & 3, b"signal")
        target = b"tid.%d" % timer.target if timer.target else b"pid.%d" % process.pid
        parts.append(
            b"ID: %d\nsignal: %d/%016x\nnotify: %s/%s\nClockID: %d\n"
            % (timer.ident, timer.signo, timer.value, kind, target, timer.clock)
        )
    return b"".join(parts)


def _set_slack(kernel: Kernel, process: Process, task: Task | None, data: bytes) -> None:
    task = alive(process, task)
    try:
        value = int(data)
    except ValueError:
        raise KernelError(E.EINVAL) from None
    if task is not None:
        task.sched.slack_ns = value if 0 < value < 1 << 63 else 50_000


@entry("timerslack_ns", 0o666, _set_slack)
def _slack(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    task = alive(process, task)
    return b"%d\n" % (task.sched.slack_ns if task is not None else 0)


# -- the rest ---------------------------------------------------------------------------------------------------


@entry("children")
def _children(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"".join(b"%d " % pid for pid in process.children) if task is None or task is process.leader else b""


@entry("io", 0o400)
def _io(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    names = (b"rchar", b"wchar", b"syscr", b"syscw", b"read_bytes", b"write_bytes", b"cancelled_write_bytes")
    return b"".join(b"%s: 0\n" % name for name in names)


@entry("personality", 0o400)
def _personality(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"%08x\n" % process.persona


@entry("syscall", 0o400)
def _syscall(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    task = alive(process, task)
    if task is None or task.call is None:
        return b"running\n"
    arguments = b" ".join(b"0x%x" % argument for argument in task.syscall_args)
    return b"%d %s 0x0 0x0\n" % (task.syscall_number, arguments)


@entry("setgroups", 0o644)
def _setgroups(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"allow\n"


def _coredump_filter(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"00000033\n"


ENTRIES[b"coredump_filter"] = Text(0o644, _coredump_filter, lambda kernel, process, task, data: None)
ENTRIES[b"projid_map"] = ENTRIES[b"uid_map"]
