"""Extended attributes (man 7 xattr) of the namespaces user., trusted. and security.

Missing: system. attributes: access control lists don't exist (ENODATA) and cannot be set (EOPNOTSUPP), sockets don't
tell their protocol.
"""

from collections.abc import Callable

from pylitebox.abi import errno as E
from pylitebox.abi.stat import XATTR_CREATE, XATTR_REPLACE
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.nameless import place_of
from pylitebox.kernel.fs.vfs import Location
from pylitebox.kernel.task import Task
from pylitebox.kernel.wait import Result
from pylitebox.north.linux.args import Address, Fd, Int, Path, Size
from pylitebox.north.linux.lookup import opened
from pylitebox.north.linux.table import Partial, syscall

XATTR_NAME_MAX = 255
XATTR_SIZE_MAX = 65536
_READ_GAP = Partial("access control lists: ENODATA; the attributes of host files are not shown")
_GAP = Partial("access control lists: EOPNOTSUPP")
_NAMESPACES = (b"user.", b"trusted.", b"security.")
_ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")


#: Finds the file, once all else of the call was seen to be right.
Place = Callable[[], Location]


def _name(task: Task, address: int) -> bytes:
    """An attribute's name; ERANGE unless it has 1 to 255 bytes."""
    try:
        name = task.memory.read_cstring(address, XATTR_NAME_MAX + 1)
    except KernelError as error:
        raise KernelError(E.ERANGE if error.errno == E.ENAMETOOLONG else error.errno) from None
    if not name:
        raise KernelError(E.ERANGE)
    return name


def _check(task: Task, location: Location, name: bytes, mask: int, *, absent: int = E.EOPNOTSUPP) -> None:
    """EOPNOTSUPP for an attribute of a namespace that nobody knows; ``absent`` for an access control list."""
    if name.startswith(_NAMESPACES):
        return
    if not name.startswith(b"system."):
        ops.permission(task.cred, location.inode, mask)  # fs/xattr.c, xattr_permission()
    raise KernelError(absent if name in _ACLS else E.EOPNOTSUPP)


def _set(task: Task, place: Place, name_at: int, value_at: int, size: int, flags: int) -> int:
    if flags & ~(XATTR_CREATE | XATTR_REPLACE):
        raise KernelError(E.EINVAL)
    name = _name(task, name_at)
    if size > XATTR_SIZE_MAX:
        raise KernelError(E.E2BIG)
    value = task.memory.read(value_at, size) if size else b""
    location = place()
    _check(task, location, name, ops.MAY_WRITE)
    ops.setxattr(task, location, name, value, flags)
    return 0


def _get(task: Task, place: Place, name_at: int, buf: int, size: int) -> int:
    name = _name(task, name_at)
    location = place()
    _check(task, location, name, ops.MAY_READ, absent=E.ENODATA)
    return _answer(task, ops.getxattr(task, location, name), buf, size)


def _list(task: Task, location: Location, buf: int, size: int) -> int:
    names = ops.listxattr(task, location)
    return _answer(task, b"".join(name + b"\0" for name in names), buf, size)


def _remove(task: Task, place: Place, name_at: int) -> int:
    name = _name(task, name_at)
    location = place()
    _check(task, location, name, ops.MAY_WRITE)
    ops.removexattr(task, location, name)
    return 0


def _answer(task: Task, data: bytes, buf: int, size: int) -> int:
    """Size 0 asks how much there is."""
    if size:
        if len(data) > size:
            raise KernelError(E.ERANGE)
        if data:
            task.memory.write(buf, data)
    return len(data)


@syscall("setxattr", x86_64=188, aarch64=5, support=_GAP)
def setxattr(task: Task, path: Path, name: Address, value: Address, size: Size, flags: Int) -> Result:
    return _set(task, lambda: ops.resolve(task, path), name, value, size, flags)


@syscall("lsetxattr", x86_64=189, aarch64=6, support=_GAP)
def lsetxattr(task: Task, path: Path, name: Address, value: Address, size: Size, flags: Int) -> Result:
    return _set(task, lambda: ops.resolve(task, path, follow=False), name, value, size, flags)


@syscall("fsetxattr", x86_64=190, aarch64=7, support=_GAP)
def fsetxattr(task: Task, fd: Fd, name: Address, value: Address, size: Size, flags: Int) -> Result:
    return _set(task, lambda: place_of(task.kernel, opened(task, fd)), name, value, size, flags)


@syscall("getxattr", x86_64=191, aarch64=8, support=_READ_GAP)
def getxattr(task: Task, path: Path, name: Address, value: Address, size: Size) -> Result:
    return _get(task, lambda: ops.resolve(task, path), name, value, size)


@syscall("lgetxattr", x86_64=192, aarch64=9, support=_READ_GAP)
def lgetxattr(task: Task, path: Path, name: Address, value: Address, size: Size) -> Result:
    return _get(task, lambda: ops.resolve(task, path, follow=False), name, value, size)


@syscall("fgetxattr", x86_64=193, aarch64=10, support=_READ_GAP)
def fgetxattr(task: Task, fd: Fd, name: Address, value: Address, size: Size) -> Result:
    return _get(task, lambda: place_of(task.kernel, opened(task, fd)), name, value, size)


@syscall("listxattr", x86_64=194, aarch64=11, support=_READ_GAP)
def listxattr(task: Task, path: Path, names: Address, size: Size) -> Result:
    return _list(task, ops.resolve(task, path), names, size)


@syscall("llistxattr", x86_64=195, aarch64=12, support=_READ_GAP)
def llistxattr(task: Task, path: Path, names: Address, size: Size) -> Result:
    return _list(task, ops.resolve(task, path, follow=False), names, size)


@syscall("flistxattr", x86_64=196, aarch64=13, support=_READ_GAP)
def flistxattr(task: Task, fd: Fd, names: Address, size: Size) -> Result:
    return _list(task, place_of(task.kernel, opened(task, fd)), names, size)


@syscall("removexattr", x86_64=197, aarch64=14, support=_GAP)
def removexattr(task: Task, path: Path, name: Address) -> Result:
    return _remove(task, lambda: ops.resolve(task, path), name)


@syscall("lremovexattr", x86_64=198, aarch64=15, support=_GAP)
def lremovexattr(task: Task, path: Path, name: Address) -> Result:
    return _remove(task, lambda: ops.resolve(task, path, follow=False), name)


@syscall("fremovexattr", x86_64=199, aarch64=16, support=_GAP)
def fremovexattr(task: Task, fd: Fd, name: Address) -> Result:
    return _remove(task, lambda: place_of(task.kernel, opened(task, fd)), name)
