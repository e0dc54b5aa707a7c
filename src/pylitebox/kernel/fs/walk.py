"""The path walk (man 7 path_resolution, man 2 openat2): from a byte string to a place in the tree.

The loop is the hottest code of the kernel: names are found in dictionaries, permissions that everybody has cost one
mask, and a clock is read only beneath a file system whose names expire.

Rules: at most MAXSYMLINKS links in one walk; a name has at most NAME_MAX bytes; a directory must be searchable before
anything in it is looked at, so that absence is not revealed either.
RESOLVE_CACHED changes nothing: a walk never sleeps. Missing: protected_symlinks(5) is not enforced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi import errno as E
from pylitebox.abi.fcntl import (
    MAXSYMLINKS,
    NAME_MAX,
    PATH_MAX,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
)
from pylitebox.abi.stat import S_IFDIR, S_IFLNK, S_IFMT
from pylitebox.kernel.credentials import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs.vfs import Dentry, Location, Mount, location_of_file

if TYPE_CHECKING:
    from pylitebox.kernel.credentials import Credentials
    from pylitebox.kernel.fs.vfs import Inode, Who

MAY_EXEC = 1
MAY_WRITE = 2
MAY_READ = 4


def permission(cred: Credentials, inode: Inode, mask: int) -> None:
    """EACCES unless ``cred`` may do MAY_* with the file, by its mode or by a capability (man 7 capabilities)."""
    mode = inode.mode
    if cred.fsuid == inode.uid:
        bits = mode >> 6
    elif cred.fsgid == inode.gid or inode.gid in cred.groups:
        bits = mode >> 3
    else:
        bits = mode
    if not mask & ~bits:
        return
    if mode & S_IFMT == S_IFDIR:
        if cred.capable(CAP_DAC_OVERRIDE) or (not mask & MAY_WRITE and cred.capable(CAP_DAC_READ_SEARCH)):
            return
    else:
        if mask == MAY_READ and cred.capable(CAP_DAC_READ_SEARCH):
            return
        if cred.capable(CAP_DAC_OVERRIDE) and (not mask & MAY_EXEC or mode & 0o111):
            return
    raise KernelError(E.EACCES)


def allowed(who: Who, inode: Inode, mask: int) -> None:
    """:func:`permission`, but that a process may always look into what is its own (Inode.insider)."""
    insider = inode.insider
    if insider is None or insider is not getattr(who, "process", None):
        permission(who.cred, inode, mask)


class Links:
    """The symbolic links still allowed in one walk, shared by its parts."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAXSYMLINKS


def resolve(  # noqa: C901, PLR0912, PLR0915 - one loop without calls is what makes a walk cheap
    who: Who,
    path: bytes,
    *,
    at: Location | None = None,
    follow: bool = True,
    directory: bool = False,
    resolve_flags: int = 0,
    links: Links | None = None,
) -> Location:
    """The place that ``path`` names. ``at`` is where a relative path starts (None: the working directory); ``follow``
    says whether a symbolic link at the end is followed; ``directory`` asks for a directory (ENOTDIR).

    ENOENT ENOTDIR EACCES ELOOP ENAMETOOLONG; with ``resolve_flags`` (RESOLVE_*) also EXDEV."""
    if not path:
        raise KernelError(E.ENOENT)
    if len(path) >= PATH_MAX:
        raise KernelError(E.ENAMETOOLONG)
    fs = who.fs
    start = at or fs.cwd
    root = fs.root
    if resolve_flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT):
        root = start
    if path[0] == 47:  # "/"
        if resolve_flags & RESOLVE_BENEATH:
            raise KernelError(E.EXDEV)
        if resolve_flags & RESOLVE_NO_XDEV and start.mount is not root.mount:
            raise KernelError(E.EXDEV)
        start = root
    mount, dentry = start.mount, start.dentry
    now = 0
    names = path.split(b"/")
    names.reverse()
    while names:
        name = names.pop()
        inode = dentry.inode
        mode = inode.mode
        if mode & S_IFMT != S_IFDIR:
            raise KernelError(E.ENOTDIR)
        if not name:
            continue
        if mode & 0o111 != 0o111:
            allowed(who, inode, MAY_EXEC)
        child = dentry.children.get(name)
        if child is not None and child.expires:
            if not now:
                now = who.kernel.platform.monotonic_ns()
            if child.expires < now:
                child = None
        if child is None:
            if name == b".":
                continue
            if name == b"..":
                mount, dentry = _up(mount, dentry, root, resolve_flags)
                continue
            child = look_up(dentry, name)
        elif child.inode is None:
            raise KernelError(E.ENOENT)
        if child.mounts is not None:
            above = mount
            while child.mounts is not None and (upper := child.mounts.get(above)) is not None:
                if resolve_flags & RESOLVE_NO_XDEV:
                    raise KernelError(E.EXDEV)
                above, child = upper, upper.root
            mount, dentry = above, child
            continue
        inode = child.inode
        if inode.mode & S_IFMT != S_IFLNK or not (follow or names):
            dentry = child
            continue
        # a symbolic link, to be followed
        if links is None:
            links = Links()
        if resolve_flags & RESOLVE_NO_SYMLINKS or not links.left:
            raise KernelError(E.ELOOP)
        links.left -= 1
        if inode.magic:
            if resolve_flags & RESOLVE_NO_MAGICLINKS:
                raise KernelError(E.ELOOP)
            if resolve_flags & (RESOLVE_BENEATH | RESOLVE_IN_ROOT):
                raise KernelError(E.EXDEV)
            there = inode.jump(who)
            if not isinstance(there, Location):
                there = location_of_file(there, mount)
            if resolve_flags & RESOLVE_NO_XDEV and there.mount is not mount:
                raise KernelError(E.EXDEV)
            mount, dentry = there.mount, there.dentry
            continue
        target = inode.target(who)
        if not target:
            raise KernelError(E.ENOENT)
        if target[0] == 47:
            if resolve_flags & RESOLVE_BENEATH:
                raise KernelError(E.EXDEV)
            if resolve_flags & RESOLVE_NO_XDEV and mount is not root.mount:
                raise KernelError(E.EXDEV)
            mount, dentry = root.mount, root.dentry
        parts = target.split(b"/")
        parts.reverse()
        names += parts
    if directory and dentry.inode.mode & S_IFMT != S_IFDIR:
        raise KernelError(E.ENOTDIR)
    return Location(mount, dentry)


def look_up(dentry: Dentry, name: bytes) -> Dentry:
    """Ask the file system for a name that is not cached; ENOENT, ENAMETOOLONG."""
    if len(name) > NAME_MAX:
        raise KernelError(E.ENAMETOOLONG)
    if b"\0" in name:  # cannot come from a C string; from the Python side it can
        raise KernelError(E.EINVAL)
    child = dentry.find(name)
    if child is None:
        raise KernelError(E.ENOENT)
    return child


def _up(mount: Mount, dentry: Dentry, root: Location, resolve_flags: int) -> tuple[Mount, Dentry]:
    """``..``: not above the root, out of mounts, and into what is mounted on the parent."""
    if dentry is root.dentry and mount is root.mount:
        if resolve_flags & RESOLVE_BENEATH:
            raise KernelError(E.EXDEV)
        return mount, dentry
    place = Location(mount, dentry)
    parent = place.parent
    if parent.mount is not mount:
        if resolve_flags & RESOLVE_NO_XDEV:
            raise KernelError(E.EXDEV)
        # the root may itself be the place that a mount covers
        if root.mount is not mount and _covers(root, mount):
            return root.mount, root.dentry
    parent = parent.top()
    return parent.mount, parent.dentry


def _covers(root: Location, mount: Mount) -> bool:
    """Whether ``mount`` (or a mount it is stacked on) is mounted exactly on ``root``."""
    while mount.parent is not None:
        if mount.parent is root.mount and mount.mountpoint is root.dentry:
            return True
        if mount.mountpoint is not mount.parent.root:
            return False
        mount = mount.parent
    return False


def resolve_parent(
    who: Who,
    path: bytes,
    *,
    at: Location | None = None,
    resolve_flags: int = 0,
    links: Links | None = None,
) -> tuple[Location, bytes, bool]:
    """(directory, last name, whether a slash follows it). The name may be ``.``, ``..``, or ``/`` for the root. EACCES
    unless the directory may be searched, before anything is said of the name (link_path_walk)."""
    if not path:
        raise KernelError(E.ENOENT)
    if len(path) >= PATH_MAX:
        raise KernelError(E.ENAMETOOLONG)
    slash = path[-1] == 47
    stem = path.rstrip(b"/") if slash else path
    cut = stem.rfind(b"/") + 1
    name = stem[cut:]
    if not stem:
        return resolve(who, b"/", at=at, resolve_flags=resolve_flags), b"/", slash
    if cut:
        start = resolve(who, stem[:cut], at=at, resolve_flags=resolve_flags, links=links)
    else:
        start = at or who.fs.cwd
        if start.inode.mode & S_IFMT != S_IFDIR:
            raise KernelError(E.ENOTDIR)
    allowed(who, start.inode, MAY_EXEC)
    return start, name, slash


def last(who: Who, directory: Location, name: bytes) -> Dentry | None:
    """What ``name`` is in ``directory`` of :func:`resolve_parent` (neither mounts nor links are followed), or None;
    ENAMETOOLONG."""
    child = directory.dentry.children.get(name)
    if child is not None and (not child.expires or child.expires >= who.kernel.now()):
        return child if child.inode is not None else None
    if len(name) > NAME_MAX:
        raise KernelError(E.ENAMETOOLONG)
    if b"\0" in name:
        raise KernelError(E.EINVAL)
    return directory.dentry.find(name)
