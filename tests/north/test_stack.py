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
    ("stack_limit", "limit"),
    [(8 << 20, 2 << 20), (1 << 20, 256 << 10), (1 << 40, 6 << 20), (0, 128 << 10), (400 << 10, 128 << 10)],
)
def test_strings_and_pointers_are_bounded(stack_limit: int, limit: int) -> None:
    """A quarter of the stack limit, but not more than 6 MiB and not less than 128 KiB (fs/exec.c); every string with
    its NUL and every pointer counts, and the name of the file. The host's answers turn at the same byte."""
    name, environ = b"/bin/true", [b"A=1", b"B=2"]
    count = limit // 50000
    room = limit - 8 * (count + 1 + len(environ)) - len(name) - 1 - sum(len(s) + 1 for s in environ) - count * 50001
    argv = [b"x" * 50000] * count + [b"x" * (room - 1)]
    stack.check_size(argv, environ, name, stack_limit)
    with pytest.raises(KernelError) as caught:
        stack.check_size([*argv[:-1], argv[-1] + b"x"], environ, name, stack_limit)
    assert caught.value.errno == E.E2BIG


def test_one_string_is_at_most_32_pages() -> None:
    stack.check_size([b"x" * 131071], [], b"", 8 << 20)
    with pytest.raises(KernelError):
        stack.check_size([b"x" * 131072], [], b"", 8 << 20)
