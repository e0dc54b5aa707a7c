"""The suite's kernel: it keeps the kernel's promises to a platform, and notes down whether the platform keeps its own.

A test says what calls answer (``driver.on[NUMBER] = function of the task and six arguments``), what happens at safe
points and faults, starts guests, and runs the loop until something has happened. Whatever the test is about,
:meth:`Driver.check` fails it for each event that the contract does not allow: one outside of ``poll``, one of a thread
that is parked, held or gone, one of a child before ``started``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE, page_up
from pylitebox.abi.sched import CLONE_THREAD, CLONE_VFORK, CLONE_VM
from pylitebox.kernel.image import Image, Mapping
from pylitebox.kernel.platform import NO_MEMORY
from tests.south.conformance import assembler as a

if TYPE_CHECKING:
    from tests.south.conformance.assembler import Code
    from tests.south.conformance.subject import Subject

RW, RX = PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC
#: Where a guest has its program, two pages of data with nothing behind them, a page that it may only read, one that it
#: may not touch, and its stack.
CODE, DATA, CONSTANT, FORBIDDEN, STACK = 0x400000, 0x10000000, 0x20000000, 0x30000000, 0x7FFF00000000
DATA_SIZE, STACK_SIZE = 2 * PAGE_SIZE, 16 * PAGE_SIZE
END = DATA + DATA_SIZE
#: Where brk(2) may go, where a platform answers it itself.
BREAK, BREAK_SIZE = 0x40000000, 16 * PAGE_SIZE
# Indexes in struct sigcontext.
R12, RDI, RBP, RBX, RAX, RCX, RSP, RIP, EFLAGS = 4, 8, 10, 11, 13, 14, 15, 16, 17
REGISTERS = 23
SIGCHLD = 17
_MASK = (1 << 64) - 1
_PATIENCE_NS = 20 * 10**9
_LOOK_NS = 50_000_000
#: No time passes on a platform whose clock is virtual while guests compute.
_POLLS = 20_000

Answer = Callable[..., "int | None"]


class Called(NamedTuple):
    tid: int
    number: int
    args: tuple[int, int, int, int, int, int]


class Said(NamedTuple):
    """``say`` of the assembler."""

    tid: int
    word: int
    value: int


class Faulted(NamedTuple):
    tid: int
    signo: int
    code: int
    address: int
    rip: int


class Process:
    """Threads that end together, in one address space (which others may share)."""

    def __init__(self, pid: int, room: Room) -> None:
        self.pid = pid
        self.room = room
        self.tasks: set[Task] = set()
        room.users += 1


class Room:
    """An address space and what is mapped in it; the kernel drops it with its last process."""

    def __init__(self, space: Any, sources: list[Any]) -> None:
        self.space = space  # None where the platform manages memory itself
        self.sources = sources
        self.users = 0

    def leave(self) -> None:
        self.users -= 1
        if not self.users:
            if self.space is not None:
                self.space.drop()
            for source in self.sources:
                source.close()
            self.sources = []


class Task:
    """What the contract lets a platform see of a task: ``tid``, ``blocked``, ``thread``, ``memory``."""

    def __init__(self, tid: int, process: Process) -> None:
        self.tid = tid
        self.process = process
        self.blocked = 0
        self.thread: Any = None
        self.memory: Any = NO_MEMORY
        # the suite's own
        self.state = "running"  # parked, held, ended
        self.started = True
        self.kicked = False
        self.finishing = False  # the platform finishes the call that it is in
        self.signals: list[tuple[int, int]] = []  # (number, handler) to be delivered at the next safe point
        self.frames: list[tuple[list[int], int]] = []  # what handlers interrupted: registers, extended state's address
        self.vforked_by: Task | None = None  # who stands still until this one has exec'd or ended
        process.tasks.add(self)

    def __repr__(self) -> str:
        return f"<Task {self.tid} {self.state}>"


class Driver:
    """GuestEvents, and the loop."""

    def __init__(self, subject: Subject, platform: Any) -> None:
        self.subject = subject
        self.platform = platform
        self.work: list[object] = []
        self.calls: list[Called] = []
        self.said: list[Said] = []
        self.faults: list[Faulted] = []
        self.safe_points: list[tuple[int, list[int]]] = []  # tid, registers
        self.begun: list[Task] = []
        self.lost_tasks: list[Task] = []
        self.failed_clones: list[int] = []
        self.tasks: dict[int, Task] = {}
        #: What calls answer: by number, with the task and the arguments.
        self.on: dict[int, Answer] = {
            a.SAY: self._say, a.ASK: lambda task, *args: 0, a.EXIT: self._exit, a.EXIT_GROUP: self._exit,
            a.CLONE: self._clone, a.FORK: self._fork, a.VFORK: self._vfork,
        }  # fmt: skip
        #: At a safe point after the signals: whether the thread goes on. A task whose number is here is held.
        self.stopped: set[int] = set()
        self.at_safe_point: Callable[[Task, Any], None] = lambda task, context: None
        #: What happens to a task whose program is about to be loaded.
        self.before_load: Callable[[Task], None] = lambda task: None
        #: What happens to a child that was just cloned.
        self.at_clone: Callable[[Task], None] = lambda child: None
        #: At a fault: whether the thread goes on; None: the process is killed.
        self.at_fault: Callable[[Task, Any, Faulted], bool] | None = None
        self._next = 1
        self._inside = 0
        self._broken: list[str] = []
        platform.attach(self)
        subject.start(platform)

    # -- the suite's eyes -------------------------------------------------------------------------------------

    def check(self) -> None:
        """Fail for whatever the contract does not allow."""
        assert self._broken == []

    def _expect(self, condition: object, what: str) -> None:
        """Events come from within calls of C, where nothing may be raised."""
        if not condition:
            self._broken.append(what)

    def _event(self, task: Task, name: str, *states: str) -> bool:
        self._expect(self._inside, f"{name} of {task} came from outside of poll")
        self._expect(task.started, f"{name} of {task} came before started")
        self._expect(task.state in (states or ("running",)), f"{name} of {task}")
        return task.state != "ended"

    def words(self, tid: int | None = None) -> list[tuple[int, int]]:
        """What was said, by one or all: (word, value)."""
        return [(said.word, said.value) for said in self.said if tid is None or said.tid == tid]

    # -- GuestEvents ------------------------------------------------------------------------------------------

    def syscall(self, task: Task, number: int, args: tuple[int, int, int, int, int, int]) -> int | None:
        if not self._event(task, f"syscall {number}"):
            return None
        self._expect(len(args) == 6 and all(0 <= value <= _MASK for value in args), f"syscall's arguments: {args}")
        self.calls.append(Called(task.tid, number, tuple(args)))
        try:
            result = self.on[number](task, *args) if number in self.on else -E.ENOSYS
        except Exception as error:  # noqa: BLE001 - as above
            self._broken.append(f"call {number}: {error!r}")
            return -E.EIO
        if result is None and task.state == "running" and not task.finishing:
            task.state = "parked"
        task.finishing = False
        return result

    def safe_point(self, task: Task, context: Any) -> bool:
        if not self._event(task, "safe_point", "running", "held"):
            return False
        self._expect(len(context.gregs) >= REGISTERS, "too few registers")
        self.safe_points.append((task.tid, list(context.gregs[:REGISTERS])))
        return self._settle(task, context)

    def fault(self, task: Task, context: Any, signo: int, siginfo: bytes) -> bool:
        if not self._event(task, f"fault {signo}"):
            return False
        first, code, address = struct.unpack_from("<i4xi4xQ", siginfo)
        self._expect(first == signo and len(siginfo) == 128, f"siginfo of {signo}: {siginfo!r}")
        fault = Faulted(task.tid, signo, code, address, context.gregs[RIP])
        self.faults.append(fault)
        if self.at_fault is None:
            self.kill(task)
            return False
        if not self.at_fault(task, context, fault):
            task.state = "held"
            return False
        return self._settle(task, context)

    def sigreturn(self, task: Task, context: Any) -> bool:
        if not self._event(task, "sigreturn"):
            return False
        if not task.frames:
            self.kill(task)
            return False
        gregs, address = task.frames.pop()
        context.gregs[:EFLAGS] = gregs[:EFLAGS]
        context.set_fpstate(address)
        return self._settle(task, context)

    def _settle(self, task: Task, context: Any) -> bool:
        task.kicked = False
        self.at_safe_point(task, context)
        while task.signals:
            self._enter_handler(task, context, *task.signals.pop(0))
        if task.tid in self.stopped:
            task.state = "held"
            return False
        task.state = "running"
        return True

    def _enter_handler(self, task: Task, context: Any, signo: int, handler: int) -> None:
        """As a kernel does it: the extended state on the guest's stack, and a clean one for the handler."""
        gregs, state = context.gregs, context.fpstate()
        self._expect(len(state) >= 512, "the extended state is shorter than FXSAVE's")
        address = gregs[RSP] - 128 - len(state) & -64
        task.memory.write(address, state)
        task.frames.append((list(gregs), address))
        gregs[RDI], gregs[RAX], gregs[RSP], gregs[RIP] = signo, 0, address - 8, handler
        context.set_fpstate(0)

    def started(self, task: Task) -> None:
        self._expect(self._inside, f"started of {task} came from outside of poll")
        self._expect(not task.started, f"{task} started twice")
        self._expect(task.thread is not None and task.memory is not NO_MEMORY, f"{task} started without a thread")
        task.started = True
        self.begun.append(task)

    def clone_failed(self, parent: Task, tid: int) -> None:
        self.failed_clones.append(tid)
        self._end(self.tasks[tid])

    def vfork_wait(self, parent: Task, tid: int) -> int | None:
        child = self.tasks.get(tid)
        if child is None or child.vforked_by is None:
            return tid
        parent.state = "parked"
        return None

    def lost(self, task: Task, error: Exception | None = None) -> None:
        self._expect(self._inside, f"lost of {task} came from outside of poll")
        self._expect(task.state != "ended", f"{task} was lost after its end")
        self.lost_tasks.append(task)
        task.thread = None
        for other in list(task.process.tasks):
            self._end(other)

    # -- calls ------------------------------------------------------------------------------------------------

    def _say(self, task: Task, word: int, value: int, *rest: int) -> int:
        self.said.append(Said(task.tid, word, value))
        return 0

    def _exit(self, task: Task, status: int, *rest: int) -> None:
        whole = self.calls[-1].number == a.EXIT_GROUP
        thread = task.thread
        for other in list(task.process.tasks) if whole else [task]:
            self._forget(other)
        thread.exit()
        self._leave(task.process)

    def _forget(self, task: Task) -> None:
        task.state, task.thread, task.memory = "ended", None, NO_MEMORY
        task.process.tasks.discard(task)
        self.tasks.pop(task.tid, None)
        self._release(task)

    def _end(self, task: Task) -> None:
        self._forget(task)
        self._leave(task.process)

    def _leave(self, process: Process) -> None:
        if not process.tasks:
            process.room.leave()

    def _release(self, task: Task) -> None:
        """The parent of a vfork goes on."""
        parent, task.vforked_by = task.vforked_by, None
        if parent is not None and parent.state == "parked":
            self.complete(parent, task.tid)

    def _fork(self, task: Task, *rest: int) -> int | None:
        return self._clone(task, SIGCHLD)

    def _vfork(self, task: Task, *rest: int) -> int | None:
        return self._clone(task, CLONE_VM | CLONE_VFORK | SIGCHLD)

    def _clone(self, task: Task, flags: int, *rest: int) -> int | None:
        tid = self._new_id()
        room = task.process.room
        if flags & CLONE_THREAD:
            process = task.process
        elif flags & CLONE_VM or self.platform.delegates_memory:
            process = Process(tid, room if flags & CLONE_VM else Room(None, []))
        else:
            process = Process(tid, Room(None, [source.share() for source in room.sources]))
        child = Task(tid, process)
        child.blocked = task.thread.blocked
        child.started = False
        child.vforked_by = task if flags & CLONE_VFORK else None
        self.tasks[tid] = child
        result: int | None = task.thread.clone(child, flags)
        task.finishing = result is None
        if not self.platform.delegates_memory:
            self._expect(child.thread is not None and child.memory is not NO_MEMORY, "clone has made no thread")
            if not flags & CLONE_VM:
                process.room.space = child.thread.space
        self.at_clone(child)
        return result

    def change_memory(self, task: Task, change: Any) -> int | None:
        """What a call answers that changes memory."""
        result: int | None = task.thread.change_memory(change)
        task.finishing = result is None
        return result

    # -- what a kernel does to threads ------------------------------------------------------------------------

    def _new_id(self) -> int:
        self._next += 1
        return self._next

    def complete(self, task: Task, result: int) -> None:
        """Finish the call that a task is parked in; a kick comes before it, as the contract wants it."""
        assert task.state == "parked", task
        task.state = "running"
        if task.signals or task.tid in self.stopped:
            self.kick(task)
        task.thread.complete(result)

    def kick(self, task: Task) -> None:
        if not task.kicked:
            task.kicked = True
            task.thread.kick()

    def signal(self, task: Task, signo: int, handler: int) -> None:
        """Have a handler run, now or when the call is over that the task is parked in."""
        task.signals.append((signo, handler))
        if task.state != "parked":
            self.kick(task)

    def stop(self, task: Task) -> None:
        self.stopped.add(task.tid)
        if task.state == "running":
            self.kick(task)

    def cont(self, task: Task) -> None:
        self.stopped.discard(task.tid)
        if task.state == "held":
            self.kick(task)

    def kill(self, task: Task) -> None:
        """End its process."""
        thread = task.thread
        for other in list(task.process.tasks):
            self._forget(other)
        thread.kill()
        self._leave(task.process)

    # -- programs ---------------------------------------------------------------------------------------------

    def new_thread(self) -> Any:
        """A thread of an empty process."""
        got: list[Any] = []
        self._inside += 1
        self.platform.new_process(got.append)
        self._inside -= 1
        self.run(lambda: bool(got))
        assert len(got) == 1
        assert got[0] is not None
        return got[0]

    def spawn(self, code: Code, *, data: bytes = b"", prot: int = RX, extra: Iterable[Mapping] = ()) -> Task:
        """A process that is about to run ``code``. ``data`` stands at DATA, ``extra`` are further mappings."""
        thread = self.new_thread()
        process = Process(self._next + 1, Room(None, []))
        task = Task(self._new_id(), process)
        self.tasks[task.tid] = task
        self._enter(task, thread, code, data, prot, extra)
        return task

    def exec(self, task: Task, code: Code, *, data: bytes = b"") -> None:
        """execve(2) of a task that is parked in it: the only thread of its process from now on."""
        assert task.state == "parked"
        thread = self.new_thread()
        old, process = task.thread, task.process
        for other in list(process.tasks - {task}):
            self._forget(other)
        task.thread = None
        old.kill()
        process.room.leave()
        process.room = Room(None, [])
        process.room.users = 1
        task.state, task.kicked = "running", False
        self._enter(task, thread, code, data, RX, ())
        self._release(task)

    def _enter(self, task: Task, thread: Any, code: Code, data: bytes, prot: int, extra: Iterable[Mapping]) -> None:
        self.platform.bind(thread, task)
        task.thread, task.memory = thread, thread.memory
        thread.blocked = task.blocked
        program = self.buffer(code.linked().ljust(page_up(len(code) + 16), b"\xcc"))
        mappings = [
            Mapping(CODE, program.size(), prot, program),
            Mapping(DATA, DATA_SIZE, RW),
            Mapping(CONSTANT, PAGE_SIZE, PROT_READ, program),
            Mapping(FORBIDDEN, PAGE_SIZE, 0),
            Mapping(STACK - STACK_SIZE, STACK_SIZE, RW),
            *extra,
        ]
        sources = [program, *(mapping.source for mapping in extra if mapping.source is not None)]
        image = Image(
            mappings, [], [(DATA, data)] if data else [], CODE, STACK - 256, BREAK, BREAK_SIZE, heap=BREAK_SIZE,
            stack=(STACK - STACK_SIZE, STACK), sources=sources,
        )  # fmt: skip
        self.subject.enterable(self.platform, [CODE, *(CODE + offset for offset in code.labels.values())])
        if not self.platform.delegates_memory:
            self._fill(task.process.room, thread.space, image)
        self.before_load(task)
        self._inside += 1
        thread.load(image)
        self._inside -= 1

    def _fill(self, room: Room, space: Any, image: Image) -> None:
        """What the kernel does where it manages memory."""
        room.space = space
        room.sources += image.sources
        for mapping in image.mappings:
            space.map(mapping.address, mapping.size, mapping.prot, mapping.source, mapping.offset, shared=False)
        for address, content in image.data:
            space.memory.write(address, content)

    def buffer(self, content: bytes = b"") -> Any:
        made = self.platform.shared_buffer("conformance")
        if content:
            assert made.write_at(content, 0) == len(content)
        return made

    # -- the loop ---------------------------------------------------------------------------------------------

    def poll(self, wait_ns: int = 0) -> None:
        self._inside += 1
        try:
            self.platform.poll(self.platform.monotonic_ns() + wait_ns)
        finally:
            self._inside -= 1
        self.check()

    def run(self, until: Callable[[], bool]) -> None:
        """Run the loop until something is so; it fails if that takes too long."""
        end, polls = self.platform.monotonic_ns() + _PATIENCE_NS, 0
        while not until():
            polls += 1
            late = self.platform.monotonic_ns() > end or polls > _POLLS
            assert not late, f"nothing more happens: {self.calls[-5:]}, {self.faults[-5:]}"
            self.poll(_LOOK_NS)

    def run_to_end(self) -> None:
        """Until no guest is left."""
        self.run(lambda: not self.tasks)

    def idle(self, times: int = 5) -> None:
        """Let happen what may: nothing should that matters."""
        for _ in range(times):
            self.poll(1_000_000)

    def close(self) -> None:
        for task in list(self.tasks.values()):
            if task.thread is not None and task.state != "ended":
                self.kill(task)
        self.subject.close(self.platform)
