"""The kernel's one error type.

A kernel operation that fails raises :class:`KernelError` with one of Linux's error numbers. It is translated once:
to a negative register value by ``north/linux``, to the host's ``OSError`` by ``north/posix``.
"""

from pylitebox.abi import errno as E


class KernelError(Exception):
    """A call failed with ``errno`` (Linux's number, see :mod:`pylitebox.abi.errno`)."""

    def __init__(self, errno: int) -> None:
        self.errno = errno

    def __str__(self) -> str:
        return E.NAMES.get(self.errno, str(self.errno))


class WouldBlock(KernelError):
    """Nothing can be done now; the file's wait queues wake when that may have changed.

    It is EAGAIN for a file with O_NONBLOCK; otherwise the caller parks (see :mod:`pylitebox.kernel.wait`).
    """

    def __init__(self) -> None:
        super().__init__(E.EAGAIN)
