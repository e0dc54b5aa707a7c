"""Waiting for the host's disk, in calls that are no reads or writes but may need a file's old content (the overlay
copies it up before a mapping or a new length).

Such a wait is not the guest's business: no signal interrupts it, O_NONBLOCK does not shorten it.
"""

from collections.abc import Callable

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.wait import Blocking, Result, Wait
from pylitebox.north.linux.files import hold


def patiently(file: File, step: Callable[[], int | None]) -> Result:
    """Do ``step``, an operation of ``file``, again and again until the disk has brought all that it needs."""
    try:
        return step()
    except WouldBlock:
        return hold(_retry(file, step), file)


def _retry(file: File, step: Callable[[], int | None]) -> Blocking:
    while True:
        queues = file.wait_queues()
        if not queues:
            raise KernelError(E.EIO)
        yield Wait(*queues, interruptible=False)
        try:
            return step()
        except WouldBlock:
            pass
