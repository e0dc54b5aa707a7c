"""System calls: their numbers, arguments and results, and what they leave of the registers."""

from __future__ import annotations

import pytest

from tests.south.conformance import assembler as a
from tests.south.conformance.assembler import Code
from tests.south.conformance.driver import CODE, DATA, Driver

U64 = (1 << 64) - 1


def test_a_call_has_its_number_arguments_and_result(driver: Driver) -> None:
    driver.on[a.ASK] = lambda task, *args: -38
    task = driver.spawn(Code().call(a.ASK, 1, U64, 1 << 63, 4, 5, 6).say(1).exit(3))
    driver.run_to_end()
    assert [call.number for call in driver.calls] == [a.ASK, a.SAY, a.EXIT_GROUP]
    assert driver.calls[0] == (task.tid, a.ASK, (1, U64, 1 << 63, 4, 5, 6))
    assert driver.words() == [(1, U64 - 37)]
    assert driver.calls[2].args[0] == 3
