"""Moving data between descriptors: sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2).

Data goes through the kernel in pieces; nothing is moved by reference, which no guest can tell. What could not be
written is not consumed: a source with a position is read without moving it, a pipe is looked at first.
"""

from collections.abc import Callable, Generator

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import MAX_RW_COUNT, O_APPEND
from pylitebox.abi.mman import PAGE_SIZE
from pylitebox.abi.stat import is_dir, is_reg
from pylitebox.kernel.anonymous import AnonymousFile
from pylitebox.kernel.devices import NullFile
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.pipe import PipeFile
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import ERESTARTSYS, Blocking, Interrupted, Result, Wait
from pylitebox.kernel.writing import before_write, below_limit, exceeded
from pylitebox.north.linux.args import Address, Fd, Size, SpliceFlags, UInt, ULong
from pylitebox.north.linux.copy import CHUNK, TURN, gather, read_offset, segments, write_offset
from pylitebox.north.linux.files import hold, next_turn, raise_sigpipe, read_vector, write_pieces
from pylitebox.north.linux.lookup import opened
from pylitebox.north.linux.table import Full, Partial, syscall

SPLICE_F_NONBLOCK = 2
_SPLICE_FLAGS = 15
MAX_OFFSET = (1 << 63) - 1


class _Side:
    """A file with a position: its own, or one behind a guest's pointer."""

    def __init__(self, task: Task, file: File, pointer: int) -> None:
        self.file = file
        self._memory = task.memory
        self._pointer = pointer
        self.seekable = not isinstance(file, PipeFile) and _seekable(file)
        if pointer:
            self.offset = read_offset(task.memory, pointer)
            if self.offset < 0:
                raise KernelError(E.EINVAL)
        else:
            self.offset = file.position

    def store(self, moved: int) -> None:
        """Put the position behind what was moved."""
        if self._pointer:
            write_offset(self._memory, self._pointer, self.offset + moved)
        elif self.seekable:
            self.file.position = self.offset + moved


def _copy(
    task: Task,
    read: Callable[[int, int], bytes],
    write: Callable[[bytes, int], int],
    source: File,
    sink: File,
    count: int,
) -> Blocking:
    """Copy up to ``count`` bytes: ``read(size, done)`` gives them without consuming, ``write(data, done)`` takes some
    and consumes those. Waits for the source only before the first byte; for the sink until all is written."""
    done = turn = 0
    data = b""
    while done < count:
        waiting = source
        try:
            if not data:
                data = read(min(CHUNK, count - done), done)
                if not data:
                    break
            waiting = sink
            written = write(data, done)
        except WouldBlock:
            patient = not waiting.can_poll
            if not patient and (waiting.nonblocking or (done and waiting is source)):
                if done:
                    break
                raise
            try:
                yield Wait(
                    *waiting.wait_queues(), restart=E.EINTR if done else ERESTARTSYS, interruptible=not patient
                )
            except Interrupted:
                if done:
                    break
                raise
            continue
        except KernelError as error:
            if error.errno == E.EPIPE and waiting is sink:
                raise_sigpipe(task, sink)
            if done:
                break
            raise
        done += written
        data = data[written:]
        if done - turn >= TURN:
            turn = done
            yield next_turn(task)
    return done


@syscall("sendfile", x86_64=40, aarch64=71, support=Full, test="test_sendfile")
def sendfile(task: Task, out_fd: Fd, in_fd: Fd, offset: Address, count: Size) -> Result:
    start = read_offset(task.memory, offset) if offset else None
    source = task.files.get(in_fd)
    if not source.readable:
        raise KernelError(E.EBADF)
    if start is not None:
        if not _seekable(source):
            raise KernelError(E.ESPIPE)
        if start < 0:
            raise KernelError(E.EINVAL)
    sink = task.files.get(out_fd)
    if not sink.writable:
        raise KernelError(E.EBADF)
    looked_at = count or not isinstance(sink, PipeFile)  # do_splice_read() of nothing doesn't look at the source
    if looked_at and (not _seekable(source) or sink.flags & O_APPEND or _no_source(source)):
        raise KernelError(E.EINVAL)
    return hold(_sendfile(task, source, sink, offset, min(count, MAX_RW_COUNT)), source, sink)


def _no_source(file: File) -> bool:
    """What has nothing to splice from, on Linux either (no ``splice_read``)."""
    return is_dir(file.stat().mode) or type(file) is NullFile or isinstance(file, AnonymousFile)


def _seekable(file: File) -> bool:
    try:
        file.pread(0, 0)
    except KernelError as error:
        return error.errno != E.ESPIPE
    return True


def _sendfile(task: Task, source: File, sink: File, pointer: int, count: int) -> Blocking:
    side = _Side(task, source, pointer)
    if isinstance(sink, PipeFile):
        yield from _wait_for_space(task, sink)
    done = yield from _copy(
        task,
        lambda size, done: source.pread(size, side.offset + done),
        lambda data, done: sink.write(data[: before_write(task, sink, None, len(data))]),
        source,
        sink,
        count,
    )
    assert done is not None
    side.store(done)
    return done


def _wait_for_space(task: Task, sink: PipeFile) -> Generator[Wait, bool, None]:
    """A pipe must be able to take something even if there is nothing to send (fs/splice.c)."""
    while True:
        if not sink.pipe.readers:
            raise_sigpipe(task, sink)
            raise KernelError(E.EPIPE)
        if not sink.pipe.full:
            return
        if sink.nonblocking:
            raise WouldBlock
        yield Wait(*sink.wait_queues())


@syscall("copy_file_range", x86_64=326, aarch64=285, support=Full, test="test_size_limit_of_transfers")
def copy_file_range(
    task: Task, fd_in: Fd, off_in: Address, fd_out: Fd, off_out: Address, length: Size, flags: UInt
) -> Result:
    source, sink = opened(task, fd_in), opened(task, fd_out)
    left, right = _Side(task, source, off_in), _Side(task, sink, off_out)
    if flags:
        raise KernelError(E.EINVAL)
    kinds = source.stat().mode, sink.stat().mode
    if is_dir(kinds[0]) or is_dir(kinds[1]):
        raise KernelError(E.EISDIR)
    if not is_reg(kinds[0]) or not is_reg(kinds[1]):
        raise KernelError(E.EINVAL)
    if not source.readable or not sink.writable or sink.flags & O_APPEND:
        raise KernelError(E.EBADF)
    length = min(length, MAX_RW_COUNT)
    if max(left.offset, right.offset) + length > MAX_OFFSET:
        raise KernelError(E.EOVERFLOW)
    length = below_limit(task, right.offset, min(length, max(0, source.stat().size - left.offset)))
    if source.inode is sink.inode and abs(left.offset - right.offset) < length:
        raise KernelError(E.EINVAL)
    length = before_write(task, sink, right.offset, length)
    return hold(_copy_range(task, left, right, length), source, sink)


def _copy_range(task: Task, left: _Side, right: _Side, count: int) -> Blocking:
    source, sink = left.file, right.file
    done = yield from _copy(
        task,
        lambda size, done: source.pread(size, left.offset + done),
        lambda data, done: sink.pwrite(data, right.offset + done),
        source,
        sink,
        count,
    )
    assert done is not None
    left.store(done)
    right.store(done)
    return done


# -- pipes --------------------------------------------------------------------------------------------------------


@syscall("splice", x86_64=275, aarch64=76, support=Full, test="test_size_limit_of_transfers")
def splice(
    task: Task, fd_in: Fd, off_in: Address, fd_out: Fd, off_out: Address, length: Size, flags: SpliceFlags
) -> Result:
    if not length:
        return 0
    if flags & ~_SPLICE_FLAGS:
        raise KernelError(E.EINVAL)
    source, sink = opened(task, fd_in), opened(task, fd_out)
    from_pipe, to_pipe = isinstance(source, PipeFile), isinstance(sink, PipeFile)
    if (from_pipe and off_in) or (to_pipe and off_out):
        raise KernelError(E.ESPIPE)
    if not source.readable or not sink.writable:
        raise KernelError(E.EBADF)
    if not from_pipe and not to_pipe:
        raise KernelError(E.EINVAL)
    if isinstance(source, PipeFile) and isinstance(sink, PipeFile) and source.pipe is sink.pipe:
        raise KernelError(E.EINVAL)
    if (sink.flags & O_APPEND and not to_pipe) or _no_source(source):
        raise KernelError(E.EINVAL)
    for file, pointer in ((source, off_in), (sink, off_out)):
        if pointer and not _seekable(file):
            raise KernelError(E.EINVAL)
    nonblocking = bool(flags & SPLICE_F_NONBLOCK) or source.nonblocking or sink.nonblocking
    left, right = _Side(task, source, off_in), _Side(task, sink, off_out)
    call = _pump(source, sink, lambda: _splice_once(task, left, right, min(length, CHUNK)), nonblocking=nonblocking)
    return hold(call, source, sink)


def _pump(source: File, sink: File, step: Callable[[], int], *, nonblocking: bool) -> Blocking:
    """Do one step that moves something, when both ends are ready for it."""
    while True:
        try:
            return step()
        except WouldBlock:
            if nonblocking and (source.can_poll or sink.can_poll):
                raise
        yield Wait(*source.wait_queues(), *sink.wait_queues())


def _splice_once(task: Task, left: _Side, right: _Side, size: int) -> int:
    source, sink = left.file, right.file
    if isinstance(sink, PipeFile):
        if not sink.pipe.readers:
            return _write(task, sink, right, b"\0")  # EPIPE
        size = min(size, (sink.pipe.slots - sink.pipe.used) * PAGE_SIZE)
        if not size:
            raise WouldBlock
    if isinstance(source, PipeFile):
        data = source.pipe.peek(size)
    elif left.seekable:
        data = source.pread(size, left.offset)
    else:
        data = source.read(size)
    if not data:
        return 0
    written = _write(task, sink, right, data)
    if isinstance(source, PipeFile):
        source.pipe.read(written)
    left.store(written)
    right.store(written)
    return written


def _write(task: Task, sink: File, side: _Side, data: bytes) -> int:
    allowed = before_write(task, sink, side.offset, len(data))
    if allowed < len(data):
        exceeded(task)  # as Linux, which goes on to write the rest
        data = data[:allowed]
    try:
        return sink.pwrite(data, side.offset) if side.seekable else sink.write(data)
    except KernelError as error:
        if error.errno == E.EPIPE:
            raise_sigpipe(task, sink)
        raise


@syscall("tee", x86_64=276, aarch64=77, support=Full, test="test_tee")
def tee(task: Task, fd_in: Fd, fd_out: Fd, length: Size, flags: SpliceFlags) -> Result:
    if flags & ~_SPLICE_FLAGS:
        raise KernelError(E.EINVAL)
    if not length:
        return 0
    source, sink = opened(task, fd_in), opened(task, fd_out)
    if not source.readable or not sink.writable:
        raise KernelError(E.EBADF)
    if not isinstance(source, PipeFile) or not isinstance(sink, PipeFile) or source.pipe is sink.pipe:
        raise KernelError(E.EINVAL)
    first, second = source.pipe, sink.pipe
    side = _Side(task, sink, 0)

    def step() -> int:
        room = (second.slots - second.used) * PAGE_SIZE
        if not room and second.readers:
            raise WouldBlock
        data = first.peek(min(length, room or 1))
        return _write(task, sink, side, data) if data else 0

    nonblocking = bool(flags & SPLICE_F_NONBLOCK) or source.nonblocking or sink.nonblocking
    return hold(_pump(source, sink, step, nonblocking=nonblocking), source, sink)


@syscall("vmsplice", x86_64=278, aarch64=75, support=Partial("the pages are copied"))
def vmsplice(task: Task, fd: Fd, iov: Address, count: ULong, flags: SpliceFlags) -> Result:
    if flags & ~_SPLICE_FLAGS:
        raise KernelError(E.EINVAL)
    file = opened(task, fd)
    if not isinstance(file, PipeFile):
        raise KernelError(E.EBADF)
    vector = segments(task.memory, iov, min(count, 1 << 31))
    if not vector:
        return 0
    nonblocking = bool(flags & SPLICE_F_NONBLOCK) or file.nonblocking
    if file.writable:
        return write_pieces(task, file, gather(task.memory, vector), None, nonblocking=nonblocking)
    return read_vector(task, file, vector, None, nonblocking=nonblocking)
