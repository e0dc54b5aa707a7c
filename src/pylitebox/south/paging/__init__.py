"""Guest memory where the kernel manages it: physical pages, what they hold, and the address spaces that show them.

Shared by the platforms that run guests on memory of this process (emulator, and any hypervisor). Nothing here knows
how a guest runs: a platform looks entries up (:attr:`PagedSpace.table`), has them made (:meth:`PagedSpace.touch`), and
is told when what it may have kept of them is stale (:class:`Observer`).
"""

from pylitebox.south.paging.buffer import PagedBuffer
from pylitebox.south.paging.content import PageCache
from pylitebox.south.paging.memory import PagedMemory
from pylitebox.south.paging.physical import PhysicalMemory
from pylitebox.south.paging.space import Fault, Observer, PagedSpace

__all__ = ["Fault", "Observer", "PageCache", "PagedBuffer", "PagedMemory", "PagedSpace", "PhysicalMemory"]
