"""What callers pass: paths of any kind, descriptors, numbers of C's types, buffers. As ``os`` takes them."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, TypeAlias

from pylitebox.abi.fcntl import AT_FDCWD

if TYPE_CHECKING:
    from os import PathLike
    from typing import SupportsIndex

    from pylitebox.north.posix.call import Argument

    StrPath: TypeAlias = "str | bytes | PathLike[str] | PathLike[bytes]"
    FdOrPath: TypeAlias = "int | StrPath"
    FdLike: TypeAlias = "int | HasFileno"
    #: What can be read as bytes; what can be written into.
    ReadableBuffer: TypeAlias = "bytes | bytearray | memoryview"
    WritableBuffer: TypeAlias = "bytearray | memoryview"

    class HasFileno:
        def fileno(self) -> int: ...


def fspath(path: Any) -> str | bytes:
    """The text of a path; TypeError for what is none."""
    if isinstance(path, str | bytes):
        return path
    method = getattr(type(path), "__fspath__", None)
    if method is None:
        raise TypeError(f"expected str, bytes or os.PathLike object, not {type(path).__name__}")
    text = method(path)
    if not isinstance(text, str | bytes):
        got = type(text).__name__
        raise TypeError(f"expected {type(path).__name__}.__fspath__() to return str or bytes, not {got}")
    return text


def encode(text: str | bytes) -> bytes:
    """As a program gets it: UTF-8, undecodable bytes as surrogates (PEP 383)."""
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def path(value: Any) -> bytes:
    """A path as an argument of a call; ValueError for a NUL in it."""
    text = encode(fspath(value))
    if b"\0" in text:
        raise ValueError("embedded null byte")
    return text


def fd(value: FdLike) -> int:
    """A descriptor, or what has one; ValueError for a negative one."""
    number: Any = value
    if not hasattr(number, "__index__"):
        fileno = getattr(number, "fileno", None)
        if fileno is None:
            raise TypeError("argument must be an int, or have a fileno() method.")
        number = fileno()
        if not isinstance(number, int):
            raise TypeError("fileno() returned a non-integer")
    if c_int(number) < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({number})")
    return c_int(number)


def is_fd(value: object) -> bool:
    """Whether a path-or-descriptor argument is a descriptor."""
    return hasattr(type(value), "__index__")


def path_fd(value: Any) -> int:
    """A descriptor in the place of a path."""
    return c_int(value)


def dirfd(value: int | None) -> int:
    return AT_FDCWD if value is None else c_int(value)


def c_int(value: SupportsIndex) -> int:
    number = operator.index(value)
    if not -(1 << 31) <= number < 1 << 31:
        raise OverflowError(f"signed integer is {'greater than maximum' if number > 0 else 'less than minimum'}")
    return number


def c_long(value: SupportsIndex) -> int:
    """off_t and its like."""
    number = operator.index(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError("Python int too large to convert to C long")
    return number


def ident(value: SupportsIndex) -> int:
    """uid_t and gid_t; -1 leaves an id as it is."""
    number = operator.index(value)
    if not -1 <= number < 1 << 32:
        raise OverflowError(f"uid is {'greater than maximum' if number > 0 else 'less than minimum'}")
    return number & 0xFFFFFFFF


def data(buffer: ReadableBuffer) -> memoryview:
    """The bytes of a buffer, without a copy."""
    return memoryview(buffer).cast("B")


def writable(buffer: WritableBuffer) -> memoryview:
    view = memoryview(buffer).cast("B")
    if view.readonly:
        raise BufferError("Object is not writable.")
    return view


def pair(raw: bytearray) -> tuple[int, int]:
    """Two ints as pipe(2) and socketpair(2) store them."""
    return int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:8], "little")


def pointer(value: int | None) -> Argument:
    """A loff_t behind a pointer, or a null pointer."""
    return None if value is None else bytearray(c_long(value).to_bytes(8, "little", signed=True))
