"""What /proc/sysvipc says of System V IPC objects (man 5 proc)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.mman import PAGE_SIZE

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel

_SHM_HEAD = (
    b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      "
    b"dtime      ctime                   rss                  swap\n"
)
_SEM_HEAD = b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"
_MSG_HEAD = (
    b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime"
    b"      ctime\n"
)


def semaphores(kernel: Kernel) -> bytes:
    lines = [_SEM_HEAD]
    for s in kernel.ipc.semaphores.sorted():
        owners = (s.uid, s.gid, s.cuid, s.cgid)
        lines.append(
            b"%10d %10d  %4o %10d %5d %5d %5d %5d %10d %10d\n"
            % (s.key, s.ident, s.mode, len(s.values), *owners, s.otime, s.ctime)
        )
    return b"".join(lines)


def queues(kernel: Kernel) -> bytes:
    lines = [_MSG_HEAD]
    for q in kernel.ipc.queues.sorted():
        who = (q.lspid, q.lrpid, q.uid, q.gid, q.cuid, q.cgid)
        lines.append(
            b"%10d %10d  %4o  %10d %10d %5d %5d %5d %5d %5d %5d %10d %10d %10d\n"
            % (q.key, q.ident, q.mode, q.bytes, len(q.messages), *who, q.stime, q.rtime, q.ctime)
        )
    return b"".join(lines)


def segments(kernel: Kernel) -> bytes:
    """As the kernel cannot know which pages are in use, those of a segment that was ever attached all are."""
    lines = [_SHM_HEAD]
    for s in kernel.ipc.segments.sorted():
        who = (s.cpid, s.lpid, s.attached, s.uid, s.gid, s.cuid, s.cgid)
        resident = s.resident_pages * PAGE_SIZE
        lines.append(
            b"%10d %10d  %4o %21d %5d %5d  %5d %5d %5d %5d %5d %10d %10d %10d %21d %21d\n"
            % (s.key, s.ident, s.mode, s.size, *who, s.atime, s.dtime, s.ctime, resident, 0)
        )
    return b"".join(lines)
