"""The programs of programs/scale: what each shows, and what a run of one costs, on the host and in the sandbox.

Shared by test_scale.py, which wants equal output and bounded memory, and ``python -m benchmarks.scale``, which
publishes the numbers. The memory is the most that the supervisor held (VmHWM): all that a sandbox costs beyond its
programs'.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SCRIPTS = Path(__file__).parent / "programs" / "scale"
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_EVERY = 0.05  # seconds between two looks at the supervisor's memory


class Scale(NamedTuple):
    """``peak_mib``: what the supervisor may need at the most; ``gate``: quick enough for every run."""

    title: str
    argv: tuple[str, ...]
    peak_mib: int
    gate: bool = True
    workspace: bool = False  # works on a tree of 100,000 files of the host's


def _script(name: str) -> tuple[str, ...]:
    text = (SCRIPTS / name).read_text()
    return ("/usr/bin/python3", "-c", text) if name.endswith(".py") else ("bash", "-c", text)


SCALES = {
    "mapped": Scale("64 MiB mapped by four processes; 4,000 files mapped", _script("mapped.py"), 200),
    "descriptors": Scale("10,000 descriptors in one process", _script("descriptors.py"), 100),
    "processes": Scale("1,000 processes at once", _script("processes.py"), 150),
    "tree": Scale("100,000 files in a tree", _script("tree.sh"), 300),
    "directory": Scale("100,000 files in one directory, and copied", _script("directory.sh"), 500, gate=False),
    "workspace": Scale("100,000 files of a cow workspace", _script("workspace.sh"), 200, workspace=True),
    "sparse": Scale("a sparse file of 4 GiB: holes, copies, archives", _script("sparse.sh"), 100),
    "sparse-whole": Scale("a sparse file of 4 GiB, read 3 times", _script("sparse-whole.sh"), 100, gate=False),
}


def make_tree(directory: Path) -> None:
    """100 directories of 1,000 files each, for every user to see."""
    directory.chmod(0o755)
    for number in range(100):
        below = directory / str(number)
        below.mkdir()
        for name in range(1000):
            (below / str(name)).touch()


class Cost(NamedTuple):
    """What a run gave and took; ``peak_mib`` is 0 where there is no supervisor."""

    status: int
    output: str
    seconds: float
    peak_mib: float


def run(command: Sequence[str], environ: Mapping[str, str], cwd: str, timeout: float = 300) -> Cost:
    """Run a command, watching the memory of the supervisor among its children."""
    start, peak = time.perf_counter(), 0.0
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environ, cwd=cwd, stdout=pipe, stderr=subprocess.STDOUT) as process:
        while True:
            try:
                output = process.communicate(timeout=_EVERY)[0]
                break
            except subprocess.TimeoutExpired:
                peak = max([peak, *_peaks(process.pid)])
                if time.perf_counter() - start > timeout:
                    process.kill()
                    raise
    return Cost(process.returncode, output.decode("utf-8", "replace"), time.perf_counter() - start, peak)


def _peaks(pid: int) -> Iterator[float]:
    """The most memory that each child of a process has held, MiB."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        try:
            found = _PEAK.search(Path(f"/proc/{child}/status").read_text())
        except OSError:
            continue
        if found:
            yield int(found[1]) / 1024
