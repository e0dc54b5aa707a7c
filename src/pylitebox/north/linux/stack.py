"""The initial stack of a program: strings, argc, argv, envp and the auxiliary vector (binfmt_elf.c:create_elf_tables,
psABI "Initial Process Stack").

From the top down: eight zero bytes, the name of the executed file, the environment's strings, the arguments' strings,
a random gap, the platform's name, 16 random bytes, then the auxiliary vector, envp, argv and argc, where the stack
pointer stands, aligned to 16.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from pylitebox.abi import auxv as at
from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The longest argument or environment string, its NUL included (linux/binfmts.h).
MAX_ARG_STRLEN = 32 * 4096
#: What all strings and their pointers may take whatever the stack limit is, and at most (fs/exec.c).
ARG_MAX = 131072
_ARG_LIMIT = 6 << 20
_ALIGN_GAP = 8192  # arch_align_stack: the random gap below the strings
PLATFORM = b"x86_64\0"


def argument_limit(stack_limit: int) -> int:
    """Bytes that strings and pointers may take under this soft RLIMIT_STACK (bprm_stack_limits)."""
    return max(min(_ARG_LIMIT, stack_limit // 4), ARG_MAX)


def check_size(argv: Sequence[bytes], environ: Sequence[bytes], execfn: bytes, stack_limit: int) -> None:
    """E2BIG if these are too many or too long."""
    limit = argument_limit(stack_limit) - 8 * (max(len(argv), 1) + len(environ))
    for string in (execfn, *environ, *argv):
        limit -= len(string) + 1
        if limit < 0 or len(string) >= MAX_ARG_STRLEN:
            raise KernelError(E.E2BIG)


class InitialStack(NamedTuple):
    """``data`` belongs at ``pointer``, the initial stack pointer. Areas are (start, end)."""

    pointer: int
    data: bytes
    arg_area: tuple[int, int]
    env_area: tuple[int, int]
    auxv: bytes


def build(
    top: int,
    argv: Sequence[bytes],
    environ: Sequence[bytes],
    execfn: bytes,
    auxv: Sequence[tuple[int, int]],
    random: bytes,
) -> InitialStack:
    """Lay the stack out below ``top`` (16-aligned). ``random`` is 16 bytes for AT_RANDOM and 2 for the gap.

    AT_RANDOM, AT_EXECFN, AT_PLATFORM and AT_NULL are added to ``auxv``.
    """
    strings = b"".join([s + b"\0" for s in (*argv, *environ, execfn)]) + bytes(8)
    base = top - len(strings)
    addresses = []
    address = base
    for string in (*argv, *environ, execfn):
        addresses.append(address)
        address += len(string) + 1
    argc, envc = len(argv), len(environ)
    env_start, execfn_address = addresses[argc], addresses[-1]

    aligned = (base - int.from_bytes(random[16:18], "little") % _ALIGN_GAP) & ~15
    platform = aligned - len(PLATFORM)
    random_address = platform - 16
    pairs = [*auxv, (at.AT_RANDOM, random_address), (at.AT_EXECFN, execfn_address), (at.AT_PLATFORM, platform)]
    words = [word for pair in pairs for word in pair]
    vector = struct.pack(f"<{len(words) + 2}Q", *words, at.AT_NULL, 0)
    table = struct.pack(f"<{argc + envc + 3}Q", argc, *addresses[:argc], 0, *addresses[argc : argc + envc], 0)
    pointer = ((random_address & ~15) - len(vector) - len(table)) & ~15

    data = bytearray(top - pointer)
    for where, what in (
        (pointer, table),
        (pointer + len(table), vector),
        (random_address, random[:16]),
        (platform, PLATFORM),
        (base, strings),
    ):
        data[where - pointer : where - pointer + len(what)] = what
    return InitialStack(pointer, bytes(data), (base, env_start), (env_start, execfn_address), vector)
