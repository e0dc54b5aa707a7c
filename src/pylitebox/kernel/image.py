"""What a program's memory looks like before its first instruction: the result of exec, as the platform loads it."""

from dataclasses import dataclass, field

from pylitebox.kernel.platform import MapSource


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mmap(2) with MAP_FIXED: ``source`` None is anonymous memory; sizes and offsets are in bytes."""

    address: int
    size: int
    prot: int
    source: MapSource | None = None
    offset: int = 0


@dataclass(slots=True)
class Image:
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
    sources: list[MapSource] = field(default_factory=list)
