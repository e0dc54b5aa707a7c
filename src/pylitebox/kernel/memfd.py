"""memfd_create(2): a nameless file in memory, whose size and content can be sealed (man 2 fcntl, "File Sealing").

All of one kernel's live on a hidden tmpfs of their own. Whether a writable mapping still exists is the platform's
knowledge, so F_SEAL_WRITE is asked of it (SharedBuffer.seal). Missing: MFD_HUGETLB (EINVAL).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import (
    ALL_SEALS,
    F_SEAL_EXEC,
    F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
    FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    O_LARGEFILE,
    O_RDWR,
)
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.opened import RegularFile
from pylitebox.kernel.fs.tmpfs import MemoryFile, TmpFs

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.vfs import Location
    from pylitebox.kernel.kernel import Kernel

_NO_WRITE = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE


class MemfdInode(MemoryFile):
    """The file; ``seals`` are F_SEAL_*."""

    links = 0

    def __init__(self, filesystem: TmpFs, name: bytes, mode: int, cred: Credentials, seals: int) -> None:
        super().__init__(filesystem, mode, cred.fsuid, cred.fsgid)
        self.name = name
        self.seals = seals

    def open(self, flags: int, location: Location) -> MemfdFile:
        return MemfdFile(self, flags)

    def add_seals(self, seals: int) -> None:
        """EINVAL, EPERM, EBUSY."""
        if seals & ~ALL_SEALS:
            raise KernelError(E.EINVAL)
        if self.seals & F_SEAL_SEAL:
            raise KernelError(E.EPERM)
        if seals & F_SEAL_EXEC and self.mode & 0o111:
            seals |= F_SEAL_SHRINK | F_SEAL_GROW | _NO_WRITE
        if seals & F_SEAL_WRITE and not self.seals & F_SEAL_WRITE and self.content.shared is not None:
            self.content.shared.seal()
        self.seals |= seals

    @property
    def sealed_against_writing(self) -> bool:
        """No new writable mapping, no write."""
        return bool(self.seals & _NO_WRITE)

    def write_at(self, data: bytes | memoryview, offset: int) -> int:
        if self.seals & _NO_WRITE or (self.seals & F_SEAL_GROW and offset + len(data) > self.size):
            raise KernelError(E.EPERM)
        return super().write_at(data, offset)

    def truncate(self, size: int) -> None:
        if self.seals & (F_SEAL_SHRINK if size < self.size else F_SEAL_GROW if size > self.size else 0):
            raise KernelError(E.EPERM)
        super().truncate(size)

    def allocate(self, mode: int, offset: int, size: int) -> None:
        if mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE):
            raise KernelError(E.EOPNOTSUPP)
        if mode & ~FALLOC_FL_KEEP_SIZE and self.seals & _NO_WRITE:
            raise KernelError(E.EPERM)
        if not mode & FALLOC_FL_PUNCH_HOLE and self.seals & F_SEAL_GROW and offset + size > self.size:
            raise KernelError(E.EPERM)
        super().allocate(mode, offset, size)

    def setattr(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        if mode is not None and self.seals & F_SEAL_EXEC and (mode ^ self.mode) & 0o111:
            raise KernelError(E.EPERM)
        super().setattr(mode=mode, uid=uid, gid=gid, atime_ns=atime_ns, mtime_ns=mtime_ns)


class MemfdFile(RegularFile):
    """An open one; it has no place in the tree."""

    inode: MemfdInode
    can_direct = False  # as it is made, but once it is opened by /proc/self/fd

    def __init__(self, inode: MemfdInode, flags: int = O_RDWR | O_LARGEFILE) -> None:
        super().__init__(inode, flags, None)

    def link_text(self) -> bytes:
        return b"/memfd:" + self.inode.name + b" (deleted)"

    def reopen(self, flags: int) -> MemfdFile:
        file = MemfdFile(self.inode, flags)
        file.can_direct = True
        return file


def make_memfd(kernel: Kernel, name: bytes, cred: Credentials, *, executable: bool, seals: int) -> MemfdFile:
    if kernel.memfds is None:
        kernel.memfds = TmpFs(kernel)
    return MemfdFile(MemfdInode(kernel.memfds, name, 0o777 if executable else 0o666, cred, seals))
