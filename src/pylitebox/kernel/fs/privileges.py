"""What a file loses when it is written to: set-id bits, unless the writer has CAP_FSETID, and the capabilities that
it would give (fs/attr.c, file_remove_privs; man 7 capabilities)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.stat import S_IFMT, S_IFREG, S_ISGID, S_ISUID
from pylitebox.kernel.credentials import CAP_FSETID, CAP_SETFCAP, CAP_SYS_ADMIN
from pylitebox.kernel.errors import KernelError

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.vfs import Inode, Who

CAPABILITY = b"security.capability"
_VERSION_2, _VERSION_3 = 0x02000000, 0x03000000
_EFFECTIVE = 1


def without_set_ids(cred: Credentials, inode: Inode) -> int:
    """The permission bits without those that must not outlive a change of owner: S_ISUID, and S_ISGID if it means
    execution or ``cred`` is not in the group."""
    mode = inode.mode & 0o7777 & ~S_ISUID
    if mode & 0o010 or not (cred.in_group(inode.gid) or cred.capable(CAP_FSETID)):
        mode &= ~S_ISGID
    return mode


def new_mode(who: Who, directory: Inode, mode: int) -> int:
    """The permission bits of a new file: after the umask, and before it, nobody makes a program of a group that is not
    theirs by way of a set-group-id directory (fs/namei.c, vfs_prepare_mode)."""
    mode &= 0o7777
    if mode & 0o2010 == 0o2010 and directory.mode & S_ISGID:
        cred = who.cred
        if not cred.in_group(directory.gid) and not cred.capable(CAP_FSETID):
            mode &= ~S_ISGID
    return mode & ~who.fs.umask


def drop_privileges(cred: Credentials, inode: Inode) -> bool:
    """Before a regular file is changed; whether anything was taken from it."""
    mode = inode.mode
    if mode & S_IFMT != S_IFREG:
        return False
    dropped = False
    if mode & (S_ISUID | S_ISGID) and not cred.capable(CAP_FSETID):
        left = without_set_ids(cred, inode)
        if left != mode & 0o7777:
            inode.setattr(mode=left)
            dropped = True
    if inode.gives_capabilities:
        inode.remove_xattr(CAPABILITY)
        dropped = True
    return dropped


def check_security(cred: Credentials, name: bytes) -> None:
    """EPERM unless ``cred`` may set or remove this attribute of the security. namespace."""
    if not cred.capable(CAP_SETFCAP if name == CAPABILITY else CAP_SYS_ADMIN):
        raise KernelError(E.EPERM)


def capability_value(value: bytes) -> bytes:
    """File capabilities (linux/capability.h) as they are kept: those for root are version 2; EINVAL."""
    magic = int.from_bytes(value[:4], "little") & ~_EFFECTIVE
    if (len(value), magic) == (24, _VERSION_3):
        if value[20:] != bytes(4):
            return value
        return struct.pack("<I", _VERSION_2 | value[0] & _EFFECTIVE) + value[4:20]
    if (len(value), magic) != (20, _VERSION_2):
        raise KernelError(E.EINVAL)
    return value
