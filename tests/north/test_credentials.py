"""Ids and capabilities: the rules of man 7 credentials and man 7 capabilities."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from pylitebox.abi import errno as E
from pylitebox.kernel.credentials import ALL_CAPABILITIES, CAP_SETUID, Credentials
from pylitebox.kernel.process import exec_credentials
from tests.north.bench import Bench, Guest

if TYPE_CHECKING:
    from tests.north.conftest import AnyGuest

KEEP = 0xFFFFFFFF


@pytest.fixture
def root(bench: Bench) -> Guest:
    return bench.guest()


@pytest.fixture
def user() -> Guest:
    guest = Bench(uid=1000).guest()
    guest.task.cred = Credentials(1000, 1001, 1002, 1001, 2000, 2001, 2002, 2001, (), 0, 0)
    return guest


def uids(guest: Guest) -> tuple[int, int, int, int]:
    cred = guest.task.cred
    return cred.uid, cred.euid, cred.suid, cred.fsuid


def test_refusals(g: AnyGuest) -> None:
    assert g("setuid", KEEP) == -E.EINVAL
    assert g("setgid", KEEP) == -E.EINVAL
    assert g("getgroups", -1, 0) == -E.EINVAL
    assert g("setresuid", KEEP, KEEP, KEEP) == 0
    assert g("setfsuid", KEEP) == g("geteuid")
    assert g("setfsgid", KEEP) == g("getegid")
    ids = bytearray(4), bytearray(4), bytearray(4)
    assert g("getresuid", *ids) == 0
    assert {int.from_bytes(i, "little") for i in ids} == {g("getuid")}
    assert g("getresuid", 8, 8, 8) == -E.EFAULT


def test_capget_headers(g: AnyGuest) -> None:
    bad = bytearray(struct.pack("<Ii", 1, 0))
    assert g("capget", bad, bytearray(24)) == -E.EINVAL
    assert struct.unpack("<Ii", bad) == (0x20080522, 0)
    assert g("capget", bytearray(struct.pack("<Ii", 1, 0)), 0) == 0
    assert g("capget", bytearray(struct.pack("<Ii", 0x20080522, -1)), bytearray(24)) == -E.EINVAL
    assert g("capget", bytearray(struct.pack("<Ii", 0x20080522, 4194000)), bytearray(24)) == -E.ESRCH
    assert g("capget", bytearray(struct.pack("<Ii", 0x20080522, 0)), bytearray(24)) == 0
    assert g("capset", bytearray(struct.pack("<Ii", 0x20080522, 4194000)), bytearray(24)) == -E.EPERM


def test_root_gives_itself_up(root: Guest) -> None:
    assert root("setuid", 1000) == 0
    assert uids(root) == (1000,) * 4
    assert root.task.cred.permitted == root.task.cred.effective == 0
    assert root("setuid", 0) == -E.EPERM
    assert root("setgroups", 0, 0) == -E.EPERM


def test_root_keeps_its_capabilities_if_it_asks(root: Guest) -> None:
    assert root("prctl", 8, 1, 0, 0, 0) == 0
    assert root("setresuid", 1000, 1000, 1000) == 0
    assert root.task.cred.permitted == ALL_CAPABILITIES
    assert root.task.cred.effective == 0
    assert root("prctl", 7, 0, 0, 0, 0) == 1


def test_effective_capabilities_follow_the_effective_id(root: Guest) -> None:
    assert root("setresuid", KEEP, 1000, KEEP) == 0
    assert root.task.cred.effective == 0
    assert root.task.cred.permitted == ALL_CAPABILITIES
    assert root("setresuid", KEEP, 0, KEEP) == 0
    assert root.task.cred.effective == ALL_CAPABILITIES


def test_users_move_between_their_own_ids(user: Guest) -> None:
    assert user("setuid", 1002) == 0
    assert uids(user) == (1000, 1002, 1002, 1002)
    assert user("setuid", 1001) == -E.EPERM
    assert user("setreuid", KEEP, 1000) == 0
    assert uids(user) == (1000, 1000, 1002, 1000)
    assert user("setreuid", 1000, 1002) == 0
    assert uids(user) == (1000, 1002, 1002, 1002)
    assert user("setresuid", 1002, 1000, KEEP) == 0
    assert user("setresuid", 7, KEEP, KEEP) == -E.EPERM
    assert user("setreuid", 7, KEEP) == -E.EPERM


def test_groups_follow_the_same_rules(user: Guest) -> None:
    assert user("setgid", 2002) == 0
    assert user.task.cred.egid == user.task.cred.fsgid == 2002
    assert user("setgid", 2001) == -E.EPERM
    assert user("setregid", KEEP, 2000) == 0
    assert user("setresgid", 2002, KEEP, KEEP) == 0
    assert user("setresgid", 7, KEEP, KEEP) == -E.EPERM
    assert user("setfsgid", 2002) == 2000
    assert user("setfsgid", 7) == 2002
    assert user.task.cred.fsgid == 2002


def test_supplementary_groups(root: Guest) -> None:
    assert root("setgroups", 3, struct.pack("<3I", 30, 10, 20)) == 0
    out = bytearray(12)
    assert root("getgroups", 0, 0) == 3
    assert root("getgroups", 2, out) == -E.EINVAL
    assert root("getgroups", 3, out) == 3
    assert struct.unpack("<3I", out) == (10, 20, 30)
    assert root("setgroups", 65537, 0) == -E.EINVAL
    assert root("setgroups", 1, 8) == -E.EFAULT


def test_fsuid_takes_the_file_capabilities_along(root: Guest) -> None:
    assert root("setfsuid", 1000) == 0
    assert not root.task.cred.effective & 0b11111
    assert root.task.cred.capable(CAP_SETUID)
    assert root("setfsuid", 0) == 1000
    assert root.task.cred.effective == ALL_CAPABILITIES


def test_capset_only_takes_away(root: Guest) -> None:
    header = bytearray(struct.pack("<Ii", 0x20080522, 0))
    only = 1 << CAP_SETUID
    assert root("capset", header, struct.pack("<6I", only, only, 0, 0, 0, 0)) == 0
    assert root.task.cred.permitted == root.task.cred.effective == only
    assert root("capset", header, struct.pack("<6I", only, only | 1, 0, 0, 0, 0)) == -E.EPERM
    assert root("capset", header, struct.pack("<6I", only, 0, 0, 0, 0, 0)) == -E.EPERM


def test_the_bounding_set_and_ambient_capabilities(root: Guest) -> None:
    assert root("prctl", 23, 5, 0, 0, 0) == 1
    assert root("prctl", 24, 5, 0, 0, 0) == 0
    assert root("prctl", 23, 5, 0, 0, 0) == 0
    assert root("prctl", 23, 64, 0, 0, 0) == -E.EINVAL
    assert root("prctl", 47, 2, 7, 0, 0) == -E.EPERM  # not inheritable
    header = bytearray(struct.pack("<Ii", 0x20080522, 0))
    everything = 0xFFFFFFFF
    assert root("capset", header, struct.pack("<6I", everything, everything, 1 << 7, 511, 511, 0)) == 0
    assert root("prctl", 47, 2, 7, 0, 0) == 0
    assert root("prctl", 47, 1, 7, 0, 0) == 1


def test_a_new_identity_is_not_dumpable(root: Guest) -> None:
    root("prctl", 1, 15, 0, 0, 0)
    assert root("prctl", 3, 0, 0, 0, 0) == 1
    root("setresuid", KEEP, 1000, KEEP)
    assert root("prctl", 3, 0, 0, 0, 0) == 0
    assert root.task.process.pdeathsig == 0


def test_exec_recomputes_capabilities() -> None:
    root = Credentials(inheritable=3, bounding=0xFF)
    assert exec_credentials(root).permitted == 0xFF
    user = Credentials.user(1000, 1000)
    assert exec_credentials(user).effective == 0
    effective_user = Credentials(0, 1000, 0, 1000)
    after = exec_credentials(effective_user)
    assert (after.suid, after.permitted != 0, after.effective) == (1000, True, 0)


def test_secure_bits_stay_locked(root: Guest) -> None:
    assert root("prctl", 28, 0x30, 0, 0, 0) == 0
    assert root("prctl", 28, 0x20, 0, 0, 0) == -E.EPERM
    assert root("prctl", 8, 0, 0, 0, 0) == -E.EPERM
    assert root("prctl", 27, 0, 0, 0, 0) == 0x30
