"""Operations on names: making, linking, removing and renaming (section 2 of the manual; fs/namei.c for the order)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import PATH_MAX, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT
from pylitebox.abi.inotify import IN_ATTRIB
from pylitebox.abi.stat import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    S_ISGID,
    S_ISUID,
    S_ISVTX,
)
from pylitebox.kernel.credentials import CAP_FOWNER, CAP_MKNOD
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import notify
from pylitebox.kernel.fs.notify import watched
from pylitebox.kernel.fs.privileges import new_mode
from pylitebox.kernel.fs.vfs import Dentry, Location
from pylitebox.kernel.fs.walk import MAY_EXEC, MAY_READ, MAY_WRITE, last, permission, resolve, resolve_parent

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.vfs import Inode, Who

_SPECIAL_NAMES = (b".", b"..", b"/")


def want_write(location: Location) -> None:
    """EROFS on a read-only mount."""
    if location.mount.readonly:
        raise KernelError(E.EROFS)


def add_name(directory: Location, name: bytes, inode: Inode) -> Location:
    """The place of a file that was just made."""
    place = Location(directory.mount, directory.dentry.add(name, inode))
    if watched:
        notify.created(directory.inode, name, inode)
    return place


# -- making -----------------------------------------------------------------------------------------------------


def _new_name(who: Who, path: bytes, at: Location | None, *, directory: bool = False) -> tuple[Location, bytes]:
    """Where a new name goes; EEXIST, ENOENT (a trailing slash after what is no directory), EROFS, EACCES."""
    parent, name, slash = resolve_parent(who, path, at=at)
    if name in _SPECIAL_NAMES or last(who, parent, name) is not None:
        raise KernelError(E.EEXIST)
    if slash and not directory:
        raise KernelError(E.ENOENT)
    want_write(parent)
    return parent, name


def _may_create(who: Who, parent: Location) -> None:
    if parent.dentry.deleted:
        raise KernelError(E.ENOENT)
    permission(who.cred, parent.inode, MAY_WRITE | MAY_EXEC)


def mkdir(who: Who, path: bytes, mode: int, at: Location | None = None) -> None:
    parent, name = _new_name(who, path, at, directory=True)
    _may_create(who, parent)
    inode = parent.inode.mkdir(name, mode & 0o1777 & ~who.fs.umask, who.cred)
    add_name(parent, name, inode)


def mknod(who: Who, path: bytes, mode: int, rdev: int = 0, at: Location | None = None) -> None:
    """mknod(2); ``mode`` with the file type (0 means a regular file)."""
    kind = mode & S_IFMT or S_IFREG
    if kind == S_IFDIR:
        raise KernelError(E.EPERM)
    if kind not in (S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK):
        raise KernelError(E.EINVAL)
    parent, name = _new_name(who, path, at)
    _may_create(who, parent)
    if kind in (S_IFCHR, S_IFBLK) and not who.cred.capable(CAP_MKNOD):
        raise KernelError(E.EPERM)
    bits = new_mode(who, parent.inode, mode)
    if kind == S_IFREG:
        inode = parent.inode.create(name, bits, who.cred)
    else:
        inode = parent.inode.mknod(name, kind | bits, rdev if kind in (S_IFCHR, S_IFBLK) else 0, who.cred)
    add_name(parent, name, inode)


def symlink(who: Who, target: bytes, path: bytes, at: Location | None = None) -> None:
    if not target:
        raise KernelError(E.ENOENT)
    if len(target) >= PATH_MAX:
        raise KernelError(E.ENAMETOOLONG)
    parent, name = _new_name(who, path, at)
    _may_create(who, parent)
    add_name(parent, name, parent.inode.symlink(name, target, who.cred))


def readlink(who: Who, path: bytes, at: Location | None = None) -> bytes:
    """readlink(2), whole; EINVAL for what is no symbolic link."""
    inode = resolve(who, path, at=at, follow=False).inode
    if inode.mode & S_IFMT != S_IFLNK:
        raise KernelError(E.EINVAL)
    return inode.target(who)


def link(
    who: Who,
    old: bytes,
    new: bytes,
    old_at: Location | None = None,
    new_at: Location | None = None,
    *,
    follow: bool = False,
) -> None:
    """linkat(2); ``follow`` is AT_SYMLINK_FOLLOW."""
    link_location(who, resolve(who, old, at=old_at, follow=follow), new, new_at)


def link_location(who: Who, source: Location, new: bytes, new_at: Location | None = None) -> None:
    """Give a file one name more (linkat(2) with AT_EMPTY_PATH comes here directly)."""
    parent, name = _new_name(who, new, new_at)
    if source.mount is not parent.mount:
        raise KernelError(E.EXDEV)
    inode, cred = source.inode, who.cred
    if cred.fsuid != inode.uid and not cred.capable(CAP_FOWNER):
        # protected_hardlinks (man 5 proc_sys_fs): only to what one could write, and never to set-id programs
        mode = inode.mode
        if mode & S_IFMT != S_IFREG or mode & S_ISUID or mode & (S_ISGID | 0o010) == S_ISGID | 0o010:
            raise KernelError(E.EPERM)
        try:
            permission(cred, inode, MAY_READ | MAY_WRITE)
        except KernelError:
            raise KernelError(E.EPERM) from None
    _may_create(who, parent)
    if inode.filesystem is not parent.inode.filesystem:
        raise KernelError(E.EXDEV)
    if inode.mode & S_IFMT == S_IFDIR:
        raise KernelError(E.EPERM)
    if not inode.nlink and not inode.linkable:
        raise KernelError(E.ENOENT)
    if inode.nlink >= 65000:
        raise KernelError(E.EMLINK)
    parent.inode.link(name, inode)
    if watched:
        notify.on_inode(inode, IN_ATTRIB)
    place = add_name(parent, name, inode)
    if source.dentry.deleted and inode.linkable:  # O_TMPFILE: the open file has a name now
        inode.linkable = False
        source.dentry.name, source.dentry.parent, source.dentry.deleted = name, place.dentry.parent, False


# -- removing ---------------------------------------------------------------------------------------------------


def _may_delete(cred: Credentials, directory: Inode, victim: Inode, *, is_dir: bool) -> None:
    permission(cred, directory, MAY_WRITE | MAY_EXEC)
    if (
        directory.mode & S_ISVTX
        and cred.fsuid not in (victim.uid, directory.uid)
        and not cred.capable(CAP_FOWNER)
    ):
        raise KernelError(E.EPERM)
    if is_dir:
        if victim.mode & S_IFMT != S_IFDIR:
            raise KernelError(E.ENOTDIR)
    elif victim.mode & S_IFMT == S_IFDIR:
        raise KernelError(E.EISDIR)


def _busy(dentry: Dentry) -> bool:
    """Whether something is mounted here."""
    return dentry.mounts is not None


def _existing(who: Who, parent: Location, name: bytes) -> Dentry:
    child = last(who, parent, name)
    if child is None:
        raise KernelError(E.ENOENT)
    return child


def unlink(who: Who, path: bytes, at: Location | None = None) -> None:
    parent, name, slash = resolve_parent(who, path, at=at)
    if name in _SPECIAL_NAMES:
        raise KernelError(E.EISDIR)
    want_write(parent)
    child = _existing(who, parent, name)
    if slash:
        raise KernelError(E.EISDIR if child.inode.mode & S_IFMT == S_IFDIR else E.ENOTDIR)
    _may_delete(who.cred, parent.inode, child.inode, is_dir=False)
    if _busy(child):
        raise KernelError(E.EBUSY)
    parent.inode.unlink(name)
    parent.dentry.drop(child)
    if watched:
        was_dir = notify.unlinked(child.inode)
        del child
        notify.deleted(parent.inode, name, was_dir)


def rmdir(who: Who, path: bytes, at: Location | None = None) -> None:
    parent, name, _ = resolve_parent(who, path, at=at)
    if name in _SPECIAL_NAMES:
        raise KernelError({b".": E.EINVAL, b"..": E.ENOTEMPTY, b"/": E.EBUSY}[name])
    want_write(parent)
    child = _existing(who, parent, name)
    _may_delete(who.cred, parent.inode, child.inode, is_dir=True)
    if _busy(child):
        raise KernelError(E.EBUSY)
    parent.inode.rmdir(name)
    parent.dentry.drop(child)
    if watched:
        was_dir = notify.unlinked(child.inode)
        del child
        notify.deleted(parent.inode, name, was_dir)


# -- renaming ---------------------------------------------------------------------------------------------------


def check_rename(flags: int) -> None:
    """EINVAL for flags that don't go together: before anything is looked for."""
    known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT
    if flags & ~known or (flags & RENAME_EXCHANGE and flags != RENAME_EXCHANGE):
        raise KernelError(E.EINVAL)


def rename(
    who: Who,
    old: bytes,
    new: bytes,
    old_at: Location | None = None,
    new_at: Location | None = None,
    flags: int = 0,
) -> None:
    """renameat2(2)."""
    check_rename(flags)
    exchange = bool(flags & RENAME_EXCHANGE)
    old_dir, old_name, old_slash = resolve_parent(who, old, at=old_at)
    permission(who.cred, old_dir.inode, MAY_EXEC)
    new_dir, new_name, new_slash = resolve_parent(who, new, at=new_at)
    permission(who.cred, new_dir.inode, MAY_EXEC)
    if old_dir.mount is not new_dir.mount:
        raise KernelError(E.EXDEV)
    if old_name in _SPECIAL_NAMES:
        raise KernelError(E.EBUSY)
    if new_name in _SPECIAL_NAMES:
        raise KernelError(E.EEXIST if flags & RENAME_NOREPLACE else E.EBUSY)
    want_write(old_dir)
    source = _existing(who, old_dir, old_name)
    target = last(who, new_dir, new_name)
    if target is not None and flags & RENAME_NOREPLACE:
        raise KernelError(E.EEXIST)
    is_dir = source.inode.mode & S_IFMT == S_IFDIR
    if exchange:
        if target is None:
            raise KernelError(E.ENOENT)
        if target.inode.mode & S_IFMT != S_IFDIR and new_slash:
            raise KernelError(E.ENOTDIR)
    if not is_dir and (old_slash or (new_slash and not exchange)):
        raise KernelError(E.ENOTDIR)
    if new_dir.dentry.is_below(source):
        raise KernelError(E.EINVAL)
    if target is not None and old_dir.dentry.is_below(target):
        raise KernelError(E.EINVAL if exchange else E.ENOTEMPTY)
    if target is not None and target.inode is source.inode:
        return  # two names of one file: nothing happens (man 2 rename)
    _may_rename(who, old_dir, source, new_dir, target, exchange=exchange)
    old_dir.inode.rename(old_name, new_dir.inode, new_name, flags, who.cred)
    _renamed(old_dir.dentry, source, new_dir.dentry, new_name, target, exchange=exchange)
    if watched:
        replaced = target.inode if target is not None and not exchange else None
        notify.moved(old_dir.inode, old_name, new_dir.inode, new_name, source.inode, replaced)
        if exchange and target is not None:
            notify.moved(new_dir.inode, new_name, old_dir.inode, old_name, target.inode, None)


def _may_rename(
    who: Who, old_dir: Location, source: Dentry, new_dir: Location, target: Dentry | None, *, exchange: bool
) -> None:
    cred = who.cred
    is_dir = source.inode.mode & S_IFMT == S_IFDIR
    _may_delete(cred, old_dir.inode, source.inode, is_dir=is_dir)
    target_is_dir = target is not None and target.inode.mode & S_IFMT == S_IFDIR
    if target is None:
        _may_create(who, new_dir)
    else:
        _may_delete(cred, new_dir.inode, target.inode, is_dir=target_is_dir if exchange else is_dir)
    if old_dir.inode is not new_dir.inode:  # ".." changes
        if is_dir:
            permission(cred, source.inode, MAY_WRITE)
        if exchange and target is not None and target_is_dir:
            permission(cred, target.inode, MAY_WRITE)
    if _busy(source) or (target is not None and _busy(target)):
        raise KernelError(E.EBUSY)


def _renamed(
    old_dir: Dentry, source: Dentry, new_dir: Dentry, new_name: bytes, target: Dentry | None, *, exchange: bool
) -> None:
    """Let the dentries follow."""
    old_name = source.name
    if target is not None:
        new_dir.drop(target)
    old_dir.move(source, new_dir, new_name)
    if exchange and target is not None:
        target.deleted = False
        new_dir.move(target, old_dir, old_name)
