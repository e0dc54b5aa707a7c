"""Character devices, by device number (man 4 null, man 4 random, man 4 full, man 4 tty).

``kernel.devices.open(who, rdev, flags, location)`` opens the device behind a device node. Only these exist; any other
number is ENXIO. Terminals are in kernel/tty.
Missing: RND* ioctls (EINVAL), mmap of /dev/zero as anonymous memory (ENODEV).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_NOCTTY, RWF_HIPRI, RWF_NOWAIT, RWF_SUPPORTED
from pylitebox.abi.stat import major, makedev, minor
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File

if TYPE_CHECKING:
    from pylitebox.kernel.fs.vfs import Location, Who
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.task import Process, Task

NULL = makedev(1, 3)
ZERO = makedev(1, 5)
FULL = makedev(1, 7)
RANDOM = makedev(1, 8)
URANDOM = makedev(1, 9)
TTY = makedev(5, 0)
PTMX = makedev(5, 2)
#: Majors of slaves of pseudo-terminals, 256 of them each.
SLAVES = range(136, 144)

#: The most that one read of a generated stream gives; a longer one is short, as random(4)'s is.
ZERO_CHUNK = 64 << 20
RANDOM_CHUNK = 4 << 20


class NullFile(File):
    """/dev/null: always at its end; takes and forgets whatever is written."""

    def __init__(self, kernel: Kernel, flags: int, location: Location) -> None:
        super().__init__(flags, inode=location.inode, location=location)
        self._kernel = kernel

    def read(self, size: int) -> bytes:
        return b""

    def write(self, data: bytes | memoryview) -> int:
        return len(data)

    def pread(self, size: int, offset: int) -> bytes:
        return self.read(size)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        return self.write(data)

    def seek(self, offset: int, whence: int) -> int:
        return 0

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        raise KernelError(E.ENOTTY)


class ZeroFile(NullFile):
    """/dev/zero: endless zero bytes."""

    def read(self, size: int) -> bytes:
        return bytes(min(size, ZERO_CHUNK))


class FullFile(ZeroFile):
    """/dev/full: endless zero bytes, and a full disk to writers."""

    rwf_read = RWF_SUPPORTED & ~RWF_NOWAIT
    rwf_write = RWF_HIPRI

    def write(self, data: bytes | memoryview) -> int:
        raise KernelError(E.ENOSPC)


class RandomFile(NullFile):
    """/dev/random and /dev/urandom: what is written is accepted and not credited."""

    def read(self, size: int) -> bytes:
        return self._kernel.platform.random(min(size, RANDOM_CHUNK))

    def ioctl(self, task: Task, request: int, argument: int) -> int:
        raise KernelError(E.EINVAL)


class Devices:
    """The devices of one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._drivers: dict[int, type[NullFile]] = {
            NULL: NullFile,
            ZERO: ZeroFile,
            FULL: FullFile,
            RANDOM: RandomFile,
            URANDOM: RandomFile,
        }

    def open(self, who: Who, rdev: int, flags: int, location: Location) -> File:
        """A new open file description of the device ``rdev`` (see :func:`~pylitebox.abi.stat.makedev`); ENXIO.
        ``flags`` may have O_NOCTTY, which is only for terminals to see."""
        driver = self._drivers.get(rdev)
        if driver is not None:
            return driver(self._kernel, flags & ~O_NOCTTY, location)
        if rdev == PTMX:
            return self._kernel.terminals.open_master(who, flags, location)
        if rdev == TTY:
            process: Process | None = getattr(who, "process", None)
            if process is None or process.tty is None:
                raise KernelError(E.ENXIO)
            return self._kernel.terminals.open_terminal(who, process.tty, flags, location)
        if major(rdev) in SLAVES:
            index = (major(rdev) - SLAVES.start << 8) + minor(rdev)
            return self._kernel.terminals.open_slave(who, index, flags, location)
        raise KernelError(E.ENXIO)
