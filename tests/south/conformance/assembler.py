"""Guests of the suite: an assembler for the few instructions that they use.

    code = Code()
    code.mov(RDI, 7).call(121)              # rax = getpgid(7)
    with code.forever():                    # a label and a jump back to it
        code.add(RBX, 1)

The subset is small on purpose, so that a platform may be an interpreter of these encodings and nothing else (cpu.py is
one). ``r`` are the registers 0 to 15 by their numbers, ``m`` is a register with a displacement of 32 bits; all
operands have 64 bits:

    48+ b8+r imm64      mov   $imm,%r             48+ 89 /r          mov   %r,%r  and  %r,m
    48+ 8b /r           mov   m,%r                48+ 81 /0 imm32    add   $imm,%r
    48+ 81 /7 imm32     cmp   $imm,%r             e9 rel32           jmp
    0f 84, 0f 85 rel32  je, jne                   ff /4              jmp   *%r
    0f 05               syscall                   90                 nop
    66 48+ 0f 6e /r     movq  %r,%xmm0            66 48+ 0f 7e /r    movq  %xmm0,%r
    64 48 8b 04 25 imm  mov   %fs:imm,%rax        0f 0b, cc          ud2, int3
    48+ f7 /6           div   %r                  and what only a kernel may do (PRIVILEGED)

A base register of ``m`` is none whose low bits are rsp's (rsp and r12 need another encoding).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)
#: Where a call has its arguments.
ARGUMENTS = (RDI, RSI, RDX, R10, R8, R9)
#: What only a kernel may execute, and what a guest gets for it: SIGSEGV.
PRIVILEGED = {
    "hlt": b"\xf4", "cli": b"\xfa", "sti": b"\xfb", "mov to cr3": b"\x0f\x22\xd8", "mov from cr3": b"\x0f\x20\xd8",
    "in": b"\xe4\x60", "out": b"\xe6\x60", "wrmsr": b"\x0f\x30", "lidt": b"\x0f\x01\x1f", "invlpg": b"\x0f\x01\x3f",
}  # fmt: skip
_MASK = (1 << 64) - 1


class Code:
    """Machine code that grows; each method gives the object back. Jumps go to labels that stand anywhere."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []  # where a displacement stands, and to what

    def __len__(self) -> int:
        return len(self.bytes)

    def label(self, name: str) -> Code:
        """Name the place that is reached."""
        assert name not in self.labels
        self.labels[name] = len(self.bytes)
        return self

    def raw(self, data: bytes) -> Code:
        self.bytes += data
        return self

    # -- instructions -----------------------------------------------------------------------------------------

    def mov(self, register: int, value: int) -> Code:
        return self.raw(bytes((0x48 | register >> 3, 0xB8 | register & 7)) + struct.pack("<Q", value & _MASK))

    def copy(self, to: int, register: int) -> Code:
        return self.raw(bytes((0x48 | register >> 3 << 2 | to >> 3, 0x89, 0xC0 | (register & 7) << 3 | to & 7)))

    def load(self, to: int, base: int, offset: int = 0) -> Code:
        return self._memory(0x8B, to, base, offset)

    def store(self, base: int, register: int, offset: int = 0) -> Code:
        return self._memory(0x89, register, base, offset)

    def _memory(self, opcode: int, register: int, base: int, offset: int) -> Code:
        assert base & 7 != RSP
        head = (0x48 | register >> 3 << 2 | base >> 3, opcode, 0x80 | (register & 7) << 3 | base & 7)
        return self.raw(bytes(head) + struct.pack("<i", offset))

    def add(self, register: int, value: int) -> Code:
        return self.raw(bytes((0x48 | register >> 3, 0x81, 0xC0 | register & 7)) + struct.pack("<i", value))

    def compare(self, register: int, value: int) -> Code:
        return self.raw(bytes((0x48 | register >> 3, 0x81, 0xF8 | register & 7)) + struct.pack("<i", value))

    def divide(self, register: int) -> Code:
        return self.raw(bytes((0x48 | register >> 3, 0xF7, 0xF0 | register & 7)))

    def jump(self, label: str) -> Code:
        return self._jump(b"\xe9", label)

    def jump_equal(self, label: str) -> Code:
        return self._jump(b"\x0f\x84", label)

    def jump_unequal(self, label: str) -> Code:
        return self._jump(b"\x0f\x85", label)

    def _jump(self, opcode: bytes, label: str) -> Code:
        self.raw(opcode)
        self._jumps.append((len(self.bytes), label))
        return self.raw(bytes(4))

    def jump_to(self, register: int) -> Code:
        assert register < 8
        return self.raw(bytes((0xFF, 0xE0 | register)))

    def syscall(self) -> Code:
        return self.raw(b"\x0f\x05")

    def to_xmm0(self, register: int) -> Code:
        return self.raw(bytes((0x66, 0x48 | register >> 3, 0x0F, 0x6E, 0xC0 | register & 7)))

    def from_xmm0(self, register: int) -> Code:
        return self.raw(bytes((0x66, 0x48 | register >> 3, 0x0F, 0x7E, 0xC0 | register & 7)))

    def load_fs(self, offset: int = 0) -> Code:
        """rax = the word at an offset from the base of FS."""
        return self.raw(b"\x64\x48\x8b\x04\x25" + struct.pack("<i", offset))

    def ud2(self) -> Code:
        return self.raw(b"\x0f\x0b")

    def int3(self) -> Code:
        return self.raw(b"\xcc")

    def nop(self) -> Code:
        return self.raw(b"\x90")

    # -- several at once --------------------------------------------------------------------------------------

    def call(self, number: int, *args: int | None) -> Code:
        """A system call; None leaves a register as it is."""
        for register, value in zip(ARGUMENTS, args, strict=False):
            if value is not None:
                self.mov(register, value)
        return self.mov(RAX, number).syscall()

    def say(self, word: int, register: int | None = None) -> Code:
        """Tell the test a word, and what is in a register (``None``: what was in rax). Changes rax, rdi, rsi."""
        self.copy(RSI, RAX if register is None else register)
        return self.mov(RDI, word).mov(RAX, SAY).syscall()

    def exit(self, status: int = 0) -> Code:
        """End the process."""
        return self.call(EXIT_GROUP, status)

    @contextmanager
    def forever(self) -> Iterator[None]:
        name = f"loop {len(self.bytes)}"
        self.label(name)
        yield
        self.jump(name)

    def linked(self) -> bytes:
        """The bytes, with each jump's displacement."""
        code = bytearray(self.bytes)
        for place, label in self._jumps:
            struct.pack_into("<i", code, place, self.labels[label] - place - 4)
        return bytes(code)


# The calls that the suite's guests make, by Linux's numbers: a platform may run some calls itself only if they are
# harmless, and knows others by what they mean (platform.py, "Calls").
SAY, ASK = 1, 121  # write(2) and getpgid(2): calls that no platform could answer itself
MMAP, BRK, SIGACTION, SIGPROCMASK, SIGRETURN = 9, 12, 13, 14, 15
CLONE, FORK, VFORK, EXECVE, EXIT, EXIT_GROUP, FUTEX = 56, 57, 58, 59, 60, 231, 202
