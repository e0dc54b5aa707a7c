"""AddressSpace: pages as the kernel orders them, where it manages memory. Each change is looked at by a guest too."""

from __future__ import annotations

from typing import Any

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi.mman import PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.abi.signal import BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV
from pylitebox.kernel.errors import KernelError
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import CODE, DATA, RBX, RW, Driver, Faulted, Task
from tests.south.conformance.test_clone import branch
from tests.south.conformance.test_faults import loads

PLACE, OTHER = 0x50000000, 0x60000000
P = PAGE_SIZE


@pytest.fixture
def space(driver: Driver) -> Any:
    """The address space of a guest that stands in a call; what it does then is ``then``."""
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} delegates memory")
    thread = driver.new_thread()
    yield thread.space
    thread.kill()


def efault(function: Any, *args: Any) -> None:
    with pytest.raises(KernelError) as error:
        function(*args)
    assert error.value.errno == E.EFAULT


class Guest:
    """A guest with a loop: it loads or stores at an address that the test gives, and says what it found."""

    def __init__(self, driver: Driver) -> None:
        code = Code()
        with code.forever():
            code.call(1000).copy(a.RBX, a.RAX).compare(a.R12, 0).jump_unequal("store")
            code.load(a.RCX, a.RBX).say(1, a.RCX).jump("next")
            code.label("store").store(a.RBX, a.R13).say(2, a.R13).label("next")
        self._driver = driver
        driver.on[1000] = lambda task, *args: None
        driver.at_safe_point = self._order
        driver.at_fault = self._faulted
        self._orders: tuple[int, int] = (0, 0)
        self.task = driver.spawn(code)
        self._next = CODE + code.labels["next"]
        driver.run(lambda: self.task.state == "parked")

    @property
    def space(self) -> Any:
        return self.task.thread.space

    def _order(self, task: Task, context: Any) -> None:
        if task is self.task and task.kicked is False and self._orders is not None:
            context.gregs[4], context.gregs[5] = self._orders

    def _faulted(self, task: Task, context: Any, fault: Faulted) -> bool:
        self._orders = context.gregs[4], context.gregs[5]
        context.gregs[16] = self._next
        return True

    def load(self, address: int) -> int | tuple[int, int, int]:
        """What is there, or the fault."""
        return self._do(address, 0, 0)

    def store(self, address: int, value: int) -> int | tuple[int, int, int]:
        return self._do(address, 1, value)

    def _do(self, address: int, store: int, value: int) -> int | tuple[int, int, int]:
        driver, said, faults = self._driver, len(self._driver.said), len(self._driver.faults)
        self._orders = store, value
        driver.kick(self.task)
        driver.complete(self.task, address)
        driver.run(lambda: self.task.state == "parked" and len(driver.said) + len(driver.faults) > said + faults)
        if len(driver.faults) > faults:
            fault = driver.faults[-1]
            return fault.signo, fault.code, fault.address
        return driver.said[-1].value


@pytest.fixture
def guest(driver: Driver) -> Guest:
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} delegates memory")
    return Guest(driver)


MAPERR, ACCERR = (SIGSEGV, SEGV_MAPERR, PLACE), (SIGSEGV, SEGV_ACCERR, PLACE)


# -- anonymous memory -------------------------------------------------------------------------------------------------


def test_new_memory_is_zeros_and_holds_what_is_stored(guest: Guest) -> None:
    space = guest.space
    assert guest.load(PLACE) == MAPERR
    space.map(PLACE, 3 * P, RW, None, 0, shared=False)
    assert guest.load(PLACE) == 0
    assert guest.store(PLACE + P, 7) == 7
    assert guest.load(PLACE + P) == 7
    assert space.memory.read(PLACE, 3 * P) == bytes(P) + b"\7" + bytes(2 * P - 1)
    space.memory.write(PLACE + 2 * P - 4, b"12345678")
    assert guest.load(PLACE + 2 * P - 4) == int.from_bytes(b"12345678", "little")
    assert guest.load(PLACE + 3 * P) == (SIGSEGV, SEGV_MAPERR, PLACE + 3 * P)


def test_unmapped_memory_is_gone(guest: Guest) -> None:
    space = guest.space
    space.map(PLACE, 4 * P, RW, None, 0, shared=False)
    for page in range(4):
        assert guest.store(PLACE + page * P, page + 1) == page + 1
    space.unmap(PLACE + P, P)
    assert guest.load(PLACE + P) == (SIGSEGV, SEGV_MAPERR, PLACE + P)
    assert [guest.load(PLACE + page * P) for page in (0, 2, 3)] == [1, 3, 4]
    efault(space.memory.read, PLACE + P - 1, 2)
    space.unmap(PLACE, 8 * P)  # holes are allowed
    assert guest.load(PLACE) == MAPERR
    space.unmap(PLACE, 8 * P)
    space.map(PLACE, P, RW, None, 0, shared=False)
    assert guest.load(PLACE) == 0, "what was there before is nobody's"


def test_protection_is_what_the_guest_finds_next(guest: Guest) -> None:
    space = guest.space
    space.map(PLACE, P, RW, None, 0, shared=False)
    assert guest.store(PLACE, 5) == 5
    space.protect(PLACE, P, PROT_READ)
    assert guest.store(PLACE, 6) == ACCERR
    assert guest.load(PLACE) == 5
    efault(space.memory.write, PLACE, b"x")
    space.protect(PLACE, P, 0)
    assert guest.load(PLACE) == ACCERR
    efault(space.memory.read, PLACE, 1)
    space.protect(PLACE, P, PROT_WRITE)
    assert guest.load(PLACE) == 5, "on x86-64 what may be written may be read"
    assert guest.store(PLACE, 6) == 6
    space.protect(PLACE, P, PROT_EXEC)
    assert guest.load(PLACE) == 6
    assert guest.store(PLACE, 7) == ACCERR
    space.protect(PLACE, P, RW)
    assert guest.store(PLACE, 7) == 7
    assert space.memory.read(PLACE, 1) == b"\7"


def test_a_part_is_protected(guest: Guest) -> None:
    space = guest.space
    space.map(PLACE, 3 * P, RW, None, 0, shared=False)
    space.protect(PLACE + P, P, PROT_READ)
    assert guest.store(PLACE, 1) == 1
    assert guest.store(PLACE + P, 2) == (SIGSEGV, SEGV_ACCERR, PLACE + P)
    assert guest.store(PLACE + 2 * P, 3) == 3
    efault(space.memory.write, PLACE + P - 1, b"xy")


def test_moved_memory_is_found_at_its_new_place_only(guest: Guest) -> None:
    space = guest.space
    space.map(PLACE, 3 * P, RW, None, 0, shared=False)
    for page in range(2):  # the third is not touched
        assert guest.store(PLACE + page * P, page + 1) == page + 1
    space.protect(PLACE, P, PROT_READ)
    space.move(PLACE, 3 * P, OTHER)
    assert guest.load(PLACE) == MAPERR
    assert [guest.load(OTHER + page * P) for page in range(3)] == [1, 2, 0]
    assert guest.store(OTHER, 5) == (SIGSEGV, SEGV_ACCERR, OTHER)
    assert guest.store(OTHER + P, 6) == 6
    space.move(OTHER + P, P, PLACE)
    assert guest.load(PLACE) == 6
    assert guest.load(OTHER + P) == (SIGSEGV, SEGV_MAPERR, OTHER + P)


def test_discarded_memory_is_zeros_again(guest: Guest) -> None:
    space = guest.space
    space.map(PLACE, 2 * P, RW, None, 0, shared=False)
    for page in range(2):
        assert guest.store(PLACE + page * P, 5) == 5
    space.discard(PLACE, P)
    assert [guest.load(PLACE + page * P) for page in range(2)] == [0, 5]
    assert guest.store(PLACE, 6) == 6


def test_what_is_resident(space: Any) -> None:
    space.map(PLACE, 8 * P, RW, None, 0, shared=False)
    before = space.resident(PLACE, 8 * P)
    assert before == bytes(8)
    space.memory.write(PLACE + 3 * P, b"x")
    after = space.resident(PLACE, 8 * P)
    assert len(after) == 8
    assert after[3] == 1
    assert set(after) <= {0, 1}
    assert space.resident(PLACE + 3 * P, P) == b"\1"


# -- sources ----------------------------------------------------------------------------------------------------------


def test_a_shared_mapping_is_the_source(driver: Driver, guest: Guest) -> None:
    buffer = driver.buffer(b"\1".ljust(2 * P, b"\0"))
    guest.space.map(PLACE, P, RW, buffer, 0, shared=True)
    guest.space.map(OTHER, 2 * P, PROT_READ, buffer, 0, shared=True)
    assert guest.load(PLACE) == 1
    assert guest.store(PLACE + 8, 9) == 9
    assert guest.load(OTHER + 8) == 9
    assert buffer.read_at(9, 0) == b"\1" + bytes(7) + b"\x09"
    buffer.write_at(b"\5", 16)
    assert guest.load(PLACE + 16) == 5
    buffer.write_at(b"\6", P + 16)
    assert guest.load(OTHER + P + 16) == 6
    assert guest.store(OTHER, 1) == (SIGSEGV, SEGV_ACCERR, OTHER)
    guest.space.sync(PLACE, P)
    guest.space.discard(PLACE, P)
    assert guest.load(PLACE + 8) == 9, "nothing of a shared mapping is lost"
    guest.space.unmap(PLACE, P)
    assert buffer.read_at(9, 0)[8] == 9
    guest.space.unmap(OTHER, 2 * P)
    buffer.close()


def test_a_private_mapping_shows_the_source_until_it_is_stored_to(driver: Driver, guest: Guest) -> None:
    buffer = driver.buffer(b"\1".ljust(2 * P, b"\0"))
    guest.space.map(PLACE, 2 * P, RW, buffer, 0, shared=False)
    assert guest.load(PLACE) == 1
    buffer.write_at(b"\2", 0)
    assert guest.load(PLACE) == 2
    assert guest.store(PLACE + 8, 7) == 7
    buffer.write_at(b"\3", 0)
    assert (guest.load(PLACE), guest.load(PLACE + 8)) == (2, 7), "its own page now"
    assert buffer.read_at(16, 0) == b"\3".ljust(16, b"\0")
    buffer.write_at(b"\4", P)
    assert guest.load(PLACE + P) == 4
    guest.space.memory.write(PLACE + P + 1, b"\1")
    assert buffer.read_at(2, P) == b"\4\0", "the kernel's stores are the guest's"
    guest.space.discard(PLACE, 2 * P)
    assert (guest.load(PLACE), guest.load(PLACE + P)) == (3, 4)
    guest.space.unmap(PLACE, 2 * P)
    buffer.close()


def test_a_mapping_begins_at_its_offset(driver: Driver, guest: Guest) -> None:
    buffer = driver.buffer(b"".join(bytes([page]).ljust(P, b"\0") for page in range(6)))
    guest.space.map(PLACE, 3 * P, RW, buffer, 2 * P, shared=False)
    assert [guest.load(PLACE + page * P) for page in range(3)] == [2, 3, 4]
    guest.space.unmap(PLACE, P)
    guest.space.move(PLACE + 2 * P, P, OTHER)
    assert (guest.load(PLACE + P), guest.load(OTHER)) == (3, 4)
    guest.space.unmap(PLACE + P, P)
    guest.space.unmap(OTHER, P)
    buffer.close()


def test_what_is_cut_off_is_a_bus_error(driver: Driver, guest: Guest) -> None:
    """Private copies too; and the kernel's access is EFAULT."""
    buffer = driver.buffer(b"\1" * 3 * P)
    guest.space.map(PLACE, 3 * P, RW, buffer, 0, shared=True)
    guest.space.map(OTHER, 3 * P, RW, buffer, 0, shared=False)
    assert guest.store(PLACE + 2 * P, 5) == guest.store(OTHER + 2 * P, 5) == 5
    buffer.truncate(P + 1)
    for start in (PLACE, OTHER):
        assert guest.load(start + P) == 1
        assert guest.load(start + 2 * P) == (SIGBUS, BUS_ADRERR, start + 2 * P)
        assert guest.store(start + 2 * P, 1) == (SIGBUS, BUS_ADRERR, start + 2 * P)
        efault(guest.space.memory.read, start + 2 * P, 1)
        efault(guest.space.memory.write, start + 2 * P, b"x")
    buffer.truncate(3 * P)
    assert guest.load(PLACE + 2 * P) == guest.load(OTHER + 2 * P) == 0
    guest.space.unmap(PLACE, 3 * P)
    guest.space.unmap(OTHER, 3 * P)
    buffer.close()


def test_two_address_spaces_share_a_buffer(driver: Driver, guest: Guest) -> None:
    buffer = driver.buffer(bytes(P))
    thread = driver.new_thread()
    guest.space.map(PLACE, P, RW, buffer, 0, shared=True)
    thread.space.map(OTHER, P, RW, buffer, 0, shared=True)
    assert guest.store(PLACE, 5) == 5
    assert thread.space.memory.read(OTHER, 1) == b"\5"
    thread.space.memory.write(OTHER, b"\6")
    assert guest.load(PLACE) == 6
    thread.space.unmap(OTHER, P)
    guest.space.unmap(PLACE, P)
    thread.kill()
    buffer.close()


# -- copies -----------------------------------------------------------------------------------------------------------


def test_a_copy_is_the_original_until_either_changes(driver: Driver, space: Any) -> None:
    buffer, shared = driver.buffer(b"B" * P), driver.buffer(b"S" * P)
    space.map(PLACE, 4 * P, RW, None, 0, shared=False)
    space.map(OTHER, P, RW, buffer, 0, shared=False)
    space.map(OTHER + P, P, RW, shared, 0, shared=True)
    space.memory.write(PLACE, b"one")
    child = space.fork()
    assert child.memory.read(PLACE, 4) == b"one\0"
    child.memory.write(PLACE, b"two")
    space.memory.write(PLACE + P, b"three")
    child.memory.write(OTHER, b"C")
    child.memory.write(OTHER + P, b"T")
    child.protect(PLACE + 2 * P, P, PROT_READ)
    child.unmap(PLACE + 3 * P, P)
    assert (space.memory.read(PLACE, 3), child.memory.read(PLACE, 3)) == (b"one", b"two")
    assert child.memory.read(PLACE + P, 5) == bytes(5)
    assert (space.memory.read(OTHER, 2), child.memory.read(OTHER, 2)) == (b"BB", b"CB")
    assert space.memory.read(OTHER + P, 2) == child.memory.read(OTHER + P, 2) == b"TS"
    space.memory.write(PLACE + 2 * P, b"x")
    space.memory.write(PLACE + 3 * P, b"x")
    efault(child.memory.write, PLACE + 2 * P, b"x")
    efault(child.memory.read, PLACE + 3 * P, 1)
    grandchild = child.fork()
    child.drop()
    assert grandchild.memory.read(PLACE, 3) == b"two"
    assert space.memory.read(PLACE, 3) == b"one"
    grandchild.drop()
    space.unmap(PLACE, 4 * P)
    space.unmap(OTHER, 2 * P)
    buffer.close()
    shared.close()


def test_guests_change_a_copy_of_many_pages(driver: Driver) -> None:
    """Parent and child store to each page in turn, of which the parent had touched the even ones."""
    if driver.platform.delegates_memory:
        pytest.skip("test_clone.py has this for all")
    pages = 16
    code = Code().mov(a.RBX, DATA + P)
    code = branch(code.mov(a.RCX, 1).store(a.RBX, a.RCX), a.FORK)
    for label, value in (("parent", 2), ("child", 3)):
        if label == "child":
            code.label("child")
        code.mov(a.RBX, PLACE).mov(a.R12, 0).label(f"again {label}").mov(a.RCX, value).store(a.RBX, a.RCX)
        code.call(a.ASK).load(a.RDX, a.RBX).say(1, a.RDX).add(a.RBX, P).add(a.R12, 1)
        code.compare(a.R12, pages).jump_unequal(f"again {label}").exit()
    from pylitebox.kernel.image import Mapping

    parent = driver.spawn(code, extra=[Mapping(PLACE, pages * P, RW)])
    for page in range(0, pages, 2):
        parent.memory.write(PLACE + page * P, b"\xff")
    driver.run_to_end()
    (child,) = driver.begun
    assert driver.words(parent.tid) == [(1, 2)] * pages
    assert driver.words(child.tid) == [(1, 3)] * pages


# -- code -------------------------------------------------------------------------------------------------------------


def test_code_that_the_kernel_writes_is_the_code_that_runs(driver: Driver) -> None:
    """And so is code of a page that is mapped where other code was."""
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} delegates memory")

    def program(value: int) -> bytes:
        return Code().mov(a.RCX, value).say(1, a.RCX).call(1000).mov(a.RBX, PLACE).jump_to(a.RBX).linked()

    steps = iter(
        [
            lambda space: space.memory.write(PLACE, program(2)),
            lambda space: (space.unmap(PLACE, P), space.map(PLACE, P, 7, None, 0, shared=False),
                           space.memory.write(PLACE, program(3))),
            lambda space: (space.protect(PLACE, P, RW), space.memory.write(PLACE, program(4)),
                           space.protect(PLACE, P, PROT_READ | PROT_EXEC)),
            lambda space: space.protect(PLACE, P, RW),
        ]
    )  # fmt: skip

    def change(task: Task, *args: int) -> int:
        next(steps)(task.thread.space)
        return 0

    driver.on[1000] = change
    task = driver.spawn(Code().call(a.ASK).mov(a.RBX, PLACE).jump_to(a.RBX))
    task.thread.space.map(PLACE, P, 7, None, 0, shared=False)
    task.memory.write(PLACE, program(1))
    driver.run_to_end()
    assert driver.words() == [(1, value) for value in range(1, 5)]
    ((_, signo, code, address, _),) = driver.faults
    assert (signo, code, address & -P) == (SIGSEGV, SEGV_ACCERR, PLACE)


def test_a_change_by_a_call_is_seen_by_the_next_instruction(driver: Driver) -> None:
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} delegates memory")

    def unmap(task: Task, *args: int) -> int:
        task.thread.space.unmap(DATA, P)
        return 0

    driver.on[1000] = unmap
    driver.spawn(Code().mov(a.RBX, DATA).load(a.RCX, a.RBX).call(1000).load(a.RCX, a.RBX).say(1).exit())
    driver.run_to_end()
    assert [fault[1:4] for fault in driver.faults] == [(SIGSEGV, SEGV_MAPERR, DATA)]
    assert driver.said == []


def test_a_fault_is_mended_by_a_mapping(driver: Driver) -> None:
    if driver.platform.delegates_memory:
        pytest.skip(f"{driver.subject.name} delegates memory")

    def mend(task: Task, context: Any, fault: Faulted) -> bool:
        assert context.gregs[RBX] == PLACE
        task.thread.space.map(PLACE, P, RW, None, 0, shared=False)
        task.memory.write(PLACE, b"\x2a")
        return True

    driver.at_fault = mend
    driver.spawn(loads(PLACE).say(1, a.RCX).exit())
    driver.run_to_end()
    assert driver.words() == [(1, 42)]


def test_ranges_at_both_ends_of_the_users_half(space: Any) -> None:
    top = (1 << 47) - 2 * P
    for place in (P, 1 << 20, top):
        space.map(place, P, RW, None, 0, shared=False)
        space.memory.write(place, b"x" * P)
        efault(space.memory.read, place, P + 1)
        assert space.memory.read(place, P) == b"x" * P
        space.unmap(place, P)
        efault(space.memory.read, place, 1)


def test_a_large_mapping_costs_nothing_until_it_is_touched(space: Any) -> None:
    size = 1 << 40
    space.map(1 << 44, size, RW, None, 0, shared=False)
    space.memory.write((1 << 44) + size - 8, b"12345678")
    assert space.memory.read((1 << 44) + (size >> 1), 8) == bytes(8)
    space.protect(1 << 44, size, PROT_READ)
    space.move(1 << 44, size, 1 << 45)
    assert space.memory.read((1 << 45) + size - 8, 8) == b"12345678"
    space.discard(1 << 45, size)
    child = space.fork()
    child.drop()
    space.unmap(1 << 45, size)
