"""Executing programs: execve(2), execveat(2), and :func:`spawn`, by which the supervisor starts a program.

Rules: everything that can fail for the program's sake is known before anything changes (loader.py). Then the platform
is asked for an empty process, the old one is replaced in one step, and the image is loaded; the call has no result.
Set-id bits and file capabilities are ignored, as on a mount with MS_NOSUID.

Missing: AT_EXECVE_CHECK; what loader.py says.
"""

import struct
from collections.abc import Callable, Generator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW
from pylitebox.abi.resource import RLIMIT_STACK
from pylitebox.abi.signal import SIGKILL
from pylitebox.abi.wait import exited, signaled
from pylitebox.kernel import process as processes
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.descriptors import FileTable
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.fs.namespace import Root
from pylitebox.kernel.fs.vfs import Location, location_of_file
from pylitebox.kernel.kernel import Kernel
from pylitebox.kernel.platform import GuestThread, Memory
from pylitebox.kernel.task import Process, Task
from pylitebox.kernel.wait import Blocking, Result, Wait, WaitQueue
from pylitebox.north.linux import stack
from pylitebox.north.linux.args import Address, AtFlags, DirFd, Path
from pylitebox.north.linux.loader import Executable, Program, Waiting, heap_end, prepare, space_limits
from pylitebox.north.linux.table import Full, Partial, syscall

#: Where a name without a slash is looked for if the environment has no PATH (os.defpath).
DEFAULT_PATH = b"/bin:/usr/bin"
#: What a shell exits with for a program that cannot be executed, or was not found.
NOT_EXECUTABLE, NOT_FOUND = 126, 127
_WINDOW = 4096


@syscall("execve", x86_64=59, aarch64=221, support=Full, test="test_exec")
def execve(task: Task, path: Path, argv: Address, envp: Address) -> Result:
    location = ops.resolve(task, path)
    return _exec(task, location, argv, envp, filename=path, name=path.rpartition(b"/")[2])


@syscall("execveat", x86_64=322, aarch64=281, support=Partial("AT_EXECVE_CHECK: EINVAL"), test="test_exec")
def execveat(task: Task, dirfd: DirFd, path: Path, argv: Address, envp: Address, flags: AtFlags) -> Result:
    if flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
        raise KernelError(E.EINVAL)
    if dirfd == AT_FDCWD or path[:1] == b"/":
        follow = not flags & AT_SYMLINK_NOFOLLOW
        location = ops.resolve(task, path, follow=follow)
        return _exec(task, location, argv, envp, filename=path, name=path.rpartition(b"/")[2])
    if not path and not flags & AT_EMPTY_PATH:
        raise KernelError(E.ENOENT)
    file = task.files.get(dirfd)
    if path:
        if file.location is None:
            raise KernelError(E.ENOTDIR)
        location = ops.resolve(task, path, at=file.location, follow=not flags & AT_SYMLINK_NOFOLLOW)
        filename = b"/dev/fd/%d/%s" % (dirfd, path)
    else:
        location = location_of_file(file, task.fs.root.mount)
        filename = b"/dev/fd/%d" % dirfd
    reachable = dirfd not in task.files.cloexec
    return _exec(task, location, argv, envp, filename=filename, name=location.name, reachable=reachable)


def _exec(
    task: Task, location: Location, argv: int, envp: int, *, filename: bytes, name: bytes, reachable: bool = True
) -> Blocking:
    executable = Executable(task, location)
    limit = task.process.rlimits[RLIMIT_STACK][0]
    try:
        arguments = copy_strings(task.memory, argv, stack.argument_limit(limit))
        environ = copy_strings(task.memory, envp, stack.argument_limit(limit))
    except KernelError:
        executable.close()
        raise
    program = prepare(
        task, executable, arguments, environ, filename=filename, name=name, stack_limit=limit, reachable=reachable
    )
    return _replace(task, program)


def _replace(task: Task, preparation: Waiting[Program]) -> Blocking:
    program = yield from preparation
    thread = yield from _new_process(task.kernel, program)
    _enter(task, thread, program)
    return None


def _enter(task: Task, thread: GuestThread, program: Program) -> None:
    """The point of no return."""
    processes.commit_exec(
        task,
        thread,
        name=program.name,
        exe=program.exe,
        argv=program.argv,
        environ=program.environ,
        layout=program.layout(),
    )
    new_space = task.kernel.new_space
    if new_space is not None:
        task.process.layout.space = space = new_space(task.kernel, processes.managed(task).space)
        try:
            space.load(task, program.image)
        except KernelError:
            processes.exit_process(task.process, signaled(SIGKILL))
            return
    layout, rlimits = task.process.layout, task.process.rlimits
    heap = heap_end(rlimits, layout) - layout.brk_start
    thread.load(program.image._replace(limits=space_limits(rlimits, layout), heap=heap))


def _new_process(kernel: Kernel, program: Program) -> Generator[Wait, bool, GuestThread]:
    """Wait for an empty process of the platform; EAGAIN if it has none. Uninterruptible, but the caller may die."""
    queue = WaitQueue()
    answer: list[GuestThread | None] = []
    wanted = True

    def ready(thread: GuestThread | None) -> None:
        if wanted:
            answer.append(thread)
            queue.wake()
        elif thread is not None:
            thread.kill()

    try:
        kernel.platform.new_process(ready)
        while not answer:
            yield Wait(queue, interruptible=False)
        thread = answer.pop()
        if thread is None:
            raise KernelError(E.EAGAIN)
    except BaseException:
        program.close()
        for late in answer:
            if late is not None:
                late.kill()
        raise
    finally:
        wanted = False
    return thread


# -- arguments ------------------------------------------------------------------------------------------------


def copy_strings(memory: Memory, array: int, limit: int) -> list[bytes]:
    """The strings of a NULL-terminated array of pointers (NULL: none); EFAULT, E2BIG beyond ``limit`` bytes."""
    strings: list[bytes] = []
    if not array:
        return strings
    window, start = b"", 0
    for pointer in _pointers(memory, array, limit // 8):
        offset = pointer - start
        end = window.find(b"\0", offset) if 0 <= offset < len(window) else -1
        if end < 0:
            # strings mostly lie side by side: one read fetches many
            start, offset = pointer, 0
            window = memory.read_some(pointer, _WINDOW)
            end = window.find(b"\0")
        string = window[offset:end] if end >= 0 else _long_string(memory, pointer)
        limit -= len(string) + 9
        if limit < 0:
            raise KernelError(E.E2BIG)
        strings.append(string)
    return strings


def _pointers(memory: Memory, array: int, limit: int) -> Generator[int, None, None]:
    """The words of an array up to its NULL; E2BIG if there are more than ``limit``."""
    while True:
        # never beyond the end of the page, behind which nothing need be mapped; nor only part of a word
        size = max((_WINDOW - array % _WINDOW) & ~7, 8)
        words = memory.read(array, size)
        for (word,) in struct.iter_unpack("<Q", words):
            if not word:
                return
            limit -= 1
            if limit < 0:
                raise KernelError(E.E2BIG)
            yield word
        array += size


def _long_string(memory: Memory, pointer: int) -> bytes:
    try:
        return memory.read_cstring(pointer, stack.MAX_ARG_STRLEN)
    except KernelError as error:
        raise KernelError(E.E2BIG if error.errno == E.ENAMETOOLONG else error.errno) from None


# -- the first program of a process tree ----------------------------------------------------------------------


class SpawnRequest(NamedTuple):
    """A program to start. ``executable`` None: argv[0], looked for in the environment's PATH if it has no slash.

    ``files`` are the program's descriptors; a reference to each is taken. ``failed`` is called if the program can't be
    started after all, once :func:`spawn` had returned; the process then ends with status 126 or 127, as in a shell.
    """

    argv: Sequence[bytes]
    environ: Sequence[bytes] = ()
    executable: bytes | None = None
    cwd: bytes = b"/"
    files: Mapping[int, File] = MappingProxyType({})
    cred: Credentials = Credentials()
    umask: int = 0o022
    rlimits: Mapping[int, tuple[int, int]] = MappingProxyType({})
    failed: Callable[[KernelError], None] | None = None


def spawn(kernel: Kernel, request: SpawnRequest) -> Process:
    """Start a program as a child of init; KernelError if it is not there or can't be executed.

    Errors that are known only after waiting for the host come by ``request.failed``.
    """
    namespace = kernel.namespace
    assert namespace is not None
    rlimits = processes.default_rlimits()
    for number, limit in request.rlimits.items():
        rlimits[number] = limit
    fs = namespace.context(request.cwd)
    fs.umask = request.umask
    who = Root(kernel, fs.root, request.cred)
    who.fs = fs
    path, location = _find(who, request)
    preparation = prepare(
        who,
        Executable(who, location),
        list(request.argv),
        list(request.environ),
        filename=path,
        name=path.rpartition(b"/")[2],
        stack_limit=rlimits[RLIMIT_STACK][0],
    )
    program: Program | None = None
    wait: Wait | None = None
    try:
        wait = next(preparation)
    except StopIteration as stop:
        program = stop.value
    try:
        process, task = processes.create(kernel, kernel.init, FileTable(), fs, request.cred, rlimits=rlimits)
    except BaseException:
        preparation.close()
        if program is not None:
            program.close()
        raise
    for fd, file in request.files.items():
        process.files.install_at(fd, file)
    kernel.scheduler.start(task, _start(task, wait, preparation, program, request))
    return process


def _find(who: Root, request: SpawnRequest) -> tuple[bytes, Location]:
    """The program's path and place; as execvp(3): EACCES is remembered while the search goes on, else ENOENT."""
    name = request.executable or (request.argv[0] if request.argv else b"")
    if b"/" in name or not name:
        return name, ops.resolve(who, name)
    search = next((v[5:] for v in request.environ if v.startswith(b"PATH=")), DEFAULT_PATH)
    failure = KernelError(E.ENOENT)
    for folder in search.split(b":"):
        path = folder + b"/" + name if folder else name
        try:
            location = ops.resolve(who, path)
            Executable(who, location).close()
        except KernelError as error:
            if error.errno not in (E.ENOENT, E.ENOTDIR):
                failure = error
            continue
        return path, location
    raise failure


def _start(
    task: Task, wait: Wait | None, preparation: Waiting[Program], program: Program | None, request: SpawnRequest
) -> Blocking:
    """The rest of a start: of a preparation that stands at ``wait``, or that made ``program`` at once."""
    try:
        try:
            while program is None:
                assert wait is not None
                woken = yield wait
                try:
                    wait = preparation.send(woken)
                except StopIteration as stop:
                    program = stop.value
        finally:
            preparation.close()
        thread = yield from _new_process(task.kernel, program)
    except KernelError as error:
        if request.failed is not None:
            request.failed(error)
        status = NOT_FOUND if error.errno == E.ENOENT else NOT_EXECUTABLE
        task.call = None  # this generator, which cannot be closed while it runs
        processes.exit_process(task.process, exited(status))
        return None
    _enter(task, thread, program)
    return None
