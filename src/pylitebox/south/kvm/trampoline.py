"""What runs in ring 0: a few instructions, assembled here from a table, and the descriptor tables around them.

There is no guest kernel. Whatever leaves ring 3 comes to a ``hlt``, which ends the run, and the monitor reads what it
was; going on is either the instruction behind the ``hlt``, or RESUME with all registers in a frame on the stack. UPDATE
changes page tables first: on hosts that keep shadows of them, only a store by the guest is noticed.

The only code is this table: ring 0 may not execute (SMEP) nor touch (SMAP) what guests have, where the CPU knows how.
Every gate has a stack of its own (IST), so that nothing in ring 0 depends on a guest's stack pointer.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

#: Linear addresses: the pages of ring 0, and a window on all of the monitor's memory (page tables).
BASE = 0xFFFFFFFF80000000
WINDOW = 0xFFFFFFFFC0000000
CODE_PAGE, TABLES_PAGE, STACK_PAGE, JOURNAL_PAGE = range(4)
PAGES = 4

KERNEL_CODE, KERNEL_DATA, USER_DATA, USER_CODE, TSS = 0x10, 0x18, 0x2B, 0x33, 0x40
#: SYSCALL takes CS and SS from bits 32, SYSRET from bits 48: 0x23 + 16 and + 8 are Linux's user segments.
STAR = 0x23 << 48 | KERNEL_CODE << 32
#: Flags that SYSCALL clears (Linux: AC NT IOPL IF TF DF RF VM and the status flags).
SFMASK = 0x257FD5
STACK_TOP = BASE + (STACK_PAGE + 1) * 4096
JOURNAL = BASE + JOURNAL_PAGE * 4096
VECTORS = 32
#: The tick: an interrupt of ours, the only one there is.
TICK = 32
GENERAL_PROTECTION, PAGE_FAULT = 13, 14
_WITH_ERROR = frozenset((8, 10, 11, 12, 13, 14, 17, 21, 29, 30))
_FOR_USERS = frozenset((3, 4))  # int3, into

#: (label, bytes): the instructions between two labels are one row each.
_LISTING: tuple[tuple[str, str, str], ...] = (
    ("syscall", "f4", "hlt              SYSCALL comes here, on the guest's stack, rcx: rip, r11: flags"),
    ("", "48 0f 07", "sysretq"),
    ("trap", "50", "push %rax         behind the stubs, which push vector (and error code)"),
    ("", "0f 20 d0", "mov %cr2,%rax"),
    ("", "f4", "hlt"),
    ("", "58", "pop %rax"),
    ("", "48 83 c4 10", "add $16,%rsp"),
    ("", "48 cf", "iretq"),
    ("update", "48 39 d3", "cmp %rdx,%rbx     rbx: first row of the journal, rdx: behind the last"),
    ("", "74 1b", "je 1f"),
    ("", "48 8b 3b", "mov (%rbx),%rdi   where"),
    ("", "48 8b 43 08", "mov 8(%rbx),%rax  what"),
    ("", "48 8b 4b 10", "mov 16(%rbx),%rcx how often"),
    ("", "f3 48 ab", "rep stosq"),
    ("", "48 8b 4b 18", "mov 24(%rbx),%rcx"),
    ("", "0f 01 39", "invlpg (%rcx)     for which page"),
    ("", "48 83 c3 20", "add $32,%rbx"),
    ("", "eb e0", "jmp update"),
    ("", "48 85 ed", "1: test %rbp,%rbp  rbp: the root of the page tables, or 0"),
    ("", "74 03", "jz resume"),
    ("", "0f 22 dd", "mov %rbp,%cr3"),
    ("resume", "41 5f 41 5e 41 5d 41 5c", "pop %r15 ... %r12"),
    ("", "41 5b 41 5a 41 59 41 58", "pop %r11 ... %r8"),
    ("", "5f 5e 5d 5b 5a 59 58", "pop %rdi %rsi %rbp %rbx %rdx %rcx %rax"),
    ("", "48 cf", "iretq"),
)


class Trampoline(NamedTuple):
    code: bytes
    labels: dict[str, int]  # linear addresses
    stubs: list[int]  # of the vectors, TICK included


def assemble() -> Trampoline:
    code = bytearray()
    labels: dict[str, int] = {}
    for label, instruction, _ in _LISTING:
        if label:
            labels[label] = BASE + len(code)
        code += bytes.fromhex(instruction)
    stubs = []
    for vector in (*range(VECTORS), TICK):
        stubs.append(BASE + len(code))
        if vector not in _WITH_ERROR:
            code += b"\x6a\x00"  # push $0
        code += bytes((0x6A, vector))  # push $vector
        code += b"\xe9" + struct.pack("<i", labels["trap"] - (BASE + len(code) + 5))  # jmp trap
    return Trampoline(bytes(code), labels, stubs)


#: Offsets in the page of tables.
GDT, GDT_LIMIT = 0, 0x4F
_TSS_AT, TSS_LIMIT = 0x100, 0x67
_IDT_AT, IDT_LIMIT = 0x200, (VECTORS + 1) * 16 - 1
GDT_ADDRESS = BASE + TABLES_PAGE * 4096
TSS_ADDRESS = GDT_ADDRESS + _TSS_AT
IDT_ADDRESS = GDT_ADDRESS + _IDT_AT


def tables(trampoline: Trampoline) -> bytes:
    """The page with the segment descriptors (those of Linux, without 32-bit code), the TSS and the gates."""
    page = bytearray(4096)
    tss = 0x8B << 40 | TSS_LIMIT | (TSS_ADDRESS & 0xFFFFFF) << 16 | (TSS_ADDRESS >> 24 & 0xFF) << 56
    kernel_code, kernel_data = 0x00AF9B000000FFFF, 0x00CF93000000FFFF
    user_data, user_code = 0x00CFF3000000FFFF, 0x00AFFB000000FFFF
    gdt = (0, 0, kernel_code, kernel_data, 0, user_data, user_code, 0, tss, TSS_ADDRESS >> 32)
    struct.pack_into("<10Q", page, GDT, *gdt)
    struct.pack_into("<Q", page, _TSS_AT + 4, STACK_TOP)  # rsp0
    struct.pack_into("<Q", page, _TSS_AT + 36, STACK_TOP)  # ist1
    struct.pack_into("<H", page, _TSS_AT + 102, TSS_LIMIT + 1)  # no map of I/O ports
    for vector, stub in enumerate(trampoline.stubs):
        kind = 0xEE if vector in _FOR_USERS else 0x8E
        gate = (stub & 0xFFFF, KERNEL_CODE, 1, kind, stub >> 16 & 0xFFFF, stub >> 32, 0)
        struct.pack_into("<HHBBHII", page, _IDT_AT + vector * 16, *gate)
    return bytes(page)
