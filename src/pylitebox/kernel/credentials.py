"""User and group ids of a task (man 7 credentials). Immutable: a change makes a new object."""

from typing import NamedTuple

#: All capabilities that Linux 6.18 knows (linux/capability.h: CAP_LAST_CAP is 40).
ALL_CAPABILITIES = (1 << 41) - 1
#: Supplementary groups of one thread: fewer than Linux's 65536, since each thread may have its own.
NGROUPS_MAX = 1024
CAP_CHOWN = 0
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_FSETID = 4
CAP_SETFCAP = 31
CAP_KILL = 5
CAP_SETGID = 6
CAP_SETUID = 7
CAP_IPC_LOCK = 14
CAP_IPC_OWNER = 15
CAP_SYS_CHROOT = 18
CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24
CAP_MKNOD = 27


class Credentials(NamedTuple):
    uid: int = 0
    euid: int = 0
    suid: int = 0
    fsuid: int = 0
    gid: int = 0
    egid: int = 0
    sgid: int = 0
    fsgid: int = 0
    groups: tuple[int, ...] = ()
    #: Capability sets as bit masks (man 7 capabilities).
    effective: int = ALL_CAPABILITIES
    permitted: int = ALL_CAPABILITIES
    inheritable: int = 0
    bounding: int = ALL_CAPABILITIES
    ambient: int = 0
    securebits: int = 0

    @classmethod
    def user(cls, uid: int, gid: int, groups: tuple[int, ...] = ()) -> "Credentials":
        """The credentials of a log-in as uid:gid: all capabilities for root, none for others."""
        caps = ALL_CAPABILITIES if uid == 0 else 0
        return cls(uid, uid, uid, uid, gid, gid, gid, gid, groups, caps, caps)

    def capable(self, capability: int) -> bool:
        return bool(self.effective >> capability & 1)

    def in_group(self, gid: int) -> bool:
        return gid == self.fsgid or gid in self.groups
