"""The suite's own platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.south.conformance.minimal import MinimalPlatform
from tests.south.conformance.subject import Subject


class Minimal(Subject):
    name = "minimal"
    cannot: Mapping[str, str] = {
        "strike": "guests are no processes of the host",
        "little memory": "its memory has no bound",
    }

    def make(self, *, memory: int | None = None) -> Any:
        return MinimalPlatform()


SUBJECTS = [Minimal()]
