"""ELF files made to measure."""

from dataclasses import dataclass, field

from pylitebox.abi.elf import EHDR, ELFMAG, EM_X86_64, ET_EXEC, PF_R, PF_X, PHDR, PT_LOAD

#: mov $42, %edi; mov $231, %eax; syscall: exit_group(42).
CODE = bytes.fromhex("bf2a000000b8e70000000f05")
TEXT = 0x400000


@dataclass
class Phdr:
    kind: int = PT_LOAD
    flags: int = PF_R | PF_X
    offset: int = 0
    vaddr: int = TEXT
    filesz: int = 0x1000
    memsz: int = 0x1000
    align: int = 0x1000

    def pack(self) -> bytes:
        return PHDR.pack(
            self.kind, self.flags, self.offset, self.vaddr, self.vaddr, self.filesz, self.memsz, self.align
        )


@dataclass
class ElfFile:
    """The headers, the program headers, and the code in the rest of the first page."""

    phdrs: list[Phdr] = field(default_factory=lambda: [Phdr()])
    kind: int = ET_EXEC
    machine: int = EM_X86_64
    entry: int = TEXT + 0x800
    phoff: int = 64
    phentsize: int = PHDR.size
    phnum: int | None = None
    #: What follows the first page.
    rest: bytes = b""
    #: Put at an offset of the first page (an interpreter's name).
    extra: tuple[int, bytes] = (0x900, b"")

    def pack(self) -> bytes:
        phnum = len(self.phdrs) if self.phnum is None else self.phnum
        head = EHDR.pack(
            ELFMAG + b"\2\1\1",
            self.kind,
            self.machine,
            1,
            self.entry,
            self.phoff,
            0,
            0,
            64,
            self.phentsize,
            phnum,
            0,
            0,
            0,
        )
        page = bytearray(head + b"".join(p.pack() for p in self.phdrs)).ljust(0x1000, b"\0")
        page[0x800 : 0x800 + len(CODE)] = CODE
        offset, data = self.extra
        page[offset : offset + len(data)] = data
        return bytes(page) + self.rest
