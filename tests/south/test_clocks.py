"""Clocks and randomness of the host."""

from __future__ import annotations

import os
import time

from pylitebox.south.clocks import HostClocks


def test_clocks_are_the_hosts() -> None:
    clocks = HostClocks()
    before = time.monotonic_ns(), time.time_ns()
    now = clocks.monotonic_ns(), clocks.realtime_ns()
    assert before[0] <= now[0] <= time.monotonic_ns()
    assert before[1] <= now[1] <= time.time_ns()


def test_random_bytes_come_from_the_descriptor_if_there_is_one() -> None:
    clocks = HostClocks()
    assert len(clocks.random(1000)) == 1000
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb", buffering=0) as file:
        clocks.urandom = reading
        file.write(b"0123456789")
        assert clocks.random(4) == b"0123"
        assert clocks.random(6) == b"456789"
        assert clocks.random(0) == b""
