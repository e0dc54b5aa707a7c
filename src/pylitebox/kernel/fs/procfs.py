"""/proc (man 5 proc): the tree of its names. What its text files say is in proc_files.py and proc_system.py.

Everything is computed when it is looked at: nothing is cached, a directory of a process that is gone is ESRCH or
ENOENT. The text of a file is made when it is read from its start, so that one open file shows one state.

Rules: a process's directory belongs to its effective user; what ptrace(2) would be needed for (environ, auxv, the
links exe, cwd, root and fd/*) is for that user and for CAP_SYS_PTRACE.
Missing: attr, map_files, mem, pagemap, and most of sys.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import RWF_HIPRI, RWF_NOWAIT, RWF_SUPPORTED, SEEK_CUR, SEEK_SET
from pylitebox.abi.stat import PROC_SUPER_MAGIC, S_IFDIR, S_IFLNK, S_IFREG, dtype
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import proc_usage  # noqa: F401 - its entries
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.fs.operations import link_path
from pylitebox.kernel.fs.proc_files import ENTRIES, Text, fdinfo
from pylitebox.kernel.fs.proc_system import NETWORK, SYSTEM
from pylitebox.kernel.fs.vfs import FileSystem, Inode, Location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pylitebox.kernel.fs.vfs import Who
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Process, Task

CAP_SYS_PTRACE = 19
#: Inode numbers: those of the fixed files count from 1; a task's begin at its id shifted by this, its descriptors
#: lie _FDS further on.
_TASK_SHIFT = 24
_FDS = 1 << 16
_INFOS = 1 << 20
_THREAD = 1 << 48


class TextFs(FileSystem):
    """A file system of texts that are made when they are read (/proc, /sys)."""

    cache_ns = 0

    def __init__(self, kernel: Kernel, *, source: str) -> None:
        super().__init__(kernel, source=source)
        self._next_ino = 1

    def new_ino(self) -> int:
        self._next_ino += 1
        return self._next_ino - 1

    def fixed(self, tree: dict[bytes, object]) -> dict[bytes, Inode]:
        """The inodes of a tree of names: a Text, a link's target, or a directory."""
        inodes: dict[bytes, Inode] = {}
        for name, what in tree.items():
            if isinstance(what, dict):
                inodes[name] = Directory(self, self.new_ino(), partial(self.fixed, what))
            elif isinstance(what, bytes):
                inodes[name] = _Link(self, self.new_ino(), lambda who, target=what: target)  # type: ignore[misc]
            else:
                assert isinstance(what, Text)
                inodes[name] = _TextInode(self, self.new_ino(), what, None, None)
        return dict(sorted(inodes.items()))


class ProcFs(TextFs):
    """The whole of /proc for one kernel."""

    name = "proc"
    magic = PROC_SUPER_MAGIC

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, source="proc")
        self.root: Inode = _Root(self, self.new_ino(), self.fixed(SYSTEM))
        self._net: dict[bytes, Inode] | None = None

    def net(self) -> dict[bytes, Inode]:
        """What is in /proc/PID/net: the same for all."""
        if self._net is None:
            self._net = self.fixed({name: text._replace(iterates=False) for name, text in NETWORK.items()})
        return self._net


# -- files with text --------------------------------------------------------------------------------------------


class _TextInode(Inode):
    """A file whose content a :class:`Text` makes; ``task`` is whose directory it stands in."""

    def __init__(
        self, filesystem: FileSystem, ino: int, text: Text, process: Process | None, task: Task | None
    ) -> None:
        super().__init__(filesystem, ino, S_IFREG | text.mode, *_owner(process))
        self.text = text
        self.process = process
        self.task = task

    def open(self, flags: int, location: Location) -> File:
        return _TextFile(self, flags, location)

    def content(self) -> bytes:
        if self.process is not None and self.process.state == "dead":
            raise KernelError(E.ESRCH)
        return self.text.read(self.filesystem.kernel, self.process, self.task)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        if self.text.write is None:
            raise KernelError(E.EINVAL)
        if self.process is not None and self.process.state == "dead":
            raise KernelError(E.ESRCH)
        self.text.write(self.filesystem.kernel, self.process, self.task, bytes(data[:4096]))
        return len(data)

    def truncate(self, size: int) -> None:
        """O_TRUNC is accepted and means nothing."""


class _TextFile(File):
    """An open one."""

    inode: _TextInode

    def __init__(self, inode: _TextInode, flags: int, location: Location) -> None:
        super().__init__(flags, inode=inode, location=location)
        self._content: bytes | None = None
        self.rwf_read = self.rwf_write = RWF_SUPPORTED & ~RWF_NOWAIT if inode.text.iterates else RWF_HIPRI

    def read(self, size: int) -> bytes:
        data = self.pread(size, self.position)
        self.position += len(data)
        return data

    def pread(self, size: int, offset: int) -> bytes:
        content = self._content
        if content is None or not offset:
            self.release()
            content = self.inode.content()
            budget = self.inode.filesystem.kernel.listings
            if budget.fits(len(content)):  # else it is made anew for each read
                budget.take(len(content))
                self._content = content
        return content[offset : offset + size]

    def release(self) -> None:
        """Let go of the text."""
        if self._content is not None:
            self.inode.filesystem.kernel.listings.give(len(self._content))
            self._content = None

    def write(self, data: bytes | memoryview) -> int:
        return self.inode.write_at(data, 0)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        return self.inode.write_at(data, offset)

    def seek(self, offset: int, whence: int) -> int:
        if whence == SEEK_CUR:
            offset += self.position
        elif whence != SEEK_SET:
            raise KernelError(E.EINVAL)
        if not 0 <= offset < 1 << 63:
            raise KernelError(E.EINVAL)
        self.position = offset
        return offset


# -- directories and links --------------------------------------------------------------------------------------


def _owner(process: Process | None) -> tuple[int, int]:
    """Whom the files of a process belong to: its effective user; root if it is not dumpable or has no thread."""
    task = _any_task(process) if process is not None and process.dumpable == 1 else None
    return (task.cred.euid, task.cred.egid) if task is not None else (0, 0)


def _any_task(process: Process) -> Task | None:
    return process.leader or next(iter(process.tasks.values()), None)


class Directory(Inode):
    """A directory with fixed names; its entries may be made when it is first looked into."""

    def __init__(
        self,
        filesystem: FileSystem,
        ino: int,
        entries: dict[bytes, Inode] | Callable[[], dict[bytes, Inode]],
        *,
        mode: int = 0o555,
        owner: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(filesystem, ino, S_IFDIR | mode, *owner)
        self._entries = entries

    @property
    def entries(self) -> dict[bytes, Inode]:
        if callable(self._entries):
            self._entries = self._entries()
        return self._entries

    def lookup(self, name: bytes) -> Inode:
        try:
            return self.entries[name]
        except KeyError:
            raise KernelError(E.ENOENT) from None

    def readdir(self) -> list[tuple[bytes, int, int]]:
        return [(name, inode.ino, dtype(inode.mode)) for name, inode in self.entries.items()]


class _Link(Inode):
    """A symbolic link with a computed target."""

    def __init__(self, filesystem: FileSystem, ino: int, target: Callable[[Who], bytes]) -> None:
        super().__init__(filesystem, ino, S_IFLNK | 0o777)
        self._target = target

    def readlink(self) -> bytes:
        return self._target(self.filesystem.kernel.namespace.view)  # type: ignore[union-attr]

    def target(self, who: Who) -> bytes:
        return self._target(who)


class _MagicLink(Inode):
    """A link that leads to a place or an open file itself, whatever its text says."""

    magic = True
    size = 64  # as Linux says, whatever the text

    def __init__(
        self,
        filesystem: FileSystem,
        ino: int,
        process: Process,
        where: Callable[[], Location | File],
        *,
        mode: int = 0o777,
    ) -> None:
        super().__init__(filesystem, ino, S_IFLNK | mode, *_owner(process))
        self._process = process
        self._where = where

    def jump(self, who: Who) -> Location | File:
        check_ptrace(who, self._process)
        where = self._where()
        return where.location if isinstance(where, File) and where.location is not None else where

    def readlink(self) -> bytes:
        return self.target(self.filesystem.kernel.namespace.view)  # type: ignore[union-attr]

    def target(self, who: Who) -> bytes:
        where = self.jump(who)
        return link_path(who, where) if isinstance(where, Location) else where.link_text()


def check_ptrace(who: Who, process: Process) -> None:
    """EACCES unless ``who`` may look into ``process`` (man 2 ptrace, "Ptrace access mode checking")."""
    if getattr(who, "process", None) is process:
        return
    task = _any_task(process)
    cred = who.cred
    if cred.capable(CAP_SYS_PTRACE):
        return
    if task is None or process.dumpable != 1:
        raise KernelError(E.EACCES)
    other = task.cred
    same_user = cred.fsuid == other.uid == other.euid == other.suid
    if not same_user or not cred.fsgid == other.gid == other.egid == other.sgid:
        raise KernelError(E.EACCES)


class _Root(Directory):
    """The root: fixed names, ``self``, ``thread-self``, and a directory for each process."""

    def __init__(self, filesystem: ProcFs, ino: int, entries: dict[bytes, Inode]) -> None:
        entries[b"self"] = _Link(filesystem, filesystem.new_ino(), self._self)
        entries[b"thread-self"] = _Link(filesystem, filesystem.new_ino(), self._thread_self)
        super().__init__(filesystem, ino, entries)

    @staticmethod
    def _self(who: Who) -> bytes:
        process: Process | None = getattr(who, "process", None)
        if process is None:
            raise KernelError(E.ENOENT)
        return b"%d" % process.pid

    @staticmethod
    def _thread_self(who: Who) -> bytes:
        process: Process | None = getattr(who, "process", None)
        if process is None:
            raise KernelError(E.ENOENT)
        return b"%d/task/%d" % (process.pid, who.tid)  # type: ignore[attr-defined]

    def lookup(self, name: bytes) -> Inode:
        number = _number(name)
        if number is None:
            return super().lookup(name)
        kernel = self.filesystem.kernel
        process = kernel.processes.get(number)
        if process is None:
            task = kernel.tasks.get(number)
            if task is None:
                raise KernelError(E.ENOENT)
            return _TaskDirectory(self.filesystem, task.process, task, leader=True)
        return _TaskDirectory(self.filesystem, process, process.leader, leader=True)

    def readdir(self) -> list[tuple[bytes, int, int]]:
        pids = sorted(self.filesystem.kernel.processes)
        return super().readdir() + [(b"%d" % pid, pid << _TASK_SHIFT, 4) for pid in pids]


def _number(name: bytes) -> int | None:
    """A decimal number as the kernel writes it; None for any other name."""
    if not name.isdigit() or len(name) > 10 or (name[0] == 48 and len(name) > 1):
        return None
    return int(name)


class _TaskDirectory(Inode):
    """/proc/PID (``leader``) or /proc/PID/task/TID. A zombie's has no task."""

    def __init__(self, filesystem: FileSystem, process: Process, task: Task | None, *, leader: bool) -> None:
        tid = task.tid if task is not None else process.pid
        base = tid << _TASK_SHIFT | (0 if leader else _THREAD)
        super().__init__(filesystem, base, S_IFDIR | 0o555, *_owner(process))
        self._process = process
        self._task = task
        self._leader = leader
        self._special: dict[bytes, Callable[[int], Inode]] = {
            b"cwd": lambda ino: self._link(ino, lambda: self._alive().fs.cwd),
            b"exe": lambda ino: self._link(ino, self._exe),
            b"root": lambda ino: self._link(ino, lambda: self._alive().fs.root),
            b"fd": lambda ino: _Descriptors(filesystem, ino, process, base + _FDS, links=True),
            b"net": lambda ino: Directory(filesystem, ino, filesystem.net),  # type: ignore[attr-defined]
            b"ns": lambda ino: Directory(filesystem, ino, _namespaces(filesystem, ino), mode=0o511),
            b"fdinfo": lambda ino: _Descriptors(filesystem, ino, process, base + _INFOS, links=False),
        }
        if leader:
            self._special[b"task"] = lambda ino: _Tasks(filesystem, ino, process)

    def _alive(self) -> Process:
        """The process while it has threads: what belonged to its threads is gone in a zombie; ENOENT."""
        if not self._process.tasks:
            raise KernelError(E.ENOENT)
        return self._process

    def _exe(self) -> Location:
        exe = self._alive().exe
        if exe is None:
            raise KernelError(E.ENOENT)
        return exe

    def _link(self, ino: int, where: Callable[[], Location | File]) -> Inode:
        return _MagicLink(self.filesystem, ino, self._process, where)

    def _names(self) -> Iterable[tuple[bytes, int]]:
        """Each name with its inode number."""
        return ((name, self.ino + 1 + i) for i, name in enumerate((*self._special, *ENTRIES)))

    def lookup(self, name: bytes) -> Inode:
        if self._process.state == "dead":
            raise KernelError(E.ENOENT)
        ino = next((ino for known, ino in self._names() if known == name), 0)
        if not ino:
            raise KernelError(E.ENOENT)
        special = self._special.get(name)
        if special is not None:
            return special(ino)
        return _TextInode(self.filesystem, ino, ENTRIES[name], self._process, self._task)

    def readdir(self) -> list[tuple[bytes, int, int]]:
        if self._process.state == "dead":
            raise KernelError(E.ENOENT)
        entries = []
        for name, ino in self._names():
            special = self._special.get(name)
            entries.append((name, ino, dtype(special(ino).mode) if special is not None else dtype(S_IFREG)))
        return entries


#: The namespaces that all are in, as a fresh machine numbers them (linux/proc_ns.h).
_NAMESPACES = {
    b"cgroup": (b"cgroup", 4026531835),
    b"ipc": (b"ipc", 4026531839),
    b"mnt": (b"mnt", 4026531841),
    b"net": (b"net", 4026531840),
    b"pid": (b"pid", 4026531836),
    b"pid_for_children": (b"pid", 4026531836),
    b"time": (b"time", 4026531834),
    b"time_for_children": (b"time", 4026531834),
    b"user": (b"user", 4026531837),
    b"uts": (b"uts", 4026531838),
}


def _namespaces(filesystem: FileSystem, ino: int) -> dict[bytes, Inode]:
    """The links of /proc/PID/ns. They can be read and compared; there is nothing to open behind them."""
    return {
        name: _Link(filesystem, ino, lambda who, text=b"%s:[%d]" % what: text)  # type: ignore[misc]
        for name, what in _NAMESPACES.items()
    }


class _Tasks(Inode):
    """/proc/PID/task."""

    def __init__(self, filesystem: FileSystem, ino: int, process: Process) -> None:
        super().__init__(filesystem, ino, S_IFDIR | 0o555, *_owner(process))
        self._process = process

    def lookup(self, name: bytes) -> Inode:
        number = _number(name)
        task = self._process.tasks.get(number) if number is not None else None
        if task is None and number not in self._ids():
            raise KernelError(E.ENOENT)
        return _TaskDirectory(self.filesystem, self._process, task, leader=False)

    @property
    def nlink(self) -> int:
        return 2 + len(self._ids())

    def _ids(self) -> list[int]:
        """A zombie is its own last thread."""
        if self._process.state == "zombie":
            return [self._process.pid]
        return sorted(self._process.tasks)

    def readdir(self) -> list[tuple[bytes, int, int]]:
        return [(b"%d" % tid, tid << _TASK_SHIFT | _THREAD, 4) for tid in self._ids()]


class _Descriptors(Inode):
    """/proc/PID/fd (``links``) and /proc/PID/fdinfo."""

    def __init__(self, filesystem: FileSystem, ino: int, process: Process, base: int, *, links: bool) -> None:
        super().__init__(filesystem, ino, S_IFDIR | (0o500 if links else 0o555), *_owner(process))
        self._process = process
        self._base = base
        self._links = links
        if links:
            self.insider = process

    def _files(self) -> dict[int, File]:
        task = _any_task(self._process)
        return task.files.files if task is not None else {}

    def lookup(self, name: bytes) -> Inode:
        fd = _number(name)
        file = self._files().get(fd) if fd is not None else None
        if file is None or fd is None:
            raise KernelError(E.ENOENT)
        process = self._process
        if self._links:
            mode = (0o500 if file.readable else 0) | (0o300 if file.writable else 0)
            return _MagicLink(self.filesystem, self._base + fd, process, lambda: self._open(fd), mode=mode)
        text = Text(0o400, lambda kernel, process, task: fdinfo(self._open(fd), cloexec=self._cloexec(fd)))
        return _TextInode(self.filesystem, self._base + fd, text, process, None)

    def _open(self, fd: int) -> File:
        file = self._files().get(fd)
        if file is None:
            raise KernelError(E.ENOENT)
        return file

    def _cloexec(self, fd: int) -> bool:
        task = _any_task(self._process)
        return task is not None and fd in task.files.cloexec

    def readdir(self) -> list[tuple[bytes, int, int]]:
        kind = dtype(S_IFLNK if self._links else S_IFREG)
        return [(b"%d" % fd, self._base + fd, kind) for fd in sorted(self._files())]
