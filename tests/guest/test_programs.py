"""Unmodified programs give the host's status and output: the list of catalogue.py."""

import pytest

from tests.guest.catalogue import PROGRAMS
from tests.guest.harness import Runner, need


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PROGRAMS)
def test_equals_the_host(runner: Runner, name: str) -> None:
    program = PROGRAMS[name]
    for other in program.needs:
        need(other)
    runner.check(program.argv, stdin=program.stdin, timeout=program.timeout)
