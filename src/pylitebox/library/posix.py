"""``pylitebox.Posix``: a kernel in the calling program, composed and ready, shaped like ``os``.

Composition is that of a supervisor (supervisor/compose.py) without what guests need: the local platform, the kernel,
the view of files, and one process, whose calls are the caller's. Nothing is confined: code that calls this object is
trusted by definition; what it protects is the host's files, which it cannot name.
"""

from __future__ import annotations

import os
import weakref
from typing import IO, TYPE_CHECKING, Any, Self

from pylitebox.kernel import process as processes
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.descriptors import FileTable
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.hostfs import forget_idle
from pylitebox.kernel.kernel import Kernel, Limits
from pylitebox.library.streams import RawFile, open_flags, split_mode, stream
from pylitebox.north.posix import Posix as North
from pylitebox.sandbox.errors import OptionError
from pylitebox.sandbox.host_errors import host_error
from pylitebox.sandbox.options import Options
from pylitebox.south.local.platform import LocalPlatform
from pylitebox.supervisor import view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pylitebox.kernel.platform import HostDirectory
    from pylitebox.kernel.task import Task
    from pylitebox.north.posix.arguments import StrPath
    from pylitebox.sandbox.options import Mount

#: Whether the host has what south/hostfiles.py walks trees with.
_DESCRIPTORS = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY") and hasattr(os, "pread")


class Posix(North):
    """A kernel of your own, shaped like ``os``: files, descriptors, pipes, sockets, without any program.

        with pylitebox.Posix(mounts=["src:/src:cow"]) as box:
            box.mkdir("/src/build")
            with box.fopen("/src/build/stamp", "w") as file:
                file.write("made")

    ``mounts``: host directories, as ``"HOST:GUEST[:ro|cow|rw]"`` or :class:`Mount`; ``tmpfs``: in-memory directories,
    as ``"GUEST[:SIZE]"`` or a mapping of path to size; ``user``: ``"UID[:GID]"``, root by default; ``hostname``,
    ``cwd``, ``umask``: as one expects. All else is in memory: /tmp, /dev, /proc and the usual directories.

    ``system``: show the host's /usr, /etc and so on too, read-only beneath a layer in memory, as a Sandbox does.
    ``memory``: bytes that all files in memory may take together (1 GiB).
    ``threads``: calls may come from many threads at once, and one that must wait waits for the others, for ever if
    need be. Without it a call that would wait for ever is :class:`pylitebox.Deadlock`.

    It ends with :meth:`end` or its ``with`` block.
    """

    def __init__(
        self,
        *,
        mounts: Iterable[Mount | str] = (),
        tmpfs: Iterable[str] | Mapping[str, int | str | None] = (),
        system: bool = False,
        cwd: str | os.PathLike[str] | None = None,
        user: str | int | tuple[int, int] | None = None,
        umask: int = 0o022,
        hostname: str | None = None,
        memory: int | None = None,
        threads: bool = False,
    ) -> None:
        options = Options(mounts=mounts, tmpfs=tmpfs, cwd=cwd, user=user, hostname=hostname)
        platform = LocalPlatform(threads=threads)
        trees: list[HostDirectory] = []
        try:
            task = _first_task(platform, options, trees, system=system, memory=memory)
            super().__init__(task, host_error, platform.turn)
        except BaseException:
            _close_all(trees)
            raise
        self._finalizer = weakref.finalize(self, _end, task.kernel, trees)
        for _ in range(3):  # what a program takes for its streams is nobody's file
            self.set_inheritable(self.open(self.devnull, self.O_RDWR), True)  # noqa: FBT003 - as os has it
        self.umask(umask)

    def end(self) -> None:
        """End every process of this kernel, and close what it holds of the host. Calls fail from then on."""
        if self._parent is not None:
            self._parent.end()
            return
        with self._program.turn:
            self._finalizer()
            self._program.turn.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    # -- file objects -----------------------------------------------------------------------------------------

    def fdopen(
        self,
        fd: int,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
    ) -> IO[Any]:
        """A file object over a descriptor, as ``os.fdopen``; text is UTF-8 by default."""
        self.fstat(fd)  # EBADF
        raw = RawFile(self, fd, mode, closefd=closefd, name=fd)
        return stream(raw, buffering, encoding, errors, newline)

    def fopen(
        self,
        file: StrPath,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *,
        dir_fd: int | None = None,
    ) -> IO[Any]:
        """As the built-in open(), for a file of this kernel; text is UTF-8 by default."""
        fd = self.open(file, open_flags(mode), 0o666, dir_fd=dir_fd)
        try:
            if self.path.isdir(fd):
                raise IsADirectoryError(*host_error(_EISDIR), file)
            raw = RawFile(self, fd, mode, closefd=True, name=file)
            opened = stream(raw, buffering, encoding, errors, newline)
            if split_mode(mode)[0] == "a" and raw.seekable():
                raw.seek(0, 2)
        except BaseException:
            self.close(fd)
            raise
        return opened


_EISDIR = 21  # Linux's


def _end(kernel: Kernel, trees: list[HostDirectory]) -> None:
    processes.kill_all(kernel)
    kernel.platform.close()
    forget_idle(kernel)
    _close_all(trees)


def _close_all(trees: list[HostDirectory]) -> None:
    while trees:
        trees.pop().close()


def _first_task(
    platform: LocalPlatform, options: Options, trees: list[HostDirectory], *, system: bool, memory: int | None
) -> Task:
    """The task of a new kernel's only process."""
    plan = view.View()
    plan.tmpfs = [(os.fsencode(path), size) for path, size in options.tmpfs]
    limits = Limits()
    if memory is not None:
        limits.memory_file_bytes = memory
    limits.memory_file_bytes += sum(size for _, size in plan.tmpfs)
    for mount in options.all_mounts():
        directory = _tree(mount.host, trees)
        plan.mounts.append(view.HostMount(mount.guest.encode("utf-8", "surrogateescape"), mount.mode, directory))
    if system:
        view.add_system(plan, lambda path: _tree(path, trees))
    kernel = Kernel(platform, hostname=options.hostname, limits=limits)
    processes.boot(kernel)
    owner = options.uid, options.gid
    try:
        namespace = view.build(kernel, plan, owner)
        fs = namespace.context(options.cwd.encode("utf-8", "surrogateescape"))
    except view.PlaceError as error:
        where = os.fsdecode(error.path)
        raise OptionError(f"nothing can be mounted at {where}: {host_error(error.errno)[1]}") from None
    except KernelError as error:
        raise OptionError(f"the working directory {options.cwd}: {host_error(error.errno)[1]}") from None
    process, task = processes.create(kernel, None, FileTable(), fs, Credentials.user(*owner))
    process.name = task.name = b"python"
    return task


def _tree(path: str, trees: list[HostDirectory]) -> HostDirectory:
    directory: Any
    try:
        if _DESCRIPTORS:
            from pylitebox.south.hostfiles import open_tree

            directory = open_tree(path)
        else:
            from pylitebox.south.local.directory import LocalDirectory

            directory = LocalDirectory(os.path.realpath(path))
    except KernelError as error:
        raise OptionError(f"cannot mount {path}: {host_error(error.errno)[1]}") from None
    trees.append(directory)
    contract: HostDirectory = directory
    return contract
