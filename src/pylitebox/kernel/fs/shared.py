"""The in-memory files that hold a shared buffer, and taking buffers back when the host's descriptors run out.

A file moves into a buffer when it is first mapped, and a buffer is a descriptor of the host. Whether a guest still maps
it is the platform's knowledge: guests unmap without us. So nobody asks until there are too many; then the areas of all
processes are looked through, once, and each small file that none of them maps goes back into chunks.
Large files are few, since memory is bounded; they keep their buffers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.memory import delegated

if TYPE_CHECKING:
    from pylitebox.kernel.fs.content import Content
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import SharedBuffer

#: The largest file that is taken back, bytes: copying it must not be felt.
SMALL = 1 << 20
#: Areas that are looked through at the most, and how long it is not tried again when little came of it, ns.
MAX_AREAS, PAUSE_NS = 1 << 17, 10**9


class SharedContents:
    """Of one kernel. Nothing here keeps a file alive."""

    def __init__(self) -> None:
        self._contents: WeakSet[Content] = WeakSet()
        self._not_before = 0

    def share(self, kernel: Kernel, content: Content, name: str) -> SharedBuffer:
        """:meth:`Content.share`, after taking buffers back if there are too many of them; ENFILE, ENOSPC."""
        if content.shared is not None:
            return content.shared
        try:
            buffer = content.share(kernel.platform, name)
        except KernelError as error:
            if error.errno != E.ENFILE or not self._take_back(kernel):
                raise
            buffer = content.share(kernel.platform, name)
        self._contents.add(content)
        return buffer

    def _take_back(self, kernel: Kernel) -> bool:
        """Whether any file was taken back."""
        if kernel.now() < self._not_before:
            return False
        before = len(self._contents)
        mapped = _mapped(kernel)
        if mapped is not None:
            for content in list(self._contents):
                buffer = content.shared
                if buffer is None or (content.size <= SMALL and buffer.users == 1 and buffer.key() not in mapped):
                    content.unshare()
                    self._contents.discard(content)
        if len(self._contents) > before // 2:
            self._not_before = kernel.now() + PAUSE_NS
        return len(self._contents) < before


def _mapped(kernel: Kernel) -> set[tuple[int, int]] | None:
    """The keys of all that is mapped in any process; None if that is too much to look through."""
    keys: set[tuple[int, int]] = set()
    seen = 0
    if kernel.new_space is not None:
        return keys  # what is mapped has more than one user (kernel/memory/sources.py)
    for process in kernel.processes.values():
        task = next((task for task in process.tasks.values() if task.thread is not None), None)
        for area in delegated(task).areas() if task is not None else ():
            if area.source is not None:
                keys.add(area.source)
            seen += 1
        if seen > MAX_AREAS:
            return None
    return keys
