"""Guest threads and processes as the native platform holds them.

A :class:`NativeThread` lives from ``new_process`` or a granted clone until its exit. Between a notification and its
answer the thread stands still; ``frame`` is set while it stands in a request of the stub that carries a signal frame:
it is at a safe point then, and a kick needs no signal.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.abi.sched import CLONE_SIGHAND, CLONE_THREAD, CLONE_VM
from pylitebox.abi.signal import UNBLOCKABLE
from pylitebox.abi.time import NSEC_PER_SEC, USER_HZ
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.platform import NO_MEMORY, Area, Ids, Limit, Map, Unmap, Usage
from pylitebox.south.native.context import RAX, RSP, SignalContext, entry_context, registers
from pylitebox.south.native.layout import (
    ACTION_SIZE,
    BLOCK_ACTIONS,
    BLOCK_CALL,
    BLOCK_IDS,
    BLOCK_LENT,
    BLOCK_LIMIT,
    BLOCK_MASK,
    BLOCK_SPARE,
    CALL,
    IDS,
    KICK,
    LIMIT,
    MEMORY,
    PLAN_CONTEXT,
    PLAN_SPACE,
    PLAN_STEPS,
    SPACE_LIMIT,
    STEP,
    STEP_COPY,
    STEP_END,
    STEP_ENTER,
    STEP_ZERO,
    STUB_BASE,
    STUB_END,
    WORD,
)
from pylitebox.south.native.placement import thread_time

if TYPE_CHECKING:
    from pylitebox.kernel.image import Image
    from pylitebox.kernel.task import Task
    from pylitebox.south.native.memory import NativeMemory
    from pylitebox.south.native.platform import NativePlatform

_NR_EXIT_GROUP = 231
_NR_MMAP = 9
_NR_MUNMAP = 11
_NR_CLOSE = 3
_NR_PRLIMIT64 = 302
_MAP_FIXED_PRIVATE = 0x12
_MAP_FIXED_ANONYMOUS = 0x4032  # MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE
_NO_FD = (1 << 64) - 1
_PADDING = (0, 0, 0, 0, 0, 0, 0)
#: A clock id: ~PID << 3 with this is the CPU time of a process (linux/posix-timers.h).
_CPUCLOCK_SCHED = 2
#: Fields of /proc/PID/stat, counted from the state; times are in ticks of USER_HZ.
_MINFLT, _MAJFLT, _STIME, _RSS = 7, 9, 12, 21
#: Calls that the host runs and that wait: nanosleep, clock_nanosleep, futex, restart_syscall.
_SLEEPS = frozenset((b"35", b"230", b"202", b"219"))
#: Field of /proc/PID/statm, in pages.
_STATM_RESIDENT = 1
#: Areas whose details are looked at: some 700 bytes of text each, which the host takes long to make.
_MOST_DETAILED = 4096
_TICK_NS = NSEC_PER_SEC // USER_HZ


class NativeProcess:
    """One host process with guest code: its id, a descriptor that names it for ever, and its threads."""

    __slots__ = ("actions", "blocks", "dead", "memory", "pidfd", "tgid", "threads")

    def __init__(self, tgid: int, pidfd: int, memory: NativeMemory, actions: int) -> None:
        self.tgid = tgid
        self.pidfd = pidfd
        self.memory = memory
        self.threads: set[NativeThread] = set()
        self.actions = actions  # address of the stub's table of dispositions
        self.blocks: list[int] = []  # blocks of ended threads, for new ones
        self.dead = False


class NativeThread:
    """GuestThread on the native platform."""

    __slots__ = (
        "block",
        "child_block",
        "clone_flags",
        "cloned",
        "deadline",
        "done",
        "frame",
        "held",
        "host_tid",
        "ident",
        "ids",
        "kick_wanted",
        "known_mask",
        "loading",
        "memory",
        "native_flags",
        "number",
        "plan",
        "platform",
        "process",
        "request",
        "task",
        "told",
    )

    def __init__(self, platform: NativePlatform, process: NativeProcess | None) -> None:
        self.platform = platform
        self.process = process  # None until a cloned process has reported in
        self.memory: NativeMemory = process.memory if process else NO_MEMORY  # type: ignore[assignment]
        self.task: Task | None = None
        self.host_tid = 0  # 0 until it has reported in
        self.ident = 0  # the notification it stands in
        self.number = 0  # the call it is in
        self.request = 0  # the stub's request it is in, 0: a plain call
        self.frame = 0  # address of the ucontext of that request
        self.block = 0  # address of its own block, once it has reported in
        self.child_block = 0  # address of the block for the child it is cloning
        self.done: Callable[[int], None] | None = None  # who is told what a change of memory gave
        self.ids: Ids | None = None  # that changed before it has reported in
        self.known_mask: int | None = 0  # the mask until the thread runs; None from then on: it is in the block
        self.kick_wanted = False
        self.held: SignalContext | None = None  # stopped by the kernel at a safe point
        self.clone_flags = 0
        self.cloned = 0  # the virtual id of the last child that it was granted
        self.deadline = 0  # until when it must have reported in, monotonic ns
        self.native_flags = 0
        self.plan: tuple[int, int, int] = (0, 0, 0)  # of a fresh process: plan, alternate stack, its size
        self.loading: tuple[Image, list[tuple[int, ...]]] | None = None
        self.told: list[tuple[int, bytes]] = []  # of an empty process: what is to be written with its program

    # -- calls ------------------------------------------------------------------------------------------------

    def complete(self, result: int) -> None:
        self.platform.answer(self, result)

    def kick(self) -> None:
        if self.held is not None:
            self.platform.rerun_safe_point(self)
        elif self.frame or not self.host_tid:
            self.kick_wanted = True
        elif self.process is not None and not self.process.dead:
            self.platform.tgkill(self.process.tgid, self.host_tid, KICK)

    def exit(self) -> None:
        process = self.process
        assert process is not None
        if self.request:  # a forged request: the host would run something else
            self.platform.lose(self)
            return
        self.platform.listener.resume(self.ident)
        self.platform.forget_thread(self)
        if self.number == _NR_EXIT_GROUP or not process.threads:
            self.platform.forget_process(process)
        elif self.block and not self.block <= process.actions < self.block + 0x1000:
            process.blocks.append(self.block)

    def kill(self) -> None:
        process = self.process
        if process is None or process.dead:
            self.platform.cancel_clone(self)
            return
        try:
            signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.platform.forget_process(process)

    def change_memory(self, change: Map | Unmap | Limit, done: Callable[[int], None] | None = None) -> int | None:
        if self.request != MEMORY:  # a forged request: the stub forwards such calls otherwise
            raise KernelError(E.ENOSYS)
        report, listener = done is not None, self.platform.listener
        if isinstance(change, Map):
            fd = change.source.descriptor(write=change.write)  # type: ignore[attr-defined]
            keep = change.lend + 1 if change.lend is not None and self.platform.local else 0
            where = (change.address, change.size, change.prot, change.flags)
            call = CALL.pack(_NR_MMAP, *where, report | keep << 1, change.offset)
            self.memory.poke(self.block + BLOCK_CALL, call)
            listener.send(self.ident, listener.inject(self.ident, fd))
        elif isinstance(change, Limit):
            limit = self.block + BLOCK_LIMIT
            self.memory.poke(self.platform.plan + PLAN_SPACE + SPACE_LIMIT, WORD.pack(change.heap))
            self.memory.poke(limit, LIMIT.pack(*self.platform.host_limit(change.resource, change.size)))
            self.memory.poke(self.block + BLOCK_CALL, CALL.pack(_NR_PRLIMIT64, 0, change.resource, limit, 0, report, 0))
            listener.send(self.ident, 0)
        else:
            call = CALL.pack(_NR_MUNMAP, change.address, change.size, 0, 0, report, 0)
            self.memory.poke(self.block + BLOCK_CALL, call)
            listener.send(self.ident, 0)
        self.done = done
        self.frame = self.request = 0
        if self.kick_wanted:  # asked for while it stood: once more, from outside
            self.kick_wanted = False
            self.kick()
        return None

    def recall(self) -> None:
        process = self.process
        if process is not None and not process.dead:
            try:
                self.memory.poke(self.block + BLOCK_LENT, WORD.pack(0))
            except KernelError:
                pass

    def action_changed(self, signo: int, action: bytes) -> None:
        process = self.process
        if process is not None and not process.dead and 1 <= signo <= 64:
            self._tell(process.memory, process.actions + ACTION_SIZE * signo, action)

    def ids_changed(self, ids: Ids) -> None:
        process = self.process
        if not self.host_tid:  # a granted child: it is told when it reports in
            self.ids = ids
        elif process is not None and not process.dead:
            self._tell(process.memory, self.block + BLOCK_IDS, IDS.pack(*ids))

    def _tell(self, memory: NativeMemory, address: int, data: bytes) -> None:
        if self.plan[0] and self.known_mask is not None:  # an empty process: it is told with its program
            self.told.append((address, data))
            return
        try:
            memory.poke(address, data)
        except KernelError:
            pass  # it has unmapped the stub's memory, which serves it only

    # -- what the stub answers itself -------------------------------------------------------------------------

    @property
    def blocked(self) -> int:
        if self.known_mask is not None:
            return self.known_mask
        try:
            mask: int = WORD.unpack(self.memory.read(self.block + BLOCK_MASK, WORD.size))[0]
        except KernelError:
            return 0  # it has unmapped its block: it cannot make a call any more
        return mask & ~UNBLOCKABLE

    @blocked.setter
    def blocked(self, mask: int) -> None:
        if self.known_mask is not None:
            self.known_mask = mask
            return
        try:
            self.memory.poke(self.block + BLOCK_MASK, WORD.pack(mask))
        except KernelError:
            pass

    def runs(self) -> None:
        """The thread is about to run guest code: its mask is in its block from now on."""
        mask, self.known_mask = self.known_mask, None
        if self.ids is not None:
            self.ids_changed(self.ids)
            self.ids = None
        if mask is not None and mask != self.blocked:
            self.blocked = mask

    def attend(self, *, waits: bool) -> None:
        process = self.process
        if process is not None and not process.dead:
            try:
                process.memory.poke(process.actions, WORD.pack(waits))
            except KernelError:
                pass

    def program_break(self) -> int:
        try:
            value: int = WORD.unpack(self.memory.read(self.platform.plan + PLAN_SPACE, WORD.size))[0]
        except KernelError:
            return 0
        return value

    # -- clone ------------------------------------------------------------------------------------------------

    def clone(self, child: Task, flags: int) -> int | None:
        process = self.process
        assert process is not None
        native = self.native_flags
        if self.request or self.platform.strays_full:  # a forged request, or the host had no processes lately
            raise KernelError(E.EAGAIN)
        if (flags & CLONE_THREAD) != (native & CLONE_THREAD) or (flags & CLONE_VM) != (native & CLONE_VM):
            raise KernelError(E.EINVAL)
        thread = NativeThread(self.platform, process if flags & CLONE_THREAD else None)
        thread.task = child
        thread.clone_flags = flags
        thread.known_mask = child.blocked
        if flags & CLONE_VM:
            thread.memory = process.memory
        child.thread = thread
        child.memory = thread.memory
        self.memory.poke(self.child_block, WORD.pack(child.tid))
        if flags & CLONE_THREAD and process.blocks:
            # the caller's next child gets the block of a thread that has ended
            self.memory.poke(self.block + BLOCK_SPARE, WORD.pack(process.blocks.pop()))
        self.platform.grant_clone(self, thread, child.tid)
        return None

    # -- exec -------------------------------------------------------------------------------------------------

    def load(self, image: Image) -> None:
        inject = self.platform.listener.inject
        steps = self._limit_steps(image.limits)
        injected: dict[int, int] = {}
        try:
            for mapping in image.mappings:
                if mapping.source is None:
                    fd, flags = _NO_FD, _MAP_FIXED_ANONYMOUS
                else:
                    flags = _MAP_FIXED_PRIVATE
                    host_fd = mapping.source.descriptor(write=False)  # type: ignore[attr-defined]
                    if host_fd not in injected:
                        injected[host_fd] = inject(self.ident, host_fd)
                    fd = injected[host_fd]
                steps.append((_NR_MMAP, mapping.address, mapping.size, mapping.prot, flags, fd, mapping.offset))
        except KernelError:
            self.platform.lose(self)
            return
        finally:  # what was injected is the process's own
            for source in image.sources:
                source.close()
        if image.brk_size:  # brk(2) moves within memory that is there already: the break itself is the kernel's
            steps.append((_NR_MMAP, image.brk, image.brk_size, PROT_READ | PROT_WRITE, _MAP_FIXED_ANONYMOUS, _NO_FD, 0))
        steps += [(_NR_CLOSE, fd) for fd in injected.values()]
        steps += [(STEP_ZERO, address, size) for address, size in image.zero]
        self.loading = (image._replace(data=[*image.data, *self.told]), steps)
        self.told = []
        self.continue_loading()

    def _limit_steps(self, limits: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
        """The plan's first steps: each is a call whose fifth and sixth argument are the limit that its third names."""
        steps: list[tuple[int, ...]] = []
        for resource, size in limits:
            here = self.plan[0] + STEP.size * len(steps) + 5 * WORD.size
            steps.append((_NR_PRLIMIT64, 0, resource, here, 0, *self.platform.host_limit(resource, size)))
        return steps

    def continue_loading(self) -> None:
        """Write the next part of the plan: all that is left, if the initial stack's content fits in with it."""
        assert self.loading is not None
        image, steps = self.loading
        plan = self.plan[0]
        try:
            room = PLAN_CONTEXT - STEP.size * (len(steps) + len(image.data) + 1)
            if sum(len(data) for _, data in image.data) <= room:
                self.memory.poke(plan, self._last_part(image, steps))
                self.loading = None
            elif steps:
                part, rest = steps[: PLAN_STEPS - 1], steps[PLAN_STEPS - 1 :]
                self.loading = (image, rest)
                self.memory.poke(plan, _packed([*part, (STEP_END,)]))
            else:
                for address, data in image.data:
                    self.memory.write(address, data)
                self.memory.poke(plan, self._last_part(image._replace(data=[]), []))
                self.loading = None
        except KernelError:
            self.platform.lose(self)
            return
        if self.loading is None:
            self.known_mask = None
        self.platform.listener.send(self.ident, 0)

    def _last_part(self, image: Image, steps: list[tuple[int, ...]]) -> bytes:
        """The plan's two pages: the steps that are left, what is to be copied, and the entry into the program."""
        plan, stack, size = self.plan
        data = b"".join([data for _, data in image.data])
        source = plan + STEP.size * (len(steps) + len(image.data) + 1)
        steps = list(steps)
        for address, part in image.data:
            steps.append((STEP_COPY, address, source, len(part)))
            source += len(part)
        steps.append((STEP_ENTER, plan + PLAN_CONTEXT, image.brk, image.heap, self.known_mask or 0))
        context = entry_context(image.entry, image.stack_pointer, stack, size)
        return (_packed(steps) + data).ljust(PLAN_CONTEXT, b"\0") + context

    # -- /proc ------------------------------------------------------------------------------------------------

    def stack_pointer(self) -> int:
        return registers(self.memory, self.frame)[RSP] if self.frame else 0

    def cpu_time(self, *, alone: bool = False) -> int:
        process = self.process
        if process is None or process.dead or not self.host_tid:
            return 0
        if alone and len(process.threads) > 1:
            return thread_time(self.host_tid)
        try:
            return time.clock_gettime_ns(~process.tgid << 3 | _CPUCLOCK_SCHED)
        except OSError:
            return 0

    def usage(self, *, alone: bool = False) -> Usage:
        total = self.cpu_time(alone=alone)
        if total < _TICK_NS and not alone:  # the host has counted no tick either: all that is left to know is its size
            sizes = self._read("statm", alone=False).split()
            return Usage(total, resident=int(sizes[_STATM_RESIDENT]) << 12) if sizes else Usage(total)
        fields = self._stat(alone=alone)
        if not fields:
            return Usage(total)
        # The clock is exact, the parts are ticks: the sum is split as they say.
        system = min(total, int(fields[_STIME]) * _TICK_NS)
        pages = int(fields[_RSS])
        return Usage(total - system, system, int(fields[_MINFLT]), int(fields[_MAJFLT]), pages << 12)

    def asleep(self) -> bool:
        number = self._read("syscall", alone=True).partition(b" ")[0]
        return number in _SLEEPS and self.held is None

    def _stat(self, *, alone: bool) -> list[bytes]:
        """The fields of the host's /proc/PID/stat behind the name (man 5 proc_pid_stat); none if it is gone."""
        return self._read("stat", alone=alone).rpartition(b")")[2].split()

    def _read(self, name: str, *, alone: bool) -> bytes:
        """What the host's /proc says of the process, or of the thread alone; nothing if it is gone."""
        process = self.process
        if process is None or process.dead or not self.host_tid:
            return b""
        where = f"/proc/{process.tgid}/task/{self.host_tid}" if alone else f"/proc/{process.tgid}"
        try:
            fd = os.open(f"{where}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.read(fd, 1024)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def areas(self, *, detailed: bool = False) -> list[Area]:
        if self.process is None:
            return []
        areas: list[Area] = []
        lines = _lines(f"/proc/{self.process.tgid}/maps")
        if detailed and len(lines) <= _MOST_DETAILED:
            lines = _lines(f"/proc/{self.process.tgid}/smaps")
        shown = False
        for line in lines:
            fields = line.split(None, 5)
            if fields[0].endswith(b":"):
                if shown:
                    areas[-1].details.append(line)
                continue
            low, _, high = fields[0].partition(b"-")
            start, end = int(low, 16), int(high, 16)
            shown = not STUB_BASE <= start < STUB_END
            if not shown:
                continue
            mode, inode = fields[1], int(fields[4])
            prot = (
                (PROT_READ if mode[0:1] == b"r" else 0)
                | (PROT_WRITE if mode[1:2] == b"w" else 0)
                | (PROT_EXEC if mode[2:3] == b"x" else 0)
            )
            major, _, minor = fields[3].partition(b":")
            source = (os.makedev(int(major, 16), int(minor, 16)), inode) if inode else None
            name = fields[5].decode("ascii", "replace") if len(fields) > 5 and fields[5][:1] == b"[" else ""
            areas.append(
                Area(start, end, prot, shared=mode[3:4] == b"s", offset=int(fields[2], 16), source=source, name=name)
            )
        return areas


def _lines(path: str) -> list[bytes]:
    """The lines of a file of /proc; none if it is gone."""
    try:
        with open(path, "rb") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _packed(steps: list[tuple[int, ...]]) -> bytes:
    words: list[int] = []
    for step in steps:
        words += step
        words += _PADDING[len(step) :]
    return struct.pack(f"<{len(words)}Q", *words)


def action_table(block: int) -> int:
    """The address of the dispositions in a thread's own block."""
    return block + BLOCK_ACTIONS


def shares_actions(flags: int) -> bool:
    """Whether a clone uses its parent's dispositions rather than a copy in its own block."""
    return bool(flags & CLONE_SIGHAND) or not flags & CLONE_VM


def result_register(context: SignalContext) -> int:
    """The call's result as the stub wants it in its answer."""
    value = context.gregs[RAX]
    return value - (1 << 64) if value >> 63 else value
