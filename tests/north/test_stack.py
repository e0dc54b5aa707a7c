"""The initial stack: read back as a C start-up routine does."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitebox.abi import auxv as at
from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.north.linux import stack

TOP = 0x7D0000100000
AUXV = [(at.AT_PAGESZ, 4096), (at.AT_ENTRY, 0x401000), (at.AT_SECURE, 0)]
STRINGS = st.lists(st.binary(max_size=40).filter(lambda s: b"\0" not in s), max_size=12)


class Reader:
    def __init__(self, initial: stack.InitialStack) -> None:
        self.initial = initial
        self.place = initial.pointer

    def word(self) -> int:
        (value,) = struct.unpack_from("<Q", self.initial.data, self.place - self.initial.pointer)
        self.place += 8
        return value

    def string(self, address: int) -> bytes:
        start = address - self.initial.pointer
        return self.initial.data[start : self.initial.data.index(b"\0", start)]

    def strings(self) -> list[bytes]:
        found = []
        while address := self.word():
            found.append(self.string(address))
        return found

    def pairs(self) -> dict[int, int]:
        found = {}
        while key := self.word():
            found[key] = self.word()
        return found


@given(STRINGS, STRINGS, st.binary(max_size=40).filter(lambda s: b"\0" not in s), st.binary(min_size=18, max_size=18))
def test_read_back(argv: list[bytes], environ: list[bytes], name: bytes, random: bytes) -> None:
    initial = stack.build(TOP, argv, environ, name, AUXV, random)
    assert initial.pointer % 16 == 0
    assert initial.pointer + len(initial.data) == TOP
    reader = Reader(initial)
    assert reader.word() == len(argv)
    assert reader.strings() == argv
    assert reader.strings() == environ
    start = reader.place
    auxv = reader.pairs()
    assert dict(AUXV).items() <= auxv.items()
    assert reader.string(auxv[at.AT_EXECFN]) == name
    assert reader.string(auxv[at.AT_PLATFORM]) == b"x86_64"
    offset = auxv[at.AT_RANDOM] - initial.pointer
    assert initial.data[offset : offset + 16] == random[:16]
    assert initial.auxv == initial.data[start - initial.pointer :][: len(initial.auxv)]
    assert initial.auxv.endswith(bytes(16))

    def area(bounds: tuple[int, int]) -> bytes:
        return initial.data[bounds[0] - initial.pointer : bounds[1] - initial.pointer]

    assert area(initial.arg_area) == b"".join(s + b"\0" for s in argv)
    assert area(initial.env_area) == b"".join(s + b"\0" for s in environ)
    assert initial.env_area[0] == initial.arg_area[1]
    assert initial.data.endswith(name + bytes(9))


def test_the_gap_below_the_strings_is_random() -> None:
    pointers = {stack.build(TOP, [b"a"], [], b"a", [], bytes(16) + bytes([i, 3])).pointer for i in range(0, 256, 16)}
    assert len(pointers) == 16


@pytest.mark.parametrize(
    ("limit", "size", "fits"),
    [
        (8 << 20, (2 << 20) - 100, True),
        (8 << 20, 2 << 20, False),
        (1 << 40, (6 << 20) - 1000, True),
        (1 << 40, 6 << 20, False),
        (0, 130000, True),
        (0, 131072, False),
    ],
)
def test_limits(limit: int, size: int, *, fits: bool) -> None:
    """Three quarters of 8 MiB at most, a quarter of the stack limit, 128 KiB in any case (man 2 execve)."""
    strings = [b"x" * 99999] * (size // 100008)
    strings.append(b"x" * (size % 100008))
    if fits:
        stack.check_size(strings, [], b"/bin/x", limit)
    else:
        with pytest.raises(KernelError) as caught:
            stack.check_size(strings, [], b"/bin/x", limit)
        assert caught.value.errno == E.E2BIG


def test_one_string_is_at_most_32_pages() -> None:
    stack.check_size([b"x" * 131071], [], b"", 8 << 20)
    with pytest.raises(KernelError):
        stack.check_size([b"x" * 131072], [], b"", 8 << 20)
