"""struct msghdr and what hangs on it: addresses, vectors, control messages (man 2 recvmsg, man 3 cmsg, man 7 unix).

Everything is copied in once and bounded before it is used.
"""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import socket as so
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.net.unix import Received, Ucred, UnixSocket
from pylitebox.kernel.task import Task
from pylitebox.north.linux.copy import Segment, segments

#: name, namelen, iov, iovlen, control, controllen, flags.
MSGHDR = struct.Struct("<QI4xQQQQi4x")
#: cmsg_len, cmsg_level, cmsg_type; data follows, aligned to 8.
CMSGHDR = struct.Struct("<Qii")
UCRED = struct.Struct("<iII")

#: sizeof(struct sockaddr_un), sizeof(struct sockaddr_storage).
SOCKADDR_UN = 110
_SOCKADDR_STORAGE = 128
#: net.core.optmem_max: bytes of control messages that one send may bring.
_MAX_CONTROL = 131072
#: Files that one message may bring (SCM_MAX_FD).
_MAX_FILES = 253


class Header:
    """One struct msghdr, imported."""

    __slots__ = ("address", "control", "control_size", "name", "name_size", "vector")

    def __init__(self, task: Task, address: int) -> None:
        """EMSGSIZE for too many buffers."""
        raw = task.memory.read(address, MSGHDR.size)
        name, name_size, iov, iov_count, control, control_size, _ = MSGHDR.unpack(raw)
        if name_size >> 31:
            raise KernelError(E.EINVAL)
        if iov_count > 1024:
            raise KernelError(E.EMSGSIZE)
        self.address = address
        self.name = name
        self.name_size = min(name_size, _SOCKADDR_STORAGE)
        self.vector: list[Segment] = segments(task.memory, iov, iov_count)
        self.control = control
        self.control_size = control_size

    def store(self, task: Task, name: bytes | None, control_size: int, flags: int) -> None:
        """Say what was received: the address, how much control data, MSG_* flags."""
        if self.name:
            if name:
                task.memory.write(self.name, name[: self.name_size])
            task.memory.write(self.address + 8, len(name or b"").to_bytes(4, "little"))
        task.memory.write(self.address + 40, struct.pack("<Qi", control_size, flags))


# -- addresses ----------------------------------------------------------------------------------------------------


def read_address(task: Task, address: int, size: int) -> bytes | None:
    """The sun_path of a sockaddr_un (abstract: with its leading NUL); b"" is unnamed; None is AF_UNSPEC. EINVAL."""
    if not 0 <= size <= _SOCKADDR_STORAGE:
        raise KernelError(E.EINVAL)
    if size < 2:
        raise KernelError(E.EINVAL)
    raw = task.memory.read(address, size)
    family = int.from_bytes(raw[:2], "little")
    if family == so.AF_UNSPEC:
        return None
    if family != so.AF_UNIX or size > SOCKADDR_UN:
        raise KernelError(E.EINVAL)
    path = raw[2:]
    return path if path[:1] == b"\0" else path.partition(b"\0")[0]


def pack_address(address: bytes) -> bytes:
    """A sockaddr_un as getsockname(2) gives it."""
    family = so.AF_UNIX.to_bytes(2, "little")
    return family + address + b"\0" if address and address[:1] != b"\0" else family + address


def write_address(task: Task, raw: bytes, address: int, size_address: int) -> None:
    """Store a socket address and its true size (value-result arguments, man 2 accept)."""
    room = int.from_bytes(task.memory.read(size_address, 4), "little", signed=True)
    if room < 0:
        raise KernelError(E.EINVAL)
    if room and raw:
        task.memory.write(address, raw[:room])
    task.memory.write(size_address, len(raw).to_bytes(4, "little"))


# -- control messages ---------------------------------------------------------------------------------------------


def read_control(task: Task, header: Header) -> tuple[list[File], Ucred | None]:
    """The files and credentials that a message is to bring; EINVAL, EBADF, EPERM, ESRCH, ENOBUFS."""
    size = header.control_size
    if not header.control or not size:
        return [], None
    if size > _MAX_CONTROL:
        raise KernelError(E.ENOBUFS)
    raw = task.memory.read(header.control, size)
    files: list[File] = []
    cred: Ucred | None = None
    at = 0
    while at + CMSGHDR.size <= size:
        length, level, kind = CMSGHDR.unpack_from(raw, at)
        if not CMSGHDR.size <= length <= size - at:
            raise KernelError(E.EINVAL)
        data = raw[at + CMSGHDR.size : at + length]
        if level == so.SOL_SOCKET:
            if kind == so.SCM_RIGHTS:
                files += _files(task, data)
            elif kind == so.SCM_CREDENTIALS:
                cred = _credentials(task, data)
            else:
                raise KernelError(E.EINVAL)
        at += length + 7 & ~7
    if len(files) > _MAX_FILES:
        raise KernelError(E.EINVAL)
    for file in files:
        file.opener = file.opener or task.cred
    return files, cred


def _files(task: Task, data: bytes) -> list[File]:
    if len(data) > 4 * _MAX_FILES:
        raise KernelError(E.EINVAL)
    return [task.files.get(fd) for (fd,) in struct.iter_unpack("<i", data[: len(data) & ~3])]


def _credentials(task: Task, data: bytes) -> Ucred:
    if len(data) != UCRED.size:
        raise KernelError(E.EINVAL)
    pid, uid, gid = UCRED.unpack(data)
    cred = task.cred
    privileged = cred.effective >> 21 & 1  # CAP_SYS_ADMIN, and those below
    own_pid = pid == task.process.pid or privileged
    own_uid = uid in (cred.uid, cred.euid, cred.suid) or cred.effective >> 7 & 1  # CAP_SETUID
    own_gid = gid in (cred.gid, cred.egid, cred.sgid) or cred.effective >> 6 & 1  # CAP_SETGID
    if not own_pid or not own_uid or not own_gid:
        raise KernelError(E.EPERM)
    if pid not in task.kernel.processes and pid not in task.kernel.tasks:
        raise KernelError(E.ESRCH)
    return pid, uid, gid


def write_control(
    task: Task, header: Header, file: UnixSocket, received: Received, *, cloexec: bool
) -> tuple[int, int]:
    """Hand out a message's credentials and files: (bytes of control data stored, MSG_CTRUNC or 0). Files for which
    there is no room or no descriptor are closed, as Linux does."""
    at = flags = 0
    room = header.control_size if header.control else 0
    if file.options.get(so.SO_PASSCRED) and received.cred is not None:
        at, flags = _store(task, header, room, at, so.SCM_CREDENTIALS, UCRED.pack(*received.cred))
    files = received.files
    if not files:
        return at, flags
    received.files = []
    try:
        fit = max(0, (room - at - CMSGHDR.size) // 4)
        fds: list[int] = []
        for passed in files[:fit]:
            try:
                fds.append(task.files.install(passed, cloexec=cloexec))
            except KernelError:
                break
        if len(fds) < len(files):
            flags |= so.MSG_CTRUNC
        if fds:
            at, _ = _store(task, header, room, at, so.SCM_RIGHTS, b"".join(fd.to_bytes(4, "little") for fd in fds))
    finally:
        task.kernel.unix.drop(files)
    return at, flags


def _store(task: Task, header: Header, room: int, at: int, kind: int, data: bytes) -> tuple[int, int]:
    """Store one control message; where the next goes, and MSG_CTRUNC if it was cut off."""
    if room - at < CMSGHDR.size:
        return at, so.MSG_CTRUNC
    length = CMSGHDR.size + len(data)
    raw = (CMSGHDR.pack(min(length, room - at), so.SOL_SOCKET, kind) + data)[: room - at]
    task.memory.write(header.control + at, raw)
    return min(room, at + (length + 7 & ~7)), so.MSG_CTRUNC if length > room - at else 0
