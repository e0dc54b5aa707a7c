"""The kvm platform: all threads of all guests take turns on the one CPU of one virtual machine.

The CPU runs in the thread of the kernel's loop: handing each event to another thread costs more than all the rest of a
call. :meth:`KvmPlatform.poll` lets the next ready thread run for a slice; a run ends with each call, fault, and tick
(a timer of the host's, which rests while nobody runs). When nobody is ready, poll sleeps until a watched descriptor or
the deadline.

Missing: more than one CPU; timers of the kernel are up to a tick late while a guest computes; the host's vDSO (time is
a call).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import time
from collections import deque
from typing import TYPE_CHECKING

from pylitebox.abi.auxv import AT_CLKTCK, AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ, AT_PAGESZ
from pylitebox.abi.mman import PAGE_SIZE, PROT_WRITE
from pylitebox.abi.signal import SIGSEGV
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.log import log
from pylitebox.south import faults, watching
from pylitebox.south.kvm import selftest, tables
from pylitebox.south.kvm import trampoline as tr
from pylitebox.south.kvm.extended import ExtendedState, raised
from pylitebox.south.kvm.host import TICK_SIGNAL, HypervisorError, Vm
from pylitebox.south.kvm.machine import (
    G_RIP,
    SYSCALL,
    USER_END,
    Broken,
    Machine,
)
from pylitebox.south.kvm.tables import PageTables
from pylitebox.south.kvm.thread import NR_RT_SIGRETURN, KvmContext, KvmProcess, KvmThread
from pylitebox.south.paging import Fault, PageCache, PagedBuffer, PagedSpace, PhysicalMemory
from pylitebox.south.paging.space import SEGV_MAPERR

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.platform import GuestEvents, GuestThread
    from pylitebox.kernel.task import Task

#: Guest memory unless another size is asked for; the host gives what is touched.
DEFAULT_MEMORY = 1 << 30
MAX_MEMORY = tables.PHYSICAL
#: How long a thread runs while others are ready, and how late a watched descriptor may be noticed.
TICK_S = 0.01
#: Turns that a thread gets before others whom its calls have woken: a change of threads costs more than a call.
_PATIENCE = 16
#: How often descriptors are looked at while guests run, ns.
_LOOK_NS = 1_000_000
#: Pages that are made at a time where a guest writes to new memory: a fault costs more than they do.
_AHEAD = 8
_SLICE_NS = 9_000_000
#: What a signal frame takes beside the extended state, alignment included (AT_MINSIGSTKSZ).
_FRAME_ROOM = 768
_MASK = (1 << 64) - 1
#: The monitor's memory: page tables for all of the guests' memory, and for as many small processes.
_TABLES_SIZE, _TABLES_SHARE = 16 << 20, 64


def probe() -> selftest.Strategy:
    """What a machine's self-test says on this host; HypervisorError."""
    platform = KvmPlatform(memory=16 << 20)
    try:
        platform.examine()
        return platform.strategy
    finally:
        platform.close()


class KvmPlatform:
    """Platform of the contract. ``memory``: bytes of guest memory, for all guests together."""

    name = "kvm"
    delegates_memory = False
    reserved: tuple[tuple[int, int], ...] = ()

    def __init__(self, *, memory: int = DEFAULT_MEMORY, urandom: int | None = None) -> None:
        """``urandom``: a descriptor of /dev/urandom, for a process that may not call getrandom(2). HypervisorError."""
        self._urandom = urandom
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, (TICK_SIGNAL,))
        self._watching = watching.make()
        self._closed = False
        try:
            self._make(min(memory, MAX_MEMORY))
        except BaseException:
            self.close()
            raise
        self.current: KvmThread | None = None  # whose registers are in the machine
        self.owner: KvmThread | None = None  # whose extended state and bases are in the CPU
        self._ready: deque[KvmThread] = deque()
        self._deadline: int | None = None  # of this poll
        self._peek = select.poll()  # whether a watched descriptor is ready
        for fd in self._watching.descriptors():
            self._peek.register(fd, select.POLLIN)
        self._looked = 0  # when descriptors were looked at, monotonic ns
        self._last: KvmThread | None = None  # whose turn it was
        self._began = 0  # when its slice did, monotonic ns
        self._ticked = False
        self.turn: tuple[KvmThread | None, int] = (None, 0)  # who runs, and since when
        self._patience = _PATIENCE

    def _make(self, size: int) -> None:
        self.physical = PhysicalMemory(size)
        self.cache = PageCache(self.physical)
        room = min(_TABLES_SIZE + size // _TABLES_SHARE, tables.MAX_SIZE) & -(1 << 21)
        self._vm = vm = Vm()
        vm.add_memory(0, self.physical.bytes)
        monitor = mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        vm.add_memory(tables.PHYSICAL, monitor)
        self.cpu = vm.cpu()
        self.tables = PageTables(monitor, self._forget)
        self.machine = Machine(self.cpu, self.tables)
        self.states = ExtendedState(self.cpu)

    def _forget(self) -> None:
        self.machine.park()
        self._vm.renew(1)

    # -- the contract -----------------------------------------------------------------------------------------

    def attach(self, events: GuestEvents) -> None:
        self.events = events

    def start(self) -> None:
        """Run the CPU for the first time, and start the ticks; after confinement by Landlock (the host starts a thread
        of its own in the process), and before our own filter. HypervisorError."""
        self.examine()
        self.machine.interrupting = self._interrupting
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)

    def examine(self) -> None:
        """Run the CPU for the first time: the self-test."""
        self.strategy = selftest.examine(self.machine, self.cache)

    def poll(self, deadline: int | None) -> None:
        ready = self._ready
        self._deadline = deadline
        if not ready:
            self._watching.wait(deadline)
            return
        now = time.monotonic_ns()
        if now - self._looked > _LOOK_NS:
            self._looked = now
            self._watching.wait(0)
        if ready:
            self._turn(ready.popleft(), now)

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        ready(KvmThread(self, KvmProcess(), PagedSpace(self.cache, self.tables)))

    def bind(self, thread: GuestThread, task: Task) -> None:
        assert isinstance(thread, KvmThread)
        thread.task = task

    def shared_buffer(self, name: str) -> PagedBuffer:
        return PagedBuffer(self.physical)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        self._watching.watch(fd, watching.IN, lambda events: callback())

    def watch_events(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """As watch, for any events of epoll(7), EPOLLONESHOT included; may be called again to change or re-arm."""
        self._watching.watch(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        self._watching.unwatch(fd)

    def descriptors(self) -> set[int]:
        """The host descriptors that the platform holds."""
        held = self._watching.descriptors() | set(self._vm.descriptors())
        return held | {self._urandom} if self._urandom is not None else held

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def realtime_ns(self) -> int:
        return time.time_ns()

    def random(self, size: int) -> bytes:
        if self._urandom is None:
            return os.urandom(size)
        parts = []
        while size > 0:
            parts.append(os.read(self._urandom, size))
            size -= len(parts[-1])
        return b"".join(parts)

    def auxv(self) -> dict[int, int]:
        return {
            AT_HWCAP: self.cpu.leaf(1)[3],
            AT_HWCAP2: 2 if self.cpu.fsgsbase else 0,
            AT_PAGESZ: PAGE_SIZE,
            AT_CLKTCK: 100,
            AT_MINSIGSTKSZ: self.states.size + _FRAME_ROOM,
        }

    def cpu_count(self) -> int:
        return 1

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):  # a confined supervisor may not, and ends
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.sigtimedwait((TICK_SIGNAL,), 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        self._watching.close()
        for name in ("cpu", "_vm"):
            made = getattr(self, name, None)
            if made is not None:
                made.close()

    # -- threads ----------------------------------------------------------------------------------------------

    def enqueue(self, thread: KvmThread) -> None:
        if thread.mode != "dead":
            thread.mode = "ready"
            self._ready.append(thread)

    def forget(self, thread: KvmThread) -> None:
        """The thread is dead."""
        if self.current is thread:
            self.current = None
        if self.owner is thread:
            self.owner = None

    def lose(self, thread: KvmThread) -> None:
        """End a guest process that cannot go on, and tell the kernel."""
        task = thread.task
        thread.kill()
        if task is not None:
            self.events.lost(task)

    def _interrupting(self) -> bool:
        """A tick: whether anybody but the thread that runs has something to do."""
        now = time.monotonic_ns()
        if self._deadline is not None and now >= self._deadline:
            return True
        return bool((self._ready and self._slice_is_over(now)) or self.events.work or self._peek.poll(0))

    def _slice_is_over(self, now: int) -> bool:
        return now - self._began >= _SLICE_NS

    def begin_slice(self) -> None:
        """Who has cloned goes on first, as programs on Linux find it: that took a good part of its slice."""
        self._began = time.monotonic_ns()

    # -- a turn -----------------------------------------------------------------------------------------------

    def _turn(self, thread: KvmThread, now: int) -> None:
        if thread.mode != "ready":
            return
        thread.mode = "running"
        task = thread.task
        assert task is not None
        if thread.fresh:
            thread.fresh = False
            self.events.started(task)
        if self._last is not thread:
            self._last, self._patience, self._began = thread, _PATIENCE, now
        goes_on, self._ticked = True, False
        self.turn = thread, now
        try:
            while thread.mode == "running" and (not thread.kick_wanted or self._safe_point(thread, task)):
                goes_on = self._run(thread, task)
                if not goes_on or self._ticked or self.events.work:
                    break
        finally:
            self.turn = None, 0
            used = time.monotonic_ns() - now
            thread.cpu_ns += used
            thread.process.cpu_ns += used
        if thread.mode == "running":
            self.enqueue(thread)
            self._patience -= 1
            if goes_on and self._patience:  # the kernel's own work comes in between, not other threads
                self._ready.rotate()
            else:
                self._last = None

    def _run(self, thread: KvmThread, task: Task) -> bool:
        """Run until something happens, and deal with it; whether the thread goes on at once."""
        machine = self.machine
        if self.current is not thread:
            if thread.gregs[G_RIP] > USER_END:  # no address of a guest's: what the CPU says of it on the way there
                self._fault(thread, task, faults.exception(faults.GENERAL_PROTECTION, 0, 0))
                return False
            self._enter(thread)
        try:
            machine.run()
        except (Broken, HypervisorError) as error:
            log(f"a guest's process is lost: {error}")
            self.lose(thread)
            if isinstance(error, HypervisorError):
                self.machine.reset()
            return False
        event = machine.event
        if event == SYSCALL:
            return self._call(thread, task)
        if event == tr.PAGE_FAULT:
            return self._page_fault(thread, task)
        if event == tr.TICK:
            self._ticked = True
            return not self._slice_is_over(time.monotonic_ns())
        simd = event == faults.SIMD_ERROR
        pending = raised(self.cpu.extended(), simd=simd) if simd or event == faults.FPU_ERROR else 0
        return self._fault(thread, task, faults.exception(event, machine.fetch()[G_RIP], pending, machine.error))

    def _enter(self, thread: KvmThread) -> None:
        """Make the CPU the thread's."""
        if self.owner is not thread:
            if self.owner is not None:
                self.owner.take()
            self.owner = None
            thread.give()
            self.owner = thread
        self._leave()
        self.machine.space = thread.space
        self.machine.put(thread.gregs)
        self.current = thread

    def _leave(self) -> None:
        """Nobody's registers are in the machine any more."""
        if self.current is not None:
            self.current.gregs = self.machine.fetch()
            self.current = None

    # -- calls ------------------------------------------------------------------------------------------------

    def _call(self, thread: KvmThread, task: Task) -> bool:
        thread.number, thread.args = number, args = self.machine.call()
        if number == NR_RT_SIGRETURN:
            context = self._context(thread)
            return self._settle(thread, context, self.events.sigreturn(task, context))
        result = self.events.syscall(task, number, args)
        if thread.vforked:
            child, thread.vforked = thread.vforked, 0
            result = self.events.vfork_wait(task, child)
        if thread.mode != "running":
            return False
        if result is None:
            thread.mode = "parked"
            return False
        self.machine.result(result & _MASK)
        return True

    # -- safe points and faults -------------------------------------------------------------------------------

    def _context(self, thread: KvmThread) -> KvmContext:
        if self.current is thread:
            self._leave()
        return KvmContext(thread)

    def _safe_point(self, thread: KvmThread, task: Task) -> bool:
        context, thread.held = thread.held or self._context(thread), None
        thread.kick_wanted = False
        return self._settle(thread, context, self.events.safe_point(task, context))

    def _settle(self, thread: KvmThread, context: KvmContext, go_on: bool) -> bool:
        """After a safe point; whether the thread goes on."""
        if thread.mode == "dead":
            return False
        if not go_on:
            thread.mode = "held"
            thread.held = context
            if thread.kick_wanted:
                self.enqueue(thread)
            return False
        context.commit()
        return True

    def _fault(self, thread: KvmThread, task: Task, trap: faults.Trap) -> bool:
        thread.trap = trap.error, trap.number, 0, trap.address if trap.number == faults.PAGE_FAULT else thread.trap[3]
        context = self._context(thread)
        return self._settle(thread, context, self.events.fault(task, context, trap.signo, trap.siginfo()))

    def _page_fault(self, thread: KvmThread, task: Task) -> bool:
        machine, space = self.machine, thread.space
        address, error = machine.address, machine.error
        page, need = address >> 12, selftest.need(error)
        thread.faults += 1
        thread.process.faults += 1
        try:
            if address > USER_END:
                raise Fault(SIGSEGV, SEGV_MAPERR)
            if not space.table.get(page, 0) & need:
                space.touch(page, need)
                if need == PROT_WRITE:
                    space.ahead(page, _AHEAD)
            self.tables.show(space, page)
        except Fault as fault:
            return self._fault(thread, task, faults.page_fault(fault.signo, fault.code, address, error))
        except WouldBlock:
            self._wait_for_disk(thread, page)
            return False
        except KernelError as error:
            log(f"page {page:#x} cannot be made", error)
            self.lose(thread)
            return False
        return True

    def _wait_for_disk(self, thread: KvmThread, page: int) -> None:
        queue = getattr(thread.space.source(page), "ready", None)
        if queue is None:
            log(f"page {page:#x} waits for nobody {thread.space.source(page)}")
            self.lose(thread)
            return
        self._leave()
        thread.mode = "parked"

        def arrived() -> None:
            queue.unwatch(thread)
            self.enqueue(thread)

        queue.watch(thread, arrived)
