"""POSIX message queues (man 7 mq_overview; ipc/mqueue.c): files of a file system of their own, which holds all of them.

mq_open(3) finds them there by name; they can be seen where it is mounted (/dev/mqueue). A message goes straight to one
who waits for it, and the message of one who waits for room goes into the queue as soon as there is some, so that nobody
overtakes. A queue's greatest size counts for its maker's RLIMIT_MSGQUEUE, its messages for the sandbox's memory.

Missing: changes of the limits in /proc/sys/fs/mqueue.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import mqueue as mq
from pylitebox.abi import signal as sg
from pylitebox.abi.fcntl import O_ACCMODE, O_CREAT, O_EXCL, O_NONBLOCK, RWF_HIPRI
from pylitebox.abi.poll import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_MSGQUEUE
from pylitebox.abi.stat import S_IFREG
from pylitebox.kernel.credentials import CAP_FOWNER, CAP_SYS_RESOURCE
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.fs.tmpfs import MemoryDirectory, MemoryInode, TmpFs
from pylitebox.kernel.fs.walk import MAY_EXEC, MAY_READ, MAY_WRITE, permission
from pylitebox.kernel.signals import SigInfo, post_process
from pylitebox.kernel.wait import Blocking, Wait, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.descriptors import FileTable
    from pylitebox.kernel.fs.vfs import Inode, Location
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.net.netlink import NetlinkSocket
    from pylitebox.kernel.task import Process, Task

#: What a message takes of the supervisor's memory beyond its text, bytes.
_MESSAGE_COST = 160
#: RLIMIT_MSGQUEUE where no process is known: a queue made by open(2) in the mounted file system.
_USUAL_LIMIT = 819200
_NAME_MAX = 255
_ACCESS = (MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE)


#: Minus the priority, a running number, the text: in the order in which messages are received.
Message = tuple[int, int, bytes]


class Notification:
    """Who is to be told of a message in the empty queue, once. ``cookie`` is what SIGEV_THREAD wants put into
    ``socket``."""

    __slots__ = ("cookie", "notify", "process", "signo", "socket", "value")

    def __init__(
        self,
        process: Process,
        notify: int,
        signo: int = 0,
        value: int = 0,
        cookie: bytes = b"",
        socket: NetlinkSocket | None = None,
    ) -> None:
        self.process = process
        self.notify = notify
        self.signo = signo
        self.value = value
        self.cookie = cookie
        self.socket = socket

    def answer(self, what: int) -> None:
        """Give the cookie back (NOTIFY_*)."""
        if self.socket is not None:
            self.socket.post(self.cookie[:-1] + bytes((what,)))


class _Waiting:
    """A send or receive that waits; ``message`` is what is sent, or was received. ``done``: it has been served."""

    __slots__ = ("done", "message", "queue")

    def __init__(self, message: Message | None = None) -> None:
        self.queue = WaitQueue()
        self.message = message
        self.done = False

    def serve(self, message: Message | None = None) -> None:
        self.message = message or self.message
        self.done = True
        self.queue.wake()

    def wait(self, deadline: int | None) -> Blocking:
        while not self.done:
            if not (yield Wait(self.queue, deadline=deadline)) and not self.done:
                raise KernelError(E.ETIMEDOUT)
        return 0


class MqueueInode(MemoryInode):
    """One queue."""

    filesystem: MqueueFs

    def __init__(
        self, filesystem: MqueueFs, mode: int, uid: int, gid: int, *, limits: tuple[int, int], charged: tuple[int, int]
    ) -> None:
        super().__init__(filesystem, S_IFREG | mode & 0o7777, uid, gid)
        self.max_messages, self.max_size = limits
        self.messages: list[Message] = []
        self.bytes = 0
        self.notification: Notification | None = None
        self.ready_queue = WaitQueue()
        self.opens = 0
        self._charged: tuple[int, int] | None = charged  # uid, bytes
        self._number = 0
        self._senders: dict[_Waiting, None] = {}
        self._receivers: dict[_Waiting, None] = {}

    @property
    def size(self) -> int:
        return mq.FILENT_SIZE

    def open(self, flags: int, location: Location) -> MqueueFile:
        return MqueueFile(self, flags, location)

    def truncate(self, size: int) -> None:
        """O_TRUNC means nothing here."""

    def text(self) -> bytes:
        """What read(2) says."""
        told = self.notification
        signo = told.signo if told is not None and told.notify == mq.SIGEV_SIGNAL else 0
        notify, pid = (told.notify, told.process.pid) if told is not None else (0, 0)
        return b"QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n" % (self.bytes, notify, signo, pid)

    # -- messages ---------------------------------------------------------------------------------------------

    def send(self, task: Task, text: bytes, priority: int, deadline: int | None, *, wait: bool) -> int | Blocking:
        """mq_timedsend(2): 0, or a call that waits for room; EMSGSIZE, EAGAIN, ENOMEM, ETIMEDOUT."""
        if len(text) > self.max_size:
            raise KernelError(E.EMSGSIZE)
        full = len(self.messages) >= self.max_messages
        if full and not wait:
            raise KernelError(E.EAGAIN)
        self._number += 1
        message = (-priority, self._number, text)
        self.filesystem.kernel.ipc.memory.take(len(text) + _MESSAGE_COST)
        if full:
            return self._send_later(message, deadline)
        self.touch()
        for receiver in self._receivers:
            del self._receivers[receiver]
            receiver.serve(message)
            return 0
        self._insert(message)
        if len(self.messages) == 1:
            self._notify(task)
        return 0

    def _send_later(self, message: Message, deadline: int | None) -> Blocking:
        waiting = _Waiting(message)
        self._senders[waiting] = None
        try:
            return (yield from waiting.wait(deadline))
        finally:
            if not waiting.done:
                del self._senders[waiting]
                self._forget(message)

    def _insert(self, message: Message) -> None:
        heappush(self.messages, message)
        self.bytes += len(message[2])
        self.ready_queue.wake()

    def _forget(self, message: Message) -> None:
        self.filesystem.kernel.ipc.memory.give(len(message[2]) + _MESSAGE_COST)

    def receive(
        self, size: int, deliver: Callable[[Message], int], deadline: int | None, *, wait: bool
    ) -> int | Blocking:
        """mq_timedreceive(2): what ``deliver`` makes of the message, or a call that waits for one."""
        if size < self.max_size:
            raise KernelError(E.EMSGSIZE)
        if not self.messages:
            if not wait:
                raise KernelError(E.EAGAIN)
            return self._receive_later(deliver, deadline)
        message = heappop(self.messages)
        self.bytes -= len(message[2])
        self._forget(message)
        self.touch()
        for sender in self._senders:
            del self._senders[sender]
            sender.serve()
            assert sender.message is not None
            self._insert(sender.message)
            break
        else:
            self.ready_queue.wake()
        return deliver(message)

    def _receive_later(self, deliver: Callable[[Message], int], deadline: int | None) -> Blocking:
        waiting = _Waiting()
        self._receivers[waiting] = None
        try:
            yield from waiting.wait(deadline)
        finally:
            if not waiting.done:
                del self._receivers[waiting]
            if waiting.message is not None:
                self._forget(waiting.message)
        assert waiting.message is not None
        return deliver(waiting.message)

    # -- notification -----------------------------------------------------------------------------------------

    def register(self, task: Task, notification: Notification | None) -> None:
        """mq_notify(2); EBUSY."""
        owner = self.notification
        if notification is not None:
            if owner is not None:
                raise KernelError(E.EBUSY)
            self.notification = notification
        elif owner is not None and owner.process is task.process:
            self.unregister()

    def unregister(self) -> None:
        told, self.notification = self.notification, None
        if told is not None:
            told.answer(mq.NOTIFY_REMOVED)

    def _notify(self, sender: Task) -> None:
        told, self.notification = self.notification, None
        if told is None:
            return
        told.answer(mq.NOTIFY_WOKENUP)
        if told.notify == mq.SIGEV_SIGNAL and told.signo:
            info = SigInfo(told.signo, sg.SI_MESGQ, sender.process.pid, sender.cred.uid, value=told.value)
            post_process(told.process, info)

    # -- life -------------------------------------------------------------------------------------------------

    def end_if_unused(self) -> None:
        """Without a name and without a descriptor it is gone, and its messages with it."""
        if self.links or self.opens or self._charged is None:
            return
        (uid, amount), self._charged = self._charged, None
        self.filesystem.uncharge(uid, amount)
        for message in self.messages:
            self._forget(message)
        self.messages.clear()


class MqueueDirectory(MemoryDirectory):
    """The root: queues are made and unlinked in it, and nothing else."""

    filesystem: MqueueFs

    def make(
        self, name: bytes, mode: int, cred: Credentials, limits: tuple[int, int] | None, allowance: int
    ) -> MqueueInode:
        """A new queue; ``limits`` are messages and bytes of one, ``allowance`` is RLIMIT_MSGQUEUE; EINVAL, ENOSPC,
        EMFILE."""
        limits = limits or (mq.DFLT_MSG, mq.DFLT_MSGSIZE)
        able = cred.capable(CAP_SYS_RESOURCE)
        most = (mq.HARD_MSGMAX, mq.HARD_MSGSIZEMAX) if able else (mq.DFLT_MSGMAX, mq.DFLT_MSGSIZEMAX)
        if len(self.entries) >= mq.DFLT_QUEUESMAX and not able:
            raise KernelError(E.ENOSPC)
        count, size = limits
        if not (0 < count <= most[0] and 0 < size <= most[1]):
            raise KernelError(E.EINVAL)
        amount = count * (size + mq.MSG_MSG_SIZE) + min(count, mq.MQ_PRIO_MAX) * mq.TREE_NODE_SIZE
        filesystem = self.filesystem
        filesystem.charge(cred.uid, amount, allowance)
        try:
            self._check_new(name)
        except KernelError:
            filesystem.uncharge(cred.uid, amount)
            raise
        uid, gid = self._ids(cred)
        inode = MqueueInode(filesystem, mode, uid, gid, limits=limits, charged=(cred.uid, amount))
        self.insert(name, inode)
        return inode

    def create(self, name: bytes, mode: int, cred: Credentials) -> Inode:
        return self.make(name, mode, cred, None, _USUAL_LIMIT)

    def unlink(self, name: bytes) -> None:
        inode = self.lookup(name)
        super().unlink(name)
        assert isinstance(inode, MqueueInode)
        inode.end_if_unused()

    def tmpfile(self, mode: int, cred: Credentials) -> Inode:
        raise KernelError(E.EOPNOTSUPP)

    def mkdir(self, name: bytes, mode: int, cred: Credentials) -> Inode:
        raise KernelError(E.EPERM)

    def symlink(self, name: bytes, target: bytes, cred: Credentials) -> Inode:
        raise KernelError(E.EPERM)

    def mknod(self, name: bytes, mode: int, rdev: int, cred: Credentials) -> Inode:
        raise KernelError(E.EPERM)

    def link(self, name: bytes, inode: Inode) -> None:
        raise KernelError(E.EPERM)

    def rename(self, name: bytes, newdir: Inode, newname: bytes, flags: int, cred: Credentials) -> None:
        raise KernelError(E.EPERM)


class MqueueFs(TmpFs):
    """The file system. Names are looked up each time: mq_unlink(2) removes them without its knowing where it is
    mounted."""

    name = "mqueue"
    magic = mq.MQUEUE_MAGIC
    cache_ns = 0
    root: MqueueDirectory

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, mode=0o1777, source="mqueue")
        self._used: dict[int, int] = {}  # bytes that count for RLIMIT_MSGQUEUE, by uid

    def new_root(self, mode: int, uid: int, gid: int) -> Inode:
        return MqueueDirectory(self, mode, uid, gid)

    def charge(self, uid: int, amount: int, allowance: int) -> None:
        used = self._used.get(uid, 0) + amount
        if allowance != RLIM_INFINITY and used > allowance:
            raise KernelError(E.EMFILE)
        self._used[uid] = used

    def uncharge(self, uid: int, amount: int) -> None:
        self._used[uid] -= amount
        if not self._used[uid]:
            del self._used[uid]

    def open(self, task: Task, name: bytes, flags: int, mode: int, limits: tuple[int, int] | None) -> MqueueFile:
        """mq_open(2)."""
        root, cred = self.root, task.cred
        _check_name(name)
        inode = root.find(name)
        if inode is None:
            if not flags & O_CREAT:
                raise KernelError(E.ENOENT)
            permission(cred, root, MAY_WRITE | MAY_EXEC)
            allowance = task.process.rlimits[RLIMIT_MSGQUEUE][0]
            inode = root.make(name, mode & ~task.fs.umask, cred, limits, allowance)
        else:
            if flags & O_CREAT and flags & O_EXCL:
                raise KernelError(E.EEXIST)
            if flags & O_ACCMODE == O_ACCMODE:
                raise KernelError(E.EINVAL)
            permission(cred, inode, _ACCESS[flags & O_ACCMODE])
        assert isinstance(inode, MqueueInode)
        return MqueueFile(inode, flags & (O_ACCMODE | O_NONBLOCK), None, name)

    def unlink(self, task: Task, name: bytes) -> None:
        """mq_unlink(2)."""
        root, cred = self.root, task.cred
        _check_name(name)
        inode = root.lookup(name)
        permission(cred, root, MAY_WRITE | MAY_EXEC)
        if cred.fsuid not in (inode.uid, root.uid) and not cred.capable(CAP_FOWNER):  # the root is sticky
            raise KernelError(E.EPERM)
        root.unlink(name)


def _check_name(name: bytes) -> None:
    """A name without the slash that mq_open(3) takes off."""
    if not name:
        raise KernelError(E.ENOENT)
    if b"/" in name or name in (b".", b".."):
        raise KernelError(E.EACCES)
    if len(name) > _NAME_MAX:
        raise KernelError(E.ENAMETOOLONG)


class MqueueFile(File):
    """An open queue; ``name`` is the one that mq_open found it by."""

    inode: MqueueInode
    can_poll = True
    rwf_read = RWF_HIPRI
    rwf_write = None

    def __init__(self, inode: MqueueInode, flags: int, location: Location | None, name: bytes = b"") -> None:
        super().__init__(flags, inode=inode, location=location)
        self._name = name
        inode.opens += 1

    def link_text(self) -> bytes:
        return b"/" + self._name + (b"" if self.inode.links else b" (deleted)")

    def read(self, size: int) -> bytes:
        data = self.pread(size, self.position)
        self.position += len(data)
        return data

    def pread(self, size: int, offset: int) -> bytes:
        return self.inode.text()[offset : offset + size]

    def poll(self) -> int:
        inode = self.inode
        events = POLLIN | POLLRDNORM if inode.messages else 0
        if len(inode.messages) < inode.max_messages:
            events |= POLLOUT | POLLWRNORM
        return events

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.inode.ready_queue,)

    def on_close(self, table: FileTable) -> None:
        super().on_close(table)
        told = self.inode.notification
        if told is not None and told.process.files is table:
            self.inode.unregister()

    def release(self) -> None:
        self.inode.opens -= 1
        self.inode.end_if_unused()


__all__ = ["Message", "MqueueFile", "MqueueFs", "Notification"]
