"""Call sites in guest code that need no signal any more (DESIGN.md section 5): stub.c says how and when.

Only code that its process may not write is patched: what it may write can be shared with others, who have no entry to
jump to, or be a compiler's, who looks at it again. So the host gives the process its own copy of the page, as by
ptrace(2) (it refuses for a shared mapping). A hostile guest gains nothing by it: it could map such a page itself.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi.mman import PAGE_SIZE
from pylitebox.abi.numbers import X86_64
from pylitebox.kernel.errors import KernelError
from pylitebox.south.native.layout import STUB_BASE, STUB_END

if TYPE_CHECKING:
    from pylitebox.south.native.memory import NativeMemory

#: The calls that the stub can answer at their site.
LOCAL = frozenset(
    X86_64[name]
    for name in (
        "rt_sigaction", "rt_sigprocmask", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid",
    )
)  # fmt: skip
_SITE = struct.Struct("<BIH")  # mov $number, %eax; syscall
_MOV_EAX, _SYSCALL = 0xB8, 0x050F
_JUMP = struct.Struct("<Bi")
_JMP = 0xE9
#: lea -0x80(%rsp), %rsp; push site(%rip); jmp *target(%rip); then the two words.
_ENTRY = struct.Struct("<5s2si2si7xQQ")
_SIZE = 64
_REACH = (1 << 31) - (1 << 20)


def patch(memory: NativeMemory, site: int, island: int, index: int, target: int) -> int:
    """Let the call at ``site`` jump to entry ``index`` of the page ``island``, and from there to ``target`` in the
    stub, with the site and, in its top byte, the number on the stack. 1, or 0 where that can't be."""
    if not STUB_BASE <= target < STUB_END or island % PAGE_SIZE or index >= PAGE_SIZE // _SIZE:
        return 0
    if abs(island - site) > _REACH or site % PAGE_SIZE > PAGE_SIZE - _JUMP.size:
        return 0
    try:
        mov, number, syscall = _SITE.unpack(memory.read(site, _SITE.size))
        if mov != _MOV_EAX or syscall != _SYSCALL or number not in LOCAL:
            return 0
        if _writable(memory, site):
            return 0
        entry = island + index * _SIZE
        code = _ENTRY.pack(b"\x48\x8d\x64\x24\x80", b"\xff\x35", 13, b"\xff\x25", 15, site | number << 56, target)
        memory.poke(entry, code)
        memory.poke(site, _JUMP.pack(_JMP, entry - (site + _JUMP.size)))
    except KernelError:
        return 0
    return 1


def _writable(memory: NativeMemory, site: int) -> bool:
    """Whether the process may write there: asked by writing what is there."""
    try:
        memory.write(site, bytes([_MOV_EAX]))
    except KernelError:
        return False
    return True
