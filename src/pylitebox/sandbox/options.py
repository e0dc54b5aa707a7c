"""The options of a sandbox: what the command line and the Python API both understand, checked in one place.

Everything is checked before a process is made, and every mistake is an :class:`OptionError` of one sentence. What is
sent to the supervisor is plain data (:meth:`Options.wire`); host directories travel as descriptors opened here, so the
supervisor needs no name of a host path, only what the user could open himself.
"""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from pylitebox.sandbox.errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylitebox.sandbox.rootfs import Rootfs

    StrPath = str | os.PathLike[str]

#: How a mount treats writes: refused, kept in memory, or done on the host.
MODES = ("ro", "cow", "rw")
#: The environment of programs when none is given; nothing of the caller's is forwarded.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What a compressed rootfs may unpack to, unless said otherwise.
ROOTFS_SIZE = 8 << 30
#: What guest memory may be (``--memory``).
MIN_MEMORY, MAX_MEMORY = 16 << 20, 32 << 30
MAX_TIMEOUT = 10 * 365 * 86400.0
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
#: Guest paths that are ours: a mount there would hide the kernel's own files.
_RESERVED = ("/proc", "/dev", "/sys")
#: As many descriptors as fit beside others into one message of the control protocol.
MAX_MOUNTS = 200
#: Whether the supervisor is sent directories, else their paths.
DIRECTORY_DESCRIPTORS = hasattr(os, "O_PATH")
#: Whether this host has the programs that a sandbox shows where nothing else is said.
LINUX = sys.platform == "linux"


class Mount:
    """A host directory ``host`` that appears at ``guest``."""

    __slots__ = ("guest", "host", "mode")

    def __init__(self, host: StrPath, guest: StrPath, mode: str = "ro") -> None:
        self.host = host_path(os.fspath(host))
        self.guest = guest_path(os.fspath(guest), "mount")
        if mode not in MODES:
            raise OptionError(f"mount mode {mode!r} is none of {', '.join(MODES)}")
        _check_place(self.guest)
        self.mode = mode

    def __repr__(self) -> str:
        return f"Mount({self.host!r}, {self.guest!r}, {self.mode!r})"

    @classmethod
    def parse(cls, text: str) -> Mount:
        """``HOST:GUEST[:ro|cow|rw]``; a colon that belongs to a path cannot be written, but for a Windows drive's: use
        Mount(...) for that."""
        parts = split_mount(text)
        if len(parts) not in (2, 3) or not all(parts):
            raise OptionError(f"mount {text!r} is not of the form HOST:GUEST[:ro|cow|rw]")
        return cls(*parts)

    @classmethod
    def workspace(cls, text: StrPath) -> Mount:
        """``DIR[:ro|cow|rw]``, mounted at its own absolute path; copy-on-write unless said otherwise."""
        path, colon, mode = os.fspath(text).rpartition(":")
        if not colon or mode not in MODES:
            path, mode = os.fspath(text), "cow"
        if not path:
            raise OptionError("the workspace is an empty path")
        real = host_path(path, os.path.realpath)
        return cls(real, own_path(real), mode)

    def open(self) -> int | None:
        """An O_PATH descriptor of the host directory, None where there is no such thing; OptionError."""
        try:
            if DIRECTORY_DESCRIPTORS:
                return os.open(self.host, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            os.scandir(self.host).close()
            return None
        except NotADirectoryError as error:
            raise OptionError(
                f"cannot mount {self.host}: {error.strerror} (mount the one that holds the file)"
            ) from None
        except OSError as error:
            raise OptionError(f"cannot mount {self.host}: {error.strerror}") from None


class Options:
    """See :class:`pylitebox.Sandbox` for what each means."""

    __slots__ = (
        "cwd", "env", "gid", "hostname", "memory", "mounts", "platform", "python", "rootfs", "summary", "tmpfs",
        "trace", "uid",
    )  # fmt: skip

    def __init__(
        self,
        *,
        mounts: Iterable[Mount | str] = (),
        workspace: StrPath | None = None,
        python: bool | StrPath = False,
        rootfs: StrPath | None = None,
        rootfs_size: int | str | None = None,
        tmpfs: Iterable[str] | Mapping[str, int | str | None] = (),
        env: Mapping[str, str] | None = None,
        cwd: StrPath | None = None,
        user: str | int | tuple[int, int] | None = None,
        hostname: str | None = None,
        platform: str | None = None,
        memory: int | str | None = None,
    ) -> None:
        if isinstance(mounts, str):
            raise OptionError("mounts is a list of HOST:GUEST[:ro|cow|rw], not one text")
        self.mounts = [mount if isinstance(mount, Mount) else Mount.parse(os.fspath(mount)) for mount in mounts]
        self.cwd = "/"
        if workspace is not None:
            mount = Mount.workspace(workspace)
            self.mounts.append(mount)
            self.cwd = mount.guest
        if cwd is not None:
            self.cwd = os.fspath(cwd)
            if not self.cwd.startswith("/"):
                self.cwd = posixpath.join(mount.guest if workspace is not None else "/", self.cwd)
        if python and not LINUX:
            raise OptionError("the Python of this host is no Linux program: a rootfs has its own")
        self.python = os.fspath(python) if python and not isinstance(python, bool) else bool(python)
        self.rootfs = _rootfs(rootfs, rootfs_size)
        self.uid, self.gid = parse_user(user)
        self.env = check_environment(env) if env is not None else self._default_environment()
        self.tmpfs = _tmpfs(tmpfs)
        places = [*(mount.guest for mount in self.mounts), *(path for path, _ in self.tmpfs)]
        _check_places([*places, "/"] if self.rootfs is not None else places)
        self.hostname = check_hostname(hostname) if hostname is not None else "pylitebox"
        self.platform = platform or "auto"
        self.memory = check_memory(memory) if memory is not None else None
        self.trace = False
        self.summary = False

    def _default_environment(self) -> dict[str, str]:
        """The small one; with ``python``, its programs are found first."""
        env = default_environment(self.uid)
        if self.python:
            from pylitebox.sandbox.interpreter import programs

            first = programs(None if self.python is True else str(self.python))
            env["PATH"] = f"{first}:{env['PATH']}" if first else env["PATH"]
        return env

    def all_mounts(self) -> list[Mount]:
        """The mounts with those that ``python`` adds, parents before what is beneath them."""
        mounts = list(self.mounts)
        if self.python:
            from pylitebox.sandbox.interpreter import add_interpreter

            add_interpreter(
                mounts, None if self.python is True else str(self.python), rootfs=self.rootfs is not None
            )
        if len(mounts) > MAX_MOUNTS:
            raise OptionError(f"{len(mounts)} mounts are too many, {MAX_MOUNTS} is the limit")
        return sorted(mounts, key=lambda mount: mount.guest.count("/") if mount.guest != "/" else 0)

    def wire(self) -> tuple[dict[str, object], list[int]]:
        """What the supervisor is told, and the descriptors (the caller closes them) of the mounts, in order, and of
        the rootfs."""
        mounts = self.all_mounts()
        if not LINUX and self.rootfs is None and not any(mount.guest == "/" for mount in mounts):
            raise OptionError("this host has no Linux programs: name a tree of them (--rootfs DIR|TAR, rootfs=)")
        descriptors: list[int] = []
        rootfs: dict[str, object] | None = None
        try:
            for mount in mounts:
                fd = mount.open()
                if fd is not None:
                    descriptors.append(fd)
            if self.rootfs is not None:
                rootfs, fds = self.rootfs.open()
                descriptors += fds
        except BaseException:
            for fd in descriptors:
                os.close(fd)
            raise
        return {
            "mounts": [[mount.guest, mount.mode, mount.host] for mount in mounts],
            "rootfs": rootfs,
            "paths": not DIRECTORY_DESCRIPTORS,
            "tmpfs": self.tmpfs,
            "uid": self.uid,
            "gid": self.gid,
            "hostname": self.hostname,
            "platform": self.platform,
            "memory": self.memory,
            "trace": self.trace,
            "summary": self.summary,
        }, descriptors


def host_path(path: str, absolute: Callable[[str], str] = os.path.abspath) -> str:
    """An absolute path on the host."""
    try:
        return absolute(os.path.expanduser(path))
    except FileNotFoundError:
        raise OptionError(f"{path} is relative to a current directory that does not exist any more") from None


def own_path(host: str) -> str:
    """The guest path that is a host path's own: itself, or for a Windows path what a POSIX shell there calls it
    (``/c/dir`` for ``C:\\dir``)."""
    if host.startswith("/"):
        return host
    drive, colon, rest = host.partition(":")
    return "/" + ((drive.lower() + rest) if colon else host).replace("\\", "/").lstrip("/")


def split_mount(text: str) -> list[str]:
    """The parts of ``HOST:GUEST[:MODE]``. A letter and a colon in front are a drive where a guest path still follows
    (``C:\\dir:/guest:ro``, ``C:/dir:/guest``), so ``c:/guest:ro`` is the directory ``c``."""
    parts = text.split(":")
    drive, *others = parts
    if len(others) < 2 or len(drive) != 1 or not drive.isalpha():
        return parts
    is_drive = others[0].startswith(("/", "\\")) and others[1].startswith("/")
    return [f"{drive}:{others[0]}", *others[1:]] if is_drive else parts


def guest_path(text: str, what: str) -> str:
    """An absolute guest path without ``.``, ``..`` and double slashes."""
    if not text.startswith("/"):
        raise OptionError(f"{what} {text!r} in the sandbox is no absolute path")
    if "\0" in text:
        raise OptionError(f"{what} {text!r} contains a NUL")
    return "/" + posixpath.normpath(text).lstrip("/")


def _check_place(guest: str) -> None:
    if (guest + "/").startswith("/dev/shm/"):  # noqa: S108 - a guest path, of files in memory like any others
        return
    if any(guest == path or guest.startswith(path + "/") for path in _RESERVED):
        raise OptionError(f"{guest} belongs to the sandbox's kernel, nothing can be mounted there")


def _check_places(guests: Sequence[str]) -> None:
    for number, guest in enumerate(guests):
        if guest in guests[:number]:
            raise OptionError(f"two things cannot be mounted at {guest}")


def parse_size(text: str | int) -> int:
    """``64m`` and the like, in bytes."""
    if isinstance(text, int):
        size = text
    else:
        digits = text.strip().lower().removesuffix("b").removesuffix("i")
        unit = digits[-1:] if digits[-1:] in "kmgt" else ""
        number = digits.removesuffix(unit)
        if not (number.isascii() and number.isdigit()) or len(number) > 15:
            raise OptionError(f"size {text!r} is no number of bytes such as 512k, 64m or 2g")
        size = int(number) * _UNITS[unit]
    if not 0 < size <= 1 << 50:
        raise OptionError(f"size {text!r} is out of range")
    return size


def _tmpfs(values: Iterable[str] | Mapping[str, int | str | None]) -> list[tuple[str, int]]:
    """(guest path, limit in bytes; 0: the sandbox's own limit) from ``GUEST[:SIZE]`` texts or a mapping."""
    pairs: list[tuple[str, int | str | None]]
    if isinstance(values, Mapping):
        pairs = list(values.items())
    else:
        parted = [text.partition(":") for text in ((values,) if isinstance(values, str) else values)]
        pairs = [(path, size if colon else None) for path, colon, size in parted]
    result = []
    for path, size in pairs:
        guest = guest_path(path, "tmpfs")
        if guest == "/":
            raise OptionError("an empty / would hide every program; writes to / are in memory already")
        _check_place(guest)
        result.append((guest, parse_size(size) if size is not None else 0))
    return result


def parse_user(user: str | int | tuple[int, int] | None) -> tuple[int, int]:
    """(uid, gid) from ``UID[:GID]``; the group is the uid's number if it is not given. None: root, 0:0."""
    if user is None:
        return 0, 0
    if isinstance(user, str):
        parts: Sequence[str | int] = user.split(":")
    else:
        parts = user if isinstance(user, tuple) else (user,)
    digits = [str(part) for part in parts]
    numbers = [int(text) for text in digits if text.isascii() and text.isdigit() and len(text) <= 10]
    if len(digits) not in (1, 2) or len(numbers) != len(digits) or max(numbers) >= (1 << 32) - 1:
        raise OptionError(f"user {user!r} is not of the form UID[:GID] with numbers")
    return numbers[0], numbers[-1]


def check_memory(size: int | str) -> int:
    """Bytes of guest memory, for platforms that have it in one piece."""
    value = parse_size(size)
    if not MIN_MEMORY <= value <= MAX_MEMORY:
        raise OptionError(f"guest memory of {size} is not between {MIN_MEMORY >> 20}m and {MAX_MEMORY >> 30}g")
    return value


def _rootfs(path: StrPath | None, size: int | str | None) -> Rootfs | None:
    if path is None:
        if size is not None:
            raise OptionError("a size of the rootfs is given, but no rootfs")
        return None
    from pylitebox.sandbox.rootfs import Rootfs

    return Rootfs(path, parse_size(size) if size is not None else ROOTFS_SIZE)


def check_hostname(name: str) -> str:
    if not name or len(name.encode()) > 64 or not all(c.isascii() and (c.isalnum() or c in "-._") for c in name):
        raise OptionError(f"hostname {name!r} is not 1 to 64 letters, digits, dots, dashes or underscores")
    return name


def check_environment(env: Mapping[str, str]) -> dict[str, str]:
    """A copy; each name is not empty and without ``=``."""
    result = {}
    for name, value in env.items():
        name, value = os.fsdecode(name), os.fsdecode(value)
        if not name or "=" in name:
            raise OptionError(f"environment name {name!r} is illegal")
        if "\0" in name or "\0" in value:
            raise OptionError(f"environment variable {name!r} contains a NUL")
        result[name] = value
    return result


def parse_assignment(text: str) -> tuple[str, str]:
    """``K=V``."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise OptionError(f"environment {text!r} is not of the form NAME=VALUE")
    return name, value


def default_environment(uid: int) -> dict[str, str]:
    return {"PATH": PATH, "HOME": "/root" if uid == 0 else "/tmp", "LANG": "C.UTF-8"}  # noqa: S108 - a guest path


def parse_timeout(text: str | float) -> float:
    """Seconds, above zero."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MAX_TIMEOUT:
        raise OptionError(f"timeout {text!r} is no number of seconds above zero")
    return seconds
