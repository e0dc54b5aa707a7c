"""The assembler against the evaluator, and the checks that both rest on."""

import struct

import pytest

from pylitebox.abi import bpf as B
from pylitebox.south.native.bpf import JEQ, JGE, JGT, JSET, Label, Program, check, evaluate


def words(*values: int) -> bytes:
    return struct.pack("<16I", *values, *[0] * (16 - len(values)))


def choose(code: int, value: int) -> bytes:
    """A program that returns 1 if the comparison of the first word holds, else 2."""
    program, no = Program(), Label()
    program.load(0)
    program.branch(code, value, no=no)
    program.ret(1)
    program.place(no)
    program.ret(2)
    return program.assemble()


@pytest.mark.parametrize(
    ("code", "value", "true_for", "false_for"),
    [
        (JEQ, 5, [5], [4, 6, 0xFFFFFFFF]),
        (JGT, 5, [6, 0xFFFFFFFF], [5, 0]),
        (JGE, 5, [5, 6, 0x80000000], [4, 0]),
        (JSET, 6, [2, 4, 0xFFFFFFFF], [0, 1, 8]),
    ],
)
def test_comparisons(code: int, value: int, true_for: list[int], false_for: list[int]) -> None:
    program = choose(code, value)
    assert [evaluate(program, words(w))[0] for w in true_for] == [1] * len(true_for)
    assert [evaluate(program, words(w))[0] for w in false_for] == [2] * len(false_for)


def test_mask_and_other_words() -> None:
    program, other = Program(), Label()
    program.load(60)
    program.mask(0xF0)
    program.branch(JEQ, 0x30, no=other)
    program.ret(7)
    program.place(other)
    program.ret(8)
    code = program.assemble()
    assert evaluate(code, words(*[0] * 15, 0x1234_5F3A))[0] == 7
    assert evaluate(code, words(*[0x30] * 15, 0x40))[0] == 8


@pytest.mark.parametrize("distance", [253, 254, 255, 256, 257, 600])
@pytest.mark.parametrize("sides", ["yes", "no", "both"])
def test_jumps_of_any_length(distance: int, sides: str) -> None:
    program, far, farther = Program(), Label(), Label()
    program.load(0)
    program.branch(JEQ, 1, yes=far if sides != "no" else None, no=farther if sides != "yes" else None)
    for _ in range(distance):
        program.ret(100)
    program.place(far)
    program.ret(1)
    program.place(farther)
    program.ret(2)
    code = program.assemble()
    assert evaluate(code, words(1))[0] == (1 if sides != "no" else 100)
    assert evaluate(code, words(0))[0] == (2 if sides != "yes" else 100)


def test_no_jump_backwards() -> None:
    program, loop = Program(), Label()
    program.place(loop)
    program.load(0)
    program.branch(JEQ, 1, yes=loop)
    program.ret(0)
    with pytest.raises(ValueError, match="backwards"):
        program.assemble()


@pytest.mark.parametrize(
    ("insns", "message"),
    [
        ([], "instructions"),
        ([(B.BPF_RET, 0, 0, 0)] * (B.BPF_MAXINSNS + 1), "instructions"),
        ([(B.BPF_LD | B.BPF_ABS, 0, 0, 64), (B.BPF_RET, 0, 0, 0)], "outside"),
        ([(B.BPF_LD | B.BPF_ABS, 0, 0, 2), (B.BPF_RET, 0, 0, 0)], "outside"),
        ([(JEQ, 0, 1, 0), (B.BPF_RET, 0, 0, 0)], "leaves"),
        ([(B.BPF_JMP, 0, 0, 0xFFFFFFFF), (B.BPF_RET, 0, 0, 0)], "leaves"),
        ([(B.BPF_LD | B.BPF_ABS, 0, 0, 0)], "leaves"),
        ([(0x87, 0, 0, 0), (B.BPF_RET, 0, 0, 0)], "unknown code"),
    ],
)
def test_check_refuses(insns: list[tuple[int, int, int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(b"".join(struct.pack("<HBBI", *insn) for insn in insns))
