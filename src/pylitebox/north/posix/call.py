"""Making a system call from Python: what libc's syscall() and its errno are to a C program.

A call goes through the same compiled rows as a guest's (north/linux/table.py): arguments become registers, what they
point to lies in an :class:`Arena`, the memory of the calling thread. A call that must wait runs the kernel's loop
until it is done. A failure becomes the host's OSError here and nowhere else.

Each thread of Python that is inside a call has a task of its own; they are kept and used again. Ids are a matter of
the whole process, as glibc makes them (man 7 nptl).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pylitebox.abi import errno as E
from pylitebox.abi.signal import SIG_IGN, SIGPIPE, SIGXFSZ
from pylitebox.kernel import process as processes
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.signals import Action
from pylitebox.north.linux import table
from pylitebox.north.linux.personality import load_families
from pylitebox.north.posix.arguments import fspath

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Generator
    from types import TracebackType

    from pylitebox.kernel.task import Task
    from pylitebox.kernel.wait import Blocking, Wait
    from pylitebox.north.linux.table import Entry

Args: TypeAlias = tuple[int, int, int, int, int, int]
#: From one of Linux's error numbers to the host's number and text of the same error.
Errors: TypeAlias = Callable[[int], tuple[int, str]]
#: An argument: a number, a text that ends with NUL (bytes), data (memoryview), a buffer to be filled (bytearray, Room
#: or a writable memoryview), an array of buffers (struct iovec), or a null pointer.
Buffer: TypeAlias = "bytes | bytearray | memoryview | Room"
Argument: TypeAlias = "int | Buffer | list[memoryview] | None"

_SHIFT = 36  # each buffer has 64 GiB of addresses to itself
_WORD = (1 << 64) - 1
_IOVEC = struct.Struct("<QQ")
_entries: dict[str, Entry] = {}


class Turn(Protocol):
    """The lock that one thread holds at a time; a platform's ``poll`` gives it up while it waits."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> object: ...

    @property
    def later(self) -> deque[Callable[[], object]]:
        """What is to be done when the holder has given it up."""
        ...

    def held(self) -> bool:
        """Whether the calling thread has it already."""
        ...

    def notify_all(self) -> None:
        """Wake the threads that wait in the platform's ``poll``."""
        ...


class Deadlock(OSError):
    """A call would wait for something that nobody is there to do (EDEADLK)."""


class Room:
    """A buffer for up to ``size`` bytes, which takes up only what is written to it."""

    __slots__ = ("data", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray()


class Arena:
    """Memory of the contract (kernel/platform.py): the buffers of the call that is being made."""

    __slots__ = ("_buffers",)

    def __init__(self) -> None:
        self._buffers: list[Buffer] = []

    def place(self, buffer: Buffer) -> int:
        """The address of a buffer from now on; text gets its NUL."""
        self._buffers.append(buffer + b"\0" if isinstance(buffer, bytes) else buffer)
        return len(self._buffers) << _SHIFT

    def clear(self) -> None:
        self._buffers.clear()

    def _find(self, address: int) -> tuple[Buffer, int]:
        number = (address >> _SHIFT) - 1
        if not 0 <= number < len(self._buffers):
            raise KernelError(E.EFAULT)
        return self._buffers[number], address & (1 << _SHIFT) - 1

    def read(self, address: int, size: int) -> bytes:
        buffer, start = self._find(address)
        data = buffer.data if isinstance(buffer, Room) else buffer
        if start + size > len(data):
            raise KernelError(E.EFAULT)
        return bytes(data[start : start + size])

    def read_some(self, address: int, size: int) -> bytes:
        buffer, start = self._find(address)
        data = buffer.data if isinstance(buffer, Room) else buffer
        if start >= len(data):
            raise KernelError(E.EFAULT)
        return bytes(data[start : start + size])

    def read_cstring(self, address: int, limit: int) -> bytes:
        text, nul, _ = self.read_some(address, limit).partition(b"\0")
        if not nul:
            raise KernelError(E.ENAMETOOLONG)
        return text

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        buffer, start = self._find(address)
        end = start + len(data)
        if isinstance(buffer, Room):
            if end > buffer.size:
                raise KernelError(E.EFAULT)
            if start > len(buffer.data):
                buffer.data.extend(bytes(start - len(buffer.data)))
            buffer.data[start:end] = data
            return
        if isinstance(buffer, bytes) or end > len(buffer) or (isinstance(buffer, memoryview) and buffer.readonly):
            raise KernelError(E.EFAULT)
        buffer[start:end] = data


class Program:
    """A process whose threads are those of Python."""

    def __init__(self, task: Task, errors: Errors, turn: Turn) -> None:
        """``task`` is the process's first one."""
        if not table.ROWS:
            load_families()
        self.task = task
        self.errors = errors
        self.turn = turn
        self._idle = [task]
        task.memory = Arena()
        for signo in (SIGPIPE, SIGXFSZ):  # as Python itself has it: an error says the same
            task.process.actions.set(signo, Action(SIG_IGN))

    def fork(self) -> Task:
        """The first task of a child process."""
        with self.turn:
            task, process = self.task, self.task.process
            self._check_alive()
            try:
                files = process.files.copy()
            except KernelError as error:
                raise self.failure(error.errno) from None
            try:
                limits = list(process.rlimits)
                child, first = processes.create(
                    task.kernel, process, files, process.fs.copy(), task.cred, rlimits=limits
                )
            except KernelError as error:
                files.release()
                raise self.failure(error.errno) from None
            child.pgid, child.sid, child.name, first.name = process.pgid, process.sid, process.name, task.name
            return first

    # -- calls ------------------------------------------------------------------------------------------------

    def call(self, name: str, arguments: tuple[Argument, ...], names: tuple[object, ...]) -> int:
        """Make one system call; its result. ``names``: the one or two paths that an error is to name."""
        if self.turn.held():
            return self._later(name, arguments)
        with self.turn:
            self._check_alive()
            task = self._take()
            arena = task.memory
            assert isinstance(arena, Arena)
            try:
                result = self._run(task, name, _registers(arena, arguments))
            finally:
                arena.clear()
                if not task.exiting:
                    self._idle.append(task)
                if task.kernel.scheduler.ready:
                    task.kernel.scheduler.run()
        while self.turn.later:
            self.turn.later.popleft()()
        if result < 0:
            raise self.failure(-result, *names)
        return result

    def _later(self, name: str, arguments: tuple[Argument, ...]) -> int:
        """A call in the middle of another one of the same thread, by a finalizer or a signal handler. What finalizers
        of file objects do is done after the other call; anything else cannot be."""
        copied = tuple(memoryview(bytes(a)) if isinstance(a, memoryview) else a for a in arguments)
        if name == "close":
            result = 0
        elif name == "write" and isinstance(copied[1], memoryview):
            result = len(copied[1])
        else:
            raise RuntimeError(f"{name} in the middle of another call of the same thread (by a signal handler?)")
        self.turn.later.append(lambda: self.call(name, copied, ()))
        return result

    def _take(self) -> Task:
        """A task that is in no call."""
        if self._idle:
            return self._idle.pop()
        try:
            task = processes.add_thread(self.task)
        except KernelError as error:
            raise self.failure(error.errno) from None
        task.memory = Arena()
        return task

    def _run(self, task: Task, name: str, registers: Args) -> int:
        entry = _entries.get(name)
        if entry is None:
            entry = _entries[name] = table.ROWS[name].entry()
        cred = task.cred
        try:
            result = entry(task, registers)
            if result is not None and not isinstance(result, int):
                result = self._wait(task, result)
        except KernelError as error:
            return -error.errno
        if task.cred is not cred:
            for other in task.process.tasks.values():
                other.cred = task.cred
        return result or 0

    def _wait(self, task: Task, call: Blocking) -> int:
        """Run a call that may have to wait; its result, negative for an error."""
        kernel = task.kernel
        done: list[int | Exception] = []
        kernel.scheduler.start(task, self._noted(call, done))
        try:
            while not done and not task.exiting:
                kernel.step()
        except KernelError:  # the platform's: nothing will ever happen
            raise self._deadlock() from None
        finally:
            if not done:
                kernel.scheduler.cancel(task)
        if not done:
            self._check_alive()
        if isinstance(done[0], Exception):
            raise done[0]
        return done[0]

    def _noted(self, call: Blocking, done: list[int | Exception]) -> Generator[Wait, bool, int | None]:
        """A call whose result is noted, whichever thread runs it to its end."""
        result: int | None = 0
        try:
            result = yield from call
            done.append(result or 0)
        except KernelError as error:
            done.append(-error.errno)
        except Exception as error:  # noqa: BLE001 - ours: it is raised where the call was made
            done.append(error)
        self.turn.notify_all()
        return result

    # -- errors -----------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        return self.task.process.state in ("zombie", "dead")

    def _check_alive(self) -> None:
        if self.ended:
            number, _ = self.errors(E.ESRCH)
            raise ProcessLookupError(number, "this process of the kernel has ended")

    def _deadlock(self) -> Deadlock:
        number, _ = self.errors(E.EDEADLK)
        return Deadlock(number, "this would wait for ever: no timer runs, and nobody else uses the kernel")

    def failure(self, errno: int, *names: object) -> OSError:
        """The host's exception for one of Linux's error numbers."""
        number, text = self.errors(errno)
        named = [fspath(name) if hasattr(type(name), "__fspath__") else name for name in names]
        if len(named) == 2:
            return OSError(number, text, named[0], None, named[1])
        return OSError(number, text, *named)


def _registers(arena: Arena, arguments: tuple[Argument, ...]) -> Args:
    """What a program would have in its registers: numbers, and addresses of everything else."""
    registers = [0] * 6
    for position, argument in enumerate(arguments):
        if isinstance(argument, int):
            registers[position] = argument & _WORD
        elif isinstance(argument, list):
            vector = [_IOVEC.pack(arena.place(buffer), len(buffer)) for buffer in argument]
            registers[position] = arena.place(bytearray(b"".join(vector)))
        elif argument is not None:
            registers[position] = arena.place(argument)
    return registers[0], registers[1], registers[2], registers[3], registers[4], registers[5]


class Calls:
    """What every family of methods is made from."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def _call(self, name: str, *arguments: Argument, names: tuple[object, ...] = ()) -> int:
        return self._program.call(name, arguments, names)

    def _failure(self, errno: int, *names: object) -> OSError:
        return self._program.failure(errno, *names)
