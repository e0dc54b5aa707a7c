"""Threads of scripted guests: registers, calls, clones and signal handlers of a Python generator.

A thread runs a stack of scripts: its program, and above it the handlers of signals that interrupt each other. Each
script has a place of its own for its ``syscall`` instruction, so that the saved registers of a signal frame say
truthfully where the interrupted script stands: behind its call, or at it, to make it again.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pylitebox.abi.mman import MAP_PRIVATE, PROT_READ, PROT_WRITE, page_up
from pylitebox.abi.sched import CLONE_SETTLS, CLONE_THREAD, CLONE_VFORK, CLONE_VM
from pylitebox.abi.signal import SIGINFO_SIZE, SIGSEGV
from pylitebox.kernel.platform import NOTHING, Limit, Usage
from pylitebox.south.mock.guest import (
    Access,
    Call,
    Fault,
    Function,
    Guest,
    GuestFailure,
    Heap,
    Pause,
    Script,
    describe,
    registers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.image import Image
    from pylitebox.kernel.memory.space import Space
    from pylitebox.kernel.platform import Area, Ids, Map, Unmap
    from pylitebox.kernel.task import Task
    from pylitebox.south.mock.memory import MockAddressSpace
    from pylitebox.south.mock.platform import MockPlatform

_MASK = (1 << 64) - 1
#: Indexes in struct sigcontext.
_R10, _R8, _R9, RDI, RSI, RDX, RAX, RCX, RSP, RIP, EFLAGS = 2, 0, 1, 8, 9, 12, 13, 14, 15, 16, 17
_ARGUMENTS = (RDI, RSI, RDX, _R10, _R8, _R9)
#: Where scripts' syscall instructions lie, 16 bytes for each.
_SITES = 0x200000000
_NR_EXIT, _NR_EXIT_GROUP, _NR_RT_SIGRETURN = 60, 231, 15
_NR_CLONE, _NR_FORK, _NR_VFORK = 56, 57, 58


class MockContext:
    """MachineContext of the contract."""

    def __init__(self) -> None:
        self.gregs = [0] * 24
        self.gregs[EFLAGS] = 0x202
        #: The extended state, as far as anyone can tell: what was last restored.
        self.fpstate_address = 0

    def fpstate(self) -> bytes:
        return bytes(512)

    def set_fpstate(self, address: int) -> None:
        self.fpstate_address = address

    def copy(self) -> MockContext:
        context = MockContext()
        context.gregs = list(self.gregs)
        return context


class MockProcess:
    """The threads of one address space that end together."""

    def __init__(self, space: MockAddressSpace, heap: Heap) -> None:
        self.space = space
        self.heap = heap
        self.threads: set[MockThread] = set()
        self.dead = False


class _Frame:
    """One script: the program or a handler. ``call`` is what it waits for."""

    __slots__ = ("begun", "call", "script", "site")

    def __init__(self, script: Script, site: int) -> None:
        self.script = script
        self.site = site
        self.begun = False
        self.call: Call | Access | None = None


class MockThread:
    """GuestThread of the contract. ``state``: empty, ready, parked, held or dead."""

    def __init__(self, platform: MockPlatform, process: MockProcess) -> None:
        self.platform = platform
        self.process = process
        self.space = process.space
        self.memory = process.space.memory
        self.fs_base = self.gs_base = 0
        self.heap = process.heap
        self.task: Task | None = None
        self.blocked = 0
        self.state = "empty"
        self.context = MockContext()
        self.initial_stack = 0
        self.kick_wanted = False
        #: What the platform was told of dispositions, by signal.
        self.actions: dict[int, bytes] = {}
        self._frames: list[_Frame] = []
        self._child: Function | None = None  # of the clone it is in
        self._clone_flags = 0
        self._start: Function | None = None
        self._cloned = False  # it began as a copy of another thread
        self._vforked = 0  # the child that the call in progress made by vfork
        process.threads.add(self)

    def __repr__(self) -> str:
        return f"<MockThread {self.task!r} {self.state}>"

    # -- the contract -----------------------------------------------------------------------------------------

    def complete(self, result: int) -> None:
        if self.state == "dead":
            return
        assert self.state == "parked", f"complete({result}) of {self!r}"
        self.context.gregs[RAX] = result & _MASK
        self._ready()

    def kick(self) -> None:
        self.kick_wanted = True
        if self.state == "held":
            self._ready()

    def clone(self, child: Task, flags: int) -> int | None:
        assert self._child is not None, "a scripted guest clones by g.fork, g.vfork, g.clone or g.thread"
        if flags & CLONE_THREAD:
            process = self.process
        elif flags & CLONE_VM:
            process = MockProcess(self.space, self.heap)
        else:
            process = MockProcess(self.space.fork(), Heap(self.heap.next))
        self.platform.processes.add(process)
        thread = MockThread(self.platform, process)
        thread.task = child
        gregs = self.context.gregs
        thread.context = self.context.copy()
        thread.context.gregs[RAX] = 0
        thread.fs_base = self.fs_base
        if gregs[RAX] == _NR_CLONE:
            thread.context.gregs[RSP] = gregs[RSI] or gregs[RSP]
            if flags & CLONE_SETTLS:
                thread.fs_base = gregs[_R8]
        thread.gs_base = self.gs_base
        thread.actions = dict(self.actions) if not flags & CLONE_THREAD else self.actions
        thread.initial_stack = self.initial_stack
        thread.blocked = child.blocked
        thread._start, thread._cloned = self._child, True
        child.thread, child.memory = thread, thread.memory
        thread._ready()
        if flags & CLONE_VFORK:
            self._vforked = child.tid
        return child.tid

    def exit(self) -> None:
        assert self.task is None or self.context.gregs[RAX] in {_NR_EXIT, _NR_EXIT_GROUP}, "exit() outside exit(2)"
        if self.context.gregs[RAX] == _NR_EXIT_GROUP:
            self.kill()
        else:
            self.die()

    def kill(self) -> None:
        self.process.dead = True
        for thread in tuple(self.process.threads):
            thread.die()

    def load(self, image: Image) -> None:
        program = self.platform.program(image.entry)
        if self.platform.delegates_memory:
            self._fill(image)
        self.initial_stack = image.stack_pointer
        self.context.gregs[RSP] = image.stack_pointer
        self._start = program
        self._ready()

    def _fill(self, image: Image) -> None:
        for mapping in image.mappings:
            self.memory.map(
                mapping.size,
                address=mapping.address,
                prot=mapping.prot,
                content=mapping.source,
                offset=mapping.offset,
            )
        for address, size in image.zero:
            self.memory.poke(address, bytes(size))
        for address, data in image.data:
            self.memory.write(address, data)
        for source in image.sources:
            source.close()

    def change_memory(self, change: Map | Unmap | Limit, done: Callable[[int], None] | None = None) -> int | None:
        assert not isinstance(change, Limit), "of memory that is not delegated"
        result = self.memory.change(change)
        if done is None:
            return result
        done(result)
        return None

    def attend(self, *, waits: bool) -> None:
        """Masks change only by calls here."""

    def program_break(self) -> int:
        return 0

    def ids_changed(self, ids: Ids) -> None:
        """Each call asks."""

    def recall(self) -> None:
        """Nothing was kept."""

    def action_changed(self, signo: int, action: bytes) -> None:
        self.actions[signo] = action

    def stack_pointer(self) -> int:
        return self.context.gregs[RSP]

    def cpu_time(self, *, alone: bool = False) -> int:
        """No time: a scripted guest computes outside the virtual clock."""
        return 0

    def usage(self, *, alone: bool = False) -> Usage:
        return NOTHING

    def asleep(self) -> bool:
        return False

    def areas(self, *, detailed: bool = False) -> list[Area]:
        return self.memory.areas()

    # -- what a script does without a call --------------------------------------------------------------------

    def map_pages(self, size: int, *, address: int = 0, prot: int = PROT_READ | PROT_WRITE) -> int:
        """Map anonymous memory, with nothing behind; its address."""
        space = self._areas()
        if space is None:
            return self.memory.map(size, address=address, prot=prot)
        assert self.task is not None
        size = page_up(size)
        return space.map(self.task, address or self.memory.pick(size), size, prot, MAP_PRIVATE, None)

    def protect_pages(self, address: int, size: int, prot: int) -> None:
        space = self._areas()
        if space is None:
            self.memory.protect(address, size, prot)
        else:
            assert self.task is not None
            for _ in space.protect(self.task, address, address + page_up(size), prot):
                pass

    def _areas(self) -> Space | None:
        return self.task.process.layout.space if self.task is not None else None

    # -- running ----------------------------------------------------------------------------------------------

    def _ready(self) -> None:
        self.state = "ready"
        self.platform.enqueue(self)

    def die(self) -> None:
        """Be gone; scripts see GeneratorExit."""
        if self.state == "dead":
            return
        self.state = "dead"
        self.process.threads.discard(self)
        for frame in reversed(self._frames):
            if inspect.getgeneratorstate(frame.script) != inspect.GEN_RUNNING:
                frame.script.close()
        self._frames.clear()

    def step(self) -> None:
        """Go on up to the next system call (or fault), and make it."""
        task, events = self.task, self.platform.events
        assert task is not None
        assert self.state == "ready", repr(self)
        if self._start is not None:
            start, self._start = self._start, None
            self._enter(start, Guest(self))
            if self._cloned:
                events.started(task)
                if self.state == "dead":
                    return
        self.state = "running"
        if self._vforked:
            child, self._vforked = self._vforked, 0
            self._answer(events.vfork_wait(task, child))
            return
        if self.kick_wanted:
            self.kick_wanted = False
            self._go_on(events.safe_point(task, self.context))
            return
        self._run(task)

    def _go_on(self, allowed: bool) -> None:
        """A safe point is over."""
        if self.state != "running":
            return
        if allowed or self.kick_wanted:
            self._ready()
        else:
            self.state = "held"

    def _answer(self, result: int | None) -> None:
        """A call was made: its result, or it goes on later."""
        if self.state != "running":
            return  # it ended the thread
        if result is None:
            self.state = "parked"
        else:
            self.context.gregs[RAX] = result & _MASK
            self._ready()

    def _enter(self, function: Function, *arguments: Any) -> None:
        frame = _Frame(_script(function, arguments), _SITES + 16 * len(self._frames))
        self._frames.append(frame)
        self.context.gregs[RIP] = frame.site + 2

    def _run(self, task: Task) -> None:
        """Go on where the instruction pointer says."""
        gregs = self.context.gregs
        rip = gregs[RIP]
        handler = self.platform.function(rip)
        if handler is not None:
            self._enter(handler, Guest(self), gregs[RDI], gregs[RSI], gregs[RDX])
            rip = gregs[RIP]
        frame = self._frames[-1]
        if rip == frame.site and isinstance(frame.call, Access):
            self._access(task, frame, frame.call)
            return
        if rip == frame.site and frame.call is not None:
            self._make(task, gregs[RAX], tuple(gregs[r] for r in _ARGUMENTS))
            return
        if rip != frame.site + 2:
            self._raise(task, SIGSEGV, rip)
            return
        try:
            request = self._resume(frame)
        except StopIteration as stop:
            self._finished(task, int(stop.value or 0))
            return
        except Exception as error:  # noqa: BLE001 - the script's failure is the test's
            self.platform.failures.append(error)
            self._frames.pop()
            self._make(task, _NR_EXIT_GROUP, (255, 0, 0, 0, 0, 0))
            return
        self._request(task, frame, request)

    def _resume(self, frame: _Frame) -> object:
        """Send a script its call's result; what it does next."""
        if not frame.begun:
            frame.begun = True
            return next(frame.script)
        value = (self.context.gregs[RAX] ^ 1 << 63) - (1 << 63)
        call = frame.call
        if isinstance(call, Call) and call.must and -4096 < value < 0:
            return frame.script.throw(GuestFailure(f"{call!r} failed with {describe(value)}"))
        return frame.script.send(value)

    def _request(self, task: Task, frame: _Frame, request: object) -> None:
        gregs = self.context.gregs
        gregs[RIP] = frame.site + 2
        frame.call = None
        if isinstance(request, Call):
            frame.call = request
            for register, value in zip(_ARGUMENTS, registers(self, request), strict=True):
                gregs[register] = value
            gregs[RAX] = request.number
            gregs[RCX] = gregs[RIP]
            self._child = request.child
            self._make(task, request.number, tuple(gregs[r] for r in _ARGUMENTS))
        elif isinstance(request, Access):
            self._access(task, frame, request)
        elif isinstance(request, Fault):
            self._raise(task, request.signo, request.address, request.code)
        elif isinstance(request, Pause):
            self._ready()
        else:
            self.platform.failures.append(TypeError(f"a script yielded {request!r}, which is no system call"))
            self._make(task, _NR_EXIT_GROUP, (255, 0, 0, 0, 0, 0))

    def _make(self, task: Task, number: int, args: tuple[int, ...]) -> None:
        self.context.gregs[RAX] = number
        self.context.gregs[RIP] = self._frames[-1].site + 2 if self._frames else 2
        self.platform.now_ns += self.platform.tick_ns
        result = self.platform.events.syscall(task, number, args)  # type: ignore[arg-type]
        self._answer(result)

    def _access(self, task: Task, frame: _Frame, access: Access) -> None:
        gregs = self.context.gregs
        frame.call, gregs[RIP] = access, frame.site
        fault = self.memory.fault(access.address, write=access.value is not None)
        if fault is not None:
            self._raise(task, fault[0], access.address, fault[1])
            return
        gregs[RIP] = frame.site + 2
        if access.value is None:
            gregs[RAX] = self.memory.read(access.address, 1)[0]
        else:
            self.memory.write(access.address, bytes((access.value,)))
            gregs[RAX] = 0
        self._ready()

    def _raise(self, task: Task, signo: int, address: int, code: int = 1) -> None:
        info = bytearray(SIGINFO_SIZE)
        info[0:4] = signo.to_bytes(4, "little")
        info[8:12] = code.to_bytes(4, "little")
        info[16:24] = address.to_bytes(8, "little")
        self._go_on(self.platform.events.fault(task, self.context, signo, bytes(info)))

    def _finished(self, task: Task, value: int) -> None:
        """A script returned: the program exits, a handler returns into its frame's restorer."""
        self._frames.pop()
        if not self._frames:
            last = len(self.process.threads) == 1
            self._make(
                task, _NR_EXIT_GROUP if last or task.tid == task.process.pid else _NR_EXIT, (value, 0, 0, 0, 0, 0)
            )
            return
        gregs = self.context.gregs
        gregs[RSP] += 8  # the restorer's address is taken off by the return
        gregs[RAX] = _NR_RT_SIGRETURN
        gregs[RIP] = self.platform.restorer
        self._go_on(self.platform.events.sigreturn(task, self.context))


def _script(function: Function, arguments: tuple[Any, ...]) -> Script:
    """A function as a script, whether it makes calls or not."""
    result = function(*arguments)
    return (yield from result) if inspect.isgenerator(result) else result
