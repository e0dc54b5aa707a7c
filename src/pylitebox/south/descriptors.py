"""How the host's descriptors of one supervisor are divided: half for the files that guests open and map, the rest for
what their processes take and for the supervisor itself. So a guest that opens all it can gets ENFILE, and never keeps
the supervisor from starting, watching or ending a process.
"""

from __future__ import annotations

import os

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError

#: Directories kept open (hostfiles.py), mounts, the streams of programs, what the supervisor was given.
_OWN = 256
#: Of each process: its memory and its pidfd.
_OF_A_PROCESS = 2

#: Where a virtual machine and its CPU are, so that the supervisor's filter can name them.
KVM_VM, KVM_CPU = 250, 251

_limit = 1 << 30


def divide() -> int:
    """Bound the descriptors of files from now on; how many processes the rest is enough for."""
    global _limit  # noqa: PLW0603 - one supervisor is one process
    import resource  # here, so that the tables of what is allowed can be shown anywhere

    every = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20)
    _limit = every // 2
    return max((every - _limit - _OWN) // _OF_A_PROCESS, 1)


def for_a_file(fd: int) -> int:
    """The descriptor; ENFILE, and it is closed, if it is one too many. The host gives the lowest free number: one
    beyond the bound says that so many are open."""
    if fd >= _limit:
        os.close(fd)
        raise KernelError(E.ENFILE)
    return fd
