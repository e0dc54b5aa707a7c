"""Robust futex lists: what a dying thread still holds is marked, so that others may recover it (man 2 get_robust_list,
Documentation/locking/robust-futex-ABI.rst).

The list lives in guest memory and is hostile: it is followed for at most ROBUST_LIST_LIMIT entries, and the first
unreadable word ends it. Where the host owns futexes (``delegates_memory``), nobody but a guest can wake a waiter: each
thread that might wait is kicked instead, its host restarts the wait, and the wait finds the changed word. Where they
are ours, one waiter is woken.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi.futex import FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.futex import wake

if TYPE_CHECKING:
    from pylitebox.kernel.task import Task

ROBUST_LIST_LIMIT = 2048
#: struct robust_list_head: first entry, offset of the futex word in an entry, entry about to be taken or released.
_HEAD = struct.Struct("<QqQ")
_WORD = struct.Struct("<I")
_POINTER = struct.Struct("<Q")
_MASK = (1 << 64) - 1


def exit_robust_list(task: Task) -> None:
    """Mark every robust futex that ``task`` holds; it ends or leaves its address space."""
    head, task.robust_list = task.robust_list, 0
    if not head:
        return
    try:
        entry, offset, pending = _HEAD.unpack(task.memory.read(head, _HEAD.size))
        waiters = False
        pending &= ~1
        for _ in range(ROBUST_LIST_LIMIT):
            address = entry & ~1  # the lowest bit says that it is a PI futex
            if address == head:
                break
            following: int = _POINTER.unpack(task.memory.read(address, 8))[0]
            if address != pending:
                waiters |= _died(task, address + offset & _MASK)
            entry = following
        if pending:
            waiters |= _died(task, pending + offset & _MASK)
    except KernelError:
        return
    if waiters and task.kernel.platform.delegates_memory:
        for other in tuple(task.kernel.tasks.values()):
            if other is not task and other.call is None and not other.exiting:
                task.kernel.kick(other)


def _died(task: Task, address: int) -> bool:
    """Mark one futex if ``task`` holds it; whether someone waits for it."""
    word: int = _WORD.unpack(task.memory.read(address, 4))[0]
    if word & FUTEX_TID_MASK != task.tid:
        return False
    task.memory.write(address, _WORD.pack(word & FUTEX_WAITERS | FUTEX_OWNER_DIED))
    if word & FUTEX_WAITERS and not task.kernel.platform.delegates_memory:
        wake(task, address, 1, private=False)
    return bool(word & FUTEX_WAITERS)
