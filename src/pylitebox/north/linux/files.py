"""Reading and writing: read(2), write(2), their vectored and positioned forms, lseek(2).

The fast path is one descriptor look-up, one operation of the file, one copy. Everything larger than a piece
(copy.CHUNK), vectored, short or blocked goes through the two generators below, which move piece by piece.

Rules: a blocking write goes on until all is written, a read until something was read, as on Linux; an error or a
signal after the first byte is a short count. A file that is always ready to poll(2) (a regular one) never fails with
EAGAIN and is not interrupted: a wait for the host's disk is not the guest's business.
Missing: what was read from a pipe or socket beyond an unwritable page is lost.
"""

from collections.abc import Generator, Iterator

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import (
    O_APPEND,
    RWF_APPEND,
    RWF_NOAPPEND,
    RWF_NOWAIT,
    RWF_SUPPORTED,
    SEEK_CUR,
    SEEK_HOLE,
)
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_FSIZE
from pylitebox.abi.signal import SI_USER, SIGPIPE
from pylitebox.kernel.anonymous import AnonymousFile
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.signals import SigInfo, post_task
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import ERESTARTSYS, Blocking, Interrupted, Result, Wait
from pylitebox.kernel.writing import SET_IDS, before_write
from pylitebox.north.linux.args import Address, Fd, Int, Offset, RwfFlags, Size, ULong, Whence
from pylitebox.north.linux.copy import CHUNK, TURN, Segment, gather, scatter, segment, segments, store, total
from pylitebox.north.linux.lookup import opened
from pylitebox.north.linux.table import Full, Partial, syscall

_READ_GAP = "what a pipe or socket gave for an unwritable part of the buffer is lost"


# -- the fast paths -----------------------------------------------------------------------------------------------


@syscall("read", x86_64=0, aarch64=63, support=Partial(_READ_GAP))
def read(task: Task, fd: Fd, buf: Address, count: Size) -> Result:
    file = task.files.get(fd)
    if not file.readable:
        raise KernelError(E.EBADF)
    if count > CHUNK:
        return read_vector(task, file, segment(buf, count), None, nonblocking=file.nonblocking)
    try:
        data = file.read(count)
    except WouldBlock:
        if file.nonblocking and file.can_poll:
            raise
        return read_vector(task, file, segment(buf, count), None, nonblocking=False)
    if data:
        try:
            task.memory.write(buf, data)
        except KernelError:
            return _stored(task, file, buf, data)
    return len(data)


@syscall("write", x86_64=1, aarch64=64, support=Full, test="test_size_limit")
def write(task: Task, fd: Fd, buf: Address, count: Size) -> Result:
    file = task.files.get(fd)
    if not file.writable:
        raise KernelError(E.EBADF)
    inode = file.inode
    if task.process.rlimits[RLIMIT_FSIZE][0] != RLIM_INFINITY or (
        inode is not None and (inode.mode & SET_IDS or inode.gives_capabilities)
    ):
        count = before_write(task, file, None, count)
    if count > CHUNK:
        return write_pieces(task, file, gather(task.memory, segment(buf, count)), None, nonblocking=file.nonblocking)
    try:
        data = task.memory.read(buf, count) if count else b""
    except KernelError:
        data = task.memory.read_some(buf, count)
    try:
        done = file.write(data)
    except WouldBlock:
        done = 0
        if file.nonblocking and file.can_poll:
            raise
    except KernelError as error:
        if error.errno == E.EPIPE:
            raise_sigpipe(task, file)
        raise
    if done == len(data) or (isinstance(file, AnonymousFile) and done):
        return done
    return write_pieces(task, file, iter((data[done:],)), None, nonblocking=file.nonblocking, done=done)


@syscall("pread64", x86_64=17, aarch64=67, support=Full, test="test_positioned_io")
def pread64(task: Task, fd: Fd, buf: Address, count: Size, offset: Offset) -> Result:
    if offset < 0:
        raise KernelError(E.EINVAL)
    file = task.files.get(fd)
    if not file.readable:
        raise _refusal(file)
    if count > CHUNK:
        return read_vector(task, file, segment(buf, count), offset, nonblocking=False)
    try:
        data = file.pread(count, offset)
    except WouldBlock:
        return read_vector(task, file, segment(buf, count), offset, nonblocking=False)
    if data:
        try:
            task.memory.write(buf, data)
        except KernelError:
            return scatter(task.memory, [(buf, count)], 0, data)
    return len(data)


@syscall("pwrite64", x86_64=18, aarch64=68, support=Full, test="test_size_limit")
def pwrite64(task: Task, fd: Fd, buf: Address, count: Size, offset: Offset) -> Result:
    if offset < 0:
        raise KernelError(E.EINVAL)
    file = task.files.get(fd)
    if not file.writable:
        raise _refusal(file)
    if not count:
        return file.pwrite(b"", offset)
    vector = segment(buf, before_write(task, file, offset, count))
    return write_pieces(task, file, gather(task.memory, vector), offset, nonblocking=False)


@syscall("lseek", x86_64=8, aarch64=62, support=Full, test="test_lseek")
def lseek(task: Task, fd: Fd, offset: Offset, whence: Whence) -> Result:
    file = opened(task, fd)
    if whence > SEEK_HOLE:
        raise KernelError(E.EINVAL)
    return file.seek(offset, whence)


# -- vectors ------------------------------------------------------------------------------------------------------


@syscall("readv", x86_64=19, aarch64=65, support=Partial(_READ_GAP))
def readv(task: Task, fd: Fd, iov: Address, iovcnt: Int) -> Result:
    return _read(task, fd, iov, iovcnt, None, 0)


@syscall("writev", x86_64=20, aarch64=66, support=Full, test="test_size_limit")
def writev(task: Task, fd: Fd, iov: Address, iovcnt: Int) -> Result:
    return _write(task, fd, iov, iovcnt, None, 0)


@syscall("preadv", x86_64=295, aarch64=69, support=Full, test="test_positioned_vectors")
def preadv(task: Task, fd: Fd, iov: Address, iovcnt: Int, offset: Offset, offset_high: ULong) -> Result:
    return _read(task, fd, iov, iovcnt, _position(offset), 0)


@syscall("pwritev", x86_64=296, aarch64=70, support=Full, test="test_size_limit")
def pwritev(task: Task, fd: Fd, iov: Address, iovcnt: Int, offset: Offset, offset_high: ULong) -> Result:
    return _write(task, fd, iov, iovcnt, _position(offset), 0)


@syscall("preadv2", x86_64=327, aarch64=286, support=Partial("RWF_ATOMIC, RWF_DONTCACHE: EOPNOTSUPP"))
def preadv2(
    task: Task, fd: Fd, iov: Address, iovcnt: Int, offset: Offset, offset_high: ULong, flags: RwfFlags
) -> Result:
    return _read(task, fd, iov, iovcnt, None if offset == -1 else _position(offset), flags)


@syscall("pwritev2", x86_64=328, aarch64=287, support=Partial("RWF_ATOMIC, RWF_DONTCACHE: EOPNOTSUPP"))
def pwritev2(
    task: Task, fd: Fd, iov: Address, iovcnt: Int, offset: Offset, offset_high: ULong, flags: RwfFlags
) -> Result:
    return _write(task, fd, iov, iovcnt, None if offset == -1 else _position(offset), flags)


def _refusal(file: File) -> KernelError:
    """Why a positioned transfer is not for this file: ESPIPE, before EBADF for one not open for it."""
    if isinstance(file, AnonymousFile):  # some have a position to seek, none has FMODE_PREAD
        return KernelError(E.ESPIPE)
    try:
        file.seek(0, SEEK_CUR)
    except KernelError as error:
        return error
    return KernelError(E.EBADF)


def _check_rwf(flags: int, taken: int) -> None:
    """kiocb_set_rw_flags(), and do_loop_readv_writev() for what takes RWF_HIPRI alone."""
    if flags & ~(RWF_SUPPORTED if taken & RWF_APPEND else taken):
        raise KernelError(E.EOPNOTSUPP)
    if flags & RWF_APPEND and flags & RWF_NOAPPEND:
        raise KernelError(E.EINVAL)
    if flags & ~taken:
        raise KernelError(E.EOPNOTSUPP)


def _position(offset: int) -> int:
    """On 64-bit machines the offset is the low register alone (linux/fs/read_write.c: pos_from_hilo)."""
    if offset < 0:
        raise KernelError(E.EINVAL)
    return offset


def _read(task: Task, fd: int, iov: int, iovcnt: int, offset: int | None, flags: int) -> Result:
    file = task.files.get(fd)
    if not file.readable:
        raise KernelError(E.EBADF) if offset is None else _refusal(file)
    if offset is not None and file.can_poll:
        file.pread(0, offset)  # ESPIPE
    if file.rwf_read is None:
        raise KernelError(E.EINVAL)
    vector = segments(task.memory, iov, iovcnt)
    if not vector:
        return 0
    _check_rwf(flags, file.rwf_read)
    return read_vector(task, file, vector, offset, nonblocking=file.nonblocking or bool(flags & RWF_NOWAIT))


def _write(task: Task, fd: int, iov: int, iovcnt: int, offset: int | None, flags: int) -> Result:
    file = task.files.get(fd)
    if not file.writable:
        raise KernelError(E.EBADF) if offset is None else _refusal(file)
    if offset is not None and file.can_poll:
        file.pwrite(b"", offset)  # ESPIPE
    if file.rwf_write is None:
        raise KernelError(E.EINVAL)
    vector = segments(task.memory, iov, iovcnt)
    if not vector:
        return 0
    _check_rwf(flags, file.rwf_write)
    end = None
    if flags & RWF_APPEND and not file.flags & O_APPEND and not file.can_poll:
        end = file.stat().size
    vector = _first(vector, before_write(task, file, offset if end is None else end, total(vector)))
    if end is not None:
        if offset is None:  # the position follows
            file.position = end
        else:
            offset = end
    nonblocking = file.nonblocking or bool(flags & RWF_NOWAIT)
    return write_pieces(task, file, gather(task.memory, vector), offset, nonblocking=nonblocking)


def _first(vector: list[Segment], size: int) -> list[Segment]:
    """The first ``size`` bytes of a vector."""
    cut = []
    for address, length in vector:
        if size <= 0:
            break
        cut.append((address, min(length, size)))
        size -= length
    return cut


# -- the generators -----------------------------------------------------------------------------------------------


def hold(call: Blocking, *files: File) -> Blocking:
    """Keep files open while a call on them is under way: another thread may close their descriptors meanwhile."""
    for file in files:
        file.references += 1
    try:
        return (yield from call)
    finally:
        for file in files:
            file.put()


def next_turn(task: Task) -> Wait:
    """Let others run: due at once, but behind what was due before."""
    return Wait(deadline=task.kernel.now(), interruptible=False)


def read_vector(task: Task, file: File, vector: list[Segment], offset: int | None, *, nonblocking: bool) -> Blocking:
    """Read into the buffers of ``vector``, from ``offset`` or from the file's position (None)."""
    return hold(_read_vector(task, file, vector, offset, nonblocking=nonblocking), file)


def _read_vector(task: Task, file: File, vector: list[Segment], offset: int | None, *, nonblocking: bool) -> Blocking:
    patient = not file.can_poll  # a wait is for the host's disk
    want = total(vector)
    done = turn = 0
    while True:
        step = min(CHUNK, want - done)
        try:
            data = file.read(step) if offset is None else file.pread(step, offset + done)
        except WouldBlock:
            if not patient:
                if done:
                    return done
                if nonblocking:
                    raise
            if not file.waits_itself:
                yield Wait(*file.wait_queues(), interruptible=not patient)
                continue
            data = yield from file.read_slowly(step)
        except KernelError:
            if done:
                return done
            raise
        try:
            stored = scatter(task.memory, vector, done, data)
        except KernelError:
            stored = 0
        if offset is None and stored < len(data):
            _give_back(file, len(data) - stored)
        if data and not stored and not done:
            raise KernelError(E.EFAULT)
        done += stored
        if stored < step or done == want:
            return done
        if done - turn >= TURN:
            turn = done
            yield next_turn(task)


def write_pieces(
    task: Task, file: File, pieces: Iterator[bytes], offset: int | None, *, nonblocking: bool, done: int = 0
) -> Blocking:
    """Write ``pieces`` one after another, at ``offset`` or at the file's position (None), until all is written.
    ``done`` bytes were written before."""
    return hold(_write_pieces(task, file, pieces, offset, nonblocking=nonblocking, done=done), file)


def _write_pieces(
    task: Task, file: File, pieces: Iterator[bytes], offset: int | None, *, nonblocking: bool, done: int
) -> Blocking:
    turn = done
    for piece in pieces:
        rest = yield from _write_piece(task, file, piece, offset, nonblocking=nonblocking, done=done)
        done += len(piece) - rest
        if rest:
            return done
        if offset is not None:
            offset += len(piece)
        if done - turn >= TURN:
            turn = done
            yield next_turn(task)
    return done


def _write_piece(
    task: Task, file: File, piece: bytes, offset: int | None, *, nonblocking: bool, done: int
) -> Generator[Wait, bool, int]:
    """Write one piece; how much of it could not be written, if anything before it could (else the error)."""
    patient = not file.can_poll
    rest: bytes | memoryview = piece
    while len(rest):
        begun = done or len(rest) < len(piece)
        try:
            if offset is None:
                count = file.write(rest)
            else:
                count = file.pwrite(rest, offset + len(piece) - len(rest))
        except WouldBlock:
            if nonblocking and not patient:
                if begun:
                    return len(rest)
                raise
            try:
                yield Wait(
                    *file.wait_queues(), restart=E.EINTR if begun else ERESTARTSYS, interruptible=not patient
                )
            except Interrupted:
                if begun:
                    return len(rest)
                raise
            continue
        except KernelError as error:
            if error.errno == E.EPIPE:
                raise_sigpipe(task, file)
            if begun:
                return len(rest)
            raise
        rest = memoryview(rest)[count:]
        if not count or isinstance(file, AnonymousFile):
            break  # it takes what it wants (eventfd(2): eight bytes)
    return len(rest)


def raise_sigpipe(task: Task, file: File) -> None:
    """What goes with EPIPE (man 7 pipe)."""
    if file.sigpipe:
        post_task(task, SigInfo(SIGPIPE, SI_USER, pid=task.process.pid, uid=task.cred.uid))


def _stored(task: Task, file: File, buf: int, data: bytes) -> int:
    """Store what was read before an unwritable page; the rest goes back to the file if it has a position."""
    done = store(task.memory, buf, data)
    _give_back(file, len(data) - done)
    if not done:
        raise KernelError(E.EFAULT)
    return done


def _give_back(file: File, size: int) -> None:
    try:
        file.seek(-size, SEEK_CUR)
    except KernelError:
        pass
