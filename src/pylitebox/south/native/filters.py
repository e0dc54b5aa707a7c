"""Compile the tables of :mod:`.surface` to seccomp programs: arrays of ``struct sock_filter``.

The shape is the same for every role: the architecture first (``int 0x80`` would reach another table with the numbers
of this one), then a binary search over the number, so that a call without conditions costs about eight comparisons,
then the rule's cases. Equal decisions share their code. x32 numbers answer ENOSYS as on a host without x32.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pylitebox.abi import errno as E
from pylitebox.abi.numbers import X86_64
from pylitebox.abi.seccomp import AUDIT_ARCH_X86_64, DATA_ARCH, DATA_ARGS, DATA_IP_HIGH, DATA_NR, X32_SYSCALL_BIT
from pylitebox.south.native import surface as S
from pylitebox.south.native.bpf import JEQ, JGE, JGT, Label, Program

#: What a program decides for one number: its cases, and the action if none holds.
_Decision = tuple[tuple[S.Case, ...], int]


def guest_rules(direct: Collection[str] = ()) -> tuple[S.Rule, ...]:
    """The guest's rules with the template's; calls in ``direct`` are notified although some outer filters deny them."""
    rules = {rule.name: rule for rule in (*S.GUEST, *S.TEMPLATE)}
    for name in S.DENIED_OUTSIDE:
        if name not in rules and not (name in direct and name in S.OFTEN):
            rules[name] = S.Rule(name, (), S.TRAP, "outer filters deny it; the stub forwards it")
    return tuple(rules.values())


def startup_rules() -> tuple[S.Rule, ...]:
    """The second filter: what only starting needed kills from the stub's addresses.

    Anywhere else it allows, which leaves the decision to the guest filter: the stricter answer of the two counts."""
    return tuple(S.Rule(r.name, (S.Case((S.STUB,), S.KILL),), S.ALLOW, r.reason) for r in S.TEMPLATE)


def supervisor_rules(groups: Collection[str] = ()) -> tuple[S.Rule, ...]:
    """What the supervisor may do; ``groups``: "host-write" with a writable host directory."""
    rules = {rule.name: rule for rule in (*S.SUPERVISOR, *S.HOSTILE)}
    for group in groups:
        rules.update((rule.name, rule) for rule in S.ROLES[f"supervisor {group}"])
    return tuple(rules.values())


def guest_filter(direct: Collection[str] = ()) -> bytes:
    return compile_rules(guest_rules(direct), S.NOTIFY)


def startup_filter() -> bytes:
    return compile_rules(startup_rules(), S.ALLOW)


def guardian_filter() -> bytes:
    return compile_rules(S.GUARDIAN, S.KILL)


def supervisor_filter(groups: Collection[str] = ()) -> bytes:
    return compile_rules(supervisor_rules(groups), S.refuse(E.EPERM))


def compile_rules(rules: Iterable[S.Rule], default: int) -> bytes:
    program, die = Program(), Label()
    program.load(DATA_ARCH)
    program.branch(JEQ, AUDIT_ARCH_X86_64, no=die)
    program.load(DATA_NR)
    decisions: dict[int, _Decision] = {X86_64[rule.name]: (rule.cases, rule.otherwise) for rule in rules}
    leaves: dict[_Decision, Label] = {}

    def leaf(decision: _Decision) -> Label:
        return leaves.setdefault(decision, Label())

    intervals: list[tuple[int, Label]] = [(0, leaf(((), default)))]  # from this number on, that leaf
    for nr, decision in sorted(decisions.items()):
        if intervals[-1][0] == nr:
            intervals.pop()
        intervals += [(nr, leaf(decision)), (nr + 1, leaf(((), default)))]
    intervals.append((X32_SYSCALL_BIT, leaf(((), S.refuse(E.ENOSYS)))))
    intervals = [item for i, item in enumerate(intervals) if i == 0 or intervals[i - 1][1] is not item[1]]

    def search(part: list[tuple[int, Label]]) -> None:
        middle = len(part) // 2
        left, right = part[:middle], part[middle:]
        go_right = right[0][1] if len(right) == 1 else Label()
        program.branch(JGE, right[0][0], yes=go_right, no=left[0][1] if len(left) == 1 else None)
        if len(left) > 1:
            search(left)
        if len(right) > 1:
            program.place(go_right)
            search(right)

    search(intervals)
    for (cases, otherwise), label in leaves.items():
        program.place(label)
        for case in cases:
            _case(program, case)
            if not case.tests:
                break
        else:
            program.ret(otherwise)
    program.place(die)
    program.ret(S.KILL)
    return program.assemble()


def _case(program: Program, case: S.Case) -> None:
    fails = Label()
    for test in case.tests:
        _test(program, test, fails)
    program.ret(case.action)
    program.place(fails)


def _test(program: Program, test: S.Condition, fails: Label) -> None:
    offset = DATA_IP_HIGH if test.arg is None else DATA_ARGS + 8 * test.arg
    if test.wide:
        program.load(offset + 4)
        program.branch(JEQ, 0, no=fails)
    program.load(offset)
    if test.mask != 0xFFFFFFFF:
        program.mask(test.mask)
    holds = Label()
    for i, (low, high) in enumerate(test.ranges):  # ascending
        last = i == len(test.ranges) - 1
        if low == high:
            program.branch(JEQ, low, yes=None if last else holds, no=fails if last else None)
        elif last:
            program.branch(JGE, low, no=fails)
            program.branch(JGT, high, yes=fails)
        else:
            above = Label()
            program.branch(JGE, low, no=fails)
            program.branch(JGT, high, yes=above, no=holds)
            program.place(above)
    program.place(holds)
