"""What a scripted guest is written with.

A guest program is a generator function of a :class:`Guest`; what it yields are its system calls, and what it is sent
are their results, negative error numbers included, as a register holds them:

    def program(g):
        fd = yield g.openat(AT_FDCWD, "/etc/passwd", O_RDONLY)
        data = g.buffer(100)
        count = yield g.read(fd, data, 100)
        yield g.write(1, data.bytes(count), count)
        return 0                                    # the exit status

Arguments are numbers; ``str`` and ``bytes`` (put into memory for the call, with a NUL behind); :class:`Buffer`; None
for 0. ``yield g.openat(...).ok`` fails the test if the call does. Helpers that need several calls, or unpack a
result, are used with ``yield from``. A plain function is a program that makes no calls.

Handlers of signals are functions ``handler(g, signo, info, ucontext)``, generators if they make calls.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from pylitebox.abi import errno as E
from pylitebox.abi import sched
from pylitebox.abi import signal as sg
from pylitebox.abi.mman import PROT_READ, PROT_WRITE
from pylitebox.kernel.errors import KernelError
from pylitebox.north.linux import table

if TYPE_CHECKING:
    from pylitebox.south.mock.memory import MockMemory
    from pylitebox.south.mock.thread import MockThread

#: A program, a thread's function or a signal handler.
Function = Callable[..., Any]
#: What runs it.
Script = Generator[Any, int, Any]
Argument = "int | str | bytes | bytearray | Buffer | None"

_MASK = (1 << 64) - 1
_HEAP = 0x10000000
_HEAP_SIZE = 64 << 20
THREAD_FLAGS = (
    sched.CLONE_VM | sched.CLONE_FS | sched.CLONE_FILES | sched.CLONE_SIGHAND | sched.CLONE_THREAD | sched.CLONE_SYSVSEM
)


class GuestFailure(AssertionError):
    """A call that had to succeed did not."""


class Call:
    """One system call to be made. ``child`` runs in the process or thread that it clones."""

    __slots__ = ("args", "child", "must", "name", "number")

    def __init__(self, name: str, number: int, args: Sequence[Any], child: Function | None = None) -> None:
        self.name = name
        self.number = number
        self.args = args
        self.child = child
        self.must = False

    @property
    def ok(self) -> Call:
        """The same call, whose failure is the test's."""
        self.must = True
        return self

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.args))})"


class Fault:
    """An instruction that raises a fault instead of a call; ``code`` is its si_code."""

    __slots__ = ("address", "code", "signo")

    def __init__(self, signo: int, address: int, code: int) -> None:
        self.signo = signo
        self.address = address
        self.code = code


class Access:
    """An instruction that loads or stores a byte; it may fault, and is executed again if a handler returns."""

    __slots__ = ("address", "value")

    def __init__(self, address: int, value: int | None) -> None:
        self.address = address
        self.value = value  # what is stored; None loads


class Pause:
    """No call at all: other threads get their turn."""


class Buffer:
    """A place in guest memory that outlives its call."""

    __slots__ = ("_memory", "address", "size")

    def __init__(self, memory: MockMemory, address: int, size: int) -> None:
        self._memory = memory
        self.address = address
        self.size = size

    def set(self, data: bytes) -> None:
        self._memory.write(self.address, data)

    def bytes(self, size: int | None = None) -> bytes:
        return self._memory.read(self.address, self.size if size is None else size)

    def unpack(self, layout: str | struct.Struct) -> tuple[Any, ...]:
        layout = struct.Struct(layout) if isinstance(layout, str) else layout
        return layout.unpack(self._memory.read(self.address, layout.size))

    def int32(self) -> int:
        return int(self.unpack("<i")[0])

    def __repr__(self) -> str:
        return f"<{self.size} bytes at {self.address:#x}>"


class Heap:
    """Where an address space keeps buffers and arguments: the next free byte."""

    __slots__ = ("next",)

    def __init__(self, start: int = _HEAP) -> None:
        self.next = start

    def take(self, thread: MockThread, size: int) -> int:
        if self.next == _HEAP:
            thread.map_pages(_HEAP_SIZE, address=_HEAP)
        address = self.next
        self.next += (size + 15) & ~15
        if self.next > _HEAP + _HEAP_SIZE:
            raise MemoryError("the guest's heap is full")
        return address


class Guest:
    """One thread, as its script sees it. Any system call of the table is a method, which gives a :class:`Call`."""

    def __init__(self, thread: MockThread) -> None:
        self._thread = thread

    def __getattr__(self, name: str) -> Callable[..., Call]:
        row = table.ROWS.get(name)
        if row is None or row.x86_64 is None:
            raise AttributeError(f"no system call {name!r}")
        number = row.x86_64
        return lambda *args: Call(name, number, args)

    def call(self, number: int, *args: Any) -> Call:
        """A call by its number, whether it has a row or not."""
        return Call(f"call_{number}", number, args)

    # -- memory -----------------------------------------------------------------------------------------------

    @property
    def memory(self) -> MockMemory:
        return self._thread.memory

    def buffer(self, size: int, data: bytes = b"") -> Buffer:
        """``size`` zero bytes, beginning with ``data``."""
        buffer = Buffer(self.memory, self._thread.heap.take(self._thread, max(size, 1)), size)
        buffer.set(data.ljust(size, b"\0"))
        return buffer

    def pack(self, layout: str, *values: Any) -> Buffer:
        data = struct.pack(layout, *values)
        return self.buffer(len(data), data)

    def iovec(self, *buffers: Buffer) -> Buffer:
        """An array of struct iovec."""
        return self.pack(f"<{2 * len(buffers)}Q", *(v for b in buffers for v in (b.address, b.size)))

    def strings(self, strings: Sequence[str | bytes]) -> Buffer:
        """A NULL-terminated array of pointers to strings."""
        encoded = [s.encode() if isinstance(s, str) else s for s in strings]
        pointers = [self.buffer(len(s) + 1, s).address for s in encoded]
        return self.pack(f"<{len(pointers) + 1}Q", *pointers, 0)

    def cstring(self, address: int) -> bytes:
        return self.memory.read_cstring(address, 1 << 17)

    def pages(self, size: int, prot: int = PROT_READ | PROT_WRITE) -> int:
        """Anonymous memory of its own, with an unmapped page behind; its address."""
        return self._thread.map_pages(size, prot=prot)

    def protect(self, address: int, size: int, prot: int) -> None:
        self._thread.protect_pages(address, size, prot)

    # -- the program ------------------------------------------------------------------------------------------

    @property
    def tid(self) -> int:
        assert self._thread.task is not None
        return self._thread.task.tid

    @property
    def argv(self) -> list[bytes]:
        """The arguments, from the initial stack."""
        return self._strings(self._thread.initial_stack + 8)

    @property
    def environ(self) -> list[bytes]:
        return self._strings(self._thread.initial_stack + 8 * (len(self.argv) + 2))

    @property
    def auxv(self) -> dict[int, int]:
        address = self._thread.initial_stack + 8 * (len(self.argv) + len(self.environ) + 3)
        entries: dict[int, int] = {}
        while (pair := struct.unpack("<QQ", self.memory.read(address, 16)))[0]:
            entries[pair[0]] = pair[1]
            address += 16
        return entries

    def _strings(self, address: int) -> list[bytes]:
        strings = []
        while pointer := int.from_bytes(self.memory.read(address, 8), "little"):
            strings.append(self.cstring(pointer))
            address += 8
        return strings

    # -- calls that need more than their registers ------------------------------------------------------------

    def fork(self, child: Function) -> Call:
        """fork(2): ``child(g)`` runs in the child; its result is the child's exit status."""
        return self._clone("fork", (), child)

    def vfork(self, child: Function) -> Call:
        return self._clone("vfork", (), child)

    def clone(self, flags: int, child: Function, *, stack: int = 0, ptid: Any = 0, ctid: Any = 0, tls: int = 0) -> Call:
        """clone(2) with its registers as on x86-64."""
        return self._clone("clone", (flags, stack, ptid, ctid, tls), child)

    def thread(self, function: Function, *, ctid: Any = 0, flags: int = 0) -> Call:
        """A thread of this process, as pthread_create makes it; the function's result is its exit code."""
        if ctid:
            flags |= sched.CLONE_CHILD_CLEARTID | sched.CLONE_PARENT_SETTID
        return self.clone(THREAD_FLAGS | flags, function, stack=self.pages(1 << 16) + (1 << 16), ptid=ctid, ctid=ctid)

    def _clone(self, name: str, args: Sequence[Any], child: Function) -> Call:
        call: Call = self.__getattr__(name)(*args)
        call.child = child
        return call

    def execve(
        self, path: str | bytes, argv: Sequence[str | bytes] | None = None, envp: Sequence[str | bytes] = ()
    ) -> Call:
        """execve(2); it comes back only with an error."""
        argv = [path] if argv is None else argv
        return self.__getattr__("execve")(path, self.strings(argv), self.strings(envp))

    def sigaction(self, signo: int, handler: Function | int, flags: int = 0, mask: int = 0) -> Call:
        """rt_sigaction(2); ``handler`` is a function, SIG_DFL or SIG_IGN."""
        address = handler if isinstance(handler, int) else self._thread.platform.code(handler)
        action = sg.SIGACTION.pack(address, flags | sg.SA_RESTORER, self._thread.platform.restorer, mask)
        return self.__getattr__("rt_sigaction")(signo, self.buffer(32, action), 0, 8)

    def sigmask(self, how: int, mask: int) -> Call:
        """rt_sigprocmask(2)."""
        return self.__getattr__("rt_sigprocmask")(how, self.pack("<Q", mask), 0, 8)

    def crash(self, signo: int = sg.SIGSEGV, address: int = 0, code: int = sg.SEGV_MAPERR) -> Fault:
        """An instruction that faults."""
        return Fault(signo, address, code)

    def load(self, address: int) -> Access:
        """Load a byte."""
        return Access(address, None)

    def store(self, address: int, value: int) -> Access:
        """Store a byte."""
        return Access(address, value)

    def pause_turn(self) -> Pause:
        """Let every other thread that can run make one step."""
        return Pause()

    # -- conveniences, with ``yield from`` --------------------------------------------------------------------

    def waitpid(self, pid: int = -1, options: int = 0) -> Generator[Call, int, tuple[int, int]]:
        """(result, status word) of wait4(2)."""
        status = self.buffer(4)
        result = yield self.__getattr__("wait4")(pid, status, options, 0)
        return result, status.int32()

    def make_pipe(self, flags: int = 0) -> Generator[Call, int, tuple[int, int]]:
        """(read end, write end) of pipe2(2)."""
        fds = self.buffer(8)
        yield self.__getattr__("pipe2")(fds, flags).ok
        return fds.unpack("<ii")

    def read_bytes(self, fd: int, size: int = 65536) -> Generator[Call, int, bytes]:
        """What one read(2) gives; it must succeed."""
        data = self.buffer(size)
        count = yield self.__getattr__("read")(fd, data, size).ok
        return data.bytes(count)

    def read_all(self, fd: int) -> Generator[Call, int, bytes]:
        """What is there up to the end of the file."""
        parts = []
        while part := (yield from self.read_bytes(fd)):
            parts.append(part)
        return b"".join(parts)

    def write_all(self, fd: int, data: bytes | str) -> Generator[Call, int, None]:
        raw = data.encode() if isinstance(data, str) else data
        buffer = self.buffer(len(raw), raw)
        done = 0
        while done < len(raw):
            done += yield self.__getattr__("write")(fd, buffer.address + done, len(raw) - done).ok

    def print(self, *values: object) -> Generator[Call, int, None]:
        """Write to descriptor 1."""
        yield from self.write_all(1, " ".join(map(str, values)) + "\n")


def describe(result: int) -> str:
    return E.NAMES.get(-result, str(result)) if -4096 < result < 0 else str(result)


def registers(thread: MockThread, call: Call) -> list[int]:
    """The six argument registers of a call: what is no number is put into guest memory."""
    values: list[int] = []
    for argument in call.args:
        if argument is None:
            values.append(0)
        elif isinstance(argument, int):
            values.append(argument & _MASK)
        elif isinstance(argument, Buffer):
            values.append(argument.address)
        elif isinstance(argument, str | bytes | bytearray):
            data = argument.encode() if isinstance(argument, str) else bytes(argument)
            address = thread.heap.take(thread, len(data) + 1)
            try:
                thread.memory.write(address, data + b"\0")
            except KernelError:
                raise MemoryError("the guest's heap is not writable") from None
            values.append(address)
        else:
            raise TypeError(f"{call.name}: {argument!r} is no argument of a system call")
    return values + [0] * (6 - len(values))
