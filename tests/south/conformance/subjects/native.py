"""The native platform, without a supervisor's walls."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

from pylitebox.supervisor.platforms import PlatformError, choose
from tests.south.conformance.subject import Subject


class Native(Subject):
    name = "native"
    lacks: Mapping[str, str] = {
        "read protection": "guest memory is read by /proc/PID/mem, which ignores page protections (half the cost)",
    }
    cannot: Mapping[str, str] = {
        "little memory": "guests have the host's memory; RLIMIT_AS bounds what they map",
    }

    def missing(self) -> str | None:
        try:
            choose(self.name)
        except PlatformError as error:
            return str(error)
        return None

    def make(self, *, memory: int | None = None) -> Any:
        from pylitebox.south.native.platform import NativePlatform

        return NativePlatform()

    def strike(self, platform: Any, thread: Any) -> None:
        os.kill(thread.process.tgid, signal.SIGKILL)


SUBJECTS = [Native()]
