"""Linux's errors as the host's: the same name has another number on another operating system."""

from __future__ import annotations

import errno
import os

from pylitebox.abi import errno as E


def host_error(number: int) -> tuple[int, str]:
    """The host's number and text of one of Linux's errors; EIO, with the name in the text, for one it doesn't have."""
    name = E.NAMES.get(number, f"error {number}")
    host = getattr(errno, name, None)
    if host is None:
        return errno.EIO, f"{os.strerror(errno.EIO)} ({name})"
    return host, os.strerror(host)
