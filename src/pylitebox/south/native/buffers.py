"""Shared buffers and host descriptors that guests can map: memfds (man 2 memfd_create)."""

from __future__ import annotations

import os

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as FC
from pylitebox.kernel.errors import KernelError
from pylitebox.south.descriptors import for_a_file


class Memfd:
    """SharedBuffer over a memfd. A read-only descriptor is opened apart, so that a guest that may only read gets
    nothing that could write; at once, so that a buffer is never had without it."""

    def __init__(self, name: str) -> None:
        try:
            self._fd = for_a_file(os.memfd_create(name[:200], os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        except OSError as error:
            raise KernelError(E.ENFILE if error.errno in (23, 24) else E.ENOMEM) from error
        try:
            self._read_only = for_a_file(os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC))
        except (OSError, KernelError) as error:
            os.close(self._fd)
            raise KernelError(E.ENFILE) from error
        self.users = 1

    def share(self) -> Memfd:
        self.users += 1
        return self

    def descriptor(self, *, write: bool) -> int:
        """A host descriptor of exactly this access, owned by the buffer."""
        return self._fd if write else self._read_only

    def key(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read_at(self, size: int, offset: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        try:
            return os.pwrite(self._fd, data, offset)
        except OSError as error:
            raise KernelError(E.ENOSPC if error.errno in (12, 28) else E.EFBIG) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise KernelError(E.EFBIG) from error

    def seal(self) -> None:
        """The host's own seal: it knows who maps the memfd, and holds against a guest that kept the descriptor."""
        import fcntl  # few sandboxes need it

        try:
            fcntl.fcntl(self._fd, FC.F_ADD_SEALS, FC.F_SEAL_WRITE)
        except OSError as error:
            raise KernelError(E.EBUSY) from error

    def close(self) -> None:
        self.users -= 1
        if self.users == 0:
            os.close(self._fd)
            os.close(self._read_only)
            self._fd = self._read_only = -1
