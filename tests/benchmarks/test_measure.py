"""How things are measured: from inside, from outside, less the start; what fails is said, and measured no more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import memory, platforms
from benchmarks.measure import Measurement, in_rounds, measure
from benchmarks.surroundings import Surrounding, build_probe


def measured(measurement: Measurement, *places: Surrounding) -> dict[str, float | str]:
    titles: list[str] = []
    results = measure([measurement], list(places), 1, "", titles.append)
    assert titles == [measurement.name]
    return results[measurement.name]


def test_what_is_printed_counts() -> None:
    echo = Measurement("echo", ("12.5",))
    assert measured(echo, Surrounding("host", (), "/bin/echo")) == {"host": 12.5}
    program = Measurement("echo", ("/bin/echo", "3"), program=True)
    assert measured(program, Surrounding("host", ("/usr/bin/env",), "/nowhere")) == {"host": 3.0}


def test_a_run_is_timed_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000, 1700])
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(clock))
    whole = Measurement("true", ("nothing",), outside=True)
    assert measured(whole, Surrounding("host", (), "/bin/true")) == {"host": 700.0}


def test_a_round_is_timed_from_outside_without_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Measurement("echo", ("what",), rounds=50)
    clock = iter([0, 1000, 2000, 2100, 0, 100, 2000, 2100])  # a run with rounds, and one without; the same once more
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(clock))
    assert measured(rounds, Surrounding("host", (), "/bin/echo", clock=False)) == {"host": 18.0}
    assert "starts differ" in str(measured(rounds, Surrounding("host", (), "/bin/echo"))["host"])


def test_why_there_is_no_number() -> None:
    echo = Measurement("echo", ("1",))
    results = measured(
        echo,
        Surrounding("failing", ("/bin/sh", "-c", "echo first >&2; echo the reason >&2; exit 3"), "x"),
        Surrounding("timeless", (), "/bin/echo", clock=False),
        Surrounding("missing", (), "/bin/echo", missing="install it"),
    )
    assert results["failing"] == "status 3: the reason"
    assert "no clock" in str(results["timeless"])
    assert results["missing"] == "install it"


def test_the_median_counts_and_a_failure_ends_the_turns() -> None:
    numbers, failures = iter([5.0, 1.0, 3.0]), iter([RuntimeError("gone")])

    def fail() -> float:
        raise next(failures)

    assert in_rounds({"fine": lambda: next(numbers), "failing": fail}, 3) == {"fine": 3.0, "failing": "gone"}


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("cc is missing: apt-get install gcc libc6-dev")
    directory = tmp_path_factory.mktemp("probe")
    build_probe(directory)
    return directory / "probe"


@pytest.mark.parametrize(
    "what", ["getppid", "getpgrp", "stat", "open+close", "pipe", "fork", "spawn", "fault", "integer", "float", "memory"]
)
def test_the_probe_measures_itself(probe: Path, what: str) -> None:
    more = ["/bin/true"] if what == "spawn" else []
    done = subprocess.run([probe, what, "20", *more], capture_output=True, text=True, timeout=20, check=True)
    assert float(done.stdout) > 0


def test_the_probe_says_no_to_what_it_does_not_know(probe: Path) -> None:
    assert subprocess.run([probe, "nonsense", "20"], timeout=20, check=False).returncode == 2


# -- platforms --------------------------------------------------------------------------------------------------------


def test_qiling_is_asked_where_it_is_said_to_be_or_missed_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *ours, qiling = platforms.places(tmp_path, "/somewhere/python")
    assert [place.name for place in ours] == ["host", "native", "emulator", "kvm"]
    assert qiling.prefix[0] == "/somewhere/python"
    assert Path(qiling.prefix[1]).exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install qiling==" in platforms.places(tmp_path, None)[-1].missing


def test_each_goal_is_of_somebody_who_is_measured(tmp_path: Path) -> None:
    names = {place.name for place in platforms.places(tmp_path, "python")}
    for measurement in platforms.MEASUREMENTS:
        for goal in measurement.goals:
            assert {goal.who, goal.of} <= names
    titles = [measurement.name for measurement in platforms.MEASUREMENTS]
    assert len(set(titles)) == len(titles)


def test_what_is_measured_inside_is_there() -> None:
    for modules in platforms.INSIDE.values():
        for module, *_ in modules.values():
            assert (Path(platforms.__file__).parent / "inside" / f"{module}.py").exists()
    assert set(platforms.INSIDE_GOALS) <= set(platforms.INSIDE)


@pytest.mark.parametrize("arguments", [("emulator_start",), ("emulator_hook",), ("emulator_hook", "registers")])
def test_the_emulator_is_measured_from_within(arguments: tuple[str, ...]) -> None:
    pytest.importorskip("unicorn")
    taken = platforms.inside({"emulator": arguments}, 1)["emulator"]
    assert isinstance(taken, float), taken


# -- memory -----------------------------------------------------------------------------------------------------------


def test_the_memory_of_all_that_a_command_starts_counts() -> None:
    hold = "import time; data = b'x' * (64 << 20); time.sleep(0.5)"
    command = ["/bin/sh", "-c", '"$0" -c "$1" & "$0" -c "$1" & wait', sys.executable, hold]
    assert 128 << 20 < memory.peak(command, {}, 30) < 256 << 20


def test_a_command_that_fails_has_no_memory_to_tell_of() -> None:
    with pytest.raises(RuntimeError, match="status 4: why"):
        memory.peak(["/bin/sh", "-c", "echo why >&2; exit 4"], {}, 30)


@pytest.mark.parametrize("module", ["benchmarks", "benchmarks.platforms"])
@pytest.mark.parametrize("rounds", ["0", "-1", "many"])
def test_rounds_that_are_none(module: str, rounds: str) -> None:
    argv = [sys.executable, "-m", module, "--rounds", rounds]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"'{rounds}' is no number from 1 on" in done.stderr
