"""Guest memory as the kernel reads and writes it: exactly what the guest itself may, to the byte."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PAGE_SIZE, TASK_SIZE
from pylitebox.kernel.errors import KernelError
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import CODE, CONSTANT, DATA, DATA_SIZE, END, FORBIDDEN, STACK, Driver, Task

HOSTILE = [
    0, 1, PAGE_SIZE - 1, DATA - 1, END, END + PAGE_SIZE, STACK, TASK_SIZE - 1, TASK_SIZE, 1 << 47, (1 << 47) - 1,
    (1 << 63) - 1, 1 << 63, (1 << 63) + DATA, 0xFFFF_FFFF_FF60_0000, (1 << 64) - 4096, (1 << 64) - 1,
]  # fmt: skip


@pytest.fixture
def task(driver: Driver) -> Task:
    """A guest that stands in a call, with 0 to 255 at DATA again and again."""
    driver.on[a.ASK] = lambda task, *args: None
    task = driver.spawn(
        Code().mov(a.RBX, DATA).call(a.ASK).load(a.RCX, a.RBX).say(1, a.RCX).exit(), data=bytes(range(256)) * 32
    )
    driver.run(lambda: task.state == "parked")
    return task


def efault(function: Any, *args: Any) -> None:
    with pytest.raises(KernelError) as error:
        function(*args)
    assert error.value.errno == E.EFAULT


def test_read_to_the_last_byte(task: Task) -> None:
    read = task.memory.read
    assert read(DATA, 256) == bytes(range(256))
    assert read(DATA + PAGE_SIZE - 3, 6) == b"\xfd\xfe\xff\0\1\2"
    assert read(DATA, DATA_SIZE) == bytes(range(256)) * 32
    assert read(END - 1, 1) == b"\xff"
    efault(read, END - 1, 2)
    efault(read, DATA, DATA_SIZE + 1)
    efault(read, DATA - 1, 2)
    efault(read, END, 1)
    assert read(CONSTANT, 2) == read(CODE, 2)


def test_read_some_up_to_the_first_byte_that_is_not_there(task: Task) -> None:
    some = task.memory.read_some
    assert some(END - 3, 3) == some(END - 3, 100) == b"\xfd\xfe\xff"
    assert some(END - PAGE_SIZE - 1, 3 * PAGE_SIZE) == b"\xff" + bytes(range(256)) * 16
    assert some(DATA, 1) == b"\0"
    efault(some, END, 1)
    efault(some, DATA - 1, 100)


def test_strings_end_at_their_nul_or_not(task: Task) -> None:
    string = task.memory.read_cstring
    assert string(DATA, 10) == b""
    assert string(DATA + 250, 100) == b"\xfa\xfb\xfc\xfd\xfe\xff"
    assert string(DATA + 250, 7) == b"\xfa\xfb\xfc\xfd\xfe\xff"
    assert string(DATA + PAGE_SIZE - 2, 100) == b"\xfe\xff"
    for limit in (1, 6):
        with pytest.raises(KernelError) as error:
            string(DATA + 250, limit)
        assert error.value.errno == E.ENAMETOOLONG
    with pytest.raises(KernelError) as error:
        string(END - 3, 3)  # what was asked for was there
    assert error.value.errno == E.ENAMETOOLONG
    efault(string, END - 3, 4)
    efault(string, END, 4)
    task.memory.write(DATA, b"x" * DATA_SIZE)
    with pytest.raises(KernelError) as error:
        string(DATA, DATA_SIZE)
    assert error.value.errno == E.ENAMETOOLONG
    efault(string, DATA, DATA_SIZE + 1)
    task.memory.write(END - 1, b"\0")
    assert string(DATA, 1 << 17) == b"x" * (DATA_SIZE - 1)


def test_write_to_the_last_byte(task: Task) -> None:
    memory = task.memory
    memory.write(DATA + PAGE_SIZE - 2, b"abcd")
    assert memory.read(DATA + PAGE_SIZE - 3, 6) == b"\xfdabcd\2"
    memory.write(END - 2, memoryview(b"yz"))
    memory.write(DATA, bytearray(b"x"))
    assert memory.read(END - 3, 3) == b"\xfdyz"
    efault(memory.write, END - 1, b"ab")
    efault(memory.write, END, b"a")
    efault(memory.write, DATA - 1, b"ab")
    assert memory.read(DATA, 2) == b"x\1", "what lies behind the byte that cannot be written is not"
    memory.write(DATA, bytes(DATA_SIZE))
    assert memory.read(DATA, DATA_SIZE) == bytes(DATA_SIZE)


def test_nothing_is_written_where_the_guest_may_not(task: Task) -> None:
    memory = task.memory
    before = memory.read(CODE, 16)
    for place in (CODE, CONSTANT, FORBIDDEN):
        efault(memory.write, place, b"abc")
    assert memory.read(CODE, 16) == memory.read(CONSTANT, 16) == before


@pytest.mark.needs("read protection")
def test_nothing_is_read_where_the_guest_may_not(task: Task) -> None:
    memory = task.memory
    efault(memory.read, FORBIDDEN, 1)
    efault(memory.read_some, FORBIDDEN + 5, 10)
    efault(memory.read_cstring, FORBIDDEN, 10)


@pytest.mark.parametrize("size", [1, 8, PAGE_SIZE, 1 << 20])
def test_no_address_does_any_harm(task: Task, size: int) -> None:
    memory = task.memory
    for address in HOSTILE:
        for function in (memory.read, memory.read_some, memory.read_cstring):
            efault(function, address, size)
        efault(memory.write, address, bytes(size))


def test_nothing_is_nothing_at_any_address(task: Task) -> None:
    memory = task.memory
    for address in (*HOSTILE, DATA, CODE, FORBIDDEN):
        assert memory.read(address, 0) == memory.read_some(address, 0) == b""
        memory.write(address, b"")


def test_what_the_kernel_writes_the_guest_finds(driver: Driver, task: Task) -> None:
    task.memory.write(DATA, (12345).to_bytes(8, "little"))
    driver.complete(task, 0)
    driver.run_to_end()
    assert driver.words() == [(1, 12345)]


def test_what_the_guest_stores_the_kernel_finds(driver: Driver) -> None:
    found = []

    def look(task: Task, address: int, *rest: int) -> int:
        found.append(task.memory.read(address, 8))
        return 0

    driver.on[1000] = look
    place = DATA + PAGE_SIZE - 4  # across two pages
    code = Code().mov(a.RBX, place)
    for value in (1, 0x1122334455667788):
        code.mov(a.RCX, value).store(a.RBX, a.RCX).call(1000, place)
    driver.spawn(code.load(a.RDX, a.RBX).say(1, a.RDX).exit())
    driver.run_to_end()
    assert found == [(1).to_bytes(8, "little"), 0x1122334455667788.to_bytes(8, "little")]
    assert driver.words() == [(1, 0x1122334455667788)]


def test_the_stack_is_there_and_registers_are_clean(driver: Driver) -> None:
    code = Code()
    for register in range(16):
        if register not in (a.RSP, a.RAX, a.RDI, a.RSI, a.RCX, a.R11):  # say() uses them, or a call
            code.say(register, register)
    code.copy(a.RBX, a.RSP).say(100, a.RBX).mov(a.RCX, 5).store(a.RBX, a.RCX, -8).load(a.RDX, a.RBX, -8).say(101, a.RDX)
    driver.spawn(code.exit())
    driver.run_to_end()
    said = dict(driver.words())
    assert said.pop(100) == STACK - 256
    assert said.pop(101) == 5
    assert set(said.values()) == {0}


def test_memory_of_a_guest_that_has_ended_does_no_harm(driver: Driver, task: Task) -> None:
    """The kernel may hold on to it for longer; what it has of it is bytes or EFAULT."""
    memory = task.memory
    driver.kill(task)
    driver.idle(3)
    for function, *args in ((memory.read, DATA, 8), (memory.write, DATA, b"x"), (memory.read_some, DATA, 8)):
        with contextlib.suppress(KernelError):
            assert function(*args) in (None, bytes(range(8)), b"x" + bytes(range(1, 8)))
