"""The local platform: a kernel inside the calling program, for north/posix. It runs no guest.

Callers are threads of this program, one at a time: :attr:`LocalPlatform.turn` is the lock, and what a thread waits on
in :meth:`LocalPlatform.poll` while others have their turn.

Rules: nothing here that one operating system has and another lacks.
Missing: guests (new_process gives none).
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.south.clocks import HostClocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.platform import GuestEvents, GuestThread
    from pylitebox.kernel.task import Task

_numbers = count(1)


class Turn(threading.Condition):
    """The lock of a kernel, which knows who has it. ``later`` is what its holder must do when it has given it up."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())
        self.later: deque[Callable[[], object]] = deque()
        self._holder = 0

    def held(self) -> bool:
        """Whether the calling thread has it: it is in the middle of a call, and was interrupted there."""
        return self._holder == threading.get_ident()

    def __enter__(self) -> bool:
        taken = super().__enter__()
        self._holder = threading.get_ident()
        return taken

    def __exit__(self, *error: object) -> None:
        self._holder = 0
        super().__exit__(*error)  # type: ignore[arg-type]

    def wait(self, timeout: float | None = None) -> bool:
        self._holder = 0
        try:
            return super().wait(timeout)
        finally:
            self._holder = threading.get_ident()


class LocalPlatform(HostClocks):
    """Platform of the contract."""

    name = "local"
    delegates_memory = True
    reserved: tuple[tuple[int, int], ...] = ()

    def __init__(self, *, threads: bool = False) -> None:
        """``threads``: other threads of this program may make calls while one waits."""
        self.turn = Turn()
        self._threads = threads

    def attach(self, events: GuestEvents) -> None:
        """There are no guests to tell about."""

    def poll(self, deadline: int | None) -> None:
        """Let other threads have their turn until one of them is done with a call, or the clock reaches ``deadline``.
        EDEADLK: there is no deadline, and nobody else who could do anything."""
        if deadline is not None:
            left = deadline - time.monotonic_ns()
            if left > 0:
                self.turn.wait(min(left / 1e9, threading.TIMEOUT_MAX))
        elif self._threads:
            self.turn.wait()
        else:
            raise KernelError(E.EDEADLK)

    def new_process(self, ready: Callable[[GuestThread | None], None]) -> None:
        ready(None)

    def bind(self, thread: GuestThread, task: Task) -> None:
        raise KernelError(E.ENOSYS)

    def shared_buffer(self, name: str) -> LocalBuffer:
        return LocalBuffer(bytearray(), next(_numbers))


    def auxv(self) -> dict[int, int]:
        return {}

    def cpu_count(self) -> int:
        return os.cpu_count() or 1

    def close(self) -> None:
        """The host gave nothing that must be given back."""


class LocalBuffer:
    """SharedBuffer of the contract: bytes of this program."""

    def __init__(self, data: bytearray, number: int, handles: list[LocalBuffer] | None = None) -> None:
        self._data = data
        self._number = number
        self._handles = [] if handles is None else handles
        self._handles.append(self)

    @property
    def users(self) -> int:
        return len(self._handles)

    def key(self) -> tuple[int, int]:
        return 1, self._number

    def share(self) -> LocalBuffer:
        return LocalBuffer(self._data, self._number, self._handles)

    def size(self) -> int:
        return len(self._data)

    def read_at(self, size: int, offset: int) -> bytes:
        return bytes(memoryview(self._data)[offset : offset + size])

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        if offset > len(self._data):
            self.truncate(offset)
        self._data[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, size: int) -> None:
        try:
            if size < len(self._data):
                del self._data[size:]
            else:
                self._data.extend(bytes(size - len(self._data)))
        except (MemoryError, OverflowError):
            raise KernelError(E.ENOSPC) from None

    def seal(self) -> None:
        if self.users > 1:
            raise KernelError(E.EBUSY)

    def close(self) -> None:
        """The bytes go with the last handle. Closing twice does no harm."""
        if self in self._handles:
            self._handles.remove(self)
