"""POSIX message queues (man 7 mq_overview)."""

from pylitebox.abi import errno as E
from pylitebox.abi import mqueue as mq
from pylitebox.abi import signal as sg
from pylitebox.abi.fcntl import O_NONBLOCK
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.ipc.mqueue import Message, MqueueFile, Notification
from pylitebox.kernel.net.netlink import NetlinkSocket
from pylitebox.kernel.net.unix import UnixSocket
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, Fd, Mode, OpenFlags, Path, Size, UInt
from pylitebox.north.linux.table import Full, syscall
from pylitebox.north.linux.time import read_timespec


def _queue(task: Task, fd: int) -> MqueueFile:
    file = task.files.get(fd)
    if not isinstance(file, MqueueFile):
        raise KernelError(E.EBADF)
    return file


def _deadline(task: Task, timeout: int) -> int | None:
    """An absolute time of CLOCK_REALTIME as one of the monotonic clock."""
    if not timeout:
        return None
    kernel = task.kernel
    return max(0, kernel.now() + read_timespec(task, timeout) - kernel.wall())


@syscall("mq_open", x86_64=240, aarch64=180, support=Full, test="test_mqueue")
def mq_open(task: Task, name: Path, flags: OpenFlags, mode: Mode, attributes: Address) -> Result:
    limits = None
    if attributes:
        _, *limits, _ = mq.MQ_ATTR.unpack(task.memory.read(attributes, mq.MQ_ATTR.size))
    if not name:
        raise KernelError(E.ENOENT)
    task.files.free()  # EMFILE
    file = task.kernel.ipc.mqueues.open(task, name, flags, mode, tuple(limits) if limits else None)
    try:
        return task.files.install(file, cloexec=True)
    except KernelError:
        file.release()
        raise


@syscall("mq_unlink", x86_64=241, aarch64=181, support=Full, test="test_mqueue")
def mq_unlink(task: Task, name: Path) -> Result:
    task.kernel.ipc.mqueues.unlink(task, name)
    return 0


@syscall("mq_timedsend", x86_64=242, aarch64=182, support=Full, test="test_mqueue")
def mq_timedsend(task: Task, fd: Fd, address: Address, size: Size, priority: UInt, timeout: Address) -> Result:
    deadline = _deadline(task, timeout)
    if priority >= mq.MQ_PRIO_MAX:
        raise KernelError(E.EINVAL)
    file = _queue(task, fd)
    if not file.writable:
        raise KernelError(E.EBADF)
    if size > file.inode.max_size:
        raise KernelError(E.EMSGSIZE)
    text = task.memory.read(address, size) if size else b""
    return file.inode.send(task, text, priority, deadline, wait=not file.nonblocking)


@syscall("mq_timedreceive", x86_64=243, aarch64=183, support=Full, test="test_mqueue")
def mq_timedreceive(task: Task, fd: Fd, address: Address, size: Size, priority: Address, timeout: Address) -> Result:
    deadline = _deadline(task, timeout)
    file = _queue(task, fd)
    if not file.readable:
        raise KernelError(E.EBADF)

    def deliver(message: Message) -> int:
        if priority:
            task.memory.write(priority, (-message[0]).to_bytes(4, "little"))
        task.memory.write(address, message[2])
        return len(message[2])

    return file.inode.receive(size, deliver, deadline, wait=not file.nonblocking)


def _thread_notification(task: Task, cookie: int, fd: int) -> Notification:
    """SIGEV_THREAD is the C library's: its cookie comes back through a netlink socket that one of its threads reads."""
    data = task.memory.read(cookie, mq.NOTIFY_COOKIE_LEN)
    socket = task.files.get(fd)
    if not isinstance(socket, NetlinkSocket):
        raise KernelError(E.EINVAL if isinstance(socket, UnixSocket) else E.ENOTSOCK)
    return Notification(task.process, mq.SIGEV_THREAD, cookie=data, socket=socket)


@syscall("mq_notify", x86_64=244, aarch64=184, support=Full, test="test_mqueue")
def mq_notify(task: Task, fd: Fd, event: Address) -> Result:
    notification = None
    if event:
        value, signo, notify = mq.SIGEVENT.unpack(task.memory.read(event, mq.SIGEVENT.size))
        if notify not in (mq.SIGEV_NONE, mq.SIGEV_SIGNAL, mq.SIGEV_THREAD):
            raise KernelError(E.EINVAL)
        if notify == mq.SIGEV_SIGNAL and not 0 <= signo <= sg.NSIG:
            raise KernelError(E.EINVAL)
        if notify == mq.SIGEV_THREAD:
            notification = _thread_notification(task, value, signo)
        else:
            notification = Notification(task.process, notify, signo, value)
    _queue(task, fd).inode.register(task, notification)
    return 0


@syscall("mq_getsetattr", x86_64=245, aarch64=185, support=Full, test="test_mqueue")
def mq_getsetattr(task: Task, fd: Fd, new: Address, old: Address) -> Result:
    wanted = mq.MQ_ATTR.unpack(task.memory.read(new, mq.MQ_ATTR.size))[0] if new else None
    if wanted is not None and wanted & ~O_NONBLOCK:
        raise KernelError(E.EINVAL)
    file = _queue(task, fd)
    inode = file.inode
    before = mq.MQ_ATTR.pack(file.flags & O_NONBLOCK, inode.max_messages, inode.max_size, len(inode.messages))
    if wanted is not None:
        file.flags = file.flags & ~O_NONBLOCK | wanted
    if old:
        task.memory.write(old, before)
    return 0
