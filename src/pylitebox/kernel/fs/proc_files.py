"""What the text files of a process's directory in /proc say (man 5 proc), one function each.

What a process has used is what its platform measures (kernel/usage.py); only I/O is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pylitebox.abi import errno as E
from pylitebox.abi import resource as rs
from pylitebox.abi import signal as sg
from pylitebox.abi.fcntl import O_CLOEXEC
from pylitebox.abi.mman import PROT_EXEC, PROT_READ, PROT_WRITE, page_up
from pylitebox.abi.time import NSEC_PER_SEC, USER_HZ
from pylitebox.kernel.credentials import CAP_SYS_RESOURCE
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.operations import path_of
from pylitebox.kernel.fs.vfs import MS_NODEV, MS_NOEXEC, MS_NOSUID, Location
from pylitebox.kernel.memory import areas_of as mapped_areas
from pylitebox.kernel.usage import used, used_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.fs.namespace import FsContext
    from pylitebox.kernel.fs.vfs import Mount
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import Area
    from pylitebox.kernel.signals import PendingSignals
    from pylitebox.kernel.task import Process, Task

Read = Callable[["Kernel", "Process", "Task | None"], bytes]
Write = Callable[["Kernel", "Process", "Task | None", bytes], None]

#: Bytes of a command line or an environment that are shown.
MAX_AREA = 2 << 20
_TICK = NSEC_PER_SEC // USER_HZ


class Text(NamedTuple):
    """A file: permission bits, what it says, and what writing to it does. Files of the system ignore the process.
    ``iterates``: whether Linux's takes the flags of preadv2(2), as most of the system's do and few of a process's."""

    mode: int
    read: Callable[..., bytes]
    write: Callable[..., None] | None = None
    iterates: bool = False


#: The text files of /proc/PID and /proc/PID/task/TID, in the order in which they are listed.
ENTRIES: dict[bytes, Text] = {}


def entry(
    name: str, mode: int = 0o444, write: Write | None = None, *, iterates: bool = False
) -> Callable[[Read], Read]:
    """Declare what the file ``name`` says."""

    def declare(read: Read) -> Read:
        ENTRIES[name.encode()] = Text(mode, read, write, iterates)
        return read

    return declare


def alive(process: Process, task: Task | None) -> Task | None:
    return task or process.leader or next(iter(process.tasks.values()), None)


def _view(process: Process) -> FsContext | None:
    """Its root and umask; none for init, which is no program."""
    return process.fs


def _memory(process: Process, task: Task | None, area: tuple[int, int]) -> bytes | None:
    """A part of the process's memory; None if it is gone."""
    task = alive(process, task)
    if task is None:
        return b""
    start, end = area
    try:
        return task.memory.read(start, min(end - start, MAX_AREA)) if end > start else None
    except KernelError:
        return None


@entry("auxv", 0o400)
def _auxv(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return process.layout.auxv if process.tasks else b""


@entry("cgroup")
def _cgroup(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"0::/\n"


@entry("cmdline")
def _cmdline(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    text = _memory(process, task, process.layout.arg_area)
    return b"".join(argument + b"\0" for argument in process.argv) if text is None else text


def _set_comm(kernel: Kernel, process: Process, task: Task | None, data: bytes) -> None:
    task = alive(process, task)
    if task is None:
        raise KernelError(E.ESRCH)
    task.name = data.partition(b"\0")[0].rstrip(b"\n")[:15]
    if task is process.leader:
        process.name = task.name


@entry("comm", 0o644, _set_comm)
def _comm(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return _name(process, task) + b"\n"


def _name(process: Process, task: Task | None) -> bytes:
    task = alive(process, task)
    return task.name if task is not None else process.name


@entry("environ", 0o400)
def _environ(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    text = _memory(process, task, process.layout.env_area)
    return b"".join(variable + b"\0" for variable in process.environ) if text is None else text


_LIMITS = (
    (b"Max cpu time", rs.RLIMIT_CPU, b"seconds"),
    (b"Max file size", rs.RLIMIT_FSIZE, b"bytes"),
    (b"Max data size", rs.RLIMIT_DATA, b"bytes"),
    (b"Max stack size", rs.RLIMIT_STACK, b"bytes"),
    (b"Max core file size", rs.RLIMIT_CORE, b"bytes"),
    (b"Max resident set", rs.RLIMIT_RSS, b"bytes"),
    (b"Max processes", rs.RLIMIT_NPROC, b"processes"),
    (b"Max open files", rs.RLIMIT_NOFILE, b"files"),
    (b"Max locked memory", rs.RLIMIT_MEMLOCK, b"bytes"),
    (b"Max address space", rs.RLIMIT_AS, b"bytes"),
    (b"Max file locks", rs.RLIMIT_LOCKS, b"locks"),
    (b"Max pending signals", rs.RLIMIT_SIGPENDING, b"signals"),
    (b"Max msgqueue size", rs.RLIMIT_MSGQUEUE, b"bytes"),
    (b"Max nice priority", rs.RLIMIT_NICE, b""),
    (b"Max realtime priority", rs.RLIMIT_RTPRIO, b""),
    (b"Max realtime timeout", rs.RLIMIT_RTTIME, b"us"),
)


@entry("limits")
def _limits(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    def show(value: int) -> bytes:
        return b"unlimited" if value == rs.RLIM_INFINITY else b"%d" % value

    lines = [b"%-25s %-20s %-20s %-10s\n" % (b"Limit", b"Soft Limit", b"Hard Limit", b"Units")]
    for label, number, unit in _LIMITS:
        soft, hard = process.rlimits[number]
        lines.append(b"%-25s %-20s %-20s %-10s\n" % (label, show(soft), show(hard), unit))
    return b"".join(lines)


@entry("loginuid")
def _loginuid(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"4294967295"


# -- memory -----------------------------------------------------------------------------------------------------


def areas_of(process: Process, task: Task | None, *, detailed: bool = False) -> list[Area]:
    """What is mapped; of the room that a platform reserves for brk(2), only what is in use."""
    task = alive(process, task)
    if task is None or task.thread is None:
        return []
    low, high = process.layout.brk_start, page_up(process.program_break)
    areas = []
    for area in mapped_areas(task, detailed=detailed):
        if area.source is None and high < area.end <= process.layout.brk_limit and area.start >= low:
            if area.start >= high:
                continue
            area.end = high
        areas.append(area)
    return areas


@entry("maps")
def _maps(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    heap_end = process.program_break
    return b"".join([map_line(kernel, process, area, heap_end) for area in areas_of(process, task)])


def map_line(kernel: Kernel, process: Process, area: Area, heap_end: int) -> bytes:
    layout = process.layout
    name, dev, ino = area.name.encode(), 0, 0
    if area.source is not None:
        dev, ino, name = _mapped_file(kernel, process, area.source)
    elif area.start < heap_end and area.end > layout.brk_start:
        name = b"[heap]"
    elif area.start < layout.stack[1] and area.end > layout.stack[0]:
        name = b"[stack]"
    line = b"%08x-%08x %s %08x %02x:%02x %d " % (
        area.start,
        area.end,
        _permissions(area),
        area.offset,
        dev >> 8 & 0xFFF,
        dev & 0xFF,
        ino,
    )
    return (line.ljust(73) + name if name else line) + b"\n"


def _permissions(area: Area) -> bytes:
    text = bytearray(b"---p")
    for i, (bit, letter) in enumerate(((PROT_READ, b"r"), (PROT_WRITE, b"w"), (PROT_EXEC, b"x"))):
        if area.prot & bit:
            text[i : i + 1] = letter
    if area.shared:
        text[3:] = b"s"
    return bytes(text)


def _mapped_file(kernel: Kernel, process: Process, source: tuple[int, int]) -> tuple[int, int, bytes]:
    """Device, inode and path of a mapped file, as the guest knows them; nothing of the host's."""
    return kernel.mapped_files.find(source, process.fs.root) or (0, source[1], b"")


def _oom_number(data: bytes, lowest: int, highest: int) -> int:
    try:
        value = int(data)
    except ValueError:
        raise KernelError(E.EINVAL) from None
    if not lowest <= value <= highest:
        raise KernelError(E.EINVAL)
    return value


def _set_oom_score_adj(kernel: Kernel, process: Process, task: Task | None, data: bytes) -> None:
    _adjust(kernel, process, _oom_number(data, -1000, 1000))


def _set_oom_adj(kernel: Kernel, process: Process, task: Task | None, data: bytes) -> None:
    value = _oom_number(data, -17, 15)
    _adjust(kernel, process, 1000 if value == 15 else value * 1000 // 17)


def _adjust(kernel: Kernel, process: Process, value: int) -> None:
    """Remembered and inherited; nobody is ever chosen by it. Only root may go below what root last allowed."""
    writer = kernel.current
    if value < process.oom_score_adj and writer is not None and not writer.cred.capable(CAP_SYS_RESOURCE):
        raise KernelError(E.EACCES)
    process.oom_score_adj = value


@entry("oom_score_adj", 0o644, _set_oom_score_adj)
def _oom_score_adj(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"%d\n" % process.oom_score_adj


@entry("oom_adj", 0o644, _set_oom_adj)
def _oom_adj(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    value = process.oom_score_adj
    return b"%d\n" % (15 if value == 1000 else int(value * 17 / 1000))


@entry("oom_score")
def _oom_score(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"%d\n" % (0 if process.oom_score_adj == -1000 else max(0, 666 + process.oom_score_adj * 2 // 3))


@entry("sessionid")
def _sessionid(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"4294967295"


@entry("statm")
def _statm(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    total, text, data = _sizes(process, task)
    return b"%d %d %d %d 0 %d 0\n" % (total, _resident(process), min(text, _resident(process)), text, data)


def _resident(process: Process) -> int:
    """Pages in memory, as far as the platform says."""
    return used(process).resident >> 12 if process.tasks else 0


def _sizes(process: Process, task: Task | None) -> tuple[int, int, int]:
    """Pages in all, of program text, and of private writable memory."""
    total = text = data = 0
    for area in areas_of(process, task):
        pages = (area.end - area.start) >> 12
        if not area.prot:
            continue  # reserved only
        total += pages
        if area.prot & PROT_EXEC:
            text += pages
        elif area.prot & PROT_WRITE and not area.shared:
            data += pages
    return total, text, data


# -- mounts -----------------------------------------------------------------------------------------------------


def _mounts_of(kernel: Kernel, process: Process) -> Iterator[tuple[Mount, bytes, bytes]]:
    """Each mount that the process can see, with its mount point's path and its options."""
    if kernel.namespace is None:
        return
    view = _view(process)
    root = view.root if view is not None else kernel.namespace.root
    for mount in kernel.namespace.mounts:
        path = path_of(root, Location(mount, mount.root))
        if path.startswith(b"(unreachable)"):
            continue
        flags = ((MS_NOSUID, b",nosuid"), (MS_NODEV, b",nodev"), (MS_NOEXEC, b",noexec"))
        options = b"ro" if mount.readonly else b"rw"
        options += b"".join(word for flag, word in flags if mount.flags & flag)
        yield mount, _escape(path), options + b",relatime"


def _escape(text: bytes) -> bytes:
    """As man 3 getmntent wants it."""
    for character in b"\\ \t\n":
        text = text.replace(bytes((character,)), b"\\%03o" % character)
    return text


@entry("mounts", iterates=True)
def _mounts(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"".join(
        b"%s %s %s %s 0 0\n" % (_escape(m.filesystem.source.encode()), path, m.filesystem.name.encode(), options)
        for m, path, options in _mounts_of(kernel, process)
    )


@entry("mountinfo", iterates=True)
def _mountinfo(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    lines = []
    for mount, path, options in _mounts_of(kernel, process):
        fs = mount.filesystem
        parent = mount.parent.ident if mount.parent is not None else 1
        device = b"%d:%d" % (fs.dev >> 8 & 0xFFF, fs.dev & 0xFF | fs.dev >> 12 & 0xFFF00)
        head = b"%d %d %s / %s %s - " % (mount.ident, parent, device, path, options)
        state = b"ro" if fs.readonly else b"rw"
        lines.append(head + b"%s %s %s\n" % (fs.name.encode(), _escape(fs.source.encode()), state))
    return b"".join(lines)


# -- state ------------------------------------------------------------------------------------------------------


def _state(process: Process, task: Task | None) -> bytes:
    if process.state in ("zombie", "dead"):
        return b"Z"
    if process.state == "stopped":
        return b"T"
    task = alive(process, task)
    if task is None or task.call is not None:
        return b"S"
    asleep = task.thread is not None and task is not process.kernel.current and task.thread.asleep()
    return b"S" if asleep else b"R"


_STATES = {b"R": b"R (running)", b"S": b"S (sleeping)", b"T": b"T (stopped)", b"Z": b"Z (zombie)"}


def _masks(process: Process, task: Task | None) -> tuple[int, int, int, int, int]:
    """Pending for the thread and for the process, blocked, ignored, caught."""
    task = alive(process, task)

    def bits(pending: PendingSignals) -> int:
        return pending.mask

    ignored = process.actions.mask_of(sg.SIG_IGN)
    caught = process.actions.mask_of(sg.SIG_IGN + 1)
    return bits(task.pending) if task else 0, bits(process.pending), task.blocked if task else 0, ignored, caught


def _priority(task: Task | None) -> int:
    """As the kernel counts it: 20 and the nice value; real-time ones from -2 down."""
    if task is None:
        return 20
    return -1 - task.sched.priority if task.sched.policy in (1, 2) else 20 + task.sched.nice


def _nice(task: Task | None) -> int:
    return task.sched.nice if task is not None else 0


@entry("stat")
def _stat(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    layout = process.layout
    pages, _, _ = _sizes(process, task)
    own, _, blocked, ignored, caught = _masks(process, task)
    own_use = used_by(task) if task is not None else used(process)
    children, tty = process.children_used, process.tty
    low31 = (1 << 31) - 1
    shown = task or process.leader
    head = b"%d (%s) %s " % (shown.tid if shown else process.pid, _name(process, task), _state(process, task))
    fields = (
        process.parent.pid if process.parent else 0, process.pgid, process.sid,
        tty.number if tty is not None else 0, tty.group if tty is not None else -1,
        0x400000, own_use.minor_faults, children.minor_faults, own_use.major_faults, children.major_faults,
        own_use.user // _TICK, own_use.system // _TICK, children.user // _TICK, children.system // _TICK,
        _priority(shown), _nice(shown), len(process.tasks), 0,
        max(0, process.start_time - kernel.boot_ns) // _TICK,
        pages << 12, own_use.resident >> 12, rs.RLIM_INFINITY, 0, 0, layout.stack[1], 0, 0,
        own & low31, blocked & low31, ignored & low31, caught & low31,
        0, 0, 0, process.exit_signal or 17, 0, shown.sched.priority if shown else 0,
        shown.sched.policy if shown else 0, 0, 0, 0,
        0, 0, layout.brk_start, *layout.arg_area, *layout.env_area,
        process.status if not process.tasks else 0,
    )  # fmt: skip
    return head + b" ".join(b"%d" % field for field in fields) + b"\n"


def _queued(kernel: Kernel, process: Process) -> int:
    task = alive(process, None)
    return kernel.queued_signals.get(task.cred.uid if task is not None else process.last_uid, 0)


@entry("status")
def _status(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    shown = alive(process, task)
    view = _view(process)
    lines = [
        (b"Name", _name(process, task)),
        (b"Umask", b"%04o" % (view.umask if view is not None else 0)),
        (b"State", _STATES[_state(process, task)]),
        (b"Tgid", b"%d" % process.pid),
        (b"Ngid", b"0"),
        (b"Pid", b"%d" % (shown.tid if shown is not None and task is not None else process.pid)),
        (b"PPid", b"%d" % (process.parent.pid if process.parent else 0)),
        (b"TracerPid", b"0"),
    ]
    if shown is not None:
        cred = shown.cred
        lines += [
            (b"Uid", b"%d\t%d\t%d\t%d" % (cred.uid, cred.euid, cred.suid, cred.fsuid)),
            (b"Gid", b"%d\t%d\t%d\t%d" % (cred.gid, cred.egid, cred.sgid, cred.fsgid)),
            (b"FDSize", b"%d" % max(64, 1 << max(shown.files.files, default=0).bit_length())),
            (b"Groups", b"".join(b"%d " % group for group in cred.groups)),
            (b"NStgid", b"%d" % process.pid),
            (b"NSpid", b"%d" % (shown.tid if task is not None else process.pid)),
            (b"NSpgid", b"%d" % process.pgid),
            (b"NSsid", b"%d" % process.sid),
            (b"Kthread", b"0"),
        ]
        total, text, data = _sizes(process, task)
        resident = _resident(process)
        stack = (process.layout.stack[1] - process.layout.stack[0]) >> 12
        sizes = (
            (b"VmPeak", total), (b"VmSize", total), (b"VmLck", 0), (b"VmPin", 0), (b"VmHWM", resident),
            (b"VmRSS", resident), (b"RssAnon", min(data, resident)), (b"RssFile", max(0, resident - data)),
            (b"RssShmem", 0), (b"VmData", data), (b"VmStk", min(stack, 34)), (b"VmExe", text), (b"VmLib", 0),
            (b"VmPTE", 0), (b"VmSwap", 0), (b"HugetlbPages", 0),
        )  # fmt: skip
        lines += [(name, b"%8d kB" % (pages * 4)) for name, pages in sizes]
        lines += [(b"CoreDumping", b"0"), (b"THP_enabled", b"1")]
    else:
        lines += [(b"Uid", b"\t".join([b"%d" % process.last_uid] * 4)), (b"Gid", b"0\t0\t0\t0")]
    own, shared, blocked, ignored, caught = _masks(process, task)
    lines += [
        (b"Threads", b"%d" % len(process.tasks)),
        (b"SigQ", b"%d/%d" % (_queued(kernel, process), process.rlimits[rs.RLIMIT_SIGPENDING][0])),
        (b"SigPnd", b"%016x" % own),
        (b"ShdPnd", b"%016x" % shared),
        (b"SigBlk", b"%016x" % blocked),
        (b"SigIgn", b"%016x" % ignored),
        (b"SigCgt", b"%016x" % caught),
    ]
    if shown is not None:
        cred = shown.cred
        sets = (
            (b"CapInh", cred.inheritable), (b"CapPrm", cred.permitted), (b"CapEff", cred.effective),
            (b"CapBnd", cred.bounding), (b"CapAmb", cred.ambient),
        )  # fmt: skip
        lines += [(name, b"%016x" % bits) for name, bits in sets]
    cpus = (1 << kernel.platform.cpu_count()) - 1
    allowed = cpus if shown is None or shown.sched.affinity is None else shown.sched.affinity & cpus
    lines += [
        (b"NoNewPrivs", b"%d" % process.no_new_privs),
        (b"Seccomp", b"0"),
        (b"Seccomp_filters", b"0"),
        (b"Cpus_allowed", b"%x" % allowed),
        (b"Cpus_allowed_list", _ranges(allowed)),
        (b"Mems_allowed", b"1"),
        (b"Mems_allowed_list", b"0"),
        (b"voluntary_ctxt_switches", b"%d" % (shown.switches if shown is not None else process.used.switches)),
        (b"nonvoluntary_ctxt_switches", b"0"),
    ]
    return b"".join(b"%s:\t%s\n" % line for line in lines)


def _ranges(mask: int) -> bytes:
    """The numbers of a mask's bits as the kernel lists them: 0-3,5."""
    parts, number = [], 0
    while mask >> number:
        first = number
        while mask >> number & 1:
            number += 1
        if number > first:
            parts.append(b"%d-%d" % (first, number - 1) if number - 1 > first else b"%d" % first)
        number += 1
    return b",".join(parts)


@entry("wchan")
def _wchan(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"0"


def _id_map(kernel: Kernel, process: Process, task: Task | None) -> bytes:
    return b"%10d %10d %10d\n" % (0, 0, 0xFFFFFFFF)


ENTRIES[b"uid_map"] = ENTRIES[b"gid_map"] = Text(0o444, _id_map)


# -- descriptors ------------------------------------------------------------------------------------------------


def fdinfo(file: File, *, cloexec: bool) -> bytes:
    """/proc/PID/fdinfo/N."""
    flags = file.flags | (O_CLOEXEC if cloexec else 0)
    location = file.location
    mount = location.mount.ident if location is not None else 15
    try:
        ino = file.stat().ino
    except KernelError:
        ino = 0
    more = getattr(file, "fdinfo", None)
    lines = b"pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n" % (file.position, flags, mount, ino)
    return lines + (more() if more is not None else b"")
