"""Starting the guardian and the template: two processes of the stub program.

The guardian is a child of this process; it forks the template, which sends the notification descriptor over the
control socket and then takes orders by notifications alone. The guardian holds the read end of the *life* pipe, whose
only write end is ours: it ends every guest when we are gone, however that came about.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from pylitebox.south.native import filters, surface
from pylitebox.south.start import StartError

if TYPE_CHECKING:
    from pathlib import Path

_CODE_SIZE = 1500 * 8
_CONFIG = struct.Struct("<3Q3QQQQ")


#: The stub program that was built with the package.
STUB = os.path.join(os.path.dirname(__file__), "stub")


class NamespacesRefused(StartError):
    """The host grants no new namespaces here (user.max_user_namespaces, a container's profile, AppArmor)."""


#: The guardian's exit status when unshare(2) was refused (EXIT_STARTUP + 5 in the stub).
_EXIT_NAMESPACES = 125


def stub_path() -> Path:
    """The stub program that was built with the package."""
    from pathlib import Path

    return Path(STUB)


class Launch:
    """The running guardian and template."""

    def __init__(self, guardian: int, listener: int, life: int) -> None:
        self.guardian = guardian
        self.listener = listener
        self.life = life


def launch(
    stub: str | None = None,
    *,
    landlock: tuple[int, int, int] = (0, 0, 0),
    namespaces: int = 0,
    address_space: int = 0,
    local: bool = True,
) -> Launch:
    """Start both; StartError. ``landlock``: the attributes of a ruleset without rules for them, zeros for none;
    ``namespaces``: CLONE_NEW* flags of namespaces around the guests; ``address_space``: RLIMIT_AS of each guest;
    ``local``: whether the stub answers calls itself where it can."""
    path = stub or STUB
    if not os.access(path, os.X_OK):
        raise StartError(
            f"the stub program {path} is missing: "
            "install a Linux x86-64 wheel, or a C compiler and reinstall the package"
        )
    # Without a filter above ours nothing outranks a notification, and the stub need not forward.
    direct = surface.OFTEN if not _beneath_filter() else ()
    codes = (filters.guest_filter(direct), filters.startup_filter(), filters.guardian_filter())
    code = b"".join(codes)
    if len(code) > _CODE_SIZE:
        raise StartError("the compiled filters are longer than the stub can take")
    config = _CONFIG.pack(*(len(c) // 8 for c in codes), *landlock, namespaces, address_space, local)
    config += code.ljust(_CODE_SIZE, b"\0")
    ours, theirs = socket.socketpair()
    life_read, life_write = os.pipe2(os.O_CLOEXEC)
    try:
        # Descriptors 3 and 4 may be ours already: move out of the way first, so that no dup2 covers another.
        low = [os.dup(fd) for fd in (theirs.fileno(), life_read)]
        high = [_dup_above(fd, 10) for fd in low]
        for fd in low:
            os.close(fd)
        guardian = os.posix_spawn(
            path,
            ["pylitebox-stub"],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, high[0], 3),
                (os.POSIX_SPAWN_DUP2, high[1], 4),
            ],
        )
        for fd in high:
            os.close(fd)
        theirs.close()
        ours.settimeout(10)
        ours.sendall(config)
        try:
            message, fds, _, _ = socket.recv_fds(ours, 8, 1)
        except TimeoutError:
            raise StartError("the template did not start within 10 seconds") from None
    except OSError as error:
        os.close(life_write)
        raise StartError(f"the stub program {path} cannot be started: {error.strerror}") from error
    finally:
        os.close(life_read)
        ours.close()
    if not fds:
        os.close(life_write)
        if os.waitstatus_to_exitcode(os.waitpid(guardian, 0)[1]) == _EXIT_NAMESPACES:
            raise NamespacesRefused("the host refuses new namespaces here; `pylitebox doctor` says why")
        raise StartError(_explain(message))
    os.set_inheritable(fds[0], False)
    return Launch(guardian, fds[0], life_write)


def _beneath_filter() -> bool:
    """Whether a seccomp filter that we did not install applies to this process."""
    with open("/proc/self/status", "rb") as file:
        return b"\nSeccomp:\t0\n" not in file.read()


def _dup_above(fd: int, lowest: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)


def _explain(message: bytes) -> str:
    if len(message) < 8:
        return "the template ended while it was starting (is seccomp or Landlock denied here?)"
    code = -int.from_bytes(message, "little", signed=True)
    if code == 16:
        return "another seccomp listener watches this process already (EBUSY): only one is possible in a chain"
    if code == 22:
        return "this kernel lacks seccomp user notification with WAIT_KILLABLE_RECV (Linux 5.19 or later is needed)"
    return f"seccomp user notification is refused here: {os.strerror(code)}"


def auxiliary_vector(pid: int) -> dict[int, int]:
    """The auxiliary vector of a process."""
    with open(f"/proc/{pid}/auxv", "rb") as file:
        data = file.read()
    words = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])
    return dict(zip(words[::2], words[1::2], strict=True))


def initial_stack(pid: int) -> tuple[int, int]:
    """Start and end of the stack that the host made for a process."""
    with open(f"/proc/{pid}/maps", "rb") as file:
        for line in file:
            if line.rstrip().endswith(b"[stack]"):
                start, _, end = line.split()[0].partition(b"-")
                return int(start, 16), int(end, 16)
    raise StartError("the template has no stack")
