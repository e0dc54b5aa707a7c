"""Limits, usage, scheduling, prctl and the rest of the system, asked of the host too where it can be."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import resource as rl
from pylitebox.abi.numbers import AARCH64, X86_64
from pylitebox.north.linux import table
from tests.north.bench import Bench, Guest

if TYPE_CHECKING:
    from tests.north.conftest import AnyGuest


@pytest.fixture
def guest(bench: Bench) -> Guest:
    return bench.guest()


def test_limit_refusals(g: AnyGuest) -> None:
    out = bytearray(16)
    assert g("getrlimit", 16, out) == -E.EINVAL
    assert g("getrlimit", rl.RLIMIT_CORE, 8) == -E.EFAULT
    assert g("prlimit64", 4194000, 0, 0, out) == -E.ESRCH
    assert g("prlimit64", 0, 16, 0, out) == -E.EINVAL
    assert g("setrlimit", rl.RLIMIT_CORE, struct.pack("<QQ", 2, 1)) == -E.EINVAL
    assert g("prlimit64", 0, rl.RLIMIT_NOFILE, struct.pack("<QQ", 1, 1 << 40), 0) == -E.EPERM
    assert g("getrusage", 5, bytearray(144)) == -E.EINVAL
    assert g("getrusage", rl.RUSAGE_SELF, bytearray(144)) == 0
    assert g("times", bytearray(32)) > 0
    assert g("times", 0) > 0


def test_scheduling_refusals(g: AnyGuest) -> None:
    param = bytearray(4)
    assert g("getpriority", 3, 0) == -E.EINVAL
    assert g("getpriority", 0, 4194000) == -E.ESRCH
    assert g("setpriority", 1, 4194000, 0) == -E.ESRCH
    assert g("sched_getscheduler", -1) == -E.EINVAL
    assert g("sched_getscheduler", 4194000) == -E.ESRCH
    assert g("sched_getscheduler", 0) == 0
    assert g("sched_getparam", 0, 0) == -E.EINVAL
    assert g("sched_getparam", 0, param) == 0
    assert bytes(param) == bytes(4)
    assert g("sched_setscheduler", 0, -1, param) == -E.EINVAL
    assert g("sched_setscheduler", 0, 4, param) == -E.EINVAL
    assert g("sched_setscheduler", 0, 1, param) == -E.EINVAL
    assert g("sched_setscheduler", 0, 0, struct.pack("<i", 1)) == -E.EINVAL
    assert g("sched_get_priority_max", 1) == 99
    assert g("sched_get_priority_min", 2) == 1
    assert g("sched_get_priority_max", 3) == 0
    assert g("sched_get_priority_max", 77) == -E.EINVAL
    assert g("sched_getaffinity", 0, 7, bytearray(8)) == -E.EINVAL
    assert g("sched_getaffinity", 0, 0, bytearray(8)) == -E.EINVAL
    assert g("sched_getaffinity", 4194000, 128, bytearray(128)) == -E.ESRCH
    assert g("sched_setaffinity", 0, 8, bytes(8)) == -E.EINVAL
    assert g("sched_getattr", 0, bytearray(56), 40, 0) == -E.EINVAL
    assert g("sched_getattr", 0, bytearray(56), 56, 1) == -E.EINVAL
    assert g("sched_getattr", 0, bytearray(56), 48, 0) == 0
    assert g("sched_setattr", 0, 0, 0) == -E.EINVAL
    assert g("ioprio_get", 9, 0) == -E.EINVAL
    assert g("ioprio_get", 1, 4194000) == -E.ESRCH
    assert g("ioprio_set", 1, 0, 5 << 13) == -E.EINVAL


def test_prctl_refusals(g: AnyGuest) -> None:
    assert g("prctl", 99999, 0, 0, 0, 0) == -E.EINVAL
    assert g("prctl", 1, 65, 0, 0, 0) == -E.EINVAL
    assert g("prctl", 4, 2, 0, 0, 0) == -E.EINVAL
    assert g("prctl", 38, 0, 0, 0, 0) == -E.EINVAL
    assert g("prctl", 38, 1, 1, 0, 0) == -E.EINVAL
    assert g("prctl", 39, 1, 0, 0, 0) == -E.EINVAL
    assert g("prctl", 23, 77, 0, 0, 0) == -E.EINVAL
    assert g("prctl", 47, 9, 0, 0, 0) == -E.EINVAL
    assert g("prctl", 15, 8, 0, 0, 0) == -E.EFAULT
    assert g("prctl", 41, 0, 1, 0, 0) == -E.EINVAL


def test_prctl_answers(g: AnyGuest) -> None:
    for option, first, second, expected in [
        (13, 0, 0, 0), (14, 0, 0, 0), (14, 1, 0, -E.EINVAL), (31, 0, 0, 0), (32, 0, 0, 0), (9, 0, 0, -E.EINVAL),
        (34, 0, 0, 2), (33, 1, 1, 0), (34, 0, 0, 1), (33, 0, 1, -E.EINVAL), (33, 1, 3, -E.EINVAL), (33, 0, 0, 0),
        (34, 0, 0, 2), (66, 0, 0, 0), (66, 1, 0, -E.EINVAL), (68, 0, 0, 0), (41, 1, 0, 0), (42, 0, 0, 1), (41, 0, 0, 0),
        (42, 0, 0, 0), (26, 1, 0, 0), (26, 9, 0, -E.EINVAL), (51, 0, 0, -E.EINVAL),
    ]:  # fmt: skip
        assert g("prctl", option, first, second, 0, 0) == expected, (option, first, second)


def test_names_are_cut(g: AnyGuest) -> None:
    old, new = bytearray(16), bytearray(16)
    assert g("prctl", 16, old, 0, 0, 0) == 0
    assert g("prctl", 15, b"0123456789abcdefgh", 0, 0, 0) == 0
    assert g("prctl", 16, new, 0, 0, 0) == 0
    assert bytes(new) == b"0123456789abcde\0"
    assert g("prctl", 15, bytes(old), 0, 0, 0) == 0


def test_random_bytes(g: AnyGuest) -> None:
    assert g("getrandom", bytearray(8), 8, 8) == -E.EINVAL
    assert g("getrandom", bytearray(8), 8, 6) == -E.EINVAL
    assert g("getrandom", 8, 8, 0) == -E.EFAULT
    assert g("getrandom", 0, 0, 0) == 0
    assert g("getrandom", bytearray(300), 300, 1) == 300


def test_names_of_the_system(guest: Guest) -> None:
    out = bytearray(390)
    assert guest("sethostname", b"box", 3) == 0
    assert guest("setdomainname", b"example", 7) == 0
    assert guest("uname", out) == 0
    fields = [out[i : i + 65].rstrip(b"\0") for i in range(0, 390, 65)]
    assert (fields[0], fields[1], fields[4], fields[5]) == (b"Linux", b"box", b"x86_64", b"example")
    assert int(fields[2].split(b".")[0]) >= 5
    assert guest("sethostname", b"x", 65) == -E.EINVAL
    assert guest("sethostname", b"x", -1) == -E.EINVAL


def test_users_change_no_names() -> None:
    guest = Bench(uid=1000).guest()
    assert guest("sethostname", b"x", 1) == -E.EPERM


def test_descriptor_limits_take_effect(guest: Guest) -> None:
    assert guest("prlimit64", 0, rl.RLIMIT_NOFILE, struct.pack("<QQ", 1, 5), 0) == 0
    fds = bytearray(8)
    assert guest("pipe", fds) == -E.EMFILE
    out = bytearray(16)
    assert guest("getrlimit", rl.RLIMIT_NOFILE, out) == 0
    assert struct.unpack("<QQ", out) == (1, 5)


def test_only_root_raises_hard_limits() -> None:
    guest = Bench(uid=1000).guest()
    assert guest("setrlimit", rl.RLIMIT_CORE, struct.pack("<QQ", 0, 10)) == 0
    assert guest("setrlimit", rl.RLIMIT_CORE, struct.pack("<QQ", 0, 11)) == -E.EPERM
    assert guest("setpriority", 0, 0, -1) == -E.EACCES
    assert guest("setpriority", 0, 0, 3) == 0
    assert guest("getpriority", 0, 0) == 17
    assert guest("sched_setscheduler", 0, 1, struct.pack("<i", 1)) == -E.EPERM


def test_scheduling_is_remembered_and_inherited(guest: Guest) -> None:
    assert guest("sched_setscheduler", 0, 2 | 0x40000000, struct.pack("<i", 9)) == 0
    assert guest("sched_getscheduler", 0) == 2 | 0x40000000
    assert guest("sched_setaffinity", 0, 8, (2).to_bytes(8, "little")) == 0
    mask = bytearray(8)
    assert guest("sched_getaffinity", 0, 8, mask) == 8
    assert mask[0] == 2
    tid = guest("fork")
    assert tid is not None
    child = guest.bench.kernel.tasks[tid].sched
    assert (child.policy, child.priority, child.affinity) == (0, 0, 2)


def test_sysinfo_layout(bench: Bench, guest: Guest) -> None:
    out = bytearray(112)
    assert guest("sysinfo", out) == 0
    assert struct.unpack_from("<H", out, 80)[0] == 1  # procs
    assert struct.unpack_from("<I", out, 104)[0] == 1  # mem_unit


def test_rows_carry_the_right_numbers(bench: Bench) -> None:
    for row in table.ROWS.values():
        assert row.x86_64 == X86_64.get(row.name), row.name
        assert row.aarch64 == AARCH64.get(row.name), row.name


def test_the_table_is_broad(bench: Bench) -> None:
    levels = [row.support.level for row in table.ROWS.values()]
    assert len(levels) - levels.count("unsupported") >= 120
    for row in table.ROWS.values():
        assert row.support.level != "partial" or row.support.note, row.name
        assert row.support.level != "unsupported" or row.support.errno, row.name


def test_unsupported_calls_fail_as_they_say(bench: Bench, guest: Guest) -> None:
    for name, row in table.ROWS.items():
        if row.handler is None and row.x86_64 is not None:
            assert guest(name) == -row.support.errno
