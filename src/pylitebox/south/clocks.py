"""The host's clocks and randomness: what every platform on a real host takes from it in the same way."""

from __future__ import annotations

import os
import time


class HostClocks:
    """That part of Platform (the contract)."""

    #: A descriptor of /dev/urandom, for a process that may not call getrandom(2).
    urandom: int | None = None

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def realtime_ns(self) -> int:
        return time.time_ns()

    def random(self, size: int) -> bytes:
        if self.urandom is None:
            return os.urandom(size)
        parts = []
        while size > 0:
            parts.append(os.read(self.urandom, size))
            size -= len(parts[-1])
        return b"".join(parts)
