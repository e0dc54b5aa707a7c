"""The requests of the client, served on the kernel: programs, signals, files.

Each request runs as a blocking call of a :class:`~.caller.Caller`, so it may wait for the host's disk or for a program
without holding up the loop. The client is trusted with its own sandbox, but what it sends is checked like any input:
a wrong field is an answer, never an exception that ends the kernel. File requests act as the sandbox's root user.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Protocol

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import signal as sg
from pylitebox.abi.stat import S_IFMT, S_IFREG
from pylitebox.kernel import process as processes
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.log import log
from pylitebox.kernel.signals import SigInfo, post_process
from pylitebox.kernel.stream import StreamFile
from pylitebox.kernel.wait import Blocking, Wait
from pylitebox.north.linux.exec import SpawnRequest, spawn
from pylitebox.supervisor.caller import Caller
from pylitebox.supervisor.protocol import CHUNK, Message, ProtocolError
from pylitebox.supervisor.terminal import Console

if TYPE_CHECKING:
    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.fs.namespace import FsContext
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import HostStream
    from pylitebox.kernel.task import Process


#: Files that one client may hold open, requests it may have under way, bytes of names in one answer.
MAX_HANDLES = 256
MAX_REQUESTS = 1024
MAX_NAMES = 1 << 20
#: A request's answer: fields of the reply, and its payload.
Answer = tuple[dict[str, object], bytes]
Serving = Generator[Wait, bool, Answer]
NOTHING: Answer = ({}, b"")


class NewStream(Protocol):
    """How the platform makes a console stream of a host descriptor, which it takes over."""

    def __call__(
        self, fd: int, *, readable: bool, writable: bool, termios: bytes | None, winsize: bytes | None
    ) -> HostStream: ...


class Session:
    """One client. ``send`` queues an answer or event; ``ended`` is set when the sandbox is to end."""

    def __init__(self, kernel: Kernel, send: Callable[[dict[str, object], bytes], None], new_stream: NewStream) -> None:
        assert kernel.namespace is not None
        self.kernel = kernel
        self.ended = False
        #: Further fields of the last program's exit event.
        self.last_words: Callable[[], dict[str, object]] = dict
        self._send = send
        self._new_stream = new_stream
        self._fs: FsContext = kernel.namespace.context()
        self._fs.umask = 0
        self._cred = Credentials()
        self._handles: dict[int, File] = {}
        self._last_handle = 0
        self._consoles: dict[int, Console] = {}  # by the pid of the program
        self._requests = 0
        self._operations: dict[str, Callable[[Caller, Message], Serving]] = {
            "spawn": self._spawn,
            "signal": self._signal,
            "end": self._end,
            "resize": self._resize,
            "open": self._open,
            "read": self._read,
            "write": self._write,
            "close": self._close,
            **{name: _at_once(function) for name, function in FILE_OPERATIONS.items()},
        }

    # -- serving ----------------------------------------------------------------------------------------------

    def handle(self, message: Message) -> None:
        """Serve one request; its answer is sent now or later. ProtocolError if it is none."""
        operation = self._operations.get(message.text("op"))
        ident = message.number("id")
        if operation is None or self._requests >= MAX_REQUESTS:
            message.close()
            why = "too many requests at once" if operation else f"there is no request {message.text('op')!r}"
            self._send({"re": ident, "message": why}, b"")
            return
        caller = Caller(self.kernel, self._fs, self._cred)
        self._requests += 1
        caller.start(self._serve(ident, caller, message, operation))

    def _serve(
        self, ident: int, caller: Caller, message: Message, operation: Callable[[Caller, Message], Serving]
    ) -> Blocking:
        payload = b""
        try:
            fields, payload = yield from operation(caller, message)
            fields = {"re": ident, **fields}
        except KernelError as error:
            fields = {"re": ident, "errno": error.errno}
            if isinstance(error, PathError):
                fields["path"] = _text(error.path)
        except ProtocolError as error:
            fields = {"re": ident, "message": str(error)}
        except Exception as error:  # noqa: BLE001 - logged; the client is told
            log("internal error in a request", error)
            self.kernel.internal_errors += 1
            fields = {"re": ident, "message": f"internal error of the supervisor: {error!r}"}
        finally:
            self._requests -= 1
            message.close()
        self._send(fields, payload)
        return None

    # -- programs ---------------------------------------------------------------------------------------------

    def _spawn(self, caller: Caller, message: Message) -> Serving:
        files = self._streams(message)
        console = self._console(message, files)
        failure: list[KernelError] = []
        request = SpawnRequest(
            argv=message.texts("argv"),
            environ=message.texts("env"),
            executable=message.path("executable") or None,
            cwd=message.path("cwd"),
            files=files,
            cred=Credentials.user(_uid(message, "uid"), _uid(message, "gid")),
            umask=umask if 0 <= (umask := message.number("umask", -1)) <= 0o777 else 0o022,
            failed=failure.append,
        )
        for file in files.values():
            file.references += 1
        process = None
        try:
            self._check_cwd(caller, request.cwd)
            process = spawn(self.kernel, request)
        except KernelError as error:
            if isinstance(error, PathError):
                raise
            raise PathError(error.errno, message.path("executable")) from None
        finally:
            for file in files.values():
                file.put()
            if console is not None and process is None:
                yield from console.finish()
        if console is not None:
            self._consoles[process.pid] = console
            console.start(process, *(Caller(self.kernel, self._fs, self._cred) for _ in range(2)))
        while process.state == "running" and not process.exec_count:
            yield Wait(process.vfork_queue, process.exit_queue)
        if failure:
            raise PathError(failure[0].errno, message.path("executable"))
        watcher = Caller(self.kernel, self._fs, self._cred)
        watcher.start(self._watch(process, final=bool(message.header.get("final"))))
        return {"pid": process.pid}, b""

    def _check_cwd(self, caller: Caller, path: bytes) -> None:
        try:
            ops.resolve(caller, path, directory=True)
        except KernelError as error:
            raise PathError(error.errno, path) from None

    def _watch(self, process: Process, *, final: bool) -> Blocking:
        """Report the end of a program; ``final``: the sandbox ends with it."""
        while process.state not in ("zombie", "dead"):
            yield Wait(process.exit_queue)
        console = self._consoles.pop(process.pid, None)
        if console is not None:
            yield from console.finish()
        words = self.last_words() if final else {}
        self._send({"event": "exit", "pid": process.pid, "status": process.status, **words}, b"")
        if final:
            self.ended = True
        return None

    def _streams(self, message: Message) -> dict[int, File]:
        """The files 0, 1, 2 of a new program."""
        entries = message.header.get("streams")
        if not isinstance(entries, list) or len(entries) != 3 or not all(isinstance(e, dict) for e in entries):
            raise ProtocolError("streams is no list of three")
        files: dict[int, File] = {}
        for number, entry in enumerate(entries):
            kind = entry.get("kind")
            if kind == "fd":
                files[number] = self._host_stream(message, entry)
            elif kind == "null":
                view = Caller(self.kernel, self._fs, self._cred)
                files[number] = ops.open(view, b"/dev/null", fc.O_RDWR)
            elif kind == "same" and entry.get("as") in files:
                files[number] = files[entry["as"]]
            elif kind not in ("closed", "same"):
                raise ProtocolError(f"stream {number} is of an unknown kind")
        return files

    def _console(self, message: Message, files: dict[int, File]) -> Console | None:
        """The terminal that the program is to have, in place of its streams: it is moved to and from the first two."""
        if not message.header.get("tty"):
            return None
        if not {0, 1} <= files.keys():
            raise ProtocolError("a terminal needs two streams")
        caller = Caller(self.kernel, self._fs, self._cred)
        console = Console(caller, files[0], files[1], _uid(message, "uid"))
        console.resize(_hex(message.header.get("winsize"), 8) or bytes(8))
        files.update(dict.fromkeys(range(3), console.slave))
        return console

    def _resize(self, caller: Caller, message: Message) -> Serving:
        console = self._consoles.get(message.number("pid"))
        if console is None:
            raise KernelError(E.ENOTTY)
        console.resize(_hex(message.header.get("winsize"), 8) or bytes(8))
        return NOTHING
        yield

    def _host_stream(self, message: Message, entry: dict[str, object]) -> File:
        index, write = entry.get("index"), bool(entry.get("write"))
        if not isinstance(index, int) or not 0 <= index < len(message.fds) or message.fds[index] < 0:
            raise ProtocolError("a stream's descriptor is missing")
        fd, message.fds[index] = message.fds[index], -1
        stream = self._new_stream(
            fd,
            readable=not write,
            writable=write,
            termios=_hex(entry.get("termios"), 36),
            winsize=_hex(entry.get("winsize"), 8),
        )
        uid, gid = _uid(message, "uid"), _uid(message, "gid")
        return StreamFile(stream, fc.O_WRONLY if write else fc.O_RDONLY, uid=uid, gid=gid)

    def _signal(self, caller: Caller, message: Message) -> Serving:
        process = self.kernel.processes.get(message.number("pid"))
        signo = message.number("signo")
        if process is None or process is self.kernel.init or process.state in ("zombie", "dead"):
            raise KernelError(E.ESRCH)
        if not 0 <= signo <= 64:
            raise KernelError(E.EINVAL)
        if signo:
            members = processes.group_members(self.kernel, process.pgid) if message.header.get("group") else [process]
            for member in members:
                post_process(member, SigInfo(signo, sg.SI_USER))
        return NOTHING
        yield  # a serving that never waits

    def _end(self, caller: Caller, message: Message) -> Serving:
        self.ended = True
        return NOTHING
        yield

    # -- open files -------------------------------------------------------------------------------------------

    def _open(self, caller: Caller, message: Message) -> Serving:
        path = message.path("path")
        if len(self._handles) >= MAX_HANDLES:
            raise KernelError(E.EMFILE)
        flags = fc.O_RDONLY
        if message.header.get("write"):
            flags = fc.O_WRONLY | fc.O_CREAT
            flags |= fc.O_TRUNC if message.header.get("truncate", True) else 0
            flags |= fc.O_EXCL if message.header.get("exclusive") else 0
        else:
            place = ops.resolve(caller, path)
            if place.inode.mode & S_IFMT != S_IFREG:  # a pipe or device would have no end
                raise KernelError(E.EISDIR if place.inode.mode & S_IFMT == 0o040000 else E.EINVAL)
        while True:
            try:
                file = ops.open(caller, path, flags | fc.O_NONBLOCK, message.number("mode", 0o644) & 0o777)
                break
            except WouldBlock:
                yield from _retry(ops.resolve(caller, path).inode.ready)
        file.references += 1
        self._last_handle += 1
        self._handles[self._last_handle] = file
        return {"handle": self._last_handle, "size": file.stat().size}, b""

    def _file(self, message: Message) -> File:
        file = self._handles.get(message.number("handle"))
        if file is None:
            raise KernelError(E.EBADF)
        return file

    def _read(self, caller: Caller, message: Message) -> Serving:
        file, offset = self._file(message), _offset(message)
        while True:
            try:
                return {}, file.pread(CHUNK, offset)
            except WouldBlock:
                yield Wait(*file.wait_queues())

    def _write(self, caller: Caller, message: Message) -> Serving:
        file, offset, data = self._file(message), _offset(message), message.payload
        while data:
            try:
                count = file.pwrite(data, offset)
                data, offset = data[count:], offset + count
            except WouldBlock:
                yield Wait(*file.wait_queues())
        return NOTHING

    def _close(self, caller: Caller, message: Message) -> Serving:
        self._file(message).put()
        del self._handles[message.number("handle")]
        return NOTHING
        yield


class PathError(KernelError):
    """An error about a path that the client does not know from its request's ``path``."""

    def __init__(self, errno: int, path: bytes) -> None:
        super().__init__(errno)
        self.path = path


# -- files by path: each is done at once ------------------------------------------------------------------------


def _stat(caller: Caller, message: Message) -> Answer:
    s = ops.stat(ops.resolve(caller, message.path("path"), follow=bool(message.header.get("follow", True))))
    times = [s.atime_ns, s.mtime_ns, s.ctime_ns]
    return {"stat": [s.mode, s.ino, s.dev, s.nlink, s.uid, s.gid, s.size, *times]}, b""


def _listdir(caller: Caller, message: Message) -> Answer:
    file = ops.open(caller, message.path("path"), fc.O_RDONLY | fc.O_DIRECTORY)
    file.references += 1
    try:
        names = [name for name, _, _ in file.readdir() if name not in (b".", b"..")]
    finally:
        file.put()
    names = names[max(0, message.number("skip", 0)) :]
    size, count = 0, 0
    while count < len(names) and size < MAX_NAMES:
        size += len(names[count]) + 1
        count += 1
    return {"more": count < len(names)}, b"\0".join(names[:count])


def _readlink(caller: Caller, message: Message) -> Answer:
    return {"target": _text(ops.readlink(caller, message.path("path")))}, b""


def _mkdir(caller: Caller, message: Message) -> Answer:
    ops.mkdir(caller, message.path("path"), message.number("mode", 0o755) & 0o7777)
    return NOTHING


def _rmdir(caller: Caller, message: Message) -> Answer:
    ops.rmdir(caller, message.path("path"))
    return NOTHING


def _unlink(caller: Caller, message: Message) -> Answer:
    ops.unlink(caller, message.path("path"))
    return NOTHING


def _symlink(caller: Caller, message: Message) -> Answer:
    ops.symlink(caller, message.path("target"), message.path("path"))
    return NOTHING


def _rename(caller: Caller, message: Message) -> Answer:
    ops.rename(caller, message.path("path"), message.path("target"))
    return NOTHING


def _chmod(caller: Caller, message: Message) -> Answer:
    ops.chmod(caller, ops.resolve(caller, message.path("path")), message.number("mode") & 0o7777)
    return NOTHING


FILE_OPERATIONS: dict[str, Callable[[Caller, Message], Answer]] = {
    "stat": _stat,
    "listdir": _listdir,
    "readlink": _readlink,
    "mkdir": _mkdir,
    "rmdir": _rmdir,
    "unlink": _unlink,
    "symlink": _symlink,
    "rename": _rename,
    "chmod": _chmod,
}


def _at_once(function: Callable[[Caller, Message], Answer]) -> Callable[[Caller, Message], Serving]:
    def serve(caller: Caller, message: Message) -> Serving:
        return function(caller, message)
        yield

    return serve


def _retry(queue: object) -> Generator[Wait, bool, None]:
    if queue is None:
        raise KernelError(E.EIO)
    yield Wait(queue)  # type: ignore[arg-type]


def _offset(message: Message) -> int:
    offset = message.number("offset")
    if not 0 <= offset < 1 << 63:
        raise KernelError(E.EINVAL)
    return offset


def _uid(message: Message, key: str) -> int:
    value = message.number(key, 0)
    if not 0 <= value < (1 << 32) - 1:
        raise ProtocolError(f"{key} is out of range")
    return value


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _hex(value: object, size: int) -> bytes | None:
    if value is None:
        return None
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        data = b""
    if len(data) != size:
        raise ProtocolError("a terminal's settings are malformed")
    return data
