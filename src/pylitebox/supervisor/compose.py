"""Composing a sandbox: the kernel, its platform, its North and its file tree, in the order that confinement dictates.

1. Everything that needs the user's own rights is opened: the host directories (O_PATH), the stub program.
2. ``enclose``: no new privileges, a uid of its own if root started us, no capabilities, Landlock.
3. The platform starts, so that its processes' walls nest in ours; then the kernel.
4. ``seal``: our own seccomp filter, after which all is as it stays.
5. The file tree is made, and what is in a user's archive is looked at for the first time.

What is opened and which walls there are is the host's business (host.py); where it has none, the order is the same.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

from pylitebox.kernel import process as processes
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.hostfs import HostFs, forget_idle
from pylitebox.kernel.kernel import Kernel, Limits
from pylitebox.kernel.log import log, send_to
from pylitebox.north.linux.personality import Personality
from pylitebox.south.start import StartError
from pylitebox.supervisor import platforms, view
from pylitebox.supervisor.control import RETRY_NS, Control, LogToClient
from pylitebox.supervisor.host import ComposeError, Host, Mount, Wall, rows
from pylitebox.supervisor.protocol import Channel, Message, ProtocolError
from pylitebox.supervisor.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.fs.vfs import FileSystem
    from pylitebox.kernel.platform import HostedPlatform
    from pylitebox.supervisor.rootfs import ArchiveRoot


class Composed:
    """A sandbox, ready to run."""

    def __init__(
        self,
        kernel: Kernel,
        platform: HostedPlatform,
        control: Control,
        session: Session,
        host: Host,
        walls: list[Wall],
    ) -> None:
        self.host = host
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
        self.host.close()


def compose(channel: Channel, message: Message, make_host: type[Host]) -> Composed:
    """The sandbox that the client's first request describes."""
    if message.text("op") != "configure":
        raise ProtocolError("the first request is not configure")
    if hasattr(os, "uname") and os.uname().release.endswith("-pylitebox"):
        raise ComposeError("this is a sandbox of pylitebox already, and its kernel cannot hold another one")
    row = platforms.choose(message.text("platform"))
    _observers(message)
    host = make_host()
    plan = _Plan(message, host)
    # a trace shows every call, so none is answered before the kernel sees it
    watched = message.header.get("trace") or message.header.get("summary")
    local = not watched and os.environ.get("PYLITEBOX_FAST") != "0"
    memory = _size(message.header.get("memory") or platforms.DEFAULT_MEMORY)
    ingredients = platforms.Ingredients(host.stub() if row.stub else "", host.urandom, local, memory)
    if row.early:
        platform = row.make(ingredients)
        walls = host.enclose(row)
    else:
        walls = host.enclose(row)
        platform = row.make(ingredients)
    limits = Limits()
    limits.memory_file_bytes += sum(size for _, size in plan.view.tmpfs)  # what was asked for by name is to be had
    limits.processes = min(limits.processes, host.attach(platform))
    kernel = Kernel(platform, hostname=message.text("hostname"), limits=limits)
    if row.translates:
        kernel.code_places = platform.random(24)
    personality = Personality(kernel)
    platform.attach(personality)
    control = Control(channel)
    try:
        platform.start()
        host.started()
        processes.boot(kernel)
        message.close()
        walls += host.seal(platform, channel, row, plan.descriptors(), writable=plan.writable)
        if plan.archive is not None:
            plan.view.rootfs = _archive(plan.archive, host, control)
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
    session = Session(kernel, control.send, host.streams(platform))
    control.session = session
    _observe(message, plan.trace, personality, session)
    platform.watch(channel.fileno(), control.readable)
    send_to(LogToClient(control))
    return Composed(kernel, platform, control, session, host, walls)


def _archive(archive: ArchiveRoot, host: Host, control: Control) -> Callable[[Kernel], FileSystem]:
    """What makes the file system of an archive, and tells the client how far it is."""

    def tell(done: int) -> None:
        control.send({"event": "progress", "text": f"unpacking {archive.host}: {done >> 20} MiB"})
        if control.closed:
            raise ComposeError("the client is gone")

    return lambda kernel: archive.file_system(kernel, host.file, tell)


class _Plan:
    """What the request asks for, with everything opened that needs the user's rights.

    Directories come as descriptors, or by their paths alone from a client on a host where they have none."""

    def __init__(self, message: Message, host: Host) -> None:
        self.owner = (message.number("uid"), message.number("gid"))
        self.view = view.View()
        self.view.tmpfs = [(_path(path), _size(size)) for path, size in rows(message, "tmpfs", 2)]
        self.writable = False
        self.trace = -1
        if message.header.get("trace") and message.fds:
            self.trace = message.fds.pop()
        self.archive: ArchiveRoot | None = None
        self._host = host
        self._by_path = message.header.get("paths") is True
        rootfs = message.header.get("rootfs")
        mounts = self._mounts(message)
        if rootfs is None and not any(mount.guest == b"/" for mount in mounts):
            host.add_system(self.view)
        for mount in mounts:
            self.view.mounts.append(view.HostMount(mount.guest, mount.mode, host.directory(mount)))
            self.writable = self.writable or mount.mode == "rw"
        if rootfs is not None:
            self._open_rootfs(rootfs, message)

    def _mounts(self, message: Message) -> list[Mount]:
        wanted = rows(message, "mounts", 3)
        fds = [-1] * len(wanted) if self._by_path else message.fds
        more = (0,) if message.header.get("rootfs") is None else (1, 2)
        if not self._by_path and len(fds) - len(wanted) not in more:
            raise ProtocolError("mounts and descriptors differ in number")
        mounts = []
        for (guest, mode, host), fd in zip(wanted, fds, strict=False):
            if mode not in ("ro", "cow", "rw") or not isinstance(host, str):
                raise ProtocolError("a mount is malformed")
            mounts.append(Mount(_path(guest), str(mode), host, fd))
        return mounts

    def _open_rootfs(self, facts: object, message: Message) -> None:
        if not isinstance(facts, dict) or not isinstance(facts.get("host"), str):
            raise ProtocolError("the rootfs is malformed")
        host, count = facts["host"], 0 if self._by_path else len(rows(message, "mounts", 3))
        if facts.get("directory"):
            tree = self._host.directory(Mount(b"/", "cow", host, -1 if self._by_path else message.fds[count]))
            # as in a system: root's; an unpacked tree belongs to whoever unpacked it
            self.view.rootfs = lambda kernel: HostFs(kernel, tree, public_only=False)
            return
        from pylitebox.supervisor.rootfs import ArchiveRoot

        fds, message.fds[count:] = message.fds[count:], []
        self.archive = ArchiveRoot(host, fds, _size(facts.get("limit")))

    def descriptors(self) -> list[int]:
        """What stays open, beside what the host opened: the archive, and the trace."""
        return [*(self.archive.fds if self.archive is not None else []), *([self.trace] if self.trace >= 0 else [])]


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


def _path(value: object) -> bytes:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ProtocolError("a guest path is malformed")
    return value.encode("utf-8", "surrogateescape")


def _size(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= 1 << 50:
        raise ProtocolError("a size is malformed")
    return value
