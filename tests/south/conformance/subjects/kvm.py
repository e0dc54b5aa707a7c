"""The kvm platform. Its tick is a signal of the process, which pytest's other threads would take: here a thread sends
it to the one that runs the loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from typing import Any
from unittest import mock

from tests.south.conformance.subject import Subject


class Kvm(Subject):
    name = "kvm"
    lacks: Mapping[str, str] = {
        "coherent files": "pages of host files are copies, which write(2) does not change (south/paging/content.py)",
    }
    cannot: Mapping[str, str] = {
        "strike": "guests are no processes of the host",
        "two in a process": "its tick is a signal of the process, which one machine can have",
    }

    def __init__(self) -> None:
        self._missing: str | None = None
        self._asked = False
        self._done = threading.Event()
        self._ticker: threading.Thread | None = None

    def missing(self) -> str | None:
        if not self._asked:
            self._asked = True
            from pylitebox.south.kvm.host import HypervisorError
            from pylitebox.south.kvm.platform import probe

            try:
                probe()
            except HypervisorError as error:
                self._missing = str(error)
        return self._missing

    def make(self, *, memory: int | None = None) -> Any:
        from pylitebox.south.kvm.platform import KvmPlatform

        return KvmPlatform(memory=memory or 64 << 20)

    def start(self, platform: Any) -> None:
        from pylitebox.south.kvm.host import TICK_SIGNAL
        from pylitebox.south.kvm.platform import TICK_S

        with mock.patch("signal.setitimer"):
            platform.start()
        loop, self._done = threading.get_ident(), threading.Event()

        def tick(done: threading.Event) -> None:
            while not done.wait(TICK_S):
                signal.pthread_kill(loop, TICK_SIGNAL)

        self._ticker = threading.Thread(target=tick, args=[self._done])
        self._ticker.start()

    def close(self, platform: Any) -> None:
        self._done.set()
        if self._ticker is not None:
            self._ticker.join()
            self._ticker = None
        platform.close()


SUBJECTS = [Kvm()]
