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
import signal
import time
from typing import TYPE_CHECKING

from pylitebox.abi.auxv import AT_CLKTCK, AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ, AT_PAGESZ
from pylitebox.abi.mman import PAGE_SIZE, PROT_WRITE
from pylitebox.abi.signal import SIGSEGV
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.log import log
from pylitebox.south import faults
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
from pylitebox.south.kvm.thread import KvmContext, KvmThread
from pylitebox.south.paging import Fault, PagedSpace
from pylitebox.south.paging.space import SEGV_MAPERR
from pylitebox.south.turns import NR_RT_SIGRETURN, TurnPlatform, TurnProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.platform import GuestThread
    from pylitebox.kernel.task import Task

#: Guest memory unless another size is asked for; the host gives what is touched.
DEFAULT_MEMORY = 1 << 30
MAX_MEMORY = tables.PHYSICAL
#: How long a thread runs while others are ready, and how late a watched descriptor may be noticed.
TICK_S = 0.01
#: Turns that a thread gets before others whom its calls have woken: a change of threads costs more than a call.
_PATIENCE = 16
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


class KvmPlatform(TurnPlatform["KvmThread"]):
    """Platform of the contract. ``memory``: bytes of guest memory, for all guests together."""

    name = "kvm"

    def __init__(self, *, memory: int = DEFAULT_MEMORY, urandom: int | None = None) -> None:
        """``urandom``: a descriptor of /dev/urandom, for a process that may not call getrandom(2). HypervisorError."""
        super().__init__(min(memory, MAX_MEMORY), urandom)
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, (TICK_SIGNAL,))
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        self.owner: KvmThread | None = None  # whose extended state and bases are in the CPU
        self._last: KvmThread | None = None  # whose turn it was
        self._began = 0  # when its slice did, monotonic ns
        self._ticked = False
        self._goes_on = True  # the thread whose turn it is, unless somebody else has something to do
        self._patience = _PATIENCE

    def _make(self) -> None:
        size = len(self.physical.bytes)
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

    def start(self) -> None:
        """Run the CPU for the first time, and start the ticks; after confinement by Landlock (the host starts a thread
        of its own in the process), and before our own filter. HypervisorError."""
        self.examine()
        self.machine.interrupting = self._interrupting
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)

    def examine(self) -> None:
        """Run the CPU for the first time: the self-test."""
        self.strategy = selftest.examine(self.machine, self.cache)

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        ready(KvmThread(self, TurnProcess(), PagedSpace(self.cache, self.tables)))

    def descriptors(self) -> set[int]:
        """The host descriptors that the platform holds."""
        return super().descriptors() | set(self._vm.descriptors())

    def auxv(self) -> dict[int, int]:
        return {
            AT_HWCAP: self.cpu.leaf(1)[3],
            AT_HWCAP2: 2 if self.cpu.fsgsbase else 0,
            AT_PAGESZ: PAGE_SIZE,
            AT_CLKTCK: 100,
            AT_MINSIGSTKSZ: self.states.size + _FRAME_ROOM,
        }

    def _release(self) -> None:
        with contextlib.suppress(OSError):  # a confined supervisor may not, and ends
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.sigtimedwait((TICK_SIGNAL,), 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        for name in ("cpu", "_vm"):
            made = getattr(self, name, None)
            if made is not None:
                made.close()

    # -- threads ----------------------------------------------------------------------------------------------

    def forget(self, thread: KvmThread) -> None:
        super().forget(thread)
        if self.owner is thread:
            self.owner = None

    def _interrupting(self) -> bool:
        """A tick: whether anybody but the thread that runs has something to do."""
        now = time.monotonic_ns()
        return bool(self._ready and self._slice_is_over(now)) or self._waited_for(now)

    def _slice_is_over(self, now: int) -> bool:
        return now - self._began >= _SLICE_NS

    def cloned(self) -> None:
        """Who has cloned goes on first, as programs on Linux find it: that took a good part of its slice."""
        self._began = time.monotonic_ns()

    # -- a turn -----------------------------------------------------------------------------------------------

    def _begin(self, thread: KvmThread, now: int) -> None:
        if self._last is not thread:
            self._last, self._patience, self._began = thread, _PATIENCE, now
        self._goes_on, self._ticked = True, False

    def _end(self, thread: KvmThread) -> None:
        self._patience -= 1
        if self._goes_on and self._patience:  # the kernel's own work comes in between, not other threads
            self._ready.rotate()
        else:
            self._last = None

    def _run(self, thread: KvmThread, task: Task) -> bool:
        self._goes_on = self._until_event(thread, task)
        return self._goes_on and not (self._ticked or self.events.work)

    def _until_event(self, thread: KvmThread, task: Task) -> bool:
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
        self._deadline = 0  # a timer may have been set: the next tick ends this poll, whose deadline is not the first
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

    def _saved(self, thread: KvmThread) -> KvmContext:
        return KvmContext(thread)

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
            self._leave()
            self._wait_for_disk(thread, page)
            return False
        except KernelError:
            self.exhausted(thread)
            return False
        return True
