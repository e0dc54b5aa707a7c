"""The results as a table of times and ratios to the host, and as JSON."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

from benchmarks.measure import MEASUREMENTS, Results


def machine() -> str:
    """What the numbers were taken on."""
    cpu = next((line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"Linux {platform.release()}, {os.cpu_count()} CPUs ({cpu.strip()}), Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def to_markdown(results: Results) -> str:
    """Times, in brackets the ratio to the host; failures below the table."""
    names = list(dict.fromkeys(name for row in results.values() for name in row))
    lines = [machine(), "", f"| | {' | '.join(names)} | goal |", f"| --- |{' ---: |' * len(names)} --- |"]
    notes = []
    for title, row in results.items():
        cells = []
        for name in names:
            value = row.get(name, "")
            if isinstance(value, str):
                cells.append("none")
                if value:
                    notes.append(f"- {name}, {title}: {value}")
            else:
                ratio = row.get("host")
                times = f" ({value / ratio:.2f})" if isinstance(ratio, float) and name != "host" else ""
                cells.append(duration(value) + times)
        lines.append(f"| {title} | {' | '.join(cells)} | {verdict(title, row)} |")
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def verdict(title: str, row: dict[str, float | str]) -> str:
    """Whether the project's own goal is met."""
    goal = next((m for m in MEASUREMENTS if m.name == title), None)
    ours, host = row.get("pylitebox"), row.get("host")
    if goal is None or not isinstance(ours, float):
        return ""
    if goal.most_us is not None:
        return f"≤ {goal.most_us:g} µs: {'met' if ours <= goal.most_us * 1000 else 'missed'}"
    if goal.most_ratio is not None and isinstance(host, float):
        return f"≤ {goal.most_ratio:g}: {'met' if ours <= goal.most_ratio * host else 'missed'}"
    return ""


def duration(ns: float) -> str:
    """Three figures and a unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def to_json(results: Results) -> str:
    """Nanoseconds by measurement and surrounding; a string is why there is none."""
    return json.dumps({"machine": machine(), "nanoseconds": results}, indent=2, ensure_ascii=False) + "\n"
