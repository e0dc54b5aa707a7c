"""What the suite must know of a platform: one small class for each, in a file of subjects/.

A platform that is added to pylitebox adds a file there with a ``SUBJECT``, and the whole suite runs on it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol


class Streams(Protocol):
    """Two console streams, and what is at their other ends."""

    input: Any  # HostStreams
    output: Any

    def feed(self, data: bytes) -> None: ...
    def end(self) -> None: ...
    def taken(self) -> bytes:
        """What was written, which makes room for more."""
        ...

    def hang_up(self) -> None: ...
    def close(self) -> None: ...


class PipeStreams:
    """Pipes of this process."""

    def __init__(self, platform: Any) -> None:
        from pylitebox.south.streams import FdStream

        reads, self._feeds = os.pipe()
        self._takes, writes = os.pipe()
        for fd in (reads, writes, self._takes):
            os.set_blocking(fd, False)
        self.input = FdStream(platform, reads, readable=True, writable=False)
        self.output = FdStream(platform, writes, readable=False, writable=True)
        self._open = {self._feeds, self._takes}

    def feed(self, data: bytes) -> None:
        os.write(self._feeds, data)

    def end(self) -> None:
        self._close(self._feeds)

    def taken(self) -> bytes:
        return os.read(self._takes, 1 << 20)

    def hang_up(self) -> None:
        self._close(self._takes)

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)

    def close(self) -> None:
        self.input.close()
        self.output.close()
        self.end()
        self.hang_up()


class Subject:
    """One platform under test."""

    #: As in the tests' ids.
    name: str
    #: What the platform does not do, by the features that tests name (``@needs``), with the reason. Such a test must
    #: fail there: a lack that has been mended is noticed.
    lacks: Mapping[str, str] = {}
    #: As ``lacks``, where the test cannot even be tried.
    cannot: Mapping[str, str] = {}

    def missing(self) -> str | None:
        """Why it cannot run on this machine; None if it can."""
        return None

    def make(self, *, memory: int | None = None) -> Any:
        """A new platform, to which events are attached next. ``memory``: bytes for all guests, if it has a bound."""
        raise NotImplementedError

    def start(self, platform: Any) -> None:
        """Whatever comes between ``attach`` and the first ``poll``."""
        platform.start()

    def enterable(self, platform: Any, addresses: Iterable[int]) -> None:
        """Guest code may be entered at these addresses: by ``load``, or from a safe point. A CPU need not be told."""

    def strike(self, platform: Any, thread: Any) -> None:
        """Let the host end the guest process of a thread (feature "strike")."""
        raise NotImplementedError

    def streams(self, platform: Any) -> Streams:
        """Console streams that wait by this platform."""
        return PipeStreams(platform)

    def close(self, platform: Any) -> None:
        platform.close()


def subjects() -> list[Subject]:
    """Those of all files in subjects/."""
    names = sorted(path.stem for path in (Path(__file__).parent / "subjects").glob("*.py"))
    modules = [importlib.import_module(f"tests.south.conformance.subjects.{name}") for name in names]
    return [subject for module in modules for subject in module.SUBJECTS]
