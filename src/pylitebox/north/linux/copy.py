"""Copying between guest memory and the kernel: vectors of buffers and numbers behind pointers.

Rules: what a vector describes is copied in once and checked whole; no part of it sizes anything before it was
bounded. Data moves in pieces of at most :data:`CHUNK` bytes, so a huge count costs no huge buffer.
"""

import struct
from collections.abc import Iterable, Iterator

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import IOV_MAX, MAX_RW_COUNT
from pylitebox.abi.mman import TASK_SIZE
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.platform import Memory

#: The most that one step of a transfer holds in the kernel.
CHUNK = 1 << 20
#: What the loop moves in one go before other tasks get their turn.
TURN = 4 << 20

#: (address, size) of one buffer in guest memory.
Segment = tuple[int, int]

_I64 = struct.Struct("<q")


def segments(memory: Memory, address: int, count: int) -> list[Segment]:
    """Import an array of ``count`` struct iovec (man 3type iovec): at most MAX_RW_COUNT bytes in all."""
    if not 0 <= count <= IOV_MAX:
        raise KernelError(E.EINVAL)
    if not count:
        return []
    vector = list(struct.iter_unpack("<QQ", memory.read(address, 16 * count)))
    for base, size in vector:
        if size >> 63:
            raise KernelError(E.EINVAL)
        if size and base + size > TASK_SIZE:
            raise KernelError(E.EFAULT)
    left = MAX_RW_COUNT
    result = []
    for base, size in vector:
        size = min(size, left)
        left -= size
        if size:
            result.append((base, size))
    return result


def segment(address: int, size: int) -> list[Segment]:
    """The vector of one buffer of any size; EFAULT if it can't lie in user memory."""
    if address + size > TASK_SIZE:
        raise KernelError(E.EFAULT)
    return [(address, min(size, MAX_RW_COUNT))]


def total(vector: Iterable[Segment]) -> int:
    return sum(size for _, size in vector)


def scatter(memory: Memory, vector: list[Segment], skip: int, data: bytes) -> int:
    """Store ``data`` behind the first ``skip`` bytes of the buffers; how much was stored before an unwritable page
    (EFAULT if nothing was)."""
    done = 0
    for base, size in vector:
        if skip >= size:
            skip -= size
            continue
        part = data[done : done + size - skip]
        if not part:
            break
        stored = store(memory, base + skip, part)
        done += stored
        if stored < len(part):
            break
        skip = 0
    if data and not done:
        raise KernelError(E.EFAULT)
    return done


def store(memory: Memory, address: int, data: bytes) -> int:
    """Store as much of ``data`` as lies before an unwritable page."""
    try:
        memory.write(address, data)
        return len(data)
    except KernelError:
        pass
    done = 0
    while done < len(data):  # page by page: the rare case of a buffer that ends in a hole
        part = data[done : done + 4096 - (address + done) % 4096]
        try:
            memory.write(address + done, part)
        except KernelError:
            break
        done += len(part)
    return done


def gather(memory: Memory, vector: list[Segment]) -> Iterator[bytes]:
    """The content of the buffers in pieces of at most CHUNK bytes, small buffers joined. It ends early at an
    unreadable page; EFAULT if that is the first."""
    parts: list[bytes] = []
    held = 0
    first = True
    for base, size in vector:
        while size:
            step = min(size, CHUNK - held)
            try:
                part = memory.read(base, step)
            except KernelError:
                part = _readable(memory, base, step)
                if part or parts:
                    yield b"".join([*parts, part])
                elif first:
                    raise
                return
            parts.append(part)
            held += step
            base += step
            size -= step
            if held == CHUNK:
                yield b"".join(parts)
                parts, held, first = [], 0, False
    if parts:
        yield parts[0] if len(parts) == 1 else b"".join(parts)


def _readable(memory: Memory, address: int, size: int) -> bytes:
    try:
        return memory.read_some(address, size)
    except KernelError:
        return b""


def read_offset(memory: Memory, address: int) -> int:
    """A loff_t behind a pointer."""
    value: int = _I64.unpack(memory.read(address, 8))[0]
    return value


def write_offset(memory: Memory, address: int, value: int) -> None:
    memory.write(address, _I64.pack(value))
