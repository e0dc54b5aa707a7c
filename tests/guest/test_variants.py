"""The same programs in other surroundings: users without rights, outer filters, one CPU. See variants.py."""

import os
from pathlib import Path

import pytest

from tests.guest.catalogue import LONG, PROGRAMS
from tests.guest.harness import Runner, need
from tests.guest.test_stress import EXPECTED, GUEST
from tests.guest.variants import VARIANTS

#: The gate runs a part that touches everything; .ci/full runs all.
CORE = [
    "busybox sh", "busybox archive", "coreutils cp", "coreutils mkfifo", "coreutils sleep", "coreutils xargs",
    "bash issue", "bash background-jobs", "bash trap", "bash trap-in-wait", "bash job-signals", "bash exit-statuses",
    "bash process-substitution", "bash redirections", "bash scripts", "tools find", "tools tar", "tools make",
    "tools gcc", "perl processes", "python3 subprocess", "python3 threading", "python3 multiprocessing-fork",
    "python3 mmap", "python3 signal", "python3 asyncio", "python3 os", "python3 json", "python-modules venv",
    "developer flock", "developer make-jobs", "developer sqlite3-two-processes",
    "node threads", "node processes", "go goroutines", "java Threads", "ruby processes",
]  # fmt: skip
NAMES = [name for name in PROGRAMS if name not in LONG] if "PYLITEBOX_LONG" in os.environ else CORE


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest, runner: Runner) -> Runner:
    prefix = VARIANTS[request.param]
    if prefix is None:
        pytest.skip("only root can make these surroundings")
    if prefix:
        need(prefix[0])
    runner.prefix = prefix
    return runner


def test_the_core_is_in_the_catalogue() -> None:
    assert set(CORE) <= set(PROGRAMS)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_host(variant: Runner, name: str) -> None:
    program = PROGRAMS[name]
    for other in program.needs:
        need(other)
    variant.check(program.argv, stdin=program.stdin, timeout=program.timeout)


@pytest.mark.timeout(300)
def test_stress(variant: Runner, programs: Path) -> None:
    variant.mounts[programs] = GUEST
    outcome = variant.run(["bash", f"{GUEST}/stress.sh", GUEST], timeout=240)
    assert outcome == EXPECTED
