"""Waiting for readiness of several files at once: what poll(2) and select(2) share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylitebox.kernel.wait import Wait

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pylitebox.kernel.fs.file import File

#: A file and the POLL* events that count (POLLERR and POLLHUP only if they are named); an int in place of the file is
#: the answer itself (POLLNVAL, or 0).
Entry = tuple["File | int", int]


def scan(entries: Sequence[Entry]) -> list[int]:
    """What each entry has to report now."""
    return [file if isinstance(file, int) else file.poll() & events for file, events in entries]


def wait(entries: Sequence[Entry], deadline: int | None, restart: int) -> Generator[Wait, bool, list[int]]:
    """Wait until an entry has something to report or ``deadline`` (monotonic ns) passes, then report.

    The files are held, so that one whose descriptor is closed meanwhile is not released while it is polled.
    """
    files = {file: None for file, _ in entries if not isinstance(file, int)}
    for file in files:
        file.references += 1
    try:
        while True:
            answers = scan(entries)
            if any(answers):
                return answers
            # asked for anew each time, since a host stream's queue is armed by the asking
            queues = {queue: None for file in files for queue in file.wait_queues()}
            if not (yield Wait(*queues, deadline=deadline, restart=restart)):
                return scan(entries)
    finally:
        for file in files:
            file.put()
