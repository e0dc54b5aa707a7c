"""Compiled programs print what they saw: signals, threads, memory, processes, IPC. The host's output is expected."""

from pathlib import Path

import pytest

from tests.guest.harness import Runner

GUEST = "/opt/programs"


NAMES = [
    "signals", "masks", "threads", "memory", "processes", "files", "sysvipc", "mqueue", "interrupts", "stops", "usage",
    "siginfo", "terminals", "limits", "sites",
]  # fmt: skip


@pytest.mark.parametrize("fast", ["1", "0"])
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_host(runner: Runner, programs: Path, name: str, fast: str) -> None:
    runner.mounts[programs] = GUEST
    runner.prefix = ["env", f"PYLITEBOX_FAST={fast}"]
    outcome = runner.check([f"{GUEST}/{name}"])
    assert outcome.stdout.count("\n") > 15
