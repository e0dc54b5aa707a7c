"""From a path to a :class:`~pylitebox.kernel.image.Program`: scripts, ELF files and their interpreters, and where
everything goes in a fresh address space (fs/exec.c, fs/binfmt_elf.c).

Where things go, each at a random page: position-independent programs from 0x555555554000 on, brk up to 1 GiB behind
them, interpreters and static PIE programs in 0x7c..., the stack in 0x7d.... The host's own mmap area lies above. On
platforms that keep what they have translated, code is at the same places in all programs of a sandbox.

Nothing is changed in the caller before all is known to be well; the functions that read files are generators (see
kernel/wait.py), since a host may have to wait for its disk.

Missing: ETXTBSY (a program may be written while it runs), other binary formats (binfmt_misc).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pylitebox.abi import auxv as at
from pylitebox.abi import errno as E
from pylitebox.abi.elf import EHDR, PHDR
from pylitebox.abi.fcntl import O_RDONLY
from pylitebox.abi.inotify import IN_OPEN
from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE, TASK_SIZE, page_up
from pylitebox.abi.resource import RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA
from pylitebox.abi.stat import S_IFLNK, S_IFMT, S_IFREG
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.notify import on_dentry, watched
from pylitebox.kernel.fs.vfs import MS_NOEXEC, Who
from pylitebox.kernel.image import Image, Mapping
from pylitebox.kernel.task import Layout
from pylitebox.kernel.wait import Wait
from pylitebox.north.linux import elf, script, stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.vfs import Location
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import MapSource

#: How much of a file is read at first; most programs have all their headers in it.
_HEAD = 4096
ELF_ET_DYN_BASE = 0x555555554000
_PIE_ROOM = 1 << 40
_LOADER_BASE = 0x7C0000000000
_STACK_BASE = 0x7D0000000000
_ROOM = 1 << 40
_BRK_ROOM = 1 << 30
_MAX_STACK = 1 << 30
#: Limits of address spaces, and what of ours is in each beside the program.
SPACE_LIMITS = (RLIMIT_DATA, RLIMIT_AS)
_OURS = 1 << 20


def space_limits(rlimits: Sequence[tuple[int, int]], layout: Layout) -> tuple[tuple[int, int], ...]:
    """(RLIMIT_*, bytes) of the limits there are. Heap and stack are reserved as a whole, so they come on top of what
    the program may map; the heap has a bound of its own (:func:`heap_end`)."""
    reserved = layout.brk_limit - layout.brk_start + layout.stack[1] - layout.stack[0] + _OURS
    found = ((resource, rlimits[resource][0]) for resource in SPACE_LIMITS)
    return tuple((resource, min(soft + reserved, RLIM_INFINITY)) for resource, soft in found if soft != RLIM_INFINITY)


def heap_end(rlimits: Sequence[tuple[int, int]], layout: Layout) -> int:
    """How far the program break may go."""
    return min(layout.brk_limit, layout.brk_start + min(rlimits[resource][0] for resource in SPACE_LIMITS))
_CLOCK_TICKS = 100
_MAY_EXEC = 1

T = TypeVar("T")
#: A function that may have to wait.
Waiting = Generator[Wait, bool, T]


class Program(NamedTuple):
    """What an exec found: the image, and the facts about it that ps(1) and /proc show."""

    image: Image
    #: comm: the last part of the path that was executed.
    name: bytes
    #: The file that was loaded (for a script its interpreter).
    exe: Location
    argv: list[bytes]
    environ: list[bytes]

    def close(self) -> None:
        """It will not be loaded."""
        for source in self.image.sources:
            source.close()

    def layout(self) -> Layout:
        image, layout = self.image, Layout()
        layout.brk_start = layout.brk = image.brk
        layout.brk_limit = image.brk + image.brk_size
        layout.stack = image.stack
        layout.arg_area = image.arg_area
        layout.env_area = image.env_area
        layout.auxv = image.auxv
        return layout


class _Known(NamedTuple):
    """What the bytes of an ELF file are and say: its first ones, and its headers."""

    head: bytes
    elf: elf.Elf


class Executable:
    """A regular file that the caller may execute, held open, with its first bytes."""

    def __init__(self, who: Who, location: Location) -> None:
        """EACCES; ELOOP for a symbolic link that was not followed."""
        inode = location.inode
        if inode.mode & S_IFMT == S_IFLNK:
            raise KernelError(E.ELOOP)
        if inode.mode & S_IFMT != S_IFREG or location.mount.flags & MS_NOEXEC or not inode.readable_by_policy():
            raise KernelError(E.EACCES)
        ops.permission(who.cred, inode, _MAY_EXEC)
        self.location = location
        self.file = inode.open(O_RDONLY, location)
        self.file.references += 1
        if watched:
            on_dentry(location.dentry, IN_OPEN)
        self.head = b""

    def close(self) -> None:
        self.file.put()

    def known(self) -> _Known | None:
        """What an earlier exec has found out about the same bytes."""
        kept, known = self.location.inode.facts
        if known is None or kept is None or kept != self.location.inode.version():
            return None
        assert isinstance(known, _Known)
        return known

    def read(self, size: int, offset: int) -> Waiting[bytes]:
        """``size`` bytes (which the caller has bounded), fewer only at the end of the file."""
        if offset + size <= len(self.head):
            return self.head[offset : offset + size]
        parts: list[bytes] = []
        while size:
            try:
                part = self.file.pread(size, offset)
            except WouldBlock:
                yield Wait(*self.file.wait_queues(), interruptible=False)
                continue
            if not part:
                break
            parts.append(part)
            size -= len(part)
            offset += len(part)
        return b"".join(parts)

    def map_source(self) -> Waiting[MapSource]:
        """What is mapped of it. A file whose bytes must be brought together for that may have to wait for them."""
        while True:
            try:
                return self.file.map_source()
            except WouldBlock:
                yield Wait(*self.file.wait_queues(), interruptible=False)

    def read_head(self) -> Waiting[bytes]:
        known = self.known()
        self.head = known.head if known is not None else (yield from self.read(_HEAD, 0))
        return self.head


def prepare(
    who: Who,
    executable: Executable,
    argv: list[bytes],
    environ: list[bytes],
    *,
    filename: bytes,
    name: bytes,
    stack_limit: int,
    reachable: bool = True,
) -> Waiting[Program]:
    """Find out what to load. ``filename`` is AT_EXECFN; ``reachable``: a script's interpreter can open it by that.

    ``executable`` is closed in any case, the program is the caller's to load or to close. Errors: man 2 execve.
    """
    argv = argv or [b""]
    depth = 0
    script_name = filename
    try:
        while True:
            stack.check_size(argv, environ, filename, stack_limit)
            head = yield from executable.read_head()
            if not script.is_script(head):
                break
            depth += 1
            if depth > script.MAX_DEPTH:
                raise KernelError(E.ELOOP)
            if not reachable:
                raise KernelError(E.ENOENT)
            path, argument = script.parse(head)
            argv = [path, *([argument] if argument is not None else []), script_name, *argv[1:]]
            script_name = path
            following = Executable(who, ops.resolve(who, path))
            executable.close()
            executable = following
        image = yield from _load(who, executable, argv, environ, filename, stack_limit)
        return Program(image, name, executable.location, argv, environ)
    finally:
        executable.close()


def _parse(executable: Executable) -> Waiting[elf.Elf]:
    known = executable.known()
    if known is not None:
        return known.elf
    version = executable.location.inode.version()
    header = elf.parse_header(executable.head[: EHDR.size])
    table = yield from executable.read(header.table_size, header.phoff)
    parsed = elf.parse(header, table)
    if version is not None and len(table) <= _HEAD:
        executable.location.inode.facts = (version, _Known(executable.head, parsed))
    return parsed


def _load(
    who: Who, executable: Executable, argv: list[bytes], environ: list[bytes], filename: bytes, stack_limit: int
) -> Waiting[Image]:
    program = yield from _parse(executable)
    interpreter: Executable | None = None
    loader: elf.Elf | None = None
    try:
        if program.interp is not None:
            offset, size = program.interp
            path = elf.interpreter_name((yield from executable.read(size, offset)), size)
            interpreter = Executable(who, ops.resolve(who, path))
            if len((yield from interpreter.read_head())) < EHDR.size:
                raise KernelError(E.EIO)
            try:
                loader = yield from _parse(interpreter)
            except KernelError as error:
                raise KernelError(E.ELIBBAD if error.errno == E.ENOEXEC else error.errno) from None
        space = _Space(who.kernel)
        try:
            yield from space.add_program(program, executable)
            if loader is not None and interpreter is not None:
                yield from space.add_interpreter(loader, interpreter)
            return space.finish(argv, environ, filename, who.cred, stack_limit)
        except BaseException:
            for source in space.sources:
                source.close()
            raise
    finally:
        if interpreter is not None:
            interpreter.close()


class _Space:
    """An address space being laid out."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.platform = kernel.platform
        self.loader = elf.Loader()
        self.sources: list[MapSource] = []
        self.program: elf.Elf
        self.bias = 0
        self.entry = 0
        self.interpreter_base = 0
        self._entropy = b""

    def random(self, room: int) -> int:
        """A random multiple of the page size below ``room``."""
        if len(self._entropy) < 8:
            self._entropy = self.platform.random(64)  # for all places: one question is cheaper than five
        chosen, self._entropy = self._entropy[:8], self._entropy[8:]
        return int.from_bytes(chosen, "little") % max(room // PAGE_SIZE, 1) * PAGE_SIZE

    def pick(self, base: int, room: int, size: int, alignment: int = PAGE_SIZE) -> int:
        """A random free place of ``size`` bytes within ``room`` bytes from ``base`` on; ENOMEM."""
        for _ in range(8):
            address = (base + self.random(room - size)) & ~(alignment - 1)
            if size <= room and address >= elf.MMAP_MIN_ADDR and self.free(address, address + size):
                return address
        raise KernelError(E.ENOMEM)

    def pick_for_code(self, which: int, base: int, room: int, file: elf.Elf) -> int:
        """A free place for the program (0) or its interpreter (1); as far as it is free, the same in each address space
        where the kernel has it so (:attr:`Kernel.code_places`)."""
        places = self.kernel.code_places
        if places:
            self._entropy = places[8 * which : 8 * which + 8]
        low, high = file.span
        return self.pick(base, room, high - low, file.alignment) - low

    def free(self, start: int, end: int) -> bool:
        return not self.loader.overlaps(start, end) and self.not_reserved(start, end)

    def not_reserved(self, start: int, end: int) -> bool:
        return all(end <= low or high <= start for low, high in self.platform.reserved)

    def add(self, file: elf.Elf, executable: Executable, bias: int) -> Waiting[None]:
        if not all(self.not_reserved(s.vaddr + bias, s.vaddr + s.memsz + bias) for s in file.segments):
            raise KernelError(E.ENOMEM)
        source = yield from executable.map_source()
        self.sources.append(source)
        if executable.file.location is not None:
            self.kernel.mapped_files.note(source.key(), executable.file.location)
        self.loader.add(file, source, executable.file.stat().size, bias)

    def add_program(self, file: elf.Elf, executable: Executable) -> Waiting[None]:
        if file.header.dynamic:
            base, room = (ELF_ET_DYN_BASE, _PIE_ROOM) if file.interp else (_LOADER_BASE, _ROOM)
            self.bias = self.pick_for_code(0, base, room, file)
        self.program = file
        self.entry = file.header.entry + self.bias
        yield from self.add(file, executable, self.bias)

    def add_interpreter(self, file: elf.Elf, executable: Executable) -> Waiting[None]:
        bias = self.pick_for_code(1, _LOADER_BASE, _ROOM, file) if file.header.dynamic else 0
        self.interpreter_base = bias
        self.entry = file.header.entry + bias
        yield from self.add(file, executable, bias)

    def finish(
        self, argv: list[bytes], environ: list[bytes], filename: bytes, cred: Credentials, stack_limit: int
    ) -> Image:
        entry = self.entry % (1 << 64)
        if entry >= TASK_SIZE:
            raise KernelError(E.EINVAL)
        brk, brk_size = self.place_brk()

        strings = sum(map(len, argv)) + sum(map(len, environ)) + 16 * (len(argv) + len(environ)) + len(filename)
        size = page_up(max(min(stack_limit, _MAX_STACK), strings + stack.ARG_MAX))
        bottom = self.pick(_STACK_BASE, _ROOM, size)
        top = bottom + size
        initial = stack.build(top, argv, environ, filename, self.auxv(cred), self.platform.random(18))
        prot = PROT_READ | PROT_WRITE | (PROT_EXEC if self.program.exec_stack else 0)
        return Image(
            [*self.loader.mappings, Mapping(bottom, size, prot)],
            self.loader.zero,
            [(initial.pointer, initial.data)],
            entry,
            initial.pointer,
            brk,
            brk_size,
            (bottom, top),
            initial.arg_area,
            initial.env_area,
            initial.auxv,
            self.sources,
        )

    def place_brk(self) -> tuple[int, int]:
        """Where brk(2) starts, and how far it may go: a program that is its own loader has it apart from it."""
        alone = self.program.header.dynamic and not self.program.interp
        end = ELF_ET_DYN_BASE if alone else page_up(self.program.span[1] + self.bias)
        brk = end + self.random(_BRK_ROOM)
        if not self.free(end, brk + PAGE_SIZE):
            brk = end
        starts = [m.address for m in self.loader.mappings] + [low for low, _ in self.platform.reserved]
        limit = min([brk + _BRK_ROOM, TASK_SIZE] + [start for start in starts if start >= brk])
        return brk, max(limit - brk, 0)

    def auxv(self, cred: Credentials) -> list[tuple[int, int]]:
        header = self.program.header
        return [
            *self.platform.auxv().items(),
            (at.AT_PAGESZ, PAGE_SIZE),
            (at.AT_CLKTCK, _CLOCK_TICKS),
            (at.AT_PHDR, (self.program.phdr_address() + self.bias) % (1 << 64)),
            (at.AT_PHENT, PHDR.size),
            (at.AT_PHNUM, header.phnum),
            (at.AT_BASE, self.interpreter_base),
            (at.AT_FLAGS, 0),
            (at.AT_ENTRY, (header.entry + self.bias) % (1 << 64)),
            (at.AT_UID, cred.uid),
            (at.AT_EUID, cred.euid),
            (at.AT_GID, cred.gid),
            (at.AT_EGID, cred.egid),
            (at.AT_SECURE, int(cred.uid != cred.euid or cred.gid != cred.egid)),
        ]
