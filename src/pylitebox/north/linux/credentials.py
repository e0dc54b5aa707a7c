"""User and group ids and capabilities (man 7 credentials, man 7 capabilities; kernel/sys.c, security/commoncap.c)."""

import struct
from itertools import product

from pylitebox.abi import errno as E
from pylitebox.kernel.credentials import ALL_CAPABILITIES, CAP_SETGID, CAP_SETUID, NGROUPS_MAX, Credentials
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, Int, Uid
from pylitebox.north.linux.process import task_of
from pylitebox.north.linux.table import Full, Partial, syscall

_UNSET = 0xFFFFFFFF
CAP_SETPCAP = 8
SECBIT_NO_SETUID_FIXUP = 1 << 2
SECBIT_KEEP_CAPS = 1 << 4
#: What follows fsuid: CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID LINUX_IMMUTABLE MKNOD MAC_OVERRIDE.
_FS_CAPABILITIES = 0b11111 | 1 << 9 | 1 << 27 | 1 << 32


def commit(task: Task, new: Credentials) -> None:
    """Take on new ids: capabilities follow the user ids (cap_emulate_setxuid), a changed identity is not dumpable."""
    old = task.cred
    if not old.securebits & SECBIT_NO_SETUID_FIXUP:
        permitted, effective, ambient = new.permitted, new.effective, new.ambient
        if 0 in {old.uid, old.euid, old.suid} and 0 not in {new.uid, new.euid, new.suid}:
            if not old.securebits & SECBIT_KEEP_CAPS:
                permitted = effective = 0
            ambient = 0
        if old.euid == 0 != new.euid:
            effective = 0
        elif new.euid == 0 != old.euid:
            effective = permitted
        new = new._replace(permitted=permitted, effective=effective, ambient=ambient)
    _identity_changed(task, old, new)
    task.commit_creds(new)


def _identity_changed(task: Task, old: Credentials, new: Credentials) -> None:
    if (old.euid, old.egid, old.fsuid, old.fsgid) != (new.euid, new.egid, new.fsuid, new.fsgid):
        task.process.dumpable = 0
        task.process.pdeathsig = 0


# -- user ids -------------------------------------------------------------------------------------------------


@syscall("getuid", x86_64=102, aarch64=174, support=Full, test="test_credentials")
def getuid(task: Task) -> Result:
    return task.cred.uid


@syscall("geteuid", x86_64=107, aarch64=175, support=Full, test="test_credentials")
def geteuid(task: Task) -> Result:
    return task.cred.euid


@syscall("setuid", x86_64=105, aarch64=146, support=Full, test="test_credentials")
def setuid(task: Task, uid: Uid) -> Result:
    old = task.cred
    if uid == _UNSET:
        raise KernelError(E.EINVAL)
    if old.capable(CAP_SETUID):
        commit(task, old._replace(uid=uid, euid=uid, suid=uid, fsuid=uid))
    elif uid in {old.uid, old.suid}:
        commit(task, old._replace(euid=uid, fsuid=uid))
    else:
        raise KernelError(E.EPERM)
    return 0


@syscall("setreuid", x86_64=113, aarch64=145, support=Full, test="test_credentials")
def setreuid(task: Task, ruid: Uid, euid: Uid) -> Result:
    old = task.cred
    if not old.capable(CAP_SETUID) and (
        ruid not in {_UNSET, old.uid, old.euid} or euid not in {_UNSET, old.uid, old.euid, old.suid}
    ):
        raise KernelError(E.EPERM)
    new_uid = old.uid if ruid == _UNSET else ruid
    new_euid = old.euid if euid == _UNSET else euid
    changes_saved = ruid != _UNSET or (euid not in {_UNSET, old.uid})
    suid = new_euid if changes_saved else old.suid
    commit(task, old._replace(uid=new_uid, euid=new_euid, suid=suid, fsuid=new_euid))
    return 0


@syscall("setresuid", x86_64=117, aarch64=147, support=Full, test="test_credentials")
def setresuid(task: Task, ruid: Uid, euid: Uid, suid: Uid) -> Result:
    old = task.cred
    if euid in (_UNSET, old.fsuid) and (ruid, euid, suid) in _same(old.uid, old.euid, old.suid):
        return 0
    if not old.capable(CAP_SETUID) and not {ruid, euid, suid} <= {_UNSET, old.uid, old.euid, old.suid}:
        raise KernelError(E.EPERM)
    uid = old.uid if ruid == _UNSET else ruid
    effective = old.euid if euid == _UNSET else euid
    saved = old.suid if suid == _UNSET else suid
    commit(task, old._replace(uid=uid, euid=effective, suid=saved, fsuid=effective))
    return 0


def _same(*ids: int) -> frozenset[tuple[int, ...]]:
    """What may be asked for without changing these ids: not even the credentials are others then."""
    return frozenset(product(*((_UNSET, ident) for ident in ids)))


def _write_ids(task: Task, addresses: tuple[int, ...], ids: tuple[int, ...]) -> int:
    for address, value in zip(addresses, ids, strict=True):
        task.memory.write(address, value.to_bytes(4, "little"))
    return 0


@syscall("getresuid", x86_64=118, aarch64=148, support=Full, test="test_credentials")
def getresuid(task: Task, ruid: Address, euid: Address, suid: Address) -> Result:
    cred = task.cred
    return _write_ids(task, (ruid, euid, suid), (cred.uid, cred.euid, cred.suid))


@syscall("setfsuid", x86_64=122, aarch64=151, support=Full, test="test_credentials")
def setfsuid(task: Task, uid: Uid) -> Result:
    old = task.cred
    if uid in (_UNSET, old.fsuid) or not (uid in {old.uid, old.euid, old.suid, old.fsuid} or old.capable(CAP_SETUID)):
        return old.fsuid
    effective = old.effective
    if not old.securebits & SECBIT_NO_SETUID_FIXUP:
        if old.fsuid == 0 != uid:
            effective &= ~_FS_CAPABILITIES
        elif uid == 0 != old.fsuid:
            effective |= old.permitted & _FS_CAPABILITIES
    new = old._replace(fsuid=uid, effective=effective)
    _identity_changed(task, old, new)
    task.commit_creds(new)
    return old.fsuid


# -- group ids ------------------------------------------------------------------------------------------------


@syscall("getgid", x86_64=104, aarch64=176, support=Full, test="test_credentials")
def getgid(task: Task) -> Result:
    return task.cred.gid


@syscall("getegid", x86_64=108, aarch64=177, support=Full, test="test_credentials")
def getegid(task: Task) -> Result:
    return task.cred.egid


@syscall("setgid", x86_64=106, aarch64=144, support=Full, test="test_credentials")
def setgid(task: Task, gid: Uid) -> Result:
    old = task.cred
    if gid == _UNSET:
        raise KernelError(E.EINVAL)
    if old.capable(CAP_SETGID):
        commit(task, old._replace(gid=gid, egid=gid, sgid=gid, fsgid=gid))
    elif gid in {old.gid, old.sgid}:
        commit(task, old._replace(egid=gid, fsgid=gid))
    else:
        raise KernelError(E.EPERM)
    return 0


@syscall("setregid", x86_64=114, aarch64=143, support=Full, test="test_credentials")
def setregid(task: Task, rgid: Uid, egid: Uid) -> Result:
    old = task.cred
    if not old.capable(CAP_SETGID) and (
        rgid not in {_UNSET, old.gid, old.egid} or egid not in {_UNSET, old.gid, old.egid, old.sgid}
    ):
        raise KernelError(E.EPERM)
    new_gid = old.gid if rgid == _UNSET else rgid
    new_egid = old.egid if egid == _UNSET else egid
    changes_saved = rgid != _UNSET or (egid not in {_UNSET, old.gid})
    sgid = new_egid if changes_saved else old.sgid
    commit(task, old._replace(gid=new_gid, egid=new_egid, sgid=sgid, fsgid=new_egid))
    return 0


@syscall("setresgid", x86_64=119, aarch64=149, support=Full, test="test_credentials")
def setresgid(task: Task, rgid: Uid, egid: Uid, sgid: Uid) -> Result:
    old = task.cred
    if egid in (_UNSET, old.fsgid) and (rgid, egid, sgid) in _same(old.gid, old.egid, old.sgid):
        return 0
    if not old.capable(CAP_SETGID) and not {rgid, egid, sgid} <= {_UNSET, old.gid, old.egid, old.sgid}:
        raise KernelError(E.EPERM)
    gid = old.gid if rgid == _UNSET else rgid
    effective = old.egid if egid == _UNSET else egid
    saved = old.sgid if sgid == _UNSET else sgid
    commit(task, old._replace(gid=gid, egid=effective, sgid=saved, fsgid=effective))
    return 0


@syscall("getresgid", x86_64=120, aarch64=150, support=Full, test="test_credentials")
def getresgid(task: Task, rgid: Address, egid: Address, sgid: Address) -> Result:
    cred = task.cred
    return _write_ids(task, (rgid, egid, sgid), (cred.gid, cred.egid, cred.sgid))


@syscall("setfsgid", x86_64=123, aarch64=152, support=Full, test="test_credentials")
def setfsgid(task: Task, gid: Uid) -> Result:
    old = task.cred
    if gid not in (_UNSET, old.fsgid) and (gid in {old.gid, old.egid, old.sgid, old.fsgid} or old.capable(CAP_SETGID)):
        new = old._replace(fsgid=gid)
        _identity_changed(task, old, new)
        task.commit_creds(new)
    return old.fsgid


@syscall("getgroups", x86_64=115, aarch64=158, support=Full, test="test_credentials")
def getgroups(task: Task, size: Int, address: Address) -> Result:
    groups = task.cred.groups
    if size < 0:
        raise KernelError(E.EINVAL)
    if size:
        if size < len(groups):
            raise KernelError(E.EINVAL)
        task.memory.write(address, struct.pack(f"<{len(groups)}I", *groups))
    return len(groups)


@syscall("setgroups", x86_64=116, aarch64=159, support=Partial("at most 1024 groups (ngroups_max)"))
def setgroups(task: Task, size: Int, address: Address) -> Result:
    if not task.cred.capable(CAP_SETGID):
        raise KernelError(E.EPERM)
    if not 0 <= size <= NGROUPS_MAX:
        raise KernelError(E.EINVAL)
    groups = struct.unpack(f"<{size}I", task.memory.read(address, 4 * size)) if size else ()
    if _UNSET in groups:
        raise KernelError(E.EINVAL)
    task.commit_creds(task.cred._replace(groups=tuple(sorted(groups))))
    return 0


# -- capabilities ---------------------------------------------------------------------------------------------

_VERSION_1, _VERSION_2, _VERSION_3 = 0x19980330, 0x20071026, 0x20080522
_HEADER = struct.Struct("<Ii")


def _header(task: Task, address: int) -> tuple[int, int] | None:
    """Words per set and thread id of a cap_user_header_t; None (after saying ours) for an unknown version."""
    version, pid = _HEADER.unpack(task.memory.read(address, _HEADER.size))
    if version == _VERSION_1:
        return 1, pid
    if version in {_VERSION_2, _VERSION_3}:
        return 2, pid
    task.memory.write(address, _VERSION_3.to_bytes(4, "little"))
    return None


@syscall("capget", x86_64=125, aarch64=90, support=Full, test="test_credentials")
def capget(task: Task, header: Address, data: Address) -> Result:
    known = _header(task, header)
    if known is None:
        if data:
            raise KernelError(E.EINVAL)
        return 0
    words, pid = known
    if pid < 0:
        raise KernelError(E.EINVAL)
    cred = task_of(task, pid).cred
    if data:
        sets = (cred.effective, cred.permitted, cred.inheritable)
        task.memory.write(
            data, b"".join(struct.pack("<3I", *((s >> 32 * word) & 0xFFFFFFFF for s in sets)) for word in range(words))
        )
    return 0


@syscall("capset", x86_64=126, aarch64=91, support=Full, test="test_credentials")
def capset(task: Task, header: Address, data: Address) -> Result:
    known = _header(task, header)
    if known is None:
        raise KernelError(E.EINVAL)
    words, pid = known
    if pid not in {0, task.tid}:
        raise KernelError(E.EPERM)
    values = struct.unpack(f"<{3 * words}I", task.memory.read(data, 12 * words))
    effective, permitted, inheritable = (sum(values[3 * w + i] << 32 * w for w in range(words)) for i in range(3))
    old = task.cred
    effective, permitted, inheritable = (s & ALL_CAPABILITIES for s in (effective, permitted, inheritable))
    if inheritable & ~(old.inheritable | old.permitted) and not old.capable(CAP_SETPCAP):
        raise KernelError(E.EPERM)
    if inheritable & ~(old.inheritable | old.bounding) or permitted & ~old.permitted or effective & ~permitted:
        raise KernelError(E.EPERM)
    ambient = old.ambient & permitted & inheritable
    task.commit_creds(old._replace(effective=effective, permitted=permitted, inheritable=inheritable, ambient=ambient))
    return 0
