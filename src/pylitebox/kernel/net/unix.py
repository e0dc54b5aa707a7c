"""AF_UNIX sockets (man 7 unix): streams, datagrams and sequenced packets.

A socket's queue holds messages; on a stream their bounds do not show. What a socket has sent and nobody has read yet
counts against its own send buffer, so a slow reader blocks its writer and nobody else. Files in flight (SCM_RIGHTS)
hold a reference each.

Rules: an operation is done at once or raises WouldBlock; ``queue`` wakes at every change, for readers and writers.
What closing a socket drops is dropped in a loop, not in recursion: a guest can nest sockets in sockets.
Missing: MSG_OOB; sockets that hold each other in flight are not found as garbage, but bounded (ETOOMANYREFS).
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import socket as so
from pylitebox.abi.fcntl import O_NONBLOCK, O_RDWR
from pylitebox.abi.ioctl import FIONREAD
from pylitebox.abi.poll import (
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
)
from pylitebox.abi.stat import S_IFSOCK
from pylitebox.kernel.anonymous import SOCKFS_DEV, nameless_stat, new_inode_number
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.sigio import POLL_HUP, POLL_IN
from pylitebox.kernel.wait import WaitQueue

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import Inode, Stat
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Task

#: Default and greatest size of a send buffer, bytes (net.core.wmem_default, wmem_max).
SEND_BUFFER = 212992
#: What one message costs beside its bytes, so that empty ones are bounded too.
OVERHEAD = 64
#: What a connection that nobody has accepted counts in the queues' budget.
SOCKET_COST = 4096
#: Datagrams that wait at a socket for a sender that is not its peer (net.unix.max_dgram_qlen).
MAX_DATAGRAMS = 512
#: Files in flight in one sandbox.
MAX_IN_FLIGHT = 4096

#: pid, effective uid, effective gid: struct ucred.
Ucred = tuple[int, int, int]


class UnixState:
    """What the sockets of one kernel share."""

    def __init__(self, limit: int) -> None:
        self._limit = limit  # bytes in all queues
        self.queued = 0
        #: Bound abstract names; each type of socket has names of its own.
        self.abstract: dict[tuple[int, bytes], UnixSocket] = {}
        self.in_flight = 0
        self._dropped: list[File] = []
        self._dropping = False

    def queue(self, cost: int) -> None:
        """Account for bytes that are about to wait in a queue; ENOBUFS."""
        if self.queued + cost > self._limit:
            raise KernelError(E.ENOBUFS)
        self.queued += cost

    def send(self, files: list[File]) -> None:
        """Take a reference to each file for the flight; ETOOMANYREFS."""
        if self.in_flight + len(files) > MAX_IN_FLIGHT:
            raise KernelError(E.ETOOMANYREFS)
        self.in_flight += len(files)
        for file in files:
            file.references += 1

    def drop(self, files: list[File]) -> None:
        """End the flight of these files."""
        self.in_flight -= len(files)
        self._dropped += files
        if self._dropping:
            return
        self._dropping = True
        try:
            while self._dropped:
                self._dropped.pop().put()
        finally:
            self._dropping = False


class Message:
    """What one send made: bytes, files, who sent it from where."""

    __slots__ = ("cost", "cred", "data", "files", "offset", "sender", "source")

    def __init__(self, data: bytes, files: list[File], cred: Ucred, sender: UnixSocket) -> None:
        self.offset = 0  # bytes of it that were read from a stream
        self.data = data
        self.files = files
        self.cred = cred
        self.sender = sender
        self.source = sender.address
        self.cost = len(data) + OVERHEAD


class Received:
    """What one receive gave. ``size`` is the whole message's, if it was cut off."""

    __slots__ = ("cred", "data", "files", "size", "source")

    def __init__(self, data: bytes, files: list[File], cred: Ucred | None, source: bytes, size: int) -> None:
        self.data = data
        self.files = files
        self.cred = cred
        self.source = source
        self.size = size


class UnixSocket(File):
    """One socket. ``address`` is sun_path as bytes (abstract: with its leading NUL), b"" while unnamed."""

    can_poll = True

    def __init__(self, kernel: Kernel, kind: int, cred: Ucred, *, nonblocking: bool = False) -> None:
        super().__init__(O_RDWR | (O_NONBLOCK if nonblocking else 0))
        self.kernel = kernel
        self.kind = kind  # SOCK_*
        self.sigpipe = kind == so.SOCK_STREAM
        self.cred = cred  # of its maker, and at connect, listen
        self.owner = cred[1:]  # whom the inode belongs to
        self.peer_cred: Ucred = (0, 0xFFFFFFFF, 0xFFFFFFFF)
        self.address = b""
        self.node: Inode | None = None  # where it is bound
        self.peer: UnixSocket | None = None
        self.connected = False  # of a stream: now or once
        self.backlog: int | None = None  # listening
        self.waiting: deque[UnixSocket] = deque()  # to be accepted
        self.queue = WaitQueue()
        self.error = 0
        self.closed = False
        self.receive_ended = False  # RCV_SHUTDOWN
        self.send_ended = False  # SEND_SHUTDOWN
        self.send_buffer = SEND_BUFFER
        self.options: dict[int, int] = {}
        self.timeouts: dict[int, int] = {}  # SO_RCVTIMEO, SO_SNDTIMEO: ns
        self._messages: deque[Message] = deque()
        self._unread = 0  # cost of what was sent and not yet read
        self._ino = new_inode_number()

    @property
    def datagram(self) -> bool:
        return self.kind == so.SOCK_DGRAM

    # -- connecting -------------------------------------------------------------------------------------------

    def pair(self, other: UnixSocket) -> None:
        """As socketpair(2) does."""
        for one, two in ((self, other), (other, self)):
            one.peer = two
            one.peer_cred = two.cred
            one.connected = not one.datagram

    def listen(self, backlog: int, cred: Ucred) -> None:
        """EOPNOTSUPP, EINVAL."""
        if self.datagram:
            raise KernelError(E.EOPNOTSUPP)
        if not self.address or self.connected:
            raise KernelError(E.EINVAL)
        self.cred = self.peer_cred = cred
        self.backlog = backlog
        self.queue.wake()

    def connect(self, target: UnixSocket, cred: Ucred) -> None:
        """EPROTOTYPE, ECONNREFUSED, EISCONN, EINVAL, ENOBUFS; WouldBlock while the listener's backlog is full."""
        if target.kind != self.kind:
            raise KernelError(E.EPROTOTYPE)
        if self.datagram:
            if self.peer is not target:
                self._disconnect()
            self.peer = target
            self.queue.wake()
            return
        if target.closed or target.backlog is None or target.receive_ended:
            raise KernelError(E.ECONNREFUSED)
        if len(target.waiting) > target.backlog:
            raise WouldBlock
        if self.backlog is not None:
            raise KernelError(E.EINVAL)
        if self.connected:
            raise KernelError(E.EISCONN)
        self.kernel.unix.queue(SOCKET_COST)
        server = UnixSocket(self.kernel, self.kind, target.cred)
        server.address = target.address
        server.options = dict(target.options)
        self.cred = cred
        self.pair(server)
        target.waiting.append(server)
        target.queue.wake()
        self.queue.wake()
        target.tell(POLL_IN)

    def disconnect(self) -> None:
        """connect(2) to AF_UNSPEC: forget a datagram socket's peer."""
        if not self.datagram:
            raise KernelError(E.EINVAL)
        self._disconnect()

    def _disconnect(self) -> None:
        if self.peer is not None:
            self.peer = None
            self._purge()

    def accept(self, *, wait: bool) -> UnixSocket:
        """EOPNOTSUPP, EINVAL, WouldBlock. That nobody will come any more is told to those who would ``wait``."""
        if self.datagram:
            raise KernelError(E.EOPNOTSUPP)
        if self.backlog is None:
            raise KernelError(E.EINVAL)
        if not self.waiting:
            if self.receive_ended and wait:
                raise KernelError(E.EINVAL)
            raise WouldBlock
        server = self.waiting.popleft()
        self.kernel.unix.queued -= SOCKET_COST
        self.queue.wake()
        return server

    def shutdown(self, *, receive: bool, send: bool) -> None:
        self.receive_ended |= receive
        self.send_ended |= send
        peer = self.peer
        if peer is not None and not self.datagram:
            peer.receive_ended |= send
            peer.send_ended |= receive
            peer.queue.wake()
        self.queue.wake()
        if peer is not None and not self.datagram and send:
            peer.tell(POLL_HUP if receive else POLL_IN)

    # -- sending ----------------------------------------------------------------------------------------------

    def send(
        self, data: bytes, files: list[File] | None = None, cred: Ucred | None = None, to: UnixSocket | None = None
    ) -> int:
        """How many bytes were queued at the peer, or at ``to`` (datagrams): on a stream perhaps fewer than given.
        EPIPE, ENOTCONN, ECONNREFUSED, EMSGSIZE, ETOOMANYREFS, ENOBUFS, WouldBlock."""
        if self.kind != so.SOCK_STREAM:
            return self._send_packet(data, files or [], cred, to)
        peer = self.peer
        if peer is None or not self.connected:
            raise KernelError(E.ENOTCONN)
        if self.send_ended or peer.closed or peer.receive_ended:
            raise KernelError(E.EPIPE)
        if self.error:
            self.take_error()
        if not data:
            return 0
        room = self.send_buffer - self._unread - OVERHEAD
        if room <= 0:
            raise WouldBlock
        self._queue_at(peer, bytes(data[:room]), files or [], cred)
        return min(len(data), room)

    def check_sender(self) -> None:
        """What a socket of connected packets refuses before it looks at a message at all: ENOTCONN, and once what
        happened before."""
        if self.kind == so.SOCK_SEQPACKET:
            if self.error:
                self.take_error()
            if not self.connected:
                raise KernelError(E.ENOTCONN)

    def _send_packet(self, data: bytes, files: list[File], cred: Ucred | None, to: UnixSocket | None) -> int:
        target = to or self.peer
        self.check_sender()
        if len(data) > self.send_buffer - 32:
            raise KernelError(E.EMSGSIZE)
        if self.send_ended:
            raise KernelError(E.EPIPE)
        if target is None:
            raise KernelError(E.ENOTCONN)
        if target.closed and self.datagram:
            if to is None:
                self._disconnect()
            raise KernelError(E.ECONNREFUSED)
        if target.receive_ended or target.closed:
            raise KernelError(E.EPIPE)
        if self.datagram and target.peer is not None and target.peer is not self:
            raise KernelError(E.EPERM)
        if self._unread and self._unread + len(data) + OVERHEAD > self.send_buffer:
            raise WouldBlock
        if target.peer is not self and len(target._messages) >= MAX_DATAGRAMS:
            raise WouldBlock
        self._queue_at(target, bytes(data), files, cred)
        return len(data)

    def _queue_at(self, target: UnixSocket, data: bytes, files: list[File], cred: Ucred | None) -> None:
        message = Message(data, files, cred or self.cred, self)
        self.kernel.unix.queue(message.cost)
        if files:
            try:
                self.kernel.unix.send(files)
            except KernelError:
                self.kernel.unix.queued -= message.cost
                raise
        self._unread += message.cost
        target._messages.append(message)
        target.queue.wake()
        target.tell(POLL_IN)

    # -- receiving --------------------------------------------------------------------------------------------

    def receive(self, size: int, *, peek: bool = False, wait: bool) -> Received:
        """The next bytes or message. The files in it are in flight still: see :meth:`UnixState.drop`. That no datagram
        will come any more is told to those who would ``wait`` for one."""
        if self.kind != so.SOCK_DGRAM and (self.backlog is not None or not self.connected):
            raise KernelError(E.EINVAL if self.kind == so.SOCK_STREAM else E.ENOTCONN)
        if self.error and (not self._messages or self.kind != so.SOCK_STREAM):  # on a stream what came is read first
            self.take_error()
        if not self._messages:
            ended = self.receive_ended and (wait or not self.datagram)
            if ended or (self.peer is not None and self.peer.closed and not self.datagram):
                nobody = (0, 0, 0) if self.kind == so.SOCK_STREAM else None  # as Linux passes its empty cookie on
                return Received(b"", [], nobody, b"", 0)
            raise WouldBlock
        if self.kind == so.SOCK_STREAM:
            return self._receive_bytes(size, peek=peek)
        message = self._messages[0]
        if peek:
            files = list(message.files)
            self.kernel.unix.send(files)
        else:
            self._messages.popleft()
            files = message.files
            self._read(message.sender, message.cost)
        return Received(message.data[:size], files, message.cred, message.source, len(message.data))

    def _receive_bytes(self, size: int, *, peek: bool) -> Received:
        """Bytes of consecutive messages of one sender's credentials, up to the first that brings files."""
        messages = self._messages
        first = messages[0]
        parts: list[bytes] = []
        files: list[File] = []
        left = size
        for message in islice(messages, 256):
            # who peeks sees the files of the next message too, even if no byte of it; who reads no byte takes files
            if files or message.cred != first.cred or (parts and not (left or peek)):
                break
            part = message.data[message.offset : message.offset + left]
            parts.append(part)
            left -= len(part)
            if message.files:
                files = list(message.files)
        if peek:
            self.kernel.unix.send(files)
        else:
            self._consume(parts)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return Received(data, files, first.cred, first.source, len(data))

    def _consume(self, parts: list[bytes]) -> None:
        """Take these parts of the first messages off the queue."""
        messages = self._messages
        for part in parts:
            message = messages[0]
            message.offset += len(part)
            message.files = []
            if message.offset == len(message.data):
                messages.popleft()
                self._read(message.sender, message.cost)
            else:
                message.cost -= len(part)
                self._read(message.sender, len(part))

    def _read(self, sender: UnixSocket, cost: int) -> None:
        sender._unread -= cost
        self.kernel.unix.queued -= cost
        sender.queue.wake()

    def _purge(self) -> None:
        """Forget what was not read."""
        while self._messages:
            message = self._messages.popleft()
            self._read(message.sender, message.cost)
            if message.files:
                self.kernel.unix.drop(message.files)

    def take_error(self) -> None:
        """Raise the pending error, once (SO_ERROR)."""
        error, self.error = self.error, 0
        raise KernelError(error)

    # -- as a file --------------------------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        if not size:
            return b""  # at once, unlike recv(2) (net/socket.c: "match SYS5 behaviour")
        received = self.receive(size, wait=not self.nonblocking)
        if received.files:
            self.kernel.unix.drop(received.files)
        return received.data

    def write(self, data: bytes | memoryview) -> int:
        return self.send(bytes(data))

    def poll(self) -> int:
        events = POLLERR if self.error else 0
        if self.receive_ended:
            events |= POLLRDHUP | POLLIN | POLLRDNORM
            if self.send_ended:
                events |= POLLHUP
        if self._messages or self.waiting:
            events |= POLLIN | POLLRDNORM
        if not self.datagram and not self.connected and self.backlog is None:
            events |= POLLHUP
        if self.backlog is None and self._unread * 4 <= self.send_buffer:
            events |= POLLOUT | POLLWRNORM | POLLWRBAND
        return events

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)

    def set_async(self, kernel: Kernel, fd: int, *, on: bool) -> bool:
        self._switch_async(kernel, fd, on=on)
        return True

    def tell(self, reason: int) -> None:
        """Tell the owner (POLL_*)."""
        if self.sigio is not None:
            self.sigio.tell(reason)

    def link_text(self) -> bytes:
        return b"socket:[%d]" % self._ino

    def make_inode(self, kernel: Kernel) -> Inode:
        if self.inode is None:
            from pylitebox.kernel.fs.nameless import make_inode

            self.inode = make_inode(kernel, self)
        return self.inode

    def stat(self) -> Stat:
        if self.inode is not None:
            return self.inode.stat()
        uid, gid = self.owner
        return nameless_stat(SOCKFS_DEV, self._ino, S_IFSOCK | 0o777, uid, gid, 0)

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        if request != FIONREAD:
            raise KernelError(E.ENOTTY)
        if self.backlog is not None:
            raise KernelError(E.EINVAL)
        messages = self._messages
        if self.datagram:
            size = len(messages[0].data) if messages else 0
        else:
            size = sum(len(message.data) - message.offset for message in messages)
        task.memory.write(argument, size.to_bytes(4, "little"))
        return 0

    def release(self) -> None:
        self.closed = True
        if self.node is not None:
            self.node.socket = None
        elif self.kernel.unix.abstract.get((self.kind, self.address)) is self:
            del self.kernel.unix.abstract[self.kind, self.address]
        peer = self.peer
        if peer is not None and not self.datagram:
            peer.receive_ended = peer.send_ended = True
            if self._messages:
                peer.error = E.ECONNRESET
            peer.queue.wake()
        for server in self.waiting:  # nobody will accept them
            if server.peer is not None:
                server.peer.error = E.ECONNRESET
            self.kernel.unix.queued -= SOCKET_COST
            server.release()
        self.waiting.clear()
        self._purge()
        self.queue.wake()
        if peer is not None and not self.datagram:
            peer.tell(POLL_HUP)
