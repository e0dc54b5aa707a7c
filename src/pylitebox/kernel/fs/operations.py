"""File operations as the calls of section 2 define them: opening, and what changes attributes.

A function here takes ``who`` acts (a Task, or a namespace's :class:`~pylitebox.kernel.fs.namespace.Root`) and checks
all that Linux checks above the file system: permissions, read-only mounts, mount points, sticky directories, trailing
slashes, in Linux's order (fs/namei.c), since programs depend on which error comes first. Operations on names are in
naming.py and path walks in walk.py; both are offered here too.
Missing: protected_fifos, protected_regular, POSIX ACLs (man 5 acl).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import (
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_LARGEFILE,
    O_NOATIME,
    O_NOCTTY,
    O_NOFOLLOW,
    O_PATH,
    O_RDONLY,
    O_TMPFILE,
    O_TRUNC,
    R_OK,
    W_OK,
    X_OK,
)
from pylitebox.abi.inotify import IN_ACCESS, IN_ATTRIB, IN_MODIFY, IN_OPEN
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
    S_ISVTX,
)
from pylitebox.kernel.credentials import CAP_CHOWN, CAP_FOWNER, CAP_FSETID, CAP_SYS_ADMIN, Credentials
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import notify
from pylitebox.kernel.fs.naming import (
    add_name,
    check_rename,
    link,
    link_location,
    mkdir,
    mknod,
    readlink,
    rename,
    rmdir,
    symlink,
    unlink,
    want_write,
)
from pylitebox.kernel.fs.notify import watched
from pylitebox.kernel.fs.opened import PathFile
from pylitebox.kernel.fs.privileges import (
    CAPABILITY,
    capability_value,
    check_security,
    drop_privileges,
    new_mode,
    without_set_ids,
)
from pylitebox.kernel.fs.vfs import MS_NODEV, Dentry, Location, Stat, Statfs
from pylitebox.kernel.fs.walk import (
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    Links,
    allowed,
    last,
    permission,
    resolve,
    resolve_parent,
)
from pylitebox.kernel.pipe import FifoFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.fs.file import File
    from pylitebox.kernel.fs.vfs import Inode, Who

#: A time for utimens(): ns since the epoch, NOW, or None to leave it.
Time = int | Literal["now"] | None
NOW: Final = "now"

_PATH_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
_TMPFILE_BIT = O_TMPFILE & ~O_DIRECTORY
#: Flags that act on the open itself and are not kept by the open file description.
_OPEN_ONLY = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC
_ACCESS_MASK = (MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE)

# -- opening ----------------------------------------------------------------------------------------------------


def check_flags(flags: int) -> None:
    """EINVAL for flags that contradict each other (fs/open.c: build_open_flags)."""
    if flags & O_PATH:
        return
    if flags & _TMPFILE_BIT:
        if flags & (O_TMPFILE | O_CREAT) != O_TMPFILE or flags & O_ACCMODE == O_RDONLY:
            raise KernelError(E.EINVAL)
    elif flags & O_CREAT and flags & O_DIRECTORY:
        raise KernelError(E.EINVAL)


def open(  # noqa: A001 - named after the call
    who: Who, path: bytes, flags: int, mode: int = 0, *, at: Location | None = None, resolve_flags: int = 0
) -> File:
    """open(2). ``flags`` are O_*, ``mode`` the permission bits of a new file before the umask. The file has no
    reference yet: a descriptor table takes the first one."""
    check_flags(flags)
    if flags & O_PATH:
        flags &= _PATH_FLAGS
        place = resolve(
            who,
            path,
            at=at,
            follow=not flags & O_NOFOLLOW,
            directory=bool(flags & O_DIRECTORY),
            resolve_flags=resolve_flags,
        )
        return PathFile(place.inode, flags & ~O_CLOEXEC, place)
    if flags & _TMPFILE_BIT:
        return _open_tmpfile(who, path, flags, mode, at, resolve_flags)
    if flags & O_CREAT:
        return _open_create(who, path, flags, mode, at, resolve_flags)
    follow, directory = not flags & O_NOFOLLOW, bool(flags & O_DIRECTORY)
    place = resolve(who, path, at=at, follow=follow, directory=directory, resolve_flags=resolve_flags)
    try:
        return open_location(who, place, flags)
    except KernelError as error:
        if error.errno != E.ESTALE:
            raise
    # the host replaced the file after it was looked up: look again, once
    place.dentry.expires = 1
    place = resolve(who, path, at=at, follow=follow, directory=directory, resolve_flags=resolve_flags)
    return open_location(who, place, flags)


def open_location(who: Who, location: Location, flags: int) -> File:
    """Open what is at a place: for exec and magic links, and the second half of every open(2)."""
    if flags & O_PATH:
        return PathFile(location.inode, flags & _PATH_FLAGS & ~O_CLOEXEC, location)
    inode = location.inode
    kind = inode.mode & S_IFMT
    mask = _ACCESS_MASK[flags & O_ACCMODE] | (MAY_WRITE if flags & O_TRUNC else 0)
    if kind == S_IFLNK:
        raise KernelError(E.ELOOP)
    if kind == S_IFDIR:
        if mask & MAY_WRITE or flags & O_CREAT:
            raise KernelError(E.EISDIR)
    elif kind in (S_IFCHR, S_IFBLK):
        if location.mount.flags & MS_NODEV:
            raise KernelError(E.EACCES)
    elif kind == S_IFSOCK:
        raise KernelError(E.ENXIO)
    if mask & MAY_WRITE and kind == S_IFREG and location.mount.readonly:
        raise KernelError(E.EROFS)
    allowed(who, inode, mask)
    if not inode.readable_by_policy() and kind in (S_IFREG, S_IFDIR):
        raise KernelError(E.EACCES)
    if flags & O_NOATIME and who.cred.fsuid != inode.uid and not who.cred.capable(CAP_FOWNER):
        raise KernelError(E.EPERM)
    return _opened(who, location, flags)


def _opened(who: Who, location: Location, flags: int) -> File:
    """Make the file once all checks are passed."""
    file = _file_of(who, location, flags)
    if watched and (not isinstance(file, FifoFile) or file.connected):
        notify.on_dentry(location.dentry, IN_OPEN)
    if flags & O_TRUNC and location.inode.mode & S_IFMT == S_IFREG:
        drop_privileges(who.cred, location.inode)
        location.inode.truncate(0)
        if watched:
            notify.on_dentry(location.dentry, IN_MODIFY)
    return file


def _file_of(who: Who, location: Location, flags: int) -> File:
    inode = location.inode
    kind = inode.mode & S_IFMT
    kept = flags & ~_OPEN_ONLY | O_LARGEFILE
    if kind == S_IFIFO and not hasattr(inode, "file"):
        return FifoFile(inode, kept, location)
    if kind in (S_IFCHR, S_IFBLK) and not hasattr(inode, "file"):
        return who.kernel.devices.open(who, inode.rdev, kept | flags & O_NOCTTY, location)
    return inode.open(kept, location)


def _open_create(who: Who, path: bytes, flags: int, mode: int, at: Location | None, resolve_flags: int) -> File:
    links = Links()
    while True:
        directory, name, slash = resolve_parent(who, path, at=at, resolve_flags=resolve_flags, links=links)
        if name in (b".", b"..", b"/"):
            raise KernelError(E.EEXIST if flags & O_EXCL else E.EISDIR)
        if slash:
            raise KernelError(E.EISDIR)
        child = last(who, directory, name)
        if child is None:
            return _create(who, directory, name, flags, mode)
        if flags & O_EXCL:
            raise KernelError(E.EEXIST)
        inode = child.inode
        if inode.mode & S_IFMT != S_IFLNK:
            place = Location(directory.mount, child)
        elif flags & O_NOFOLLOW:
            raise KernelError(E.ELOOP)
        elif inode.magic:
            place = resolve(who, name, at=directory, resolve_flags=resolve_flags, links=links)
            return open_location(who, place, flags)
        else:
            # follow it by hand, since what it names may have to be made; a walk with no component counts it
            if not links.left or resolve_flags & 0x04:  # RESOLVE_NO_SYMLINKS
                raise KernelError(E.ELOOP)
            links.left -= 1
            path, at = inode.target(who), directory
            if not path:
                raise KernelError(E.ENOENT)
            if resolve_flags & 0x18:  # RESOLVE_BENEATH, RESOLVE_IN_ROOT: the walk must start where it began
                place = resolve(who, name, at=directory, resolve_flags=resolve_flags, links=links)
                return open_location(who, place, flags)
            continue
        return open_location(who, place.top() if child.mounts is not None else place, flags)


def _create(who: Who, directory: Location, name: bytes, flags: int, mode: int) -> File:
    if directory.mount.readonly:
        raise KernelError(E.EROFS)
    permission(who.cred, directory.inode, MAY_WRITE | MAY_EXEC)
    inode = directory.inode.create(name, new_mode(who, directory.inode, mode), who.cred)
    place = add_name(directory, name, inode)
    file = inode.open(flags & ~_OPEN_ONLY | O_LARGEFILE, place)
    if watched:
        notify.on_dentry(place.dentry, IN_OPEN)
    return file


def _open_tmpfile(who: Who, path: bytes, flags: int, mode: int, at: Location | None, resolve_flags: int) -> File:
    directory = resolve(
        who, path, at=at, follow=not flags & O_NOFOLLOW, directory=True, resolve_flags=resolve_flags
    )
    want_write(directory)
    permission(who.cred, directory.inode, MAY_WRITE | MAY_EXEC)
    inode = directory.inode.tmpfile(new_mode(who, directory.inode, mode), who.cred)
    dentry = Dentry(b"#%d" % inode.ino, directory.dentry, inode)
    dentry.deleted = True
    place = Location(directory.mount, dentry)
    file = inode.open(flags & ~_OPEN_ONLY | O_LARGEFILE, place)
    if not flags & O_EXCL:
        inode.linkable = True
    if watched:
        notify.on_dentry(dentry, IN_OPEN)
    return file


# -- attributes -------------------------------------------------------------------------------------------------


def stat(location: Location) -> Stat:
    return location.dentry.inode.stat()


def access(who: Who, location: Location, mode: int) -> None:
    """access(2): ``mode`` is F_OK or R_OK, W_OK, X_OK."""
    mask = mode & (R_OK | W_OK | X_OK)  # the same bits as MAY_*
    inode = location.inode
    if not mask:
        return
    kind = inode.mode & S_IFMT
    cred = who.cred
    if mask & W_OK and kind in (S_IFREG, S_IFDIR, S_IFLNK) and location.mount.readonly:
        permission(cred, inode, mask & ~W_OK)
        raise KernelError(E.EROFS)
    permission(cred, inode, mask)
    if mask & (R_OK | X_OK) and not inode.readable_by_policy():
        raise KernelError(E.EACCES)


def real_credentials(cred: Credentials) -> Credentials:
    """With which access(2) looks: those of the real user."""
    if cred.uid == cred.fsuid and cred.gid == cred.fsgid and cred.effective == cred.permitted:
        return cred
    return Credentials(
        uid=cred.uid,
        euid=cred.uid,
        suid=cred.suid,
        fsuid=cred.uid,
        gid=cred.gid,
        egid=cred.gid,
        sgid=cred.sgid,
        fsgid=cred.gid,
        groups=cred.groups,
        effective=cred.permitted if cred.uid == 0 else 0,
        permitted=cred.permitted,
    )


def _changed(location: Location, mask: int = IN_ATTRIB) -> None:
    if watched:
        notify.on_dentry(location.dentry, mask)


def _owner(who: Who, inode: Inode) -> bool:
    return who.cred.fsuid == inode.uid or who.cred.capable(CAP_FOWNER)


def chmod(who: Who, location: Location, mode: int) -> None:
    want_write(location)
    inode = location.inode
    if inode.mode & S_IFMT == S_IFLNK:
        raise KernelError(E.EOPNOTSUPP)
    if not _owner(who, inode):
        raise KernelError(inode.refusal)
    if not who.cred.in_group(inode.gid) and not who.cred.capable(CAP_FSETID):
        mode &= ~S_ISGID
    inode.setattr(mode=mode & 0o7777)
    _changed(location)


def chown(who: Who, location: Location, uid: int | None, gid: int | None) -> None:
    """chown(2); None (or 0xFFFFFFFF, as the call says it) leaves an id as it is."""
    want_write(location)
    inode, cred = location.inode, who.cred
    if uid == 0xFFFFFFFF:
        uid = None
    if gid == 0xFFFFFFFF:
        gid = None
    if not cred.capable(CAP_CHOWN):
        mine = cred.fsuid == inode.uid
        if uid is not None and not (mine and uid == inode.uid):
            raise KernelError(inode.refusal)
        if gid is not None and not (mine and (gid == inode.gid or cred.in_group(gid))):
            raise KernelError(inode.refusal)
    mode = None
    if inode.mode & S_IFMT != S_IFDIR:  # set-id bits and capabilities go, whoever changes the owner
        mode = without_set_ids(cred, inode)
        if mode == inode.mode & 0o7777:
            mode = None
        if inode.gives_capabilities:
            inode.remove_xattr(CAPABILITY)
    inode.setattr(uid=uid, gid=gid, mode=mode)
    if uid is not None or gid is not None or mode is not None:
        _changed(location)


def utimens(who: Who, location: Location, atime: Time, mtime: Time) -> None:
    """utimensat(2)."""
    if atime is None and mtime is None:
        return
    want_write(location)
    inode = location.inode
    if not _owner(who, inode):
        if atime != NOW or mtime != NOW:
            raise KernelError(inode.refusal)
        permission(who.cred, inode, MAY_WRITE)
    now = who.kernel.wall()
    inode.setattr(
        atime_ns=now if isinstance(atime, str) else atime, mtime_ns=now if isinstance(mtime, str) else mtime
    )
    _changed(location, IN_ACCESS if mtime is None else IN_MODIFY if atime is None else IN_ATTRIB)


def truncate(
    who: Who, location: Location, size: int, may_grow: Callable[[Inode], None] = lambda inode: None
) -> None:
    """truncate(2); ``may_grow`` is asked once all else is checked."""
    inode = location.inode
    kind = inode.mode & S_IFMT
    if kind == S_IFDIR:
        raise KernelError(E.EISDIR)
    if kind != S_IFREG or size < 0:
        raise KernelError(E.EINVAL)
    want_write(location)
    permission(who.cred, inode, MAY_WRITE)
    may_grow(inode)
    inode.acquire(write=True)
    try:
        if size != inode.size:  # else not even the times change, as they do with ftruncate(2)
            inode.truncate(size)
    finally:
        inode.release()
    _changed(location, IN_MODIFY)


def statfs(location: Location) -> Statfs:
    facts = location.mount.filesystem.statfs()
    flags = location.mount.flags | (1 if location.mount.readonly else 0)
    return facts._replace(flags=facts.flags | flags | 0x20)  # ST_VALID


# -- extended attributes (man 7 xattr) --------------------------------------------------------------------------


def getxattr(who: Who, location: Location, name: bytes) -> bytes:
    _check_xattr(who, location.inode, name, MAY_READ, E.ENODATA)
    return location.inode.get_xattr(name)


def setxattr(who: Who, location: Location, name: bytes, value: bytes, flags: int) -> None:
    want_write(location)
    if name == CAPABILITY:
        value = capability_value(value)
    _check_xattr(who, location.inode, name, MAY_WRITE, E.EPERM)
    location.inode.set_xattr(name, value, flags)
    _changed(location)


def listxattr(who: Who, location: Location) -> list[bytes]:
    names = location.inode.list_xattr()
    if not who.cred.capable(CAP_SYS_ADMIN):
        names = [name for name in names if not name.startswith(b"trusted.")]
    return names


def removexattr(who: Who, location: Location, name: bytes) -> None:
    want_write(location)
    _check_xattr(who, location.inode, name, MAY_WRITE, E.EPERM)
    location.inode.remove_xattr(name)
    _changed(location)


def _check_xattr(who: Who, inode: Inode, name: bytes, mask: int, refusal: int) -> None:
    if name.startswith(b"trusted."):
        if not who.cred.capable(CAP_SYS_ADMIN):
            raise KernelError(refusal)
    elif name.startswith(b"user."):
        if inode.mode & S_IFMT not in (S_IFREG, S_IFDIR):
            raise KernelError(refusal)
        if mask == MAY_WRITE and inode.mode & (S_IFDIR | S_ISVTX) == S_IFDIR | S_ISVTX and not _owner(who, inode):
            raise KernelError(E.EPERM)
        permission(who.cred, inode, mask)
    elif mask == MAY_WRITE and name.startswith(b"security."):
        check_security(who.cred, name)


# -- names of places --------------------------------------------------------------------------------------------


def path_of(viewer: Who | Location, location: Location) -> bytes:
    """The path of a place as seen from a root (a Who's, or the place given), as getcwd(2) shows it; what cannot be
    reached from there begins with ``(unreachable)``. It takes no notice of whether the name was removed."""
    root = viewer if isinstance(viewer, Location) else viewer.fs.root
    mount, dentry = location.mount, location.dentry
    names: list[bytes] = []
    while dentry is not root.dentry or mount is not root.mount:
        if dentry is mount.root:
            outside, point = mount.parent, mount.mountpoint
            if outside is None or point is None:
                # the base of the tree; it is the root when something is mounted over it, too
                if _is_base(root):
                    break
                return b"(unreachable)/" + b"/".join(reversed(names))
            mount, dentry = outside, point
            continue
        above = dentry.parent
        if above is None:  # a file without a name: pipe:[12]
            return dentry.name
        names.append(dentry.name)
        dentry = above
    return b"/" + b"/".join(reversed(names))


def _is_base(root: Location) -> bool:
    mount, dentry = root.mount, root.dentry
    while dentry is mount.root:
        outside, point = mount.parent, mount.mountpoint
        if outside is None or point is None:
            return True
        mount, dentry = outside, point
    return False


def link_path(viewer: Who | Location, location: Location) -> bytes:
    """:func:`path_of` as /proc/PID/{cwd,exe,fd} shows it, marked if the name was removed."""
    path = path_of(viewer, location)
    return path + b" (deleted)" if location.dentry.deleted else path


__all__ = [
    "MAY_EXEC",
    "MAY_READ",
    "MAY_WRITE",
    "NOW",
    "Location",
    "Time",
    "access",
    "check_rename",
    "chmod",
    "chown",
    "getxattr",
    "link",
    "link_location",
    "link_path",
    "listxattr",
    "mkdir",
    "mknod",
    "open",
    "open_location",
    "path_of",
    "permission",
    "readlink",
    "removexattr",
    "rename",
    "resolve",
    "resolve_parent",
    "rmdir",
    "setxattr",
    "stat",
    "statfs",
    "symlink",
    "truncate",
    "unlink",
    "utimens",
    "want_write",
]
