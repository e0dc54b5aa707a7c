"""eventfd(2): a 64-bit counter behind a descriptor."""

from __future__ import annotations

from itertools import count

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_NONBLOCK, O_RDWR, RWF_HIPRI
from pylitebox.abi.poll import POLLIN, POLLOUT
from pylitebox.kernel.anonymous import AnonymousFile
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.wait import WaitQueue

EFD_SEMAPHORE = 1
#: The counter's greatest value; one more is an overflow, which only the kernel itself could make.
_MAX = (1 << 64) - 2
_ids = count()


class EventFile(AnonymousFile):
    """The counter. A read takes it whole, or one of it with EFD_SEMAPHORE."""

    kind = b"eventfd"
    can_poll = True
    rwf_write = RWF_HIPRI

    def __init__(self, value: int, *, semaphore: bool = False, nonblocking: bool = False) -> None:
        super().__init__(O_RDWR | (O_NONBLOCK if nonblocking else 0))
        self.value = value
        self._semaphore = semaphore
        self._id = next(_ids)
        self._queue = WaitQueue()

    def read(self, size: int) -> bytes:
        if size < 8:
            raise KernelError(E.EINVAL)
        if not self.value:
            raise WouldBlock
        taken = 1 if self._semaphore else self.value
        self.value -= taken
        self._queue.wake()
        return taken.to_bytes(8, "little")

    def write(self, data: bytes | memoryview) -> int:
        if len(data) != 8:  # before Linux 6.18, more was ignored
            raise KernelError(E.EINVAL)
        added = int.from_bytes(data, "little")
        if added > _MAX:
            raise KernelError(E.EINVAL)
        if self.value + added > _MAX:
            raise WouldBlock
        self.value += added
        self._queue.wake()
        return 8

    def poll(self) -> int:
        events = 0
        if self.value:
            events |= POLLIN
        if self.value < _MAX:
            events |= POLLOUT
        return events

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self._queue,)

    def fdinfo(self) -> bytes:
        return b"eventfd-count: %16x\neventfd-id: %d\neventfd-semaphore: %d\n" % (
            self.value,
            self._id,
            self._semaphore,
        )
