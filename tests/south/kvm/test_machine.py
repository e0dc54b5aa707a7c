"""Ring 3 on a virtual CPU, by snippets of machine code: calls, exceptions, the tick, page tables that change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pylitebox.abi.mman import PAGE_SIZE, PROT_READ
from pylitebox.south.kvm import trampoline as tr
from pylitebox.south.kvm.extended import ExtendedState
from pylitebox.south.kvm.host import XSAVE_SIZE
from pylitebox.south.kvm.machine import SYSCALL, Broken
from tests.south.kvm.conftest import CODE, DATA, RW, Lab, ticks

if TYPE_CHECKING:
    from pylitebox.south.paging import PagedSpace

CALL = "0f05 ebfc"  # 1: syscall; jmp 1b
READ = "488b07 0f05 ebf9"  # 1: mov (%rdi),%rax; syscall; jmp 1b
WRITE = "488937 0f05 ebf9"  # 1: mov %rsi,(%rdi); syscall; jmp 1b
SPIN = "48ffc0 ebfb"  # 1: inc %rax; jmp 1b


def test_a_call_has_its_number_and_arguments_and_goes_on_behind_it(lab: Lab) -> None:
    lab.enter(lab.space(CALL), rax=1 << 32 | 39, rdi=1, rsi=2, rdx=3, r10=4, r8=5, r9=1 << 63, rbx=7, r15=8)
    assert lab.run() == SYSCALL
    assert lab.machine.call() == (39, (1, 2, 3, 4, 5, 1 << 63))
    assert (lab.register("rip"), lab.register("rcx")) == (CODE + 2, CODE + 2)
    lab.machine.result((1 << 64) - 38)
    assert lab.run() == SYSCALL
    assert lab.register("rax") == (1 << 64) - 38
    assert (lab.register("rbx"), lab.register("r15"), lab.register("rdi")) == (7, 8, 1)


def test_registers_can_be_exchanged_between_runs(lab: Lab) -> None:
    first, second = lab.space(CALL), lab.space(CALL)
    lab.enter(first, rax=1, rbx=11)
    assert lab.run() == SYSCALL
    kept = lab.machine.fetch()
    lab.enter(second, rax=2, rbx=22)
    assert lab.run() == SYSCALL
    assert (lab.register("rax"), lab.register("rbx")) == (2, 22)
    lab.machine.space = first
    lab.machine.put(kept)
    lab.machine.result(5)
    assert lab.run() == SYSCALL
    assert (lab.register("rax"), lab.register("rbx")) == (5, 11)


@pytest.mark.parametrize(
    ("code", "vector"),
    [
        ("f4", 13), ("fa", 13), ("fb", 13), ("0f22d8", 13), ("0f20d8", 13), ("e460", 13), ("e680", 13), ("ec", 13),
        ("0f30", 13), ("0f32", 13), ("0f06", 13), ("0f0138", 13), ("0f09", 13), ("0f01f8", 13), ("480f07", 13),
        ("0f0117", 13), ("0f23c0", 13), ("0f01d1", 13), ("48cf", 13), ("0f0b", 6),
    ],
    ids=[
        "hlt", "cli", "sti", "to-cr3", "from-cr3", "in", "out", "in-dx", "wrmsr", "rdmsr", "clts", "invlpg", "wbinvd",
        "swapgs", "sysret", "lgdt", "to-dr0", "xsetbv", "iretq", "ud2",
    ],
)  # fmt: skip
def test_what_ring_3_may_not_do_faults_and_does_nothing_else(lab: Lab, code: str, vector: int) -> None:
    space = lab.space(code)
    lab.enter(space, rdi=DATA, rax=0x1234)
    assert lab.run() == vector
    assert lab.register("rip") == CODE
    assert lab.register("rax") == 0x1234
    lab.enter(lab.space(CALL), rax=1)  # and the machine goes on
    assert lab.run() == SYSCALL


def test_there_is_no_32_bit_code_and_no_segment_of_ring_0(lab: Lab) -> None:
    for selector in (0x10, 0x13, 0x18, 0x23, 0x40):
        lab.enter(lab.space(f"6a{selector:02x} 6800004000 48cb"))  # push selector; push $CODE; lretq
        assert lab.run() == 13
        assert lab.register("rip") >= CODE


def test_ring_0_has_no_memory_that_ring_3_reaches(lab: Lab) -> None:
    for address in (tr.BASE, tr.BASE + 4096, tr.WINDOW, tr.STACK_TOP - 8):
        for code in (READ, WRITE):
            lab.enter(lab.space(code), rdi=address)
            lab.machine.run()
            while lab.machine.event == tr.PAGE_FAULT and lab.machine.address < 1 << 47:
                space = lab.machine.space
                assert space is not None
                space.touch(lab.machine.address >> 12, 4 if lab.machine.error & 16 else 1, now=True)
                lab.tables.show(space, lab.machine.address >> 12)
                lab.machine.run()
            assert lab.machine.event == tr.PAGE_FAULT
            assert lab.machine.address == address
            assert lab.machine.error & 4


def test_traps_stand_behind_their_instruction(lab: Lab) -> None:
    lab.enter(lab.space("cc"))
    assert lab.run() == 3
    assert lab.register("rip") == CODE + 1
    lab.enter(lab.space("90 90"), eflags=0x302)  # TF
    assert lab.run() == 1
    assert lab.register("rip") == CODE + 1


def test_flags_of_ring_0_cannot_be_had(lab: Lab) -> None:
    lab.enter(lab.space("fa"), eflags=0x3202)  # IOPL 3: cli would be allowed
    assert lab.run() == 13
    lab.enter(lab.space("fa"), eflags=0)  # without IF
    assert lab.run() == 13
    assert lab.register("eflags") & 0x200


def test_an_address_that_is_none_breaks_only_its_thread(lab: Lab) -> None:
    lab.enter(lab.space(CALL), rip=1 << 47)
    try:
        lab.machine.run()  # on the way there, in ring 0, or there
    except Broken:
        pass
    else:
        assert lab.machine.event == tr.GENERAL_PROTECTION
    lab.enter(lab.space(CALL), rax=1)
    assert lab.run() == SYSCALL


def test_a_jump_to_the_entry_of_calls_is_at_most_a_call(lab: Lab) -> None:
    """Where calls arrive as faults there: with the return address the guest says, which must be its own."""
    jump = "48c7c0000000 80 ffe0"  # mov $BASE,%rax; jmp *%rax
    lab.enter(lab.space(jump), rcx=CODE, r11=0x3202)
    event = lab.run()
    assert event in (SYSCALL, tr.PAGE_FAULT)
    if event == SYSCALL:
        assert lab.register("rip") == CODE
        lab.enter(lab.space(jump), rcx=1 << 63)
        assert lab.run() == tr.GENERAL_PROTECTION


def test_the_tick_ends_a_run_wherever_it_comes(lab: Lab) -> None:
    lab.enter(lab.space(SPIN))
    counts = []
    with ticks(0.002):
        for _ in range(5):
            assert lab.run() == tr.TICK
            assert lab.register("rip") in (CODE, CODE + 3)
            counts.append(lab.register("rax"))
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    lab.enter(lab.space(CALL), rbx=77)
    calls = 0
    with ticks(0.0003):  # against calls, at whatever place
        while calls < 300:
            event = lab.run()
            assert event in (SYSCALL, tr.TICK)
            assert lab.register("rbx") == 77
            if event == SYSCALL:
                calls += 1
                assert lab.register("rip") == CODE + 2
                lab.machine.result(calls)


def test_a_window_for_the_tick_that_is_not_wanted_any_more_stops_nobody(lab: Lab) -> None:
    lab.enter(lab.space(CALL))
    lab.run()
    asked: list[bool] = []

    def interrupting() -> bool:
        asked.append(True)
        assert len(asked) < 10, "the CPU never gets to ring 3"
        return False

    lab.machine.interrupting = interrupting
    lab.cpu._flags[0] = 1  # request_interrupt_window: as a tick leaves it that came while ring 0 ran
    assert lab.run() == SYSCALL
    assert lab.run() == SYSCALL
    assert len(asked) <= 1


def test_a_cpu_that_stopped_in_ring_3_can_be_put_right(lab: Lab) -> None:
    lab.enter(lab.space(SPIN))
    with ticks(0.002):
        while lab.run() != tr.TICK:
            pass
        assert not lab.cpu.run()  # unknown to the machine: the CPU stands in ring 3
    lab.machine.reset()
    lab.enter(lab.space(CALL), rax=39)
    while lab.run() == tr.TICK:
        pass
    assert lab.machine.event == SYSCALL
    assert lab.machine.call()[0] == 39


def test_extended_state_and_bases_are_a_threads_own(lab: Lab) -> None:
    code = "0f28c1 0f05 ebf9"  # 1: movaps %xmm1,%xmm0; syscall; jmp 1b
    states = ExtendedState(lab.cpu)
    lab.enter(lab.space(code))
    for value in (b"A" * 16, b"B" * 16):
        image = states.clean(XSAVE_SIZE)
        image[512] = 3
        image[176:192] = value  # xmm1
        lab.cpu.set_extended(image)
        lab.cpu.set_bases(value[0], 1 << 46)
        assert lab.run() == SYSCALL
        lab.machine.result(0)
        after = lab.cpu.extended()
        assert after[160:176] == after[176:192] == value
        assert lab.cpu.bases() == (value[0], 1 << 46)


# -- page tables ------------------------------------------------------------------------------------------------


def _value(lab: Lab) -> int:
    assert lab.run() == SYSCALL
    return lab.register("rax")


def _store(space: PagedSpace, address: int, value: int) -> None:
    space.memory.write(address, value.to_bytes(8, "little"))


def test_each_change_of_a_page_is_seen_by_the_next_instruction(lab: Lab) -> None:
    space = lab.space(READ)
    _store(space, DATA, 1)
    lab.enter(space, rdi=DATA)
    assert _value(lab) == 1
    for value in range(2, 12):
        space.map(DATA + 0x100000, PAGE_SIZE, RW, None, 0, shared=False)
        _store(space, DATA + 0x100000, value)
        space.unmap(DATA, PAGE_SIZE)
        space.move(DATA + 0x100000, PAGE_SIZE, DATA)
        assert _value(lab) == value
    space.unmap(DATA, PAGE_SIZE)
    assert lab.run() == tr.PAGE_FAULT
    assert lab.machine.address == DATA


def test_rights_that_are_taken_are_gone_and_come_back(lab: Lab) -> None:
    space = lab.space(WRITE)
    lab.enter(space, rdi=DATA, rsi=5)
    for _ in range(3):
        assert lab.run() == SYSCALL
        space.protect(DATA, PAGE_SIZE, PROT_READ)
        assert lab.run() == tr.PAGE_FAULT
        assert (lab.machine.address, lab.machine.error & 7) == (DATA, 7)
        space.protect(DATA, PAGE_SIZE, 0)
        assert lab.run() == tr.PAGE_FAULT
        space.protect(DATA, PAGE_SIZE, RW)


def test_data_is_not_executed(lab: Lab) -> None:
    space = lab.space(READ)
    _store(space, DATA, 0x050F)
    lab.enter(space, rdi=DATA)
    assert _value(lab) == 0x050F
    lab.enter(space, rip=DATA)
    assert lab.run() == tr.PAGE_FAULT
    assert lab.machine.error & 16


@pytest.mark.parametrize("pages", [1, 3, 200, 2000])
def test_a_fork_shares_pages_until_either_side_writes(lab: Lab, pages: int) -> None:
    """Few pages change their entries, many the whole tables."""
    space = lab.space(WRITE)
    area = 0x10000000
    space.map(area, pages * PAGE_SIZE, RW, None, 0, shared=False)
    for page in range(pages):
        lab.enter(space, rdi=area + page * PAGE_SIZE, rsi=page + 1)
        assert lab.run() == SYSCALL
    child = space.fork()
    for page in range(0, pages, 7):
        lab.enter(space, rdi=area + page * PAGE_SIZE, rsi=1000)
        assert lab.run() == SYSCALL
        assert child.memory.read(area + page * PAGE_SIZE, 8) == (page + 1).to_bytes(8, "little")
        lab.enter(child, rdi=area + page * PAGE_SIZE, rsi=2000)
        assert lab.run() == SYSCALL
        assert space.memory.read(area + page * PAGE_SIZE, 8) == (1000).to_bytes(8, "little")
        assert child.memory.read(area + page * PAGE_SIZE, 8) == (2000).to_bytes(8, "little")


def test_tables_are_renewed_when_their_pool_is_used_up(lab: Lab) -> None:
    """Each page lies in a table of its own; live spaces lose their tables, and go on."""
    spaces = []
    for number in range(3):
        space = lab.space(READ)
        for index in range(500):
            space.map(0x40000000 + (index << 30), PAGE_SIZE, RW, None, 0, shared=False)
        _store(space, DATA, number)
        spaces.append(space)
    for index in range(0, 500, 3):
        for number, space in enumerate(spaces):
            lab.enter(space, rdi=0x40000000 + (index << 30))
            assert _value(lab) == 0
            lab.enter(space, rdi=DATA)
            assert _value(lab) == number
    assert lab.forgets > (1 if lab.tables.shadowed else 0)


def test_more_changes_than_the_journal_holds_at_once(lab: Lab) -> None:
    space = lab.space(READ)
    lab.enter(space, rdi=DATA)
    _store(space, DATA, 3)
    assert _value(lab) == 3
    row = lab.tables._words[0]
    lab.tables._rows += [(tr.JOURNAL + 8 * 4096 - 8, index, 1, DATA) for index in range(3000)]
    lab.tables.changed = True
    assert _value(lab) == 3
    assert lab.tables._rows == []
    assert lab.tables._words[0] == row
