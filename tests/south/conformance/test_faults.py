"""Faults: the signal, code and address that Linux has for them, and what happens to the thread."""

from __future__ import annotations

from typing import Any

import pytest

from pylitebox.abi.mman import PAGE_SIZE, PROT_READ
from pylitebox.abi.signal import (
    BUS_ADRERR,
    SEGV_ACCERR,
    SEGV_MAPERR,
    SIGBUS,
    SIGFPE,
    SIGILL,
    SIGSEGV,
    SIGTRAP,
)
from pylitebox.kernel.image import Mapping
from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import PRIVILEGED, Code
from tests.south.conformance.driver import (
    CODE,
    CONSTANT,
    DATA,
    END,
    FORBIDDEN,
    RBX,
    RIP,
    RW,
    Driver,
    Faulted,
    Task,
)

SI_KERNEL, ILL_ILLOPN, FPE_INTDIV = 0x80, 2, 1
NO_ADDRESS = 1 << 60


def loads(address: int) -> Code:
    return Code().mov(a.RBX, address).load(a.RCX, a.RBX)


def stores(address: int) -> Code:
    return Code().mov(a.RBX, address).store(a.RBX, a.RCX)


def jumps(address: int) -> Code:
    return Code().mov(a.RBX, address).jump_to(a.RBX)


MEMORY = {
    "load from 0": (loads(0), SIGSEGV, SEGV_MAPERR, 0),
    "load where nothing is": (loads(END + PAGE_SIZE), SIGSEGV, SEGV_MAPERR, END + PAGE_SIZE),
    "load that runs over the end": (loads(END - 4), SIGSEGV, SEGV_MAPERR, END),
    "load that may not be": (loads(FORBIDDEN), SIGSEGV, SEGV_ACCERR, FORBIDDEN),
    "load from no address": (loads(NO_ADDRESS), SIGSEGV, SI_KERNEL, 0),
    "load from the kernel's half": (loads(0xFFFF_8000_0000_0000), SIGSEGV, SEGV_MAPERR, 0xFFFF_8000_0000_0000),
    "store to 0": (stores(0), SIGSEGV, SEGV_MAPERR, 0),
    "store to code": (stores(CODE), SIGSEGV, SEGV_ACCERR, CODE),
    "store to a constant": (stores(CONSTANT), SIGSEGV, SEGV_ACCERR, CONSTANT),
    "store that runs over the end": (stores(END - 7), SIGSEGV, SEGV_MAPERR, END),
    "jump to 0": (jumps(0), SIGSEGV, SEGV_MAPERR, 0),
    "jump to data": (jumps(DATA + 5), SIGSEGV, SEGV_ACCERR, DATA + 5),
    "jump to no address": (jumps(NO_ADDRESS), SIGSEGV, SI_KERNEL, 0),
}
INSTRUCTIONS = {
    "undefined": (Code().ud2(), SIGILL, ILL_ILLOPN, CODE, CODE),
    "divide by 0": (Code().mov(a.RBX, 0).divide(a.RBX), SIGFPE, FPE_INTDIV, CODE + 10, CODE + 10),
    "divide too much": (Code().mov(a.RDX, 5).mov(a.RBX, 2).divide(a.RBX), SIGFPE, FPE_INTDIV, CODE + 20, CODE + 20),
    "breakpoint": (Code().int3(), SIGTRAP, SI_KERNEL, 0, CODE + 1),
}


@pytest.mark.parametrize("name", MEMORY)
def test_an_access_that_may_not_be(driver: Driver, name: str) -> None:
    code, signo, si_code, address = MEMORY[name]
    driver.spawn(code)
    driver.run_to_end()
    (fault,) = driver.faults
    assert fault.signo == signo
    assert (fault.code, fault.address) == (si_code, address)
    assert driver.calls == []


@pytest.mark.needs("address of data")
@pytest.mark.parametrize("address", [5, END + 0x123, FORBIDDEN + 0xFF0], ids=hex)
def test_the_address_is_that_of_the_access(driver: Driver, address: int) -> None:
    driver.spawn(loads(address))
    driver.run_to_end()
    assert [fault.address for fault in driver.faults] == [address]


@pytest.mark.needs("rip")
def test_an_access_stands_at_its_instruction(driver: Driver) -> None:
    for code in (loads(0), stores(CODE)):
        driver.spawn(code)
        driver.run_to_end()
    driver.spawn(jumps(DATA))
    driver.run_to_end()
    assert [fault.rip for fault in driver.faults] == [CODE + 10, CODE + 10, DATA]


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_an_instruction_that_cannot_be_executed(driver: Driver, name: str) -> None:
    code, signo, si_code, address, _ = INSTRUCTIONS[name]
    driver.spawn(code)
    driver.run_to_end()
    assert [fault[1:4] for fault in driver.faults] == [(signo, si_code, address)]


@pytest.mark.needs("rip")
@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_where_an_instruction_that_cannot_be_executed_stands(driver: Driver, name: str) -> None:
    code, _, _, _, rip = INSTRUCTIONS[name]
    driver.spawn(code)
    driver.run_to_end()
    assert [fault.rip for fault in driver.faults] == [rip]


@pytest.mark.parametrize("name", PRIVILEGED)
def test_what_only_a_kernel_may_do_is_a_signal_and_nothing_else(driver: Driver, name: str) -> None:
    """No instruction behind it is executed, and other guests do not notice."""
    other = driver.spawn(Code().call(a.ASK).say(1).exit())
    code = Code().mov(a.RBX, DATA).mov(a.RCX, DATA).mov(a.RAX, 1).mov(a.RDX, 0).mov(a.RDI, DATA)
    task = driver.spawn(code.raw(PRIVILEGED[name]).store(a.RBX, a.RCX).say(2).exit())
    memory = task.memory
    found: list[bytes] = []
    driver.at_fault = lambda task, context, fault: bool(found.append(memory.read(DATA, 8)))
    driver.run(lambda: bool(driver.faults) and other.state == "ended")
    assert [fault[:3] for fault in driver.faults] == [(task.tid, SIGSEGV, SI_KERNEL)]
    assert found == [bytes(8)]
    assert driver.words() == [(1, 0)]


def test_the_end_of_a_source_is_a_bus_error(driver: Driver) -> None:
    """The rest of the last page is zeros; the page behind it is nobody's."""
    place = 0x50000000
    source = driver.buffer(b"\1" * 100)
    code = Code().mov(a.RBX, place).load(a.RCX, a.RBX, 96).say(1, a.RCX).load(a.RCX, a.RBX, PAGE_SIZE).say(2, a.RCX)
    driver.spawn(code.exit(), extra=[Mapping(place, 2 * PAGE_SIZE, PROT_READ, source)])
    driver.run_to_end()
    assert driver.words() == [(1, 0x01010101)]
    assert [fault[1:4] for fault in driver.faults] == [(SIGBUS, BUS_ADRERR, place + PAGE_SIZE)]


# -- what happens then ------------------------------------------------------------------------------------------------


def test_the_instruction_is_executed_again(driver: Driver) -> None:
    """With the registers that the kernel left."""

    def mend(task: Task, context: Any, fault: Faulted) -> bool:
        context.gregs[RBX] = DATA
        return True

    driver.at_fault = mend
    driver.spawn(loads(0).say(1, a.RCX).exit(), data=b"\x2a")
    driver.run_to_end()
    assert driver.words() == [(1, 42)]
    assert len(driver.faults) == 1


def test_it_is_executed_again_after_a_handler(driver: Driver) -> None:
    code = loads(0).say(1, a.RCX).exit()
    code.label("handler").mov(a.RBX, 1).say(2, a.RBX).call(a.SIGRETURN)

    def handle(task: Task, context: Any, fault: Faulted) -> bool:
        if len(driver.faults) == 1:
            task.signals.append((SIGSEGV, CODE + code.labels["handler"]))
        else:
            context.gregs[RBX] = DATA
        return True

    driver.at_fault = handle
    driver.spawn(code, data=b"\x2a")
    driver.run_to_end()
    assert driver.words() == [(2, 1), (1, 42)]
    assert len(driver.faults) == 2


def test_the_thread_goes_on_wherever_the_kernel_says(driver: Driver) -> None:
    code = Code().ud2().say(1).label("out").say(2).exit()

    def leave(task: Task, context: Any, fault: Faulted) -> bool:
        context.gregs[RIP] = CODE + code.labels["out"]
        return True

    driver.at_fault = leave
    driver.spawn(code)
    driver.run_to_end()
    assert [word for word, _ in driver.words()] == [2]


def test_a_thread_is_held_at_its_fault(driver: Driver) -> None:
    driver.at_fault = lambda task, context, fault: False
    task = driver.spawn(loads(0).say(1, a.RCX).exit(), data=b"\x2a")
    driver.run(lambda: task.state == "held")
    driver.idle()
    assert len(driver.faults) == 1

    def mend(task: Task, context: Any) -> None:
        context.gregs[RBX] = DATA

    driver.at_safe_point = mend
    driver.cont(task)
    driver.run_to_end()
    assert driver.words() == [(1, 42)]
    assert (len(driver.faults), len(driver.safe_points)) == (1, 1)


def test_a_kick_that_waits_is_not_lost_in_a_fault(driver: Driver) -> None:
    """It is met by the fault, which is a safe point, or follows it."""

    def kicked(task: Task, *args: int) -> int:
        task.signals.append((10, CODE + code.labels["handler"]))
        task.thread.kick()
        return 0

    driver.on[1000] = kicked
    code = Code().call(1000).ud2().label("handler").say(1).call(a.SIGRETURN)

    def skip(task: Task, context: Any, fault: Faulted) -> bool:
        driver.kill(task)
        return False

    driver.at_fault = skip
    driver.spawn(code)
    driver.run_to_end()
    assert [word for word, _ in driver.words()] == [1]


def test_one_threads_fault_is_not_anothers(driver: Driver) -> None:
    driver.spawn(Code().ud2())
    driver.spawn(Code().call(a.ASK).say(1).exit(), extra=[Mapping(0x50000000, PAGE_SIZE, RW)])
    driver.run_to_end()
    assert driver.words() == [(1, 0)]
    assert [fault.signo for fault in driver.faults] == [SIGILL]
