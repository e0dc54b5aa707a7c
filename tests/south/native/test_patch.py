"""Patching a call site: what is written where, and what is left alone."""

import struct

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.numbers import X86_64
from pylitebox.kernel.errors import KernelError
from pylitebox.south.native.layout import STUB_BASE
from pylitebox.south.native.patch import LOCAL, patch

SITE, ISLAND, TARGET = 0x7F00_0040_0123, 0x7F00_0000_0000, STUB_BASE + 0x1500


class Bytes:
    """Memory of bytes that were put there; the rest is not mapped."""

    def __init__(self, site: bytes, at: int = SITE) -> None:
        self.content = dict(zip(range(at, at + len(site)), site, strict=True))
        self.content.update(dict.fromkeys(range(ISLAND, ISLAND + 4096), 0))
        self.writable = False

    def read(self, address: int, size: int) -> bytes:
        try:
            return bytes(self.content[at] for at in range(address, address + size))
        except KeyError:
            raise KernelError(E.EFAULT) from None

    def write(self, address: int, data: bytes) -> None:
        if not self.writable:
            raise KernelError(E.EFAULT)
        self.poke(address, data)

    def poke(self, address: int, data: bytes) -> None:
        self.read(address, len(data))
        self.content.update(zip(range(address, address + len(data)), data, strict=True))


def call(number: int) -> bytes:
    return b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"


def done(memory: Bytes, *, site: int = SITE, island: int = ISLAND, index: int = 0, target: int = TARGET) -> int:
    return patch(memory, site, island, index, target)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", sorted(LOCAL))
def test_the_site_jumps_to_the_entry_and_that_to_the_stub(number: int) -> None:
    memory = Bytes(call(number))
    assert done(memory, index=3) == 1
    jump, distance = struct.unpack("<Bi", memory.read(SITE, 5))
    entry = SITE + 5 + distance
    assert (jump, entry) == (0xE9, ISLAND + 3 * 64)
    assert memory.read(SITE + 5, 2) == b"\x0f\x05"
    code = memory.read(entry, 40)
    assert code[:5] == b"\x48\x8d\x64\x24\x80"  # lea -0x80(%rsp), %rsp
    for opcode, at, word in ((b"\xff\x35", 5, SITE | number << 56), (b"\xff\x25", 11, TARGET)):
        assert code[at : at + 2] == opcode
        where = at + 6 + struct.unpack_from("<i", code, at + 2)[0]
        assert struct.unpack_from("<Q", code, where)[0] == word
    assert set(memory.read(ISLAND, 3 * 64)) == {0}


@pytest.mark.parametrize(
    "code",
    [
        call(X86_64["openat"]),
        call(X86_64["rt_sigaction"])[:5] + b"\x0f\x34",
        b"\xb9" + call(X86_64["getpid"])[1:],
        call(X86_64["getpid"])[:6],  # the last byte is not mapped
    ],
)
def test_other_code_stays(code: bytes) -> None:
    memory = Bytes(code)
    before = dict(memory.content)
    assert done(memory) == 0
    assert memory.content == before


def test_code_that_may_be_written_stays() -> None:
    memory = Bytes(call(39))
    memory.writable = True
    before = dict(memory.content)
    assert done(memory) == 0
    assert memory.content == before


@pytest.mark.parametrize(
    "where",
    [
        {"target": 0x7F00_0000_0000},
        {"island": ISLAND + 8},
        {"island": ISLAND - (1 << 32)},
        {"index": 64},
        {"index": (1 << 64) - 1},
        {"island": (1 << 64) - 4096},
        {"site": 0x7F00_0040_0FFC},  # its five bytes lie in two pages
    ],
)
def test_hostile_numbers(where: dict[str, int]) -> None:
    memory = Bytes(call(39), at=where.get("site", SITE))
    before = dict(memory.content)
    assert done(memory, **where) == 0
    assert memory.content == before
