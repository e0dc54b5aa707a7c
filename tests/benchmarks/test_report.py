"""What the benchmarks make of their numbers, and of what they could not measure."""

from __future__ import annotations

import json

import pytest

from benchmarks import report
from benchmarks.measure import Goal

ROW: dict[str, float | str] = {
    "host": 100.0, "pylitebox": 4000.0, "emulator": 3000.0, "qiling": 30_000.0, "kvm": "no /dev/kvm",
}  # fmt: skip


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        (Goal(us=5), "≤ 5 µs: met"),
        (Goal(us=3), "≤ 3 µs: missed"),
        (Goal(times=50), "≤ 50: met"),
        (Goal(times=2.5), "≤ 2.5: missed"),
        (Goal("emulator", us=4), "emulator ≤ 4 µs: met"),
        (Goal("emulator", times=0.2, of="qiling"), "emulator ≤ 0.2 of qiling: met"),
        (Goal("emulator", times=0.05, of="qiling"), "emulator ≤ 0.05 of qiling: missed"),
        (Goal("kvm", us=5000), ""),
        (Goal("emulator", times=1, of="kvm"), ""),
        (Goal("nobody", us=1), ""),
    ],
)
def test_a_goal_is_met_or_missed_or_nothing_is_said(goal: Goal, said: str) -> None:
    assert report.verdict(goal, ROW) == said


def test_the_table_has_ratios_goals_and_reasons() -> None:
    results = {"a call": ROW, "another": {"kvm": "no /dev/kvm", "host": 2e6}}
    assert report.to_markdown(results, {"a call": (Goal(us=5), Goal("emulator", us=1))}) == """\
| | host | pylitebox | emulator | qiling | kvm | goal |
| --- | ---: | ---: | ---: | ---: | ---: | --- |
| a call | 100 ns | 4 µs (40.00) | 3 µs (30.00) | 30 µs (300.00) | none | ≤ 5 µs: met; emulator ≤ 1 µs: missed |
| another | 2 ms | none | none | none | none |  |

- kvm: no /dev/kvm (a call, another)
"""


def test_sizes() -> None:
    table = report.to_markdown({"memory": {"native": 3.25 * (1 << 20)}}, {}, show=report.size)
    assert "| memory | 3.2 MiB |  |" in table


@pytest.mark.parametrize(("ns", "said"), [(0.5, "0.5 ns"), (97.42, "97.4 ns"), (5520, "5.52 µs"), (2e9, "2 s")])
def test_durations_have_three_figures(ns: float, said: str) -> None:
    assert report.duration(ns) == said


def test_json_has_the_numbers_as_they_are() -> None:
    parsed = json.loads(report.to_json("a machine", nanoseconds={"a call": ROW}))
    assert parsed == {"machine": "a machine", "nanoseconds": {"a call": ROW}}
