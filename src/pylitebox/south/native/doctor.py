"""What this host offers to the native platform: ``pylitebox doctor``.

Each check tries the thing itself, in a child process where that would leave a mark, and says how to get what is
missing. A check that fails is either needed (the platform cannot run) or a wall less (the others stand).
"""

from __future__ import annotations

import ctypes
import os
import platform as machine
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pylitebox.abi import landlock as L
from pylitebox.abi.numbers import X86_64
from pylitebox.abi.sched import CLONE_NEWPID, CLONE_NEWUSER
from pylitebox.abi.seccomp import (
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    SECCOMP_IOCTL_NOTIF_SET_FLAGS,
    SECCOMP_RET_ALLOW,
    SECCOMP_SET_MODE_FILTER,
    SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP,
)
from pylitebox.south.native.bpf import Program
from pylitebox.south.native.launch import launch, stub_path
from pylitebox.south.start import StartError

_OLDEST = (5, 19)


@dataclass(frozen=True)
class Finding:
    """One thing the host has or lacks. ``needed``: nothing runs without it."""

    name: str
    present: bool
    detail: str
    needed: bool = False
    advice: str = ""


def report() -> tuple[str, bool]:
    """All findings as text, and whether the native platform works here."""
    findings = examine()
    works = all(finding.present for finding in findings if finding.needed)
    width = max(len(finding.name) for finding in findings)
    lines = [f"native platform: {'works' if works else 'does not work here'}", ""]
    for finding in findings:
        mark = "ok  " if finding.present else "FAIL" if finding.needed else "none"
        lines.append(f"  {mark}  {finding.name:<{width}}  {finding.detail}")
        if finding.advice and not finding.present:
            lines.append(f"        {'':<{width}}  -> {finding.advice}")
    return "\n".join(lines) + "\n", works


def examine() -> list[Finding]:
    """Every check, in the order of what to repair first."""
    return list(_findings())


def _findings() -> Iterator[Finding]:
    yield _kernel()
    if machine.system() != "Linux" or machine.machine() != "x86_64":
        return
    yield _stub()
    yield from _notification()
    yield _outer_filter()
    yield _proc()
    yield _yama()
    yield _memfd()
    yield _start()
    yield _landlock()
    yield _namespaces()
    yield _user()


def _kernel() -> Finding:
    release, system, arch = machine.release(), machine.system(), machine.machine()
    version = tuple(int(word) for word in release.replace("-", ".").split(".")[:2] if word.isdigit())
    return Finding(
        "kernel",
        system == "Linux" and arch == "x86_64" and version >= _OLDEST,
        f"{system} {release}, {arch}",
        needed=True,
        advice="the native platform needs Linux 5.19 or later on x86-64 (Debian 12 has 6.1)",
    )


def _stub() -> Finding:
    path = stub_path()
    compiler = shutil.which("cc")
    advice = "reinstall the package: a Linux x86-64 wheel brings it"
    if compiler is None:
        advice += ", or install a C compiler (Debian: apt-get install gcc) to build it from source"
    return Finding("stub program", os.access(path, os.X_OK), str(path), needed=True, advice=advice)


# -- seccomp ----------------------------------------------------------------------------------------------------

_BUSY, _NO_FLAG, _REFUSED, _NO_SYNC = 1, 2, 3, 4


def _in_child(body: Callable[[], int]) -> int:
    """The exit status of ``body`` in a child process; 128 + N if signal N ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(body())
        finally:
            os._exit(255)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _try_listener() -> int:
    """0, or one of the numbers above: whether a listener can be had, and switched to synchronous wake-ups."""
    import errno
    import fcntl

    libc = ctypes.CDLL(None, use_errno=True)
    allow = Program()
    allow.ret(SECCOMP_RET_ALLOW)
    code = ctypes.create_string_buffer(allow.assemble())
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 1, ctypes.addressof(code)))
    libc.prctl(38, 1, 0, 0, 0)
    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    fd = libc.syscall(X86_64["seccomp"], SECCOMP_SET_MODE_FILTER, flags, program)
    if fd < 0:
        return {errno.EBUSY: _BUSY, errno.EINVAL: _NO_FLAG}.get(ctypes.get_errno(), _REFUSED)
    try:
        fcntl.ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
    except OSError:
        return _NO_SYNC
    return 0


def _notification() -> Iterator[Finding]:
    status = _in_child(_try_listener)
    why = {
        _BUSY: ("another listener watches this process", "only one is possible in a chain: leave the outer sandbox"),
        _NO_FLAG: ("this kernel lacks WAIT_KILLABLE_RECV", "Linux 5.19 or later is needed"),
        _REFUSED: ("refused", "an outer filter denies seccomp(2), or the kernel lacks CONFIG_SECCOMP_FILTER"),
    }
    present = status in {0, _NO_SYNC}
    detail, advice = ("a listener with WAIT_KILLABLE_RECV", "") if present else why.get(status, ("failed", ""))
    yield Finding("seccomp user notification", present, detail, needed=True, advice=advice)
    if present:
        yield Finding(
            "synchronous wake-up",
            status == 0,
            "calls switch directly between guest and supervisor" if status == 0 else "calls take longer",
            advice="Linux 6.6 or later has it",
        )


def _outer_filter() -> Finding:
    beneath = b"\nSeccomp:\t0\n" not in Path("/proc/self/status").read_bytes()
    detail = "beneath one: calls that it may deny take 2 us more" if beneath else "none"
    return Finding("outer seccomp filter", present=True, detail=detail)


# -- access to guests -------------------------------------------------------------------------------------------


def _proc() -> Finding:
    try:
        os.close(os.open("/proc/self/mem", os.O_RDWR))
        present, detail = True, "guest memory is reached through /proc/PID/mem"
    except OSError as error:
        present, detail = False, f"/proc/self/mem: {error.strerror}"
    return Finding("/proc", present, detail, needed=True, advice="mount proc on /proc, with hidepid=0 or 1")


def _yama() -> Finding:
    try:
        scope = int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except (OSError, ValueError):
        return Finding("Yama", present=True, detail="not in the way")
    return Finding(
        "Yama",
        present=scope < 3,
        detail=f"ptrace_scope {scope}" + (", works with user namespaces only" if scope == 2 else ""),
        needed=True,
        advice="ptrace_scope 3 forbids all access to other processes' memory until the next boot",
    )


def _memfd() -> Finding:
    try:
        os.close(os.memfd_create("pylitebox-doctor", os.MFD_CLOEXEC))
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return Finding(
            "memfd, pidfd", present=False, detail=str(error.strerror), needed=True, advice="an outer filter denies them"
        )
    return Finding(
        "memfd, pidfd", present=True, detail="shared memory of guests; handles on their processes", needed=True
    )


def _start() -> Finding:
    """Start guardian and template for real, and end them."""
    try:
        running = launch()
    except StartError as error:
        return Finding("guardian and template", present=False, detail=str(error), needed=True)
    os.close(running.life)
    os.close(running.listener)
    os.waitpid(running.guardian, 0)
    return Finding("guardian and template", present=True, detail="start and end", needed=True)


# -- further walls ----------------------------------------------------------------------------------------------


def landlock_abi() -> int:
    """The host's Landlock ABI; 0 if there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(X86_64["landlock_create_ruleset"], None, 0, L.LANDLOCK_CREATE_RULESET_VERSION)))


def _landlock() -> Finding:
    abi = landlock_abi()
    reach = "files" + (", TCP" if abi >= 4 else "") + (", signals and abstract sockets" if abi >= 6 else "")
    return Finding(
        "wall: Landlock",
        abi > 0,
        f"ABI {abi}: {reach}" if abi else "not in this kernel, or denied",
        advice="a kernel with CONFIG_SECURITY_LANDLOCK and landlock in its lsm= list",
    )


def _namespaces() -> Finding:
    libc = ctypes.CDLL(None, use_errno=True)
    status = _in_child(lambda: 0 if libc.unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0 else ctypes.get_errno())
    detail = "guests see no host process id" if status == 0 else f"refused: {os.strerror(status)}"
    return Finding(
        "wall: user and PID namespace",
        status == 0,
        detail,
        advice="sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_"
        "unprivileged_userns, or the container's seccomp profile decide; nothing depends on it",
    )


def _user() -> Finding:
    uid = os.geteuid()
    detail = "each sandbox takes an unprivileged uid of its own" if uid == 0 else f"guests run as uid {uid}, as you do"
    return Finding(
        "wall: a uid per sandbox",
        present=uid == 0,
        detail=detail,
        advice="only root can give one; Landlock and the filters keep guests from your files without it",
    )
