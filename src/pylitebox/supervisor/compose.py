"""Composing a sandbox: the kernel, its platform, its North and its file tree, in the order that confinement dictates.

1. Everything that needs the user's own rights is opened: the host directories (O_PATH), the stub program.
2. ``enclose``: no new privileges, a uid of its own if root started us, no capabilities, Landlock.
3. The platform starts, so that its processes' walls nest in ours; then the kernel.
4. ``seal``: our own seccomp filter, after which all is as it stays.
5. The file tree is made, and what is in a user's archive is looked at for the first time.
"""

from __future__ import annotations

import gc
import os
import stat
from typing import TYPE_CHECKING, cast

from pylitebox.kernel import process as processes
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.hostfs import HostFs, forget_idle
from pylitebox.kernel.kernel import Kernel, Limits
from pylitebox.kernel.log import log, send_to
from pylitebox.north.linux.personality import Personality
from pylitebox.south import descriptors
from pylitebox.south.hostfiles import PosixFile, Workers, open_tree
from pylitebox.south.native.launch import STUB
from pylitebox.south.start import StartError
from pylitebox.supervisor import confine, platforms, view
from pylitebox.supervisor.control import RETRY_NS, Control, LogToClient
from pylitebox.supervisor.protocol import Channel, Message, ProtocolError
from pylitebox.supervisor.session import NewStream, Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.fs.vfs import FileSystem
    from pylitebox.kernel.platform import HostDirectory, HostedPlatform, HostFile
    from pylitebox.south.hostfiles import PosixDirectory
    from pylitebox.supervisor.rootfs import ArchiveRoot

_WANTED = stat.S_IROTH | stat.S_IXOTH


class ComposeError(Exception):
    """The sandbox that was asked for cannot be; the message is one sentence."""


class Composed:
    """A sandbox, ready to run."""

    def __init__(
        self,
        kernel: Kernel,
        platform: HostedPlatform,
        control: Control,
        session: Session,
        walls: list[confine.Wall],
    ) -> None:
        self.kernel = kernel
        self.platform = platform
        self.control = control
        self.session = session
        self.walls = [[wall.name, wall.stands, wall.detail] for wall in walls]

    def run(self) -> None:
        """The loop, until the client is gone or the sandbox is done."""
        kernel, control, session = self.kernel, self.control, self.session
        gc.freeze()  # what is there now stays: the collector need not look at it again
        gc.set_threshold(20_000, 20, 50)
        gc.enable()  # it was off while everything was imported
        while not session.ended and not control.closed:
            kernel.step(kernel.now() + RETRY_NS if control.waiting else None)
            if control.waiting:
                control.flush()

    def close(self) -> None:
        """End everything."""
        processes.kill_all(self.kernel)
        self.platform.close()
        self.control.flush()


def compose(channel: Channel, message: Message) -> Composed:
    """The sandbox that the client's first request describes."""
    if message.text("op") != "configure":
        raise ProtocolError("the first request is not configure")
    if os.uname().release.endswith("-pylitebox"):
        raise ComposeError("this is a sandbox of pylitebox already, and its kernel cannot hold another one")
    row = platforms.choose(message.text("platform"))
    _observers(message)
    plan = _Plan(message)
    # a trace shows every call, so none is answered before the kernel sees it
    watched = message.header.get("trace") or message.header.get("summary")
    local = not watched and os.environ.get("PYLITEBOX_FAST") != "0"
    memory = _size(message.header.get("memory") or platforms.DEFAULT_MEMORY)
    ingredients = platforms.Ingredients(plan.open_stub() if row.stub else "", plan.urandom, local, memory)
    if row.early:
        platform = row.make(ingredients)
        walls = plan.enclose(row)
    else:
        walls = plan.enclose(row)
        platform = row.make(ingredients)
    workers = Workers()
    workers.attach(platform)
    plan.set_workers(workers)
    limits = Limits()
    limits.memory_file_bytes += sum(size for _, size in plan.view.tmpfs)  # what was asked for by name is to be had
    limits.processes = min(limits.processes, descriptors.divide())
    kernel = Kernel(platform, hostname=message.text("hostname"), limits=limits)
    if row.translates:
        kernel.code_places = platform.random(24)
    personality = Personality(kernel)
    platform.attach(personality)
    control = Control(channel)
    try:
        platform.start()
        plan.close_stub()
        processes.boot(kernel)
        expected = {0, 1, 2, channel.fileno(), *platform.descriptors(), *workers.descriptors()}
        expected.update(plan.descriptors(), [plan.trace] if plan.trace >= 0 else [])
        message.close()
        walls += confine.seal(expected, groups=[*row.groups, *(["host-write"] if plan.writable else [])])
        if plan.archive is not None:
            plan.view.rootfs = _archive(plan.archive, workers, control)
        view.build(kernel, plan.view, plan.owner)
        forget_idle(kernel)
    except BaseException as error:
        platform.close()
        if isinstance(error, view.PlaceError):
            where = os.fsdecode(error.path)
            raise ComposeError(f"nothing can be mounted at {where}: {os.strerror(error.errno)}") from error
        if isinstance(error, StartError) and "doctor" not in str(error):
            raise ComposeError(f"{error} (pylitebox doctor says what this host lacks)") from error
        if isinstance(error, KernelError):
            raise ComposeError(f"the file tree cannot be made: {os.strerror(error.errno)}") from error
        raise
    session = Session(kernel, control.send, _streams(platform))
    control.session = session
    _observe(message, plan.trace, personality, session)
    platform.watch(channel.fileno(), control.readable)
    send_to(LogToClient(control))
    return Composed(kernel, platform, control, session, walls)


def _archive(archive: ArchiveRoot, workers: Workers, control: Control) -> Callable[[Kernel], FileSystem]:
    """What makes the file system of an archive, and tells the client how far it is."""

    def tell(done: int) -> None:
        control.send({"event": "progress", "text": f"unpacking {archive.host}: {done >> 20} MiB"})
        if control.closed:
            raise ComposeError("the client is gone")

    def serve(fd: int) -> HostFile:
        status = os.fstat(fd)
        return cast("HostFile", PosixFile(fd, (status.st_dev, status.st_ino), workers, write=False))

    return lambda kernel: archive.file_system(kernel, serve, tell)


class _Plan:
    """What the request asks for, with everything opened that needs the user's rights."""

    def __init__(self, message: Message) -> None:
        self.owner = (message.number("uid"), message.number("gid"))
        self.view = view.View()
        self.view.tmpfs = [(_path(path), _size(size)) for path, size in _rows(message, "tmpfs", 2)]
        self._rules: list[tuple[int, int]] = []
        self._trees: list[PosixDirectory] = []
        self._named: list[tuple[str, int, str]] = []  # host path, descriptor, mode
        self.writable = False
        self.trace = -1
        if message.header.get("trace") and message.fds:
            self.trace = message.fds.pop()
        self.archive: ArchiveRoot | None = None
        rootfs = message.header.get("rootfs")
        if rootfs is None:
            view.add_system(self.view, lambda path: _contract(self._tree(path, confine.READ_TREE)))
        self._open_mounts(message)
        if rootfs is not None:
            self._open_rootfs(rootfs, message)
        self._stub_fd = -1
        self.urandom = os.open("/dev/urandom", os.O_RDONLY | os.O_CLOEXEC)

    def _open_mounts(self, message: Message) -> None:
        rows = _rows(message, "mounts", 3)
        more = (0,) if message.header.get("rootfs") is None else (1, 2)
        if len(message.fds) - len(rows) not in more:
            raise ProtocolError("mounts and descriptors differ in number")
        for (guest, mode, host), fd in zip(rows, message.fds, strict=False):
            if mode not in ("ro", "cow", "rw") or not isinstance(host, str):
                raise ProtocolError("a mount is malformed")
            tree = self._tree(f"/proc/self/fd/{fd}", confine.WRITE_TREE if mode == "rw" else confine.READ_TREE)
            self.view.mounts.append(view.HostMount(_path(guest), str(mode), _contract(tree)))
            self._named.append((host, tree.fileno(), str(mode)))
            self.writable = self.writable or mode == "rw"

    def _open_rootfs(self, facts: object, message: Message) -> None:
        if not isinstance(facts, dict) or not isinstance(facts.get("host"), str):
            raise ProtocolError("the rootfs is malformed")
        host, count = facts["host"], len(_rows(message, "mounts", 3))
        if facts.get("directory"):
            tree = self._tree(f"/proc/self/fd/{message.fds[count]}", confine.READ_TREE)
            self._named.append((host, tree.fileno(), "cow"))
            # as in a system: root's; an unpacked tree belongs to whoever unpacked it
            self.view.rootfs = lambda kernel: HostFs(kernel, _contract(tree), public_only=False)
            return
        from pylitebox.supervisor.rootfs import ArchiveRoot

        fds, message.fds[count:] = message.fds[count:], []
        self.archive = ArchiveRoot(host, fds, _size(facts.get("limit")))

    def _tree(self, path: str, rights: int) -> PosixDirectory:
        try:
            tree = open_tree(path)
        except KernelError as error:
            raise ComposeError(f"{path} cannot be opened: {os.strerror(error.errno)}") from None
        self._trees.append(tree)
        self._rules.append((tree.fileno(), rights))
        return tree

    def open_stub(self) -> str:
        """A path to the stub program that holds whatever uid we become."""
        try:
            fd = os.open(STUB, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            raise StartError(
                f"the stub program {STUB} is missing: install a Linux x86-64 wheel, or a C compiler and "
                "reinstall the package"
            ) from None
        self._rules.append((fd, confine.EXECUTE))
        self._stub_fd = fd
        return f"/proc/self/fd/{fd}"

    def close_stub(self) -> None:
        """The stub program runs: nobody needs to reach it again."""
        if self._stub_fd >= 0:
            os.close(self._stub_fd)

    def enclose(self, row: platforms.Row) -> list[confine.Wall]:
        uid = self._uid()
        rights = confine.PROC if row.stub else confine.PROC_NAMES
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            walls = confine.enclose(
                [*self._rules, (proc, rights)], uid=uid, required=("landlock",) if uid == 0 else ()
            )
        finally:
            os.close(proc)
        for host, fd, mode in self._named:
            wanted = os.R_OK | os.X_OK | (os.W_OK if mode == "rw" else 0)
            if not os.access(f"/proc/self/fd/{fd}", wanted):
                verb = "written" if mode == "rw" else "read"
                raise ComposeError(f"{host} cannot be {verb} by the sandbox's user on the host (uid {os.getuid()})")
        return walls

    def _uid(self) -> int | None:
        """What root becomes: nobody's uid, unless a mount needs its owner's (to be written, or to be read at all).

        A directory of root's keeps uid 0, without capabilities and behind Landlock: required then."""
        for _, fd, mode in self._named if os.geteuid() == 0 else ():
            status = os.fstat(fd)
            if mode == "rw" or status.st_mode & _WANTED != _WANTED:
                return status.st_uid
        return None

    def descriptors(self) -> list[int]:
        """What stays open of all that was opened: the host trees, and the archive."""
        archive = self.archive.fds if self.archive is not None else []
        return [fd for tree in self._trees for fd in tree.tree.descriptors()] + archive

    def set_workers(self, workers: Workers) -> None:
        for tree in self._trees:
            tree.tree.workers = workers


def _contract(tree: PosixDirectory) -> HostDirectory:
    """A tree as the kernel sees it: directories of one tree only ever meet each other."""
    return cast("HostDirectory", tree)


def _streams(platform: HostedPlatform) -> NewStream:
    from pylitebox.south.streams import FdStream

    def new_stream(
        fd: int, *, readable: bool, writable: bool, termios: bytes | None, winsize: bytes | None
    ) -> FdStream:
        return FdStream(platform, fd, readable=readable, writable=writable, termios=termios, winsize=winsize)

    return new_stream


def _observers(message: Message) -> None:
    """Import what :func:`_observe` will need, while modules can be opened."""
    if message.header.get("trace"):
        from pylitebox.north.linux import trace  # noqa: F401
    if message.header.get("summary"):
        from pylitebox.north.linux import summary  # noqa: F401


def _observe(message: Message, trace: int, personality: Personality, session: Session) -> None:
    """--strace, written to the descriptor ``trace``, and --summary."""
    if trace >= 0:
        from pylitebox.north.linux.trace import Tracer

        Tracer(_write_trace(trace)).install(personality)
    if message.header.get("summary"):
        from pylitebox.north.linux.summary import Summary

        summary = Summary()
        summary.install(personality)
        session.last_words = lambda: {"summary": summary.render()}


def _write_trace(fd: int) -> Callable[[str], None]:
    """What writes to a trace. After a failure it writes no more."""
    works = True

    def write(line: str) -> None:
        nonlocal works
        works = works and _write_all(fd, line.encode("utf-8", "backslashreplace"))

    return write


def _write_all(fd: int, data: bytes) -> bool:
    """Write a part of a trace; whoever reads it may hold up the sandbox, as with strace. False if it failed."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:  # its reader has left, and knows
            return False
        except OSError as error:
            log(f"the trace cannot be written: {error.strerror}")
            return False
    return True


def _rows(message: Message, key: str, size: int) -> list[list[object]]:
    value = message.header.get(key)
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) == size for row in value):
        raise ProtocolError(f"{key} is malformed")
    return value


def _path(value: object) -> bytes:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ProtocolError("a guest path is malformed")
    return value.encode("utf-8", "surrogateescape")


def _size(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= 1 << 50:
        raise ProtocolError("a size is malformed")
    return value
