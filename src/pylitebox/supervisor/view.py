"""What a sandbox's file tree looks like before its first program runs.

The root is an empty file system in memory. The host's programs, libraries and configuration (SYSTEM) appear in it
read-only beneath copy-on-write layers, and only what everyone on the host may read; then come the kernel's own /dev
and /proc, and what the user asked for. Nothing else of the host is there: no home directories, no /var, no /sys.
A directory that the user mounts at / replaces all of it but /dev and /proc. So does a rootfs, beneath a copy-on-write
layer: it needs to have none of /dev, /proc, /sys and /tmp, and no file of the host is there.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from pylitebox.abi import fcntl as fc
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.devfs import DevFs
from pylitebox.kernel.fs.hostfs import HostFs
from pylitebox.kernel.fs.namespace import Namespace
from pylitebox.kernel.fs.overlay import OverlayFs
from pylitebox.kernel.fs.procfs import ProcFs
from pylitebox.kernel.fs.sysfs import SysFs
from pylitebox.kernel.fs.tmpfs import TmpFs
from pylitebox.kernel.fs.vfs import MS_NODEV, MS_NOSUID

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitebox.kernel.fs.vfs import FileSystem
    from pylitebox.kernel.kernel import Kernel
    from pylitebox.kernel.platform import HostDirectory

#: The host directories of the default view. Those that are symbolic links on the host are the same links here.
SYSTEM = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: Directories in memory: path, mode.
DIRECTORIES = (
    (b"/etc", 0o755),
    (b"/tmp", 0o1777),
    (b"/var", 0o755),
    (b"/var/tmp", 0o1777),
    (b"/var/lib", 0o755),
    (b"/var/log", 0o755),
    (b"/var/cache", 0o755),
    (b"/run", 0o755),
    (b"/home", 0o755),
    (b"/root", 0o700),
    (b"/mnt", 0o755),
    (b"/opt", 0o755),
    (b"/srv", 0o755),
    (b"/sys", 0o555),
)
_FLAGS = MS_NOSUID | MS_NODEV
#: Secrets below /etc, hidden even if a host lets everyone read them.
_SECRET_FILES = frozenset(
    b"shadow shadow- gshadow gshadow- passwd- group- sudoers sudoers.d security/opasswd ssl/private machine-id".split()
)


def hidden_in_etc(path: bytes) -> bool:
    """Whether a path relative to /etc is no part of any sandbox's view."""
    return path in _SECRET_FILES or (path.startswith(b"ssh/ssh_host_") and path.endswith(b"_key"))


class PlaceError(KernelError):
    """Nothing can be mounted at ``path``."""

    def __init__(self, errno: int, path: bytes) -> None:
        super().__init__(errno)
        self.path = path


class HostMount:
    """A host directory to mount: ``mode`` is ro, cow or rw."""

    def __init__(self, guest: bytes, mode: str, directory: HostDirectory) -> None:
        self.guest = guest
        self.mode = mode
        self.directory = directory


class View:
    """What the tree is made of."""

    def __init__(self) -> None:
        self.system: list[HostMount] = []
        self.links: list[tuple[bytes, bytes]] = []  # path, target
        self.mounts: list[HostMount] = []
        self.tmpfs: list[tuple[bytes, int]] = []  # path, bytes (0: no limit of its own)
        self.rootfs: Callable[[Kernel], FileSystem] | None = None  # makes what is beneath the root, instead of system


def add_system(view: View, open_tree: Callable[[str], HostDirectory]) -> None:
    """Add the host's own programs and configuration, as far as this host has them."""
    for path in SYSTEM:
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                view.links.append((path.encode(), os.fsencode(os.readlink(path))))
            elif stat.S_ISDIR(status.st_mode):
                view.system.append(HostMount(path.encode(), "ro", open_tree(path)))
        except FileNotFoundError:
            continue


def build(kernel: Kernel, view: View, owner: tuple[int, int]) -> Namespace:
    """The mount tree; the user's mounts and the files in them belong to ``owner``. KernelError."""
    root = next((mount for mount in view.mounts if mount.guest == b"/"), None)
    if view.rootfs is not None:
        namespace = kernel.namespace = Namespace(kernel, OverlayFs(kernel, view.rootfs(kernel)), _FLAGS)
        _make_tmp(namespace)
    elif root is not None:
        namespace = kernel.namespace = Namespace(kernel, _host_file_system(kernel, root, owner), _FLAGS)
    else:
        namespace = kernel.namespace = Namespace(kernel, TmpFs(kernel), _FLAGS)
        _show_system(kernel, view)
    _mount(namespace, DevFs(kernel), b"/dev", MS_NOSUID)
    _mount(namespace, kernel.terminals, b"/dev/pts", MS_NOSUID)
    _mount(namespace, TmpFs(kernel, mode=0o1777), b"/dev/shm")
    _mount(namespace, kernel.ipc.mqueues, b"/dev/mqueue")
    _mount(namespace, ProcFs(kernel), b"/proc")
    _mount(namespace, SysFs(kernel), b"/sys")
    wanted: list[tuple[bytes, FileSystem]] = [
        (path, TmpFs(kernel, size=size or None, uid=owner[0], gid=owner[1])) for path, size in view.tmpfs
    ]
    wanted += [(mount.guest, _host_file_system(kernel, mount, owner)) for mount in view.mounts if mount is not root]
    for path, filesystem in sorted(wanted, key=lambda entry: entry[0].count(b"/")):  # parents first
        _mount(namespace, filesystem, path)
    _configure(kernel, namespace)
    return namespace


def _make_tmp(namespace: Namespace) -> None:
    """A rootfs without a /tmp gets one."""
    try:
        namespace.make_directories(b"/tmp", 0o1777)
    except KernelError:  # it has one, of a kind of its own
        pass


def _show_system(kernel: Kernel, view: View) -> None:
    """The host's programs, and the directories that a system has."""
    namespace = kernel.namespace
    assert namespace is not None
    links = {path for path, _ in view.links}
    for path, mode in DIRECTORIES:
        if path not in links:
            namespace.make_directories(path, mode)
    for target_path, target in view.links:
        ops.symlink(namespace.view, target, target_path)
    for mount in view.system:
        hidden = hidden_in_etc if mount.guest == b"/etc" else None
        lower = HostFs(kernel, mount.directory, hidden=hidden)
        _mount(namespace, OverlayFs(kernel, lower), mount.guest)


def _mount(namespace: Namespace, filesystem: FileSystem, path: bytes, flags: int = _FLAGS) -> None:
    try:
        namespace.mount(filesystem, path, flags)
    except KernelError as error:
        raise PlaceError(error.errno, path) from error


def _host_file_system(kernel: Kernel, mount: HostMount, owner: tuple[int, int]) -> FileSystem:
    host = HostFs(kernel, mount.directory, readonly=mount.mode != "rw", public_only=False, owner=owner)
    return OverlayFs(kernel, host) if mount.mode == "cow" else host


def _configure(kernel: Kernel, namespace: Namespace) -> None:
    """The files of /etc that say who this machine is."""
    name = kernel.hostname
    _write(namespace, b"/etc/hostname", name + b"\n")
    _write(namespace, b"/etc/hosts", b"127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t" + name + b"\n")


def _write(namespace: Namespace, path: bytes, data: bytes) -> None:
    try:
        file = ops.open(namespace.view, path, fc.O_WRONLY | fc.O_CREAT | fc.O_TRUNC | fc.O_NONBLOCK, 0o644)
    except KernelError:  # no /etc, or a file of this name that is a link to somewhere else or no file
        return
    file.references += 1
    try:
        file.pwrite(data, 0)
    except KernelError:  # a link to a device of ours
        pass
    finally:
        file.put()
