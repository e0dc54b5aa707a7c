"""The emulator platform: all threads of all guests take turns on one CPU in software.

:meth:`EmulatorPlatform.poll` lets the next ready thread run for a slice. A system call is answered from within the run
(a hook of the engine); the run ends when the thread must wait or stand at a safe point, when it has made a fault, when
the kernel has work of its own (:attr:`GuestEvents.work`), or when the ticker says that the slice is over. When nobody
is ready, poll sleeps until a watched descriptor or the deadline.

One CPU means that atomic instructions are atomic; a slice ends only between blocks of translated code.

Missing: more than one CPU; si_addr of an access to data is the start of its page, which is all that a fill is told.
"""

from __future__ import annotations

import ctypes
import struct
import threading
import time
from typing import TYPE_CHECKING

from pylitebox.abi.auxv import AT_CLKTCK, AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ, AT_PAGESZ
from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.south import faults
from pylitebox.south.emulator import engine as e
from pylitebox.south.emulator.context import GREG_CR2, GREG_ERR, GREG_TRAPNO, EmulatorContext
from pylitebox.south.emulator.engine import Engine, Registers
from pylitebox.south.emulator.thread import EmulatorThread
from pylitebox.south.paging import Fault, PagedSpace
from pylitebox.south.turns import NR_RT_SIGRETURN, TurnPlatform, TurnProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.platform import GuestThread
    from pylitebox.kernel.task import Task

#: Guest memory unless another size is asked for; the host gives what is touched.
DEFAULT_MEMORY = 2 << 30
#: How long a thread runs while others are ready, and how late a watched descriptor may be noticed.
SLICE_S = 0.004
#: A block of translated code has ended after so much CPU time.
_QUIET_NS = 500_000
#: Calls that a thread goes on making while the kernel has work for others.
_PATIENCE = 16
#: Freed frames with translated code at which the translations are dropped.
_RETIRED = 1024
_NEED = {e.READ: PROT_READ, e.WRITE: PROT_WRITE, e.FETCH: PROT_EXEC}
_MASK = (1 << 64) - 1
#: What cpuid's leaf 1 says in edx; FSGSBASE is usable.
_HWCAP, _HWCAP2 = 0x078BFBFD, 2
CALL = Registers(e.RAX, e.RDI, e.RSI, e.RDX, e.R10, e.R8, e.R9, e.RIP, e.RFLAGS)
RESULT = Registers(e.RAX, e.RCX, e.R11)
unpack_call, pack_result = struct.Struct("<9Q").unpack_from, struct.Struct("<3Q").pack_into


class EmulatorPlatform(TurnPlatform["EmulatorThread"]):
    """Platform of the contract. ``memory``: bytes of guest memory, for all guests together."""

    name = "emulator"

    def __init__(self, *, memory: int = DEFAULT_MEMORY, urandom: int | None = None) -> None:
        """``urandom``: a descriptor of /dev/urandom, for a process that may not call getrandom(2)."""
        super().__init__(memory, urandom)
        self.physical.code_written = self._code_written
        self._view = ctypes.c_char.from_buffer(self.physical.bytes)
        self.engine = Engine(
            ctypes.addressof(self._view),
            self.physical.frames * PAGE_SIZE,
            syscall=self._syscall,
            fill=self._fill,
            trap=self._trapped,
        )
        self._spare: list[ctypes.c_void_p] = []
        self._space: PagedSpace | None = None
        self._table: dict[int, int] = {}
        self._ticker = _Ticker(self._others_wait, self.engine.stop)
        # why a run ended
        self._trap: faults.Trap | int | None = None
        self._waits: int | None = None  # for a page that a disk has
        self._exhausted = False
        self._again = False
        self._called = False
        self._result: int | None = None
        self._stale = False  # the TLB
        self._code_stale = False
        self._patience = _PATIENCE

    # -- the contract -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start what needs a thread of the host; before the process is confined."""
        self._ticker.start()

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        ready(EmulatorThread(self, TurnProcess(), PagedSpace(self.cache, self)))

    def auxv(self) -> dict[int, int]:
        return {AT_HWCAP: _HWCAP, AT_HWCAP2: _HWCAP2, AT_PAGESZ: PAGE_SIZE, AT_CLKTCK: 100, AT_MINSIGSTKSZ: 1024}

    def _release(self) -> None:
        self._ticker.end()
        self.engine.close()

    # -- threads ----------------------------------------------------------------------------------------------

    def new_state(self) -> ctypes.c_void_p:
        """A saved CPU with clean registers."""
        state = self._spare.pop() if self._spare else self.engine.new_context()
        self.engine.reset(state)
        return state

    def forget(self, thread: EmulatorThread) -> None:
        super().forget(thread)
        self._spare.append(thread.state)

    # -- a turn -----------------------------------------------------------------------------------------------

    def _others_wait(self) -> bool:
        """Asked by the ticker."""
        return bool(self._ready) or self._waited_for(time.monotonic_ns())

    def _begin(self, thread: EmulatorThread, now: int) -> None:
        self._ticker.busy(now, self._deadline)
        self._patience = _PATIENCE

    def _rest(self) -> None:
        self._ticker.rest()

    def _run(self, thread: EmulatorThread, task: Task) -> bool:
        """Run until something happens, and deal with it; whether the thread goes on at once."""
        engine = self.engine
        self._enter(thread)
        self._called = False
        self._ticker.running = True
        failed = engine.start(engine.read(e.RIP))
        self._ticker.running = False
        if self._code_stale or self.physical.retired > _RETIRED:
            self._drop_code()
        if thread.mode == "dead":
            return False
        trap, self._trap = self._trap, None
        if trap is not None:
            return self._fault(thread, task, trap)
        waits, self._waits = self._waits, None
        if waits is not None:
            self._wait_for_disk(thread, waits)
            return False
        if self._exhausted:
            self._exhausted = False
            if not self.physical.retired:
                self.exhausted(thread)
                return False
            self._drop_code()
            return True
        if self._called:
            return self._after_call(thread, task)
        if self._again:
            self._again = False
            return False
        if failed:  # nothing that a guest can bring about
            self.lose(thread)
        return False

    def _enter(self, thread: EmulatorThread) -> None:
        """Make the CPU the thread's."""
        engine = self.engine
        if self.current is not thread:
            self._leave()
            engine.restore(thread.state)
            self.current = thread
            engine.current = thread.state
            if self._space is not thread.space:
                self._space = thread.space
                self._table = thread.space.table
                self._stale = True
        if self._stale:
            self._stale = False
            engine.flush_tlb()

    def _leave(self) -> None:
        """Nobody's registers are in the CPU any more."""
        if self.current is not None:
            self.engine.save(self.current.state)
            self.current = None

    def _drop_code(self) -> None:
        self._code_stale = False
        self.engine.flush_code()
        self.physical.settle()

    # -- calls ------------------------------------------------------------------------------------------------

    def _syscall(self) -> None:
        """A hook of the engine: the current thread stands at a syscall instruction."""
        thread, engine, ticker = self.current, self.engine, self._ticker
        assert thread is not None
        ticker.hooks += 1
        engine.read_batch(engine.place, CALL.ids, CALL.places, 9)
        number, a, b, c, d, f, g, rip, flags = unpack_call(CALL.bytes)
        thread.number = number = number & 0xFFFFFFFF
        thread.args = args = a, b, c, d, f, g
        thread.rip = rip = rip + 2
        if number == NR_RT_SIGRETURN:
            self._called, self._result = True, None
            engine.stop()
            return
        result = self.events.syscall(thread.task, number, args)  # type: ignore[arg-type]
        if thread.vforked:
            child, thread.vforked = thread.vforked, 0
            result = self.events.vfork_wait(thread.task, child)  # type: ignore[arg-type]
        if result is not None and thread.mode == "running":
            pack_result(RESULT.bytes, 0, result & _MASK, rip, flags)
            engine.write_batch(engine.place, RESULT.ids, RESULT.places, 3)
            if self._stale:
                self._stale = False
                engine.flush_tlb()
            if not (thread.kick_wanted or self._code_stale or ticker.due or (self.events.work and self._impatient())):
                return
        self._called, self._result = True, result
        engine.stop()

    def _impatient(self) -> bool:
        self._patience -= 1
        return self._patience < 0

    def _after_call(self, thread: EmulatorThread, task: Task) -> bool:
        if thread.number == NR_RT_SIGRETURN and self._result is None:
            context = self._context(thread)
            return self._settle(thread, context, self.events.sigreturn(task, context))
        if self._result is None:
            if thread.mode == "running":
                RESULT.words[:3] = [_MASK, thread.rip, self.engine.read(e.RFLAGS)]
                self.engine.write_batch(self.engine.place, RESULT.ids, RESULT.places, 3)
                thread.mode = "parked"
            return False
        return self._patience >= 0 and not self._ticker.due

    # -- safe points and faults -------------------------------------------------------------------------------

    def _saved(self, thread: EmulatorThread) -> EmulatorContext:
        return EmulatorContext(thread)

    def _fault(self, thread: EmulatorThread, task: Task, trap: faults.Trap | int) -> bool:
        engine = self.engine
        if isinstance(trap, int):
            rip = engine.read(e.RIP)
            if trap >= 32:
                rip -= 2
                engine.write(e.RIP, rip)
            trap = faults.exception(trap, rip, engine.read(e.FPSW) & ~engine.read(e.FPCW))
        elif trap.error & faults.FETCHED and trap.address:  # a fill knows the page alone
            trap = trap._replace(address=engine.read(e.RIP))
        context = self._context(thread)
        context.gregs[GREG_TRAPNO], context.gregs[GREG_ERR] = trap.number, trap.error
        if trap.number == faults.PAGE_FAULT:
            context.gregs[GREG_CR2] = trap.address
        return self._settle(thread, context, self.events.fault(task, context, trap.signo, trap.siginfo()))

    def _trapped(self, number: int) -> None:
        """A hook of the engine: an exception, or an interrupt instruction."""
        self._trap = number

    # -- pages ------------------------------------------------------------------------------------------------

    def _fill(self, address: int, what: int) -> int:
        """A hook of the engine: the TLB lacks a page, or a right of it."""
        ticker = self._ticker
        ticker.hooks += 1
        if ticker.due:  # the access is made again in the next slice
            self._again = True
            return -1
        page, need = address >> 12, _NEED[what]
        entry = self._table.get(page, 0)
        if not entry & need:
            space, thread = self._space, self.current
            assert space is not None
            assert thread is not None
            thread.faults += 1
            thread.process.faults += 1
            try:
                entry = space.touch(page, need)
            except Fault as fault:
                error = faults.error_code(write=what == e.WRITE, fetch=what == e.FETCH, present=page in self._table)
                self._trap = faults.page_fault(fault.signo, fault.code, address, error)
                return -1
            except WouldBlock:
                self._waits = page
                return -1
            except KernelError:
                self._exhausted = True
                return -1
            if self._stale:
                self._stale = False
                self.engine.flush_tlb()
        if need == PROT_EXEC:
            self.physical.code.add(entry >> 12)
        return entry

    def stale(self, space: PagedSpace, first: int, last: int) -> None:
        """Observer of address spaces."""
        if space is self._space:
            self._stale = True

    def _code_written(self) -> None:
        self._code_stale = True


class _Ticker:
    """A thread that ends slices if anybody waits for that. It rests while nobody is ready.

    It says that a slice is :attr:`due`, and the hooks end the run at a point that is exact. Only a thread that computes
    without any hook is stopped from here; a stop that came while an access waits for its fill would lose the program
    counter (Unicorn goes on behind the access, and says that it stands at it), so there must have been none for so
    much CPU time that the block of the last one has ended, and one that begins after the stop is refused.
    """

    def __init__(self, others_wait: Callable[[], bool], stop: Callable[[], None]) -> None:
        self._others_wait = others_wait
        self._stop = stop
        self._wanted = threading.Event()
        self._length = SLICE_S
        self._ended = False
        self._thread: threading.Thread | None = None
        self._clock = _clock_of_this_thread()
        self.running = False
        self.due = False
        self.hooks = 0  # how often a hook was called

    def start(self) -> None:
        self._thread = threading.Thread(target=self._tick, name="ticker", daemon=True)
        self._thread.start()

    def busy(self, now: int, deadline: int | None) -> None:
        """A turn begins."""
        self.due = False
        left = SLICE_S if deadline is None else (deadline - now) / 1e9
        self._length = SLICE_S if left > SLICE_S else max(0.001, left)
        if not self._wanted.is_set():
            self._wanted.set()

    def rest(self) -> None:
        """Nobody is ready."""
        self._wanted.clear()

    def end(self) -> None:
        """It is over when this returns: what it would stop may be closed."""
        self._ended = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _tick(self) -> None:
        while not self._ended:
            self._wanted.wait()
            time.sleep(self._length)
            if self.running and not self._ended and self._others_wait():
                self.due = True
                self._end_slice()

    def _end_slice(self) -> None:
        hooks, used = self.hooks, self._clock()
        while self.running and self.due and not self._ended:
            time.sleep(_QUIET_NS / 1e9)
            if hooks != self.hooks:
                hooks, used = self.hooks, self._clock()
            elif self._clock() - used > _QUIET_NS and self.running and self.due:
                self._stop()
                return


def _clock_of_this_thread() -> Callable[[], int]:
    """The CPU time (ns) of the calling thread, to be asked for by others; else the time, in steps of a tenth."""
    if hasattr(time, "pthread_getcpuclockid"):
        clock = time.pthread_getcpuclockid(threading.get_ident())
        return lambda: time.clock_gettime_ns(clock)
    return lambda: time.monotonic_ns() // 10
