"""``python -m benchmarks.scale [NAME...]``: large numbers of everything, host against ours, as a markdown table.

The programs, and what counts as the memory of a sandbox, are those of tests/guest/scale.py. Run it from a checkout.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.report import machine
from tests.guest.harness import ENVIRON
from tests.guest.scale import SCALES, Cost, Scale, make_tree, run


def main(names: list[str]) -> int:
    print(f"{machine()}\n\n| | host | pylitebox | ratio | supervisor's memory |\n| --- | ---: | ---: | ---: | ---: |")
    failed = 0
    for scale in [SCALES[name] for name in names or SCALES]:
        host, ours = _measure(scale, inside=False), _measure(scale, inside=True)
        equal = (host.status, host.output) == (ours.status, ours.output)
        failed += not equal
        times = f"{host.seconds:.2f} s | {ours.seconds:.2f} s | {ours.seconds / host.seconds:.1f}"
        memory = f"{ours.peak_mib:.0f} MiB{'' if equal else ', DIFFERENT OUTPUT'}"
        print(f"| {scale.title} | {times} | {memory} |", flush=True)
    return int(failed > 0)


def _measure(scale: Scale, *, inside: bool) -> Cost:
    with tempfile.TemporaryDirectory() as name:
        if scale.workspace:
            make_tree(Path(name))
        if not inside:
            return run(scale.argv, ENVIRON, name)
        where = [f"--mount={name}:/ws:cow", "--cwd=/ws"] if scale.workspace else ["--cwd=/tmp"]
        environ = [f"--env={key}={value}" for key, value in ENVIRON.items()]
        command = [sys.executable, "-m", "pylitebox", "run", *where, *environ, "--", *scale.argv]
        return run(command, ENVIRON, str(Path.cwd()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
