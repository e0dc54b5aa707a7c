"""ELF files as Linux's fs/binfmt_elf.c sees them: parsing, and where each part of a program is mapped.

Everything here is arithmetic over bytes and numbers that come from a guest: nothing is read, mapped or allocated by
the sizes that a file claims. A malformed file is a KernelError:

- ENOEXEC for what Linux does not take for an ELF program of this machine (ELIBBAD for its interpreter);
- EINVAL or ENOMEM for what Linux finds out only behind the point of no return, where it kills the process with
  SIGSEGV. We know before, so the exec fails and the caller lives on.

As on Linux the class and byte order of e_ident are not looked at (e_machine and e_phentsize say it), section headers
do not matter, AT_PHDR is the loaded segment that holds the table (PT_PHDR is ignored), bss pages are writable whatever
the segment says, and a later segment replaces what an earlier one mapped in its pages.

Missing: PT_GNU_PROPERTY (no CET), ELF-32 (i386, x32).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pylitebox.abi import errno as E
from pylitebox.abi.elf import (
    EHDR,
    ELFMAG,
    EM_X86_64,
    ET_DYN,
    ET_EXEC,
    PF_R,
    PF_W,
    PF_X,
    PHDR,
    PT_GNU_STACK,
    PT_INTERP,
    PT_LOAD,
)
from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE, TASK_SIZE, page_down, page_up
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.image import Mapping

if TYPE_CHECKING:
    from pylitebox.kernel.platform import MapSource

#: Linux reads no more program headers than these bytes (load_elf_phdrs).
MAX_PHDRS_SIZE = 65536
PATH_MAX = 4096
#: vm.mmap_min_addr: no program part may lie below.
MMAP_MIN_ADDR = 65536
_MAX_OFFSET = (1 << 63) - 1


class Header(NamedTuple):
    """The ELF header's facts. ``dynamic`` says that it can be loaded anywhere (ET_DYN)."""

    dynamic: bool
    entry: int
    phoff: int
    phnum: int

    @property
    def table_size(self) -> int:
        """Bytes of the program header table, which lies at ``phoff``."""
        return self.phnum * PHDR.size


class Segment(NamedTuple):
    """One PT_LOAD program header."""

    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int
    align: int

    @property
    def prot(self) -> int:
        prot = PROT_READ if self.flags & PF_R else 0
        if self.flags & PF_W:
            prot |= PROT_WRITE
        if self.flags & PF_X:
            prot |= PROT_EXEC
        return prot


class Part(NamedTuple):
    """What a segment makes of an address space, before relocation: pages of the file, pages of zeros (``offset`` None),
    or, with ``prot`` None, bytes to clear behind what page ``offset`` of the file gave."""

    address: int
    size: int
    prot: int | None
    offset: int | None


class Elf:
    """A parsed file, and what follows from it for every process that loads it. Addresses are before relocation.

    ``interp`` is (offset, size) of the interpreter's name; ``exec_stack``: PT_GNU_STACK wants it. ``span``: from the
    first page to the last byte of all segments (total_mapping_size). ``alignment``: the largest p_align that is a power
    of two, at least a page (maximum_alignment). ``phdr_address``: where the program headers are in memory; 0 if in no
    segment; the last one counts. ``parts``: what to map and clear, in the order in which Linux does it (elf_load)."""

    __slots__ = ("alignment", "exec_stack", "header", "interp", "parts", "phdr_address", "segments", "span")

    def __init__(
        self, header: Header, segments: list[Segment], interp: tuple[int, int] | None, *, exec_stack: bool
    ) -> None:
        self.header = header
        self.segments = segments
        self.interp = interp
        self.exec_stack = exec_stack
        self.span = min(page_down(s.vaddr) for s in segments), max(s.vaddr + s.memsz for s in segments)
        self.alignment = max(PAGE_SIZE, *(s.align for s in segments if s.align & (s.align - 1) == 0), 0)
        self.phdr_address = 0
        for s in segments:
            if s.offset <= header.phoff < s.offset + s.filesz:
                self.phdr_address = header.phoff - s.offset + s.vaddr
        self.parts = [part for s in segments if s.memsz for part in _parts(s)]


def parse_header(head: bytes, *, machine: int = EM_X86_64) -> Header:
    """The header at the start of a file; ENOEXEC if it is no program for ``machine``."""
    if len(head) < EHDR.size or not head.startswith(ELFMAG):
        raise KernelError(E.ENOEXEC)
    _, kind, e_machine, _, entry, phoff, _, _, _, phentsize, phnum, _, _, _ = EHDR.unpack_from(head)
    if kind not in (ET_EXEC, ET_DYN) or e_machine != machine or phentsize != PHDR.size:
        raise KernelError(E.ENOEXEC)
    if not 0 < phnum * PHDR.size <= MAX_PHDRS_SIZE or phoff > _MAX_OFFSET - MAX_PHDRS_SIZE:
        raise KernelError(E.ENOEXEC)
    return Header(kind == ET_DYN, entry, phoff, phnum)


def parse(header: Header, table: bytes) -> Elf:
    """The program headers; ENOEXEC if the table or the interpreter's name is not as it should be.

    Segments that cannot be loaded are EINVAL.
    """
    if len(table) != header.table_size:
        raise KernelError(E.ENOEXEC)
    segments: list[Segment] = []
    interp: tuple[int, int] | None = None
    exec_stack = False
    for kind, flags, offset, vaddr, _, filesz, memsz, align in PHDR.iter_unpack(table):
        if kind == PT_LOAD:
            segment = Segment(flags, offset, vaddr, filesz, memsz, align)
            _check(segment)
            segments.append(segment)
        elif kind == PT_INTERP and interp is None:
            if not 2 <= filesz <= PATH_MAX or offset > _MAX_OFFSET - PATH_MAX:
                raise KernelError(E.ENOEXEC)
            interp = (offset, filesz)
        elif kind == PT_GNU_STACK:
            exec_stack = bool(flags & PF_X)
    if not segments:
        raise KernelError(E.EINVAL)
    return Elf(header, segments, interp, exec_stack=exec_stack)


def interpreter_name(raw: bytes, size: int) -> bytes:
    """The name in PT_INTERP; EIO if the file ended first, ENOEXEC if it is not terminated."""
    if len(raw) != size:
        raise KernelError(E.EIO)
    if raw[-1]:
        raise KernelError(E.ENOEXEC)
    return raw[: raw.index(0)]


def _check(s: Segment) -> None:
    """A segment must fit the address space, and its file part a mapping; EINVAL."""
    if s.filesz > s.memsz or s.memsz > TASK_SIZE or s.vaddr > TASK_SIZE - s.memsz:
        raise KernelError(E.EINVAL)
    if s.filesz and ((s.offset - s.vaddr) % PAGE_SIZE or s.offset > _MAX_OFFSET - TASK_SIZE):
        raise KernelError(E.EINVAL)


def _parts(s: Segment) -> Iterator[Part]:
    """What one segment wants mapped and cleared."""
    file_end, first = s.vaddr + s.filesz, page_down(s.vaddr)
    bss = page_up(file_end) if s.filesz else first
    if s.filesz:
        yield Part(first, bss - first, s.prot, page_down(s.offset))
    if s.memsz > s.filesz:
        # Linux clears to the end of the last page, and gives up silently where the segment is not writable.
        if bss > file_end and s.prot & PROT_WRITE:
            yield Part(file_end, bss - file_end, None, page_down(s.offset + s.filesz))
        if (end := page_up(s.vaddr + s.memsz)) > bss:
            yield Part(bss, end - bss, PROT_READ | PROT_WRITE | (s.prot & PROT_EXEC), None)


class Loader:
    """Collects the mappings of a program and its interpreter, in the order in which Linux makes them."""

    def __init__(self) -> None:
        self.mappings: list[Mapping] = []
        #: (address, size) to clear once everything is mapped, in order of address.
        self.zero: list[tuple[int, int]] = []

    def add(self, elf: Elf, source: MapSource, size: int, bias: int) -> None:
        """Map all segments of a file of ``size`` bytes, ``bias`` above their addresses (elf_load); EINVAL, ENOMEM."""
        mappings, zero = self.mappings, self.zero
        for address, length, prot, offset in elf.parts:
            start = address + bias
            if start < MMAP_MIN_ADDR or start + length > TASK_SIZE:
                raise KernelError(E.ENOMEM)
            if prot is None:
                if offset is not None and offset >= size:
                    raise KernelError(E.EINVAL)  # the file has no such page: Linux would fault on it
                insort(zero, (start, length))
                continue
            if zero:
                # A range to clear lies within one page: what a later mapping covers need not be cleared.
                del zero[bisect_left(zero, (start, 0)) : bisect_left(zero, (start + length, 0))]
            mappings.append(Mapping(start, length, prot, None if offset is None else source, offset or 0))

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any mapping touches start..end."""
        return any(m.address < end and start < m.address + m.size for m in self.mappings)
