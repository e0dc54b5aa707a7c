"""pipe(2) and pipe2(2)."""

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_CLOEXEC, O_DIRECT, O_NONBLOCK
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.pipe import make_pipe
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, OpenFlags
from pylitebox.north.linux.table import Full, Partial, syscall


@syscall("pipe2", x86_64=293, aarch64=59, support=Partial("O_NOTIFICATION_PIPE: EINVAL"))
def pipe2(task: Task, fds: Address, flags: OpenFlags) -> Result:
    if flags & ~(O_CLOEXEC | O_DIRECT | O_NONBLOCK):
        raise KernelError(E.EINVAL)
    files = task.files
    cloexec = bool(flags & O_CLOEXEC)
    reader, writer = make_pipe(task, flags)
    first = files.install(reader, cloexec=cloexec)
    try:
        second = files.install(writer, cloexec=cloexec)
    except KernelError:
        files.close(first)
        raise
    try:
        task.memory.write(fds, first.to_bytes(4, "little") + second.to_bytes(4, "little"))
    except KernelError:
        files.close(first)
        files.close(second)
        raise
    return 0


@syscall("pipe", x86_64=22, aarch64=None, support=Full, test="test_pipe")
def pipe(task: Task, fds: Address) -> Result:
    return pipe2(task, fds, 0)
