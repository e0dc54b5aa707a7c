"""Futexes, where the kernel manages memory: wait, wake, requeue (kernel/futex/; man 2 futex).

A waiter is a parked task, in the list of its key: the address space and the address for a private futex; the content
and the place in it for one in shared memory, so that processes meet wherever they map it. A word is looked at and
waited for in one step, since nothing else runs meanwhile. Each waiter is a thread: their number is bounded.

Missing: priority inheritance (ENOSYS); a wait of relative time that a stop interrupts begins again.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi import futex as fx
from pylitebox.abi.mman import TASK_SIZE
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.wait import ERESTART_RESTARTBLOCK, ERESTARTSYS, Blocking, Wait, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.task import Task

Key = tuple[object, ...]
_WORD = struct.Struct("<I")


class Waiter:
    """``key`` is where it waits; None once it was woken."""

    __slots__ = ("bitset", "key", "queue")

    def __init__(self, key: Key, bitset: int) -> None:
        self.key: Key | None = key
        self.bitset = bitset
        self.queue = WaitQueue()


class Futexes:
    """The waiters of one kernel, those of one key in the order in which they came."""

    def __init__(self) -> None:
        self.waiting: dict[Key, dict[Waiter, None]] = {}

    def add(self, waiter: Waiter, key: Key) -> None:
        waiter.key = key
        self.waiting.setdefault(key, {})[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        key, waiter.key = waiter.key, None
        if key is not None:
            waiters = self.waiting[key]
            del waiters[waiter]
            if not waiters:
                del self.waiting[key]

    def wake(self, key: Key, count: int, bitset: int = fx.FUTEX_BITSET_MATCH_ANY) -> int:
        """Wake up to ``count`` waiters (one at least, as Linux does); how many."""
        woken = 0
        for waiter in tuple(self.waiting.get(key, ())):
            if waiter.bitset & bitset:
                self.remove(waiter)
                waiter.queue.wake()
                woken += 1
                if woken >= count:
                    break
        return woken

    def requeue(self, key: Key, target: Key, wake: int, requeue: int) -> int:
        """Wake the first ``wake`` waiters, let the next ``requeue`` wait at ``target``; how many in all."""
        done = 0
        for waiter in tuple(self.waiting.get(key, ())):
            if done - wake >= requeue:
                break
            self.remove(waiter)
            done += 1
            if done <= wake:
                waiter.queue.wake()
            else:
                self.add(waiter, target)
        return done


def key_of(task: Task, address: int, *, private: bool) -> Key:
    """EINVAL for what is not aligned, EFAULT for what is no address, or not mapped (of a shared one)."""
    if address & 3:
        raise KernelError(E.EINVAL)
    if address > TASK_SIZE - 4:
        raise KernelError(E.EFAULT)
    layout = task.process.layout
    if private:
        return layout, address
    area = layout.space.areas.find(address) if layout.space is not None else None
    if area is None or not area.prot:
        raise KernelError(E.EFAULT)
    if area.shared and area.backing is not None:
        return area.backing.key, area.place(address)
    return layout, address, "shared"


def load(task: Task, address: int) -> int:
    word: int = _WORD.unpack(task.memory.read(address, 4))[0]
    return word


def wait(task: Task, key: Key, address: int, value: int, bitset: int, deadline: int | None) -> Blocking | int:
    """Park until woken; EAGAIN if the word is not ``value``, EINVAL, ETIMEDOUT."""
    if not bitset:
        raise KernelError(E.EINVAL)
    if load(task, address) != value:
        raise KernelError(E.EAGAIN)
    return _wait(task, key, bitset, deadline)


def _wait(task: Task, key: Key, bitset: int, deadline: int | None) -> Blocking:
    futexes = task.kernel.futexes
    waiter = Waiter(key, bitset)
    futexes.add(waiter, key)
    restart = ERESTARTSYS if deadline is None else ERESTART_RESTARTBLOCK
    try:
        while waiter.key is not None:
            woken = yield Wait(waiter.queue, deadline=deadline, restart=restart)
            if not woken and waiter.key is not None:
                raise KernelError(E.ETIMEDOUT)
    finally:
        futexes.remove(waiter)
    return 0


def wake(task: Task, address: int, count: int, *, private: bool, bitset: int = fx.FUTEX_BITSET_MATCH_ANY) -> int:
    if not bitset:
        raise KernelError(E.EINVAL)
    return task.kernel.futexes.wake(key_of(task, address, private=private), count, bitset)


def requeue(
    task: Task, address: int, target: int, wake: int, count: int, *, private: bool, expected: int | None
) -> int:
    """EAGAIN if the word is not ``expected``."""
    if wake < 0 or count < 0:
        raise KernelError(E.EINVAL)
    key, other = key_of(task, address, private=private), key_of(task, target, private=private)
    if expected is not None and load(task, address) != expected:
        raise KernelError(E.EAGAIN)
    return task.kernel.futexes.requeue(key, other, wake, count)


# -- FUTEX_WAKE_OP ----------------------------------------------------------------------------------------------------

_OPERATIONS: tuple[Callable[[int, int], int], ...] = (
    lambda old, arg: arg,
    lambda old, arg: old + arg,
    lambda old, arg: old | arg,
    lambda old, arg: old & ~arg,
    lambda old, arg: old ^ arg,
)
_COMPARISONS: tuple[Callable[[int, int], bool], ...] = (
    lambda old, arg: old == arg,
    lambda old, arg: old != arg,
    lambda old, arg: old < arg,
    lambda old, arg: old <= arg,
    lambda old, arg: old > arg,
    lambda old, arg: old >= arg,
)


def _signed(value: int, bits: int) -> int:
    return (value & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1)


def wake_op(task: Task, address: int, target: int, wake: int, count: int, encoded: int, *, private: bool) -> int:
    """Change the word at ``target``; wake ``wake`` waiters of ``address``, and ``count`` of ``target`` if the word
    was as ``encoded`` says. ENOSYS for what it cannot say."""
    key, other = key_of(task, address, private=private), key_of(task, target, private=private)
    operation, comparison = encoded >> 28 & 7, encoded >> 24 & 15
    argument, against = _signed(encoded >> 12, 12), _signed(encoded, 12)
    if encoded >> 31:
        argument = 1 << (argument & 31)
    if operation >= len(_OPERATIONS):
        raise KernelError(E.ENOSYS)
    old = load(task, target)
    task.memory.write(target, _WORD.pack(_OPERATIONS[operation](old, argument) & 0xFFFFFFFF))
    if comparison >= len(_COMPARISONS):
        raise KernelError(E.ENOSYS)
    futexes = task.kernel.futexes
    woken = futexes.wake(key, wake)
    if _COMPARISONS[comparison](_signed(old, 32), against):
        woken += futexes.wake(other, count)
    return woken
