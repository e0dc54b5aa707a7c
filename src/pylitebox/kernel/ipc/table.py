"""What the three kinds of System V IPC share: keys, ids, owners and permissions (man 7 sysvipc; ipc/util.c).

An id is made of an index into the table, which a new object takes in a cycle, and of a sequence number, which grows
whenever the cycle starts again: so the id of a removed object stays invalid for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from pylitebox.abi import errno as E
from pylitebox.abi import ipc
from pylitebox.abi.time import NSEC_PER_SEC
from pylitebox.kernel.credentials import CAP_IPC_OWNER, CAP_SYS_ADMIN
from pylitebox.kernel.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.kernel import Kernel

S_IRUGO = 0o444
S_IWUGO = 0o222
S_IXUGO = 0o111
#: How far the cycle of indexes reaches at least (ipc/util.h: ipc_min_cycle).
_MIN_CYCLE = 64
_NOBODY = 0xFFFFFFFF


class IpcObject:
    """struct kern_ipc_perm. ``removed``: whoever still waits for it gets EIDRM."""

    def __init__(self, kernel: Kernel, key: int, mode: int, cred: Credentials) -> None:
        self.kernel = kernel
        self.key = key
        self.mode = mode & 0o777
        self.uid = self.cuid = cred.euid
        self.gid = self.cgid = cred.egid
        self.ident = 0
        self.index = 0
        self.removed = False
        self.ctime = self.now()

    def now(self) -> int:
        """Seconds since the epoch, as the times of IPC objects are kept."""
        return self.kernel.wall() // NSEC_PER_SEC

    def check(self, cred: Credentials, wanted: int) -> None:
        """EACCES unless ``wanted`` (permission bits of any class) is granted; ipcperms()."""
        wanted = wanted >> 6 | wanted >> 3 | wanted
        granted = self.mode
        if cred.euid in (self.cuid, self.uid):
            granted >>= 6
        elif cred.in_group(self.cgid) or cred.in_group(self.gid):
            granted >>= 3
        if wanted & ~granted & 7 and not cred.capable(CAP_IPC_OWNER):
            raise KernelError(E.EACCES)

    def check_owner(self, cred: Credentials) -> None:
        """EPERM for who may not change or remove it."""
        if cred.euid not in (self.cuid, self.uid) and not cred.capable(CAP_SYS_ADMIN):
            raise KernelError(E.EPERM)

    def set_owner(self, uid: int, gid: int, mode: int) -> None:
        """IPC_SET."""
        if _NOBODY in (uid, gid):
            raise KernelError(E.EINVAL)
        self.uid, self.gid = uid, gid
        self.mode = self.mode & ~0o777 | mode & 0o777

    def pack_perm(self) -> bytes:
        return ipc.IPC_PERM.pack(
            self.key, self.uid, self.gid, self.cuid, self.cgid, self.mode, self.ident >> ipc.IPCMNI_SHIFT
        )


Obj = TypeVar("Obj", bound=IpcObject)


class IpcTable(Generic[Obj]):
    """The objects of one kind; at most ``limit``."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.objects: dict[int, Obj] = {}  # by index
        self._keys: dict[int, Obj] = {}
        self._next = 0  # where the search for a free index starts
        self._last = -1
        self._sequence = 0

    @property
    def highest(self) -> int:
        """The highest index in use (what *_INFO answers); 0 if there is none."""
        return max(self.objects, default=0)

    def sorted(self) -> list[Obj]:
        return [self.objects[index] for index in sorted(self.objects)]

    def get(
        self, key: int, flags: int, cred: Credentials, make: Callable[[], Obj], suits: Callable[[Obj], bool]
    ) -> int:
        """semget(2), msgget(2), shmget(2): the id of the object of this key, or of a new one. EINVAL if one that is
        there does not suit."""
        found = self._keys.get(key) if key != ipc.IPC_PRIVATE else None
        if found is None:
            if key != ipc.IPC_PRIVATE and not flags & ipc.IPC_CREAT:
                raise KernelError(E.ENOENT)
            return self._add(make)
        if flags & ipc.IPC_CREAT and flags & ipc.IPC_EXCL:
            raise KernelError(E.EEXIST)
        if not suits(found):
            raise KernelError(E.EINVAL)
        found.check(cred, flags & 0o777)
        return found.ident

    def _add(self, make: Callable[[], Obj]) -> int:
        if len(self.objects) >= self.limit:
            raise KernelError(E.ENOSPC)
        new = make()
        cycle = min(max((len(self.objects) + 1) * 3 // 2, _MIN_CYCLE), ipc.IPCMNI)
        index = self._next if self._next < cycle else 0
        while index in self.objects:
            index = index + 1 if index + 1 < cycle else 0
        if index <= self._last:
            self._sequence = (self._sequence + 1) & 0xFFFF
        self._next, self._last = index + 1, index
        new.index = index
        new.ident = self._sequence << ipc.IPCMNI_SHIFT | index
        self.objects[index] = new
        if new.key != ipc.IPC_PRIVATE:
            self._keys[new.key] = new
        return new.ident

    def find(self, ident: int) -> Obj:
        """The object of this id; EINVAL."""
        found = self.objects.get(ident & ipc.IPCMNI - 1) if ident >= 0 else None
        if found is None or found.ident != ident:
            raise KernelError(E.EINVAL)
        return found

    def at(self, index: int) -> Obj:
        """The object at an index of the table (SEM_STAT, MSG_STAT, SHM_STAT); EINVAL."""
        found = self.objects.get(index & ipc.IPCMNI - 1) if index >= 0 else None
        if found is None:
            raise KernelError(E.EINVAL)
        return found

    def forget_key(self, thing: Obj) -> None:
        """The object is found by its id only from now on."""
        if self._keys.get(thing.key) is thing:
            del self._keys[thing.key]
        thing.key = ipc.IPC_PRIVATE

    def remove(self, thing: Obj) -> None:
        if self._keys.get(thing.key) is thing:
            del self._keys[thing.key]
        del self.objects[thing.index]
        thing.removed = True
