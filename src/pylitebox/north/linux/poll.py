"""poll(2), ppoll(2), select(2), pselect6(2).

What is waited for is in kernel/poll.py; here the arrays are imported, bounded by RLIMIT_NOFILE, and exported. A call
that finds something ready at once costs no parked state.

Restarts are Linux's: poll is ERESTART_RESTARTBLOCK, the others ERESTARTNOHAND; ppoll and pselect6 leave their mask
in force until the handler runs, and give it back before they return anything else.
"""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import O_PATH
from pylitebox.abi.poll import (
    POLLERR,
    POLLFD,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLPRI,
    POLLRDBAND,
    POLLRDNORM,
    POLLWRBAND,
    POLLWRNORM,
)
from pylitebox.abi.time import NSEC_PER_SEC, TIMESPEC, TIMEVAL
from pylitebox.kernel import poll as polling
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.file import File
from pylitebox.kernel.signals import masked
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import ERESTART_RESTARTBLOCK, ERESTARTNOHAND, Blocking, Interrupted, Result
from pylitebox.north.linux.args import Address, Int, Size, UInt
from pylitebox.north.linux.lookup import opened
from pylitebox.north.linux.table import Full, Partial, syscall

_READ_SET = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR | POLLNVAL
_WRITE_SET = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR | POLLNVAL
_EXCEPT_SET = POLLPRI | POLLNVAL
_SETS = (_READ_SET, _WRITE_SET, _EXCEPT_SET)
_SIGSET_SIZE = 8
#: What pselect6's last argument points to: the mask's address and size.
_MASK_ARGUMENT = struct.Struct("<QQ")


# -- times and masks ----------------------------------------------------------------------------------------------


class Limit:
    """How long a call may wait: ``deadline`` in monotonic ns; None: for ever; ``now``: not at all."""

    __slots__ = ("_address", "_layout", "_unit", "deadline", "now")

    def __init__(self, task: Task, duration: int | None, address: int = 0, *, unit: int = 1) -> None:
        """``duration`` in ns. The time left is stored at ``address`` in the end, as seconds and ``unit``s of ns."""
        self.now = duration == 0
        self.deadline = None if duration is None else task.kernel.now() + duration
        self._address = address
        self._unit = unit

    def store(self, task: Task) -> bool:
        """Store the time that is left; False if memory refuses, which fails no call but forbids its restart."""
        if self.deadline is None or self.now or not self._address:
            return True
        left = max(0, self.deadline - task.kernel.now())
        try:
            task.memory.write(self._address, TIMESPEC.pack(left // NSEC_PER_SEC, left % NSEC_PER_SEC // self._unit))
        except KernelError:
            return False
        return True


def timespec_limit(task: Task, address: int, *, update: bool = True) -> Limit:
    """A limit from a struct timespec, or none for a null pointer; EINVAL."""
    if not address:
        return Limit(task, None)
    seconds, nanoseconds = TIMESPEC.unpack(task.memory.read(address, 16))
    if seconds < 0 or not 0 <= nanoseconds < NSEC_PER_SEC:
        raise KernelError(E.EINVAL)
    return Limit(task, seconds * NSEC_PER_SEC + nanoseconds, address if update else 0)


def _timeval_limit(task: Task, address: int) -> Limit:
    """As select(2) reads its struct timeval: microseconds beyond a second are carried."""
    if not address:
        return Limit(task, None)
    seconds, microseconds = TIMEVAL.unpack(task.memory.read(address, 16))
    duration = seconds * NSEC_PER_SEC + microseconds * 1000
    if seconds < 0 or microseconds < 0:
        raise KernelError(E.EINVAL)
    return Limit(task, duration, address, unit=1000)


def read_mask(task: Task, address: int, size: int) -> int | None:
    """A signal mask that a call sets while it waits; None for a null pointer."""
    if not address:
        return None
    if size != _SIGSET_SIZE:
        raise KernelError(E.EINVAL)
    return int.from_bytes(task.memory.read(address, 8), "little")


def _finish(task: Task, limit: Limit, call: Blocking) -> Blocking:
    """Run a call and store the time left (linux/fs/select.c: poll_select_finish)."""
    try:
        result = yield from call
    except Interrupted:
        if not limit.store(task):
            raise Interrupted(E.EINTR) from None
        raise
    except KernelError:
        limit.store(task)
        raise
    limit.store(task)
    return result


# -- poll ---------------------------------------------------------------------------------------------------------


def _polled(task: Task, fd: int) -> File | int:
    """What to poll: the file, or POLLNVAL where none is open."""
    file = task.files.files.get(fd)
    return POLLNVAL if file is None or file.flags & O_PATH else file


class _PollSet:
    """The array of struct pollfd of one call."""

    def __init__(self, task: Task, address: int, count: int) -> None:
        if count > task.files.limit:
            raise KernelError(E.EINVAL)
        self._task = task
        self._address = address
        raw = task.memory.read(address, POLLFD.size * count) if count else b""
        self._fds = list(POLLFD.iter_unpack(raw))
        self.entries: list[polling.Entry] = [
            (0 if fd < 0 else _polled(task, fd), events | POLLERR | POLLHUP) for fd, events, _ in self._fds
        ]

    def store(self, answers: list[int]) -> int:
        """Export the answers; how many are not zero."""
        if answers:
            pairs = zip(self._fds, answers, strict=True)
            array = b"".join([POLLFD.pack(fd, events, answer) for (fd, events, _), answer in pairs])
            self._task.memory.write(self._address, array)
        return len(answers) - answers.count(0)

    def later(self, deadline: int | None, restart: int) -> Blocking:
        answers = yield from polling.wait(self.entries, deadline, restart)
        return self.store(answers)


def _poll(task: Task, pollset: _PollSet, limit: Limit, restart: int, *, masks: bool = False) -> Result:
    answers = polling.scan(pollset.entries)
    if any(answers) or (limit.now and not masks):  # a signal that the mask lets in goes before a time-out
        return pollset.store(answers)
    return pollset.later(limit.deadline, restart)


@syscall(
    "poll",
    x86_64=7,
    aarch64=None,
    support=Partial("the whole array is written back: changes that another thread makes during the call are lost"),
)
def poll(task: Task, fds: Address, nfds: UInt, timeout: Int) -> Result:
    pollset = _PollSet(task, fds, nfds)
    return _poll(task, pollset, Limit(task, None if timeout < 0 else timeout * 1_000_000), ERESTART_RESTARTBLOCK)


@syscall("ppoll", x86_64=271, aarch64=73, support=Partial("as poll"))
def ppoll(task: Task, fds: Address, nfds: UInt, tmo: Address, sigmask: Address, sigsetsize: Size) -> Result:
    limit = timespec_limit(task, tmo)
    mask = read_mask(task, sigmask, sigsetsize)
    pollset = _PollSet(task, fds, nfds)
    result = _poll(task, pollset, limit, ERESTARTNOHAND, masks=mask is not None)
    if isinstance(result, int):
        limit.store(task)
        return result
    assert result is not None
    call = _finish(task, limit, result)
    return call if mask is None else masked(task, mask, call)


# -- select -------------------------------------------------------------------------------------------------------


def _table_size(task: Task) -> int:
    """The size of Linux's descriptor table for what is open (linux/fs/file.c: alloc_fdtable): select(2) ignores
    descriptors beyond it."""
    highest = max(task.files.files, default=0)
    size = 64
    while size <= highest:
        size = 256 if size == 64 else size * 2
    return size


class _Selection:
    """The three sets of one select call."""

    def __init__(self, task: Task, count: int, addresses: tuple[int, int, int]) -> None:
        if count < 0:
            raise KernelError(E.EINVAL)
        count = min(count, _table_size(task))
        self._task = task
        self._addresses = addresses
        self._size = (count + 63) // 64 * 8
        within = (1 << count) - 1
        memory, size = task.memory, self._size
        sets = [int.from_bytes(memory.read(a, size), "little") & within if a and size else 0 for a in addresses]
        self._members: list[tuple[int, tuple[bool, ...]]] = []  # a descriptor's bit and the sets it is in
        self.entries: list[polling.Entry] = []
        asked = sets[0] | sets[1] | sets[2]
        while asked:
            bit = asked & -asked
            asked ^= bit
            file = opened(task, bit.bit_length() - 1)
            inside = tuple(bool(members & bit) for members in sets)
            events = 0
            for wanted, member in zip(_SETS, inside, strict=True):
                events |= wanted if member else 0
            self._members.append((bit, inside))
            self.entries.append((file, events))

    def store(self, answers: list[int]) -> int:
        """Export the sets; how many bits are set in all of them."""
        sets = [0, 0, 0]
        count = 0
        for (bit, inside), answer in zip(self._members, answers, strict=True):
            for i, wanted in enumerate(_SETS):
                if inside[i] and answer & wanted:
                    sets[i] |= bit
                    count += 1
        if self._size:
            for address, members in zip(self._addresses, sets, strict=True):
                if address:
                    self._task.memory.write(address, members.to_bytes(self._size, "little"))
        return count

    def later(self, deadline: int | None) -> Blocking:
        answers = yield from polling.wait(self.entries, deadline, ERESTARTNOHAND)
        return self.store(answers)


def _select(task: Task, selection: _Selection, limit: Limit, mask: int | None) -> Result:
    answers = polling.scan(selection.entries)
    if any(answers) or (limit.now and mask is None):
        result = selection.store(answers)
        limit.store(task)
        return result
    call = _finish(task, limit, selection.later(limit.deadline))
    return call if mask is None else masked(task, mask, call)


@syscall("select", x86_64=23, aarch64=None, support=Full, test="test_select")
def select(task: Task, nfds: Int, readfds: Address, writefds: Address, exceptfds: Address, timeout: Address) -> Result:
    limit = _timeval_limit(task, timeout)
    return _select(task, _Selection(task, nfds, (readfds, writefds, exceptfds)), limit, None)


@syscall("pselect6", x86_64=270, aarch64=72, support=Full, test="test_select")
def pselect6(
    task: Task, nfds: Int, readfds: Address, writefds: Address, exceptfds: Address, timeout: Address, sigmask: Address
) -> Result:
    mask = None
    if sigmask:
        address, size = _MASK_ARGUMENT.unpack(task.memory.read(sigmask, _MASK_ARGUMENT.size))
        mask = read_mask(task, address, size)
    limit = timespec_limit(task, timeout)
    return _select(task, _Selection(task, nfds, (readfds, writefds, exceptfds)), limit, mask)
