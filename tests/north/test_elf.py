"""The ELF loader: against pyelftools over the machine's programs, against fs/binfmt_elf.c's rules one by one, and
against the host's kernel with broken files."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pylitebox.abi import errno as E
from pylitebox.abi import signal as sg
from pylitebox.abi.elf import EHDR, ET_DYN, PF_R, PF_W, PF_X, PHDR, PT_GNU_STACK, PT_INTERP, PT_LOAD
from pylitebox.abi.mman import PROT_EXEC, PROT_READ, PROT_WRITE, TASK_SIZE
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.image import Mapping
from pylitebox.north.linux import elf
from pylitebox.south.mock.host import MockBuffer
from tests.north.conftest import UID
from tests.north.elfs import TEXT, ElfFile, Phdr

RW = PROT_READ | PROT_WRITE
PAGE = 0x1000
SOURCE = MockBuffer("elf")


def parse(data: bytes) -> elf.Elf:
    header = elf.parse_header(data)
    return elf.parse(header, data[header.phoff : header.phoff + header.table_size])


def load(*phdrs: Phdr, bias: int = 0, size: int = 1 << 20) -> elf.Loader:
    loader = elf.Loader()
    loader.add(parse(ElfFile(list(phdrs)).pack()), SOURCE, size, bias)
    return loader


def errno_of(data: bytes, size: int | None = None) -> int:
    """What loading a file at a fixed place fails with; 0."""
    try:
        program = parse(data)
        if program.interp:
            offset, length = program.interp
            elf.interpreter_name(data[offset : offset + length], length)
        bias = 0x555555554000 - program.span[0] if program.header.dynamic else 0
        elf.Loader().add(program, SOURCE, len(data) if size is None else size, bias)
    except KernelError as error:
        return error.errno
    return 0


# -- the machine's programs -----------------------------------------------------------------------------------


def programs() -> list[Path]:
    found = []
    folder = Path("/usr/bin")
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and os.access(path, os.R_OK):
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    found.append(path)
    return found[:: max(len(found) // 60, 1)]


@pytest.mark.parametrize("path", programs(), ids=lambda path: path.name)
def test_programs_of_this_machine(path: Path) -> None:
    data = path.read_bytes()
    with path.open("rb") as file:
        oracle = ELFFile(file)
        if oracle.elfclass != 64 or oracle["e_machine"] != "EM_X86_64":
            assert errno_of(data) == E.ENOEXEC
            return
        program = parse(data)
        assert program.header.entry == oracle["e_entry"]
        assert program.header.dynamic == (oracle["e_type"] == "ET_DYN")
        assert program.header.phnum == oracle.num_segments()
        loads = [s.header for s in oracle.iter_segments("PT_LOAD")]
        assert [(s.flags, s.offset, s.vaddr, s.filesz, s.memsz, s.align) for s in program.segments] == [
            (h.p_flags, h.p_offset, h.p_vaddr, h.p_filesz, h.p_memsz, h.p_align) for h in loads
        ]
        interpreters = [s.get_interp_name().encode() for s in oracle.iter_segments("PT_INTERP")]
        assert bool(interpreters) == (program.interp is not None)
        if program.interp:
            offset, size = program.interp
            assert elf.interpreter_name(data[offset : offset + size], size) == interpreters[0]
        for phdr in oracle.iter_segments("PT_PHDR"):
            assert program.phdr_address == phdr.header.p_vaddr
        stacks = [s.header.p_flags for s in oracle.iter_segments("PT_GNU_STACK")]
        assert program.exec_stack == any(flags & PF_X for flags in stacks)

        loader = elf.Loader()
        loader.add(program, SOURCE, len(data), bias=0x10000000 if program.header.dynamic else 0)
    assert_image(loader, data, loads, 0x10000000 if program.header.dynamic else 0)


def assert_image(loader: elf.Loader, data: bytes, loads: list, bias: int) -> None:
    """Build the memory page by page, as a platform would, and compare it with what the segments ask for."""
    memory: dict[int, bytearray] = {}
    for mapping in loader.mappings:
        for at in range(0, mapping.size, PAGE):
            page = bytearray(PAGE)
            if mapping.source is not None:
                part = data[mapping.offset + at : mapping.offset + at + PAGE]
                page[: len(part)] = part
            memory[mapping.address + at] = page
    for address, size in loader.zero:
        memory[address & -PAGE][address % PAGE : address % PAGE + size] = bytes(size)
    for h in loads:
        want = data[h.p_offset : h.p_offset + h.p_filesz].ljust(h.p_memsz, b"\0")
        start = h.p_vaddr + bias
        have = b"".join(bytes(memory[p]) for p in range(start & -PAGE, start + h.p_memsz, PAGE))
        assert have[start % PAGE : start % PAGE + h.p_memsz] == want


# -- the rules ------------------------------------------------------------------------------------------------


def test_a_segment_is_mapped_by_whole_pages_of_the_file() -> None:
    loader = load(Phdr(offset=0x1234, vaddr=TEXT + 0x234, filesz=0x100, memsz=0x100))
    assert loader.mappings == [Mapping(TEXT, PAGE, PROT_READ | PROT_EXEC, SOURCE, 0x1000)]
    assert loader.zero == []


def test_bss_in_the_last_page_is_cleared_to_its_end() -> None:
    loader = load(Phdr(flags=PF_R | PF_W, offset=0x1000, filesz=0x234, memsz=0x300))
    assert loader.mappings == [Mapping(TEXT, PAGE, RW, SOURCE, 0x1000)]
    assert loader.zero == [(TEXT + 0x234, PAGE - 0x234)]


def test_bss_behind_the_last_page_is_anonymous_and_writable() -> None:
    loader = load(Phdr(flags=PF_R | PF_W, offset=0x1000, filesz=0x234, memsz=0x3001))
    assert loader.mappings[1:] == [Mapping(TEXT + PAGE, 3 * PAGE, RW)]


def test_bss_of_a_read_only_segment_is_writable_and_its_partial_page_stays() -> None:
    loader = load(Phdr(flags=PF_R | PF_X, filesz=0x234, memsz=0x2000))
    assert loader.mappings[1:] == [Mapping(TEXT + PAGE, PAGE, RW | PROT_EXEC)]
    assert loader.zero == []


def test_a_segment_without_file_content_is_anonymous() -> None:
    loader = load(Phdr(flags=PF_R, vaddr=TEXT + 0x10, offset=0x777, filesz=0, memsz=0x1000))
    assert loader.mappings == [Mapping(TEXT, 2 * PAGE, RW)]


def test_an_empty_segment_maps_nothing() -> None:
    assert load(Phdr(), Phdr(filesz=0, memsz=0, vaddr=0)).mappings[1:] == []


def test_a_later_segment_replaces_an_earlier_ones_page_and_what_was_to_be_cleared_in_it() -> None:
    data = Phdr(flags=PF_R | PF_W, offset=0x1000, filesz=0x234, memsz=0x300)
    loader = load(data, Phdr(vaddr=TEXT + 0x400, offset=0x2400, filesz=0x100, memsz=0x100))
    assert [m.address for m in loader.mappings] == [TEXT, TEXT]
    assert loader.zero == []


def test_what_is_cleared_stays_if_later_segments_lie_beside_it() -> None:
    data = Phdr(flags=PF_R | PF_W, vaddr=TEXT + PAGE, offset=0x1000, filesz=0x234, memsz=0x300)
    loader = load(data, Phdr(), Phdr(vaddr=TEXT + 2 * PAGE, offset=0x2000))
    assert loader.zero == [(TEXT + PAGE + 0x234, PAGE - 0x234)]


def test_only_load_segments_are_loaded() -> None:
    assert len(load(Phdr(), Phdr(kind=6), Phdr(kind=0x70000001, vaddr=3, offset=9)).mappings) == 1


def test_the_last_gnu_stack_counts() -> None:
    stacks = [Phdr(kind=PT_GNU_STACK, flags=PF_R | PF_W | PF_X), Phdr(kind=PT_GNU_STACK, flags=PF_R | PF_W)]
    assert not parse(ElfFile([Phdr(), *stacks]).pack()).exec_stack
    assert parse(ElfFile([Phdr(), *reversed(stacks)]).pack()).exec_stack
    assert not parse(ElfFile([Phdr()]).pack()).exec_stack


def test_the_program_headers_are_where_a_segment_holds_them() -> None:
    assert parse(ElfFile([Phdr()]).pack()).phdr_address == TEXT + 64
    assert parse(ElfFile([Phdr(offset=0x1000)]).pack()).phdr_address == 0


def test_alignment_is_the_largest_power_of_two() -> None:
    assert parse(ElfFile([Phdr(align=0x200000), Phdr(align=0x300000), Phdr(align=0)]).pack()).alignment == 0x200000
    assert parse(ElfFile([Phdr(align=8)]).pack()).alignment == PAGE


def test_the_first_interpreter_counts() -> None:
    one, two = Phdr(kind=PT_INTERP, offset=0x900, filesz=8), Phdr(kind=PT_INTERP, offset=0xA00, filesz=9)
    assert parse(ElfFile([Phdr(), one, two]).pack()).interp == (0x900, 8)


@pytest.mark.parametrize(
    ("name", "errno"),
    [(b"/lib/ld\0", 0), (b"/lib\0ld\0", 0), (b"/lib/ld", E.ENOEXEC), (b"", E.EIO), (b"/lib/l", E.EIO)],
)
def test_interpreter_names(name: bytes, errno: int) -> None:
    size = 8 if errno in {0, E.EIO} else len(name)
    if errno:
        with pytest.raises(KernelError) as caught:
            elf.interpreter_name(name, size)
        assert caught.value.errno == errno
    else:
        assert elf.interpreter_name(name, size) == name.partition(b"\0")[0]


BIG = 1 << 63


@pytest.mark.parametrize(
    ("file", "errno"),
    [
        (ElfFile(kind=1), E.ENOEXEC),
        (ElfFile(kind=4), E.ENOEXEC),
        (ElfFile(machine=3), E.ENOEXEC),
        (ElfFile(phentsize=32), E.ENOEXEC),
        (ElfFile(phnum=0), E.ENOEXEC),
        (ElfFile(phnum=65535), E.ENOEXEC),
        (ElfFile(phnum=1171), E.ENOEXEC),  # more than 64 KiB
        (ElfFile(phoff=0xFFFFFFFFFFFFFFF0), E.ENOEXEC),
        (ElfFile(phoff=0x1000), E.ENOEXEC),  # the file ends there
        (ElfFile([Phdr(kind=PT_INTERP)]), E.EINVAL),  # no PT_LOAD; the name is long enough
        (ElfFile([Phdr(), Phdr(kind=PT_INTERP, filesz=1)]), E.ENOEXEC),
        (ElfFile([Phdr(), Phdr(kind=PT_INTERP, filesz=4097)]), E.ENOEXEC),
        (ElfFile([Phdr(filesz=0x1000, memsz=0xFFF)]), E.EINVAL),
        (ElfFile([Phdr(memsz=BIG)]), E.EINVAL),
        (ElfFile([Phdr(vaddr=BIG)]), E.EINVAL),
        (ElfFile([Phdr(vaddr=TASK_SIZE - PAGE, memsz=0x1001)]), E.EINVAL),
        (ElfFile([Phdr(offset=1)]), E.EINVAL),  # not the same place in the page
        (ElfFile([Phdr(offset=BIG)]), E.EINVAL),
        (ElfFile([Phdr(vaddr=0)]), E.ENOMEM),  # mmap_min_addr
        (ElfFile([Phdr(flags=PF_R | PF_W, offset=0x5000, filesz=0x10, memsz=0x20)]), E.EINVAL),  # beyond the end
    ],
)  # fmt: skip
def test_what_is_refused(file: ElfFile, errno: int) -> None:
    data = file.pack()
    if file.phdrs[0].kind == PT_INTERP:
        data = ElfFile([Phdr(kind=PT_INTERP, offset=0x900, filesz=8)], extra=(0x900, b"/lib/ld\0")).pack()
    assert errno_of(data) == errno


def test_relocation_must_stay_in_the_address_space() -> None:
    for bias in (-TEXT, TASK_SIZE - TEXT, -(1 << 60)):
        with pytest.raises(KernelError) as caught:
            load(Phdr(), bias=bias)
        assert caught.value.errno == E.ENOMEM


# -- bad files ------------------------------------------------------------------------------------------------

_U64 = st.one_of(st.sampled_from([0, 1, PAGE, TEXT, TASK_SIZE, BIG, (1 << 64) - 1]), st.integers(0, (1 << 64) - 1))
_PHDRS = st.builds(
    Phdr,
    kind=st.sampled_from([PT_LOAD, PT_LOAD, PT_INTERP, PT_GNU_STACK, 0]),
    flags=st.integers(0, 7),
    offset=_U64,
    vaddr=_U64,
    filesz=_U64,
    memsz=_U64,
    align=_U64,
)


@settings(max_examples=300)
@given(st.lists(_PHDRS, max_size=12), st.sampled_from([2, ET_DYN]), _U64)
def test_any_program_headers_are_loaded_or_refused(phdrs: list[Phdr], kind: int, entry: int) -> None:
    errno_of(ElfFile(phdrs, kind=kind, entry=entry).pack(), 1 << 20)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=8), st.integers(0, 0x1000))
@example([], 0)
@example([], 63)
@example([(56, 0xFF), (57, 0xFF)], 0x1000)
def test_mutated_and_truncated_files_are_loaded_or_refused(changes: list[tuple[int, int]], size: int) -> None:
    data = bytearray(ElfFile([Phdr(), Phdr(kind=PT_INTERP, offset=0x900, filesz=8), Phdr(flags=6)]).pack())
    for where, value in changes:
        data[where] = value
    errno_of(bytes(data[:size]))


@given(st.binary(max_size=200))
def test_any_bytes_are_loaded_or_refused(data: bytes) -> None:
    errno_of(data)
    errno_of(b"\x7fELF" + data)


def test_many_segments_take_bounded_time() -> None:
    """The most segments that a file can have, each with a page to clear and one of bss that replaces others."""
    phdrs = [
        Phdr(flags=PF_R | PF_W, vaddr=TEXT + 2 * PAGE * (i * 7 % 1000), filesz=0x10, memsz=0x3000) for i in range(1170)
    ]
    file = ElfFile(phdrs, phoff=0x1000, rest=b"".join(p.pack() for p in phdrs))
    file.phdrs, file.phnum = [], 1170
    program = parse(file.pack())
    loader = elf.Loader()
    loader.add(program, SOURCE, 1 << 30, 0)
    assert len(loader.mappings) == 2 * 1170
    assert len(loader.zero) <= 1000


# -- the same file for both kernels ---------------------------------------------------------------------------


def host_errno(path: Path) -> int:
    """How the host takes a file: 0 it ran, an errno, or minus the signal that ended it."""
    try:
        return min(subprocess.run([path], capture_output=True, timeout=10, check=False).returncode, 0)
    except OSError as error:
        return error.errno or 0


def maps_low(data: bytes) -> bool:
    """Root (CAP_SYS_RAWIO) may map below mmap_min_addr, which no guest may."""
    return any(s.vaddr < elf.MMAP_MIN_ADDR for s in parse(data).segments)


def mutations(count: int) -> list[bytes]:
    """The same every time: a header field or two, changed."""
    dice = random.Random(7)
    fields = [
        (offset, size)
        for offset, size in [(16, 2), (18, 2), (24, 8), (32, 8), (54, 2), (56, 2)]
        + [
            (64 + 56 * i + at, size)
            for i in range(3)
            for at, size in [(0, 4), (4, 4)] + [(8 * n, 8) for n in range(1, 7)]
        ]
    ]
    values = [
        0,
        1,
        2,
        3,
        5,
        6,
        7,
        56,
        0x10,
        0x234,
        PAGE,
        2 * PAGE,
        0x10000,
        TEXT,
        TEXT + PAGE,
        TASK_SIZE,
        BIG,
        (1 << 64) - 1,
    ]
    made = []
    for _ in range(count):
        data = bytearray(
            ElfFile(
                [Phdr(), Phdr(flags=PF_R | PF_W, vaddr=TEXT + PAGE, filesz=0x10, memsz=0x20), Phdr(kind=4)],
                kind=dice.choice([2, 3]),
            ).pack()
        )
        for _ in range(dice.choice([1, 1, 2])):
            offset, size = dice.choice(fields)
            data[offset : offset + size] = (dice.choice(values) & (1 << 8 * size) - 1).to_bytes(size, "little")
        made.append(bytes(data))
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="compares with Linux")
def test_mutated_files_end_as_on_the_host(tmp_path: Path) -> None:
    """ENOEXEC in both or in neither; what we refuse otherwise, the host has killed."""
    seen, ends = set(), set()
    wrong = []
    for number, data in enumerate(mutations(300)):
        path = tmp_path / str(number)
        path.write_bytes(data)
        path.chmod(0o755)
        host, ours = host_errno(path), errno_of(data)
        path.unlink()
        seen.add(ours)
        ends.add(host)
        same = host == ours if E.ENOEXEC in {host, ours} or host > 0 else not ours or host in _KILLED
        if not same and not (UID == 0 and maps_low(data)):
            wrong.append((number, host, ours, EHDR.unpack_from(data), list(PHDR.iter_unpack(data[64 : 64 + 168]))))
    assert wrong == []
    assert seen >= {0, E.ENOEXEC, E.EINVAL, E.ENOMEM}
    assert ends >= {0, E.ENOEXEC, -sg.SIGSEGV}


_KILLED = {-sg.SIGSEGV, -sg.SIGKILL, -sg.SIGBUS}
