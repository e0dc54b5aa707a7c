"""Guest memory of the mock, against a model that knows each byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PROT_NONE, PROT_READ, PROT_WRITE, TASK_SIZE
from pylitebox.kernel.errors import KernelError
from pylitebox.south.mock.host import MockBuffer
from pylitebox.south.mock.memory import MockMemory

PAGE = 4096
BASE = 0x10000
RW = PROT_READ | PROT_WRITE


def errno_of(function, *args):
    with pytest.raises(KernelError) as caught:
        function(*args)
    return caught.value.errno


def test_reads_and_writes_across_areas():
    memory = MockMemory()
    memory.map(PAGE, address=BASE)
    memory.map(PAGE, address=BASE + PAGE)
    memory.write(BASE + PAGE - 2, b"abcd")
    assert memory.read(BASE + PAGE - 3, 6) == b"\0abcd\0"
    assert errno_of(memory.read, BASE + PAGE, PAGE + 1) == E.EFAULT
    assert errno_of(memory.write, BASE + 2 * PAGE - 1, b"xy") == E.EFAULT
    assert memory.read(BASE + 2 * PAGE - 1, 1) == b"\0", "a write that cannot be whole writes nothing"
    assert memory.read_some(BASE + 2 * PAGE - 3, 100) == bytes(3)
    assert errno_of(memory.read_some, BASE - 1, 100) == E.EFAULT


def test_strings():
    memory = MockMemory()
    memory.map(PAGE, address=BASE)
    memory.write(BASE + PAGE - 4, b"ab\0c")
    assert memory.read_cstring(BASE + PAGE - 4, 4096) == b"ab"
    assert errno_of(memory.read_cstring, BASE + PAGE - 1, 4096) == E.EFAULT
    assert errno_of(memory.read_cstring, BASE + PAGE - 4, 2) == E.ENAMETOOLONG


def test_protection():
    memory = MockMemory()
    memory.map(3 * PAGE, address=BASE)
    memory.write(BASE, b"x" * 3 * PAGE)
    memory.protect(BASE + PAGE, PAGE, PROT_READ)
    assert errno_of(memory.write, BASE + PAGE, b"y") == E.EFAULT
    assert memory.read(BASE + PAGE, 1) == b"x"
    memory.protect(BASE + PAGE, PAGE, PROT_NONE)
    assert errno_of(memory.read, BASE + PAGE, 1) == E.EFAULT
    assert [(a.start, a.end, a.prot) for a in memory.areas()] == [
        (BASE, BASE + PAGE, RW),
        (BASE + PAGE, BASE + 2 * PAGE, PROT_NONE),
        (BASE + 2 * PAGE, BASE + 3 * PAGE, RW),
    ]


@pytest.mark.parametrize("address", [0, TASK_SIZE, 1 << 63, (1 << 64) - 1])
def test_addresses_that_no_memory_has(address):
    memory = MockMemory()
    assert errno_of(memory.read, address, 8) == E.EFAULT
    assert errno_of(memory.write, address, b"x") == E.EFAULT
    assert errno_of(memory.read_cstring, address, 8) == E.EFAULT


def test_file_content_private_and_shared():
    buffer = MockBuffer("f")
    buffer.write_at(b"x" * PAGE + b"yz", 0)
    memory = MockMemory()
    shared = memory.map(2 * PAGE, content=buffer, shared=True)
    private = memory.map(PAGE, content=buffer, offset=PAGE)
    assert memory.read(private, 3) == b"yz\0"
    memory.write(shared + PAGE, b"Y")
    assert buffer.read_at(2, PAGE) == b"Yz"
    memory.write(private, b"P")
    assert buffer.read_at(2, PAGE) == b"Yz"
    child = memory.fork()
    child.write(shared, b"C")
    child.write(private, b"D")
    assert memory.read(shared, 1) == b"C"
    assert memory.read(private, 1) == b"P"


_RANGE = st.tuples(st.integers(0, 7), st.integers(1, 4))
_STEP = st.one_of(
    st.tuples(st.just("map"), _RANGE, st.sampled_from([PROT_NONE, PROT_READ, RW])),
    st.tuples(st.just("unmap"), _RANGE),
    st.tuples(st.just("protect"), _RANGE, st.sampled_from([PROT_NONE, PROT_READ, RW])),
    st.tuples(st.just("write"), st.integers(-10, 11 * PAGE), st.binary(min_size=1, max_size=300)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_STEP, max_size=20))
def test_any_sequence_is_as_the_model_says(steps):
    memory = MockMemory()
    rights: dict[int, int] = {}
    content: dict[int, int] = {}
    for name, where, *rest in steps:
        if name == "write":
            data, address = rest[0], BASE + where
            touched = range(address // PAGE, (address + len(data) - 1) // PAGE + 1)
            if all(rights.get(page, 0) & PROT_WRITE for page in touched):
                memory.write(address, data)
                content.update(zip(range(address, address + len(data)), data, strict=True))
            else:
                assert errno_of(memory.write, address, data) == E.EFAULT
            continue
        first, count = BASE // PAGE + where[0], where[1]
        pages = range(first, first + count)
        if name == "protect":
            memory.protect(first * PAGE, count * PAGE, rest[0])
            rights.update({page: rest[0] for page in pages if page in rights})
            continue
        for page in pages:
            rights.pop(page, None)
            content = {a: b for a, b in content.items() if a // PAGE != page}
        if name == "map":
            memory.map(count * PAGE, address=first * PAGE, prot=rest[0])
            rights.update(dict.fromkeys(pages, rest[0]))
        else:
            memory.unmap(first * PAGE, count * PAGE)
    mapped = {a.start + at for a in memory.areas() for at in range(0, a.end - a.start, PAGE)}
    assert mapped == {page * PAGE for page in rights}
    for page, prot in rights.items():
        if prot & PROT_READ:
            start = page * PAGE
            assert memory.read(start, PAGE) == bytes(content.get(a, 0) for a in range(start, start + PAGE))
