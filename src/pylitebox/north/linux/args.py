"""Kinds of system-call arguments: how each is decoded from a register, and how a trace shows it.

A handler's annotations name the kinds: ``def openat(task: Task, dirfd: DirFd, path: Path, ...)``. A kind's
``decode`` is an expression over ``x`` (the register, unsigned 64 bit) and ``task``; the table compiles one decoder per
row from them (table.py). What a kind reads from guest memory is read once, here, and bounded.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

from pylitebox.abi import fcntl as fc
from pylitebox.abi import ioctl, mman, prctl, resource, sched, signal, time
from pylitebox.abi import stat as st


class Kind:
    """``decode``: Python source over ``x`` and ``task``; ``show``: the decoded value as strace would print it."""

    __slots__ = ("decode", "show")

    def __init__(self, decode: str, show: Callable[[object], str] = str) -> None:
        self.decode = decode
        self.show = show


def flag_names(names: Mapping[int, str], *, zero: str = "0") -> Callable[[object], str]:
    """Show a bit mask as ``A|B|0x40``."""

    def show(value: object) -> str:
        assert isinstance(value, int)
        rest, parts = value, []
        for bits, name in names.items():
            if bits and rest & bits == bits:
                parts.append(name)
                rest &= ~bits
        if rest:
            parts.append(hex(rest))
        return "|".join(parts) or zero

    return show


def choice(names: Mapping[int, str]) -> Callable[[object], str]:
    """Show one of an enumeration."""

    def show(value: object) -> str:
        assert isinstance(value, int)
        return names.get(value, hex(value))

    return show


def prefixed(module: object, prefix: str) -> dict[int, str]:
    """Value -> name of the integer constants of a module that start with ``prefix``."""
    return {v: n for n, v in vars(module).items() if n.startswith(prefix) and isinstance(v, int)}


def quote(value: object) -> str:
    """A byte string as strace prints it, at most 256 characters."""
    assert isinstance(value, bytes)
    text = repr(value[:256])[2:-1].replace('"', '\\"').replace("\\'", "'")
    return f'"{text}"' + ("..." if len(value) > 256 else "")


_S32 = "((x & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000"
_S64 = "(x ^ 0x8000000000000000) - 0x8000000000000000"
_U32 = "x & 0xFFFFFFFF"


def _hex(value: object) -> str:
    return "NULL" if value == 0 else f"{value:#x}"


def _octal(value: object) -> str:
    assert isinstance(value, int)
    return f"0{value:o}" if value else "0"


def _dirfd(value: object) -> str:
    return "AT_FDCWD" if value == fc.AT_FDCWD else str(value)


def _open_flags(value: object) -> str:
    assert isinstance(value, int)
    access = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")[value & 3]
    names = {fc.O_SYNC: "O_SYNC", fc.O_TMPFILE: "O_TMPFILE"}
    names |= {v: n for v, n in prefixed(fc, "O_").items() if v > 3 and v not in names}
    rest = flag_names(names, zero="")(value & ~3)
    return f"{access}|{rest}" if rest else access


def _clone_flags(value: object) -> str:
    assert isinstance(value, int)
    names = flag_names(prefixed(sched, "CLONE_"), zero="")(value & ~sched.CSIGNAL)
    parts = [names] if names else []
    if value & sched.CSIGNAL:
        parts.append(signal.name(value & sched.CSIGNAL))
    return "|".join(parts) or "0"


Int = Annotated[int, Kind(_S32)]
UInt = Annotated[int, Kind(_U32)]
Long = Annotated[int, Kind(_S64)]
ULong = Annotated[int, Kind("x")]
Size = Annotated[int, Kind("x")]
Offset = Annotated[int, Kind(_S64)]
Address = Annotated[int, Kind("x", _hex)]
Fd = Annotated[int, Kind(_S32)]
DirFd = Annotated[int, Kind(_S32, _dirfd)]
#: A NUL-terminated path of at most PATH_MAX bytes, copied in; EFAULT, ENAMETOOLONG.
Path = Annotated[bytes, Kind("task.memory.read_cstring(x, 4096)", quote)]
#: A path that may be a null pointer: None.
OptionalPath = Annotated[
    bytes | None, Kind("task.memory.read_cstring(x, 4096) if x else None", lambda v: "NULL" if v is None else quote(v))
]
Pid = Annotated[int, Kind(_S32)]
Uid = Annotated[int, Kind(_U32, lambda v: "-1" if v == 0xFFFFFFFF else str(v))]
Signal = Annotated[int, Kind(_S32, lambda v: signal.name(v) if isinstance(v, int) else str(v))]
Mode = Annotated[int, Kind("x & 0o7777", _octal)]
#: A mode with its file type (mknod).
FileMode = Annotated[int, Kind("x & 0xFFFF", _octal)]
OpenFlags = Annotated[int, Kind(_U32, _open_flags)]
AtFlags = Annotated[int, Kind(_S32, flag_names(prefixed(fc, "AT_"), zero="0"))]
AccessMode = Annotated[int, Kind(_S32, flag_names({4: "R_OK", 2: "W_OK", 1: "X_OK"}, zero="F_OK"))]
Whence = Annotated[int, Kind(_U32, choice(prefixed(fc, "SEEK_")))]
RwfFlags = Annotated[
    int,
    Kind(
        _U32,
        flag_names(
            {1: "RWF_HIPRI", 2: "RWF_DSYNC", 4: "RWF_SYNC", 8: "RWF_NOWAIT", 16: "RWF_APPEND", 32: "RWF_NOAPPEND"}
        ),
    ),
]
Prot = Annotated[int, Kind("x", flag_names(prefixed(mman, "PROT_"), zero="PROT_NONE"))]
_MAP_FLAGS = {v: n for v, n in prefixed(mman, "MAP_").items() if n not in {"MAP_TYPE", "MAP_SHARED_VALIDATE"}}
MapFlags = Annotated[int, Kind("x", flag_names(_MAP_FLAGS))]
CloneFlags = Annotated[int, Kind("x", _clone_flags)]
#: Other families of names share the prefix, and their numbers.
_COMMANDS = {v: n for n, v in vars(fc).items() if n.startswith(("F_GET", "F_SET", "F_DUP", "F_OFD", "F_ADD", "F_NOT"))}
FcntlCommand = Annotated[int, Kind(_U32, choice(_COMMANDS))]
UnlinkFlags = Annotated[int, Kind(_S32, flag_names({fc.AT_REMOVEDIR: "AT_REMOVEDIR"}))]
RenameFlags = Annotated[int, Kind(_U32, flag_names(prefixed(fc, "RENAME_")))]
StatxMask = Annotated[
    int, Kind(_U32, flag_names({0xFFF: "STATX_ALL", 0x7FF: "STATX_BASIC_STATS"} | prefixed(st, "STATX_")))
]
SpliceFlags = Annotated[
    int,
    Kind(_U32, flag_names({1: "SPLICE_F_MOVE", 2: "SPLICE_F_NONBLOCK", 4: "SPLICE_F_MORE", 8: "SPLICE_F_GIFT"})),
]
LockOperation = Annotated[int, Kind(_S32, flag_names({1: "LOCK_SH", 2: "LOCK_EX", 4: "LOCK_NB", 8: "LOCK_UN"}))]
SigmaskHow = Annotated[int, Kind(_S32, choice({0: "SIG_BLOCK", 1: "SIG_UNBLOCK", 2: "SIG_SETMASK"}))]
WaitOptions = Annotated[
    int,
    Kind(
        _U32,
        flag_names(
            {1: "WNOHANG", 2: "WUNTRACED", 4: "WEXITED", 8: "WCONTINUED", 0x01000000: "WNOWAIT"}
            | {0x20000000: "__WNOTHREAD", 0x40000000: "__WALL", 0x80000000: "__WCLONE"}
        ),
    ),
]
SchedPolicy = Annotated[int, Kind(_S32, choice(prefixed(sched, "SCHED_")))]
ClockId = Annotated[int, Kind(_S32, choice(prefixed(time, "CLOCK_")))]
_LIMITS = {v: n for v, n in prefixed(resource, "RLIMIT_").items() if n != "RLIMIT64"}
Resource = Annotated[int, Kind(_U32, choice(_LIMITS))]
PrctlOption = Annotated[int, Kind(_S32, choice(prefixed(prctl, "PR_")))]
Request = Annotated[int, Kind(_U32, choice({v: n for n, v in vars(ioctl).items() if isinstance(v, int)}))]
