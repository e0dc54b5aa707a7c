"""How much memory a sandbox takes: the most that its processes had at a time, supervisor and guests, sampled.

What counts is the proportional share (PSS, proc(5)): a page that several processes have is counted once. The client,
which is whoever wanted the sandbox, is not counted.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_EVERY = 0.01  # seconds between two looks
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def peak(command: list[str], environ: dict[str, str], timeout: float) -> float:
    """Run a command; the bytes of what it started, RuntimeError if nobody may see them."""
    most = 0.0
    nowhere, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command, env=environ, stdout=nowhere, stderr=pipe, text=True) as process:
        end = time.monotonic() + timeout
        while process.poll() is None:
            most = max(most, sum(_share(pid) for pid in below(process.pid)))
            if time.monotonic() > end:
                process.kill()
            time.sleep(_EVERY)
        if process.returncode:
            assert process.stderr is not None
            last = process.stderr.read().strip().rpartition("\n")[2]
            raise RuntimeError(f"status {process.returncode}: {last[:100]}")
    if not most:
        raise RuntimeError("this user may not see the memory of the sandbox's processes")
    return most


def below(pid: int) -> Iterator[int]:
    """All processes that descend from one."""
    try:
        children = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:  # it is gone
        return
    for child in map(int, itertools.chain(*children)):
        yield child
        yield from below(child)


def _share(pid: int) -> float:
    try:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
