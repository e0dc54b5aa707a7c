"""Machine code on the emulator: calls, faults, what user mode may not do, slices, threads, and the extended state."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from pylitebox.abi.mman import PROT_EXEC, PROT_READ, PROT_WRITE
from pylitebox.abi.sched import CLONE_SETTLS, CLONE_THREAD, CLONE_VM
from pylitebox.abi.signal import SIGFPE, SIGILL, SIGSEGV, SIGTRAP
from tests.south.emulator.bench import (
    CODE,
    CR2,
    DATA,
    ERR,
    RAX,
    RCX,
    RDI,
    RIP,
    STACK,
    SYSCALL,
    TRAPNO,
    Bench,
    Task,
    call,
    mov,
)

RWX = PROT_READ | PROT_WRITE | PROT_EXEC
END = call(231)
LOAD = b"\x48\x8b\x07"  # mov (%rdi),%rax
STORE = b"\x48\x89\x07"  # mov %rax,(%rdi)
REPORT = b"\x48\x89\xc7" + mov(0, 1) + SYSCALL  # call 1 with what was in rax


@pytest.fixture
def bench() -> Any:
    bench = Bench()
    yield bench
    bench.platform.close()


def test_a_call_has_its_number_arguments_and_result(bench: Bench) -> None:
    bench.answers[39] = lambda task, *args: -38
    bench.run(call(39, 1, 2, 3) + REPORT + END)
    assert bench.calls[0][1:] == (39, (1, 2, 3, 0, 0, 0))
    assert bench.calls[1][2][0] == (1 << 64) - 38
    assert [number for _, number, _ in bench.calls] == [39, 1, 231]


def test_rcx_and_r11_are_what_the_instruction_leaves(bench: Bench) -> None:
    code = call(39) + b"\x48\x89\xcf\x4c\x89\xde" + mov(0, 1) + SYSCALL + END
    bench.run(code)
    assert bench.calls[1][2][0] == CODE + len(call(39))
    assert bench.calls[1][2][1] & 0x200


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (mov(7, 0) + LOAD, (SIGSEGV, 1, 0, 14, 4)),
        (mov(7, 0x123000) + LOAD, (SIGSEGV, 1, 0x123000, 14, 4)),
        (mov(7, CODE) + STORE, (SIGSEGV, 2, CODE, 14, 7)),
        (mov(7, 1 << 60) + LOAD, (SIGSEGV, 0x80, 0, 13, 0)),
        (mov(7, (1 << 64) - 4096) + LOAD, (SIGSEGV, 1, (1 << 64) - 4096, 14, 4)),
        (b"\x0f\x0b", (SIGILL, 2, CODE, 6, 0)),
        (b"\xcc", (SIGTRAP, 0x80, 0, 3, 0)),
        (b"\x31\xc9\xf7\xf1", (SIGFPE, 1, CODE + 2, 0, 0)),
        (b"\xcd\x80", (SIGSEGV, 0x80, 0, 13, 0x80 * 8 + 2)),
    ],
    ids=["null", "unmapped", "read-only", "no-address", "kernel-half", "ud2", "int3", "divide", "int80"],
)
def test_a_fault_has_its_signal(bench: Bench, code: bytes, expected: tuple[int, ...]) -> None:
    bench.run(code + END)
    (signo, si_code, address, gregs), *more = bench.faults
    assert (signo, si_code, address, gregs[TRAPNO], gregs[ERR]) == expected
    assert more == []
    assert bench.calls == []
    if expected[3] == 14:
        assert gregs[CR2] == expected[2]


def test_a_jump_to_nowhere_stands_there(bench: Bench) -> None:
    for target, code in ((0, 1), (DATA, 2), ((1 << 64) - 1, 1)):
        bench.faults.clear()
        bench.run(mov(0, target) + b"\xff\xe0")
        assert bench.faults[0][:3] == (SIGSEGV, code, target)
        assert bench.faults[0][3][RIP] == target


#: What only a kernel may do, as in the Intel manual's list of privileged instructions.
PRIVILEGED = {
    "hlt": b"\xf4", "cli": b"\xfa", "sti": b"\xfb", "mov to cr0": b"\x0f\x22\xc0", "mov to cr3": b"\x0f\x22\xd8",
    "mov from cr3": b"\x0f\x20\xd8", "mov to dr7": b"\x0f\x23\xf8", "in": b"\xec", "in imm": b"\xe4\x60",
    "out": b"\xee", "out imm": b"\xe7\x60", "insb": b"\x6c", "outsb": b"\x6e", "rep outsb": b"\xf3\x6e",
    "wrmsr": b"\x0f\x30", "rdmsr": b"\x0f\x32", "lgdt": b"\x0f\x01\x17", "lidt": b"\x0f\x01\x1f",
    "lldt": b"\x0f\x00\xd0", "ltr": b"\x0f\x00\xd8", "lmsw": b"\x0f\x01\xf0", "clts": b"\x0f\x06",
    "invlpg": b"\x0f\x01\x3f", "wbinvd": b"\x0f\x09", "swapgs": b"\x0f\x01\xf8", "sysret": b"\x48\x0f\x07",
    "sysexit": b"\x0f\x35", "sysenter": b"\x0f\x34", "vmcall": b"\x0f\x01\xc1", "vmrun": b"\x0f\x01\xd8",
    "rsm": b"\x0f\xaa", "monitor": b"\x0f\x01\xc8", "mov ds": b"\x8e\xd8", "lret": b"\xcb", "iret": b"\x48\xcf",
}  # fmt: skip


@pytest.mark.parametrize("name", PRIVILEGED)
def test_what_only_a_kernel_may_do_is_a_signal_and_nothing_else(bench: Bench, name: str) -> None:
    before = mov(7, DATA) + mov(6, DATA) + mov(0, 0x10) + mov(1, 1)
    after = b"\x48\xc7\x07\x55\x00\x00\x00"  # movq $0x55,(%rdi): must not happen
    task = bench.run(before + PRIVILEGED[name] + after + END)
    assert len(bench.faults) == 1
    signo, _, _, gregs = bench.faults[0]
    assert signo in {SIGSEGV, SIGILL}
    assert gregs[RIP] == CODE + len(before)
    assert (gregs[RAX], gregs[RDI]) == (0x10, DATA)
    assert task.memory.read(DATA, 8) == bytes(8)
    assert bench.calls == []


def test_a_handled_fault_is_tried_again(bench: Bench) -> None:
    def handle(task: Task, context: Any) -> bool:
        task.thread.space.map(0x900000, 0x1000, PROT_READ | PROT_WRITE, None, 0, shared=False)
        return True

    bench.handle = handle
    bench.run(mov(7, 0x900000) + mov(0, 7) + STORE + LOAD + REPORT + END)
    assert [args[0] for _, number, args in bench.calls if number == 1] == [7]


# -- memory -----------------------------------------------------------------------------------------------------------


def test_changes_by_a_call_are_seen_at_once(bench: Bench) -> None:
    def unmap(task: Task, *args: int) -> int:
        task.thread.space.unmap(DATA, 0x1000)
        return 0

    bench.answers[11] = unmap
    bench.run(mov(7, DATA) + LOAD + call(11) + mov(7, DATA) + LOAD + END)
    assert [fault[:3] for fault in bench.faults] == [(SIGSEGV, 1, DATA)]


def test_code_that_the_kernel_writes_is_the_code_that_runs(bench: Bench) -> None:
    site = CODE + len(call(39))

    def patch(task: Task, *args: int) -> int:
        task.memory.write(site + 2, b"\x02")
        return 0

    bench.answers[39] = patch
    bench.run(call(39) + mov(0, 1) + REPORT + END, prot=RWX)
    assert [args[0] for _, number, args in bench.calls if number == 1] == [2]


def test_guests_that_use_too_much_memory_end(bench: Bench) -> None:
    task = bench.load(mov(7, 0x10000000) + b"\x48\x89\x07\x48\x81\xc7\x00\x10\x00\x00\xeb\xf4")
    task.thread.space.map(0x10000000, 64 << 20, PROT_READ | PROT_WRITE, None, 0, shared=False)
    bench.go()
    assert bench.lost_tasks == [task]


# -- slices -----------------------------------------------------------------------------------------------------------

def test_slices_end_between_instructions(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop in the middle of a page's fill must not make an instruction run twice."""
    monkeypatch.setattr("pylitebox.south.emulator.platform.SLICE_S", 0.0005)
    bench.answers[39] = lambda task, *args: task.thread.space.discard(0x10000000, 258 * 4096) or 0
    add = b"\x49\x83\x84\x24\xfc\x0f\x00\x00\x01"  # addq $1,4092(%r12)
    look = b"\x49\x83\xbc\x24\xfc\x0f\x00\x00\x01"  # cmpq $1,4092(%r12)
    inner = add + look + b"\x75\x1b" + b"\x49\x81\xc4\x00\x20\x00\x00" + b"\xff\xc9"
    inner += b"\x75" + struct.pack("b", -len(inner) - 2)
    outer = b"\x49\xc7\xc4\x00\x00\x00\x10" + b"\xb9\x80\x00\x00\x00" + inner + b"\xb8\x27\x00\x00\x00\x0f\x05"
    outer += b"\x48\xff\xcb"
    outer += b"\x75" + struct.pack("b", -len(outer) - 2)
    code = b"\x48\xc7\xc3\x28\x00\x00\x00" + outer + b"\x90" * 16 + b"\x48\x89\xd8" + REPORT + END
    for tid in (1, 2):
        task = bench.load(code, tid=tid)
        task.thread.space.map(0x10000000, 260 * 4096, PROT_READ | PROT_WRITE, None, 0, shared=False)
    bench.go(10**6)
    assert [args[0] for _, number, args in bench.calls if number == 1] == [0, 0]
    assert bench.faults == []


def test_threads_that_compute_take_turns(bench: Bench) -> None:
    """Neither of two endless loops keeps the other from running."""
    spin = b"\xeb\xfe"
    tasks = [bench.load(spin, tid=1), bench.load(spin, tid=2)]
    for _ in range(6):
        bench.platform.poll(None)
    assert all(task.thread.cpu_time() > 0 for task in tasks)


# -- threads ----------------------------------------------------------------------------------------------------------


def clones(bench: Bench, flags: int, *, stack: int = 0, tls: int = 0) -> Task:
    child = Task(2)
    bench.answers[56] = lambda task, *args: task.thread.clone(child, flags)
    registers = mov(7, flags) + mov(6, stack) + b"\x49\xb8" + struct.pack("<Q", tls)
    code = registers + mov(0, 56) + SYSCALL + mov(7, DATA) + b"\x48\xff\x07" + b"\x48\x89\xc6" + LOAD
    bench.run(code + b"\x48\x89\xc7" + mov(0, 1) + SYSCALL + call(60))
    return child


def test_a_fork_has_memory_of_its_own(bench: Bench) -> None:
    child = clones(bench, 17)
    said = {tid: args[:2] for tid, number, args in bench.calls if number == 1}
    assert said == {1: (1, 2), 2: (1, 0)}
    assert bench.started_tasks == [child]


def test_a_thread_shares_memory_and_has_stack_and_tls(bench: Bench) -> None:
    seen: list[tuple[int, int]] = []
    bench.answers[1] = lambda task, *args: seen.append((task.tid, task.thread.fs_base)) or 0
    clones(bench, CLONE_VM | CLONE_THREAD | CLONE_SETTLS, stack=STACK - 0x1000, tls=0x7777000)
    assert sorted(args[0] for _, number, args in bench.calls if number == 1) == [1, 2]
    assert dict(seen) == {1: 0, 2: 0x7777000}


def test_a_parked_thread_gets_its_result(bench: Bench) -> None:
    bench.answers[39] = lambda task, *args: None
    task = bench.run(call(39) + REPORT + END)
    assert task.thread.mode == "parked"
    task.thread.complete(-4)
    bench.go()
    assert bench.calls[1][2][0] == (1 << 64) - 4


def test_a_kick_brings_a_safe_point_whose_changes_count(bench: Bench) -> None:
    """Entering a handler, with a clean extended state, and coming back by rt_sigreturn."""
    main = call(39) + REPORT + END
    handler = call(15)
    kept: list[Any] = []

    def kick(task: Task, *args: int) -> int:
        task.thread.kick()
        return 5

    def safe(task: Task, context: Any) -> bool:
        kept.append((list(context.gregs), context.fpstate()))
        task.memory.write(DATA + 512, kept[0][1])
        context.gregs[RIP] = CODE + 2 + len(main)
        context.set_fpstate(0)
        return True

    def returned(task: Task, context: Any) -> bool:
        context.gregs[:] = kept[0][0]
        context.set_fpstate(DATA + 512)
        kept.append(context.fpstate())
        return True

    bench.answers[39], bench.safe, bench.returned = kick, safe, returned
    bench.run(b"\xd9\xe8" + main + handler)
    assert [args[0] for _, number, args in bench.calls if number == 1] == [5]
    gregs, state = kept[0]
    assert gregs[RAX] == 5
    assert gregs[RCX] == gregs[RIP]
    assert len(state) == 512
    assert struct.unpack_from("<H", state)[0] == 0x37F
    assert state[32:42] == bytes.fromhex("0000000000000080ff3f")  # st(0) is 1.0


def test_a_held_thread_waits_for_its_kick(bench: Bench) -> None:
    held: list[int] = []

    def kick(task: Task, *args: int) -> int:
        task.thread.kick()
        return 0

    def safe(task: Task, context: Any) -> bool:
        held.append(1)
        return len(held) > 1

    bench.answers[39], bench.safe = kick, safe
    task = bench.run(call(39) + END)
    assert task.thread.mode == "held"
    task.thread.kick()
    bench.go()
    assert bench.calls[-1][1] == 231


def test_the_tlb_grows_for_who_computes_without_calls(bench: Bench) -> None:
    pages, passes, base = 1024, 16, 0x10000000
    step = LOAD + b"\x48\x81\xc7\x00\x10\x00\x00\x48\xff\xca\x75\xf1"  # add $4096,%rdi; dec %rdx; jnz
    sweep = mov(7, base) + mov(2, pages) + step + b"\x48\xff\xc9\x75\xd8"  # dec %rcx; jnz
    task = bench.load(mov(1, passes) + sweep + END)
    task.thread.space.map(base, pages << 12, PROT_READ, None, 0, shared=False)
    bench.go()
    assert not bench.faults
    assert bench.calls[-1][1] == 231
    assert bench.platform._ticker.hooks < 6 * pages  # a fill for each access would be 16 times as many
