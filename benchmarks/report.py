"""The results as a table of times and ratios to the host, and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.measure import Goal, Results


def machine() -> str:
    """What the numbers were taken on."""
    cpu = next((line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"Linux {platform.release()}, {os.cpu_count()} CPUs ({cpu.strip()}), Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def to_markdown(
    results: Results, goals: dict[str, tuple[Goal, ...]], show: Callable[[float], str] | None = None
) -> str:
    """Numbers, in brackets the ratio to the host; what failed is said below the table."""
    show = show or duration
    names = list(dict.fromkeys(name for row in results.values() for name in row))
    lines = [f"| | {' | '.join(names)} | goal |", f"| --- |{' ---: |' * len(names)} --- |"]
    notes: dict[str, list[str]] = {}
    for title, row in results.items():
        cells = []
        for name in names:
            value = row.get(name, "")
            if isinstance(value, str):
                cells.append("none")
                if value:
                    notes.setdefault(f"{name}: {value}", []).append(title)
            else:
                ratio = row.get("host")
                times = f" ({value / ratio:.2f})" if isinstance(ratio, float) and name != "host" else ""
                cells.append(show(value) + times)
        verdicts = "; ".join(filter(None, (verdict(goal, row) for goal in goals.get(title, ()))))
        lines.append(f"| {title} | {' | '.join(cells)} | {verdicts} |")
    below = [f"- {note} ({', '.join(titles)})" for note, titles in notes.items()]
    return "\n".join([*lines, "", *below]).rstrip() + "\n"


def verdict(goal: Goal, row: dict[str, float | str]) -> str:
    """Whether a goal is met; nothing where it cannot be said."""
    ours, other = row.get(goal.who), row.get(goal.of)
    who = "" if goal.who == "pylitebox" else f"{goal.who} "
    if not isinstance(ours, float):
        return ""
    if goal.us is not None:
        return f"{who}≤ {goal.us:g} µs: {'met' if ours <= goal.us * 1000 else 'missed'}"
    if goal.times is not None and isinstance(other, float):
        of = "" if goal.of == "host" else f" of {goal.of}"
        return f"{who}≤ {goal.times:g}{of}: {'met' if ours <= goal.times * other else 'missed'}"
    return ""


def size(count: float) -> str:
    """Bytes as MiB."""
    return f"{count / (1 << 20):.1f} MiB"


def duration(ns: float) -> str:
    """Three figures and a unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def to_json(about: str, **results: Results) -> str:
    """By unit: numbers by measurement and surrounding; a string is why there is none."""
    return json.dumps({"machine": about, **results}, indent=2, ensure_ascii=False) + "\n"
