"""The socket calls (man 2 socket and its family). AF_UNIX is served (kernel/net/unix.py, man 7 unix); every other
family is EAFNOSUPPORT, as on a kernel that was built without it: a sandbox has no network.

SO_RCVTIMEO and SO_SNDTIMEO hold for these calls, not for read(2) and write(2).
"""

from collections.abc import Callable
from typing import Annotated

from pylitebox.abi import errno as E
from pylitebox.abi import socket as so
from pylitebox.abi.poll import POLLOUT
from pylitebox.abi.signal import SI_USER, SIGPIPE
from pylitebox.abi.stat import S_IFMT, S_IFSOCK
from pylitebox.abi.time import NSEC_PER_SEC, TIMEVAL
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.net.netlink import NetlinkSocket
from pylitebox.kernel.net.unix import SEND_BUFFER, Received, Ucred, UnixSocket
from pylitebox.kernel.signals import SigInfo, post_task
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import ERESTARTSYS, Blocking, Interrupted, Result, Wait
from pylitebox.north.linux import messages as ms
from pylitebox.north.linux.args import Address, Fd, Int, Kind, Size, UInt, choice, flag_names, prefixed
from pylitebox.north.linux.copy import CHUNK, Segment, scatter, segment, total
from pylitebox.north.linux.lookup import opened
from pylitebox.north.linux.poll import timespec_limit
from pylitebox.north.linux.table import Full, Partial, syscall

_U32 = "x & 0xFFFFFFFF"
Family = Annotated[int, Kind("((x & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000", choice(prefixed(so, "AF_")))]


def _show_type(value: object) -> str:
    assert isinstance(value, int)
    name = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET"}.get(value & 0xF, str(value & 0xF))
    extra = flag_names({so.SOCK_CLOEXEC: "SOCK_CLOEXEC", so.SOCK_NONBLOCK: "SOCK_NONBLOCK"}, zero="")(value & ~0xF)
    return f"{name}|{extra}" if extra else name


SocketType = Annotated[int, Kind(_U32, _show_type)]
MsgFlags = Annotated[int, Kind(_U32, flag_names(prefixed(so, "MSG_"), zero="0"))]

_KINDS = frozenset((so.SOCK_STREAM, so.SOCK_DGRAM, so.SOCK_SEQPACKET))
_MSG_WAITFORONE = 0x10000
_SCHED_TIMEOUT_MAX = (1 << 63) - 1


def _ucred(task: Task) -> Ucred:
    return task.process.pid, task.cred.euid, task.cred.egid


def _owner(task: Task) -> tuple[int, int]:
    return task.cred.fsuid, task.cred.fsgid


def _socket(task: Task, fd: int) -> UnixSocket:
    file = opened(task, fd)
    if not isinstance(file, UnixSocket):
        raise KernelError(E.EAFNOSUPPORT if isinstance(file, NetlinkSocket) else E.ENOTSOCK)
    return file


def _check(family: int, kind: int, protocol: int) -> int:
    """The type alone; EINVAL, EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT."""
    if kind & ~(so.SOCK_TYPE_MASK | so.SOCK_CLOEXEC | so.SOCK_NONBLOCK):
        raise KernelError(E.EINVAL)
    kind &= so.SOCK_TYPE_MASK
    if family != so.AF_UNIX:
        raise KernelError(E.EAFNOSUPPORT)
    if kind > 10:
        raise KernelError(E.EINVAL)
    if protocol not in (0, so.AF_UNIX):
        raise KernelError(E.EPROTONOSUPPORT)
    if kind == so.SOCK_RAW:
        kind = so.SOCK_DGRAM  # as Linux does
    if kind not in _KINDS:
        raise KernelError(E.ESOCKTNOSUPPORT)
    return kind


def _install(task: Task, file: File, flags: int) -> int:
    try:
        return task.files.install(file, cloexec=bool(flags & so.SOCK_CLOEXEC))
    except KernelError:
        file.release()
        raise


# -- making and naming --------------------------------------------------------------------------------------------


def _netlink(task: Task, kind: int, protocol: int) -> int:
    plain = kind & so.SOCK_TYPE_MASK
    if plain not in (so.SOCK_RAW, so.SOCK_DGRAM):
        raise KernelError(E.ESOCKTNOSUPPORT)
    if protocol:
        raise KernelError(E.EPROTONOSUPPORT)
    return _install(task, NetlinkSocket(task.kernel, nonblocking=bool(kind & so.SOCK_NONBLOCK)), kind)


@syscall(
    "socket",
    x86_64=41,
    aarch64=198,
    support=Partial("AF_UNIX, and AF_NETLINK for mq_notify(3) alone; other families: EAFNOSUPPORT"),
)
def socket(task: Task, family: Family, kind: SocketType, protocol: Int) -> Result:
    if family == so.AF_NETLINK and not kind & ~(so.SOCK_TYPE_MASK | so.SOCK_CLOEXEC | so.SOCK_NONBLOCK):
        return _netlink(task, kind, protocol)
    plain = _check(family, kind, protocol)
    file = UnixSocket(task.kernel, plain, _ucred(task), nonblocking=bool(kind & so.SOCK_NONBLOCK))
    file.owner = _owner(task)
    return _install(task, file, kind)


@syscall("socketpair", x86_64=53, aarch64=199, support=Partial("AF_UNIX only; other families: EAFNOSUPPORT"))
def socketpair(task: Task, family: Family, kind: SocketType, protocol: Int, sv: Address) -> Result:
    plain = _check(family, kind, protocol)
    nonblocking = bool(kind & so.SOCK_NONBLOCK)
    first = UnixSocket(task.kernel, plain, _ucred(task), nonblocking=nonblocking)
    second = UnixSocket(task.kernel, plain, _ucred(task), nonblocking=nonblocking)
    first.owner = second.owner = _owner(task)
    first.pair(second)
    fds = [_install(task, first, kind)]
    try:
        fds.append(_install(task, second, kind))
        task.memory.write(sv, b"".join(fd.to_bytes(4, "little") for fd in fds))
    except KernelError:
        for fd in fds:
            task.files.close(fd)
        raise
    return 0


@syscall("bind", x86_64=49, aarch64=200, support=Full, test="test_unix_names")
def bind(task: Task, fd: Fd, addr: Address, addrlen: UInt) -> Result:
    file = _socket(task, fd)
    path = ms.read_address(task, addr, addrlen)
    if path is None:
        raise KernelError(E.EINVAL)
    names = task.kernel.unix.abstract
    if path and path[:1] != b"\0":
        _make_node(task, path, bound=bool(file.address))
        file.node = ops.resolve(task, path, follow=False).inode
        file.node.socket = file
        file.address = path
        return 0
    if file.address:
        raise KernelError(E.EINVAL)
    if not path:
        path = _free_name(names, file.kind)
    if (file.kind, path) in names:
        raise KernelError(E.EADDRINUSE)
    names[file.kind, path] = file
    file.address = path
    return 0


def _make_node(task: Task, path: bytes, *, bound: bool) -> None:
    """The file that a socket is bound to. Linux makes it, and takes it away if the socket is ``bound`` already."""
    try:
        ops.mknod(task, path, S_IFSOCK | 0o777)
    except KernelError as error:
        raise KernelError(E.EADDRINUSE if error.errno == E.EEXIST else error.errno) from None
    if bound:
        ops.unlink(task, path)
        raise KernelError(E.EINVAL)


def _free_name(names: dict[tuple[int, bytes], UnixSocket], kind: int) -> bytes:
    """An abstract name that nobody has (man 7 unix, "Autobind feature"): five hexadecimal digits."""
    for number in range(len(names) + 1):
        name = b"\0%05x" % number
        if (kind, name) not in names:
            return name
    raise KernelError(E.ENOSPC)


def _find(task: Task, path: bytes, kind: int) -> UnixSocket:
    """The socket of a name; ECONNREFUSED, and the errors of a path walk."""
    if not path:
        raise KernelError(E.EINVAL)
    found: object
    if path[:1] == b"\0":
        found = task.kernel.unix.abstract.get((kind, path))
    else:
        inode = ops.resolve(task, path).inode
        ops.permission(task.cred, inode, ops.MAY_WRITE)
        found = inode.socket if inode.mode & S_IFMT == S_IFSOCK else None
    if not isinstance(found, UnixSocket):
        raise KernelError(E.ECONNREFUSED)
    return found


@syscall("listen", x86_64=50, aarch64=201, support=Full, test="test_unix_names")
def listen(task: Task, fd: Fd, backlog: Int) -> Result:
    _socket(task, fd).listen(min(backlog & 0xFFFFFFFF, so.SOMAXCONN), _ucred(task))
    return 0


@syscall("connect", x86_64=42, aarch64=203, support=Full, test="test_unix_names")
def connect(task: Task, fd: Fd, addr: Address, addrlen: UInt) -> Result:
    file = _socket(task, fd)
    path = ms.read_address(task, addr, addrlen)
    if path is None:
        file.disconnect()
        return 0
    target = _find(task, path, file.kind)

    def attempt() -> int:
        file.connect(target, _ucred(task))
        return 0

    return _try(attempt, target, nonblocking=file.nonblocking, timeout=file.timeouts.get(so.SO_SNDTIMEO, 0))


@syscall("accept4", x86_64=288, aarch64=242, support=Full, test="test_unix_names")
def accept4(task: Task, fd: Fd, addr: Address, addrlen: Address, flags: UInt) -> Result:
    opened(task, fd)  # EBADF comes first
    if flags & ~(so.SOCK_CLOEXEC | so.SOCK_NONBLOCK):
        raise KernelError(E.EINVAL)
    task.files.free()  # EMFILE
    file = _socket(task, fd)

    def attempt() -> int:
        server = file.accept(wait=not file.nonblocking)
        server.flags |= flags & so.SOCK_NONBLOCK
        server.owner = _owner(task)
        try:
            if addr:
                peer = server.peer.address if server.peer is not None else b""
                ms.write_address(task, ms.pack_address(peer), addr, addrlen)
            return task.files.install(server, cloexec=bool(flags & so.SOCK_CLOEXEC))
        except KernelError:
            server.release()
            raise

    return _try(attempt, file, nonblocking=file.nonblocking, timeout=file.timeouts.get(so.SO_RCVTIMEO, 0))


@syscall("accept", x86_64=43, aarch64=202, support=Full, test="test_unix_names")
def accept(task: Task, fd: Fd, addr: Address, addrlen: Address) -> Result:
    return accept4(task, fd, addr, addrlen, 0)


@syscall("getsockname", x86_64=51, aarch64=204, support=Full, test="test_unix_names")
def getsockname(task: Task, fd: Fd, addr: Address, addrlen: Address) -> Result:
    ms.write_address(task, ms.pack_address(_socket(task, fd).address), addr, addrlen)
    return 0


@syscall("getpeername", x86_64=52, aarch64=205, support=Full, test="test_unix_names")
def getpeername(task: Task, fd: Fd, addr: Address, addrlen: Address) -> Result:
    file = _socket(task, fd)
    if file.peer is None:
        raise KernelError(E.ENOTCONN)
    ms.write_address(task, ms.pack_address(file.peer.address), addr, addrlen)
    return 0


@syscall("shutdown", x86_64=48, aarch64=210, support=Full, test="test_sockets")
def shutdown(task: Task, fd: Fd, how: UInt) -> Result:
    file = _socket(task, fd)
    if how > so.SHUT_RDWR:
        raise KernelError(E.EINVAL)
    file.shutdown(receive=how != so.SHUT_WR, send=how != so.SHUT_RD)
    return 0


# -- waiting ------------------------------------------------------------------------------------------------------


def _try(attempt: Callable[[], int], file: UnixSocket, *, nonblocking: bool, timeout: int) -> Result:
    """Do it now, or as soon as ``file`` lets it; ``timeout`` in ns, 0 for none."""
    try:
        return attempt()
    except WouldBlock:
        if nonblocking:
            raise
    return _later(attempt, file, timeout)


def _later(attempt: Callable[[], int], file: UnixSocket | NetlinkSocket, timeout: int) -> Blocking:
    deadline = file.kernel.now() + timeout if timeout else None
    while True:
        woken = yield Wait(file.queue, deadline=deadline, restart=E.EINTR if timeout else ERESTARTSYS)
        try:
            return attempt()
        except WouldBlock:
            if not woken:
                raise


# -- sending ------------------------------------------------------------------------------------------------------


def _send(
    task: Task,
    file: UnixSocket,
    vector: list[Segment],
    flags: int,
    name: bytes | None,
    files: list[File],
    cred: Ucred | None,
) -> Result:
    if flags & so.MSG_OOB:
        raise KernelError(E.EOPNOTSUPP)
    target = None
    if name is not None:
        if file.kind == so.SOCK_STREAM:
            raise KernelError(E.EISCONN if file.connected else E.EOPNOTSUPP)
        if file.datagram:
            target = _find(task, name, file.kind)
            if target.kind != file.kind:
                raise KernelError(E.EPROTOTYPE)
    size = total(vector)
    if file.kind != so.SOCK_STREAM and size > file.send_buffer - 32:
        raise KernelError(E.EMSGSIZE)
    nonblocking = file.nonblocking or bool(flags & so.MSG_DONTWAIT)
    timeout = file.timeouts.get(so.SO_SNDTIMEO, 0)
    quiet = file.kind != so.SOCK_STREAM or bool(flags & so.MSG_NOSIGNAL)
    return _sending(task, file, vector, target, files, cred or _ucred(task), nonblocking, timeout, quiet)


def _sending(
    task: Task,
    file: UnixSocket,
    vector: list[Segment],
    target: UnixSocket | None,
    files: list[File],
    cred: Ucred,
    nonblocking: bool,
    timeout: int,
    quiet: bool,
) -> Blocking:
    deadline = task.kernel.now() + timeout if timeout else None
    stream = file.kind == so.SOCK_STREAM
    done = 0
    data: bytes | memoryview = _gather(task, vector, 0, stream=stream)
    size = total(vector)
    first = True
    while first or done < size:
        first = False
        try:
            sent = file.send(bytes(data), files, cred, target)
        except WouldBlock:
            if nonblocking:
                if done:
                    return done
                raise
            queue = target.queue if target is not None else file.queue
            try:
                woken = yield Wait(
                    file.queue, queue, deadline=deadline, restart=E.EINTR if timeout or done else ERESTARTSYS
                )
            except Interrupted:
                if done:
                    return done
                raise
            if not woken and not file.poll() & POLLOUT:
                if done:
                    return done
                raise
            first = True
            continue
        except KernelError as error:
            if error.errno == E.EPIPE and not quiet:
                post_task(task, SigInfo(SIGPIPE, SI_USER, pid=task.process.pid, uid=task.cred.uid))
            if done:
                return done
            raise
        done += sent
        files = []
        if not stream:
            break
        data = memoryview(data)[sent:]
        if not len(data) and done < size:
            data = _gather(task, vector, done, stream=True)
    return done


def _gather(task: Task, vector: list[Segment], skip: int, *, stream: bool) -> bytes:
    """The content of the buffers behind the first ``skip`` bytes: all of a packet, a piece of a stream."""
    parts = []
    left = CHUNK if stream else SEND_BUFFER
    for base, size in vector:
        if skip >= size:
            skip -= size
            continue
        step = min(size - skip, left)
        parts.append(task.memory.read(base + skip, step))
        left -= step
        skip = 0
        if not left:
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


@syscall("sendto", x86_64=44, aarch64=206, support=Partial("MSG_OOB: EOPNOTSUPP"))
def sendto(task: Task, fd: Fd, buf: Address, size: Size, flags: MsgFlags, addr: Address, addrlen: UInt) -> Result:
    file = _socket(task, fd)
    name = ms.read_address(task, addr, addrlen) if addr else None
    file.check_sender()
    return _send(task, file, segment(buf, size) if size else [], flags, name, [], None)


@syscall("sendmsg", x86_64=46, aarch64=211, support=Partial("MSG_OOB: EOPNOTSUPP"))
def sendmsg(task: Task, fd: Fd, msg: Address, flags: MsgFlags) -> Result:
    file = _socket(task, fd)
    header = ms.Header(task, msg)
    name = ms.read_address(task, header.name, header.name_size) if header.name and header.name_size else None
    file.check_sender()
    files, cred = ms.read_control(task, header)
    return _send(task, file, header.vector, flags, name, files, cred)


@syscall("sendmmsg", x86_64=307, aarch64=269, support=Partial("waits for the first message only"))
def sendmmsg(task: Task, fd: Fd, msgvec: Address, vlen: UInt, flags: MsgFlags) -> Result:
    """As the manual says, a later message that fails ends the call with the number sent."""
    return _each(task, msgvec, vlen, lambda address, rest: sendmsg(task, fd, address, flags | rest))


# -- receiving ----------------------------------------------------------------------------------------------------


def _receive(
    task: Task,
    file: UnixSocket | NetlinkSocket,
    vector: list[Segment],
    flags: int,
    report: Callable[[Received, int], None],
) -> Result:
    """Receive into ``vector``; ``report`` is told of the first piece and of MSG_* flags for the caller."""
    if flags & so.MSG_OOB:
        raise KernelError(E.EOPNOTSUPP)
    want = total(vector)
    peek = bool(flags & so.MSG_PEEK)
    stream = file.kind == so.SOCK_STREAM
    done = 0
    nonblocking = file.nonblocking or bool(flags & so.MSG_DONTWAIT)
    all_of_it = bool(flags & so.MSG_WAITALL) and stream and not peek  # but not beyond bytes that carry descriptors

    def attempt() -> int:
        nonlocal done
        while True:
            received = file.receive(min(want - done, CHUNK) if stream else want, peek=peek, wait=not nonblocking)
            carried = bool(received.files)
            try:
                if received.data:
                    scatter(task.memory, vector, done, received.data)
                cut = received.size > len(received.data)
                if not done:
                    report(received, so.MSG_TRUNC if cut else 0)
            finally:
                if received.files:
                    task.kernel.unix.drop(received.files)
                    received.files = []
            if not stream and flags & so.MSG_TRUNC:
                return received.size
            done += len(received.data)
            if not all_of_it or carried or not received.data or done == want:
                return done

    timeout = file.timeouts.get(so.SO_RCVTIMEO, 0)
    try:
        return attempt()
    except WouldBlock:
        if nonblocking:
            if done:
                return done
            raise
    except KernelError:
        if done:
            return done
        raise
    return _receive_later(attempt, file, timeout, lambda: done)


def _receive_later(
    attempt: Callable[[], int], file: UnixSocket | NetlinkSocket, timeout: int, progress: Callable[[], int]
) -> Blocking:
    try:
        return (yield from _later(attempt, file, timeout))
    except KernelError:
        if progress():
            return progress()
        raise


@syscall("recvfrom", x86_64=45, aarch64=207, support=Partial("MSG_OOB: EOPNOTSUPP; MSG_ERRQUEUE is ignored"))
def recvfrom(task: Task, fd: Fd, buf: Address, size: Size, flags: MsgFlags, addr: Address, addrlen: Address) -> Result:
    found = task.files.get(fd)
    file = found if isinstance(found, NetlinkSocket) else _socket(task, fd)

    def report(received: Received, out: int) -> None:
        if addr:
            ms.write_address(task, ms.pack_address(received.source) if received.source else b"", addr, addrlen)

    return _receive(task, file, segment(buf, size) if size else [], flags, report)


@syscall("recvmsg", x86_64=47, aarch64=212, support=Partial("MSG_OOB: EOPNOTSUPP; MSG_ERRQUEUE is ignored"))
def recvmsg(task: Task, fd: Fd, msg: Address, flags: MsgFlags) -> Result:
    file = _socket(task, fd)
    header = ms.Header(task, msg)

    def report(received: Received, out: int) -> None:
        used, cut = ms.write_control(task, header, file, received, cloexec=bool(flags & so.MSG_CMSG_CLOEXEC))
        source = ms.pack_address(received.source) if received.source else b""
        header.store(task, source, used, out | cut | flags & so.MSG_CMSG_CLOEXEC)

    return _receive(task, file, header.vector, flags, report)


@syscall("recvmmsg", x86_64=299, aarch64=243, support=Partial("waits for the first message only; its time-out too"))
def recvmmsg(task: Task, fd: Fd, msgvec: Address, vlen: UInt, flags: MsgFlags, timeout: Address) -> Result:
    if timeout:
        timespec_limit(task, timeout)
    flags &= ~_MSG_WAITFORONE
    return _each(task, msgvec, vlen, lambda address, rest: recvmsg(task, fd, address, flags | rest))


def _each(task: Task, vector: int, count: int, one: Callable[[int, int], Result]) -> Result:
    """Run a call over an array of struct mmsghdr; only the first may wait. How many were done."""
    size = ms.MSGHDR.size + 8

    def rest(first: int) -> int:
        task.memory.write(vector + ms.MSGHDR.size, first.to_bytes(4, "little"))
        done = 1
        for i in range(1, min(count, 1024)):
            try:
                result = _now(one(vector + i * size, so.MSG_DONTWAIT))
            except KernelError:
                break
            task.memory.write(vector + i * size + ms.MSGHDR.size, result.to_bytes(4, "little"))
            done += 1
        return done

    def later(call: Blocking) -> Blocking:
        first = yield from call
        assert first is not None
        return rest(first)

    if not count:
        return 0
    first = one(vector, 0)
    if isinstance(first, int):
        return rest(first)
    assert first is not None
    return later(first)


def _now(result: Result) -> int:
    """The result of a call that does not wait (MSG_DONTWAIT)."""
    if isinstance(result, int):
        return result
    assert result is not None
    try:
        next(result)
    except StopIteration as stop:
        done: int = stop.value
        return done
    raise AssertionError("a call with MSG_DONTWAIT waits")


# -- options ------------------------------------------------------------------------------------------------------

#: Remembered; all but SO_PASSCRED are without effect on AF_UNIX, in Linux too.
_FLAG_OPTIONS = frozenset(
    (so.SO_REUSEADDR, so.SO_DONTROUTE, so.SO_BROADCAST, so.SO_KEEPALIVE, so.SO_OOBINLINE, so.SO_PASSCRED)
)
_MIN_BUFFER = 4608


@syscall("setsockopt", x86_64=54, aarch64=208, support=Partial("of SOL_SOCKET those that AF_UNIX heeds; ENOPROTOOPT"))
def setsockopt(task: Task, fd: Fd, level: Int, option: Int, value: Address, size: Int) -> Result:
    file = _socket(task, fd)
    if size < 0:
        raise KernelError(E.EINVAL)
    if level != so.SOL_SOCKET:
        raise KernelError(E.EOPNOTSUPP)
    if option in (so.SO_RCVTIMEO, so.SO_SNDTIMEO):
        if size < TIMEVAL.size:
            raise KernelError(E.EINVAL)
        seconds, microseconds = TIMEVAL.unpack(task.memory.read(value, TIMEVAL.size))
        if not 0 <= microseconds < 1_000_000:
            raise KernelError(E.EDOM)
        file.timeouts[option] = min(max(0, seconds * NSEC_PER_SEC + microseconds * 1000), _SCHED_TIMEOUT_MAX >> 1)
        return 0
    if size < 4:
        raise KernelError(E.EINVAL)
    number = int.from_bytes(task.memory.read(value, 4), "little", signed=True)
    if option == so.SO_LINGER:  # remembered, and without effect on AF_UNIX
        if size < 8:
            raise KernelError(E.EINVAL)
        old = file.options.get(option, 0)
        seconds = int.from_bytes(task.memory.read(value + 4, 4), "little") if number else old >> 32
        file.options[option] = seconds << 32 | (number != 0)
    elif option == so.SO_REUSEPORT:
        if number:
            raise KernelError(E.EOPNOTSUPP)
    elif option in _FLAG_OPTIONS:
        file.options[option] = int(number != 0)
    elif option == so.SO_SNDBUF:
        file.send_buffer = max(min(number & 0xFFFFFFFF, SEND_BUFFER) * 2, _MIN_BUFFER)
        file.queue.wake()
    elif option == so.SO_RCVBUF:
        file.options[option] = max(min(number & 0xFFFFFFFF, SEND_BUFFER) * 2, 2304)
    else:
        raise KernelError(E.ENOPROTOOPT)
    return 0


@syscall("getsockopt", x86_64=55, aarch64=209, support=Partial("of SOL_SOCKET those that AF_UNIX heeds; ENOPROTOOPT"))
def getsockopt(task: Task, fd: Fd, level: Int, option: Int, value: Address, size: Address) -> Result:
    file = _socket(task, fd)
    if level != so.SOL_SOCKET:
        raise KernelError(E.EOPNOTSUPP)
    room = int.from_bytes(task.memory.read(size, 4), "little", signed=True)
    if room < 0:
        raise KernelError(E.EINVAL)
    data = _option(file, option)[:room]
    task.memory.write(value, data)
    task.memory.write(size, len(data).to_bytes(4, "little"))
    return 0


def _option(file: UnixSocket, option: int) -> bytes:
    if option == so.SO_PEERCRED:
        pid, uid, gid = file.peer_cred
        return ms.UCRED.pack(pid, uid, gid)
    if option in (so.SO_RCVTIMEO, so.SO_SNDTIMEO):
        seconds, rest = divmod(file.timeouts.get(option, 0), NSEC_PER_SEC)
        return TIMEVAL.pack(seconds, rest // 1000)
    if option == so.SO_LINGER:
        return file.options.get(option, 0).to_bytes(8, "little")
    if option in _FLAG_OPTIONS:
        number = file.options.get(option, 0)
    elif option == so.SO_ERROR:
        number, file.error = file.error, 0
    elif option == so.SO_RCVBUF:
        number = file.options.get(option, SEND_BUFFER)
    else:
        simple = {
            so.SO_TYPE: file.kind,
            so.SO_SNDBUF: file.send_buffer,
            so.SO_REUSEPORT: 0,
            so.SO_RCVLOWAT: 1,
            so.SO_SNDLOWAT: 1,
            so.SO_ACCEPTCONN: int(file.backlog is not None),
            so.SO_PROTOCOL: 0,
            so.SO_DOMAIN: so.AF_UNIX,
        }
        if option not in simple:
            raise KernelError(E.ENOPROTOOPT)
        number = simple[option]
    return number.to_bytes(4, "little")
