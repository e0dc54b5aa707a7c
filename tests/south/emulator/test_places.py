"""Where programs lie in a sandbox on the emulator: code at the same places each time, so that translations are kept."""

from __future__ import annotations

import pytest

import pylitebox
from tests.guest.harness import need

pytestmark = pytest.mark.guest


def _maps(box: pylitebox.Sandbox) -> dict[str, int]:
    """The lowest address of each file or special area of a fresh program."""
    need("/usr/bin/cat")
    output = box.run(["/usr/bin/cat", "/proc/self/maps"], capture_output=True, text=True, check=True, timeout=60).stdout
    lowest: dict[str, int] = {}
    for line in output.splitlines():
        start, _, _, _, _, *name = line.split()
        lowest.setdefault(name[0] if name else "", int(start.partition("-")[0], 16))
    return lowest


def test_code_has_its_places_for_a_sandbox_and_other_ones_in_the_next() -> None:
    pytest.importorskip("unicorn")
    with pylitebox.Sandbox(platform="emulator") as box:
        first, second = _maps(box), _maps(box)
    with pylitebox.Sandbox(platform="emulator") as box:
        elsewhere = _maps(box)
    code = [name for name in first if name.endswith(("/cat", ".so.6", ".so.2"))]
    assert len(code) == 3, first
    for name in code:
        assert first[name] == second[name] != elsewhere[name]
    for name in ("[stack]", "[heap]"):
        assert first[name] != second[name]
