"""Programs on the platforms that need no Linux beneath: the emulator, and KVM where this machine has it.

A part of the catalogue that touches everything, with the host's output as the expectation; ``PYLITEBOX_PLATFORMS=kvm
pytest tests/guest`` runs all of it on one platform.
"""

import pytest

from pylitebox.supervisor.platforms import PlatformError, choose
from tests.guest.catalogue import PROGRAMS
from tests.guest.harness import Runner, need

NAMES = [
    *(name for name in PROGRAMS if name.startswith("busybox")), "bash issue", "bash trap", "bash trap-in-a-pipeline",
    "bash subshells", "bash here-documents", "bash command-substitution", "bash process-substitution",
    "bash background-jobs", "bash exit-statuses", "bash redirections", "coreutils cp", "coreutils mkfifo", "tools tar",
    "tools make", "tools gcc", "perl processes", "python3 json", "python3 threading", "python3 subprocess",
    "python3 signal", "python3 mmap", "python3 sqlite3", "python3 os", "tools git",
]  # fmt: skip


@pytest.fixture(params=["emulator", "kvm"])
def elsewhere(request: pytest.FixtureRequest, runner: Runner) -> Runner:
    try:
        choose(request.param)
    except PlatformError as error:
        pytest.skip(str(error))
    runner.platform = request.param
    return runner


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_host(elsewhere: Runner, name: str) -> None:
    program = PROGRAMS[name]
    for other in program.needs:
        need(other)
    elsewhere.check(program.argv, stdin=program.stdin, timeout=4 * program.timeout)
