"""/dev: an in-memory file system with the device nodes and links that programs expect (kernel/devices.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.abi.stat import S_IFCHR
from pylitebox.kernel import devices
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.fs.tmpfs import TmpFs

if TYPE_CHECKING:
    from pylitebox.kernel.kernel import Kernel

_NODES = (
    (b"full", devices.FULL),
    (b"null", devices.NULL),
    (b"ptmx", devices.PTMX),
    (b"random", devices.RANDOM),
    (b"tty", devices.TTY),
    (b"urandom", devices.URANDOM),
    (b"zero", devices.ZERO),
)
_LINKS = (
    (b"fd", b"/proc/self/fd"),
    (b"stderr", b"/proc/self/fd/2"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
)


class DevFs(TmpFs):
    """A new /dev. ``shm``, ``mqueue`` and ``pts`` are empty directories to mount on."""

    name = "devtmpfs"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, source="devtmpfs")
        root, cred = self.root, Credentials()
        for name, rdev in _NODES:
            root.mknod(name, S_IFCHR | 0o666, rdev, cred)
        for name, target in _LINKS:
            root.symlink(name, target, cred)
        root.mkdir(b"shm", 0o1777, cred)
        root.mkdir(b"mqueue", 0o755, cred)
        root.mkdir(b"pts", 0o755, cred)
