"""System V IPC: semaphores, message queues, shared memory (man 7 sysvipc).

What the calls do is in kernel/ipc.
"""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import ipc
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.ipc.msg import Message, MessageQueue, Wanted
from pylitebox.kernel.ipc.sem import SemaphoreSet
from pylitebox.kernel.ipc.shm import Segment, attach, detach, recount
from pylitebox.kernel.ipc.table import IpcTable, Obj
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, Int, Long, Offset, Size, UInt, ULong
from pylitebox.north.linux.table import Full, Partial, syscall
from pylitebox.north.linux.time import read_timespec

_LONG_SIZE = 8
_INT_MAX = (1 << 31) - 1


def _described(task: Task, table: IpcTable[Obj], ident: int, *, by_index: bool, anyone: bool) -> Obj:
    """Which object IPC_STAT and *_STAT ask about; EINVAL, EACCES."""
    found = table.at(ident) if by_index else table.find(ident)
    if not anyone:
        found.check(task.cred, 0o444)
    return found


def _change_owner(task: Task, address: int, size: int) -> tuple[tuple[int, int, int], bytes]:
    """What IPC_SET is given: owner, group and mode, and the whole structure, copied in once."""
    data = task.memory.read(address, ipc.IPC_PERM.size + size)
    _, uid, gid, _, _, mode, _ = ipc.IPC_PERM.unpack_from(data)
    return (uid, gid, mode), data[ipc.IPC_PERM.size :]


# -- semaphores -----------------------------------------------------------------------------------------------


@syscall("semget", x86_64=64, aarch64=190, support=Full, test="test_sysvipc")
def semget(task: Task, key: Int, count: Int, flags: Int) -> Result:
    return task.kernel.ipc.semaphores.open(task, key, count, flags)


def _operate(task: Task, ident: int, address: int, count: int, timeout: int) -> Result:
    duration = read_timespec(task, timeout) if timeout else None
    if count > ipc.SEMOPM:
        raise KernelError(E.E2BIG)
    if not count:
        raise KernelError(E.EINVAL)
    sops = task.memory.read(address, count * ipc.SEMBUF.size)
    found = task.kernel.ipc.semaphores.find(ident)
    return found.operate(task, sops, None if duration is None else task.kernel.now() + duration)


@syscall("semop", x86_64=65, aarch64=193, support=Full, test="test_sysvipc")
def semop(task: Task, ident: Int, sops: Address, count: UInt) -> Result:
    return _operate(task, ident, sops, count, 0)


@syscall("semtimedop", x86_64=220, aarch64=192, support=Full, test="test_sysvipc")
def semtimedop(task: Task, ident: Int, sops: Address, count: UInt, timeout: Address) -> Result:
    return _operate(task, ident, sops, count, timeout)


def _pack_semaphores(found: SemaphoreSet) -> bytes:
    return found.pack_perm() + ipc.SEMID_DS.pack(found.otime, 0, found.ctime, 0, len(found.values))


@syscall("semctl", x86_64=66, aarch64=191, support=Full, test="test_sysvipc")
def semctl(task: Task, ident: Int, number: Int, command: Int, argument: ULong) -> Result:
    sets = task.kernel.ipc.semaphores
    if ident < 0:
        raise KernelError(E.EINVAL)
    if command in (ipc.IPC_INFO, ipc.SEM_INFO):
        used = (len(sets.objects), sets.used) if command == ipc.SEM_INFO else (20, ipc.SEMAEM)
        limits = (ipc.SEMMNS, ipc.SEMMNI, ipc.SEMMNS, ipc.SEMMNS, ipc.SEMMSL, ipc.SEMOPM, ipc.SEMOPM)
        task.memory.write(argument, ipc.SEMINFO.pack(*limits, used[0], ipc.SEMVMX, used[1]))
        return sets.highest
    if command in (ipc.IPC_STAT, ipc.SEM_STAT, ipc.SEM_STAT_ANY):
        by_index = command != ipc.IPC_STAT
        found = _described(task, sets, ident, by_index=by_index, anyone=command == ipc.SEM_STAT_ANY)
        task.memory.write(argument, _pack_semaphores(found))
        return found.ident if by_index else 0
    if command in (ipc.IPC_SET, ipc.IPC_RMID):
        owner = _change_owner(task, argument, ipc.SEMID_DS.size)[0] if command == ipc.IPC_SET else None
        found = sets.find(ident)
        found.check_owner(task.cred)
        if owner is None:
            sets.remove(found)
        else:
            found.set_owner(*owner)
            found.ctime = found.now()
        return 0
    return _semaphore_values(task, ident, number, command, argument)


def _semaphore_values(task: Task, ident: int, number: int, command: int, argument: int) -> int:
    value = ((argument & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
    if command == ipc.SETVAL and not 0 <= value <= ipc.SEMVMX:
        raise KernelError(E.ERANGE)
    if command not in (
        ipc.GETALL, ipc.SETALL, ipc.GETVAL, ipc.GETPID, ipc.GETNCNT, ipc.GETZCNT, ipc.SETVAL
    ):  # fmt: skip
        raise KernelError(E.EINVAL)
    found = task.kernel.ipc.semaphores.find(ident)
    count, process = len(found.values), task.process
    if command == ipc.SETVAL and not 0 <= number < count:
        raise KernelError(E.EINVAL)
    found.check(task.cred, 0o222 if command in (ipc.SETVAL, ipc.SETALL) else 0o444)
    if command == ipc.GETALL:
        task.memory.write(argument, struct.pack(f"<{count}H", *found.values))
        return 0
    if command == ipc.SETALL:
        found.set_all(process, list(struct.unpack(f"<{count}H", task.memory.read(argument, 2 * count))))
        return 0
    if not 0 <= number < count:
        raise KernelError(E.EINVAL)
    if command == ipc.SETVAL:
        found.set_value(process, number, value)
        return 0
    if command == ipc.GETVAL:
        return found.values[number]
    if command == ipc.GETPID:
        return found.pids[number]
    return found.waiters(number, zero=command == ipc.GETZCNT)


# -- message queues -------------------------------------------------------------------------------------------


@syscall("msgget", x86_64=68, aarch64=186, support=Full, test="test_sysvipc")
def msgget(task: Task, key: Int, flags: Int) -> Result:
    return task.kernel.ipc.queues.open(task, key, flags)


@syscall("msgsnd", x86_64=69, aarch64=189, support=Full, test="test_sysvipc")
def msgsnd(task: Task, ident: Int, address: Address, size: Size, flags: Int) -> Result:
    kind = int.from_bytes(task.memory.read(address, _LONG_SIZE), "little", signed=True)
    if size > ipc.MSGMAX or ident < 0 or kind < 1:
        raise KernelError(E.EINVAL)
    text = task.memory.read(address + _LONG_SIZE, size) if size else b""
    return task.kernel.ipc.queues.find(ident).send(task, Message(kind, text), flags)


@syscall("msgrcv", x86_64=70, aarch64=188, support=Full, test="test_sysvipc")
def msgrcv(task: Task, ident: Int, address: Address, size: Offset, kind: Long, flags: Int) -> Result:
    if ident < 0 or size < 0:
        raise KernelError(E.EINVAL)
    if flags & ipc.MSG_COPY and (flags & ipc.MSG_EXCEPT or not flags & ipc.IPC_NOWAIT):
        raise KernelError(E.EINVAL)

    def deliver(message: Message) -> int:
        text = message.text[:size]
        task.memory.write(address, message.type.to_bytes(_LONG_SIZE, "little") + text)
        return len(text)

    return task.kernel.ipc.queues.find(ident).receive(task, Wanted(kind, flags), size, deliver)


def _pack_queue(found: MessageQueue) -> bytes:
    return found.pack_perm() + ipc.MSQID_DS.pack(
        found.stime,
        found.rtime,
        found.ctime,
        found.bytes,
        len(found.messages),
        found.max_bytes,
        found.lspid,
        found.lrpid,
    )


@syscall("msgctl", x86_64=71, aarch64=187, support=Full, test="test_sysvipc")
def msgctl(task: Task, ident: Int, command: Int, address: Address) -> Result:
    queues = task.kernel.ipc.queues
    if ident < 0:
        raise KernelError(E.EINVAL)
    if command in (ipc.IPC_INFO, ipc.MSG_INFO):
        pool, hdrs, total = ipc.MSGMNI * ipc.MSGMNB // 1024, ipc.MSGMNB, ipc.MSGMNB
        if command == ipc.MSG_INFO:
            held = queues.objects.values()
            pool, hdrs, total = len(held), sum(len(q.messages) for q in held), sum(q.bytes for q in held)
        task.memory.write(
            address, ipc.MSGINFO.pack(pool, hdrs, ipc.MSGMAX, ipc.MSGMNB, ipc.MSGMNI, 16, min(total, _INT_MAX), 0xFFFF)
        )
        return queues.highest
    if command in (ipc.IPC_STAT, ipc.MSG_STAT, ipc.MSG_STAT_ANY):
        by_index = command != ipc.IPC_STAT
        found = _described(task, queues, ident, by_index=by_index, anyone=command == ipc.MSG_STAT_ANY)
        task.memory.write(address, _pack_queue(found))
        return found.ident if by_index else 0
    if command == ipc.IPC_SET:
        owner, data = _change_owner(task, address, ipc.MSQID_DS.size)
        found = queues.find(ident)
        found.check_owner(task.cred)
        found.change(task.cred, owner, ipc.MSQID_DS.unpack(data)[5])
        return 0
    if command == ipc.IPC_RMID:
        found = queues.find(ident)
        found.check_owner(task.cred)
        queues.remove(found)
        return 0
    raise KernelError(E.EINVAL)


# -- shared memory --------------------------------------------------------------------------------------------


@syscall("shmget", x86_64=29, aarch64=194, support=Partial("SHM_HUGETLB: ENOMEM, as there are no huge pages"))
def shmget(task: Task, key: Int, size: Size, flags: Int) -> Result:
    return task.kernel.ipc.segments.open(task, key, size, flags)


@syscall("shmat", x86_64=30, aarch64=196, support=Full, test="test_sysvipc")
def shmat(task: Task, ident: Int, address: Address, flags: Int) -> Result:
    return attach(task, ident, address, flags)


@syscall("shmdt", x86_64=67, aarch64=197, support=Full, test="test_sysvipc")
def shmdt(task: Task, address: Address) -> Result:
    return detach(task, address)


def _pack_segment(found: Segment) -> bytes:
    return found.pack_perm() + ipc.SHMID_DS.pack(
        found.size, found.atime, found.dtime, found.ctime, found.cpid, found.lpid, found.attached
    )


@syscall(
    "shmctl",
    x86_64=31,
    aarch64=195,
    support=Partial(
        "munmap(2) by other processes is seen at their end only; all pages of an attached one count as used"
    ),
)
def shmctl(task: Task, ident: Int, command: Int, address: Address) -> Result:
    segments = task.kernel.ipc.segments
    if ident < 0:
        raise KernelError(E.EINVAL)
    if command == ipc.IPC_INFO:
        limits = (ipc.SHMMAX, ipc.SHMMIN, ipc.SHMMNI, ipc.SHMMNI, ipc.SHMALL)
        task.memory.write(address, ipc.SHMINFO.pack(*limits))
        return segments.highest
    if command == ipc.SHM_INFO:
        resident = sum(segment.resident_pages for segment in segments.objects.values())
        info = ipc.SHM_INFO_STRUCT.pack(len(segments.objects), segments.pages, resident, 0, 0, 0)
        task.memory.write(address, info)
        return segments.highest
    if command in (ipc.IPC_STAT, ipc.SHM_STAT, ipc.SHM_STAT_ANY):
        by_index = command != ipc.IPC_STAT
        found = _described(task, segments, ident, by_index=by_index, anyone=command == ipc.SHM_STAT_ANY)
        recount(task, found)
        task.memory.write(address, _pack_segment(found))
        return found.ident if by_index else 0
    owner = _change_owner(task, address, ipc.SHMID_DS.size)[0] if command == ipc.IPC_SET else None
    if command not in (ipc.IPC_SET, ipc.IPC_RMID, ipc.SHM_LOCK, ipc.SHM_UNLOCK):
        raise KernelError(E.EINVAL)
    found = segments.find(ident)
    if command in (ipc.SHM_LOCK, ipc.SHM_UNLOCK):
        found.lock(task, lock=command == ipc.SHM_LOCK)
        return 0
    found.check_owner(task.cred)
    if owner is not None:
        found.set_owner(*owner)
        found.ctime = found.now()
    else:
        recount(task, found)
        segments.mark(found)
    return 0
