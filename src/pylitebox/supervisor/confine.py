"""The supervisor gives up what it does not need.

In two steps, because guests are started in between and their walls must nest inside ours:

1. :func:`enclose`, while there is one thread and before guardian and template start: no new privileges, a uid of its
   own if it was root, no capabilities, not dumpable, Landlock.
2. :func:`seal`, after they run and all worker threads exist: descriptor audit, then our own seccomp filter.

Each step says which walls stand. One that the host does not offer is reported, not an error, unless the caller
requires it by name; one that the host offers and then refuses is an error always. The order matters (DESIGN: a guest's
Landlock domain must lie within ours, else /proc/PID/mem is refused).

Missing: cgroups; a network namespace of the supervisor's own.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Collection, Iterable, Sequence

from pylitebox.abi import landlock as L
from pylitebox.abi import prctl as P
from pylitebox.abi.capabilities import _LINUX_CAPABILITY_VERSION_3
from pylitebox.abi.numbers import X86_64
from pylitebox.abi.seccomp import SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_SET_MODE_FILTER
from pylitebox.south.native import filters
from pylitebox.supervisor.host import Wall

READ_TREE = L.LANDLOCK_ACCESS_FS_READ_FILE | L.LANDLOCK_ACCESS_FS_READ_DIR
#: For /proc: the memory of guests is written through it.
PROC = READ_TREE | L.LANDLOCK_ACCESS_FS_WRITE_FILE
#: For /proc, where no guest is a process of the host: our own descriptors are listed.
PROC_NAMES = L.LANDLOCK_ACCESS_FS_READ_DIR
#: For the stub.
EXECUTE = L.LANDLOCK_ACCESS_FS_READ_FILE | L.LANDLOCK_ACCESS_FS_EXECUTE
#: For a host directory mounted ``rw``: no device, no socket, no execution.
WRITE_TREE = (
    READ_TREE
    | L.LANDLOCK_ACCESS_FS_WRITE_FILE
    | L.LANDLOCK_ACCESS_FS_TRUNCATE
    | L.LANDLOCK_ACCESS_FS_MAKE_REG
    | L.LANDLOCK_ACCESS_FS_MAKE_DIR
    | L.LANDLOCK_ACCESS_FS_MAKE_SYM
    | L.LANDLOCK_ACCESS_FS_REMOVE_FILE
    | L.LANDLOCK_ACCESS_FS_REMOVE_DIR
    | L.LANDLOCK_ACCESS_FS_REFER
)

#: Where a sandbox started by root takes its uid from, best first. The first range belongs to nobody (systemd's
#: "Users, Groups, UIDs and GIDs"); a container may map only small ids.
_UID_RANGES = ((0x70000000, 0x7FFFFFFF), (61184, 65519))

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class ConfinementError(Exception):
    """A wall cannot be built; the message says which and why."""


def _syscall(name: str, *args: object) -> int:
    """The raw call; its result, OSError if it fails."""
    result = int(_libc.syscall(ctypes.c_long(X86_64[name]), *args))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _prctl(option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
    return _syscall("prctl", *(ctypes.c_ulong(value) for value in (option, a, b, c, d)))


# -- step 1 -----------------------------------------------------------------------------------------------------


def enclose(rules: Iterable[tuple[int, int]], *, uid: int | None = None, required: Collection[str] = ()) -> list[Wall]:
    """Step 1. ``rules``: (O_PATH descriptor, Landlock rights) of what stays reachable; rights that mean nothing for a
    file are dropped for one. ``uid``: what root becomes (None: one of its own). ConfinementError."""
    if len(os.listdir("/proc/self/task")) != 1:
        raise ConfinementError("confinement must come before the first worker thread: it counts per thread")
    _prctl(P.PR_SET_NO_NEW_PRIVS, 1)
    walls = [
        Wall("no-new-privs", stands=True, detail="no program gives privileges back"),
        _identity(uid),
        _drop_capabilities(),
        _undumpable(),
        _landlock(rules),
    ]
    _check_required(walls, required)
    return walls


def _identity(uid: int | None) -> Wall:
    if os.geteuid() != 0 and os.getuid() != 0:
        return Wall("own-uid", stands=False, detail=f"shares uid {os.getuid()} with its user, who is not root")
    chosen = free_uid() if uid is None else uid
    try:
        _drop_bounding_set()
        os.setgroups([])
        os.setresgid(chosen, chosen, chosen)
        os.setresuid(chosen, chosen, chosen)
    except OSError as error:
        raise ConfinementError(f"root cannot become uid {chosen}: {error.strerror}") from error
    return Wall("own-uid", stands=True, detail=f"uid {chosen}, no groups")


def free_uid() -> int:
    """An unprivileged uid that this user namespace maps and no process has."""
    with open("/proc/self/uid_map", "rb") as file:
        uids = [tuple(map(int, line.split())) for line in file]
    with open("/proc/self/gid_map", "rb") as file:
        gids = [tuple(map(int, line.split())) for line in file]

    def mapped(ident: int) -> bool:
        return all(any(first <= ident < first + n for first, _, n in table) for table in (uids, gids))

    taken = {_owner(entry.path) for entry in os.scandir("/proc") if entry.name.isdigit()}
    for low, high in _UID_RANGES:
        for _ in range(64):
            candidate = low + int.from_bytes(os.urandom(8), "little") % (high - low + 1)
            if candidate not in taken and mapped(candidate):
                return candidate
    if mapped(65534):
        return 65534
    raise ConfinementError("this user namespace maps no unprivileged uid: start pylitebox as an ordinary user")


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:  # the process has ended
        return None


def _drop_bounding_set() -> None:
    capability = 0
    while True:
        try:
            _prctl(P.PR_CAPBSET_DROP, capability)
        except OSError:  # EINVAL past the last one; EPERM without CAP_SETPCAP
            return
        capability += 1


def _drop_capabilities() -> Wall:
    header = ctypes.create_string_buffer(struct.pack("<Ii", _LINUX_CAPABILITY_VERSION_3, 0))
    nothing = ctypes.create_string_buffer(24)
    try:
        _prctl(P.PR_CAP_AMBIENT, 4)  # PR_CAP_AMBIENT_CLEAR_ALL
        _syscall("capset", header, nothing)
    except OSError as error:
        raise ConfinementError(f"capabilities cannot be dropped: {error.strerror}") from error
    with open("/proc/self/status", "rb") as file:
        left = [line.strip() for line in file if line.startswith((b"CapPrm", b"CapEff", b"CapInh", b"CapAmb"))]
    if any(int(line.split()[1], 16) for line in left):
        raise ConfinementError("the host left capabilities to the supervisor")
    return Wall("no-capabilities", stands=True, detail="no capability, permitted or effective")


def _undumpable() -> Wall:
    _prctl(P.PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return Wall(
        "not-dumpable", stands=True, detail="no process of the same uid can trace the supervisor; no core dumps"
    )


def landlock_abi() -> int:
    """The host's Landlock ABI, 0 if there is none."""
    try:
        return _syscall("landlock_create_ruleset", None, 0, L.LANDLOCK_CREATE_RULESET_VERSION)
    except OSError:
        return 0


def landlock_attributes(abi: int | None = None) -> tuple[int, int, int]:
    """``struct landlock_ruleset_attr`` that handles all that ABI ``abi`` (None: the host's) can restrict."""
    abi = landlock_abi() if abi is None else abi
    return (L.handled_fs(abi), L.handled_net(abi), L.scoped(abi)) if abi else (0, 0, 0)


def _landlock(rules: Iterable[tuple[int, int]]) -> Wall:
    abi = landlock_abi()
    if not abi:
        return Wall("landlock", stands=False, detail="the host has no Landlock (boot option lsm=..., or a filter)")
    attributes = landlock_attributes(abi)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    try:
        ruleset = _syscall(
            "landlock_create_ruleset", ctypes.create_string_buffer(struct.pack("<3Q", *attributes)), size, 0
        )
        try:
            for fd, rights in rules:
                allowed = rights & attributes[0]
                if not _is_directory(fd):
                    allowed &= L.ACCESS_FILE
                rule = ctypes.create_string_buffer(struct.pack("<Qi", allowed, fd))
                _syscall("landlock_add_rule", ruleset, L.LANDLOCK_RULE_PATH_BENEATH, rule, 0)
            _syscall("landlock_restrict_self", ruleset, 0)
        finally:
            os.close(ruleset)
    except OSError as error:
        raise ConfinementError(f"Landlock refused its rules: {error}") from error
    reach = "files" + (", TCP" if abi >= 4 else "") + (", signals and abstract sockets" if abi >= 6 else "")
    return Wall("landlock", stands=True, detail=f"ABI {abi}: {reach}")


def _is_directory(fd: int) -> bool:
    return (os.fstat(fd).st_mode & 0o170000) == 0o040000


# -- step 2 -----------------------------------------------------------------------------------------------------


def seal(expected: Collection[int], *, groups: Sequence[str] = (), required: Collection[str] = ()) -> list[Wall]:
    """Step 2. ``expected``: all descriptors that may be open; any other one is closed. ``groups`` as for
    :func:`.filters.supervisor_rules`. Nothing that the filter refuses can be done afterwards. ConfinementError."""
    walls = [_audit(expected), _filter(groups)]
    _check_required(walls, required)
    return walls


def open_descriptors() -> set[int]:
    """The descriptors of this process."""
    with os.scandir("/proc/self/fd") as entries:
        found = {int(entry.name) for entry in entries}
    return {fd for fd in found if _is_open(fd)}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _audit(expected: Collection[int]) -> Wall:
    strays = sorted(open_descriptors() - set(expected))
    for fd in strays:
        os.close(fd)
    closed = f"; closed {len(strays)} stray ones" if strays else ""
    return Wall("descriptors", stands=True, detail=f"{len(open_descriptors())} open, all known{closed}")


def _filter(groups: Sequence[str]) -> Wall:
    code = ctypes.create_string_buffer(filters.supervisor_filter(groups))
    count = len(code.raw) // 8
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", count, ctypes.addressof(code)))
    try:
        stuck = _syscall("seccomp", SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program)
    except OSError as error:
        raise ConfinementError(f"the supervisor's own filter was refused: {error}") from error
    if stuck:
        raise ConfinementError(f"thread {stuck} could not take the supervisor's filter")
    names = sum(rule.reaches_host for rule in filters.supervisor_rules(groups))
    return Wall("supervisor-filter", stands=True, detail=f"{names} host calls, all others fail")


def _check_required(walls: Sequence[Wall], required: Collection[str]) -> None:
    for wall in walls:
        if wall.name in required and not wall.stands:
            raise ConfinementError(f"the required wall {wall.name!r} cannot stand here: {wall.detail}")
