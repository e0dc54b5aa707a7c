"""Guest memory: exact reads, protections honoured by writes, hostile addresses are EFAULT and nothing else."""

import ctypes
import mmap
import os
from collections.abc import Iterator

import pytest

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError
from pylitebox.south.native.memory import NativeMemory

PAGE = mmap.PAGESIZE


@pytest.fixture
def guest() -> Iterator[tuple[NativeMemory, int]]:
    """A child process's memory, and the address of three pages in it: writable, read-only, unmapped."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    area = libc.mmap(None, 3 * PAGE, 3, 0x22, -1, 0)
    ctypes.memmove(area, b"first\0" + b"x" * (2 * PAGE - 6), 2 * PAGE)
    libc.mprotect(ctypes.c_void_p(area + PAGE), PAGE, 1)
    libc.munmap(ctypes.c_void_p(area + 2 * PAGE), PAGE)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    os.close(read_end)
    memory = NativeMemory(pid)
    yield memory, area
    memory.close()
    os.close(write_end)
    os.waitpid(pid, 0)
    libc.munmap(ctypes.c_void_p(area), 2 * PAGE)


def fails(errno: int, call: object, *args: object) -> None:
    with pytest.raises(KernelError) as caught:
        call(*args)  # type: ignore[operator]
    assert caught.value.errno == errno


def test_reads_and_writes(guest: tuple[NativeMemory, int]) -> None:
    memory, area = guest
    assert memory.read(area, 6) == b"first\0"
    memory.write(area, b"other")
    assert memory.read_cstring(area, 4096) == b"other"


def test_a_read_across_the_end_is_a_fault_or_short(guest: tuple[NativeMemory, int]) -> None:
    memory, area = guest
    fails(E.EFAULT, memory.read, area + 2 * PAGE - 4, 8)
    assert memory.read_some(area + 2 * PAGE - 4, 8) == b"xxxx"


def test_a_write_honours_protections(guest: tuple[NativeMemory, int]) -> None:
    memory, area = guest
    fails(E.EFAULT, memory.write, area + PAGE, b"no")
    fails(E.EFAULT, memory.write, area + PAGE - 1, b"no")
    assert memory.read(area + PAGE, 2) == b"xx"


def test_a_long_string_without_an_end(guest: tuple[NativeMemory, int]) -> None:
    memory, area = guest
    fails(E.ENAMETOOLONG, memory.read_cstring, area + 8, 4096)
    fails(E.EFAULT, memory.read_cstring, area + 2 * PAGE - 8, 4096)


@pytest.mark.parametrize("address", [0, 8, 1 << 47, (1 << 63) - 8, 1 << 63, (1 << 64) - 1])
def test_hostile_addresses(guest: tuple[NativeMemory, int], address: int) -> None:
    memory, _ = guest
    fails(E.EFAULT, memory.read, address, 16)
    fails(E.EFAULT, memory.read_some, address, 16)
    fails(E.EFAULT, memory.read_cstring, address, 4096)
    fails(E.EFAULT, memory.write, address, b"x" * 16)
    fails(E.EFAULT, memory.poke, address, b"x" * 16)


def test_shared_memory_is_written_by_the_id_of_a_process_that_lives(guest: tuple[NativeMemory, int]) -> None:
    memory, area = guest
    child = memory.pid
    memory.share()
    memory.join(1)  # as if a vfork child had the same memory
    memory.leave(1)
    memory.write(area, b"still")
    memory.share()
    memory.join(os.getpid())
    memory.leave(child)
    assert memory.pid == os.getpid()
