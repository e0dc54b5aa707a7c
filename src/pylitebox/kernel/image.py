"""What a program's memory looks like before its first instruction: the result of exec, as the platform loads it."""

from collections.abc import Sequence
from typing import NamedTuple

from pylitebox.kernel.platform import MapSource


class Mapping(NamedTuple):
    """One mmap(2) with MAP_FIXED: ``source`` None is anonymous memory; sizes and offsets are in bytes."""

    address: int
    size: int
    prot: int
    source: MapSource | None = None
    offset: int = 0


class Image(NamedTuple):
    """Addresses are absolute; everything is page-aligned but ``zero`` and ``data``."""

    mappings: list[Mapping]
    #: (address, size) to clear after mapping: the part of a page behind a segment's file content.
    zero: list[tuple[int, int]]
    #: (address, bytes) to write after that: the initial stack.
    data: list[tuple[int, bytes]]
    #: First instruction and initial stack pointer.
    entry: int
    stack_pointer: int
    #: Where brk(2) starts, and how many bytes are reserved for it.
    brk: int
    brk_size: int
    #: The stack's mapping, for /proc/PID/maps and limits.
    stack: tuple[int, int] = (0, 0)
    #: Addresses of the argument and environment strings and of the auxiliary vector: start, end.
    arg_area: tuple[int, int] = (0, 0)
    env_area: tuple[int, int] = (0, 0)
    auxv: bytes = b""
    #: MapSources opened for this image; closed once it is loaded.
    sources: Sequence[MapSource] = ()
    #: (RLIMIT_*, bytes) of the new address space, where there are any; and how many bytes brk(2) may take then.
    limits: Sequence[tuple[int, int]] = ()
    heap: int = 0
