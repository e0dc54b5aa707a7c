"""Pseudo-terminals (man 7 pty, man 4 ptmx): the open files of both ends, and the file system /dev/pts of slaves' names.

The slave is there as long as its master is open; then it is hung up. The settings, the buffers and what waits in them
outlive the last close of the slave. At most ``Limits.terminals`` pairs; a pair holds at most 50 kilobytes.
Missing: serial lines, TIOCSTI (EIO, as where legacy_tiocsti is off), TIOCGLCKTRMIOS and TIOCSLCKTRMIOS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import poll as po
from pylitebox.abi import termios as t
from pylitebox.abi.fcntl import O_NOCTTY, O_RDWR, RWF_NOWAIT, RWF_SUPPORTED
from pylitebox.abi.signal import SIGTTIN
from pylitebox.abi.stat import S_IFCHR, S_IFDIR, dtype, makedev
from pylitebox.abi.time import NSEC_PER_SEC
from pylitebox.kernel.credentials import CAP_SYS_ADMIN
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.fs.tmpfs import MemoryInode, TmpFs
from pylitebox.kernel.fs.vfs import Location
from pylitebox.kernel.tty import jobs
from pylitebox.kernel.tty.control import control
from pylitebox.kernel.tty.terminal import Terminal
from pylitebox.kernel.wait import Interrupted, Wait

if TYPE_CHECKING:
    from collections.abc import Generator

    from pylitebox.kernel.fs.vfs import Inode, Statfs, Who
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Process, Task
    from pylitebox.kernel.wait import WaitQueue

DEVPTS_SUPER_MAGIC = 0x1CD1
PTMX = makedev(5, 2)
#: The group "tty", and what its members may do with a slave.
TTY_GID = 5
SLAVE_MODE = 0o620
_IN = po.POLLIN | po.POLLRDNORM
_OUT = po.POLLOUT | po.POLLWRNORM
_TENTH = NSEC_PER_SEC // 10


class PtyFile(File):
    """An open file description of one end."""

    can_poll = True
    waits_itself = True
    rwf_read = rwf_write = RWF_SUPPORTED & ~RWF_NOWAIT

    def __init__(self, tty: Terminal, flags: int, location: Location) -> None:
        super().__init__(flags, inode=location.inode, location=location)
        self.tty = tty
        self.hung_up = False
        tty.files[self] = None
        tty.opens += 1

    # -- reading ----------------------------------------------------------------------------------------------

    def _reader(self) -> Task | None:
        return self.tty.kernel.current

    def read(self, size: int) -> bytes:
        tty = self.tty
        if self.hung_up or not size:
            return b""
        task = self._reader()
        if task is not None and not tty.master:
            jobs.check_change(task, tty, SIGTTIN)
        data = self._take(size, tty.cc[t.VMIN] if not self.nonblocking else 1)
        if data is not None:
            return data
        if not tty.discipline.canonical and not tty.cc[t.VMIN] and not tty.cc[t.VTIME]:
            return b""
        raise WouldBlock

    def _take(self, size: int, least: int) -> bytes | None:
        """What there is, if it is enough; EIO once the other end has closed and all was read."""
        tty = self.tty
        task = self._reader()
        if task is not None and task.stopped:  # what comes now is for who is in the foreground
            return None
        link = tty.link
        if tty.packet and link.packet_status:
            status, link.packet_status = link.packet_status, 0
            return bytes((status,))
        if tty.discipline.available(max(1, min(least, size))):
            head = b"\0" if tty.packet else b""
            data = head + tty.discipline.read(size - len(head))
            tty.drained()
            return data
        if tty.other_closed:
            raise KernelError(E.EIO)
        return None

    def read_slowly(self, size: int) -> Generator[Wait, bool, bytes]:
        """Wait as VMIN and VTIME say (man 3 termios)."""
        tty, now = self.tty, self.tty.kernel.now
        least, tenths = tty.cc[t.VMIN], tty.cc[t.VTIME]
        if tty.discipline.canonical:
            least, tenths = 1, 0
        got, deadline = bytearray(), None if least or not tenths else now() + tenths * _TENTH
        while True:
            if least and tenths and tty.discipline.available():  # between bytes
                got += self._take(size - len(got), 1) or b""
                if len(got) >= min(least, size):
                    return bytes(got)
                deadline = now() + tenths * _TENTH
            try:
                if not (yield Wait(*self.wait_queues(), deadline=deadline)):
                    return bytes(got)
                task = self._reader()
                if task is not None and not task.stopped and not tty.master:
                    jobs.check_change(task, tty, SIGTTIN)
                data = self._take(size - len(got), 1 if tenths else least)
            except (Interrupted, KernelError):
                if got:
                    return bytes(got)
                raise
            if data is not None:
                got += data
                if not least or not tenths or len(got) >= min(least, size):
                    return bytes(got)
                deadline = now() + tenths * _TENTH
            elif self.hung_up:
                return bytes(got)

    # -- writing ----------------------------------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> int:
        tty = self.tty
        if self.hung_up:
            raise KernelError(E.EIO)
        task = self._reader()
        if task is not None and tty.lflag & t.TOSTOP:
            jobs.check_change(task, tty)
        if not data:
            return 0
        if task is not None and task.stopped:
            raise WouldBlock
        done = tty.discipline.write(bytes(data))
        tty.link.settle()
        if not done:
            raise WouldBlock
        return done

    # -- readiness --------------------------------------------------------------------------------------------

    def poll(self) -> int:
        tty = self.tty
        if self.hung_up:
            return _IN | _OUT | po.POLLERR | po.POLLHUP
        least = tty.cc[t.VMIN] if not tty.cc[t.VTIME] else 1
        events = _IN if tty.discipline.available(max(1, least)) else 0
        if tty.packet and tty.link.packet_status:
            events |= po.POLLPRI | _IN
        if tty.other_closed:
            events |= po.POLLHUP
        if tty.room():
            events |= _OUT
        return events

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.tty.read_queue, self.tty.write_queue)

    # -- control ----------------------------------------------------------------------------------------------

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        return control(self, task, request, argument)

    def release(self) -> None:
        tty = self.tty
        tty.files.pop(self, None)
        tty.opens -= 1
        if tty.opens:
            return
        tty.link.other_closed = True
        if tty.master:
            tty.kernel.terminals.forget(tty.index)
            jobs.hang_up(tty.link)
        else:
            tty.link.read_queue.wake()
            tty.link.write_queue.wake()


# -- /dev/pts -----------------------------------------------------------------------------------------------------


class _SlaveInode(MemoryInode):
    """/dev/pts/N."""


class _Directory(MemoryInode):
    """The directory: ``ptmx``, and a name for each slave."""

    filesystem: DevPts

    def lookup(self, name: bytes) -> Inode:
        try:
            return self.filesystem.names[name]
        except KeyError:
            raise KernelError(E.ENOENT) from None

    def readdir(self) -> list[tuple[bytes, int, int]]:
        return [(name, inode.ino, dtype(inode.mode)) for name, inode in self.filesystem.names.items()]

    @property
    def nlink(self) -> int:
        return 2


class DevPts(TmpFs):
    """The one instance of devpts, and the pairs that exist (mount options gid=5,mode=620,ptmxmode=666)."""

    name = "devpts"
    magic = DEVPTS_SUPER_MAGIC

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, source="devpts")
        self.pairs: dict[int, Terminal] = {}  # masters by index
        self.names: dict[bytes, MemoryInode] = {}
        self.root = _Directory(self, S_IFDIR | 0o755, 0, 0, ino=1)
        self.names[b"ptmx"] = self._node(2, 0o666, PTMX, 0, 0)

    def _node(self, ino: int, mode: int, rdev: int, uid: int, gid: int) -> MemoryInode:
        inode = _SlaveInode(self, S_IFCHR | mode, uid, gid, ino=ino)
        inode.rdev = rdev
        return inode

    def statfs(self) -> Statfs:
        return super(TmpFs, self).statfs()

    # -- opening ----------------------------------------------------------------------------------------------

    def open_master(self, who: Who, flags: int, location: Location) -> PtyFile:
        """Open ptmx: a new pair; ENOSPC."""
        kernel = self.kernel
        index = next(n for n in range(len(self.pairs) + 1) if n not in self.pairs)
        if index >= kernel.limits.terminals:
            raise KernelError(E.ENOSPC)
        master, slave = Terminal(kernel, index, master=True), Terminal(kernel, index, master=False)
        master.link, slave.link = slave, master
        self.pairs[index] = master
        name = b"%d" % index
        inode = self._node(index + 3, SLAVE_MODE, slave.number, who.cred.fsuid, TTY_GID)
        self.names[name] = inode
        self.root_dentry.add(name, inode)
        return PtyFile(master, flags & ~O_NOCTTY, location)

    def forget(self, index: int) -> None:
        """A master was closed."""
        self.pairs.pop(index, None)
        name = b"%d" % index
        self.names.pop(name, None)
        child = self.root_dentry.children.get(name)
        if child is not None:
            self.root_dentry.drop(child)

    def open_slave(self, who: Who, index: int, flags: int, location: Location) -> PtyFile:
        """Open a slave by its number; EIO without a master or while it is locked."""
        master = self.pairs.get(index)
        if master is None or master.locked:
            raise KernelError(E.EIO)
        return self.open_terminal(who, master.link, flags, location)

    def open_terminal(self, who: Who, tty: Terminal, flags: int, location: Location) -> PtyFile:
        """Open an end that exists; it becomes the controlling terminal of a session leader that has none."""
        if tty.exclusive and not who.cred.capable(CAP_SYS_ADMIN):
            raise KernelError(E.EBUSY)
        file = PtyFile(tty, flags & ~O_NOCTTY, location)
        if not tty.master:
            tty.link.other_closed = False
            process: Process | None = getattr(who, "process", None)
            if process is not None and not flags & O_NOCTTY and file.readable and not tty.session:
                jobs.open_acquires(process, tty)
        return file

    def open_peer(self, task: Task, master: Terminal, flags: int) -> int:
        """TIOCGPTPEER: a descriptor of the slave, whatever is mounted where."""
        mounts = task.kernel.namespace.mounts if task.kernel.namespace is not None else ()
        mount = next((mount for mount in mounts if mount.filesystem is self), None)
        dentry = self.root_dentry.children.get(b"%d" % master.index)
        if mount is None or dentry is None:
            raise KernelError(E.ENOENT)
        task.files.free()
        cloexec = bool(flags & 0o2000000)
        flags &= O_RDWR | 1 | O_NOCTTY | 0o4000
        return task.files.install(
            self.open_terminal(task, master.link, flags, Location(mount, dentry)), cloexec=cloexec
        )
