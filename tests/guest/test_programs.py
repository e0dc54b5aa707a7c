"""Unmodified programs give the host's status and output: the list of catalogue.py."""

import os

import pytest

from tests.guest.catalogue import LONG, PROGRAMS
from tests.guest.harness import Runner, need

NAMES = [name for name in PROGRAMS if name not in LONG or "PYLITEBOX_LONG" in os.environ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_host(runner: Runner, name: str) -> None:
    program = PROGRAMS[name]
    for other in program.needs:
        need(other)
    runner.check(program.argv, stdin=program.stdin, timeout=program.timeout)
