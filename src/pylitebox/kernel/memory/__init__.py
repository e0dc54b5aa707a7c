"""Memory areas. Where the kernel manages memory (a platform's ``delegates_memory`` is False) an address space has a
:class:`~pylitebox.kernel.memory.space.Space`; elsewhere the platform keeps the areas. Who asks for them asks here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.platform import Area, DelegatedThread, Map, Unmap
    from pylitebox.kernel.task import Task


def areas_of(task: Task, *, detailed: bool = False) -> list[Area]:
    """What is mapped in the task's address space, lowest first (:meth:`DelegatedThread.areas`); the list is the
    caller's, and so are its areas."""
    space = task.process.layout.space
    if space is not None:
        return space.snapshot(detailed=detailed)
    return delegated(task).areas(detailed=detailed) if task.thread is not None else []


def delegated(task: Task) -> DelegatedThread:
    """The thread of a task, on a platform that delegates memory; there is one."""
    return cast("DelegatedThread", task.thread)


def change_memory(task: Task, change: Map | Unmap, done: Callable[[int], None] | None = None) -> int | None:
    """See :meth:`pylitebox.kernel.platform.DelegatedThread.change_memory`; the task has a thread."""
    space = task.process.layout.space
    if space is None:
        assert task.thread is not None
        return delegated(task).change_memory(change, done)
    result = space.change(task, change)
    if done is None:
        return result
    done(result)
    return None
