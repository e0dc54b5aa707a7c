"""``python -m benchmarks.platforms [--rounds N] [--only TEXT] [--qiling PYTHON] [--output DIRECTORY]``

Our platforms side by side, with the host, and with Qiling, which is an emulator of the same kind as ours: what a call
costs, what computing costs, how long starts take, and how much memory a small sandbox needs.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import memory, report
from benchmarks.measure import KEPT, PYTHON, TIMEOUT, Goal, Measurement, Results, count_of, in_rounds, measure, run
from benchmarks.surroundings import GUEST, Surrounding, build_probe

OURS = ("native", "emulator", "kvm")
BUSYBOX = "/bin/busybox"
_LOOP = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done"
_ECHO = "for i in 1 2 3 4 5 6 7 8 9 0; do for j in 1 2 3 4 5 6 7 8 9 0; do echo $i $j; done; done"
_CLOCK = "from time import perf_counter_ns as now; "
#: Both do it once before it counts: what is touched then is there, and translated.
_SHA256 = f"""{_CLOCK}import hashlib; d = b"x" * 2_000_000; f = lambda: hashlib.sha256(d)
f(); t = now(); f(); print((now() - t) / 2000)"""
_PYTHON = f"""{_CLOCK}f = lambda: sum(i * i % 7 for i in range(100_000))
f(); t = now(); f(); print((now() - t) / 100_000)"""
_FASTER = Goal("emulator", times=1, of="qiling")

MEASUREMENTS = [
    Measurement("a call (getppid)", ("getppid", "20000"), goals=(Goal("emulator", us=4),)),
    Measurement(
        "the same, timed from outside", ("getppid",), rounds=40_000, goals=(Goal("emulator", times=0.2, of="qiling"),)
    ),
    Measurement("stat", ("stat", "2000")),
    Measurement("open+close", ("open+close", "1000")),
    Measurement("a page, touched first", ("fault", "4000")),
    Measurement("fork+wait", ("fork", "20")),
    Measurement("spawn /bin/true", ("spawn", "5", "/bin/true")),
    Measurement("python3 -c pass", ("spawn", "2", PYTHON, "-c", "pass")),
    Measurement("1,000 steps: integer", ("integer", "2000"), goals=(Goal("kvm", times=1.05),)),
    Measurement("1,000 steps: float", ("float", "1000"), goals=(Goal("kvm", times=1.05),)),
    Measurement("1,000 steps: memory, all over 4 MiB", ("memory", "1000")),
    Measurement("sha256 of 1,000 bytes", (PYTHON, "-c", _SHA256), program=True),
    Measurement("a step of a loop of Python's", (PYTHON, "-c", _PYTHON), program=True),
    Measurement("1,000 integer steps, timed from outside", ("integer",), rounds=300_000, goals=(_FASTER,)),
    Measurement("cold run of busybox true", (BUSYBOX, "true"), program=True, outside=True, goals=(_FASTER,)),
    Measurement("busybox sh -c: 3,000 steps of a loop", (BUSYBOX, "sh", "-c", _LOOP), program=True, outside=True,
                goals=(_FASTER,)),
    Measurement("busybox sh -c: 100 echoes", (BUSYBOX, "sh", "-c", _ECHO), program=True, outside=True,
                goals=(_FASTER,)),
    Measurement("bash -c: 50 times /bin/true", ("/bin/bash", "-c", "for i in {1..50}; do /bin/true; done"),
                program=True, outside=True),
]  # fmt: skip

#: From within Python, by the modules of benchmarks/inside: title -> platform -> module and arguments.
INSIDE: dict[str, dict[str, tuple[str, ...]]] = {
    "a hook of Unicorn's that does nothing": {"emulator": ("emulator_hook",)},
    "the same, reading a call and writing its result": {"emulator": ("emulator_hook", "registers")},
    "a CPU made, to its first instruction of user mode": {"emulator": ("emulator_start",), "kvm": ("kvm_start",)},
}
INSIDE_GOALS = {"a CPU made, to its first instruction of user mode": (Goal("kvm", us=5000),)}

#: A shell and its child, both dynamic.
MEMORY = "supervisor and guests of bash -c 'sleep 0.5; :'"
_SMALL = ("/bin/bash", "-c", "sleep 0.5; :")


def places(directory: Path, qiling: str | None) -> list[Surrounding]:
    """The host, our platforms, Qiling; what is missing fails with the reason."""
    probe = str(directory / "probe")
    found = [Surrounding("host", (), probe)]
    for name in OURS:
        ours = (sys.executable, "-m", "pylitebox", "run", f"--platform={name}", f"--mount={directory}:{GUEST}:ro", "--")
        found.append(Surrounding(name, ours, f"{GUEST}/probe"))
    script = str(Path(__file__).with_name("qiling_guest.py"))
    if qiling is None and importlib.util.find_spec("qiling") is not None:
        qiling = sys.executable
    if qiling is not None:
        found.append(Surrounding("qiling", (qiling, script), probe, clock=False))
    else:
        missing = "Qiling is missing: pip install qiling==1.4.6 in a venv, and --qiling with its python"
        found.append(Surrounding("qiling", (), probe, missing=missing))
    return found


def inside(modules: dict[str, tuple[str, ...]], rounds: int) -> dict[str, float | str]:
    turns: dict[str, Callable[[], float]] = {
        name: partial(_printed, [sys.executable, "-m", f"benchmarks.inside.{module}", *arguments])
        for name, (module, *arguments) in modules.items()
    }
    return in_rounds(turns, rounds)


def _printed(command: list[str]) -> float:
    return float(run(command))


def memories(where: list[Surrounding], rounds: int) -> dict[str, float | str]:
    environ = {name: os.environ[name] for name in KEPT if name in os.environ}
    turns: dict[str, Callable[[], float]] = {
        place.name: partial(memory.peak, [*place.prefix, *_SMALL], environ, TIMEOUT)
        for place in where if place.name in OURS
    }  # fmt: skip
    return in_rounds(turns, rounds)


def kvm_kind() -> str:
    """What the virtual machine's self-test says of this host."""
    from pylitebox.south.kvm.host import HypervisorError
    from pylitebox.south.kvm.platform import probe

    try:
        return str(probe())
    except HypervisorError as error:
        return str(error)


def progress(title: str) -> None:
    print(f"measuring {title}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.platforms", description="Measure our platforms.")
    parser.add_argument("--rounds", type=count_of, default=3, help="how often each surrounding takes its turn (3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only measurements whose name contains TEXT")
    parser.add_argument("--qiling", metavar="PYTHON", help="a Python that has Qiling")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="write platforms.md and platforms.json there")
    options = parser.parse_args()
    sizes: Results = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        build_probe(directory)
        where = places(directory, options.qiling)
        results = measure(MEASUREMENTS, where, options.rounds, options.only, progress)
        for title, modules in INSIDE.items():
            if options.only in title:
                progress(title)
                results[title] = inside(modules, options.rounds)
        if options.only in MEMORY:
            progress(MEMORY)
            sizes[MEMORY] = memories(where, options.rounds)
    goals = {measurement.name: measurement.goals for measurement in MEASUREMENTS} | INSIDE_GOALS
    about = f"{report.machine()}\n\nkvm: {kvm_kind()}"
    text = f"{about}\n\n{report.to_markdown(results, goals)}"
    if sizes:
        text += f"\n{report.to_markdown(sizes, {}, show=report.size)}"
    print(text, end="")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "platforms.md").write_text(text)
        (options.output / "platforms.json").write_text(report.to_json(about, nanoseconds=results, bytes=sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
