"""The supervisor's host on Linux: directories by descriptor, walls (confine.py), threads that wait for disks."""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING, cast

from pylitebox.kernel.errors import KernelError
from pylitebox.south import descriptors
from pylitebox.south.hostfiles import PosixFile, Workers, open_tree
from pylitebox.south.native.launch import STUB
from pylitebox.south.start import StartError
from pylitebox.supervisor import confine, view
from pylitebox.supervisor.host import ComposeError, Host

if TYPE_CHECKING:
    from pylitebox.kernel.platform import HostDirectory, HostedPlatform, HostFile
    from pylitebox.south.hostfiles import PosixDirectory
    from pylitebox.south.streams import FdStream
    from pylitebox.supervisor.host import Mount, Wall
    from pylitebox.supervisor.platforms import Row
    from pylitebox.supervisor.protocol import Channel
    from pylitebox.supervisor.session import NewStream

_WANTED = stat.S_IROTH | stat.S_IXOTH


class LinuxHost(Host):
    """Everything that needs the user's rights is opened before :meth:`enclose`."""

    def __init__(self) -> None:
        self._rules: list[tuple[int, int]] = []
        self._trees: list[PosixDirectory] = []
        self._named: list[tuple[str, int, str]] = []  # host path, descriptor, mode
        self._stub = -1
        self._workers: Workers | None = None
        self.urandom: int = os.open("/dev/urandom", os.O_RDONLY | os.O_CLOEXEC)

    @staticmethod
    def preload() -> None:
        from pylitebox.south import streams  # noqa: F401
        from pylitebox.south.native import platform  # noqa: F401

    @staticmethod
    def wait_for(channel: Channel) -> None:
        flags = fcntl.fcntl(channel.fileno(), fcntl.F_GETFL)  # setblocking would make a call that the filter refuses
        fcntl.fcntl(channel.fileno(), fcntl.F_SETFL, flags & ~os.O_NONBLOCK)

    def add_system(self, view_: view.View) -> None:
        view.add_system(view_, lambda path: _contract(self._tree(path, confine.READ_TREE)))

    def directory(self, mount: Mount) -> HostDirectory:
        tree = self._tree(
            f"/proc/self/fd/{mount.fd}", confine.WRITE_TREE if mount.mode == "rw" else confine.READ_TREE
        )
        self._named.append((mount.host, tree.fileno(), mount.mode))
        return _contract(tree)

    def _tree(self, path: str, rights: int) -> PosixDirectory:
        try:
            tree = open_tree(path)
        except KernelError as error:
            raise ComposeError(f"{path} cannot be opened: {os.strerror(error.errno)}") from None
        self._trees.append(tree)
        self._rules.append((tree.fileno(), rights))
        return tree

    def stub(self) -> str:
        """A path to the stub program that holds whatever uid we become."""
        try:
            fd = os.open(STUB, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            raise StartError(
                f"the stub program {STUB} is missing: install a Linux x86-64 wheel, or a C compiler and "
                "reinstall the package"
            ) from None
        self._rules.append((fd, confine.EXECUTE))
        self._stub = fd
        return f"/proc/self/fd/{fd}"

    def enclose(self, row: Row) -> list[Wall]:
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

    def attach(self, platform: HostedPlatform) -> int:
        self._workers = workers = Workers()
        workers.attach(platform)
        for tree in self._trees:
            tree.tree.workers = workers
        return descriptors.divide()

    def started(self) -> None:
        """Nobody needs to reach the stub program again."""
        if self._stub >= 0:
            os.close(self._stub)

    def seal(
        self, platform: HostedPlatform, channel: Channel, row: Row, kept: list[int], *, writable: bool
    ) -> list[Wall]:
        workers = self._workers
        assert workers is not None
        expected = {0, 1, 2, channel.fileno(), *platform.descriptors(), *workers.descriptors(), *kept}
        expected.update(fd for tree in self._trees for fd in tree.tree.descriptors())
        return confine.seal(expected, groups=[*row.groups, *(["host-write"] if writable else [])])

    def file(self, fd: int) -> HostFile:
        status = os.fstat(fd)
        return cast("HostFile", PosixFile(fd, (status.st_dev, status.st_ino), self._workers, write=False))

    def streams(self, platform: HostedPlatform) -> NewStream:
        from pylitebox.south.streams import FdStream

        def new_stream(
            fd: int, *, readable: bool, writable: bool, termios: bytes | None, winsize: bytes | None
        ) -> FdStream:
            return FdStream(platform, fd, readable=readable, writable=writable, termios=termios, winsize=winsize)

        return new_stream


def _contract(tree: PosixDirectory) -> HostDirectory:
    """A tree as the kernel sees it: directories of one tree only ever meet each other."""
    return cast("HostDirectory", tree)
