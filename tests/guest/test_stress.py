"""The stress mix of programs/stress.sh, over and over: PYLITEBOX_STRESS times, 200 in .ci/full, 3 in .ci/run."""

import os
from pathlib import Path

import pytest

from tests.guest.harness import Outcome, Runner, on_host

LONG = "PYLITEBOX_LONG" in os.environ
TIMES = int(os.environ.get("PYLITEBOX_STRESS", "200" if LONG else "3"))
GUEST = "/opt/programs"
EXPECTED = Outcome(0, "rounds 50 processes 2800 ok\n", "")


def test_the_mix_holds_on_the_host(programs: Path) -> None:
    assert on_host(["bash", str(programs / "stress.sh"), str(programs)]) == EXPECTED


@pytest.mark.timeout(120 * TIMES)
def test_stress(runner: Runner, programs: Path) -> None:
    runner.mounts[programs] = GUEST
    failed = []
    for number in range(TIMES):
        outcome = runner.run(["bash", f"{GUEST}/stress.sh", GUEST], timeout=120)
        if outcome != EXPECTED:
            failed.append((number, outcome))
    assert failed == [], f"{len(failed)} of {TIMES}"
