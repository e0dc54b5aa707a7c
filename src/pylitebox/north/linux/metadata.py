"""What is known about files, and changing it: stat(2), statx(2), access(2), chmod(2), chown(2), utimensat(2),
statfs(2), umask(2).

One look-up serves every form: lookup.locate and :func:`_stat`. Permissions are operations.py's business.
"""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import stat as st
from pylitebox.abi.time import TIMESPEC
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.nameless import place_of
from pylitebox.kernel.fs.vfs import Location, Stat
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import (
    AccessMode,
    Address,
    AtFlags,
    DirFd,
    Fd,
    Int,
    Mode,
    OptionalPath,
    Path,
    StatxMask,
    Uid,
    ULong,
)
from pylitebox.north.linux.lookup import locate, opened, start
from pylitebox.north.linux.table import Full, syscall

_NS = 1_000_000_000
_STAT_FLAGS = fc.AT_SYMLINK_NOFOLLOW | fc.AT_NO_AUTOMOUNT | fc.AT_EMPTY_PATH

# -- stat ---------------------------------------------------------------------------------------------------------


def _stat(task: Task, dirfd: int, path: bytes | None, flags: int, known: int) -> Stat:
    """The stat of what ``path`` names; a null path is an empty one if AT_EMPTY_PATH says that it may be. Of a mere
    descriptor the other flags are not looked at."""
    if flags & fc.AT_EMPTY_PATH and not path and dirfd >= 0:
        return task.files.get(dirfd).stat()
    if flags & ~known:
        raise KernelError(E.EINVAL)
    if path:
        at = start(task, dirfd, path)
        return ops.stat(ops.resolve(task, path, at=at, follow=not flags & fc.AT_SYMLINK_NOFOLLOW))
    if not flags & fc.AT_EMPTY_PATH:
        raise KernelError(E.EFAULT if path is None else E.ENOENT)
    if dirfd == fc.AT_FDCWD:
        return ops.stat(task.fs.cwd)
    return task.files.get(dirfd).stat()


def pack(s: Stat) -> bytes:
    """struct stat of x86-64."""
    if s.packed:
        return s.packed
    s.packed = packed = st.STAT_X86_64.pack(
        s.dev,
        s.ino,
        s.nlink,
        s.mode,
        s.uid,
        s.gid,
        0,
        s.rdev,
        s.size,
        s.blksize,
        s.blocks,
        *divmod(s.atime_ns, _NS),
        *divmod(s.mtime_ns, _NS),
        *divmod(s.ctime_ns, _NS),
    )
    return packed


@syscall("newfstatat", x86_64=262, aarch64=79, support=Full, test="test_stat")
def newfstatat(task: Task, dirfd: DirFd, path: OptionalPath, statbuf: Address, flags: AtFlags) -> Result:
    task.memory.write(statbuf, pack(_stat(task, dirfd, path, flags, _STAT_FLAGS)))
    return 0


@syscall("stat", x86_64=4, aarch64=None, support=Full, test="test_stat")
def stat(task: Task, path: Path, statbuf: Address) -> Result:
    task.memory.write(statbuf, pack(ops.stat(ops.resolve(task, path))))
    return 0


@syscall("lstat", x86_64=6, aarch64=None, support=Full, test="test_stat")
def lstat(task: Task, path: Path, statbuf: Address) -> Result:
    task.memory.write(statbuf, pack(ops.stat(ops.resolve(task, path, follow=False))))
    return 0


@syscall("fstat", x86_64=5, aarch64=80, support=Full, test="test_stat")
def fstat(task: Task, fd: Fd, statbuf: Address) -> Result:
    task.memory.write(statbuf, pack(task.files.get(fd).stat()))
    return 0


#: struct statx (linux/stat.h): mask blksize attributes nlink uid gid mode ino size blocks attributes_mask, four
#: times (atime btime ctime mtime: s, ns), rdev and dev (major, minor), mnt_id, dio alignments and spare.
STATX = struct.Struct("<IIQIIIHxxQQQQ" + "qI4x" * 4 + "IIIIQ104x")
STATX_ATTR_MOUNT_ROOT = 0x2000
_STATX_RESERVED = 1 << 31
_UNIQUE = 1 << 31  # where unique mount ids begin, so that they are not taken for the others


@syscall("statx", x86_64=332, aarch64=291, support=Full, test="test_statx")
def statx(task: Task, dirfd: DirFd, path: OptionalPath, flags: AtFlags, mask: StatxMask, buf: Address) -> Result:
    if mask & _STATX_RESERVED or flags & fc.AT_STATX_SYNC_TYPE == fc.AT_STATX_SYNC_TYPE:
        raise KernelError(E.EINVAL)
    known = _STAT_FLAGS | fc.AT_STATX_SYNC_TYPE
    if path:
        if flags & ~known:
            raise KernelError(E.EINVAL)
        at = start(task, dirfd, path)
        location = ops.resolve(task, path, at=at, follow=not flags & fc.AT_SYMLINK_NOFOLLOW)
        s = ops.stat(location)
        facts = _mount_facts(location, mask)
    else:
        s = _stat(task, dirfd, path, flags, known)
        facts = _mount_facts(task.fs.cwd if dirfd == fc.AT_FDCWD else task.files.get(dirfd).location, mask)
    found, mount_id, attributes = facts
    task.memory.write(
        buf,
        STATX.pack(
            st.STATX_BASIC_STATS | st.STATX_BTIME | found,
            s.blksize,
            attributes,
            s.nlink,
            s.uid,
            s.gid,
            s.mode,
            s.ino,
            s.size,
            s.blocks,
            STATX_ATTR_MOUNT_ROOT,
            *divmod(s.atime_ns, _NS),
            *divmod(s.btime_ns, _NS),
            *divmod(s.ctime_ns, _NS),
            *divmod(s.mtime_ns, _NS),
            st.major(s.rdev),
            st.minor(s.rdev),
            st.major(s.dev),
            st.minor(s.dev),
            mount_id,
        ),
    )
    return 0


def _mount_facts(location: Location | None, mask: int) -> tuple[int, int, int]:
    """(mask bits, mount id, attributes): as mountinfo counts, or ids that are never used again if they are wanted."""
    if location is None:
        return 0, 0, 0
    mount = location.mount
    attributes = STATX_ATTR_MOUNT_ROOT if location.dentry is mount.root else 0
    if mask & st.STATX_MNT_ID_UNIQUE:
        return st.STATX_MNT_ID_UNIQUE, _UNIQUE + mount.ident, attributes
    return st.STATX_MNT_ID, mount.ident, attributes


# -- access -------------------------------------------------------------------------------------------------------


@syscall("faccessat2", x86_64=439, aarch64=439, support=Full, test="test_access")
def faccessat2(task: Task, dirfd: DirFd, path: Path, mode: AccessMode, flags: AtFlags) -> Result:
    if mode & ~7 or flags & ~(fc.AT_EACCESS | fc.AT_SYMLINK_NOFOLLOW | fc.AT_EMPTY_PATH):
        raise KernelError(E.EINVAL)
    cred = task.cred
    try:
        if not flags & fc.AT_EACCESS:  # for the way there too
            task.cred = ops.real_credentials(cred)
        ops.access(task, locate(task, dirfd, path, flags), mode)
    finally:
        task.cred = cred
    return 0


@syscall("faccessat", x86_64=269, aarch64=48, support=Full, test="test_access")
def faccessat(task: Task, dirfd: DirFd, path: Path, mode: AccessMode) -> Result:
    return faccessat2(task, dirfd, path, mode, 0)


@syscall("access", x86_64=21, aarch64=None, support=Full, test="test_access")
def access(task: Task, path: Path, mode: AccessMode) -> Result:
    return faccessat2(task, fc.AT_FDCWD, path, mode, 0)


# -- mode and owner -----------------------------------------------------------------------------------------------


@syscall("fchmodat2", x86_64=452, aarch64=452, support=Full, test="test_attributes_of_nameless_files")
def fchmodat2(task: Task, dirfd: DirFd, path: Path, mode: Mode, flags: AtFlags) -> Result:
    if flags & ~(fc.AT_SYMLINK_NOFOLLOW | fc.AT_EMPTY_PATH):
        raise KernelError(E.EINVAL)
    location = locate(task, dirfd, path, flags)
    if st.is_lnk(location.inode.mode):
        raise KernelError(E.EOPNOTSUPP)
    ops.chmod(task, location, mode)
    return 0


@syscall("fchmodat", x86_64=268, aarch64=53, support=Full, test="test_chmod")
def fchmodat(task: Task, dirfd: DirFd, path: Path, mode: Mode) -> Result:
    return fchmodat2(task, dirfd, path, mode, 0)


@syscall("chmod", x86_64=90, aarch64=None, support=Full, test="test_chmod")
def chmod(task: Task, path: Path, mode: Mode) -> Result:
    return fchmodat2(task, fc.AT_FDCWD, path, mode, 0)


@syscall("fchmod", x86_64=91, aarch64=52, support=Full, test="test_attributes_of_nameless_files")
def fchmod(task: Task, fd: Fd, mode: Mode) -> Result:
    ops.chmod(task, place_of(task.kernel, opened(task, fd)), mode)
    return 0


@syscall("fchownat", x86_64=260, aarch64=54, support=Full, test="test_attributes_of_nameless_files")
def fchownat(task: Task, dirfd: DirFd, path: Path, uid: Uid, gid: Uid, flags: AtFlags) -> Result:
    if flags & ~(fc.AT_SYMLINK_NOFOLLOW | fc.AT_EMPTY_PATH):
        raise KernelError(E.EINVAL)
    ops.chown(task, locate(task, dirfd, path, flags), uid, gid)
    return 0


@syscall("chown", x86_64=92, aarch64=None, support=Full, test="test_chown")
def chown(task: Task, path: Path, uid: Uid, gid: Uid) -> Result:
    ops.chown(task, ops.resolve(task, path), uid, gid)
    return 0


@syscall("lchown", x86_64=94, aarch64=None, support=Full, test="test_chown")
def lchown(task: Task, path: Path, uid: Uid, gid: Uid) -> Result:
    ops.chown(task, ops.resolve(task, path, follow=False), uid, gid)
    return 0


@syscall("fchown", x86_64=93, aarch64=55, support=Full, test="test_attributes_of_nameless_files")
def fchown(task: Task, fd: Fd, uid: Uid, gid: Uid) -> Result:
    ops.chown(task, place_of(task.kernel, opened(task, fd)), uid, gid)
    return 0


@syscall("umask", x86_64=95, aarch64=166, support=Full, test="test_open")
def umask(task: Task, mask: Int) -> Result:
    old = task.fs.umask
    task.fs.umask = mask & 0o777
    return old


# -- times --------------------------------------------------------------------------------------------------------


@syscall("utimensat", x86_64=280, aarch64=88, support=Full, test="test_attributes_of_nameless_files")
def utimensat(task: Task, dirfd: DirFd, path: OptionalPath, times: Address, flags: AtFlags) -> Result:
    wanted = [(0, st.UTIME_NOW)] * 2
    if times:
        wanted = list(TIMESPEC.iter_unpack(task.memory.read(times, 2 * TIMESPEC.size)))
        if wanted[0][1] == wanted[1][1] == st.UTIME_OMIT:
            return 0
    if path is None and dirfd != fc.AT_FDCWD:
        if flags:
            raise KernelError(E.EINVAL)
        location = place_of(task.kernel, opened(task, dirfd))
    elif flags & ~(fc.AT_SYMLINK_NOFOLLOW | fc.AT_EMPTY_PATH):
        raise KernelError(E.EINVAL)
    elif path is None:
        raise KernelError(E.EFAULT)
    else:
        location = locate(task, dirfd, path, flags)
    atime, mtime = (_time(seconds, ns) for seconds, ns in wanted)
    ops.utimens(task, location, atime, mtime)
    return 0


def _time(seconds: int, ns: int) -> ops.Time:
    """A struct timespec as ns, NOW for UTIME_NOW or None for UTIME_OMIT."""
    if ns == st.UTIME_NOW:
        return ops.NOW
    if ns == st.UTIME_OMIT:
        return None
    if not 0 <= ns < _NS:
        raise KernelError(E.EINVAL)
    return seconds * _NS + ns


def _timeval(task: Task, address: int) -> tuple[int, int]:
    """Two struct timeval as ns."""
    values = struct.unpack("<4q", task.memory.read(address, 32))
    if not 0 <= values[1] < 1_000_000 or not 0 <= values[3] < 1_000_000:
        raise KernelError(E.EINVAL)
    return values[0] * _NS + values[1] * 1000, values[2] * _NS + values[3] * 1000


@syscall("futimesat", x86_64=261, aarch64=None, support=Full, test="test_attributes_of_nameless_files")
def futimesat(task: Task, dirfd: DirFd, path: OptionalPath, times: Address) -> Result:
    if not times:
        return utimensat(task, dirfd, path, 0, 0)
    atime, mtime = _timeval(task, times)
    if path is None and dirfd != fc.AT_FDCWD:
        location = place_of(task.kernel, opened(task, dirfd))
    elif path is None:
        raise KernelError(E.EFAULT)
    else:
        location = locate(task, dirfd, path, 0)
    ops.utimens(task, location, atime, mtime)
    return 0


@syscall("utimes", x86_64=235, aarch64=None, support=Full, test="test_times")
def utimes(task: Task, path: Path, times: Address) -> Result:
    return futimesat(task, fc.AT_FDCWD, path, times)


@syscall("utime", x86_64=132, aarch64=None, support=Full, test="test_times")
def utime(task: Task, path: Path, times: Address) -> Result:
    atime: ops.Time = ops.NOW
    mtime: ops.Time = ops.NOW
    if times:
        seconds = struct.unpack("<qq", task.memory.read(times, 16))
        atime, mtime = seconds[0] * _NS, seconds[1] * _NS
    ops.utimens(task, ops.resolve(task, path), atime, mtime)
    return 0


# -- file systems -------------------------------------------------------------------------------------------------


@syscall("statfs", x86_64=137, aarch64=43, support=Full, test="test_statfs")
def statfs(task: Task, path: Path, buf: Address) -> Result:
    return _statfs(task, ops.resolve(task, path), buf)


@syscall("fstatfs", x86_64=138, aarch64=44, support=Full, test="test_statfs")
def fstatfs(task: Task, fd: Fd, buf: Address) -> Result:
    file = task.files.get(fd)
    if file.location is not None:
        return _statfs(task, file.location, buf)
    kind = file.stat().mode & st.S_IFMT
    magic = {st.S_IFIFO: st.PIPEFS_MAGIC, st.S_IFSOCK: st.SOCKFS_MAGIC}.get(kind, st.ANON_INODE_FS_MAGIC)
    task.memory.write(buf, st.STATFS.pack(magic, 4096, 0, 0, 0, 0, 0, 0, 0, 255, 4096, 0x20))
    return 0


def _statfs(task: Task, location: Location, buf: int) -> int:
    s = ops.statfs(location)
    fsid = s.fsid & 0x7FFFFFFF, s.fsid >> 32 & 0x7FFFFFFF
    task.memory.write(
        buf,
        st.STATFS.pack(
            s.type, s.bsize, s.blocks, s.bfree, s.bavail, s.files, s.ffree, *fsid, s.namelen, s.frsize,
            s.flags,
        ),
    )  # fmt: skip
    return 0


@syscall("ustat", x86_64=136, aarch64=None, support=Full, test="test_statfs")
def ustat(task: Task, dev: ULong, buf: Address) -> Result:
    namespace = task.kernel.namespace
    mounts = namespace.mounts if namespace is not None else ()
    for mount in mounts:
        if mount.filesystem.dev == dev & 0xFFFFFFFF:
            s = mount.filesystem.statfs()
            task.memory.write(buf, struct.pack("<i4xQ12x4x", s.bfree & 0x7FFFFFFF, s.ffree))
            return 0
    raise KernelError(E.EINVAL)
