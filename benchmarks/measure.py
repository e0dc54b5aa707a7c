"""What is measured, and the loop over it: the surroundings take turns, the median of the turns counts."""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pylitebox

if TYPE_CHECKING:
    from benchmarks.surroundings import Surrounding

PYTHON = "/usr/bin/python3"
TIMEOUT = 120
#: All that is kept of the environment: a sandbox has none of it, and it would slow down the host's programs alone (node
#: loads certificates that a variable names).
KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "TMPDIR", "XDG_RUNTIME_DIR")


@dataclass(frozen=True)
class Goal:
    """The project's own: ``who`` takes at most ``us``, or ``times`` as long as ``of``."""

    who: str = "pylitebox"
    us: float | None = None
    times: float | None = None
    of: str = "host"


@dataclass(frozen=True)
class Measurement:
    """``argv`` are the probe's arguments, or with ``program`` a command of its own; what runs prints nanoseconds.
    ``outside``: the whole run is timed instead. ``rounds``: so is the probe with so many rounds, less a run with none,
    by the round: for surroundings whose clock cannot be relied on."""

    name: str
    argv: tuple[str, ...]
    goals: tuple[Goal, ...] = ()
    program: bool = False
    outside: bool = False
    rounds: int = 0


MEASUREMENTS = [
    Measurement("getppid", ("getppid", "20000"), goals=(Goal(us=5),)),
    Measurement("getpgrp", ("getpgrp", "20000")),
    Measurement("stat", ("stat", "10000")),
    Measurement("open+close", ("open+close", "5000")),
    Measurement("pipe ping-pong", ("pipe", "3000")),
    Measurement("fork+wait", ("fork", "100"), goals=(Goal(times=2.5),)),
    Measurement("spawn /bin/true", ("spawn", "50", "/bin/true"), goals=(Goal(times=2.5),)),
    Measurement("python3 -c pass", ("spawn", "5", PYTHON, "-c", "pass"), goals=(Goal(times=2),)),
    Measurement("node -e 0", ("spawn", "3", "/usr/bin/node", "-e", "0"), goals=(Goal(times=2.5),)),
    Measurement("java -version", ("spawn", "3", "/usr/bin/java", "-version")),
    Measurement("ruby -e 0", ("spawn", "3", "/usr/bin/ruby", "-e", "0")),
    Measurement("find 1,300 files", ("spawn", "3", "/usr/bin/find", "/usr/share/zoneinfo")),
    Measurement("cold run of /bin/true", ("/bin/true",), program=True, outside=True),
]
#: Ours alone: a sandbox that exists, against subprocess.run on the host.
WARM = "warm box.run of /bin/true"
#: Ours alone, too: by what the archive is packed with.
ROOTFS = {suffix: f"cold run of busybox true from a root{suffix} of 10,000 files" for suffix in (".tar", ".tar.gz")}

#: name -> surrounding -> nanoseconds, or why there is no number
Results = dict[str, dict[str, "float | str"]]


def measure(
    measurements: list[Measurement], places: list[Surrounding], rounds: int, only: str, progress: Callable[[str], None]
) -> Results:
    """Measure everything whose name contains ``only``, ``rounds`` times in turn."""
    results: Results = {}
    for measurement in measurements:
        if only in measurement.name:
            progress(measurement.name)
            turns = {place.name: _turn(place, measurement) for place in places}
            results[measurement.name] = in_rounds(turns, rounds)
    return results


def count_of(text: str) -> int:
    """A number of rounds as it was typed, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def measure_ours(rounds: int, only: str, progress: Callable[[str], None]) -> Results:
    """What only pylitebox has."""
    results: Results = {}
    if only in WARM:
        progress(WARM)
        results[WARM] = _warm(rounds)
    for suffix, title in ROOTFS.items():
        if only in title:
            progress(title)
            results[title] = _rootfs(suffix, rounds)
    return results


def _rootfs(suffix: str, rounds: int) -> dict[str, float | str]:
    busybox = shutil.which("busybox")
    if busybox is None:
        return {"pylitebox": "busybox is missing: apt-get install busybox-static"}
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/root{suffix}"
        with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w") as archive:
            archive.add(busybox, "bin/busybox")
            for number in range(10_000):
                info = tarfile.TarInfo(f"usr/share/{number // 100}/{number}")
                info.size = 4000
                archive.addfile(info, io.BytesIO(b"content\n" * 500))
        ours = [sys.executable, "-m", "pylitebox", "run", f"--rootfs={path}", "--", "/bin/busybox", "true"]
        return in_rounds({"pylitebox": lambda: _timed(lambda: run(ours))}, rounds)


def _turn(place: Surrounding, measurement: Measurement) -> Callable[[], float]:
    command = [*place.prefix, *(() if measurement.program else (place.probe,)), *measurement.argv]

    def turn() -> float:
        if place.missing:
            raise RuntimeError(place.missing)
        if measurement.outside:
            return _timed(lambda: run(command))
        if measurement.rounds:
            whole = _timed(lambda: run([*command, str(measurement.rounds)]))
            taken = whole - _timed(lambda: run([*command, "0"]))
            if taken <= 0:
                raise RuntimeError("starts differ by more than the whole measurement")
            return taken / measurement.rounds
        if not place.clock:
            raise RuntimeError("there is no clock inside to rely on")
        return float(run(command))

    return turn


def run(argv: list[str]) -> str:
    """The output of a command; RuntimeError if it fails."""
    environ = {name: os.environ[name] for name in KEPT if name in os.environ}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False, env=environ)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise RuntimeError(f"status {done.returncode}: {last[:100]}")
    return done.stdout


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return float(time.perf_counter_ns() - start)


def in_rounds(turns: dict[str, Callable[[], float]], rounds: int) -> dict[str, float | str]:
    """The median of what each turn gives, or why it gave nothing."""
    taken: dict[str, list[float]] = {name: [] for name in turns}
    wrong: dict[str, str] = {}
    for _ in range(rounds):
        for name, turn in turns.items():
            if name not in wrong:
                try:
                    taken[name].append(turn())
                except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
                    wrong[name] = str(error)
    return {name: wrong.get(name) or statistics.median(taken[name]) for name in turns}


def _warm(rounds: int) -> dict[str, float | str]:
    try:
        with pylitebox.Sandbox() as box:
            box.run(["/bin/true"], check=True)
            turns: dict[str, Callable[[], float]] = {
                "host": lambda: _timed(lambda: subprocess.run(["/bin/true"], check=True)),
                "pylitebox": lambda: _timed(lambda: box.run(["/bin/true"], check=True)),
            }
            return in_rounds(turns, rounds * 10)
    except (OSError, subprocess.SubprocessError) as error:
        return {"pylitebox": str(error)}
