"""The emulator platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.south.conformance.subject import Subject


class Emulator(Subject):
    name = "emulator"
    lacks: Mapping[str, str] = {
        "coherent files": "pages of host files are copies, which write(2) does not change (south/paging/content.py)",
        "address of data": "a fill of Unicorn's TLB is told the page only",
    }
    cannot: Mapping[str, str] = {"strike": "guests are no processes of the host"}

    def missing(self) -> str | None:
        from pylitebox.south.emulator.engine import EngineError, library

        try:
            library()
        except EngineError as error:
            return str(error)
        return None

    def make(self, *, memory: int | None = None) -> Any:
        from pylitebox.south.emulator.platform import EmulatorPlatform

        return EmulatorPlatform(memory=memory or 64 << 20)


SUBJECTS = [Emulator()]
