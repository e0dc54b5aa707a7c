"""System V IPC, on the host and on our kernel alike where no test has to wait; what is made is always removed."""

import re
import struct
from collections.abc import Callable, Iterator

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import ipc
from pylitebox.abi.mman import PAGE_SIZE
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.exit import exit_process
from pylitebox.kernel.fs.procfs import ProcFs
from tests.north.bench import PARKED, Bench, Guest
from tests.north.calls import read
from tests.north.conftest import AnyGuest

#: A key that nobody else on the host uses.
KEY = 0x70796C69
ALARM = 14
_REMOVE = {"semget": ("semctl", 0), "msgget": ("msgctl",), "shmget": ("shmctl",)}
Make = Callable[..., int]


@pytest.fixture
def make(g: AnyGuest) -> Iterator[Make]:
    """Make an object by one of the *get calls; its id. It is removed at the end."""
    made: list[tuple[str, int]] = []

    def get(call: str, *arguments: int) -> int:
        ident = g(call, *arguments)
        assert ident >= 0
        made.append((call, ident))
        return ident

    yield get
    for call, ident in made:
        name, *number = _REMOVE[call]
        g(name, ident, *number, ipc.IPC_RMID, 0)


def sops(*operations: tuple[int, int, int]) -> bytes:
    return b"".join(ipc.SEMBUF.pack(*operation) for operation in operations)


def semop(g: AnyGuest, ident: int, *operations: tuple[int, int, int]) -> int | None:
    return g("semop", ident, sops(*operations), len(operations))


def get_all(g: AnyGuest, ident: int, count: int) -> tuple[int, ...]:
    values = bytearray(2 * count)
    assert g("semctl", ident, 0, ipc.GETALL, values) == 0
    return struct.unpack(f"<{count}H", values)


def perm(data: bytes | bytearray) -> tuple[int, ...]:
    """key, uid, gid, cuid, cgid, mode, seq."""
    return ipc.IPC_PERM.unpack_from(data)


# -- keys and ids ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "size"), [("semget", (3,)), ("msgget", ()), ("shmget", (5000,))])
def test_keys(g: AnyGuest, make: Make, call: str, size: tuple[int, ...]) -> None:
    assert g(call, KEY, *size, 0o600) == -E.ENOENT
    ident = make(call, KEY, *size, ipc.IPC_CREAT | 0o640)
    assert g(call, KEY, *size, 0) == ident
    assert g(call, KEY, *size, ipc.IPC_CREAT | 0o600) == ident
    assert g(call, KEY, *size, ipc.IPC_CREAT | ipc.IPC_EXCL | 0o600) == -E.EEXIST
    assert g(call, KEY, *size, ipc.IPC_EXCL) == ident
    private = make(call, ipc.IPC_PRIVATE, *size, 0o600)
    assert private != ident
    if size:
        assert g(call, KEY, size[0] + 1, 0) == -E.EINVAL
        assert g(call, KEY, 0, 0) == ident
    name, *number = _REMOVE[call]
    assert g(name, ident, *number, ipc.IPC_RMID, 0) == 0
    assert g(name, ident, *number, ipc.IPC_RMID, 0) == -E.EINVAL
    assert g(call, KEY, *size, 0) == -E.ENOENT
    assert make(call, KEY, *size, ipc.IPC_CREAT | 0o600) != ident
    assert g(name, -1, *number, ipc.IPC_RMID, 0) == -E.EINVAL
    assert g(name, private, *number, 99, 0) == -E.EINVAL
    assert g(name, private, *number, ipc.IPC_STAT | 0x100, 0) == -E.EINVAL, "IPC_64 is no flag of this architecture"


@pytest.mark.parametrize(("call", "arguments", "error"), [
    ("semget", (0, 0, 0o600), E.EINVAL), ("semget", (0, -1, 0o600), E.EINVAL), ("semget", (0, 32001, 0o600), E.EINVAL),
    ("shmget", (0, 0, 0o600), E.EINVAL), ("shmget", (0, -1, 0o600), E.EINVAL),
    ("shmget", (0, 1 << 62, 0o600), E.ENOMEM), ("shmget", (0, 4096, 0o600 | ipc.SHM_HUGETLB), E.ENOMEM),
])  # fmt: skip
def test_what_cannot_be_made(g: AnyGuest, call: str, arguments: tuple[int, ...], error: int) -> None:
    assert g(call, *arguments) == -error


# -- semaphores -----------------------------------------------------------------------------------------------


def test_operations_are_done_all_or_none(g: AnyGuest, make: Make) -> None:
    ident = make("semget", 0, 3, 0o600)
    now = ipc.IPC_NOWAIT
    assert get_all(g, ident, 3) == (0, 0, 0)
    assert semop(g, ident, (0, 2, 0), (1, 3, 0)) == 0
    assert semop(g, ident, (0, -1, now), (1, -4, now)) == -E.EAGAIN
    assert semop(g, ident, (2, 0, 0), (2, 1, 0), (2, 0, now)) == -E.EAGAIN, "each sees what the ones before it did"
    assert get_all(g, ident, 3) == (2, 3, 0)
    assert semop(g, ident, (2, 0, 0), (2, 1, 0), (2, -1, now), (2, 0, 0)) == 0
    assert semop(g, ident, (0, ipc.SEMVMX, 0)) == -E.ERANGE
    assert semop(g, ident, (0, 0, now)) == -E.EAGAIN
    assert semop(g, ident, (3, 1, 0)) == -E.EFBIG
    assert g("semop", ident, sops((0, 1, 0)), 0) == -E.EINVAL
    assert g("semop", ident, sops((0, 1, 0)), ipc.SEMOPM + 1) == -E.E2BIG
    assert g("semop", ident, 0, 1) == -E.EFAULT
    assert semop(g, -1, (0, 1, 0)) == -E.EINVAL
    assert g("semtimedop", ident, sops((2, -1, 0)), 1, struct.pack("<qq", 0, 1_000_000_000)) == -E.EINVAL
    assert g("semtimedop", ident, sops((2, 1, 0)), 1, struct.pack("<qq", 0, 1)) == 0
    assert get_all(g, ident, 3) == (2, 3, 1)


def test_semaphore_control(g: AnyGuest, make: Make) -> None:
    ident = make("semget", 0, 2, 0o640)
    me = g("getpid")
    assert g("semctl", ident, 1, ipc.GETPID, 0) == 0
    assert g("semctl", ident, 1, ipc.SETVAL, 7) == 0
    assert g("semctl", ident, 1, ipc.GETVAL, 0) == 7
    assert g("semctl", ident, 1, ipc.GETPID, 0) == me
    for value in (-1, ipc.SEMVMX + 1):
        assert g("semctl", ident, 1, ipc.SETVAL, value) == -E.ERANGE
    assert g("semctl", ident, 2, ipc.SETVAL, 1) == -E.EINVAL
    assert g("semctl", ident, -1, ipc.GETVAL, 0) == -E.EINVAL
    assert g("semctl", ident, 5, ipc.SETALL, struct.pack("<2H", 4, 5)) == 0
    assert get_all(g, ident, 2) == (4, 5)
    assert g("semctl", ident, 0, ipc.SETALL, struct.pack("<2H", 4, 0x8000)) == -E.ERANGE
    assert g("semctl", ident, 0, ipc.GETALL, 0) == -E.EFAULT
    assert g("semctl", ident, 0, ipc.GETNCNT, 0) == 0
    assert g("semctl", ident, 0, ipc.GETZCNT, 0) == 0
    data = bytearray(104)
    assert g("semctl", ident, 0, ipc.IPC_STAT, data) == 0
    key, uid, gid, cuid, cgid, mode, seq = perm(data)
    assert (key, mode, seq) == (0, 0o640, ident >> 15)
    assert uid == cuid == g("geteuid")
    assert gid == cgid == g("getegid")
    otime, _, ctime, _, count = ipc.SEMID_DS.unpack_from(data, 48)
    assert (otime, count) == (0, 2)
    assert ctime > 10**9
    assert semop(g, ident, (0, 1, 0)) == 0
    changed = ipc.IPC_PERM.pack(1, 5, 6, 7, 8, 0o1751, 9) + bytes(56)
    assert g("semctl", ident, 0, ipc.IPC_SET, changed) == 0
    assert g("semctl", ident & 0x7FFF, 0, ipc.SEM_STAT, data) == ident
    assert perm(data) == (0, 5, 6, cuid, cgid, 0o751, seq)
    assert ipc.SEMID_DS.unpack_from(data, 48)[0] >= ctime
    assert g("semctl", ident & 0x7FFF, 0, ipc.SEM_STAT_ANY, data) == ident
    assert g("semctl", ident, 0, ipc.IPC_SET, 0) == -E.EFAULT
    assert g("semctl", ident, 0, ipc.IPC_SET, ipc.IPC_PERM.pack(1, 0xFFFFFFFF, 6, 7, 8, 0, 9) + bytes(56)) == -E.EINVAL


def test_semaphore_limits(g: AnyGuest, make: Make) -> None:
    info = bytearray(40)
    make("semget", 0, 5, 0o600)
    assert g("semctl", 0, 0, ipc.IPC_INFO, info) >= 0
    assert ipc.SEMINFO.unpack(info) == (1024000000, 32000, 1024000000, 1024000000, 32000, 500, 500, 20, 32767, 32767)
    assert g("semctl", 0, 0, ipc.SEM_INFO, info) >= 0
    used, _, semaphores = ipc.SEMINFO.unpack(info)[7:]
    assert used >= 1
    assert semaphores >= 5


def test_a_semaphore_is_waited_for(bench: Bench) -> None:
    poster, first, second, third = (bench.guest() for _ in range(4))
    ident = poster("semget", KEY, 2, ipc.IPC_CREAT | 0o600)
    assert semop(first, ident, (0, -2, 0)) is PARKED
    assert semop(second, ident, (0, -1, 0)) is PARKED
    assert semop(third, ident, (1, 1, 0), (0, -3, 0)) is PARKED
    assert poster("semctl", ident, 0, ipc.GETNCNT, 0) == 3
    assert poster("semctl", ident, 1, ipc.GETNCNT, 0) == 0, "the first operation that cannot be done is what counts"
    assert semop(poster, ident, (0, 1, 0)) == 0
    assert get_all(poster, ident, 2) == (0, 0), "handed over at once: nobody sees the value"
    bench.run()
    assert (first.parked, second.result, third.parked) == (True, 0, True)
    assert poster("semctl", ident, 0, ipc.GETPID, 0) == second.task.tid
    assert semop(poster, ident, (0, 5, 0)) == 0
    bench.run()
    assert (first.result, third.result) == (0, 0)
    assert get_all(poster, ident, 2) == (0, 1)


def test_waiting_for_zero_goes_first(bench: Bench) -> None:
    a, zero, taker = (bench.guest() for _ in range(3))
    ident = a("semget", KEY, 1, ipc.IPC_CREAT | 0o600)
    semop(a, ident, (0, 1, 0))
    assert semop(taker, ident, (0, 0, 0), (0, 3, 0)) is PARKED
    assert semop(zero, ident, (0, 0, 0)) is PARKED
    assert a("semctl", ident, 0, ipc.GETZCNT, 0) == 2
    assert semop(a, ident, (0, -1, 0)) == 0
    bench.run()
    assert (zero.result, taker.result) == (0, 0)
    assert get_all(a, ident, 1) == (3,)


def test_waiting_ends_by_removal_time_or_a_signal(bench: Bench) -> None:
    a, b, c = (bench.guest() for _ in range(3))
    ident = a("semget", KEY, 1, ipc.IPC_CREAT | 0o600)
    assert b("semtimedop", ident, sops((0, -1, 0)), 1, struct.pack("<qq", 2, 0)) is PARKED
    bench.platform.time_ns += 2 * 10**9
    bench.run()
    assert b.result == -E.EAGAIN
    assert semop(b, ident, (0, -1, 0)) is PARKED
    assert semop(c, ident, (0, -1, 0)) is PARKED
    exit_process(c.task.process, 9)
    assert a("semctl", ident, 0, ipc.GETNCNT, 0) == 1, "one that has ended does not wait"
    assert a("semctl", ident, 0, ipc.IPC_RMID, 0) == 0
    bench.run()
    assert b.result == -E.EIDRM


def test_undo(bench: Bench) -> None:
    a, b, waiter = (bench.guest() for _ in range(3))
    ident = a("semget", KEY, 3, ipc.IPC_CREAT | 0o600)
    a("semctl", ident, 0, ipc.SETALL, struct.pack("<3H", 5, 5, 5))
    undo = ipc.SEM_UNDO
    assert semop(b, ident, (0, -5, undo), (1, 7, undo), (2, -1, undo)) == 0
    assert semop(b, ident, (2, -4, 0)) == 0
    assert semop(b, ident, (2, -1, undo | ipc.IPC_NOWAIT)) == -E.EAGAIN
    assert semop(waiter, ident, (0, -4, 0)) is PARKED
    assert a("semctl", ident, 1, ipc.SETVAL, 3) == 0, "which forgets what is to be taken back"
    exit_process(b.task.process, 0)
    bench.run()
    assert waiter.result == 0
    assert get_all(a, ident, 3) == (1, 3, 1)
    assert semop(a, ident, (0, -1, undo)) == 0
    assert a("semctl", ident, 0, ipc.IPC_RMID, 0) == 0
    exit_process(a.task.process, 0)
    assert bench.kernel.ipc.memory.used == 0


def test_undo_has_a_range(bench: Bench) -> None:
    g = bench.guest()
    ident = g("semget", KEY, 1, ipc.IPC_CREAT | 0o600)
    for _ in range(2):
        assert semop(g, ident, (0, 16384, 0), (0, -16384, ipc.SEM_UNDO)) in (0, -E.ERANGE)
    assert semop(g, ident, (0, 16384, 0), (0, -16384, ipc.SEM_UNDO)) == -E.ERANGE
    assert get_all(g, ident, 1) == (0,)


def test_a_chain_of_waiters_is_served_in_turns(bench: Bench) -> None:
    first = bench.guest()
    ident = first("semget", KEY, 60, ipc.IPC_CREAT | 0o600)
    guests = [bench.guest() for _ in range(59)]
    for number, guest in enumerate(guests):  # each waits for the one behind it: every success starts the search anew
        filler = [(number, 0, 0)] * 490
        assert semop(guest, ident, (number + 1, -1, 0), *filler, (number, 1, 0)) is PARKED
    assert semop(first, ident, (59, 1, 0)) == 0
    assert guests[0].parked
    bench.run()
    assert all(guest.result == 0 for guest in guests)
    assert get_all(first, ident, 60) == (1, *[0] * 59)


def test_many_that_must_go_on_waiting_are_in_nobodys_way(bench: Bench) -> None:
    first, last = bench.guest(), bench.guest()
    ident = first("semget", KEY, 3, ipc.IPC_CREAT | 0o600)
    waiting = [bench.guest() for _ in range(80)]  # together more than one turn
    for guest in waiting:
        assert semop(guest, ident, *[(1, 0, 0)] * 499, (0, -1, 0)) is PARKED
    assert semop(last, ident, (2, -1, 0)) is PARKED
    assert semop(first, ident, (2, 1, 0)) == 0
    bench.run()
    assert last.result == 0
    assert all(guest.parked for guest in waiting)
    assert not bench.kernel.timers.heap, "and nothing goes on being tried"
    assert semop(first, ident, (0, 80, 0)) == 0
    bench.run()
    assert all(guest.result == 0 for guest in waiting)


def test_semaphore_memory_is_bounded(bench: Bench) -> None:
    g = bench.guest()
    bench.kernel.ipc.memory.limit = 8 << 20
    made = 0
    while g("semget", 0, 32000, 0o600) >= 0:
        made += 1
    assert 0 < made < 10
    assert g("semget", 0, 32000, 0o600) == -E.ENOMEM


def test_undo_memory_is_bounded(bench: Bench) -> None:
    g = bench.guest()
    ident = g("semget", 0, 1000, 0o600)
    bench.kernel.ipc.memory.limit = bench.kernel.ipc.memory.used + 1000
    results = [semop(g, ident, (number, 1, ipc.SEM_UNDO)) for number in range(10)]
    assert results == [0] * 7 + [-E.ENOMEM] * 3
    assert semop(g, ident, (0, 1, ipc.SEM_UNDO), (9, 1, 0)) == 0


# -- permissions ----------------------------------------------------------------------------------------------


def other(bench: Bench, uid: int, gid: int, *groups: int) -> Guest:
    guest = bench.guest()
    guest.task.cred = Credentials.user(uid, gid, groups)
    return guest


def test_permissions(bench: Bench) -> None:
    owner, member, stranger, root = (
        other(bench, 5, 50), other(bench, 6, 60, 50), other(bench, 7, 70), other(bench, 0, 0)
    )  # fmt: skip
    ident = owner("semget", KEY, 1, ipc.IPC_CREAT | 0o640)
    assert semop(owner, ident, (0, 1, 0)) == 0
    assert semop(member, ident, (0, 1, 0)) == -E.EACCES
    assert semop(member, ident, (0, 0, ipc.IPC_NOWAIT)) == -E.EAGAIN
    assert semop(stranger, ident, (0, 0, ipc.IPC_NOWAIT)) == -E.EACCES
    assert semop(root, ident, (0, 1, 0)) == 0
    assert member("semget", KEY, 0, 0o400) == ident
    assert member("semget", KEY, 0, 0o600) == -E.EACCES
    assert stranger("semget", KEY, 0, 0) == ident
    data = bytearray(104)
    assert stranger("semctl", ident, 0, ipc.IPC_STAT, data) == -E.EACCES
    assert stranger("semctl", ident & 0x7FFF, 0, ipc.SEM_STAT, data) == -E.EACCES
    assert stranger("semctl", ident & 0x7FFF, 0, ipc.SEM_STAT_ANY, data) == ident
    assert stranger("semctl", ident, 0, ipc.SETVAL, 1) == -E.EACCES
    assert member("semctl", ident, 0, ipc.IPC_RMID, 0) == -E.EPERM
    assert owner("semctl", ident, 0, ipc.IPC_SET, ipc.IPC_PERM.pack(0, 7, 70, 0, 0, 0o600, 0) + bytes(56)) == 0
    assert semop(stranger, ident, (0, 1, 0)) == 0
    assert semop(owner, ident, (0, 1, 0)) == 0, "the creator keeps the owner's rights"
    assert stranger("semctl", ident, 0, ipc.IPC_RMID, 0) == 0


# -- message queues -------------------------------------------------------------------------------------------


def send(g: AnyGuest, ident: int, kind: int, text: bytes, flags: int = ipc.IPC_NOWAIT) -> int | None:
    return g("msgsnd", ident, struct.pack("<q", kind) + text, len(text), flags)


def receive(
    g: AnyGuest, ident: int, kind: int = 0, size: int = 64, flags: int = ipc.IPC_NOWAIT
) -> tuple[int, bytes] | int:
    buffer = bytearray(8 + size)
    result = g("msgrcv", ident, buffer, size, kind, flags)
    return (int.from_bytes(buffer[:8], "little"), bytes(buffer[8 : 8 + result])) if result >= 0 else result


def test_messages(g: AnyGuest, make: Make) -> None:
    ident = make("msgget", 0, 0o600)
    now = ipc.IPC_NOWAIT
    for kind, text in ((3, b"three"), (1, b""), (2, b"two"), (3, b"more")):
        assert send(g, ident, kind, text) == 0
    assert receive(g, ident, 3) == (3, b"three")
    assert receive(g, ident, 3, flags=now | ipc.MSG_EXCEPT) == (1, b"")
    assert receive(g, ident, -1) == -E.ENOMSG
    assert receive(g, ident, -9) == (2, b"two")
    assert receive(g, ident, size=3) == -E.E2BIG
    assert receive(g, ident, 1, size=2, flags=now | ipc.MSG_COPY) == -E.ENOMSG
    assert receive(g, ident, 0, size=2, flags=now | ipc.MSG_COPY | ipc.MSG_NOERROR) == -E.EINVAL
    assert receive(g, ident, 0, flags=now | ipc.MSG_COPY) == (3, b"more")
    assert receive(g, ident, 0, flags=ipc.MSG_COPY) == -E.EINVAL
    assert receive(g, ident, 0, flags=now | ipc.MSG_COPY | ipc.MSG_EXCEPT) == -E.EINVAL
    assert receive(g, ident, size=3, flags=now | ipc.MSG_NOERROR) == (3, b"mor")
    assert receive(g, ident) == -E.ENOMSG
    assert send(g, ident, 1, b"lost") == 0
    assert g("msgrcv", ident, 0, 10, 0, now) == -E.EFAULT
    assert receive(g, ident) == -E.ENOMSG


def test_bad_messages(g: AnyGuest, make: Make) -> None:
    ident = make("msgget", 0, 0o600)
    assert send(g, ident, 0, b"x") == -E.EINVAL
    assert send(g, ident, -1, b"x") == -E.EINVAL
    assert send(g, -1, 1, b"x") == -E.EINVAL
    assert g("msgsnd", ident, struct.pack("<q", 1), ipc.MSGMAX + 1, 0) == -E.EINVAL
    assert g("msgsnd", ident, struct.pack("<q", 1), -1, 0) == -E.EINVAL
    assert g("msgsnd", ident, 0, 1, 0) == -E.EFAULT
    assert g("msgrcv", ident, bytearray(9), -1, 0, ipc.IPC_NOWAIT) == -E.EINVAL
    assert g("msgrcv", -1, bytearray(9), 1, 0, ipc.IPC_NOWAIT) == -E.EINVAL
    assert receive(g, ident, -(1 << 63)) == -E.ENOMSG


def test_a_queue_is_full(g: AnyGuest, make: Make) -> None:
    ident = make("msgget", 0, 0o600)
    assert send(g, ident, 1, bytes(8192)) == 0
    assert send(g, ident, 1, bytes(8192)) == 0
    assert send(g, ident, 1, b"x") == -E.EAGAIN
    assert send(g, ident, 1, b"") == 0
    data = bytearray(120)
    assert g("msgctl", ident, ipc.IPC_STAT, data) == 0
    stime, rtime, ctime, size, count, most, sender, receiver = ipc.MSQID_DS.unpack_from(data, 48)
    assert (rtime, size, count, most, sender, receiver) == (0, 16384, 3, 16384, g("getpid"), 0)
    assert stime >= ctime > 10**9
    small = perm(data)[:5]
    change = ipc.IPC_PERM.pack(*small, 0o600, 0) + ipc.MSQID_DS.pack(0, 0, 0, 0, 0, 2, 0, 0)
    assert g("msgctl", ident, ipc.IPC_SET, change) == 0
    for _ in range(3):
        assert receive(g, ident, size=8192) != -E.ENOMSG
    assert (send(g, ident, 1, b"a"), send(g, ident, 1, b"b")) == (0, 0)
    assert send(g, ident, 1, b"") == -E.EAGAIN, "no more messages than bytes"
    assert g("msgctl", ident & 0x7FFF, ipc.MSG_STAT, data) == ident
    assert ipc.MSQID_DS.unpack_from(data, 48)[3:6] == (2, 2, 2)
    info = bytearray(32)
    assert g("msgctl", 0, ipc.MSG_INFO, info) >= 0
    queues, messages, *_, total, _ = ipc.MSGINFO.unpack(info)
    assert min(queues, messages - 1, total - 1) >= 1
    assert g("msgctl", 0, ipc.IPC_INFO, info) >= 0
    assert ipc.MSGINFO.unpack(info) == (512000, 16384, 8192, 16384, 32000, 16, 16384, 65535)


def test_a_message_is_waited_for(bench: Bench) -> None:
    a, b, c = (bench.guest() for _ in range(3))
    ident = a("msgget", KEY, ipc.IPC_CREAT | 0o600)
    buffers = [guest.place(bytes(64)) for guest in (b, c)]
    assert b("msgrcv", ident, buffers[0], 2, 7, 0) is PARKED
    assert c("msgrcv", ident, buffers[1], 20, -7, 0) is PARKED
    assert send(a, ident, 7, b"long") == 0
    bench.run()
    assert (b.result, c.result) == (-E.E2BIG, 4)
    assert c.peek(buffers[1], 12) == struct.pack("<q", 7) + b"long"
    data = bytearray(120)
    a("msgctl", ident, ipc.IPC_STAT, data)
    assert ipc.MSQID_DS.unpack_from(data, 48)[6:] == (a.task.tid, c.task.tid)
    assert b("msgrcv", ident, buffers[0], 20, 0, 0) is PARKED
    exit_process(b.task.process, 9)
    assert send(a, ident, 1, b"stays") == 0
    assert receive(a, ident) == (1, b"stays")
    assert c("msgrcv", ident, buffers[1], 20, 0, 0) is PARKED
    assert a("msgctl", ident, ipc.IPC_RMID, 0) == 0
    bench.run()
    assert c.result == -E.EIDRM


def test_room_is_waited_for(bench: Bench) -> None:
    a, b, c = (bench.guest() for _ in range(3))
    ident = a("msgget", KEY, ipc.IPC_CREAT | 0o600)
    for _ in range(2):
        send(a, ident, 1, bytes(8192))
    assert send(b, ident, 2, b"b", 0) is PARKED
    assert send(c, ident, 2, b"c", 0) is PARKED
    assert receive(a, ident, 1, size=8192) == (1, bytes(8192))
    bench.run()
    assert (b.result, c.result) == (0, 0)
    assert [receive(a, ident, 2), receive(a, ident, 2)] == [(2, b"b"), (2, b"c")]
    send(a, ident, 1, bytes(8192))
    assert send(b, ident, 2, b"b", 0) is PARKED
    assert a("msgctl", ident, ipc.IPC_RMID, 0) == 0
    bench.run()
    assert b.result == -E.EIDRM
    assert bench.kernel.ipc.memory.used == 0


def test_message_memory_is_bounded(bench: Bench) -> None:
    g = bench.guest()
    bench.kernel.ipc.memory.limit = 1 << 16
    ident = g("msgget", KEY, ipc.IPC_CREAT | 0o600)
    change = ipc.IPC_PERM.pack(0, 0, 0, 0, 0, 0o600, 0) + ipc.MSQID_DS.pack(0, 0, 0, 0, 0, 1 << 40, 0, 0)
    assert g("msgctl", ident, ipc.IPC_SET, change) == 0
    sent = 0
    while (result := send(g, ident, 1, bytes(8000))) == 0:
        sent += 1
    assert (sent, result) == (7 if sent == 7 else 8, -E.ENOMEM)
    poor = other(bench, 5, 5)
    queue = poor("msgget", 0, 0o600)
    assert poor("msgctl", queue, ipc.IPC_SET, change.replace(bytes(12), struct.pack("<iII", 0, 5, 5), 1)) == -E.EPERM


# -- shared memory --------------------------------------------------------------------------------------------


def segment(g: AnyGuest, ident: int) -> tuple[int, ...]:
    """mode, size, atime, dtime, ctime, cpid, lpid, nattch."""
    data = bytearray(112)
    assert g("shmctl", ident, ipc.IPC_STAT, data) == 0
    return perm(data)[5], *ipc.SHMID_DS.unpack_from(data, 48)


def test_a_segment(g: AnyGuest, make: Make) -> None:
    ident = make("shmget", 0, 5000, 0o640)
    me = g("getpid")
    mode, size, atime, dtime, ctime, creator, last, attached = segment(g, ident)
    assert (mode, size, atime, dtime, creator, last, attached) == (0o640, 5000, 0, 0, me, 0, 0)
    one = g("shmat", ident, 0, 0)
    two = g("shmat", ident, 0, ipc.SHM_RDONLY)
    assert one % PAGE_SIZE == two % PAGE_SIZE == 0
    assert min(one, two) > 0
    assert g.peek(two, 5) == bytes(5)
    file = g("openat", fc.AT_FDCWD, "file", fc.O_RDWR | fc.O_CREAT, 0o600)
    assert g("write", file, b"shared", 6) == 6
    assert g("pread64", file, two + 4990, 6, 0) == -E.EFAULT, "read-only"
    assert g("pread64", file, one + 4990, 6, 0) == 6
    assert g.peek(two + 4990, 6) == b"shared"
    assert segment(g, ident)[5:] == (me, me, 2)
    assert segment(g, ident)[2] >= ctime
    assert g("shmctl", ident, ipc.IPC_RMID, 0) == 0
    assert segment(g, ident)[0] == 0o640 | ipc.SHM_DEST
    assert g("shmdt", one + 1) == -E.EINVAL
    assert g("shmdt", one) == 0
    assert g("shmdt", one) == -E.EINVAL
    assert segment(g, ident)[7] == 1
    three = g("shmat", ident, 0, 0)
    assert three > 0, "a segment that was removed can be attached as long as it is there"
    assert (g("shmdt", two), g("shmdt", three)) == (0, 0)
    assert g("shmctl", ident, ipc.IPC_STAT, bytearray(112)) == -E.EINVAL


def test_where_a_segment_goes(g: AnyGuest, make: Make) -> None:
    ident = make("shmget", 0, 2 * PAGE_SIZE, 0o600)
    one = g("shmat", ident, 0, 0)
    assert g("shmat", ident, one, 0) == -E.EINVAL, "something is there"
    assert g("shmat", ident, one + 1, ipc.SHM_REMAP) == -E.EINVAL
    assert g("shmat", ident, 0, ipc.SHM_REMAP) == -E.EINVAL
    assert g("shmat", ident, 1, ipc.SHM_REMAP | ipc.SHM_RND) == -E.EINVAL
    assert g("shmat", ident, one + PAGE_SIZE + 5, ipc.SHM_REMAP | ipc.SHM_RND) == one + PAGE_SIZE
    assert g("shmat", -1, 0, 0) == -E.EINVAL
    assert g("shmat", ident, 0xFFFFFFFFFFFFF000, 0) == -E.EINVAL
    assert segment(g, ident)[7] == 2
    assert g("shmdt", one) == 0
    assert g("shmdt", one + PAGE_SIZE) == 0
    assert segment(g, ident)[7] == 0
    assert g("shmat", ident, one, 0) == one
    assert g("shmdt", one) == 0


def test_segment_control(g: AnyGuest, make: Make) -> None:
    ident = make("shmget", 0, 100, 0o600)
    data = bytearray(112)
    changed = ipc.IPC_PERM.pack(0, 5, 6, 0, 0, 0o7444, 0) + bytes(64)
    assert g("shmctl", ident, ipc.IPC_SET, changed) == 0
    assert g("shmctl", ident & 0x7FFF, ipc.SHM_STAT, data) == ident
    assert perm(data)[1:6:4] == (5, 0o444)
    assert g("shmctl", ident, ipc.SHM_LOCK, 0) == 0
    assert segment(g, ident)[0] == 0o444 | ipc.SHM_LOCKED
    assert g("shmctl", ident, ipc.SHM_UNLOCK, 0) == 0
    assert segment(g, ident)[0] == 0o444
    info = bytearray(72)
    assert g("shmctl", 0, ipc.IPC_INFO, info) >= 0
    assert ipc.SHMINFO.unpack(info) == (18446744073692774399, 1, 4096, 4096, 18446744073692774399)
    assert g("shmctl", 0, ipc.SHM_INFO, info) >= 0
    used, total, *_ = ipc.SHM_INFO_STRUCT.unpack_from(info)
    assert min(used, total) >= 1


def test_a_segment_is_shared_and_counted(bench: Bench) -> None:
    a, b = bench.guest(), bench.guest()
    before = bench.kernel.file_memory.used
    ident = a("shmget", KEY, PAGE_SIZE, ipc.IPC_CREAT | 0o600)
    assert bench.kernel.file_memory.used == before + PAGE_SIZE
    mine, its = a("shmat", ident, 0, 0), b("shmat", ident, 0, 0)
    a.thread.memory.write(mine, b"seen")
    assert b.peek(its, 4) == b"seen"
    child = bench.kernel.processes[a("fork")]
    assert segment(a, ident)[6:] == (a.task.tid, 3)
    exit_process(child, 0)
    assert segment(a, ident)[6:] == (child.pid, 2)
    vforked = bench.kernel.processes[a("vfork")]
    assert segment(a, ident)[7] == 2, "an address space is counted once"
    exit_process(vforked, 0)
    bench.run()
    a.thread.results.clear()
    a("shmctl", ident, ipc.IPC_RMID, 0)
    assert a("shmget", KEY, 1, 0) == -E.ENOENT
    exit_process(b.task.process, 0)
    assert segment(a, ident)[6:] == (b.task.tid, 1)
    assert a("munmap", mine, PAGE_SIZE) == 0
    assert segment(a, ident)[7] == 0, "what was unmapped otherwise is found when it asks"


def test_segments_count_as_memory(bench: Bench) -> None:
    g = bench.guest()
    memory = bench.kernel.file_memory
    size = memory.limit - memory.used
    ident = g("shmget", 0, size, 0o600)
    assert ident >= 0
    assert g("shmget", 0, 1, 0o600) == -E.ENOMEM
    assert g("shmctl", ident, ipc.IPC_RMID, 0) == 0
    assert g("shmget", 0, 1, 0o600) >= 0


def test_rights_of_a_segment(bench: Bench) -> None:
    owner, stranger = other(bench, 5, 5), other(bench, 6, 6)
    ident = owner("shmget", KEY, 1, ipc.IPC_CREAT | 0o644)
    assert stranger("shmat", ident, 0, 0) == -E.EACCES
    address = stranger("shmat", ident, 0, ipc.SHM_RDONLY)
    assert address > 0
    assert stranger("shmat", ident, 0, ipc.SHM_RDONLY | ipc.SHM_EXEC) == -E.EACCES
    assert stranger("shmctl", ident, ipc.SHM_LOCK, 0) == -E.EPERM
    assert stranger("mprotect", address, PAGE_SIZE, 3) == -E.EACCES
    owned = owner("shmat", ident, 0, ipc.SHM_RDONLY)
    assert owner("mprotect", owned, PAGE_SIZE, 3) == -E.EACCES, "as it was attached"


# -- /proc ----------------------------------------------------------------------------------------------------


def contents(g: AnyGuest, path: str) -> bytes:
    fd = g("openat", fc.AT_FDCWD, path, fc.O_RDONLY)
    data = read(g, fd, 1 << 16)
    assert isinstance(data, bytes)
    g("close", fd)
    return data


@pytest.fixture
def proc(g: AnyGuest) -> AnyGuest:
    if isinstance(g, Guest):
        namespace = g.bench.kernel.namespace
        assert namespace is not None
        namespace.make_directories(b"/proc")
        namespace.mount(ProcFs(g.bench.kernel), b"/proc")
    return g


def test_proc_lists_them(proc: AnyGuest, make: Make) -> None:
    g = proc
    sem, msg = make("semget", KEY, 7, ipc.IPC_CREAT | 0o640), make("msgget", 0, 0o1600)
    shm = make("shmget", -2, 5000, ipc.IPC_CREAT | 0o600)
    send(g, msg, 1, b"hello")
    semop(g, sem, (0, 1, 0))
    at = g("shmat", shm, 0, 0)
    assert g("pread64", g("memfd_create", "", 0), at, 0, 0) == 0
    me, uid, gid = g("getpid"), g("geteuid"), g("getegid")
    owners = f"{uid:5} {gid:5} {uid:5} {gid:5}"
    expected = {
        "sem": (sem, f"{KEY:10} {sem:10}   640          7 {owners} "),
        "msg": (msg, f"         0 {msg:10}   600           5          1 {me:5}     0 {owners} "),
        "shm": (shm, f"        -2 {shm:10}   600                  5000 {me:5} {me:5}      1 {owners} "),
    }
    for kind, (ident, beginning) in expected.items():
        head, *lines = contents(g, f"/proc/sysvipc/{kind}").decode().splitlines()
        assert HEADS[kind] == head
        line = next(line for line in lines if int(line.split()[1]) == ident)
        assert line.startswith(beginning)
        rest = line[len(beginning) :]
        times = {"sem": f"{T} {T}", "msg": f"{T} {NEVER} {T}", "shm": f"{T} {NEVER} {T} {P} {P}"}[kind]
        assert re.fullmatch(times, rest)
    assert g("shmdt", at) == 0


#: A time, no time yet, a number of bytes.
T, NEVER, P = r"\d{10}", " {9}0", r"[ \d]{21}"
HEADS = {
    "sem": "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime",
    "msg": "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime"
    "      rtime      ctime",
    "shm": "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime"
    "      dtime      ctime                   rss                  swap",
}  # fmt: skip


@pytest.mark.parametrize(("path", "text"), [
    ("kernel/sem", "32000\t1024000000\t500\t32000\n"), ("kernel/msgmax", "8192\n"), ("kernel/msgmnb", "16384\n"),
    ("kernel/msgmni", "32000\n"), ("kernel/shmmni", "4096\n"), ("kernel/shmmax", "18446744073692774399\n"),
    ("kernel/shmall", "18446744073692774399\n"), ("fs/mqueue/msg_max", "10\n"), ("fs/mqueue/msg_default", "10\n"),
    ("fs/mqueue/msgsize_max", "8192\n"), ("fs/mqueue/msgsize_default", "8192\n"), ("fs/mqueue/queues_max", "256\n"),
])  # fmt: skip
def test_limits_in_proc(proc: AnyGuest, path: str, text: str) -> None:
    """The host's are those that a kernel starts with."""
    assert contents(proc, f"/proc/sys/{path}") == text.encode()
