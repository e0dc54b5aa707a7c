"""``python -m benchmarks [--rounds N] [--only TEXT] [--output DIRECTORY]``: prints the table of report.py."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.measure import MEASUREMENTS, count_of, measure, measure_ours
from benchmarks.surroundings import build_probe, surroundings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure host, pylitebox and others.")
    parser.add_argument("--rounds", type=count_of, default=5, help="how often each surrounding takes its turn (5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only measurements whose name contains TEXT")
    parser.add_argument("--output", type=Path, metavar="DIRECTORY", help="write results.md and results.json there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        build_probe(directory)
        progress = lambda title: print(f"measuring {title}", file=sys.stderr)  # noqa: E731
        results = measure(MEASUREMENTS, surroundings(directory), options.rounds, options.only, progress)
    results |= measure_ours(options.rounds, options.only, progress)
    goals = {measurement.name: measurement.goals for measurement in MEASUREMENTS}
    table = f"{report.machine()}\n\n{report.to_markdown(results, goals)}"
    print(table, end="")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "results.md").write_text(table)
        (options.output / "results.json").write_text(report.to_json(report.machine(), nanoseconds=results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
