"""Host files as sources of mappings: what is read of them, what is written back, and disks that are waited for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ
from pylitebox.abi.signal import BUS_ADRERR, SIGBUS
from pylitebox.kernel.errors import KernelError, WouldBlock
from pylitebox.kernel.image import Mapping
from pylitebox.kernel.wait import WaitQueue
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import RW, Driver

PLACE, OTHER = 0x50000000, 0x60000000
P = PAGE_SIZE


class File:
    """HostFile of the contract over a file of this process, with the descriptor that a platform of the host wants.

    ``slow``: its first page has to come from a disk, until :meth:`arrive`.
    """

    def __init__(self, path: Path, *, write: bool = False, slow: bool = False) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR if write else os.O_RDONLY)
        self._write = write
        self.waits = slow
        self.ready = WaitQueue()
        self.asked = 0
        self.open = 1

    def key(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    def share(self) -> File:
        self.open += 1
        return self

    def stat(self) -> os.stat_result:
        return os.fstat(self._fd)

    def read_at(self, size: int, offset: int) -> bytes:
        if self.waits:
            self.asked += 1
            raise WouldBlock
        return self.read_now(size, offset)

    def read_now(self, size: int, offset: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        if not self._write:
            raise KernelError(E.EBADF)
        return os.pwrite(self._fd, data, offset)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        """It is there for all who read it."""

    def descriptor(self, *, write: bool) -> int:
        assert self._write or not write
        return self._fd

    def arrive(self) -> None:
        self.waits = False
        self.ready.wake()

    def close(self) -> None:
        self.open -= 1
        if not self.open:
            os.close(self._fd)


@pytest.fixture
def opens(tmp_path: Path) -> Iterator[Callable[..., File]]:
    """Makes files of some content; all handles of all must be closed at the end."""
    files: list[File] = []

    def opened(content: bytes, **how: bool) -> File:
        path = tmp_path / "file"
        if content:
            path.write_bytes(content)
        files.append(File(path, **how))
        return files[-1]

    yield opened
    assert [file.open for file in files] == [0] * len(files)


def managed(driver: Driver) -> None:
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} delegates memory")


@pytest.mark.needs("foreign files")
def test_a_program_runs_from_a_file(driver: Driver, opens: Callable[..., File]) -> None:
    code = Code().mov(a.RCX, 5).say(1, a.RCX).exit()
    file = opens(bytes(P) + code.linked())
    driver.spawn(Code().mov(a.RBX, PLACE).jump_to(a.RBX), extra=[Mapping(PLACE, P, PROT_READ | PROT_EXEC, file, P)])
    driver.run_to_end()
    assert driver.words() == [(1, 5)]


@pytest.mark.needs("foreign files")
def test_a_files_last_page_is_filled_with_zeros(driver: Driver, opens: Callable[..., File]) -> None:
    """The one behind it is a bus error; stores stay in the guest."""
    content = b"\1" * (P + 100)
    file = opens(content)
    code = Code().mov(a.RBX, PLACE).load(a.RCX, a.RBX, P + 96).say(1, a.RCX).mov(a.RCX, 7).store(a.RBX, a.RCX, P + 96)
    code.load(a.RCX, a.RBX, P + 96).say(2, a.RCX).load(a.RCX, a.RBX, 2 * P).say(3).exit()
    driver.spawn(code, extra=[Mapping(PLACE, 4 * P, RW, file)])
    path = file._path
    driver.run_to_end()
    assert driver.words() == [(1, 0x01010101), (2, 7)]
    assert [fault[1:4] for fault in driver.faults] == [(SIGBUS, BUS_ADRERR, PLACE + 2 * P)]
    assert path.read_bytes() == content


def test_stores_to_a_shared_mapping_reach_the_file(driver: Driver, opens: Callable[..., File]) -> None:
    """When it is synchronised, and when it is unmapped or dropped; never more than the file has."""
    managed(driver)
    file = opens(b"\1" * (P + 100), write=True)
    thread = driver.new_thread()
    space = thread.space
    for how in ("sync", "unmap", "drop"):
        target = space.fork() if how == "drop" else space
        target.map(PLACE, 2 * P, RW, file, 0, shared=True)
        target.memory.write(PLACE + 8, how.encode())
        target.memory.write(PLACE + P + 96, b"1234567")
        if how == "drop":
            target.drop()
        else:
            if how == "sync":
                target.sync(PLACE, 2 * P)
                assert file.read_now(4, 8) == b"sync"
            target.unmap(PLACE, 2 * P)
        assert file.read_now(len(how), 8) == how.encode()
        assert file.read_now(10, P + 96) == b"1234"
    assert file.stat().st_size == P + 100
    thread.kill()
    file.close()


def test_two_handles_on_one_file_show_the_same(driver: Driver, opens: Callable[..., File]) -> None:
    """One that is written through, one that is not."""
    managed(driver)
    writes, reads = opens(b"\1" * P, write=True), opens(b"")
    assert writes.key() == reads.key()
    thread = driver.new_thread()
    thread.space.map(PLACE, P, RW, writes, 0, shared=True)
    thread.space.map(OTHER, P, PROT_READ, reads, 0, shared=True)
    thread.space.memory.write(PLACE, b"both")
    assert thread.space.memory.read(OTHER, 5) == b"both\1"
    thread.space.unmap(OTHER, P)
    reads.close()
    thread.space.memory.write(PLACE, b"BOTH")
    thread.space.unmap(PLACE, P)
    assert writes.read_now(5, 0) == b"BOTH\1"
    thread.kill()
    writes.close()


@pytest.mark.needs("coherent files")
def test_what_is_written_to_a_file_is_seen_in_its_mappings(driver: Driver, opens: Callable[..., File]) -> None:
    """In pages that were touched before, too."""
    managed(driver)
    file = opens(b"\1" * P, write=True)
    thread = driver.new_thread()
    thread.space.map(PLACE, P, PROT_READ, file, 0, shared=True)
    before = thread.space.memory.read(PLACE, 2)
    file.write_at(b"\2", 0)
    after = thread.space.memory.read(PLACE, 2)
    thread.space.unmap(PLACE, P)
    thread.kill()
    file.close()
    assert (before, after) == (b"\1\1", b"\2\1")


@pytest.mark.needs("slow sources")
def test_a_guest_waits_for_a_disk_and_others_do_not(driver: Driver, opens: Callable[..., File]) -> None:
    managed(driver)
    file = opens(b"\x2a".ljust(P, b"\0"), slow=True)
    code = Code().mov(a.RBX, PLACE).load(a.RCX, a.RBX).say(1, a.RCX).exit()
    waits = driver.spawn(code, extra=[Mapping(PLACE, P, PROT_READ, file)])
    driver.run(lambda: file.asked > 0)
    other = driver.spawn(Code().call(a.ASK).say(2).exit())
    driver.run(lambda: other.state == "ended")
    driver.idle()
    assert driver.words() == [(2, 0)]
    file.arrive()
    driver.run_to_end()
    assert driver.words(waits.tid) == [(1, 42)]


@pytest.mark.needs("slow sources")
def test_a_guest_that_waits_for_a_disk_is_ended(driver: Driver, opens: Callable[..., File]) -> None:
    managed(driver)
    file = opens(b"\x2a".ljust(P, b"\0"), slow=True)
    task = driver.spawn(
        Code().mov(a.RBX, PLACE).load(a.RCX, a.RBX).say(1).exit(), extra=[Mapping(PLACE, P, PROT_READ, file)]
    )
    driver.run(lambda: file.asked > 0)
    driver.kill(task)
    file.arrive()
    driver.idle()
    assert driver.said == []


@pytest.mark.needs("slow sources")
def test_the_kernel_waits_itself(driver: Driver, opens: Callable[..., File]) -> None:
    managed(driver)
    file = opens(b"\x2a".ljust(P, b"\0"), slow=True)
    thread: Any = driver.new_thread()
    thread.space.map(PLACE, P, PROT_READ, file, 0, shared=False)
    assert thread.space.memory.read(PLACE, 2) == b"\x2a\0"
    thread.space.unmap(PLACE, P)
    thread.kill()
    file.close()
