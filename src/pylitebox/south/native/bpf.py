"""A small assembler for classic BPF with labels, and an evaluator that runs what it made.

seccomp(2) programs are compiled from the tables in :mod:`.surface` by :mod:`.filters`; the tests run the compiled
bytes with :func:`evaluate` and compare them with the tables, so the evaluator follows the kernel's rules (jumps go
forward, loads are aligned words of ``struct seccomp_data``, each path ends in a return) and shares nothing with the
assembler but the numbers in :mod:`pylitebox.abi.bpf`.

A conditional jump reaches 255 instructions; what is farther away goes through an unconditional one next to it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pylitebox.abi import bpf as B
from pylitebox.abi.seccomp import DATA_SIZE

_INSN = struct.Struct("<HBBI")  # struct sock_filter
_REACH = 255

_LOAD = B.BPF_LD | B.BPF_W | B.BPF_ABS
_AND = B.BPF_ALU | B.BPF_AND | B.BPF_K
_RETURN = B.BPF_RET | B.BPF_K
_JUMP = B.BPF_JMP | B.BPF_JA
JEQ = B.BPF_JMP | B.BPF_JEQ | B.BPF_K
JGT = B.BPF_JMP | B.BPF_JGT | B.BPF_K
JGE = B.BPF_JMP | B.BPF_JGE | B.BPF_K
JSET = B.BPF_JMP | B.BPF_JSET | B.BPF_K


class Label:
    """A place in a program; unique by identity."""


class _Branch:
    def __init__(self, code: int, value: int, yes: Label | None, no: Label | None) -> None:
        self.code = code
        self.value = value
        self.yes = yes  # None: the next instruction
        self.no = no
        self.far_yes = False
        self.far_no = False

    def size(self) -> int:
        return 1 + self.far_yes + self.far_no


class Program:
    """Instructions in order; :meth:`assemble` gives an array of ``struct sock_filter``."""

    def __init__(self) -> None:
        self._items: list[Label | _Branch | tuple[int, int]] = []

    def place(self, label: Label) -> None:
        self._items.append(label)

    def load(self, offset: int) -> None:
        """A = the 32-bit word at ``offset`` of struct seccomp_data."""
        self._items.append((_LOAD, offset))

    def mask(self, value: int) -> None:
        """A &= value."""
        self._items.append((_AND, value))

    def ret(self, value: int) -> None:
        self._items.append((_RETURN, value))

    def branch(self, code: int, value: int, yes: Label | None = None, no: Label | None = None) -> None:
        """Compare A with ``value`` (JEQ, JGT, JGE, JSET) and go to ``yes`` or ``no``; None goes on."""
        self._items.append(_Branch(code, value, yes, no))

    def _addresses(self) -> dict[Label, int]:
        at, where = 0, {}
        for item in self._items:
            if isinstance(item, Label):
                where[item] = at
            else:
                at += item.size() if isinstance(item, _Branch) else 1
        return where

    def _relax(self) -> dict[Label, int]:
        """Mark the jumps that are too far; each pass can only push labels away, so this ends."""
        while True:
            where, at, changed = self._addresses(), 0, False
            for item in self._items:
                if isinstance(item, _Branch):
                    for side, label, far in (("far_yes", item.yes, item.far_yes), ("far_no", item.no, item.far_no)):
                        if label is not None and not far and where[label] - at - 1 > _REACH:
                            setattr(item, side, True)
                            changed = True
                    at += item.size()
                elif not isinstance(item, Label):
                    at += 1
            if not changed:
                return where

    def _encode(self, where: dict[Label, int]) -> Iterator[tuple[int, int, int, int]]:
        at = 0
        for item in self._items:
            if isinstance(item, tuple):
                yield (item[0], 0, 0, item[1])
                at += 1
            elif isinstance(item, _Branch):
                here, extra, jumps, offsets = at, 0, [], []
                at += item.size()
                for label, far in ((item.yes, item.far_yes), (item.no, item.far_no)):
                    if far and label is not None:
                        offsets.append(extra)
                        extra += 1
                        jumps.append(where[label] - (here + 1 + extra))
                    else:
                        offsets.append((at if label is None else where[label]) - here - 1)
                if min(offsets + jumps) < 0:
                    raise ValueError("classic BPF has no jump backwards")
                yield (item.code, offsets[0], offsets[1], item.value)
                for distance in jumps:
                    yield (_JUMP, 0, 0, distance)

    def assemble(self) -> bytes:
        code = b"".join(_INSN.pack(*insn) for insn in self._encode(self._relax()))
        check(code)
        return code


def check(code: bytes) -> None:
    """Raise ValueError for what the host's verifier would refuse, and for what :func:`evaluate` doesn't know."""
    insns = list(_INSN.iter_unpack(code))
    if not 0 < len(insns) <= B.BPF_MAXINSNS:
        raise ValueError(f"a program has 1 to {B.BPF_MAXINSNS} instructions, not {len(insns)}")
    for at, (op, yes, no, k) in enumerate(insns):
        if op == _LOAD:
            if k % 4 or k >= DATA_SIZE:
                raise ValueError(f"instruction {at} loads outside struct seccomp_data")
        elif op == _JUMP:
            yes, no = k, 0
        elif op not in (_AND, _RETURN, JEQ, JGT, JGE, JSET):
            raise ValueError(f"instruction {at} has the unknown code {op:#x}")
        if op != _RETURN and at + 1 + max(yes, no) >= len(insns):
            raise ValueError(f"instruction {at} leaves the program")


def evaluate(code: bytes, data: bytes) -> tuple[int, int]:
    """Run a program on a ``struct seccomp_data``: (what it returns, how many instructions that took)."""
    accumulator = at = steps = 0
    while True:
        op, yes, no, k = _INSN.unpack_from(code, at * _INSN.size)
        at += 1
        steps += 1
        if op == _RETURN:
            return k, steps
        if op == _LOAD:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif op == _AND:
            accumulator &= k
        elif op == _JUMP:
            at += k
        elif op == JEQ:
            at += yes if accumulator == k else no
        elif op == JGT:
            at += yes if accumulator > k else no
        elif op == JGE:
            at += yes if accumulator >= k else no
        else:
            at += yes if accumulator & k else no
