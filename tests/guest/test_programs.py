"""Unmodified programs give the host's status and output, on every platform: the list of catalogue.py.

The gate runs all of it on native and the fixed part PORTABLE on the others, ``PYLITEBOX_PLATFORMS=kvm`` all of it on
that platform alone, ``PYLITEBOX_LONG=1`` all of it everywhere. What a program's row says that a platform cannot do is
an expected failure, and a failure of the suite if it works after all.
"""

from __future__ import annotations

import os

import pytest

from tests.guest.catalogue import FAILS, LONG, PATIENCE, PORTABLE, PROGRAMS, SOMETIMES, part
from tests.guest.harness import Runner, need


def _rows() -> list[object]:
    chosen, long = os.environ.get("PYLITEBOX_PLATFORMS"), "PYLITEBOX_LONG" in os.environ
    return [
        pytest.param(platform, name, id=f"{platform}-{name}", marks=_expected(platform, name))
        for platform in (chosen.split(",") if chosen else PATIENCE)
        for name in part(platform, whole=bool(chosen), long=long)
    ]


def _expected(platform: str, name: str) -> list[pytest.MarkDecorator]:
    failure = PROGRAMS[name].fails.get(platform)
    if failure is None:
        return []
    return [pytest.mark.xfail(reason=failure, strict=(name, platform) not in SOMETIMES)]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("runner", "name"), _rows(), indirect=["runner"])
def test_equals_the_host(runner: Runner, name: str) -> None:
    program = PROGRAMS[name]
    for other in program.needs:
        need(other)
    runner.check(program.argv, stdin=program.stdin, timeout=PATIENCE[runner.platform] * program.timeout)


def test_the_lists_name_rows_of_the_catalogue() -> None:
    assert {*LONG, *PORTABLE, *FAILS} <= set(PROGRAMS)
    assert all(platform in PROGRAMS[name].fails for name, platform in SOMETIMES)
    assert {platform for row in FAILS.values() for platform in row} <= set(PATIENCE)
