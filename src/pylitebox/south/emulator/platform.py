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
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from pylitebox.abi.auxv import AT_CLKTCK, AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ, AT_PAGESZ
from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.south import faults, watching
from pylitebox.south.emulator import engine as e
from pylitebox.south.emulator.context import GREG_CR2, GREG_ERR, GREG_TRAPNO, EmulatorContext
from pylitebox.south.emulator.engine import Engine, Registers
from pylitebox.south.emulator.thread import NR_RT_SIGRETURN, EmulatorProcess, EmulatorThread
from pylitebox.south.paging import Fault, PageCache, PagedBuffer, PagedSpace, PhysicalMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.platform import GuestEvents, GuestThread, MapSource
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
_CALL = Registers(e.RAX, e.RDI, e.RSI, e.RDX, e.R10, e.R8, e.R9, e.RIP, e.RFLAGS)
_RESULT = Registers(e.RAX, e.RCX, e.R11)


class EmulatorPlatform:
    """Platform of the contract. ``memory``: bytes of guest memory, for all guests together."""

    name = "emulator"
    delegates_memory = False
    reserved: tuple[tuple[int, int], ...] = ()

    def __init__(self, *, memory: int = DEFAULT_MEMORY, urandom: int | None = None) -> None:
        """``urandom``: a descriptor of /dev/urandom, for a process that may not call getrandom(2)."""
        self._urandom = urandom
        self.physical = PhysicalMemory(memory)
        self.cache = PageCache(self.physical)
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
        self.current: EmulatorThread | None = None
        self._space: PagedSpace | None = None
        self._table: dict[int, int] = {}
        self._ready: deque[EmulatorThread] = deque()
        self._watching = watching.make()
        self._looked = 0  # when descriptors were looked at, monotonic ns
        self._ticker = _Ticker(self.engine.stop)
        # why a run ended
        self._trap: faults.Trap | int | None = None
        self._waits: MapSource | None = None
        self._exhausted = False
        self._again = False
        self._called = False
        self._result: int | None = None
        self._stale = False  # the TLB
        self._code_stale = False
        self._patience = _PATIENCE
        self._closed = False

    # -- the contract -----------------------------------------------------------------------------------------

    def attach(self, events: GuestEvents) -> None:
        self.events = events

    def start(self) -> None:
        """Start what needs a thread of the host; before the process is confined."""
        self._ticker.start()

    def poll(self, deadline: int | None) -> None:
        ready = self._ready
        now = time.monotonic_ns()
        if not ready:
            self._ticker.rest()
            self._watching.wait(deadline)
            self._looked = now
            return
        if now - self._looked > 1_000_000:
            self._looked = now
            self._watching.wait(0)
        if ready:
            self._turn(ready.popleft(), now, deadline)

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        process = EmulatorProcess()
        ready(EmulatorThread(self, process, PagedSpace(self.cache, self)))

    def bind(self, thread: GuestThread, task: Task) -> None:
        assert isinstance(thread, EmulatorThread)
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
        return self._watching.descriptors() | ({self._urandom} if self._urandom is not None else set())

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
        return {AT_HWCAP: _HWCAP, AT_HWCAP2: _HWCAP2, AT_PAGESZ: PAGE_SIZE, AT_CLKTCK: 100, AT_MINSIGSTKSZ: 1024}

    def cpu_count(self) -> int:
        return 1

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._ticker.end()
        self._ready.clear()
        self._watching.close()
        self.engine.close()

    # -- threads ----------------------------------------------------------------------------------------------

    def new_state(self) -> ctypes.c_void_p:
        """A saved CPU with clean registers."""
        state = self._spare.pop() if self._spare else self.engine.new_context()
        self.engine.reset(state)
        return state

    def enqueue(self, thread: EmulatorThread) -> None:
        if thread.mode != "dead":
            thread.mode = "ready"
            self._ready.append(thread)

    def forget(self, thread: EmulatorThread) -> None:
        """The thread is dead."""
        if self.current is thread:
            self.current = None
        self._spare.append(thread.state)

    def lose(self, thread: EmulatorThread) -> None:
        """End a guest process that cannot go on, and tell the kernel."""
        task = thread.task
        thread.kill()
        if task is not None:
            self.events.lost(task)

    # -- a turn -----------------------------------------------------------------------------------------------

    def _turn(self, thread: EmulatorThread, now: int, deadline: int | None) -> None:
        if thread.mode != "ready":
            return
        thread.mode = "running"
        task = thread.task
        assert task is not None
        if thread.fresh:
            thread.fresh = False
            self.events.started(task)
        self._ticker.busy(now, deadline)
        self._patience = _PATIENCE
        try:
            while thread.mode == "running" and (not thread.kick_wanted or self._safe_point(thread, task)):
                if not self._run(thread, task):
                    break
        finally:
            used = time.monotonic_ns() - now
            thread.cpu_ns += used
            thread.process.cpu_ns += used
        if thread.mode == "running":
            self.enqueue(thread)

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
        if self._waits is not None:
            self._wait_for_disk(thread)
            return False
        if self._exhausted:
            self._exhausted = False
            if not self.physical.retired:
                self.lose(thread)
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
        engine.read_batch(engine.handle, _CALL.ids, _CALL.places, 9)
        number, a, b, c, d, f, g, rip, flags = _CALL.words[:9]
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
            _RESULT.words[:3] = [result & _MASK, rip, flags]
            engine.write_batch(engine.handle, _RESULT.ids, _RESULT.places, 3)
            if self._stale:
                self._stale = False
                engine.flush_tlb()
            else:
                engine.grow_tlb()
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
                _RESULT.words[:3] = [_MASK, thread.rip, self.engine.read(e.RFLAGS)]
                self.engine.write_batch(self.engine.handle, _RESULT.ids, _RESULT.places, 3)
                thread.mode = "parked"
            return False
        return self._patience >= 0 and not self._ticker.due

    # -- safe points and faults -------------------------------------------------------------------------------

    def _context(self, thread: EmulatorThread) -> EmulatorContext:
        if self.current is thread:
            self._leave()
        return EmulatorContext(thread)

    def _safe_point(self, thread: EmulatorThread, task: Task) -> bool:
        context, thread.held = thread.held or self._context(thread), None
        thread.kick_wanted = False
        return self._settle(thread, context, self.events.safe_point(task, context))

    def _settle(self, thread: EmulatorThread, context: EmulatorContext, go_on: bool) -> bool:
        """After a safe point; whether the thread goes on."""
        if thread.mode == "dead":
            return False
        if go_on:
            context.commit()
            return True
        thread.mode = "held"
        thread.held = context
        if thread.kick_wanted:
            self.enqueue(thread)
        return False

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
                self._waits = space.source(page)
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

    def _wait_for_disk(self, thread: EmulatorThread) -> None:
        source, self._waits = self._waits, None
        queue = getattr(source, "ready", None)
        if queue is None:
            self.lose(thread)
            return
        thread.mode = "parked"

        def arrived() -> None:
            queue.unwatch(thread)
            self.enqueue(thread)

        queue.watch(thread, arrived)


class _Ticker:
    """A thread that ends slices. It rests while nobody is ready.

    It says that a slice is :attr:`due`, and the hooks end the run at a point that is exact. Only a thread that computes
    without any hook is stopped from here; a stop that came while an access waits for its fill would lose the program
    counter (Unicorn goes on behind the access, and says that it stands at it), so there must have been none for so
    much CPU time that the block of the last one has ended, and one that begins after the stop is refused.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
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
            if self.running and not self._ended:
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
