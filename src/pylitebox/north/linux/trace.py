"""A trace of every system call, in strace's notation, driven by the table: ``pylitebox run --strace``.

    12 openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3 <0.000021>
    13 read(0, 0x7ffd0c10, 1024 <unfinished ...>
    13 <... read resumed>) = 0 <1.200310>

A line begins with the thread's virtual id. Calls that the host kernel runs (``native`` in the table) are not seen.

Rules: tracing never changes what a call does. Arguments are decoded for the trace on their own, after the handler had
its copy, so a guest that rewrites a path meanwhile fools the trace and nothing else; what can't be read is shown as a
number. Nothing of this is imported, and no call pays for it, while no trace is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi import wait as status_word
from pylitebox.abi.fcntl import O_CREAT, O_DIRECTORY, O_TMPFILE
from pylitebox.abi.mman import MAP_FIXED
from pylitebox.kernel.errors import KernelError
from pylitebox.north.linux import table
from pylitebox.north.linux.args import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.platform import MachineContext
    from pylitebox.kernel.signals import Action, SigInfo
    from pylitebox.kernel.task import Process, Task
    from pylitebox.north.linux.personality import Personality
    from pylitebox.north.linux.table import Row

Args = tuple[int, int, int, int, int, int]

#: Bytes of a buffer that are shown, as by strace -s.
PREVIEW = 48
#: Calls whose argument at an index is a buffer that they read, with the index of its size.
_INPUT = {"write": (1, 2), "pwrite64": (1, 2), "sendto": (1, 2)}
#: Calls whose argument at an index is a buffer that they fill, with as many bytes as they return.
_OUTPUT = {"read": 1, "pread64": 1, "recvfrom": 1, "readlink": 1, "readlinkat": 2, "getcwd": 0, "getrandom": 0}
#: Calls whose argument at an index is the mode of a file that the flags before it may ask to make.
_MODE = {"open": 2, "openat": 3}
_CREATES = O_CREAT | O_TMPFILE & ~O_DIRECTORY
_ADDRESSES = frozenset(("mmap", "brk", "mremap"))
#: Calls that the platform finishes with the id of the child.
_CLONES = frozenset(("clone", "fork", "vfork"))
#: Calls that end what they were called by: nothing is left that a result could go to.
_ENDS = frozenset(("exit", "exit_group", "rt_sigreturn"))
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}


class _Call:
    """A call that has begun: ``shown`` once its beginning is in the trace (it was unfinished)."""

    __slots__ = ("args", "begun", "parts", "row", "shown")

    def __init__(self, row: Row | None, args: Args, parts: list[str], begun: int) -> None:
        self.row = row
        self.args = args
        self.parts = parts
        self.begun = begun
        self.shown = False


class Tracer:
    """Traces all tasks of a kernel; ``write`` gets whole lines, each with its newline."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._rows = table.numbers()
        self._decoders: dict[str, list[Callable[[Task, int], object]]] = {}
        self._watched: set[int] = set()

    def install(self, personality: Personality) -> None:
        """Trace from now on. Call it before guests run, and before the platform is told of its personality if that
        platform keeps the bound method."""
        call, enter_handler = personality.syscall, personality.enter_handler
        scheduler = personality.kernel.scheduler
        finish = scheduler.finish

        def syscall(task: Task, number: int, args: Args) -> int | None:
            entry = self._enter(task, number, args)
            result = call(task, number, args)
            if result is not None:
                self._leave(task, entry, -task.interrupted if task.interrupted and result == -E.EINTR else result)
            elif task.call is not None:
                self._unfinished(task, entry)
            else:
                self._leave(task, entry, _finished_by_platform(task, entry))
            return result

        def finished(task: Task, result: int) -> None:
            if isinstance(task.trace_entry, _Call):
                self._leave(task, task.trace_entry, result)
            finish(task, result)

        def handler(task: Task, context: MachineContext, info: SigInfo, action: Action) -> None:
            self._line(task.tid, f"--- {sg.name(info.signo)} {{si_code={info.code}, si_pid={info.pid}}} ---")
            enter_handler(task, context, info, action)

        personality.syscall = syscall  # type: ignore[method-assign]
        personality.enter_handler = handler  # type: ignore[method-assign]
        scheduler.finish = finished

    # -- one call ---------------------------------------------------------------------------------------------

    def _enter(self, task: Task, number: int, args: Args) -> _Call:
        if isinstance(task.trace_entry, _Call):  # execve(2) succeeded, or a signal handler runs instead
            self._leave(task, task.trace_entry, None)
        process = task.process
        if process.pid not in self._watched:
            self._watched.add(process.pid)
            process.exit_queue.watch(self, lambda: self._exited(process))
        row = self._rows.get(number)
        if row is None:
            parts = [f"{value:#x}" for value in args]
            parts.insert(0, str(number))
        else:
            parts = self._parts(task, row, args)
        entry = _Call(row, args, parts, task.kernel.now())
        if row is not None and row.name in _ENDS:
            self._line(task.tid, f"{row.name}({', '.join(parts)}) = ?")
            entry.shown = True
        return entry

    def _leave(self, task: Task, entry: _Call, result: int | None) -> None:
        task.trace_entry = None
        row = entry.row
        name = row.name if row is not None else "syscall"
        if name in _ENDS:
            return
        taken = (task.kernel.now() - entry.begun) / 1e9
        if entry.shown:
            start = f"<... {name} resumed>"
        else:
            index = _OUTPUT.get(name)
            if index is not None and result is not None and result > 0:
                entry.parts[index] = self._preview(task, entry.args[index], result, entry.parts[index])
            start = f"{name}({', '.join(entry.parts)}"
        self._line(task.tid, f"{start}) = {show_result(name, result)} <{taken:.6f}>")

    def _unfinished(self, task: Task, entry: _Call) -> None:
        task.trace_entry = entry
        entry.shown = True
        name = entry.row.name if entry.row is not None else "syscall"
        self._line(task.tid, f"{name}({', '.join(entry.parts)} <unfinished ...>")

    def _exited(self, process: Process) -> None:
        self._watched.discard(process.pid)
        process.exit_queue.unwatch(self)
        code = status_word.returncode(process.status)
        how = f"exited with {code}" if code >= 0 else f"killed by {sg.name(-code)}"
        self._line(process.pid, f"+++ {how} +++")

    def _line(self, tid: int, text: str) -> None:
        self._write(f"{tid:>5} {text}\n")

    # -- arguments --------------------------------------------------------------------------------------------

    def _parts(self, task: Task, row: Row, args: Args) -> list[str]:
        decoders = self._decoders.get(row.name)
        if decoders is None:
            decoders = self._decoders[row.name] = [_decoder(kind.decode) for _, kind in row.kinds]
        parts = []
        for (_, kind), decode, register in zip(row.kinds, decoders, args, strict=False):
            try:
                parts.append(kind.show(decode(task, register)))
            except KernelError:
                parts.append(f"{register:#x}" if register else "NULL")
        mode = _MODE.get(row.name)
        if mode is not None and not args[mode - 1] & _CREATES:
            del parts[mode]  # open(2) looks at it only where it makes a file
        buffer = _INPUT.get(row.name)
        if buffer is not None:
            parts[buffer[0]] = self._preview(task, args[buffer[0]], args[buffer[1]], parts[buffer[0]])
        return parts

    @staticmethod
    def _preview(task: Task, address: int, size: int, otherwise: str) -> str:
        """The beginning of a buffer as a string."""
        try:
            data = task.memory.read(address, min(size, PREVIEW)) if size else b""
        except KernelError:
            return otherwise
        return quote(data) + ("..." if size > PREVIEW else "")


def _finished_by_platform(task: Task, entry: _Call) -> int | None:
    """The result of a call that the platform has been asked to finish, where it is certain."""
    name = entry.row.name if entry.row is not None else ""
    if name in _CLONES:
        return next(reversed(task.kernel.tasks), None)  # the youngest
    if name == "mmap" and entry.args[3] & MAP_FIXED:
        return entry.args[0]
    return None


def _decoder(source: str) -> Callable[[Task, int], object]:
    """Compile one kind's expression (our own text, never a guest's)."""
    decoder: Callable[[Task, int], object] = eval(f"lambda task, x: {source}", {})  # noqa: S307
    return decoder


def show_result(name: str, result: int | None) -> str:
    """A result as strace prints it; None is a call that the platform finished."""
    if result is None:
        return "?"
    if -516 <= result <= -512:
        return f"? {_RESTARTS.get(-result, str(-result))}"
    if -4095 <= result < 0:
        return f"-1 {E.NAMES.get(-result, str(-result))}"
    return f"{result:#x}" if name in _ADDRESSES else str(result)
