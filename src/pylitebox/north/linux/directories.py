"""Names and directories: getdents64(2), getcwd(2), chdir(2), mkdir(2), unlink(2), rename(2), link(2), symlink(2),
readlink(2), mknod(2) and their *at() forms.
"""

import struct

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi.stat import S_IFDIR, S_IFMT, S_IFREG, is_dir, is_lnk
from pylitebox.kernel.credentials import CAP_DAC_READ_SEARCH, CAP_SYS_CHROOT
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import (
    Address,
    AtFlags,
    DirFd,
    Fd,
    FileMode,
    Int,
    Mode,
    Path,
    RenameFlags,
    Size,
    UInt,
    UnlinkFlags,
)
from pylitebox.north.linux.lookup import locate, opened, start
from pylitebox.north.linux.table import Full, syscall

# -- reading directories ------------------------------------------------------------------------------------------

#: struct linux_dirent64 before its name: ino, off, reclen, type.
DIRENT64 = struct.Struct("<QqHB")
#: struct linux_dirent before its name; the type is the record's last byte.
DIRENT = struct.Struct("<QqH")
#: The most that one call gives, whatever the buffer's size.
_MOST = 1 << 20


def _entries(task: Task, fd: int, buf: int, count: int, *, old: bool) -> int:
    """Fill the guest's buffer with whole records from the directory's position on."""
    file = opened(task, fd)
    header = (DIRENT if old else DIRENT64).pack
    records: list[bytes] = []
    left = min(count, _MOST)
    position = file.position
    for name, ino, kind in file.readdir():
        if old:
            size = 18 + len(name) + 2 + 7 & ~7
            record = header(ino, position + 1, size) + name
            record = record.ljust(size - 1, b"\0") + bytes((kind,))
        else:
            size = 19 + len(name) + 1 + 7 & ~7
            record = (header(ino, position + 1, size, kind) + name).ljust(size, b"\0")
        if size > left:
            if not records:
                raise KernelError(E.EINVAL)
            break
        left -= size
        position += 1
        records.append(record)
    data = b"".join(records)
    if data:
        task.memory.write(buf, data)
        file.position = position
    return len(data)


@syscall("getdents64", x86_64=217, aarch64=61, support=Full, test="test_getdents")
def getdents64(task: Task, fd: Fd, buf: Address, count: UInt) -> Result:
    return _entries(task, fd, buf, count, old=False)


@syscall("getdents", x86_64=78, aarch64=None, support=Full, test="test_getdents")
def getdents(task: Task, fd: Fd, buf: Address, count: UInt) -> Result:
    return _entries(task, fd, buf, count, old=True)


# -- the working directory and the root ---------------------------------------------------------------------------


@syscall("getcwd", x86_64=79, aarch64=17, support=Full, test="test_chdir")
def getcwd(task: Task, buf: Address, size: Size) -> Result:
    cwd = task.fs.cwd
    if cwd.dentry.deleted:
        raise KernelError(E.ENOENT)
    path = ops.path_of(task, cwd) + b"\0"
    if len(path) > size:
        raise KernelError(E.ERANGE)
    task.memory.write(buf, path)
    return len(path)


@syscall("chdir", x86_64=80, aarch64=49, support=Full, test="test_chdir")
def chdir(task: Task, path: Path) -> Result:
    location = ops.resolve(task, path, directory=True)
    ops.permission(task.cred, location.inode, ops.MAY_EXEC)
    task.fs.cwd = location
    return 0


@syscall("fchdir", x86_64=81, aarch64=50, support=Full, test="test_chdir")
def fchdir(task: Task, fd: Fd) -> Result:
    location = task.files.get(fd).location
    if location is None or not is_dir(location.inode.mode):
        raise KernelError(E.ENOTDIR)
    ops.permission(task.cred, location.inode, ops.MAY_EXEC)
    task.fs.cwd = location
    return 0


@syscall("chroot", x86_64=161, aarch64=51, support=Full, test="test_chroot")
def chroot(task: Task, path: Path) -> Result:
    location = ops.resolve(task, path, directory=True)
    ops.permission(task.cred, location.inode, ops.MAY_EXEC)
    if not task.cred.capable(CAP_SYS_CHROOT):
        raise KernelError(E.EPERM)
    task.fs.root = location
    return 0


# -- making and removing ------------------------------------------------------------------------------------------


@syscall("mkdirat", x86_64=258, aarch64=34, support=Full, test="test_mkdir")
def mkdirat(task: Task, dirfd: DirFd, path: Path, mode: Mode) -> Result:
    ops.mkdir(task, path, mode, at=start(task, dirfd, path))
    return 0


@syscall("mkdir", x86_64=83, aarch64=None, support=Full, test="test_mkdir")
def mkdir(task: Task, path: Path, mode: Mode) -> Result:
    ops.mkdir(task, path, mode)
    return 0


@syscall("rmdir", x86_64=84, aarch64=None, support=Full, test="test_mkdir")
def rmdir(task: Task, path: Path) -> Result:
    ops.rmdir(task, path)
    return 0


@syscall("unlink", x86_64=87, aarch64=None, support=Full, test="test_unlink")
def unlink(task: Task, path: Path) -> Result:
    ops.unlink(task, path)
    return 0


@syscall("unlinkat", x86_64=263, aarch64=35, support=Full, test="test_unlink")
def unlinkat(task: Task, dirfd: DirFd, path: Path, flags: UnlinkFlags) -> Result:
    if flags & ~fc.AT_REMOVEDIR:
        raise KernelError(E.EINVAL)
    (ops.rmdir if flags else ops.unlink)(task, path, at=start(task, dirfd, path))
    return 0


@syscall("mknodat", x86_64=259, aarch64=33, support=Full, test="test_block_devices_that_are_not_there")
def mknodat(task: Task, dirfd: DirFd, path: Path, mode: FileMode, dev: UInt) -> Result:
    kind = mode & S_IFMT
    if kind == S_IFDIR:
        raise KernelError(E.EPERM)
    ops.mknod(task, path, mode if kind else mode | S_IFREG, dev, at=start(task, dirfd, path))
    return 0


@syscall("mknod", x86_64=133, aarch64=None, support=Full, test="test_block_devices_that_are_not_there")
def mknod(task: Task, path: Path, mode: FileMode, dev: UInt) -> Result:
    return mknodat(task, fc.AT_FDCWD, path, mode, dev)


# -- renaming and linking -----------------------------------------------------------------------------------------


@syscall("renameat2", x86_64=316, aarch64=276, support=Full, test="test_rename")
def renameat2(task: Task, olddirfd: DirFd, old: Path, newdirfd: DirFd, new: Path, flags: RenameFlags) -> Result:
    ops.check_rename(flags)
    old_at = start(task, olddirfd, old)
    try:
        new_at = start(task, newdirfd, new)
    except KernelError:
        parent, _, _ = ops.resolve_parent(task, old, at=old_at)  # the old path's errors come first
        ops.permission(task.cred, parent.inode, ops.MAY_EXEC)
        raise
    ops.rename(task, old, new, old_at=old_at, new_at=new_at, flags=flags)
    return 0


@syscall("renameat", x86_64=264, aarch64=38, support=Full, test="test_rename")
def renameat(task: Task, olddirfd: DirFd, old: Path, newdirfd: DirFd, new: Path) -> Result:
    return renameat2(task, olddirfd, old, newdirfd, new, 0)


@syscall("rename", x86_64=82, aarch64=None, support=Full, test="test_rename")
def rename(task: Task, old: Path, new: Path) -> Result:
    return renameat2(task, fc.AT_FDCWD, old, fc.AT_FDCWD, new, 0)


@syscall("linkat", x86_64=265, aarch64=37, support=Full, test="test_link")
def linkat(task: Task, olddirfd: DirFd, old: Path, newdirfd: DirFd, new: Path, flags: AtFlags) -> Result:
    if flags & ~(fc.AT_SYMLINK_FOLLOW | fc.AT_EMPTY_PATH):
        raise KernelError(E.EINVAL)
    if flags & fc.AT_EMPTY_PATH and olddirfd != fc.AT_FDCWD and old[:1] != b"/":
        opener, cred = task.files.get(olddirfd).opener, task.cred
        if opener is not None and opener is not cred and not cred.capable(CAP_DAC_READ_SEARCH):
            raise KernelError(E.ENOENT)  # path_init(), LOOKUP_LINKAT_EMPTY
    if not old and flags & fc.AT_EMPTY_PATH:
        source = locate(task, olddirfd, old, flags)
    else:
        at = start(task, olddirfd, old)
        source = ops.resolve(task, old, at=at, follow=bool(flags & fc.AT_SYMLINK_FOLLOW))
    ops.link_location(task, source, new, new_at=start(task, newdirfd, new))
    return 0


@syscall("link", x86_64=86, aarch64=None, support=Full, test="test_link")
def link(task: Task, old: Path, new: Path) -> Result:
    return linkat(task, fc.AT_FDCWD, old, fc.AT_FDCWD, new, 0)


@syscall("symlinkat", x86_64=266, aarch64=36, support=Full, test="test_symlink")
def symlinkat(task: Task, target: Path, dirfd: DirFd, path: Path) -> Result:
    ops.symlink(task, target, path, at=start(task, dirfd, path))
    return 0


@syscall("symlink", x86_64=88, aarch64=None, support=Full, test="test_symlink")
def symlink(task: Task, target: Path, path: Path) -> Result:
    ops.symlink(task, target, path)
    return 0


@syscall("readlinkat", x86_64=267, aarch64=78, support=Full, test="test_symlink")
def readlinkat(task: Task, dirfd: DirFd, path: Path, buf: Address, size: Int) -> Result:
    if size <= 0:
        raise KernelError(E.EINVAL)
    if path or dirfd == fc.AT_FDCWD:
        target = ops.readlink(task, path, at=start(task, dirfd, path))
    else:  # a descriptor of the link itself (O_PATH | O_NOFOLLOW)
        inode = task.files.get(dirfd).inode
        if inode is None or not is_lnk(inode.mode):
            raise KernelError(E.ENOENT)
        target = inode.target(task)
    target = target[:size]
    task.memory.write(buf, target)
    return len(target)


@syscall("readlink", x86_64=89, aarch64=None, support=Full, test="test_symlink")
def readlink(task: Task, path: Path, buf: Address, size: Int) -> Result:
    return readlinkat(task, fc.AT_FDCWD, path, buf, size)
